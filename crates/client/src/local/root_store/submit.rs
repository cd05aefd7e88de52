//! Batches and further submissions on their way into the store, with the files that they run by.

use std::collections::HashMap;
use std::{fs, io};

use cluster_core::job_script::{ScriptPlace, moved, render};
use cluster_core::{
    BatchId, ByteString, Cause, Dependency, IndexSet, JobSpec, JobState, SubmissionNumber, Tag, Timestamp,
};
use cluster_jobsdb::{NewBatch, Store, StoreError, Unstarted};
use cluster_localqueue::runner::protocol::{Refusal, RefusalKind, Resubmit, Submit};
use cluster_localqueue::runner::{Accepted, WorkPlan, need_of};

use super::LocalStore;
use crate::local::files::{write_new, write_private};
use crate::stage::is_made;

impl LocalStore {
    /// [`cluster_localqueue::runner::RootStore::submit`].
    pub(super) fn take_batches(&mut self, batches: &[Submit]) -> Vec<Result<Accepted, Refusal>> {
        let checked: Vec<_> = batches.iter().map(|submit| resolved(&mut self.store, &submit.spec)).collect();
        let wanted: Vec<_> = batches
            .iter()
            .zip(&checked)
            .filter(|(_, checked)| checked.is_ok())
            .map(|(submit, _)| self.new_batch(submit))
            .collect();
        let mut taken = match self.store.take_in(&wanted) {
            Ok(taken) => Ok(taken.into_iter()),
            Err(error) => Err(refused(error)),
        };
        let answers = batches.iter().zip(checked).map(|(submit, checked)| {
            let dependencies = checked?;
            let taken = match &mut taken {
                Ok(taken) => taken.next().ok_or_else(|| Refusal {
                    kind: RefusalKind::Store,
                    message: "the store gave too few ids".to_owned(),
                })?,
                Err(refusal) => return Err(refusal.clone()),
            };
            // Asked again, after an answer that was lost: its jobs are queued.
            match taken.new {
                true => self.accept(submit, taken.batch, dependencies),
                false => Ok(Accepted { batch: taken.batch, k: 0, works: Vec::new() }),
            }
        });
        answers.collect()
    }

    /// [`cluster_localqueue::runner::RootStore::resubmit`].
    pub(super) fn take_again(&mut self, what: &Resubmit) -> Result<Accepted, Refusal> {
        if let Some(known) = self.store.find_tag(&what.tag).map_err(refused)? {
            // Asked again after a runner died: its jobs were queued when the root was opened.
            return Ok(Accepted { batch: known.batch, k: known.k, works: Vec::new() });
        }
        let row = self.store.batch(what.batch).map_err(refused)?;
        let row = row.ok_or_else(|| refused(StoreError::UnknownBatch(what.batch)))?;
        // Before anything is stored: what a submission of a cleaned batch has in the store nobody could run.
        if !self.layout.batch(what.batch).is_dir() {
            let message = format!("the files of batch {} were cleaned: submit it anew", what.batch);
            return Err(Refusal { kind: RefusalKind::Usage, message });
        }
        let mut last = self.store.submissions(what.batch).map_err(refused)?;
        last.sort_by_key(|submission| submission.k);
        let last_k = last.last().map_or(0, |submission| submission.k);
        let before = match self.submitted_spec(what.batch, last_k) {
            Some(spec) => spec,
            None => row.spec().map_err(refused)?,
        };
        let spec = &what.spec;
        let dependencies = resolved(&mut self.store, spec)?;
        // Read before anything is stored, too: without it nothing is sent.
        let script = match what.keep_script {
            true => Some(self.kept_script(what.batch, last_k)?),
            false => None,
        };
        let now = Timestamp::now();
        let state = if what.hold { JobState::Held } else { JobState::Queued };
        let k = self.store.resubmit(what.batch, &what.jobs, &what.tag, state, now).map_err(refused)?;
        if spec.priority != before.priority {
            self.store.set_priority(what.batch, Some(&what.jobs), spec.priority).map_err(refused)?;
        }
        if let Err(error) = self.write_submission(what.batch, k, spec, script) {
            let reason = format!("its files cannot be written: {error}");
            let end = Unstarted::Ended { cause: Cause::SubmitRefused, reason: Some(reason.clone()) };
            self.store.set_unstarted(what.batch, Some(&what.jobs), &end, now).map_err(refused)?;
            return Err(Refusal { kind: RefusalKind::Store, message: reason });
        }
        // Jobs of one submission may be in different runs: each run is a work of its own.
        let groups = self
            .store
            .unfinished_after("local", Some(BatchId(what.batch.0 - 1)), Some(1))
            .map_err(refused)?;
        let works = groups
            .iter()
            .filter(|unfinished| unfinished.batch.id == what.batch)
            .flat_map(|unfinished| &unfinished.unstarted)
            .filter(|group| group.k == k)
            .map(|group| {
                let (jobs, held) = match group.state {
                    JobState::Held => (IndexSet::new(), group.jobs.clone()),
                    _ => (group.jobs.clone(), IndexSet::new()),
                };
                let work = plan(what.batch, k, group.run, group.priority, spec, dependencies.clone());
                WorkPlan { jobs, held, ..work }
            })
            .collect();
        Ok(Accepted { batch: what.batch, k, works })
    }

    /// The last script as it lies there, as that of the submission after it.
    fn kept_script(&self, batch: BatchId, last_k: SubmissionNumber) -> Result<Vec<u8>, Refusal> {
        let path = self.layout.script(batch, last_k);
        let root = ByteString::from(self.layout.root().to_owned());
        let place = ScriptPlace { root: &root, batch, k: last_k + 1 };
        let kept = fs::read(&path).map_err(|error| format!("cannot read {}: {error}", path.display()));
        let kept = kept.and_then(|text| {
            moved(&text, place, None)
                .ok_or_else(|| format!("{}: its first two lines are not ours any more", path.display()))
        });
        kept.map_err(|why| Refusal {
            kind: RefusalKind::Usage,
            message: format!("{why}; without --keep-script it is written anew"),
        })
    }

    /// Gives the batch its directory, script and spec. Done again, it changes nothing.
    pub(super) fn make_files(&self, batch: BatchId, tag: &Tag, spec: &JobSpec) -> io::Result<()> {
        let dir = self.layout.batch(batch);
        let stage = self.layout.stage(tag);
        if !is_made(&stage, &dir)? {
            let root = ByteString::from(self.layout.root().to_owned());
            let script = render(ScriptPlace { root: &root, batch, k: 0 }, spec, None);
            write_private(&stage.join("job.0.json"), &serde_json::to_vec(spec)?)?;
            write_private(&stage.join("job.0.sh"), &script)?;
            fs::rename(&stage, &dir)?;
        }
        Ok(())
    }

    pub(super) fn write_submission(
        &self,
        batch: BatchId,
        k: SubmissionNumber,
        spec: &JobSpec,
        script: Option<Vec<u8>>,
    ) -> io::Result<()> {
        let root = ByteString::from(self.layout.root().to_owned());
        let script = script.unwrap_or_else(|| render(ScriptPlace { root: &root, batch, k }, spec, None));
        write_new(&self.layout.spec(batch, k), &serde_json::to_vec(spec)?)?;
        // Last, since its presence says that the rest is there.
        write_new(&self.layout.script(batch, k), &script)
    }

    fn new_batch(&self, submit: &Submit) -> NewBatch {
        NewBatch {
            tag: submit.tag.clone(),
            spec: submit.spec.clone(),
            system: "local".to_owned(),
            scheduler: "local".to_owned(),
            state: if submit.hold { JobState::Held } else { JobState::Queued },
            user: submit.user.clone(),
            terminal: submit.terminal.clone(),
            owner: Some(self.owner.to_string()),
            parent: submit.parent,
            at: Timestamp::now(),
            meta: submit.meta.clone(),
            submissions: Vec::new(),
        }
    }

    fn accept(
        &mut self,
        submit: &Submit,
        batch: BatchId,
        dependencies: Vec<Dependency>,
    ) -> Result<Accepted, Refusal> {
        if let Err(error) = self.make_files(batch, &submit.tag, &submit.spec) {
            let reason = format!("its files cannot be written to {}: {error}", self.layout.jobs().display());
            let end = Unstarted::Ended { cause: Cause::SubmitRefused, reason: Some(reason.clone()) };
            self.store.set_unstarted(batch, None, &end, Timestamp::now()).map_err(refused)?;
            return Err(Refusal { kind: RefusalKind::Store, message: format!("batch {batch}: {reason}") });
        }
        let all = IndexSet::range(0, submit.spec.count);
        let (jobs, held) = if submit.hold { (IndexSet::new(), all) } else { (all, IndexSet::new()) };
        let work =
            WorkPlan { jobs, held, ..plan(batch, 0, 1, submit.spec.priority, &submit.spec, dependencies) };
        Ok(Accepted { batch, k: 0, works: vec![work] })
    }
}

/// Each dependency with all the jobs that it is about.
pub(crate) fn resolved(store: &mut Store, spec: &JobSpec) -> Result<Vec<Dependency>, Refusal> {
    let mut resolved = Vec::with_capacity(spec.dependencies.len());
    let mut counts: HashMap<BatchId, u32> = HashMap::new();
    for dependency in &spec.dependencies {
        let count = match counts.get(&dependency.batch) {
            Some(count) => *count,
            None => {
                let row = store.batch(dependency.batch).map_err(refused)?;
                let row = row.ok_or_else(|| Refusal {
                    kind: RefusalKind::Usage,
                    message: format!("{dependency}: there is no batch {} in this root", dependency.batch),
                })?;
                counts.insert(dependency.batch, row.count);
                row.count
            }
        };
        let all = IndexSet::range(0, count);
        let jobs = dependency.jobs.clone().unwrap_or_else(|| all.clone());
        if let Some(unknown) = jobs.difference(&all).first() {
            return Err(Refusal {
                kind: RefusalKind::Usage,
                message: format!("{dependency}: batch {} has no job {unknown}", dependency.batch),
            });
        }
        resolved.push(Dependency { jobs: Some(jobs), ..dependency.clone() });
    }
    Ok(resolved)
}

pub(super) fn plan(
    batch: BatchId,
    k: SubmissionNumber,
    run: u32,
    priority: i32,
    spec: &JobSpec,
    dependencies: Vec<Dependency>,
) -> WorkPlan {
    WorkPlan {
        batch,
        k,
        run,
        need: need_of(&spec.resources),
        priority,
        jobs: IndexSet::new(),
        held: IndexSet::new(),
        max_running: spec.max_running,
        dependencies,
    }
}

pub(super) fn refused(error: StoreError) -> Refusal {
    let kind = match error {
        StoreError::UnknownBatch(_) | StoreError::UnknownJob { .. } | StoreError::NotEnded { .. } => {
            RefusalKind::Usage
        }
        _ => RefusalKind::Store,
    };
    Refusal { kind, message: error.to_string() }
}
