//! `Exit_status` (OpenPBS) and `exit_status` (Torque): what they say, and the lies that are known.

use cluster_core::{Cause, ExitStatus};

use crate::flavour::Flavour;

/// What is known of the end of a job or element.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct End {
    /// How its process ended; `None` where none was started or the node's daemon decided.
    pub(crate) status: Option<ExitStatus>,
    /// Why, where that is named.
    pub(crate) cause: Option<Cause>,
}

/// What a record says of its end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Evidence<'a> {
    /// The exit status, where there is one.
    pub(crate) exit: Option<i64>,
    /// OpenPBS: 91 terminated, 92 finished, 93 failed.
    pub(crate) substate: Option<i64>,
    /// The comment.
    pub(crate) comment: &'a str,
    /// `Hold_Types`.
    pub(crate) holds: &'a str,
}

/// Reads the evidence.
pub(crate) fn end(flavour: Flavour, evidence: Evidence<'_>) -> End {
    // Both servers have this sentence; Torque writes it into the comment, beside an exit status of 271.
    if evidence.comment.starts_with("Job deleted as result of dependency") {
        return End { status: None, cause: Some(Cause::DependencyNeverSatisfied) };
    }
    match flavour {
        Flavour::OpenPbs => open_pbs(evidence),
        Flavour::Torque => torque(evidence),
    }
}

/// 256 and SIGTERM.
const QDEL: i64 = 271;

fn open_pbs(evidence: Evidence<'_>) -> End {
    let Some(exit) = evidence.exit else {
        // Ended without an exit status: it never ran. The server deletes a job whose dependency cannot be
        // met any more without a comment, still held by the system (`s`), as "finished" (92); qdel of a job
        // that was held for its dependency says "terminated" (91).
        let dependency = evidence.holds.contains('s') && evidence.substate != Some(91);
        let cause = if dependency { Cause::DependencyNeverSatisfied } else { Cause::Cancelled };
        return End { status: None, cause: Some(cause) };
    };
    let cause = if exit < 0 {
        open_pbs_code(exit).or_else(|| exceeded(evidence.comment))
    } else if let Some(cause) = exceeded(evidence.comment) {
        Some(cause)
    } else if evidence.substate == Some(91)
        || evidence.comment.contains(" and terminated by ")
        || exit == QDEL
    {
        // qdel: 271 where the signal met the first process, 143 where it met the script's command. Nobody
        // but the node's daemon signals the first process; where the server restarted in between, the exit
        // status alone tells it. A time limit has a code of its own.
        Some(Cause::Cancelled)
    } else {
        None
    };
    End { status: status(exit), cause }
}

/// `… and exceeded resource walltime` in the comment of an ended job.
fn exceeded(comment: &str) -> Option<Cause> {
    let (_, resource) = comment.rsplit_once(" and exceeded resource ")?;
    match resource.trim() {
        "walltime" | "cput" | "pcput" => Some(Cause::Timeout),
        "mem" | "vmem" | "pmem" | "pvmem" => Some(Cause::OutOfMemory),
        _ => None,
    }
}

/// The codes of OpenPBS's node daemon (`JOB_EXEC_*` of its `job.h`). Those of CPU use beyond the limit
/// (-24, -25) and codes that we do not know are no cause of ours: the comment says more.
fn open_pbs_code(code: i64) -> Option<Cause> {
    Some(match code {
        // A hook had the job deleted.
        -17 | -19 => Cause::Cancelled,
        // Not started on that node (no home directory, no such user, a security check), or aborted by the
        // daemon's restart or a hook, to be run again where it may be.
        -23..=-1 | -30 => Cause::NodeFailure,
        -26 | -27 => Cause::OutOfMemory,
        -28 | -29 => Cause::Timeout,
        _ => return None,
    })
}

fn torque(evidence: Evidence<'_>) -> End {
    match evidence.exit {
        // Completed without an exit status: deleted before it ran.
        None => End { status: None, cause: Some(Cause::Cancelled) },
        Some(exit) if exit < 0 => End { status: None, cause: torque_code(exit) },
        // 271 is both qdel and the time limit: our own request or the log tells which.
        Some(exit) => End { status: status(exit), cause: None },
    }
}

/// The codes of Torque's node daemon, which differ from OpenPBS's from -10 on.
fn torque_code(code: i64) -> Option<Cause> {
    Some(match code {
        -9..=-1 | -13 => Cause::NodeFailure,
        -10 => Cause::OutOfMemory,
        -11 | -12 => Cause::Timeout,
        _ => return None,
    })
}

/// 0–255 is the shell's code; above 256 the daemon saw the signal itself.
fn status(exit: i64) -> Option<ExitStatus> {
    match exit {
        0..=255 => i32::try_from(exit).ok().map(ExitStatus::Exit),
        257..=384 => i32::try_from(exit - 256).ok().map(ExitStatus::Signal),
        _ => None,
    }
}
