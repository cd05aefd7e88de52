//! Waiting for jobs of schedulers: a look at the shared snapshot at its pace, records in between.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use cluster_core::{BatchId, JobId, JobState, Timestamp};
use cluster_jobsdb::JobQuery;

use crate::client::Client;
use crate::error::ClientError;
use crate::scheduler::conclude::{Known, conclude};
use crate::scheduler::follow::Refresh;
use crate::scheduler::record::Record;
use crate::system::Pace;
use crate::watch::LIVE;

/// Records of the jobs that are waited for are looked at so often, where they are few.
pub const TICK: Duration = Duration::from_secs(1);

/// More jobs than these are followed by the queue alone.
const FEW: u64 = 64;

/// An end that is not good as the job's own record has it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct BadEnd {
    job: JobId,
    run: u32,
    at: Option<Timestamp>,
    /// When the submit command had returned: a look at the queue from before says nothing of the job.
    sent: Timestamp,
}

/// Follows some batches of schedulers, from tick to tick.
#[derive(Debug)]
pub struct Ticker {
    pace: Pace,
    next: Instant,
    told: HashSet<String>,
    troubled: bool,
    /// Ends that are not good, for which the scheduler was asked already.
    asked: HashSet<BadEnd>,
    /// The wait until it is asked again for such an end, doubled each time.
    hurry: Duration,
}

impl Ticker {
    /// The first tick looks at once.
    pub fn new(poll: Duration) -> Self {
        Self {
            pace: Pace::new(poll),
            next: Instant::now(),
            told: HashSet::new(),
            troubled: false,
            asked: HashSet::new(),
            hurry: TICK,
        }
    }

    /// Looks, if it is time, and says once what a person who waits should know.
    ///
    /// # Errors
    /// Where the store or the files fail.
    pub fn tick(
        &mut self,
        client: &mut Client,
        batches: &[BatchId],
        say: &mut dyn FnMut(&str),
    ) -> Result<(), ClientError> {
        let ends = client.take_records(batches)?;
        let now = Instant::now();
        // For a bad end the scheduler is asked at once, and then ever more seldom until it tells.
        let hurry = ends.iter().any(|end| !self.asked.contains(end));
        if now < self.next && !hurry {
            return Ok(());
        }
        let waiting = !ends.is_empty();
        self.hurry = if hurry { TICK } else { (self.hurry * 2).min(self.pace.interval()) };
        let mut max_age = if waiting { self.hurry } else { self.pace.interval() };
        if let Some(sent) = ends.iter().map(|end| end.sent).max() {
            max_age = max_age.min(Timestamp::now().since(sent));
        }
        let report = client.refresh(Refresh { batches: Some(batches), max_age, insist: false })?;
        if report.changed {
            self.pace.changed();
        } else if !waiting {
            self.pace.unchanged();
        }
        // Where nobody answered the question is still open.
        if report.trouble.is_empty() {
            self.asked.extend(ends);
        }
        let interval = match (report.busy, waiting) {
            (true, _) => TICK,
            (false, true) => self.hurry,
            (false, false) => self.pace.interval(),
        };
        self.next = Instant::now() + interval.min(Duration::from_secs(60));
        for (system, error) in &report.trouble {
            // While it backs off the reason stays the same but for its seconds.
            if !self.troubled {
                say(&format!(
                    "{system} cannot be asked ({}); the jobs go on, and so does this",
                    error.brief()
                ));
            }
        }
        if self.troubled && report.trouble.is_empty() {
            say("it answers again");
        }
        self.troubled = !report.trouble.is_empty();
        for &batch in batches {
            let row = client.batch(batch)?;
            let held = row.count_of(JobState::Held);
            if held > 0 && held == row.unfinished() && client.is_held_for_good(batch)? {
                let text = format!("batch {batch} is held: `cluster release {batch}` lets it go");
                if self.told.insert(text.clone()) {
                    say(&text);
                }
            }
        }
        // Of jobs that nobody waits for here others are told.
        let stuck = report.stuck.iter().filter(|(job, ..)| batches.contains(&job.batch));
        let stuck = stuck.map(|(job, count, reason)| match count {
            1 => format!("job {job} waits: {reason}"),
            _ => format!("{count} jobs of batch {} wait: {reason}", job.batch),
        });
        let told = report.told.iter().filter(|(batch, _)| batch.is_none_or(|batch| batches.contains(&batch)));
        for text in stuck.chain(told.map(|(_, text)| text.clone())) {
            if self.told.insert(text.clone()) {
                say(&text);
            }
        }
        Ok(())
    }
}

impl Client {
    /// Takes in what the records of jobs say, where they are few: a success needs no scheduler. Those that ended
    /// in another way: of them the scheduler should be asked soon.
    pub(super) fn take_records(&mut self, batches: &[BatchId]) -> Result<Vec<BadEnd>, ClientError> {
        let mut ends = Vec::new();
        for &batch in batches {
            let row = self.batch(batch)?;
            if row.is_finished() || row.unfinished() > FEW {
                continue;
            }
            let Ok(system) = self.system(&row.system) else { continue };
            let live = self.store()?.indices_in(batch, &LIVE)?;
            let query = JobQuery { jobs: Some(live), limit: u32::MAX, ..JobQuery::default() };
            let jobs = self.store()?.jobs(batch, &query)?;
            let chunks = self.store()?.chunks(batch)?;
            let layout = self.layout().clone();
            let mut changes = Vec::new();
            for job in &jobs {
                let Some(chunk) = chunks.iter().find(|chunk| chunk.k == job.k && chunk.remote.is_some())
                else {
                    continue;
                };
                let Ok(record) = Record::read(&layout, job.id, job.k) else { continue };
                let record = record.of_run(chunk, job);
                let known = Known { system: &system, chunk, layout: &layout, job, record: &record };
                if record.is_plain() || (record.is_over() && job.cancel_requested.is_some()) {
                    changes.extend(conclude(&known, &[]));
                } else if record.is_over() {
                    let sent = chunk.sent.unwrap_or_default();
                    ends.push(BadEnd { job: job.id, run: job.run, at: record.over_at(), sent });
                } else {
                    changes.extend(known.begun());
                }
            }
            if !changes.is_empty() {
                self.store()?.apply(&changes)?;
                self.close_ended(&system, &chunks)?;
            }
        }
        Ok(ends)
    }

    /// Whether held jobs of a batch are there to stay: not those whose end was asked for.
    fn is_held_for_good(&mut self, batch: BatchId) -> Result<bool, ClientError> {
        let query = JobQuery { states: Some(vec![JobState::Held]), limit: 1_000, ..JobQuery::default() };
        Ok(self.store()?.jobs(batch, &query)?.iter().any(|job| job.cancel_requested.is_none()))
    }

    /// Jobs of these batches that have been suspended, or in a state that nobody knows, for longer than
    /// `limit`, with the scheduler's word for it.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn uncertain(
        &mut self,
        batches: &[BatchId],
        limit: Duration,
    ) -> Result<Vec<(JobId, String)>, ClientError> {
        // One that is held with a reason has an error that somebody must clear.
        let states = Some(vec![JobState::Suspended, JobState::Unknown, JobState::Held]);
        let now = Timestamp::now();
        let mut found = Vec::new();
        for &batch in batches {
            let query = JobQuery { states: states.clone(), limit: 1_000, ..JobQuery::default() };
            for job in self.store()?.jobs(batch, &query)? {
                let stays = job.state != JobState::Held || job.reason.is_some();
                if stays && now.since(job.changed) >= limit {
                    let state = job.state.to_string();
                    found.push((job.id, job.reason.map_or(state.clone(), |raw| format!("{state} ({raw})"))));
                }
            }
        }
        Ok(found)
    }
}
