#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod call;
mod directives;
mod end;
mod hosts;
mod lexeme;
mod owned;
mod qacct;
mod qconf;
mod qdel;
mod qhost;
mod qstat;
mod qstat_j;
mod qstat_j_xml;
mod qstat_xml;
mod qsub;
mod refusal;
mod sge;
mod state;
mod xml;

pub use sge::Sge;
