//! Stores that are not there, not ours, damaged, or cannot be written.

use std::fs;
use std::path::Path;
use std::process::Command;

use cluster_core::{BatchId, JobId, JobState, Timestamp};
use cluster_jobsdb::{BatchFilter, JobChange, OpenOptions, Store, StoreError, VERSION};
use sqlx::{AssertSqlSafe, Connection, SqliteConnection};

use crate::{batch, open};

pub(crate) fn execute(file: &Path, sql: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(file).create_if_missing(true);
        let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
        sqlx::query(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    });
}

fn try_open(root: &Path) -> Result<Store, StoreError> {
    Store::open(root, &OpenOptions { create: true, ..OpenOptions::default() })
}

#[test]
fn a_missing_store_is_only_made_when_asked() {
    let root = tempfile::tempdir().unwrap();
    for path in [root.path().to_owned(), root.path().join("none/such")] {
        let error = Store::open(&path, &OpenOptions::default()).unwrap_err();
        assert!(matches!(error, StoreError::Missing { .. }), "{error}");
        assert!(error.to_string().contains("cluster init"), "{error}");
    }
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
}

#[test]
fn a_newer_store_is_not_touched() {
    let root = tempfile::tempdir().unwrap();
    open(root.path()).close().unwrap();
    let file = root.path().join("store.db");
    execute(&file, &format!("PRAGMA user_version = {}", VERSION + 1));
    let before = fs::read(&file).unwrap();
    let error = try_open(root.path()).unwrap_err();
    assert!(matches!(error, StoreError::Newer { found, .. } if found == VERSION + 1), "{error}");
    assert_eq!(fs::read(&file).unwrap(), before);
}

#[test]
fn a_file_that_is_no_store_is_not_overwritten() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("store.db");
    for text in ["not a database at all".repeat(100), "x".to_owned()] {
        fs::write(&file, &text).unwrap();
        let error = try_open(root.path()).unwrap_err();
        assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
        let message = error.to_string();
        assert!(message.contains("store.db") && message.contains("cluster db export"), "{message}");
        assert_eq!(fs::read_to_string(&file).unwrap(), text);
    }
    fs::remove_file(&file).unwrap();
    execute(&file, "CREATE TABLE other (x)");
    let before = fs::read(&file).unwrap();
    assert!(matches!(try_open(root.path()).unwrap_err(), StoreError::Corrupt { .. }));
    assert_eq!(fs::read(&file).unwrap(), before);
}

#[test]
fn a_damaged_store_is_named_and_exported_as_far_as_it_goes() {
    let root = tempfile::tempdir().unwrap();
    let mut store = open(root.path());
    let batches: Vec<_> = (0..200).map(|i| batch(i, 2, JobState::Queued)).collect();
    store.accept(&batches).unwrap();
    for i in 1..=200 {
        store.apply(&[JobChange::new(JobId::new(i, 1), 0, 1, JobState::Running, Timestamp(2))]).unwrap();
    }
    store.close().unwrap();
    let file = root.path().join("store.db");
    let mut bytes = fs::read(&file).unwrap();
    // All but the schema and the first pages of the tables.
    let from = bytes.len() / 3;
    bytes[from..].fill(0xaa);
    fs::write(&file, &bytes).unwrap();

    let mut store = try_open(root.path()).unwrap();
    let report = store.check().unwrap();
    assert!(report.problems.len() > 1, "{report:?}");
    let mut text = Vec::new();
    let report = store.export(&mut text).unwrap();
    assert!(!report.is_complete(), "{report:?}");
    assert!(text.starts_with(b"{\"format\":\"cluster-store\""));
    assert!(text.ends_with(b"}\n"));
    store.close().unwrap();
    assert_eq!(fs::read(&file).unwrap().len(), bytes.len());
}

/// A store of `batches` batches of 1,000 jobs with a row each, in one file.
fn rows(root: &Path, batches: u64) -> Vec<u8> {
    let mut store = open(root);
    let all: Vec<_> = (0..batches).map(|i| batch(i, 1000, JobState::Queued)).collect();
    store.accept(&all).unwrap();
    for batch in 1..=batches {
        let start = |index| JobChange::new(JobId::new(batch, index), 0, 1, JobState::Running, Timestamp(2));
        store.apply(&(0..1000).map(start).collect::<Vec<_>>()).unwrap();
    }
    store.close().unwrap();
    fs::read(root.join("store.db")).unwrap()
}

/// The lines of a salvaged store, each there once, and how many of them are jobs.
fn salvaged(root: &Path) -> (Vec<String>, usize, cluster_jobsdb::ExportReport) {
    let before = fs::read(root.join("store.db")).unwrap();
    let mut store = Store::open_damaged(root).unwrap();
    let mut text = Vec::new();
    let report = store.export(&mut text).unwrap();
    store.close().unwrap();
    assert_eq!(fs::read(root.join("store.db")).unwrap(), before);
    let mut lines: Vec<_> = String::from_utf8(text).unwrap().lines().map(str::to_owned).collect();
    assert_eq!(lines.len() as u64, report.rows + 1);
    lines.sort();
    let all = lines.len();
    lines.dedup();
    assert_eq!(lines.len(), all);
    let jobs = lines.iter().filter(|line| line.contains("\"table\":\"job\"")).count();
    (lines, jobs, report)
}

#[test]
fn a_truncated_store_is_salvaged() {
    let root = tempfile::tempdir().unwrap();
    let bytes = rows(root.path(), 10);
    // The inner page of half the jobs is the last; of a half file the batches alone can be found.
    for (length, least) in
        [(bytes.len() - 4096, 4000), (bytes.len() - 100, 4000), (bytes.len() / 8192 * 4096, 0)]
    {
        fs::write(root.path().join("store.db"), &bytes[..length]).unwrap();
        let options = OpenOptions { read_only: true, ..OpenOptions::default() };
        let opened = Store::open(root.path(), &options).and_then(|mut store| store.check());
        assert!(opened.as_ref().map_or(true, |report| !report.is_sound()), "{opened:?}");
        let (lines, jobs, report) = salvaged(root.path());
        assert!(!report.is_complete());
        assert_eq!(
            lines.iter().filter(|line| line.contains("\"table\":\"batch\"")).count(),
            10,
            "{report:?}"
        );
        assert!((least..10_000).contains(&jobs), "{jobs}");
        let found = Store::open_damaged(root.path()).unwrap().check().unwrap();
        assert!(!found.is_sound());
    }
}

#[test]
fn what_lies_between_damaged_pages_is_salvaged() {
    let root = tempfile::tempdir().unwrap();
    let mut bytes = rows(root.path(), 10);
    let pages = bytes.len() / 4096;
    // Leaves: the inner pages are at the beginning and the end.
    let damaged = [pages / 3, pages / 2, pages / 2 + 1, pages - 6];
    for page in damaged {
        bytes[page * 4096..(page + 1) * 4096].fill(0xaa);
    }
    fs::write(root.path().join("store.db"), &bytes).unwrap();
    let (_, jobs, report) = salvaged(root.path());
    assert!(!report.is_complete());
    // A page has no more than 100 jobs.
    assert!((10_000 - 400..10_000).contains(&jobs), "{jobs} {report:?}");
}

#[test]
fn a_row_with_a_wrong_text_is_left_out_alone() {
    let root = tempfile::tempdir().unwrap();
    rows(root.path(), 2);
    execute(
        &root.path().join("store.db"),
        "UPDATE job SET evidence = '{' WHERE batch = 1 AND idx IN (0, 500, 999)",
    );
    let (_, jobs, report) = salvaged(root.path());
    assert_eq!(jobs, 2000 - 3);
    assert!(report.skipped.iter().any(|line| line.contains("job")), "{report:?}");
}

#[test]
fn of_what_is_no_store_nothing_is_salvaged() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("store.db");
    for text in ["not a database at all".repeat(1000), "x".to_owned()] {
        fs::write(&file, &text).unwrap();
        let error = Store::open_damaged(root.path()).unwrap_err();
        assert!(matches!(error, StoreError::Unreadable { .. }), "{error}");
        assert_eq!(fs::read_to_string(&file).unwrap(), text);
    }
}

#[test]
fn what_is_no_file_is_named_and_nobody_waits() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("store.db");
    let refused = || {
        for error in [try_open(root.path()).unwrap_err(), Store::open_damaged(root.path()).unwrap_err()] {
            assert!(matches!(error, StoreError::NotAFile { .. }), "{error}");
            assert!(error.to_string().contains("store.db is a "), "{error}");
        }
    };
    fs::create_dir(&file).unwrap();
    refused();
    fs::remove_dir(&file).unwrap();
    assert!(run("mkfifo", &[], &file));
    refused();
}

#[test]
fn wrong_counts_are_found() {
    let root = tempfile::tempdir().unwrap();
    let mut store = open(root.path());
    store.accept(&[batch(1, 2, JobState::Queued)]).unwrap();
    store.apply(&[JobChange::new(JobId::new(1, 1), 0, 1, JobState::Running, Timestamp(2))]).unwrap();
    assert!(store.check().unwrap().is_sound());
    execute(&root.path().join("store.db"), "UPDATE batch SET n2 = 7");
    let report = store.check().unwrap();
    assert!(report.problems.iter().any(|line| line.contains("batch 1")), "{report:?}");
}

#[test]
fn a_read_only_store_is_read_and_not_written() {
    let root = tempfile::tempdir().unwrap();
    let mut store = open(root.path());
    store.accept(&[batch(1, 2, JobState::Queued)]).unwrap();
    let options = OpenOptions { read_only: true, ..OpenOptions::default() };
    let mut reader = Store::open(root.path(), &options).unwrap();
    assert_eq!(reader.batches(&BatchFilter::default(), None).unwrap().len(), 1);
    let error = reader.accept(&[batch(2, 1, JobState::Queued)]).unwrap_err();
    assert!(matches!(error, StoreError::ReadOnly { .. }), "{error}");
}

/// A small tmpfs, unmounted when dropped; `None` (said loudly) where that needs more rights.
struct Tmpfs(tempfile::TempDir);

impl Tmpfs {
    #[allow(clippy::print_stderr)] // a test that tests nothing says so
    fn mount(options: &str) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        if !run("mount", &["-t", "tmpfs", "-o", options, "tmpfs"], directory.path()) {
            eprintln!("SKIPPED: a tmpfs cannot be mounted here (not root?); nothing was tested");
            return None;
        }
        Some(Self(directory))
    }

    fn remount(&self, options: &str) {
        assert!(run("mount", &["-o", options], self.0.path()));
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        run("umount", &["-l"], self.0.path());
    }
}

#[allow(clippy::disallowed_methods)] // a test mounts; the program never does
fn run(program: &str, words: &[&str], path: &Path) -> bool {
    let done = Command::new(program).args(words).arg(path).stderr(std::process::Stdio::null()).status();
    done.is_ok_and(|status| status.success())
}

#[test]
fn a_full_disk_loses_nothing() {
    let Some(disk) = Tmpfs::mount("size=1m,mode=700") else { return };
    let root = disk.path().join("root");
    fs::write(disk.path().join("ballast"), vec![0; 300 << 10]).unwrap();
    let mut store = open(&root);
    store.accept(&[batch(1, 100_000, JobState::Queued)]).unwrap();
    let before = store.batch(BatchId(1)).unwrap();
    let slice = cluster_core::IndexSet::range(0, 99_999);
    let held = store.set_unstarted(BatchId(1), Some(&slice), &cluster_jobsdb::Unstarted::Held, Timestamp(3));
    assert!(matches!(held, Err(StoreError::Full { .. })), "{held:?}");
    assert_eq!(store.batch(BatchId(1)).unwrap(), before);
    let mut small = 1;
    let error = loop {
        small += 1;
        if let Err(error) = store.accept(&[batch(small, 1, JobState::Queued)]) {
            break error;
        }
    };
    assert!(matches!(error, StoreError::Full { .. }), "{error}");
    // Also a first open on a full disk says so.
    let other = try_open(&disk.path().join("other")).unwrap_err();
    assert!(matches!(other, StoreError::Full { .. }), "{other}");

    fs::remove_file(disk.path().join("ballast")).unwrap();
    store.accept(&[batch(small, 1, JobState::Queued)]).unwrap();
    assert!(store.check().unwrap().is_sound());
    assert_eq!(store.batches(&BatchFilter::default(), None).unwrap().len() as u64, small);
}

#[test]
fn a_read_only_root_is_read() {
    let Some(disk) = Tmpfs::mount("size=4m,mode=700") else { return };
    let root = disk.path().join("root");
    let mut store = open(&root);
    store.accept(&[batch(1, 2, JobState::Queued)]).unwrap();
    store.close().unwrap();
    disk.remount("remount,ro");
    for options in [
        OpenOptions::default(),
        OpenOptions { create: true, ..OpenOptions::default() },
        OpenOptions { read_only: true, ..OpenOptions::default() },
    ] {
        let mut store = Store::open(&root, &options).unwrap();
        assert_eq!(store.batches(&BatchFilter::default(), None).unwrap().len(), 1);
        let error = store.accept(&[batch(2, 1, JobState::Queued)]).unwrap_err();
        assert!(matches!(error, StoreError::ReadOnly { .. }), "{error}");
    }
    let error = try_open(&disk.path().join("other")).unwrap_err();
    assert!(matches!(error, StoreError::ReadOnly { .. }), "{error}");
}
