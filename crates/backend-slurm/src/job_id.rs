//! Ids of jobs, of elements of arrays, and of steps: `4711`, `64_3`, `64_[3-6,8-59%2]`, `64_3.batch`.

use cluster_core::IndexSet;
use cluster_core::dialect::Tasks;
use nom::branch::alt;
use nom::bytes::complete::{tag, take_while1};
use nom::character::complete::{char, u32 as digits};
use nom::combinator::{all_consuming, map, opt, value};
use nom::multi::separated_list1;
use nom::sequence::{delimited, preceded};
use nom::{IResult, Parser};

/// An id in its parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JobId<'a> {
    /// The job, or the array.
    pub(crate) job: &'a str,
    /// Which elements.
    pub(crate) tasks: Tasks,
    /// How many of them may run at once.
    pub(crate) throttle: Option<u32>,
    /// The step (`batch`, `extern`, `0`), where it is one.
    pub(crate) step: Option<&'a str>,
}

/// More elements than this in one id are no array of Slurm's: its own limit is 4,000,001.
const MAX_ELEMENTS: u64 = 4_000_001;

/// Reads an id; `None` where the text is none.
pub(crate) fn job_id(text: &[u8]) -> Option<JobId<'_>> {
    let text = std::str::from_utf8(text).ok()?;
    // Nearly all are digits alone: no combinator has to look at them.
    if !text.is_empty() && text.len() < 20 && text.bytes().all(|b| b.is_ascii_digit()) {
        return Some(JobId { job: text, tasks: Tasks::Single, throttle: None, step: None });
    }
    let (_, (job, array, step)) =
        all_consuming((job, opt(preceded(char('_'), elements)), opt(step))).parse(text).ok()?;
    let (tasks, throttle) = array.unwrap_or((Some(Tasks::Single), None));
    Some(JobId { job, tasks: tasks?, throttle, step })
}

/// Digits; `+1` after them is a part of a heterogeneous job.
fn job(text: &str) -> IResult<&str, &str> {
    nom::combinator::recognize((
        take_while1(|c: char| c.is_ascii_digit()),
        opt((char('+'), take_while1(|c: char| c.is_ascii_digit()))),
    ))
    .parse(text)
}

fn step(text: &str) -> IResult<&str, &str> {
    preceded(char('.'), take_while1(|c: char| c.is_ascii_alphanumeric() || "+_-.".contains(c))).parse(text)
}

type Elements = (Option<Tasks>, Option<u32>);

/// `3`, `[3-6,8]`, `[3-6%2]`, and `*` or `[*]` for all.
fn elements(text: &str) -> IResult<&str, Elements> {
    alt((
        map(digits, |one| (Some(Tasks::One(one)), None)),
        delimited(char('['), alt((value((Some(Tasks::Whole), None), tag("*")), set)), char(']')),
        value((Some(Tasks::Whole), None), tag("*")),
    ))
    .parse(text)
}

/// `3-6,8-59,91-100:2%2`.
fn set(text: &str) -> IResult<&str, Elements> {
    let range = map(
        (digits, opt(preceded(char('-'), digits)), opt(preceded(char(':'), digits))),
        |(from, to, step)| (from, to.unwrap_or(from), step.unwrap_or(1)),
    );
    let throttle = opt(preceded(char('%'), digits));
    map((separated_list1(char(','), range), throttle), |(ranges, throttle)| (index_set(&ranges), throttle))
        .parse(text)
}

/// The elements, as many as an array can have at most.
fn index_set(ranges: &[(u32, u32, u32)]) -> Option<Tasks> {
    let mut all = Vec::with_capacity(ranges.len());
    for &(from, to, step) in ranges {
        if from > to || step == 0 || to == u32::MAX || u64::from(to - from) >= MAX_ELEMENTS {
            return None;
        }
        if step == 1 {
            all.push((from, to + 1));
        } else {
            all.extend((from..=to).step_by(step as usize).map(|at| (at, at + 1)));
        }
        if all.len() as u64 > MAX_ELEMENTS {
            return None;
        }
    }
    Some(Tasks::Some(all.into_iter().collect::<IndexSet>()))
}

/// The elements in `ArrayTaskId=3-49,51-100%2` and `%K`: what stands in an id between the brackets.
pub(crate) fn task_list(text: &[u8]) -> Option<(Tasks, Option<u32>)> {
    let text = std::str::from_utf8(text).ok()?;
    if let Ok((_, one)) = all_consuming(digits::<&str, nom::error::Error<&str>>).parse(text) {
        return Some((Tasks::One(one), None));
    }
    let (_, (tasks, throttle)) = all_consuming(set).parse(text).ok()?;
    Some((tasks?, throttle))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Option<JobId<'_>> {
        job_id(text.as_bytes())
    }

    #[test]
    fn ids_fall_into_parts() {
        let some = |text: &str| Tasks::Some(text.parse().unwrap());
        for (text, job, tasks, throttle, step) in [
            ("4711", "4711", Tasks::Single, None, None),
            ("64_3", "64", Tasks::One(3), None, None),
            ("64_[3-100%2]", "64", some("3-100"), Some(2), None),
            ("65_[1,3,5-9,20,25,30]", "65", some("1,3,5-9,20,25,30"), None, None),
            ("7_[0-8:4]", "7", some("0,4,8"), None, None),
            ("7_*", "7", Tasks::Whole, None, None),
            ("7_4.batch", "7", Tasks::One(4), None, Some("batch")),
            ("46.0", "46", Tasks::Single, None, Some("0")),
            ("12+1", "12+1", Tasks::Single, None, None),
        ] {
            assert_eq!(read(text), Some(JobId { job, tasks, throttle, step }), "{text}");
        }
        // The last is cut by a column of 18, as in the default table.
        for wrong in [
            "",
            "x",
            "64_",
            "64_[",
            "64_[]",
            "64_[5-1]",
            "64_[0-9:0]",
            "64_[0-4000000000]",
            "1 2",
            "65_[1,3,5-9,20,25,",
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
        assert_eq!(task_list(b"3-49,51-100%2"), Some((some("3-49,51-100"), Some(2))));
        assert_eq!(task_list(b"50"), Some((Tasks::One(50), None)));
        assert_eq!(task_list(b"N/A"), None);
    }

    proptest! {
        #[test]
        fn a_printed_id_reads_back(job in 1u32.., picks in proptest::collection::vec(0u32..5000, 1..40), throttle in proptest::option::of(1u32..50)) {
            let set: IndexSet = picks.into_iter().collect();
            let text = match throttle {
                Some(n) => format!("{job}_[{set}%{n}]"),
                None => format!("{job}_[{set}]"),
            };
            let id = read(&text).unwrap();
            prop_assert_eq!(id.job, job.to_string());
            prop_assert_eq!((id.tasks, id.throttle), (Tasks::Some(set), throttle));
        }

        #[test]
        fn nothing_panics(text in "[0-9_\\[\\]%:,.+*x-]{0,30}") {
            let _ = (read(&text), task_list(text.as_bytes()));
        }
    }
}
