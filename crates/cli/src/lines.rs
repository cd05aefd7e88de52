//! Lines chosen from an output, be it whole or still growing.

use std::collections::VecDeque;
use std::io::{self, Write};

use regex::bytes::Regex;

/// What is chosen.
#[derive(Debug, Clone)]
pub(crate) struct Choice {
    /// Before each line.
    pub(crate) prefix: String,
    /// The last ones of what there is.
    pub(crate) tail: Option<usize>,
    /// Those that match.
    pub(crate) grep: Option<Regex>,
}

impl Choice {
    /// Whether all is chosen, byte for byte.
    pub(crate) fn is_all(&self) -> bool {
        self.prefix.is_empty() && self.tail.is_none() && self.grep.is_none()
    }
}

/// The chosen lines of one stream; never more than the tail is in memory.
#[derive(Debug)]
pub(crate) struct Lines {
    choice: Choice,
    /// All is, byte for byte.
    all: bool,
    /// A line whose end has not come yet.
    begun: Vec<u8>,
    /// The last ones so far, until all that there was is known.
    last: VecDeque<Vec<u8>>,
}

impl Lines {
    pub(crate) fn new(choice: Choice) -> Self {
        Self { all: choice.is_all(), choice, begun: Vec::new(), last: VecDeque::new() }
    }

    /// The next bytes of the stream.
    pub(crate) fn push(&mut self, mut bytes: &[u8], to: &mut dyn Write) -> io::Result<()> {
        if self.all {
            return to.write_all(bytes);
        }
        while let Some(end) = bytes.iter().position(|&byte| byte == b'\n') {
            self.begun.extend_from_slice(&bytes[..=end]);
            bytes = &bytes[end + 1..];
            self.line(to)?;
        }
        self.begun.extend_from_slice(bytes);
        Ok(())
    }

    /// All that there was was pushed: the tail of it is known, and what comes now is new.
    pub(crate) fn caught_up(&mut self, to: &mut dyn Write) -> io::Result<()> {
        self.choice.tail = None;
        for line in self.last.drain(..) {
            to.write_all(self.choice.prefix.as_bytes())?;
            to.write_all(&line)?;
        }
        Ok(())
    }

    /// There is nothing more: a line without an end is one, too.
    pub(crate) fn end(&mut self, to: &mut dyn Write) -> io::Result<()> {
        if !self.begun.is_empty() {
            self.line(to)?;
        }
        self.caught_up(to)
    }

    fn line(&mut self, to: &mut dyn Write) -> io::Result<()> {
        let line = std::mem::take(&mut self.begun);
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        if self.choice.grep.as_ref().is_some_and(|grep| !grep.is_match(text)) {
            return Ok(());
        }
        match self.choice.tail {
            Some(0) => Ok(()),
            Some(tail) => {
                if self.last.len() == tail {
                    self.last.pop_front();
                }
                self.last.push_back(line);
                Ok(())
            }
            None => {
                to.write_all(self.choice.prefix.as_bytes())?;
                to.write_all(&line)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is chosen of `before`, and then of `new`, pushed byte by byte.
    fn chosen(choice: &Choice, before: &str, new: &str) -> String {
        let mut lines = Lines::new(choice.clone());
        let mut out = Vec::new();
        for byte in before.as_bytes().chunks(1) {
            lines.push(byte, &mut out).unwrap();
        }
        lines.caught_up(&mut out).unwrap();
        lines.push(new.as_bytes(), &mut out).unwrap();
        lines.end(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_tail_is_of_what_there_was_and_what_is_new_follows() {
        let all = Choice { prefix: String::new(), tail: None, grep: None };
        assert_eq!(chosen(&all, "a\nb", "c\nd"), "a\nbc\nd");
        let tail = Choice { tail: Some(1), ..all.clone() };
        assert_eq!(chosen(&tail, "a\nb\nc", "d\ne\nf"), "b\ncd\ne\nf");
        assert_eq!(chosen(&Choice { tail: Some(0), ..all.clone() }, "a\nb\n", "c\n"), "c\n");
        let grep = Choice { grep: Some(Regex::new("^[bd]").unwrap()), prefix: "17.3: ".to_owned(), ..tail };
        assert_eq!(chosen(&grep, "b1\nb2\na\n", "c\nd"), "17.3: b2\n17.3: d");
    }
}
