//! Who sends the submissions of a batch: one process at a time.

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::{Errno, FdFlags, fcntl_setfd};

/// Held while a submit command of a batch may run, also across the renaming of its directory. A process that
/// was killed holds nothing: whoever finds a try without an answer and takes the lock knows that nobody waits
/// for that answer any more.
#[derive(Debug)]
pub(crate) struct SendLock {
    _dir: Option<File>,
}

impl SendLock {
    /// The same, waiting for another process for at most `patience`.
    ///
    /// # Errors
    /// As [`Self::take`], and where the other one does not come to its end.
    pub(crate) fn wait(dir: &Path, patience: Duration) -> io::Result<Self> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(lock) = Self::take(dir)? {
                return Ok(lock);
            }
            if Instant::now() >= deadline {
                return Err(io::Error::new(io::ErrorKind::WouldBlock, "another process is sending it"));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Of the batch whose files are in `dir`; `None` where another process has it. A file system without locks
    /// gives it to anybody: there the time since the last try has to do.
    ///
    /// # Errors
    /// Where the directory cannot be opened.
    pub(crate) fn take(dir: &Path) -> io::Result<Option<Self>> {
        let dir = File::open(dir)?;
        match flock(&dir, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                // A submit command that outlives us goes on holding it: as long as it may hand something over,
                // nobody takes the submission for one that was left.
                let _ = fcntl_setfd(&dir, FdFlags::empty());
                Ok(Some(Self { _dir: Some(dir) }))
            }
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(_) => Ok(Some(Self { _dir: None })),
        }
    }
}

/// Held while an answer of a scheduler is taken into the store of a root: of many that wait for the same jobs one
/// does it, and the others find it there.
#[derive(Debug)]
pub(crate) struct FollowLock {
    _dir: Option<File>,
}

impl FollowLock {
    /// Of the root whose `jobs` directory this is; `None` where another process has it.
    pub(crate) fn take(jobs: &Path) -> Option<Self> {
        let Ok(dir) = File::open(jobs) else { return Some(Self { _dir: None }) };
        match flock(&dir, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Some(Self { _dir: Some(dir) }),
            Err(Errno::WOULDBLOCK) => None,
            Err(_) => Some(Self { _dir: None }),
        }
    }

    /// The same, waiting for the other one.
    pub(crate) fn wait(jobs: &Path) -> Self {
        let dir = File::open(jobs).ok();
        if let Some(dir) = &dir {
            let _ = flock(dir, FlockOperation::LockExclusive);
        }
        Self { _dir: dir }
    }
}
