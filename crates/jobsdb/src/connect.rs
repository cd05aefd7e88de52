//! How a connection to the store is made: by the file system it lies on, and whether it is there yet.

use std::ffi::CStr;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Row, SqliteConnection};

use crate::error::StoreError;
use crate::fault::Fault;
use crate::filesystem::FileSystem;
use crate::migrate::{self, MigrateLock, VERSION};
use crate::open::{BUSY_TIMEOUT, Locking, OpenOptions};
use crate::store_lock::StoreLock;

/// All that decides how a connection is made.
pub(crate) struct How<'a> {
    pub(crate) options: &'a OpenOptions,
    pub(crate) filesystem: FileSystem,
    pub(crate) locking: Locking,
    /// The file as SQLite is told.
    pub(crate) name: PathBuf,
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
            .pragma("cache_size", "-1024")
            .pragma("mmap_size", "0")
            .pragma("synchronous", if full { "FULL" } else { "NORMAL" })
            .disable_statement_logging();
        if self.options.short_log {
            connect = connect.pragma("wal_autocheckpoint", "200");
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

    pub(crate) async fn connect_existing(&self, root: &Path, file: &Path) -> Result<SqliteConnection, Fault> {
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
            migrate::refuse_foreign(&mut connection, file).await?;
            self.set_journal(&mut connection, &journal).await?;
            migrate::migrate(&mut connection, file).await?;
        } else if !self.options.read_only && journal != self.journal() {
            // It came here from a file system of another kind, or keeps a rollback journal, which each
            // connection has to be told. What cannot be written, or is in use, is left as it is.
            let _lock = self.lock(root)?;
            if let Err(fault) = self.set_journal(&mut connection, &journal).await {
                let error = fault.at("set the journal of", file);
                tracing::debug!(%error, "the journal stays as it is");
            }
        }
        Ok(connection)
    }

    /// To a store that is damaged: as much of its schema as can be read, whatever its size should be. First
    /// with its log, then, where that or a journal beside it is in the way, as it lies there.
    pub(crate) async fn connect_damaged(&self) -> Result<SqliteConnection, Fault> {
        let mut connect = SqliteConnectOptions::new()
            .filename(&self.name)
            .create_if_missing(false)
            .read_only(true)
            .busy_timeout(BUSY_TIMEOUT)
            // Nothing is written: this makes SQLite go on where a schema or a size is wrong.
            .pragma("writable_schema", "ON")
            .disable_statement_logging();
        if self.locking == Locking::LockFile {
            connect = connect.vfs("unix-none");
        }
        match self.connect_readable(&connect).await {
            Ok(connection) => Ok(connection),
            Err(error) => self.connect_readable(&connect.immutable(true)).await.map_err(|_| error.into()),
        }
    }

    /// A connection by which at least something of the schema can be read.
    async fn connect_readable(
        &self,
        connect: &SqliteConnectOptions,
    ) -> Result<SqliteConnection, sqlx::Error> {
        let mut connection = connect.connect().await?;
        sqlx::query("SELECT name FROM sqlite_schema LIMIT 1").fetch_one(&mut connection).await?;
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

    pub(crate) async fn create(&self, root: &Path, file: &Path) -> Result<SqliteConnection, Fault> {
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
        let (mut connection, _, journal) = self.connect(&self.connect_options()).await?;
        migrate::refuse_foreign(&mut connection, file).await?;
        self.set_journal(&mut connection, &journal).await?;
        migrate::migrate(&mut connection, file).await?;
        // The new name itself must survive a loss of power.
        File::open(root).and_then(|root| root.sync_all()).map_err(|e| StoreError::io("sync", root, e))?;
        Ok(connection)
    }

    /// The journal that goes with file system and locks.
    fn journal(&self) -> &'static str {
        if self.filesystem.is_network() || self.locking == Locking::LockFile { "truncate" } else { "wal" }
    }

    /// Sets the journal. The switch to or from WAL needs the file alone, for which the busy timeout does not
    /// wait; whoever looks in at the same moment is soon gone again.
    async fn set_journal(&self, connection: &mut SqliteConnection, current: &str) -> Result<(), Fault> {
        let sql = match self.journal() {
            wanted if wanted == current => return Ok(()),
            "wal" => "PRAGMA journal_mode = WAL",
            _ => "PRAGMA journal_mode = TRUNCATE",
        };
        for _ in 0..200 {
            match sqlx::query(sql).fetch_one(&mut *connection).await {
                Ok(_) => return Ok(()),
                Err(error) if is_busy(&error) => std::thread::sleep(Duration::from_millis(5)),
                Err(error) => return Err(error.into()),
            }
        }
        // It works with either; the next opener may have more luck.
        tracing::debug!("the store is in use, its journal stays as it is");
        Ok(())
    }

    fn lock(&self, root: &Path) -> Result<Option<StoreLock>, StoreError> {
        match self.locking {
            Locking::Posix => Ok(None),
            Locking::LockFile => StoreLock::acquire(root, BUSY_TIMEOUT).map(Some),
        }
    }
}

/// Whether another connection is in the way (SQLITE_BUSY, SQLITE_LOCKED and their kinds).
fn is_busy(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.and_then(|code| code.parse::<i32>().ok()).is_some_and(|code| matches!(code & 0xff, 5 | 6))
}

/// Makes the root, for its owner alone; directories above it that are missing get the usual mode.
pub(crate) fn make_directory(root: &Path) -> Result<(), StoreError> {
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
pub(crate) fn locking_of(root: &Path, filesystem: FileSystem) -> Locking {
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
