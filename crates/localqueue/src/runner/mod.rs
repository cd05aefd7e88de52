//! The runner: the per-user background process that starts jobs of `local`.
//!
//! One for a user and host, serving all roots. It holds a lock for life; the socket belongs to the lock's
//! holder. Everything it knows is in the stores of the roots, in their journals and in the slot table, so
//! that a kill loses nothing but what was bare and running at that instant.

mod adopt;
mod answer;
mod connect;
mod conversation;
mod former;
mod leases;
mod origin;
mod place;
pub mod protocol;
mod reserved;
mod root;
mod serve;
mod store;
mod watch_dirs;

pub use crate::sys::keep_from_children;
pub use answer::{need_of, too_large};
pub use connect::{ConnectError, Connection, Launcher, connect, connect_or_start};
pub use place::{Place, PlaceError};
pub use serve::{RunnerError, Settings, run};
pub use store::{
    Accepted, Asked, Change, OpenedRoot, RootFiles, RootOpener, RootStore, Settled, StartedJob, StoreFailure,
    Unfinished, WorkPlan,
};
