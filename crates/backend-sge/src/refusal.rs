//! What Grid Engine objects to, from its words. It says some of it on stderr and some on stdout.

use cluster_core::dialect::{DialectError, RefusalKind};
use cluster_core::host::Output;

use crate::call::Call;

/// Words of a command that did not find its qmaster, or does not know where it is.
const NOBODY_THERE: &[&str] = &[
    "commlib error",
    "unable to send message to qmaster",
    "unable to contact qmaster",
    "unable to read qmaster name",
    "can't resolve hostname",
    "cannot resolve hostname",
    "got no answer from qmaster",
    "failed receiving gdi request",
    "error: sge_root directory",
    "please set the environment variable sge_root",
];

/// Words and what they object to; the first that is found counts.
const OBJECTIONS: &[(&str, RefusalKind)] = &[
    ("you do not have the necessary privileges", RefusalKind::NoPermission),
    ("must be at least owner", RefusalKind::NoPermission),
    ("must be manager", RefusalKind::NoPermission),
    ("must be operator", RefusalKind::NoPermission),
    ("requires operator privileges", RefusalKind::NoPermission),
    ("is lower than minimum", RefusalKind::NoPermission),
    ("has no permission", RefusalKind::NoPermission),
    ("no access to project", RefusalKind::NoPermission),
    ("requested project", RefusalKind::NoPermission),
    ("no suitable queues", RefusalKind::OverLimit),
    ("job with more than", RefusalKind::OverLimit),
    ("jobs are allowed per user", RefusalKind::OverLimit),
    ("jobs are allowed per cluster", RefusalKind::OverLimit),
    ("unknown queue", RefusalKind::UnknownPartition),
    ("no cluster queue or queue instance matches", RefusalKind::UnknownPartition),
    ("parallel environment", RefusalKind::BadRequest),
    ("invalid queue or job", RefusalKind::UnknownJob),
    ("there is no job registered", RefusalKind::UnknownJob),
    ("following jobs do not exist", RefusalKind::UnknownJob),
    ("denied: job \"", RefusalKind::UnknownJob),
    ("the job ", RefusalKind::UnknownJob),
    ("job \"", RefusalKind::UnknownJob),
    ("shutting down", RefusalKind::TryAgain),
    ("job rejected", RefusalKind::BadRequest),
    ("not allowed in objectname", RefusalKind::BadRequest),
    ("is not a valid object name", RefusalKind::BadRequest),
    ("job name too long", RefusalKind::BadRequest),
    ("attribute \"", RefusalKind::BadRequest),
    ("unknown resource", RefusalKind::BadRequest),
    ("unable to read script file", RefusalKind::BadRequest),
    ("invalid option", RefusalKind::BadRequest),
    ("usage:", RefusalKind::BadRequest),
    ("no option argument", RefusalKind::BadRequest),
];

/// An error where the command did not reach the qmaster.
pub(crate) fn unreachable(call: &Call<'_>, output: &Output) -> Result<(), DialectError> {
    if output.status.is_success() {
        return Ok(());
    }
    let said = said(output);
    let code = output.status.code();
    // Its own codes are small. A signal, or timeout(1): what it had begun may go on without it.
    if said.trim().is_empty() && (code == 124 || (129..=192).contains(&code)) {
        let by = if code > 128 { format!("signal {}", code - 128) } else { "timeout".to_owned() };
        let program = call.program;
        return Err(DialectError::Unreachable {
            command: program.to_owned(),
            code,
            stderr: format!(
                "{program} was ended by {by} before it gave an answer, so that the qmaster may have taken the request"
            ),
        });
    }
    if NOBODY_THERE.iter().any(|words| said.contains(words)) {
        return Err(DialectError::unreachable(call.program, output));
    }
    Ok(())
}

/// The refusal that the command printed.
pub(crate) fn refused(call: &Call<'_>, output: &Output) -> DialectError {
    DialectError::refused(kind(call, output), call.program, output)
}

fn kind(call: &Call<'_>, output: &Output) -> RefusalKind {
    let said = said(output);
    if said.contains("error reading answer list from qmaster") {
        // The words for a name with blanks or letters outside ASCII. With a plain name it is what it says,
        // an answer that was lost: whoever tries again looks for the tag first.
        let plain = |name: &str| name.bytes().all(|b| b.is_ascii_graphic());
        return match call.value("-N") {
            Some(name) if plain(name) => RefusalKind::TryAgain,
            _ => RefusalKind::BadRequest,
        };
    }
    let found = OBJECTIONS.iter().find(|(words, _)| said.contains(words));
    match (found, output.status.code()) {
        (Some((_, kind)), _) => *kind,
        // 2: an option that it does not know; 7: a value; 14: a file that is not there.
        (None, 2 | 7 | 14) => RefusalKind::BadRequest,
        (None, _) => RefusalKind::Other,
    }
}

/// Both streams in lower case.
fn said(output: &Output) -> String {
    let mut said = DialectError::tail(&output.stdout);
    said.push('\n');
    said.push_str(&DialectError::tail(&output.stderr));
    said.make_ascii_lowercase();
    said
}
