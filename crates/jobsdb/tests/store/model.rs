//! The store against a naive model with a row for each job, under random operations on batches and slices.

mod compare;
mod job;
mod op;
mod submissions;

use std::collections::BTreeMap;

use cluster_core::JobState::{Queued, Submitting};
use cluster_core::{IndexSet, SubmissionNumber, Tag, Timestamp};
use cluster_jobsdb::Store;
use proptest::prelude::*;

use job::Job;
use op::{Change, JOBS, Op, change, op};
use submissions::Chunk;

#[derive(Debug, Clone)]
struct Batch {
    jobs: Vec<Job>,
    submissions: Vec<Tag>,
    /// Of the submissions that go through a scheduler.
    chunks: BTreeMap<SubmissionNumber, Chunk>,
}

/// The jobs of a slice, or `None` where one is not there.
fn chosen(batch: &Batch, jobs: Option<&IndexSet>) -> Option<Vec<usize>> {
    let all = batch.jobs.len();
    match jobs {
        None => Some((0..all).collect()),
        Some(jobs) => {
            let chosen: Vec<usize> = jobs.iter().map(|i| i as usize).collect();
            chosen.iter().all(|i| *i < all).then_some(chosen)
        }
    }
}

#[derive(Default)]
struct Model {
    batches: Vec<Batch>,
    tags: BTreeMap<u64, (usize, SubmissionNumber)>,
}

impl Model {
    /// Does the same to the model and to the store; both must agree on whether it can be done.
    fn run(&mut self, store: &mut Store, op: &Op, now: i64) -> Result<(), TestCaseError> {
        let time = Timestamp(now);
        match op {
            Op::Accept { .. } => self.accept(store, op, time)?,
            Op::Apply(changes) => {
                let changes: Vec<_> = changes.iter().map(Change::to_change).collect();
                store.apply(&changes).unwrap();
                for change in &changes {
                    let batch = self.batches.get_mut(change.job.batch.0 as usize - 1);
                    if let Some(job) = batch.and_then(|b| b.jobs.get_mut(change.job.index as usize)) {
                        job.take(change);
                    }
                }
            }
            Op::Unstarted { batch, jobs, to } => {
                let result = store.set_unstarted(id(*batch), jobs.as_ref(), to, time);
                let n = self.each(*batch, jobs.as_ref(), |job| job.move_to(to, now));
                prop_assert_eq!(result.ok(), n);
            }
            Op::Priority { batch, jobs, priority } => {
                let result = store.set_priority(id(*batch), jobs.as_ref(), *priority);
                let n = self.each(*batch, jobs.as_ref(), |job| {
                    let changes = job.waits() && job.priority != *priority;
                    if changes {
                        job.priority = *priority;
                    }
                    changes
                });
                prop_assert_eq!(result.ok(), n);
            }
            Op::RequestCancel { batch, jobs } => {
                let result = store.request_cancel(id(*batch), jobs.as_ref(), time);
                let n = self.each(*batch, jobs.as_ref(), |job| {
                    let changes = !job.state.is_end() && job.cancel_requested.is_none();
                    if changes {
                        job.cancel_requested = Some(now);
                    }
                    changes
                });
                prop_assert_eq!(result.ok(), n);
            }
            Op::Collect { batch, jobs } => {
                let result = store.mark_collected(id(*batch), jobs.as_ref(), time);
                let n = self.each(*batch, jobs.as_ref(), |job| {
                    if job.state.is_end() {
                        job.collected = job.collected.or(Some(now));
                    }
                    true
                });
                prop_assert_eq!(result.is_ok(), n.is_some());
            }
            Op::Clean { batch, jobs } => {
                let result = store.mark_cleaned(id(*batch), jobs.as_ref(), time);
                let n = self.each(*batch, jobs.as_ref(), |job| {
                    if job.state.is_end() {
                        job.cleaned = job.cleaned.or(Some(now));
                    }
                    true
                });
                prop_assert_eq!(result.is_ok(), n.is_some());
            }
            Op::Resubmit { .. } => self.resubmit(store, op, time)?,
            Op::Mark { batch, k, mark } => self.mark(store, *batch, *k, mark, time)?,
            Op::Missing { batch, jobs, missing } => {
                let result = store.set_missing(id(*batch), jobs, missing.then_some(time));
                let n = self.each(*batch, Some(jobs), |job| {
                    let changes =
                        *missing != job.missing_since.is_some() && !(*missing && job.state.is_end());
                    if changes {
                        job.missing_since = missing.then_some(now);
                    }
                    changes
                });
                prop_assert_eq!(result.ok(), n);
            }
        }
        Ok(())
    }

    fn each(
        &mut self,
        batch: usize,
        jobs: Option<&IndexSet>,
        mut change: impl FnMut(&mut Job) -> bool,
    ) -> Option<u64> {
        let batch = self.batches.get_mut(batch)?;
        let chosen = chosen(batch, jobs)?;
        Some(chosen.into_iter().filter(|i| change(&mut batch.jobs[*i])).count() as u64)
    }
}

fn id(place: usize) -> cluster_core::BatchId {
    cluster_core::BatchId(place as u64 + 1)
}

/// A batch to begin with, through a scheduler or not.
fn first() -> impl Strategy<Value = Op> {
    let local = (Queued, 0);
    prop::sample::select(vec![local, (Submitting, 1), (Submitting, 2)])
        .prop_map(|(state, parts)| Op::Accept { tag: 0, count: JOBS, state, priority: 0, parts })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn the_store_is_what_a_row_for_each_job_would_be(first in first(), ops in prop::collection::vec(op(), 1..14)) {
        let root = tempfile::tempdir().unwrap();
        let mut store = crate::open(root.path());
        let mut model = Model::default();
        for (now, op) in (20..).zip(std::iter::once(&first).chain(&ops)) {
            model.run(&mut store, op, now)?;
        }
        model.compare(&mut store)?;
    }

    #[test]
    fn applying_the_same_changes_again_is_harmless(
        first in first(),
        before in prop::collection::vec(op(), 0..5),
        changes in prop::collection::vec(change(), 1..10),
    ) {
        let root = tempfile::tempdir().unwrap();
        let mut store = crate::open(root.path());
        let mut model = Model::default();
        for (now, op) in (20..).zip(std::iter::once(&first).chain(&before)) {
            model.run(&mut store, op, now)?;
        }
        let changes: Vec<_> = changes.iter().map(Change::to_change).collect();
        store.apply(&changes).unwrap();
        let mut once = Vec::new();
        store.export(&mut once).unwrap();
        store.apply(&changes).unwrap();
        let mut twice = Vec::new();
        store.export(&mut twice).unwrap();
        prop_assert_eq!(String::from_utf8(once).unwrap(), String::from_utf8(twice).unwrap());
    }
}
