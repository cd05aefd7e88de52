//! Users' own facts about batches and jobs.

use std::collections::BTreeMap;

use cluster_core::{BatchId, IndexSet, JobId};
use sqlx::Row;

use crate::accept::INSERT_META;
use crate::batch::{get, key};
use crate::error::StoreError;
use crate::fault::json;
use crate::open::Store;
use crate::rows_sql::slice;
use crate::statements::statements;

statements! {
    META_OF_BATCH = "SELECT key, value FROM meta WHERE batch = ?1 AND idx = -1";
    // What the batch says (-1) comes first, so that the job's own facts replace it.
    META_OF_JOB = "SELECT key, value FROM meta WHERE batch = ?1 AND idx IN (-1, ?2) ORDER BY idx";
    INSERT_META_OF_JOBS =
        "INSERT INTO meta (batch, idx, key, value) \
         WITH RECURSIVE jobs (i, until) AS ( \
            SELECT value ->> 0, value ->> 1 FROM json_each(?2) \
            UNION ALL SELECT i + 1, until FROM jobs WHERE i + 1 < until) \
         SELECT ?1, i, e.value ->> 0, e.value ->> 1 FROM jobs, json_each(?3) e WHERE true \
         ON CONFLICT DO UPDATE SET value = excluded.value";
    REMOVE_META_OF_BATCH =
        "DELETE FROM meta WHERE batch = ?1 AND idx = -1 AND key IN (SELECT value FROM json_each(?2))";
}

impl Store {
    /// Sets facts of a batch (`jobs` is `None`) or of each of some jobs.
    ///
    /// # Errors
    /// Where batch or jobs are not there, or the store cannot be written.
    pub fn set_meta(
        &mut self,
        batch: BatchId,
        jobs: Option<&IndexSet>,
        entries: &[(String, String)],
    ) -> Result<(), StoreError> {
        self.write("set facts in", async |connection| {
            let batch = get(connection, batch).await?;
            slice(&batch, jobs)?;
            let query = match jobs {
                None => {
                    let rows: Vec<_> =
                        entries.iter().map(|(name, value)| (batch.id, -1, name, value)).collect();
                    sqlx::query(INSERT_META).bind(json("facts", &rows)?)
                }
                Some(jobs) => sqlx::query(INSERT_META_OF_JOBS)
                    .bind(key(batch.id))
                    .bind(json("jobs", jobs.ranges())?)
                    .bind(json("facts", entries)?),
            };
            query.execute(connection).await?;
            Ok(())
        })
    }

    /// Takes facts of a batch away again.
    ///
    /// # Errors
    /// Where the store cannot be written.
    pub fn remove_meta(&mut self, batch: BatchId, keys: &[String]) -> Result<(), StoreError> {
        self.write("remove facts from", async |connection| {
            let query = sqlx::query(REMOVE_META_OF_BATCH).bind(key(batch)).bind(json("keys", keys)?);
            query.execute(connection).await?;
            Ok(())
        })
    }

    /// The facts of a batch, by key.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn meta(&mut self, batch: BatchId) -> Result<BTreeMap<String, String>, StoreError> {
        self.read("read facts from", async |connection| {
            let rows = sqlx::query(META_OF_BATCH).bind(key(batch)).fetch_all(connection).await?;
            Ok(rows
                .iter()
                .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
                .collect::<Result<_, sqlx::Error>>()?)
        })
    }

    /// The facts of a job: those of its batch, and over them its own.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn job_meta(&mut self, id: JobId) -> Result<BTreeMap<String, String>, StoreError> {
        self.read("read facts from", async |connection| {
            let query = sqlx::query(META_OF_JOB).bind(key(id.batch)).bind(id.index);
            let rows = query.fetch_all(connection).await?;
            Ok(rows
                .iter()
                .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
                .collect::<Result<_, sqlx::Error>>()?)
        })
    }
}
