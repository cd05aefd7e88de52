//! `cluster attach`, and what `map` does while it waits: the outputs of a batch as they become available.

use std::collections::BTreeSet;
use std::fmt;
use std::io::Write;
use std::os::fd::AsFd;
use std::time::Duration;

use cluster_client::output::{Copier, Stream};
use cluster_client::scheduler::TICK;
use cluster_client::watch::ELSEWHERE;
use cluster_client::{Client, Watch};
use cluster_core::{BatchId, IndexSet, JobId, JobIndex, JobState, Selector};
use cluster_jobsdb::{BatchRow, JobQuery, JobRow, Selection};
use cluster_localqueue::runner::protocol::Action;
use indicatif::{ProgressBar, ProgressState, ProgressStyle};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::commands::show::state_text;
use crate::commands::stream::{AsItIs, OnInterrupt, stream, tell_if_drained};
use crate::context::Context;
use crate::exit::{Exit, is_broken_pipe, usage};
use crate::output::{is_terminal, span, talk};
use crate::signals::Signals;

/// The options of `attach`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Print outputs as the jobs end, not in the order of the inputs
    #[arg(long)]
    unordered: bool,
    /// The batch, or one job of it
    #[arg(default_value = "last")]
    selector: Selector,
}

/// Which outputs are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Printing {
    InOrder,
    AsTheyEnd,
    Nothing,
}

pub(crate) fn run(mut context: Context, args: &Args) -> anyhow::Result<Exit> {
    let selected = context.select_some(std::slice::from_ref(&args.selector))?;
    let signals = Signals::watch()?;
    let mut exit = Exit::GOOD;
    for selection in selected {
        let count = context.client.batch(selection.batch)?.count;
        let single = match &selection.jobs {
            Some(jobs) if jobs.len() == 1 => jobs.first(),
            Some(jobs) if jobs.len() < u64::from(count) => {
                return Err(usage(format!(
                    "attach follows a batch or one job of it: {}.{jobs} is neither",
                    selection.batch
                )));
            }
            None if count == 1 => Some(0),
            _ => None,
        };
        let code = match single {
            Some(index) => attach_one(&mut context, JobId { batch: selection.batch, index }, &signals)?,
            None => {
                let printing = match (context.common.quiet, args.unordered) {
                    (true, _) => Printing::Nothing,
                    (false, true) => Printing::AsTheyEnd,
                    (false, false) => Printing::InOrder,
                };
                follow(&mut context, selection.batch, printing, &signals)?
            }
        };
        exit = Exit(exit.0.max(code.0));
        if exit.is_by_signal() {
            break;
        }
    }
    Ok(exit)
}

/// One job streams, as in `run`, but Ctrl-C leaves it running.
fn attach_one(context: &mut Context, job: JobId, signals: &Signals) -> anyhow::Result<Exit> {
    let lender = context.enclosing();
    let patience = context.config.file_wait;
    let leave = OnInterrupt::Leave;
    let client = &mut context.client;
    match stream(client, job, signals, lender.as_ref(), leave, patience, &mut AsItIs) {
        Ok(Some(row)) if row.state == JobState::Succeeded => Ok(Exit::GOOD),
        Ok(Some(row)) => {
            let reason = row.reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
            talk(&format!("cluster: job {} {}{reason}", row.id, state_text(&row)));
            Ok(Exit::JOB_FAILED)
        }
        Ok(None) => {
            come_back(job.batch);
            Ok(signals.exit())
        }
        Err(error) if is_broken_pipe(&error) => {
            if !context.client.job(job)?.row.state.is_end() {
                come_back(job.batch);
            }
            Err(error)
        }
        Err(error) => Err(error),
    }
}

/// Says how to come back to jobs that go on without us.
pub(crate) fn come_back(batch: BatchId) {
    talk(&format!(
        "\ncluster: batch {batch} goes on; come back by `cluster attach {batch}`, end it by `cluster cancel {batch}`"
    ));
}

/// Prints outputs until the batch is over. Where nobody reads them any more the jobs go on, and that is said.
pub(crate) fn follow(
    context: &mut Context,
    batch: BatchId,
    printing: Printing,
    signals: &Signals,
) -> anyhow::Result<Exit> {
    let result = print_until_over(context, batch, printing, signals);
    if let Err(error) = &result
        && is_broken_pipe(error)
        && !context.client.batch(batch)?.is_finished()
    {
        leave(context, batch)?;
    }
    result
}

/// Leaves jobs that have not ended; those that run inside this process end.
fn leave(context: &mut Context, batch: BatchId) -> anyhow::Result<()> {
    if !context.is_foreground() {
        come_back(batch);
        return Ok(());
    }
    talk(&format!("\ncluster: the jobs of batch {batch} end with this process"));
    context.client.act(Action::Cancel(15), &[Selection { batch, jobs: None }])?;
    Ok(context.client.wait_all(&[batch])?)
}

fn print_until_over(
    context: &mut Context,
    batch: BatchId,
    printing: Printing,
    signals: &Signals,
) -> anyhow::Result<Exit> {
    let lender = context.enclosing();
    let layout = context.client.layout().clone();
    let mut printer = Printer { copier: Copier::new(&layout), printing, next: 0, printed: BTreeSet::new() };
    let bar = bar(context, batch)?;
    let mut watch: Option<Watch> = None;
    let (_, scheduled) = context.client.by_scheduler([batch])?;
    let mut ticker = context.client.ticker(&scheduled)?;
    let quiet = context.common.quiet;
    loop {
        if let Some(ticker) = &mut ticker {
            ticker.tick(&mut context.client, &scheduled, &mut |text| match &bar {
                _ if quiet => {}
                Some(bar) => bar.suspend(|| talk(&format!("cluster: {text}"))),
                None => talk(&format!("cluster: {text}")),
            })?;
        }
        // The numbers first: what is printed after is at least what they say.
        let row = context.client.batch(batch)?;
        printer.print(&mut context.client, &row, bar.as_ref())?;
        if let Some(bar) = &bar {
            bar.set_position(row.ended());
            bar.set_message(message(&row));
        }
        if row.is_finished() {
            if let Some(bar) = &bar {
                bar.finish_and_clear();
            }
            return Ok(summary(context, &row));
        }
        if signals.take().is_some() {
            if let Some(bar) = &bar {
                bar.finish_and_clear();
            }
            leave(context, batch)?;
            return Ok(signals.exit());
        }
        match &mut watch {
            _ if ticker.is_some() => drop(wait(None, signals, Some(TICK))?),
            None => {
                watch = Some(context.client.watch(&[batch], lender.as_ref())?);
                if row.count_of(JobState::Queued) > 0 && !quiet {
                    tell_if_drained(&context.client);
                }
            }
            Some(open) => {
                let patience =
                    (!context.is_foreground() && context.client.is_elsewhere(&[batch])?).then_some(ELSEWHERE);
                if wait(Some(open), signals, patience)? && open.news().is_err() {
                    watch = None;
                }
            }
        }
    }
}

fn wait(watch: Option<&Watch>, signals: &Signals, patience: Option<Duration>) -> anyhow::Result<bool> {
    let timeout = patience.and_then(|patience| Timespec::try_from(patience).ok());
    let mut fds = vec![PollFd::from_borrowed_fd(signals.as_fd(), PollFlags::IN)];
    fds.extend(watch.map(|watch| PollFd::from_borrowed_fd(watch.as_fd(), PollFlags::IN)));
    match poll(&mut fds, timeout.as_ref()) {
        Ok(_) => Ok(fds.get(1).is_some_and(|fd| !fd.revents().is_empty())),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

struct Printer<'a> {
    copier: Copier<'a>,
    printing: Printing,
    /// The next job in order.
    next: JobIndex,
    /// Those that were printed before their turn.
    printed: BTreeSet<JobIndex>,
}

/// Jobs looked at in one go.
const PAGE: u32 = 2000;

impl Printer<'_> {
    fn print(
        &mut self,
        client: &mut Client,
        batch: &BatchRow,
        bar: Option<&ProgressBar>,
    ) -> anyhow::Result<()> {
        match self.printing {
            Printing::Nothing => Ok(()),
            Printing::InOrder => loop {
                let rows = client.store()?.outcomes_in_order(batch.id, self.next, PAGE)?;
                for row in &rows {
                    self.one(row, bar)?;
                    self.next = row.id.index + 1;
                }
                if rows.len() < PAGE as usize {
                    return Ok(());
                }
            },
            Printing::AsTheyEnd => self.print_new(client, batch, bar),
        }
    }

    fn print_new(
        &mut self,
        client: &mut Client,
        batch: &BatchRow,
        bar: Option<&ProgressBar>,
    ) -> anyhow::Result<()> {
        let ended = client.store()?.indices_in(batch.id, &[JobState::Succeeded, JobState::Failed])?;
        let known: IndexSet = self.printed.iter().copied().collect();
        let new = ended.difference(&known.union(&IndexSet::range(0, self.next)));
        if new.is_empty() {
            return Ok(());
        }
        let query = JobQuery { jobs: Some(new), limit: u32::MAX, ..JobQuery::default() };
        let mut rows = client.store()?.jobs(batch.id, &query)?;
        rows.sort_by_key(|row| row.ended);
        for row in &rows {
            self.one(row, bar)?;
            self.printed.insert(row.id.index);
        }
        while self.printed.remove(&self.next) {
            self.next += 1;
        }
        Ok(())
    }

    fn one(&mut self, row: &JobRow, bar: Option<&ProgressBar>) -> anyhow::Result<()> {
        let mut print = || -> anyhow::Result<()> {
            let mut out = std::io::stdout().lock();
            self.copier.copy(row, Stream::Out, &mut out)?;
            out.flush()?;
            self.copier.copy(row, Stream::Err, &mut std::io::stderr().lock())?;
            Ok(())
        };
        let empty = row.output.as_ref().is_some_and(|place| is_empty(place.out) && is_empty(place.err));
        match bar {
            _ if empty => Ok(()),
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }
}

fn is_empty(place: cluster_jobsdb::StreamPlace) -> bool {
    use cluster_jobsdb::StreamPlace::{File, Pack};
    matches!(place, File { bytes: 0 } | Pack { len: 0, .. })
}

/// On a terminal only: what is done, how fast, how long still.
fn bar(context: &mut Context, batch: BatchId) -> anyhow::Result<Option<ProgressBar>> {
    if context.common.quiet || !is_terminal() {
        return Ok(None);
    }
    let bar = ProgressBar::new(u64::from(context.client.batch(batch)?.count));
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg} {rate} {rest} left")?
        .with_key("rate", |state: &ProgressState, to: &mut dyn fmt::Write| {
            let _ = to.write_str(&rate(state.pos(), state.per_sec()));
        })
        .with_key("rest", |state: &ProgressState, to: &mut dyn fmt::Write| {
            let _ = to.write_str(&rest(state.pos(), state.eta()));
        });
    bar.set_style(style);
    bar.enable_steady_tick(Duration::from_millis(500));
    Ok(Some(bar))
}

/// Jobs a second; nothing is known of it before one has ended.
fn rate(ended: u64, rate: f64) -> String {
    match rate {
        _ if ended == 0 => "-/s".to_owned(),
        10.0.. => format!("{rate:.0}/s"),
        1.0..10.0 => format!("{rate:.1}/s"),
        _ => format!("{rate:.2}/s"),
    }
}

/// How long it goes on.
fn rest(ended: u64, eta: Duration) -> String {
    if ended == 0 { "-".to_owned() } else { span(Duration::from_secs(eta.as_secs())) }
}

fn message(row: &BatchRow) -> String {
    let of = |state| row.count_of(state);
    let mut parts = vec![format!("{} running", of(JobState::Running))];
    if of(JobState::Held) > 0 {
        parts.push(format!("{} held", of(JobState::Held)));
    }
    if of(JobState::Failed) > 0 {
        parts.push(format!("{} failed", of(JobState::Failed)));
    }
    parts.join(", ")
}

/// Says what failed, if anything did.
fn summary(context: &mut Context, row: &BatchRow) -> Exit {
    let failed = row.count_of(JobState::Failed);
    if failed == 0 {
        return Exit::GOOD;
    }
    let query = JobQuery { states: Some(vec![JobState::Failed]), limit: 5, ..JobQuery::default() };
    let first =
        context.client.store().ok().and_then(|store| store.jobs(row.id, &query).ok()).unwrap_or_default();
    let named: Vec<_> = first
        .iter()
        .map(|job| format!("{} ({})", job.id, job.cause.map(|cause| cause.to_string()).unwrap_or_default()))
        .collect();
    let more = if failed > named.len() as u64 { ", …" } else { "" };
    talk(&format!(
        "cluster: {failed} of {} jobs failed: {}{more}; `cluster logs --stderr {}` shows why, `cluster retry {}` sends \
         them again",
        row.count,
        named.join(", "),
        first.first().map_or_else(|| row.id.to_string(), |job| job.id.to_string()),
        row.id
    ));
    Exit::JOB_FAILED
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_says_nothing_that_it_does_not_know() {
        assert_eq!((rate(0, 0.0), rest(0, Duration::ZERO)), ("-/s".to_owned(), "-".to_owned()));
        let rates = [0.4567, 3.21, 456.7].map(|value| rate(1, value));
        assert_eq!(rates, ["0.46/s", "3.2/s", "457/s"]);
        assert_eq!(rest(1, Duration::from_millis(65_300)), "1:05");
    }
}
