//! Lines chosen from an output, be it whole or still growing.

use std::collections::VecDeque;
use std::io::{self, Read, Write};

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

/// A line longer than this is looked at in parts of this size.
const LONG: usize = 1 << 20;

/// So much of a part is looked at again with the next one: a match may begin in one and end in the other.
const AGAIN: usize = 64 << 10;

/// A part of a line; most lines have but one.
struct Part<'a> {
    /// What was seen with the part before, then what is new.
    bytes: &'a [u8],
    /// How many bytes were seen before.
    seen: usize,
    /// Whether the line begins with it.
    begins: bool,
}

impl Part<'_> {
    fn matches(&self, grep: &Regex) -> bool {
        let text = self.bytes.strip_suffix(b"\n").unwrap_or(self.bytes);
        match self.begins {
            true => grep.is_match(text),
            // Its first byte is no beginning of a line.
            false => !text.is_empty() && grep.is_match_at(text, 1),
        }
    }
}

/// Cuts a stream into lines, and long lines into parts.
#[derive(Debug, Default)]
struct Cutter {
    /// A line whose end has not come yet.
    begun: Vec<u8>,
    seen: usize,
    continues: bool,
}

impl Cutter {
    fn push(
        &mut self,
        mut bytes: &[u8],
        mut each: impl FnMut(&Part<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        while !bytes.is_empty() {
            let room = (LONG + self.seen).saturating_sub(self.begun.len()).min(bytes.len());
            let end = bytes[..room].iter().position(|&byte| byte == b'\n').map(|end| end + 1);
            let taken = end.unwrap_or(room);
            self.begun.extend_from_slice(&bytes[..taken]);
            bytes = &bytes[taken..];
            if end.is_some() {
                self.end(&mut each)?;
            } else if self.begun.len() >= LONG + self.seen {
                each(&self.part())?;
                self.begun.drain(..self.begun.len() - AGAIN);
                (self.seen, self.continues) = (AGAIN, true);
            }
        }
        Ok(())
    }

    /// The line is over.
    fn end(&mut self, mut each: impl FnMut(&Part<'_>) -> io::Result<()>) -> io::Result<()> {
        if self.begun.len() > self.seen {
            each(&self.part())?;
        }
        self.begun.clear();
        (self.seen, self.continues) = (0, false);
        Ok(())
    }

    fn part(&self) -> Part<'_> {
        Part { bytes: &self.begun, seen: self.seen, begins: !self.continues }
    }
}

/// Where the last `tail` of the lines that match are, as their first byte and length; no line is held. Of a long
/// line it is what begins with the part that matches.
pub(crate) fn last_matches(
    from: &mut dyn Read,
    grep: &Regex,
    tail: usize,
) -> io::Result<VecDeque<(u64, u64)>> {
    let mut found: VecDeque<(u64, u64)> = VecDeque::new();
    let (mut at, mut chosen) = (0, false);
    let mut take = |part: &Part<'_>| {
        let new = (part.bytes.len() - part.seen) as u64;
        if part.begins {
            chosen = false;
        }
        if chosen {
            if let Some((_, len)) = found.back_mut() {
                *len += new;
            }
        } else if tail > 0 && part.matches(grep) {
            chosen = true;
            if found.len() == tail {
                found.pop_front();
            }
            found.push_back((at - part.seen as u64, part.bytes.len() as u64));
        }
        at += new;
        Ok(())
    };
    let (mut cutter, mut buffer) = (Cutter::default(), vec![0; 64 << 10]);
    loop {
        match from.read(&mut buffer)? {
            0 => break,
            n => cutter.push(&buffer[..n], &mut take)?,
        }
    }
    cutter.end(&mut take)?;
    Ok(found)
}

/// The chosen lines of one stream; never more than the tail is in memory. Of a long line that is looked for it is what
/// begins with the part that matches.
#[derive(Debug)]
pub(crate) struct Lines {
    cutter: Cutter,
    chosen: Chosen,
    /// All is, byte for byte.
    all: bool,
}

#[derive(Debug)]
struct Chosen {
    choice: Choice,
    /// Whether the line that has begun is chosen.
    this: bool,
    /// The last ones so far, until all that there was is known.
    last: VecDeque<Vec<u8>>,
}

impl Lines {
    pub(crate) fn new(choice: Choice) -> Self {
        let all = choice.is_all();
        Self { all, chosen: Chosen { choice, this: false, last: VecDeque::new() }, cutter: Cutter::default() }
    }

    /// The next bytes of the stream.
    pub(crate) fn push(&mut self, bytes: &[u8], to: &mut dyn Write) -> io::Result<()> {
        if self.all {
            return to.write_all(bytes);
        }
        self.cutter.push(bytes, |part| self.chosen.take(part, to))
    }

    /// All that there was was pushed: the tail of it is known, and what comes now is new.
    pub(crate) fn caught_up(&mut self, to: &mut dyn Write) -> io::Result<()> {
        self.chosen.caught_up(to)
    }

    /// There is nothing more: a line without an end is one, too.
    pub(crate) fn end(&mut self, to: &mut dyn Write) -> io::Result<()> {
        self.cutter.end(|part| self.chosen.take(part, to))?;
        self.caught_up(to)
    }
}

impl Chosen {
    fn take(&mut self, part: &Part<'_>, to: &mut dyn Write) -> io::Result<()> {
        if part.begins {
            self.this = false;
        }
        let mut bytes = &part.bytes[part.seen..];
        let first = !self.this;
        if first {
            if self.choice.grep.as_ref().is_some_and(|grep| !part.matches(grep)) {
                return Ok(());
            }
            self.this = true;
            bytes = part.bytes;
        }
        match (self.choice.tail, first) {
            (Some(0), _) => {}
            (Some(tail), true) => {
                if self.last.len() == tail {
                    self.last.pop_front();
                }
                self.last.push_back(bytes.to_vec());
            }
            (Some(_), false) => {
                self.last.back_mut().into_iter().for_each(|line| line.extend_from_slice(bytes));
            }
            (None, _) => {
                if first {
                    to.write_all(self.choice.prefix.as_bytes())?;
                }
                to.write_all(bytes)?;
            }
        }
        Ok(())
    }

    fn caught_up(&mut self, to: &mut dyn Write) -> io::Result<()> {
        self.choice.tail = None;
        for line in self.last.drain(..) {
            to.write_all(self.choice.prefix.as_bytes())?;
            to.write_all(&line)?;
        }
        Ok(())
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

    #[test]
    fn a_long_line_is_looked_at_in_parts_and_its_matches_are_found() {
        let long = "x".repeat(LONG - 3);
        let text = format!("b\n{long}abcdef{long}{long}\nabc\nno\n");
        let grep = |regex: &str| Choice {
            prefix: "17.3: ".to_owned(),
            tail: None,
            grep: Some(Regex::new(regex).unwrap()),
        };
        let shown = |choice: Choice| {
            let (mut lines, mut out) = (Lines::new(choice), Vec::new());
            lines.push(text.as_bytes(), &mut out).unwrap();
            lines.end(&mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        // The match lies over the edge of two parts.
        let found = shown(grep("abc"));
        let first = found.lines().next().unwrap();
        assert!(first.starts_with("17.3: xxx") && first.contains("abcdef") && first.ends_with(&long));
        assert_eq!(found.lines().nth(1), Some("17.3: abc"));
        assert_eq!(found.lines().count(), 2);
        // The edge itself is no beginning of a line.
        assert_eq!(shown(grep("^(def|x{0}def|f)")), "");
        let all = Choice { grep: None, ..grep("") };
        assert_eq!(shown(all), format!("17.3: b\n17.3: {long}abcdef{long}{long}\n17.3: abc\n17.3: no\n"));
        let places = last_matches(&mut text.as_bytes(), &Regex::new("abc").unwrap(), 2).unwrap();
        let at = |(at, len): (u64, u64)| &text[at as usize..(at + len) as usize];
        assert!(at(places[0]).contains("abcdef") && at(places[0]).ends_with("x\n"));
        assert_eq!(at(places[1]), "abc\n");
    }
}
