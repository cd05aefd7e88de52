//! The store as its callers see it.

// Helpers of tests are tests, too; clippy only knows the functions.
#![allow(clippy::unwrap_used)]

mod chunks;
mod concurrent;
mod faults;
mod model;
mod network;
mod operations;
mod taking_in;

use std::path::Path;

use cluster_core::{JobSpec, JobState, Tag, Timestamp};
use cluster_jobsdb::{NewBatch, OpenOptions, Store};

/// A store that is made where it is not there.
fn open(root: &Path) -> Store {
    Store::open(root, &OpenOptions { create: true, ..OpenOptions::default() }).unwrap()
}

/// A batch of `count` jobs.
fn batch(tag: u64, count: u32, state: JobState) -> NewBatch {
    let mut spec = JobSpec::single("name", vec!["true".into()], "/".into());
    spec.count = count;
    NewBatch::new(Tag::from_bits(tag), spec, "local", "local", state, "me", Timestamp(1))
}
