//! Facts about single jobs, taken in in bulk.

use std::collections::BTreeMap;

use cluster_core::life::Evidence;
use cluster_core::{Cause, ExitStatus, JobId, JobState, RemoteId, RunNumber, SubmissionNumber, Timestamp};
use sqlx::SqliteConnection;

use crate::batch::{BatchRow, batch_columns};
use crate::columns::{Packed, packed, together};
use crate::error::StoreError;
use crate::fault::{Fault, json};
use crate::job::{JobRow, OutputPlace, Usage, job_columns, run_columns};
use crate::open::Store;
use crate::range_ops::UNSTARTED;
use crate::rows_sql::{
    Counts, UPSERT_JOBS_1, UPSERT_JOBS_8, UPSERT_JOBS_64, UPSERT_RUNS_1, UPSERT_RUNS_8, UPSERT_RUNS_64,
    add_counts, upsert,
};
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
    BATCHES_IN = together!(
        "SELECT ", batch_columns!("''"), " FROM batch WHERE id IN (SELECT value FROM json_each(?1)) LIMIT -1"
    );
    // A job in one number, the batch in the upper half: JSON arrays would each have to be parsed again.
    JOBS_IN = together!(
        "SELECT ", job_columns!(), " FROM json_each(?1) w CROSS JOIN job j \
         ON j.batch = w.value >> 32 AND j.idx = w.value & 4294967295 LIMIT -1"
    );
    RUNS_IN = together!(
        "SELECT ", run_columns!(), " FROM json_each(?1) w CROSS JOIN run j \
         ON j.batch = w.value ->> 0 AND j.idx = w.value ->> 1 AND j.run = w.value ->> 2 LIMIT -1"
    );
}

impl Store {
    /// Takes facts about single jobs in, in one transaction; counts are kept with them.
    ///
    /// Of each job the newest run counts; facts about an earlier one go to that. Within one run an end is
    /// only left where its cause is `lost`; a job that runs does not become queued again; else the later
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
            // Also one that never began: what comes late of it is weighed against what was known.
            earlier.insert((over.id, over.run), over);
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
    upsert(connection, [UPSERT_JOBS_64, UPSERT_JOBS_8, UPSERT_JOBS_1], &dirty).await?;
    let earlier: Vec<&JobRow> = earlier.values().collect();
    upsert(connection, [UPSERT_RUNS_64, UPSERT_RUNS_8, UPSERT_RUNS_1], &earlier).await?;
    add_counts(connection, counts).await
}

async fn batches(
    connection: &mut SqliteConnection,
    changes: &[JobChange],
) -> Result<BTreeMap<u64, BatchRow>, Fault> {
    let mut ids: Vec<u64> = changes.iter().map(|change| change.job.batch.0).collect();
    ids.sort_unstable();
    ids.dedup();
    let rows = Packed::fetch(connection, sqlx::query(BATCHES_IN).bind(json("batches", &ids)?)).await?;
    let batches: BTreeMap<u64, BatchRow> =
        rows.read(BatchRow::read)?.into_iter().map(|batch| (batch.id.0, batch)).collect();
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
    let mut may_have_row: Vec<u64> = Vec::new();
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
            may_have_row.push(change.job.batch.0 << 32 | u64::from(change.job.index));
        }
    }
    if may_have_row.is_empty() {
        return Ok(slots);
    }
    may_have_row.sort_unstable();
    may_have_row.dedup();
    let rows = Packed::fetch(connection, sqlx::query(JOBS_IN).bind(json("jobs", &may_have_row)?)).await?;
    for row in rows.rows() {
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
    let rows = Packed::fetch(connection, sqlx::query(RUNS_IN).bind(json("runs", &wanted)?)).await?;
    for row in rows.rows() {
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
        missing_since: None,
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
        let cause = change
            .state
            .is_end()
            .then(|| change.cause.unwrap_or_else(|| cause_of(change.state, change.status.or(self.status))));
        let certain = is_certain_end(self.state, self.cause);
        let wins = self.yields_to(change, cause);
        // Among what is no certain end, time never goes back, also where a rank decided: else the outcome
        // of changes would not be that of the same changes taken in twice.
        if !certain && !is_certain_end(change.state, cause) {
            self.changed = self.changed.max(change.at);
        } else if wins {
            self.changed = change.at;
        }
        let started = change.started.or_else(|| change.state.has_started().then_some(change.at));
        if wins {
            self.state = change.state;
            self.cause = cause;
            self.reason.clone_from(&change.reason);
            self.k = change.k;
            self.started = change.started.or(self.started).or(started);
            if change.state.is_end() {
                self.status = change.status.or(self.status);
                self.ended = Some(change.ended.or(self.ended.filter(|_| certain)).unwrap_or(change.at));
            } else {
                (self.status, self.ended) = (None, None);
            }
            replace(&mut self.host, change.host.as_ref());
            replace(&mut self.pid, change.pid.as_ref());
            replace(&mut self.remote, change.remote.as_ref());
            replace(&mut self.output, change.output.as_ref());
            replace(&mut self.usage, change.usage.as_ref());
        } else {
            fill(&mut self.started, started.as_ref());
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

    /// Whether the change's state, an end by `cause`, is to replace the row's.
    fn yields_to(&self, change: &JobChange, cause: Option<Cause>) -> bool {
        match (is_certain_end(self.state, self.cause), is_certain_end(change.state, cause)) {
            (true, false) => false,
            (false, true) => true,
            (true, true) => change.at >= self.changed,
            (false, false) if self.state.has_started() && UNSTARTED.contains(&change.state) => false,
            (false, false) => {
                // A start that is news to us counts, however late the news of a queue or a hold was.
                let news = self.started.is_none() && UNSTARTED.contains(&self.state);
                news && change.state.has_started() || change.at >= self.changed
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
