//! The letters of `job_state` in our words.

use cluster_core::JobState;

use crate::flavour::Flavour;

/// What a letter means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// Alive, in this state; `true`: it may never go on by itself.
    Alive(JobState, bool),
    /// Over.
    Ended,
}

/// The meaning of `job_state`, with `Hold_Types` for the held.
///
/// OpenPBS has Q R H W E S B X F and T M U, Torque Q R H W E C S T. A job that ended is still E while its
/// files are delivered, with its exit status already there: it is over at F, X or C.
pub(crate) fn meaning(flavour: Flavour, letter: &str, holds: &str) -> Meaning {
    match (flavour, letter) {
        (Flavour::OpenPbs, "F" | "X") | (Flavour::Torque, "C") => Meaning::Ended,
        // On its way to another queue, or waiting for its date.
        (_, "Q" | "W" | "T") => Meaning::Alive(JobState::Queued, false),
        (_, "H") if holds.contains('s') && !is_held(holds) => Meaning::Alive(JobState::Queued, false),
        // An element that waits for one of the slots of its array (`-t 0-9%2`) is held by nobody.
        (Flavour::Torque, "H") if !is_held(holds) => Meaning::Alive(JobState::Queued, false),
        (_, "H") => Meaning::Alive(JobState::Held, false),
        (_, "R" | "E") | (Flavour::OpenPbs, "B") => Meaning::Alive(JobState::Running, false),
        (_, "S") | (Flavour::OpenPbs, "U") => Meaning::Alive(JobState::Suspended, true),
        // Moved to another server (M) is unknown to this one.
        _ => Meaning::Alive(JobState::Unknown, true),
    }
}

/// Whether `Hold_Types` has a user's or an operator's hold. `s` is the server's own: a dependency.
pub(crate) fn is_held(holds: &str) -> bool {
    holds.contains(['u', 'o', 'p'])
}
