//! Sets of job indices, kept as ranges: a million queued jobs are one range.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::ParseError;
use crate::ids::{JobIndex, digits};

/// A set of job indices as sorted, disjoint, non-adjacent half-open ranges.
///
/// Written `0-4,7,10-20:5` (ends included, `:step` expanded on reading).
///
/// ```
/// use cluster_core::IndexSet;
/// let set: IndexSet = "0-4,7,10-20:5".parse().unwrap();
/// assert_eq!(set.len(), 9);
/// assert_eq!(set.to_string(), "0-4,7,10,15,20");
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct IndexSet {
    ranges: Vec<(JobIndex, JobIndex)>,
}

/// More ranges than this in one text are refused: a slip like `0-4000000000:2` would fill the memory.
const MAX_RANGES: usize = 10_000_000;

impl IndexSet {
    /// The empty set.
    pub const fn new() -> Self {
        Self { ranges: Vec::new() }
    }

    /// `start..end`, the end not included.
    pub fn range(start: JobIndex, end: JobIndex) -> Self {
        Self { ranges: if start < end { vec![(start, end)] } else { Vec::new() } }
    }

    /// How many indices there are.
    pub fn len(&self) -> u64 {
        self.ranges.iter().map(|&(start, end)| u64::from(end - start)).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// The ranges in order, ends not included.
    pub fn ranges(&self) -> &[(JobIndex, JobIndex)] {
        &self.ranges
    }

    /// The indices in order.
    pub fn iter(&self) -> impl Iterator<Item = JobIndex> + '_ {
        self.ranges.iter().flat_map(|&(start, end)| start..end)
    }

    /// The smallest index.
    pub fn first(&self) -> Option<JobIndex> {
        self.ranges.first().map(|&(start, _)| start)
    }

    /// Whether `index` is one of them.
    pub fn contains(&self, index: JobIndex) -> bool {
        let after = self.ranges.partition_point(|&(start, _)| start <= index);
        after > 0 && index < self.ranges[after - 1].1
    }

    /// Takes the smallest index out.
    pub fn pop_first(&mut self) -> Option<JobIndex> {
        let first = self.ranges.first_mut()?;
        let index = first.0;
        first.0 += 1;
        if first.0 == first.1 {
            self.ranges.remove(0);
        }
        Some(index)
    }

    /// Puts `index` in; false if it was there.
    pub fn insert(&mut self, index: JobIndex) -> bool {
        let after = self.ranges.partition_point(|&(start, _)| start <= index);
        if after > 0 && index < self.ranges[after - 1].1 {
            return false;
        }
        let joins_left = after > 0 && self.ranges[after - 1].1 == index;
        let joins_right = after < self.ranges.len() && self.ranges[after].0 == index + 1;
        match (joins_left, joins_right) {
            (true, true) => {
                self.ranges[after - 1].1 = self.ranges[after].1;
                self.ranges.remove(after);
            }
            (true, false) => self.ranges[after - 1].1 += 1,
            (false, true) => self.ranges[after].0 = index,
            (false, false) => self.ranges.insert(after, (index, index + 1)),
        }
        true
    }

    /// Takes `index` out; false if it was not there.
    pub fn remove(&mut self, index: JobIndex) -> bool {
        let after = self.ranges.partition_point(|&(start, _)| start <= index);
        if after == 0 || index >= self.ranges[after - 1].1 {
            return false;
        }
        let (start, end) = self.ranges[after - 1];
        match (start == index, end == index + 1) {
            (true, true) => drop(self.ranges.remove(after - 1)),
            (true, false) => self.ranges[after - 1].0 += 1,
            (false, true) => self.ranges[after - 1].1 -= 1,
            (false, false) => {
                self.ranges[after - 1].1 = index;
                self.ranges.insert(after, (index + 1, end));
            }
        }
        true
    }

    /// What is in either.
    pub fn union(&self, other: &Self) -> Self {
        self.ranges.iter().chain(&other.ranges).copied().collect()
    }

    /// What is in both.
    pub fn intersection(&self, other: &Self) -> Self {
        let (mut left, mut right) = (self.ranges.iter().peekable(), other.ranges.iter().peekable());
        let mut ranges = Vec::new();
        while let (Some(&&(a, b)), Some(&&(c, d))) = (left.peek(), right.peek()) {
            if a.max(c) < b.min(d) {
                ranges.push((a.max(c), b.min(d)));
            }
            if b < d {
                left.next()
            } else {
                right.next()
            };
        }
        Self { ranges }
    }

    /// What is here and not in `other`.
    pub fn difference(&self, other: &Self) -> Self {
        let mut ranges = Vec::new();
        let mut cuts = other.ranges.iter().peekable();
        for &(mut start, end) in &self.ranges {
            while let Some(&&(cut, until)) = cuts.peek() {
                if cut >= end {
                    break;
                }
                if start < cut {
                    ranges.push((start, cut));
                }
                start = start.max(until);
                if until > end {
                    break;
                }
                cuts.next();
            }
            if start < end {
                ranges.push((start, end));
            }
        }
        Self { ranges }
    }
}

impl FromIterator<(JobIndex, JobIndex)> for IndexSet {
    /// Half-open ranges in any order, overlapping or not.
    fn from_iter<I: IntoIterator<Item = (JobIndex, JobIndex)>>(ranges: I) -> Self {
        let mut sorted: Vec<_> = ranges.into_iter().filter(|(start, end)| start < end).collect();
        sorted.sort_unstable();
        let mut ranges: Vec<(JobIndex, JobIndex)> = Vec::with_capacity(sorted.len());
        for (start, end) in sorted {
            match ranges.last_mut() {
                Some(last) if start <= last.1 => last.1 = last.1.max(end),
                _ => ranges.push((start, end)),
            }
        }
        Self { ranges }
    }
}

impl FromIterator<JobIndex> for IndexSet {
    fn from_iter<I: IntoIterator<Item = JobIndex>>(indices: I) -> Self {
        indices.into_iter().map(|index| (index, index.saturating_add(1))).collect()
    }
}

impl fmt::Display for IndexSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, &(start, end)) in self.ranges.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            match end - start {
                1 => write!(f, "{comma}{start}")?,
                _ => write!(f, "{comma}{start}-{}", end - 1)?,
            }
        }
        Ok(())
    }
}

impl FromStr for IndexSet {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let wrong = |part: &str| {
            ParseError::new(
                "set of job indices",
                part,
                "numbers and ranges from low to high, like 3,7-9,10-20:5",
            )
        };
        // The largest index is kept free, so that half-open ends never overflow.
        let number = |part: &str| {
            digits(part)
                .and_then(|n| JobIndex::try_from(n).ok())
                .filter(|&n| n < JobIndex::MAX)
                .ok_or_else(|| wrong(text))
        };
        let mut ranges = Vec::new();
        for part in text.split(',') {
            let (span, step) = match part.split_once(':') {
                Some((span, step)) => (span, number(step)?),
                None => (part, 1),
            };
            let (start, last) = match span.split_once('-') {
                Some((start, last)) => (number(start)?, number(last)?),
                None => (number(span)?, number(span)?),
            };
            if last < start || step == 0 {
                return Err(wrong(part));
            }
            if step == 1 {
                ranges.push((start, last + 1));
            } else {
                if ranges.len() + ((last - start) / step) as usize > MAX_RANGES {
                    return Err(wrong(part));
                }
                ranges.extend((start..=last).step_by(step as usize).map(|i| (i, i + 1)));
            }
        }
        Ok(ranges.into_iter().collect())
    }
}

impl Serialize for IndexSet {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for IndexSet {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        if text.is_empty() {
            return Ok(Self::new());
        }
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn model() -> impl Strategy<Value = BTreeSet<JobIndex>> {
        proptest::collection::btree_set(0u32..40, 0..25)
    }

    fn set(model: &BTreeSet<JobIndex>) -> IndexSet {
        model.iter().copied().collect()
    }

    proptest! {
        #[test]
        fn algebra_is_that_of_sets(a in model(), b in model(), x in 0u32..41) {
            prop_assert_eq!(set(&a).union(&set(&b)), set(&(&a | &b)));
            prop_assert_eq!(set(&a).intersection(&set(&b)), set(&(&a & &b)));
            prop_assert_eq!(set(&a).difference(&set(&b)), set(&(&a - &b)));
            prop_assert_eq!(set(&a).len(), a.len() as u64);
            prop_assert_eq!(set(&a).contains(x), a.contains(&x));
            let (mut more, mut model) = (set(&a), a.clone());
            prop_assert_eq!(more.insert(x), model.insert(x));
            prop_assert_eq!(&more, &set(&model));
            let (mut less, mut model) = (set(&a), a.clone());
            prop_assert_eq!(less.remove(x), model.remove(&x));
            prop_assert_eq!(&less, &set(&model));
            prop_assert_eq!(less.pop_first(), model.pop_first());
            prop_assert_eq!(less, set(&model));
        }

        #[test]
        fn reads_what_it_prints(a in model()) {
            prop_assume!(!a.is_empty());
            prop_assert_eq!(set(&a).to_string().parse::<IndexSet>().unwrap(), set(&a));
        }

        #[test]
        fn any_text_is_a_set_or_an_error(text in "[0-9,:-]{0,12}") {
            let _ = text.parse::<IndexSet>();
        }
    }

    #[test]
    fn many_parts_together_are_as_bounded_as_one() {
        let half = "0-9999999:2";
        assert_eq!(half.parse::<IndexSet>().unwrap().len(), 5_000_000);
        assert!([half; 3].join(",").parse::<IndexSet>().is_err());
    }

    #[test]
    fn a_falling_range_is_an_error() {
        for wrong in ["5-1", "", "1,", "1-", "-1", "1-9:0", "4294967295", "0-4294967294:2"] {
            assert!(wrong.parse::<IndexSet>().is_err(), "{wrong:?}");
        }
    }
}
