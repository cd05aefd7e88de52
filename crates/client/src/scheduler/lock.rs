//! Who sends the submissions of a batch: one process at a time.

use std::fs::File;
use std::io;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// Held while a submit command of a batch may run, also across the renaming of its directory. A process that
/// was killed holds nothing: whoever finds a try without an answer and takes the lock knows that nobody waits
/// for that answer any more.
#[derive(Debug)]
pub(crate) struct SendLock {
    _dir: Option<File>,
}

impl SendLock {
    /// Of the batch whose files are in `dir`; `None` where another process has it. A file system without locks
    /// gives it to anybody: there the time since the last try has to do.
    ///
    /// # Errors
    /// Where the directory cannot be opened.
    pub(crate) fn take(dir: &Path) -> io::Result<Option<Self>> {
        let dir = File::open(dir)?;
        match flock(&dir, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Self { _dir: Some(dir) })),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(_) => Ok(Some(Self { _dir: None })),
        }
    }
}
