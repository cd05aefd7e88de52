//! `Scheduler`: what queues and starts jobs, as the client sees it. It has effects.

use thiserror::Error;

use crate::ids::{BatchId, RemoteId, SubmissionNumber, Tag};
use crate::indices::IndexSet;
use crate::life::Observation;

/// Jobs of one batch that go out together; their script lies ready in the root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submission {
    /// The batch.
    pub batch: BatchId,
    /// The submission's number in it.
    pub k: SubmissionNumber,
    /// Its tag.
    pub tag: Tag,
    /// The jobs that go out.
    pub jobs: IndexSet,
}

/// What a scheduler made of a call.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SchedulerError {
    /// It said no, and would say no again.
    #[error("{0}")]
    Refused(String),
    /// It, or its host, is out of reach.
    #[error("{0}")]
    Unreachable(String),
    /// Whether it was done is not known; look for the tag before another try.
    #[error("{0}")]
    Uncertain(String),
}

/// A scheduler, always asked about many jobs at once.
pub trait Scheduler: Send {
    /// Hands submissions over; each gets an id or an error of its own.
    fn submit(&mut self, submissions: &[Submission]) -> Vec<Result<RemoteId, SchedulerError>>;

    /// What it knows of these jobs now.
    ///
    /// # Errors
    /// Where the query failed: it says nothing about any job then.
    fn poll(&mut self, ids: &[RemoteId]) -> Result<Vec<(RemoteId, Observation)>, SchedulerError>;

    /// Asks for the end of these jobs.
    ///
    /// # Errors
    /// Where the request did not get through.
    fn cancel(&mut self, ids: &[RemoteId]) -> Result<(), SchedulerError>;
}
