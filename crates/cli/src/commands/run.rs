//! `cluster run`: one job as if it ran here: its output streams, its exit code is ours.

use std::io::Write;
use std::os::fd::AsFd;
use std::time::Duration;

use cluster_client::arrival::wait_for_outputs;
use cluster_client::follow::Follower;
use cluster_client::output::{Copier, Stream};
use cluster_client::{Client, Lender, Watch};
use cluster_core::{Cause, IndexSet, JobId};
use cluster_jobsdb::{JobRow, Selection};
use cluster_localqueue::launch::Processes;
use cluster_localqueue::runner::protocol::Action;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::commands::get::tell_late;
use crate::commands::submit;
use crate::context::Context;
use crate::exit::{Exit, code, is_broken_pipe};
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
            talk(&format!("cluster: {error:#}"));
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
    let on_interrupt = OnInterrupt::Cancel(&mut interrupted);
    let patience = context.config.file_wait;
    let job = JobId { batch, index: 0 };
    match stream(&mut context.client, job, &signals, lender.as_ref(), on_interrupt, patience) {
        Ok(Some(row)) => Ok(report(&row, interrupted)),
        Ok(None) => Ok(Exit::INTERRUPTED),
        Err(error) if is_broken_pipe(&error) => Err(error),
        Err(error) => {
            talk(&format!(
                "cluster: {error:#}; job {batch}.0 goes on: `cluster attach {batch}` goes back to it"
            ));
            Ok(OURS)
        }
    }
}

/// What the job's end is for whoever ran it.
fn report(row: &JobRow, interrupted: bool) -> Exit {
    let code = match row.cause {
        Some(Cause::Exit(code)) => code,
        Some(Cause::Signal(signal)) => 128 + signal,
        Some(Cause::Timeout) => 124,
        Some(Cause::Cancelled) if interrupted => 130,
        Some(Cause::Cancelled) => row.status.map_or(143, cluster_core::ExitStatus::code),
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

/// What Ctrl-C does to the job.
pub(crate) enum OnInterrupt<'a> {
    /// It goes to the job, and the second one kills it; noted here.
    Cancel(&'a mut bool),
    /// The job goes on, we do not.
    Leave,
}

/// Prints what a job prints until it is over; `None` where we left it.
pub(crate) fn stream(
    client: &mut Client,
    job: JobId,
    signals: &Signals,
    lender: Option<&Lender>,
    mut on_interrupt: OnInterrupt<'_>,
    patience: Duration,
) -> anyhow::Result<Option<JobRow>> {
    let one = [Selection { batch: job.batch, jobs: Some(IndexSet::range(job.index, job.index + 1)) }];
    let mut row = client.job(job)?.row;
    let streams = [Stream::Out, Stream::Err];
    let mut follower = Follower::new(client.layout(), job, row.k, &streams)?;
    let mut watch: Option<Watch> = None;
    let (_, scheduled) = client.by_scheduler([job.batch])?;
    let mut ticker = client.ticker(&scheduled)?;
    while !row.state.is_end() {
        if ticker.is_none() && watch.is_none() {
            // Looked before the watch stood: what ended in between is seen at the next look.
            watch = Some(client.watch(&[job.batch], lender)?);
        } else {
            let changed = wait(watch.as_ref(), &follower, signals)?;
            if let Some(signal) = signals.take() {
                let OnInterrupt::Cancel(interrupted) = &mut on_interrupt else { return Ok(None) };
                let signal = if **interrupted { 9 } else { signal };
                **interrupted = true;
                client.act(Action::Cancel(signal), &one)?;
            }
            if changed && watch.as_mut().is_some_and(|watch| watch.news().is_err()) {
                // The runner was killed or replaced; the job is not.
                watch = None;
            }
        }
        if let Some(ticker) = &mut ticker {
            ticker.tick(client, &scheduled, &mut |text| talk(&format!("cluster: {text}")))?;
        }
        pump(&mut follower)?;
        // Only the runner's news, or the scheduler's, say that it ended; its own output says nothing of it.
        row = client.job(job)?.row;
        follower.watch_dir();
    }
    tell_late(&wait_for_outputs(client.layout(), std::slice::from_ref(&row), patience));
    pump(&mut follower)?;
    finish(client, &row, &follower)?;
    Ok(Some(row))
}

/// What was packed, or written after the last look, is printed from where the follower was.
fn finish(client: &Client, row: &JobRow, follower: &Follower) -> anyhow::Result<()> {
    let mut copier = Copier::new(client.layout());
    for stream in [Stream::Out, Stream::Err] {
        if follower.seen(stream) == 0 {
            let mut out: Box<dyn Write> = match stream {
                Stream::Out => Box::new(std::io::stdout().lock()),
                Stream::Err => Box::new(std::io::stderr().lock()),
            };
            copier.copy(row, stream, &mut out)?;
            out.flush()?;
        }
    }
    Ok(())
}

fn pump(follower: &mut Follower) -> std::io::Result<()> {
    follower.pump(|stream, bytes| match stream {
        Stream::Out => {
            let mut out = std::io::stdout().lock();
            out.write_all(bytes)?;
            out.flush()
        }
        Stream::Err => std::io::stderr().lock().write_all(bytes),
    })
}

/// Waits for anything; true where the runner has news.
fn wait(watch: Option<&Watch>, follower: &Follower, signals: &Signals) -> anyhow::Result<bool> {
    let mut fds = vec![
        PollFd::from_borrowed_fd(follower.as_fd(), PollFlags::IN),
        PollFd::from_borrowed_fd(signals.as_fd(), PollFlags::IN),
    ];
    fds.extend(watch.map(|watch| PollFd::from_borrowed_fd(watch.as_fd(), PollFlags::IN)));
    // A directory that appears after the watch was set, and what other hosts write, are seen at the next look.
    let timeout = Timespec { tv_sec: 1, tv_nsec: 0 };
    match poll(&mut fds, Some(&timeout)) {
        Ok(_) => Ok(fds.get(2).is_some_and(|fd| !fd.revents().is_empty())),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
