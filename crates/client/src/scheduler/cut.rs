//! How a batch is cut into submissions. Pure.

use cluster_core::IndexSet;

/// `jobs` in arrays of at most `most` elements.
pub(crate) fn cut(jobs: &IndexSet, most: u32) -> Vec<IndexSet> {
    let most = most.max(1);
    let mut parts = Vec::new();
    let mut part: Vec<(u32, u32)> = Vec::new();
    let mut room = most;
    for &(start, end) in jobs.ranges() {
        let mut start = start;
        while start < end {
            let len = (end - start).min(room);
            part.push((start, start + len));
            start += len;
            room -= len;
            if room == 0 {
                parts.push(part.drain(..).collect());
                room = most;
            }
        }
    }
    if !part.is_empty() {
        parts.push(part.into_iter().collect());
    }
    parts
}

/// How `--max-running` is kept over several arrays, of which each has a limit of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Throttle {
    /// There is no limit.
    Free,
    /// Each array has its share, all at once.
    Split(Vec<u32>),
    /// Each array has the whole, and begins when the one before is over.
    Chained(u32),
}

impl Throttle {
    /// Over so many arrays.
    pub(crate) fn over(arrays: usize, max_running: Option<u32>) -> Self {
        let Some(most) = max_running else { return Self::Free };
        match u32::try_from(arrays) {
            Ok(arrays) if arrays > 0 && arrays <= most => {
                let (share, more) = (most / arrays, most % arrays);
                Self::Split((0..arrays).map(|i| share + u32::from(i < more)).collect())
            }
            _ => Self::Chained(most),
        }
    }

    /// The limit of the array with this number.
    pub(crate) fn of(&self, array: usize) -> Option<u32> {
        match self {
            Self::Free => None,
            Self::Split(shares) => shares.get(array).copied(),
            Self::Chained(most) => Some(*most),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_full_and_in_order() {
        let jobs: IndexSet = "0-4,7,9-12".parse().unwrap();
        let parts: Vec<String> = cut(&jobs, 4).iter().map(ToString::to_string).collect();
        assert_eq!(parts, ["0-3", "4,7,9-10", "11-12"]);
        assert_eq!(cut(&IndexSet::range(0, 2500), 2000).len(), 2);
        assert!(cut(&IndexSet::new(), 4).is_empty());
    }

    #[test]
    fn shares_add_up_or_arrays_follow_each_other() {
        assert_eq!(Throttle::over(3, Some(8)), Throttle::Split(vec![3, 3, 2]));
        assert_eq!(Throttle::over(3, Some(2)), Throttle::Chained(2));
        assert_eq!(Throttle::over(1, Some(5)).of(0), Some(5));
        assert_eq!(Throttle::over(4, None).of(2), None);
    }
}
