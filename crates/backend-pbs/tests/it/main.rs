//! The dialects of PBS against recordings of real schedulers, and the traps that they showed.

#![allow(clippy::unwrap_used)] // helpers of tests are tests, which clippy does not know

mod answers;
#[allow(unreachable_pub)] // it is a part of the crate of the fuzz targets
#[path = "../../../../fuzz/src/case.rs"]
mod case;
mod command_lines;
mod corpus;
mod directives;
#[allow(unreachable_pub)] // it is a part of the crate of the fuzz targets
#[path = "../../../../fuzz/src/pbs.rs"]
mod entry;
mod forms_agree;
mod outcomes;
mod recorded;
mod recordings;
mod robust;
mod support;
mod traps;
