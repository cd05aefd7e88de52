//! Times, durations, node lists and index lists as Slurm writes and reads them.

use crate::engine::{Micros, seconds};

/// A time of day: `2026-11-20T17:29:13`, in the zone `offset` seconds east.
pub(super) fn iso(time: Micros, offset: i64) -> String {
    let (days, rest) = (seconds(time) + offset).div_rem(86_400);
    let (y, m, d) = civil(days);
    format!("{y:04}-{m:02}-{d:02}T{:02}:{:02}:{:02}", rest / 3600, rest / 60 % 60, rest % 60)
}

/// `Fri Nov 20 17:29:38 2026`.
pub(super) fn ctime(time: Micros) -> String {
    let (days, rest) = seconds(time).div_rem(86_400);
    let (y, m, d) = civil(days);
    let day = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"][days.rem_euclid(7) as usize];
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = months[(m - 1).rem_euclid(12) as usize];
    format!("{day} {month} {d:2} {:02}:{:02}:{:02} {y}", rest / 3600, rest / 60 % 60, rest % 60)
}

trait DivRem {
    fn div_rem(self, by: i64) -> (i64, i64);
}

impl DivRem for i64 {
    fn div_rem(self, by: i64) -> (i64, i64) {
        (self.div_euclid(by), self.rem_euclid(by))
    }
}

/// Year, month and day of a day counted from 1970-01-01.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let doe = shifted.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    (yoe + era * 400 + i64::from(month <= 2), month, doy - (153 * mp + 2) / 5 + 1)
}

/// The day of a date, counted from 1970-01-01.
fn days_of(y: i64, m: i64, d: i64) -> i64 {
    let y = if m <= 2 { y - 1 } else { y };
    let era = y.div_euclid(400);
    let yoe = y.rem_euclid(400);
    let doy = (153 * (if m > 2 { m - 3 } else { m + 9 }) + 2) / 5 + d - 1;
    era * 146_097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719_468
}

/// A point in time as `--begin` and `-S` take it: a date, `now`, `now+60`, `now+2hours`, `today`, `HH:MM`.
pub(super) fn when(text: &str, now: Micros) -> Option<Micros> {
    let text = text.trim();
    if let Some(rest) = text.strip_prefix("now") {
        if rest.is_empty() {
            return Some(now);
        }
        let (sign, rest) =
            rest.strip_prefix('+').map(|r| (1, r)).or(rest.strip_prefix('-').map(|r| (-1, r)))?;
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let count: i64 = rest.get(..digits)?.parse().ok()?;
        let unit = match rest.get(digits..)?.to_ascii_lowercase().as_str() {
            "" | "s" | "second" | "seconds" => 1,
            "m" | "minute" | "minutes" => 60,
            "h" | "hour" | "hours" => 3600,
            "d" | "day" | "days" => 86_400,
            "w" | "week" | "weeks" => 604_800,
            _ => return None,
        };
        return now.checked_add(count.checked_mul(unit * 1_000_000)?.checked_mul(sign)?);
    }
    let midnight = seconds(now).div_euclid(86_400) * 86_400;
    match text {
        "today" | "midnight" => return Some(midnight * 1_000_000),
        "tomorrow" => return Some((midnight + 86_400) * 1_000_000),
        _ => {}
    }
    let (date, time) = match text.split_once(['T', ' ']) {
        Some((date, time)) => (Some(date), Some(time)),
        None if text.contains(':') => (None, Some(text)),
        None => (Some(text), None),
    };
    let day = match date {
        Some(date) => {
            let fields: Vec<i64> = date.split(['-', '/']).map(|f| f.parse().ok()).collect::<Option<_>>()?;
            match fields.as_slice() {
                [y, m, d] if *y > 99 => days_of(*y, *m, *d),
                [m, d, y] => days_of(if *y < 100 { 2000 + y } else { *y }, *m, *d),
                _ => return None,
            }
        }
        None => midnight / 86_400,
    };
    let rest = match time {
        Some(time) => {
            let fields: Vec<i64> = time.split(':').map(|f| f.parse().ok()).collect::<Option<_>>()?;
            match fields.as_slice() {
                [h, m] => h * 3600 + m * 60,
                [h, m, s] => h * 3600 + m * 60 + s,
                _ => return None,
            }
        }
        None => 0,
    };
    Some((day * 86_400 + rest) * 1_000_000)
}

/// A time limit in seconds, rounded up to minutes; `Some(None)` is no limit.
pub(super) fn limit(text: &str) -> Option<Option<u64>> {
    let text = text.trim();
    if matches!(text.to_ascii_lowercase().as_str(), "infinite" | "unlimited" | "-1" | "0") {
        return Some(None);
    }
    let (days, rest) = match text.split_once('-') {
        Some((days, rest)) => (Some(days.parse::<u64>().ok()?), rest),
        None => (None, text),
    };
    let fields: Vec<u64> = rest.split(':').map(|f| f.parse().ok()).collect::<Option<_>>()?;
    let secs = match (days, fields.as_slice()) {
        (Some(_), [h]) => h.checked_mul(3600)?,
        (Some(_), [h, m]) => h.checked_mul(3600)? + m.checked_mul(60)?,
        (_, [h, m, s]) => h.checked_mul(3600)?.checked_add(m.checked_mul(60)?)?.checked_add(*s)?,
        (None, [m]) => m.checked_mul(60)?,
        (None, [m, s]) => m.checked_mul(60)?.checked_add(*s)?,
        _ => return None,
    };
    let secs = secs.checked_add(days.unwrap_or(0).checked_mul(86_400)?)?;
    Some(Some(secs.div_ceil(60) * 60))
}

/// `0:05`, `2:00:00`, `1-00:00:00`: as squeue writes it.
pub(super) fn short(secs: i64) -> String {
    let (d, h, m, s) = (secs / 86_400, secs / 3600 % 24, secs / 60 % 60, secs % 60);
    match (d, h) {
        (0, 0) => format!("{m}:{s:02}"),
        (0, _) => format!("{h}:{m:02}:{s:02}"),
        _ => format!("{d}-{h:02}:{m:02}:{s:02}"),
    }
}

/// `00:00:05`, `1-00:00:00`: as sacct and scontrol write it.
pub(super) fn long(secs: i64) -> String {
    let (d, h, m, s) = (secs / 86_400, secs / 3600 % 24, secs / 60 % 60, secs % 60);
    if d == 0 { format!("{h:02}:{m:02}:{s:02}") } else { format!("{d}-{h:02}:{m:02}:{s:02}") }
}

/// Memory in MiB: `200` (MiB), `4G`, `100K`, `1T`.
pub(super) fn memory(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let count: u64 = text.get(..digits)?.parse().ok()?;
    match text.get(digits..)?.to_ascii_uppercase().trim_end_matches('B') {
        "" | "M" => Some(count),
        "K" => Some(count.div_ceil(1024)),
        "G" => count.checked_mul(1024),
        "T" => count.checked_mul(1024 * 1024),
        _ => None,
    }
}

/// `1-3,5,7`.
pub(super) fn fold(indices: &[u32]) -> String {
    let mut sorted = indices.to_vec();
    sorted.sort_unstable();
    let mut parts: Vec<String> = Vec::new();
    let mut at = 0;
    while let Some(first) = sorted.get(at).copied() {
        let mut last = first;
        while sorted.get(at + 1) == last.checked_add(1).as_ref() {
            at += 1;
            last += 1;
        }
        at += 1;
        // Two neighbours are a range too: 5-6.
        parts.push(if first == last { first.to_string() } else { format!("{first}-{last}") });
    }
    parts.join(",")
}

/// `1-3,5,7-9:2%4`: indices and throttle. None: not one, or one at or above `below`.
pub(super) fn indices(text: &str, below: u32) -> Option<(Vec<u32>, Option<u32>)> {
    let (list, throttle) = match text.split_once('%') {
        Some((list, most)) => (list, Some(most.parse::<u32>().ok()?)),
        None => (text, None),
    };
    let mut found = std::collections::BTreeSet::new();
    for part in list.trim_matches(['[', ']']).split(',') {
        let (range, step) = match part.split_once(':') {
            Some((range, step)) => (range, step.parse::<u32>().ok().filter(|step| *step > 0)?),
            None => (part, 1),
        };
        let (first, last) = match range.split_once('-') {
            Some((first, last)) => (first.parse::<u32>().ok()?, last.parse::<u32>().ok()?),
            None => (range.parse().ok()?, range.parse().ok()?),
        };
        if last < first || last >= below {
            return None;
        }
        found.extend((first..=last).step_by(step as usize));
    }
    (!found.is_empty()).then(|| (found.into_iter().collect(), throttle.filter(|most| *most > 0)))
}

/// `node[1-3,5]` of names that end in numbers.
pub(super) fn nodes<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let mut groups: Vec<(&str, Vec<(u32, usize)>)> = Vec::new();
    let mut parts = Vec::new();
    for name in names {
        let cut = name.trim_end_matches(|c: char| c.is_ascii_digit()).len();
        let (prefix, digits) = name.split_at(cut);
        match digits.parse::<u32>() {
            Ok(number) => match groups.iter_mut().find(|group| group.0 == prefix) {
                Some(group) => group.1.push((number, digits.len())),
                None => groups.push((prefix, vec![(number, digits.len())])),
            },
            Err(_) => parts.push(name.to_owned()),
        }
    }
    for (prefix, numbers) in groups {
        match numbers.as_slice() {
            [(one, width)] => parts.push(format!("{prefix}{one:0width$}")),
            _ => parts.push(format!("{prefix}[{}]", fold(&numbers.iter().map(|n| n.0).collect::<Vec<_>>()))),
        }
    }
    parts.join(",")
}

/// The names in `node[1-3,5],other`; none when it is not well formed or names more than 100,000.
pub(super) fn hostnames(text: &str) -> Option<Vec<String>> {
    let mut names = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find([',', '[']).unwrap_or(rest.len());
        let (prefix, after) = rest.split_at(end);
        if let Some(inside) = after.strip_prefix('[') {
            let (list, after) = inside.split_once(']')?;
            for part in list.split(',') {
                let (first, last) = part.split_once('-').unwrap_or((part, part));
                let width = first.len();
                let (from, to) = (first.parse::<u32>().ok()?, last.parse::<u32>().ok()?);
                if to.checked_sub(from)? > 100_000 {
                    return None;
                }
                names.extend((from..=to).map(|number| format!("{prefix}{number:0width$}")));
            }
            rest = after.strip_prefix(',').unwrap_or(after);
        } else {
            if !prefix.is_empty() {
                names.push(prefix.to_owned());
            }
            rest = after.strip_prefix(',').unwrap_or(after);
        }
    }
    Some(names)
}
