//! The output of one job as it comes, until the job is over: what `run`, `attach` and `logs --follow` have in common.

use std::io::{self, Write};
use std::os::fd::AsFd;
use std::time::Duration;

use cluster_client::arrival::wait_for_outputs;
use cluster_client::follow::Follower;
use cluster_client::output::{Copier, Stream};
use cluster_client::{Client, Lender, Watch};
use cluster_core::{IndexSet, JobId, JobState};
use cluster_jobsdb::{JobRow, Selection};
use cluster_localqueue::runner::protocol::Action;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use signal_hook::consts::SIGHUP;

use crate::commands::get::tell_late;
use crate::output::talk;
use crate::signals::Signals;

/// What Ctrl-C does to the job.
pub(crate) enum OnInterrupt<'a> {
    /// It goes to the job, and the second one kills it; noted here. That the terminal is gone goes to it only where it
    /// is to end with us.
    Cancel { interrupted: &'a mut bool, ends_with_us: bool },
    /// The job goes on, we do not.
    Leave,
}

/// Where the output of a job goes as it comes.
pub(crate) trait Sink {
    /// What is taken.
    fn streams(&self) -> &[Stream];

    /// The next bytes of a stream.
    fn take(&mut self, stream: Stream, bytes: &[u8]) -> io::Result<()>;

    /// All that there was before was taken: from here on it is what comes anew.
    fn caught_up(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// There is nothing more.
    fn end(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Each stream to our own, as it is.
pub(crate) struct AsItIs;

impl Sink for AsItIs {
    fn streams(&self) -> &[Stream] {
        &[Stream::Out, Stream::Err]
    }

    fn take(&mut self, stream: Stream, bytes: &[u8]) -> io::Result<()> {
        match stream {
            Stream::Out => {
                let mut out = io::stdout().lock();
                out.write_all(bytes)?;
                out.flush()
            }
            Stream::Err => io::stderr().lock().write_all(bytes),
        }
    }
}

/// Gives `sink` what a job prints until it is over; `None` where we left it.
pub(crate) fn stream(
    client: &mut Client,
    job: JobId,
    signals: &Signals,
    lender: Option<&Lender>,
    mut on_interrupt: OnInterrupt<'_>,
    patience: Duration,
    sink: &mut dyn Sink,
) -> anyhow::Result<Option<JobRow>> {
    let one = [Selection { batch: job.batch, jobs: Some(IndexSet::range(job.index, job.index + 1)) }];
    let mut row = client.job(job)?.row;
    let mut follower = Follower::new(client.layout(), job, row.k, sink.streams())?;
    let mut watch: Option<Watch> = None;
    let (_, scheduled) = client.by_scheduler([job.batch])?;
    let mut ticker = client.ticker(&scheduled)?;
    while !row.state.is_end() {
        if ticker.is_none() && watch.is_none() {
            // Looked before the watch stood: what ended in between is seen at the next look.
            watch = Some(client.watch(&[job.batch], lender)?);
            if row.state == JobState::Queued {
                tell_if_drained(client);
            }
        } else {
            let changed = wait(watch.as_ref(), &follower, signals)?;
            if let Some(signal) = signals.take() {
                let OnInterrupt::Cancel { interrupted, ends_with_us } = &mut on_interrupt else {
                    return Ok(None);
                };
                if signal == SIGHUP && !*ends_with_us {
                    return Ok(None);
                }
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
        pump(&mut follower, sink)?;
        // Only the runner's news, or the scheduler's, say that it ended; its own output says nothing of it.
        row = client.job(job)?.row;
        follower.watch_dir();
    }
    tell_late(&wait_for_outputs(client.layout(), std::slice::from_ref(&row), patience));
    pump(&mut follower, sink)?;
    finish(client, &row, &follower, sink)?;
    sink.end()?;
    Ok(Some(row))
}

/// Who waits for what nothing lets start should know why.
pub(crate) fn tell_if_drained(client: &Client) {
    if client.status().is_ok_and(|report| report.is_some_and(|report| report.draining)) {
        talk("cluster: the runner is drained: nothing starts before `cluster local drain --off`");
    }
}

/// What was packed, or written after the last look, is taken from where the follower was.
fn finish(client: &Client, row: &JobRow, follower: &Follower, sink: &mut dyn Sink) -> anyhow::Result<()> {
    let mut copier = Copier::new(client.layout());
    for stream in sink.streams().to_vec() {
        if follower.seen(stream) == 0 {
            copier.copy(row, stream, &mut Into { stream, sink })?;
        }
    }
    Ok(())
}

/// A sink for one stream, to be written to.
struct Into<'a> {
    stream: Stream,
    sink: &'a mut dyn Sink,
}

impl Write for Into<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.sink.take(self.stream, bytes).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn pump(follower: &mut Follower, sink: &mut dyn Sink) -> io::Result<()> {
    follower.pump(|stream, bytes| sink.take(stream, bytes))?;
    sink.caught_up()
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
