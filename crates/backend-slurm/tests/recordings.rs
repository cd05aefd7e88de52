//! Every recording of a real Slurm, with what we understood of it.

#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;

use cluster_backend_slurm::Slurm;
use cluster_core::dialect::{Dialect, DialectError, Jobs, Reading, Row};
use serde::Serialize;
use support::{COMMANDS, recordings};

/// Rows of a large answer that a snapshot shows at each end.
const SHOWN: usize = 3;

/// A large answer in short.
#[derive(Serialize)]
struct Summary<'a> {
    rows: usize,
    errors: usize,
    states: BTreeMap<&'a str, usize>,
    first: &'a [Row<'a>],
    last: &'a [Row<'a>],
    first_errors: &'a [DialectError],
}

fn shown(reading: &Result<Reading<'_>, DialectError>) -> String {
    let pretty = |value: &dyn erased::Shown| value.pretty();
    match reading {
        Ok(Reading::Jobs(jobs)) if jobs.rows.len() > 40 => pretty(&summary(jobs)),
        Ok(Reading::Jobs(jobs)) => {
            // One line a row: a snapshot is read by people.
            let rows = jobs.rows.iter().map(|row| serde_json::to_string(row).unwrap());
            let errors = jobs.errors.iter().map(|error| format!("error: {error}"));
            rows.chain(errors).collect::<Vec<_>>().join("\n")
        }
        Ok(other) => pretty(other),
        Err(error) => format!("{error}\n{}", pretty(error)),
    }
}

fn summary<'a>(jobs: &'a Jobs<'a>) -> Summary<'a> {
    let mut states = BTreeMap::new();
    for row in &jobs.rows {
        *states.entry(&*row.raw_state).or_default() += 1;
    }
    Summary {
        rows: jobs.rows.len(),
        errors: jobs.errors.len(),
        states,
        first: &jobs.rows[..SHOWN],
        last: &jobs.rows[jobs.rows.len() - SHOWN..],
        first_errors: &jobs.errors[..jobs.errors.len().min(SHOWN)],
    }
}

mod erased {
    pub(super) trait Shown {
        fn pretty(&self) -> String;
    }

    impl<T: serde::Serialize> Shown for T {
        fn pretty(&self) -> String {
            serde_json::to_string_pretty(self).unwrap()
        }
    }
}

#[test]
fn every_recording_is_understood_or_says_why_not() {
    let all = recordings();
    assert_eq!(all.len(), 219);
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    let _bound = settings.bind_to_scope();
    for recording in &all {
        let text = match recording.argv() {
            Ok(argv) => shown(&Slurm::new().read(&argv, &recording.output)),
            Err(why) => format!("not attributed: {why}"),
        };
        let line: String = recording.line.trim_end().chars().take(240).collect();
        insta::assert_snapshot!(recording.name.as_str(), format!("{line}\n\n{text}"));
    }
}

/// The formats that are for programs give rows from every line, none of them wrong.
#[test]
fn formats_for_programs_leave_nothing_over() {
    for recording in recordings() {
        let Ok(argv) = recording.argv() else { continue };
        let reading = Slurm::new().read(&argv, &recording.output);
        // Times relative to today, and a table whose ids are cut, are none.
        if matches!(recording.name.as_str(), "squeue_time_relative") {
            continue;
        }
        if let Ok(Reading::Jobs(jobs)) = &reading {
            assert_eq!(jobs.errors, [], "{}", recording.name);
        }
        if COMMANDS.contains(&argv[0].to_str().unwrap()) && argv.iter().any(|word| word == "--json") {
            assert!(
                !matches!(reading, Err(DialectError::Syntax { .. } | DialectError::NotRead { .. })),
                "{}",
                recording.name
            );
        }
    }
}
