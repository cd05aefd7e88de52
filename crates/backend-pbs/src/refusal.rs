//! What a command's exit code and stderr mean. PBS's exit codes are its error numbers modulo 256, and the two
//! families number differently: the words decide, the codes only where the words say nothing.

use cluster_core::dialect::{DialectError, RefusalKind};
use cluster_core::host::Output;

/// Texts of a server, or of Torque's local daemon, that is not there or went away during the request.
const UNREACHABLE: &[&str] = &[
    "cannot connect to server",
    "Couldn't connect to cluster",
    "Could not connect to batch server",
    "could not connect to trqauthd",
    "Cannot connect to specified server",
    "Can not establish connection",
    "Client connection not found",
    "Unable to communicate with",
    "Unable to get connection to socket",
    "Socket close detected",
    "Could not resolve host name",
    "pbsconf error",
    "Unknown Host",
    "Connection refused",
    "End of File",
    "Premature end of message",
];

/// Texts of refusals: what was recorded, and the others of the servers' own tables of messages. The first that
/// fits a line counts.
const REFUSALS: &[(RefusalKind, &[&str])] = &[
    (
        RefusalKind::UnknownJob,
        &[
            "Job has finished",
            "Request invalid for finished array subjob",
            "Unknown Job Id",
            "Unknown Array ID",
            "nonexistent job id",
            "Job not found",
        ],
    ),
    (
        RefusalKind::BadDependency,
        &[
            "illegal -W dependency value",
            "Invalid Job Dependency",
            "Dependency request for job rejected",
            "Dependent parent job",
        ],
    ),
    (
        RefusalKind::OverLimit,
        &[
            "violates queue and/or server resource limits",
            "exceeds queue resource limits",
            "Resource limit exceeds allowable",
            "doesn't meet minimum limit",
            "would exceed",
            "Maximum number of jobs",
            "exceeds server or queue size limit",
            "jobscript size exceeded",
        ],
    ),
    (
        RefusalKind::TryAgain,
        &[
            "Server could not connect to MOM",
            "shutting down",
            "too busy",
            "connection table full",
            "No free connections",
            "emporarily unavailable",
            "Queue is currently not available",
            "may retry",
            "Time out",
            "try again",
        ],
    ),
    (
        RefusalKind::UnknownPartition,
        &[
            "Unknown queue",
            "Queue is not enabled",
            "Queue does not allow",
            "No default queue",
            "Access to queue is denied",
        ],
    ),
    (
        RefusalKind::NoPermission,
        &[
            "Unauthorized Request",
            "operation not permitted",
            "insufficient permission",
            "can not be run as root",
            "Access from host not allowed",
            "Bad UID for job execution",
            "Bad GID for job execution",
            "Permission denied",
            "unable to authenticate",
            "not authorized",
            "Invalid credential",
            "Expired credential",
            "Invalid Account",
        ],
    ),
    (
        RefusalKind::BadRequest,
        &[
            "illegally formed job identifier",
            "Illegal attribute or resource value",
            "Request invalid for state of job",
            "Unknown resource",
            "Unknown node",
            "annot be used with",
            "cannot send environment",
            "invalid -v syntax",
            "Bad Job Array Request",
            "invalid option",
            "illegal -",
            "script file",
            "can only be used",
            "usage:",
        ],
    ),
];

/// To what a line objects.
fn kind(line: &str) -> Option<RefusalKind> {
    let said = |(_, texts): &&(RefusalKind, &[&str])| texts.iter().any(|text| line.contains(text));
    REFUSALS.iter().find(said).map(|(kind, _)| *kind)
}

/// What an output says before its stdout is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing is wrong.
    Good,
    /// The jobs that were asked for are not known, or have ended; others may be on stdout.
    UnknownJobs,
    /// Nobody was reached.
    Unreachable,
    /// The command was ended before it had said anything: whether the server took the request is not known.
    Killed,
    /// The command was refused.
    Refused(RefusalKind),
}

/// Looks at the exit code and stderr.
pub(crate) fn verdict(output: &Output) -> Verdict {
    if output.status.is_success() {
        return Verdict::Good;
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    if UNREACHABLE.iter().any(|text| stderr.contains(text)) {
        return Verdict::Unreachable;
    }
    // "illegal -W value" stands for the whole of -W, of which we only use the dependency.
    if stderr.contains("illegal -W value") {
        return Verdict::Refused(RefusalKind::BadDependency);
    }
    let mut unknown = false;
    for line in stderr.lines() {
        match kind(line) {
            Some(RefusalKind::UnknownJob) => unknown = true,
            Some(kind) => return Verdict::Refused(kind),
            None => {}
        }
    }
    if unknown {
        return Verdict::UnknownJobs;
    }
    match output.status.code() {
        // PBSE_* modulo 256 in both families: permission, protocol, no such job.
        159 => Verdict::Refused(RefusalKind::NoPermission),
        162 | 255 | 111 if stderr.trim().is_empty() => Verdict::Unreachable,
        153 => Verdict::UnknownJobs,
        // qsub of OpenPBS aborts over its own -v, before it has sent anything.
        134 => Verdict::Refused(RefusalKind::TryAgain),
        // A signal, or timeout(1): the numbers of errors begin at 15001, which is 153.
        124 | 129..=152 => Verdict::Killed,
        _ => Verdict::Refused(RefusalKind::Other),
    }
}

impl Verdict {
    /// The verdict as an error, where it is one.
    pub(crate) fn error(self, command: &str, output: &Output) -> Option<DialectError> {
        match self {
            Self::Good => None,
            Self::Unreachable => Some(DialectError::unreachable(command, output)),
            Self::Killed => Some(killed(command, output)),
            Self::UnknownJobs => Some(DialectError::refused(RefusalKind::UnknownJob, command, output)),
            Self::Refused(kind) => Some(DialectError::refused(kind, command, output)),
        }
    }
}

/// The words for a command that was ended: a doubt, for what it had begun may go on without it.
fn killed(command: &str, output: &Output) -> DialectError {
    let code = output.status.code();
    let by = if code > 128 { format!("signal {}", code - 128) } else { "timeout".to_owned() };
    let said = DialectError::tail(&output.stderr);
    let said = if said.is_empty() { said } else { format!("; it said: {said}") };
    let stderr = format!(
        "{command} was ended by {by} before it gave an answer, so that the server may have taken the request{said}"
    );
    DialectError::Unreachable { command: command.to_owned(), code, stderr }
}

/// Whether all that a cancel met was jobs that have ended or are ending: then there is nothing left to do.
pub(crate) fn only_ended(output: &Output) -> bool {
    let stderr = String::from_utf8_lossy(&output.stderr);
    let ended = [
        "Job has finished",
        "Request invalid for finished array subjob",
        "Request invalid for state of job",
        "Job already in exit state",
    ];
    let mut lines = stderr.lines().filter(|line| !line.trim().is_empty()).peekable();
    lines.peek().is_some() && lines.all(|line| ended.iter().any(|text| line.contains(text)))
}

/// Whether the server says that it keeps no history.
pub(crate) fn without_history(output: &Output) -> bool {
    !output.status.is_success()
        && String::from_utf8_lossy(&output.stderr).contains("not configured to maintain job history")
}
