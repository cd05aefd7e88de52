//! Every recording, as it is understood: one snapshot each.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use cluster_backend_pbs::{OpenPbs, Torque};
use cluster_core::dialect::{Dialect, Jobs, Reading};

use crate::recordings::Recording;

/// So many rows are shown whole; of more the first and the last ones.
const SHOWN: usize = 6;

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap()
}

fn jobs(text: &mut String, jobs: &Jobs<'_>) {
    writeln!(text, "{} rows, {} errors", jobs.rows.len(), jobs.errors.len()).unwrap();
    if jobs.rows.len() > SHOWN {
        let mut states: BTreeMap<String, usize> = BTreeMap::new();
        for row in &jobs.rows {
            let status = row.status.map(|status| format!(" {status:?}")).unwrap_or_default();
            let cause = row.cause.map(|cause| format!(" {cause}")).unwrap_or_default();
            *states.entry(format!("{} = {}{status}{cause}", row.raw_state, row.state)).or_default() += 1;
        }
        for (state, count) in states {
            writeln!(text, "{count} x {state}").unwrap();
        }
    }
    for (at, row) in jobs.rows.iter().enumerate() {
        if at >= SHOWN && at + 2 < jobs.rows.len() {
            continue;
        }
        writeln!(text, "{}", json(row)).unwrap();
    }
    for error in jobs.errors.iter().take(5) {
        writeln!(text, "error: {}", json(error)).unwrap();
    }
}

fn understood(dialect: &dyn Dialect, recording: &Recording) -> String {
    let mut text = format!("$ {}\n", recording.line);
    let argv =
        recording.argv.clone().unwrap_or_else(|| vec!["sh".into(), "-c".into(), (&recording.line).into()]);
    match dialect.read(&argv, &recording.output) {
        Ok(Reading::Jobs(read)) => jobs(&mut text, &read),
        Ok(reading) => writeln!(text, "{}", json(&reading)).unwrap(),
        Err(error) => writeln!(text, "error: {}", json(&error)).unwrap(),
    }
    text
}

fn walk(dialect: &dyn Dialect, scheduler: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.set_snapshot_path(format!("../snapshots/{scheduler}"));
    settings.bind(|| {
        for recording in crate::recordings::all(scheduler) {
            insta::assert_snapshot!(recording.name.clone(), understood(dialect, &recording));
        }
    });
}

#[test]
fn openpbs() {
    walk(&OpenPbs, "openpbs");
}

#[test]
fn torque() {
    walk(&Torque, "torque");
}
