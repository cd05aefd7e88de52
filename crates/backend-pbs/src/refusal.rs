//! What a command's exit code and stderr mean. PBS's exit codes are its error numbers modulo 256, and the two
//! families number differently: the words decide, the codes only where the words say nothing.

use cluster_core::dialect::{DialectError, RefusalKind};
use cluster_core::host::Output;

/// Texts of a server, or of Torque's local daemon, that is not there.
const UNREACHABLE: &[&str] = &[
    "cannot connect to server",
    "Couldn't connect to cluster",
    "could not connect to trqauthd",
    "Cannot connect to specified server",
    "Unable to communicate with",
    "pbsconf error",
    "Unknown Host",
    "Connection refused",
    // The server went away during the request.
    "End of File",
    "Premature end of message",
];

/// Texts of refusals, the more telling first.
const REFUSALS: &[(&str, RefusalKind)] = &[
    ("Job has finished", RefusalKind::UnknownJob),
    ("Unknown Job Id", RefusalKind::UnknownJob),
    ("nonexistent job id", RefusalKind::UnknownJob),
    ("illegally formed job identifier", RefusalKind::BadRequest),
    ("Unknown queue", RefusalKind::UnknownPartition),
    ("Queue is not enabled", RefusalKind::UnknownPartition),
    ("No default queue", RefusalKind::UnknownPartition),
    ("Access to queue is denied", RefusalKind::UnknownPartition),
    ("illegal -W dependency value", RefusalKind::BadDependency),
    ("Invalid Job Dependency", RefusalKind::BadDependency),
    ("Dependency request for job rejected", RefusalKind::BadDependency),
    ("violates queue and/or server resource limits", RefusalKind::OverLimit),
    ("exceeds queue resource limits", RefusalKind::OverLimit),
    ("would exceed", RefusalKind::OverLimit),
    ("Maximum number of jobs", RefusalKind::OverLimit),
    ("exceeds server or queue size limit", RefusalKind::OverLimit),
    ("exceeds the queue limit", RefusalKind::OverLimit),
    ("Unauthorized Request", RefusalKind::NoPermission),
    ("operation not permitted", RefusalKind::NoPermission),
    ("can not be run as root", RefusalKind::NoPermission),
    ("Bad UID for job execution", RefusalKind::NoPermission),
    ("Bad GID for job execution", RefusalKind::NoPermission),
    ("Permission denied", RefusalKind::NoPermission),
    ("Invalid credential", RefusalKind::NoPermission),
    ("Invalid account", RefusalKind::NoPermission),
    ("Server could not connect to MOM", RefusalKind::TryAgain),
    ("shutting down", RefusalKind::TryAgain),
    ("server is busy", RefusalKind::TryAgain),
    ("emporarily unavailable", RefusalKind::TryAgain),
    ("try again", RefusalKind::TryAgain),
    ("Illegal attribute or resource value", RefusalKind::BadRequest),
    ("Unknown resource", RefusalKind::BadRequest),
    ("Unknown node", RefusalKind::BadRequest),
    ("annot be used with", RefusalKind::BadRequest),
    ("cannot send environment", RefusalKind::BadRequest),
    ("invalid -v syntax", RefusalKind::BadRequest),
    ("Bad Job Array Request", RefusalKind::BadRequest),
    ("invalid option", RefusalKind::BadRequest),
    ("illegal -", RefusalKind::BadRequest),
    ("script file", RefusalKind::BadRequest),
    ("can only be used", RefusalKind::BadRequest),
    ("usage:", RefusalKind::BadRequest),
    ("Request invalid for state of job", RefusalKind::BadRequest),
];

/// What an output says before its stdout is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing is wrong.
    Good,
    /// The jobs that were asked for are not known, or have ended; others may be on stdout.
    UnknownJobs,
    /// Nobody was reached.
    Unreachable,
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
        match REFUSALS.iter().find(|(text, _)| line.contains(text)) {
            Some((_, RefusalKind::UnknownJob)) => unknown = true,
            Some((_, kind)) => return Verdict::Refused(*kind),
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
        // The command itself died of a signal: whether the server took the request is not known.
        129..=152 => Verdict::Refused(RefusalKind::TryAgain),
        _ => Verdict::Refused(RefusalKind::Other),
    }
}

impl Verdict {
    /// The verdict as an error, where it is one.
    pub(crate) fn error(self, command: &str, output: &Output) -> Option<DialectError> {
        match self {
            Self::Good => None,
            Self::Unreachable => Some(DialectError::unreachable(command, output)),
            Self::UnknownJobs => Some(DialectError::refused(RefusalKind::UnknownJob, command, output)),
            Self::Refused(kind) => Some(DialectError::refused(kind, command, output)),
        }
    }
}

/// Whether all that a cancel met was jobs that have ended or are ending: then there is nothing left to do.
pub(crate) fn only_ended(output: &Output) -> bool {
    let stderr = String::from_utf8_lossy(&output.stderr);
    let mut lines = stderr.lines().filter(|line| !line.trim().is_empty()).peekable();
    lines.peek().is_some()
        && lines.all(|line| {
            line.contains("Job has finished") || line.contains("Request invalid for state of job")
        })
}
