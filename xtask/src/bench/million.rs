//! A million jobs in one batch: creating, looking, cancelling.

use std::fs;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::Duration;

use anyhow::bail;

use super::place::Place;
use super::row::{Mark, Row};
use super::stats::{largest, median};
use super::{Bench, proc};

/// Commands that look at the first batch.
const LOOKS: [(&str, &[&str]); 3] =
    [("ls", &["ls"]), ("show", &["show", "1"]), ("show-job", &["show", "1.500000"])];

pub(super) fn run(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let lines = bench.fresh("lines");
    write_lines(&lines)?;
    let text = lines.to_string_lossy().into_owned();
    let range = ["map", "--detach", "--hold", "--range", "1-1000000", "--", "true"];
    let from = ["map", "--detach", "--hold", "--from", &text, "--", "true"];
    let mut rows = creation(bench, "range", "`map --detach --hold --range 1-1000000`", &range, 0.3, 50.0)?;
    rows.extend(creation(
        bench,
        "lines",
        "`map --detach --hold --from FILE` of 1,000,000 lines",
        &from,
        2.5,
        100.0,
    )?);
    fs::remove_file(&lines)?;
    rows.extend(looking(bench, "held", &range, 1.0)?);
    let busy: Vec<&str> = range.into_iter().filter(|word| *word != "--hold").collect();
    rows.extend(looking(bench, "busy", &busy, 3.0)?);
    Ok(rows)
}

fn write_lines(path: &Path) -> anyhow::Result<()> {
    let mut file = BufWriter::new(fs::File::create(path)?);
    for i in 1..=1_000_000 {
        writeln!(file, "input/number-{i}.txt")?;
    }
    Ok(file.flush()?)
}

/// Time until the prompt is back, cold and warm, and the memory that it took.
fn creation(
    bench: &Bench,
    id: &str,
    what: &str,
    args: &[&str],
    seconds: f64,
    mib: f64,
) -> anyhow::Result<Vec<Row>> {
    let (mut cold, mut warm, mut memory) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..bench.rounds() {
        let place = bench.place()?;
        cold.push(place.time(args)?);
        warm.push(place.time(args)?);
        // Looking costs time: memory is measured in runs of its own.
        let place = bench.place()?;
        memory.push(peak(&place, args)?);
        println!(
            "{id}: cold {:.3} s, warm {:.3} s, peak {:.1} MiB",
            median(&cold),
            median(&warm),
            largest(&memory)
        );
    }
    Ok(vec![
        Row::value(
            &format!("million.{id}.cold"),
            &format!("{what}, cold"),
            "s",
            &cold,
            Mark::AtMost(seconds),
        ),
        Row::value(
            &format!("million.{id}.warm"),
            &format!("{what}, warm"),
            "s",
            &warm,
            Mark::AtMost(seconds),
        ),
        Row::value(
            &format!("million.{id}.memory"),
            &format!("{what}, peak Pss"),
            "MiB",
            &memory,
            Mark::AtMost(mib),
        )
        .note("client and runner together, the largest sum seen at one instant"),
    ])
}

/// The largest sum of Pss of client and runner while a command runs.
fn peak(place: &Place, args: &[&str]) -> anyhow::Result<f64> {
    let mut client = place.spawn(args)?;
    let mut runner = None;
    let mut most: f64 = 0.0;
    let status = loop {
        if let Some(status) = client.try_wait()? {
            break status;
        }
        runner = runner.or_else(|| place.runner());
        let pss = |pid| proc::memory(pid).map_or(0.0, |memory| memory.pss);
        most = most.max(pss(client.id()) + runner.map_or(0.0, pss));
        std::thread::sleep(Duration::from_millis(1));
    };
    if !status.success() {
        bail!("`cluster {}` failed ({status})", args.join(" "));
    }
    // What the runner holds when the client has its answer counts too.
    let after = proc::memory(place.running()?).map_or(0.0, |memory| memory.pss);
    Ok(most.max(after))
}

/// Looks at a batch of a million, then cancels it; `factor` is what being busy allows.
fn looking(bench: &Bench, state: &str, submit: &[&str], factor: f64) -> anyhow::Result<Vec<Row>> {
    let mut looks: Vec<Vec<f64>> = vec![Vec::new(); LOOKS.len()];
    let mut cancel = Vec::new();
    for _ in 0..bench.rounds() {
        let place = bench.place()?;
        place.time(submit)?;
        if state == "busy" {
            // Until it is busy with what was asked, not with starting.
            std::thread::sleep(Duration::from_millis(500));
        }
        for _ in 0..bench.repeats() / bench.rounds() + 1 {
            for (samples, (_, args)) in looks.iter_mut().zip(LOOKS) {
                samples.push(place.time(args)? * 1000.0);
            }
        }
        cancel.push(place.time(&["cancel", "1"])? * 1000.0);
        check_cancelled(&place)?;
    }
    let mut rows: Vec<Row> = LOOKS
        .iter()
        .zip(&looks)
        .map(|((id, args), samples)| {
            let what = format!("`{}` with a million jobs, {state}", args.join(" "));
            Row::value(&format!("million.{state}.{id}"), &what, "ms", samples, Mark::AtMost(10.0 * factor))
        })
        .collect();
    let what = format!("`cancel 1` of a million jobs, {state}");
    rows.push(Row::value(
        &format!("million.{state}.cancel"),
        &what,
        "ms",
        &cancel,
        Mark::AtMost(100.0 * factor),
    ));
    Ok(rows)
}

/// A fast answer that did nothing is no result.
fn check_cancelled(place: &Place) -> anyhow::Result<()> {
    place.time(&["wait", "1", "--timeout", "20"]).or_else(|error| {
        // Exit code 1 says that it is over and that not all succeeded, which is what was asked for.
        if error.to_string().contains("exit status: 1)") { Ok(0.0) } else { Err(error) }
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_a_million() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lines");
        write_lines(&path).unwrap();
        let text = fs::read(&path).unwrap();
        assert_eq!(text.iter().filter(|&&b| b == b'\n').count(), 1_000_000);
    }
}
