//! Following: what the scheduler and the records say of our jobs goes into the store.

use std::collections::HashMap;
use std::time::Duration;

use cluster_core::dialect::{Jobs, Row, Whose};
use cluster_core::{BatchId, Cause, IndexSet, JobId, Timestamp};
use cluster_jobsdb::{ChunkRow, JobQuery};

use crate::client::Client;
use crate::error::ClientError;
use crate::scheduler::conclude::remove_empty_logs;
use crate::scheduler::find::{in_records, in_rows, is_about};
use crate::scheduler::lock::FollowLock;
use crate::scheduler::send::HandedOver;
use crate::scheduler::take::Told;
use crate::system::{System, SystemError};
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
    /// Jobs that may wait for ever: the first of each kind, how many there are, and the scheduler's reason.
    pub stuck: Vec<(JobId, u64, String)>,
    /// For people: what became of submissions that had been left open, and what is to be known of a system; with
    /// the batch that it is about.
    pub told: Vec<(Option<BatchId>, String)>,
    /// Whether something in the store changed.
    pub changed: bool,
    /// Whether another process was taking an answer in just now: a look at the store tells what it came to.
    pub busy: bool,
}

/// A lost job is looked for so long by whoever refreshes.
const MAY_COME_BACK: Duration = Duration::from_secs(7 * 24 * 3600);

/// Somebody who waits for some of more submissions than this looks at those alone.
const MANY: usize = 256;

impl Client {
    /// Looks at the schedulers and the records of jobs that have not ended.
    ///
    /// # Errors
    /// Where the store or the files fail. A scheduler that does not answer is told in the result.
    pub fn refresh(&mut self, how: Refresh<'_>) -> Result<Refreshed, ClientError> {
        let mut report = Refreshed::default();
        let wanted = how.batches.map(|batches| self.with_what_they_wait_for(batches)).transpose()?;
        let names = match &wanted {
            None => self.store()?.open_systems()?,
            Some((_, names)) => names.clone(),
        };
        for name in names {
            let mut chunks = self.store()?.open_chunks(&name)?;
            // One answer is good for all jobs it speaks of; very many of them would keep a waiting process busy.
            if let Some((batches, _)) = &wanted
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
                // One that the configuration does not have any more keeps nobody from the others.
                Err(ClientError::Usage(why)) if how.batches.is_none() => report.told.push((None, why)),
                Err(error) => return Err(error),
            }
        }
        Ok(report)
    }

    /// These batches and, where some have not been sent yet, those that they wait for, and so on: whoever waits
    /// for a batch waits for all of them. And the systems of those that are not over.
    fn with_what_they_wait_for(
        &mut self,
        batches: &[BatchId],
    ) -> Result<(Vec<BatchId>, Vec<String>), ClientError> {
        let (mut all, mut names) = (batches.to_vec(), Vec::new());
        let mut next = 0;
        while let Some(&batch) = all.get(next) {
            next += 1;
            let row = self.batch(batch)?;
            if row.scheduler == "local" || row.is_finished() {
                continue;
            }
            if self.store()?.chunks(batch)?.iter().any(|chunk| chunk.remote.is_none() && !chunk.over) {
                for dependency in row.spec()?.dependencies {
                    if !all.contains(&dependency.batch) {
                        all.push(dependency.batch);
                    }
                }
            }
            if !names.contains(&row.system) {
                names.push(row.system);
            }
        }
        // What others wait for first: what it comes to may let them go in the same look.
        names.reverse();
        Ok((all, names))
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
        let snapshot = match snapshot {
            Ok(snapshot) => Some(snapshot),
            Err(error) => {
                report.trouble.push((system.name().to_owned(), error));
                None
            }
        };
        let answer = match &snapshot {
            Some(snapshot) => snapshot.jobs(system).map(|jobs| (Some(snapshot.began), jobs)),
            None => Ok((None, Jobs::default())),
        };
        let (began, jobs) = match answer {
            Ok(answer) => answer,
            Err(error) => {
                report.trouble.push((system.name().to_owned(), error));
                (None, Jobs::default())
            }
        };
        let dir = self.layout().jobs();
        let lock = if how.insist { Some(FollowLock::wait(&dir)) } else { FollowLock::take(&dir) };
        let Some(_lock) = lock else {
            report.busy = true;
            return Ok(());
        };
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
            let next = sent[i + 1..].iter().take_while(|later| later.batch == chunk.batch);
            for later in next.chain(&open) {
                if later.batch == chunk.batch && later.k > chunk.k {
                    live = live.difference(&later.jobs);
                }
            }
            if live.is_empty() {
                // Lost is an inference: what comes of such a job after all replaces it.
                live = self.lost_jobs(chunk)?;
            }
            if live.is_empty() {
                self.close(system, chunk)?;
                continue;
            }
            let remote = chunk.remote.as_ref().map_or("", |id| id.0.as_str());
            // A snapshot says nothing of what was sent after its query began.
            let began = began.filter(|began| chunk.sent.is_some_and(|sent| sent < *began));
            let rows = rows.get(remote).map_or(&[][..], Vec::as_slice);
            let rows: Vec<&Row<'_>> =
                rows.iter().copied().filter(|row| is_about(row, chunk, system.user())).collect();
            let told = began.map(|began| Told { began, rows: &rows, whole: jobs.errors.is_empty() });
            self.follow_chunk(system, chunk, &live, told, &mut asks, report)?;
        }
        self.ask_accounting(system, &sent, asks, report)?;
        if report.changed {
            self.close_ended(system, &sent)?;
        }
        if began.is_none() {
            // Who cannot be asked cannot be sent anything either.
            return Ok(());
        }
        // Last: what they wait for may have ended, and a scheduler that has forgotten it would not have them wait.
        self.settle_open(system, &open, &jobs, report)
    }

    /// Brings submissions further that have no id yet.
    fn settle_open(
        &mut self,
        system: &System,
        open: &[ChunkRow],
        jobs: &Jobs<'_>,
        report: &mut Refreshed,
    ) -> Result<(), ClientError> {
        for chunk in open {
            // Seen in the queue, or begun, it has arrived, whoever still waits for an answer to the submit command.
            if chunk.tried.is_some()
                && let Some(id) = in_rows(&jobs.rows, &chunk.tag).or_else(|| in_records(self.layout(), chunk))
            {
                let held = HandedOver::of(chunk).hold;
                self.store()?.mark_sent(chunk.batch, chunk.k, &id, Timestamp::now(), held)?;
                let text = format!("batch {} is job {id} of {}", chunk.batch, system.name());
                report.told.push((Some(chunk.batch), text));
                report.changed = true;
                self.cancel_late(system, chunk)?;
                continue;
            }
            match self.settle(system, chunk, report) {
                Ok(()) => {}
                // What is wrong with one batch is no reason to pass over the others.
                Err(ClientError::Store(error)) => return Err(ClientError::Store(error)),
                Err(error) => {
                    report.told.push((Some(chunk.batch), format!("batch {}: {error}", chunk.batch)));
                }
            }
        }
        Ok(())
    }

    /// Closes those submissions whose batch is over.
    pub(crate) fn close_ended(&mut self, system: &System, chunks: &[ChunkRow]) -> Result<(), ClientError> {
        for chunk in chunks {
            if !chunk.over && self.batch(chunk.batch)?.is_finished() && self.lost_jobs(chunk)?.is_empty() {
                self.close(system, chunk)?;
            }
        }
        Ok(())
    }

    /// The jobs of a submission that are lost, and not for so long that nothing can come of them.
    fn lost_jobs(&mut self, chunk: &ChunkRow) -> Result<IndexSet, ClientError> {
        let lost = self.store()?.lost_in(chunk.batch)?.intersection(&chunk.jobs);
        if lost.is_empty() {
            return Ok(lost);
        }
        let query = JobQuery { jobs: Some(lost), limit: u32::MAX, ..JobQuery::default() };
        let now = Timestamp::now();
        let jobs = self.store()?.jobs(chunk.batch, &query)?;
        let lost = jobs.iter().filter(|job| {
            job.cause == Some(Cause::Lost)
                && job.k == chunk.k
                && job.ended.is_none_or(|ended| now.since(ended) < MAY_COME_BACK)
        });
        Ok(lost.map(|job| job.id.index).collect())
    }

    /// A submission whose jobs have all ended: there is nothing to follow, and no log without a word.
    fn close(&mut self, system: &System, chunk: &ChunkRow) -> Result<(), ClientError> {
        self.store()?.mark_over(chunk.batch, chunk.k)?;
        remove_empty_logs(system, self.layout(), chunk);
        Ok(())
    }
}
