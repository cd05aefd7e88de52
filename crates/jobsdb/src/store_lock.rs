//! `store.lock`: our own lock around each transaction, where the file system refuses POSIX locks.
//!
//! The file is made with O_EXCL, which also NFS does atomically, and says who made it. It is never broken
//! by itself: a holder of another host cannot be looked at from here. `cluster db unlock` is [`unlock`].

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::error::StoreError;

/// Who made a lock file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockHolder {
    /// The host's name.
    pub host: String,
    /// The boot of that host.
    pub boot_id: String,
    /// The pid namespace, as the kernel names it.
    pub pid_namespace: String,
    /// The process.
    pub pid: u32,
    /// When it started, in the kernel's ticks since boot: tells it from a later one with its pid.
    pub start_time: u64,
}

impl LockHolder {
    /// This process.
    pub fn this_process() -> Self {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let namespace = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
        let pid = std::process::id();
        Self {
            host,
            boot_id: boot_id.trim_end().to_owned(),
            pid_namespace: namespace.to_string_lossy().into_owned(),
            pid,
            start_time: start_time(pid).unwrap_or(0),
        }
    }

    /// What can be said of it from here.
    pub fn status(&self) -> HolderStatus {
        let here = Self::this_process();
        if self.host != here.host {
            HolderStatus::Elsewhere
        } else if self.boot_id != here.boot_id {
            HolderStatus::Dead
        } else if self.pid_namespace != here.pid_namespace {
            // A container of this host: its pids mean nothing here.
            HolderStatus::Elsewhere
        } else if start_time(self.pid) == Some(self.start_time) {
            HolderStatus::Alive
        } else {
            HolderStatus::Dead
        }
    }
}

impl fmt::Display for LockHolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} on {}", self.pid, self.host)
    }
}

/// What can be said of a lock's holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HolderStatus {
    /// It runs on this host.
    Alive,
    /// It was of this host and is gone.
    Dead,
    /// It is of another host or pid namespace.
    Elsewhere,
}

/// Field 22 of `/proc/PID/stat`; `None` where there is no such process.
fn start_time(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in field 2 may hold blanks and brackets; what follows the last bracket begins with field 3.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let state = fields.next()?;
    // A zombie holds nothing any more.
    if state == "Z" { None } else { fields.nth(18)?.parse().ok() }
}

/// The lock, held until dropped.
#[derive(Debug)]
pub(crate) struct StoreLock {
    path: PathBuf,
}

impl StoreLock {
    /// The lock file of a root.
    pub(crate) fn path(root: &Path) -> PathBuf {
        root.join("store.lock")
    }

    /// Takes the lock, waiting up to `patience` for another holder.
    pub(crate) fn acquire(root: &Path, patience: Duration) -> Result<Self, StoreError> {
        let path = Self::path(root);
        let holder = LockHolder::this_process();
        let text = serde_json::to_string(&holder)
            .map_err(|e| StoreError::Encode { what: "lock holder", detail: e.to_string() })?;
        let begin = Instant::now();
        let mut pause = Duration::from_millis(1);
        loop {
            match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
                Ok(mut file) => {
                    let lock = Self { path };
                    // On an error here the drop of `lock` takes the file away again.
                    writeln!(file, "{text}").map_err(|e| StoreError::io("write", &lock.path, e))?;
                    return Ok(lock);
                }
                Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
                Err(e) if e.kind() == ErrorKind::PermissionDenied => {
                    return Err(StoreError::ReadOnly { file: path, detail: e.to_string() });
                }
                Err(e) => return Err(StoreError::io("create", &path, e)),
            }
            if begin.elapsed() >= patience {
                let holder = read_holder(&path)?.unwrap_or_else(unreadable);
                return Err(StoreError::Locked { file: path, holder });
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(50));
        }
    }
}

impl Drop for StoreLock {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove the store's lock");
        }
    }
}

/// What `unlock` did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnlockReport {
    /// The lock file.
    pub file: PathBuf,
    /// Whose lock was removed; `None` where there was none.
    pub removed: Option<LockHolder>,
}

/// Removes the lock that a process left behind. One whose holder is of another host only with `force`;
/// that of a living process of this host never.
///
/// # Errors
/// Where the holder is alive or cannot be looked at, or the file cannot be removed.
pub fn unlock(root: &Path, force: bool) -> Result<UnlockReport, StoreError> {
    let file = StoreLock::path(root);
    let Some(holder) = read_holder(&file)? else {
        if !file.exists() {
            return Ok(UnlockReport { file, removed: None });
        }
        // Made and not yet written, or cut off by a full disk: nobody can be asked.
        if !force {
            return Err(StoreError::HolderElsewhere { file, holder: unreadable() });
        }
        fs::remove_file(&file).map_err(|e| StoreError::io("remove", &file, e))?;
        return Ok(UnlockReport { file, removed: Some(unreadable()) });
    };
    match holder.status() {
        HolderStatus::Alive => return Err(StoreError::HolderAlive { file, holder }),
        HolderStatus::Elsewhere if !force => return Err(StoreError::HolderElsewhere { file, holder }),
        HolderStatus::Dead | HolderStatus::Elsewhere => {}
    }
    // Between reading and removing it another `unlock` may have removed it and a third process taken it
    // anew: what is moved away is looked at once more, and put back if it is another's.
    let aside = root.join(format!("store.lock.{}", std::process::id()));
    fs::rename(&file, &aside).map_err(|e| StoreError::io("move", &file, e))?;
    if read_holder(&aside)?.as_ref() != Some(&holder) {
        let back = fs::hard_link(&aside, &file);
        fs::remove_file(&aside).map_err(|e| StoreError::io("remove", &aside, e))?;
        back.map_err(|e| StoreError::io("put back", &file, e))?;
        let holder = read_holder(&file)?.unwrap_or_else(unreadable);
        return Err(StoreError::HolderAlive { file, holder });
    }
    fs::remove_file(&aside).map_err(|e| StoreError::io("remove", &aside, e))?;
    Ok(UnlockReport { file, removed: Some(holder) })
}

/// The holder that a lock file names; `None` where there is no file or nothing readable in it.
fn read_holder(path: &Path) -> Result<Option<LockHolder>, StoreError> {
    match fs::read(path) {
        Ok(text) => Ok(serde_json::from_slice(&text).ok()),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(StoreError::io("read", path, e)),
    }
}

fn unreadable() -> LockHolder {
    LockHolder {
        host: "an unknown host".to_owned(),
        boot_id: String::new(),
        pid_namespace: String::new(),
        pid: 0,
        start_time: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, holder: &LockHolder) {
        fs::write(StoreLock::path(root), serde_json::to_vec(holder).unwrap()).unwrap();
    }

    #[test]
    fn one_holds_it_and_the_other_waits() {
        let root = tempfile::tempdir().unwrap();
        let lock = StoreLock::acquire(root.path(), Duration::ZERO).unwrap();
        let refused = StoreLock::acquire(root.path(), Duration::from_millis(5)).unwrap_err();
        assert!(matches!(&refused, StoreError::Locked { holder, .. } if holder.pid == std::process::id()));
        drop(lock);
        StoreLock::acquire(root.path(), Duration::ZERO).unwrap();
    }

    #[test]
    fn a_living_holder_is_never_unlocked() {
        let root = tempfile::tempdir().unwrap();
        let _lock = StoreLock::acquire(root.path(), Duration::ZERO).unwrap();
        for force in [false, true] {
            assert!(matches!(unlock(root.path(), force), Err(StoreError::HolderAlive { .. })));
        }
    }

    #[test]
    fn a_dead_holder_of_this_host_is_unlocked() {
        let root = tempfile::tempdir().unwrap();
        let here = LockHolder::this_process();
        let earlier = LockHolder { start_time: here.start_time.wrapping_add(1), ..here.clone() };
        let before_reboot = LockHolder { boot_id: "another".to_owned(), ..here };
        for dead in [earlier, before_reboot] {
            write(root.path(), &dead);
            assert_eq!(unlock(root.path(), false).unwrap().removed, Some(dead));
        }
        assert_eq!(unlock(root.path(), false).unwrap().removed, None);
    }

    #[test]
    fn another_hosts_lock_needs_force() {
        let root = tempfile::tempdir().unwrap();
        let other = LockHolder { host: "elsewhere".to_owned(), ..LockHolder::this_process() };
        write(root.path(), &other);
        let refused = unlock(root.path(), false).unwrap_err();
        assert!(refused.to_string().contains("elsewhere"), "{refused}");
        assert_eq!(unlock(root.path(), true).unwrap().removed, Some(other));
    }

    #[test]
    fn an_empty_lock_needs_force() {
        let root = tempfile::tempdir().unwrap();
        fs::write(StoreLock::path(root.path()), "").unwrap();
        assert!(unlock(root.path(), false).is_err());
        assert!(unlock(root.path(), true).unwrap().removed.is_some());
    }
}
