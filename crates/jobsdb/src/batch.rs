//! Batches: their rows, and lists of them.

use cluster_core::{BatchId, Cause, JobId, JobIndex, JobSpec, JobState, Tag, Timestamp};
use sqlx::SqliteConnection;
use sqlx::query::Query;
use sqlx::sqlite::{Sqlite, SqliteArguments};

use crate::columns::{Columns, Packed, packed, together};
use crate::error::StoreError;
use crate::fault::Fault;
use crate::job::JobRow;
use crate::open::Store;
use crate::state_counts::StateCounts;
use crate::statements::statements;

/// A batch as the store has it.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchRow {
    /// Its id.
    pub id: BatchId,
    /// The tag of its first submission.
    pub tag: Tag,
    /// Its name.
    pub name: String,
    /// The system that it was made for.
    pub system: String,
    /// The scheduler there.
    pub scheduler: String,
    /// The machine that it belongs to, where it is local.
    pub owner: Option<String>,
    /// Who submitted it.
    pub user: String,
    /// The terminal that it was submitted from.
    pub terminal: Option<String>,
    /// How many jobs it has.
    pub count: u32,
    /// The priority of the jobs that have no other.
    pub priority: i32,
    /// When it was made.
    pub created: Timestamp,
    /// The state of the jobs that have no row.
    pub state: JobState,
    /// Why these ended.
    pub cause: Option<Cause>,
    /// Why these are in that state, in words.
    pub reason: Option<String>,
    /// Since when these are in that state.
    pub changed: Timestamp,
    /// When the end of these was asked for.
    pub cancel_requested: Option<Timestamp>,
    /// When the results of the whole batch were consumed.
    pub collected: Option<Timestamp>,
    /// When the files of the whole batch were removed.
    pub cleaned: Option<Timestamp>,
    /// The job that submitted it.
    pub parent: Option<JobId>,
    /// How many jobs have a row.
    pub rows: u32,
    /// How many jobs are in each state.
    pub counts: StateCounts,
    /// The spec as JSON.
    spec: String,
}

/// The row of `batch` as [`BatchRow::read`] takes it. The spec may be megabytes: who does not need it names
/// another text in its place.
macro_rules! batch_columns {
    () => {
        batch_columns!("spec")
    };
    ($spec:literal) => {
        packed!(
            "id, char(31), tag, char(31), json_quote(name), char(31), json_quote(system)",
            "json_quote(scheduler), char(31), json_quote(owner), char(31), json_quote(user)",
            "json_quote(terminal), char(31), count, char(31), priority, char(31), created, char(31), state",
            "cause, char(31), cause_arg, char(31), json_quote(reason), char(31), changed",
            "cancel_requested, char(31), collected, char(31), cleaned, char(31), parent_batch",
            "parent_index, char(31), rows, char(31), n0, char(31), n1, char(31), n2, char(31), n3",
            "n4, char(31), n5, char(31), n6, char(31), n7, char(31), n8",
            $spec,
        )
    };
}
pub(crate) use batch_columns;

impl BatchRow {
    pub(crate) fn read(mut c: Columns<'_>) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: BatchId(c.number()?),
            tag: c.parsed()?,
            name: c.text()?,
            system: c.text()?,
            scheduler: c.text()?,
            owner: c.opt_text()?,
            user: c.text()?,
            terminal: c.opt_text()?,
            count: c.number()?,
            priority: c.number()?,
            created: c.time()?,
            state: c.state()?,
            cause: c.cause()?,
            reason: c.opt_text()?,
            changed: c.time()?,
            cancel_requested: c.opt_time()?,
            collected: c.opt_time()?,
            cleaned: c.opt_time()?,
            parent: match (c.opt_number()?, c.opt_number()?) {
                (Some(batch), Some(index)) => Some(JobId::new(batch, index)),
                _ => None,
            },
            rows: c.number()?,
            counts: StateCounts::read(&mut c)?,
            spec: c.raw()?.to_owned(),
        })
    }

    /// What its jobs are to do.
    ///
    /// # Errors
    /// Where the stored text is not of our making.
    pub fn spec(&self) -> Result<JobSpec, StoreError> {
        serde_json::from_str(&self.spec).map_err(|e| StoreError::Decode {
            file: format!("(batch {})", self.id).into(),
            what: "spec",
            detail: e.to_string(),
        })
    }

    /// The spec as it is stored, in JSON.
    pub fn spec_json(&self) -> &str {
        &self.spec
    }

    /// How many jobs are in `state`.
    pub fn count_of(&self, state: JobState) -> u64 {
        self.counts.of(state)
    }

    /// How many jobs have ended.
    pub fn ended(&self) -> u64 {
        self.counts.ended()
    }

    /// How many jobs have not ended.
    pub fn unfinished(&self) -> u64 {
        u64::from(self.count).saturating_sub(self.ended())
    }

    /// Whether all its jobs have ended.
    pub fn is_finished(&self) -> bool {
        self.unfinished() == 0
    }

    /// Whether some jobs have no row and are what the batch row says.
    pub(crate) fn has_rest(&self) -> bool {
        self.rows < self.count
    }

    /// The job at `index` as it is without a row.
    pub(crate) fn derive(&self, index: JobIndex) -> JobRow {
        JobRow {
            id: JobId { batch: self.id, index },
            state: self.state,
            cause: self.cause,
            status: None,
            reason: self.reason.clone(),
            priority: self.priority,
            k: 0,
            run: 1,
            changed: self.changed,
            started: None,
            ended: self.state.is_end().then_some(self.changed),
            host: None,
            pid: None,
            remote: None,
            output: None,
            usage: None,
            evidence: None,
            cancel_requested: self.cancel_requested,
            collected: self.collected,
            cleaned: self.cleaned,
            missing_since: None,
            marks: (None, None),
        }
    }

    /// What rows without marks of their own inherit.
    pub(crate) fn marks(&self) -> (Option<Timestamp>, Option<Timestamp>) {
        (self.collected, self.cleaned)
    }
}

/// Which batches to list; the default is all.
#[derive(Debug, Clone, Default)]
pub struct BatchFilter {
    /// Of this system.
    pub system: Option<String>,
    /// Of this scheduler.
    pub scheduler: Option<String>,
    /// Of this user.
    pub user: Option<String>,
    /// With a name that matches this SQLite GLOB.
    pub name: Option<String>,
    /// With at least one job in one of these states.
    pub states: Option<Vec<JobState>>,
    /// With at least one job that has not ended.
    pub unfinished: bool,
    /// Submitted by a job of this batch.
    pub parent: Option<BatchId>,
    /// Made at or after this time.
    pub since: Option<Timestamp>,
    /// Older than this one, by id: the next page.
    pub before: Option<BatchId>,
    /// Not cleaned as a whole.
    pub not_cleaned: bool,
}

impl BatchFilter {
    /// A statement with [`batch_conditions`] and a limit as ?10.
    pub(crate) fn bind<'q>(
        &'q self,
        sql: &'static str,
        limit: Option<u32>,
    ) -> Query<'q, Sqlite, SqliteArguments> {
        sqlx::query(sql)
            .bind(self.before.map(key))
            .bind(self.system.as_deref())
            .bind(self.scheduler.as_deref())
            .bind(self.user.as_deref())
            .bind(self.name.as_deref())
            .bind(self.states.as_deref().map(mask))
            .bind(self.parent.map(key))
            .bind(self.since.map(|since| since.0))
            .bind(self.not_cleaned)
            .bind(limit.map_or(-1, i64::from))
    }
}

macro_rules! batch_conditions {
    () => {
        " WHERE (?1 IS NULL OR id < ?1) AND (?2 IS NULL OR system = ?2) AND (?3 IS NULL OR scheduler = ?3) \
         AND (?4 IS NULL OR user = ?4) AND (?5 IS NULL OR name GLOB ?5) \
         AND (?6 IS NULL OR ((n0 > 0) | ((n1 > 0) << 1) | ((n2 > 0) << 2) | ((n3 > 0) << 3) | ((n4 > 0) << 4) \
            | ((n5 > 0) << 5) | ((n6 > 0) << 6) | ((n7 > 0) << 7) | ((n8 > 0) << 8)) & ?6 <> 0) \
         AND (?7 IS NULL OR parent_batch = ?7) AND (?8 IS NULL OR created >= ?8) AND (?9 = 0 OR cleaned IS NULL)"
    };
}
pub(crate) use batch_conditions;

statements! {
    BATCH = together!("SELECT ", batch_columns!(), " FROM batch WHERE id = ?1 LIMIT 1");
    BATCH_WITHOUT_SPEC = together!("SELECT ", batch_columns!("''"), " FROM batch WHERE id = ?1 LIMIT 1");
    // The newest first, so that the walk over the ids stops at the limit.
    BATCHES = together!(
        "SELECT ", batch_columns!(), " FROM batch", batch_conditions!(), " ORDER BY id DESC LIMIT ?10"
    );
    BATCHES_UNFINISHED = together!(
        "SELECT ", batch_columns!(), " FROM batch INDEXED BY batch_unfinished", batch_conditions!(),
        " AND count > n7 + n8 ORDER BY id DESC LIMIT ?10"
    );
    BATCHES_OF_PARENT = together!(
        "SELECT ", batch_columns!(), " FROM batch INDEXED BY batch_parent", batch_conditions!(),
        " AND parent_batch = ?7 ORDER BY id DESC LIMIT ?10"
    );
}

/// The states as bits.
pub(crate) fn mask(states: &[JobState]) -> i64 {
    states.iter().fold(0, |mask, state| mask | 1 << (*state as u8))
}

/// The row of a batch without its spec, inside a transaction.
pub(crate) async fn find(connection: &mut SqliteConnection, id: BatchId) -> Result<Option<BatchRow>, Fault> {
    let rows = Packed::fetch(connection, sqlx::query(BATCH_WITHOUT_SPEC).bind(key(id))).await?;
    Ok(rows.rows().next().map(BatchRow::read).transpose()?)
}

/// The same where it has to be there.
pub(crate) async fn get(connection: &mut SqliteConnection, id: BatchId) -> Result<BatchRow, Fault> {
    find(connection, id).await?.ok_or_else(|| StoreError::UnknownBatch(id).into())
}

/// The id as SQLite has it; one beyond its range is one that no batch has.
pub(crate) fn key(id: BatchId) -> i64 {
    i64::try_from(id.0).unwrap_or(-1)
}

impl Store {
    /// One batch.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn batch(&mut self, id: BatchId) -> Result<Option<BatchRow>, StoreError> {
        self.read("read a batch from", async |connection| {
            let rows = Packed::fetch(connection, sqlx::query(BATCH).bind(key(id))).await?;
            Ok(rows.rows().next().map(BatchRow::read).transpose()?)
        })
    }

    /// Batches, the newest first.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn batches(&mut self, filter: &BatchFilter, limit: Option<u32>) -> Result<Vec<BatchRow>, StoreError> {
        let sql = match filter {
            BatchFilter { parent: Some(_), .. } => BATCHES_OF_PARENT,
            BatchFilter { unfinished: true, .. } => BATCHES_UNFINISHED,
            _ => BATCHES,
        };
        let query = filter.bind(sql, limit);
        self.read("list batches of", async |connection| {
            let mut batches = Packed::fetch(connection, query).await?.read(BatchRow::read)?;
            batches.retain(|batch| !filter.unfinished || !batch.is_finished());
            Ok(batches)
        })
    }
}
