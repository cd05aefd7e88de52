//! Why a scheduler's answer gives nothing.

use serde::Serialize;
use thiserror::Error;

use crate::host::Output;

/// What a scheduler objects to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RefusalKind {
    /// The partition or queue is not there, or is not for this user.
    UnknownPartition,
    /// More time, memory, cores, nodes, jobs or elements than is allowed.
    OverLimit,
    /// A dependency that cannot be.
    BadDependency,
    /// Not allowed to this user: somebody else's job, a missing account.
    NoPermission,
    /// A word, option or value that it does not take.
    BadRequest,
    /// A job that it does not know, or not any more.
    UnknownJob,
    /// For the moment: the same call may be taken later.
    TryAgain,
    /// Anything else.
    Other,
}

/// An answer that was not understood, or a refusal.
#[derive(Debug, Clone, PartialEq, Eq, Error, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DialectError {
    /// A record, or the whole text, is not what the command prints.
    #[error("{command}: line {line}, column {column}: expected {expected}, found {found:?}")]
    Syntax {
        /// The command whose output it is.
        command: String,
        /// From 1; 0 where only the record is known, by its number in `command`.
        line: usize,
        /// From 1, in bytes; 0 as with the line.
        column: usize,
        /// What was expected there.
        expected: String,
        /// What is there, its first 60 bytes or so.
        found: String,
    },
    /// The command prints for people, in a form that cannot be read safely.
    #[error("{command}: not a format we read: {why}")]
    NotRead {
        /// The command line.
        command: String,
        /// What is unsafe about it, and which form is read.
        why: String,
    },
    /// The scheduler refused, and would refuse again (but for [`RefusalKind::TryAgain`]).
    #[error("{command} was refused (exit code {code}): {stderr}")]
    Refused {
        /// To what it objects.
        kind: RefusalKind,
        /// The command.
        command: String,
        /// Its exit code.
        code: i32,
        /// The end of its stderr.
        stderr: String,
    },
    /// The scheduler, or its accounting, is out of reach.
    #[error("{command} could not reach the scheduler (exit code {code}): {stderr}")]
    Unreachable {
        /// The command.
        command: String,
        /// Its exit code.
        code: i32,
        /// The end of its stderr.
        stderr: String,
    },
    /// The scheduler keeps no record of ended jobs, so that asking again is no use.
    #[error("{command}: {why}")]
    NoAccounting {
        /// The command.
        command: String,
        /// What the scheduler said, and where that is set.
        why: String,
    },
    /// What is asked for cannot be said to this scheduler.
    #[error("{what}: {why}")]
    Cannot {
        /// What.
        what: String,
        /// Why, and what can be done instead.
        why: String,
    },
}

impl DialectError {
    /// The end of a text for a message: its last 2,000 characters, without control characters but LF.
    ///
    /// ```
    /// # use cluster_core::dialect::DialectError;
    /// assert_eq!(DialectError::tail(b"error: \xff\x1b[1mno\n\n"), "error: \u{fffd}[1mno");
    /// ```
    pub fn tail(text: &[u8]) -> String {
        const KEPT: usize = 2_000;
        let text = String::from_utf8_lossy(&text[text.len().saturating_sub(4 * KEPT)..]);
        let clean: String = text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect();
        let skip = clean.chars().count().saturating_sub(KEPT);
        clean.chars().skip(skip).collect::<String>().trim().to_owned()
    }

    /// That `command` was refused with this output.
    pub fn refused(kind: RefusalKind, command: impl Into<String>, output: &Output) -> Self {
        Self::Refused { kind, command: command.into(), code: output.status.code(), stderr: said(output) }
    }

    /// That `command` found nobody to talk to.
    pub fn unreachable(command: impl Into<String>, output: &Output) -> Self {
        Self::Unreachable { command: command.into(), code: output.status.code(), stderr: said(output) }
    }

    /// That the text at byte `offset` of `text` is not what was expected.
    pub fn syntax(
        command: impl Into<String>,
        text: &[u8],
        offset: usize,
        expected: impl Into<String>,
    ) -> Self {
        let offset = offset.min(text.len());
        let before = &text[..offset];
        let begin = before.iter().rposition(|&b| b == b'\n').map_or(0, |lf| lf + 1);
        let rest = &text[offset..text.len().min(offset + 60)];
        let end = rest.iter().position(|&b| b == b'\n').unwrap_or(rest.len());
        Self::Syntax {
            command: command.into(),
            line: 1 + before.iter().filter(|&&b| b == b'\n').count(),
            column: 1 + offset - begin,
            expected: expected.into(),
            found: String::from_utf8_lossy(&rest[..end]).into_owned(),
        }
    }
}

/// What the command said: its stderr, else (SGE) its stdout.
fn said(output: &Output) -> String {
    let stderr = DialectError::tail(&output.stderr);
    if stderr.is_empty() { DialectError::tail(&output.stdout) } else { stderr }
}
