//! What `plain` printed, and what is understood of it: `tests/recordings/NAME.cmd` and `.out`.

#![allow(clippy::unwrap_used)] // helpers of tests are tests, which clippy does not know

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use cluster_core::dialect::{Dialect, DialectError, Jobs, Reading, RefusalKind};
use cluster_core::host::Output;
use cluster_core::{Cause, ExitStatus, JobState};
use cluster_sample_backend::Plain;

fn argv(line: &str) -> Vec<OsString> {
    line.split_whitespace().map(OsString::from).collect()
}

fn output(code: i32, stdout: &str, stderr: &str) -> Output {
    let (stdout, stderr) = (stdout.into(), stderr.into());
    Output { status: ExitStatus::Exit(code), stdout, stderr, truncated: false }
}

/// The command line of a recording, and what it printed.
fn recording(name: &str) -> (Vec<OsString>, Output) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recordings").join(name);
    let read = |end: &str| fs::read_to_string(path.with_extension(end)).unwrap();
    (argv(&read("cmd")), output(0, &read("out"), ""))
}

fn jobs<'o>(argv: &[OsString], output: &'o Output) -> Jobs<'o> {
    match Plain.read(argv, output) {
        Ok(Reading::Jobs(jobs)) => jobs,
        other => panic!("{other:?}"),
    }
}

#[test]
fn ended_jobs_have_their_ends() {
    let (argv, output) = recording("pstat-x");
    let jobs = jobs(&argv, &output);
    assert_eq!(jobs.errors, []);
    let seen: Vec<_> = jobs.rows.iter().map(|row| (&*row.id, row.state, row.status, row.cause)).collect();
    let exit = |code| Some(ExitStatus::Exit(code));
    assert_eq!(
        seen,
        [
            ("1", JobState::Failed, exit(3), None),
            ("2.0", JobState::Succeeded, exit(0), None),
            ("2.1", JobState::Failed, exit(143), Some(Cause::Cancelled)),
            ("3", JobState::Failed, None, Some(Cause::DependencyNeverSatisfied)),
            ("4", JobState::Running, None, None),
            ("5", JobState::Held, None, None),
        ]
    );
    assert_eq!(jobs.rows[4].hosts, "node1");
}

#[test]
fn a_record_that_is_none_costs_itself_alone() {
    let text =
        "1|-|u|main|W|-|7|-|-|1|-|a\nrubbish\n2|-|u|main|Z|-|7|-|-|1|-|b\n3|-|u|main|W|-|7|-|-|1|-|cut";
    let output = output(0, text, "");
    let jobs = jobs(&argv("pstat"), &output);
    assert_eq!((jobs.rows.len(), jobs.errors.len()), (2, 2));
    assert_eq!((jobs.rows[1].state, &*jobs.rows[1].raw_state), (JobState::Unknown, "Z"));
}

#[test]
fn who_said_no_and_who_said_nothing() {
    let down = output(9, "", "pstat: cannot connect to the server\n");
    assert!(matches!(Plain.read(&argv("pstat"), &down), Err(DialectError::Unreachable { .. })));
    let refused = output(1, "", "psub: no such queue: x\n");
    let error = Plain.read(&argv("psub x"), &refused);
    assert!(matches!(error, Err(DialectError::Refused { kind: RefusalKind::UnknownPartition, .. })));
    assert!(matches!(Plain.read(&argv("psub x"), &output(0, "hm\n", "")), Err(DialectError::Syntax { .. })));
}

#[test]
fn the_site_tells_its_limits() {
    let (argv, output) = recording("pstat-V");
    let Ok(Reading::Site(site)) = Plain.read(&argv, &output) else { panic!("no site") };
    assert_eq!((site.version.as_deref(), site.max_array), (Some("1.0"), Some(2_000)));
    assert_eq!(site.partitions.len(), 2);
}
