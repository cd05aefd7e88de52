//! Many processes that submit at once.

use std::time::Instant;

use anyhow::bail;

use super::Bench;
use super::place::Place;
use super::row::{Mark, Row};

const PROCESSES: usize = 8;

pub(super) fn run(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let each = bench.choose(200, 50);
    let mut rates = Vec::new();
    for _ in 0..bench.rounds() {
        let place = bench.place()?;
        // The first submission makes the store; the row is about submitting.
        place.time(&["submit", "--", "true"])?;
        let seconds = at_once(&place, each, &[])?;
        let jobs = (PROCESSES * each) as u64;
        wait_for_all(&place, jobs + 1)?;
        rates.push(jobs as f64 / seconds);
        println!("{PROCESSES} × {each} single jobs: {:.0} submits/s", jobs as f64 / seconds);
    }
    let what = format!("{PROCESSES} processes that each submit {each} single jobs at once");
    Ok(vec![Row::value("many.submit", &what, "submits/s", &rates, Mark::AtLeast(300.0)).note(
        "every submission succeeded and every job is recorded as succeeded, or there would be no number here",
    )])
}

/// Submits `each` single jobs from each of the processes; seconds until all were accepted.
pub(super) fn at_once(place: &Place, each: usize, options: &[&str]) -> anyhow::Result<f64> {
    let mut args = vec!["submit"];
    args.extend(options);
    args.extend(["--", "true"]);
    let start = Instant::now();
    std::thread::scope(|scope| {
        let submitting = || (0..each).try_for_each(|_| place.time(&args).map(drop));
        let threads: Vec<_> = (0..PROCESSES).map(|_| scope.spawn(submitting)).collect();
        for thread in threads {
            match thread.join() {
                Ok(result) => result?,
                Err(_) => bail!("a submitting thread panicked"),
            }
        }
        Ok(())
    })?;
    Ok(start.elapsed().as_secs_f64())
}

/// Waits until the store says that so many succeeded.
fn wait_for_all(place: &Place, jobs: u64) -> anyhow::Result<()> {
    let start = Instant::now();
    while start.elapsed().as_secs() < 60 {
        if place.succeeded()? == jobs {
            return Ok(());
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    place.expect_succeeded(jobs)
}
