//! The small words that all commands share: ids, times, sizes, amounts. No function panics on any input.

use std::borrow::Cow;
use std::time::Duration;

use cluster_core::calendar::Utc;
use cluster_core::{IndexSet, MemSize, Timestamp, Walltime};
use nom::bytes::complete::take_while;
use nom::character::complete::{char, digit1};
use nom::combinator::{all_consuming, opt, rest};
use nom::sequence::delimited;
use nom::{IResult, Parser};

/// An id, taken apart: `12`, `12.srv`, `12[].srv`, `12[3].srv`, `12[1-3].srv`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Id<'a> {
    /// The digits before the brackets.
    pub(crate) number: &'a str,
    /// What stands in the brackets; `None` where there are none.
    pub(crate) index: Option<&'a str>,
    /// The server with its dot, or nothing.
    pub(crate) server: &'a str,
}

impl<'a> Id<'a> {
    /// Takes an id apart.
    pub(crate) fn read(text: &'a str) -> Option<Self> {
        let index = opt(delimited(char('['), take_while(is_index), char(']')));
        let (_, (number, index, server)) = all_consuming((digit, index, rest)).parse(text).ok()?;
        let name = |b: u8| b.is_ascii_alphanumeric() || b"-_.:".contains(&b);
        let good =
            server.is_empty() || (server.len() > 1 && server.starts_with('.') && server.bytes().all(name));
        good.then_some(Self { number, index, server })
    }

    /// The id of the array of which this is an element, or of the job itself.
    pub(crate) fn array(&self) -> String {
        match self.index {
            Some(_) => [self.number, "[]", self.server].concat(),
            None => [self.number, self.server].concat(),
        }
    }

    /// The id with something else in its brackets.
    pub(crate) fn with_index(&self, index: &str) -> String {
        format!("{}[{index}]{}", self.number, self.server)
    }
}

fn digit(text: &str) -> IResult<&str, &str> {
    digit1(text)
}

fn is_index(c: char) -> bool {
    c.is_ascii_digit() || "-,:".contains(c)
}

/// A count, with or without a sign, and nothing else.
pub(crate) fn integer(text: &str) -> Option<i64> {
    text.trim().parse().ok()
}

/// A count that is not negative.
pub(crate) fn count(text: &str) -> Option<u32> {
    text.trim().parse().ok()
}

/// The elements in the brackets of an id. Bounded: a range stays a range, and steps are refused where they
/// would unfold into millions.
pub(crate) fn indices(text: &str) -> Option<IndexSet> {
    if text.len() > 4096 {
        return None;
    }
    let steps = text.matches(':').count();
    let set: IndexSet = if steps > 16 { return None } else { text.parse().ok()? };
    Some(set)
}

/// `HH:MM:SS` with any number of hours, `MM:SS`, or seconds: the forms in which amounts of time are printed.
pub(crate) fn seconds(text: &str) -> Option<u64> {
    let mut sum = 0_u64;
    let mut fields = 0;
    for field in text.trim().split(':') {
        fields += 1;
        if fields > 3 || field.is_empty() || !field.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        sum = sum.checked_mul(60)?.checked_add(field.parse().ok()?)?;
    }
    Some(sum)
}

/// A time limit; one that is too long to be one is none.
pub(crate) fn walltime(text: &str) -> Option<Walltime> {
    Walltime::try_from_secs(seconds(text)?)
}

/// An amount of CPU time.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    seconds(text).map(Duration::from_secs)
}

/// A size: `500mb`, `1gb`, `512000kb`, `1024b`, and in words of eight bytes `100mw`; a bare number is bytes.
pub(crate) fn size(text: &str) -> Option<MemSize> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let (scale, word) = match unit.as_bytes() {
        [] | [b'b' | b'B'] => (0, 1),
        [b'w' | b'W'] => (0, 8),
        [scale, unit @ (b'b' | b'B' | b'w' | b'W')] => (
            match scale.to_ascii_lowercase() {
                b'k' => 10,
                b'm' => 20,
                b'g' => 30,
                b't' => 40,
                b'p' => 50,
                _ => return None,
            },
            if unit.eq_ignore_ascii_case(&b'w') { 8 } else { 1 },
        ),
        _ => return None,
    };
    let bytes = number.parse::<u64>().ok()?.checked_mul(word)?.checked_mul(1 << scale)?;
    Some(MemSize::from_bytes(bytes))
}

/// A date: ctime in UTC (our commands set `TZ=UTC`), `Fri Nov 20 17:12:01 2026`, or seconds since 1970.
pub(crate) fn timestamp(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return text.parse().ok().map(Timestamp::from_secs);
    }
    ctime(text.as_bytes())
}

/// Weekday, month, day, clock and year at fixed places, as C's `ctime` prints them.
fn ctime(text: &[u8]) -> Option<Timestamp> {
    const MONTHS: [&[u8; 3]; 12] =
        [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];
    let text: &[u8; 24] = text.try_into().ok()?;
    let separators = [(3, b' '), (7, b' '), (10, b' '), (13, b':'), (16, b':'), (19, b' ')];
    if separators.iter().any(|&(at, byte)| text.get(at) != Some(&byte)) {
        return None;
    }
    let number = |from: usize, to: usize| {
        let digits = text.get(from..to)?.trim_ascii_start();
        let digit = |sum: i64, b: &u8| b.is_ascii_digit().then(|| sum * 10 + i64::from(b - b'0'));
        if digits.is_empty() { None } else { digits.iter().try_fold(0, digit) }
    };
    let month = MONTHS.iter().position(|month| text.get(4..7) == Some(month.as_slice()))?;
    let date = (number(20, 24)?, month as i64 + 1, number(8, 10)?);
    Utc::new(date, (number(11, 13)?, number(14, 16)?, number(17, 19)?)).map(Utc::timestamp)
}

/// Text from bytes of any kind; borrowed where they are UTF-8.
#[inline]
pub(crate) fn text(bytes: Cow<'_, [u8]>) -> Cow<'_, str> {
    match bytes {
        Cow::Borrowed(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => String::from_utf8_lossy(bytes),
        },
        Cow::Owned(bytes) => Cow::Owned(match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        }),
    }
}

/// The part of `text` at `range`, borrowed where the whole is.
pub(crate) fn part<'o>(text: &Cow<'o, str>, range: std::ops::Range<usize>) -> Cow<'o, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.get(range).unwrap_or_default()),
        Cow::Owned(text) => Cow::Owned(text.get(range).unwrap_or_default().to_owned()),
    }
}

/// As much of a record as is UTF-8.
pub(crate) fn valid_prefix(bytes: &[u8]) -> &str {
    match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            std::str::from_utf8(bytes.get(..error.valid_up_to()).unwrap_or_default()).unwrap_or_default()
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ids_come_apart() {
        let parts =
            |text| Id::read(text).map(|id| (id.number.to_owned(), id.index.map(str::to_owned), id.array()));
        let some = |number: &str, index: Option<&str>, array: &str| {
            Some((number.to_owned(), index.map(str::to_owned), array.to_owned()))
        };
        assert_eq!(parts("12"), some("12", None, "12"));
        assert_eq!(parts("0.srv"), some("0", None, "0.srv"));
        assert_eq!(parts("12[].srv.org"), some("12", Some(""), "12[].srv.org"));
        assert_eq!(parts("12[3].srv"), some("12", Some("3"), "12[].srv"));
        assert_eq!(parts("12[1-3:2,9]"), some("12", Some("1-3:2,9"), "12[]"));
        for wrong in ["", "x", ".srv", "12[", "12[]x", "12[a].srv", "12.", "12.srv x", "12.s/v", "1 2"] {
            assert_eq!(parts(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn sizes_have_units_of_1024_and_words_of_eight_bytes() {
        let mb = |text| size(text).map(MemSize::as_mb);
        for (text, want) in [
            ("500mb", 500),
            ("1gb", 1024),
            ("512000kb", 500),
            ("1024b", 1),
            ("524288000b", 500),
            ("1048577", 2),
            ("100mw", 800),
            ("1tb", 1 << 20),
            ("0kb", 0),
        ] {
            assert_eq!(mb(text), Some(want), "{text}");
        }
        for wrong in
            ["", "mb", "1.5gb", "-1kb", "1xb", "1kbb", "99999999999999999999b", "99999999999999999pb"]
        {
            assert_eq!(mb(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn dates_are_utc() {
        let secs = |text| timestamp(text).map(|time| time.0 / 1_000_000);
        assert_eq!(secs("Thu Jan  1 00:00:00 1970"), Some(0));
        assert_eq!(secs("Fri Nov 20 17:12:01 2026"), Some(1_795_194_721));
        assert_eq!(secs("Tue Feb 29 12:00:00 2000"), Some(951_825_600));
        assert_eq!(secs("1795194738"), Some(1_795_194_738));
        for wrong in ["", "Fri Nov 20 17:12 2026", "Fri Nox 20 17:12:01 2026", "2026-11-20 17:12:01", "-5"] {
            assert_eq!(secs(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn durations_that_are_printed_are_read(secs in 0u64..1 << 40) {
            let text = format!("{:02}:{:02}:{:02}", secs / 3600, secs % 3600 / 60, secs % 60);
            prop_assert_eq!(seconds(&text), Some(secs));
        }

        #[test]
        fn sizes_that_are_printed_are_read(amount in 0u64..1 << 30, unit in 0usize..5) {
            let (name, scale) = [("b", 0), ("kb", 10), ("mb", 20), ("gb", 30), ("mw", 23)][unit];
            prop_assert_eq!(size(&format!("{amount}{name}")), Some(MemSize::from_bytes(amount << scale)));
        }

        #[test]
        fn no_text_panics(text in "\\PC*", near in "[0-9:.\\[\\]a-z ,-]{0,24}") {
            for text in [&text, &near] {
                let _ = (Id::read(text), indices(text), seconds(text), size(text), timestamp(text));
            }
        }
    }
}
