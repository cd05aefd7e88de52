//! The small words of Slurm's output: times, durations, amounts of memory, counts, exit codes.
//!
//! They stand in every row, so they are read byte by byte without allocating. All of them are total: what
//! cannot be read is `None`, and what Slurm writes for "not set" is `Some(None)` where the two differ.

use std::time::Duration;

use cluster_core::calendar::Utc;
use cluster_core::{MemSize, Timestamp, Walltime};

/// The words for a value that is not there.
pub(crate) fn is_unset(text: &[u8]) -> bool {
    // Most values are none of them by their first letter.
    if !matches!(text.first(), None | Some(b'N' | b'n' | b'(' | b'U' | b'I')) {
        return false;
    }
    matches!(
        text,
        b"" | b"N/A"
            | b"n/a"
            | b"(null)"
            | b"None"
            | b"NONE"
            | b"Unknown"
            | b"INVALID"
            | b"NOT_SET"
            | b"None assigned"
    )
}

/// Digits alone, without overflow.
pub(crate) fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0u64, |n, b| {
        let digit = b.checked_sub(b'0').filter(|d| *d < 10)?;
        n.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// A count as squeue's `%D` and `%C` and scontrol's `NumNodes` have it: `4`, `1-2` (the least is taken),
/// and large ones as `12K` or `1.5K`.
pub(crate) fn count(text: &[u8]) -> Option<u32> {
    let least = text.split(|&b| b == b'-').next().unwrap_or(text);
    let (digits, factor) = match least.split_last() {
        Some((b'K' | b'k', digits)) => (digits, 1_000),
        Some((b'M' | b'm', digits)) => (digits, 1_000_000),
        _ => return number(least).and_then(|n| n.try_into().ok()),
    };
    thousandths(digits)?.checked_mul(factor)?.checked_div(1_000)?.try_into().ok()
}

/// A decimal number in thousandths; further digits are dropped.
fn thousandths(text: &[u8]) -> Option<u64> {
    let mut halves = text.splitn(2, |&b| b == b'.');
    let whole = number(halves.next()?)?.checked_mul(1_000)?;
    let Some(fraction) = halves.next() else { return Some(whole) };
    number(fraction)?;
    let part: u64 = fraction.iter().zip([100, 10, 1]).map(|(b, unit)| u64::from(b - b'0') * unit).sum();
    whole.checked_add(part)
}

/// A point in time in UTC: `2026-11-20T17:29:11`, or the seconds since 1970 of `SLURM_TIME_FORMAT=%s`.
/// A word for "not set" is `Some(None)`.
pub(crate) fn time(text: &[u8]) -> Option<Option<Timestamp>> {
    if is_unset(text) || text == b"0" {
        return Some(None);
    }
    if let Some(time) = Utc::parse(text) {
        return Some(Some(time.timestamp()));
    }
    if (9..=11).contains(&text.len()) {
        return number(text).and_then(|n| i64::try_from(n).ok()).map(|secs| Some(Timestamp::from_secs(secs)));
    }
    None
}

/// `[[D-]HH:]MM:SS[.mmm]` and `D-HH[:MM[:SS]]` in milliseconds. `MM:SS` has minutes first, as in all that
/// Slurm prints.
fn clock(text: &[u8]) -> Option<u64> {
    let mut fraction = 0;
    let mut rest = text;
    if let Some(dot) = text.iter().position(|&b| b == b'.') {
        fraction = thousandths(&[b"0", &text[dot..]].concat())?;
        rest = &text[..dot];
    }
    let mut total = 0u64;
    let days = rest.iter().position(|&b| b == b'-');
    if let Some(dash) = days {
        total = number(&rest[..dash])?;
        rest = &rest[dash + 1..];
    }
    let mut fields = 0;
    for field in rest.split(|&b| b == b':') {
        let unit = if fields == 0 && days.is_some() { 24 } else { 60 };
        total = total.checked_mul(unit)?.checked_add(number(field)?)?;
        fields += 1;
    }
    if fields > 3 || (days.is_none() && fields < 2) {
        return None;
    }
    if days.is_some() {
        for _ in fields..3 {
            total = total.checked_mul(60)?;
        }
    }
    total.checked_mul(1_000)?.checked_add(fraction)
}

/// A time limit: `30:00` (minutes first), `2:00:00`, `1-00:00:00`, `UNLIMITED`, `infinite`. A word for "not
/// set" is `Some(None)`.
pub(crate) fn limit(text: &[u8]) -> Option<Option<Walltime>> {
    match text {
        b"UNLIMITED" | b"infinite" | b"INFINITE" => Some(Some(Walltime::UNLIMITED)),
        b"Partition_Limit" => Some(None),
        _ if is_unset(text) => Some(None),
        _ => Walltime::try_from_secs(clock(text)? / 1_000).map(Some),
    }
}

/// A time that was used: `00:01.234`, `1-02:03:04`.
pub(crate) fn duration(text: &[u8]) -> Option<Option<Duration>> {
    if is_unset(text) {
        return Some(None);
    }
    clock(text).map(|ms| Some(Duration::from_millis(ms)))
}

/// What an amount of memory is counted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Per {
    /// What is said, in all.
    Job,
    /// For each core (`200Mc` of older versions).
    Core,
    /// For each node (`200Mn`).
    Node,
}

/// An amount of memory: `200M`, `316644K`, `1.50G`, `200Mc`; without a unit `plain` bytes each.
pub(crate) fn memory(text: &[u8], plain: u64) -> Option<(MemSize, Per)> {
    let (text, per) = match text.split_last() {
        Some((b'c', rest)) => (rest, Per::Core),
        Some((b'n', rest)) => (rest, Per::Node),
        _ => (text, Per::Job),
    };
    let (digits, unit) = match text.split_last() {
        Some((b'K' | b'k', digits)) => (digits, 1 << 10),
        Some((b'M' | b'm', digits)) => (digits, 1 << 20),
        Some((b'G' | b'g', digits)) => (digits, 1 << 30),
        Some((b'T' | b't', digits)) => (digits, 1 << 40),
        Some((b'P' | b'p', digits)) => (digits, 1 << 50),
        _ => (text, plain),
    };
    let thousandths = u128::from(thousandths(digits)?) * u128::from(unit);
    Some((MemSize::from_bytes(thousandths.div_ceil(1_000).try_into().ok()?), per))
}

/// The memory in a list of trackable resources: `billing=1,cpu=1,mem=200M,node=1`.
pub(crate) fn tres_memory(text: &[u8]) -> Option<MemSize> {
    let amount = text.split(|&b| b == b',').find_map(|item| item.strip_prefix(b"mem="))?;
    memory(amount, 1 << 20).map(|(size, _)| size)
}

/// `code:signal`.
pub(crate) fn exit_code(text: &[u8]) -> Option<(u32, u32)> {
    let colon = text.iter().position(|&b| b == b':')?;
    let part = |text: &[u8]| number(text).and_then(|n| u32::try_from(n).ok());
    Some((part(&text[..colon])?, part(&text[colon + 1..])?))
}

/// A wait status as a number, as code and signal; `code:signal` is taken too.
pub(crate) fn wait_status(text: &[u8]) -> Option<(u32, u32)> {
    match number(text) {
        Some(status) => u32::try_from(status).ok().filter(|n| *n < 0x1_0000).map(|n| (n >> 8, n & 0x7f)),
        None => exit_code(text),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_are_utc() {
        let at = |text: &str| time(text.as_bytes()).unwrap().unwrap().0 / 1_000_000;
        assert_eq!(at("1970-01-01T00:00:00"), 0);
        assert_eq!(at("2026-11-20T17:29:34"), 1_795_195_774);
        assert_eq!(at("1795195774"), 1_795_195_774);
        assert_eq!(at("2000-02-29T12:00:00"), 951_825_600);
        assert_eq!(at("2100-03-01T00:00:00"), 4_107_542_400);
        for unset in ["N/A", "Unknown", "None", "(null)", "", "0"] {
            assert_eq!(time(unset.as_bytes()), Some(None), "{unset}");
        }
        for wrong in
            ["17:29:34", "Tomorr 17:29", "2026-02-29T00:00:00", "2026-13-01T00:00:00", "2026-11-20T24:00:00"]
        {
            assert_eq!(time(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn limits_have_minutes_before_seconds() {
        let secs = |text: &str| limit(text.as_bytes()).map(|limit| limit.map(Walltime::as_secs));
        for (text, want) in [
            ("30:00", 1_800),
            ("0:05", 5),
            ("1:00", 60),
            ("2:00:00", 7_200),
            ("00:10:00", 600),
            ("1-00:00:00", 86_400),
            ("2-12", 216_000),
            ("7-00:00:00", 604_800),
        ] {
            assert_eq!(secs(text), Some(Some(Some(want))), "{text}");
        }
        assert_eq!(secs("UNLIMITED"), Some(Some(None)));
        assert_eq!(secs("infinite"), Some(Some(None)));
        assert_eq!(secs("NOT_SET"), Some(None));
        for wrong in ["90", ":", "1:2:3:4", "-1:00", "99999999999999999999:00", "1-", "a:b"] {
            assert_eq!(secs(wrong), None, "{wrong}");
        }
        assert_eq!(duration(b"00:01.234"), Some(Some(Duration::from_millis(1_234))));
        assert_eq!(duration(b"1-02:03:04"), Some(Some(Duration::from_secs(93_784))));
    }

    #[test]
    fn amounts_of_memory_keep_their_unit() {
        let mb = |text: &str| memory(text.as_bytes(), 1 << 20).map(|(size, per)| (size.as_mb(), per));
        assert_eq!(mb("200M"), Some((200, Per::Job)));
        assert_eq!(mb("316644K"), Some((310, Per::Job)));
        assert_eq!(mb("1.5G"), Some((1_536, Per::Job)));
        assert_eq!(mb("200Mc"), Some((200, Per::Core)));
        assert_eq!(mb("4Gn"), Some((4_096, Per::Node)));
        assert_eq!(mb("4000"), Some((4_000, Per::Job)));
        assert_eq!(mb(""), None);
        assert_eq!(mb("99999999999P"), None);
        assert_eq!(tres_memory(b"cpu=16,mem=3200M,node=4,billing=16").map(MemSize::as_mb), Some(3_200));
        assert_eq!(tres_memory(b"cpu=16"), None);
        assert_eq!(count(b"1-2"), Some(1));
        assert_eq!(count(b"1.5K"), Some(1_500));
        assert_eq!(exit_code(b"0:125"), Some((0, 125)));
        assert_eq!(exit_code(b"0"), None);
        assert_eq!(wait_status(b"51200"), Some((200, 0)));
        assert_eq!(wait_status(b"9"), Some((0, 9)));
        assert_eq!(wait_status(b"139"), Some((0, 11)), "with a core");
        assert_eq!(wait_status(b"3:0"), Some((3, 0)));
        assert_eq!(wait_status(b"70000"), None);
    }

    /// The other direction, by the way of counting days one by one.
    fn print_time(secs: i64) -> String {
        let (mut day, second) = (secs / 86_400, secs % 86_400);
        let mut year = 1970;
        let leap = |y: i64| y % 4 == 0 && (y % 100 != 0 || y % 400 == 0);
        while day >= 365 + i64::from(leap(year)) {
            day -= 365 + i64::from(leap(year));
            year += 1;
        }
        let mut month = 0;
        let lengths = [31, 28 + i64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        while day >= lengths[month] {
            day -= lengths[month];
            month += 1;
        }
        format!(
            "{year:04}-{:02}-{:02}T{:02}:{:02}:{:02}",
            month + 1,
            day + 1,
            second / 3_600,
            second % 3_600 / 60,
            second % 60
        )
    }

    proptest! {
        #[test]
        fn a_printed_time_reads_back(secs in 1i64..9_000_000_000) {
            prop_assert_eq!(time(print_time(secs).as_bytes()), Some(Some(Timestamp::from_secs(secs))));
        }

        #[test]
        fn a_printed_limit_reads_back(secs in any::<u32>()) {
            let limit_ = Walltime::from_secs(secs);
            prop_assert_eq!(limit(limit_.to_string().as_bytes()), Some(Some(limit_)));
        }

        #[test]
        fn a_printed_memory_size_reads_back(mb in 0u64..1 << 40) {
            let size = MemSize::from_mb(mb);
            prop_assert_eq!(memory(size.to_string().as_bytes(), 1 << 20), Some((size, Per::Job)));
        }

        #[test]
        fn nothing_panics(text in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = (time(&text), limit(&text), duration(&text), memory(&text, 1), count(&text));
            let _ = (exit_code(&text), tres_memory(&text));
        }
    }
}
