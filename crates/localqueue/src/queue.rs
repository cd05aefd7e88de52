//! The queue: which job starts next. Pure: it knows neither processes nor files nor the clock.
//!
//! Jobs of one submission that ask for the same are one work; its queued jobs are ranges, so a
//! million of them cost as much as one. Works of equal need stand in one class: only the heads of the
//! classes are ever looked at.
//!
//! Order is by priority, then by age. Where the first one in that order does not fit, what is free now
//! is kept for it, and whatever fits beside the kept part goes on starting: no estimate of run times is
//! needed, and nobody starves.

mod beside;
mod change;
mod dependents;
mod order;
mod work;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use cluster_core::{BatchId, DependencyKind, IndexSet, JobIndex, RunNumber, SubmissionNumber};

use crate::capacity::Amount;
use beside::Beside;
use order::{Class, Throttle};
use work::{Extra, Jobs, Work};

/// A root, as the engine numbers it.
pub type RootId = u16;

/// A batch of a root.
pub type BatchKey = (RootId, BatchId);

/// What a work waits for: jobs of another batch of its root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocker {
    /// What lets it go on.
    pub kind: DependencyKind,
    /// The other batch.
    pub batch: BatchId,
    /// Its jobs that have not done so yet.
    pub waiting: IndexSet,
}

/// Jobs that enter the queue together.
#[derive(Debug, Clone)]
pub struct NewWork {
    /// Their batch.
    pub key: BatchKey,
    /// Their submission.
    pub k: SubmissionNumber,
    /// Their run.
    pub run: RunNumber,
    /// What each takes.
    pub need: Amount,
    /// The higher goes first.
    pub priority: i32,
    /// Those that may start.
    pub jobs: IndexSet,
    /// Those that are held.
    pub held: IndexSet,
    /// How many jobs of the batch may run at once.
    pub max_running: Option<u32>,
    /// What they wait for.
    pub blockers: Vec<Blocker>,
}

/// A job that is to start now; what it takes is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start {
    /// Its batch.
    pub key: BatchKey,
    /// Its place there.
    pub index: JobIndex,
    /// Its submission.
    pub k: SubmissionNumber,
    /// Its run.
    pub run: RunNumber,
    /// What it takes.
    pub need: Amount,
}

/// What happened to jobs that others may wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Happened {
    /// They started.
    Started,
    /// They succeeded.
    Succeeded,
    /// They failed.
    Failed,
}

/// Jobs that can never start, because what they wait for went the other way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doomed {
    /// Their batch.
    pub key: BatchKey,
    /// Their submission.
    pub k: SubmissionNumber,
    /// Their run.
    pub run: RunNumber,
    /// The jobs.
    pub jobs: IndexSet,
}

/// How many jobs are in the queue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Queued, also those that wait for others.
    pub queued: u64,
    /// Held.
    pub held: u64,
}

type WorkId = u32;

type Rank = (Reverse<i32>, u32);

/// See the [module](self).
#[derive(Debug, Default)]
pub struct Queue {
    capacity: Amount,
    /// What running jobs take; lent cores are not among it.
    taken: Amount,
    works: Vec<Option<Work>>,
    vacant: Vec<WorkId>,
    next_seq: u32,
    /// The first work of each batch, and the others of the few that have several.
    by_batch: BTreeMap<u64, WorkId>,
    siblings: HashMap<BatchKey, Vec<WorkId>>,
    classes: Vec<Class>,
    class_of: HashMap<Amount, u32>,
    /// The head of each class that has one.
    heads: BTreeSet<(Rank, u32)>,
    throttles: HashMap<BatchKey, Throttle>,
    beside: Beside,
    dependents: HashMap<BatchKey, Vec<WorkId>>,
    counts: Counts,
    draining: bool,
    paused: BTreeSet<RootId>,
}

/// A batch as one number, in the order of root and id; ids stay below 2^48.
fn packed(key: BatchKey) -> u64 {
    u64::from(key.0) << 48 | key.1.0 & ((1 << 48) - 1)
}

fn unpacked(key: u64) -> BatchKey {
    ((key >> 48) as RootId, BatchId(key & ((1 << 48) - 1)))
}

impl Queue {
    /// An empty queue over `capacity`.
    pub fn new(capacity: Amount) -> Self {
        Self { capacity, ..Self::default() }
    }

    /// All that jobs may take.
    pub fn capacity(&self) -> Amount {
        self.capacity
    }

    /// Changes what jobs may take. A lower limit stops no running job.
    pub fn set_capacity(&mut self, capacity: Amount) {
        self.capacity = capacity;
    }

    /// What running jobs take now.
    pub fn taken(&self) -> Amount {
        self.taken
    }

    /// How many jobs wait.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Takes jobs in.
    pub fn push(&mut self, new: NewWork) {
        let seq = self.next_seq;
        self.next_seq = self.next_seq.wrapping_add(1);
        if let Some(limit) = new.max_running {
            self.throttles.entry(new.key).or_insert(Throttle { limit, running: 0 }).limit = limit;
        }
        let blockers: Vec<_> =
            new.blockers.into_iter().filter(|blocker| !blocker.waiting.is_empty()).collect();
        let others: BTreeSet<_> = blockers.iter().map(|blocker| blocker.batch).collect();
        let mut work = Work {
            batch: new.key.1,
            seq,
            k: new.k,
            run: new.run,
            class: self.class(new.need),
            priority: new.priority,
            root: new.key.0,
            all_held: false,
            jobs: Jobs::Range(0, 0),
            extra: (!blockers.is_empty()).then(|| Box::new(Extra { held: IndexSet::new(), blockers })),
        };
        work.set(new.jobs, new.held);
        let id = self.insert(work);
        for other in others {
            self.dependents.entry((new.key.0, other)).or_default().push(id);
        }
    }

    fn insert(&mut self, work: Work) -> WorkId {
        let (queued, held) = work.counts();
        self.counts.queued += queued;
        self.counts.held += held;
        let key = work.key();
        let id = match self.vacant.pop() {
            Some(id) => {
                self.works[id as usize] = Some(work);
                id
            }
            None => {
                if self.works.len() == self.works.capacity() {
                    // Doubling would leave up to half of a long queue's memory unused.
                    self.works.reserve_exact(64 + self.works.len() / 16);
                }
                self.works.push(Some(work));
                (self.works.len() - 1) as WorkId
            }
        };
        match self.by_batch.entry(packed(key)) {
            std::collections::btree_map::Entry::Vacant(entry) => drop(entry.insert(id)),
            std::collections::btree_map::Entry::Occupied(_) => self.siblings.entry(key).or_default().push(id),
        }
        self.make_ready(id);
        id
    }

    /// Takes a work out of the ready ones, changes it, and puts it where it belongs now.
    fn change<T>(&mut self, id: WorkId, change: impl FnOnce(&mut Work) -> T) -> Option<T> {
        self.unready(id);
        let work = self.works.get_mut(id as usize)?.as_mut()?;
        let (queued, held) = work.counts();
        let result = change(work);
        let (queued_now, held_now) = work.counts();
        let over = work.is_over();
        self.counts.queued = self.counts.queued - queued + queued_now;
        self.counts.held = self.counts.held - held + held_now;
        if over {
            self.forget(id);
        } else {
            self.make_ready(id);
        }
        Some(result)
    }

    fn forget(&mut self, id: WorkId) {
        let Some(work) = self.works[id as usize].take() else { return };
        self.vacant.push(id);
        let siblings = self.siblings.get_mut(&work.key());
        if self.by_batch.get(&packed(work.key())) == Some(&id) {
            match siblings.and_then(Vec::pop) {
                Some(other) => drop(self.by_batch.insert(packed(work.key()), other)),
                None => drop(self.by_batch.remove(&packed(work.key()))),
            }
        } else if let Some(siblings) = siblings {
            siblings.retain(|&other| other != id);
        }
        if self.siblings.get(&work.key()).is_some_and(Vec::is_empty) {
            self.siblings.remove(&work.key());
        }
        for blocker in work.blockers() {
            if let Some(ids) = self.dependents.get_mut(&(work.root, blocker.batch)) {
                ids.retain(|&other| other != id);
            }
        }
        if self.by_batch.is_empty() {
            // The queue is empty: give the memory of its longest day back.
            self.works = Vec::new();
            self.vacant = Vec::new();
        }
    }

    fn works_of(&self, key: BatchKey) -> Vec<WorkId> {
        let first = self.by_batch.get(&packed(key)).copied();
        first.into_iter().chain(self.siblings.get(&key).into_iter().flatten().copied()).collect()
    }

    /// Whether any job of the batch has not started.
    pub fn has_unstarted(&self, key: BatchKey) -> bool {
        self.by_batch.contains_key(&packed(key))
    }

    /// Whether any job of the root has not started.
    pub fn has_root_work(&self, root: RootId) -> bool {
        self.of_root(root).next().is_some()
    }

    fn of_root(&self, root: RootId) -> impl Iterator<Item = BatchKey> {
        let all = packed((root, BatchId(0)))..=packed((root, BatchId(u64::MAX)));
        self.by_batch.range(all).map(|(key, _)| unpacked(*key))
    }

    /// Forgets a root and all that waits in it.
    pub fn remove_root(&mut self, root: RootId) {
        let keys: Vec<_> = self.of_root(root).collect();
        for key in keys {
            self.cancel(key, None);
        }
        self.dependents.retain(|key, _| key.0 != root);
        self.throttles.retain(|key, _| key.0 != root);
        self.paused.remove(&root);
    }
}

#[cfg(test)]
mod tests;
