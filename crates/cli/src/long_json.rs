//! A JSON object whose last field may be longer than memory: the output of a job.

use std::io::{self, BufWriter, Write};

use anyhow::Context as _;
use cluster_core::{ByteString, percent};
use serde::Serialize;

/// Longer than this it is read twice: once to know whether it is UTF-8, and once to be written.
const HELD: usize = 1 << 20;

/// One line on stdout: the fields of `head`, then `field` with the bytes that `copy` writes, in the form of
/// [`ByteString`].
pub(crate) fn write(
    head: &impl Serialize,
    field: &str,
    copy: impl FnMut(&mut dyn Write) -> io::Result<()>,
) -> anyhow::Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    to(&mut out, head, field, copy)?;
    out.flush().context("cannot write to stdout")
}

fn to(
    out: &mut dyn Write,
    head: &impl Serialize,
    field: &str,
    mut copy: impl FnMut(&mut dyn Write) -> io::Result<()>,
) -> anyhow::Result<()> {
    let mut first = Held::default();
    copy(&mut first)?;
    let head = serde_json::to_string(head)?;
    let head = head.strip_suffix('}').unwrap_or(&head);
    write!(out, "{head},{}:", serde_json::to_string(field)?)?;
    if !first.is_more {
        serde_json::to_writer(&mut *out, &ByteString(first.bytes))?;
    } else if first.text.is_whole() {
        out.write_all(b"\"")?;
        let mut pieces = Pieces { out: &mut *out, text: Text::default() };
        copy(&mut pieces)?;
        if !pieces.text.is_whole() {
            anyhow::bail!("an output changed while it was read: ask for it again");
        }
        out.write_all(b"\"")?;
    } else {
        out.write_all(b"{\"bytes\":\"")?;
        copy(&mut Encoded(&mut *out))?;
        out.write_all(b"\"}")?;
    }
    Ok(writeln!(out, "}}")?)
}

/// Bytes that come in pieces, which may end inside a character.
#[derive(Debug, Default)]
struct Text {
    /// The beginning of a character.
    begun: Vec<u8>,
    bad: bool,
}

impl Text {
    /// The characters that are whole with these bytes.
    fn push(&mut self, bytes: &[u8], mut each: impl FnMut(&str) -> io::Result<()>) -> io::Result<()> {
        self.begun.extend_from_slice(bytes);
        let whole = match std::str::from_utf8(&self.begun) {
            Ok(text) => text,
            Err(error) => {
                self.bad |= error.error_len().is_some();
                std::str::from_utf8(&self.begun[..error.valid_up_to()]).unwrap_or_default()
            }
        };
        each(whole)?;
        let len = whole.len();
        self.begun.drain(..len);
        if self.bad {
            self.begun.clear();
        }
        Ok(())
    }

    /// Whether all was UTF-8.
    fn is_whole(&self) -> bool {
        !self.bad && self.begun.is_empty()
    }
}

/// Keeps what is short, and looks at the rest.
#[derive(Debug, Default)]
struct Held {
    bytes: Vec<u8>,
    is_more: bool,
    text: Text,
}

impl Write for Held {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.is_more |= self.bytes.len() + bytes.len() > HELD;
        match self.is_more {
            true => self.bytes = Vec::new(),
            false => self.bytes.extend_from_slice(bytes),
        }
        self.text.push(bytes, |_| Ok(()))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes the inside of a JSON string.
struct Pieces<'a> {
    out: &'a mut dyn Write,
    text: Text,
}

impl Write for Pieces<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let out = &mut self.out;
        self.text.push(bytes, |text| out.write_all(inside(text)?.as_bytes()))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// A text as it stands between the quotes of a JSON string.
fn inside(text: &str) -> io::Result<String> {
    let quoted = serde_json::to_string(text)?;
    Ok(quoted[1..quoted.len() - 1].to_owned())
}

struct Encoded<'a>(&'a mut dyn Write);

impl Write for Encoded<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !bytes.is_empty() {
            self.0.write_all(inside(&percent::encode(bytes))?.as_bytes())?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_and_short_bytes_have_the_same_form() {
        #[derive(Serialize)]
        struct Head {
            v: u32,
        }
        let text = |count: usize| "ä\"\n€\u{1}x".repeat(count).into_bytes();
        let binary = |count: usize| b"a\xff%\n".repeat(count);
        let cut = [&text(HELD / 4)[..], b"\xc3"].concat();
        for bytes in [text(2), text(HELD / 4), binary(2), binary(HELD / 2), cut, Vec::new()] {
            let mut out = Vec::new();
            to(&mut out, &Head { v: 1 }, "output", |to| {
                bytes.chunks(7).try_for_each(|part| to.write_all(part))
            })
            .unwrap();
            let wanted =
                format!("{{\"v\":1,\"output\":{}}}\n", serde_json::to_string(&ByteString(bytes)).unwrap());
            assert!(out == wanted.as_bytes(), "{}", String::from_utf8_lossy(&out[..60.min(out.len())]));
        }
    }
}
