//! Waiting for something to change, and for jobs to end.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use cluster_core::{BatchId, JobState};
use cluster_jobsdb::Selection;
use cluster_localqueue::runner::Connection;
use cluster_localqueue::runner::protocol::Reply;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::client::{Client, Lender};
use crate::error::ClientError;
use crate::local::Owner;

/// A connection on which the runner says which batches changed. Its descriptor can be polled with others.
#[derive(Debug)]
pub struct Watch {
    connection: Connection,
}

impl Watch {
    pub(crate) fn new(connection: Connection) -> Self {
        Self { connection }
    }

    /// The next news; waits for them.
    ///
    /// # Errors
    /// Where the runner is gone: the jobs are not; a new watch starts the next runner.
    pub fn news(&mut self) -> io::Result<Vec<BatchId>> {
        match self.connection.reply()? {
            Reply::News(batches) => Ok(batches),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    /// The same, but not for longer than `timeout`; empty then.
    ///
    /// # Errors
    /// As [`Self::news`].
    pub fn news_within(&mut self, timeout: Duration) -> io::Result<Vec<BatchId>> {
        let timeout = Timespec::try_from(timeout).map_err(|_| io::ErrorKind::InvalidInput)?;
        match poll(&mut [PollFd::new(&self.connection, PollFlags::IN)], Some(&timeout)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => Ok(Vec::new()),
            Ok(_) => self.news(),
            Err(error) => Err(error.into()),
        }
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.connection.as_fd()
    }
}

/// Where to stop waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// All have ended.
    All,
    /// One has ended.
    Any,
}

/// What waiting came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waited {
    /// It is reached.
    Done,
    /// The time was over first.
    TimedOut,
}

/// The states of jobs that have not ended.
pub const LIVE: [JobState; 7] = [
    JobState::Created,
    JobState::Submitting,
    JobState::Queued,
    JobState::Held,
    JobState::Running,
    JobState::Suspended,
    JobState::Unknown,
];

/// How often a batch of another machine, whose runner we cannot hear, is looked at.
pub const ELSEWHERE: Duration = Duration::from_secs(2);

impl Client {
    /// How many of the selected jobs have ended, and how many they are.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn progress(&mut self, selected: &[Selection]) -> Result<(u64, u64), ClientError> {
        let (mut ended, mut all) = (0, 0);
        for selection in selected {
            match &selection.jobs {
                None => {
                    let batch = self.batch(selection.batch)?;
                    ended += batch.ended();
                    all += u64::from(batch.count);
                }
                Some(jobs) => {
                    let live = self.store()?.indices_in(selection.batch, &LIVE)?.intersection(jobs);
                    all += jobs.len();
                    ended += jobs.len() - live.len();
                }
            }
        }
        Ok((ended, all))
    }

    /// Waits for the selected jobs; `look` sees the numbers of ended and of all jobs whenever they may have
    /// changed.
    ///
    /// # Errors
    /// Where the store cannot be read or no runner can be started.
    pub fn wait(
        &mut self,
        selected: &[Selection],
        until: Until,
        timeout: Option<Duration>,
        lend: Option<&Lender>,
        mut look: impl FnMut(u64, u64),
    ) -> Result<Waited, ClientError> {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let batches: Vec<_> = selected.iter().map(|selection| selection.batch).collect();
        let mut watch: Option<Watch> = None;
        loop {
            let (ended, all) = self.progress(selected)?;
            look(ended, all);
            if ended == all || (until == Until::Any && ended > 0) {
                return Ok(Waited::Done);
            }
            let left = match deadline {
                None => Duration::from_secs(3600),
                Some(deadline) => deadline.saturating_duration_since(Instant::now()),
            };
            if left.is_zero() {
                return Ok(Waited::TimedOut);
            }
            match &mut watch {
                // Looked before the watch stood: what ended in between is seen at the next look.
                None => watch = Some(self.watch(&batches, lend)?),
                Some(open) => {
                    let elsewhere = self.is_elsewhere(&batches)?;
                    let patience = if elsewhere { left.min(ELSEWHERE) } else { left };
                    if open.news_within(patience).is_err() {
                        // The runner ended or was killed: the next one goes on with the jobs.
                        watch = None;
                    }
                }
            }
        }
    }

    /// Waits until all jobs of these batches have ended.
    ///
    /// # Errors
    /// As [`Self::wait`].
    pub fn wait_all(&mut self, batches: &[BatchId]) -> Result<(), ClientError> {
        let selected: Vec<_> = batches.iter().map(|&batch| Selection { batch, jobs: None }).collect();
        self.wait(&selected, Until::All, None, None, |_, _| {}).map(drop)
    }

    /// Whether some of these batches belong to another machine, or to a process that runs them itself: of
    /// them our runner has no news.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn is_elsewhere(&mut self, batches: &[BatchId]) -> Result<bool, ClientError> {
        let here = Owner::runner();
        for &batch in batches {
            if self.batch(batch)?.owner.is_some_and(|owner| Owner::parse(&owner) != here) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
