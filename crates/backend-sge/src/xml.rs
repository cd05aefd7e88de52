//! What the readers of XML share: texts as they stand in the document.

use std::borrow::Cow;

use quick_xml::Reader;

/// How far a reader has come.
pub(crate) fn position(reader: &Reader<&[u8]>) -> usize {
    usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX)
}

/// The characters behind the references of a text. Grid Engine writes `%lt;` where it means `&lt;`; a name
/// that really holds `%lt;` cannot be told from one with `<`, and `<` is the likelier.
pub(crate) fn unescape(raw: &str) -> Cow<'_, str> {
    if !raw.bytes().any(|byte| matches!(byte, b'&' | b'%')) {
        return Cow::Borrowed(raw);
    }
    let mut text = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find(['&', '%']) {
        text.push_str(&rest[..at]);
        rest = &rest[at..];
        let (found, length) = reference(rest);
        text.push(found);
        rest = &rest[length..];
    }
    text.push_str(rest);
    Cow::Owned(text)
}

/// The character at the beginning of `text`, which begins with `&` or `%`, and its length in the text.
fn reference(text: &str) -> (char, usize) {
    const NAMED: &[(&str, char)] =
        &[("&lt;", '<'), ("%lt;", '<'), ("&gt;", '>'), ("&amp;", '&'), ("&quot;", '"'), ("&apos;", '\'')];
    if let Some((name, found)) = NAMED.iter().find(|(name, _)| text.starts_with(name)) {
        return (*found, name.len());
    }
    let number = text.strip_prefix("&#").and_then(|rest| {
        let end = rest.find(';').filter(|&end| end <= 8)?;
        let code = match rest[..end].strip_prefix('x') {
            Some(hex) => u32::from_str_radix(hex, 16).ok()?,
            None => rest[..end].parse().ok()?,
        };
        Some((char::from_u32(code)?, end + 3))
    });
    // An ampersand by itself stands for itself.
    number.unwrap_or_else(|| (text.chars().next().unwrap_or('&'), 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_become_their_characters() {
        for (raw, text) in [
            ("plain", "plain"),
            ("q&quot;d&apos;s", "q\"d's"),
            ("%lt;a&amp;b&gt;", "<a&b>"),
            ("&#65;&#x42;", "AB"),
            ("p%d & &; &#; &#xffffffff; &#99999999999;", "p%d & &; &#; &#xffffffff; &#99999999999;"),
            ("&lt;", "<"),
        ] {
            assert_eq!(unescape(raw), text);
        }
        assert!(matches!(unescape("plain"), Cow::Borrowed(_)));
    }
}
