//! A further submission of some jobs of a batch: the one way out of an end.

use cluster_core::{BatchId, Cause, IndexSet, JobState, SubmissionNumber, Tag, Timestamp};
use sqlx::{Row, SqliteConnection};

use crate::accept::{INSERT_SUBMISSIONS, may_begin, with_tag};
use crate::batch::{BatchRow, get, key};
use crate::chunk::{CHUNK_OVER, NewSubmission, covered, insert_chunks};
use crate::columns::{Packed, packed, together};
use crate::error::StoreError;
use crate::fault::{Fault, json};
use crate::open::Store;
use crate::range_ops::{Unstarted, give_rows, missing, set_jobs};
use crate::rows_sql::{Counts, add_counts, by_state, rows_in_ranges};
use crate::runs::Runs;
use crate::statements::statements;

statements! {
    NEXT_K = "SELECT max(k) + 1 FROM submission WHERE batch = ?1";
    // created (0) was never sent; of the others only ends can be submitted again.
    NOT_ENDED = concat!(
        "SELECT count(*), min(idx) FROM job WHERE batch = ?1 AND +state < 7 AND state > 0 \
         AND idx IN (", rows_in_ranges!("+j.state < 7"), ")"
    );
    COUNT_ROWS = concat!(
        "SELECT state, count(*) FROM job WHERE batch = ?1 AND idx IN (", rows_in_ranges!("true"), ") GROUP BY state"
    );
    KEEP_RUNS = concat!(
        "INSERT INTO run (batch, idx, run, k, state, cause, cause_arg, status, reason, changed, started, ended, host, \
            pid, remote, pack, out_at, out_len, err_at, err_len, cpu_us, max_rss_kb, evidence, cancel_requested) \
         SELECT batch, idx, run, k, state, cause, cause_arg, status, reason, changed, started, ended, host, pid, \
            remote, pack, out_at, out_len, err_at, err_len, cpu_us, max_rss_kb, evidence, cancel_requested \
         FROM job WHERE batch = ?1 AND state >= 7 AND idx IN (", rows_in_ranges!("+j.state >= 7"), ")"
    );
    RESET_ROWS = concat!(
        "UPDATE job SET run = run + (state >= 7), k = ?3, state = ?4, changed = ?5, cause = NULL, cause_arg = NULL, \
            status = NULL, reason = NULL, started = NULL, ended = NULL, host = NULL, pid = NULL, remote = NULL, \
            pack = NULL, out_at = NULL, out_len = NULL, err_at = NULL, err_len = NULL, cpu_us = NULL, \
            max_rss_kb = NULL, evidence = NULL, cancel_requested = NULL, collected = iif(state >= 7, 0, collected), \
            cleaned = iif(state >= 7, 0, cleaned), missing_since = NULL \
         WHERE batch = ?1 AND idx IN (", rows_in_ranges!("true"), ")"
    );
    SET_K = concat!("UPDATE job SET k = ?3 WHERE batch = ?1 AND idx IN (", rows_in_ranges!("true"), ")");
    // Which of them are in which run, as ranges in order.
    RUNS_OF_ROWS = together!(
        "SELECT ", packed!("min(idx)", "max(idx) + 1", "run"), " FROM ( \
            SELECT idx, run, idx - row_number() OVER (PARTITION BY run ORDER BY idx) AS island \
            FROM (SELECT j.idx, j.run FROM json_each(?2) r CROSS JOIN job j WHERE j.batch = ?1 \
                AND j.idx >= r.value ->> 0 AND j.idx < r.value ->> 1) jobs) \
         GROUP BY run, island ORDER BY min(idx) LIMIT -1"
    );
    ASKED = "SELECT idx FROM job WHERE batch = ?1 AND state < 7 AND cancel_requested IS NOT NULL";
    INSERT_SUBMISSION = "INSERT INTO submission (batch, k, tag, jobs, created) VALUES (?1, ?2, ?3, ?4, ?5)";
}

impl Store {
    /// Records a further submission of `jobs` and returns its number. Jobs that have ended get a new run,
    /// those that were only created keep theirs; all begin as `state`. A tag that is there already returns
    /// the number it got.
    ///
    /// # Errors
    /// Where the batch or a job is not there, a job is on its way or running, or the store cannot be written.
    pub fn resubmit(
        &mut self,
        batch: BatchId,
        jobs: &IndexSet,
        tag: &Tag,
        state: JobState,
        now: Timestamp,
    ) -> Result<SubmissionNumber, StoreError> {
        if !may_begin(state) {
            return Err(StoreError::BadState { state });
        }
        self.write("add a submission to", async |connection| {
            if let Some(known) = with_tag(connection, tag).await? {
                return Ok(known.k);
            }
            let batch = get(connection, batch).await?;
            if jobs.is_empty() {
                return Err(StoreError::NoJobs(batch.id).into());
            }
            // The whole is a slice as well here: each job gets a row.
            crate::rows_sql::slice(&batch, Some(jobs))?;
            let k = begin_again(connection, &batch, jobs, state, now).await?;
            sqlx::query(INSERT_SUBMISSION)
                .bind(key(batch.id))
                .bind(k)
                .bind(tag.as_str())
                .bind(jobs.to_string())
                .bind(now.0)
                .execute(connection)
                .await?;
            Ok(k)
        })
    }

    /// The same for jobs that go to a scheduler, perhaps in several calls of it: records these in one
    /// transaction and returns their numbers, which follow each other. Where the first tag is there already
    /// they have been recorded, and the numbers are those that they got.
    ///
    /// # Errors
    /// Where a job is in two of them, and as [`Self::resubmit`].
    pub fn resubmit_chunks(
        &mut self,
        batch: BatchId,
        submissions: &[NewSubmission],
        state: JobState,
        now: Timestamp,
    ) -> Result<Vec<SubmissionNumber>, StoreError> {
        if !may_begin(state) {
            return Err(StoreError::BadState { state });
        }
        let jobs = covered(submissions).map_err(|e| StoreError::BadSubmissions { detail: e.to_string() })?;
        self.write("add submissions to", async |connection| {
            let Some(first) = submissions.first() else { return Err(StoreError::NoJobs(batch).into()) };
            if let Some(known) = with_tag(connection, &first.tag).await? {
                return Ok((known.k..).take(submissions.len()).collect());
            }
            let batch = get(connection, batch).await?;
            crate::rows_sql::slice(&batch, Some(&jobs))?;
            let first_k = begin_again(connection, &batch, &jobs, state, now).await?;
            let ks: Vec<_> = (first_k..).take(submissions.len()).collect();
            record(connection, &batch, &ks, submissions, &jobs, now).await?;
            Ok(ks)
        })
    }
}

/// What becomes of the jobs of a chunk that was not sent: [`Store::cut_chunk`].
#[derive(Debug, Clone, Copy)]
pub struct Cut<'a> {
    /// These end as cancelled.
    pub cancelled: &'a IndexSet,
    /// For this reason, in words.
    pub reason: &'a str,
    /// The others go out as this.
    pub rest: &'a NewSubmission,
    /// And begin as this.
    pub state: JobState,
}

impl Store {
    /// Ends jobs of a chunk that was not sent as cancelled, and records what is left of it as a further submission, in
    /// whose place it is: its number, or `k` where nothing is. Those whose end was asked for are ended with them. A tag
    /// that is there already returns the number it got.
    ///
    /// # Errors
    /// As [`Self::resubmit`]; what is left must be created, submitting or held.
    pub fn cut_chunk(
        &mut self,
        batch: BatchId,
        k: SubmissionNumber,
        cut: &Cut<'_>,
        now: Timestamp,
    ) -> Result<SubmissionNumber, StoreError> {
        let &Cut { cancelled, reason, rest, state } = cut;
        if !may_begin(state) {
            return Err(StoreError::BadState { state });
        }
        let jobs = covered(std::slice::from_ref(rest))
            .map_err(|e| StoreError::BadSubmissions { detail: e.to_string() })?;
        self.write("add a submission to", async |connection| {
            if let Some(known) = with_tag(connection, &rest.tag).await? {
                return Ok(known.k);
            }
            // Others may have asked for the end of more of them meanwhile.
            let rows = sqlx::query(ASKED).bind(key(batch)).fetch_all(&mut *connection).await?;
            let asked: Result<IndexSet, sqlx::Error> =
                rows.iter().map(|row| row.try_get::<u32, _>(0)).collect();
            let asked = asked?.intersection(&jobs);
            let jobs = jobs.difference(&asked);
            let end = Unstarted::Ended { cause: Cause::Cancelled, reason: Some(reason.to_owned()) };
            let row = get(connection, batch).await?;
            set_jobs(connection, &row, Some(cancelled), &end, now).await?;
            let row = get(connection, batch).await?;
            set_jobs(connection, &row, Some(&asked), &end, now).await?;
            if jobs.is_empty() {
                sqlx::query(CHUNK_OVER).bind(key(batch)).bind(k).execute(connection).await?;
                return Ok(k);
            }
            let rest = NewSubmission { array: jobs.len() > 1, jobs: jobs.clone(), ..rest.clone() };
            let row = get(connection, batch).await?;
            set_jobs(connection, &row, Some(&jobs), &Unstarted::Created, now).await?;
            let row = get(connection, batch).await?;
            let new = begin_again(connection, &row, &jobs, state, now).await?;
            record(connection, &row, &[new], std::slice::from_ref(&rest), &jobs, now).await?;
            sqlx::query(CHUNK_OVER).bind(key(batch)).bind(k).execute(connection).await?;
            Ok(new)
        })
    }
}

/// Writes submissions and chunks whose jobs have begun again with the number of the first.
async fn record(
    connection: &mut SqliteConnection,
    batch: &BatchRow,
    ks: &[SubmissionNumber],
    submissions: &[NewSubmission],
    jobs: &IndexSet,
    now: Timestamp,
) -> Result<(), Fault> {
    for (k, new) in ks.iter().zip(submissions).skip(1) {
        sqlx::query(SET_K)
            .bind(key(batch.id))
            .bind(json("jobs", new.jobs.ranges())?)
            .bind(k)
            .execute(&mut *connection)
            .await?;
    }
    let query = sqlx::query(RUNS_OF_ROWS).bind(key(batch.id)).bind(json("jobs", jobs.ranges())?);
    let runs = Packed::fetch(connection, query).await?;
    let runs = runs.read(|mut c| Ok((c.number()?, c.number()?, c.number()?)))?;
    let numbered = ks.iter().zip(submissions);
    let rows: Vec<_> =
        numbered.clone().map(|(k, new)| (batch.id, k, &new.tag, new.jobs.to_string(), now)).collect();
    sqlx::query(INSERT_SUBMISSIONS).bind(json("submissions", &rows)?).execute(&mut *connection).await?;
    let chunks: Vec<_> =
        numbered.map(|(k, new)| (batch.id, *k, new, Runs::of_jobs(&new.jobs, &runs))).collect();
    insert_chunks(connection, &chunks).await
}

/// Lets jobs begin again, under the next number of a submission.
async fn begin_again(
    connection: &mut SqliteConnection,
    batch: &BatchRow,
    jobs: &IndexSet,
    state: JobState,
    now: Timestamp,
) -> Result<SubmissionNumber, Fault> {
    let id = key(batch.id);
    let ranges = json("jobs", jobs.ranges())?;
    refuse_unended(connection, batch, jobs, &ranges).await?;
    give_rows(connection, batch, jobs).await?;

    let k: SubmissionNumber =
        sqlx::query(NEXT_K).bind(id).fetch_one(&mut *connection).await?.try_get_unchecked(0)?;
    let mut counts = Counts::default();
    let counted = sqlx::query(COUNT_ROWS).bind(id).bind(ranges.as_str()).fetch_all(&mut *connection).await?;
    for (from, n) in by_state(&counted)? {
        counts.transfer(from, state as usize, n);
    }
    sqlx::query(KEEP_RUNS).bind(id).bind(ranges.as_str()).execute(&mut *connection).await?;
    sqlx::query(RESET_ROWS)
        .bind(id)
        .bind(ranges)
        .bind(k)
        .bind(state as u8)
        .bind(now.0)
        .execute(&mut *connection)
        .await?;
    add_counts(connection, [(batch.id.0, counts)]).await?;
    Ok(k)
}

async fn refuse_unended(
    connection: &mut SqliteConnection,
    batch: &BatchRow,
    jobs: &IndexSet,
    ranges: &str,
) -> Result<(), Fault> {
    let mut count = 0;
    let mut first = None;
    if batch.rows > 0 {
        let row = sqlx::query(NOT_ENDED).bind(key(batch.id)).bind(ranges).fetch_one(&mut *connection).await?;
        count = row.try_get_unchecked::<i64, _>(0)? as u64;
        first = row.try_get_unchecked::<Option<u32>, _>(1)?;
    }
    if batch.has_rest() && !batch.state.is_end() && batch.state != JobState::Created {
        let missing = missing(connection, batch, jobs).await?;
        count += missing.len();
        first = first.into_iter().chain(missing.first()).min();
    }
    match first {
        Some(first) => Err(StoreError::NotEnded { batch: batch.id, count, first }.into()),
        None => Ok(()),
    }
}
