//! What a dialect is asked for.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::dependency::DependencyKind;
use crate::ids::{RemoteId, Tag};
use crate::indices::IndexSet;
use crate::resources::Resources;

/// What goes into the head of a script.
#[derive(Debug, Clone)]
pub struct ScriptRequest<'a> {
    /// What one job asks for.
    pub resources: &'a Resources,
    /// The higher goes first among the user's own jobs.
    pub priority: i32,
    /// Directives of the user's own, without the scheduler's prefix (`--exclusive`, `-l foo=1`).
    pub extra: &'a [String],
}

/// The head of a script.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Directives {
    /// Whole lines with the scheduler's prefix, without line feeds.
    pub lines: Vec<String>,
    /// What cannot be said to this scheduler, for people: a warning, or an error when strict.
    pub unsaid: Vec<String>,
}

/// One submission: one call of the scheduler.
#[derive(Debug, Clone)]
pub struct SubmitRequest<'a> {
    /// The script, on the scheduler's host.
    pub script: &'a Path,
    /// The user's name for the batch, any text; [`job_name`] makes the scheduler's of it.
    pub name: &'a str,
    /// The submission's tag.
    pub tag: &'a Tag,
    /// Where the scheduler's own output goes: a file that is not there yet in a directory that is, with
    /// no blanks or percent signs in what we add to the root's path. A dialect may add to its name.
    pub log: &'a Path,
    /// How many jobs go out as an array; `None`: one job that is none.
    pub array: Option<u32>,
    /// How many elements may run at once.
    pub throttle: Option<u32>,
    /// What it waits for.
    pub dependencies: &'a [RemoteDependency],
    /// Whether it begins held.
    pub hold: bool,
    /// The resources, where some have to be said on the command line.
    pub resources: &'a Resources,
    /// The lines at the head of the script that begin with `#`: what it says itself, also when edited by hand.
    pub head: &'a [String],
}

/// Something of the same scheduler to wait for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoteDependency {
    /// Which end counts.
    pub kind: DependencyKind,
    /// A job, an element of an array, or a whole array.
    pub id: RemoteId,
    /// Whether `id` is a whole array.
    pub array: bool,
    /// Element by element: both are arrays of the same numbers.
    pub elementwise: bool,
    /// Whether the gate in the script checks it too: then a weaker form is good enough where the scheduler's
    /// own is not to be trusted.
    pub gated: bool,
}

/// What is done to jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Control {
    /// Asks for their end.
    Cancel,
    /// Keeps queued ones from starting.
    Hold,
    /// Lets held ones go.
    Release,
}

/// To what it is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlTarget {
    /// The job, or the array as the submit command gave it.
    pub id: RemoteId,
    /// Positions in the array; `None`: all of it.
    pub positions: Option<IndexSet>,
    /// Whether the last query showed it. OpenPBS's server dies of known and unknown ids in one call.
    pub seen: bool,
}

/// Whose jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose<'a> {
    /// These users'.
    Users(&'a [String]),
    /// Everybody's.
    All,
}

/// What `job.sh` has to know of the scheduler it runs under. The texts are `sh`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScriptFacts {
    /// Expands to the position in the array, from 0, and to nothing in a job that is no array.
    pub position: &'static str,
    /// Expands to the scheduler's id of this job or element.
    pub remote_id: &'static str,
    /// Whether the scheduler signals the script's shell alone, which then has to pass signals on.
    pub signals_shell_alone: bool,
    /// Codes that the scheduler takes as something else than a failure, with what to end with instead.
    pub codes: &'static [(u8, u8)],
    /// Variables to unset before the command runs.
    pub unset: &'static [&'static str],
}

/// The name of a job for a scheduler: `name` cut to 40 characters, other than `[A-Za-z0-9._-]` as `_`,
/// beginning with a letter, then `.` and the tag.
///
/// ```
/// # use cluster_core::{Tag, dialect::job_name};
/// assert_eq!(job_name("7 días", &Tag::from_bits(0)), "j7_d_as.caaaaaaaaaa");
/// assert_eq!(job_name("", &Tag::from_bits(0)), "job.caaaaaaaaaa");
/// ```
pub fn job_name(name: &str, tag: &Tag) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' };
    let mut text: String = name.chars().map(plain).collect();
    if text.is_empty() {
        text = "job".to_owned();
    } else if !text.starts_with(|c: char| c.is_ascii_alphabetic()) {
        text.insert(0, 'j');
    }
    text.truncate(40);
    format!("{text}.{tag}")
}
