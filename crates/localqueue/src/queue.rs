//! The queue: which job starts next. Pure: it knows neither processes nor files nor the clock.
//!
//! Jobs of one submission that ask for the same are one work; its queued jobs are ranges, so a
//! million of them cost as much as one. Works of equal need stand in one class: only the heads of the
//! classes are ever looked at.
//!
//! Order is by priority, then by age. Where the first one in that order does not fit, what is free now
//! is kept for it, and whatever fits beside the kept part goes on starting: no estimate of run times is
//! needed, and nobody starves.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use cluster_core::{BatchId, DependencyKind, IndexSet, JobIndex, RunNumber, SubmissionNumber};

use crate::capacity::Amount;

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

/// The jobs of a work that may start: nearly always one range.
#[derive(Debug)]
enum Jobs {
    Range(JobIndex, JobIndex),
    Set(Box<IndexSet>),
}

impl Jobs {
    fn new(set: IndexSet) -> Self {
        match set.ranges() {
            [] => Self::Range(0, 0),
            &[(start, end)] => Self::Range(start, end),
            _ => Self::Set(Box::new(set)),
        }
    }

    fn pop_first(&mut self) -> Option<JobIndex> {
        match self {
            Self::Range(start, end) if *start < *end => {
                *start += 1;
                Some(*start - 1)
            }
            Self::Range(..) => None,
            Self::Set(set) => set.pop_first(),
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Self::Range(start, end) => start >= end,
            Self::Set(set) => set.is_empty(),
        }
    }

    fn len(&self) -> u64 {
        match self {
            Self::Range(start, end) => u64::from(end - start),
            Self::Set(set) => set.len(),
        }
    }

    fn to_set(&self) -> IndexSet {
        match self {
            Self::Range(start, end) => IndexSet::range(*start, *end),
            Self::Set(set) => (**set).clone(),
        }
    }
}

/// What few works have.
#[derive(Debug, Default)]
struct Extra {
    /// Held jobs beside others that are not.
    held: IndexSet,
    blockers: Vec<Blocker>,
}

/// Kept small: a hundred thousand single jobs are as many of these.
#[derive(Debug)]
struct Work {
    batch: BatchId,
    /// Age, and the place among those of equal priority.
    seq: u32,
    k: SubmissionNumber,
    run: RunNumber,
    class: u32,
    priority: i32,
    root: RootId,
    /// Whether `jobs` are held, all of them.
    all_held: bool,
    jobs: Jobs,
    extra: Option<Box<Extra>>,
}

impl Work {
    fn rank(&self) -> (Reverse<i32>, u32) {
        (Reverse(self.priority), self.seq)
    }

    fn key(&self) -> BatchKey {
        (self.root, self.batch)
    }

    /// Jobs that may start, and jobs that are held.
    fn counts(&self) -> (u64, u64) {
        let beside = self.extra.as_ref().map_or(0, |extra| extra.held.len());
        if self.all_held { (0, self.jobs.len() + beside) } else { (self.jobs.len(), beside) }
    }

    /// The same as sets.
    fn sets(&self) -> (IndexSet, IndexSet) {
        let beside = self.extra.as_ref().map(|extra| extra.held.clone()).unwrap_or_default();
        if self.all_held {
            (IndexSet::new(), self.jobs.to_set().union(&beside))
        } else {
            (self.jobs.to_set(), beside)
        }
    }

    fn set(&mut self, pending: IndexSet, held: IndexSet) {
        self.all_held = pending.is_empty() && !held.is_empty();
        let (jobs, beside) = if self.all_held { (held, pending) } else { (pending, held) };
        self.jobs = Jobs::new(jobs);
        if !beside.is_empty() || self.extra.is_some() {
            self.extra.get_or_insert_default().held = beside;
        }
    }

    fn blockers(&self) -> &[Blocker] {
        self.extra.as_ref().map_or(&[], |extra| &extra.blockers)
    }

    fn is_blocked(&self) -> bool {
        !self.blockers().is_empty()
    }

    fn is_over(&self) -> bool {
        self.counts() == (0, 0)
    }

    /// Everything in it that has not started.
    fn unstarted(&self) -> IndexSet {
        let (pending, held) = self.sets();
        pending.union(&held)
    }
}

type Rank = (Reverse<i32>, u32);

#[derive(Debug)]
struct Class {
    need: Amount,
    ready: BTreeSet<(Rank, WorkId)>,
}

#[derive(Debug, Clone, Copy)]
struct Throttle {
    limit: u32,
    running: u32,
}

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

    /// From now on nothing starts (or again something does).
    pub fn set_draining(&mut self, draining: bool) {
        self.draining = draining;
    }

    /// Whether it drains.
    pub fn is_draining(&self) -> bool {
        self.draining
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

    fn class(&mut self, need: Amount) -> u32 {
        *self.class_of.entry(need).or_insert_with(|| {
            self.classes.push(Class { need, ready: BTreeSet::new() });
            (self.classes.len() - 1) as u32
        })
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

    fn make_ready(&mut self, id: WorkId) {
        let Some(work) = &self.works[id as usize] else { return };
        let throttle = self.throttles.get(&work.key());
        let throttled = throttle.is_some_and(|throttle| throttle.running >= throttle.limit);
        let none = work.jobs.is_empty() || work.all_held;
        if none || work.is_blocked() || throttled || self.paused.contains(&work.root) {
            return;
        }
        let (rank, class) = (work.rank(), work.class);
        let ready = &mut self.classes[class as usize].ready;
        let old = ready.first().map(|&(rank, _)| rank);
        if ready.insert((rank, id)) && old.is_none_or(|old| rank < old) {
            if let Some(old) = old {
                self.heads.remove(&(old, class));
            }
            self.heads.insert((rank, class));
        }
    }

    fn unready(&mut self, id: WorkId) {
        let Some(work) = self.works.get(id as usize).and_then(Option::as_ref) else { return };
        let (rank, class) = (work.rank(), work.class);
        let ready = &mut self.classes[class as usize].ready;
        let was_head = ready.first().is_some_and(|&(first, first_id)| first == rank && first_id == id);
        if ready.remove(&(rank, id)) && was_head {
            self.heads.remove(&(rank, class));
            if let Some(&(next, _)) = self.classes[class as usize].ready.first() {
                self.heads.insert((next, class));
            }
        }
    }

    /// The class whose head may start now.
    fn startable(&self) -> Option<u32> {
        if self.draining {
            return None;
        }
        let mut free = self.capacity.saturating_sub(&self.taken);
        let mut kept_for_one = false;
        for &(_, class) in &self.heads {
            if free.cores == 0 {
                return None;
            }
            let need = &self.classes[class as usize].need;
            if free.fits(need) {
                return Some(class);
            }
            // What can never fit (the limit was lowered) must not keep anything from others.
            if !kept_for_one && self.capacity.fits(need) {
                kept_for_one = true;
                free = free.saturating_sub(need);
            }
        }
        None
    }

    /// Whether a job could start now.
    pub fn can_start(&self) -> bool {
        self.startable().is_some()
    }

    /// The job that starts now, if one does.
    pub fn start_next(&mut self) -> Option<Start> {
        let class = self.startable()? as usize;
        let id = self.classes[class].ready.first()?.1;
        let need = self.classes[class].need;
        let work = self.works[id as usize].as_mut()?;
        let index = work.jobs.pop_first()?;
        let start = Start { key: work.key(), index, k: work.k, run: work.run, need };
        let empty = work.jobs.is_empty();
        if empty {
            // Where only held ones are left, they are its jobs now.
            let (pending, held) = work.sets();
            work.set(pending, held);
        }
        let over = work.is_over();
        self.counts.queued -= 1;
        self.taken = self.taken.saturating_add(&need);
        let mut throttled = false;
        if let Some(throttle) = self.throttles.get_mut(&start.key) {
            throttle.running += 1;
            throttled = throttle.running >= throttle.limit;
        }
        if throttled {
            for id in self.works_of(start.key) {
                self.unready(id);
            }
        } else if empty {
            self.unready(id);
        }
        if over {
            self.unready(id);
            self.forget(id);
        }
        Some(start)
    }

    /// A job that was found running takes its part (it is not in the queue).
    pub fn adopt(&mut self, key: BatchKey, need: Amount) {
        self.taken = self.taken.saturating_add(&need);
        // Its limit comes with the jobs that wait, if there are any.
        self.throttles.entry(key).or_insert(Throttle { limit: u32::MAX, running: 0 }).running += 1;
    }

    /// A running job is over: what it took is free again.
    pub fn finished(&mut self, key: BatchKey, need: Amount) {
        self.taken = self.taken.saturating_sub(&need);
        let Some(throttle) = self.throttles.get_mut(&key) else { return };
        throttle.running = throttle.running.saturating_sub(1);
        if throttle.running == 0 && !self.by_batch.contains_key(&packed(key)) {
            self.throttles.remove(&key);
        } else {
            for id in self.works_of(key) {
                self.make_ready(id);
            }
        }
    }

    /// A job that waits lends what it took (`lend`), or takes it back.
    pub fn lend(&mut self, need: Amount, lend: bool) {
        self.taken = if lend { self.taken.saturating_sub(&need) } else { self.taken.saturating_add(&need) };
    }

    fn works_of(&self, key: BatchKey) -> Vec<WorkId> {
        let first = self.by_batch.get(&packed(key)).copied();
        first.into_iter().chain(self.siblings.get(&key).into_iter().flatten().copied()).collect()
    }

    /// Whether any job of the batch has not started.
    pub fn has_unstarted(&self, key: BatchKey) -> bool {
        self.by_batch.contains_key(&packed(key))
    }

    /// Holds those of `jobs` (`None`: all) that are queued. Returns them.
    pub fn hold(&mut self, key: BatchKey, jobs: Option<&IndexSet>) -> IndexSet {
        self.each(key, |work| {
            let (pending, held) = work.sets();
            let moved = jobs.map_or_else(|| pending.clone(), |jobs| pending.intersection(jobs));
            if !moved.is_empty() {
                work.set(pending.difference(&moved), held.union(&moved));
            }
            moved
        })
    }

    /// Lets those of `jobs` that are held go. Returns them.
    pub fn release(&mut self, key: BatchKey, jobs: Option<&IndexSet>) -> IndexSet {
        self.each(key, |work| {
            let (pending, held) = work.sets();
            let moved = jobs.map_or_else(|| held.clone(), |jobs| held.intersection(jobs));
            if !moved.is_empty() {
                work.set(pending.union(&moved), held.difference(&moved));
            }
            moved
        })
    }

    /// Takes those of `jobs` that have not started out of the queue. Returns them.
    pub fn cancel(&mut self, key: BatchKey, jobs: Option<&IndexSet>) -> IndexSet {
        self.each(key, |work| {
            let (pending, held) = work.sets();
            let all = pending.union(&held);
            let gone = jobs.map_or_else(|| all.clone(), |jobs| all.intersection(jobs));
            work.set(pending.difference(&gone), held.difference(&gone));
            gone
        })
    }

    fn each(&mut self, key: BatchKey, mut change: impl FnMut(&mut Work) -> IndexSet) -> IndexSet {
        let mut changed = IndexSet::new();
        for id in self.works_of(key) {
            if let Some(some) = self.change(id, &mut change) {
                changed = changed.union(&some);
            }
        }
        changed
    }

    /// Gives those of `jobs` that have not started another priority; they keep their age. Returns them.
    pub fn set_priority(&mut self, key: BatchKey, jobs: Option<&IndexSet>, priority: i32) -> IndexSet {
        let mut changed = IndexSet::new();
        for id in self.works_of(key) {
            let split = self.change(id, |work| {
                let all = work.unstarted();
                let moved = jobs.map_or_else(|| all.clone(), |jobs| all.intersection(jobs));
                if moved.is_empty() || work.priority == priority {
                    return (moved, None);
                }
                if moved == all {
                    work.priority = priority;
                    return (moved, None);
                }
                let (pending, held) = work.sets();
                let blockers = work.blockers().to_vec();
                work.set(pending.difference(&moved), held.difference(&moved));
                let mut part = Work {
                    batch: work.batch,
                    seq: work.seq,
                    k: work.k,
                    run: work.run,
                    class: work.class,
                    priority,
                    root: work.root,
                    all_held: false,
                    jobs: Jobs::Range(0, 0),
                    extra: (!blockers.is_empty())
                        .then(|| Box::new(Extra { held: IndexSet::new(), blockers })),
                };
                part.set(pending.intersection(&moved), held.intersection(&moved));
                (moved, Some(part))
            });
            let Some((moved, part)) = split else { continue };
            changed = changed.union(&moved);
            if let Some(part) = part {
                let others: BTreeSet<_> = part.blockers().iter().map(|blocker| blocker.batch).collect();
                let id = self.insert(part);
                for other in others {
                    self.dependents.entry((key.0, other)).or_default().push(id);
                }
            }
        }
        changed
    }

    /// Whether a job could start if nothing else ran.
    pub fn could_start(&self) -> bool {
        self.heads.iter().any(|&(_, class)| self.capacity.fits(&self.classes[class as usize].need))
    }

    /// Whether any job of the root has not started.
    pub fn has_root_work(&self, root: RootId) -> bool {
        self.of_root(root).next().is_some()
    }

    /// Whether anybody waits for this batch.
    pub fn has_dependents(&self, key: BatchKey) -> bool {
        self.dependents.get(&key).is_some_and(|ids| !ids.is_empty())
    }

    /// Tells those that wait what happened to `jobs` of a batch. Returns the jobs that can never start now;
    /// they have left the queue. Whoever waits for these is to be told as well, once that is on record.
    pub fn happened(&mut self, key: BatchKey, jobs: &IndexSet, what: Happened) -> Vec<Doomed> {
        let mut doomed = Vec::new();
        for id in self.dependents.get(&key).cloned().unwrap_or_default() {
            let ours = |work: &Work| work.root == key.0;
            if !self.works.get(id as usize).and_then(Option::as_ref).is_some_and(ours) {
                continue;
            }
            let contradicted = self.change(id, |work| {
                let mut contradicted = false;
                for blocker in work.extra.iter_mut().flat_map(|extra| &mut extra.blockers) {
                    if blocker.batch != key.1 {
                        continue;
                    }
                    let about = blocker.waiting.intersection(jobs);
                    if about.is_empty() {
                        continue;
                    }
                    match verdict(blocker.kind, what) {
                        None => {}
                        Some(true) => blocker.waiting = blocker.waiting.difference(&about),
                        Some(false) => contradicted = true,
                    }
                }
                if let Some(extra) = &mut work.extra {
                    extra.blockers.retain(|blocker| !blocker.waiting.is_empty());
                }
                let gone = contradicted.then(|| work.unstarted());
                if gone.is_some() {
                    work.set(IndexSet::new(), IndexSet::new());
                }
                gone.map(|jobs| Doomed { key: work.key(), k: work.k, run: work.run, jobs })
            });
            doomed.extend(contradicted.flatten());
            // Ids are used again: one that waits for nothing of this batch any more must not be found here.
            let waits = |work: &Work| work.root == key.0 && work.blockers().iter().any(|b| b.batch == key.1);
            if !self.works.get(id as usize).and_then(Option::as_ref).is_some_and(waits)
                && let Some(ids) = self.dependents.get_mut(&key)
            {
                ids.retain(|&other| other != id);
            }
        }
        if self.dependents.get(&key).is_some_and(Vec::is_empty) {
            self.dependents.remove(&key);
        }
        doomed
    }

    /// From now on nothing of this root starts (or again something does): its disk is full, or gone.
    pub fn pause_root(&mut self, root: RootId, paused: bool) {
        if paused != self.paused.contains(&root) {
            let ids: Vec<_> = self.of_root(root).flat_map(|key| self.works_of(key)).collect();
            if paused {
                self.paused.insert(root);
                ids.into_iter().for_each(|id| self.unready(id));
            } else {
                self.paused.remove(&root);
                ids.into_iter().for_each(|id| self.make_ready(id));
            }
        }
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

/// Whether `what` satisfies (`true`) or contradicts (`false`) a dependency; `None`: it says nothing yet.
fn verdict(kind: DependencyKind, what: Happened) -> Option<bool> {
    match (kind, what) {
        (DependencyKind::After, _) => Some(true),
        (_, Happened::Started) => None,
        (DependencyKind::AfterAny, _) => Some(true),
        (DependencyKind::AfterOk, Happened::Succeeded) | (DependencyKind::AfterNotOk, Happened::Failed) => {
            Some(true)
        }
        (DependencyKind::AfterOk | DependencyKind::AfterNotOk, _) => Some(false),
    }
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
