//! Task ranges of arrays: `1-10:2`, and how what is left of them is listed.

use std::collections::BTreeSet;

/// A range as it was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) first: u32,
    pub(crate) last: u32,
    pub(crate) step: u32,
}

impl Range {
    /// `5`, `1-4`, `2-10:2`; `5-1` is 1-5 and `1,3` is 1-3:2, as the real one takes them.
    pub(crate) fn read(text: &str) -> Option<Self> {
        if text.contains(',') {
            let numbers: Option<Vec<u32>> = text.split(',').map(|part| part.parse().ok()).collect();
            let numbers = numbers?;
            let (first, second, last) = (*numbers.first()?, *numbers.get(1)?, *numbers.last()?);
            return Some(Self { first, last, step: second.checked_sub(first).filter(|step| *step > 0)? });
        }
        let (bounds, step) = text.split_once(':').map_or((text, "1"), |(bounds, step)| (bounds, step));
        let step: u32 = step.parse().ok()?;
        let (first, last) = match bounds.split_once('-') {
            Some((first, last)) => (first.parse().ok()?, last.parse().ok()?),
            None => (bounds.parse().ok()?, bounds.parse().ok()?),
        };
        (step > 0).then_some(Self { first: u32::min(first, last), last: u32::max(first, last), step })
    }

    /// How many.
    pub(crate) fn count(self) -> u64 {
        u64::from(self.last.saturating_sub(self.first) / self.step.max(1)) + 1
    }

    /// The indices.
    pub(crate) fn indices(self) -> Vec<u32> {
        (self.first..=self.last).step_by(self.step.max(1) as usize).collect()
    }

    /// `2-10:2`.
    pub(crate) fn text(self) -> String {
        format!("{}-{}:{}", self.first, self.last, self.step)
    }
}

/// Tasks as `3-6:1,8,10-19:1`; a pair is `5,6`.
pub(crate) fn listed(tasks: &BTreeSet<u32>, step: u32) -> String {
    let tasks: Vec<u32> = tasks.iter().copied().collect();
    let mut out: Vec<String> = Vec::new();
    let mut at = 0;
    while let Some(first) = tasks.get(at).copied() {
        let run = tasks
            .iter()
            .skip(at)
            .enumerate()
            .take_while(|(place, task)| **task == first.saturating_add(step.saturating_mul(*place as u32)))
            .count()
            .max(1);
        let last = tasks.get(at + run - 1).copied().unwrap_or(first);
        match run {
            1 => out.push(first.to_string()),
            2 => out.push(format!("{first},{last}")),
            _ => out.push(format!("{first}-{last}:{step}")),
        }
        at += run;
    }
    out.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_taken_as_recorded() {
        let text = |text| Range::read(text).map(Range::text);
        assert_eq!(text("5").as_deref(), Some("5-5:1"));
        assert_eq!(text("2-10:2").as_deref(), Some("2-10:2"));
        assert_eq!(text("1,3").as_deref(), Some("1-3:2"));
        assert_eq!(text("5-1").as_deref(), Some("1-5:1"));
        assert_eq!(text("x"), None);
        assert_eq!(listed(&[3, 4, 5, 6, 8, 10, 11, 12].into(), 1), "3-6:1,8,10-12:1");
        assert_eq!(listed(&[5, 6].into(), 1), "5,6");
        assert_eq!(listed(&[7].into(), 1), "7");
    }
}
