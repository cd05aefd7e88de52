//! What a snapshot of the queue, and the jobs' own records, say of one submission goes into the store.

use std::collections::HashMap;
use std::time::Duration;

use cluster_core::dialect::Row;
use cluster_core::{ExitStatus, IndexSet, JobId, JobState, Timestamp};
use cluster_jobsdb::{ChunkRow, JobChange, JobQuery, JobRow, RunRecord, Unstarted};

use crate::client::Client;
use crate::error::ClientError;
use crate::scheduler::conclude::{Ask, Known, closed_run, conclude};
use crate::scheduler::fold::{Shown, is_stuck, may_be_busy, sort};
use crate::scheduler::follow::Refreshed;
use crate::scheduler::record::Record;
use crate::system::System;

/// Records of jobs that the queue shows running are looked at only where they are so few.
const FEW: usize = 256;

/// A reason that may be no more than a busy queue is told when it has been so for this long.
const BUSY: Duration = Duration::from_secs(60);

/// What a snapshot says of one submission.
pub(crate) struct Told<'o, 'r> {
    /// When its query began.
    pub(crate) began: Timestamp,
    /// Its rows.
    pub(crate) rows: &'r [&'o Row<'o>],
    /// Whether all records of the answer could be read: else absence means nothing.
    pub(crate) whole: bool,
}

impl Client {
    /// Takes in what a snapshot (none: nothing is known of the queue) and the records say of one chunk.
    pub(crate) fn follow_chunk<'c>(
        &mut self,
        system: &System,
        chunk: &'c ChunkRow,
        live: &IndexSet,
        told: Option<Told<'c, '_>>,
        asks: &mut Vec<Ask<'c>>,
        report: &mut Refreshed,
    ) -> Result<(), ClientError> {
        let first_task = system.dialect().capabilities().first_task;
        let shown = match &told {
            Some(told) => sort(chunk, first_task, told.rows, live),
            None => Shown { absent: live.clone(), ..Shown::default() },
        };
        let began = told.as_ref().map(|told| told.began);
        let (mut changes, mut records) = (Vec::new(), Vec::new());
        for (state, row, here) in grouped(&shown.waiting) {
            self.take_waiting(chunk, state, row, &here, began, &mut changes, report)?;
        }
        self.seen_again(chunk, &shown)?;
        let looked: IndexSet = shown.single.keys().copied().collect::<IndexSet>().union(&shown.absent);
        if !looked.is_empty() {
            let query = JobQuery { jobs: Some(looked), limit: u32::MAX, ..JobQuery::default() };
            let layout = self.layout().clone();
            let mut gone = IndexSet::new();
            let few = shown.single.len() <= FEW;
            for job in self.store()?.jobs(chunk.batch, &query)? {
                let row = shown.single.get(&job.id.index).copied();
                let read = row.is_none_or(|row| few || row.state.is_end());
                let record = if read {
                    // One that cannot be read now says nothing now.
                    Record::read(&layout, job.id, chunk.k).unwrap_or_default().of_run(chunk, &job)
                } else {
                    Record::default()
                };
                let known = Known { system, chunk, layout: &layout, job: &job, record: &record };
                match row {
                    // Alive, as the scheduler sees it; a record of success is enough all the same.
                    Some(row) if !row.state.is_end() && !record.is_plain() => {
                        changes.extend(known.alive(row, began.unwrap_or_default()));
                    }
                    _ if record.is_plain() || (job.cancel_requested.is_some() && record.is_over()) => {
                        let ended = row.filter(|row| row.state.is_end());
                        changes.extend(conclude(&known, ended.as_slice()));
                    }
                    // The queue names the cause of some ends; of the others the accounting may.
                    Some(row) if row.cause.is_some() || row.status.is_some_and(ExitStatus::is_success) => {
                        let change = conclude(&known, &[row]);
                        records.extend(change.as_ref().and_then(|change| kept(change, row, "queue", began)));
                        changes.extend(change);
                    }
                    Some(row) => asks.push(Ask { chunk, job, record, row: Some(row) }),
                    // Without a word of the queue, only records speak.
                    None if told.is_none() => changes.extend(known.begun()),
                    // Lost already, and still without a word.
                    None if job.state.is_end() && !record.is_over() => {}
                    None => {
                        if job.missing_since.is_none() && !record.is_over() {
                            gone.insert(job.id.index);
                        }
                        asks.push(Ask { chunk, job, record, row: None });
                    }
                }
            }
            // What could not be read may have been of them.
            if let Some(told) = told.as_ref().filter(|told| told.whole && !gone.is_empty()) {
                self.store()?.set_missing(chunk.batch, &gone, Some(told.began))?;
            }
        }
        report.changed |= !changes.is_empty();
        self.store()?.apply(&changes)?;
        self.store()?.set_records(&records)?;
        Ok(())
    }

    /// Jobs that had been missing, and are shown again.
    fn seen_again(&mut self, chunk: &ChunkRow, shown: &Shown<'_, '_>) -> Result<(), ClientError> {
        let missing = self.store()?.missing(chunk.batch)?;
        let again = missing.intersection(&chunk.jobs).difference(&shown.absent);
        if !again.is_empty() {
            self.store()?.set_missing(chunk.batch, &again, None)?;
        }
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
        // What is known to be held stays so where the scheduler may not show it.
        let (other, to): (&[JobState], _) = if state == JobState::Held {
            (&[JobState::Queued, JobState::Submitting], Unstarted::Held)
        } else if row.may_be_held {
            (&[JobState::Submitting], Unstarted::Queued)
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
        if (is_stuck(row) || row.uncertain)
            && let Some(index) = here.first()
        {
            let id = JobId { batch, index };
            let reason = if row.reason.is_empty() { &row.raw_state } else { &row.reason };
            let reason = reason.clone().into_owned();
            let known = self.store()?.job(id)?;
            let same = |job: &JobRow| {
                // What is free changes from moment to moment, the kind of reason does not.
                let kind = |text: &str| text.split('(').next().unwrap_or_default().to_owned();
                job.reason.as_deref().is_some_and(|known| kind(known) == kind(&reason))
            };
            let known_since = known.as_ref().filter(|job| same(job)).map(|job| job.changed);
            if let Some(job) = known.filter(|job| !same(job)) {
                let reason = Some(reason.clone());
                changes.push(JobChange { reason, ..JobChange::new(id, chunk.k, job.run, state, now) });
            }
            // Said at once where it is certain, else when it has been so for some time.
            let since = known_since.map_or(Duration::ZERO, |since| now.since(since));
            if !may_be_busy(row) || since >= BUSY {
                report.stuck.push((id, here.len(), reason));
            }
        }
        Ok(())
    }
}

/// Ranges of indices, in any order.
type Ranges = Vec<(u32, u32)>;

/// Waiting jobs with the same state and reason in one: a scheduler may show each element in a row of its own.
fn grouped<'r, 'o>(waiting: &[(JobState, &'r Row<'o>, IndexSet)]) -> Vec<(JobState, &'r Row<'o>, IndexSet)> {
    let mut places: HashMap<(JobState, &str, &str, bool), usize> = HashMap::new();
    let mut groups: Vec<(JobState, &'r Row<'o>, Ranges)> = Vec::new();
    for (state, row, here) in waiting {
        let reason = if is_stuck(row) || row.uncertain { &*row.reason } else { "" };
        let key = (*state, reason, &*row.raw_state, row.restarts.unwrap_or(0) > 0);
        let place = *places.entry(key).or_insert_with(|| {
            groups.push((*state, row, Vec::new()));
            groups.len() - 1
        });
        groups[place].2.extend_from_slice(here.ranges());
    }
    groups.into_iter().map(|(state, row, ranges)| (state, row, ranges.into_iter().collect())).collect()
}

/// The scheduler's own record of an end, to be kept.
pub(crate) fn kept(
    change: &JobChange,
    row: &Row<'_>,
    source: &str,
    at: Option<Timestamp>,
) -> Option<RunRecord> {
    (!row.text.is_empty()).then(|| RunRecord {
        job: change.job,
        run: change.run,
        source: source.to_owned(),
        at: at.unwrap_or_default(),
        text: row.text.as_bytes().to_vec(),
    })
}
