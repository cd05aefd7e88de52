//! `qstat -f` (also `-w`, `-1`, `-B`, `-Q`): a header line, then `    name = value` lines.
//!
//! Without `-w` (Torque: `-1`) lines are wrapped at 78 columns, also within words: the break is a line feed
//! and a tab, nothing else is put in, so that taking both out gives the value back. Line feeds of a value
//! are printed as they are then, and a line of a value may look like an attribute: what `-w` prints is
//! unambiguous, and that is what we ask for. An attribute that comes twice with two values gives itself
//! away and breaks its record.

use std::borrow::Cow;

use cluster_core::dialect::DialectError;

use crate::entry::{Entries, Kind, split_name};
use crate::lexeme;

/// A value that may go on in the next line.
struct Pending {
    name: (usize, usize),
    value: (usize, usize),
    wrapped: bool,
}

/// Reads all entries of `output`.
pub(crate) fn read<'o>(command: &str, output: &'o [u8], entries: &mut impl Entries<'o>) {
    let slice = |(from, to): (usize, usize)| output.get(from..to).unwrap_or_default();
    let mut begun: Option<usize> = None;
    let mut end = 0;
    let mut pending: Option<Pending> = None;
    let mut blank = true;
    let mut complained = false;
    let mut at = 0;
    while at < output.len() {
        let rest = slice((at, output.len()));
        let length = rest.iter().position(|&b| b == b'\n').unwrap_or(rest.len());
        let line = slice((at, at + length));
        let (from, next) = (at, at + length + 1);
        at = next;
        if line.is_empty() {
            blank = true;
            continue;
        }
        if blank && let Some((kind, id)) = header(line) {
            flush(output, pending.take(), entries);
            if let Some(begun) = begun.replace(from) {
                entries.end(slice((begun, end)));
            }
            entries.begin(kind, lexeme::text(Cow::Borrowed(id)));
            complained = false;
        } else if begun.is_none() {
            if !complained {
                entries.broken(|| {
                    DialectError::syntax(
                        command,
                        output,
                        from,
                        "a line that begins with `Job Id: `, `Server: ` or `Queue: `",
                    )
                });
                complained = true;
            }
            continue;
        } else if let (b'\t', Some(value)) = (line.first().copied().unwrap_or_default(), &mut pending) {
            value.wrapped = true;
            value.value.1 = from + length;
        } else if let Some((name, value)) = attribute(line) {
            flush(output, pending.take(), entries);
            pending = Some(Pending {
                name: (from + name.0, from + name.1),
                value: (from + value, from + length),
                wrapped: false,
            });
        } else if let Some(value) = &mut pending {
            // A line feed within the value.
            value.value.1 = from + length;
        } else if !complained {
            entries.broken(|| DialectError::syntax(command, output, from, "`    name = value`"));
            complained = true;
        }
        blank = false;
        end = from + length;
    }
    flush(output, pending, entries);
    if let Some(begun) = begun {
        entries.end(slice((begun, end)));
    }
}

fn header(line: &[u8]) -> Option<(Kind, &[u8])> {
    if !line.first().is_some_and(u8::is_ascii_uppercase) {
        return None;
    }
    [(&b"Job Id: "[..], Kind::Job), (b"Server: ", Kind::Server), (b"Queue: ", Kind::Queue)]
        .into_iter()
        .find_map(|(word, kind)| line.strip_prefix(word).map(|id| (kind, id.trim_ascii())))
}

/// Where the name and the value of `    name = value` are.
fn attribute(line: &[u8]) -> Option<((usize, usize), usize)> {
    let indented = line.strip_prefix(b"    ")?;
    if !indented.first().is_some_and(|b| b.is_ascii_alphabetic() || *b == b'_') {
        return None;
    }
    let is_name = |b: &u8| b.is_ascii_alphanumeric() || b"._-".contains(b);
    let length = indented.iter().position(|b| !is_name(b)).unwrap_or(indented.len());
    let rest = indented.get(length..)?.strip_prefix(b" =")?;
    let value = 4 + length + 2 + usize::from(rest.first() == Some(&b' '));
    Some(((4, 4 + length), value))
}

fn flush<'o>(output: &'o [u8], pending: Option<Pending>, entries: &mut impl Entries<'o>) {
    let Some(Pending { name, value, wrapped }) = pending else { return };
    let (group, name) = split_name(output.get(name.0..name.1).unwrap_or_default());
    if entries.wants(group, name) {
        let value = output.get(value.0..value.1).unwrap_or_default();
        entries.attribute(
            group,
            name,
            if wrapped { Cow::Owned(unwrap(value)) } else { Cow::Borrowed(value) },
        );
    }
}

/// Takes out every line feed that a tab follows, and the tab.
fn unwrap(value: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some(at) = rest.windows(2).position(|pair| pair == b"\n\t") {
        plain.extend_from_slice(rest.get(..at).unwrap_or_default());
        rest = rest.get(at + 2..).unwrap_or_default();
    }
    plain.extend_from_slice(rest);
    plain
}
