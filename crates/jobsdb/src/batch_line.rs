//! Batches as lists show them. A thousand rows of all columns take a third longer.

use cluster_core::{BatchId, JobState, Timestamp};

use crate::batch::{BatchFilter, BatchRow, batch_conditions};
use crate::columns::{Columns, Packed, packed, together};
use crate::error::StoreError;
use crate::open::Store;
use crate::state_counts::StateCounts;
use crate::statements::statements;

/// What a list of batches says of one.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchLine {
    /// Its id.
    pub id: BatchId,
    /// Its name.
    pub name: String,
    /// The system that it was made for.
    pub system: String,
    /// The scheduler there.
    pub scheduler: String,
    /// Who submitted it.
    pub user: String,
    /// How many jobs it has.
    pub count: u32,
    /// The priority of the jobs that have no other.
    pub priority: i32,
    /// When it was made.
    pub created: Timestamp,
    /// Since when the jobs without a row are in their state.
    pub changed: Timestamp,
    /// When the results of the whole batch were consumed.
    pub collected: Option<Timestamp>,
    /// When the files of the whole batch were removed.
    pub cleaned: Option<Timestamp>,
    /// How many jobs are in each state.
    pub counts: StateCounts,
}

macro_rules! columns {
    () => {
        packed!(
            "id, char(31), json_quote(name), char(31), json_quote(system), char(31), json_quote(scheduler)",
            "json_quote(user), char(31), count, char(31), priority, char(31), created, char(31), changed",
            "collected, char(31), cleaned, char(31), n0, char(31), n1, char(31), n2, char(31), n3",
            "n4, char(31), n5, char(31), n6, char(31), n7, char(31), n8",
        )
    };
}

statements! {
    // The newest first, so that the walk over the ids stops at the limit.
    LINES = together!("SELECT ", columns!(), " FROM batch", batch_conditions!(), " ORDER BY id DESC LIMIT ?10");
}

impl BatchLine {
    fn read(mut c: Columns<'_>) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: BatchId(c.number()?),
            name: c.text()?,
            system: c.text()?,
            scheduler: c.text()?,
            user: c.text()?,
            count: c.number()?,
            priority: c.number()?,
            created: c.time()?,
            changed: c.time()?,
            collected: c.opt_time()?,
            cleaned: c.opt_time()?,
            counts: StateCounts::read(&mut c)?,
        })
    }

    /// How many jobs are in `state`.
    pub fn count_of(&self, state: JobState) -> u64 {
        self.counts.of(state)
    }

    /// Whether all its jobs have ended.
    pub fn is_finished(&self) -> bool {
        self.counts.ended() >= u64::from(self.count)
    }
}

impl From<&BatchRow> for BatchLine {
    fn from(row: &BatchRow) -> Self {
        Self {
            id: row.id,
            name: row.name.clone(),
            system: row.system.clone(),
            scheduler: row.scheduler.clone(),
            user: row.user.clone(),
            count: row.count,
            priority: row.priority,
            created: row.created,
            changed: row.changed,
            collected: row.collected,
            cleaned: row.cleaned,
            counts: row.counts,
        }
    }
}

impl Store {
    /// [`Store::batches`] for people.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn lines(&mut self, filter: &BatchFilter, limit: Option<u32>) -> Result<Vec<BatchLine>, StoreError> {
        let query = filter.bind(LINES, limit);
        self.read("list batches of", async |connection| {
            let mut lines = Packed::fetch(connection, query).await?.read(BatchLine::read)?;
            lines.retain(|line| !filter.unfinished || !line.is_finished());
            Ok(lines)
        })
    }
}
