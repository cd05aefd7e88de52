//! `qstat`: what we ask it, and which of its many forms is read how.

use cluster_core::dialect::{DialectError, Jobs, Reading, Site, Whose};
use cluster_core::host::{Invocation, Output};

use crate::call::{self, Call};
use crate::{owned, qstat_j, qstat_j_xml, qstat_xml, refusal};

/// All jobs in the queue. `-r` brings what they wait for, without which a job that waits for another looks
/// like one that a user holds; arrays stay folded.
pub(crate) fn invocation(whose: Whose<'_>) -> Invocation {
    let users = match whose {
        Whose::All => "*".to_owned(),
        Whose::Users(users) => users.join(","),
    };
    call::invocation(["qstat", "-xml", "-r", "-u", &users])
}

/// Its help, whose first line is the version. It asks nobody.
pub(crate) fn version() -> Invocation {
    call::invocation(["qstat", "-help"])
}

pub(crate) fn read<'o>(
    call: &Call<'_>,
    output: &'o Output,
    mem: Option<&str>,
) -> Result<Reading<'o>, DialectError> {
    if !output.status.is_success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        // Jobs that are not there any more are an answer, not a refusal.
        if call.has("-j") && stderr.contains("Following jobs do not exist") {
            return Ok(Reading::Jobs(Jobs::default()));
        }
        return Err(refusal::refused(call, output));
    }
    if call.has("-help") {
        return Ok(Reading::Site(site(call, &output.stdout)?));
    }
    if output.stdout.iter().all(u8::is_ascii_whitespace) {
        // Nothing to show.
        return Ok(Reading::Jobs(Jobs::default()));
    }
    let jobs = match (call.has("-xml"), call.has("-j")) {
        (true, true) => owned::read(&output.stdout, |text| qstat_j_xml::read(call, text, mem))?,
        (true, false) => owned::read(&output.stdout, |text| qstat_xml::read(call, text, mem))?,
        (false, true) => owned::read(&output.stdout, |text| qstat_j::read(call, text, mem))?,
        (false, false) => {
            return Err(call.not_read(
                "the table cuts names to 10 characters and leaves columns empty; `qstat -xml -r` is read",
            ));
        }
    };
    Ok(Reading::Jobs(jobs))
}

/// The version in the first line of a help text: `SGE 8.1.9`.
fn site(call: &Call<'_>, stdout: &[u8]) -> Result<Site, DialectError> {
    let text = String::from_utf8_lossy(stdout);
    let first = text.lines().next().unwrap_or_default().trim();
    if first.is_empty() || first.starts_with("usage") || !first.contains(|c: char| c.is_ascii_digit()) {
        return Err(call.syntax(stdout, 0, "the version, like `SGE 8.1.9`"));
    }
    Ok(Site { version: Some(first.to_owned()), ..Site::default() })
}
