//! The accounting is asked for jobs that left the queue without a good end.

use std::collections::HashMap;

use cluster_core::dialect::{Row, Tasks};
use cluster_core::{BatchId, Cause, JobIndex, JobState, Timestamp};
use cluster_jobsdb::{ChunkRow, JobRow};

use crate::client::Client;
use crate::error::ClientError;
use crate::scheduler::conclude::{Ask, Known, conclude, lost};
use crate::scheduler::find::is_about;
use crate::scheduler::follow::Refreshed;
use crate::scheduler::positions::position_of;
use crate::scheduler::record::Record;
use crate::scheduler::take::kept;
use crate::system::{Snapshot, System, SystemError};

impl Client {
    /// Asks the accounting, in as few calls as can be, for jobs that left the queue without a good end.
    pub(crate) fn ask_accounting(
        &mut self,
        system: &System,
        chunks: &[ChunkRow],
        asks: Vec<Ask<'_>>,
        report: &mut Refreshed,
    ) -> Result<(), ClientError> {
        if asks.is_empty() {
            return Ok(());
        }
        let mut fresh = Vec::with_capacity(asks.len());
        for ask in asks {
            // It may have been settled while we waited for our turn.
            if let Some(job) = self
                .store()?
                .job(ask.job.id)?
                .filter(|job| !job.state.is_end() || job.cause == Some(Cause::Lost))
            {
                fresh.push(Ask { job, ..ask });
            }
        }
        let asks = fresh;
        if asks.is_empty() {
            return Ok(());
        }
        let had = system.has_accounting();
        let answers = self.account(system, chunks, &asks);
        if had && !system.has_accounting() {
            report.told.push((
                None,
                format!(
                    "{} keeps no accounting: only its queue and the jobs' own records tell how they ended \
                 (`accounting: false` in its configuration saves the question)",
                    system.name()
                ),
            ));
        }
        let answered = match &answers {
            Ok(_) => true,
            Err(error) => {
                // Jobs may wait for its word: a person should know why.
                report.told.push((
                    None,
                    format!("the accounting of {} cannot be asked: {}", system.name(), error.brief()),
                ));
                false
            }
        };
        let answers = answers.unwrap_or_default();
        let first_task = system.dialect().capabilities().first_task;
        let by_id: HashMap<&str, &ChunkRow> =
            chunks.iter().filter_map(|chunk| Some((chunk.remote.as_ref()?.0.as_str(), chunk))).collect();
        let mut known: HashMap<(String, Option<u32>), (Row<'_>, Timestamp)> = HashMap::new();
        for answer in &answers {
            let jobs = answer.jobs(system).map_err(ClientError::System)?;
            for row in jobs.rows {
                let task = match row.tasks {
                    Tasks::One(task) => Some(task),
                    Tasks::Single => None,
                    _ => continue,
                };
                if !by_id.get(&*row.job).is_some_and(|chunk| is_about(&row, chunk, system.user())) {
                    continue;
                }
                // The last record of a job is that of its last run.
                known.insert((row.job.clone().into_owned(), task), (row, answer.began));
            }
        }
        let layout = self.layout().clone();
        let (mut changes, mut records) = (Vec::new(), Vec::new());
        let mut seen: HashMap<BatchId, Vec<JobIndex>> = HashMap::new();
        for Ask { chunk, job, record, row } in &asks {
            // Read again: it may have ended, and said so, between the look at its record and the answer.
            let newer = Record::read(&layout, job.id, chunk.k).map(|record| record.of_run(chunk, job));
            let record = newer.as_ref().unwrap_or(record);
            let task = chunk.array.then(|| position_of(&chunk.jobs, job.id.index));
            let task = task.flatten().map(|position| position + first_task);
            let remote = chunk.remote.as_ref().map(|id| id.0.clone()).unwrap_or_default();
            let shown = known.get(&(remote, task));
            let end = shown.filter(|(row, _)| row.state.is_end());
            let alive = shown.is_some_and(|(row, _)| !row.state.is_end() && row.state != JobState::Unknown);
            let known = Known { system, chunk, layout: &layout, job, record };
            let change = match (end, row) {
                (Some((end, _)), Some(row)) => conclude(&known, &[row, end]),
                (Some((end, _)), None) => conclude(&known, &[end]),
                (None, Some(row)) => conclude(&known, &[row]),
                (None, None) => known.without_accounting(answered),
            };
            if let (Some((row, at)), Some(change)) = (end, &change) {
                records.extend(kept(change, row, "accounting", Some(*at)));
            }
            if alive && change.is_none() {
                // Not in the queue, and the accounting says that it waits or runs: it is not gone.
                seen.entry(chunk.batch).or_default().push(job.id.index);
                continue;
            }
            changes.extend(change.or_else(|| lost(&known, self.scheduling().lost_after)));
        }
        report.changed |= !changes.is_empty();
        self.store()?.apply(&changes)?;
        self.store()?.set_records(&records)?;
        for (batch, jobs) in seen {
            self.store()?.set_missing(batch, &jobs.into_iter().collect(), None)?;
        }
        Ok(())
    }

    /// The accounting of these jobs: elements one by one where they are few, else their arrays.
    fn account(
        &self,
        system: &System,
        chunks: &[ChunkRow],
        asks: &[Ask<'_>],
    ) -> Result<Vec<Snapshot>, SystemError> {
        const ELEMENTS: usize = 20;
        let mut by_chunk: HashMap<(BatchId, u32), Vec<&JobRow>> = HashMap::new();
        for ask in asks {
            by_chunk.entry((ask.chunk.batch, ask.chunk.k)).or_default().push(&ask.job);
        }
        let mut ids = Vec::new();
        let mut since = Timestamp::now();
        for chunk in chunks {
            let Some(jobs) = by_chunk.get(&(chunk.batch, chunk.k)) else { continue };
            let Some(remote) = &chunk.remote else { continue };
            since = since.min(chunk.created);
            if !chunk.array || jobs.len() > ELEMENTS {
                ids.push(remote.clone());
                continue;
            }
            for job in jobs {
                let position = position_of(&chunk.jobs, job.id.index);
                ids.extend(position.map(|position| system.dialect().element(remote, position)));
            }
        }
        // A clock that differs by minutes must not hide a job.
        let since = Timestamp(since.0.saturating_sub(3_600_000_000));
        // Everybody who waits asks for much the same: an answer of this interval is good for all of them.
        system.accounting_shared(&ids, since, system.config().poll)
    }
}
