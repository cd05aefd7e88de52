//! The states of a job, and why it ended.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::ParseError;

/// Where a job is in its life: `created → submitting → queued ⇄ held → running ⇄ suspended → (succeeded | failed)`.
///
/// The numbers are the store's: they never change and are never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum JobState {
    /// Recorded, not sent anywhere.
    Created = 0,
    /// On its way to the scheduler; whether it arrived is not known yet.
    Submitting = 1,
    /// The scheduler has it; also while it waits for a dependency.
    Queued = 2,
    /// Held by a user or an operator.
    Held = 3,
    /// Running.
    Running = 4,
    /// Started, and stopped for the time being.
    Suspended = 5,
    /// The scheduler says something that we do not know; the raw text is kept beside it.
    Unknown = 6,
    /// Ended with exit code 0, and nothing else.
    Succeeded = 7,
    /// Ended otherwise; the cause says how.
    Failed = 8,
}

impl JobState {
    /// All states, in the order of life.
    pub const ALL: [Self; 9] = [
        Self::Created,
        Self::Submitting,
        Self::Queued,
        Self::Held,
        Self::Running,
        Self::Suspended,
        Self::Unknown,
        Self::Succeeded,
        Self::Failed,
    ];

    /// The state with this number in the store.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// Whether the job is over.
    pub const fn is_end(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed)
    }

    /// Whether a process of it may exist.
    pub const fn has_started(self) -> bool {
        matches!(self, Self::Running | Self::Suspended)
    }

    /// The word for it, the same in every command.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Submitting => "submitting",
            Self::Queued => "queued",
            Self::Held => "held",
            Self::Running => "running",
            Self::Suspended => "suspended",
            Self::Unknown => "unknown",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
        }
    }
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for JobState {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::ALL.into_iter().find(|state| state.as_str() == text).ok_or_else(|| {
            let names = Self::ALL.map(Self::as_str).join(", ");
            ParseError::new("state", text, names)
        })
    }
}

/// How a process ended, as far as was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitStatus {
    /// It exited with this code (0–255).
    Exit(i32),
    /// A signal ended it; only said where a wait status was seen.
    Signal(i32),
}

impl ExitStatus {
    /// Exit 0, and nothing else.
    pub fn is_success(self) -> bool {
        self == Self::Exit(0)
    }

    /// The code a shell would give: the exit code, or 128 and the signal.
    pub const fn code(self) -> i32 {
        match self {
            Self::Exit(code) => code,
            Self::Signal(signal) => 128 + signal,
        }
    }
}

/// Why a job ended, apart from that it did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// By itself, with this code.
    Exit(i32),
    /// By this signal.
    Signal(i32),
    /// Its time limit.
    Timeout,
    /// More memory than it was given.
    OutOfMemory,
    /// Somebody's request.
    Cancelled,
    /// Its machine went down or restarted.
    NodeFailure,
    /// The scheduler took its place for another job.
    Preempted,
    /// What it depended on ended in the other way.
    DependencyNeverSatisfied,
    /// The scheduler did not take it.
    SubmitRefused,
    /// No trace of it is left: an inference, which later evidence replaces.
    Lost,
}

impl Cause {
    /// The cause as two numbers, for the store: which one, and its code or signal.
    pub const fn to_numbers(self) -> (u8, i32) {
        match self {
            Self::Exit(code) => (0, code),
            Self::Signal(signal) => (1, signal),
            Self::Timeout => (2, 0),
            Self::OutOfMemory => (3, 0),
            Self::Cancelled => (4, 0),
            Self::NodeFailure => (5, 0),
            Self::Preempted => (6, 0),
            Self::DependencyNeverSatisfied => (7, 0),
            Self::SubmitRefused => (8, 0),
            Self::Lost => (9, 0),
        }
    }

    /// What [`Self::to_numbers`] was given.
    pub const fn from_numbers(which: u8, argument: i32) -> Option<Self> {
        Some(match which {
            0 => Self::Exit(argument),
            1 => Self::Signal(argument),
            2 => Self::Timeout,
            3 => Self::OutOfMemory,
            4 => Self::Cancelled,
            5 => Self::NodeFailure,
            6 => Self::Preempted,
            7 => Self::DependencyNeverSatisfied,
            8 => Self::SubmitRefused,
            9 => Self::Lost,
            _ => return None,
        })
    }

    /// The state that goes with it.
    pub fn state(self) -> JobState {
        if self == Self::Exit(0) { JobState::Succeeded } else { JobState::Failed }
    }

    /// The word without its number: `exit`, `signal`, `timeout` …
    pub const fn word(self) -> &'static str {
        match self {
            Self::Exit(_) => "exit",
            Self::Signal(_) => "signal",
            Self::Timeout => "timeout",
            Self::OutOfMemory => "out_of_memory",
            Self::Cancelled => "cancelled",
            Self::NodeFailure => "node_failure",
            Self::Preempted => "preempted",
            Self::DependencyNeverSatisfied => "dependency_never_satisfied",
            Self::SubmitRefused => "submit_refused",
            Self::Lost => "lost",
        }
    }
}

impl From<ExitStatus> for Cause {
    fn from(status: ExitStatus) -> Self {
        match status {
            ExitStatus::Exit(code) => Self::Exit(code),
            ExitStatus::Signal(signal) => Self::Signal(signal),
        }
    }
}

impl fmt::Display for Cause {
    /// `exit 3`, `exit 137 (perhaps signal 9)`, `signal 9`, `timeout` …
    ///
    /// A shell cannot tell `exit 137` from a SIGKILL of its command, so the number is kept and the
    /// other reading is only named.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Exit(code @ 129..=192) => write!(f, "exit {code} (perhaps signal {})", code - 128),
            Self::Exit(code) => write!(f, "exit {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
            other => f.write_str(other.word()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_words_read_back() {
        for (i, state) in JobState::ALL.into_iter().enumerate() {
            assert_eq!(state as usize, i);
            assert_eq!(JobState::from_number(i as u8), Some(state));
            assert_eq!(state.as_str().parse::<JobState>().unwrap(), state);
        }
        assert_eq!(JobState::from_number(9), None);
        for which in 0..10 {
            let cause = Cause::from_numbers(which, 7).unwrap();
            assert_eq!(cause.to_numbers().0, which);
        }
        assert_eq!(Cause::from_numbers(10, 0), None);
    }

    #[test]
    fn only_exit_zero_is_success() {
        assert_eq!(Cause::Exit(0).state(), JobState::Succeeded);
        for other in [Cause::Exit(1), Cause::Signal(0), Cause::Cancelled, Cause::Lost] {
            assert_eq!(other.state(), JobState::Failed);
        }
        assert_eq!(Cause::Exit(137).to_string(), "exit 137 (perhaps signal 9)");
    }
}
