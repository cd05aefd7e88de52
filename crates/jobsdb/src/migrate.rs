//! Making the tables and bringing an older store up to date.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use sqlx::{Connection, Executor, Row, SqliteConnection};

use crate::error::StoreError;
use crate::fault::Fault;
use crate::statements::statements;

statements! {
    COUNT_ON = "INSERT INTO sqlite_sequence (name, seq) VALUES ('batch', ?1)";
}

/// Each file takes the store from the version that is its place here to the next, which it says by its last
/// line (`PRAGMA user_version`). A released file is never edited.
const MIGRATIONS: [&str; 2] =
    [include_str!("../migrations/0001_first.sql"), include_str!("../migrations/0002_store.sql")];

/// The version of the store that this program reads and writes.
pub const VERSION: i64 = MIGRATIONS.len() as i64;

/// The lock that one process holds while it makes or migrates a store; released when dropped.
pub(crate) struct MigrateLock(#[expect(dead_code, reason = "held for its lock")] Option<File>);

impl MigrateLock {
    /// Waits for the lock of `root`.
    pub(crate) fn acquire(root: &Path) -> Result<Self, StoreError> {
        let path = root.join("migrate.lock");
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            // Both ways, so that not even a FIFO in its place waits.
            .read(true)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(|e| StoreError::io("open", &path, e))?;
        match file.lock() {
            Ok(()) => Ok(Self(Some(file))),
            Err(error) => {
                // Where locks are refused the transaction alone keeps two first opens apart: each looks at
                // the version again inside it.
                tracing::warn!(path = %path.display(), %error, "no lock for the migration");
                Ok(Self(None))
            }
        }
    }
}

/// The store's version and how many tables and indices there are.
async fn found(connection: &mut SqliteConnection) -> Result<(i64, i64), sqlx::Error> {
    const FOUND: &str = "SELECT user_version, (SELECT count(*) FROM sqlite_schema) FROM pragma_user_version";
    let row = sqlx::query(FOUND).fetch_one(connection).await?;
    Ok((row.try_get(0)?, row.try_get(1)?))
}

/// Refuses what SQLite can read and is not ours, before anything is changed.
pub(crate) async fn refuse_foreign(connection: &mut SqliteConnection, file: &Path) -> Result<(), Fault> {
    let (version, tables) = found(connection).await?;
    if version < 0 || version == 0 && tables > 0 {
        let detail = "it is a database of another program".to_owned();
        return Err(StoreError::Corrupt { file: file.to_owned(), detail }.into());
    }
    Ok(())
}

/// Runs what is missing, in one transaction.
pub(crate) async fn migrate(connection: &mut SqliteConnection, file: &Path) -> Result<(), Fault> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    // Another process may have been faster.
    let (version, _) = found(&mut transaction).await?;
    if version > VERSION {
        return Err(newer(file, version).into());
    }
    for sql in MIGRATIONS.iter().copied().skip(usize::try_from(version).unwrap_or(0)) {
        transaction.execute(sqlx::raw_sql(sql)).await?;
    }
    let last = if version == 0 { last_batch(file) } else { 0 };
    if last > 0 {
        tracing::warn!(
            "{} is new beside the files of batches up to {last}: it knows none of them, and counts on from there",
            file.display()
        );
        sqlx::query(COUNT_ON).bind(last).execute(&mut *transaction).await?;
    }
    transaction.commit().await?;
    Ok(())
}

/// The highest number of a batch that has files beside a store: one that was moved away took its numbers along, and
/// a batch of the same number would find the files of another.
fn last_batch(file: &Path) -> i64 {
    let jobs = file.with_file_name("jobs");
    let names = std::fs::read_dir(jobs)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    // No batch ever had a number near the last one that there is.
    names.filter_map(|name| name.parse().ok()).filter(|&id: &i64| id < 1 << 53).max().unwrap_or(0)
}

pub(crate) fn newer(file: &Path, found: i64) -> StoreError {
    StoreError::Newer { file: file.to_owned(), found, known: VERSION }
}
