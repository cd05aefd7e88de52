//! What `qstat -f` knows of one job, queue, server or node: an id and its attributes, in the server's order,
//! and the text forms of it. Values are bytes, as the real ones pass through what is not UTF-8.

/// One attribute: `name` or `name.resource`, and its value as the server holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Attr {
    pub(crate) name: &'static str,
    pub(crate) resource: String,
    pub(crate) value: Vec<u8>,
}

/// One thing that is listed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Record {
    pub(crate) id: String,
    pub(crate) attrs: Vec<Attr>,
}

/// How the two families write `qstat -f`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// OpenPBS, wrapped.
    OpenPbs,
    /// OpenPBS with `-w`: one line an attribute, newlines as `\n`.
    OpenPbsWide,
    /// Torque, wrapped; a value that fills its line to the end is followed by an empty one.
    Torque,
    /// Torque with `-1`.
    TorqueOneLine,
}

const LINE: usize = 78;

impl Record {
    pub(crate) fn new(id: impl Into<String>) -> Self {
        Self { id: id.into(), attrs: Vec::new() }
    }

    /// Adds an attribute.
    pub(crate) fn add(&mut self, name: &'static str, value: impl Into<Vec<u8>>) {
        self.attrs.push(Attr { name, resource: String::new(), value: value.into() });
    }

    /// Adds an attribute when there is a value.
    pub(crate) fn add_some(&mut self, name: &'static str, value: Option<impl Into<Vec<u8>>>) {
        if let Some(value) = value {
            self.add(name, value);
        }
    }

    /// Adds one resource of an attribute.
    pub(crate) fn add_resource(&mut self, name: &'static str, resource: &str, value: impl Into<Vec<u8>>) {
        self.attrs.push(Attr { name, resource: resource.to_owned(), value: value.into() });
    }

    /// The record as `qstat -f` prints it, with the empty line after it. `head` is `Job Id`, `Queue` or `Server`.
    pub(crate) fn text(&self, head: &str, style: Style) -> Vec<u8> {
        let mut out = format!("{head}: {}\n", self.id).into_bytes();
        for attr in &self.attrs {
            out.extend_from_slice(b"    ");
            let name = attr.full_name();
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b" = ");
            let value = match style {
                Style::OpenPbs => visible(&attr.value, false),
                Style::OpenPbsWide => visible(&attr.value, true),
                Style::Torque | Style::TorqueOneLine => attr.value.clone(),
            };
            match style {
                Style::OpenPbs | Style::Torque => wrap(&mut out, name.len() + 7, &value, style),
                Style::OpenPbsWide | Style::TorqueOneLine => out.extend_from_slice(&value),
            }
            out.push(b'\n');
        }
        out.push(b'\n');
        out
    }

    /// The record as one line of `qstat -F dsv`.
    pub(crate) fn dsv(&self, head: &str, delimiter: &str) -> Vec<u8> {
        let mut out = format!("{head}: {}", self.id).into_bytes();
        for attr in &self.attrs {
            out.extend_from_slice(delimiter.as_bytes());
            out.extend_from_slice(attr.full_name().as_bytes());
            out.push(b'=');
            let value = visible(&attr.value, false);
            let mut rest = value.as_slice();
            while let Some((first, tail)) = rest.split_first() {
                if rest.starts_with(delimiter.as_bytes()) {
                    out.push(b'\\');
                    out.extend_from_slice(delimiter.as_bytes());
                    rest = rest.get(delimiter.len().max(1)..).unwrap_or_default();
                    continue;
                }
                match first {
                    b'\\' => out.extend_from_slice(b"\\\\"),
                    b'\n' => out.extend_from_slice(b"\\n"),
                    byte => out.push(*byte),
                }
                rest = tail;
            }
        }
        out.push(b'\n');
        out
    }
}

impl Attr {
    /// `name`, or `name.resource`.
    pub(crate) fn full_name(&self) -> String {
        if self.resource.is_empty() {
            self.name.to_owned()
        } else {
            format!("{}.{}", self.name, self.resource)
        }
    }
}

/// Control characters as `^X`; a newline stays one unless it is asked for as `\n`. TAB stays.
fn visible(value: &[u8], newline_escaped: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len());
    for byte in value {
        match byte {
            b'\n' if newline_escaped => out.extend_from_slice(b"\\n"),
            b'\n' | b'\t' => out.push(*byte),
            0..=31 => out.extend_from_slice(&[b'^', byte + 64]),
            127 => out.extend_from_slice(b"^?"),
            _ => out.push(*byte),
        }
    }
    out
}

/// Pieces between commas stay whole where they fit (the commas are not counted); a longer one is broken where
/// the line ends.
fn wrap(out: &mut Vec<u8>, start: usize, value: &[u8], style: Style) {
    let mut column = start;
    let mut first = true;
    let mut pieces = value.split(|byte| *byte == b',').filter(|piece| !piece.is_empty()).peekable();
    while let Some(piece) = pieces.next() {
        if piece.len() + column < LINE {
            out.extend_from_slice(piece);
            column += piece.len();
        } else {
            if !first {
                out.extend_from_slice(b"\n\t");
                column = 9;
            }
            for (index, byte) in piece.iter().enumerate() {
                out.push(*byte);
                column += 1;
                let more = index + 1 < piece.len();
                if (more && column > LINE) || (style == Style::Torque && column >= LINE) {
                    out.extend_from_slice(b"\n\t");
                    column = 8;
                }
            }
        }
        first = false;
        if pieces.peek().is_some() {
            out.push(b',');
        }
    }
}

/// The lines of a recorded `qstat -f` as records: what tests compare with.
#[cfg(test)]
pub(crate) fn read_text(text: &[u8], head: &str) -> Vec<Record> {
    let text = String::from_utf8_lossy(text).into_owned();
    let mut records: Vec<Record> = Vec::new();
    for line in text.replace("\n\t", "").lines() {
        if let Some(id) = line.strip_prefix(&format!("{head}: ")) {
            records.push(Record::new(id));
        } else if let Some((name, value)) = line.strip_prefix("    ").and_then(|rest| rest.split_once(" = "))
        {
            let (name, resource) = name.split_once('.').unwrap_or((name, ""));
            let name: &'static str = Box::leak(name.to_owned().into_boxed_str());
            if let Some(record) = records.last_mut() {
                record.attrs.push(Attr {
                    name,
                    resource: resource.to_owned(),
                    value: value.as_bytes().to_vec(),
                });
            }
        }
    }
    records
}

#[cfg(test)]
mod tests {
    use super::*;

    fn again(recorded: &[u8], head: &str, style: Style) -> Vec<u8> {
        read_text(recorded, head).iter().flat_map(|record| record.text(head, style)).collect()
    }

    #[test]
    fn text_is_wrapped_as_recorded() {
        for (recorded, head) in [
            (include_bytes!("recorded/qstat-V-odd-f.out").as_slice(), "Job Id"),
            (include_bytes!("recorded/qstat-xf-exe-qdel.out"), "Job Id"),
            (include_bytes!("recorded/qstat-f-array-subjob-X.out"), "Job Id"),
            (include_bytes!("recorded/qstat-Bf.out"), "Server"),
        ] {
            assert_eq!(
                String::from_utf8_lossy(&again(recorded, head, Style::OpenPbs)),
                String::from_utf8_lossy(recorded)
            );
        }
        let torque = include_bytes!("../torque/recorded/qstat-R-f.out");
        assert_eq!(again(torque, "Job Id", Style::Torque), torque);
        let wide = include_bytes!("recorded/qstat-f-w.out");
        assert_eq!(again(wide, "Job Id", Style::OpenPbsWide), wide);
    }

    #[test]
    fn dsv_is_joined_and_escaped() {
        let wide = read_text(include_bytes!("recorded/qstat-f-w.out"), "Job Id");
        let line = wide[0].dsv("Job Id", "%%");
        let recorded = include_bytes!("recorded/qstat-f-dsv-delim.out");
        assert_eq!(String::from_utf8_lossy(&line), String::from_utf8_lossy(recorded));
        let mut odd = Record::new("1.s");
        odd.add("comment", "a|b\\c\nd");
        assert_eq!(odd.dsv("Job Id", "|"), b"Job Id: 1.s|comment=a\\|b\\\\c\\nd\n");
    }
}
