//! What users do to jobs that wait.

use std::collections::BTreeSet;

use cluster_core::IndexSet;

use super::work::{Extra, Jobs, Work};
use super::{BatchKey, Queue};

impl Queue {
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

    pub(super) fn each(&mut self, key: BatchKey, mut change: impl FnMut(&mut Work) -> IndexSet) -> IndexSet {
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
}
