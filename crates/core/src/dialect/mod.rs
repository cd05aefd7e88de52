//! `Dialect`: how one scheduler is spoken to. Pure: text in, text out; no process is started here.
//!
//! A dialect makes [`Invocation`]s with the plain names of the commands (`sbatch`); whoever runs them puts
//! the site's paths in their place. What they print goes back, with the very command line, to
//! [`Dialect::read`], which reads any output of the scheduler's commands that it knows: what we asked for,
//! and what somebody recorded.

mod error;
mod request;
mod row;
mod site;

use std::ffi::OsString;

pub use error::{DialectError, RefusalKind};
pub use request::{
    Control, ControlTarget, Directives, RemoteDependency, ScriptFacts, ScriptRequest, SubmitRequest, Whose,
    job_name,
};
pub use row::{HostCores, Jobs, RangeBudget, Row, Tasks};
pub use site::{Partition, Site};

use std::path::{Path, PathBuf};

use crate::host::{Invocation, Output};
use crate::ids::RemoteId;
use crate::state::Cause;
use crate::time::Timestamp;

/// What a scheduler can do; what it cannot is said, never faked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// Native job arrays.
    pub arrays: bool,
    /// A limit on how many elements of an array run at once.
    pub array_throttle: bool,
    /// A dependent array whose elements wait for the parent's element of the same number.
    pub elementwise_dependencies: bool,
    /// Waiting for single elements of an array, not only for all of it.
    pub element_dependencies: bool,
    /// Holding and releasing of queued jobs.
    pub hold: bool,
    /// Accounting that can be asked for ended jobs.
    pub accounting: bool,
    /// Whether the queue shows for a while what has ended.
    pub shows_ended: bool,
    /// Whether it checks the exit status of a dependency itself, in every case.
    pub checks_dependencies: bool,
    /// The task number of the first element of an array: position 0.
    pub first_task: u32,
}

/// What a command printed, understood.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reading<'o> {
    /// Jobs, and the records that could not be read.
    Jobs(Jobs<'o>),
    /// The id of what was submitted.
    Submitted(RemoteId),
    /// What is known of the scheduler itself.
    Site(Site),
    /// The command did its work and has nothing to say.
    Done,
}

/// How one scheduler is spoken to, always about many jobs at once.
pub trait Dialect: Send + Sync {
    /// Its name: `slurm`, `pbs`, `torque`, `sge`.
    fn name(&self) -> &'static str;

    /// What it can do.
    fn capabilities(&self) -> Capabilities;

    /// The commands it is spoken to with, by their plain names; the first is the one that submits.
    fn commands(&self) -> &'static [&'static str];

    /// A cheap question that only this scheduler answers, with a [`Site`] that has a version where the
    /// answer holds one.
    fn probe(&self) -> Invocation;

    /// The questions whose answers, put together, tell its limits and partitions. Changes nothing.
    fn survey(&self) -> Vec<Invocation>;

    /// Names of the variables that describe an enclosing job, `SLURM_JOB*` with a star for any end: a
    /// submission from inside a job is made without them. Those that locate or default the scheduler stay.
    fn enclosing_job(&self) -> &'static [&'static str];

    /// Variables that the submit command alone reads, each with the one that says the same to all commands. Where a
    /// user has set the first alone, jobs would be asked for where they are not.
    fn submit_alone(&self) -> &'static [(&'static str, &'static str)] {
        &[]
    }

    /// Whether the submit command gets this variable of the submitter's environment. All, unless the scheduler
    /// hands to the job whatever the command has: what a job is to have, `job.sh` restores.
    fn submits_with(&self, _variable: &[u8]) -> bool {
        true
    }

    /// What `job.sh` has to know of the scheduler it runs under.
    fn script_facts(&self) -> ScriptFacts;

    /// The directives at the head of a script: what the job asks for, and what cannot be said here.
    fn directives(&self, request: &ScriptRequest<'_>) -> Directives;

    /// The command line that submits a script. Identity (name, tag, log, array, dependencies) is here, not
    /// in the script, so that the same script can be sent again.
    ///
    /// # Errors
    /// Where the request cannot be said to this scheduler; nothing was sent then.
    fn submit(&self, request: &SubmitRequest<'_>) -> Result<Invocation, DialectError>;

    /// The id of one element of an array: `4711_3`, `12[3].srv`, `88.4`.
    fn element(&self, array: &RemoteId, position: u32) -> RemoteId;

    /// The command line that asks for all jobs in the queue, of somebody or of all.
    fn query(&self, whose: Whose<'_>) -> Invocation;

    /// Command lines that ask the accounting for ended jobs, as few as possible; without ids for all of the
    /// user since then, to look for a tag. None: there is no accounting apart from the queue.
    fn accounting(&self, ids: &[RemoteId], user: &str, since: Timestamp) -> Vec<Invocation>;

    /// Command lines that cancel, hold or release jobs, as few as the scheduler survives.
    fn control(&self, control: Control, targets: &[ControlTarget]) -> Vec<Invocation>;

    /// Reads what the command `argv` printed. The exit code and stderr are looked at before stdout.
    ///
    /// # Errors
    /// A refusal, an unreachable scheduler, or a format that is not read. A record that cannot be read is
    /// none: it is in [`Jobs::errors`], beside the good ones.
    fn read<'o>(&self, argv: &[OsString], output: &'o Output) -> Result<Reading<'o>, DialectError>;

    /// The hosts of a row, unfolded, with their cores where the text says them.
    ///
    /// # Errors
    /// Where the text is no list of hosts.
    fn hosts(&self, folded: &str) -> Result<Vec<HostCores>, DialectError>;

    /// Where the scheduler's own output of the job at `position` lies, below what
    /// [`SubmitRequest::log`] said.
    fn log(&self, log: &Path, position: Option<u32>) -> PathBuf;

    /// The cause that the scheduler's own output names (`CANCELLED … DUE TO TIME LIMIT`), where it does.
    fn cause_in_log(&self, text: &[u8]) -> Option<Cause>;
}

impl Row<'_> {
    /// Whether this row is of `id`, or of an element of the array `id`.
    pub fn is_of(&self, id: &RemoteId) -> bool {
        self.job == id.0 || self.id == id.0
    }
}
