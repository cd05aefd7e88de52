//! `-F json`: a header, and under `Jobs`, `Server`, `Queue` or `nodes` one object an entry.
//!
//! Nothing matched: the header is there without `Jobs`. It is also there when the server is down, so the
//! exit code and stderr come first. `Resource_List`, `resources_used` and `Variable_List` are objects; what
//! looks like a number was made one, so that a name may be a number here.

use std::borrow::Cow;

use cluster_core::dialect::DialectError;

use crate::entry::{Entries, Kind, Wants};
use crate::json::{Expected, Json};
use crate::lexeme;

/// Reads all entries of `output`.
pub(crate) fn read<'o>(command: &str, output: &'o [u8], entries: &mut impl Entries<'o>) {
    let mut json = Json::new(output);
    let end = document(command, output, &mut json, entries);
    if let Err(expected) = end {
        entries.broken(|| syntax(command, output, expected));
    }
}

fn syntax(command: &str, output: &[u8], Expected(at, what): Expected) -> DialectError {
    DialectError::syntax(command, output, at, what)
}

fn document<'o>(
    command: &str,
    output: &'o [u8],
    json: &mut Json<'o>,
    entries: &mut impl Entries<'o>,
) -> Result<(), Expected> {
    json.expect(b'{', "an object")?;
    if json.take(b'}') {
        return Ok(());
    }
    loop {
        let kind = match json.key()? {
            b"Jobs" => Some(Kind::Job),
            b"Server" => Some(Kind::Server),
            b"Queue" => Some(Kind::Queue),
            b"nodes" => Some(Kind::Node),
            _ => None,
        };
        match kind {
            Some(kind) if json.peek() == b'{' => group(command, output, kind, json, entries)?,
            _ => json.skip()?,
        }
        if !json.more()? {
            return match json.peek() {
                0 => Ok(()),
                _ => Err(Expected(json.at, "the end")),
            };
        }
    }
}

/// All entries of a kind. After one that cannot be read the next line that begins one is looked for.
fn group<'o>(
    command: &str,
    output: &'o [u8],
    kind: Kind,
    json: &mut Json<'o>,
    entries: &mut impl Entries<'o>,
) -> Result<(), Expected> {
    json.expect(b'{', "an object")?;
    if json.take(b'}') {
        return Ok(());
    }
    loop {
        json.peek();
        let from = json.at;
        let more = entry(kind, json, entries).and_then(|()| {
            entries.end(output.get(from..json.at).unwrap_or_default());
            json.more()
        });
        match more {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            Err(expected) => match next_entry(output, from.max(expected.0)) {
                Some(next) => {
                    entries.broken(|| syntax(command, output, expected));
                    json.at = next;
                }
                None => return Err(expected),
            },
        }
    }
}

/// Entries are two levels deep, and indented by as many tabs.
fn next_entry(output: &[u8], from: usize) -> Option<usize> {
    const BEGIN: &[u8] = b"\n\t\t\"";
    let rest = output.get(from..)?;
    rest.windows(BEGIN.len()).position(|window| window == BEGIN).map(|at| from + at + 1)
}

fn entry<'o>(kind: Kind, json: &mut Json<'o>, entries: &mut impl Entries<'o>) -> Result<(), Expected> {
    let id = json.key()?;
    entries.begin(kind, lexeme::text(Cow::Borrowed(id)));
    json.expect(b'{', "an object")?;
    loop {
        lines(b"", json, entries);
        if json.take(b'}') {
            return Ok(());
        }
        let name = json.key()?;
        match json.peek() {
            b'{' => match entries.wants_group(name) {
                Wants::All => members(name, json, entries)?,
                Wants::Only(one) => {
                    if let Some(value) = json.only(one)? {
                        entries.attribute(name, one, value);
                    }
                }
                Wants::Nothing => json.skip()?,
            },
            b'[' => json.skip()?,
            _ => value(b"", name, json, entries)?,
        }
        if !json.more()? {
            return Ok(());
        }
    }
}

fn members<'o>(group: &[u8], json: &mut Json<'o>, entries: &mut impl Entries<'o>) -> Result<(), Expected> {
    json.expect(b'{', "an object")?;
    loop {
        lines(group, json, entries);
        if json.take(b'}') {
            return Ok(());
        }
        let name = json.key()?;
        match json.peek() {
            b'{' | b'[' => json.skip()?,
            _ => value(group, name, json, entries)?,
        }
        if !json.more()? {
            return Ok(());
        }
    }
}

/// The members that need no closer look.
fn lines<'o>(group: &[u8], json: &mut Json<'o>, entries: &mut impl Entries<'o>) {
    while let Some((name, value)) = json.line() {
        if entries.wants(group, name) {
            entries.attribute(group, name, Cow::Borrowed(value));
        }
    }
}

fn value<'o>(
    group: &[u8],
    name: &[u8],
    json: &mut Json<'o>,
    entries: &mut impl Entries<'o>,
) -> Result<(), Expected> {
    if !entries.wants(group, name) {
        return json.skip();
    }
    if let Some(value) = json.scalar()? {
        entries.attribute(group, name, value);
    }
    Ok(())
}
