//! `cluster run`: one job as if it ran here: its output streams, its exit code is ours.

use cluster_core::{Cause, JobId};
use cluster_jobsdb::{JobRow, Selection};
use cluster_localqueue::launch::Processes;
use cluster_localqueue::runner::protocol::Action;

use crate::commands::attach::come_back;
use crate::commands::stream::{AsItIs, OnInterrupt, stream};
use crate::commands::submit;
use crate::context::Context;
use crate::exit::{Exit, code, is_broken_pipe, told};
use crate::output::talk;
use crate::signals::Signals;
use crate::spec_args::SpecArgs;
use crate::what_args::WhatArgs;

/// The options of `run`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    spec: SpecArgs,
    /// Give the job our standard input, read to its end now
    #[arg(long)]
    stdin: bool,
    /// Return at once with the id
    #[arg(long, short = 'd', conflicts_with = "foreground")]
    detach: bool,
    /// Run it inside this process, without the runner: it ends with us
    #[arg(long)]
    foreground: bool,
    #[command(flatten)]
    what: WhatArgs,
}

/// Our own failure, as `timeout` and `env` have it.
const OURS: Exit = Exit(125);

/// As if the signal PIPE had ended us.
const BROKEN_PIPE: Exit = Exit(141);

pub(crate) fn run(mut context: Context, args: Args) -> anyhow::Result<Exit> {
    let signals = Signals::watch()?;
    if args.foreground {
        context.go_foreground(Box::new(Processes))?;
    }
    let handed = match submit::one(&mut context, &args.spec, &args.what, args.stdin, !args.detach) {
        Ok(Some(handed)) => handed,
        Ok(None) => return Ok(Exit::GOOD),
        Err(error) if args.detach => return Err(error),
        Err(error) => {
            talk(&format!("cluster: {}", told(&error)));
            let code = code(&error);
            return Ok(if code == Exit::USAGE { code } else { OURS });
        }
    };
    if args.detach {
        return submit::told(&context, handed, 1);
    }
    let batch = handed.batch;
    if let Some((_, text)) = &handed.trouble {
        talk(&format!("cluster: {text}"));
        if handed.over {
            return Ok(OURS);
        }
    }
    let lender = context.enclosing();
    let mut interrupted = false;
    let ends_with_us = context.is_foreground();
    let on_interrupt = OnInterrupt::Cancel { interrupted: &mut interrupted, ends_with_us };
    let patience = context.config.file_wait;
    let job = JobId { batch, index: 0 };
    let client = &mut context.client;
    match stream(client, job, &signals, lender.as_ref(), on_interrupt, patience, &mut AsItIs) {
        Ok(Some(row)) => Ok(report(&row, interrupted.then(|| signals.exit()))),
        // The terminal is gone.
        Ok(None) => {
            come_back(batch);
            Ok(signals.exit())
        }
        // As SIGPIPE would end a command in its place: nobody reads what it prints.
        Err(error) if is_broken_pipe(&error) => {
            let all = [Selection { batch, jobs: None }];
            if client.act(Action::Cancel(15), &all)? > 0 {
                talk(&format!("cluster: job {job} was cancelled: nobody reads its output any more"));
            }
            Ok(BROKEN_PIPE)
        }
        Err(error) => {
            talk(&format!(
                "cluster: {}; job {batch}.0 goes on: `cluster attach {batch}` goes back to it",
                told(&error)
            ));
            Ok(OURS)
        }
    }
}

/// What the job's end is for whoever ran it.
fn report(row: &JobRow, interrupted: Option<Exit>) -> Exit {
    let code = match row.cause {
        Some(Cause::Exit(code)) => code,
        Some(Cause::Signal(signal)) => 128 + signal,
        Some(Cause::Timeout) => 124,
        Some(Cause::Cancelled) => match interrupted {
            Some(exit) => exit.0.into(),
            None => row.status.map_or(143, cluster_core::ExitStatus::code),
        },
        Some(_) | None => 125,
    };
    let quiet = matches!(row.cause, Some(Cause::Exit(_) | Cause::Signal(_)));
    if let Some(cause) = row.cause.filter(|_| !quiet) {
        let reason = row.reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
        talk(&format!("cluster: job {} failed ({cause}){reason}", row.id));
    }
    // A job that says 0 and did not succeed must not look as if it had.
    Exit(match (code, row.cause) {
        (0, Some(Cause::Exit(0))) => 0,
        (0, _) => 125,
        (code, _) => code.clamp(1, 255) as u8,
    })
}
