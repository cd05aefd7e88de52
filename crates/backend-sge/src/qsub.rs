//! `qsub`: the command line that submits, and the id it prints.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use cluster_core::dialect::{DialectError, Reading, RemoteDependency, ScriptFacts, SubmitRequest, job_name};
use cluster_core::host::{Invocation, Output};
use cluster_core::{DependencyKind, RemoteId};

use crate::call::{self, Call};
use crate::{lexeme, refusal};

/// What describes an enclosing job. `SGE_ROOT`, `SGE_CELL`, the ports and `SGE_CLUSTER_NAME` locate the
/// scheduler and stay.
pub(crate) const ENCLOSING_JOB: &[&str] = &[
    "JOB_ID",
    "JOB_NAME",
    "JOB_SCRIPT",
    "SGE_TASK_*",
    "SGE_O_*",
    "SGE_JOB_SPOOL_DIR",
    "SGE_STDIN_PATH",
    "SGE_STDOUT_PATH",
    "SGE_STDERR_PATH",
    "SGE_CWD_PATH",
    "SGE_BINDING",
    "SGE_ACCOUNT",
    "SGE_RSH_COMMAND",
    "SGE_HGR_*",
    "PE",
    "PE_*",
    "NSLOTS",
    "NHOSTS",
    "NQUEUES",
    "QUEUE",
    "RESTARTED",
    "REQUEST",
    "REQNAME",
];

/// In a job that is no array `SGE_TASK_ID` is the word `undefined`.
pub(crate) const SCRIPT_FACTS: ScriptFacts = ScriptFacts {
    position: "$(case ${SGE_TASK_ID:-undefined} in (undefined) ;; (*) echo $((SGE_TASK_ID-1)) ;; esac)",
    remote_id: "$JOB_ID$(case ${SGE_TASK_ID:-undefined} in (undefined) ;; (*) echo .$SGE_TASK_ID ;; esac)",
    // qdel kills the whole group with SIGKILL, and `-notify` warns it with USR2 before.
    signals_shell_alone: false,
    // 99 would start the job again, 100 would leave it in the queue in error.
    codes: &[(99, 1), (100, 1)],
    unset: &[],
};

/// The command line. `-w e` refuses at once what no queue can ever run, which else would wait for ever.
pub(crate) fn invocation(request: &SubmitRequest<'_>) -> Result<Invocation, DialectError> {
    let mut argv: Vec<OsString> = ["qsub", "-terse", "-N"].map(OsString::from).into();
    argv.push(job_name(request.name, request.tag).into());
    argv.extend(["-S", "/bin/sh", "-w", "e", "-j", "y", "-o"].map(OsString::from));
    argv.push(log(request)?);
    if let Some(size) = request.array {
        if size == 0 {
            return Err(cannot("an array of no jobs", "it needs one at least"));
        }
        argv.extend(["-t".to_owned(), format!("1-{size}")].map(OsString::from));
        if let Some(throttle) = request.throttle.filter(|&throttle| throttle > 0) {
            argv.extend(["-tc".to_owned(), throttle.to_string()].map(OsString::from));
        }
    }
    dependencies(&mut argv, request.dependencies)?;
    if request.hold {
        argv.push("-h".into());
    }
    argv.push("-v".into());
    argv.push(format!("CLUSTER_TAG={}", request.tag).into());
    argv.push(request.script.into());
    Ok(call::invocation(argv))
}

fn cannot(what: impl Into<String>, why: impl Into<String>) -> DialectError {
    DialectError::Cannot { what: what.into(), why: why.into() }
}

/// The path as `-o` takes it. A colon would end the name of a host: an empty one before it ends that first.
fn log(request: &SubmitRequest<'_>) -> Result<OsString, DialectError> {
    let path = request.log.as_os_str();
    if path.as_bytes().iter().any(|b| b",$".contains(b) || b.is_ascii_control()) {
        let why = "SGE takes commas and dollar signs in the path of a job's output for its own; \
                   put the root into a directory without them";
        return Err(cannot(format!("the directory {}", request.log.display()), why));
    }
    let mut word = OsString::new();
    if path.as_bytes().contains(&b':') {
        word.push(":");
    }
    word.push(path);
    Ok(word)
}

fn dependencies(argv: &mut Vec<OsString>, list: &[RemoteDependency]) -> Result<(), DialectError> {
    let (mut whole, mut elementwise) = (Vec::new(), Vec::new());
    for dependency in list {
        let RemoteDependency { kind, id, gated, .. } = dependency;
        match kind {
            DependencyKind::After => {
                return Err(cannot(
                    format!("after:{id}"),
                    "SGE waits for the end of a job only, not for its start; use afterany",
                ));
            }
            DependencyKind::AfterOk | DependencyKind::AfterNotOk if !gated => {
                return Err(cannot(
                    format!("{}:{id}", kind.as_str()),
                    "SGE waits for the end of a job and does not look at how it ended, and this job has no \
                     record of ours that could be looked at; use afterany",
                ));
            }
            _ => {}
        }
        if !lexeme::is_id(&id.0) {
            return Err(cannot(format!("{}:{id}", kind.as_str()), "an id of SGE is a number, like 4711"));
        }
        // It knows whole jobs only: to wait for all of an array is later than asked for, never earlier.
        let job = id.0.split('.').next().unwrap_or(&id.0);
        let list = if dependency.elementwise { &mut elementwise } else { &mut whole };
        if !list.contains(&job) {
            list.push(job);
        }
    }
    for (option, jobs) in [("-hold_jid", whole), ("-hold_jid_ad", elementwise)] {
        if !jobs.is_empty() {
            argv.extend([option.to_owned(), jobs.join(",")].map(OsString::from));
        }
    }
    Ok(())
}

/// The id of what was submitted. With `-sync y` the exit code is the job's.
pub(crate) fn read<'o>(call: &Call<'_>, output: &'o Output) -> Result<Reading<'o>, DialectError> {
    if !output.status.is_success() && call.value("-sync").is_none_or(|value| !value.starts_with('y')) {
        return Err(refusal::refused(call, output));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let mut ids =
        text.lines().filter_map(|line| if call.has("-terse") { terse(line) } else { sentence(line) });
    match (ids.next(), ids.next()) {
        (Some(id), None) => Ok(Reading::Submitted(RemoteId(id.to_owned()))),
        (None, _) if !output.status.is_success() => Err(refusal::refused(call, output)),
        _ => Err(call.syntax(&output.stdout, 0, "the id of one job")),
    }
}

/// `4711`, `4711.2-10:2`.
fn terse(line: &str) -> Option<&str> {
    let line = line.trim_end();
    let (job, tasks) = line.split_once('.').map_or((line, None), |(job, tasks)| (job, Some(tasks)));
    lexeme::number::<u64>(job)?;
    match tasks {
        Some(tasks) => lexeme::tasks(tasks).map(|_| job),
        None => Some(job),
    }
}

/// `Your job 11 ("a name") has been submitted`. The name may hold quotes and parentheses of its own.
fn sentence(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("Your job ").or_else(|| line.strip_prefix("Your job-array "))?;
    let (id, name) = rest.split_once(" (\"")?;
    name.trim_end().strip_suffix("\") has been submitted")?;
    terse(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_in_both_forms() {
        assert_eq!(terse("12"), Some("12"));
        assert_eq!(terse("14.2-10:2"), Some("14"));
        for wrong in ["", "x", "14.", "14.a", "1 2", "-1", "14.5-1:1", "14.0-4000000000:2"] {
            assert_eq!(terse(wrong), None, "{wrong}");
        }
        assert_eq!(sentence("Your job 47 (\"q\"d's\") has been submitted"), Some("47"));
        assert_eq!(sentence("Your job-array 36.1-3:2 (\"x (\"y\")\") has been submitted"), Some("36"));
        assert_eq!(sentence("Your job 47 has been submitted"), None);
        assert_eq!(sentence("Your job 4x (\"a\") has been submitted"), None);
    }
}
