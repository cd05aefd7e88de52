//! One output stream of a bare job: drained from its pipe into memory, above 1 MiB, or when the job
//! turns out slow, into a file of its own.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use crate::event::StreamPlace;
use crate::pack::Pack;
use crate::sys;

/// More than this goes on into a file.
const IN_MEMORY: usize = 1 << 20;

pub(crate) struct Stream {
    pipe: Option<OwnedFd>,
    memory: Vec<u8>,
    /// The file it went on into, and how much is in it.
    file: Option<(File, u64)>,
    path: PathBuf,
    pub(crate) error: Option<io::Error>,
}

impl Stream {
    /// `pipe` is our end; `path` is the file for a long stream.
    pub(crate) fn new(pipe: OwnedFd, path: PathBuf) -> Self {
        Self { pipe: Some(pipe), memory: Vec::new(), file: None, path, error: None }
    }

    /// The pipe, while it is open.
    pub(crate) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().map(AsFd::as_fd)
    }

    /// Takes what the pipe has; to be called when it is readable. How much it was.
    pub(crate) fn read(&mut self, scratch: &mut [u8]) -> usize {
        let Some(pipe) = &self.pipe else { return 0 };
        match rustix::io::read(pipe, &mut *scratch) {
            Ok(0) => self.pipe = None,
            Ok(n) => {
                self.take(&scratch[..n]);
                return n;
            }
            Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => {}
            Err(_) => self.pipe = None,
        }
        0
    }

    /// Takes what is in the pipe now without waiting for more, and closes it: a late writer gets EPIPE.
    pub(crate) fn finish(&mut self, scratch: &mut [u8]) {
        let mut left = self.pipe.as_ref().map_or(0, |pipe| sys::readable(pipe.as_fd()));
        while left > 0 && self.pipe.is_some() {
            let part = left.min(scratch.len());
            // Somebody who left the group may go on writing for ever: what was in it when the job ended counts.
            left -= self.read(&mut scratch[..part]).min(left);
        }
        self.pipe = None;
    }

    fn take(&mut self, bytes: &[u8]) {
        if self.file.is_none() && self.memory.len() + bytes.len() > IN_MEMORY {
            self.go_to_file();
        }
        match &mut self.file {
            Some((file, len)) => match file.write_all(bytes) {
                Ok(()) => *len += bytes.len() as u64,
                // Read on and drop: a job must not hang because our disk is full, but it is told.
                Err(error) => drop(self.error.get_or_insert(error)),
            },
            None if self.error.is_none() => self.memory.extend_from_slice(bytes),
            None => {}
        }
    }

    /// From here on everything is in the file, where others can follow it.
    pub(crate) fn go_to_file(&mut self) {
        if self.file.is_some() {
            return;
        }
        let memory = std::mem::take(&mut self.memory);
        // The shard's directory is only made for the few that need it.
        let made = self.path.parent().map_or(Ok(()), crate::files::make_private_dir);
        let opened = made.and_then(|()| OpenOptions::new().create(true).append(true).open(&self.path));
        match opened.and_then(|mut file| file.write_all(&memory).map(|()| file)) {
            Ok(file) => self.file = Some((file, memory.len() as u64)),
            Err(error) => {
                self.error.get_or_insert(error);
            }
        }
    }

    /// Puts the stream where it stays.
    pub(crate) fn place(&mut self, pack: Option<&Pack>) -> StreamPlace {
        if let Some((_, len)) = &self.file {
            return StreamPlace::File(*len);
        }
        let Some(pack) = pack else { return StreamPlace::Pack { offset: 0, len: 0 } };
        pack.append(&self.memory).unwrap_or_else(|error| {
            self.error.get_or_insert(error);
            StreamPlace::Pack { offset: 0, len: 0 }
        })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.memory.is_empty() && self.file.is_none()
    }
}
