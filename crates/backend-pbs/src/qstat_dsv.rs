//! `-F dsv`: one line an entry, `Job Id: 2.srv|Job_Name=x|…`. The delimiter is `|` or what `-D` says; in a value
//! it has a backslash before it, and backslashes are doubled.

use std::borrow::Cow;

use cluster_core::dialect::DialectError;

use crate::entry::{Entries, Kind, split_name};
use crate::lexeme;

/// Reads all entries of `output`.
pub(crate) fn read<'o>(command: &str, output: &'o [u8], delimiter: &[u8], entries: &mut impl Entries<'o>) {
    let mut at = 0;
    for line in output.split(|b| *b == b'\n') {
        let from = at;
        at += line.len() + 1;
        if line.trim_ascii().is_empty() {
            continue;
        }
        let (first, mut rest) = split(line, delimiter);
        let header = [(&b"Job Id: "[..], Kind::Job), (b"Server: ", Kind::Server), (b"Queue: ", Kind::Queue)]
            .into_iter()
            .chain([(&b"Name="[..], Kind::Node)])
            .find_map(|(word, kind)| first.strip_prefix(word).map(|id| (kind, id)));
        let Some((kind, id)) = header else {
            entries
                .broken(|| DialectError::syntax(command, output, from, "`Job Id: ` at the begin of a line"));
            continue;
        };
        entries.begin(kind, lexeme::text(Cow::Borrowed(id.trim_ascii())));
        while let Some(text) = rest {
            let (pair, more) = split(text, delimiter);
            rest = more;
            // A line may end with a delimiter.
            let Some(equals) = pair.iter().position(|b| *b == b'=') else { continue };
            let (group, name) = split_name(pair.get(..equals).unwrap_or_default().trim_ascii());
            if entries.wants(group, name) {
                entries.attribute(group, name, unescape(pair.get(equals + 1..).unwrap_or_default()));
            }
        }
        entries.end(line);
    }
}

/// The text before the next delimiter that is none of a value's, and the text after it.
fn split<'o>(text: &'o [u8], delimiter: &[u8]) -> (&'o [u8], Option<&'o [u8]>) {
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        if rest.first() == Some(&b'\\') {
            at += 2;
        } else if !delimiter.is_empty() && rest.starts_with(delimiter) {
            return (text.get(..at).unwrap_or_default(), text.get(at + delimiter.len()..));
        } else {
            at += 1;
        }
    }
    (text, None)
}

/// Takes out the backslash before each escaped byte.
fn unescape(value: &[u8]) -> Cow<'_, [u8]> {
    if !value.contains(&b'\\') {
        return Cow::Borrowed(value);
    }
    let mut plain = Vec::with_capacity(value.len());
    let mut bytes = value.iter().copied();
    while let Some(byte) = bytes.next() {
        plain.push(if byte == b'\\' { bytes.next().unwrap_or(byte) } else { byte });
    }
    Cow::Owned(plain)
}
