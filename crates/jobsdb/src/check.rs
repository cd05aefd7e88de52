//! Is the store in order? SQLite's own checks, and whether the counts are those of the rows.

use std::collections::BTreeMap;

use cluster_core::IndexSet;
use sqlx::{Row, SqliteConnection};

use crate::batch::{BatchRow, batch_columns};
use crate::columns::{Packed, packed, together};
use crate::error::StoreError;
use crate::fault::Fault;
use crate::open::Store;
use crate::rows_sql::by_state;
use crate::runs::Runs;
use crate::statements::statements;

/// What a check found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// How many batches were looked at.
    pub batches: u64,
    /// How many jobs they have.
    pub jobs: u64,
    /// How many of these have a row.
    pub rows: u64,
    /// What is wrong, one line each.
    pub problems: Vec<String>,
    /// What is odd and does no harm, one line each.
    pub notes: Vec<String>,
}

impl CheckReport {
    /// Whether nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.problems.is_empty()
    }
}

statements! {
    INTEGRITY = "PRAGMA integrity_check(100)";
    FOREIGN_KEYS = "PRAGMA foreign_key_check";
    ALL_BATCHES = together!("SELECT ", batch_columns!(), " FROM batch ORDER BY id LIMIT -1");
    COUNT_ALL = "SELECT state, count(*) FROM job WHERE batch = ?1 GROUP BY state";
    // The submission's jobs, how many the batch has, and whether all of these have ended.
    ALL_CHUNKS = together!(
        "SELECT ", packed!(
            "c.batch", "c.k", "b.count", "b.count <= b.n7 + b.n8", "s.jobs", "c.jobs", "c.runs", "c.over"
        ),
        " FROM chunk c CROSS JOIN submission s ON s.batch = c.batch AND s.k = c.k \
         CROSS JOIN batch b ON b.id = c.batch ORDER BY c.batch, c.k LIMIT -1"
    );
    // An end has a cause and a time, nothing else has; success is exit 0; no index lies beyond the count.
    ODD_JOBS =
        "SELECT j.batch, j.idx, j.state FROM batch b CROSS JOIN job j ON j.batch = b.id \
         WHERE (j.state >= 7) <> (j.cause IS NOT NULL) OR (j.state >= 7) <> (j.ended IS NOT NULL) \
            OR (j.state = 7) <> (j.cause IS 0 AND j.cause_arg IS 0) OR j.state NOT BETWEEN 0 AND 8 \
            OR j.idx < 0 OR j.idx >= b.count OR j.run < 1 LIMIT 100";
}

impl Store {
    /// Looks at everything. It reads the whole store, which takes its time.
    ///
    /// # Errors
    /// Where the store cannot be read at all; damage that SQLite can name is in the report.
    pub fn check(&mut self) -> Result<CheckReport, StoreError> {
        let mut report = CheckReport::default();
        let looked = self.snapshot("check", async |connection| look(connection, &mut report).await);
        match looked {
            Ok(()) => {}
            Err(StoreError::Corrupt { detail, .. } | StoreError::Decode { detail, .. }) => {
                // SQLite says it again at the end of the transaction.
                if !report.problems.contains(&detail) {
                    report.problems.push(detail);
                }
            }
            Err(error @ StoreError::Sql { .. }) if !report.is_sound() => {
                report.problems.push(error.to_string());
            }
            Err(error) => return Err(error),
        }
        Ok(report)
    }
}

/// Puts what it finds into the report as it comes: of damaged pages SQLite says something, and then fails.
async fn look(connection: &mut SqliteConnection, report: &mut CheckReport) -> Result<(), Fault> {
    {
        let mut rows = sqlx::query(INTEGRITY).fetch(&mut *connection);
        while let Some(row) = std::future::poll_fn(|cx| rows.as_mut().poll_next(cx)).await {
            let text: String = row?.try_get(0)?;
            let lines =
                text.lines().filter(|line| !line.is_empty() && *line != "ok" && !line.starts_with("***"));
            report.problems.extend(lines.map(str::to_owned));
        }
    }
    if !report.is_sound() {
        // What lies in damaged pages cannot be counted.
        return Ok(());
    }
    for row in &sqlx::query(FOREIGN_KEYS).fetch_all(&mut *connection).await? {
        let (table, parent): (String, String) = (row.try_get(0)?, row.try_get(2)?);
        report.problems.push(format!("a row of {table} belongs to a {parent} that is not there"));
    }
    for batch in Packed::fetch(connection, sqlx::query(ALL_BATCHES)).await?.read(BatchRow::read)? {
        let counted = if batch.rows == 0 {
            Vec::new()
        } else {
            let rows = sqlx::query(COUNT_ALL).bind(batch.id.0 as i64);
            by_state(&rows.fetch_all(&mut *connection).await?)?
        };
        compare(&batch, &counted, report);
    }
    chunks(connection, report).await?;
    for row in &sqlx::query(ODD_JOBS).fetch_all(&mut *connection).await? {
        let (batch, index, state): (i64, i64, i64) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        report.problems.push(format!("job {batch}.{index} contradicts itself (state {state})"));
    }
    Ok(())
}

/// The jobs of a chunk are those of its submission, each has a run, and together they are those of the batch.
async fn chunks(connection: &mut SqliteConnection, report: &mut CheckReport) -> Result<(), Fault> {
    let mut covered: BTreeMap<u64, (u32, Vec<(u32, u32)>)> = BTreeMap::new();
    for mut c in Packed::fetch(connection, sqlx::query(ALL_CHUNKS)).await?.rows() {
        let (batch, k): (u64, u32) = (c.number()?, c.number()?);
        let (count, ended): (u32, u8) = (c.number()?, c.number()?);
        let meant = c.raw()?;
        let jobs: IndexSet = c.parsed()?;
        let runs: Runs = c.parsed()?;
        let over: u8 = c.number()?;
        let whole = IndexSet::range(0, count);
        if meant.parse().unwrap_or(whole) != jobs {
            report.problems.push(format!("submission {k} of batch {batch} went out with the jobs {jobs}"));
        }
        if !runs.cover(&jobs) {
            report.problems.push(format!("submission {k} of batch {batch} has no run for some of its jobs"));
        }
        if ended != 0 && over == 0 {
            report
                .notes
                .push(format!("submission {k} of batch {batch} is followed, and all jobs have ended"));
        }
        covered.entry(batch).or_insert((count, Vec::new())).1.extend(jobs.ranges());
    }
    for (batch, (count, jobs)) in covered {
        if jobs.into_iter().collect::<IndexSet>() != IndexSet::range(0, count) {
            report.problems.push(format!("the submissions of batch {batch} are not those of all its jobs"));
        }
    }
    Ok(())
}

fn compare(batch: &BatchRow, counted: &[(usize, i64)], report: &mut CheckReport) {
    let mut counts = [0u64; 9];
    let mut rows = 0;
    for &(state, n) in counted {
        if let Some(count) = counts.get_mut(state) {
            *count += n as u64;
        }
        rows += n as u64;
    }
    counts[batch.state as usize] += u64::from(batch.count).saturating_sub(rows);
    report.batches += 1;
    report.jobs += u64::from(batch.count);
    report.rows += rows;
    if rows != u64::from(batch.rows) {
        report.problems.push(format!("batch {} has {rows} rows and counts {}", batch.id, batch.rows));
    }
    if counts != batch.counts.0 {
        report
            .problems
            .push(format!("the jobs of batch {} are {counts:?}, counted as {:?}", batch.id, batch.counts.0));
    }
    if let Err(error) = batch.spec() {
        report.problems.push(error.to_string());
    }
}
