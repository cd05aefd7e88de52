//! One job in a scheduler's answer, in our words.

use std::borrow::Cow;
use std::time::Duration;

use serde::Serialize;

use crate::dialect::DialectError;
use crate::indices::IndexSet;
use crate::mem_size::MemSize;
use crate::state::{Cause, ExitStatus, JobState};
use crate::time::Timestamp;
use crate::walltime::Walltime;

/// The jobs of an answer. One bad record costs itself alone.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Jobs<'o> {
    /// What was understood, in the order of the answer.
    pub rows: Vec<Row<'o>>,
    /// What was not.
    pub errors: Vec<DialectError>,
}

impl Jobs<'_> {
    /// The most errors that are kept: what has more is another format, and nobody reads them all.
    pub const MAX_ERRORS: usize = 1_000;

    /// Keeps an error, unless there are [`Jobs::MAX_ERRORS`]; only those that are kept are made.
    pub fn error(&mut self, error: impl FnOnce() -> DialectError) {
        if self.errors.len() < Self::MAX_ERRORS {
            self.errors.push(error());
        }
    }
}

/// Counts the ranges of elements in the rows of one answer: `1_[0-4000000:2]` is 16 bytes of an output and
/// 16 MB of memory, and a damaged output may hold many of it.
#[derive(Debug, Clone, Copy, Default)]
pub struct RangeBudget(usize);

impl RangeBudget {
    /// The most ranges in all rows of an answer; no scheduler has so many elements.
    pub const MAX: usize = 10_000_000;

    /// Whether a row of these elements may be taken in, too.
    ///
    /// ```
    /// use cluster_core::dialect::{RangeBudget, Tasks};
    /// let mut budget = RangeBudget::default();
    /// let half = Tasks::Some("0-9999999:2".parse().unwrap());
    /// assert_eq!([(); 3].map(|()| budget.admits(&half)), [true, true, false]);
    /// assert!(budget.admits(&Tasks::One(7)));
    /// ```
    pub fn admits(&mut self, tasks: &Tasks) -> bool {
        let Tasks::Some(set) = tasks else { return true };
        let sum = self.0.saturating_add(set.ranges().len());
        if sum > Self::MAX {
            return false;
        }
        self.0 = sum;
        true
    }
}

/// Which elements of an array a row is about; the numbers are the scheduler's task numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Tasks {
    /// It is no array.
    #[default]
    Single,
    /// One element.
    One(u32),
    /// Several that share a row, as pending ones do.
    Some(IndexSet),
    /// The array as a whole, beside or instead of rows for its elements.
    Whole,
}

/// One job, or several elements of an array that share a row. Texts borrow from the output.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row<'o> {
    /// The id as it is printed: `4711`, `64_[3-100%2]`, `12[3].srv`, `88`.
    pub id: Cow<'o, str>,
    /// The id of the job, or of the array of which this is a part, as the submit command gave it: `4711`,
    /// `12[].srv`, `88`.
    pub job: Cow<'o, str>,
    /// Which elements.
    pub tasks: Tasks,
    /// How many elements may run at once, where the row says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub throttle: Option<u32>,
    /// Its name; empty where it was not asked for.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub name: Cow<'o, str>,
    /// Its owner.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub user: Cow<'o, str>,
    /// Its partition or queue.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub partition: Cow<'o, str>,
    /// Its state in our words; [`JobState::Unknown`] where the scheduler's is none that we know.
    pub state: JobState,
    /// Its state in the scheduler's words.
    pub raw_state: Cow<'o, str>,
    /// Whether it is suspended, preempted, stopped or in an unknown state: it may never go on by itself.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub uncertain: bool,
    /// Whether some of it may be held besides, which the row does not tell: of elements that share a row, or of a
    /// job that waits for another.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub may_be_held: bool,
    /// Why it is in that state.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub reason: Cow<'o, str>,
    /// Its hosts, still folded; `Dialect::hosts` unfolds them.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub hosts: Cow<'o, str>,
    /// How many nodes it has or asks for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nodes: Option<u32>,
    /// How many cores it has or asks for, over all nodes (of one element).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cores: Option<u32>,
    /// How it ended, corrected for the known lies of the source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<ExitStatus>,
    /// Why it ended, where the scheduler names it: never `exit` or `signal`, those are the status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// When it was submitted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub submitted: Option<Timestamp>,
    /// When it started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started: Option<Timestamp>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<Timestamp>,
    /// Its time limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_limit: Option<Walltime>,
    /// Memory that it asks for, in all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mem: Option<MemSize>,
    /// The most memory that it used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mem_used: Option<MemSize>,
    /// CPU time that it used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_time: Option<Duration>,
    /// How often the scheduler started it again (a requeue).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restarts: Option<u32>,
    /// Where our tag is found, beside the name: Slurm's comment, the `CLUSTER_TAG` of a variable list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<Cow<'o, str>>,
    /// The record as it was printed, for `show --raw`, where it is one piece of the output.
    #[serde(skip)]
    pub text: &'o str,
}

impl Row<'_> {
    /// The same, borrowing nothing; without the record as it was printed.
    pub fn into_owned(self) -> Row<'static> {
        let own = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        Row {
            id: own(self.id),
            job: own(self.job),
            name: own(self.name),
            user: own(self.user),
            partition: own(self.partition),
            raw_state: own(self.raw_state),
            reason: own(self.reason),
            hosts: own(self.hosts),
            comment: self.comment.map(own),
            text: "",
            tasks: self.tasks,
            throttle: self.throttle,
            state: self.state,
            uncertain: self.uncertain,
            may_be_held: self.may_be_held,
            nodes: self.nodes,
            cores: self.cores,
            status: self.status,
            cause: self.cause,
            submitted: self.submitted,
            started: self.started,
            ended: self.ended,
            time_limit: self.time_limit,
            mem: self.mem,
            mem_used: self.mem_used,
            cpu_time: self.cpu_time,
            restarts: self.restarts,
        }
    }
}

impl Default for Row<'_> {
    /// A row of which nothing is known.
    fn default() -> Self {
        Self {
            id: Cow::Borrowed(""),
            job: Cow::Borrowed(""),
            tasks: Tasks::Single,
            throttle: None,
            name: Cow::Borrowed(""),
            user: Cow::Borrowed(""),
            partition: Cow::Borrowed(""),
            state: JobState::Unknown,
            raw_state: Cow::Borrowed(""),
            uncertain: false,
            may_be_held: false,
            reason: Cow::Borrowed(""),
            hosts: Cow::Borrowed(""),
            nodes: None,
            cores: None,
            status: None,
            cause: None,
            submitted: None,
            started: None,
            ended: None,
            time_limit: None,
            mem: None,
            mem_used: None,
            cpu_time: None,
            restarts: None,
            comment: None,
            text: "",
        }
    }
}

/// One host of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HostCores {
    /// Its name.
    pub host: String,
    /// The job's cores there, where the text says them.
    pub cores: Option<u32>,
}
