//! An output whose parts are needed as text: looked at in pieces, each just before it is read.

use std::borrow::Cow;

use crate::lexeme;

/// So much is looked at in one go: it is still near when it is read.
const PIECE: usize = 64 << 10;
/// So much before the first part that is asked for belongs to its piece: the head of the record.
const HEAD: usize = 64;

/// Bytes, and a piece of them that is known to be UTF-8.
#[derive(Debug)]
pub(crate) struct Checked<'o> {
    bytes: &'o [u8],
    piece: &'o str,
    /// Where the piece begins.
    from: usize,
}

impl<'o> Checked<'o> {
    pub(crate) fn new(bytes: &'o [u8]) -> Self {
        Self { bytes, piece: "", from: 0 }
    }

    pub(crate) fn bytes(&self) -> &'o [u8] {
        self.bytes
    }

    /// A part of the bytes, or something else, as text.
    #[inline]
    pub(crate) fn text(&mut self, part: Cow<'o, [u8]>) -> Cow<'o, str> {
        if let Cow::Borrowed(part) = &part {
            let at = (part.as_ptr() as usize).wrapping_sub(self.bytes.as_ptr() as usize);
            if at >= self.from + self.piece.len() && at < self.bytes.len() {
                self.look_at(at);
            }
            let at = at.wrapping_sub(self.from);
            if let Some(text) = at.checked_add(part.len()).and_then(|end| self.piece.get(at..end)) {
                return Cow::Borrowed(text);
            }
        }
        // Over the end of the piece, or none of the bytes, or no UTF-8.
        lexeme::text(part)
    }

    /// Takes the piece that `at` is in.
    fn look_at(&mut self, at: usize) {
        let begin = at.saturating_sub(HEAD);
        // Not inside a letter.
        let begin =
            (begin..=at).find(|at| self.bytes.get(*at).is_none_or(|b| *b & 0xc0 != 0x80)).unwrap_or(at);
        let bytes = self.bytes.get(begin..).unwrap_or_default();
        let bytes = bytes.get(..PIECE).unwrap_or(bytes);
        self.piece = match std::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => {
                bytes.get(..error.valid_up_to()).and_then(|b| std::str::from_utf8(b).ok()).unwrap_or("")
            }
        };
        self.from = begin;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_part_is_the_text_it_is_alone(
            seed in proptest::collection::vec(proptest::sample::select(vec![&b"ab"[..], b"\xc3\xa4", b"\xff", b"\xe2\x82\xac"]), 1..60),
            parts in proptest::collection::vec((0_usize..200_000, 0_usize..400), 1..40),
        ) {
            let seed = seed.concat();
            let bytes: Vec<u8> = seed.iter().copied().cycle().take(100_000).collect();
            let mut checked = Checked::new(&bytes);
            for (at, length) in parts {
                let part = bytes.get(at..).map(|rest| &rest[..length.min(rest.len())]).unwrap_or_default();
                let text = checked.text(Cow::Borrowed(part));
                prop_assert_eq!(&*text, &*String::from_utf8_lossy(part));
            }
        }
    }
}
