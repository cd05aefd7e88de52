//! Waiting for something to change, and for jobs to end.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use cluster_core::{BatchId, JobId, JobState};
use cluster_jobsdb::Selection;
use cluster_localqueue::runner::Connection;
use cluster_localqueue::runner::protocol::Reply;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::client::{Client, LOCAL, Lender};
use crate::error::ClientError;
use crate::local::Owner;
use crate::scheduler::{TICK, Ticker};

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

/// How jobs are waited for.
#[derive(Debug, Clone, Copy)]
pub struct Waiting<'a> {
    /// Where to stop.
    pub until: Until,
    /// Not longer than this.
    pub timeout: Option<Duration>,
    /// The job in which we run, and which lends its cores meanwhile.
    pub lend: Option<&'a Lender>,
    /// Stops where a job has been suspended, or in a state that nobody knows, for so long.
    pub uncertain: Option<Duration>,
}

impl Waiting<'_> {
    /// Until all have ended, for as long as it takes.
    pub const ALL: Self = Self { until: Until::All, timeout: None, lend: None, uncertain: None };
}

/// What somebody who waits is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look<'a> {
    /// So many have ended, of so many.
    Ended(u64, u64),
    /// Something that a person should know.
    Said(&'a str),
}

/// What waiting came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Waited {
    /// It is reached.
    Done,
    /// The time was over first.
    TimedOut,
    /// These jobs may never go on by themselves; with the scheduler's word for their state.
    Uncertain(Vec<(JobId, String)>),
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
    /// Where the store cannot be read or no runner can be started. A scheduler that does not answer is said,
    /// and waited for.
    pub fn wait(
        &mut self,
        selected: &[Selection],
        how: Waiting<'_>,
        mut look: impl FnMut(Look<'_>),
    ) -> Result<Waited, ClientError> {
        let deadline = how.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let (local, scheduled) = self.by_scheduler(selected.iter().map(|selection| selection.batch))?;
        let mut watch: Option<Watch> = None;
        let mut ticker = self.ticker(&scheduled)?;
        loop {
            if let Some(ticker) = &mut ticker {
                ticker.tick(self, &scheduled, &mut |text| look(Look::Said(text)))?;
            }
            let (ended, all) = self.progress(selected)?;
            look(Look::Ended(ended, all));
            if ended == all || (how.until == Until::Any && ended > 0) {
                return Ok(Waited::Done);
            }
            if let Some(limit) = how.uncertain {
                let mut uncertain = self.uncertain(&scheduled, limit)?;
                uncertain.retain(|(job, _)| selected.iter().any(|one| has(one, *job)));
                if !uncertain.is_empty() {
                    return Ok(Waited::Uncertain(uncertain));
                }
            }
            let left = match deadline {
                None => Duration::from_secs(3600),
                Some(deadline) => deadline.saturating_duration_since(Instant::now()),
            };
            if left.is_zero() {
                return Ok(Waited::TimedOut);
            }
            let patience = if ticker.is_some() { left.min(TICK) } else { left };
            if local.is_empty() {
                std::thread::sleep(patience);
                continue;
            }
            match &mut watch {
                // Looked before the watch stood: what ended in between is seen at the next look.
                None => watch = Some(self.watch(&local, how.lend)?),
                Some(open) => {
                    let elsewhere = self.is_elsewhere(&local)?;
                    let patience = if elsewhere { patience.min(ELSEWHERE) } else { patience };
                    if open.news_within(patience).is_err() {
                        // The runner ended or was killed: the next one goes on with the jobs.
                        watch = None;
                    }
                }
            }
        }
    }

    /// The batches of the local queue, and those of schedulers.
    ///
    /// # Errors
    /// Where one is not there.
    pub fn by_scheduler(
        &mut self,
        batches: impl IntoIterator<Item = BatchId>,
    ) -> Result<(Vec<BatchId>, Vec<BatchId>), ClientError> {
        let (mut local, mut scheduled) = (Vec::new(), Vec::new());
        for batch in batches {
            let to = if self.batch(batch)?.scheduler == LOCAL { &mut local } else { &mut scheduled };
            to.push(batch);
        }
        Ok((local, scheduled))
    }

    /// What follows batches of schedulers; `None` where there are none.
    ///
    /// # Errors
    /// Where one is not there.
    pub fn ticker(&mut self, batches: &[BatchId]) -> Result<Option<Ticker>, ClientError> {
        let mut poll: Option<Duration> = None;
        for &batch in batches {
            let name = self.batch(batch)?.system;
            let of_system = match self.system(&name) {
                Ok(system) => system.config().poll,
                Err(_) => Duration::from_secs(10),
            };
            poll = Some(poll.map_or(of_system, |poll| poll.min(of_system)));
        }
        Ok(poll.map(Ticker::new))
    }

    /// Waits until all jobs of these batches have ended.
    ///
    /// # Errors
    /// As [`Self::wait`].
    pub fn wait_all(&mut self, batches: &[BatchId]) -> Result<(), ClientError> {
        let selected: Vec<_> = batches.iter().map(|&batch| Selection { batch, jobs: None }).collect();
        self.wait(&selected, Waiting::ALL, |_| {}).map(drop)
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

fn has(selection: &Selection, job: JobId) -> bool {
    selection.batch == job.batch && selection.jobs.as_ref().is_none_or(|jobs| jobs.contains(job.index))
}
