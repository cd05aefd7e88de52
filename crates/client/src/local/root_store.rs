//! What the runner does with a root's store.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;

use cluster_core::job_script::{ScriptPlace, moved, render};
use cluster_core::{
    BatchId, ByteString, Cause, Dependency, IndexSet, JobId, JobSpec, JobState, SubmissionNumber, Tag,
    Timestamp,
};
use cluster_jobsdb::{
    BatchRow, CancelRequest, FileSystem, JobChange, JobQuery, NewBatch, OutputPlace, Store, StoreError,
    StreamPlace, Unstarted, Usage,
};
use cluster_localqueue::event::{Ended, Event, StreamPlace as Place};
use cluster_localqueue::runner::protocol::{Refusal, RefusalKind, Resubmit, Submit};
use cluster_localqueue::runner::{
    Accepted, Asked, Change, RootStore, Settled, StartedJob, StoreFailure, Unfinished, WorkPlan, need_of,
};

use super::files::{write_new, write_private};
use super::owner::Owner;
use crate::layout::Layout;

/// A root's store in the hands of the runner.
pub struct LocalStore {
    store: Store,
    layout: Layout,
    owner: Owner,
    host: String,
    /// Held for life: no other runner serves this root.
    _claim: Option<File>,
}

impl LocalStore {
    /// `store`, whose local jobs belong to `owner`.
    pub fn new(store: Store, layout: Layout, owner: Owner, claim: Option<File>) -> Self {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Self { store, layout, owner, host, _claim: claim }
    }

    /// Gives the batch its directory, script and spec. Done again, it changes nothing.
    fn make_files(&self, batch: BatchId, tag: &Tag, spec: &JobSpec) -> io::Result<()> {
        let dir = self.layout.batch(batch);
        let stage = self.layout.stage(tag);
        if !dir.is_dir() {
            let root = ByteString::from(self.layout.root().to_owned());
            let script = render(ScriptPlace { root: &root, batch, k: 0 }, spec, None);
            write_private(&stage.join("job.0.json"), &serde_json::to_vec(spec)?)?;
            write_private(&stage.join("job.0.sh"), &script)?;
            fs::rename(&stage, &dir)?;
        }
        Ok(())
    }

    fn write_submission(
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

    /// Each dependency with all the jobs that it is about.
    fn dependencies(&mut self, spec: &JobSpec) -> Result<Vec<Dependency>, Refusal> {
        let mut resolved = Vec::with_capacity(spec.dependencies.len());
        let mut counts: HashMap<BatchId, u32> = HashMap::new();
        for dependency in &spec.dependencies {
            let count = match counts.get(&dependency.batch) {
                Some(count) => *count,
                None => {
                    let row = self.store.batch(dependency.batch).map_err(refused)?;
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
        let dependencies = self.dependencies(&spec).unwrap_or_default();
        for group in groups {
            let (jobs, held) = match group.state {
                JobState::Queued | JobState::Submitting => (group.jobs.clone(), IndexSet::new()),
                JobState::Held => (IndexSet::new(), group.jobs.clone()),
                _ => continue,
            };
            let spec = self.submitted_spec(row.id, group.k).unwrap_or_else(|| spec.clone());
            if group.k > 0 && !self.layout.script(row.id, group.k).exists() {
                // The runner died between the commit and the files.
                let _ = self.write_submission(row.id, group.k, &spec, None);
            }
            let work = plan(row.id, group.k, group.run, group.priority, &spec, dependencies.clone());
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

    /// The spec of a later submission, which may differ from the batch's.
    fn submitted_spec(&self, batch: BatchId, k: SubmissionNumber) -> Option<JobSpec> {
        if k == 0 {
            return None;
        }
        serde_json::from_slice(&fs::read(self.layout.spec(batch, k)).ok()?).ok()
    }
}

fn plan(
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

fn refused(error: StoreError) -> Refusal {
    let kind = match error {
        StoreError::UnknownBatch(_) | StoreError::UnknownJob { .. } | StoreError::NotEnded { .. } => {
            RefusalKind::Usage
        }
        _ => RefusalKind::Store,
    };
    Refusal { kind, message: error.to_string() }
}

fn failed(error: StoreError) -> StoreFailure {
    StoreFailure(error.to_string())
}

impl RootStore for LocalStore {
    fn submit(&mut self, batches: &[Submit]) -> Vec<Result<Accepted, Refusal>> {
        let mut checked: Vec<Result<Vec<Dependency>, Refusal>> = Vec::with_capacity(batches.len());
        let mut known: Vec<Option<BatchId>> = Vec::with_capacity(batches.len());
        for submit in batches {
            match self.store.find_tag(&submit.tag) {
                Ok(row) => known.push(row.map(|row| row.batch)),
                Err(error) => {
                    known.push(None);
                    checked.push(Err(refused(error)));
                    continue;
                }
            }
            checked.push(self.dependencies(&submit.spec));
        }
        let wanted: Vec<_> = batches
            .iter()
            .zip(&checked)
            .zip(&known)
            .filter(|((_, checked), known)| checked.is_ok() && known.is_none())
            .map(|((submit, _), _)| self.new_batch(submit))
            .collect();
        let mut made = match self.store.accept(&wanted) {
            Ok(ids) => Ok(ids.into_iter()),
            Err(error) => Err(refused(error)),
        };
        let answers = batches.iter().zip(checked).zip(known).map(|((submit, checked), known)| {
            let dependencies = checked?;
            if let Some(batch) = known {
                return Ok(Accepted { batch, k: 0, works: Vec::new() });
            }
            let batch = match &mut made {
                Ok(ids) => ids.next().ok_or_else(|| Refusal {
                    kind: RefusalKind::Store,
                    message: "the store gave too few ids".to_owned(),
                })?,
                Err(refusal) => return Err(refusal.clone()),
            };
            self.accept(submit, batch, dependencies)
        });
        answers.collect()
    }

    fn resubmit(&mut self, what: &Resubmit) -> Result<Accepted, Refusal> {
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
        let spec = what.spec.clone().unwrap_or(before);
        let dependencies = self.dependencies(&spec)?;
        let now = Timestamp::now();
        let k =
            self.store.resubmit(what.batch, &what.jobs, &what.tag, JobState::Queued, now).map_err(refused)?;
        let files = || -> io::Result<()> {
            let script = match what.keep_script {
                false => None,
                true => {
                    let path = self.layout.script(what.batch, last_k);
                    let root = ByteString::from(self.layout.root().to_owned());
                    let place = ScriptPlace { root: &root, batch: what.batch, k };
                    let moved = moved(&fs::read(&path)?, place, None);
                    Some(moved.ok_or_else(|| {
                        let text = format!("{}: its first two lines are not ours any more", path.display());
                        io::Error::new(io::ErrorKind::InvalidData, text)
                    })?)
                }
            };
            self.write_submission(what.batch, k, &spec, script)
        };
        if let Err(error) = files() {
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
            .map(|group| WorkPlan {
                jobs: group.jobs.clone(),
                ..plan(what.batch, k, group.run, group.priority, &spec, dependencies.clone())
            })
            .collect();
        Ok(Accepted { batch: what.batch, k, works })
    }

    fn unfinished(&mut self) -> Result<Unfinished, StoreFailure> {
        self.unfinished_of(true).map_err(failed)
    }

    fn orphans(&mut self) -> Result<Unfinished, StoreFailure> {
        self.unfinished_of(false).map_err(failed)
    }

    fn settled(&mut self, batch: BatchId) -> Result<Settled, StoreFailure> {
        let mut of = |states: &[JobState]| self.store.indices_in(batch, states).map_err(failed);
        Ok(Settled {
            succeeded: of(&[JobState::Succeeded])?,
            failed: of(&[JobState::Failed])?,
            started: of(&[JobState::Running, JobState::Suspended])?,
        })
    }

    fn commit(&mut self, events: &[Event]) -> Result<(), StoreFailure> {
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

    fn change(
        &mut self,
        batch: BatchId,
        jobs: Option<&IndexSet>,
        change: &Change,
    ) -> Result<u64, StoreFailure> {
        let now = Timestamp::now();
        let result = match change {
            Change::Hold => self.store.set_unstarted(batch, jobs, &Unstarted::Held, now),
            Change::Release => self.store.set_unstarted(batch, jobs, &Unstarted::Released, now),
            Change::End(Cause::Cancelled) => {
                self.store.set_unstarted(batch, jobs, &Unstarted::Cancelled, now)
            }
            Change::End(cause) => {
                let end = Unstarted::Ended { cause: *cause, reason: None };
                self.store.set_unstarted(batch, jobs, &end, now)
            }
            Change::Priority(priority) => self.store.set_priority(batch, jobs, *priority),
            Change::CancelRequested => self.store.request_cancel(batch, jobs, now),
        };
        result.map_err(failed)
    }

    fn intake(&mut self) -> Result<Vec<Asked>, StoreFailure> {
        let owner = self.owner.to_string();
        let cancels = self.store.intake().map_err(failed)?.cancels;
        let ours = cancels.into_iter().filter(|request| request.owner == owner);
        let asked = |request: CancelRequest| Asked {
            batch: request.batch,
            jobs: request.jobs,
            signal: request.signal,
            file: request.file,
        };
        Ok(ours.map(asked).collect())
    }

    fn is_shared(&self) -> bool {
        matches!(self.store.filesystem(), FileSystem::Network(_))
    }

    fn close(self: Box<Self>) {
        if let Err(error) = self.store.close() {
            tracing::warn!("{error}");
        }
    }
}

impl LocalStore {
    /// What is not over and is ours: with `own` all of it, else what a dead process left.
    fn unfinished_of(&mut self, own: bool) -> Result<Unfinished, StoreError> {
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
        self.store.set_unstarted(batch, Some(&jobs), &Unstarted::Ended { cause, reason: None }, at).map(drop)
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

#[cfg(test)]
mod tests {
    use cluster_jobsdb::OpenOptions;

    use super::*;

    #[test]
    fn a_cleaned_batch_is_not_sent_again() {
        let root = tempfile::tempdir().unwrap();
        let layout = Layout::new(root.path());
        layout.ensure().unwrap();
        let store =
            Store::open(root.path(), &OpenOptions { create: true, ..OpenOptions::default() }).unwrap();
        let mut store = LocalStore::new(store, layout.clone(), Owner::runner(), None);
        let spec = JobSpec::single("x", vec!["true".into()], "/".into());
        let now = Timestamp::now();
        let new = NewBatch::new(Tag::from_bits(1), spec, "local", "local", JobState::Queued, "me", now);
        let batch = store.store.accept(&[new]).unwrap()[0];
        let end = Unstarted::Ended { cause: Cause::Exit(1), reason: None };
        store.store.set_unstarted(batch, None, &end, now).unwrap();
        let what = |bits| Resubmit {
            tag: Tag::from_bits(bits),
            batch,
            jobs: IndexSet::range(0, 1),
            spec: None,
            keep_script: false,
        };
        let before = store.store.batch(batch).unwrap();
        let refusal = store.resubmit(&what(2)).unwrap_err();
        assert!(matches!(refusal.kind, RefusalKind::Usage), "{}", refusal.message);
        assert_eq!(refusal.message, "the files of batch 1 were cleaned: submit it anew");
        assert_eq!(store.store.batch(batch).unwrap(), before);
        fs::create_dir(layout.batch(batch)).unwrap();
        assert_eq!(store.resubmit(&what(3)).unwrap().k, 1);
    }
}
