//! Amounts that may depend on the machine: [`CoreAmount`] and [`MemAmount`]. They are read anywhere and become
//! numbers by `resolve`, where the machine is known.

use std::fmt;
use std::str::FromStr;

use cluster_core::{MemSize, ParseError};

use crate::shown::shown;

/// A part of a whole, above 0 % and up to 100 %, in hundredths of a percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Percent(u16);

impl Percent {
    /// The whole.
    pub const WHOLE: Self = Self(10_000);

    /// This part of `total`, rounded down.
    pub fn of(self, total: u64) -> u64 {
        let part = u128::from(total) * u128::from(self.0) / u128::from(Self::WHOLE.0);
        u64::try_from(part).unwrap_or(total)
    }

    /// `50%`, `12.5 %`: up to two decimals.
    fn parse(text: &str) -> Option<Self> {
        let number = text.trim().strip_suffix('%')?.trim_end();
        let (whole, frac) = number.split_once('.').unwrap_or((number, "0"));
        let digits = |text: &str| (1..=3).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(frac) || frac.len() > 2 {
            return None;
        }
        let hundredths = format!("{whole}{frac:0<2}").parse::<u32>().ok()?;
        u16::try_from(hundredths).ok().filter(|h| (1..=Self::WHOLE.0).contains(h)).map(Self)
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, frac) = (self.0 / 100, self.0 % 100);
        let text = if frac == 0 { format!("{whole}%") } else { format!("{whole}.{frac:02}%") };
        f.pad(&text)
    }
}

/// A number of cores: `8`, `max` or `50%` of what there is.
///
/// ```
/// use cluster_options::CoreAmount;
/// assert_eq!("50%".parse::<CoreAmount>()?.resolve(12), 6);
/// assert_eq!("max".parse::<CoreAmount>()?.resolve(12), 12);
/// assert_eq!("8".parse::<CoreAmount>()?.resolve(12), 8);
/// # Ok::<(), cluster_core::ParseError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CoreAmount {
    /// So many; at least one.
    Number(u32),
    /// All there are.
    Max,
    /// A part of them.
    Percent(Percent),
}

impl CoreAmount {
    /// What is read, for messages.
    pub const EXPECTED: &'static str = "a number from 1, `max`, or a percentage like `50%`";

    /// The number, where `total` cores are there. A part is rounded down, but one core is always left. A number
    /// is given back as it is, also above `total`: whether that is too many is for the caller to say.
    pub fn resolve(self, total: u32) -> u32 {
        match self {
            Self::Number(number) => number,
            Self::Max => total.max(1),
            Self::Percent(percent) => u32::try_from(percent.of(total.into())).unwrap_or(total).max(1),
        }
    }

    /// The number, if it does not depend on the machine.
    pub fn number(self) -> Option<u32> {
        if let Self::Number(number) = self { Some(number) } else { None }
    }
}

impl fmt::Display for CoreAmount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Max => f.pad("max"),
            Self::Percent(percent) => percent.fmt(f),
        }
    }
}

impl FromStr for CoreAmount {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let trimmed = text.trim();
        if trimmed.eq_ignore_ascii_case("max") {
            return Ok(Self::Max);
        }
        if let Some(percent) = Percent::parse(trimmed) {
            return Ok(Self::Percent(percent));
        }
        // `u32::from_str` would take a sign.
        let number = trimmed.starts_with(|c: char| c.is_ascii_digit()).then(|| trimmed.parse::<u32>().ok());
        match number.flatten() {
            Some(number) if number > 0 => Ok(Self::Number(number)),
            _ => Err(ParseError::new("number of cores", shown(text), Self::EXPECTED)),
        }
    }
}

/// An amount of memory: a size, or a part of what there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MemAmount {
    /// So much.
    Size(MemSize),
    /// A part of what is there.
    Percent(Percent),
}

impl MemAmount {
    /// What is read, for messages.
    pub const EXPECTED: &'static str =
        "MB (4000), a size with a unit b, k, m, g, t or p (4G, 1.5g, 512 MiB), or a percentage like `50%`";

    /// The size, where `total` is there. A part is rounded down, but 1 MB is always left.
    pub fn resolve(self, total: MemSize) -> MemSize {
        match self {
            Self::Size(size) => size,
            Self::Percent(percent) => MemSize::from_mb(percent.of(total.as_mb()).max(1)),
        }
    }

    /// The size, if it does not depend on the machine.
    pub fn size(self) -> Option<MemSize> {
        if let Self::Size(size) = self { Some(size) } else { None }
    }
}

impl fmt::Display for MemAmount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Size(size) => size.fmt(f),
            Self::Percent(percent) => percent.fmt(f),
        }
    }
}

impl FromStr for MemAmount {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        if let Some(percent) = Percent::parse(text) {
            return Ok(Self::Percent(percent));
        }
        let size = text.parse().map(Self::Size);
        size.map_err(|_| ParseError::new("memory size", shown(text), Self::EXPECTED))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_and_resolves() {
        for (text, of_seven) in
            [("1", 1), ("9", 9), ("MAX", 7), ("50%", 3), ("1 %", 1), ("100%", 7), ("99.99%", 6)]
        {
            assert_eq!(text.parse::<CoreAmount>().unwrap().resolve(7), of_seven, "{text}");
        }
        assert_eq!(CoreAmount::Max.resolve(0), 1);
        let total = MemSize::from_mb(8000);
        for (text, mb) in [("50%", 4000), ("12.5%", 1000), ("0.01%", 1), ("4G", 4096), ("100", 100)] {
            assert_eq!(text.parse::<MemAmount>().unwrap().resolve(total).as_mb(), mb, "{text}");
        }
        assert_eq!(MemAmount::Percent(Percent::WHOLE).resolve(MemSize::from_mb(u64::MAX)).as_mb(), u64::MAX);
    }

    #[test]
    fn refuses_the_rest() {
        for text in [
            "",
            "0",
            "-1",
            "+1",
            "1.5",
            "0%",
            "100.01%",
            "101%",
            "%",
            "5.123%",
            "5.%",
            "1e2%",
            "-5%",
            "4294967296",
            "all",
        ] {
            assert!(text.parse::<CoreAmount>().is_err(), "{text:?}");
        }
        assert!("max".parse::<MemAmount>().is_err());
        assert!("0%".parse::<MemAmount>().is_err());
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(number in 1_u32.., hundredths in 1_u16..=10_000) {
            for amount in [CoreAmount::Number(number), CoreAmount::Max, CoreAmount::Percent(Percent(hundredths))] {
                prop_assert_eq!(amount.to_string().parse::<CoreAmount>().unwrap(), amount);
            }
            for amount in [MemAmount::Size(MemSize::from_mb(number.into())), MemAmount::Percent(Percent(hundredths))] {
                prop_assert_eq!(amount.to_string().parse::<MemAmount>().unwrap(), amount);
            }
        }

        #[test]
        fn no_text_panics(text in "\\PC*", near in "[0-9.% max]{0,8}") {
            let _ = (text.parse::<CoreAmount>(), text.parse::<MemAmount>());
            let _ = (near.parse::<CoreAmount>(), near.parse::<MemAmount>());
        }
    }
}
