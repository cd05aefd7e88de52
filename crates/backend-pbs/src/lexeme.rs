//! The small words that all commands share: ids, times, sizes, amounts. No function panics on any input.

use std::borrow::Cow;
use std::time::Duration;

use cluster_core::{IndexSet, MemSize, Timestamp, Walltime};
use nom::bytes::complete::{tag, take_while1};
use nom::character::complete::{char, digit1, multispace1, space1};
use nom::combinator::{all_consuming, map_opt, opt, rest};
use nom::sequence::{delimited, preceded, terminated};
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
        let index = opt(delimited(char('['), nom::bytes::complete::take_while(is_index), char(']')));
        let (_, (number, index, server)) = all_consuming((digit, index, rest)).parse(text).ok()?;
        let name = |b: u8| b.is_ascii_alphanumeric() || b"-_.:".contains(&b);
        let good =
            server.is_empty() || (server.len() > 1 && server.starts_with('.') && server.bytes().all(name));
        good.then_some(Self { number, index, server })
    }

    /// The id of the array of which this is an element, or of the job itself.
    pub(crate) fn array(&self) -> String {
        match self.index {
            Some(_) => format!("{}[]{}", self.number, self.server),
            None => format!("{}{}", self.number, self.server),
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
    let (scale, word) = match unit.to_ascii_lowercase().as_bytes() {
        [] | [b'b'] => (0, 1),
        [b'w'] => (0, 8),
        [scale, unit @ (b'b' | b'w')] => (
            match scale {
                b'k' => 10,
                b'm' => 20,
                b'g' => 30,
                b't' => 40,
                b'p' => 50,
                _ => return None,
            },
            if *unit == b'w' { 8 } else { 1 },
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
    all_consuming(ctime).parse(text).ok().map(|(_, secs)| Timestamp::from_secs(secs))
}

fn ctime(text: &str) -> IResult<&str, i64> {
    let number = |text| map_opt(digit1, |d: &str| d.parse::<i64>().ok()).parse(text);
    let two = |text| map_opt(digit1, |d: &str| d.parse::<i64>().ok().filter(|n| *n < 62)).parse(text);
    let month = map_opt(take_while1(|c: char| c.is_ascii_alphabetic()), |m: &str| {
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
            .iter()
            .position(|name| *name == m)
            .map(|at| at as i64 + 1)
    });
    let weekday = take_while1(|c: char| c.is_ascii_alphabetic());
    let clock = (terminated(two, tag(":")), terminated(two, tag(":")), two);
    let (text, (_, month, day, (hour, minute, second), year)) = (
        terminated(weekday, multispace1),
        terminated(month, multispace1),
        terminated(two, multispace1),
        clock,
        preceded(space1, map_opt(number, |y| (1900..=9999).contains(&y).then_some(y))),
    )
        .parse(text)?;
    Ok((text, days_since_1970(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second))
}

/// Days from 1970-01-01 to a day of the Gregorian calendar, counted from years that begin in March.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Text from bytes of any kind; borrowed where they are UTF-8.
pub(crate) fn text(bytes: Cow<'_, [u8]>) -> Cow<'_, str> {
    match bytes {
        Cow::Borrowed(bytes) => String::from_utf8_lossy(bytes),
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
