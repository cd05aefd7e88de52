//! `-F json` of OpenPBS: one value a line, indented by tabs, `":\t"` between name and value; what looks like a
//! number becomes one, with all that is lost by it.

use super::record::{Attr, Record};

/// The attributes whose values stay text whatever they look like.
const TEXT: [&str; 2] = ["Job_Name", "Account_Name"];

/// A whole answer. `group` is `Jobs`, `Queue`, `Server` or `nodes`; it is left out when there is nothing in it.
pub(crate) fn document(server: &str, version: &str, now: i64, group: &str, records: &[Record]) -> Vec<u8> {
    let mut out = Writer { out: b"{".to_vec(), depth: 1, first: true };
    out.member("timestamp", &now.to_string());
    out.member("pbs_version", &quoted(version.as_bytes()));
    out.member("pbs_server", &quoted(server.as_bytes()));
    if !records.is_empty() {
        out.open(group);
        for record in records {
            out.open(&record.id);
            attributes(&mut out, &record.attrs);
            out.close();
        }
        out.close();
    }
    out.out.extend_from_slice(b"\n}\n");
    out.out
}

fn attributes(out: &mut Writer, attrs: &[Attr]) {
    let mut rest = attrs;
    while let Some(attr) = rest.first() {
        if attr.resource.is_empty() {
            if attr.name == "Variable_List" {
                out.open(attr.name);
                for pair in variables(&attr.value) {
                    let split = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
                    let (name, value) = pair.split_at(split);
                    out.member_bytes(name, &value_of(value.get(1..).unwrap_or_default()));
                }
                out.close();
            } else if TEXT.contains(&attr.name) {
                out.member_bytes(attr.name.as_bytes(), &quoted_bytes(&attr.value));
            } else {
                out.member_bytes(attr.name.as_bytes(), &value_of(&attr.value));
            }
            rest = rest.get(1..).unwrap_or_default();
            continue;
        }
        let group =
            rest.iter().take_while(|other| other.name == attr.name && !other.resource.is_empty()).count();
        out.open(attr.name);
        for member in rest.iter().take(group) {
            out.member_bytes(member.resource.as_bytes(), &value_of(&member.value));
        }
        out.close();
        rest = rest.get(group..).unwrap_or_default();
    }
}

/// The pairs of a `Variable_List`, cut at commas that are not escaped; of the escapes only `\,` is taken back.
fn variables(list: &[u8]) -> Vec<Vec<u8>> {
    let mut pairs = vec![Vec::new()];
    let mut bytes = list.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        let Some(last) = pairs.last_mut() else { break };
        match (byte, bytes.peek().copied()) {
            (b'\\', Some(b',')) => {
                bytes.next();
                last.push(b',');
            }
            (b'\\', Some(next)) => {
                bytes.next();
                last.extend_from_slice(&[byte, next]);
            }
            (b',', _) => pairs.push(Vec::new()),
            _ => last.push(byte),
        }
    }
    pairs.retain(|pair| !pair.is_empty());
    pairs
}

struct Writer {
    out: Vec<u8>,
    depth: usize,
    first: bool,
}

impl Writer {
    fn name(&mut self, name: &[u8]) {
        if !self.first {
            self.out.push(b',');
        }
        self.first = false;
        self.out.push(b'\n');
        self.out.extend(std::iter::repeat_n(b'\t', self.depth));
        self.out.extend_from_slice(&quoted_bytes(name));
        self.out.extend_from_slice(b":\t");
    }

    fn member(&mut self, name: &str, value: &str) {
        self.member_bytes(name.as_bytes(), value.as_bytes());
    }

    fn member_bytes(&mut self, name: &[u8], value: &[u8]) {
        self.name(name);
        self.out.extend_from_slice(value);
    }

    fn open(&mut self, name: &str) {
        self.name(name.as_bytes());
        self.out.push(b'{');
        self.depth += 1;
        self.first = true;
    }

    fn close(&mut self) {
        self.depth = self.depth.saturating_sub(1);
        self.out.push(b'\n');
        self.out.extend(std::iter::repeat_n(b'\t', self.depth));
        self.out.push(b'}');
        self.first = false;
    }
}

/// A value as it is printed: a number or a word of JSON where it reads as one, else text.
fn value_of(value: &[u8]) -> Vec<u8> {
    let Ok(text) = std::str::from_utf8(value) else { return quoted_bytes(value) };
    match text {
        "true" | "false" | "null" => return value.to_vec(),
        _ => {}
    }
    number(text.trim_start_matches(' ')).unwrap_or_else(|| quoted_bytes(value))
}

fn number(text: &str) -> Option<Vec<u8>> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if !digits.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let shape = digits.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-'));
    let value: f64 = if shape { text.parse().ok()? } else { return None };
    if !value.is_finite() {
        return Some(b"null".to_vec());
    }
    if value == 0.0 && text.starts_with('-') {
        return Some(b"-0".to_vec());
    }
    if value.fract() == 0.0 && value.abs() < 1e15 {
        return Some(format!("{value:.0}").into_bytes());
    }
    let exponent = value.abs().log10().floor();
    if (-5.0..15.0).contains(&exponent) {
        return Some(value.to_string().into_bytes());
    }
    let text = format!("{value:e}");
    let (mantissa, power) = text.split_once('e')?;
    let (sign, power) = power.strip_prefix('-').map_or(('+', power), |rest| ('-', rest));
    Some(format!("{mantissa}e{sign}{power:0>2}").into_bytes())
}

fn quoted(text: &[u8]) -> String {
    String::from_utf8_lossy(&quoted_bytes(text)).into_owned()
}

fn quoted_bytes(text: &[u8]) -> Vec<u8> {
    let mut out = vec![b'"'];
    for byte in text {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\t' => out.extend_from_slice(b"\\t"),
            b'\r' => out.extend_from_slice(b"\\r"),
            8 => out.extend_from_slice(b"\\b"),
            12 => out.extend_from_slice(b"\\f"),
            0..=31 => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            _ => out.push(*byte),
        }
    }
    out.push(b'"');
    out
}

#[cfg(test)]
mod tests {
    use super::super::record::read_text;
    use super::*;

    #[test]
    fn documents_are_those_recorded_at_the_same_moment() {
        for (text, head, group, now, json) in [
            (
                include_bytes!("recorded/qstat-V-odd-f.out").as_slice(),
                "Job Id",
                "Jobs",
                1_795_196_064,
                include_bytes!("recorded/qstat-V-odd-json.out").as_slice(),
            ),
            (
                include_bytes!("recorded/qstat-Bf.out"),
                "Server",
                "Server",
                1_795_194_792,
                include_bytes!("recorded/qstat-Bf-json.out"),
            ),
        ] {
            let records = read_text(text, head);
            let made = document("pbshost", "23.06.06", now, group, &records);
            assert_eq!(String::from_utf8_lossy(&made), String::from_utf8_lossy(json));
        }
    }

    /// The recording `qsub-env-numbers`: what looks like a number becomes one.
    #[test]
    fn values_lose_what_the_real_ones_lose() {
        for (value, shown) in [
            ("007", "7"),
            ("1e5", "100000"),
            ("1e999", "null"),
            ("nan", "\"nan\""),
            ("0x10", "\"0x10\""),
            ("", "\"\""),
            ("-0", "-0"),
            ("12345678901234567890", "1.2345678901234567e+19"),
            ("true", "true"),
            ("null", "null"),
            ("+5", "\"+5\""),
            (" 5", "5"),
            (".5", "\".5\""),
            ("5.", "5"),
        ] {
            assert_eq!(String::from_utf8_lossy(&value_of(value.as_bytes())), shown, "{value}");
        }
    }
}
