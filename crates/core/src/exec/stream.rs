//! What a command writes, up to a cap.

use std::io;
use std::os::fd::OwnedFd;

use rustix::buffer::spare_capacity;

/// A pipe holds so much.
const STEP: usize = 64 << 10;

/// One of a command's streams as it comes in.
pub(super) struct Stream {
    /// `None` at its end, or where it goes elsewhere.
    pipe: Option<OwnedFd>,
    kept: Vec<u8>,
    cap: usize,
    /// Where what is over the cap goes.
    rest: Vec<u8>,
    cut: bool,
    error: Option<io::Error>,
}

impl Stream {
    pub(super) fn new(pipe: Option<OwnedFd>, cap: usize) -> Self {
        Self { pipe, kept: Vec::new(), cap, rest: Vec::new(), cut: false, error: None }
    }

    pub(super) fn pipe(&self) -> Option<&OwnedFd> {
        self.pipe.as_ref()
    }

    pub(super) fn is_open(&self) -> bool {
        self.pipe.is_some()
    }

    /// Reads once. To be called when there is something, or the end: else it waits.
    pub(super) fn read(&mut self) {
        let Some(pipe) = &self.pipe else { return };
        let full = self.kept.len() >= self.cap;
        let into = if full { &mut self.rest } else { &mut self.kept };
        if full {
            into.clear();
        }
        into.reserve(STEP);
        match rustix::io::read(pipe, spare_capacity(into)) {
            Ok(0) => self.pipe = None,
            Ok(_) => self.cut |= full,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => (self.pipe, self.error) = (None, Some(error.into())),
        }
    }

    /// What was kept, and whether there was, or may be, more.
    pub(super) fn finish(mut self) -> io::Result<(Vec<u8>, bool)> {
        if let Some(error) = self.error {
            return Err(error);
        }
        let cut = self.cut || self.pipe.is_some() || self.kept.len() > self.cap;
        self.kept.truncate(self.cap);
        Ok((self.kept, cut))
    }
}
