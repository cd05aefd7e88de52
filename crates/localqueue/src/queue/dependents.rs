//! Works that wait for jobs of other batches.

use cluster_core::{DependencyKind, IndexSet};

use super::work::Work;
use super::{BatchKey, Doomed, Happened, Queue};

impl Queue {
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
