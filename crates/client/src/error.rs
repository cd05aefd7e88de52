//! What can go wrong between a spec and its result.

use std::io;
use std::path::PathBuf;

use cluster_jobsdb::StoreError;
use cluster_localqueue::runner::ConnectError;
use cluster_localqueue::runner::protocol::{Refusal, RefusalKind};
use thiserror::Error;

use crate::system::SystemError;

/// An error of the client.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The job store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The runner cannot be reached or started.
    #[error(transparent)]
    Runner(#[from] ConnectError),
    /// The runner said no.
    #[error("{}", .0.message)]
    Refused(Refusal),
    /// A command of a scheduler, or what it said.
    #[error(transparent)]
    System(#[from] SystemError),
    /// What was asked for makes no sense.
    #[error("{0}")]
    Usage(String),
    /// The file system.
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

impl ClientError {
    /// An error of the file system.
    pub fn file(what: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self::File { what, path: path.into(), source }
    }

    /// The exit code for it: 2 usage, 3 out of reach, 5 store, 6 refused.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Store(
                StoreError::UnknownBatch(_)
                | StoreError::UnknownJob { .. }
                | StoreError::NoLast { .. }
                | StoreError::NotEnded { .. }
                | StoreError::Unfinished { .. }
                | StoreError::NoJobs(_),
            ) => 2,
            Self::Store(_) => 5,
            Self::Runner(_) => 3,
            Self::Refused(refusal) => match refusal.kind {
                RefusalKind::Usage => 2,
                RefusalKind::TooLarge => 6,
                RefusalKind::Store => 5,
                RefusalKind::Version | RefusalKind::Ending => 3,
            },
            Self::System(error) => error.exit_code(),
            Self::Usage(_) => 2,
            Self::File { .. } => 5,
        }
    }
}
