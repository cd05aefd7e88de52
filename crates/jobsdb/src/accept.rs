//! Taking batches in, and their submissions.

use std::collections::{HashMap, HashSet};

use cluster_core::{BatchId, IndexSet, JobId, JobSpec, JobState, SubmissionNumber, Tag, Timestamp};
use serde::Serialize;
use sqlx::{Row, SqliteConnection};

use crate::batch::key;
use crate::chunk::{NewSubmission, covered, insert_chunks};
use crate::columns::{Columns, Packed, packed, together};
use crate::error::StoreError;
use crate::fault::{Fault, json};
use crate::open::Store;
use crate::rows_sql::{Counts, add_counts};
use crate::runs::Runs;
use crate::statements::statements;

/// A batch to be taken in.
#[derive(Debug, Clone, PartialEq)]
pub struct NewBatch {
    /// The tag of its first submission: taken in twice, it is made once.
    pub tag: Tag,
    /// What its jobs are to do.
    pub spec: JobSpec,
    /// The system it is for.
    pub system: String,
    /// The scheduler there.
    pub scheduler: String,
    /// What all its jobs begin as: created, submitting, queued or held.
    pub state: JobState,
    /// Who submits it.
    pub user: String,
    /// From which terminal.
    pub terminal: Option<String>,
    /// The machine that it belongs to, where it is local.
    pub owner: Option<String>,
    /// The job that submits it.
    pub parent: Option<JobId>,
    /// Now.
    pub at: Timestamp,
    /// Facts of the user about the whole batch.
    pub meta: Vec<(String, String)>,
    /// How its jobs go to a scheduler: k = 0, 1, 2 …, each job in exactly one, and the tag of the first is the
    /// batch's. Empty for what does not go through a scheduler: one submission of all jobs, without a chunk.
    pub submissions: Vec<NewSubmission>,
}

impl NewBatch {
    /// A batch without terminal, owner, parent and meta.
    pub fn new(
        tag: Tag,
        spec: JobSpec,
        system: impl Into<String>,
        scheduler: impl Into<String>,
        state: JobState,
        user: impl Into<String>,
        at: Timestamp,
    ) -> Self {
        Self {
            tag,
            spec,
            system: system.into(),
            scheduler: scheduler.into(),
            state,
            user: user.into(),
            terminal: None,
            owner: None,
            parent: None,
            at,
            meta: Vec::new(),
            submissions: Vec::new(),
        }
    }
}

/// What became of a [`NewBatch`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TakenIn {
    /// The batch of this tag.
    pub batch: BatchId,
    /// Whether it was made now. Of several with one tag the first is.
    pub new: bool,
}

/// One call of the scheduler for some jobs of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubmissionRow {
    /// The batch.
    pub batch: BatchId,
    /// Its number there.
    pub k: SubmissionNumber,
    /// Its tag.
    pub tag: Tag,
    /// Its jobs; `None` for all of the batch.
    pub jobs: Option<IndexSet>,
    /// When it was made.
    pub created: Timestamp,
}

impl SubmissionRow {
    fn read(mut c: Columns<'_>) -> Result<Self, sqlx::Error> {
        Ok(Self {
            batch: BatchId(c.number()?),
            k: c.number()?,
            tag: c.parsed()?,
            jobs: match c.raw()? {
                "" => None,
                text => Some(text.parse().map_err(|e: cluster_core::ParseError| {
                    sqlx::Error::ColumnDecode { index: "jobs".to_owned(), source: e.into() }
                })?),
            },
            created: c.time()?,
        })
    }
}

macro_rules! submission_columns {
    () => {
        packed!("batch, char(31), k, char(31), tag, char(31), jobs, char(31), created")
    };
}

// Those that are there already stay as they are, and are not returned.
macro_rules! insert_batches {
    () => {
        "INSERT INTO batch (tag, name, system, scheduler, owner, user, terminal, count, priority, created, state, \
            changed, parent_batch, parent_index, spec, n0, n1, n2, n3) \
         SELECT n.tag, n.name, n.system, n.scheduler, n.owner, n.user, n.terminal, n.count, n.priority, n.at, n.state, \
            n.at, n.parent_batch, n.parent_index, n.spec, iif(n.state = 0, n.count, 0), iif(n.state = 1, n.count, 0), \
            iif(n.state = 2, n.count, 0), iif(n.state = 3, n.count, 0) \
         FROM (SELECT value ->> 'tag' AS tag, value ->> 'name' AS name, value ->> 'system' AS system, \
            value ->> 'scheduler' AS scheduler, value ->> 'owner' AS owner, value ->> 'user' AS user, \
            value ->> 'terminal' AS terminal, value ->> 'count' AS count, value ->> 'priority' AS priority, \
            value ->> 'at' AS at, value ->> 'state' AS state, value ->> 'parent_batch' AS parent_batch, \
            value ->> 'parent_index' AS parent_index, value ->> 'spec' AS spec FROM json_each(?1) ORDER BY key) n \
         WHERE NOT EXISTS (SELECT 1 FROM submission s WHERE s.tag = n.tag) RETURNING tag, id"
    };
}

macro_rules! insert_first_submissions {
    () => {
        "INSERT INTO submission (batch, k, tag, jobs, created) \
         SELECT b.id, 0, b.tag, '', b.created FROM json_each(?1) t CROSS JOIN batch b ON b.tag = t.value ->> 'tag' \
         WHERE true ON CONFLICT (batch, k) DO NOTHING"
    };
}

/// Both at once: each call of the connection's thread takes as long as what it does here.
const INSERT_BATCHES_AND_SUBMISSIONS: &str = concat!(insert_batches!(), "; ", insert_first_submissions!());

statements! {
    TAGS = "SELECT s.tag, s.batch FROM json_each(?1) t CROSS JOIN submission s ON s.tag = t.value";
    TAG = together!("SELECT ", submission_columns!(), " FROM submission WHERE tag = ?1 LIMIT 1");
    SUBMISSIONS = together!(
        "SELECT ", submission_columns!(), " FROM submission WHERE batch = ?1 ORDER BY k LIMIT -1"
    );
    #[cfg(test)]
    INSERT_BATCHES = insert_batches!();
    #[cfg(test)]
    INSERT_FIRST_SUBMISSIONS = insert_first_submissions!();
    // The first one is there already, as one of all jobs.
    INSERT_SUBMISSIONS =
        "INSERT INTO submission (batch, k, tag, jobs, created) \
         SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4 FROM json_each(?1) WHERE true \
         ON CONFLICT (batch, k) DO UPDATE SET jobs = excluded.jobs";
    // Rows of jobs whose submission is not the batch's first, in the order of their indices.
    INSERT_ROWS_OF_K =
        "INSERT INTO job (batch, idx, state, priority, k, run, changed) \
         WITH RECURSIVE missing (batch, i, until, k) AS ( \
            SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3 FROM json_each(?1) \
            UNION ALL SELECT batch, i + 1, until, k FROM missing WHERE i + 1 < until ORDER BY 1, 2) \
         SELECT b.id, i, b.state, b.priority, missing.k, 1, b.changed FROM missing CROSS JOIN batch b ON b.id = missing.batch";
    INSERT_META =
        "INSERT INTO meta (batch, idx, key, value) \
         SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3 FROM json_each(?1) WHERE true \
         ON CONFLICT DO UPDATE SET value = excluded.value";
}

/// A batch as `INSERT_BATCHES` takes it.
#[derive(Serialize)]
struct Row1<'a> {
    tag: &'a Tag,
    name: &'a str,
    system: &'a str,
    scheduler: &'a str,
    owner: Option<&'a str>,
    user: &'a str,
    terminal: Option<&'a str>,
    count: u32,
    priority: i32,
    at: Timestamp,
    state: u8,
    parent_batch: Option<BatchId>,
    parent_index: Option<u32>,
    spec: String,
}

impl Store {
    /// Takes batches in, in one transaction. A tag that is there already returns the batch it made.
    ///
    /// # Errors
    /// Where a batch begins in a state that none can begin in, or the store cannot be written: then none
    /// was taken in.
    pub fn accept(&mut self, batches: &[NewBatch]) -> Result<Vec<BatchId>, StoreError> {
        Ok(self.take_in(batches)?.into_iter().map(|taken| taken.batch).collect())
    }

    /// [`Store::accept`], which says of each whether this call made it.
    ///
    /// # Errors
    /// As there.
    pub fn take_in(&mut self, batches: &[NewBatch]) -> Result<Vec<TakenIn>, StoreError> {
        if let Some(bad) = batches.iter().find(|batch| !may_begin(batch.state)) {
            return Err(StoreError::BadState { state: bad.state });
        }
        for batch in batches.iter().filter(|batch| !batch.submissions.is_empty()) {
            refuse_odd_submissions(batch)?;
        }
        if batches.is_empty() {
            return Ok(Vec::new());
        }
        self.unhurry()?;
        self.write("add a batch to", async |connection| {
            let mut firsts: HashSet<&Tag> = HashSet::new();
            let new: Vec<_> = batches.iter().map(|batch| firsts.insert(&batch.tag)).collect();
            let distinct: Vec<_> =
                batches.iter().zip(&new).filter(|(_, first)| **first).map(|(batch, _)| batch).collect();
            let made = insert(connection, &distinct).await?;
            let mut known = HashMap::new();
            if made.len() < distinct.len() {
                let tags: Vec<_> = distinct.iter().map(|batch| &batch.tag).collect();
                known = ids_of(connection, json("tags", &tags)?).await?;
            }
            let taken = batches.iter().zip(new).map(|(batch, first)| {
                let tag = batch.tag.as_str();
                match made.get(tag) {
                    Some(&id) => Ok(TakenIn { batch: id, new: first }),
                    None => known
                        .get(tag)
                        .map(|&id| TakenIn { batch: id, new: false })
                        .ok_or(Fault::Sql(sqlx::Error::RowNotFound)),
                }
            });
            taken.collect()
        })
    }

    /// The submission with this tag.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn find_tag(&mut self, tag: &Tag) -> Result<Option<SubmissionRow>, StoreError> {
        self.read("look for a tag in", async |connection| Ok(with_tag(connection, tag).await?))
    }

    /// The submissions of a batch, the first first.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn submissions(&mut self, batch: BatchId) -> Result<Vec<SubmissionRow>, StoreError> {
        self.read("read the submissions of a batch from", async |connection| {
            let rows = Packed::fetch(connection, sqlx::query(SUBMISSIONS).bind(key(batch))).await?;
            Ok(rows.read(SubmissionRow::read)?)
        })
    }
}

/// The submission with this tag, inside a transaction.
pub(crate) async fn with_tag(
    connection: &mut SqliteConnection,
    tag: &Tag,
) -> Result<Option<SubmissionRow>, sqlx::Error> {
    let rows = Packed::fetch(connection, sqlx::query(TAG).bind(tag.as_str())).await?;
    rows.rows().next().map(SubmissionRow::read).transpose()
}

/// Whether a batch, or a further submission, can begin so.
pub(crate) fn may_begin(state: JobState) -> bool {
    matches!(state, JobState::Created | JobState::Submitting | JobState::Queued | JobState::Held)
}

async fn ids_of(connection: &mut SqliteConnection, tags: String) -> Result<HashMap<String, BatchId>, Fault> {
    let rows = sqlx::query(TAGS).bind(tags).fetch_all(connection).await?;
    let mut ids = HashMap::with_capacity(rows.len());
    for row in &rows {
        ids.insert(row.try_get(0)?, BatchId(row.try_get::<i64, _>(1)? as u64));
    }
    Ok(ids)
}

/// Makes the batches that are not there yet; these with their ids.
async fn insert(
    connection: &mut SqliteConnection,
    batches: &[&NewBatch],
) -> Result<HashMap<String, BatchId>, Fault> {
    let rows = batches.iter().map(|batch| {
        Ok(Row1 {
            tag: &batch.tag,
            name: &batch.spec.name,
            system: &batch.system,
            scheduler: &batch.scheduler,
            owner: batch.owner.as_deref(),
            user: &batch.user,
            terminal: batch.terminal.as_deref(),
            count: batch.spec.count,
            priority: batch.spec.priority,
            at: batch.at,
            state: batch.state as u8,
            parent_batch: batch.parent.map(|parent| parent.batch),
            parent_index: batch.parent.map(|parent| parent.index),
            spec: json("spec", &batch.spec)?,
        })
    });
    let rows = json("batches", &rows.collect::<Result<Vec<_>, StoreError>>()?)?;
    let made = sqlx::query(INSERT_BATCHES_AND_SUBMISSIONS).bind(rows).fetch_all(&mut *connection).await?;
    let mut ids = HashMap::with_capacity(made.len());
    for row in &made {
        ids.insert(row.try_get(0)?, BatchId(row.try_get::<i64, _>(1)? as u64));
    }
    let batches: Vec<_> =
        batches.iter().copied().filter(|batch| ids.contains_key(batch.tag.as_str())).collect();
    insert_submissions(connection, &batches, &ids).await?;
    let mut meta = Vec::new();
    for batch in batches {
        let id = ids.get(batch.tag.as_str()).copied();
        meta.extend(batch.meta.iter().map(|(name, value)| (id, -1, name, value)));
    }
    if !meta.is_empty() {
        sqlx::query(INSERT_META).bind(json("meta", &meta)?).execute(connection).await?;
    }
    Ok(ids)
}

/// Each job has to be in one submission, and the first names the batch.
fn refuse_odd_submissions(batch: &NewBatch) -> Result<(), StoreError> {
    let wrong = |detail: String| Err(StoreError::BadSubmissions { detail });
    if batch.submissions.first().is_some_and(|first| first.tag != batch.tag) {
        return wrong("the first one has another tag than its batch".to_owned());
    }
    match covered(&batch.submissions) {
        Err(error) => wrong(error.to_string()),
        Ok(jobs) if jobs != IndexSet::range(0, batch.spec.count) => {
            wrong(format!("they have the jobs {jobs} of {} jobs", batch.spec.count))
        }
        Ok(_) => Ok(()),
    }
}

/// Records how batches go to their schedulers. Jobs of the first submission stay ranges, those of further ones
/// get rows, which name theirs.
async fn insert_submissions(
    connection: &mut SqliteConnection,
    batches: &[&NewBatch],
    ids: &HashMap<String, BatchId>,
) -> Result<(), Fault> {
    let (mut submissions, mut chunks, mut rows, mut counts) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for batch in batches.iter().filter(|batch| !batch.submissions.is_empty()) {
        let Some(&id) = ids.get(batch.tag.as_str()) else { continue };
        let alone = batch.submissions.len() == 1;
        let mut given = Counts::default();
        for (k, new) in (0..).zip(&batch.submissions) {
            // One of all jobs is there already.
            if !alone {
                submissions.push((id, k, &new.tag, new.jobs.to_string(), batch.at));
            }
            chunks.push((id, k, new, Runs::all(1)));
            if k > 0 {
                rows.extend(new.jobs.ranges().iter().map(|&(start, end)| (id, start, end, k)));
                given.rows += new.jobs.len() as i64;
            }
        }
        counts.push((id.0, given));
    }
    if !submissions.is_empty() {
        sqlx::query(INSERT_SUBMISSIONS)
            .bind(json("submissions", &submissions)?)
            .execute(&mut *connection)
            .await?;
    }
    if !chunks.is_empty() {
        insert_chunks(connection, &chunks).await?;
    }
    if !rows.is_empty() {
        sqlx::query(INSERT_ROWS_OF_K).bind(json("jobs", &rows)?).execute(&mut *connection).await?;
        add_counts(connection, counts).await?;
    }
    Ok(())
}
