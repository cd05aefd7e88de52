//! Slurm's states in our words, and what an exit code is worth.

use cluster_core::{Cause, ExitStatus, JobState};

/// Who prints a state: they mean different things by the same word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// The controller: squeue and scontrol. Its exit codes are true.
    Controller,
    /// The accounting: sacct. Its text has 128 taken off exit codes of 128 and more, its JSON knows no
    /// exit code but 0.
    Accounting,
}

/// A state, read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) state: JobState,
    pub(crate) cause: Option<Cause>,
    pub(crate) uncertain: bool,
}

/// The state for Slurm's word, long or short, given the reason beside it.
///
/// `COMPLETING` is no end: processes may be left. `REQUEUED` is none either: the job waits for its next run.
/// `DEADLINE` is a time limit, set as a date. `CANCELLED` of a job whose dependency cannot be met any more
/// has that as its cause where Slurm did it, which sacct writes without `by UID` and with the reason
/// `Dependency`, squeue with the reason `DependencyNeverSatisfied`.
pub(crate) fn state(raw: &[u8], reason: &[u8], source: Source) -> State {
    let plain = |state| State { state, cause: None, uncertain: false };
    let failed = |cause| State { state: JobState::Failed, cause: Some(cause), uncertain: false };
    let unsure = |state| State { state, cause: None, uncertain: true };
    // sacct's columns of a given width end in + where a word was cut.
    let word = raw.split(|&b| b == b' ').next().unwrap_or(raw);
    match word {
        b"PENDING" | b"PD" if is_hold(reason) => plain(JobState::Held),
        // Slurm holds what it could not start; the user's `release` is what it waits for.
        b"PENDING" | b"PD" if was_given_up(reason) => unsure(JobState::Held),
        b"PENDING" | b"PD" | b"REQUEUED" | b"RQ" | b"REQUEUE_FED" | b"RF" | b"EXPEDITING" => {
            plain(JobState::Queued)
        }
        b"REQUEUE_HOLD" | b"RH" | b"RESV_DEL_HOLD" | b"RD" => plain(JobState::Held),
        b"SPECIAL_EXIT" | b"SE" => unsure(JobState::Held),
        b"RUNNING" | b"R" | b"COMPLETING" | b"CG" | b"CONFIGURING" | b"CF" | b"RESIZING" | b"RS"
        | b"SIGNALING" | b"SI" | b"STAGE_OUT" | b"SO" | b"POWER_UP_NODE" => plain(JobState::Running),
        b"SUSPENDED" | b"S" | b"STOPPED" | b"ST" => unsure(JobState::Suspended),
        b"COMPLETED" | b"CD" => plain(JobState::Succeeded),
        b"FAILED" | b"F" => plain(JobState::Failed),
        b"TIMEOUT" | b"TO" | b"DEADLINE" | b"DL" => failed(Cause::Timeout),
        b"OUT_OF_MEMORY" | b"OOM" => failed(Cause::OutOfMemory),
        b"NODE_FAIL" | b"NF" | b"BOOT_FAIL" | b"BF" => failed(Cause::NodeFailure),
        b"PREEMPTED" | b"PR" => failed(Cause::Preempted),
        b"CANCELLED" | b"CA" => {
            let by_slurm = match source {
                Source::Accounting => raw == b"CANCELLED" && reason.starts_with(b"Dependency"),
                Source::Controller => reason == b"DependencyNeverSatisfied",
            };
            failed(if by_slurm { Cause::DependencyNeverSatisfied } else { Cause::Cancelled })
        }
        _ => unsure(JobState::Unknown),
    }
}

/// Whether all that the row is about is held: a row that several elements share names each of their reasons.
fn is_hold(reason: &[u8]) -> bool {
    reason.split(|&b| b == b',').all(|one| {
        matches!(one, b"JobHeldUser" | b"JobHeldAdmin" | b"JobHoldMaxRequeue" | b"user_hold" | b"admin_hold")
    })
}

/// Whether some of the elements that share a row are held.
pub(crate) fn may_be_held(reason: &[u8]) -> bool {
    !is_hold(reason) && reason.split(|&b| b == b',').any(is_hold)
}

/// Reasons in words, with blanks or, from scontrol, underscores: `launch failed requeued held`, `job requeued in
/// held state`, `user env retrieval failed requeued held`, `launch failure limit exceeded requeued held`.
fn was_given_up(reason: &[u8]) -> bool {
    let reason: Vec<u8> =
        reason.iter().map(|&b| if b == b'_' { b' ' } else { b.to_ascii_lowercase() }).collect();
    [&b"requeued held"[..], b"requeued in held state"]
        .iter()
        .any(|words| reason.windows(words.len()).any(|window| window == *words))
}

/// Whether the text may be a state: one that we know, or capitals as a later version may have them.
pub(crate) fn is_state(raw: &[u8]) -> bool {
    let word = raw.strip_suffix(b"+").unwrap_or(raw);
    let word = word.split(|&b| b == b' ').next().unwrap_or(word);
    !word.is_empty() && word.iter().all(|b| b.is_ascii_uppercase() || *b == b'_')
}

/// How a job ended, given Slurm's `code:signal`; `None` where it cannot be known.
///
/// sacct takes 128 off exit codes of 128 and more: 72 is `exit 72` or `exit 200`, and is not said. `FAILED`
/// with 0:0 can only have been 128. Both know signals of the batch script; numbers above 31 (53, 125) are
/// Slurm's own, not the kernel's. The codes of jobs that Slurm ended (TIMEOUT 0:0, DEADLINE 1:0) are not
/// those of a process.
pub(crate) fn status(state: State, code: u32, signal: u32, source: Source) -> Option<ExitStatus> {
    let exit = i32::try_from(code).ok().filter(|code| *code < 256).map(ExitStatus::Exit)?;
    match (state.state, state.cause) {
        (JobState::Succeeded, _) => (code == 0 && signal == 0).then_some(ExitStatus::Exit(0)),
        (JobState::Failed, None) if signal != 0 => {
            i32::try_from(signal).ok().filter(|signal| *signal <= 31).map(ExitStatus::Signal)
        }
        (JobState::Failed, None) => match source {
            Source::Controller => (code != 0).then_some(exit),
            Source::Accounting => (code == 0).then_some(ExitStatus::Exit(128)),
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(raw: &str, reason: &str, source: Source) -> (JobState, Option<Cause>, bool) {
        let state = state(raw.as_bytes(), reason.as_bytes(), source);
        (state.state, state.cause, state.uncertain)
    }

    #[test]
    fn long_and_short_words_say_the_same() {
        for (long, short) in [
            ("PENDING", "PD"),
            ("RUNNING", "R"),
            ("COMPLETING", "CG"),
            ("SUSPENDED", "S"),
            ("COMPLETED", "CD"),
            ("CANCELLED", "CA"),
            ("FAILED", "F"),
            ("TIMEOUT", "TO"),
            ("NODE_FAIL", "NF"),
            ("OUT_OF_MEMORY", "OOM"),
            ("PREEMPTED", "PR"),
            ("DEADLINE", "DL"),
            ("BOOT_FAIL", "BF"),
            ("SPECIAL_EXIT", "SE"),
        ] {
            assert_eq!(of(long, "None", Source::Controller), of(short, "None", Source::Controller), "{long}");
            assert_ne!(of(long, "None", Source::Controller).0, JobState::Unknown, "{long}");
        }
    }

    #[test]
    fn an_unknown_state_is_data_and_no_end() {
        assert_eq!(of("XY", "", Source::Controller), (JobState::Unknown, None, true));
        assert_eq!(of("REVOKED", "", Source::Controller), (JobState::Unknown, None, true));
        assert!(!JobState::Unknown.is_end());
    }

    #[test]
    fn completing_and_requeued_are_no_ends() {
        assert_eq!(of("COMPLETING", "None", Source::Controller).0, JobState::Running);
        assert_eq!(of("REQUEUED", "None", Source::Accounting).0, JobState::Queued);
    }

    #[test]
    fn a_hold_of_some_elements_is_no_hold_of_all() {
        assert_eq!(of("PENDING", "JobHeldUser", Source::Controller).0, JobState::Held);
        assert_eq!(of("PENDING", "JobHeldAdmin", Source::Controller).0, JobState::Held);
        assert_eq!(of("PENDING", "Priority,JobHeldUser", Source::Controller).0, JobState::Queued);
        assert_eq!(of("PENDING", "Dependency", Source::Controller).0, JobState::Queued);
        assert_eq!(of("PENDING", "JobHeldUser,JobHeldAdmin", Source::Controller).0, JobState::Held);
        for (reason, some) in
            [("Priority,JobHeldUser", true), ("JobHeldUser", false), ("Priority", false), ("", false)]
        {
            assert_eq!(may_be_held(reason.as_bytes()), some, "{reason}");
        }
    }

    #[test]
    fn what_slurm_could_not_start_and_holds_is_held_and_told() {
        for reason in [
            "launch failed requeued held",
            "launch_failed_requeued_held",
            "job requeued in held state",
            "user env retrieval failed requeued held",
            "launch failure limit exceeded requeued held",
        ] {
            assert_eq!(of("PENDING", reason, Source::Controller), (JobState::Held, None, true), "{reason}");
        }
    }

    #[test]
    fn who_cancelled_decides_the_cause() {
        let never = Some(Cause::DependencyNeverSatisfied);
        assert_eq!(of("CANCELLED", "Dependency", Source::Accounting).1, never);
        assert_eq!(of("CANCELLED", "DependencyNeverSatisfied", Source::Controller).1, never);
        assert_eq!(of("CANCELLED by 1001", "Dependency", Source::Accounting).1, Some(Cause::Cancelled));
        assert_eq!(of("CANCELLED", "Dependency", Source::Controller).1, Some(Cause::Cancelled));
        assert_eq!(of("CANCELLED by 1001", "None", Source::Accounting).1, Some(Cause::Cancelled));
    }

    #[test]
    fn codes_are_said_only_where_they_are_certain() {
        let failed = state(b"FAILED", b"", Source::Accounting);
        assert_eq!(status(failed, 127, 0, Source::Accounting), None, "127 or 255");
        assert_eq!(status(failed, 3, 0, Source::Accounting), None, "3 or 131");
        assert_eq!(status(failed, 0, 0, Source::Accounting), Some(ExitStatus::Exit(128)));
        assert_eq!(status(failed, 255, 0, Source::Controller), Some(ExitStatus::Exit(255)));
        assert_eq!(status(failed, 0, 11, Source::Accounting), Some(ExitStatus::Signal(11)));
        assert_eq!(status(failed, 0, 53, Source::Accounting), None, "Slurm's own number");
        let done = state(b"COMPLETED", b"", Source::Accounting);
        assert_eq!(status(done, 0, 0, Source::Accounting), Some(ExitStatus::Exit(0)));
        for word in ["TIMEOUT", "OUT_OF_MEMORY", "CANCELLED by 0", "DEADLINE", "NODE_FAIL", "RUNNING"] {
            let state = state(word.as_bytes(), b"", Source::Accounting);
            assert_eq!(status(state, 0, 0, Source::Accounting), None, "{word}");
            assert_eq!(status(state, 1, 0, Source::Controller), None, "{word}");
        }
    }
}
