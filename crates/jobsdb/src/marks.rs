//! The end of a batch's life: collected, cleaned, removed.

use cluster_core::{BatchId, IndexSet, Timestamp};

use crate::batch::{get, key};
use crate::error::StoreError;
use crate::fault::json;
use crate::open::Store;
use crate::range_ops::give_rows;
use crate::rows_sql::{rows_in_ranges, slice};
use crate::statements::statements;

statements! {
    // Only a job that ran again has the mark "not", and only where the batch as a whole has one does it matter.
    COLLECT_BATCH = "UPDATE batch SET collected = coalesce(collected, ?2) WHERE id = ?1";
    COLLECT_AGAIN = "UPDATE job SET collected = ?2 WHERE batch = ?1 AND run > 1 AND collected = 0";
    COLLECT_ROWS = concat!(
        "UPDATE job SET collected = ?3 WHERE batch = ?1 AND state >= 7 \
         AND (collected = 0 OR collected IS NULL AND (SELECT collected FROM batch WHERE id = ?1) IS NULL) \
         AND idx IN (", rows_in_ranges!("+j.state >= 7"), ")"
    );
    CLEAN_BATCH = "UPDATE batch SET cleaned = coalesce(cleaned, ?2) WHERE id = ?1";
    CLEAN_AGAIN = "UPDATE job SET cleaned = ?2 WHERE batch = ?1 AND run > 1 AND cleaned = 0";
    CLEAN_ROWS = concat!(
        "UPDATE job SET cleaned = ?3 WHERE batch = ?1 AND state >= 7 \
         AND (cleaned = 0 OR cleaned IS NULL AND (SELECT cleaned FROM batch WHERE id = ?1) IS NULL) \
         AND idx IN (", rows_in_ranges!("+j.state >= 7"), ")"
    );
    REMOVE_BATCH = "DELETE FROM batch WHERE id = ?1";
}

impl Store {
    /// Marks the results of jobs that have ended as consumed; the first time counts.
    ///
    /// # Errors
    /// As [`Self::set_unstarted`].
    pub fn mark_collected(
        &mut self,
        batch: BatchId,
        jobs: Option<&IndexSet>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.mark(batch, jobs, now, [COLLECT_BATCH, COLLECT_AGAIN, COLLECT_ROWS])
    }

    /// Marks the files of jobs that have ended as removed; the first time counts.
    ///
    /// # Errors
    /// As [`Self::set_unstarted`].
    pub fn mark_cleaned(
        &mut self,
        batch: BatchId,
        jobs: Option<&IndexSet>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.mark(batch, jobs, now, [CLEAN_BATCH, CLEAN_AGAIN, CLEAN_ROWS])
    }

    fn mark(
        &mut self,
        batch: BatchId,
        jobs: Option<&IndexSet>,
        now: Timestamp,
        [whole, again, rows]: [&'static str; 3],
    ) -> Result<(), StoreError> {
        self.write("mark jobs in", async |connection| {
            let batch = get(connection, batch).await?;
            let all = IndexSet::range(0, batch.count);
            let jobs = match slice(&batch, jobs)? {
                // The mark of the batch would also cover jobs that end later.
                None if !batch.is_finished() => all,
                None => {
                    sqlx::query(whole).bind(key(batch.id)).bind(now.0).execute(&mut *connection).await?;
                    sqlx::query(again).bind(key(batch.id)).bind(now.0).execute(connection).await?;
                    return Ok(());
                }
                Some(jobs) => jobs,
            };
            if batch.state.is_end() {
                give_rows(connection, &batch, &jobs).await?;
            }
            let ranges = json("jobs", jobs.ranges())?;
            sqlx::query(rows).bind(key(batch.id)).bind(ranges).bind(now.0).execute(connection).await?;
            Ok(())
        })
    }

    /// Removes a batch and all that is stored of it; its id is never used again. One with jobs that have
    /// not ended only with `force`.
    ///
    /// # Errors
    /// Where it is not there or has such jobs, or the store cannot be written.
    pub fn remove_batch(&mut self, batch: BatchId, force: bool) -> Result<(), StoreError> {
        self.write("remove a batch from", async |connection| {
            let batch = get(connection, batch).await?;
            if !force && !batch.is_finished() {
                return Err(StoreError::Unfinished { batch: batch.id, count: batch.unfinished() }.into());
            }
            sqlx::query(REMOVE_BATCH).bind(key(batch.id)).execute(connection).await?;
            Ok(())
        })
    }
}
