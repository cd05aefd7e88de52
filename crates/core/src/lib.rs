//! The words of the field: ids, resources, job spec, states, life cycle, the two traits, `Dialect` and `Host`.
//!
//! Everything here is pure: no files, no processes, no clock. The feature `exec` adds [`exec`], which
//! runs command lines on this host.
//!
//! ```
//! use cluster_core::{JobId, Walltime};
//! let job: JobId = "17.3".parse()?;
//! let limit: Walltime = "1h30m".parse()?;
//! assert_eq!((job.index, limit.to_string().as_str()), (3, "01:30:00"));
//! # Ok::<(), cluster_core::ParseError>(())
//! ```

pub mod bytestring;
pub mod calendar;
pub mod dependency;
pub mod dialect;
pub mod error;
#[cfg(feature = "exec")]
pub mod exec;
pub mod host;
pub mod ids;
pub mod indices;
pub mod inputs;
pub mod job_script;
pub mod life;
pub mod mem_size;
pub mod percent;
pub mod resources;
pub mod selector;
pub mod shell;
pub mod spec;
pub mod state;
pub mod status_file;
pub mod template;
pub mod time;
pub mod walltime;

pub use bytestring::ByteString;
pub use dependency::{Dependency, DependencyKind, ForeignDependency};
pub use error::ParseError;
pub use ids::{BatchId, JobId, JobIndex, RemoteId, RunNumber, SubmissionNumber, Tag};
pub use indices::IndexSet;
pub use mem_size::MemSize;
pub use resources::Resources;
pub use selector::Selector;
pub use spec::{Command, JobSpec, OutputMode};
pub use state::{Cause, ExitStatus, JobState};
pub use time::Timestamp;
pub use walltime::Walltime;
