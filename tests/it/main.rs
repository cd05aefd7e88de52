//! `cluster` from the outside: the program as users run it, with a runner and a root of its own in each test.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod control;
mod docs;
mod fault_host;
mod fault_kill;
mod fault_root;
mod follow;
mod local;
mod map;
mod run;
mod submit;
