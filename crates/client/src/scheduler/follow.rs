//! Following: what the scheduler and the records say of our jobs goes into the store.

use std::collections::HashMap;
use std::time::Duration;

use cluster_core::dialect::{Row, Whose};
use cluster_core::{BatchId, ExitStatus, IndexSet, JobId, JobState, Timestamp};
use cluster_jobsdb::{ChunkRow, JobChange, JobQuery, JobRow, RunRecord, Unstarted};

use crate::client::Client;
use crate::error::ClientError;
use crate::scheduler::conclude::{Ask, Known, closed_run, conclude, lost, remove_empty_logs};
use crate::scheduler::fold::{Shown, is_stuck, sort};
use crate::scheduler::record::Record;
use crate::system::{Snapshot, System, SystemError};
use crate::watch::LIVE;

/// How a refresh looks.
#[derive(Debug, Clone, Copy)]
pub struct Refresh<'a> {
    /// At these batches alone; `None`: at all that have not ended.
    pub batches: Option<&'a [BatchId]>,
    /// A snapshot of the queue that is not older is good enough.
    pub max_age: Duration,
    /// Asks also where the last query failed a moment ago: a person waits.
    pub insist: bool,
}

/// What a refresh came to.
#[derive(Debug, Default)]
pub struct Refreshed {
    /// The systems that could not be asked, and why. Nothing changed for their jobs but by their records.
    pub trouble: Vec<(String, SystemError)>,
    /// Jobs that may wait for ever, and the scheduler's reason.
    pub stuck: Vec<(JobId, String)>,
    /// What became of submissions that had been left open, for people.
    pub told: Vec<String>,
    /// Whether something in the store changed.
    pub changed: bool,
}

/// Records of jobs that the queue shows running are looked at only where they are so few.
const FEW: usize = 256;

/// Somebody who waits for some of more submissions than this looks at those alone.
const MANY: usize = 256;

impl Client {
    /// Looks at the schedulers and the records of jobs that have not ended.
    ///
    /// # Errors
    /// Where the store or the files fail. A scheduler that does not answer is told in the result.
    pub fn refresh(&mut self, how: Refresh<'_>) -> Result<Refreshed, ClientError> {
        let mut report = Refreshed::default();
        let names = match how.batches {
            None => self.store()?.open_systems()?,
            Some(batches) => {
                let mut names = Vec::new();
                for &batch in batches {
                    let row = self.batch(batch)?;
                    if row.scheduler != "local" && !row.is_finished() && !names.contains(&row.system) {
                        names.push(row.system);
                    }
                }
                names
            }
        };
        for name in names {
            let mut chunks = self.store()?.open_chunks(&name)?;
            // One answer is good for all jobs it speaks of; very many of them would keep a waiting process busy.
            if let Some(batches) = how.batches
                && chunks.len() > MANY
            {
                chunks.retain(|chunk| batches.contains(&chunk.batch));
            }
            if chunks.is_empty() {
                continue;
            }
            match self.system(&name) {
                Ok(system) => self.refresh_system(&system, chunks, how, &mut report)?,
                Err(ClientError::System(error)) => report.trouble.push((name, error)),
                Err(error) => return Err(error),
            }
        }
        Ok(report)
    }

    fn refresh_system(
        &mut self,
        system: &System,
        chunks: Vec<ChunkRow>,
        how: Refresh<'_>,
        report: &mut Refreshed,
    ) -> Result<(), ClientError> {
        let (sent, open): (Vec<_>, Vec<_>) = chunks.into_iter().partition(|chunk| chunk.remote.is_some());
        let user = [system.user().to_owned()];
        let whose = Whose::Users(&user);
        let since = Timestamp(
            Timestamp::now().0.saturating_sub(i64::try_from(how.max_age.as_micros()).unwrap_or(i64::MAX)),
        );
        let snapshot = if how.insist { system.queue_now(whose, since) } else { system.queue(whose, since) };
        let snapshot = snapshot.and_then(|snapshot| {
            snapshot.jobs(system)?;
            Ok(snapshot)
        });
        let snapshot = match snapshot {
            Ok(snapshot) => Some(snapshot),
            Err(error) => {
                report.trouble.push((system.name().to_owned(), error));
                None
            }
        };
        // Who cannot be asked cannot be sent anything either.
        for chunk in open.iter().filter(|_| snapshot.is_some()) {
            let before = report.trouble.len();
            self.settle(system, chunk, report)?;
            if report.trouble.len() > before {
                break;
            }
        }
        let jobs = snapshot.as_ref().map(|snapshot| snapshot.jobs(system)).transpose();
        let jobs = jobs.map_err(ClientError::System)?.unwrap_or_default();
        for error in &jobs.errors {
            tracing::warn!("system {}: {error}", system.name());
        }
        let mut rows: HashMap<&str, Vec<&Row<'_>>> = HashMap::new();
        for row in &jobs.rows {
            rows.entry(&row.job).or_default().push(row);
        }
        let mut asks = Vec::new();
        for (i, chunk) in sent.iter().enumerate() {
            let mut live = self.store()?.indices_in(chunk.batch, &LIVE)?.intersection(&chunk.jobs);
            for later in sent[i + 1..].iter().chain(&open) {
                if later.batch == chunk.batch && later.k > chunk.k {
                    live = live.difference(&later.jobs);
                }
            }
            if live.is_empty() {
                self.close(system, chunk)?;
                continue;
            }
            let remote = chunk.remote.as_ref().map_or("", |id| id.0.as_str());
            // A snapshot says nothing of what was sent after its query began.
            let speaks =
                snapshot.as_ref().filter(|snapshot| chunk.sent.is_some_and(|sent| sent < snapshot.began));
            let rows = rows.get(remote).map_or(&[][..], Vec::as_slice);
            self.follow_chunk(
                system,
                chunk,
                &live,
                speaks.map(|snapshot| (snapshot, rows)),
                &mut asks,
                report,
            )?;
        }
        self.ask_accounting(system, &sent, asks, report)?;
        if report.changed {
            self.close_ended(system, &sent)?;
        }
        Ok(())
    }

    /// Closes those submissions whose batch is over.
    pub(crate) fn close_ended(&mut self, system: &System, chunks: &[ChunkRow]) -> Result<(), ClientError> {
        for chunk in chunks {
            if !chunk.over && self.batch(chunk.batch)?.is_finished() {
                self.close(system, chunk)?;
            }
        }
        Ok(())
    }

    /// A submission whose jobs have all ended: there is nothing to follow, and no log without a word.
    fn close(&mut self, system: &System, chunk: &ChunkRow) -> Result<(), ClientError> {
        self.store()?.mark_over(chunk.batch, chunk.k)?;
        remove_empty_logs(system, self.layout(), chunk);
        Ok(())
    }

    /// Takes in what a snapshot (none: nothing is known of the queue) and the records say of one chunk.
    fn follow_chunk<'c>(
        &mut self,
        system: &System,
        chunk: &'c ChunkRow,
        live: &IndexSet,
        snapshot: Option<(&Snapshot, &[&'c Row<'c>])>,
        asks: &mut Vec<Ask<'c>>,
        report: &mut Refreshed,
    ) -> Result<(), ClientError> {
        let first_task = system.dialect().capabilities().first_task;
        let shown = match snapshot {
            Some((_, rows)) => sort(chunk, first_task, rows, live),
            None => Shown { absent: live.clone(), ..Shown::default() },
        };
        let mut changes = Vec::new();
        for (state, row, here) in &shown.waiting {
            self.take_waiting(
                chunk,
                *state,
                row,
                here,
                snapshot.map(|(s, _)| s.began),
                &mut changes,
                report,
            )?;
        }
        let looked: IndexSet = shown.single.keys().copied().collect::<IndexSet>().union(&shown.absent);
        if !looked.is_empty() {
            let query = JobQuery { jobs: Some(looked), limit: u32::MAX, ..JobQuery::default() };
            let layout = self.layout().clone();
            let mut found_again = IndexSet::new();
            let mut gone = IndexSet::new();
            let few = shown.single.len() <= FEW;
            for job in self.store()?.jobs(chunk.batch, &query)? {
                let row = shown.single.get(&job.id.index).copied();
                let read = row.is_none_or(|row| few || row.state.is_end());
                let record = if read {
                    Record::read(&layout, job.id, chunk.k).map_err(|e| {
                        ClientError::file(
                            "read",
                            layout.job_file(job.id.batch, job.id.index, chunk.k, "status"),
                            e,
                        )
                    })?
                } else {
                    Record::default()
                };
                let known = Known { system, chunk, layout: &layout, job: &job, record: &record };
                match row {
                    // Alive, as the scheduler sees it; a record of success is enough all the same.
                    Some(row) if !row.state.is_end() && !record.is_plain() => {
                        if job.missing_since.is_some() {
                            found_again.insert(job.id.index);
                        }
                        changes.extend(known.alive(row, snapshot.map_or(Timestamp(0), |(s, _)| s.began)));
                    }
                    _ if record.is_plain() || (job.cancel_requested.is_some() && record.is_over()) => {
                        changes.extend(conclude(&known, row.filter(|row| row.state.is_end())));
                    }
                    // The queue names the cause of some ends; of the others the accounting may.
                    Some(row) if row.cause.is_some() || row.status.is_some_and(ExitStatus::is_success) => {
                        changes.extend(conclude(&known, Some(row)));
                    }
                    Some(row) => asks.push(Ask { chunk, job, record, row: Some(row) }),
                    // Without a word of the queue, only records speak.
                    None if snapshot.is_none() => changes.extend(known.begun()),
                    None => {
                        if job.missing_since.is_none() && !record.is_over() {
                            gone.insert(job.id.index);
                        }
                        asks.push(Ask { chunk, job, record, row: None });
                    }
                }
            }
            if let Some((snapshot, _)) = snapshot {
                if !gone.is_empty() {
                    self.store()?.set_missing(chunk.batch, &gone, Some(snapshot.began))?;
                }
                if !found_again.is_empty() {
                    self.store()?.set_missing(chunk.batch, &found_again, None)?;
                }
            }
        }
        report.changed |= !changes.is_empty();
        self.store()?.apply(&changes)?;
        Ok(())
    }

    /// Jobs that the queue shows waiting.
    #[allow(clippy::too_many_arguments)]
    fn take_waiting(
        &mut self,
        chunk: &ChunkRow,
        state: JobState,
        row: &Row<'_>,
        here: &IndexSet,
        began: Option<Timestamp>,
        changes: &mut Vec<JobChange>,
        report: &mut Refreshed,
    ) -> Result<(), ClientError> {
        let batch = chunk.batch;
        let now = Timestamp::now();
        let (other, to): (&[JobState], _) = if state == JobState::Held {
            (&[JobState::Queued, JobState::Submitting], Unstarted::Held)
        } else {
            (&[JobState::Held, JobState::Submitting], Unstarted::Queued)
        };
        let moved = self.store()?.indices_in(batch, other)?.intersection(here);
        if !moved.is_empty() {
            report.changed |= self.store()?.set_unstarted(batch, Some(&moved), &to, now)? > 0;
        }
        // Started before, and waiting again: a requeue is a new run.
        let started = [JobState::Running, JobState::Suspended, JobState::Unknown];
        let again = self.store()?.indices_in(batch, &started)?.intersection(here);
        if !again.is_empty() {
            let layout = self.layout().clone();
            let query = JobQuery { jobs: Some(again), limit: u32::MAX, ..JobQuery::default() };
            for job in self.store()?.jobs(batch, &query)? {
                if began.is_none_or(|began| began <= job.changed) || job.state == JobState::Unknown {
                    continue;
                }
                let record = Record::read(&layout, job.id, chunk.k).unwrap_or_default();
                let restarts = record.runs.max(row.restarts.unwrap_or(0)).max(1);
                let run = (chunk.runs.of(job.id.index).unwrap_or(1) + restarts).max(job.run + 1);
                changes.push(closed_run(&job, now));
                changes.push(JobChange {
                    reason: Some(row.reason.clone().into_owned()),
                    ..JobChange::new(job.id, chunk.k, run, state, now)
                });
            }
        }
        if is_stuck(row)
            && let Some(index) = here.first()
        {
            let id = JobId { batch, index };
            let reason = row.reason.clone().into_owned();
            let known = self.store()?.job(id)?;
            if let Some(job) = known.filter(|job| job.reason.as_deref() != Some(&reason)) {
                let reason = Some(reason.clone());
                changes.push(JobChange { reason, ..JobChange::new(id, chunk.k, job.run, state, now) });
            }
            report.stuck.push((id, reason));
        }
        Ok(())
    }

    /// Asks the accounting, in as few calls as can be, for jobs that left the queue without a good end.
    fn ask_accounting(
        &mut self,
        system: &System,
        chunks: &[ChunkRow],
        mut asks: Vec<Ask<'_>>,
        report: &mut Refreshed,
    ) -> Result<(), ClientError> {
        if asks.is_empty() {
            return Ok(());
        }
        // One process asks for a batch at a time; the others find its answer in the store.
        let mut locks = HashMap::new();
        for ask in &asks {
            let batch = ask.chunk.batch;
            locks.entry(batch).or_insert_with(|| self.lock(batch));
        }
        asks.retain(|ask| matches!(locks.get(&ask.chunk.batch), Some(Some(_))));
        let mut fresh = Vec::with_capacity(asks.len());
        for ask in asks {
            // It may have been settled while we waited for our turn.
            if let Some(job) = self.store()?.job(ask.job.id)?.filter(|job| !job.state.is_end()) {
                fresh.push(Ask { job, ..ask });
            }
        }
        let asks = fresh;
        if asks.is_empty() {
            return Ok(());
        }
        let answers = self.account(system, chunks, &asks);
        let answered = match &answers {
            Ok(_) => true,
            Err(error) => {
                tracing::info!("system {}: {error}", system.name());
                false
            }
        };
        let answers = answers.unwrap_or_default();
        let first_task = system.dialect().capabilities().first_task;
        let mut ends: HashMap<(String, Option<u32>), (Row<'_>, Timestamp)> = HashMap::new();
        for answer in &answers {
            let jobs = answer.jobs(system).map_err(ClientError::System)?;
            for row in jobs.rows.into_iter().filter(|row| row.state.is_end()) {
                let task = match row.tasks {
                    cluster_core::dialect::Tasks::One(task) => Some(task),
                    cluster_core::dialect::Tasks::Single => None,
                    _ => continue,
                };
                // The last record of a job is that of its last run.
                ends.insert((row.job.clone().into_owned(), task), (row, answer.began));
            }
        }
        let layout = self.layout().clone();
        let (mut changes, mut records) = (Vec::new(), Vec::new());
        for Ask { chunk, job, record, row } in &asks {
            let task =
                chunk.array.then(|| crate::scheduler::positions::position_of(&chunk.jobs, job.id.index));
            let task = task.flatten().map(|position| position + first_task);
            let remote = chunk.remote.as_ref().map(|id| id.0.clone()).unwrap_or_default();
            let end = ends.get(&(remote, task));
            let known = Known { system, chunk, layout: &layout, job, record };
            let change = match end {
                Some((row, _)) => conclude(&known, Some(row)),
                None if row.is_some() => conclude(&known, *row),
                None => known.without_accounting(answered),
            };
            if let (Some((row, at)), Some(change)) = (end, &change)
                && !row.text.is_empty()
            {
                records.push(RunRecord {
                    job: job.id,
                    run: change.run,
                    source: "accounting".to_owned(),
                    at: *at,
                    text: row.text.as_bytes().to_vec(),
                });
            }
            let change = change.or_else(|| lost(&known, self.scheduling().lost_after));
            changes.extend(change);
        }
        report.changed |= !changes.is_empty();
        self.store()?.apply(&changes)?;
        self.store()?.set_records(&records)?;
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
                let position = crate::scheduler::positions::position_of(&chunk.jobs, job.id.index);
                ids.extend(position.map(|position| system.dialect().element(remote, position)));
            }
        }
        // A clock that differs by minutes must not hide a job.
        let since = Timestamp(since.0.saturating_sub(3_600_000_000));
        system.accounting(&ids, since)
    }
}
