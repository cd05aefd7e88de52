//! The harness of the end-to-end suites: a [`World`] of its own for each test, and the commands run in it.
//!
//! Nothing here sleeps to let something happen: tests wait for what they need, by [`Fifo`], by the end of a
//! process, or by [`wait_for`], which looks again until a deadline that only ends a test that hangs.
#![allow(clippy::unwrap_used, clippy::print_stderr, clippy::disallowed_methods)]

mod binary;
mod call;
mod fifo;
mod guard;
mod outcome;
mod privileges;
mod processes;
mod random;
mod site;
mod sql;
mod wait;
mod world;

pub use binary::{binary, mock_binary};
pub use call::{Background, Call};
pub use fifo::Fifo;
pub use outcome::Outcome;
pub use privileges::{SmallDisk, is_root, long_form, skipped, small_disk};
pub use processes::{catches, has_process_with, is_alive, kill, processes_with};
pub use random::Random;
pub use site::{Calls, Kind, Outage, SYSTEM, Site, Wish, is_real, refuses_over_limit};
pub use sql::{Seized, execute};
pub use wait::{wait_for, wait_some};
pub use world::{World, state_of};
