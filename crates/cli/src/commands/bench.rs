//! What `cargo xtask bench` measures from inside: hidden commands, no promise to anybody.

use std::time::Instant;

use anyhow::Context as _;
use clap::Parser;
use cluster_client::SubmitOptions;
use cluster_core::inputs::{InputPlan, Link, Source, SourceKind};
use cluster_core::{BatchId, JobSpec, JobState, OutputMode};
use cluster_localqueue::launch::{Launch, Nothing, Processes};
use serde_json::json;

use crate::args::Common;
use crate::context::Context;
use crate::exit::Exit;
use crate::output;

/// `__bench_queue N`: what the queue costs a job, with spawning and waiting alone replaced.
pub(crate) const QUEUE: &str = "__bench_queue";
/// `__submit_many N`: so many single jobs, held.
pub(crate) const SUBMIT_MANY: &str = "__submit_many";

/// Jobs of the real run that the replaced one is compared with.
const REAL: u32 = 300;
/// Journal bytes a job differ by their digits: index, process, times.
const TOLERANCE: f64 = 0.05;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    common: Common,
    count: u32,
}

fn line(words: &[std::ffi::OsString]) -> anyhow::Result<(Context, u32)> {
    let line = Line::try_parse_from(&words[1..])?;
    Ok((Context::new(line.common)?, line.count))
}

/// One run of `count` jobs: seconds, journal bytes a job, and whether store and counters know all of them.
fn run(context: &mut Context, count: u32, launch: Box<dyn Launch>) -> anyhow::Result<(f64, f64, bool)> {
    context.go_foreground(launch)?;
    let stage = context.client.stage()?;
    let cwd = context.cwd.clone().into();
    let numbers = SourceKind::Range { first: 1, last: i64::from(count), step: 1 };
    let plan = InputPlan {
        sources: vec![Source { kind: numbers, link: Link::Cross, columns: Vec::new() }],
        per_job: 1,
        append: false,
        literal: 0,
    };
    let mut spec = JobSpec {
        count,
        inputs: Some(plan),
        output: OutputMode::Packed,
        ..JobSpec::single("true", vec!["true".into()], cwd)
    };
    stage.environment(&mut spec, &context.environment())?;
    let begin = Instant::now();
    let batch = context.client.submit(stage, spec, &SubmitOptions::default())?;
    context.client.wait_all(&[batch])?;
    let seconds = begin.elapsed().as_secs_f64();
    let report = context.client.status()?.context("the queue is gone")?;
    let bytes: u64 = report.roots.iter().map(|root| root.journal_bytes).sum();
    let complete = is_complete(context, batch, count)?;
    context.leave_foreground();
    Ok((seconds, bytes as f64 / f64::from(count), complete))
}

/// Every job has its record, whole, and the counters say so.
fn is_complete(context: &mut Context, batch: BatchId, count: u32) -> anyhow::Result<bool> {
    let row = context.client.batch(batch)?;
    let jobs = context.client.store()?.outcomes(batch, 0, count)?;
    let whole = jobs.iter().all(|job| {
        job.started.is_some()
            && job.ended.is_some()
            && job.status.is_some()
            && job.pid.is_some()
            && job.usage.is_some()
    });
    Ok(whole && jobs.len() == count as usize && row.count_of(JobState::Succeeded) == u64::from(count))
}

/// See [`QUEUE`].
pub(crate) fn queue(words: &[std::ffi::OsString]) -> anyhow::Result<Exit> {
    let (mut context, count) = line(words)?;
    context.client.init()?;
    let (seconds, bytes, complete) = run(&mut context, count, Box::new(Nothing))?;
    let (mut context, _) = line(words)?;
    let (_, real_bytes, real_complete) = run(&mut context, REAL, Box::new(Processes))?;
    let equal = complete && real_complete && (bytes / real_bytes - 1.0).abs() <= TOLERANCE;
    output::json(&json!({
        "us_per_job": seconds * 1e6 / f64::from(count),
        "equal": equal,
        "journal_bytes": bytes,
        "real_journal_bytes": real_bytes,
    }))?;
    Ok(Exit::GOOD)
}

/// See [`SUBMIT_MANY`].
pub(crate) fn submit_many(words: &[std::ffi::OsString]) -> anyhow::Result<Exit> {
    let (mut context, count) = line(words)?;
    let environment = context.environment();
    for _ in 0..count {
        let stage = context.client.stage()?;
        let mut spec = JobSpec::single("true", vec!["true".into()], context.cwd.clone().into());
        stage.environment(&mut spec, &environment)?;
        context.client.submit(stage, spec, &SubmitOptions { hold: true, ..SubmitOptions::default() })?;
    }
    Ok(Exit::GOOD)
}
