//! Statements on job rows that several operations share.

use cluster_core::IndexSet;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use crate::batch::{BatchRow, key};
use crate::columns::{Packed, packed, together};
use crate::error::StoreError;
use crate::fault::{Fault, json};
use crate::job::JobRow;
use crate::statements::statements;

/// The columns of `job`, in the order in which [`JobRow::bind`] gives their values.
macro_rules! job_names {
    () => {
        "batch, idx, state, cause, cause_arg, status, reason, priority, k, run, changed, started, ended, host, pid, \
         remote, pack, out_at, out_len, err_at, err_len, cpu_us, max_rss_kb, evidence, cancel_requested, collected, \
         cleaned, missing_since"
    };
}

/// The indices of the jobs of batch `?1` in the ranges `?2` that have a row, by the ranges first: the planner
/// would otherwise try each range for each row. Who changes these by `idx IN (…)` says `+state < 7`, not
/// `state < 7`: else it would walk the index of all live rows of the batch for a slice of a few.
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

macro_rules! row {
    () => {
        "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    };
}

macro_rules! rows_8 {
    () => {
        concat!(
            row!(),
            ",",
            row!(),
            ",",
            row!(),
            ",",
            row!(),
            ",",
            row!(),
            ",",
            row!(),
            ",",
            row!(),
            ",",
            row!()
        )
    };
}

macro_rules! rows_64 {
    () => {
        concat!(
            rows_8!(),
            ",",
            rows_8!(),
            ",",
            rows_8!(),
            ",",
            rows_8!(),
            ",",
            rows_8!(),
            ",",
            rows_8!(),
            ",",
            rows_8!(),
            ",",
            rows_8!()
        )
    };
}

/// Long VALUES: five times as fast as `json_each` for as many columns.
macro_rules! upsert_jobs {
    ($rows:expr) => {
        concat!(
            "INSERT INTO job (", job_names!(), ") VALUES ", $rows, " \
             ON CONFLICT DO UPDATE SET state = excluded.state, cause = excluded.cause, cause_arg = excluded.cause_arg, \
                status = excluded.status, reason = excluded.reason, priority = excluded.priority, k = excluded.k, \
                run = excluded.run, changed = excluded.changed, started = excluded.started, ended = excluded.ended, \
                host = excluded.host, pid = excluded.pid, remote = excluded.remote, pack = excluded.pack, \
                out_at = excluded.out_at, out_len = excluded.out_len, err_at = excluded.err_at, \
                err_len = excluded.err_len, cpu_us = excluded.cpu_us, max_rss_kb = excluded.max_rss_kb, \
                evidence = excluded.evidence, cancel_requested = excluded.cancel_requested, \
                collected = excluded.collected, cleaned = excluded.cleaned, \
                missing_since = excluded.missing_since"
        )
    };
}

/// The same of runs, from the same values: those that belong to the job are left out.
macro_rules! upsert_runs {
    ($rows:expr) => {
        concat!(
            "INSERT INTO run (batch, idx, state, cause, cause_arg, status, reason, k, run, changed, started, ended, \
                host, pid, remote, pack, out_at, out_len, err_at, err_len, cpu_us, max_rss_kb, evidence, \
                cancel_requested) \
             SELECT column1, column2, column3, column4, column5, column6, column7, column9, column10, column11, \
                column12, column13, column14, column15, column16, column17, column18, column19, column20, column21, \
                column22, column23, column24, column25 FROM (VALUES ", $rows, ") WHERE true \
             ON CONFLICT DO UPDATE SET state = excluded.state, cause = excluded.cause, cause_arg = excluded.cause_arg, \
                status = excluded.status, reason = excluded.reason, k = excluded.k, changed = excluded.changed, \
                started = excluded.started, ended = excluded.ended, host = excluded.host, pid = excluded.pid, \
                remote = excluded.remote, pack = excluded.pack, out_at = excluded.out_at, out_len = excluded.out_len, \
                err_at = excluded.err_at, err_len = excluded.err_len, cpu_us = excluded.cpu_us, \
                max_rss_kb = excluded.max_rss_kb, evidence = excluded.evidence, \
                cancel_requested = excluded.cancel_requested"
        )
    };
}

/// Differences to counts, by batch: an array of arrays of its id, nine counts and the rows.
macro_rules! counts_added {
    ($counts:literal) => {
        concat!(
            "UPDATE batch SET n0 = n0 + (c.value ->> 1), n1 = n1 + (c.value ->> 2), n2 = n2 + (c.value ->> 3), \
                n3 = n3 + (c.value ->> 4), n4 = n4 + (c.value ->> 5), n5 = n5 + (c.value ->> 6), \
                n6 = n6 + (c.value ->> 7), n7 = n7 + (c.value ->> 8), n8 = n8 + (c.value ->> 9), \
                rows = rows + (c.value ->> 10) \
             FROM json_each(", $counts, ") c WHERE batch.id = c.value ->> 0"
        )
    };
}
pub(crate) use counts_added;

statements! {
    UPSERT_JOBS_1 = upsert_jobs!(row!());
    UPSERT_JOBS_8 = upsert_jobs!(rows_8!());
    UPSERT_JOBS_64 = upsert_jobs!(rows_64!());
    UPSERT_RUNS_1 = upsert_runs!(row!());
    UPSERT_RUNS_8 = upsert_runs!(rows_8!());
    UPSERT_RUNS_64 = upsert_runs!(rows_64!());
    ADD_COUNTS = counts_added!("?1");
    /// The rows of a batch as ranges: neighbours have the same difference between index and row number.
    OCCUPIED =
        together!("SELECT ", packed!("min(idx)", "max(idx) + 1"), " FROM ( \
            SELECT idx, idx - row_number() OVER (ORDER BY idx) AS island FROM job \
            WHERE batch = ?1 AND idx >= ?2 AND idx < ?3) GROUP BY island LIMIT -1");
    COUNT_ROWS_LIVE = concat!(
        "SELECT state, count(*) FROM job WHERE batch = ?1 AND +state < 7 AND ?3 >> state & 1 \
         AND (state <> ?4 OR reason IS NOT ?5) AND idx IN (", rows_in_ranges!("+j.state < 7"), ") GROUP BY state"
    );
    COUNT_LIVE =
        "SELECT state, count(*) FROM job WHERE batch = ?1 AND state < 7 AND ?2 >> state & 1 \
         AND (state <> ?3 OR reason IS NOT ?4) GROUP BY state";
    INSERT_REST = insert_rest!(
        "b.state", "b.cause", "b.cause_arg", "b.reason", "b.changed", "iif(b.state >= 7, b.changed, NULL)"
    );
    INSERT_REST_AS = insert_rest!(
        "?3", "?4", "?5", "?6", "iif(b.state = ?3, b.changed, ?7)", "iif(?3 >= 7, ?7, NULL)"
    );
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
    if let Some(rows) = counts_json(counts)? {
        sqlx::query(ADD_COUNTS).bind(rows).execute(connection).await?;
    }
    Ok(())
}

/// What [`counts_added!`] takes; `None` where nothing changes.
pub(crate) fn counts_json(
    counts: impl IntoIterator<Item = (u64, Counts)>,
) -> Result<Option<String>, StoreError> {
    let rows: Vec<Vec<i64>> = counts
        .into_iter()
        .filter(|(_, c)| c.rows != 0 || c.states.iter().any(|n| *n != 0))
        .map(|(batch, c)| [batch as i64].into_iter().chain(c.states).chain([c.rows]).collect())
        .collect();
    if rows.is_empty() { Ok(None) } else { json("counts", &rows).map(Some) }
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
    let query = sqlx::query(OCCUPIED).bind(key(batch.id)).bind(from).bind(until);
    Ok(ranges(&Packed::fetch(connection, query).await?)?)
}

/// Rows that are half-open ranges.
pub(crate) fn ranges(rows: &Packed) -> Result<IndexSet, sqlx::Error> {
    Ok(rows.read(|mut c| Ok((c.number()?, c.number()?)))?.into_iter().collect())
}

/// Writes rows with as few statements as there can be: of 64, of 8, of 1.
pub(crate) async fn upsert(
    connection: &mut SqliteConnection,
    [many, some, one]: [&'static str; 3],
    mut rows: &[&JobRow],
) -> Result<(), Fault> {
    while !rows.is_empty() {
        let (sql, count) = match rows.len() {
            64.. => (many, 64),
            8.. => (some, 8),
            _ => (one, 1),
        };
        let (now, later) = rows.split_at(count);
        let mut query = sqlx::query(sql);
        for row in now {
            query = row.bind(query)?;
        }
        query.execute(&mut *connection).await?;
        rows = later;
    }
    Ok(())
}

/// How many rows of each state there are among those that a statement counts.
pub(crate) fn by_state(rows: &[SqliteRow]) -> Result<Vec<(usize, i64)>, sqlx::Error> {
    rows.iter()
        .map(|row| Ok((row.try_get_unchecked::<i64, _>(0)? as usize & 15, row.try_get_unchecked(1)?)))
        .collect()
}
