//! Jobs that their scheduler's queue no longer shows, while no end is known.

use cluster_core::{BatchId, IndexSet, Timestamp};

use crate::batch::{get, key};
use crate::error::StoreError;
use crate::fault::json;
use crate::open::Store;
use crate::range_ops::give_rows;
use crate::rows_sql::{rows_in_ranges, slice};
use crate::statements::statements;
use sqlx::Row;

statements! {
    MISSING = "SELECT idx FROM job INDEXED BY job_live WHERE batch = ?1 AND state < 7 AND missing_since IS NOT NULL";
    SET_MISSING = concat!(
        "UPDATE job SET missing_since = ?3 WHERE batch = ?1 AND +state < 7 AND missing_since IS NULL \
         AND idx IN (", rows_in_ranges!("+j.state < 7"), ")"
    );
    CLEAR_MISSING = concat!(
        "UPDATE job SET missing_since = NULL WHERE batch = ?1 AND missing_since IS NOT NULL \
         AND idx IN (", rows_in_ranges!("true"), ")"
    );
}

impl Store {
    /// The jobs of a batch that are absent from their scheduler's queue.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn missing(&mut self, batch: BatchId) -> Result<IndexSet, StoreError> {
        self.read("read missing jobs from", async |connection| {
            let rows = sqlx::query(MISSING).bind(key(batch)).fetch_all(connection).await?;
            let found: Result<IndexSet, sqlx::Error> =
                rows.iter().map(|row| row.try_get::<u32, _>(0)).collect();
            Ok(found?)
        })
    }

    /// Records since when jobs that have not ended are absent from their scheduler's queue (the first time
    /// counts), or with `None` that they are there again. How many changed.
    ///
    /// # Errors
    /// Where batch or jobs are not there, or the store cannot be written.
    pub fn set_missing(
        &mut self,
        batch: BatchId,
        jobs: &IndexSet,
        since: Option<Timestamp>,
    ) -> Result<u64, StoreError> {
        self.write("record missing jobs in", async |connection| {
            let batch = get(connection, batch).await?;
            slice(&batch, Some(jobs))?;
            if since.is_some() && !batch.state.is_end() {
                give_rows(connection, &batch, jobs).await?;
            }
            let sql = if since.is_some() { SET_MISSING } else { CLEAR_MISSING };
            let mut query = sqlx::query(sql).bind(key(batch.id)).bind(json("jobs", jobs.ranges())?);
            if let Some(since) = since {
                query = query.bind(since.0);
            }
            Ok(query.execute(connection).await?.rows_affected())
        })
    }
}
