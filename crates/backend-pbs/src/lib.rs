#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod attribute;
mod blocks;
mod checked;
mod command;
mod control;
mod directives;
mod entry;
mod exit_status;
mod flavour;
mod hosts;
mod json;
mod lexeme;
mod log;
mod openpbs;
mod qstat_dsv;
mod qstat_json;
mod qstat_text;
mod qstat_xml;
mod qsub;
mod read;
mod record;
mod refusal;
mod server;
mod state;
mod torque;
mod torque_nodes;

pub use openpbs::OpenPbs;
pub use torque::Torque;
