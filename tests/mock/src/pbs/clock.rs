//! Times as the commands print them: in the caller's time zone, mostly without saying which.

/// A moment in some time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Civil {
    pub(crate) year: i64,
    pub(crate) month: i64,
    pub(crate) day: i64,
    pub(crate) hour: i64,
    pub(crate) minute: i64,
    pub(crate) second: i64,
    weekday: i64,
}

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];

/// A moment (seconds since 1970) in the zone that `TZ` names; what is not known counts as UTC.
pub(crate) fn local(time: i64, zone: Option<&str>) -> Civil {
    let time = time.saturating_add(zone.map_or(0, |zone| offset(zone, time)));
    let days = time.div_euclid(86_400);
    let rest = time.rem_euclid(86_400);
    // Days since 0000-03-01, in eras of 400 years.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march = (5 * of_year + 2) / 153;
    let month = if march < 10 { march + 3 } else { march - 9 };
    Civil {
        year: year_of_era + era * 400 + i64::from(month <= 2),
        month,
        day: of_year - (153 * march + 2) / 5 + 1,
        hour: rest / 3600,
        minute: rest % 3600 / 60,
        second: rest % 60,
        weekday: (days + 4).rem_euclid(7),
    }
}

/// Seconds since 1970 of a moment in UTC.
pub(crate) fn utc(year: i64, month: i64, day: i64, hour: i64, minute: i64, second: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    days * 86_400 + hour * 3600 + minute * 60 + second
}

/// `[[CC]YY]MMDDhhmm[.SS]`, `[[[CC]YY]MM]DD]hhmm` of `qsub -a` as seconds since 1970. What is left out is taken
/// from now; a time of day that has passed is tomorrow's.
pub(crate) fn date_argument(text: &str, now: i64, zone: Option<&str>) -> Option<i64> {
    let (digits, seconds) = text.split_once('.').unwrap_or((text, "0"));
    let seconds: i64 = seconds.parse().ok()?;
    if !digits.bytes().all(|b| b.is_ascii_digit()) || digits.len() < 4 || digits.len() % 2 != 0 {
        return None;
    }
    let pair = |from_end: usize| -> Option<i64> {
        let end = digits.len().checked_sub(from_end * 2)?;
        digits.get(end.checked_sub(2)?..end)?.parse().ok()
    };
    let today = local(now, zone);
    let (minute, hour) = (pair(0)?, pair(1)?);
    let day = pair(2).unwrap_or(today.day);
    let month = pair(3).unwrap_or(today.month);
    let century = pair(5).map_or(2000, |c| c * 100);
    let year = pair(4).map_or(today.year, |y| century + y);
    if hour > 23 || minute > 59 || seconds > 59 || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let as_utc = utc(year, month, day, hour, minute, seconds);
    let time = as_utc - zone.map_or(0, |zone| offset(zone, as_utc));
    Some(if digits.len() == 4 && time < now { time + 86_400 } else { time })
}

impl Civil {
    /// `Fri Nov 20 17:12:01 2026`.
    pub(crate) fn ctime(self) -> String {
        format!(
            "{} {} {:>2} {:02}:{:02}:{:02} {}",
            DAYS.get(self.weekday as usize).unwrap_or(&"???"),
            self.month_name(),
            self.day,
            self.hour,
            self.minute,
            self.second,
            self.year
        )
    }

    /// `Fri Nov 20 at 17:12`, as in the comments of PBS.
    pub(crate) fn at(self) -> String {
        format!(
            "{} {} {:>2} at {:02}:{:02}",
            DAYS.get(self.weekday as usize).unwrap_or(&"???"),
            self.month_name(),
            self.day,
            self.hour,
            self.minute
        )
    }

    /// `11/20/2026 17:12:01`.
    pub(crate) fn american(self) -> String {
        format!(
            "{:02}/{:02}/{:04} {:02}:{:02}:{:02}",
            self.month, self.day, self.year, self.hour, self.minute, self.second
        )
    }

    /// `2026-11-20T17:12:01`.
    pub(crate) fn iso(self) -> String {
        format!(
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}",
            self.year, self.month, self.day, self.hour, self.minute, self.second
        )
    }

    fn month_name(self) -> &'static str {
        MONTHS.get((self.month - 1) as usize).unwrap_or(&"???")
    }
}

/// Seconds east of UTC, from the host's time zone files.
fn offset(zone: &str, time: i64) -> i64 {
    let zone = zone.trim_start_matches(':');
    if zone.is_empty() || zone == "UTC" || zone.contains("..") {
        return 0;
    }
    let file = if zone.starts_with('/') { zone.to_owned() } else { format!("/usr/share/zoneinfo/{zone}") };
    std::fs::read(file).ok().and_then(|bytes| zone_file(&bytes, time)).unwrap_or(0)
}

/// The offset of the last change before `time` in a TZif file of version 2 or above.
fn zone_file(bytes: &[u8], time: i64) -> Option<i64> {
    let count = |bytes: &[u8], at: usize| -> Option<usize> {
        let field: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
        usize::try_from(u32::from_be_bytes(field)).ok()
    };
    // The first block has times of 32 bits; behind it stands the one that counts.
    let (utc_local, standard, leap, times, types, chars) = (
        count(bytes, 20)?,
        count(bytes, 24)?,
        count(bytes, 28)?,
        count(bytes, 32)?,
        count(bytes, 36)?,
        count(bytes, 40)?,
    );
    let skip = 44 + times * 5 + types * 6 + chars + leap * 8 + standard + utc_local;
    let bytes = bytes.get(skip..)?;
    let (times, types) = (count(bytes, 32)?, count(bytes, 36)?);
    let moments = bytes.get(44..44 + times * 8)?;
    let kinds = bytes.get(44 + times * 8..44 + times * 9)?;
    let table = bytes.get(44 + times * 9..44 + times * 9 + types * 6)?;
    let before = moments
        .chunks_exact(8)
        .take_while(|moment| {
            <[u8; 8]>::try_from(*moment).is_ok_and(|moment| i64::from_be_bytes(moment) <= time)
        })
        .count();
    let kind = before.checked_sub(1).and_then(|last| kinds.get(last)).copied().unwrap_or(0);
    let entry = table.get(usize::from(kind) * 6..usize::from(kind) * 6 + 4)?;
    Some(i64::from(i32::from_be_bytes(entry.try_into().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recorded_moment_reads_as_recorded() {
        let moment = local(1_795_194_721, None);
        assert_eq!(moment.ctime(), "Fri Nov 20 17:12:01 2026");
        assert_eq!(moment.at(), "Fri Nov 20 at 17:12");
        assert_eq!(moment.american(), "11/20/2026 17:12:01");
        assert_eq!(moment.iso(), "2026-11-20T17:12:01");
        assert_eq!(utc(2026, 11, 20, 17, 12, 1), 1_795_194_721);
        assert_eq!(date_argument("202611201812", 1_795_194_721, None), Some(utc(2026, 11, 20, 18, 12, 0)));
        assert_eq!(date_argument("1600", 1_795_194_721, None), Some(utc(2026, 11, 21, 16, 0, 0)));
        assert_eq!(date_argument("99", 1_795_194_721, None), None);
    }
}
