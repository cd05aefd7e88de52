//! The life of a job from spec to result: plan, submit, refresh, wait, collect, clean.
//!
//! Deaf to the terminal, `$HOME` and the environment: whoever calls says who and where.

mod act;
pub mod arrival;
mod check;
pub mod client;
mod cycle;
pub mod error;
pub mod follow;
pub mod inputs;
pub mod job;
pub mod job_library;
pub mod layout;
pub mod local;
pub mod output;
pub mod scheduler;
pub mod stage;
pub mod system;
pub mod tidy;
pub mod watch;

pub use client::{Again, Client, LOCAL, Launcher, Lender, Scheduling, Settings, SubmitOptions, Systems};
pub use error::ClientError;
pub use job::{Filter, Job};
pub use layout::Layout;
pub use stage::Stage;
pub use watch::{Look, Until, Waited, Waiting, Watch};
