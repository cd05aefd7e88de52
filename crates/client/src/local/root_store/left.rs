//! What was not over when a runner, or a process of `--foreground`, ended.

use std::collections::HashMap;
use std::fs;

use cluster_core::{BatchId, Cause, Dependency, IndexSet, JobSpec, JobState, SubmissionNumber, Timestamp};
use cluster_jobsdb::{BatchRow, StoreError, Unstarted};
use cluster_localqueue::runner::{StartedJob, Unfinished, WorkPlan, need_of};

use super::LocalStore;
use super::submit::plan;
use crate::local::owner::Owner;

impl LocalStore {
    fn unfinished_batch(
        &mut self,
        row: &BatchRow,
        groups: &[cluster_jobsdb::UnstartedGroup],
        all: &mut Unfinished,
        started: &[cluster_jobsdb::StartedJob],
    ) -> Result<(), StoreError> {
        let spec = row.spec()?;
        if !self.layout.script(row.id, 0).exists()
            && let Err(error) = self.make_files(row.id, &row.tag, &spec)
        {
            let reason = format!("its files are gone: {error}");
            let end = Unstarted::Ended { cause: Cause::SubmitRefused, reason: Some(reason) };
            self.store.set_unstarted(row.id, None, &end, Timestamp::now())?;
            return Ok(());
        }
        for group in groups {
            let (jobs, held) = match group.state {
                JobState::Queued | JobState::Submitting => (group.jobs.clone(), IndexSet::new()),
                JobState::Held => (IndexSet::new(), group.jobs.clone()),
                _ => continue,
            };
            let spec = self.submitted_spec(row.id, group.k).unwrap_or_else(|| spec.clone());
            // A retry may wait for others than the batch did.
            let dependencies = self.dependencies_left(&spec)?;
            if group.k > 0 && !self.layout.script(row.id, group.k).exists() {
                // The runner died between the commit and the files.
                let _ = self.write_submission(row.id, group.k, &spec, None);
            }
            let work = plan(row.id, group.k, group.run, group.priority, &spec, dependencies);
            all.works.push(WorkPlan { jobs, held, ..work });
        }
        for job in started {
            let spec = self.submitted_spec(row.id, job.k).unwrap_or_else(|| spec.clone());
            all.started.push(StartedJob {
                batch: row.id,
                index: job.index,
                k: job.k,
                run: job.run,
                need: need_of(&spec.resources),
                started: job.started.unwrap_or_default(),
                cancel_requested: job.cancel_requested.is_some(),
            });
        }
        Ok(())
    }

    /// What jobs wait for. A batch that was removed had ended, and as they wanted: else they would not wait any more.
    fn dependencies_left(&mut self, spec: &JobSpec) -> Result<Vec<Dependency>, StoreError> {
        let mut left = Vec::with_capacity(spec.dependencies.len());
        let mut counts: HashMap<BatchId, Option<u32>> = HashMap::new();
        for dependency in &spec.dependencies {
            let batch = dependency.batch;
            let count = match counts.get(&batch) {
                Some(count) => *count,
                None => {
                    let count = self.store.batch(batch)?.map(|row| row.count);
                    counts.insert(batch, count);
                    count
                }
            };
            match count {
                Some(count) => {
                    let jobs = dependency.jobs.clone().unwrap_or_else(|| IndexSet::range(0, count));
                    left.push(Dependency { jobs: Some(jobs), ..dependency.clone() });
                }
                None => tracing::warn!("{dependency}: batch {batch} was removed"),
            }
        }
        Ok(left)
    }

    /// What is not over and is ours: with `own` all of it, else what a dead process left.
    pub(super) fn unfinished_of(&mut self, own: bool) -> Result<Unfinished, StoreError> {
        let mut all = Unfinished::default();
        let mut after = None;
        loop {
            // Page by page: a hundred thousand batches with their specs are not held at once.
            let page = self.store.unfinished_after("local", after, Some(1000))?;
            let Some(last) = page.last() else { return Ok(all) };
            after = Some(last.batch.id);
            for unfinished in &page {
                let owner = unfinished.batch.owner.as_deref().map(Owner::parse);
                // What a dead process ran itself is ours to settle.
                let left = owner.as_ref().is_some_and(|owner| owner.is_of(&self.owner) && owner.is_gone());
                let ours = left || (own && owner.as_ref() == Some(&self.owner));
                if !ours {
                    continue;
                }
                let batch = &unfinished.batch;
                let mut unstarted = &unfinished.unstarted[..];
                if left {
                    let reason =
                        "it was to end with the process that submitted it in the foreground".to_owned();
                    let end = Unstarted::Ended { cause: Cause::Cancelled, reason: Some(reason) };
                    self.store.set_unstarted(batch.id, None, &end, Timestamp::now())?;
                    unstarted = &[];
                }
                self.unfinished_batch(batch, unstarted, &mut all, &unfinished.started)?;
            }
        }
    }

    /// The spec of a later submission, which may differ from the batch's.
    pub(super) fn submitted_spec(&self, batch: BatchId, k: SubmissionNumber) -> Option<JobSpec> {
        if k == 0 {
            return None;
        }
        serde_json::from_slice(&fs::read(self.layout.spec(batch, k)).ok()?).ok()
    }
}
