//! Exit codes, and what is printed with them.
//!
//! 0 good · 1 some job did not succeed · 2 usage or config · 3 scheduler or host out of reach · 4 wait timed
//! out · 5 store · 6 refused by the scheduler · 7 uncertain · 70 our bug · 128 + N ended by signal N (130: Ctrl-C).

use std::process::ExitCode;

use cluster_client::ClientError;
use cluster_client::system::SystemError;
use cluster_core::ParseError;
use cluster_jobsdb::StoreError;
use cluster_localqueue::runner::{ConnectError, RunnerError};
use cluster_options::config::ConfigErrors;

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exit(pub(crate) u8);

impl Exit {
    pub(crate) const GOOD: Self = Self(0);
    pub(crate) const JOB_FAILED: Self = Self(1);
    pub(crate) const USAGE: Self = Self(2);
    pub(crate) const OUT_OF_REACH: Self = Self(3);
    pub(crate) const TIMED_OUT: Self = Self(4);
    pub(crate) const STORE: Self = Self(5);
    pub(crate) const UNCERTAIN: Self = Self(7);
    pub(crate) const BUG: Self = Self(70);
    pub(crate) const INTERRUPTED: Self = Self(130);

    /// As a shell has it for what a signal ended.
    pub(crate) fn by(signal: i32) -> Self {
        Self(u8::try_from(128 + signal).unwrap_or(Self::INTERRUPTED.0))
    }

    /// Whether a signal ended it.
    pub(crate) fn is_by_signal(self) -> bool {
        self.0 > 128
    }
}

/// Wrong use, as an error: exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(pub(crate) String);

/// An error with exit code 2.
pub(crate) fn usage(message: impl Into<String>) -> anyhow::Error {
    Usage(message.into()).into()
}

/// Nobody to run jobs, as an error: exit code 3.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct OutOfReach(pub(crate) String);

pub(crate) fn finish(result: anyhow::Result<Exit>) -> ExitCode {
    match result {
        Ok(exit) => ExitCode::from(exit.0),
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            crate::output::talk(&format!("cluster: {}", told(&error)));
            ExitCode::from(code(&error).0)
        }
    }
}

/// The error and its causes, without those that a message before has told already.
pub(crate) fn told(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    if error.chain().any(is_full) {
        text.push_str("; make room there, or take another root by --root");
    }
    text
}

/// Whether the cause is a disk that takes no more, be it inside an error of ours that has told it.
fn is_full(cause: &(dyn std::error::Error + 'static)) -> bool {
    use std::io::ErrorKind::{QuotaExceeded, StorageFull};
    let io = match cause.downcast_ref::<ClientError>() {
        Some(ClientError::File { source, .. }) => Some(source),
        _ => None,
    };
    io.is_some_and(|io| matches!(io.kind(), StorageFull | QuotaExceeded))
}

/// The code that goes with an error, by the first in its chain that we know. Any other is our bug.
pub(crate) fn code(error: &anyhow::Error) -> Exit {
    for cause in error.chain() {
        if let Some(client) = cause.downcast_ref::<ClientError>() {
            return Exit(client.exit_code());
        }
        if let Some(system) = cause.downcast_ref::<SystemError>() {
            return Exit(system.exit_code());
        }
        if cause.is::<Usage>() || cause.is::<ParseError>() || cause.is::<ConfigErrors>() {
            return Exit::USAGE;
        }
        if cause.is::<StoreError>() {
            return Exit::STORE;
        }
        if cause.is::<OutOfReach>() || cause.is::<ConnectError>() || cause.is::<RunnerError>() {
            return Exit::OUT_OF_REACH;
        }
        if let Some(io) = cause.downcast_ref::<std::io::Error>() {
            use std::io::ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StorageFull};
            let no_room = matches!(io.kind(), StorageFull | QuotaExceeded | ReadOnlyFilesystem);
            return if no_room { Exit::STORE } else { Exit::BUG };
        }
    }
    Exit::BUG
}

pub(crate) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref::<std::io::Error>().is_some_and(|io| io.kind() == std::io::ErrorKind::BrokenPipe)
    })
}

#[cfg(test)]
mod tests {
    use std::io;

    use anyhow::Context as _;

    use super::*;

    #[test]
    fn a_cause_is_told_once() {
        let missing = || io::Error::from_raw_os_error(2);
        let cause = missing().to_string();
        let file = ClientError::file("read", "/none", missing());
        assert_eq!(told(&file.into()), format!("cannot read /none: {cause}"));
        let full = ClientError::file("write", "/r/x", io::Error::from_raw_os_error(28));
        assert!(told(&full.into()).ends_with("make room there, or take another root by --root"));
        let plain = Err::<(), _>(missing()).context("cannot begin").context("no use").unwrap_err();
        assert_eq!(told(&plain), format!("no use: cannot begin: {cause}"));
    }

    #[test]
    fn each_error_has_its_code() {
        assert_eq!(code(&usage("x")), Exit::USAGE);
        assert_eq!(code(&OutOfReach(String::new()).into()), Exit::OUT_OF_REACH);
        let system = || SystemError::Shared(String::new());
        assert_eq!(code(&system().into()), Exit::OUT_OF_REACH);
        assert_eq!(code(&ClientError::from(system()).into()), Exit::OUT_OF_REACH);
        assert_eq!(code(&anyhow::anyhow!("who knows")), Exit::BUG);
        for (kind, exit) in [
            (io::ErrorKind::StorageFull, Exit::STORE),
            (io::ErrorKind::QuotaExceeded, Exit::STORE),
            (io::ErrorKind::ReadOnlyFilesystem, Exit::STORE),
            (io::ErrorKind::InvalidData, Exit::BUG),
        ] {
            let error = Err::<(), _>(io::Error::from(kind)).context("cannot write").unwrap_err();
            assert_eq!(code(&error), exit, "{kind}");
        }
    }
}
