//! `Dialect`: how one scheduler is spoken to. Pure: text in, text out; no process is started here.

use std::ffi::OsString;

use thiserror::Error;

use crate::host::{Invocation, Output};
use crate::ids::{RemoteId, Tag};
use crate::resources::Resources;
use crate::state::{Cause, ExitStatus, JobState};
use crate::time::Timestamp;

/// What a scheduler can do; what it cannot is said, never faked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// Native job arrays.
    pub arrays: bool,
    /// A limit on how many elements of an array run at once.
    pub array_throttle: bool,
    /// Holding and releasing of queued jobs.
    pub hold: bool,
    /// Accounting that can be asked for ended jobs.
    pub accounting: bool,
    /// Whether it checks the exit status of a dependency itself, in every case.
    pub checks_dependencies: bool,
}

/// What goes into a script, besides its body.
#[derive(Debug, Clone)]
pub struct ScriptRequest<'a> {
    /// The job's name for the scheduler: cut, cleaned, and with the tag.
    pub name: &'a str,
    /// The submission's tag.
    pub tag: &'a Tag,
    /// What it asks for.
    pub resources: &'a Resources,
    /// Elements of the array, where it is one.
    pub array: Option<u32>,
    /// Elements that may run at once.
    pub throttle: Option<u32>,
    /// Where the scheduler's own output goes.
    pub log: &'a std::path::Path,
}

/// One job in a scheduler's answer. Texts borrow from the output.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Row<'o> {
    /// The scheduler's id.
    pub id: &'o str,
    /// The element of an array.
    pub array_index: Option<u32>,
    /// Its name.
    pub name: &'o str,
    /// Its owner.
    pub user: &'o str,
    /// Its partition or queue.
    pub partition: &'o str,
    /// Its state in our words; `None` where the word is not known.
    pub state: Option<JobState>,
    /// Its state in the scheduler's words.
    pub raw_state: &'o str,
    /// Why it is in that state.
    pub reason: &'o str,
    /// The hosts, still folded.
    pub hosts: &'o str,
    /// How it ended.
    pub status: Option<ExitStatus>,
    /// Why it ended, where the scheduler says it.
    pub cause: Option<Cause>,
    /// When it was submitted.
    pub submitted: Option<Timestamp>,
    /// When it started.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub ended: Option<Timestamp>,
}

/// An answer that was not understood, or a refusal.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DialectError {
    /// The text is not what the command prints.
    #[error("{command}: line {line}, column {column}: {message}")]
    Syntax {
        /// The command whose output it is.
        command: String,
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
        /// What was expected.
        message: String,
    },
    /// The scheduler refused.
    #[error("{command} was refused (exit code {code}): {stderr}")]
    Refused {
        /// The command.
        command: String,
        /// Its exit code.
        code: i32,
        /// The end of its stderr.
        stderr: String,
    },
    /// The scheduler is out of reach.
    #[error("{command} could not reach the scheduler (exit code {code}): {stderr}")]
    Unreachable {
        /// The command.
        command: String,
        /// Its exit code.
        code: i32,
        /// The end of its stderr.
        stderr: String,
    },
}

/// How one scheduler is spoken to, always about many jobs at once.
pub trait Dialect: Send + Sync {
    /// Its name: `slurm`, `pbs` …
    fn name(&self) -> &'static str;
    /// What it can do.
    fn capabilities(&self) -> Capabilities;
    /// The directives at the head of a script, one line each, without the `#!` line.
    fn directives(&self, request: &ScriptRequest<'_>) -> Vec<u8>;
    /// The command line that submits the script at `path`.
    fn submit(&self, path: &std::path::Path, dependencies: &[OsString]) -> Invocation;
    /// The id in what the submit command printed.
    ///
    /// # Errors
    /// A refusal, an unreachable scheduler, or output that holds no id.
    fn parse_submit(&self, output: &Output) -> Result<RemoteId, DialectError>;
    /// The command line that asks for all jobs of the user.
    fn query(&self) -> Invocation;
    /// The jobs in the answer; a row that cannot be read is an error of its own.
    ///
    /// # Errors
    /// A refusal or an unreachable scheduler.
    fn parse_query<'o>(&self, output: &'o Output)
    -> Result<Vec<Result<Row<'o>, DialectError>>, DialectError>;
    /// Command lines that cancel these jobs, as few as the scheduler survives.
    fn cancel(&self, ids: &[RemoteId]) -> Vec<Invocation>;
    /// Command lines that hold these jobs.
    fn hold(&self, ids: &[RemoteId]) -> Vec<Invocation>;
    /// Command lines that release these jobs.
    fn release(&self, ids: &[RemoteId]) -> Vec<Invocation>;
}
