#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod command_line;
mod control;
mod dialect;
mod directives;
mod environment;
mod hosts;
mod job_id;
mod json;
mod lexeme;
mod log;
mod refusal;
mod row;
mod sacct;
mod sbatch;
mod scontrol;
mod sinfo;
mod squeue;
mod state;
mod table;

pub use dialect::Slurm;
pub use hosts::{HostList, MAX_HOSTS};
