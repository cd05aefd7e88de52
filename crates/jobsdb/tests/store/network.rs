//! The journal and the locks that go with the file system.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use cluster_core::JobState;
use cluster_jobsdb::{FileSystem, Locking, OpenOptions, Store};

use crate::{batch, open};

/// 2 in byte 18 of the file is WAL, 1 is a rollback journal; sqlite.org/fileformat.html.
fn write_version(root: &Path) -> u8 {
    fs::read(root.join("store.db")).unwrap()[18]
}

fn network(locking: Option<Locking>) -> OpenOptions {
    OpenOptions {
        create: true,
        filesystem: Some(FileSystem::Network("NFS")),
        locking,
        ..OpenOptions::default()
    }
}

#[test]
fn a_local_store_has_a_log() {
    let root = tempfile::tempdir().unwrap();
    let mut store = open(root.path());
    store.accept(&[batch(1, 1, JobState::Queued)]).unwrap();
    assert!(root.path().join("store.db-wal").exists());
    store.close().unwrap();
    assert_eq!(write_version(root.path()), 2);
}

#[test]
fn a_store_on_a_network_file_system_has_a_rollback_journal() {
    let root = tempfile::tempdir().unwrap();
    let mut store = Store::open(root.path(), &network(None)).unwrap();
    store.accept(&[batch(1, 1, JobState::Queued)]).unwrap();
    assert!(!root.path().join("store.db-wal").exists());
    assert!(root.path().join("store.db-journal").exists());
    store.close().unwrap();
    assert_eq!(write_version(root.path()), 1);
}

#[test]
fn a_store_that_moves_changes_its_journal() {
    let root = tempfile::tempdir().unwrap();
    open(root.path()).close().unwrap();
    for expected in [1, 2, 1] {
        let options = if expected == 1 {
            network(None)
        } else {
            OpenOptions { create: true, ..OpenOptions::default() }
        };
        let mut store = Store::open(root.path(), &options).unwrap();
        store.accept(&[batch(expected, 1, JobState::Queued)]).unwrap();
        store.close().unwrap();
        assert_eq!(u64::from(write_version(root.path())), expected);
    }
}

#[test]
fn without_posix_locks_a_lock_file_stands_around_each_transaction() {
    let root = tempfile::tempdir().unwrap();
    let lock = root.path().join("store.lock");
    let mut store = Store::open(root.path(), &network(Some(Locking::LockFile))).unwrap();
    store.accept(&[batch(1, 1, JobState::Queued)]).unwrap();
    assert!(!lock.exists());
}

#[test]
fn only_the_owner_reads_root_and_store() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("above/root");
    let mut store = open(&root);
    store.accept(&[batch(1, 1, JobState::Queued)]).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&root), 0o700);
    for file in ["store.db", "store.db-wal", "store.db-shm", "migrate.lock"] {
        assert_eq!(mode(&root.join(file)), 0o600, "{file}");
    }
}

#[test]
fn a_root_of_any_bytes_can_hold_a_store() {
    use std::os::unix::ffi::OsStrExt;
    let directory = tempfile::tempdir().unwrap();
    let names: [&[u8]; 3] = [b"a b?c#d%20'", b"file:x?mode=ro", b"no \xff utf-8"];
    for name in names {
        let root = directory.path().join(std::ffi::OsStr::from_bytes(name));
        let mut store = open(&root);
        store.accept(&[batch(1, 1, JobState::Queued)]).unwrap();
        store.close().unwrap();
        assert!(root.join("store.db").metadata().unwrap().len() > 0);
    }
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 3);
}
