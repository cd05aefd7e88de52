//! One job in full, on demand: its usage and the scheduler's own record of it.

use std::time::{Duration, Instant};

use cluster_core::dialect::{Row, Tasks, Whose};
use cluster_core::{JobId, RemoteId, Timestamp};
use cluster_jobsdb::{ChunkRow, JobChange, JobRow, RunRecord};

use crate::client::{Client, LOCAL};
use crate::error::ClientError;
use crate::scheduler::conclude::usage;
use crate::scheduler::find::is_about;
use crate::scheduler::positions::position_of;
use crate::system::System;

/// So far behind is the accounting at most, where it is in order.
const LAG: Duration = Duration::from_secs(10);

impl Client {
    /// The scheduler's id of a job as it was last sent, and the submission; `None` for local jobs and for
    /// those that have not arrived.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn remote_of(&mut self, job: &JobRow) -> Result<Option<RemoteId>, ClientError> {
        if job.remote.is_some() {
            return Ok(job.remote.clone());
        }
        let batch = self.batch(job.id.batch)?;
        if batch.scheduler == LOCAL {
            return Ok(None);
        }
        let chunk = self.store()?.chunks(batch.id)?.into_iter().find(|chunk| chunk.k == job.k);
        let Some(chunk) = chunk else { return Ok(None) };
        // The configuration may not have it any more; what is stored is shown all the same.
        let Ok(system) = self.system(&batch.system) else { return Ok(chunk.remote) };
        Ok(remote(&system, &chunk, job))
    }

    /// Asks the accounting for an ended job's usage and record, and keeps both; what is known already is not
    /// asked for again. The record, where there is one.
    ///
    /// # Errors
    /// Where the store fails, or the accounting is out of reach.
    pub fn look_up(&mut self, id: JobId) -> Result<Option<RunRecord>, ClientError> {
        let job = self.job(id)?.row;
        let kept = self.store()?.record(id, job.run)?;
        let batch = self.batch(id.batch)?;
        if kept.is_some() || batch.scheduler == LOCAL || job.started.is_none() {
            return Ok(kept);
        }
        let chunk = self.store()?.chunks(batch.id)?.into_iter().find(|chunk| chunk.k == job.k);
        let system = self.system(&batch.system)?;
        let Some((chunk, remote)) = chunk
            .and_then(|chunk| Some((remote(&system, &chunk, &job)?, chunk)))
            .map(|(remote, chunk)| (chunk, remote))
        else {
            return Ok(None);
        };
        let first_task = system.dialect().capabilities().first_task;
        let task = chunk.array.then(|| position_of(&chunk.jobs, id.index)).flatten();
        let task = task.map(|position| position + first_task);
        let since = Timestamp(chunk.created.0.saturating_sub(3_600_000_000));
        let (mut change, mut record) = (None, None);
        // The accounting may be some seconds behind a job that has just ended.
        let fresh = job.ended.is_some_and(|ended| Timestamp::now().since(ended) < LAG);
        let deadline = Instant::now() + if fresh { LAG } else { Duration::ZERO };
        let mut answers;
        loop {
            answers = system.accounting(std::slice::from_ref(&remote), since)?;
            let known = answers.is_empty()
                || answers.iter().any(|answer| {
                    let jobs = answer.jobs(&system);
                    jobs.is_ok_and(|jobs| jobs.rows.iter().any(|row| row.state.is_end()))
                });
            if known || Instant::now() >= deadline {
                break;
            }
            std::thread::sleep(Duration::from_millis(500));
        }
        if answers.is_empty() {
            // Without accounting the queue may still show what has ended.
            let user = [system.user().to_owned()];
            // One from before the end would show it running.
            let lately = Timestamp(Timestamp::now().0.saturating_sub(5_000_000));
            let lately = job.ended.map_or(lately, |ended| lately.max(Timestamp(ended.0 + 1_000_000)));
            answers.push(system.queue_now(Whose::Users(&user), lately)?);
        }
        for answer in answers {
            let of_job = |row: &Row<'_>| {
                chunk.remote.as_ref().is_some_and(|id| row.job == id.0)
                    && is_about(row, &chunk, system.user())
                    && match row.tasks {
                        Tasks::One(one) => Some(one) == task,
                        Tasks::Single => task.is_none(),
                        _ => false,
                    }
            };
            for row in answer.jobs(&system)?.rows.iter().filter(|row| of_job(row)) {
                let known = JobChange::new(id, job.k, job.run, job.state, job.changed);
                change = usage(row).map(|usage| JobChange { usage: Some(usage), ..known });
                record = (!row.text.is_empty()).then(|| RunRecord {
                    job: id,
                    run: job.run,
                    source: answer.command_line(),
                    at: answer.began,
                    text: row.text.as_bytes().to_vec(),
                });
            }
        }
        if let Some(change) = change {
            let (cause, status, reason) = (job.cause, job.status, job.reason.clone());
            let ended = job.ended;
            self.store()?.apply(&[JobChange { cause, status, reason, ended, ..change }])?;
        }
        if let Some(record) = record.as_ref().filter(|_| job.state.is_end()) {
            self.store()?.set_records(std::slice::from_ref(record))?;
        }
        Ok(record)
    }
}

fn remote(system: &System, chunk: &ChunkRow, job: &JobRow) -> Option<RemoteId> {
    let remote = chunk.remote.as_ref()?;
    if !chunk.array {
        return Some(remote.clone());
    }
    Some(system.dialect().element(remote, position_of(&chunk.jobs, job.id.index)?))
}
