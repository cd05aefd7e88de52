//! Dates and times of day in UTC, by the Gregorian calendar: what schedulers print, and what people read.

use std::fmt;

use crate::time::Timestamp;

/// A second of UTC.
///
/// ```
/// use cluster_core::{Timestamp, calendar::Utc};
/// let at = Utc::parse(b"2026-11-20T17:29:34").unwrap();
/// assert_eq!(at.timestamp(), Timestamp::from_secs(1_795_195_774));
/// assert_eq!(Utc::of(Timestamp(1_795_195_774_999_999)).to_string(), "2026-11-20T17:29:34");
/// assert_eq!(Utc::new((2026, 2, 29), (0, 0, 0)), None);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Utc {
    /// Since 1970.
    days: i64,
    /// Of the day: 86,400 is a leap second.
    second: i64,
}

impl Utc {
    /// Year, month (from 1) and day; hour, minute and second, of which the last may be 60. `None` for what is no date,
    /// no time of day, or lies outside the years 1970 to 9999.
    pub fn new(date: (i64, i64, i64), clock: (i64, i64, i64)) -> Option<Self> {
        const BEFORE: [i64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
        const LENGTH: [i64; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        let ((year, month, day), (hour, minute, second)) = (date, clock);
        let month = usize::try_from(month).ok()?.checked_sub(1)?;
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let length = LENGTH.get(month)? + i64::from(leap && month == 1);
        let is_date = (1970..=9999).contains(&year) && (1..=length).contains(&day);
        let is_clock = (0..24).contains(&hour) && (0..60).contains(&minute) && (0..61).contains(&second);
        if !is_date || !is_clock {
            return None;
        }
        let past = year - 1;
        let leap_days = past / 4 - past / 100 + past / 400 - (1969 / 4 - 1969 / 100 + 1969 / 400);
        let of_year = BEFORE.get(month)? + i64::from(leap && month > 1) + day - 1;
        Some(Self {
            days: (year - 1970) * 365 + leap_days + of_year,
            second: hour * 3_600 + minute * 60 + second,
        })
    }

    /// The second of a time; those before 1970 and after 9999 are the first and the last.
    pub fn of(time: Timestamp) -> Self {
        let secs = time.0.div_euclid(1_000_000).clamp(0, 253_402_300_799);
        Self { days: secs / 86_400, second: secs % 86_400 }
    }

    /// `2026-11-20T17:29:34`, in just this form.
    #[inline]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let text: &[u8; 19] = text.try_into().ok()?;
        let [_, _, _, _, b'-', _, _, b'-', _, _, b'T', _, _, b':', _, _, b':', _, _] = text else {
            return None;
        };
        let two = |tens: u8, ones: u8| {
            let digits = tens.is_ascii_digit() && ones.is_ascii_digit();
            digits.then(|| i64::from(tens - b'0') * 10 + i64::from(ones - b'0'))
        };
        let year = two(text[0], text[1])? * 100 + two(text[2], text[3])?;
        let date = (year, two(text[5], text[6])?, two(text[8], text[9])?);
        Self::new(date, (two(text[11], text[12])?, two(text[14], text[15])?, two(text[17], text[18])?))
    }

    /// When it began.
    pub fn timestamp(self) -> Timestamp {
        Timestamp::from_secs(self.days * 86_400 + self.second)
    }

    /// Year, month (from 1) and day.
    pub fn date(self) -> (i64, i64, i64) {
        // In eras of 400 years that begin in March, so that the leap day is the last of its year.
        let shifted = self.days + 719_468;
        let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
        let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month = (5 * of_year + 2) / 153;
        let day = of_year - (153 * month + 2) / 5 + 1;
        let month = if month < 10 { month + 3 } else { month - 9 };
        (year_of_era + era * 400 + i64::from(month <= 2), month, day)
    }

    /// Hour, minute and second.
    pub fn clock(self) -> (i64, i64, i64) {
        let second = self.second.min(86_399);
        (second / 3_600, second / 60 % 60, second % 60 + (self.second - second))
    }
}

impl fmt::Display for Utc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ((year, month, day), (hour, minute, second)) = (self.date(), self.clock());
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_no_date_or_time_is_none() {
        for text in [
            "2026-13-01T00:00:00",
            "2026-00-01T00:00:00",
            "2026-02-29T00:00:00",
            "2100-02-29T00:00:00",
            "2026-04-31T00:00:00",
            "2026-04-00T00:00:00",
            "2026-11-20T24:00:00",
            "2026-11-20T23:60:00",
            "2026-11-20T23:59:61",
            "1969-12-31T23:59:59",
            "2026-11-20 17:29:34",
            "2026-11-20T17:29:3x",
            "2026-11-20T17:29:34Z",
            "",
        ] {
            assert_eq!(Utc::parse(text.as_bytes()), None, "{text}");
        }
        assert_eq!(Utc::parse(b"1970-01-01T00:00:00").unwrap().timestamp(), Timestamp(0));
        assert_eq!(
            Utc::parse(b"2024-02-29T00:00:00").unwrap().timestamp(),
            Timestamp::from_secs(1_709_164_800)
        );
        let leap = Utc::parse(b"2016-12-31T23:59:60").unwrap();
        assert_eq!(leap.timestamp(), Utc::parse(b"2017-01-01T00:00:00").unwrap().timestamp());
        assert_eq!(leap.to_string(), "2016-12-31T23:59:60");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(secs in 0_i64..253_402_300_800) {
            let time = Timestamp::from_secs(secs);
            let written = Utc::of(time).to_string();
            prop_assert_eq!(Utc::parse(written.as_bytes()).unwrap().timestamp(), time, "{}", written);
        }

        #[test]
        fn a_day_later_is_the_next_date(days in 0_i64..2_900_000) {
            let (this, next) = (Utc { days, second: 0 }, Utc { days: days + 1, second: 0 });
            let ((year, month, day), then) = (this.date(), next.date());
            prop_assert!([(year, month, day + 1), (year, month + 1, 1), (year + 1, 1, 1)].contains(&then));
            prop_assert!(Utc::new(then, (0, 0, 0)) == Some(next));
        }
    }
}
