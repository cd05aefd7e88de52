//! The job store: SQLite by sqlx, one file a root, ranges of jobs kept as ranges.
//!
//! A [`Store`] is blocking: it owns a single-threaded runtime and one connection, and every public method
//! is a plain function. A job has a row only once it has a fact of its own; until then it is what its batch
//! row says, so that a batch of a million jobs is one row. Every writing transaction is `BEGIN IMMEDIATE`.
//!
//! ```
//! use cluster_core::{JobSpec, JobState, Tag, Timestamp};
//! use cluster_jobsdb::{NewBatch, OpenOptions, Store};
//! # let directory = tempfile::tempdir()?;
//! # let root = directory.path();
//! let mut store = Store::open(root, &OpenOptions { create: true, ..OpenOptions::default() })?;
//! let spec = JobSpec::single("hello", vec!["echo".into(), "hi".into()], "/".into());
//! let batch = NewBatch::new(Tag::from_bits(7), spec, "local", "local", JobState::Queued, "me", Timestamp(1));
//! let id = store.accept(&[batch])?[0];
//! assert_eq!(store.batch(id)?.expect("just made").count_of(JobState::Queued), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]

mod accept;
mod batch;
mod batch_line;
mod cancel_request;
mod change;
mod check;
mod chunk;
mod columns;
mod connect;
mod error;
mod export;
mod fault;
mod filesystem;
mod identity;
mod intake;
mod job;
mod marks;
mod meta;
mod migrate;
mod missing;
mod open;
mod query;
mod range_ops;
mod record;
mod resubmit;
mod rows_sql;
mod runs;
mod salvage;
mod select;
mod state_counts;
mod statements;
mod store_lock;
mod unfinished;

pub use accept::{NewBatch, SubmissionRow, TakenIn};
pub use batch::{BatchFilter, BatchRow};
pub use batch_line::BatchLine;
pub use cancel_request::CancelRequest;
pub use change::JobChange;
pub use check::CheckReport;
pub use chunk::{ChunkRow, NewSubmission};
pub use error::StoreError;
pub use export::ExportReport;
pub use filesystem::FileSystem;
pub use intake::IntakeReport;
pub use job::{JobRow, OutputPlace, RunRow, StreamPlace, Usage};
pub use migrate::VERSION;
pub use open::{Locking, OpenOptions, Store};
pub use query::JobQuery;
pub use range_ops::Unstarted;
pub use record::RunRecord;
pub use resubmit::Cut;
pub use runs::Runs;
pub use select::{SelectContext, Selection};
pub use state_counts::StateCounts;
pub use store_lock::{HolderStatus, LockHolder, UnlockReport, unlock};
pub use unfinished::{StartedJob, UnfinishedBatch, UnstartedGroup};
