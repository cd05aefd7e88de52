//! Following the outputs of a job while it runs.

use std::fs::File;
use std::io::{self, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use cluster_core::{JobId, SubmissionNumber};
use rustix::fs::inotify::{CreateFlags, Reader, WatchFlags, add_watch, init};

use crate::layout::Layout;
use crate::output::{self, Stream};

/// One output file, read as it grows.
#[derive(Debug)]
struct Tail {
    stream: Stream,
    path: PathBuf,
    file: Option<File>,
    seen: u64,
}

/// Reads what is new in the output files of one job. Its descriptor is readable when there may be something.
#[derive(Debug)]
pub struct Follower {
    tails: Vec<Tail>,
    inotify: OwnedFd,
    buffer: Vec<u8>,
}

impl Follower {
    /// Of submission `k` of a job.
    ///
    /// # Errors
    /// Where the system has no watch to give.
    pub fn new(layout: &Layout, job: JobId, k: SubmissionNumber, streams: &[Stream]) -> io::Result<Self> {
        let inotify = init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        let tails: Vec<_> = streams
            .iter()
            .map(|&stream| Tail { stream, path: output::file(layout, job, k, stream), file: None, seen: 0 })
            .collect();
        let follower = Self { tails, inotify, buffer: vec![0; 64 << 10] };
        follower.watch_dir();
        Ok(follower)
    }

    /// The directory may only come when the job starts: to be called again then.
    pub fn watch_dir(&self) {
        if let Some(dir) = self.tails.first().and_then(|tail| tail.path.parent()) {
            let _ = add_watch(&self.inotify, dir, WatchFlags::CREATE | WatchFlags::MODIFY);
        }
    }

    /// Gives `take` all that is new.
    ///
    /// # Errors
    /// Where a file cannot be read, or what `take` says.
    pub fn pump(&mut self, mut take: impl FnMut(Stream, &[u8]) -> io::Result<()>) -> io::Result<()> {
        let mut events = [MaybeUninit::uninit(); 4096];
        let mut reader = Reader::new(&self.inotify, &mut events);
        while reader.next().is_ok() {}
        for tail in &mut self.tails {
            if tail.file.is_none() {
                tail.file = match File::open(&tail.path) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    opened => Some(opened?),
                };
            }
            let Some(file) = &mut tail.file else { continue };
            loop {
                let n = file.read(&mut self.buffer)?;
                if n == 0 {
                    break;
                }
                tail.seen += n as u64;
                take(tail.stream, &self.buffer[..n])?;
            }
        }
        Ok(())
    }

    /// How many bytes of a stream were given so far.
    pub fn seen(&self, stream: Stream) -> u64 {
        self.tails.iter().find(|tail| tail.stream == stream).map_or(0, |tail| tail.seen)
    }
}

impl AsFd for Follower {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}
