//! Events of the queue as the store takes them.

use cluster_core::{BatchId, Cause, IndexSet, JobId, JobState, SubmissionNumber, Timestamp};
use cluster_jobsdb::{JobChange, JobQuery, OutputPlace, StoreError, StreamPlace, Unstarted, Usage};
use cluster_localqueue::event::{Ended, Event, StreamPlace as Place};
use cluster_localqueue::runner::StoreFailure;

use super::{LocalStore, failed};
use crate::scheduler::never;

impl LocalStore {
    /// [`cluster_localqueue::runner::RootStore::commit`].
    pub(super) fn take_facts(&mut self, events: &[Event]) -> Result<(), StoreFailure> {
        let mut changes = Vec::with_capacity(events.len());
        for event in events {
            match event {
                Event::Started { batch, index, k, run, at, pid } => changes.push(JobChange {
                    started: Some(*at),
                    host: Some(self.host.clone()),
                    pid: Some(*pid).filter(|&pid| pid != 0),
                    ..JobChange::new(JobId { batch: *batch, index: *index }, *k, *run, JobState::Running, *at)
                }),
                Event::Ended(ended) => changes.push(self.ended(ended)),
                Event::Unstarted { batch, k, jobs, cause, at, .. } => {
                    self.store.apply(&std::mem::take(&mut changes)).map_err(failed)?;
                    self.never_started(*batch, *k, jobs, *cause, *at).map_err(failed)?;
                }
            }
        }
        self.store.apply(&changes).map_err(failed)
    }

    /// Ends jobs that never ran. A replay may come after the batch was removed, or after a retry: neither is
    /// touched by it.
    fn never_started(
        &mut self,
        batch: BatchId,
        k: SubmissionNumber,
        jobs: &IndexSet,
        cause: Cause,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        if self.store.batch(batch)?.is_none() {
            return Ok(());
        }
        let mut jobs = jobs.clone();
        if self.store.submissions(batch)?.iter().any(|submission| submission.k > k) {
            let query = JobQuery { jobs: Some(jobs.clone()), limit: u32::MAX, ..JobQuery::default() };
            let later = self.store.jobs(batch, &query)?.into_iter().filter(|row| row.k > k);
            jobs = jobs.difference(&later.map(|row| row.id.index).collect());
        }
        if jobs.is_empty() {
            return Ok(());
        }
        let reason = match cause {
            Cause::DependencyNeverSatisfied => self.why_never(batch, k),
            _ => None,
        };
        self.store.set_unstarted(batch, Some(&jobs), &Unstarted::Ended { cause, reason }, at).map(drop)
    }

    /// What kept the jobs of a submission from ever starting, for people: without it they have only the cause.
    fn why_never(&mut self, batch: BatchId, k: SubmissionNumber) -> Option<String> {
        let spec = match self.submitted_spec(batch, k) {
            Some(spec) => spec,
            None => self.store.batch(batch).ok()??.spec().ok()?,
        };
        never(&mut self.store, &spec).ok()?
    }

    fn ended(&self, ended: &Ended) -> JobChange {
        let id = JobId { batch: ended.batch, index: ended.index };
        let place = |place: Place| match place {
            Place::File(bytes) => StreamPlace::File { bytes },
            Place::Pack { offset, len } => StreamPlace::Pack { offset, len },
        };
        JobChange {
            cause: Some(ended.cause),
            status: ended.status,
            reason: ended.reason.clone(),
            started: Some(ended.started),
            ended: Some(ended.ended),
            host: Some(self.host.clone()),
            pid: Some(ended.pid).filter(|&pid| pid != 0),
            output: Some(OutputPlace { pack: ended.k, out: place(ended.out), err: place(ended.err) }),
            usage: Some(Usage { cpu_us: ended.usage.cpu_us, max_rss_kb: ended.usage.max_rss_kb }),
            ..JobChange::new(id, ended.k, ended.run, ended.cause.state(), ended.ended)
        }
    }
}
