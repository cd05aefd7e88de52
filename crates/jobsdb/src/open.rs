//! The store as an open thing: its options, its one connection and the one way to read and to write.

use std::fs::{self, File, FileType};
use std::io::ErrorKind;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::{Connection, SqliteConnection};
use tokio::runtime::Runtime;

use crate::connect::{How, locking_of, make_directory};
use crate::error::StoreError;
use crate::fault::Fault;
use crate::filesystem::FileSystem;
use crate::store_lock::StoreLock;

/// How long a statement waits for other processes.
pub(crate) const BUSY_TIMEOUT: Duration = Duration::from_secs(30);

const BEGIN: &str = "BEGIN";
const BEGIN_IMMEDIATE: &str = "BEGIN IMMEDIATE";
const COMMIT: &str = "COMMIT";
const ROLLBACK: &str = "ROLLBACK";
const UNHURRIED: &str = "PRAGMA synchronous = OFF; PRAGMA wal_autocheckpoint = 0";
const STRICT: &str = "PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 1000";

/// How processes keep out of each other's way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Locking {
    /// SQLite's own locks.
    Posix,
    /// The file system refuses these: `store.lock` around each transaction.
    LockFile,
}

/// How to open a store.
#[derive(Debug, Clone, Default)]
pub struct OpenOptions {
    /// Make root and store where they are not there yet.
    pub create: bool,
    /// Every commit is on the disk when it returns (else [`Store::sync`] brings it there).
    pub durable: bool,
    /// The caller calls [`Store::sync`] soon after [`Store::take_in`]: the first one, where it begins a new log, does not
    /// wait for the disk twice (for the log's head and for its name).
    pub sync_follows: bool,
    /// Keep the log short: a commit that leaves more than two hundred pages in it takes them into the store. For processes
    /// that end soon: the first to open a store reads all of its log, which a longer one than that makes dearer than the
    /// two waits for the disk now and then.
    pub short_log: bool,
    /// Write nothing, not even an event that waits.
    pub read_only: bool,
    /// Take the root for a file system of this kind instead of asking; for tests.
    pub filesystem: Option<FileSystem>,
    /// Lock in this way instead of finding out which works; for tests.
    pub locking: Option<Locking>,
}

/// How a store stands to [`OpenOptions::sync_follows`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unhurried {
    /// Commits wait as they always do.
    No,
    /// The next `take_in` need not.
    Next,
    /// One did not: until `sync` nothing is synced, and nothing goes from the log into the store.
    Now,
}

/// The job store of one root.
///
/// Its methods block, and must not be called from inside an async runtime's task.
#[derive(Debug)]
pub struct Store {
    root: PathBuf,
    file: PathBuf,
    runtime: Runtime,
    connection: SqliteConnection,
    locking: Locking,
    /// How long to wait for `store.lock`.
    patience: Duration,
    filesystem: FileSystem,
    /// Whether a first batch may be taken in without a wait, and whether one was since the last `sync`.
    unhurried: Unhurried,
    /// The root as a directory, where its path is no UTF-8 and SQLite reaches it by `/proc/self/fd`.
    _directory: Option<File>,
}

impl Store {
    /// Opens the store of `root`.
    ///
    /// # Errors
    /// Where there is none and none is to be made, where it is newer than this program, damaged, or cannot
    /// be reached. In none of these cases anything was changed.
    pub fn open(root: &Path, options: &OpenOptions) -> Result<Self, StoreError> {
        Self::open_as(root, options, false)
    }

    /// Opens a damaged store for [`Store::check`] and [`Store::export`]: its version and its size are not
    /// looked at, and it is never written.
    ///
    /// # Errors
    /// Where nothing of it can be read, or it cannot be reached.
    pub fn open_damaged(root: &Path) -> Result<Self, StoreError> {
        let options = OpenOptions { read_only: true, ..OpenOptions::default() };
        Self::open_as(root, &options, true).map_err(|error| match error {
            StoreError::Corrupt { file, detail } => StoreError::Unreadable { file, detail },
            error => error,
        })
    }

    fn open_as(root: &Path, options: &OpenOptions, damaged: bool) -> Result<Self, StoreError> {
        let root = std::path::absolute(root).map_err(|e| StoreError::io("find", root, e))?;
        let file = root.join("store.db");
        let exists = match fs::metadata(&file) {
            // Opening a FIFO would wait for its other end.
            Ok(known) if !known.is_file() => {
                return Err(StoreError::NotAFile { file, what: kind(known.file_type()) });
            }
            // SQLite would take what is shorter than its header for an empty file, and write over it.
            Ok(known) if (1..100).contains(&known.len()) => {
                return Err(StoreError::Corrupt { file, detail: "it is too short to be one".to_owned() });
            }
            Ok(_) => true,
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => false,
            Err(e) => return Err(StoreError::io("look at", &file, e)),
        };
        if !exists && (!options.create || options.read_only) {
            return Err(StoreError::Missing { root });
        }
        if !exists {
            make_directory(&root)?;
        }
        let filesystem = match options.filesystem {
            Some(filesystem) => filesystem,
            None => {
                FileSystem::of(&root).map_err(|e| StoreError::io("ask for the file system of", &root, e))?
            }
        };
        let locking = match options.locking {
            Some(locking) => locking,
            None => locking_of(&root, filesystem),
        };
        let directory = match file.to_str() {
            Some(_) => None,
            None => Some(File::open(&root).map_err(|e| StoreError::io("open", &root, e))?),
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .map_err(|e| StoreError::io("start a runtime for", &file, e))?;
        let name =
            directory.as_ref().map(|d| PathBuf::from(format!("/proc/self/fd/{}/store.db", d.as_raw_fd())));
        let how = How { options, filesystem, locking, name: name.unwrap_or_else(|| file.clone()) };
        let connection = runtime.block_on(async {
            let opened = if damaged {
                how.connect_damaged().await
            } else if exists {
                how.connect_existing(&root, &file).await
            } else {
                how.create(&root, &file).await
            };
            opened.map_err(|fault| fault.at("open", &file))
        })?;
        Ok(Self {
            root,
            file,
            runtime,
            connection,
            locking,
            patience: BUSY_TIMEOUT,
            filesystem,
            unhurried: if options.sync_follows && !options.durable { Unhurried::Next } else { Unhurried::No },
            _directory: directory,
        })
    }

    /// The root.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The store's file.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The kind of file system it was opened for.
    pub fn filesystem(&self) -> FileSystem {
        self.filesystem
    }

    /// Makes all commits so far durable, also those of a store that was opened without `durable`.
    ///
    /// # Errors
    /// Where the log cannot be synced: its commits may then be lost with the machine's power.
    pub fn sync(&mut self) -> Result<(), StoreError> {
        let began = self.unhurried == Unhurried::Now;
        if began {
            self.pragma("sync", STRICT)?;
            self.unhurried = Unhurried::No;
        }
        // With a rollback journal every commit is synced. The log is synced through a descriptor of our own:
        // SQLite keeps its locks elsewhere, so that closing this one drops none (it would on the database).
        let log = self.root.join("store.db-wal");
        match File::open(&log) {
            Ok(file) => {
                file.sync_data().map_err(|e| StoreError::io("sync", &log, e))?;
                // Its name as well, which is new.
                let name = || File::open(&self.root).and_then(|root| root.sync_all());
                if began { name().map_err(|e| StoreError::io("sync", &self.root, e)) } else { Ok(()) }
            }
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
            Err(e) => Err(StoreError::io("open", &log, e)),
        }
    }

    /// Begins to do the same beside what the caller does meanwhile: the thread ends when it is done. What cannot be synced
    /// is logged; it may be lost with the machine's power.
    pub fn sync_beside(&self) -> std::thread::JoinHandle<()> {
        let log = self.root.join("store.db-wal");
        std::thread::spawn(move || match File::open(&log).and_then(|file| file.sync_data()) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                tracing::warn!(log = %log.display(), %error, "the log cannot be synced");
            }
            _ => {}
        })
    }

    /// Lets the next commit be without a wait for the disk, where the log is new: there is nothing old in it that a
    /// loss of power could mix with the new, and the store itself is not written before the next [`sync`](Self::sync).
    pub(crate) fn unhurry(&mut self) -> Result<(), StoreError> {
        if self.unhurried != Unhurried::Next {
            return Ok(());
        }
        self.unhurried = Unhurried::No;
        // A store without a log has a rollback journal, which is nothing without its syncs.
        if fs::metadata(self.root.join("store.db-wal")).is_ok_and(|log| log.len() == 0) {
            self.pragma("add a batch to", UNHURRIED)?;
            self.unhurried = Unhurried::Now;
        }
        Ok(())
    }

    /// Closes the store and waits until SQLite has. Dropping it closes it in the background.
    ///
    /// # Errors
    /// Where SQLite reports one.
    pub fn close(mut self) -> Result<(), StoreError> {
        if self.unhurried == Unhurried::Now {
            self.sync()?;
        }
        let Self { file, runtime, connection, .. } = self;
        runtime.block_on(connection.close()).map_err(|e| StoreError::sql("close", &file, e))
    }

    /// Runs a single reading statement (or several that need not see the same state).
    pub(crate) fn read<T>(
        &mut self,
        doing: &'static str,
        work: impl AsyncFnOnce(&mut SqliteConnection) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        let _lock = self.lock()?;
        self.runtime.block_on(work(&mut self.connection)).map_err(|fault| fault.at(doing, &self.file))
    }

    /// Runs several reading statements on one state of the store.
    pub(crate) fn snapshot<T>(
        &mut self,
        doing: &'static str,
        work: impl AsyncFnOnce(&mut SqliteConnection) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        self.transaction(BEGIN, doing, work)
    }

    /// The one way to write: `BEGIN IMMEDIATE`, since a transaction that reads first and writes then fails at
    /// once where another process wrote in between, however long the busy timeout.
    pub(crate) fn write<T>(
        &mut self,
        doing: &'static str,
        work: impl AsyncFnOnce(&mut SqliteConnection) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        self.transaction(BEGIN_IMMEDIATE, doing, work)
    }

    /// Writes by a single statement, which is a transaction of its own: it reads nothing before it has the lock.
    pub(crate) fn write_one<T>(
        &mut self,
        doing: &'static str,
        work: impl AsyncFnOnce(&mut SqliteConnection) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        self.read(doing, work)
    }

    /// Writes, unless another process does: `None` then. It waits only a moment.
    pub(crate) fn write_unless_busy<T>(
        &mut self,
        doing: &'static str,
        work: impl AsyncFnOnce(&mut SqliteConnection) -> Result<T, Fault>,
    ) -> Result<Option<T>, StoreError> {
        const MOMENT: &str = "PRAGMA busy_timeout = 50";
        const AS_EVER: &str = "PRAGMA busy_timeout = 30000";
        self.pragma(doing, MOMENT)?;
        self.patience = Duration::from_millis(50);
        let done = self.write(doing, work);
        self.patience = BUSY_TIMEOUT;
        self.pragma(doing, AS_EVER)?;
        match done {
            Ok(result) => Ok(Some(result)),
            Err(StoreError::Busy { .. } | StoreError::Locked { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Sets something of the connection alone, which needs no lock.
    fn pragma(&mut self, doing: &'static str, sql: &'static str) -> Result<(), StoreError> {
        let done = self.runtime.block_on(sqlx::query(sql).execute(&mut self.connection));
        done.map(drop).map_err(|e| StoreError::sql(doing, &self.file, e))
    }

    fn transaction<T>(
        &mut self,
        begin: &'static str,
        doing: &'static str,
        work: impl AsyncFnOnce(&mut SqliteConnection) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        let _lock = self.lock()?;
        let Self { runtime, connection, file, .. } = self;
        runtime
            .block_on(async {
                sqlx::query(begin).execute(&mut *connection).await?;
                let result = match work(&mut *connection).await {
                    Ok(result) => sqlx::query(COMMIT)
                        .execute(&mut *connection)
                        .await
                        .map(|_| result)
                        .map_err(Fault::Sql),
                    Err(fault) => Err(fault),
                };
                if result.is_err() {
                    // Of a full disk SQLite has rolled back by itself, and says now that nothing is open. That is
                    // why sqlx's own transactions, which count, are not used here. The first error is reported.
                    let _ = sqlx::query(ROLLBACK).execute(&mut *connection).await;
                }
                result
            })
            .map_err(|fault: Fault| fault.at(doing, file))
    }

    fn lock(&self) -> Result<Option<StoreLock>, StoreError> {
        match self.locking {
            Locking::Posix => Ok(None),
            Locking::LockFile => StoreLock::acquire(&self.root, self.patience).map(Some),
        }
    }
}

/// What a thing is that is no file.
fn kind(kind: FileType) -> &'static str {
    match () {
        () if kind.is_dir() => "a directory",
        () if kind.is_fifo() => "a FIFO",
        () if kind.is_socket() => "a socket",
        () => "a device",
    }
}

#[cfg(test)]
mod tests {
    use cluster_core::{JobSpec, JobState, Tag, Timestamp};

    use super::*;
    use crate::{BatchFilter, NewBatch};

    /// `synchronous` and `wal_autocheckpoint` of a store's connection.
    fn care(store: &mut Store) -> (i64, i64) {
        let asked = store.read("ask", async |connection| {
            let synchronous = sqlx::query_scalar("PRAGMA synchronous").fetch_one(&mut *connection).await?;
            let checkpoint = sqlx::query_scalar("PRAGMA wal_autocheckpoint").fetch_one(connection).await?;
            Ok((synchronous, checkpoint))
        });
        asked.unwrap()
    }

    fn batch(bits: u64) -> NewBatch {
        let spec = JobSpec::single("x", vec!["true".into()], "/".into());
        NewBatch::new(Tag::from_bits(bits), spec, "local", "local", JobState::Queued, "me", Timestamp(1))
    }

    #[test]
    fn only_the_first_batch_of_a_new_log_need_not_wait_and_only_until_sync() {
        const STRICTLY: (i64, i64) = (1, 1000);
        let root = tempfile::tempdir().unwrap();
        let made = OpenOptions { create: true, ..OpenOptions::default() };
        Store::open(root.path(), &made).unwrap().close().unwrap();
        let options = OpenOptions { sync_follows: true, ..OpenOptions::default() };
        let mut store = Store::open(root.path(), &options).unwrap();
        assert_eq!(care(&mut store), STRICTLY);
        store.take_in(&[batch(1)]).unwrap();
        assert_eq!(care(&mut store), (0, 0));
        store.sync().unwrap();
        assert_eq!(care(&mut store), STRICTLY);
        store.take_in(&[batch(2)]).unwrap();
        assert_eq!(care(&mut store), STRICTLY);
        // The log of somebody else has frames, and some may be written over.
        let mut other = Store::open(root.path(), &options).unwrap();
        other.take_in(&[batch(3)]).unwrap();
        assert_eq!(care(&mut other), STRICTLY);
        other.close().unwrap();
        store.close().unwrap();
        // Who did not ask for it waits.
        let mut store = Store::open(root.path(), &OpenOptions::default()).unwrap();
        store.take_in(&[batch(4)]).unwrap();
        assert_eq!(care(&mut store), STRICTLY);
        store.close().unwrap();
        // Closed without a sync, it is synced by that.
        let mut store = Store::open(root.path(), &options).unwrap();
        store.take_in(&[batch(5)]).unwrap();
        store.close().unwrap();
        let mut store = Store::open(root.path(), &OpenOptions::default()).unwrap();
        assert_eq!(store.batches(&BatchFilter::default(), None).unwrap().len(), 5);
        assert!(store.check().unwrap().is_sound());
    }

    #[test]
    fn a_short_log_stays_short() {
        let log_after = |short_log: bool| {
            let root = tempfile::tempdir().unwrap();
            let options = OpenOptions { create: true, short_log, ..OpenOptions::default() };
            let mut store = Store::open(root.path(), &options).unwrap();
            (0..60).for_each(|bits| drop(store.take_in(&[batch(bits)]).unwrap()));
            fs::metadata(root.path().join("store.db-wal")).unwrap().len()
        };
        let (short, long) = (log_after(true), log_after(false));
        // The last commit before the store takes it in may go over the bound.
        assert!(short < 250 * 4_120 && short < long / 2, "{short} of {long}");
    }

    #[test]
    fn a_store_can_go_to_another_thread() {
        fn check<T: Send>() {}
        check::<Store>();
    }
}
