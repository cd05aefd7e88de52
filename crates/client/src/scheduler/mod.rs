//! Jobs of schedulers: how they are cut into submissions, sent, followed and controlled.
//!
//! There is no process of ours that watches them: whoever waits, lists or acts looks at the scheduler, by a
//! snapshot that all processes share, and takes what it says, and what the jobs' own records say, into the
//! store. An outcome comes from a record or from the accounting, never from absence.

mod account;
mod conclude;
mod control;
mod cut;
mod depend;
mod find;
mod fold;
mod follow;
mod lock;
mod look_up;
mod plan;
mod positions;
mod record;
mod send;
mod settle;
mod submit;
mod take;
mod theirs;
mod tick;

pub use cut::Throttle;
pub(crate) use depend::never;
pub use follow::{Refresh, Refreshed};
pub use plan::Plan;
pub use send::Sending;
pub use submit::Sent;
pub use tick::{TICK, Ticker};
