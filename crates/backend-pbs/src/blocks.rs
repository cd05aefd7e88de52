//! `pbsnodes -a` and `qmgr -c "list …"`: a line that is not indented, then indented `name = value` lines.

use std::borrow::Cow;

use cluster_core::dialect::DialectError;

use crate::entry::{Entries, Kind, split_name};
use crate::lexeme;

/// Reads all entries of `output`. `Server x` and `Queue x` are `qmgr`'s; another word alone is a node.
pub(crate) fn read<'o>(command: &str, output: &'o [u8], entries: &mut impl Entries<'o>) {
    let slice = |from, to| output.get(from..to).unwrap_or_default();
    let mut begun: Option<usize> = None;
    let (mut at, mut end) = (0, 0);
    while at < output.len() {
        let rest = slice(at, output.len());
        let length = rest.iter().position(|&b| b == b'\n').unwrap_or(rest.len());
        let (from, line) = (at, slice(at, at + length));
        at += length + 1;
        let word = line.trim_ascii();
        if word.is_empty() {
            continue;
        }
        if line.first().is_some_and(u8::is_ascii_whitespace) {
            if begun.is_some()
                && let Some((name, value)) = attribute(word)
            {
                let (group, name) = split_name(name);
                if entries.wants(group, name) {
                    entries.attribute(group, name, Cow::Borrowed(value));
                }
                end = from + length;
            }
            continue;
        }
        if let Some(begun) = begun.take() {
            entries.end(slice(begun, end));
        }
        let (kind, id) = match (word.strip_prefix(b"Server "), word.strip_prefix(b"Queue ")) {
            (Some(id), _) => (Kind::Server, id),
            (_, Some(id)) => (Kind::Queue, id),
            _ => (Kind::Node, word),
        };
        if id.contains(&b' ') {
            entries.broken(|| {
                DialectError::syntax(command, output, from, "the name of a node, a server or a queue")
            });
        } else {
            entries.begin(kind, lexeme::text(Cow::Borrowed(id)));
            (begun, end) = (Some(from), from + length);
        }
    }
    if let Some(begun) = begun {
        entries.end(slice(begun, end));
    }
}

fn attribute(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = line.windows(2).position(|pair| pair == b" =")?;
    Some((line.get(..at)?, line.get(at + 2..)?.trim_ascii()))
}
