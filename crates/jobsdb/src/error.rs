//! What can go wrong with a store: each error names the thing, the cause and the next step.

use std::io;
use std::path::{Path, PathBuf};

use cluster_core::{BatchId, JobIndex, JobState, SubmissionNumber};
use thiserror::Error;

use crate::store_lock::LockHolder;

/// An error of the job store.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// There is no store in this root.
    #[error("no job store in {}: make one with `cluster init`, or name another root with --root", root.display())]
    Missing {
        /// The root.
        root: PathBuf,
    },
    /// A program of a later version has made or changed it.
    #[error(
        "the job store {} has version {found}, this program knows versions up to {known}: \
         use a newer `cluster`; the store was not touched",
        file.display()
    )]
    Newer {
        /// The store's file.
        file: PathBuf,
        /// Its version.
        found: i64,
        /// The newest version known here.
        known: i64,
    },
    /// It is damaged, or no SQLite file at all.
    #[error(
        "the job store {} is damaged ({detail}); nothing was changed. `cluster db check` shows the extent, \
         `cluster db export` writes what can still be read, if anything; then move it away, with the -wal and -shm files beside it",
        file.display()
    )]
    Corrupt {
        /// The store's file.
        file: PathBuf,
        /// What SQLite said.
        detail: String,
    },
    /// So damaged that nothing in it can be read.
    #[error(
        "nothing can be read of the job store {} ({detail}); it was not changed. Move the file away: \
         the files of the jobs are beside it, in jobs/",
        file.display()
    )]
    Unreadable {
        /// The store's file.
        file: PathBuf,
        /// What SQLite said.
        detail: String,
    },
    /// In its place is something that no store can be in.
    #[error("{} is {what}, and the job store would have to be a file: move it away, or name another root with --root", file.display())]
    NotAFile {
        /// The store's file.
        file: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// It can be read but not written.
    #[error(
        "cannot write the job store {} ({detail}): make it and its directory writable, or use another root",
        file.display()
    )]
    ReadOnly {
        /// The store's file.
        file: PathBuf,
        /// What was refused.
        detail: String,
    },
    /// No space, or no quota, is left.
    #[error(
        "no space left for the job store {}; nothing was lost. Free some space and repeat the command",
        file.display()
    )]
    Full {
        /// The store's file.
        file: PathBuf,
    },
    /// Other processes wrote for longer than we wait.
    #[error("the job store {} was busy for {seconds} s: another process holds it; try again", file.display())]
    Busy {
        /// The store's file.
        file: PathBuf,
        /// How long we waited.
        seconds: u64,
    },
    /// Our own lock file is there and its holder did not finish.
    #[error(
        "the job store is locked by {holder} ({}); if that process is gone, run `cluster db unlock`",
        file.display()
    )]
    Locked {
        /// The lock file.
        file: PathBuf,
        /// Who holds it.
        holder: LockHolder,
    },
    /// The lock's holder is alive.
    #[error("the lock {} is held by {holder}, which is running: wait for it, or end it", file.display())]
    HolderAlive {
        /// The lock file.
        file: PathBuf,
        /// Who holds it.
        holder: LockHolder,
    },
    /// The lock's holder is of another host, where nobody can look from here.
    #[error(
        "the lock {} is held by {holder}, which cannot be checked from here: \
         when it is gone, run `cluster db unlock --force`",
        file.display()
    )]
    HolderElsewhere {
        /// The lock file.
        file: PathBuf,
        /// Who holds it.
        holder: LockHolder,
    },
    /// A batch that is not in this store.
    #[error("there is no batch {0} in this root: `cluster ls --all` lists them")]
    UnknownBatch(BatchId),
    /// An index that the batch has not.
    #[error("batch {batch} has no job {index}: its jobs are 0 to {last}")]
    UnknownJob {
        /// The batch.
        batch: BatchId,
        /// The index asked for.
        index: JobIndex,
        /// Its last job.
        last: i64,
    },
    /// A submission that the batch has not, or that does not go through a scheduler.
    #[error("batch {batch} has no submission {k} to a scheduler")]
    UnknownSubmission {
        /// The batch.
        batch: BatchId,
        /// The submission's number.
        k: SubmissionNumber,
    },
    /// Submissions that do not share out the jobs of their batch.
    #[error("the submissions cannot be recorded: {detail}")]
    BadSubmissions {
        /// What is wrong with them.
        detail: String,
    },
    /// `last` where there is no batch at all.
    #[error("there is no last batch: user {user} has submitted nothing in this root")]
    NoLast {
        /// The user.
        user: String,
    },
    /// Jobs that are on their way or running cannot be submitted again.
    #[error(
        "{count} of the jobs of batch {batch} have not ended, the first is {batch}.{first}: cancel them or wait"
    )]
    NotEnded {
        /// The batch.
        batch: BatchId,
        /// How many they are.
        count: u64,
        /// The first of them.
        first: JobIndex,
    },
    /// A submission of nothing.
    #[error("no jobs of batch {0} were named to be submitted again")]
    NoJobs(BatchId),
    /// A batch with jobs that have not ended is not removed.
    #[error("batch {batch} has {count} jobs that have not ended: cancel them or wait for them first")]
    Unfinished {
        /// The batch.
        batch: BatchId,
        /// How many have not ended.
        count: u64,
    },
    /// A state that a new batch or submission cannot begin with.
    #[error("jobs cannot begin as {state}: created, submitting, queued or held")]
    BadState {
        /// The state that was given.
        state: JobState,
    },
    /// Something in the store does not read as what it should be.
    #[error("the job store {} holds a {what} that cannot be read ({detail}): run `cluster db check`", file.display())]
    Decode {
        /// The store's file.
        file: PathBuf,
        /// What was being read.
        what: &'static str,
        /// Why it does not read.
        detail: String,
    },
    /// A value that cannot be written as it is.
    #[error("cannot store the {what}: {detail}")]
    Encode {
        /// What was being written.
        what: &'static str,
        /// Why.
        detail: String,
    },
    /// A file or directory beside the store.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Anything else that SQLite or sqlx said.
    #[error("cannot {doing} the job store {}: {source}", file.display())]
    Sql {
        /// What was tried.
        doing: &'static str,
        /// The store's file.
        file: PathBuf,
        /// What was said.
        source: Box<sqlx::Error>,
    },
}

impl StoreError {
    pub(crate) fn io(doing: &'static str, path: &Path, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { file: path.to_owned() },
            io::ErrorKind::ReadOnlyFilesystem => {
                Self::ReadOnly { file: path.to_owned(), detail: "the file system is read-only".to_owned() }
            }
            _ => Self::Io { doing, path: path.to_owned(), source },
        }
    }

    /// The error for what sqlx said about `file`: SQLite's code decides, never its text.
    pub(crate) fn sql(doing: &'static str, file: &Path, source: sqlx::Error) -> Self {
        let code = source
            .as_database_error()
            .and_then(sqlx::error::DatabaseError::code)
            .and_then(|code| code.parse::<i32>().ok());
        let detail =
            || source.as_database_error().map_or_else(|| source.to_string(), |e| e.message().to_owned());
        let file = file.to_owned();
        // A page that is not all there, one that the file system or a checksum calls damaged.
        if let Some(522 | 8458 | 8202) = code {
            return Self::Corrupt { file, detail: detail() };
        }
        // The low byte is the primary code; sqlite.org/rescode.html.
        match code.map(|code| code & 0xff) {
            Some(5 | 6) => Self::Busy { file, seconds: crate::open::BUSY_TIMEOUT.as_secs() },
            Some(8) => Self::ReadOnly { file, detail: detail() },
            Some(11 | 26) => Self::Corrupt { file, detail: detail() },
            Some(13) => Self::Full { file },
            _ => Self::Sql { doing, file, source: Box::new(source) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_advice_for_an_unfinished_batch_is_one_that_can_be_followed() {
        let text = StoreError::Unfinished { batch: BatchId(1), count: 2 }.to_string();
        assert!(text.contains("cancel") && text.contains("wait") && !text.contains("--force"), "{text}");
    }
}
