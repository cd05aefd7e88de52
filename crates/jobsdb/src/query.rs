//! Reading jobs: rows and ranges merged in the order of their indices, page by page.

use cluster_core::{BatchId, IndexSet, JobId, JobIndex, JobState};
use sqlx::SqliteConnection;

use crate::batch::{BatchRow, find, get, key, mask};
use crate::error::StoreError;
use crate::fault::{Fault, json};
use crate::job::{JobRow, RunRow, job_columns, run_columns};
use crate::open::Store;
use crate::rows_sql::{occupied, range, slice};
use crate::statements::statements;

/// Which jobs of a batch to read; the default is none, by its limit.
#[derive(Debug, Clone, Default)]
pub struct JobQuery {
    /// Of these alone.
    pub jobs: Option<IndexSet>,
    /// In one of these states.
    pub states: Option<Vec<JobState>>,
    /// Behind this one: the next page.
    pub after: Option<JobIndex>,
    /// At most so many.
    pub limit: u32,
}

/// The rows of batch `?1` in the ranges `?2`, in the states `?3`, up to `?4` of them.
macro_rules! page {
    ($index:literal, $condition:literal) => {
        concat!(
            "SELECT ",
            job_columns!(),
            " FROM json_each(?2) r CROSS JOIN job j ",
            $index,
            " WHERE j.batch = ?1 AND j.idx >= r.value ->> 0 AND j.idx < r.value ->> 1 AND ?3 >> j.state & 1 ",
            $condition,
            " ORDER BY j.idx LIMIT ?4"
        )
    };
}

macro_rules! islands {
    ($condition:literal) => {
        concat!(
            "SELECT min(idx), max(idx) + 1 FROM ( \
                SELECT idx, idx - row_number() OVER (ORDER BY idx) AS island FROM job \
                WHERE batch = ?1 AND ?2 >> state & 1 ",
            $condition,
            ") GROUP BY island"
        )
    };
}

statements! {
    JOB = concat!("SELECT ", job_columns!(), " FROM job j WHERE j.batch = ?1 AND j.idx = ?2");
    PAGE = page!("", "");
    PAGE_LIVE = page!("INDEXED BY job_live", "AND j.state < 7");
    PAGE_FAILED = page!("INDEXED BY job_failed", "AND j.state = 8");
    INDICES = islands!("");
    INDICES_LIVE = islands!("AND state < 7");
    INDICES_FAILED = islands!("AND state = 8");
    RUNS = concat!(
        "SELECT ", run_columns!(), " FROM run j WHERE j.batch = ?1 AND j.idx = ?2 ORDER BY j.run"
    );
}

/// One statement of three that differ in the index they walk.
fn by_states(mask: i64, [any, live, failed]: [&'static str; 3]) -> &'static str {
    const LIVE: i64 = (1 << 7) - 1;
    const FAILED: i64 = 1 << JobState::Failed as u8;
    if mask & !LIVE == 0 {
        live
    } else if mask & !FAILED == 0 {
        failed
    } else {
        any
    }
}

/// The states as bits; all of them where none is named.
fn states_mask(states: Option<&[JobState]>) -> i64 {
    mask(states.unwrap_or(&JobState::ALL))
}

impl Store {
    /// One job, from its batch row where it has none of its own.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn job(&mut self, id: JobId) -> Result<Option<JobRow>, StoreError> {
        self.snapshot("read a job from", async |connection| {
            let Some(batch) = find(connection, id.batch).await?.filter(|batch| id.index < batch.count) else {
                return Ok(None);
            };
            Ok(Some(one(connection, &batch, id.index).await?))
        })
    }

    /// Jobs of a batch in the order of their indices.
    ///
    /// # Errors
    /// Where the batch or a job asked for is not there, or the store cannot be read.
    pub fn jobs(&mut self, batch: BatchId, query: &JobQuery) -> Result<Vec<JobRow>, StoreError> {
        self.snapshot("list jobs of", async |connection| {
            let batch = get(connection, batch).await?;
            let wanted =
                slice(&batch, query.jobs.as_ref())?.unwrap_or_else(|| IndexSet::range(0, batch.count));
            let first = query.after.map_or(0, |after| after.saturating_add(1));
            let wanted = wanted.intersection(&IndexSet::range(first, batch.count));
            page(connection, &batch, wanted, states_mask(query.states.as_deref()), query.limit).await
        })
    }

    /// Jobs that have ended, in the order of their indices, from `from` on: with the places of their outputs.
    ///
    /// # Errors
    /// As [`Self::jobs`].
    pub fn outcomes(
        &mut self,
        batch: BatchId,
        from: JobIndex,
        limit: u32,
    ) -> Result<Vec<JobRow>, StoreError> {
        let query = JobQuery {
            jobs: None,
            states: Some(vec![JobState::Succeeded, JobState::Failed]),
            after: from.checked_sub(1),
            limit,
        };
        self.jobs(batch, &query)
    }

    /// The same up to the first job that has not ended: what can be printed in the order of the inputs. It
    /// costs next to nothing while the job at `from` has not ended.
    ///
    /// # Errors
    /// As [`Self::jobs`].
    pub fn outcomes_in_order(
        &mut self,
        batch: BatchId,
        from: JobIndex,
        limit: u32,
    ) -> Result<Vec<JobRow>, StoreError> {
        self.snapshot("list jobs of", async |connection| {
            let batch = get(connection, batch).await?;
            if from >= batch.count || !one(connection, &batch, from).await?.state.is_end() {
                return Ok(Vec::new());
            }
            let wanted = IndexSet::range(from, batch.count.min(from.saturating_add(limit)));
            let ends = mask(&[JobState::Succeeded, JobState::Failed]);
            let mut jobs = page(connection, &batch, wanted, ends, limit).await?;
            let unbroken = jobs.iter().zip(from..).take_while(|(job, index)| job.id.index == *index).count();
            jobs.truncate(unbroken);
            Ok(jobs)
        })
    }

    /// The jobs of a batch that are in one of these states.
    ///
    /// # Errors
    /// As [`Self::jobs`].
    pub fn indices_in(&mut self, batch: BatchId, states: &[JobState]) -> Result<IndexSet, StoreError> {
        self.snapshot("list jobs of", async |connection| {
            let batch = get(connection, batch).await?;
            indices_in(connection, &batch, mask(states)).await
        })
    }

    /// The runs of a job that have begun, the first first; the last is the one that the job's row tells of.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn runs(&mut self, id: JobId) -> Result<Vec<RunRow>, StoreError> {
        self.snapshot("read the runs of a job from", async |connection| {
            let Some(batch) = find(connection, id.batch).await?.filter(|batch| id.index < batch.count) else {
                return Ok(Vec::new());
            };
            let rows =
                sqlx::query(RUNS).bind(key(id.batch)).bind(id.index).fetch_all(&mut *connection).await?;
            let earlier = rows.iter().map(|row| JobRow::read(row, (None, None)));
            let mut runs = earlier.collect::<Result<Vec<_>, _>>()?;
            let newest = one(connection, &batch, id.index).await?;
            runs.extend(Some(newest).filter(JobRow::has_begun));
            Ok(runs.into_iter().map(JobRow::into_run).collect())
        })
    }
}

async fn one(connection: &mut SqliteConnection, batch: &BatchRow, index: JobIndex) -> Result<JobRow, Fault> {
    if batch.rows > 0
        && let Some(row) = sqlx::query(JOB).bind(key(batch.id)).bind(index).fetch_optional(connection).await?
    {
        return Ok(JobRow::read(&row, batch.marks())?);
    }
    Ok(batch.derive(index))
}

/// The jobs in `wanted` and in the states of `mask`, up to `limit`.
///
/// Where jobs without a row may be among them, the batch is walked in windows that grow: the first page of a
/// fresh range is cheap, and so is a gap behind a million rows.
async fn page(
    connection: &mut SqliteConnection,
    batch: &BatchRow,
    mut wanted: IndexSet,
    mask: i64,
    limit: u32,
) -> Result<Vec<JobRow>, Fault> {
    let limit = limit as usize;
    let rest = batch.has_rest() && mask >> batch.state as u8 & 1 == 1;
    let sql = by_states(mask, [PAGE, PAGE_LIVE, PAGE_FAILED]);
    let mut jobs: Vec<JobRow> = Vec::new();
    let mut width = u32::try_from(limit).unwrap_or(u32::MAX).saturating_mul(2).max(1024);
    while let Some(first) = wanted.first().filter(|_| jobs.len() < limit) {
        let window = IndexSet::range(first, first.saturating_add(width));
        let until = window.ranges().last().map_or(first, |&(_, end)| end);
        let here = wanted.intersection(&window);
        wanted = wanted.difference(&window);
        width = width.saturating_mul(4);

        let free = if rest {
            here.difference(&occupied(connection, batch, first, until).await?)
        } else {
            IndexSet::new()
        };
        let mut free = free.iter().peekable();
        if batch.rows > 0 {
            let rows = sqlx::query(sql)
                .bind(key(batch.id))
                .bind(json("jobs", here.ranges())?)
                .bind(mask)
                .bind((limit - jobs.len()) as i64)
                .fetch_all(&mut *connection)
                .await?;
            for row in &rows {
                let row = JobRow::read(row, batch.marks())?;
                while let Some(index) = free.next_if(|index| *index < row.id.index) {
                    jobs.push(batch.derive(index));
                }
                jobs.push(row);
            }
            // A full page of rows says nothing about what lies behind its last one.
            if jobs.len() >= limit {
                break;
            }
        }
        let room = limit - jobs.len();
        jobs.extend(free.take(room).map(|index| batch.derive(index)));
    }
    jobs.truncate(limit);
    Ok(jobs)
}

pub(crate) async fn indices_in(
    connection: &mut SqliteConnection,
    batch: &BatchRow,
    mask: i64,
) -> Result<IndexSet, Fault> {
    let matching: u64 =
        batch.counts.iter().enumerate().filter(|(state, _)| mask >> state & 1 == 1).map(|(_, n)| n).sum();
    if matching == 0 {
        return Ok(IndexSet::new());
    }
    if matching == u64::from(batch.count) {
        return Ok(IndexSet::range(0, batch.count));
    }
    let mut jobs = IndexSet::new();
    if batch.rows > 0 {
        let sql = by_states(mask, [INDICES, INDICES_LIVE, INDICES_FAILED]);
        let rows = sqlx::query(sql).bind(key(batch.id)).bind(mask).fetch_all(&mut *connection).await?;
        jobs = rows.iter().map(range).collect::<Result<_, _>>()?;
    }
    if batch.has_rest() && mask >> batch.state as u8 & 1 == 1 {
        let occupied = occupied(connection, batch, 0, batch.count).await?;
        jobs = jobs.union(&IndexSet::range(0, batch.count).difference(&occupied));
    }
    Ok(jobs)
}
