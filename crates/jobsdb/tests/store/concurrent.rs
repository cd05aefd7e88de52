//! Several threads, each with a store of its own, as several processes have.

use std::path::Path;

use cluster_core::{BatchId, JobId, JobState, Timestamp};
use cluster_jobsdb::{BatchFilter, FileSystem, JobChange, Locking, OpenOptions, Store};
use sqlx::{Connection, SqliteConnection};

use crate::{batch, open};

/// A foreign connection that holds the write lock until it is dropped.
pub(crate) struct Writer {
    runtime: tokio::runtime::Runtime,
    connection: Option<SqliteConnection>,
}

impl Writer {
    pub(crate) fn begin(root: &Path) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(root.join("store.db"));
        let connection = runtime.block_on(async {
            let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
            sqlx::query("BEGIN IMMEDIATE").execute(&mut connection).await.unwrap();
            connection
        });
        Self { runtime, connection: Some(connection) }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if let Some(mut connection) = self.connection.take() {
            self.runtime.block_on(async {
                sqlx::query("ROLLBACK").execute(&mut connection).await.unwrap();
                connection.close().await.unwrap();
            });
        }
    }
}

fn all_at_once(options: &OpenOptions, each: u64) {
    let root = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for thread in 0..8u64 {
            let root = root.path();
            scope.spawn(move || {
                let mut store = Store::open(root, options).unwrap();
                for i in 0..each {
                    let id = store.accept(&[batch(1 + thread * 1000 + i, 3, JobState::Queued)]).unwrap()[0];
                    let job = JobId { batch: id, index: 1 };
                    let run = JobChange::new(job, 0, 1, JobState::Running, Timestamp(5));
                    store.apply(&[run]).unwrap();
                    store.batches(&BatchFilter::default(), Some(5)).unwrap();
                }
                store.close().unwrap();
            });
        }
    });
    let mut store = Store::open(root.path(), options).unwrap();
    let batches = store.batches(&BatchFilter::default(), None).unwrap();
    assert_eq!(batches.len() as u64, 8 * each);
    assert!(batches.iter().all(|batch| batch.count_of(JobState::Running) == 1));
    assert!(store.check().unwrap().is_sound());
}

#[test]
fn eight_writers_lose_nothing() {
    all_at_once(&OpenOptions { create: true, ..OpenOptions::default() }, 25);
}

#[test]
fn eight_writers_lose_nothing_on_a_network_file_system() {
    let filesystem = Some(FileSystem::Network("NFS"));
    all_at_once(&OpenOptions { create: true, filesystem, ..OpenOptions::default() }, 4);
}

#[test]
fn eight_writers_lose_nothing_without_posix_locks() {
    let (filesystem, locking) = (Some(FileSystem::Network("NFS")), Some(Locking::LockFile));
    all_at_once(&OpenOptions { create: true, filesystem, locking, ..OpenOptions::default() }, 4);
}

#[test]
fn first_opens_at_once_make_one_store() {
    for _ in 0..8 {
        let root = tempfile::tempdir().unwrap();
        let start = std::sync::Barrier::new(8);
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let (root, start) = (root.path().join("new/root"), &start);
                scope.spawn(move || {
                    start.wait();
                    let mut store = open(&root);
                    store.accept(&[batch(thread, 1, JobState::Queued)]).unwrap();
                });
            }
        });
        let mut store = open(&root.path().join("new/root"));
        assert_eq!(store.batches(&BatchFilter::default(), None).unwrap().len(), 8);
    }
}

#[test]
fn a_reader_is_not_kept_waiting_by_a_writer() {
    let root = tempfile::tempdir().unwrap();
    let mut store = open(root.path());
    store.accept(&[batch(1, 2, JobState::Queued)]).unwrap();
    let _writer = Writer::begin(root.path());
    let begin = std::time::Instant::now();
    let mut reader = open(root.path());
    assert!(reader.batch(BatchId(1)).unwrap().is_some());
    assert!(begin.elapsed() < std::time::Duration::from_secs(5));
}
