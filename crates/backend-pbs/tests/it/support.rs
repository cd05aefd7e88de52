//! Small outputs, and what is read of them.

use std::ffi::OsString;

use cluster_core::dialect::{Dialect, Jobs, Reading, Row};
use cluster_core::host::Output;
use cluster_core::{Cause, ExitStatus, JobState};

pub(crate) fn argv(line: &str) -> Vec<OsString> {
    line.split(' ').map(OsString::from).collect()
}

pub(crate) fn output(code: i32, stdout: impl Into<Vec<u8>>, stderr: &str) -> Output {
    Output { status: ExitStatus::Exit(code), stdout: stdout.into(), stderr: stderr.into(), truncated: false }
}

pub(crate) fn jobs<'o>(dialect: &dyn Dialect, line: &str, output: &'o Output) -> Jobs<'o> {
    match dialect.read(&argv(line), output) {
        Ok(Reading::Jobs(jobs)) => jobs,
        other => panic!("{other:?}"),
    }
}

/// One job of `qstat -f`, with these attributes.
pub(crate) fn job<'o>(dialect: &dyn Dialect, output: &'o Output) -> Row<'o> {
    let jobs = jobs(dialect, "qstat -f", output);
    assert_eq!(jobs.errors, []);
    jobs.rows.into_iter().next().unwrap()
}

pub(crate) fn record(id: &str, attributes: &str) -> Output {
    let lines: String = attributes.split(" | ").map(|line| format!("    {line}\n")).collect();
    output(0, format!("Job Id: {id}\n{lines}\n"), "")
}

/// State, status and cause of one job.
pub(crate) fn end(dialect: &dyn Dialect, attributes: &str) -> (JobState, Option<ExitStatus>, Option<Cause>) {
    let output = record("1.srv", attributes);
    let row = job(dialect, &output);
    (row.state, row.status, row.cause)
}
