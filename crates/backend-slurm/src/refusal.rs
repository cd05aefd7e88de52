//! What Slurm's error messages mean.
//!
//! The texts are those of slurm_errno.c and of the commands; a site's own messages stand before them.

use cluster_core::dialect::{DialectError, RefusalKind};
use cluster_core::host::Output;
use cluster_core::state::ExitStatus;

use RefusalKind::{
    BadDependency, BadRequest, NoPermission, OverLimit, TryAgain, UnknownJob, UnknownPartition,
};

/// Messages of a scheduler, an accounting or an authentication that is not there.
const UNREACHABLE: &[&str] = &[
    "unable to contact slurm controller",
    "slurmctld is not responding",
    "socket timed out",
    "connection refused",
    "connection reset",
    "connection timed out",
    "no route to host",
    "network is unreachable",
    "communication connection failure",
    "communications shutdown failure",
    "zero bytes were transmitted or received",
    "munge encode failed",
    "protocol authentication error",
    "invalid authentication credential",
    "could not establish a configuration source",
    "unable to process configuration file",
    "problem talking to the database",
    "problem talking to database",
    "in standby mode",
    "failed to open persistent connection",
];

/// Messages of refusals, the narrower ones first.
const REFUSALS: &[(&str, RefusalKind)] = &[
    ("temporarily unable to accept job", TryAgain),
    ("resource temporarily unavailable", TryAgain),
    ("try again", TryAgain),
    ("retry", TryAgain),
    ("invalid partition", UnknownPartition),
    ("group not permitted to use this partition", UnknownPartition),
    ("required partition not available", UnknownPartition),
    ("no partition specified or system default partition", UnknownPartition),
    ("requested time limit is invalid", OverLimit),
    ("more processors requested than permitted", OverLimit),
    ("memory required by task is not available", OverLimit),
    ("memory specification can not be satisfied", OverLimit),
    ("cpu count per node can not be satisfied", OverLimit),
    ("cpu count specification invalid", OverLimit),
    ("node count specification invalid", OverLimit),
    ("requested node configuration is not available", OverLimit),
    ("requested partition configuration not available", OverLimit),
    ("unable to satisfy resources", OverLimit),
    ("job violates accounting/qos policy", OverLimit),
    ("job size specification", OverLimit),
    ("job dependency problem", BadDependency),
    ("dependency specification", BadDependency),
    ("invalid account or account/partition", NoPermission),
    ("invalid user id", NoPermission),
    ("permission denied", NoPermission),
    ("not authorized", NoPermission),
    ("invalid job id specified", UnknownJob),
    ("already completing or completed", UnknownJob),
    ("job has already finished", UnknownJob),
    ("unrecognized option", BadRequest),
    ("requires an argument", BadRequest),
    ("invalid", BadRequest),
    ("bad job/step specified", BadRequest),
    ("no job identification provided", BadRequest),
    ("unable to open file", BadRequest),
    ("does not look like a batch script", BadRequest),
    ("script arguments not permitted", BadRequest),
    ("dos line breaks", BadRequest),
    ("pathname of a file, directory or other parameter too long", BadRequest),
];

/// Messages that make an answer with exit code 0 worthless: it names no jobs where it should have.
const WORTHLESS: &[&str] = &[
    "invalid job format specification",
    "invalid user:",
    "invalid partition",
    "invalid node format specification",
];

/// The first entry of a list that a text contains.
fn first<'l, T>(text: &str, list: &'l [T], words: impl Fn(&T) -> &str) -> Option<&'l T> {
    list.iter().find(|entry| text.contains(words(entry)))
}

/// Whether a command did what it was asked.
///
/// # Errors
/// A refusal or an unreachable scheduler.
pub(crate) fn check(command: &str, output: &Output) -> Result<(), DialectError> {
    let stderr =
        String::from_utf8_lossy(output.stderr.get(..64 << 10).unwrap_or(&output.stderr)).to_ascii_lowercase();
    match output.status {
        ExitStatus::Exit(0) => {
            if matches!(command, "squeue" | "sinfo") && first(&stderr, WORTHLESS, |text| text).is_some() {
                return Err(DialectError::refused(BadRequest, command, output));
            }
            Ok(())
        }
        status => Err(refusal(command, status, &stderr, output)),
    }
}

fn refusal(command: &str, status: ExitStatus, stderr: &str, output: &Output) -> DialectError {
    if stderr.contains("accounting storage is disabled") {
        return DialectError::NoAccounting {
            command: command.to_owned(),
            why: "Slurm keeps no accounting here (AccountingStorageType)".to_owned(),
        };
    }
    if first(stderr, UNREACHABLE, |text| text).is_some() {
        return DialectError::unreachable(command, output);
    }
    // Killed from outside, by timeout(1) or by us: nothing is known of what it did.
    let killed = matches!(status, ExitStatus::Signal(_) | ExitStatus::Exit(124 | 137 | 143));
    if killed && stderr.trim().is_empty() {
        return DialectError::unreachable(command, output);
    }
    let kind = match status {
        // scancel of somebody else's job.
        ExitStatus::Exit(210) => NoPermission,
        ExitStatus::Exit(255) => BadRequest,
        _ => first(stderr, REFUSALS, |(text, _)| text).map_or(RefusalKind::Other, |(_, kind)| *kind),
    };
    DialectError::refused(kind, command, output)
}
