//! Reading jobs: rows and ranges merged in the order of their indices, page by page.

use cluster_core::{BatchId, IndexSet, JobId, JobIndex, JobState};
use sqlx::SqliteConnection;

use crate::batch::{BatchRow, find, get, key, mask};
use crate::columns::{Packed, packed, together};
use crate::error::StoreError;
use crate::fault::{Fault, json};
use crate::job::{JobRow, RunRow, job_columns, run_columns};
use crate::open::Store;
use crate::rows_sql::{occupied, ranges, slice};
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
        together!(
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
        together!(
            "SELECT ",
            packed!("min(idx)", "max(idx) + 1"),
            " FROM ( \
                SELECT idx, idx - row_number() OVER (ORDER BY idx) AS island FROM job \
                WHERE batch = ?1 AND ?2 >> state & 1 ",
            $condition,
            ") GROUP BY island LIMIT -1"
        )
    };
}

statements! {
    JOB = together!("SELECT ", job_columns!(), " FROM job j WHERE j.batch = ?1 AND j.idx = ?2 LIMIT 1");
    PAGE = page!("", "");
    // One range, which is the usual case, is read in order without sorting.
    PAGE_SPAN = together!(
        "SELECT ", job_columns!(), " FROM job j WHERE j.batch = ?1 AND j.idx >= ?2 AND j.idx < ?5 \
         AND ?3 >> j.state & 1 ORDER BY j.idx LIMIT ?4"
    );
    PAGE_LIVE = page!("INDEXED BY job_live", "AND j.state < 7");
    PAGE_FAILED = page!("INDEXED BY job_failed", "AND j.state = 8");
    INDICES = islands!("");
    INDICES_LIVE = islands!("AND state < 7");
    INDICES_FAILED = islands!("AND state = 8");
    // 9 is `lost`.
    INDICES_LOST = islands!("AND state = 8 AND cause = 9");
    RUNS = together!(
        "SELECT ", run_columns!(), " FROM run j WHERE j.batch = ?1 AND j.idx = ?2 ORDER BY j.run LIMIT -1"
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

    /// The indices of the jobs of a batch that are lost.
    ///
    /// # Errors
    /// As [`Self::jobs`].
    pub fn lost_in(&mut self, batch: BatchId) -> Result<IndexSet, StoreError> {
        self.snapshot("list lost jobs of", async |connection| {
            let batch = get(connection, batch).await?;
            let mask = mask(&[JobState::Failed]);
            // A job has a row when it is lost: it had started, or was sent.
            if count(&batch, mask) == 0 || batch.rows == 0 {
                return Ok(IndexSet::new());
            }
            let query = sqlx::query(INDICES_LOST).bind(key(batch.id)).bind(mask);
            Ok(ranges(&Packed::fetch(connection, query).await?)?)
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
                Packed::fetch(connection, sqlx::query(RUNS).bind(key(id.batch)).bind(id.index)).await?;
            let mut runs = rows.read(|row| JobRow::read(row, (None, None)))?;
            let newest = one(connection, &batch, id.index).await?;
            runs.push(newest);
            Ok(runs.into_iter().filter(JobRow::has_begun).map(JobRow::into_run).collect())
        })
    }
}

async fn one(connection: &mut SqliteConnection, batch: &BatchRow, index: JobIndex) -> Result<JobRow, Fault> {
    if batch.rows > 0 {
        let rows = Packed::fetch(connection, sqlx::query(JOB).bind(key(batch.id)).bind(index)).await?;
        if let Some(row) = rows.rows().next() {
            return Ok(JobRow::read(row, batch.marks())?);
        }
    }
    Ok(batch.derive(index))
}

/// The jobs in `wanted` and in the states of `mask`, up to `limit`.
///
/// The batch is walked in windows that grow: the first page of a fresh range is cheap, and so is a gap
/// behind a million rows.
async fn page(
    connection: &mut SqliteConnection,
    batch: &BatchRow,
    mut wanted: IndexSet,
    mask: i64,
    limit: u32,
) -> Result<Vec<JobRow>, Fault> {
    let limit = limit as usize;
    let rest = batch.has_rest() && mask >> batch.state as u8 & 1 == 1;
    let matching = count(batch, mask) - if rest { u64::from(batch.count - batch.rows) } else { 0 };
    // The index of live or failed rows is walked from end to end: worth it where they are few.
    let few = matching < u64::from(batch.rows) / 8;
    let sql = if few { by_states(mask, [PAGE, PAGE_LIVE, PAGE_FAILED]) } else { PAGE };
    let mut width = if sql == PAGE || rest {
        u32::try_from(limit).unwrap_or(u32::MAX).saturating_mul(2).max(1024)
    } else {
        u32::MAX
    };
    let mut jobs: Vec<JobRow> = Vec::new();
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
        if matching > 0 {
            let rows = rows_of(connection, batch, sql, &here, mask, limit - jobs.len()).await?;
            for row in rows.rows() {
                let row = JobRow::read(row, batch.marks())?;
                while jobs.len() < limit
                    && let Some(index) = free.next_if(|index| *index < row.id.index)
                {
                    jobs.push(batch.derive(index));
                }
                if jobs.len() >= limit {
                    break;
                }
                jobs.push(row);
            }
        }
        let room = limit - jobs.len();
        jobs.extend(free.take(room).map(|index| batch.derive(index)));
    }
    Ok(jobs)
}

async fn rows_of(
    connection: &mut SqliteConnection,
    batch: &BatchRow,
    sql: &'static str,
    jobs: &IndexSet,
    mask: i64,
    limit: usize,
) -> Result<Packed, Fault> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let query = match jobs.ranges() {
        [(start, end)] if sql == PAGE => {
            sqlx::query(PAGE_SPAN).bind(key(batch.id)).bind(*start).bind(mask).bind(limit).bind(*end)
        }
        ranges => sqlx::query(sql).bind(key(batch.id)).bind(json("jobs", ranges)?).bind(mask).bind(limit),
    };
    Ok(Packed::fetch(connection, query).await?)
}

/// How many jobs of a batch are in the states of `mask`.
fn count(batch: &BatchRow, mask: i64) -> u64 {
    batch.counts.iter().filter(|(state, _)| mask >> *state as u8 & 1 == 1).map(|(_, n)| n).sum()
}

pub(crate) async fn indices_in(
    connection: &mut SqliteConnection,
    batch: &BatchRow,
    mask: i64,
) -> Result<IndexSet, Fault> {
    let matching = count(batch, mask);
    if matching == 0 {
        return Ok(IndexSet::new());
    }
    if matching == u64::from(batch.count) {
        return Ok(IndexSet::range(0, batch.count));
    }
    let mut jobs = IndexSet::new();
    if batch.rows > 0 {
        let sql = by_states(mask, [INDICES, INDICES_LIVE, INDICES_FAILED]);
        jobs = ranges(&Packed::fetch(connection, sqlx::query(sql).bind(key(batch.id)).bind(mask)).await?)?;
    }
    if batch.has_rest() && mask >> batch.state as u8 & 1 == 1 {
        let occupied = occupied(connection, batch, 0, batch.count).await?;
        jobs = jobs.union(&IndexSet::range(0, batch.count).difference(&occupied));
    }
    Ok(jobs)
}
