//! One question, recorded in two forms: the rows are the same. And no form loses a job.

use cluster_backend_pbs::{OpenPbs, Torque};
use cluster_core::dialect::{Dialect, Jobs, Reading, Row};

use crate::recordings::Recording;

fn jobs<'o>(dialect: &dyn Dialect, recording: &'o Recording) -> Option<Jobs<'o>> {
    match dialect.read(recording.argv.as_ref()?, &recording.output) {
        Ok(Reading::Jobs(jobs)) => Some(jobs),
        _ => None,
    }
}

/// The rows as JSON, without what changes while a job runs.
fn plain(jobs: Jobs<'_>) -> Vec<String> {
    assert_eq!(jobs.errors, []);
    let print = |mut row: Row<'_>| {
        (row.mem_used, row.cpu_time) = (None, None);
        serde_json::to_string(&row).unwrap()
    };
    jobs.rows.into_iter().map(print).collect()
}

#[test]
fn text_json_and_delimited_values_give_the_same_rows() {
    let all = crate::recordings::all("openpbs");
    let rows = |name: &str| {
        let recording = all.iter().find(|recording| recording.name == name).unwrap();
        plain(jobs(&OpenPbs, recording).unwrap())
    };
    for (one, other) in [
        ("qstat-xf-all", "qstat-xf-json-all"),
        ("qstat-ft-all", "qstat-ft-json-all"),
        ("qstat-ft-array-mixed", "qstat-ft-array-mixed-json"),
        ("array1000-qstat-ft", "array1000-qstat-ft-json"),
        ("qstat-f-dsv-oddvalues", "qstat-f-json-oddvalues"),
        ("qstat-nonutf8-f", "qstat-nonutf8-json"),
        ("qstat-nonutf8-f", "qstat-nonutf8-dsv"),
        ("qstat-dup-f", "qstat-dup-json"),
        ("qstat-V-odd-f", "qstat-V-odd-json"),
    ] {
        assert!(!rows(one).is_empty());
        assert_eq!(rows(one), rows(other), "{one}, {other}");
    }
}

#[test]
fn torque_text_and_xml_give_the_same_rows() {
    let all = crate::recordings::all("torque");
    let rows = |name: &str| {
        let recording = all.iter().find(|recording| recording.name == name).unwrap();
        plain(jobs(&Torque, recording).unwrap())
    };
    assert_eq!(rows("qstat-ft-array"), rows("qstat-xt-array"));
    assert_eq!(rows("qstat-f-1"), rows("qstat-f-all"));
}

/// Counted without our readers.
fn count(text: &[u8], word: &str) -> usize {
    String::from_utf8_lossy(text).matches(word).count()
}

#[test]
fn every_job_that_was_printed_is_a_row() {
    let mut seen = 0;
    for (scheduler, dialect) in [("openpbs", &OpenPbs as &dyn Dialect), ("torque", &Torque)] {
        for recording in crate::recordings::all(scheduler) {
            let Some(jobs) = jobs(dialect, &recording) else { continue };
            let text = &recording.output.stdout;
            let printed = match text.first() {
                Some(b'{') => count(text, "\"Job_Name\":"),
                Some(b'<') => count(text, "<Job>"),
                _ => count(text, "Job Id: "),
            };
            assert_eq!(jobs.rows.len(), printed, "{scheduler}/{}", recording.name);
            assert_eq!(jobs.errors, [], "{scheduler}/{}", recording.name);
            seen += printed;
        }
    }
    assert!(seen > 3800, "{seen}");
}

#[test]
fn rows_keep_their_record_as_it_was_printed() {
    let recordings = crate::recordings::all("openpbs");
    let recording = recordings.iter().find(|recording| recording.name == "qstat-xf-all").unwrap();
    for row in jobs(&OpenPbs, recording).unwrap().rows {
        assert!(row.text.starts_with(&format!("Job Id: {}\n", row.id)), "{}", row.text);
        assert!(row.text.contains("\n    Submit_Host = pbshost"), "{}", row.text);
        assert!(!row.text.ends_with('\n'), "{}", row.text);
    }
}
