//! The dialects of PBS against recordings of real schedulers, and the traps that they showed.

#![allow(clippy::unwrap_used)] // helpers of tests are tests, which clippy does not know

mod answers;
mod command_lines;
mod directives;
mod forms_agree;
mod outcomes;
mod recorded;
mod recordings;
mod robust;
mod support;
mod traps;
