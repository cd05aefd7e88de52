//! A handle on one job, rebuilt from the store in any process.

use std::fmt;
use std::io;
use std::time::Duration;

use cluster_core::bytestring::printable;
use cluster_core::{IndexSet, JobId, JobState, Timestamp};
use cluster_jobsdb::{BatchFilter, BatchRow, JobQuery, JobRow, Selection, StoreError};
use cluster_localqueue::runner::protocol::Action;

use crate::arrival::wait_for_outputs;
use crate::client::{Again, Client, LOCAL};
use crate::error::ClientError;
use crate::output::{self, Output, Stream};
use crate::tidy::Removed;
use crate::watch::{Waited, Waiting};

/// Which jobs [`Client::jobs`] gives; the default is all.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of these batches alone.
    pub batches: BatchFilter,
    /// In one of these states.
    pub states: Option<Vec<JobState>>,
}

/// A job as it was at the last look.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// Its row.
    pub row: JobRow,
    /// Its batch's name.
    pub name: String,
    /// The system that it is for.
    pub system: String,
}

impl Job {
    fn new(row: JobRow, batch: &BatchRow) -> Self {
        Self { row, name: batch.name.clone(), system: batch.system.clone() }
    }

    /// Its id.
    pub fn id(&self) -> JobId {
        self.row.id
    }

    /// The time it ran, so far or in all.
    pub fn run_time(&self) -> Option<Duration> {
        Some(self.row.ended.unwrap_or_else(Timestamp::now).since(self.row.started?))
    }

    fn selection(&self) -> [Selection; 1] {
        let index = self.row.id.index;
        [Selection { batch: self.row.id.batch, jobs: Some(IndexSet::range(index, index + 1)) }]
    }

    /// Looks again.
    ///
    /// # Errors
    /// Where the job is not there any more.
    pub fn refresh(&mut self, client: &mut Client) -> Result<(), ClientError> {
        *self = client.job(self.id())?;
        Ok(())
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// As [`Client::wait`].
    pub fn wait(&mut self, client: &mut Client, timeout: Option<Duration>) -> Result<Waited, ClientError> {
        let waited = client.wait(&self.selection(), Waiting { timeout, ..Waiting::ALL }, |_| {})?;
        self.refresh(client)?;
        Ok(waited)
    }

    /// Asks for its end.
    ///
    /// # Errors
    /// As [`Client::act`].
    pub fn cancel(&self, client: &mut Client) -> Result<(), ClientError> {
        client.act(Action::Cancel(15), &self.selection()).map(drop)
    }

    /// Holds it, if it has not started.
    ///
    /// # Errors
    /// As [`Client::act`].
    pub fn hold(&self, client: &mut Client) -> Result<(), ClientError> {
        client.act(Action::Hold, &self.selection()).map(drop)
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// As [`Client::act`].
    pub fn release(&self, client: &mut Client) -> Result<(), ClientError> {
        client.act(Action::Release, &self.selection()).map(drop)
    }

    /// Sends it again, to where it was.
    ///
    /// # Errors
    /// As [`Client::retry`] and [`Client::resubmit_to`].
    pub fn retry(&self, client: &mut Client) -> Result<(), ClientError> {
        let batch = self.id().batch;
        let one = IndexSet::range(self.id().index, self.id().index + 1);
        let again = Again::of(client.last_spec(batch)?);
        if client.batch(batch)?.scheduler == LOCAL {
            return client.retry(batch, &one, again).map(drop);
        }
        let system = client.system(&self.system)?;
        client.resubmit_to(&system, batch, &one, &again, &mut |_| ()).map(drop)
    }

    /// One of its outputs.
    ///
    /// # Errors
    /// What the file system says.
    pub fn output(&self, client: &Client, stream: Stream) -> io::Result<Output> {
        output::open(client.layout(), self.id(), self.row.k, self.row.output.as_ref(), stream)
    }

    /// Copies one of its outputs and marks the job as collected; returns how many bytes it was. What has not arrived
    /// yet over a network file system is waited for.
    ///
    /// # Errors
    /// What the file system says, also where the output is not there in full after `patience`.
    pub fn collect(
        &mut self,
        client: &mut Client,
        stream: Stream,
        patience: Duration,
        to: &mut dyn io::Write,
    ) -> Result<u64, ClientError> {
        if let Some(late) = wait_for_outputs(client.layout(), std::slice::from_ref(&self.row), patience).pop()
        {
            return Err(ClientError::file("find all of", late, io::ErrorKind::NotFound.into()));
        }
        let path = client.layout().batch(self.id().batch);
        let copied = self.output(client, stream).and_then(|mut from| io::copy(&mut from, to));
        let bytes = copied.map_err(|e| ClientError::file("copy an output from", path, e))?;
        let one = IndexSet::range(self.id().index, self.id().index + 1);
        client.store()?.mark_collected(self.id().batch, Some(&one), Timestamp::now())?;
        self.refresh(client)?;
        Ok(bytes)
    }

    /// Removes its files; what the store knows of it stays.
    ///
    /// # Errors
    /// As [`Client::clean`].
    pub fn clean(&mut self, client: &mut Client) -> Result<Removed, ClientError> {
        let removed = client.clean(&self.selection(), false, false)?;
        self.refresh(client)?;
        Ok(removed)
    }
}

/// One line: id, name, state and cause, system, remote id, run time.
impl fmt::Display for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.row.id, printable(&self.name), self.row.state)?;
        if let Some(cause) = self.row.cause.filter(|_| self.row.state != JobState::Succeeded) {
            write!(f, " ({cause})")?;
        }
        write!(f, " {}", self.system)?;
        if let Some(remote) = &self.row.remote {
            write!(f, " {remote}")?;
        }
        if let Some(time) = self.run_time() {
            write!(f, " {:.1} s", time.as_secs_f64())?;
        }
        Ok(())
    }
}

impl Client {
    /// One job.
    ///
    /// # Errors
    /// Where it is not there.
    pub fn job(&mut self, id: JobId) -> Result<Job, ClientError> {
        let batch = self.batch(id.batch)?;
        let row = self.store()?.job(id)?.ok_or(StoreError::UnknownJob {
            batch: id.batch,
            index: id.index,
            last: i64::from(batch.count) - 1,
        })?;
        Ok(Job::new(row, &batch))
    }

    /// Handles on all jobs that the filter lets through, the newest batch first.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn jobs(&mut self, filter: &Filter) -> Result<Vec<Job>, ClientError> {
        let mut jobs = Vec::new();
        for batch in self.store()?.batches(&filter.batches, None)? {
            let query = JobQuery { states: filter.states.clone(), limit: u32::MAX, ..JobQuery::default() };
            let rows = self.store()?.jobs(batch.id, &query)?;
            jobs.extend(rows.into_iter().map(|row| Job::new(row, &batch)));
        }
        Ok(jobs)
    }
}
