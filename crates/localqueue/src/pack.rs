//! The pack of a submission: the outputs of its jobs, one after the other in one file.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::event::StreamPlace;

/// A pack that is open for writing. Bytes that no record names are of nobody: a killed runner may leave
/// some, and the next one goes on behind them.
#[derive(Debug)]
pub struct Pack {
    file: File,
    end: AtomicU64,
}

impl Pack {
    /// Opens or makes it.
    ///
    /// # Errors
    /// What the file system says.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
        let end = file.metadata()?.len();
        Ok(Self { file, end: AtomicU64::new(end) })
    }

    /// Puts `bytes` in.
    ///
    /// # Errors
    /// Where the disk does not take them.
    pub fn append(&self, bytes: &[u8]) -> io::Result<StreamPlace> {
        let len = bytes.len() as u64;
        if len == 0 {
            return Ok(StreamPlace::Pack { offset: 0, len: 0 });
        }
        let offset = self.end.fetch_add(len, Ordering::Relaxed);
        self.file.write_all_at(bytes, offset)?;
        Ok(StreamPlace::Pack { offset, len })
    }
}
