//! The words that several commands share: ids, task lists, times, durations, sizes.

use std::time::Duration;

use cluster_core::calendar::Utc;
use cluster_core::indices::IndexSet;
use cluster_core::{MemSize, Timestamp, Walltime};
use nom::IResult;
use nom::Parser;
use nom::bytes::complete::{tag, take_while_m_n, take_while1};
use nom::character::complete::{char, one_of, space1};
use nom::combinator::{all_consuming, map_opt, map_res, opt};
use nom::sequence::preceded;

/// More tasks than this in one list are no list of ours: a slip would fill the memory.
const MAX_TASKS: u64 = 10_000_000;

/// Digits and nothing else.
pub(crate) fn number<N: std::str::FromStr>(text: &str) -> Option<N> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

/// `88` or `88.3`: an id that can go on a command line; names and patterns, which would match more, cannot.
pub(crate) fn is_id(text: &str) -> bool {
    let (job, task) = text.split_once('.').map_or((text, None), |(job, task)| (job, Some(task)));
    number::<u64>(job).is_some() && task.is_none_or(|task| number::<u32>(task).is_some())
}

/// A list of tasks: `3-6:1,8,10-19:3`.
pub(crate) fn tasks(text: &str) -> Option<IndexSet> {
    let mut stepped = 0_u64;
    for part in text.split(',') {
        let (span, step) = part.split_once(':').unwrap_or((part, "1"));
        let (first, last) = span.split_once('-').unwrap_or((span, span));
        let (first, last, step) = (number::<u32>(first)?, number::<u32>(last)?, number::<u32>(step)?);
        if step > 1 {
            stepped = stepped.saturating_add(u64::from(last.checked_sub(first)? / step));
        }
    }
    if stepped > MAX_TASKS { None } else { text.parse().ok() }
}

fn digits(min: usize, max: usize) -> impl Fn(&str) -> IResult<&str, i64> {
    move |input| map_res(take_while_m_n(min, max, |c: char| c.is_ascii_digit()), str::parse).parse(input)
}

fn clock(input: &str) -> IResult<&str, (i64, i64, i64)> {
    let clock = (digits(2, 2), char(':'), digits(2, 2), char(':'), digits(2, 2));
    clock.map(|(hour, _, minute, _, second)| (hour, minute, second)).parse(input)
}

fn fraction(input: &str) -> IResult<&str, Option<&str>> {
    opt(preceded(char('.'), take_while1(|c: char| c.is_ascii_digit()))).parse(input)
}

/// `2026-11-20T17:31:24`, in UTC as `TZ` says it; newer branches print `2026-11-20 17:31:24.123456`.
fn iso(input: &str) -> IResult<&str, Utc> {
    let date =
        (digits(4, 4), char('-'), digits(2, 2), char('-'), digits(2, 2), one_of("T "), clock, fraction);
    map_opt(date, |(year, _, month, _, day, _, clock, _)| Utc::new((year, month, day), clock)).parse(input)
}

/// `11/20/2026 17:31:24`: Univa's branch.
fn american(input: &str) -> IResult<&str, Utc> {
    let date = (digits(2, 2), char('/'), digits(2, 2), char('/'), digits(4, 4), space1, clock, fraction);
    map_opt(date, |(month, _, day, _, year, _, clock, _)| Utc::new((year, month, day), clock)).parse(input)
}

/// `Fri Nov 20 17:31:24 2026`.
fn ctime(input: &str) -> IResult<&str, Utc> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let word = || take_while_m_n(3, 3, |c: char| c.is_ascii_alphabetic());
    let date = (word(), space1, word(), space1, digits(1, 2), space1, clock, tag(" "), digits(4, 4));
    map_opt(date, |(_, _, month, _, day, _, clock, _, year)| {
        let month = MONTHS.iter().position(|name| *name == month)? + 1;
        Utc::new((year, month as i64, day), clock)
    })
    .parse(input)
}

/// A time in any of the forms; what has none (`-/-`), and 1970, which stands for it, is none.
pub(crate) fn time(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    let read =
        || all_consuming(nom::branch::alt((iso, ctime, american))).parse(text).ok().map(|(_, time)| time);
    // The form of nearly all.
    let time = Utc::parse(text.as_bytes()).or_else(read)?.timestamp();
    (time.0 > 0).then_some(time)
}

/// A time as seconds since 1970; milliseconds in Univa's branch. 0 is none.
pub(crate) fn epoch_time(text: &str) -> Option<Timestamp> {
    let secs: i64 = number(text.trim())?;
    let secs = if secs >= 100_000_000_000 { secs / 1000 } else { secs };
    (secs > 0).then_some(Timestamp::from_secs(secs))
}

/// An amount of time used: `6s`, `0.005s`, `557`.
pub(crate) fn used(text: &str) -> Option<Duration> {
    let secs: f64 = decimal(text.trim().trim_end_matches('s'))?;
    Duration::try_from_secs_f64(secs).ok()
}

/// A time limit: `172800`, `48:0:0`, `0:5:0`; `INFINITY` is none.
pub(crate) fn limit(text: &str) -> Option<Walltime> {
    let secs =
        text.split(':').try_fold(0_u64, |sum, field| sum.checked_mul(60)?.checked_add(number(field)?))?;
    Walltime::try_from_secs(secs)
}

/// Bytes: `900G`, `4.832MB`, `0.000B`, `23.5G`, `1048576`. Capital letters are powers of 1024, small ones of 1000.
pub(crate) fn bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let text = text.strip_suffix('B').unwrap_or(text);
    let (amount, unit) = match text.as_bytes().last()? {
        b'K' => (&text[..text.len() - 1], 1024.0),
        b'M' => (&text[..text.len() - 1], 1_048_576.0),
        b'G' => (&text[..text.len() - 1], 1_073_741_824.0),
        b'T' => (&text[..text.len() - 1], 1_099_511_627_776.0),
        b'P' => (&text[..text.len() - 1], 1_125_899_906_842_624.0),
        b'k' => (&text[..text.len() - 1], 1e3),
        b'm' => (&text[..text.len() - 1], 1e6),
        b'g' => (&text[..text.len() - 1], 1e9),
        b't' => (&text[..text.len() - 1], 1e12),
        _ => (text, 1.0),
    };
    let bytes = decimal(amount)? * unit;
    // A conversion of a float to an integer saturates.
    Some(bytes.round() as u64)
}

/// An amount of memory, rounded up to whole MB.
pub(crate) fn mem(text: &str) -> Option<MemSize> {
    bytes(text).map(MemSize::from_bytes)
}

/// Digits with at most one point: no sign, no exponent, no `inf`.
fn decimal(text: &str) -> Option<f64> {
    let plain = text.starts_with(|c: char| c.is_ascii_digit())
        && text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    plain.then(|| text.parse().ok()).flatten()
}

/// The name of a queue and its host: `all.q@node1`.
pub(crate) fn queue_instance(text: &str) -> (&str, &str) {
    text.split_once('@').unwrap_or((text, ""))
}

/// `[CC]YYMMDDhhmm.SS` in UTC, as `qacct -b` takes it; times before 1970 are 1970.
pub(crate) fn begin(secs: i64) -> String {
    let at = Utc::of(Timestamp::from_secs(secs));
    let ((year, month, day), (hour, minute, second)) = (at.date(), at.clock());
    format!("{year:04}{month:02}{day:02}{hour:02}{minute:02}.{second:02}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> Option<i64> {
        time(text).map(|time| time.0 / 1_000_000)
    }

    #[test]
    fn every_form_of_a_time() {
        assert_eq!(at("2026-11-20T17:36:02"), Some(1_795_196_162));
        assert_eq!(at("2026-11-20T17:36:02.123"), Some(1_795_196_162));
        assert_eq!(at("Fri Nov 20 17:36:02 2026"), Some(1_795_196_162));
        assert_eq!(at("11/20/2026 17:36:02.5"), Some(1_795_196_162));
        assert_eq!(at("Thu Feb 29 00:00:00 2024"), Some(1_709_164_800));
        assert_eq!(at("Thu Jan  1 00:00:00 1970"), None);
        for none in
            ["", "-/-", "undefined", "2026-13-01T00:00:00", "2026-02-29T00:00:00", "2026-11-20T24:00:00"]
        {
            assert_eq!(at(none), None, "{none}");
        }
        assert_eq!(at("2026-11-20 17:36:02.123456"), at("2026-11-20T17:36:02"));
        assert_eq!(at("2026-11-20 17:36:02"), Some(1_795_196_162));
        assert_eq!(epoch_time("1795196162"), Some(Timestamp::from_secs(1_795_196_162)));
        assert_eq!(epoch_time("1795196162000"), Some(Timestamp::from_secs(1_795_196_162)));
        assert_eq!(epoch_time("0"), None);
    }

    #[test]
    fn limits_and_sizes() {
        assert_eq!(limit("172800"), Some(Walltime::from_secs(172_800)));
        assert_eq!(limit("48:0:0"), Some(Walltime::from_secs(172_800)));
        assert_eq!(limit("INFINITY"), None);
        assert_eq!(limit(""), None);
        assert_eq!(bytes("900G"), Some(900 << 30));
        assert_eq!(bytes("0.000B"), Some(0));
        assert_eq!(bytes("1m"), Some(1_000_000));
        assert_eq!(mem("4.832MB"), Some(MemSize::from_mb(5)));
        for none in ["", "N/A", "-", "G", "1e9", "inf", "-1G"] {
            assert_eq!(bytes(none), None, "{none}");
        }
        assert_eq!(used("6s"), Some(Duration::from_secs(6)));
        assert_eq!(used("0.005s"), Some(Duration::from_millis(5)));
    }

    #[test]
    fn task_lists_are_bounded() {
        assert_eq!(tasks("3-6:1,8,10-19:3").unwrap().to_string(), "3-6,8,10,13,16,19");
        assert_eq!(tasks("1-4000000000:1").unwrap().len(), 4_000_000_000);
        for wrong in ["", "a", "5-1:1", "1-", "1-4000000000:2", "1-9:0", "1,,2"] {
            assert!(tasks(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn ids() {
        assert!(is_id("88") && is_id("88.3"));
        for wrong in ["", "88.", ".3", "*", "88.1-3", "name", "88.3.4", "-1"] {
            assert!(!is_id(wrong), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn dates_read_back(secs in 1_i64..4_102_444_800) {
            let text = begin(secs);
            let iso = format!("{}-{}-{}T{}:{}:{}", &text[..4], &text[4..6], &text[6..8], &text[8..10], &text[10..12], &text[13..]);
            prop_assert_eq!(at(&iso), Some(secs));
        }

        #[test]
        fn task_lists_read_back(list in proptest::collection::vec((1_u32..2000, 0_u32..50, 1_u32..4), 1..9)) {
            let text = list.iter().map(|(first, more, step)| format!("{first}-{}:{step}", first + more)).collect::<Vec<_>>().join(",");
            let want: IndexSet = list.iter().flat_map(|&(first, more, step)| (first..=first + more).step_by(step as usize)).collect();
            prop_assert_eq!(tasks(&text), Some(want));
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,40}", near in "[0-9:,./TGMKsB -]{0,24}") {
            for text in [&text, &near] {
                let _ = (tasks(text), time(text), limit(text), used(text), bytes(text), epoch_time(text), is_id(text));
            }
        }
    }
}
