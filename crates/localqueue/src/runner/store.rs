//! What the runner needs of a root's job store. The client crate has it done by SQLite.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cluster_core::{BatchId, Cause, Dependency, IndexSet, JobIndex, RunNumber, SubmissionNumber, Timestamp};
use thiserror::Error;

use super::protocol::{Refusal, Resubmit, Submit};
use crate::capacity::Amount;
use crate::event::Event;
use crate::submission::Submission;

/// The store of a root did not do it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct StoreFailure(pub String);

/// Jobs of a batch that are to be queued, all of one submission and run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkPlan {
    /// Their batch.
    pub batch: BatchId,
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
    /// How many of the batch may run at once.
    pub max_running: Option<u32>,
    /// What they wait for; each with all of the jobs it is about.
    pub dependencies: Vec<Dependency>,
}

/// A batch that the store has now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// The batch.
    pub batch: BatchId,
    /// The submission's number in it.
    pub k: SubmissionNumber,
    /// Its jobs; none where the tag was known already.
    pub works: Vec<WorkPlan>,
}

/// A job that had been started when the last runner ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartedJob {
    /// Its batch.
    pub batch: BatchId,
    /// Its place there.
    pub index: JobIndex,
    /// Its submission.
    pub k: SubmissionNumber,
    /// Its run.
    pub run: RunNumber,
    /// What it takes.
    pub need: Amount,
    /// When it started.
    pub started: Timestamp,
    /// Whether its end was asked for.
    pub cancel_requested: bool,
}

/// All that is not over in a root.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unfinished {
    /// Jobs that wait.
    pub works: Vec<WorkPlan>,
    /// Jobs that had been started.
    pub started: Vec<StartedJob>,
}

/// How jobs of a batch stand, for those that depend on them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settled {
    /// They succeeded.
    pub succeeded: IndexSet,
    /// They failed.
    pub failed: IndexSet,
    /// They run.
    pub started: IndexSet,
}

/// What the store is to do to jobs that have not started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// They are held.
    Hold,
    /// They are queued again.
    Release,
    /// They ended without a start.
    End(Cause),
    /// Their priority.
    Priority(i32),
    /// Their end was asked for; for those that run.
    CancelRequested,
}

/// The end of jobs, asked for by somebody on another host. The file goes when it was obeyed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Their batch.
    pub batch: BatchId,
    /// Which; `None` for all.
    pub jobs: Option<IndexSet>,
    /// The signal that running ones get first.
    pub signal: i32,
    /// The file that it came by.
    pub file: PathBuf,
}

/// The job store of one root, used by one thread.
pub trait RootStore: Send {
    /// Takes batches in, in one commit, which no end of this process undoes. A tag that is known gives the batch
    /// that it made.
    fn submit(&mut self, batches: &[Submit]) -> Vec<Result<Accepted, Refusal>>;

    /// Waits until what `submit` committed is on disk, so that no power cut undoes it either. What the others here
    /// are told is when they return.
    ///
    /// # Errors
    /// Where the disk fails.
    fn sync(&mut self) -> Result<(), StoreFailure>;

    /// Takes a further submission in.
    ///
    /// # Errors
    /// A refusal, where such jobs cannot be sent again.
    fn resubmit(&mut self, what: &Resubmit) -> Result<Accepted, Refusal>;

    /// What is not over and is this machine's.
    ///
    /// # Errors
    /// Where the store fails.
    fn unfinished(&mut self) -> Result<Unfinished, StoreFailure>;

    /// What a process that ran its jobs itself has left, being dead; its waiting jobs are ended.
    ///
    /// # Errors
    /// Where the store fails.
    fn orphans(&mut self) -> Result<Unfinished, StoreFailure>;

    /// How jobs of a batch stand.
    ///
    /// # Errors
    /// Where the store fails.
    fn settled(&mut self, batch: BatchId) -> Result<Settled, StoreFailure>;

    /// Takes facts in, in one commit that is on disk when this returns.
    ///
    /// # Errors
    /// Where the store fails: all of them are to be given again.
    fn commit(&mut self, events: &[Event]) -> Result<(), StoreFailure>;

    /// Changes jobs that have not started; returns how many.
    ///
    /// # Errors
    /// Where the store fails.
    fn change(
        &mut self,
        batch: BatchId,
        jobs: Option<&IndexSet>,
        change: &Change,
    ) -> Result<u64, StoreFailure>;

    /// Takes in what jobs dropped into `events/new`; returns what other hosts ask of us there.
    ///
    /// # Errors
    /// Where the store fails.
    fn intake(&mut self) -> Result<Vec<Asked>, StoreFailure>;

    /// Whether other hosts write to the root as well: what they drop into `events/new` is only seen by
    /// listing it.
    fn is_shared(&self) -> bool;

    /// The directories of runners that served the root before this one did, and may have left something.
    fn former_homes(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    /// Nothing is left there.
    ///
    /// # Errors
    /// Where that cannot be written down.
    fn forget_former_homes(&mut self) -> Result<(), StoreFailure> {
        Ok(())
    }

    /// Which store this is: another one than one that was at the same path before.
    ///
    /// # Errors
    /// Where the store fails.
    fn id(&mut self) -> Result<String, StoreFailure>;

    /// Closes it; returns when that is done.
    fn close(self: Box<Self>);
}

/// The files of a root, used by all slots.
pub trait RootFiles: Send + Sync {
    /// A submission, as its files describe it.
    ///
    /// # Errors
    /// Where they cannot be read.
    fn submission(&self, batch: BatchId, k: SubmissionNumber) -> std::io::Result<Arc<dyn Submission>>;
}

/// A root's store, for its thread, and its files, for all slots.
pub type OpenedRoot = (Box<dyn RootStore>, Arc<dyn RootFiles>);

/// Opens roots.
pub trait RootOpener: Send + Sync {
    /// Opens the root at `path`.
    ///
    /// # Errors
    /// Where its store cannot be opened.
    fn open(&self, path: &Path) -> Result<OpenedRoot, StoreFailure>;
}
