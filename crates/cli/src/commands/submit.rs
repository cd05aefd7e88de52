//! `cluster submit`: one job, and back at once with its id.

use cluster_core::BatchId;
use serde::Serialize;

use crate::commands::hand_over::{Handed, hand_over, stage as stage_of};
use crate::context::Context;
use crate::exit::{Exit, usage};
use crate::output;
use crate::signals::Reading;
use crate::spec_args::SpecArgs;
use crate::what_args::WhatArgs;

/// The options of `submit`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    spec: SpecArgs,
    /// Give the job our standard input, read to its end now
    #[arg(long)]
    stdin: bool,
    #[command(flatten)]
    what: WhatArgs,
}

#[derive(Serialize)]
struct Submitted {
    v: u32,
    batch: BatchId,
    jobs: u32,
}

pub(crate) fn run(mut context: Context, args: Args) -> anyhow::Result<Exit> {
    match one(&mut context, &args.spec, &args.what, args.stdin, false)? {
        Some(handed) => told(&context, handed, 1),
        None => Ok(Exit::GOOD),
    }
}

/// Prints a new batch's id, and what kept it from arriving.
pub(crate) fn told(context: &Context, handed: Handed, jobs: u32) -> anyhow::Result<Exit> {
    let batch = handed.batch;
    if let Err(error) = tell(context, batch, jobs) {
        // Whoever cannot read the id must not submit it again.
        return Err(error.context(format!("batch {batch} was submitted, and its id cannot be told")));
    }
    let Some((exit, text)) = handed.trouble else { return Ok(Exit::GOOD) };
    output::talk(&format!("cluster: {text}"));
    Ok(exit)
}

/// Prints a new batch's id.
pub(crate) fn tell(context: &Context, batch: BatchId, jobs: u32) -> anyhow::Result<()> {
    if context.common.json {
        output::json(&Submitted { v: 1, batch, jobs })
    } else {
        output::line(&batch.to_string())
    }
}

/// Submits one job; one that is `followed` has its output's directory from the start. `None` after a dry run.
pub(crate) fn one(
    context: &mut Context,
    spec: &SpecArgs,
    what: &WhatArgs,
    stdin: bool,
    followed: bool,
) -> anyhow::Result<Option<Handed>> {
    let target = spec.target(context)?;
    let dry_run = spec.is_dry_run();
    if !dry_run {
        first_time(context);
    }
    if stdin && what.reads_stdin() {
        return Err(usage(
            "--stdin: the script is read from standard input already (-), and nothing is left of it",
        ));
    }
    let reading = match stdin || what.reads_stdin() {
        true => Some(Reading::start(!followed)?),
        false => None,
    };
    let make = || stage_of(context, dry_run);
    let stage = reading.as_ref().map_or_else(make, |reading| reading.stage(make))?;
    let what = what.resolve(context, &stage, spec.is_strict())?;
    let mut job = spec.spec(context, &target, &stage, what.command, &what.first, false)?;
    if stdin {
        stage.stdin(&mut std::io::stdin().lock())?;
        job.stdin = true;
    }
    drop(reading);
    if followed {
        stage.shard(0)?;
    }
    context.keep_for(&job)?;
    let options = spec.options(context)?;
    hand_over(context, &target, stage, job, &options, spec.how())
}

/// The first submission says once where everything lies.
pub(crate) fn first_time(context: &Context) {
    if !context.common.quiet && !context.client.layout().jobs().is_dir() {
        output::talk(&format!(
            "cluster: jobs are kept in {} (`cluster ls` lists them); the runner's log is {}",
            context.root.display(),
            context.client.place().log().display()
        ));
    }
}
