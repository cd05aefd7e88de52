//! What can go wrong with a command of a scheduler: [`SystemError`].

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use cluster_core::Timestamp;
use cluster_core::dialect::{DialectError, RefusalKind};
use cluster_localqueue::runner::PlaceError;
use thiserror::Error;

/// An error of a system. Those of a command name it as it was run.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SystemError {
    /// The command is not there or cannot be executed; nothing was done.
    #[error("system {system}: cannot run {command}: {source}{}", advice(.source))]
    NotStarted {
        /// The system.
        system: String,
        /// The command line.
        command: String,
        /// The system's reason.
        source: io::Error,
    },
    /// It was killed at its time limit. Whether it did its work is not known.
    #[error(
        "system {system}: {command} gave no answer in {} s and was killed{}",
        timeout.as_secs_f64(),
        ending(.stderr)
    )]
    TimedOut {
        /// The system.
        system: String,
        /// The command line.
        command: String,
        /// The limit.
        timeout: Duration,
        /// The end of its stderr.
        stderr: String,
    },
    /// One of its streams failed. Whether it did its work is not known.
    #[error("system {system}: {command}: {source}")]
    Stream {
        /// The system.
        system: String,
        /// The command line.
        command: String,
        /// What failed.
        source: io::Error,
    },
    /// A command of `pre_submit` failed, and nothing was sent.
    #[error(
        "system {system}: `pre_submit` failed with exit code {code}, nothing was submitted{}",
        ending(.output)
    )]
    PreSubmit {
        /// The system.
        system: String,
        /// The exit code of the shell.
        code: i32,
        /// The end of what the commands printed.
        output: String,
    },
    /// The scheduler refused, is out of reach, or its answer is not understood.
    #[error("system {system}: {source}\n  by: {command}")]
    Answer {
        /// The system.
        system: String,
        /// The command line.
        command: String,
        /// What the dialect makes of it.
        source: Box<DialectError>,
    },
    /// Somebody killed it before it had answered. Whether it did its work is not known.
    #[error("system {system}: {command} was killed before it gave an id{}", ending(.stderr))]
    Killed {
        /// The system.
        system: String,
        /// The command line.
        command: String,
        /// The end of its stderr.
        stderr: String,
    },
    /// The output was longer than what is kept, so it is not read.
    #[error("system {system}: {command} printed more than is read")]
    Cut {
        /// The system.
        system: String,
        /// The command line.
        command: String,
    },
    /// The answer is not one to this question.
    #[error("system {system}: the answer to {command} is none to that question")]
    Odd {
        /// The system.
        system: String,
        /// The command line.
        command: String,
    },
    /// The last query failed, and the next one is not due yet.
    #[error("{reason}\n  ({} s ago; asked again in {} s)", ago.as_secs(), wait.as_secs().max(1))]
    BackingOff {
        /// Why it failed.
        reason: String,
        /// When that was.
        at: Timestamp,
        /// How long ago.
        ago: Duration,
        /// When it is due.
        again: Timestamp,
        /// In how long.
        wait: Duration,
    },
    /// Another process has asked, and failed.
    #[error("{0}")]
    Shared(String),
    /// Another process asks, and does not come back.
    #[error("system {system}: another process has been asking for {} s; it holds {}", waited.as_secs(), lock.display())]
    Busy {
        /// The system.
        system: String,
        /// How long we waited.
        waited: Duration,
        /// Its lock.
        lock: PathBuf,
    },
    /// The directory that processes share.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// A file in it.
    #[error("cannot {what} {}: {source}", path.display())]
    File {
        /// What was tried.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

impl SystemError {
    /// Whether the command may have done its work: a submission has to be looked for by its tag.
    pub fn is_doubt(&self) -> bool {
        match self {
            Self::TimedOut { .. }
            | Self::Stream { .. }
            | Self::Killed { .. }
            | Self::Cut { .. }
            | Self::Odd { .. } => true,
            // A server that went away while it was spoken to may have taken the job; an answer that is not
            // understood may be an id.
            _ => matches!(
                self.dialect_error(),
                Some(
                    DialectError::Unreachable { .. }
                        | DialectError::Syntax { .. }
                        | DialectError::NotRead { .. }
                )
            ),
        }
    }

    /// Whether there is nobody to ask: no record of ended jobs is kept.
    pub fn is_no_accounting(&self) -> bool {
        matches!(self.dialect_error(), Some(DialectError::NoAccounting { .. }))
    }

    /// Whether the same call may be taken later.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::TimedOut { .. }
            | Self::Stream { .. }
            | Self::BackingOff { .. }
            | Self::Shared(_)
            | Self::Busy { .. } => true,
            _ => matches!(
                self.dialect_error(),
                Some(
                    DialectError::Unreachable { .. }
                        | DialectError::Refused { kind: RefusalKind::TryAgain, .. }
                )
            ),
        }
    }

    /// To what the scheduler objects, where it refused.
    pub fn refusal(&self) -> Option<RefusalKind> {
        match self.dialect_error() {
            Some(DialectError::Refused { kind, .. }) => Some(*kind),
            _ => None,
        }
    }

    /// What the dialect makes of the answer, where that is the error.
    pub fn dialect_error(&self) -> Option<&DialectError> {
        if let Self::Answer { source, .. } = self { Some(source) } else { None }
    }

    /// The exit code for it: 3 out of reach, 5 our own files, 6 refused.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Place(_) | Self::File { .. } => 5,
            _ => match self.dialect_error() {
                Some(DialectError::Refused { kind: RefusalKind::TryAgain, .. }) => 3,
                Some(DialectError::Refused { .. } | DialectError::Cannot { .. }) => 6,
                _ => 3,
            },
        }
    }

    /// Its first line: what a person who waits needs to know.
    pub fn brief(&self) -> String {
        let text = self.to_string();
        let line = text.lines().next().unwrap_or_default();
        line.chars().take(300).collect()
    }

    pub(crate) fn file(what: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self::File { what, path: path.into(), source }
    }
}

fn advice(source: &io::Error) -> &'static str {
    if source.kind() == io::ErrorKind::NotFound {
        "; `commands` or `bin` of the system in the configuration say where its commands lie"
    } else {
        ""
    }
}

/// The end of an output behind a message.
fn ending(text: &str) -> String {
    match text.trim_end() {
        "" => String::new(),
        text => format!("; its output ends:\n{text}"),
    }
}
