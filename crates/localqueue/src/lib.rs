//! The cores of this machine as a scheduler: an embeddable pool, and the runner that outlives the terminal.

pub mod capacity;
mod cgroup;
mod control;
pub mod engine;
pub mod event;
pub mod files;
pub mod journal;
pub mod launch;
pub mod machine;
pub mod pack;
mod pins;
pub mod pool;
pub mod queue;
pub mod runner;
pub mod slot_table;
pub mod submission;
#[allow(unsafe_code)]
mod sys;
