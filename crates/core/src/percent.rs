//! Percent-encoding of a field: everything but visible ASCII, and `%` itself, becomes `%XX`.
//!
//! Status files, the journal and JSON use it, so that a field never holds a blank or a line feed.

use std::fmt::Write;

/// `bytes` as one field without blanks; an empty field is `%`.
///
/// ```
/// use cluster_core::percent::{decode, encode};
/// assert_eq!(encode(b"a b%"), "a%20b%25");
/// assert_eq!(decode(b"a%20b%25").unwrap(), b"a b%");
/// assert_eq!(decode(encode(b"").as_bytes()).unwrap(), b"");
/// ```
pub fn encode(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "%".to_owned();
    }
    let mut field = String::with_capacity(bytes.len());
    for &byte in bytes {
        if byte.is_ascii_graphic() && byte != b'%' {
            field.push(char::from(byte));
        } else {
            write!(field, "%{byte:02X}").expect("writing to a String does not fail");
        }
    }
    field
}

/// What [`encode`] was given, or `None` where `field` is not of its making.
pub fn decode(field: &[u8]) -> Option<Vec<u8>> {
    if field == b"%" {
        return Some(Vec::new());
    }
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field.iter();
    while let Some(&byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|&b| char::from(b).to_digit(16));
        bytes.push((digit()? << 4 | digit()?) as u8);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn decode_undoes_encode(bytes: Vec<u8>) {
            let field = encode(&bytes);
            prop_assert!(field.bytes().all(|b| b.is_ascii_graphic()));
            prop_assert_eq!(decode(field.as_bytes()), Some(bytes));
        }

        #[test]
        fn decode_never_panics(bytes: Vec<u8>) {
            decode(&bytes);
        }
    }
}
