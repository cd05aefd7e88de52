//! A named pipe: jobs wait on it, or say something by it.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, FileType, Mode, mknodat};

/// A FIFO that the test holds open on both ends, so that no open of it blocks.
#[derive(Debug)]
pub struct Fifo {
    path: PathBuf,
    both: File,
}

impl Fifo {
    /// Makes one at `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        let both = OpenOptions::new().read(true).write(true).open(&path).unwrap();
        Self { path, both }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Shell text that waits for one [`Self::let_go`].
    pub fn wait_text(&self) -> String {
        format!("read _ < '{}'", self.path.display())
    }

    /// Shell text that says a line.
    pub fn say_text(&self, line: &str) -> String {
        format!("echo {line} > '{}'", self.path.display())
    }

    /// Lets `count` waiting jobs go on, now or when they come to wait.
    pub fn let_go(&self, count: usize) {
        (&self.both).write_all(&b"\n".repeat(count)).unwrap();
    }

    /// The next line that a job says.
    pub fn hear(&self) -> String {
        let mut line = Vec::new();
        loop {
            let mut fds = [PollFd::new(&self.both, PollFlags::IN)];
            let ready = poll(&mut fds, Some(&Timespec { tv_sec: 120, tv_nsec: 0 })).unwrap();
            assert!(ready > 0, "nobody says anything by {}", self.path.display());
            let mut byte = [0];
            (&self.both).read_exact(&mut byte).unwrap();
            if byte == [b'\n'] {
                return String::from_utf8(line).unwrap();
            }
            line.push(byte[0]);
        }
    }

    /// Whether a line waits to be heard.
    pub fn is_heard(&self) -> bool {
        let mut fds = [PollFd::from_borrowed_fd(self.both.as_fd(), PollFlags::IN)];
        poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap() > 0
    }
}
