//! Operations on whole batches and slices of them: a range stays a range where it can.

use cluster_core::{BatchId, Cause, IndexSet, JobState, Timestamp};
use sqlx::SqliteConnection;

use crate::batch::{BatchRow, get, key, mask};
use crate::error::StoreError;
use crate::fault::{Fault, json};
use crate::open::Store;
use crate::rows_sql::{
    COUNT_LIVE, COUNT_ROWS_LIVE, Counts, INSERT_REST, INSERT_REST_AS, add_counts, by_state, counts_added,
    counts_json, occupied, rows_in_ranges, slice,
};
use crate::statements::statements;

/// What becomes of jobs that have not started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unstarted {
    /// Held: of those created, submitting or queued.
    Held,
    /// Queued: of those created, submitting or held.
    Queued,
    /// Queued: of those held alone.
    Released,
    /// On their way to the scheduler: of those created.
    Submitting,
    /// Recorded only, since they did not arrive: of those submitting, or held before they were sent.
    Created,
    /// Queued or held as their scheduler has it, for its reason: of all that have not started.
    Waiting {
        /// Held, not queued.
        held: bool,
        /// The scheduler's reason.
        reason: Option<String>,
    },
    /// Accepted by a scheduler: of those submitting alone.
    Sent {
        /// It holds them.
        held: bool,
    },
    /// Over, before they started.
    Cancelled,
    /// Over for another reason.
    Ended {
        /// Why.
        cause: Cause,
        /// The same in words.
        reason: Option<String>,
    },
}

impl Unstarted {
    fn target(&self) -> JobState {
        match self {
            Self::Held | Self::Waiting { held: true, .. } | Self::Sent { held: true } => JobState::Held,
            Self::Queued | Self::Released | Self::Waiting { .. } | Self::Sent { .. } => JobState::Queued,
            Self::Submitting => JobState::Submitting,
            Self::Created => JobState::Created,
            Self::Cancelled => Cause::Cancelled.state(),
            Self::Ended { cause, .. } => cause.state(),
        }
    }

    fn sources(&self) -> &'static [JobState] {
        use JobState::{Created, Held, Queued, Submitting};
        match self {
            Self::Held => &[Created, Submitting, Queued],
            Self::Queued => &[Created, Submitting, Held],
            Self::Released => &[Held],
            Self::Submitting => &[Created],
            Self::Created => &[Submitting, Held],
            Self::Sent { .. } => &[Submitting],
            Self::Waiting { .. } | Self::Cancelled | Self::Ended { .. } => &UNSTARTED,
        }
    }

    fn cause(&self) -> Option<Cause> {
        match self {
            Self::Cancelled => Some(Cause::Cancelled),
            Self::Ended { cause, .. } => Some(*cause),
            _ => None,
        }
    }

    fn reason(&self) -> Option<&str> {
        match self {
            Self::Ended { reason, .. } | Self::Waiting { reason, .. } => reason.as_deref(),
            _ => None,
        }
    }

    /// Whether the jobs without a row become another thing by this.
    fn changes_rest(&self, batch: &BatchRow) -> bool {
        batch.has_rest()
            && self.sources().contains(&batch.state)
            && (batch.state != self.target() || batch.reason.as_deref() != self.reason())
    }
}

/// The states of jobs that have not started. `unknown` is none of them: nobody can tell.
pub(crate) const UNSTARTED: [JobState; 4] =
    [JobState::Created, JobState::Submitting, JobState::Queued, JobState::Held];

/// The states of jobs that have not ended.
const UNFINISHED: [JobState; 7] = [
    JobState::Created,
    JobState::Submitting,
    JobState::Queued,
    JobState::Held,
    JobState::Running,
    JobState::Suspended,
    JobState::Unknown,
];

macro_rules! set_rest {
    () => {
        "UPDATE batch SET changed = iif(state = ?2, changed, ?6), state = ?2, cause = ?3, cause_arg = ?4, reason = ?5 \
         WHERE id = ?1"
    };
}

/// Both at once: each call of the connection's thread takes as long as what it does here.
const SET_REST_AND_COUNTS: &str = concat!(set_rest!(), "; ", counts_added!("?7"));

statements! {
    SET_LIVE =
        "UPDATE job SET state = ?3, cause = ?4, cause_arg = ?5, reason = ?6, changed = iif(state = ?3, changed, ?7), \
            ended = iif(?3 >= 7, ?7, NULL) \
         WHERE batch = ?1 AND state < 7 AND ?2 >> state & 1 AND (state <> ?3 OR reason IS NOT ?6)";
    SET_ROWS_LIVE = concat!(
        "UPDATE job SET state = ?3, cause = ?4, cause_arg = ?5, reason = ?6, changed = iif(state = ?3, changed, ?7), \
            ended = iif(?3 >= 7, ?7, NULL) \
         WHERE batch = ?1 AND +state < 7 AND ?8 >> state & 1 AND (state <> ?3 OR reason IS NOT ?6) AND idx IN (", rows_in_ranges!("+j.state < 7"), ")"
    );
    #[cfg(test)]
    SET_REST = set_rest!();
    PRIORITY_LIVE =
        "UPDATE job SET priority = ?3 WHERE batch = ?1 AND state < 7 AND ?2 >> state & 1 AND priority <> ?3";
    PRIORITY_ROWS_LIVE = concat!(
        "UPDATE job SET priority = ?3 WHERE batch = ?1 AND +state < 7 AND ?4 >> state & 1 AND priority <> ?3 \
         AND idx IN (", rows_in_ranges!("+j.state < 7"), ")"
    );
    PRIORITY_REST = "UPDATE batch SET priority = ?2 WHERE id = ?1";
    CANCEL_LIVE =
        "UPDATE job SET cancel_requested = ?2 WHERE batch = ?1 AND state < 7 AND cancel_requested IS NULL";
    CANCEL_ROWS_LIVE = concat!(
        "UPDATE job SET cancel_requested = ?3 WHERE batch = ?1 AND +state < 7 AND cancel_requested IS NULL \
         AND idx IN (", rows_in_ranges!("+j.state < 7"), ")"
    );
    WITHDRAW_ROWS =
        "UPDATE job SET cancel_requested = NULL WHERE batch = ?1 AND state < 7 AND cancel_requested = ?2";
    WITHDRAW_REST = "UPDATE batch SET cancel_requested = NULL WHERE id = ?1 AND cancel_requested = ?2";
    CANCEL_REST = "UPDATE batch SET cancel_requested = ?2 WHERE id = ?1";
}

impl Store {
    /// Moves jobs that have not started to another state; `jobs` is `None` for the whole batch. How many
    /// changed.
    ///
    /// # Errors
    /// Where batch or jobs are not there, or the store cannot be written.
    pub fn set_unstarted(
        &mut self,
        batch: BatchId,
        jobs: Option<&IndexSet>,
        to: &Unstarted,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        self.write("change jobs in", async |connection| {
            let batch = get(connection, batch).await?;
            set_jobs(connection, &batch, jobs, to, now).await
        })
    }

    /// Sets the priority of jobs that have not started. How many got another.
    ///
    /// # Errors
    /// As [`Self::set_unstarted`].
    pub fn set_priority(
        &mut self,
        batch: BatchId,
        jobs: Option<&IndexSet>,
        priority: i32,
    ) -> Result<u64, StoreError> {
        self.write("change priorities in", async |connection| {
            let batch = get(connection, batch).await?;
            let rest = UNSTARTED.contains(&batch.state) && batch.priority != priority;
            let Some(jobs) = slice(&batch, jobs)? else {
                let rows = sqlx::query(PRIORITY_LIVE)
                    .bind(key(batch.id))
                    .bind(mask(&UNSTARTED))
                    .bind(priority)
                    .execute(&mut *connection)
                    .await?
                    .rows_affected();
                if !rest || !batch.has_rest() {
                    return Ok(rows);
                }
                sqlx::query(PRIORITY_REST).bind(key(batch.id)).bind(priority).execute(connection).await?;
                return Ok(rows + u64::from(batch.count - batch.rows));
            };
            if rest {
                give_rows(connection, &batch, &jobs).await?;
            }
            let done = sqlx::query(PRIORITY_ROWS_LIVE)
                .bind(key(batch.id))
                .bind(json("jobs", jobs.ranges())?)
                .bind(priority)
                .bind(mask(&UNSTARTED));
            Ok(done.execute(connection).await?.rows_affected())
        })
    }

    /// Takes back what [`Self::request_cancel`] stored at `at`, on jobs that have not ended: it reached nobody.
    ///
    /// # Errors
    /// Where the store cannot be written.
    pub fn withdraw_cancel(&mut self, batch: BatchId, at: Timestamp) -> Result<(), StoreError> {
        self.write("take back a request in", async |connection| {
            for sql in [WITHDRAW_ROWS, WITHDRAW_REST] {
                sqlx::query(sql).bind(key(batch)).bind(at.0).execute(&mut *connection).await?;
            }
            Ok(())
        })
    }

    /// Stores that the end of jobs was asked for, on each that has not ended and has no such request yet.
    /// How many got one.
    ///
    /// # Errors
    /// As [`Self::set_unstarted`].
    pub fn request_cancel(
        &mut self,
        batch: BatchId,
        jobs: Option<&IndexSet>,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        self.write("store a request in", async |connection| {
            let batch = get(connection, batch).await?;
            let rest = UNFINISHED.contains(&batch.state) && batch.cancel_requested.is_none();
            let Some(jobs) = slice(&batch, jobs)? else {
                let done = sqlx::query(CANCEL_LIVE).bind(key(batch.id)).bind(now.0);
                let rows = done.execute(&mut *connection).await?.rows_affected();
                if !rest || !batch.has_rest() {
                    return Ok(rows);
                }
                sqlx::query(CANCEL_REST).bind(key(batch.id)).bind(now.0).execute(connection).await?;
                return Ok(rows + u64::from(batch.count - batch.rows));
            };
            if rest {
                give_rows(connection, &batch, &jobs).await?;
            }
            let ranges = json("jobs", jobs.ranges())?;
            let done = sqlx::query(CANCEL_ROWS_LIVE).bind(key(batch.id)).bind(ranges).bind(now.0);
            Ok(done.execute(connection).await?.rows_affected())
        })
    }
}

/// [`Store::set_unstarted`] inside a transaction.
pub(crate) async fn set_jobs(
    connection: &mut SqliteConnection,
    batch: &BatchRow,
    jobs: Option<&IndexSet>,
    to: &Unstarted,
    now: Timestamp,
) -> Result<u64, Fault> {
    match slice(batch, jobs)? {
        None => set_whole(connection, batch, to, now).await,
        Some(jobs) => set_slice(connection, batch, &jobs, to, now).await,
    }
}

async fn set_whole(
    connection: &mut SqliteConnection,
    batch: &BatchRow,
    to: &Unstarted,
    now: Timestamp,
) -> Result<u64, Fault> {
    let sources = mask(to.sources());
    let mut counts = Counts::default();
    let mut changed = 0;
    if batch.rows > 0 {
        let counted = sqlx::query(COUNT_LIVE)
            .bind(key(batch.id))
            .bind(sources)
            .bind(to.target() as u8)
            .bind(to.reason())
            .fetch_all(&mut *connection)
            .await?;
        for (state, n) in by_state(&counted)? {
            counts.transfer(state, to.target() as usize, n);
            changed += n as u64;
        }
    }
    let cause = to.cause().map(Cause::to_numbers);
    if changed > 0 {
        sqlx::query(SET_LIVE)
            .bind(key(batch.id))
            .bind(sources)
            .bind(to.target() as u8)
            .bind(cause.map(|(which, _)| which))
            .bind(cause.map(|(_, argument)| argument))
            .bind(to.reason())
            .bind(now.0)
            .execute(&mut *connection)
            .await?;
    }
    if to.changes_rest(batch) {
        set_rest(connection, batch, to, now, counts).await?;
        return Ok(changed + u64::from(batch.count - batch.rows));
    }
    add_counts(connection, [(batch.id.0, counts)]).await?;
    Ok(changed)
}

/// The jobs without a row, and the counts together with what else has changed.
async fn set_rest(
    connection: &mut SqliteConnection,
    batch: &BatchRow,
    to: &Unstarted,
    now: Timestamp,
    mut counts: Counts,
) -> Result<(), Fault> {
    let cause = to.cause().map(Cause::to_numbers);
    counts.transfer(batch.state as usize, to.target() as usize, i64::from(batch.count - batch.rows));
    let counts = counts_json([(batch.id.0, counts)])?;
    sqlx::query(SET_REST_AND_COUNTS)
        .bind(key(batch.id))
        .bind(to.target() as u8)
        .bind(cause.map(|(which, _)| which))
        .bind(cause.map(|(_, argument)| argument))
        .bind(to.reason())
        .bind(now.0)
        .bind(counts.unwrap_or_else(|| "[]".to_owned()))
        .execute(connection)
        .await?;
    Ok(())
}

async fn set_slice(
    connection: &mut SqliteConnection,
    batch: &BatchRow,
    jobs: &IndexSet,
    to: &Unstarted,
    now: Timestamp,
) -> Result<u64, Fault> {
    let sources = mask(to.sources());
    let cause = to.cause().map(Cause::to_numbers);
    let mut counts = Counts::default();
    let mut changed = 0;
    if batch.rows > 0 {
        let ranges = json("jobs", jobs.ranges())?;
        let counted = sqlx::query(COUNT_ROWS_LIVE)
            .bind(key(batch.id))
            .bind(ranges.as_str())
            .bind(sources)
            .bind(to.target() as u8)
            .bind(to.reason())
            .fetch_all(&mut *connection)
            .await?;
        for (state, n) in by_state(&counted)? {
            counts.transfer(state, to.target() as usize, n);
            changed += n as u64;
        }
        if changed > 0 {
            sqlx::query(SET_ROWS_LIVE)
                .bind(key(batch.id))
                .bind(ranges)
                .bind(to.target() as u8)
                .bind(cause.map(|(which, _)| which))
                .bind(cause.map(|(_, argument)| argument))
                .bind(to.reason())
                .bind(now.0)
                .bind(sources)
                .execute(&mut *connection)
                .await?;
        }
    }
    if to.changes_rest(batch) {
        let missing = missing(connection, batch, jobs).await?;
        if missing.len() == u64::from(batch.count - batch.rows) {
            // All that have no row are meant: the range stays one.
            set_rest(connection, batch, to, now, counts).await?;
            return Ok(changed + missing.len());
        } else if !missing.is_empty() {
            // They get their rows as they become, in one go.
            sqlx::query(INSERT_REST_AS)
                .bind(key(batch.id))
                .bind(json("jobs", missing.ranges())?)
                .bind(to.target() as u8)
                .bind(cause.map(|(which, _)| which))
                .bind(cause.map(|(_, argument)| argument))
                .bind(to.reason())
                .bind(now.0)
                .execute(&mut *connection)
                .await?;
            let n = missing.len() as i64;
            counts.transfer(batch.state as usize, to.target() as usize, n);
            counts.rows += n;
            changed += n as u64;
        }
    }
    add_counts(connection, [(batch.id.0, counts)]).await?;
    Ok(changed)
}

/// The jobs of a slice that have no row.
pub(crate) async fn missing(
    connection: &mut SqliteConnection,
    batch: &BatchRow,
    jobs: &IndexSet,
) -> Result<IndexSet, Fault> {
    let (Some(first), Some(&(_, end))) = (jobs.first(), jobs.ranges().last()) else {
        return Ok(IndexSet::new());
    };
    Ok(jobs.difference(&occupied(connection, batch, first, end).await?))
}

/// Gives the jobs of a slice that have no row the one that the batch row describes. How many that were.
pub(crate) async fn give_rows(
    connection: &mut SqliteConnection,
    batch: &BatchRow,
    jobs: &IndexSet,
) -> Result<u64, Fault> {
    if !batch.has_rest() {
        return Ok(0);
    }
    let missing = missing(connection, batch, jobs).await?;
    if missing.is_empty() {
        return Ok(0);
    }
    sqlx::query(INSERT_REST)
        .bind(key(batch.id))
        .bind(json("jobs", missing.ranges())?)
        .execute(&mut *connection)
        .await?;
    let counts = Counts { rows: missing.len() as i64, ..Counts::default() };
    add_counts(connection, [(batch.id.0, counts)]).await?;
    Ok(missing.len())
}
