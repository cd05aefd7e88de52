//! A runner with nothing to do: does it sleep, and how large is it.

use std::time::Duration;

use super::place::Place;
use super::row::{Mark, Row};
use super::{Bench, many, proc};

/// Hidden in the binary: submits so many single held jobs in one process.
const COMMAND: &str = "__submit_many";

pub(super) fn run(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let seconds = bench.choose(60, 10);
    let place = bench.place()?;
    place.time(&["map", "--range", "1-100", "--", "true"])?;
    place.expect_succeeded(100)?;
    let pid = place.running()?;
    std::thread::sleep(SETTLE);
    let before = proc::voluntary_switches(pid)?;
    std::thread::sleep(Duration::from_secs(seconds));
    let switches = proc::switches_between(&before, &proc::voluntary_switches(pid)?);
    let empty = memory(&place)?;
    let mut rows = vec![
        Row::value(
            "idle.switches",
            &format!("idle runner: voluntary context switches in {seconds} s"),
            "",
            &[switches as f64],
            Mark::AtMost(0.0),
        )
        .note(format!("counted from {} s after the last job ended", SETTLE.as_secs())),
        Row::value("idle.memory", "idle runner: Rss", "MiB", &[empty.rss], Mark::AtMost(15.0))
            .note(format!("Pss {:.1} MiB", empty.pss)),
    ];
    rows.push(one_batch(&place)?);
    rows.push(singles(bench)?);
    Ok(rows)
}

/// Idle is from here on. The threads that the last jobs needed end by themselves some seconds later, each once.
const SETTLE: Duration = Duration::from_secs(15);

fn memory(place: &Place) -> anyhow::Result<proc::Memory> {
    let pid = place.running()?;
    Ok(proc::memory(pid).unwrap_or_default())
}

/// More memory for 100,000 queued jobs of one batch.
fn one_batch(place: &Place) -> anyhow::Result<Row> {
    // The first large batch may also bring code and buffers in that no later one needs again.
    place.time(&["map", "--detach", "--hold", "--range", "1-1000", "--", "true"])?;
    let before = memory(place)?;
    place.time(&["map", "--detach", "--hold", "--range", "1-100000", "--", "true"])?;
    let more = memory(place)?.pss - before.pss;
    Ok(Row::value(
        "idle.batch",
        "more for 100,000 queued jobs of one batch",
        "MiB",
        &[more],
        Mark::AtMost(1.0),
    ))
}

/// More memory for 100,000 queued single jobs.
fn singles(bench: &Bench) -> anyhow::Result<Row> {
    let (id, what) = ("idle.singles", "more for 100,000 queued single jobs");
    let place = bench.place()?;
    place.time(&["submit", "--hold", "--", "true"])?;
    let before = memory(&place)?;
    if place.has(COMMAND, "1") {
        let jobs = bench.choose(100_000, 10_000);
        place.time(&[COMMAND, &jobs.to_string()])?;
        let more = (memory(&place)?.pss - before.pss) * 100_000.0 / f64::from(jobs);
        return Ok(
            Row::value(id, what, "MiB", &[more], Mark::AtMost(10.0)).note(format!("{jobs} jobs, scaled"))
        );
    }
    let each: u32 = bench.choose(2_500, 250);
    println!("the binary has no `{COMMAND}`: {} jobs by a process each, scaled to 100,000", each * 8);
    many::at_once(&place, each as usize, &["--hold"])?;
    let more = (memory(&place)?.pss - before.pss) * 100_000.0 / f64::from(each * 8);
    let note = format!("{} jobs by a process each, scaled to 100,000", each * 8);
    Ok(Row::value(id, what, "MiB", &[more], Mark::AtMost(10.0)).note(note))
}
