//! The letters of a state: `qw`, `hqw`, `Eqw`, `dr`, `Rr` …

use cluster_core::JobState;

/// What the letters say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Letters {
    pub(crate) state: JobState,
    /// It may never go on by itself.
    pub(crate) uncertain: bool,
    /// It was started before, and is, or will be, started again.
    pub(crate) restarted: bool,
}

/// Reads the letters of `qstat`'s state column.
///
/// An `E` is no end: the job waits in error until somebody clears it (`qmod -cj`) or deletes it, so it is
/// held, and uncertain. A `z` is over, but how it ended only the accounting knows: unknown. `t` (on its way
/// to its host) counts as running, `d` (asked to end) changes nothing.
pub(crate) fn letters(raw: &str) -> Letters {
    let has = |letter: char| raw.contains(letter);
    let known = !raw.is_empty() && raw.chars().all(|c| "dEhqrRstSTwz".contains(c));
    let state = if !known || has('z') {
        JobState::Unknown
    } else if has('E') {
        JobState::Held
    } else if has('s') || has('S') || has('T') {
        JobState::Suspended
    } else if has('r') || has('t') {
        JobState::Running
    } else if has('h') {
        JobState::Held
    } else {
        JobState::Queued
    };
    Letters {
        state,
        uncertain: !known || (has('E') && !has('z')) || state == JobState::Suspended,
        restarted: known && has('R'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_letters_that_were_seen() {
        use JobState::*;
        for (raw, state, uncertain) in [
            ("qw", Queued, false),
            ("hqw", Held, false),
            ("hRwq", Held, false),
            ("Eqw", Held, true),
            ("Ehqw", Held, true),
            ("t", Running, false),
            ("r", Running, false),
            ("hr", Running, false),
            ("s", Suspended, true),
            ("S", Suspended, true),
            ("T", Suspended, true),
            ("Rq", Queued, false),
            ("Rr", Running, false),
            ("Rt", Running, false),
            ("dr", Running, false),
            ("dt", Running, false),
            ("dRr", Running, false),
            ("ds", Suspended, true),
            ("dqw", Queued, false),
            ("z", Unknown, false),
        ] {
            let read = letters(raw);
            assert_eq!((read.state, read.uncertain), (state, uncertain), "{raw}");
            assert_eq!(read.restarted, raw.contains('R'), "{raw}");
        }
    }

    #[test]
    fn letters_that_we_do_not_know_are_data() {
        for raw in ["", "xw", "P", "qw?", "ü"] {
            let read = letters(raw);
            assert_eq!((read.state, read.uncertain), (JobState::Unknown, true), "{raw}");
        }
    }
}
