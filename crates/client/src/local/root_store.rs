//! What the runner does with a root's store.

mod facts;
mod left;
mod submit;

use std::path::PathBuf;

use cluster_core::{BatchId, Cause, IndexSet, JobState, Timestamp};
use cluster_jobsdb::{CancelRequest, FileSystem, Store, StoreError, Unstarted};
use cluster_localqueue::event::Event;
use cluster_localqueue::runner::protocol::{Refusal, Resubmit, Submit};
use cluster_localqueue::runner::{Accepted, Asked, Change, RootStore, Settled, StoreFailure, Unfinished};

pub(crate) use submit::resolved;

use super::claim::Claim;
use super::owner::Owner;
use crate::layout::Layout;

/// A root's store in the hands of the runner.
pub struct LocalStore {
    store: Store,
    layout: Layout,
    owner: Owner,
    host: String,
    /// Held for life: no other runner serves this root.
    claim: Option<Claim>,
}

impl LocalStore {
    /// `store`, whose local jobs belong to `owner`.
    pub fn new(store: Store, layout: Layout, owner: Owner, claim: Option<Claim>) -> Self {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Self { store, layout, owner, host, claim }
    }

    /// Returns what was done when it is on disk.
    fn synced<T>(&mut self, done: Result<T, StoreError>) -> Result<T, StoreFailure> {
        let done = done.map_err(failed)?;
        self.store.sync().map_err(failed)?;
        Ok(done)
    }
}

fn failed(error: StoreError) -> StoreFailure {
    StoreFailure(error.to_string())
}

impl RootStore for LocalStore {
    fn submit(&mut self, batches: &[Submit]) -> Vec<Result<Accepted, Refusal>> {
        self.take_batches(batches)
    }

    fn sync(&mut self) -> Result<(), StoreFailure> {
        self.store.sync().map_err(failed)
    }

    fn resubmit(&mut self, what: &Resubmit) -> Result<Accepted, Refusal> {
        let taken = self.take_again(what)?;
        self.store.sync().map_err(submit::refused)?;
        Ok(taken)
    }

    fn commit(&mut self, events: &[Event]) -> Result<(), StoreFailure> {
        self.take_facts(events)?;
        if events.is_empty() { Ok(()) } else { self.sync() }
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
        self.synced(result)
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

    fn former_homes(&self) -> Vec<PathBuf> {
        self.claim.as_ref().map(Claim::former).unwrap_or_default()
    }

    fn forget_former_homes(&mut self) -> Result<(), StoreFailure> {
        self.claim.as_mut().map_or(Ok(()), Claim::forget_former)
    }

    fn id(&mut self) -> Result<String, StoreFailure> {
        self.store.id().map_err(failed)
    }

    fn close(self: Box<Self>) {
        if let Err(error) = self.store.close() {
            tracing::warn!("{error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use cluster_core::{JobSpec, Tag};
    use cluster_jobsdb::{NewBatch, OpenOptions};
    use cluster_localqueue::runner::protocol::RefusalKind;

    use super::*;

    /// The store of `root`, as a runner opens it.
    fn opened(root: &std::path::Path) -> LocalStore {
        let layout = Layout::new(root);
        layout.ensure().unwrap();
        let store = Store::open(root, &OpenOptions { create: true, ..OpenOptions::default() }).unwrap();
        LocalStore::new(store, layout, Owner::runner(), None)
    }

    /// A batch of failed jobs, with its directory.
    fn failed_batch(store: &mut LocalStore, count: u32) -> BatchId {
        let mut spec = JobSpec::single("x", vec!["true".into()], "/".into());
        spec.count = count;
        let (tag, now) = (Tag::from_bits(1), Timestamp::now());
        let mut new = NewBatch::new(tag, spec, "local", "local", JobState::Queued, "me", now);
        new.owner = Some(store.owner.to_string());
        let batch = store.store.accept(&[new]).unwrap()[0];
        let end = Unstarted::Ended { cause: Cause::Exit(1), reason: None };
        store.store.set_unstarted(batch, None, &end, now).unwrap();
        fs::create_dir_all(store.layout.batch(batch)).unwrap();
        batch
    }

    fn again(batch: BatchId, jobs: IndexSet, bits: u64) -> Resubmit {
        let spec = JobSpec::single("x", vec!["true".into()], "/".into());
        Resubmit { tag: Tag::from_bits(bits), batch, jobs, spec, keep_script: false, hold: false }
    }

    #[test]
    fn a_resubmission_asked_for_again_after_a_kill_is_made_once() {
        let root = tempfile::tempdir().unwrap();
        let what = {
            let mut store = opened(root.path());
            let batch = failed_batch(&mut store, 4);
            let what = again(batch, IndexSet::range(1, 3), 2);
            let accepted = store.resubmit(&what).unwrap();
            assert_eq!((accepted.k, accepted.works.len()), (1, 1));
            // Killed between the commit and its files.
            fs::remove_file(store.layout.script(batch, 1)).unwrap();
            what
        };
        let mut store = opened(root.path());
        // The next runner queues the jobs as it opens the root, with their files made anew …
        let works = store.unfinished().unwrap().works;
        assert_eq!(works.iter().map(|work| (work.k, work.run)).collect::<Vec<_>>(), [(1, 2)]);
        assert_eq!(works[0].jobs, IndexSet::range(1, 3));
        assert!(store.layout.script(what.batch, 1).exists());
        // … so that the client's second try must not queue them again.
        let accepted = store.resubmit(&what).unwrap();
        assert_eq!((accepted.k, accepted.works.len()), (1, 0));
        assert_eq!(store.store.submissions(what.batch).unwrap().len(), 2);
        assert_eq!(store.store.batch(what.batch).unwrap().unwrap().count_of(JobState::Queued), 2);
    }

    #[test]
    fn a_number_given_once_more_after_a_power_cut_does_not_run_what_lies_there() {
        let root = tempfile::tempdir().unwrap();
        let mut store = opened(root.path());
        let mut submit = |bits: u64| {
            let tag = Tag::from_bits(bits);
            fs::create_dir(store.layout.stage(&tag)).unwrap();
            let spec = JobSpec::single("x", vec!["true".into()], "/".into());
            let (user, terminal, parent, meta) = ("me".to_owned(), None, None, Vec::new());
            let submit = Submit { tag, spec, hold: false, user, terminal, parent, meta };
            store.submit(&[submit]).remove(0)
        };
        assert_eq!(submit(1).unwrap().batch, BatchId(1));
        // The directory of a batch whose commit was lost.
        let lost = root.path().join("jobs/2");
        fs::create_dir(&lost).unwrap();
        fs::write(lost.join("job.0.sh"), "echo other").unwrap();
        let refusal = submit(2).unwrap_err();
        assert!(refusal.message.contains("jobs/2 is there already"), "{}", refusal.message);
        assert_eq!(fs::read(lost.join("job.0.sh")).unwrap(), b"echo other");
        assert_eq!(submit(3).unwrap().batch, BatchId(3));
        let row = store.store.batch(BatchId(2)).unwrap().unwrap();
        assert_eq!((row.state, row.cause), (JobState::Failed, Some(Cause::SubmitRefused)));
    }

    #[test]
    fn a_replayed_fact_of_jobs_that_never_ran_does_not_touch_a_retry() {
        let root = tempfile::tempdir().unwrap();
        let mut store = opened(root.path());
        let batch = failed_batch(&mut store, 4);
        store.resubmit(&again(batch, IndexSet::range(0, 2), 2)).unwrap();
        let (cause, at) = (Cause::DependencyNeverSatisfied, Timestamp::now());
        let doomed = |k, run, jobs| Event::Unstarted { batch, k, run, jobs, cause, at };
        // What a journal still holds of before the retry.
        store.commit(&[doomed(0, 1, IndexSet::range(0, 4))]).unwrap();
        let count =
            |store: &mut LocalStore, state| store.store.batch(batch).unwrap().unwrap().count_of(state);
        assert_eq!(count(&mut store, JobState::Queued), 2);
        // Its own is taken, as often as it comes.
        for _ in 0..2 {
            store.commit(&[doomed(1, 2, IndexSet::range(0, 1))]).unwrap();
            assert_eq!((count(&mut store, JobState::Queued), count(&mut store, JobState::Failed)), (1, 3));
        }
        // A journal may outlive its batch.
        store.store.remove_batch(batch, true).unwrap();
        store.commit(&[doomed(1, 2, IndexSet::range(0, 2))]).unwrap();
    }

    #[test]
    fn a_cleaned_batch_is_not_sent_again() {
        let root = tempfile::tempdir().unwrap();
        let mut store = opened(root.path());
        let batch = failed_batch(&mut store, 1);
        fs::remove_dir(store.layout.batch(batch)).unwrap();
        let what = |bits| again(batch, IndexSet::range(0, 1), bits);
        let before = store.store.batch(batch).unwrap();
        let refusal = store.resubmit(&what(2)).unwrap_err();
        assert!(matches!(refusal.kind, RefusalKind::Usage), "{}", refusal.message);
        assert_eq!(refusal.message, "the files of batch 1 were cleaned: submit it anew");
        assert_eq!(store.store.batch(batch).unwrap(), before);
        fs::create_dir(store.layout.batch(batch)).unwrap();
        assert_eq!(store.resubmit(&what(3)).unwrap().k, 1);
    }
}
