//! How long short commands take, as multiples of starting a process that does nothing.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::Bench;
use super::place::Place;
use super::row::{Mark, Row};
use super::stats::median;

pub(super) fn run(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let place = bench.place()?;
    fill(bench, &place)?;
    let commands: [(&str, &str, &[&str], f64); 4] = [
        ("latency.version", "`cluster --version`", &["--version"], 1.5),
        ("latency.ls", "`ls`: the last 20 batches, 1,000 jobs in them", &["ls"], 4.0),
        ("latency.ls-all", "`ls --all` of 1,000 batches", &["ls", "--all"], 8.0),
        ("latency.submit.warm", "`submit -- true`, the runner up", &["submit", "--", "true"], 3.0),
    ];
    let mut spawns = Vec::new();
    let mut samples: Vec<Vec<f64>> = vec![Vec::new(); commands.len()];
    for _ in 0..bench.repeats() {
        spawns.push(spawn_true()?);
        for ((id, _, args, _), samples) in commands.iter().zip(&mut samples) {
            samples.push(place.time(args)? * 1000.0);
            if id.contains("submit") {
                settle();
            }
        }
    }
    let mut rows = vec![Row::value("latency.true", "starting `/bin/true`", "ms", &spawns, Mark::None)];
    for ((id, what, _, mark), samples) in commands.iter().zip(&samples) {
        rows.push(compared(id, what, samples, &spawns, *mark));
    }
    rows.push(cold_submit(bench)?);
    Ok(rows)
}

fn compared(id: &str, what: &str, samples: &[f64], spawns: &[f64], mark: f64) -> Row {
    let ratio = median(samples) / median(spawns);
    println!("{id}: {:.2} ms, {ratio:.2} × /bin/true", median(samples));
    Row::value(id, what, "ms", samples, Mark::AtMost(mark)).over("`/bin/true`", ratio)
}

/// 1,000 batches, the last 20 of them with 50 jobs each.
fn fill(bench: &Bench, place: &Place) -> anyhow::Result<()> {
    let singles = bench.choose(980, 980);
    for _ in 0..singles {
        place.time(&["submit", "--", "true"])?;
    }
    for _ in 0..20 {
        place.time(&["map", "--range", "1-50", "--", "true"])?;
    }
    place.expect_succeeded(singles + 1000)?;
    flush();
    Ok(())
}

/// What was written to get here goes to the disk now, and not while commands wait for it.
fn flush() {
    rustix::fs::sync();
    std::thread::sleep(Duration::from_millis(500));
}

/// With no runner: its start is part of the time.
fn cold_submit(bench: &Bench) -> anyhow::Result<Row> {
    let place = bench.place()?;
    place.time(&["submit", "--", "true"])?;
    flush();
    let (mut spawns, mut samples) = (Vec::new(), Vec::new());
    for _ in 0..bench.repeats() {
        settle();
        place.stop()?;
        spawns.push(spawn_true()?);
        samples.push(place.time(&["submit", "--", "true"])? * 1000.0);
    }
    Ok(compared("latency.submit.cold", "`submit -- true`, no runner", &samples, &spawns, 8.0))
}

/// Lets a job that was just submitted end, and its start be told to the store (after 20 ms), so that neither slows what
/// is measured next.
fn settle() {
    std::thread::sleep(Duration::from_millis(60));
}

/// Milliseconds to start `/bin/true` and wait for it.
fn spawn_true() -> anyhow::Result<f64> {
    let mut command = Command::new("/bin/true");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let start = Instant::now();
    command.status()?;
    Ok(start.elapsed().as_secs_f64() * 1000.0)
}
