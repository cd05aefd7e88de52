//! What must hold on every scheduler: the same tests for the mocks and for the real ones.
//!
//! `cargo xtask integration slurm|pbs|torque|sge [--real]` runs them; alone they run on the mock of Slurm.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod arrays;
mod bare;
mod chunks;
mod control;
mod dependencies;
mod environment;
mod evidence;
mod exit_codes;
mod following;
mod gate;
mod hearsay;
mod interrupted;
mod limits;
mod names;
mod outage;
mod queue;
mod requeue;
mod signals;
mod submit;
mod system;
