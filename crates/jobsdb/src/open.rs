//! Opening a store: the file, its journal and its locks, by the file system it lies on.

use std::ffi::CStr;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, Row, SqliteConnection};
use tokio::runtime::Runtime;

use crate::error::StoreError;
use crate::fault::Fault;
use crate::filesystem::FileSystem;
use crate::migrate::{self, MigrateLock, VERSION};
use crate::store_lock::StoreLock;

/// How long a statement waits for other processes.
pub(crate) const BUSY_TIMEOUT: Duration = Duration::from_secs(30);

const BEGIN: &str = "BEGIN";
const BEGIN_IMMEDIATE: &str = "BEGIN IMMEDIATE";
const COMMIT: &str = "COMMIT";
const ROLLBACK: &str = "ROLLBACK";

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
    /// Write nothing, not even an event that waits.
    pub read_only: bool,
    /// Take the root for a file system of this kind instead of asking; for tests.
    pub filesystem: Option<FileSystem>,
    /// Lock in this way instead of finding out which works; for tests.
    pub locking: Option<Locking>,
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
        let root = std::path::absolute(root).map_err(|e| StoreError::io("find", root, e))?;
        let file = root.join("store.db");
        let exists = match fs::metadata(&file) {
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
            let opened = if exists {
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
        // With a rollback journal every commit is synced. The log is synced through a descriptor of our own:
        // SQLite keeps its locks elsewhere, so that closing this one drops none (it would on the database).
        let log = self.root.join("store.db-wal");
        match File::open(&log) {
            Ok(file) => file.sync_data().map_err(|e| StoreError::io("sync", &log, e)),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
            Err(e) => Err(StoreError::io("open", &log, e)),
        }
    }

    /// Closes the store and waits until SQLite has. Dropping it closes it in the background.
    ///
    /// # Errors
    /// Where SQLite reports one.
    pub fn close(self) -> Result<(), StoreError> {
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

/// All that decides how a connection is made.
struct How<'a> {
    options: &'a OpenOptions,
    filesystem: FileSystem,
    locking: Locking,
    /// The file as SQLite is told.
    name: PathBuf,
}

impl How<'_> {
    fn connect_options(&self) -> SqliteConnectOptions {
        let network = self.filesystem.is_network();
        let full = network || self.options.durable;
        let mut connect = SqliteConnectOptions::new()
            .filename(&self.name)
            .create_if_missing(false)
            .read_only(self.options.read_only)
            .busy_timeout(BUSY_TIMEOUT)
            .foreign_keys(true)
            .pragma("temp_store", "MEMORY")
            // 2 MiB: an idle runner holds one of these for each root.
            .pragma("cache_size", "-2048")
            .pragma("mmap_size", "0")
            .pragma("synchronous", if full { "FULL" } else { "NORMAL" })
            .disable_statement_logging();
        if network && !self.options.read_only {
            connect = connect.pragma("journal_mode", "TRUNCATE");
        }
        if self.locking == Locking::LockFile {
            connect = connect.vfs("unix-none");
        }
        connect
    }

    /// A connection and the version of the store; `(version, journal mode)`.
    async fn connect(
        &self,
        connect: &SqliteConnectOptions,
    ) -> Result<(SqliteConnection, i64, String), Fault> {
        let mut connection = connect.connect().await?;
        let row = sqlx::query(
            "SELECT user_version, (SELECT journal_mode FROM pragma_journal_mode) FROM pragma_user_version",
        )
        .fetch_one(&mut connection)
        .await?;
        Ok((connection, row.try_get(0)?, row.try_get(1)?))
    }

    async fn connect_existing(&self, root: &Path, file: &Path) -> Result<SqliteConnection, Fault> {
        let lock = self.lock(root)?;
        let connect = self.connect_options();
        let (mut connection, version, journal) = match self.connect(&connect).await {
            Ok(opened) => opened,
            Err(fault) => self.connect_unwritable(root, &connect).await.ok_or(fault)?,
        };
        if version > VERSION {
            return Err(migrate::newer(file, version).into());
        }
        drop(lock);
        if version < VERSION {
            if self.options.read_only {
                return Err(StoreError::ReadOnly {
                    file: file.to_owned(),
                    detail: format!("it has version {version} and would have to be brought to {VERSION}"),
                }
                .into());
            }
            let _migration = MigrateLock::acquire(root)?;
            let _lock = self.lock(root)?;
            self.set_journal(&mut connection).await?;
            migrate::migrate(&mut connection, file).await?;
        } else if journal != "wal" && !self.filesystem.is_network() && !self.options.read_only {
            // It came here from a network file system. Whoever is not alone cannot switch; the next one may.
            let _lock = self.lock(root)?;
            let _ = self.set_journal(&mut connection).await;
        }
        Ok(connection)
    }

    /// Where the root cannot be written, SQLite cannot make the files beside a WAL store; then it is read
    /// as one that nobody changes, provided that no log waits to be taken in.
    async fn connect_unwritable(
        &self,
        root: &Path,
        connect: &SqliteConnectOptions,
    ) -> Option<(SqliteConnection, i64, String)> {
        let writable = rustix::fs::access(root, rustix::fs::Access::WRITE_OK).is_ok();
        let log_is_empty = fs::metadata(root.join("store.db-wal")).map_or(true, |log| log.len() == 0);
        if writable || !log_is_empty {
            return None;
        }
        self.connect(&connect.clone().read_only(true).immutable(true)).await.ok()
    }

    async fn create(&self, root: &Path, file: &Path) -> Result<SqliteConnection, Fault> {
        let _migration = MigrateLock::acquire(root)?;
        let _lock = self.lock(root)?;
        match fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file) {
            Ok(made) => drop(made),
            // Another process was first.
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
            Err(e) if e.kind() == ErrorKind::PermissionDenied => {
                return Err(StoreError::ReadOnly { file: file.to_owned(), detail: e.to_string() }.into());
            }
            Err(e) => return Err(StoreError::io("create", file, e).into()),
        }
        let (mut connection, _, _) = self.connect(&self.connect_options()).await?;
        self.set_journal(&mut connection).await?;
        migrate::migrate(&mut connection, file).await?;
        // The new name itself must survive a loss of power.
        File::open(root).and_then(|root| root.sync_all()).map_err(|e| StoreError::io("sync", root, e))?;
        Ok(connection)
    }

    /// Puts the store into WAL mode where that works. Only done when it is made (or was moved): the switch
    /// needs an exclusive lock, for which the busy timeout does not wait.
    async fn set_journal(&self, connection: &mut SqliteConnection) -> Result<(), Fault> {
        if !self.filesystem.is_network() && self.locking == Locking::Posix {
            sqlx::query("PRAGMA journal_mode = WAL").fetch_one(connection).await?;
        }
        Ok(())
    }

    fn lock(&self, root: &Path) -> Result<Option<StoreLock>, StoreError> {
        match self.locking {
            Locking::Posix => Ok(None),
            Locking::LockFile => StoreLock::acquire(root, BUSY_TIMEOUT).map(Some),
        }
    }
}

/// Makes the root, for its owner alone; directories above it that are missing get the usual mode.
fn make_directory(root: &Path) -> Result<(), StoreError> {
    if let Some(parent) = root.parent() {
        fs::create_dir_all(parent).map_err(|e| StoreError::io("make", parent, e))?;
    }
    match fs::DirBuilder::new().mode(0o700).create(root) {
        Ok(()) => Ok(()),
        Err(e) if e.kind() == ErrorKind::AlreadyExists && root.is_dir() => Ok(()),
        Err(e) => Err(StoreError::io("make", root, e)),
    }
}

/// Whether POSIX locks work: asked only on network file systems, on a file that nobody else locks so.
fn locking_of(root: &Path, filesystem: FileSystem) -> Locking {
    const PROBE: &CStr = c"migrate.lock";
    if !filesystem.is_network() {
        return Locking::Posix;
    }
    use rustix::fs::{FlockOperation, Mode, OFlags, fcntl_lock, open, openat};
    let probe = || {
        let directory = open(root, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        let file = openat(
            directory,
            PROBE,
            OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC,
            Mode::RUSR | Mode::WUSR,
        )?;
        match fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
            // Held by another: so locks work.
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::ACCESS) => Ok(()),
            other => other,
        }
    };
    match probe() {
        Err(rustix::io::Errno::NOLCK | rustix::io::Errno::NOSYS | rustix::io::Errno::OPNOTSUPP) => {
            tracing::warn!(root = %root.display(), "no POSIX locks here: using store.lock around each transaction");
            Locking::LockFile
        }
        _ => Locking::Posix,
    }
}
