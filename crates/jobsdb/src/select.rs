//! Selectors become batches and sets of jobs; every text of the user is a bound parameter.

use std::collections::BTreeMap;

use cluster_core::{BatchId, IndexSet, JobState, Selector};
use sqlx::{Row, SqliteConnection};

use crate::batch::{BatchRow, batch_columns, get, mask};
use crate::columns::{Packed, packed, together};
use crate::error::StoreError;
use crate::fault::Fault;
use crate::open::Store;
use crate::query::indices_in;
use crate::rows_sql::slice;
use crate::statements::statements;

/// Who selects, and from where: `last` depends on it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SelectContext {
    /// The user.
    pub user: String,
    /// The terminal, where there is one.
    pub terminal: Option<String>,
}

/// A batch, or some of its jobs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// The batch.
    pub batch: BatchId,
    /// Its jobs; `None` for all.
    pub jobs: Option<IndexSet>,
}

statements! {
    LAST_OF_TERMINAL = "SELECT max(id) FROM batch WHERE user = ?1 AND terminal = ?2";
    LAST_OF_USER = "SELECT id FROM batch WHERE user = ?1 ORDER BY id DESC LIMIT 1";
    IDS_BY_NAME = "SELECT id FROM batch WHERE name GLOB ?1";
    IDS_BY_SYSTEM = "SELECT id FROM batch WHERE system = ?1";
    JOBS_BY_META = "SELECT batch, idx FROM meta WHERE key = ?1 AND value = ?2 ORDER BY batch, idx";
    WITH_FAILED = together!(
        "SELECT ", batch_columns!("''"), " FROM batch INDEXED BY batch_failed WHERE n8 > 0 LIMIT -1"
    );
    WITH_SUCCEEDED = together!("SELECT ", batch_columns!("''"), " FROM batch WHERE n7 > 0 LIMIT -1");
    WITH_LIVE = together!(
        "SELECT ", batch_columns!("''"), " FROM batch INDEXED BY batch_unfinished WHERE count > n7 + n8 \
         AND ((n0 > 0) | ((n1 > 0) << 1) | ((n2 > 0) << 2) | ((n3 > 0) << 3) | ((n4 > 0) << 4) | ((n5 > 0) << 5) \
            | ((n6 > 0) << 6)) & ?1 <> 0 LIMIT -1"
    );
}

/// What is selected so far: by batch, all of it or some.
type Selected = BTreeMap<BatchId, Option<IndexSet>>;

impl Store {
    /// The batches and jobs that any of the selectors names, in the order of their ids.
    ///
    /// # Errors
    /// Where a batch or job named by its number is not there, where there is no last batch, or the store
    /// cannot be read. A selector by name, state, fact or system that matches nothing is no error.
    pub fn select(
        &mut self,
        selectors: &[Selector],
        context: &SelectContext,
    ) -> Result<Vec<Selection>, StoreError> {
        self.snapshot("select jobs from", async |connection| {
            let mut selected = Selected::new();
            for selector in selectors {
                take(connection, selector, context, &mut selected).await?;
            }
            Ok(selected.into_iter().map(|(batch, jobs)| Selection { batch, jobs }).collect())
        })
    }
}

async fn take(
    connection: &mut SqliteConnection,
    selector: &Selector,
    context: &SelectContext,
    selected: &mut Selected,
) -> Result<(), Fault> {
    match selector {
        Selector::Jobs { batch, jobs } => {
            let batch = get(connection, *batch).await?;
            let jobs = slice(&batch, jobs.as_ref())?;
            add(selected, batch.id, jobs);
        }
        Selector::Last => add(selected, last(connection, context).await?, None),
        Selector::Name(glob) => add_all(connection, IDS_BY_NAME, glob, selected).await?,
        Selector::System(name) => add_all(connection, IDS_BY_SYSTEM, name, selected).await?,
        Selector::Meta { key, value } => {
            let rows = sqlx::query(JOBS_BY_META).bind(key.as_str()).bind(value.as_str());
            for row in &rows.fetch_all(connection).await? {
                let (batch, index): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
                let jobs = u32::try_from(index).ok().map(|index| IndexSet::range(index, index + 1));
                add(selected, BatchId(batch as u64), jobs);
            }
        }
        Selector::State(state) => with_state(connection, *state, selected).await?,
    }
    Ok(())
}

/// Joins by "or".
fn add(selected: &mut Selected, batch: BatchId, jobs: Option<IndexSet>) {
    use std::collections::btree_map::Entry;
    match selected.entry(batch) {
        Entry::Vacant(entry) => drop(entry.insert(jobs)),
        Entry::Occupied(mut entry) => match (entry.get_mut(), jobs) {
            (whole, None) => *whole = None,
            (None, Some(_)) => {}
            (Some(known), Some(more)) => match more.ranges() {
                // One job after another comes from the table of facts.
                [(start, end)] if end - start == 1 => drop(known.insert(*start)),
                _ => *known = known.union(&more),
            },
        },
    }
}

async fn add_all(
    connection: &mut SqliteConnection,
    sql: &'static str,
    text: &str,
    selected: &mut Selected,
) -> Result<(), Fault> {
    for row in &sqlx::query(sql).bind(text).fetch_all(connection).await? {
        add(selected, BatchId(row.try_get::<i64, _>(0)? as u64), None);
    }
    Ok(())
}

async fn last(connection: &mut SqliteConnection, context: &SelectContext) -> Result<BatchId, Fault> {
    let mut id: Option<i64> = None;
    if let Some(terminal) = &context.terminal {
        let query = sqlx::query(LAST_OF_TERMINAL).bind(context.user.as_str()).bind(terminal.as_str());
        id = query.fetch_one(&mut *connection).await?.try_get(0)?;
    }
    if id.is_none() {
        let query = sqlx::query(LAST_OF_USER).bind(context.user.as_str());
        id = query.fetch_optional(connection).await?.map(|row| row.try_get(0)).transpose()?;
    }
    let none = || StoreError::NoLast { user: context.user.clone() };
    Ok(id.map(|id| BatchId(id as u64)).ok_or_else(none)?)
}

async fn with_state(
    connection: &mut SqliteConnection,
    state: JobState,
    selected: &mut Selected,
) -> Result<(), Fault> {
    let query = match state {
        JobState::Failed => sqlx::query(WITH_FAILED),
        JobState::Succeeded => sqlx::query(WITH_SUCCEEDED),
        _ => sqlx::query(WITH_LIVE).bind(mask(&[state])),
    };
    for batch in Packed::fetch(connection, query).await?.read(BatchRow::read)? {
        if batch.count_of(state) == u64::from(batch.count) {
            add(selected, batch.id, None);
        } else {
            let jobs = indices_in(connection, &batch, mask(&[state])).await?;
            add(selected, batch.id, Some(jobs));
        }
    }
    Ok(())
}
