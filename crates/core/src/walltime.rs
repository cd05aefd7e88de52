//! A time limit in whole seconds, or none: [`Walltime`].
//!
//! Read: `90` (seconds), `1:30` (MM:SS), `1:30:00`, `2-12`, `2-12:30`, `2-12:00:00`, `1.5h`, `90m`, `1h30m`,
//! `2d`, `1w`, `unlimited`. A field may be larger than its clock would show (`99:99` is 01:40:39); what is
//! larger than [`Walltime::MAX`] is an error, never another time.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::ParseError;
use crate::mem_size::Decimal;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const WEEK: u64 = 7 * DAY;

/// A time limit: whole seconds, or unlimited, which is larger than every other.
///
/// ```
/// use cluster_core::Walltime;
/// let limit: Walltime = "1h30m".parse()?;
/// assert_eq!(limit.as_secs(), Some(5400));
/// assert_eq!(limit.to_string(), "01:30:00");
/// # Ok::<(), cluster_core::ParseError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Walltime(u64);

impl Walltime {
    /// No limit.
    pub const UNLIMITED: Self = Self(u64::MAX);
    /// The longest limit there is, about 136 years. It is far enough from every integer type used for times
    /// that adding it to a date never overflows.
    pub const MAX: Self = Self(u32::MAX as u64);
    /// What is read, for error messages.
    pub const EXPECTED: &'static str =
        "seconds (90), MM:SS, HH:MM:SS, D-HH[:MM[:SS]], units (90s 90m 1.5h 2d 1w 1h30m) or `unlimited`";

    /// A limit of whole seconds.
    pub const fn from_secs(secs: u32) -> Self {
        Self(secs as u64)
    }

    /// A limit of whole seconds; `None` above [`Walltime::MAX`].
    pub const fn try_from_secs(secs: u64) -> Option<Self> {
        if secs <= Self::MAX.0 { Some(Self(secs)) } else { None }
    }

    /// The seconds; `None` is unlimited.
    pub const fn as_secs(self) -> Option<u64> {
        if self.is_unlimited() { None } else { Some(self.0) }
    }

    /// The limit as a duration; `None` is unlimited.
    pub fn as_duration(self) -> Option<Duration> {
        self.as_secs().map(Duration::from_secs)
    }

    /// Is there no limit?
    pub const fn is_unlimited(self) -> bool {
        self.0 == u64::MAX
    }

    /// `HH:MM:SS` with hours above 24 where needed, as PBS, Torque and SGE want it; `None` is unlimited, which
    /// these say by not asking.
    pub fn hms(self) -> Option<String> {
        let secs = self.as_secs()?;
        Some(format!("{:02}:{:02}:{:02}", secs / HOUR, secs % HOUR / MINUTE, secs % MINUTE))
    }

    /// `[D-]HH:MM:SS`, as Slurm wants it; `None` is unlimited.
    pub fn days_hms(self) -> Option<String> {
        self.as_secs().map(|_| self.to_string())
    }
}

impl fmt::Display for Walltime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(secs) = self.as_secs() else {
            return f.pad("unlimited");
        };
        let (days, rest) = (secs / DAY, secs % DAY);
        let clock = format!("{:02}:{:02}:{:02}", rest / HOUR, rest % HOUR / MINUTE, rest % MINUTE);
        f.pad(&if days > 0 { format!("{days}-{clock}") } else { clock })
    }
}

impl FromStr for Walltime {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let trimmed = text.trim_matches([' ', '\t']);
        if trimmed.eq_ignore_ascii_case("unlimited") {
            return Ok(Self::UNLIMITED);
        }
        let secs = if trimmed.len() > 64 {
            None
        } else if trimmed.contains([':', '-']) {
            clock(trimmed)
        } else if trimmed.bytes().all(|b| b.is_ascii_digit()) {
            number(trimmed)
        } else {
            units(trimmed)
        };
        secs.and_then(Self::try_from_secs)
            .ok_or_else(|| ParseError::new("walltime", crate::mem_size::shortened(text), Self::EXPECTED))
    }
}

/// Digits and nothing else (`u64::from_str` would take a sign).
fn number(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

/// `[D-]` and fields between colons. After days the fields begin with hours, else they end with seconds.
fn clock(text: &str) -> Option<u64> {
    const AFTER_DAYS: [u64; 3] = [HOUR, MINUTE, 1];
    let (start, units, fields) = match text.split_once('-') {
        Some((days, fields)) => (number(days)?.checked_mul(DAY)?, &AFTER_DAYS[..], fields),
        None if text.matches(':').count() == 1 => (0, &AFTER_DAYS[1..], text),
        None => (0, &AFTER_DAYS[..], text),
    };
    let fields: Vec<&str> = fields.split(':').collect();
    if fields.len() > units.len() {
        return None;
    }
    fields
        .iter()
        .zip(units)
        .try_fold(start, |sum, (field, unit)| sum.checked_add(number(field)?.checked_mul(*unit)?))
}

/// Numbers with units, the larger unit first, each at most once: `1h30m`, `1.5h`, `2h 30m`. A fraction is
/// rounded up to whole seconds, so that a limit is never shorter than what was asked for.
fn units(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut sum = 0_u64;
    let mut last = u64::MAX;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let amount = Decimal::parse(&rest[..end])?;
        let unit = match rest.as_bytes()[end].to_ascii_lowercase() {
            b's' => 1,
            b'm' => MINUTE,
            b'h' => HOUR,
            b'd' => DAY,
            b'w' => WEEK,
            _ => return None,
        };
        if unit >= last {
            return None;
        }
        last = unit;
        sum = sum.checked_add(u64::try_from(amount.times(unit, 1)?).ok()?)?;
        rest = rest[end + 1..].trim_start_matches(' ');
    }
    Some(sum)
}

impl Serialize for Walltime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Walltime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl serde::de::Visitor<'_> for Visitor {
            type Value = Walltime;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(Walltime::EXPECTED)
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Walltime, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_u64<E: serde::de::Error>(self, secs: u64) -> Result<Walltime, E> {
                Walltime::try_from_secs(secs).ok_or_else(|| E::custom("walltime too long: write `unlimited`"))
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn secs(text: &str) -> Option<u64> {
        text.parse::<Walltime>().unwrap_or_else(|e| panic!("{e}")).as_secs()
    }

    #[test]
    fn every_form_of_the_design_is_read() {
        for (text, want) in [
            ("0", 0),
            ("90", 90),
            ("1:30", 90),
            ("99:99", 6039),
            ("1:30:00", 5400),
            ("100:00:00", 360_000),
            ("2-12", 216_000),
            ("2-12:30", 217_800),
            ("2-12:00:00", 216_000),
            ("0-0", 0),
            ("1.5h", 5400),
            ("0.1h", 360),
            ("1.001s", 2),
            ("90m", 5400),
            ("90M", 5400),
            ("2d", 172_800),
            ("1w", 604_800),
            ("1h30m", 5400),
            ("1d 2h 3m 4s", 93_784),
            (" 90s ", 90),
        ] {
            assert_eq!(secs(text), Some(want), "{text}");
        }
        assert_eq!(secs("unlimited"), None);
        assert_eq!(secs("UNLIMITED"), None);
    }

    #[test]
    fn anything_else_is_an_error() {
        for text in [
            "",
            " ",
            "-",
            ":",
            "-1",
            "+1",
            "1-",
            "1-2-3",
            "1:",
            ":1",
            "1:2:3:4",
            "1-1:2:3:4",
            "1.5",
            "h",
            "1.h",
            ".5h",
            "1h1h",
            "30m1h",
            "1h30",
            "1x",
            "1 h",
            "1_000",
            "1e3",
            "1,5h",
            "٣",
            "1:3O",
            "forever",
            "4294967296",
            "18446744073709551616",
            "99999999999999999999d",
            "213503982334601-23",
            "5000000000000000:0:0",
            "1\n2",
        ] {
            assert!(text.parse::<Walltime>().is_err(), "{text:?}");
        }
        let long = "9".repeat(1 << 20).parse::<Walltime>().unwrap_err();
        assert!(long.to_string().len() < 400);
    }

    #[test]
    fn prints_in_each_form() {
        let t = Walltime::from_secs;
        assert_eq!(t(3700).to_string(), "01:01:40");
        assert_eq!(t(216_000).to_string(), "2-12:00:00");
        assert_eq!(t(216_000).hms().as_deref(), Some("60:00:00"));
        assert_eq!(t(216_000).days_hms().as_deref(), Some("2-12:00:00"));
        assert_eq!(Walltime::UNLIMITED.to_string(), "unlimited");
        assert_eq!((Walltime::UNLIMITED.hms(), Walltime::UNLIMITED.days_hms()), (None, None));
        assert!(Walltime::MAX < Walltime::UNLIMITED);
    }

    #[test]
    fn serde_writes_text_and_reads_text_or_seconds() {
        let json = serde_json::to_string(&Walltime::from_secs(90)).unwrap();
        assert_eq!(json, r#""00:01:30""#);
        assert_eq!(serde_json::from_str::<Walltime>(&json).unwrap(), Walltime::from_secs(90));
        assert_eq!(serde_json::from_str::<Walltime>("90").unwrap(), Walltime::from_secs(90));
        assert!(serde_json::from_str::<Walltime>("18446744073709551615").is_err());
        assert!(serde_json::from_str::<Walltime>("-1").is_err());
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(secs: u32, unlimited in proptest::bool::weighted(0.1)) {
            let time = if unlimited { Walltime::UNLIMITED } else { Walltime::from_secs(secs) };
            prop_assert_eq!(time.to_string().parse::<Walltime>().unwrap(), time);
            if let Some(hms) = time.hms() {
                prop_assert_eq!(hms.parse::<Walltime>().unwrap(), time);
            }
        }

        #[test]
        fn no_text_panics(text in "\\PC*", near in "[0-9:.hmsdw -]{0,24}") {
            let _ = text.parse::<Walltime>();
            let _ = near.parse::<Walltime>();
        }
    }
}
