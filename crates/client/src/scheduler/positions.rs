//! From the index of a job to its position in the array that it went out in, and back.

use cluster_core::{IndexSet, JobIndex};

/// The index of the job at `position`.
pub(crate) fn index_at(jobs: &IndexSet, position: u32) -> Option<JobIndex> {
    let mut left = position;
    for &(start, end) in jobs.ranges() {
        if left < end - start {
            return Some(start + left);
        }
        left -= end - start;
    }
    None
}

/// The position of the job at `index`.
pub(crate) fn position_of(jobs: &IndexSet, index: JobIndex) -> Option<u32> {
    let mut before = 0;
    for &(start, end) in jobs.ranges() {
        if index < end {
            return (index >= start).then(|| before + index - start);
        }
        before += end - start;
    }
    None
}

/// The indices of the jobs at `positions`; those beyond the array are of none.
pub(crate) fn indices_at(jobs: &IndexSet, positions: &IndexSet) -> IndexSet {
    translate(jobs, |index_start, len, position| {
        let here = IndexSet::range(position, position + len).intersection(positions);
        here.ranges()
            .iter()
            .map(|&(a, b)| (index_start + (a - position), index_start + (b - position)))
            .collect()
    })
}

/// The positions of the jobs at `indices`; those that are not in the array are at none.
pub(crate) fn positions_of(jobs: &IndexSet, indices: &IndexSet) -> IndexSet {
    translate(jobs, |index_start, len, position| {
        let here = IndexSet::range(index_start, index_start + len).intersection(indices);
        here.ranges()
            .iter()
            .map(|&(a, b)| (position + (a - index_start), position + (b - index_start)))
            .collect()
    })
}

/// Calls `each` with the first index, the length and the first position of every range.
fn translate(jobs: &IndexSet, each: impl Fn(u32, u32, u32) -> Vec<(u32, u32)>) -> IndexSet {
    let mut position = 0;
    let mut all = Vec::new();
    for &(start, end) in jobs.ranges() {
        all.extend(each(start, end - start, position));
        position += end - start;
    }
    all.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn there_and_back(jobs in prop::collection::btree_set(0u32..60, 1..30), some in prop::collection::btree_set(0u32..60, 0..30)) {
            let naive: Vec<u32> = jobs.iter().copied().collect();
            let jobs: IndexSet = jobs.into_iter().collect();
            for (position, &index) in naive.iter().enumerate() {
                prop_assert_eq!(index_at(&jobs, position as u32), Some(index));
                prop_assert_eq!(position_of(&jobs, index), Some(position as u32));
            }
            prop_assert_eq!(index_at(&jobs, naive.len() as u32), None);
            let some: IndexSet = some.into_iter().collect();
            let expected: IndexSet = some.iter().filter_map(|position| naive.get(position as usize).copied()).collect();
            let indices = indices_at(&jobs, &some);
            prop_assert_eq!(&indices, &expected);
            prop_assert_eq!(indices_at(&jobs, &positions_of(&jobs, &indices)), indices);
        }
    }
}
