//! What a scheduler has to know at its start: batches with jobs that have not ended.

use std::collections::HashMap;

use cluster_core::{BatchId, IndexSet, JobIndex, JobState, RemoteId, RunNumber, SubmissionNumber, Timestamp};

use crate::batch::{BatchRow, batch_columns, key};
use crate::columns::{Columns, Packed, packed, together};
use crate::error::StoreError;
use crate::open::Store;
use crate::range_ops::UNSTARTED;
use crate::statements::statements;

/// A batch with jobs that have not ended.
#[derive(Debug, Clone, PartialEq)]
pub struct UnfinishedBatch {
    /// The batch.
    pub batch: BatchRow,
    /// Its jobs that have not started, by all that tells them apart. The first group of those without a row
    /// comes first, then the others in the order of their smallest index.
    pub unstarted: Vec<UnstartedGroup>,
    /// Its jobs that run, are suspended or in an unknown state, in the order of their indices.
    pub started: Vec<StartedJob>,
}

/// Jobs that wait for their start and are alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnstartedGroup {
    /// Their state: created, submitting, queued or held.
    pub state: JobState,
    /// Their newest submission.
    pub k: SubmissionNumber,
    /// The run that is to come.
    pub run: RunNumber,
    /// Their priority.
    pub priority: i32,
    /// When their end was asked for.
    pub cancel_requested: Option<Timestamp>,
    /// Which they are.
    pub jobs: IndexSet,
}

/// A job that has started and, as far as is known, not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartedJob {
    /// Its index.
    pub index: JobIndex,
    /// Its state.
    pub state: JobState,
    /// Its submission.
    pub k: SubmissionNumber,
    /// Its run.
    pub run: RunNumber,
    /// Its priority.
    pub priority: i32,
    /// When it started.
    pub started: Option<Timestamp>,
    /// Where it runs.
    pub host: Option<String>,
    /// Its process there.
    pub pid: Option<u32>,
    /// The scheduler's id of it.
    pub remote: Option<RemoteId>,
    /// When its end was asked for.
    pub cancel_requested: Option<Timestamp>,
}

impl UnfinishedBatch {
    /// Its unstarted jobs in one state.
    pub fn in_state(&self, state: JobState) -> IndexSet {
        let groups = self.unstarted.iter().filter(|group| group.state == state);
        groups.flat_map(|group| group.jobs.ranges().iter().copied()).collect()
    }
}

/// The batches of one page: unfinished ones of scheduler `?1` behind `?2`, up to `?3` of them.
macro_rules! page {
    () => {
        "(SELECT id FROM batch INDEXED BY batch_unfinished WHERE scheduler = ?1 AND id > ?2 AND count > n7 + n8 \
          ORDER BY id LIMIT ?3) p"
    };
}

statements! {
    ANY_UNFINISHED =
        "SELECT 1 FROM batch INDEXED BY batch_unfinished WHERE scheduler = ?1 AND id > ?2 AND count > n7 + n8 LIMIT 1";
    UNFINISHED_BATCHES = together!(
        "SELECT ", batch_columns!(), " FROM batch INDEXED BY batch_unfinished \
         WHERE scheduler = ?1 AND id > ?2 AND count > n7 + n8 ORDER BY id LIMIT ?3"
    );
    UNSTARTED_ROWS = together!(
        "SELECT ",
        packed!("batch", "state", "k", "run", "priority", "cancel_requested", "min(idx)", "max(idx) + 1"),
        " FROM ( \
            SELECT j.batch, j.state, j.k, j.run, j.priority, j.cancel_requested, j.idx, j.idx - row_number() OVER ( \
                PARTITION BY j.batch, j.state, j.k, j.run, j.priority, j.cancel_requested ORDER BY j.idx) AS island \
            FROM ", page!(), " CROSS JOIN job j ON j.batch = p.id AND j.state < 7 AND j.state < 4) \
         GROUP BY batch, state, k, run, priority, cancel_requested, island ORDER BY batch, min(idx) LIMIT -1"
    );
    STARTED_ROWS = together!(
        "SELECT ",
        packed!(
            "j.batch", "j.idx", "j.state", "j.k", "j.run", "j.priority", "j.started", "json_quote(j.host)", "j.pid",
            "json_quote(j.remote)", "j.cancel_requested"
        ),
        " FROM ", page!(), " CROSS JOIN job j ON j.batch = p.id AND j.state < 7 AND j.state >= 4 \
         ORDER BY j.batch, j.idx LIMIT -1"
    );
    // Only where some jobs have a row and the others have not started is it to be known which.
    OCCUPIED_ROWS = together!(
        "SELECT ", packed!("batch", "min(idx)", "max(idx) + 1"), " FROM ( \
            SELECT j.batch, j.idx, j.idx - row_number() OVER (PARTITION BY j.batch ORDER BY j.idx) AS island \
            FROM ", page!(), " CROSS JOIN batch b ON b.id = p.id AND b.rows > 0 AND b.rows < b.count AND b.state < 4 \
            CROSS JOIN job j ON j.batch = b.id) \
         GROUP BY batch, island LIMIT -1"
    );
}

impl Store {
    /// All batches of a scheduler that have jobs which have not ended, the oldest first.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn unfinished(&mut self, scheduler: &str) -> Result<Vec<UnfinishedBatch>, StoreError> {
        self.unfinished_after(scheduler, None, None)
    }

    /// The same page by page: those behind the batch `after`, up to `limit` of them.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn unfinished_after(
        &mut self,
        scheduler: &str,
        after: Option<BatchId>,
        limit: Option<u32>,
    ) -> Result<Vec<UnfinishedBatch>, StoreError> {
        // Mostly there is nothing, which a small statement says in a fraction of the time that the others take to
        // be read by SQLite.
        let any = sqlx::query(ANY_UNFINISHED).bind(scheduler).bind(after.map_or(0, key));
        let any = self
            .read("list unfinished jobs of", async |connection| Ok(any.fetch_optional(connection).await?))?;
        if any.is_none() {
            return Ok(Vec::new());
        }
        let query = |sql| {
            sqlx::query(sql).bind(scheduler).bind(after.map_or(0, key)).bind(limit.map_or(-1, i64::from))
        };
        self.snapshot("list unfinished jobs of", async |connection| {
            let mut batches = Vec::new();
            for row in Packed::fetch(connection, query(UNFINISHED_BATCHES)).await?.rows() {
                batches.push(UnfinishedBatch {
                    batch: BatchRow::read(row)?,
                    unstarted: Vec::new(),
                    started: Vec::new(),
                });
            }
            if batches.iter().all(|entry| entry.batch.rows == 0) {
                batches.iter_mut().for_each(|entry| entry.add_rest(&IndexSet::new()));
                return Ok(batches);
            }
            let place: HashMap<u64, usize> =
                batches.iter().enumerate().map(|(place, entry)| (entry.batch.id.0, place)).collect();

            let mut occupied: HashMap<u64, Vec<(u32, u32)>> = HashMap::new();
            for mut c in Packed::fetch(connection, query(OCCUPIED_ROWS)).await?.rows() {
                occupied.entry(c.number()?).or_default().push((c.number()?, c.number()?));
            }
            for entry in &mut batches {
                let rows = occupied.remove(&entry.batch.id.0).unwrap_or_default();
                entry.add_rest(&rows.into_iter().collect());
            }
            for mut c in Packed::fetch(connection, query(UNSTARTED_ROWS)).await?.rows() {
                let Some(&place) = place.get(&c.number()?) else { continue };
                batches[place].add_range(&mut c)?;
            }
            for mut c in Packed::fetch(connection, query(STARTED_ROWS)).await?.rows() {
                let Some(&place) = place.get(&c.number()?) else { continue };
                batches[place].started.push(StartedJob {
                    index: c.number()?,
                    state: c.state()?,
                    k: c.number()?,
                    run: c.number()?,
                    priority: c.number()?,
                    started: c.opt_time()?,
                    host: c.opt_text()?,
                    pid: c.opt_number()?,
                    remote: c.opt_text()?.map(RemoteId),
                    cancel_requested: c.opt_time()?,
                });
            }
            Ok(batches)
        })
    }
}

impl UnfinishedBatch {
    fn add_rest(&mut self, occupied: &IndexSet) {
        let batch = &self.batch;
        if batch.has_rest() && UNSTARTED.contains(&batch.state) {
            self.unstarted.push(UnstartedGroup {
                state: batch.state,
                k: 0,
                run: 1,
                priority: batch.priority,
                cancel_requested: batch.cancel_requested,
                jobs: IndexSet::range(0, batch.count).difference(occupied),
            });
        }
    }

    /// Puts a range into its group; ranges of one group come in order.
    fn add_range(&mut self, c: &mut Columns<'_>) -> Result<(), sqlx::Error> {
        let mut group = UnstartedGroup {
            state: c.state()?,
            k: c.number()?,
            run: c.number()?,
            priority: c.number()?,
            cancel_requested: c.opt_time()?,
            jobs: IndexSet::new(),
        };
        group.jobs = IndexSet::range(c.number()?, c.number()?);
        let alike = |known: &&mut UnstartedGroup| {
            (known.state, known.k, known.run, known.priority, known.cancel_requested)
                == (group.state, group.k, group.run, group.priority, group.cancel_requested)
        };
        match self.unstarted.iter_mut().find(alike) {
            Some(known) => known.jobs = known.jobs.union(&group.jobs),
            None => self.unstarted.push(group),
        }
        Ok(())
    }
}
