//! Facts about single jobs, taken in in bulk.

use std::collections::BTreeMap;

use cluster_core::life::Evidence;
use cluster_core::{
    Cause, ExitStatus, JobId, JobIndex, JobState, RemoteId, RunNumber, SubmissionNumber, Timestamp,
};
use sqlx::SqliteConnection;

use crate::batch::{BatchRow, batch_columns};
use crate::error::StoreError;
use crate::fault::{Fault, json};
use crate::job::{JobRow, OutputPlace, Usage, job_columns, run_columns};
use crate::open::Store;
use crate::rows_sql::{Counts, UPSERT_JOBS, UPSERT_RUNS, add_counts};
use crate::statements::statements;

/// What became known of one run of one job. What is `None` is not known here and leaves what was known.
#[derive(Debug, Clone, PartialEq)]
pub struct JobChange {
    /// The job.
    pub job: JobId,
    /// The submission.
    pub k: SubmissionNumber,
    /// The run, from 1.
    pub run: RunNumber,
    /// The state it is in.
    pub state: JobState,
    /// Why it ended.
    pub cause: Option<Cause>,
    /// Its exit status.
    pub status: Option<ExitStatus>,
    /// Why it is in this state, in words.
    pub reason: Option<String>,
    /// When it came to this state.
    pub at: Timestamp,
    /// When it started.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// Where it runs.
    pub host: Option<String>,
    /// Its process there.
    pub pid: Option<u32>,
    /// The scheduler's id of it.
    pub remote: Option<RemoteId>,
    /// Where its output lies.
    pub output: Option<OutputPlace>,
    /// What it used.
    pub usage: Option<Usage>,
    /// The evidence for it; joined with what the store has.
    pub evidence: Option<Evidence>,
}

impl JobChange {
    /// That `job` came to `state` at `at`, and nothing else.
    pub fn new(job: JobId, k: SubmissionNumber, run: RunNumber, state: JobState, at: Timestamp) -> Self {
        Self {
            job,
            k,
            run,
            state,
            cause: None,
            status: None,
            reason: None,
            at,
            started: None,
            ended: None,
            host: None,
            pid: None,
            remote: None,
            output: None,
            usage: None,
            evidence: None,
        }
    }
}

statements! {
    BATCHES_IN = concat!(
        "SELECT ", batch_columns!(), " FROM batch WHERE id IN (SELECT value FROM json_each(?1))"
    );
    JOBS_IN = concat!(
        "SELECT ", job_columns!(), " FROM json_each(?1) w CROSS JOIN job j \
         ON j.batch = w.value ->> 0 AND j.idx = w.value ->> 1"
    );
    RUNS_IN = concat!(
        "SELECT ", run_columns!(), " FROM json_each(?1) w CROSS JOIN run j \
         ON j.batch = w.value ->> 0 AND j.idx = w.value ->> 1 AND j.run = w.value ->> 2"
    );
}

impl Store {
    /// Takes facts about single jobs in, in one transaction; counts are kept with them.
    ///
    /// Of each job the newest run counts; facts about an earlier one go to that. Within one run an end is
    /// only left where its cause is `lost`; a job that started does not become queued again; else the later
    /// change wins. What loses still fills in what was not known. So repeating changes is harmless. Changes
    /// of jobs that are no longer in the store are passed over: a journal may outlive its batch.
    ///
    /// # Errors
    /// Where the store cannot be written; then none was taken in.
    pub fn apply(&mut self, changes: &[JobChange]) -> Result<(), StoreError> {
        if changes.is_empty() {
            return Ok(());
        }
        self.write("record changes in", async |connection| apply(connection, changes).await)
    }
}

/// A job that changes: its row as it becomes, and what the counts have of it.
struct Slot {
    row: JobRow,
    counted: JobState,
    had_row: bool,
    dirty: bool,
}

async fn apply(connection: &mut SqliteConnection, changes: &[JobChange]) -> Result<(), Fault> {
    let batches = batches(connection, changes).await?;
    let mut slots = slots(connection, changes, &batches).await?;
    let mut earlier: BTreeMap<(JobId, RunNumber), JobRow> = BTreeMap::new();
    let mut late = Vec::new();
    for change in changes {
        let Some(slot) = slots.get_mut(&change.job) else { continue };
        if change.run < slot.row.run {
            late.push(change);
            continue;
        }
        if change.run > slot.row.run {
            let next = next_run(&slot.row, change);
            let over = std::mem::replace(&mut slot.row, next);
            if over.has_begun() {
                earlier.insert((over.id, over.run), over);
            }
            slot.dirty = true;
        }
        slot.dirty |= slot.row.take(change);
    }
    if !late.is_empty() {
        take_late(connection, &late, &mut earlier).await?;
    }

    let mut counts: BTreeMap<u64, Counts> = BTreeMap::new();
    let dirty: Vec<&JobRow> = slots.values().filter(|slot| slot.dirty).map(|slot| &slot.row).collect();
    for slot in slots.values().filter(|slot| slot.dirty) {
        let counts = counts.entry(slot.row.id.batch.0).or_default();
        counts.transfer(slot.counted as usize, slot.row.state as usize, 1);
        counts.rows += i64::from(!slot.had_row);
    }
    if !dirty.is_empty() {
        sqlx::query(UPSERT_JOBS).bind(json("jobs", &dirty)?).execute(&mut *connection).await?;
    }
    if !earlier.is_empty() {
        let rows: Vec<_> = earlier.values().collect();
        sqlx::query(UPSERT_RUNS).bind(json("runs", &rows)?).execute(&mut *connection).await?;
    }
    add_counts(connection, counts).await
}

async fn batches(
    connection: &mut SqliteConnection,
    changes: &[JobChange],
) -> Result<BTreeMap<u64, BatchRow>, Fault> {
    let mut ids: Vec<u64> = changes.iter().map(|change| change.job.batch.0).collect();
    ids.sort_unstable();
    ids.dedup();
    let rows = sqlx::query(BATCHES_IN).bind(json("batches", &ids)?).fetch_all(connection).await?;
    let batches: BTreeMap<u64, BatchRow> = rows
        .iter()
        .map(|row| BatchRow::read(row).map(|batch| (batch.id.0, batch)))
        .collect::<Result<_, _>>()?;
    for gone in ids.iter().filter(|id| !batches.contains_key(id)) {
        tracing::debug!(batch = gone, "passing over changes of a batch that is not in the store");
    }
    Ok(batches)
}

async fn slots(
    connection: &mut SqliteConnection,
    changes: &[JobChange],
    batches: &BTreeMap<u64, BatchRow>,
) -> Result<BTreeMap<JobId, Slot>, Fault> {
    let mut slots = BTreeMap::new();
    let mut may_have_row: Vec<(u64, JobIndex)> = Vec::new();
    for change in changes {
        let Some(batch) = batches.get(&change.job.batch.0).filter(|batch| change.job.index < batch.count)
        else {
            continue;
        };
        let slot = || Slot {
            row: batch.derive(change.job.index),
            counted: batch.state,
            had_row: false,
            dirty: false,
        };
        slots.entry(change.job).or_insert_with(slot);
        if batch.rows > 0 {
            may_have_row.push((change.job.batch.0, change.job.index));
        }
    }
    if may_have_row.is_empty() {
        return Ok(slots);
    }
    for row in &sqlx::query(JOBS_IN).bind(json("jobs", &may_have_row)?).fetch_all(connection).await? {
        let row = JobRow::read(row, (None, None))?;
        if let Some(slot) = slots.get_mut(&row.id) {
            *slot = Slot { counted: row.state, row, had_row: true, dirty: false };
        }
    }
    Ok(slots)
}

/// Takes changes of runs that are not the newest to those.
async fn take_late(
    connection: &mut SqliteConnection,
    late: &[&JobChange],
    earlier: &mut BTreeMap<(JobId, RunNumber), JobRow>,
) -> Result<(), Fault> {
    let wanted: Vec<_> = late.iter().map(|change| (change.job.batch, change.job.index, change.run)).collect();
    for row in &sqlx::query(RUNS_IN).bind(json("runs", &wanted)?).fetch_all(connection).await? {
        let row = JobRow::read(row, (None, None))?;
        // What moved there a moment ago is newer than what was read.
        earlier.entry((row.id, row.run)).or_insert(row);
    }
    for change in late {
        earlier.entry((change.job, change.run)).or_insert_with(|| pending(change)).take(change);
    }
    Ok(())
}

/// The run that `change` is the first to tell of.
fn pending(change: &JobChange) -> JobRow {
    JobRow {
        id: change.job,
        state: JobState::Created,
        cause: None,
        status: None,
        reason: None,
        priority: 0,
        k: change.k,
        run: change.run,
        // Before everything, so that the change wins.
        changed: Timestamp(i64::MIN),
        started: None,
        ended: None,
        host: None,
        pid: None,
        remote: None,
        output: None,
        usage: None,
        evidence: None,
        cancel_requested: None,
        collected: None,
        cleaned: None,
        marks: (None, None),
    }
}

/// The job at the begin of the run that `change` tells of: its results are new, so that none is collected.
fn next_run(old: &JobRow, change: &JobChange) -> JobRow {
    JobRow { priority: old.priority, marks: (Some(0), Some(0)), ..pending(change) }
}

impl JobRow {
    /// Takes a change of this very run in; whether that made a difference.
    fn take(&mut self, change: &JobChange) -> bool {
        let before = self.clone();
        if self.yields_to(change) {
            let ended_before = self.ended.filter(|_| is_certain_end(self.state, self.cause));
            self.state = change.state;
            self.reason.clone_from(&change.reason);
            self.changed = change.at;
            self.k = change.k;
            self.started =
                change.started.or(self.started).or(change.state.has_started().then_some(change.at));
            if change.state.is_end() {
                self.status = change.status.or(self.status);
                self.cause = Some(change.cause.unwrap_or_else(|| cause_of(change.state, self.status)));
                self.ended = Some(change.ended.or(ended_before).unwrap_or(change.at));
            } else {
                (self.status, self.cause, self.ended) = (None, None, None);
            }
            replace(&mut self.host, change.host.as_ref());
            replace(&mut self.pid, change.pid.as_ref());
            replace(&mut self.remote, change.remote.as_ref());
            replace(&mut self.output, change.output.as_ref());
            replace(&mut self.usage, change.usage.as_ref());
        } else {
            fill(&mut self.started, change.started.as_ref());
            fill(&mut self.host, change.host.as_ref());
            fill(&mut self.pid, change.pid.as_ref());
            fill(&mut self.remote, change.remote.as_ref());
            fill(&mut self.output, change.output.as_ref());
            fill(&mut self.usage, change.usage.as_ref());
        }
        if let Some(evidence) = &change.evidence {
            match &mut self.evidence {
                Some(known) => known.join(evidence.clone()),
                none => *none = Some(evidence.clone()),
            }
        }
        *self != before
    }

    /// Whether the change's state is to replace the row's.
    fn yields_to(&self, change: &JobChange) -> bool {
        let certain = is_certain_end(self.state, self.cause);
        match (certain, is_certain_end(change.state, change.cause)) {
            (true, false) => false,
            (false, true) => true,
            (true, true) => change.at >= self.changed,
            (false, false) => {
                let waits = |state| {
                    matches!(
                        state,
                        JobState::Created | JobState::Submitting | JobState::Queued | JobState::Held
                    )
                };
                if self.state.has_started() && waits(change.state) {
                    false
                } else if waits(self.state) && change.state.has_started() {
                    true
                } else {
                    change.at >= self.changed
                }
            }
        }
    }
}

/// An end that no later evidence replaces: all but `lost`.
fn is_certain_end(state: JobState, cause: Option<Cause>) -> bool {
    state.is_end() && cause != Some(Cause::Lost)
}

/// The cause of an end for which none was given.
fn cause_of(state: JobState, status: Option<ExitStatus>) -> Cause {
    match (state, status) {
        (JobState::Succeeded, _) => Cause::Exit(0),
        (_, Some(status)) => status.into(),
        (_, None) => Cause::Lost,
    }
}

fn replace<T: Clone>(known: &mut Option<T>, new: Option<&T>) {
    if let Some(new) = new {
        *known = Some(new.clone());
    }
}

fn fill<T: Clone>(known: &mut Option<T>, new: Option<&T>) {
    if known.is_none() {
        *known = new.cloned();
    }
}
