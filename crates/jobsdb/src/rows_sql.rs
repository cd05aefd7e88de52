//! Statements on job rows that several operations share.

use cluster_core::IndexSet;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use crate::batch::{BatchRow, key};
use crate::error::StoreError;
use crate::fault::{Fault, json};
use crate::statements::statements;

/// The columns of `job`, in the order in which a [`crate::JobRow`] serializes.
macro_rules! job_names {
    () => {
        "batch, idx, state, cause, cause_arg, status, reason, priority, k, run, changed, started, ended, host, pid, \
         remote, pack, out_at, out_len, err_at, err_len, cpu_us, max_rss_kb, evidence, cancel_requested, collected, \
         cleaned"
    };
}

/// The indices of the jobs of batch `?1` in the ranges `?2` that have a row, by the ranges first: the planner
/// would otherwise try each range for each row.
macro_rules! rows_in_ranges {
    ($condition:literal) => {
        concat!(
            "SELECT j.idx FROM json_each(?2) r CROSS JOIN job j WHERE j.batch = ?1 \
             AND j.idx >= r.value ->> 0 AND j.idx < r.value ->> 1 AND ",
            $condition
        )
    };
}
pub(crate) use rows_in_ranges;

/// A row as its batch row says, for each index of the ranges `?2` in batch `?1` that has none.
macro_rules! insert_rest {
    ($state:literal, $cause:literal, $cause_arg:literal, $reason:literal, $changed:literal, $ended:literal) => {
        concat!(
            "INSERT INTO job (batch, idx, state, cause, cause_arg, reason, priority, k, run, changed, ended, \
                cancel_requested) \
             WITH RECURSIVE missing (i, until) AS ( \
                SELECT value ->> 0, value ->> 1 FROM json_each(?2) \
                UNION ALL SELECT i + 1, until FROM missing WHERE i + 1 < until) \
             SELECT b.id, i, ",
            $state,
            ", ",
            $cause,
            ", ",
            $cause_arg,
            ", ",
            $reason,
            ", b.priority, 0, 1, ",
            $changed,
            ", ",
            $ended,
            ", b.cancel_requested \
             FROM missing, batch b WHERE b.id = ?1"
        )
    };
}

statements! {
    UPSERT_JOBS = concat!(
        "INSERT INTO job (", job_names!(), ") \
         SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7, \
            value ->> 8, value ->> 9, value ->> 10, value ->> 11, value ->> 12, value ->> 13, value ->> 14, \
            value ->> 15, value ->> 16, value ->> 17, value ->> 18, value ->> 19, value ->> 20, value ->> 21, \
            value ->> 22, value ->> 23, value ->> 24, value ->> 25, value ->> 26 \
         FROM json_each(?1) WHERE true \
         ON CONFLICT DO UPDATE SET state = excluded.state, cause = excluded.cause, cause_arg = excluded.cause_arg, \
            status = excluded.status, reason = excluded.reason, priority = excluded.priority, k = excluded.k, \
            run = excluded.run, changed = excluded.changed, started = excluded.started, ended = excluded.ended, \
            host = excluded.host, pid = excluded.pid, remote = excluded.remote, pack = excluded.pack, \
            out_at = excluded.out_at, out_len = excluded.out_len, err_at = excluded.err_at, \
            err_len = excluded.err_len, cpu_us = excluded.cpu_us, max_rss_kb = excluded.max_rss_kb, \
            evidence = excluded.evidence, cancel_requested = excluded.cancel_requested, \
            collected = excluded.collected, cleaned = excluded.cleaned"
    );
    UPSERT_RUNS =
        "INSERT INTO run (batch, idx, state, cause, cause_arg, status, reason, k, run, changed, started, ended, host, \
            pid, remote, pack, out_at, out_len, err_at, err_len, cpu_us, max_rss_kb, evidence, cancel_requested) \
         SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 8, \
            value ->> 9, value ->> 10, value ->> 11, value ->> 12, value ->> 13, value ->> 14, value ->> 15, \
            value ->> 16, value ->> 17, value ->> 18, value ->> 19, value ->> 20, value ->> 21, value ->> 22, \
            value ->> 23, value ->> 24 \
         FROM json_each(?1) WHERE true \
         ON CONFLICT DO UPDATE SET state = excluded.state, cause = excluded.cause, cause_arg = excluded.cause_arg, \
            status = excluded.status, reason = excluded.reason, k = excluded.k, changed = excluded.changed, \
            started = excluded.started, ended = excluded.ended, host = excluded.host, pid = excluded.pid, \
            remote = excluded.remote, pack = excluded.pack, out_at = excluded.out_at, out_len = excluded.out_len, \
            err_at = excluded.err_at, err_len = excluded.err_len, cpu_us = excluded.cpu_us, \
            max_rss_kb = excluded.max_rss_kb, evidence = excluded.evidence, \
            cancel_requested = excluded.cancel_requested";
    /// Differences to counts, by batch: an array of its id, nine counts and the rows.
    ADD_COUNTS =
        "UPDATE batch SET n0 = n0 + (c.value ->> 1), n1 = n1 + (c.value ->> 2), n2 = n2 + (c.value ->> 3), \
            n3 = n3 + (c.value ->> 4), n4 = n4 + (c.value ->> 5), n5 = n5 + (c.value ->> 6), \
            n6 = n6 + (c.value ->> 7), n7 = n7 + (c.value ->> 8), n8 = n8 + (c.value ->> 9), \
            rows = rows + (c.value ->> 10) \
         FROM json_each(?1) c WHERE batch.id = c.value ->> 0";
    /// The rows of a batch as ranges: neighbours have the same difference between index and row number.
    OCCUPIED =
        "SELECT min(idx), max(idx) + 1 FROM ( \
            SELECT idx, idx - row_number() OVER (ORDER BY idx) AS island FROM job \
            WHERE batch = ?1 AND idx >= ?2 AND idx < ?3) GROUP BY island";
    COUNT_ROWS_LIVE = concat!(
        "SELECT state, count(*) FROM job WHERE batch = ?1 AND state < 7 AND ?3 >> state & 1 \
         AND idx IN (", rows_in_ranges!("j.state < 7"), ") GROUP BY state"
    );
    COUNT_LIVE = "SELECT state, count(*) FROM job WHERE batch = ?1 AND state < 7 AND ?2 >> state & 1 GROUP BY state";
    INSERT_REST = insert_rest!(
        "b.state", "b.cause", "b.cause_arg", "b.reason", "b.changed", "iif(b.state >= 7, b.changed, NULL)"
    );
    INSERT_REST_AS = insert_rest!("?3", "?4", "?5", "?6", "?7", "iif(?3 >= 7, ?7, NULL)");
}

/// Differences to the counts of one batch, and to how many of its jobs have a row.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) states: [i64; 9],
    pub(crate) rows: i64,
}

impl Counts {
    /// `n` jobs go from one state to another.
    pub(crate) fn transfer(&mut self, from: usize, to: usize, n: i64) {
        self.states[from] -= n;
        self.states[to] += n;
    }
}

/// Adds differences to the counts of several batches.
pub(crate) async fn add_counts(
    connection: &mut SqliteConnection,
    counts: impl IntoIterator<Item = (u64, Counts)>,
) -> Result<(), Fault> {
    let rows: Vec<Vec<i64>> = counts
        .into_iter()
        .filter(|(_, c)| c.rows != 0 || c.states.iter().any(|n| *n != 0))
        .map(|(batch, c)| [batch as i64].into_iter().chain(c.states).chain([c.rows]).collect())
        .collect();
    if !rows.is_empty() {
        sqlx::query(ADD_COUNTS).bind(json("counts", &rows)?).execute(connection).await?;
    }
    Ok(())
}

/// The ranges of `jobs` as JSON, after a look at whether the batch has them all; `None` stands for all of it.
pub(crate) fn slice(batch: &BatchRow, jobs: Option<&IndexSet>) -> Result<Option<IndexSet>, StoreError> {
    let Some(jobs) = jobs else { return Ok(None) };
    if let Some(&(_, end)) = jobs.ranges().last().filter(|(_, end)| *end > batch.count) {
        return Err(StoreError::UnknownJob {
            batch: batch.id,
            index: end - 1,
            last: i64::from(batch.count) - 1,
        });
    }
    Ok(Some(jobs.clone()).filter(|jobs| jobs.len() < u64::from(batch.count)))
}

/// The indices in `from..until` that have a row.
pub(crate) async fn occupied(
    connection: &mut SqliteConnection,
    batch: &BatchRow,
    from: u32,
    until: u32,
) -> Result<IndexSet, Fault> {
    if batch.rows == 0 {
        return Ok(IndexSet::new());
    }
    if !batch.has_rest() {
        return Ok(IndexSet::range(from, until.min(batch.count)));
    }
    let rows = sqlx::query(OCCUPIED).bind(key(batch.id)).bind(from).bind(until).fetch_all(connection).await?;
    Ok(rows.iter().map(range).collect::<Result<_, _>>()?)
}

/// A half-open range in the first two columns.
pub(crate) fn range(row: &SqliteRow) -> Result<(u32, u32), sqlx::Error> {
    Ok((row.try_get_unchecked(0)?, row.try_get_unchecked(1)?))
}

/// How many rows of each state there are among those that a statement counts.
pub(crate) fn by_state(rows: &[SqliteRow]) -> Result<Vec<(usize, i64)>, sqlx::Error> {
    rows.iter()
        .map(|row| Ok((row.try_get_unchecked::<i64, _>(0)? as usize & 15, row.try_get_unchecked(1)?)))
        .collect()
}
