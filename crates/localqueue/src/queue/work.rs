//! Jobs of one submission that are alike, as the queue keeps them.

use std::cmp::Reverse;

use cluster_core::{BatchId, IndexSet, JobIndex, RunNumber, SubmissionNumber};

use super::{BatchKey, Blocker, Rank, RootId};

/// The jobs of a work that may start: nearly always one range.
#[derive(Debug)]
pub(super) enum Jobs {
    Range(JobIndex, JobIndex),
    Set(Box<IndexSet>),
}

impl Jobs {
    pub(super) fn new(set: IndexSet) -> Self {
        match set.ranges() {
            [] => Self::Range(0, 0),
            &[(start, end)] => Self::Range(start, end),
            _ => Self::Set(Box::new(set)),
        }
    }

    pub(super) fn pop_first(&mut self) -> Option<JobIndex> {
        match self {
            Self::Range(start, end) if *start < *end => {
                *start += 1;
                Some(*start - 1)
            }
            Self::Range(..) => None,
            Self::Set(set) => set.pop_first(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Range(start, end) => start >= end,
            Self::Set(set) => set.is_empty(),
        }
    }

    pub(super) fn len(&self) -> u64 {
        match self {
            Self::Range(start, end) => u64::from(end - start),
            Self::Set(set) => set.len(),
        }
    }

    pub(super) fn to_set(&self) -> IndexSet {
        match self {
            Self::Range(start, end) => IndexSet::range(*start, *end),
            Self::Set(set) => (**set).clone(),
        }
    }
}

/// What few works have.
#[derive(Debug, Default)]
pub(super) struct Extra {
    /// Held jobs beside others that are not.
    pub(super) held: IndexSet,
    pub(super) blockers: Vec<Blocker>,
}

/// Kept small: a hundred thousand single jobs are as many of these.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) batch: BatchId,
    /// Age, and the place among those of equal priority.
    pub(super) seq: u32,
    pub(super) k: SubmissionNumber,
    pub(super) run: RunNumber,
    pub(super) class: u32,
    pub(super) priority: i32,
    pub(super) root: RootId,
    /// Whether `jobs` are held, all of them.
    pub(super) all_held: bool,
    pub(super) jobs: Jobs,
    pub(super) extra: Option<Box<Extra>>,
}

impl Work {
    pub(super) fn rank(&self) -> Rank {
        (Reverse(self.priority), self.seq)
    }

    pub(super) fn key(&self) -> BatchKey {
        (self.root, self.batch)
    }

    /// Jobs that may start, and jobs that are held.
    pub(super) fn counts(&self) -> (u64, u64) {
        let beside = self.extra.as_ref().map_or(0, |extra| extra.held.len());
        if self.all_held { (0, self.jobs.len() + beside) } else { (self.jobs.len(), beside) }
    }

    /// The same as sets.
    pub(super) fn sets(&self) -> (IndexSet, IndexSet) {
        let beside = self.extra.as_ref().map(|extra| extra.held.clone()).unwrap_or_default();
        if self.all_held {
            (IndexSet::new(), self.jobs.to_set().union(&beside))
        } else {
            (self.jobs.to_set(), beside)
        }
    }

    pub(super) fn set(&mut self, pending: IndexSet, held: IndexSet) {
        self.all_held = pending.is_empty() && !held.is_empty();
        let (jobs, beside) = if self.all_held { (held, pending) } else { (pending, held) };
        self.jobs = Jobs::new(jobs);
        if !beside.is_empty() || self.extra.is_some() {
            self.extra.get_or_insert_default().held = beside;
        }
    }

    pub(super) fn blockers(&self) -> &[Blocker] {
        self.extra.as_ref().map_or(&[], |extra| &extra.blockers)
    }

    pub(super) fn is_blocked(&self) -> bool {
        !self.blockers().is_empty()
    }

    pub(super) fn is_over(&self) -> bool {
        self.counts() == (0, 0)
    }

    /// Everything in it that has not started.
    pub(super) fn unstarted(&self) -> IndexSet {
        let (pending, held) = self.sets();
        pending.union(&held)
    }
}
