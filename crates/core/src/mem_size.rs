//! An amount of memory in whole MB: [`MemSize`].
//!
//! Read: `4000` (MB), `4G`, `4GB`, `4GiB`, `1.5g`, `512 MiB`, `40000K`, `4000b`; units b k m g t p, 1024-based,
//! any case, rounded up to whole MB. Decimals are read exactly: no floating point is involved.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::ParseError;

const MB: u64 = 1 << 20;

/// An amount of memory in whole MB (MiB, 2^20 bytes).
///
/// ```
/// use cluster_core::MemSize;
/// let mem: MemSize = "1.5 GiB".parse()?;
/// assert_eq!(mem.as_mb(), 1536);
/// assert_eq!(MemSize::from_mb(4096).to_string(), "4G");
/// # Ok::<(), cluster_core::ParseError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemSize(u64);

impl MemSize {
    /// What is read, for error messages.
    pub const EXPECTED: &'static str =
        "MB (4000) or a number with a unit b, k, m, g, t or p (4G, 1.5g, 512 MiB)";

    /// So many MB.
    pub const fn from_mb(mb: u64) -> Self {
        Self(mb)
    }

    /// So many bytes, rounded up to whole MB.
    pub const fn from_bytes(bytes: u64) -> Self {
        Self(bytes.div_ceil(MB))
    }

    /// The amount in MB.
    pub const fn as_mb(self) -> u64 {
        self.0
    }

    /// The amount in bytes; above 16 EiB, which no machine has, the largest number there is.
    pub const fn as_bytes(self) -> u64 {
        self.0.saturating_mul(MB)
    }
}

impl fmt::Display for MemSize {
    /// The largest unit that is exact: `4G`, `4000M`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut amount = self.0;
        let mut unit = 0;
        while amount != 0 && amount.is_multiple_of(1024) && unit < 3 {
            amount /= 1024;
            unit += 1;
        }
        f.pad(&format!("{amount}{}", ['M', 'G', 'T', 'P'][unit]))
    }
}

impl FromStr for MemSize {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        parse(text.trim_matches([' ', '\t']))
            .ok_or_else(|| ParseError::new("memory size", shortened(text), Self::EXPECTED))
    }
}

fn parse(text: &str) -> Option<MemSize> {
    if text.len() > 64 {
        return None;
    }
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let amount = Decimal::parse(&text[..end])?;
    let unit = text[end..].trim_start_matches([' ', '\t']).to_ascii_lowercase();
    let shift = match unit.as_str() {
        "b" => 0,
        "k" | "kb" | "kib" => 10,
        "" | "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        "p" | "pb" | "pib" => 50,
        _ => return None,
    };
    u64::try_from(amount.times(1 << shift, MB)?).ok().map(MemSize)
}

/// A decimal number as it was written, without loss: `whole + frac / scale`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Decimal {
    whole: u64,
    frac: u64,
    scale: u64,
}

impl Decimal {
    /// Digits, or digits, one point and up to 18 significant digits. No sign, no exponent.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (whole, frac) = match text.split_once('.') {
            Some((whole, frac)) if !frac.is_empty() => (whole, frac.trim_end_matches('0')),
            Some(_) => return None,
            None => (text, ""),
        };
        let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || frac.len() > 18 || !digits(whole) || !digits(frac) {
            return None;
        }
        Some(Self {
            whole: whole.parse().ok()?,
            frac: if frac.is_empty() { 0 } else { frac.parse().ok()? },
            // At most 18 digits: 10^18 fits in 64 bits.
            scale: 10_u64.pow(frac.len() as u32),
        })
    }

    /// This number times `unit`, in steps of `step`, rounded up.
    pub(crate) fn times(self, unit: u64, step: u64) -> Option<u128> {
        let (unit, scale) = (u128::from(unit), u128::from(self.scale));
        let whole = u128::from(self.whole).checked_mul(unit)?;
        let frac = u128::from(self.frac).checked_mul(unit)?.div_ceil(scale);
        // Rounding up twice is rounding up once, as `step` is whole.
        Some(whole.checked_add(frac)?.div_ceil(u128::from(step)))
    }
}

/// The text as an error shows it: of a huge value the beginning is enough.
pub(crate) fn shortened(text: &str) -> String {
    match text.char_indices().nth(80) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

impl Serialize for MemSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for MemSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl serde::de::Visitor<'_> for Visitor {
            type Value = MemSize;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(MemSize::EXPECTED)
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<MemSize, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_u64<E: serde::de::Error>(self, mb: u64) -> Result<MemSize, E> {
                Ok(MemSize(mb))
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_form_of_the_design_is_read() {
        for (text, want) in [
            ("0", 0),
            ("4000", 4000),
            ("4G", 4096),
            ("4GB", 4096),
            ("4gib", 4096),
            ("1.5g", 1536),
            ("512 MiB", 512),
            ("40000K", 40),
            ("40000KB", 40),
            ("4000b", 1),
            ("4000B", 1),
            ("0b", 0),
            ("1048576b", 1),
            ("1048577b", 2),
            ("4TB", 4 << 20),
            ("2p", 2 << 30),
            ("1.5", 2),
            ("0.1G", 103),
            ("1.50000000000000000000000g", 1536),
            ("0.000000000000000001p", 1),
            ("1.000000000000000001M", 2),
            (" 4 G ", 4096),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(text.parse::<MemSize>().unwrap_or_else(|e| panic!("{e}")).as_mb(), want, "{text}");
        }
    }

    #[test]
    fn anything_else_is_an_error() {
        for text in [
            "",
            " ",
            "G",
            "-1",
            "+1",
            "1.",
            ".5G",
            "1..5G",
            "1.5.2G",
            "1,5G",
            "4X",
            "4GG",
            "4 G B",
            "4bb",
            "4ib",
            "1e3",
            "0x10",
            "٣G",
            "4Ｇ",
            "18446744073709551616",
            "99999999999999999999p",
            "17592186044417p",
            "1.0000000000000000001",
        ] {
            assert!(text.parse::<MemSize>().is_err(), "{text:?}");
        }
        let long = "9".repeat(1 << 20).parse::<MemSize>().unwrap_err();
        assert!(long.to_string().len() < 400);
    }

    #[test]
    fn prints_the_largest_exact_unit() {
        for (mb, want) in
            [(0, "0M"), (1, "1M"), (4000, "4000M"), (4096, "4G"), (1 << 20, "1T"), (3 << 30, "3P")]
        {
            assert_eq!(MemSize::from_mb(mb).to_string(), want);
        }
        assert_eq!(MemSize::from_mb(1 << 40).to_string(), "1024P");
        assert_eq!(MemSize::from_mb(2).as_bytes(), 2 << 20);
        assert_eq!(MemSize::from_bytes(u64::MAX).as_mb(), 1 << 44);
        assert_eq!(MemSize::from_mb(u64::MAX).as_bytes(), u64::MAX);
    }

    #[test]
    fn serde_writes_text_and_reads_text_or_mb() {
        let json = serde_json::to_string(&MemSize::from_mb(4096)).unwrap();
        assert_eq!(json, r#""4G""#);
        assert_eq!(serde_json::from_str::<MemSize>(&json).unwrap(), MemSize::from_mb(4096));
        assert_eq!(serde_json::from_str::<MemSize>("4000").unwrap(), MemSize::from_mb(4000));
        assert!(serde_json::from_str::<MemSize>("1.5").is_err());
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(mb: u64, shift in 0_u32..40) {
            let size = MemSize::from_mb((mb >> 24) << (shift % 24));
            prop_assert_eq!(size.to_string().parse::<MemSize>().unwrap(), size);
        }

        #[test]
        fn rounding_up_is_the_least_that_holds(bytes: u64) {
            let size = format!("{bytes}b").parse::<MemSize>().unwrap();
            prop_assert_eq!(size, MemSize::from_bytes(bytes));
            prop_assert!(u128::from(size.as_mb()) << 20 >= u128::from(bytes));
            prop_assert!(bytes == 0 || u128::from(size.as_mb() - 1) << 20 < u128::from(bytes));
        }

        #[test]
        fn no_text_panics(text in "\\PC*", near in "[0-9.kKmMgGbBi ]{0,24}") {
            let _ = text.parse::<MemSize>();
            let _ = near.parse::<MemSize>();
        }
    }
}
