//! Bytes as text without loss: what is not UTF-8 is kept in characters of a private area.

const AREA: u32 = 0xF700;

/// Bytes as text.
pub(crate) fn wide(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        out.push_str(chunk.valid());
        out.extend(chunk.invalid().iter().filter_map(|byte| char::from_u32(AREA + u32::from(*byte))));
    }
    out
}

/// The bytes that [`wide`] was made of.
pub(crate) fn narrow(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for c in text.chars() {
        match u8::try_from((c as u32).wrapping_sub(AREA)) {
            Ok(byte) if byte >= 0x80 => out.push(byte),
            _ => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_byte_is_lost() {
        let bytes: Vec<u8> = (0..=255).chain("é日本".bytes()).collect();
        assert_eq!(narrow(&wide(&bytes)), bytes);
    }
}
