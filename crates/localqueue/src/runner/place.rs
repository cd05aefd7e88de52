//! Where the runner lives: a private directory with its lock, socket, log, slot table and journals.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::files::{make_private_dir, make_private_dirs};

/// The runner's directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    dir: PathBuf,
}

/// A directory that cannot be the runner's.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PlaceError {
    /// It cannot be made or used.
    #[error("the runner's directory {} cannot be used: {source}; set CLUSTER_QUEUE_DIR to another one", dir.display())]
    Io {
        /// The directory.
        dir: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// It is not ours alone.
    #[error("the runner's directory {} {why}: it must belong to you alone (chmod 700, or set CLUSTER_QUEUE_DIR)", dir.display())]
    NotPrivate {
        /// The directory.
        dir: PathBuf,
        /// Whose it is, or who may enter.
        why: String,
    },
}

impl Place {
    /// `given` (`$CLUSTER_QUEUE_DIR`), else `/var/tmp/cluster-<uid>`: a place that ssh, cron and su agree on.
    pub fn new(given: Option<PathBuf>) -> Self {
        let uid = rustix::process::getuid().as_raw();
        Self { dir: given.unwrap_or_else(|| PathBuf::from(format!("/var/tmp/cluster-{uid}"))) }
    }

    /// Where a process of this user listens that runs its jobs itself.
    #[must_use]
    pub fn of_process(&self, pid: u32) -> Self {
        Self { dir: self.dir.join(format!("foreground-{pid}")) }
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Makes the directory where it is missing, and refuses one that others can enter or that is not ours.
    ///
    /// # Errors
    /// See [`PlaceError`].
    pub fn ensure(&self) -> Result<(), PlaceError> {
        let io = |source| PlaceError::Io { dir: self.dir.clone(), source };
        if let Err(error) = make_private_dir(&self.dir) {
            if error.kind() != io::ErrorKind::NotFound {
                return Err(io(error));
            }
            make_private_dirs(&self.dir).map_err(io)?;
        }
        self.check()
    }

    /// Whether the directory is there, ours, and ours alone.
    ///
    /// # Errors
    /// See [`PlaceError`].
    pub fn check(&self) -> Result<(), PlaceError> {
        let metadata =
            self.dir.symlink_metadata().map_err(|source| PlaceError::Io { dir: self.dir.clone(), source })?;
        let refuse = |why: String| Err(PlaceError::NotPrivate { dir: self.dir.clone(), why });
        if !metadata.is_dir() {
            return refuse("is no directory".to_owned());
        }
        if metadata.uid() != rustix::process::getuid().as_raw() {
            return refuse(format!("belongs to user {}", metadata.uid()));
        }
        if metadata.permissions().mode() & 0o077 != 0 {
            return refuse(format!("has mode {:o}", metadata.permissions().mode() & 0o777));
        }
        Ok(())
    }

    /// Takes the lock that makes its holder the runner. `None`: another process holds it.
    ///
    /// # Errors
    /// Where the file cannot be opened or locked.
    pub fn lock(&self) -> Result<Option<File>, PlaceError> {
        let io = |source| PlaceError::Io { dir: self.dir.clone(), source };
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(self.dir.join("lock"))
            .map_err(io)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(io(error)),
        }
    }

    /// The socket.
    pub fn socket(&self) -> PathBuf {
        self.dir.join("socket")
    }

    /// The slot table.
    pub fn slots(&self) -> PathBuf {
        self.dir.join("slots")
    }

    /// What the runner says of itself.
    pub fn log(&self) -> PathBuf {
        self.dir.join("runner.log")
    }

    /// The limits that `cluster local set` gave.
    pub fn limits(&self) -> PathBuf {
        self.dir.join("limits.json")
    }

    /// The directory of all roots with unfinished jobs.
    pub fn roots(&self) -> PathBuf {
        self.dir.join("roots")
    }

    /// The number of a root, and the directory of its journal.
    pub fn root(&self, root: &Path) -> (u64, PathBuf) {
        use std::os::unix::ffi::OsStrExt;
        // FNV-1a: stable over versions, and a clash only means a shared directory name, which `path` shows.
        let number = root.as_os_str().as_bytes().iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        (number, self.root_dir(number))
    }

    /// The directory of the journal of the root with this number.
    pub(super) fn root_dir(&self, number: u64) -> PathBuf {
        self.roots().join(format!("{number:016x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_private_directory_will_do() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::new(Some(dir.path().join("a/b")));
        place.ensure().unwrap();
        assert_eq!(place.dir().metadata().unwrap().permissions().mode() & 0o777, 0o700);
        std::fs::set_permissions(place.dir(), std::fs::Permissions::from_mode(0o755)).unwrap();
        assert!(matches!(place.ensure(), Err(PlaceError::NotPrivate { .. })));
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(dir.path().join("a"), &link).unwrap();
        assert!(Place::new(Some(link)).ensure().is_err());
    }

    #[test]
    fn the_lock_has_one_holder() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::new(Some(dir.path().join("q")));
        place.ensure().unwrap();
        let held = place.lock().unwrap();
        assert!(held.is_some());
        assert!(place.lock().unwrap().is_none());
        drop(held);
        assert!(place.lock().unwrap().is_some());
    }
}
