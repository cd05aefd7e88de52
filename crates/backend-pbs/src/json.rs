//! Just enough JSON for `-F json`, over bytes.
//!
//! A JSON library would refuse what OpenPBS prints: a byte of a variable that is no UTF-8, and numbers that
//! no number type holds. Here a value stays the bytes that were printed, names may come twice, a broken
//! record costs itself alone, and each record is known as a piece of the output.

use std::borrow::Cow;

use memchr::{memchr, memmem, memrchr};

/// Something that is not there: where, and what it should have been.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Expected(pub(crate) usize, pub(crate) &'static str);

/// Reads along a text.
pub(crate) struct Json<'o> {
    text: &'o [u8],
    pub(crate) at: usize,
}

impl<'o> Json<'o> {
    pub(crate) fn new(text: &'o [u8]) -> Self {
        Self { text, at: 0 }
    }

    #[inline]
    fn rest(&self) -> &'o [u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// The next byte that is no blank; 0 at the end. Other control characters, which JSON has none of, count as blanks.
    #[inline]
    pub(crate) fn peek(&mut self) -> u8 {
        match self.text.get(self.at) {
            Some(&byte) if byte > b' ' => byte,
            None => 0,
            Some(_) => {
                self.at += blank_length(self.rest());
                self.text.get(self.at).copied().unwrap_or(0)
            }
        }
    }

    /// Steps over `byte`, where it is the next one.
    #[inline]
    pub(crate) fn take(&mut self, byte: u8) -> bool {
        let there = self.peek() == byte && self.at < self.text.len();
        self.at += usize::from(there);
        there
    }

    /// Steps over `byte`.
    #[inline]
    pub(crate) fn expect(&mut self, byte: u8, what: &'static str) -> Result<(), Expected> {
        if self.take(byte) { Ok(()) } else { Err(Expected(self.at, what)) }
    }

    /// A string, between its quotes, and whether it has escapes.
    #[inline(always)]
    pub(crate) fn string(&mut self) -> Result<(&'o [u8], bool), Expected> {
        self.expect(b'"', "a string")?;
        let start = self.at;
        let mut escapes = false;
        loop {
            let rest = self.rest();
            let plain = plain_length(rest);
            match rest.get(plain) {
                Some(b'"') => {
                    let end = self.at + plain;
                    self.at = end + 1;
                    return Ok((self.text.get(start..end).unwrap_or_default(), escapes));
                }
                Some(_) => {
                    escapes = true;
                    self.at += plain + 2;
                }
                None => return Err(Expected(start - 1, "a string with an end")),
            }
        }
    }

    /// A key and its colon.
    #[inline]
    pub(crate) fn key(&mut self) -> Result<&'o [u8], Expected> {
        let (key, _) = self.string()?;
        self.expect(b':', "`:`")?;
        Ok(key)
    }

    /// A member of an object as OpenPBS prints nearly all of them: on a line of its own, with three or four tabs before
    /// the key and one after the colon, a text without escapes or a number. Steps over it, and over the comma where there
    /// is one; over anything else it does not.
    #[inline]
    pub(crate) fn line(&mut self) -> Option<(&'o [u8], &'o [u8])> {
        let rest = self.rest();
        let from = match rest {
            [b'\n', b'\t', b'\t', b'\t', b'"', ..] => 5,
            [b'\n', b'\t', b'\t', b'\t', b'\t', b'"', ..] => 6,
            _ => return None,
        };
        let key = rest.get(from..)?;
        let key_length = plain_length(key);
        let after = key.get(key_length..)?;
        let (value, length, taken) = match after {
            [b'"', b':', b'\t', b'"', value @ ..] => {
                let length = plain_length(value);
                let comma = match value.get(length..)? {
                    [b'"', b',', ..] => 1,
                    [b'"', b'\n', ..] => 0,
                    _ => return None,
                };
                (value, length, 4 + length + 1 + comma)
            }
            [b'"', b':', b'\t', value @ ..] if value.first().is_some_and(u8::is_ascii_digit) => {
                let length = value.iter().position(|b| !b.is_ascii_digit())?;
                let comma = match value.get(length)? {
                    b',' => 1,
                    b'\n' => 0,
                    _ => return None,
                };
                (value, length, 3 + length + comma)
            }
            _ => return None,
        };
        self.at += from + key_length + taken;
        Some((key.get(..key_length)?, value.get(..length)?))
    }

    /// A string without its escapes, or a number or word as it was written; `None` for null.
    pub(crate) fn scalar(&mut self) -> Result<Option<Cow<'o, [u8]>>, Expected> {
        if self.peek() == b'"' {
            let (string, escapes) = self.string()?;
            return Ok(Some(if escapes { Cow::Owned(unescape(string)) } else { Cow::Borrowed(string) }));
        }
        let word = self.word();
        match word {
            b"" => Err(Expected(self.at, "a value")),
            b"null" => Ok(None),
            word => Ok(Some(Cow::Borrowed(word))),
        }
    }

    fn word(&mut self) -> &'o [u8] {
        let rest = self.rest();
        let ends =
            |b: &u8| matches!(b, b',' | b'}' | b']' | b'{' | b'[' | b'"' | b':') || b.is_ascii_whitespace();
        let end = rest.iter().position(ends).unwrap_or(rest.len());
        self.at += end;
        rest.get(..end).unwrap_or_default()
    }

    /// Steps over an object of which one member is asked for: its value, where that is none that has parts. What
    /// stands between the strings is only looked at for braces.
    pub(crate) fn only(&mut self, name: &[u8]) -> Result<Option<Cow<'o, [u8]>>, Expected> {
        let begin = self.at;
        if let Some(end) = self.end_by_indentation() {
            let members = self.text.get(begin..end).unwrap_or_default();
            // A name may also stand in a value: then it is looked for as such.
            if memmem::find(members, name).is_none() {
                self.at = end;
                return Ok(None);
            }
        }
        let (mut depth, mut value) = (0_usize, None);
        loop {
            match self.text.get(self.at) {
                Some(b'"') => {
                    let (string, _) = self.string()?;
                    if depth == 1 && string == name && self.take(b':') && !matches!(self.peek(), b'{' | b'[')
                    {
                        value = self.scalar()?;
                    }
                    continue;
                }
                Some(b'{' | b'[') => depth += 1,
                Some(b'}' | b']') => {
                    depth = depth.saturating_sub(1);
                    if depth == 0 {
                        self.at += 1;
                        return Ok(value);
                    }
                }
                Some(_) => {}
                None => return Err(Expected(begin, "an object with an end")),
            }
            self.at += 1;
        }
    }

    /// The end of the object that begins here, where it is laid out with a line for each member, as OpenPBS does: its
    /// brace is the first that stands below the beginning of the line it was opened in. No string holds a line feed.
    fn end_by_indentation(&self) -> Option<usize> {
        /// A line that opens an object is shorter.
        const LINE: usize = 128;
        let before = self.text.get(self.at.saturating_sub(LINE)..self.at)?;
        let line = before.get(memrchr(b'\n', before)?..)?;
        let margin = line.iter().position(|b| *b == b'"')?;
        let indented = line.get(1..margin)?.iter().all(|b| matches!(b, b' ' | b'\t'));
        if !indented || self.text.get(self.at + 1) != Some(&b'\n') {
            return None;
        }
        let margin = line.get(1..margin)?;
        let mut at = self.at + 1;
        loop {
            at += 1;
            let line = self.text.get(at..)?;
            if let Some(rest) = line.strip_prefix(margin)
                && let Some(b'}') = rest.first()
            {
                return Some(at + margin.len() + 1);
            }
            at += memchr(b'\n', line)?;
        }
    }

    /// Steps over a value of any depth.
    #[inline]
    pub(crate) fn skip(&mut self) -> Result<(), Expected> {
        if self.peek() == b'"' { self.string().map(drop) } else { self.skip_any() }
    }

    fn skip_any(&mut self) -> Result<(), Expected> {
        let mut depth = 0_usize;
        loop {
            match self.peek() {
                b'"' => drop(self.string()?),
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                    continue;
                }
                b'}' | b']' if depth > 0 => {
                    depth -= 1;
                    self.at += 1;
                }
                b',' | b':' if depth > 0 => {
                    self.at += 1;
                    continue;
                }
                _ if self.word().is_empty() => return Err(Expected(self.at, "a value")),
                _ => {}
            }
            if depth == 0 {
                return Ok(());
            }
        }
    }

    /// After a member of an object: whether another one follows, or the object is over.
    #[inline]
    pub(crate) fn more(&mut self) -> Result<bool, Expected> {
        if self.take(b',') {
            return Ok(true);
        }
        self.expect(b'}', "`,` or `}`").map(|()| false)
    }
}

const ONES: u64 = 0x0101_0101_0101_0101;

/// How many blanks and control characters come first, eight at a time.
#[inline]
fn blank_length(text: &[u8]) -> usize {
    let (words, tail) = text.as_chunks::<8>();
    for (at, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        // The high bit of each byte above a blank: no sum goes into the next byte.
        let found = (((word & (ONES * 0x7f)) + ONES * 0x5f) | word) & (ONES << 7);
        if found != 0 {
            return at * 8 + (found.trailing_zeros() / 8) as usize;
        }
    }
    words.len() * 8 + tail.iter().position(|b| *b > b' ').unwrap_or(tail.len())
}

/// How many bytes come before the next `"` or backslash, eight at a time.
#[inline(always)]
fn plain_length(text: &[u8]) -> usize {
    // The high bit of each byte that is zero; of several the lowest is right, which is all that is asked.
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word & (ONES << 7);
    let (words, tail) = text.as_chunks::<8>();
    for (at, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let found = zeros(word ^ (ONES * u64::from(b'"'))) | zeros(word ^ (ONES * u64::from(b'\\')));
        if found != 0 {
            return at * 8 + (found.trailing_zeros() / 8) as usize;
        }
    }
    let end = tail.iter().position(|b| matches!(b, b'"' | b'\\'));
    words.len() * 8 + end.unwrap_or(tail.len())
}

/// The text of a string with escapes; what is no escape stays as it is.
fn unescape(string: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(string.len());
    let mut rest = string;
    while let Some(at) = rest.iter().position(|b| *b == b'\\') {
        plain.extend_from_slice(rest.get(..at).unwrap_or_default());
        let code = rest.get(at + 1).copied().unwrap_or(b'\\');
        rest = rest.get(at + 2..).unwrap_or_default();
        match code {
            b'n' => plain.push(b'\n'),
            b't' => plain.push(b'\t'),
            b'r' => plain.push(b'\r'),
            b'b' => plain.push(8),
            b'f' => plain.push(12),
            b'u' => match unicode(rest) {
                Some((c, length)) => {
                    plain.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                    rest = rest.get(length..).unwrap_or_default();
                }
                None => plain.extend_from_slice(b"\\u"),
            },
            other => plain.push(other),
        }
    }
    plain.extend_from_slice(rest);
    plain
}

/// The character of `XXXX`, or of two halves, and how many bytes it took.
fn unicode(text: &[u8]) -> Option<(char, usize)> {
    let hex = |from: usize| {
        let digits = std::str::from_utf8(text.get(from..from + 4)?).ok()?;
        digits.bytes().all(|b| b.is_ascii_hexdigit()).then(|| u32::from_str_radix(digits, 16).ok()).flatten()
    };
    let first = hex(0)?;
    if !(0xd800..0xdc00).contains(&first) {
        return Some((char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER), 4));
    }
    let second = (text.get(4..6) == Some(b"\\u")).then(|| hex(6)).flatten();
    match second.filter(|second| (0xdc00..0xe000).contains(second)) {
        Some(second) => {
            let both = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
            Some((char::from_u32(both).unwrap_or(char::REPLACEMENT_CHARACTER), 10))
        }
        None => Some((char::REPLACEMENT_CHARACTER, 4)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn strings_lose_their_escapes() {
        for (text, want) in [
            (r#""a\"b\\c\/d""#, "a\"b\\c/d"),
            (r#""\n\t\u0041\u00e9""#, "\n\tAé"),
            (r#""\ud83d\ude00""#, "😀"),
            (r#""\ud83d!""#, "\u{fffd}!"),
            (r#""\uZZ""#, "\\uZZ"),
        ] {
            let value = Json::new(text.as_bytes()).scalar().unwrap().unwrap();
            assert_eq!(std::str::from_utf8(&value).unwrap(), want, "{text}");
        }
    }

    #[test]
    fn one_member_of_an_object_is_found_and_all_of_it_is_passed() {
        for (text, want) in [
            (r#"{"A": "x", "T" : "1\n2", "B": {"T": "no"}}"#, Some("1\n2")),
            (r#"{"A": ["T", "a"], "C": "}{", "D": "T"}"#, None),
            (r#"{"T": 12, "Z": 1}"#, Some("12")),
            (r#"{"T": {"T": "a"}}"#, None),
            (r#"{"T": null}"#, None),
            ("{}", None),
        ] {
            let text = format!("{text},next");
            let mut json = Json::new(text.as_bytes());
            let value = json.only(b"T").unwrap().map(|value| String::from_utf8(value.into_owned()).unwrap());
            assert_eq!(value.as_deref(), want, "{text}");
            assert_eq!(&text[json.at..], ",next");
        }
        for broken in [r#"{"A": "x""#, r#"{"A"#, "{", r#"{"T":"#] {
            assert!(Json::new(broken.as_bytes()).only(b"T").is_err(), "{broken}");
        }
    }

    #[test]
    fn an_object_of_lines_ends_where_it_began() {
        let members =
            "\n\t\t\"A\":\t\"}\",\n\t\t\"B\":\t{\n\t\t\t\"T\":\t\"no\"\n\t\t},\n\t\t\"C\":\t\"\\n\t}\"";
        for (more, want) in
            [("", None), (",\n\t\t\"T\":\t\"yes\"", Some("yes")), (",\n\t\t\"D\":\t\"T\"", None)]
        {
            let text = format!("{{\n\t\"L\":\t{{{members}{more}\n\t}},\n\t\"M\":\t{{\n\t}}\n}}");
            let mut json = Json::new(text.as_bytes());
            json.at = text.find(":\t{").unwrap() + 2;
            let value = json.only(b"T").unwrap();
            assert_eq!(value.as_deref(), want.map(str::as_bytes), "{text}");
            assert!(text[json.at..].starts_with(",\n\t\"M\""), "{text}");
        }
    }

    #[test]
    fn numbers_stay_as_they_are_written() {
        let mut json = Json::new(b" 1e999 , 12345678901234567890,007,null,-27}");
        let mut seen = Vec::new();
        loop {
            seen.push(json.scalar().unwrap().map(|value| String::from_utf8(value.into_owned()).unwrap()));
            if !json.take(b',') {
                break;
            }
        }
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(seen, [some("1e999"), some("12345678901234567890"), some("007"), None, some("-27")]);
    }

    proptest! {
        #[test]
        fn what_serde_writes_is_read_back(text in "\\PC*") {
            let written = serde_json::to_string(&text).unwrap();
            let value = Json::new(written.as_bytes()).scalar().unwrap().unwrap();
            prop_assert_eq!(&*value, text.as_bytes());
        }

        #[test]
        fn quotes_are_found_wherever_they_are(text in proptest::collection::vec(
            proptest::sample::select(&b"a\"\\!#[]\x80\x00\xff"[..]), 0..40))
        {
            let slow = text.iter().position(|b| matches!(b, b'"' | b'\\')).unwrap_or(text.len());
            prop_assert_eq!(plain_length(&text), slow);
        }

        #[test]
        fn a_line_is_what_its_parts_are(text in proptest::collection::vec(
            proptest::sample::select(vec![&b"\n\t\t\t\"a"[..], b"\n\t\t\t\t\"b", b"\":\t\"", b"\":\t", b"\",", b"7", b"\\", b"x", b",", b"\n"]), 0..12))
        {
            let text = text.concat();
            let mut fast = Json::new(&text);
            if let Some((key, value)) = fast.line() {
                let mut slow = Json::new(&text);
                prop_assert_eq!(slow.key().unwrap(), key);
                let scalar = slow.scalar().unwrap();
                prop_assert_eq!(scalar.as_deref(), Some(value));
                slow.take(b',');
                // It steps over the next line feed when it looks for a comma.
                prop_assert!(slow.at == fast.at || text[fast.at..slow.at].trim_ascii().is_empty());
            } else {
                prop_assert_eq!(fast.at, 0);
            }
        }

        #[test]
        fn blanks_are_counted_wherever_they_end(text in proptest::collection::vec(
            proptest::sample::select(&b"   \t\n\x00\x1f!\x7f\x80\xa0\xff"[..]), 0..40))
        {
            let slow = text.iter().position(|b| *b > b' ').unwrap_or(text.len());
            prop_assert_eq!(blank_length(&text), slow);
        }

        #[test]
        fn no_text_panics(text in proptest::collection::vec(
            proptest::sample::select(&b"{}[]\":,\\u0 \nan\xff"[..]), 0..40))
        {
            let _ = Json::new(&text).skip();
            let _ = Json::new(&text).only(b"n");
            let _ = Json::new(&text).scalar();
        }
    }
}
