//! Chunks: how the submissions of a batch go to a scheduler, and how far each has come.

use cluster_core::{
    BatchId, Cause, IndexSet, JobState, ParseError, RemoteId, SubmissionNumber, Tag, Timestamp,
};
use sqlx::query::Query;
use sqlx::sqlite::{Sqlite, SqliteArguments};
use sqlx::{Row, SqliteConnection};

use crate::batch::{BatchRow, get, key};
use crate::columns::{Columns, Packed, packed, together};
use crate::error::StoreError;
use crate::fault::{Fault, json};
use crate::open::Store;
use crate::range_ops::{Unstarted, set_jobs};
use crate::rows_sql::{ranges, rows_in_ranges};
use crate::runs::Runs;
use crate::statements::statements;

/// One call of the scheduler for some jobs of a batch, to be recorded before it is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSubmission {
    /// Its own tag, by which the scheduler's queue can be searched for it.
    pub tag: Tag,
    /// Its jobs; the task number of a job is its position in the set.
    pub jobs: IndexSet,
    /// As a native array, not as one job alone.
    pub array: bool,
    /// At most so many of its jobs run at a time.
    pub throttle: Option<u32>,
    /// What is handed over to the scheduler as dependencies, in JSON.
    pub depends: Option<String>,
}

impl NewSubmission {
    /// These jobs, as an array where they are several, without throttle and dependencies.
    pub fn new(tag: Tag, jobs: IndexSet) -> Self {
        let array = jobs.len() > 1;
        Self { tag, jobs, array, throttle: None, depends: None }
    }
}

/// A submission as it goes, or went, to its scheduler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChunkRow {
    /// The batch.
    pub batch: BatchId,
    /// The submission's number there.
    pub k: SubmissionNumber,
    /// Its tag.
    pub tag: Tag,
    /// When it was recorded.
    pub created: Timestamp,
    /// Its jobs; the task number of a job is its position in the set.
    pub jobs: IndexSet,
    /// The run that each of them had then.
    pub runs: Runs,
    /// As a native array, not as one job alone.
    pub array: bool,
    /// At most so many of its jobs run at a time.
    pub throttle: Option<u32>,
    /// What was handed over to the scheduler as dependencies, in JSON.
    pub depends: Option<String>,
    /// When the submit command was last begun.
    pub tried: Option<Timestamp>,
    /// How often it was begun.
    pub tries: u32,
    /// When a try ended without an answer: the scheduler may have accepted it. Cleared when it is known to be
    /// sent; a later `tried` means that a search had found nothing.
    pub doubt: Option<Timestamp>,
    /// The scheduler's id of it.
    pub remote: Option<RemoteId>,
    /// When the scheduler accepted it.
    pub sent: Option<Timestamp>,
    /// All its jobs have ended: there is nothing to follow.
    pub over: bool,
}

macro_rules! chunk_columns {
    () => {
        packed!(
            "c.batch, char(31), c.k, char(31), s.tag, char(31), s.created, char(31), c.jobs, char(31), c.runs",
            "c.array, char(31), c.throttle, char(31), json_quote(c.depends), char(31), c.tried, char(31), c.tries",
            "c.doubt, char(31), json_quote(c.remote), char(31), c.sent, char(31), c.over",
        )
    };
}

impl ChunkRow {
    /// As a submission of a batch was recorded that was just taken in at `created`.
    pub fn new(batch: BatchId, k: SubmissionNumber, new: &NewSubmission, created: Timestamp) -> Self {
        Self {
            batch,
            k,
            tag: new.tag.clone(),
            created,
            jobs: new.jobs.clone(),
            runs: Runs::all(1),
            array: new.array,
            throttle: new.throttle,
            depends: new.depends.clone(),
            tried: None,
            tries: 0,
            doubt: None,
            remote: None,
            sent: None,
            over: false,
        }
    }

    fn read(mut c: Columns<'_>) -> Result<Self, sqlx::Error> {
        Ok(Self {
            batch: BatchId(c.number()?),
            k: c.number()?,
            tag: c.parsed()?,
            created: c.time()?,
            jobs: c.parsed()?,
            runs: c.parsed()?,
            array: c.number::<u8>()? != 0,
            throttle: c.opt_number()?,
            depends: c.opt_text()?,
            tried: c.opt_time()?,
            tries: c.number()?,
            doubt: c.opt_time()?,
            remote: c.opt_text()?.map(RemoteId),
            sent: c.opt_time()?,
            over: c.number::<u8>()? != 0,
        })
    }
}

macro_rules! chunk_tried {
    () => {
        "UPDATE chunk SET tried = ?3, tries = tries + 1 WHERE batch = ?1 AND k = ?2"
    };
}

macro_rules! untouched {
    () => {
        "SELECT rows = 0 AND state < 7 AND cancel_requested IS NULL FROM batch WHERE id = ?1"
    };
}

// From state 1, submitting, to ?5: 2 queued or 3 held.
macro_rules! batch_sent_untouched {
    () => {
        "UPDATE batch SET state = ?5, changed = ?3, n1 = 0, n2 = iif(?5 = 2, count, 0), n3 = iif(?5 = 3, count, 0) \
         WHERE id = ?1 AND rows = 0 AND state = 1 AND n1 = count AND cancel_requested IS NULL AND reason IS NULL \
         AND (SELECT min(c.k) = ?2 AND max(c.k) = ?2 FROM chunk c WHERE c.batch = ?1) RETURNING count"
    };
}

macro_rules! chunk_sent_by_batch {
    () => {
        "UPDATE chunk SET remote = ?4, sent = ?3, doubt = NULL WHERE batch = ?1 AND k = ?2 AND changes() = 1"
    };
}

/// The whole of an untouched batch and its one chunk, in one call of the connection's thread instead of three.
const SENT_UNTOUCHED: &str = concat!(batch_sent_untouched!(), "; ", chunk_sent_by_batch!());

statements! {
    CHUNKS = together!(
        "SELECT ", chunk_columns!(), " FROM chunk c CROSS JOIN submission s ON s.batch = c.batch AND s.k = c.k \
         WHERE c.batch = ?1 ORDER BY c.k LIMIT -1"
    );
    OPEN_CHUNKS = together!(
        "SELECT ", chunk_columns!(), " FROM chunk c INDEXED BY chunk_open \
         CROSS JOIN batch b ON b.id = c.batch AND b.system = ?1 \
         CROSS JOIN submission s ON s.batch = c.batch AND s.k = c.k \
         WHERE c.over = 0 ORDER BY c.batch, c.k LIMIT -1"
    );
    CHUNKS_OF_REMOTE = together!(
        "SELECT ", chunk_columns!(), " FROM chunk c INDEXED BY chunk_remote \
         CROSS JOIN submission s ON s.batch = c.batch AND s.k = c.k \
         WHERE c.remote = ?1 ORDER BY c.batch, c.k LIMIT -1"
    );
    INSERT_CHUNKS =
        "INSERT INTO chunk (batch, k, jobs, runs, array, throttle, depends) \
         SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6 \
         FROM json_each(?1)";
    UNTOUCHED = untouched!();
    #[cfg(test)]
    BATCH_SENT_UNTOUCHED = batch_sent_untouched!();
    #[cfg(test)]
    CHUNK_SENT_BY_BATCH = chunk_sent_by_batch!();
    CHUNK_TRIED = chunk_tried!();
    CHUNK_TRIED_UNTOUCHED = concat!(chunk_tried!(), " AND (", untouched!(), ")");
    CHUNK_DEPENDS = "UPDATE chunk SET depends = ?3 WHERE batch = ?1 AND k = ?2";
    CHUNK_UNTRIED = "UPDATE chunk SET tried = NULL WHERE batch = ?1 AND k = ?2";
    // Each system once: as many steps as there are systems and open chunks.
    OPEN_SYSTEMS =
        "SELECT DISTINCT b.system FROM chunk c INDEXED BY chunk_open CROSS JOIN batch b ON b.id = c.batch \
         WHERE c.over = 0 LIMIT -1";
    CHUNK_DOUBT = "UPDATE chunk SET doubt = ?3 WHERE batch = ?1 AND k = ?2";
    CHUNK_SENT = "UPDATE chunk SET remote = ?4, sent = ?3, doubt = NULL WHERE batch = ?1 AND k = ?2 RETURNING jobs";
    CHUNK_OVER = "UPDATE chunk SET over = 1 WHERE batch = ?1 AND k = ?2 RETURNING jobs";
    // The jobs of batch ?1 in the ranges ?2 whose newest submission is another.
    OF_OTHER_K = together!(
        "SELECT ", packed!("min(idx)", "max(idx) + 1"), " FROM ( \
            SELECT idx, idx - row_number() OVER (ORDER BY idx) AS island FROM (",
        rows_in_ranges!("j.k <> ?3"), ") jobs) GROUP BY island LIMIT -1"
    );
}

impl Store {
    /// How the submissions of a batch went out, in the order of their numbers. A batch that does not go
    /// through a scheduler has none.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn chunks(&mut self, batch: BatchId) -> Result<Vec<ChunkRow>, StoreError> {
        self.read("read the submissions of a batch from", async |connection| {
            let rows = Packed::fetch(connection, sqlx::query(CHUNKS).bind(key(batch))).await?;
            Ok(rows.read(ChunkRow::read)?)
        })
    }

    /// What is to be followed on a system: its chunks that are not over, the oldest first.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn open_chunks(&mut self, system: &str) -> Result<Vec<ChunkRow>, StoreError> {
        self.read("list open submissions of", async |connection| {
            let rows = Packed::fetch(connection, sqlx::query(OPEN_CHUNKS).bind(system)).await?;
            Ok(rows.read(ChunkRow::read)?)
        })
    }

    /// The systems that have something to be followed.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn open_systems(&mut self) -> Result<Vec<String>, StoreError> {
        self.read("list systems of", async |connection| {
            let rows = sqlx::query(OPEN_SYSTEMS).fetch_all(connection).await?;
            let names: Result<Vec<String>, sqlx::Error> = rows.iter().map(|row| row.try_get(0)).collect();
            Ok(names?)
        })
    }

    /// The chunks with this id of a scheduler: schedulers of several systems may use the same.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn chunks_of_remote(&mut self, remote: &RemoteId) -> Result<Vec<ChunkRow>, StoreError> {
        self.read("look for a scheduler's id in", async |connection| {
            let rows =
                Packed::fetch(connection, sqlx::query(CHUNKS_OF_REMOTE).bind(remote.0.as_str())).await?;
            Ok(rows.read(ChunkRow::read)?)
        })
    }

    /// Whether no job of a batch has a fact of its own, none has ended, and no end was asked for. False where there is
    /// no such batch.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn is_untouched(&mut self, batch: BatchId) -> Result<bool, StoreError> {
        self.read("look at a batch of", async |connection| {
            let untouched = sqlx::query_scalar(UNTOUCHED).bind(key(batch));
            Ok(untouched.fetch_optional(connection).await?.unwrap_or(false))
        })
    }

    /// Records that the submit command is about to be run. To be called before it is.
    ///
    /// # Errors
    /// Where the submission has no chunk, or the store cannot be written.
    pub fn mark_tried(
        &mut self,
        batch: BatchId,
        k: SubmissionNumber,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        self.mark_chunk(batch, k, at, CHUNK_TRIED)
    }

    /// Replaces what is handed over with a submission that has not been sent.
    ///
    /// # Errors
    /// As [`Self::mark_tried`].
    pub fn set_depends(
        &mut self,
        batch: BatchId,
        k: SubmissionNumber,
        depends: Option<&str>,
    ) -> Result<(), StoreError> {
        self.write_one("record a submission in", async |connection| {
            let query = sqlx::query(CHUNK_DEPENDS).bind(key(batch)).bind(k).bind(depends);
            if query.execute(connection).await?.rows_affected() == 0 {
                return Err(StoreError::UnknownSubmission { batch, k }.into());
            }
            Ok(())
        })
    }

    /// Records that the submit command was run and has not got through for certain: it counts as never tried.
    ///
    /// # Errors
    /// As [`Self::mark_tried`].
    pub fn mark_untried(&mut self, batch: BatchId, k: SubmissionNumber) -> Result<(), StoreError> {
        self.mark_chunk(batch, k, Timestamp(0), CHUNK_UNTRIED)
    }

    /// Records that the submit command gave no answer: the scheduler may have accepted it.
    ///
    /// # Errors
    /// As [`Self::mark_tried`].
    pub fn mark_doubt(
        &mut self,
        batch: BatchId,
        k: SubmissionNumber,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        self.mark_chunk(batch, k, at, CHUNK_DOUBT)
    }

    /// Records that all jobs of a chunk have ended, so that it is no longer followed.
    ///
    /// # Errors
    /// As [`Self::mark_tried`].
    pub fn mark_over(&mut self, batch: BatchId, k: SubmissionNumber) -> Result<(), StoreError> {
        self.mark_chunk(batch, k, Timestamp(0), CHUNK_OVER)
    }

    fn mark_chunk(
        &mut self,
        batch: BatchId,
        k: SubmissionNumber,
        at: Timestamp,
        sql: &'static str,
    ) -> Result<(), StoreError> {
        self.write_one("record a submission in", async |connection| {
            let query = sqlx::query(sql).bind(key(batch)).bind(k);
            let query = if [CHUNK_OVER, CHUNK_UNTRIED].contains(&sql) { query } else { query.bind(at.0) };
            let done = query.execute(connection).await?;
            if done.rows_affected() == 0 {
                return Err(StoreError::UnknownSubmission { batch, k }.into());
            }
            Ok(())
        })
    }

    /// [`Self::mark_tried`], if the batch [is untouched](Self::is_untouched); whether it was.
    ///
    /// # Errors
    /// Where the store cannot be written.
    pub fn mark_tried_untouched(
        &mut self,
        batch: BatchId,
        k: SubmissionNumber,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        self.write_one("record a submission in", async |connection| {
            let query = sqlx::query(CHUNK_TRIED_UNTOUCHED).bind(key(batch)).bind(k).bind(at.0);
            Ok(query.execute(connection).await?.rows_affected() > 0)
        })
    }

    /// Records the scheduler's id of a chunk. Those of its jobs that were `submitting` are queued, or held,
    /// from now on; others stay as they are, and no doubt is left. How many moved.
    ///
    /// # Errors
    /// As [`Self::mark_tried`].
    pub fn mark_sent(
        &mut self,
        batch: BatchId,
        k: SubmissionNumber,
        remote: &RemoteId,
        at: Timestamp,
        held: bool,
    ) -> Result<u64, StoreError> {
        let state = if held { JobState::Held } else { JobState::Queued };
        self.write("record a submission in", async |connection| {
            let untouched = sqlx::query(SENT_UNTOUCHED).bind(key(batch)).bind(k).bind(at.0);
            let untouched = untouched.bind(remote.0.as_str()).bind(state as u8);
            if let [row] = &untouched.fetch_all(&mut *connection).await?[..] {
                return Ok(row.try_get::<u32, _>(0)?.into());
            }
            let batch = get(connection, batch).await?;
            let sent = sqlx::query(CHUNK_SENT).bind(key(batch.id)).bind(k).bind(at.0).bind(remote.0.as_str());
            let jobs = newest_of(connection, &batch, k, sent).await?;
            set_jobs(connection, &batch, Some(&jobs), &Unstarted::Sent { held }, at).await
        })
    }

    /// Records that a chunk will not run: those of its jobs that have not started end with this cause, and
    /// there is nothing left to follow. How many ended.
    ///
    /// # Errors
    /// Where the cause is no failure, and as [`Self::mark_tried`].
    pub fn mark_refused(
        &mut self,
        batch: BatchId,
        k: SubmissionNumber,
        cause: Cause,
        reason: &str,
        at: Timestamp,
    ) -> Result<u64, StoreError> {
        if cause.state() != JobState::Failed {
            return Err(StoreError::BadState { state: cause.state() });
        }
        self.write("record a refusal in", async |connection| {
            let batch = get(connection, batch).await?;
            let over = sqlx::query(CHUNK_OVER).bind(key(batch.id)).bind(k);
            let jobs = newest_of(connection, &batch, k, over).await?;
            let end = Unstarted::Ended { cause, reason: Some(reason.to_owned()) };
            set_jobs(connection, &batch, Some(&jobs), &end, at).await
        })
    }
}

/// The jobs whose newest submission is the chunk that `changing` changes and names; others of it have been submitted
/// again since.
async fn newest_of(
    connection: &mut SqliteConnection,
    batch: &BatchRow,
    k: SubmissionNumber,
    changing: Query<'_, Sqlite, SqliteArguments>,
) -> Result<IndexSet, Fault> {
    let found = changing.fetch_all(&mut *connection).await?;
    let Some(row) = found.first() else {
        return Err(StoreError::UnknownSubmission { batch: batch.id, k }.into());
    };
    let jobs: String = row.try_get(0)?;
    let mut jobs: IndexSet = jobs
        .parse()
        .map_err(|e: ParseError| sqlx::Error::ColumnDecode { index: "jobs".to_owned(), source: e.into() })?;
    if batch.rows > 0 {
        let query = sqlx::query(OF_OTHER_K).bind(key(batch.id)).bind(json("jobs", jobs.ranges())?).bind(k);
        jobs = jobs.difference(&ranges(&Packed::fetch(connection, query).await?)?);
    }
    Ok(jobs)
}

/// Writes the chunks of submissions that were just recorded.
pub(crate) async fn insert_chunks(
    connection: &mut SqliteConnection,
    chunks: &[(BatchId, SubmissionNumber, &NewSubmission, Runs)],
) -> Result<(), Fault> {
    let rows: Vec<_> = chunks
        .iter()
        .map(|(batch, k, new, runs)| {
            let (jobs, runs) = (new.jobs.to_string(), runs.to_string());
            (batch, k, jobs, runs, u8::from(new.array), new.throttle, new.depends.as_deref())
        })
        .collect();
    sqlx::query(INSERT_CHUNKS).bind(json("chunks", &rows)?).execute(connection).await?;
    Ok(())
}

/// Whether these can be the submissions of jobs of one batch: none empty, none twice. What they cover.
pub(crate) fn covered(submissions: &[NewSubmission]) -> Result<IndexSet, ParseError> {
    let wrong = |jobs: &IndexSet, rule| ParseError::new("submission", jobs.to_string(), rule);
    let mut all: Vec<(u32, u32)> = Vec::new();
    let mut count = 0;
    for new in submissions {
        if new.jobs.is_empty() {
            return Err(wrong(&new.jobs, "at least one job in each"));
        }
        if !new.array && new.jobs.len() > 1 {
            return Err(wrong(&new.jobs, "one job where it is no array"));
        }
        count += new.jobs.len();
        all.extend(new.jobs.ranges());
    }
    let all: IndexSet = all.into_iter().collect();
    if all.len() != count {
        return Err(wrong(&all, "each job in one submission only"));
    }
    Ok(all)
}
