//! `cluster` from the outside: the program as users run it, with a runner and a root of its own in each test.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod allocation;
mod bad_input;
mod cgroup;
mod control;
mod docs;
mod fault_host;
mod fault_kill;
mod fault_root;
mod fault_step;
mod files;
mod follow;
mod job;
mod library;
mod local;
mod map;
mod output;
mod reading;
mod restart;
mod retry;
mod run;
mod spawn;
mod store;
mod submit;
mod system;
mod tidy;
