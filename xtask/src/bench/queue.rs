//! What the queue itself costs a job: everything but the process.

use anyhow::Context as _;
use serde_json::Value;

use super::Bench;
use super::row::{Mark, Row};

/// Hidden in the binary: `__bench_queue N` runs N jobs through the queue, its journal, its records and its counters
/// with spawning and waiting replaced, compares what was written with a real run, and prints
/// `{"us_per_job": 12.3, "equal": true, "journal_bytes": 123}`.
const COMMAND: &str = "__bench_queue";

pub(super) fn run(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let (id, what) = ("queue.overhead", "queue overhead a job, spawn and wait replaced");
    if !bench.place()?.has(COMMAND, "100") {
        return Ok(vec![Row::skipped(id, what, format!("not yet: the binary has no `{COMMAND}`"))]);
    }
    let jobs = bench.choose("50000", "10000");
    let mut samples = Vec::new();
    let mut equal = true;
    for _ in 0..bench.rounds() {
        let text = bench.place()?.read(&[COMMAND, jobs])?;
        let result: Value =
            serde_json::from_str(&text).with_context(|| format!("{COMMAND} printed no JSON"))?;
        samples
            .push(result["us_per_job"].as_f64().with_context(|| format!("{COMMAND} printed no us_per_job"))?);
        equal &= result["equal"].as_bool() == Some(true);
    }
    let mut row = Row::value(id, what, "µs", &samples, Mark::AtMost(20.0));
    row.note = match equal {
        true => "records, counters and journal bytes are equal to those of a real run".to_owned(),
        false => {
            "records, counters or journal bytes are NOT equal to those of a real run: the number says nothing"
                .to_owned()
        }
    };
    row.skipped = !equal;
    Ok(vec![row])
}
