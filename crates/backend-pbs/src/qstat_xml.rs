//! Torque's XML: `<Data><Job><Job_Id>…</Job_Id><name>value</name>…</Job></Data>` of `qstat -x`, and `<Node>` of
//! `pbsnodes -x`. Groups like `Resource_List` are nested; dates are seconds since 1970.

use std::borrow::Cow;

use cluster_core::dialect::DialectError;
use quick_xml::Reader;
use quick_xml::events::Event;

use crate::entry::{Entries, Kind};

/// Deeper than this nothing of a job is.
const DEEP: usize = 16;

/// Reads all entries of `output`. After a job that is no XML the next one is looked for.
pub(crate) fn read<'o>(command: &str, output: &'o [u8], entries: &mut impl Entries<'o>) {
    let frame = output.trim_ascii();
    if frame.is_empty() {
        return;
    }
    if !frame.starts_with(b"<?xml") && !frame.starts_with(b"<Data") {
        entries.broken(|| DialectError::syntax(command, output, 0, "XML that begins with <Data>"));
        return;
    }
    read_frame(command, output, entries);
    if !frame.ends_with(b"</Data>") {
        entries.broken(|| DialectError::syntax(command, output, output.len(), "</Data> at the end"));
    }
}

fn read_frame<'o>(command: &str, output: &'o [u8], entries: &mut impl Entries<'o>) {
    let Ok(text) = std::str::from_utf8(output) else {
        return read_lossy(command, output, entries);
    };
    let mut at = 0;
    while let Some(rest) = text.get(at..) {
        match read_from(command, output, rest, at, entries) {
            Ok(()) => return,
            Err(bad) => {
                let from = bad.max(at + 1).min(output.len());
                match find(output, from, b"<Job>") {
                    Some(next) => at = next,
                    None => return,
                }
            }
        }
    }
}

fn find(text: &[u8], from: usize, word: &[u8]) -> Option<usize> {
    text.get(from..)?.windows(word.len()).position(|window| window == word).map(|at| from + at)
}

/// An output with bytes that are no UTF-8 is cut at its jobs: those without such bytes are read as ever.
fn read_lossy<'o>(command: &str, output: &'o [u8], entries: &mut impl Entries<'o>) {
    let mut at = find(output, 0, b"<Job>").or_else(|| find(output, 0, b"<Node>"));
    while let Some(from) = at {
        at = find(output, from + 1, b"<Job>").or_else(|| find(output, from + 1, b"<Node>"));
        let piece = output.get(from..at.unwrap_or(output.len())).unwrap_or_default();
        match std::str::from_utf8(piece) {
            Ok(text) => {
                let _ = read_from(command, output, text, from, entries);
            }
            Err(_) => {
                let lossy = String::from_utf8_lossy(piece);
                let mut owned = Owned { entries, piece };
                let _ = read_from(command, lossy.as_bytes(), &lossy, 0, &mut owned);
            }
        }
    }
}

/// Hands on entries that do not borrow from the output.
struct Owned<'e, 'o, E> {
    entries: &'e mut E,
    piece: &'o [u8],
}

impl<'o, E: Entries<'o>> Entries<'_> for Owned<'_, 'o, E> {
    fn begin(&mut self, kind: Kind, id: Cow<'_, str>) {
        self.entries.begin(kind, Cow::Owned(id.into_owned()));
    }

    fn wants(&self, group: &[u8], name: &[u8]) -> bool {
        self.entries.wants(group, name)
    }

    fn attribute(&mut self, group: &[u8], name: &[u8], value: Cow<'_, [u8]>) {
        self.entries.attribute(group, name, Cow::Owned(value.into_owned()));
    }

    fn end(&mut self, _: &[u8]) {
        self.entries.end(self.piece);
    }

    fn broken(&mut self, error: impl FnOnce() -> DialectError) {
        self.entries.broken(error);
    }
}

/// Reads until the end, or until the XML is broken: then `Err` has the place.
fn read_from<'o>(
    command: &str,
    output: &'o [u8],
    text: &'o str,
    offset: usize,
    entries: &mut impl Entries<'o>,
) -> Result<(), usize> {
    let mut reader = Reader::from_str(text);
    let config = reader.config_mut();
    config.allow_dangling_amp = true;
    // What stands before the first job of a piece, and the end of the whole, may be missing in it.
    config.allow_unmatched_ends = true;
    let mut path: Vec<&'o str> = Vec::new();
    let mut job: Option<(usize, Kind)> = None;
    let mut begun = false;
    let mut value: Cow<'o, str> = Cow::Borrowed("");
    loop {
        let before = usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX);
        let event = match reader.read_event() {
            Ok(event) => event,
            Err(error) => {
                let place = offset.saturating_add(before).min(output.len());
                entries.broken(|| DialectError::syntax(command, output, place, format!("XML ({error})")));
                return Err(place);
            }
        };
        match event {
            Event::Start(start) => {
                let from = before + 1;
                let name = text.get(from..from + start.name().0.len()).unwrap_or_default();
                value = Cow::Borrowed("");
                match (name, job) {
                    ("Job", None) => job = Some((before, Kind::Job)),
                    ("Node", None) => job = Some((before, Kind::Node)),
                    (_, None) => {}
                    (_, Some(_)) => path.push(name),
                }
                if path.len() > DEEP {
                    let place = offset.saturating_add(before);
                    entries.broken(|| DialectError::syntax(command, output, place, "less deeply nested XML"));
                    return Err(place);
                }
            }
            Event::Empty(_) => {}
            Event::Text(piece) => append(&mut value, piece.into_inner()),
            Event::CData(piece) => append(&mut value, piece.into_inner()),
            Event::GeneralRef(reference) => {
                let plain = match &*reference {
                    "lt" => "<".to_owned(),
                    "gt" => ">".to_owned(),
                    "amp" => "&".to_owned(),
                    "quot" => "\"".to_owned(),
                    "apos" => "'".to_owned(),
                    name => match reference.resolve_char_ref() {
                        Ok(Some(c)) => c.to_string(),
                        _ => format!("&{name};"),
                    },
                };
                append(&mut value, Cow::Owned(plain));
            }
            Event::End(_) => {
                let Some((from, kind)) = job else { continue };
                let Some(name) = path.pop() else {
                    let to = usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX);
                    if begun {
                        entries.end(text.get(from..to).unwrap_or_default().as_bytes());
                    } else {
                        let place = offset.saturating_add(from);
                        entries
                            .broken(|| DialectError::syntax(command, output, place, "a job with a Job_Id"));
                    }
                    (job, begun) = (None, false);
                    continue;
                };
                let text = std::mem::take(&mut value);
                match (kind, path.as_slice(), name) {
                    (Kind::Job, [], "Job_Id") | (Kind::Node, [], "name") => {
                        entries.begin(kind, text);
                        begun = true;
                    }
                    (_, [], name) => give(entries, begun, b"", name, text),
                    (_, [group], name) => give(entries, begun, group.as_bytes(), name, text),
                    _ => {}
                }
            }
            Event::Eof => {
                if let Some((from, _)) = job {
                    let place = offset.saturating_add(from);
                    entries
                        .broken(|| DialectError::syntax(command, output, place, "a whole job, up to </Job>"));
                }
                return Ok(());
            }
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
        }
    }
}

/// A value of several pieces is put together; one piece stays borrowed.
fn append<'o>(value: &mut Cow<'o, str>, piece: Cow<'o, str>) {
    if value.is_empty() {
        *value = piece;
    } else {
        value.to_mut().push_str(&piece);
    }
}

fn give<'o>(entries: &mut impl Entries<'o>, begun: bool, group: &[u8], name: &str, value: Cow<'o, str>) {
    if begun && entries.wants(group, name.as_bytes()) {
        let value = match value {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        };
        entries.attribute(group, name.as_bytes(), value);
    }
}
