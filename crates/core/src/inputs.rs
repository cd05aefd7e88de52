//! Which inputs each job of a `map` gets: arithmetic over sources, without the inputs themselves.

use serde::{Deserialize, Serialize};

use crate::ids::JobIndex;

/// Where one column (or several, of a table) of inputs comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SourceKind {
    /// Numbers from `first` to `last`, both included.
    Range {
        /// The first number.
        first: i64,
        /// The last one that may come.
        last: i64,
        /// The step, not 0.
        step: i64,
    },
    /// `count` inputs in the batch's files `inputs/<file>.dat` and `.idx`.
    Stored {
        /// The number in the files' name.
        file: u32,
        /// How many inputs there are.
        count: u64,
    },
}

/// How a source goes with those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Link {
    /// All pairs (`:::`), the last source varying fastest.
    Cross,
    /// Side by side (`:::+`, `--zip`).
    Zip,
}

/// One source of inputs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Where the inputs come from.
    pub kind: SourceKind,
    /// How they go with the sources before.
    pub link: Link,
    /// Names of its columns; empty for a single column without a name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<String>,
}

impl Source {
    /// How many inputs it gives.
    pub fn len(&self) -> u64 {
        match self.kind {
            SourceKind::Range { first, last, step } => {
                let span = i128::from(last) - i128::from(first);
                let steps = if step == 0 { -1 } else { span / i128::from(step) };
                if span != 0 && (span < 0) != (step < 0) { 0 } else { (steps + 1).max(0) as u64 }
            }
            SourceKind::Stored { count, .. } => count,
        }
    }

    /// Whether it gives none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many columns each of its inputs has.
    pub fn width(&self) -> usize {
        self.columns.len().max(1)
    }
}

/// All sources of a batch, and how many inputs go to one job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputPlan {
    /// The sources in the order they were named.
    pub sources: Vec<Source>,
    /// Inputs to one job, at least 1.
    pub per_job: u32,
    /// Whether a command without a placeholder gets its input as the last word.
    #[serde(default = "yes")]
    pub append: bool,
    /// So many words at the head are taken as they are, whatever is in them: the text of `sh -c`.
    #[serde(default)]
    pub literal: u32,
}

fn yes() -> bool {
    true
}

impl InputPlan {
    /// How many inputs there are: pairs over all crossed sources. `None` where that overflows.
    pub fn len(&self) -> Option<u64> {
        if self.sources.is_empty() {
            return Some(0);
        }
        let crossed =
            self.sources.iter().enumerate().filter(|(i, source)| *i == 0 || source.link == Link::Cross);
        crossed.map(|(_, source)| source.len()).try_fold(1u64, u64::checked_mul)
    }

    /// Whether there is no input at all.
    pub fn is_empty(&self) -> bool {
        self.len() == Some(0)
    }

    /// How many jobs that makes. `None` where it is more than an index can count.
    pub fn jobs(&self) -> Option<u32> {
        let jobs = self.len()?.div_ceil(u64::from(self.per_job.max(1)));
        u32::try_from(jobs).ok().filter(|&jobs| jobs < JobIndex::MAX)
    }

    /// The numbers of the inputs of one job.
    pub fn inputs_of(&self, job: JobIndex) -> std::ops::Range<u64> {
        let per_job = u64::from(self.per_job.max(1));
        let start = u64::from(job) * per_job;
        start..(start + per_job).min(self.len().unwrap_or(u64::MAX))
    }

    /// Which input of each source makes input number `number`.
    ///
    /// ```
    /// use cluster_core::inputs::{InputPlan, Link, Source, SourceKind};
    /// let numbers = |last, link| Source { kind: SourceKind::Range { first: 1, last, step: 1 }, link, columns: vec![] };
    /// let plan = InputPlan { sources: vec![numbers(2, Link::Cross), numbers(3, Link::Cross)], per_job: 1, append: true, literal: 0 };
    /// assert_eq!(plan.len(), Some(6));
    /// assert_eq!((0..6).map(|n| plan.picks(n)).collect::<Vec<_>>(),
    ///     [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2]]);
    /// ```
    pub fn picks(&self, number: u64) -> Vec<u64> {
        let mut rest = number;
        let mut picks = vec![0; self.sources.len()];
        let mut group_end = self.sources.len();
        for i in (0..self.sources.len()).rev() {
            if i > 0 && self.sources[i].link == Link::Zip {
                continue;
            }
            let len = self.sources[i].len().max(1);
            picks[i..group_end].fill(rest % len);
            rest /= len;
            group_end = i;
        }
        picks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(first: i64, last: i64, step: i64, link: Link) -> Source {
        Source { kind: SourceKind::Range { first, last, step }, link, columns: vec![] }
    }

    #[test]
    fn ranges_count_both_ends() {
        assert_eq!(range(1, 100, 1, Link::Cross).len(), 100);
        assert_eq!(range(1, 10, 4, Link::Cross).len(), 3);
        assert_eq!(range(5, 1, 1, Link::Cross).len(), 0);
        assert_eq!(range(5, 1, -2, Link::Cross).len(), 3);
        assert_eq!(range(7, 7, 1, Link::Cross).len(), 1);
        assert_eq!(range(i64::MIN, i64::MAX, 1, Link::Cross).len(), 0u64.wrapping_sub(0));
    }

    #[test]
    fn zipped_sources_move_together() {
        let plan = InputPlan {
            sources: vec![
                range(1, 2, 1, Link::Cross),
                range(1, 3, 1, Link::Cross),
                range(4, 6, 1, Link::Zip),
            ],
            per_job: 4,
            append: true,
            literal: 0,
        };
        assert_eq!((plan.len(), plan.jobs()), (Some(6), Some(2)));
        assert_eq!(plan.picks(4), [1, 1, 1]);
        assert_eq!(plan.inputs_of(1), 4..6);
    }
}
