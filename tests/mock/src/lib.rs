//! Mock schedulers: the commands of Slurm, OpenPBS, Torque and Grid Engine, for tests.
//!
//! One program, `cluster-mock`, is `sbatch`, `squeue`, `qsub` … by the name it is called by. A small daemon per
//! state directory (`$CLUSTER_MOCK_DIR`) holds the jobs and really runs them; the commands are thin clients that
//! send it their arguments, environment and working directory and print what comes back.
//!
//! # How a scheduler is written on the engine
//!
//! - [`front::FrontEnd`] is what a scheduler is: the names of its commands, [`front::FrontEnd::run`], which is one
//!   command (arguments in [`front::Call`], text out by [`front::Call::out`] and [`front::Call::err`], exit code
//!   returned), [`front::FrontEnd::launch`], which says how a job's process looks, and the decisions that differ
//!   between schedulers (dependencies, signals of a kill, what an end means). `front::of` lists them.
//! - [`engine::Engine::lock`] gives the job table as a guard; what was changed through
//!   [`engine::Table::job_mut`] is written to the journal when the guard is dropped, and waiting threads
//!   ([`engine::Engine::wait`]) look again. Drop the guard, then call [`engine::Engine::schedule`] to start jobs.
//! - [`engine::Table::submit`] takes a [`engine::Spec`] (what was submitted, shared by the elements of an array)
//!   and makes a [`engine::Job`] for each element; [`engine::Engine::kill`] cancels, times out or requeues,
//!   the engine sends signals. Ended jobs stay in `table.jobs` until `timing.min_job_age` passed
//!   and in `table.past` for ever: that is the accounting.
//! - What only one scheduler knows about a job is a text in [`engine::Spec::attrs`] or [`engine::Job::attrs`].
//! - The configuration ([`config::Config`]) is read again when its file changes; faults are applied before and
//!   after `run` by the daemon, so a front-end need not know of them ([`config::CommandFault`]), apart from
//!   [`config::Faults`], of which each front-end prints its own scheduler's words.
#![deny(unsafe_code)]
#![recursion_limit = "256"]
#![allow(
    clippy::disallowed_methods,
    reason = "a program of its own: it reads its environment and starts jobs"
)]

pub mod client;
pub mod config;
pub mod daemon;
pub mod engine;
pub mod front;
pub mod pbs;
pub mod sge;
pub mod slurm;
pub mod stepd;
pub mod torque;
pub mod wire;
