//! Many short jobs: the rate of the whole command, and what a job costs in CPU.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, bail};

use super::limit::{self, Output, Speed};
use super::row::{Mark, Row};
use super::stats::{Shuffler, median, ratios};
use super::{Bench, proc};
use crate::tool::installed;

/// One side of the comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Cluster { output: Output, warm: bool },
    Xargs,
    Parallel,
}

const CLUSTER: [Side; 4] = [
    Side::Cluster { output: Output::Open, warm: false },
    Side::Cluster { output: Output::Open, warm: true },
    Side::Cluster { output: Output::Files, warm: false },
    Side::Cluster { output: Output::Files, warm: true },
];

/// What the rounds gave for one side: each run and the limit around it.
struct Samples {
    side: Side,
    runs: Vec<Speed>,
    limits: Vec<Speed>,
}

impl Samples {
    fn rates(&self) -> Vec<f64> {
        self.runs.iter().map(|speed| speed.per_second).collect()
    }

    /// Of the limit around each run.
    fn ratios(&self) -> Vec<f64> {
        let limits: Vec<_> = self.limits.iter().map(|speed| speed.per_second).collect();
        ratios(&self.rates(), &limits)
    }

    fn cpu(&self) -> (Vec<f64>, Vec<f64>) {
        let of = |speeds: &[Speed]| speeds.iter().map(|speed| speed.cpu_ms).collect::<Vec<_>>();
        (of(&self.runs), ratios(&of(&self.runs), &of(&self.limits)))
    }
}

impl Side {
    fn output(self) -> Output {
        match self {
            Self::Cluster { output, .. } => output,
            Self::Xargs | Self::Parallel => Output::Open,
        }
    }

    fn jobs(self, bench: &Bench) -> usize {
        match self {
            Self::Cluster { .. } | Self::Xargs => bench.choose(5000, 2000),
            // Its rate does not depend on the number, and it is slow.
            Self::Parallel => bench.choose(1000, 300),
        }
    }

    fn measure(self, bench: &Bench) -> anyhow::Result<Speed> {
        let jobs = self.jobs(bench);
        match self {
            Self::Cluster { output, warm } => cluster(bench, jobs, output, warm),
            Self::Xargs => peer("xargs", &["-P2", "-n1", "/bin/true"], jobs, &bench.fresh("peer")),
            Self::Parallel => peer("parallel", &["-j2", "/bin/true"], jobs, &bench.fresh("peer")),
        }
    }
}

pub(super) fn run(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let mut sides = CLUSTER.to_vec();
    let mut missing = Vec::new();
    for (name, side) in [("xargs", Side::Xargs), ("parallel", Side::Parallel)] {
        if installed(name) {
            sides.push(side);
        } else {
            missing.push((name, side));
        }
    }
    let mut all: Vec<Samples> =
        sides.iter().map(|&side| Samples { side, runs: Vec::new(), limits: Vec::new() }).collect();
    let mut shuffler = Shuffler::new();
    let probe = |output| limit::measure(bench.choose(2000, 1000), output, &bench.fresh("limit"));
    for round in 1..=bench.rounds() {
        let mut order: Vec<usize> = (0..all.len()).collect();
        shuffler.shuffle(&mut order);
        for at in order {
            let side = all[at].side;
            let before = probe(side.output())?;
            let run = side.measure(bench).with_context(|| format!("{side:?}"))?;
            let after = probe(side.output())?;
            let mean = |a: f64, b: f64| f64::midpoint(a, b);
            let limit = Speed {
                per_second: mean(before.per_second, after.per_second),
                cpu_ms: mean(before.cpu_ms, after.cpu_ms),
            };
            println!(
                "round {round}: {side:?}: {:.0}/s, limit {:.0}/s, ratio {:.3}, CPU {:.3} ms a job",
                run.per_second,
                limit.per_second,
                run.per_second / limit.per_second,
                run.cpu_ms
            );
            all[at].runs.push(run);
            all[at].limits.push(limit);
        }
    }
    Ok(rows(bench, &all, &missing))
}

fn rows(bench: &Bench, all: &[Samples], missing: &[(&str, Side)]) -> Vec<Row> {
    let find = |side: Side| all.iter().find(|samples| samples.side == side);
    let jobs = bench.choose("5,000", "2,000");
    let mut rows = limit_rows(all);
    let mut peers = Vec::new();
    for (id, name, side) in
        [("xargs", "`xargs -P2 -n1`", Side::Xargs), ("parallel", "`parallel -j2`", Side::Parallel)]
    {
        if let Some(samples) = find(side) {
            let row = Row::value(&format!("throughput.{id}"), name, "jobs/s", &samples.rates(), Mark::None);
            rows.push(row.over("limit", median(&samples.ratios())));
            peers.push((id, samples.ratios()));
        }
    }
    for &(name, _) in missing {
        rows.push(Row::skipped(
            &format!("throughput.{name}"),
            &format!("`{name}`"),
            format!("{name} is not installed"),
        ));
    }
    for side in CLUSTER {
        let Some(samples) = find(side) else { continue };
        let Side::Cluster { output, warm } = side else { continue };
        let (mode, kind, of, mark) = match output {
            Output::Open => ("packed", "packed", "limit", 0.92),
            Output::Files => ("files", "`--output files`", "limit with files", 0.85),
        };
        let state = if warm { "warm" } else { "cold" };
        let what = format!("`map` of {jobs} × `true`, {kind}, {state}");
        let id = format!("throughput.{mode}.{state}");
        rows.push(
            Row::value(&id, &what, "jobs/s", &samples.rates(), Mark::AtLeast(mark))
                .over(of, median(&samples.ratios())),
        );
        for (peer, theirs) in peers.iter().filter(|_| output == Output::Open) {
            let (name, mark) = if *peer == "xargs" { ("xargs", 1.3) } else { ("parallel", 6.0) };
            // Both as parts of the limit around them, so that a slower minute counts for neither.
            let over = median(&ratios(&samples.ratios(), theirs));
            rows.push(
                Row::value(
                    &format!("{id}.{peer}"),
                    &format!("{what}, against {name}"),
                    "jobs/s",
                    &samples.rates(),
                    Mark::AtLeast(mark),
                )
                .over(name, over),
            );
        }
        let (cpu, over) = samples.cpu();
        let what = format!("CPU a job, {kind}, {state}: client, runner and jobs");
        rows.push(
            Row::value(&format!("throughput.{mode}.{state}.cpu"), &what, "ms", &cpu, Mark::AtMost(1.25))
                .over(of, median(&over)),
        );
    }
    rows
}

/// What the machine could do, over all rounds.
fn limit_rows(all: &[Samples]) -> Vec<Row> {
    [
        (Output::Open, "limit", "the limit"),
        (Output::Files, "limit-files", "the limit with two new files each"),
    ]
    .into_iter()
    .map(|(output, id, what)| {
        let rates: Vec<f64> = all
            .iter()
            .filter(|samples| samples.side.output() == output)
            .flat_map(|samples| samples.limits.iter().map(|speed| speed.per_second))
            .collect();
        Row::value(&format!("throughput.{id}"), what, "jobs/s", &rates, Mark::None)
    })
    .collect()
}

fn cluster(bench: &Bench, jobs: usize, output: Output, warm: bool) -> anyhow::Result<Speed> {
    let place = bench.place()?;
    let mut before = 0;
    if warm {
        place.time(&["map", "--range", "1-4", "--", "true"])?;
        before = 4;
    }
    let range = format!("1-{jobs}");
    let mut args = vec!["map", "--range", &range];
    if output == Output::Files {
        args.extend(["--output", "files"]);
    }
    args.extend(["--", "true"]);
    let runner_before = if warm { proc::cpu(place.running()?)? } else { 0.0 };
    let clients_before = proc::own_cpu()?;
    let seconds = place.time(&args)?;
    let clients = proc::own_cpu()? - clients_before;
    let runner = proc::cpu(place.running()?)? - runner_before;
    place.expect_succeeded(jobs as u64 + before)?;
    Ok(Speed { per_second: jobs as f64 / seconds, cpu_ms: (clients + runner) * 1000.0 / jobs as f64 })
}

/// A program that takes its inputs as lines on stdin.
fn peer(program: &str, args: &[&str], jobs: usize, lines: &Path) -> anyhow::Result<Speed> {
    let text: String = (1..=jobs).map(|i| format!("{i}\n")).collect();
    std::fs::write(lines, text)?;
    let cpu = proc::own_cpu()?;
    let start = Instant::now();
    let status = Command::new(program)
        .args(args)
        .stdin(File::open(lines)?)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .with_context(|| format!("cannot start {program}"))?;
    let (seconds, cpu) = (start.elapsed().as_secs_f64(), proc::own_cpu()? - cpu);
    if !status.success() {
        bail!("{program} failed ({status})");
    }
    Ok(Speed { per_second: jobs as f64 / seconds, cpu_ms: cpu * 1000.0 / jobs as f64 })
}
