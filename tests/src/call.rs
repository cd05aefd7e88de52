//! A command that is to be run in a world, or outside of it for comparison.

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::outcome::Outcome;

/// A command being put together.
#[derive(Debug)]
pub struct Call {
    command: Command,
    words: String,
    stdin: Vec<u8>,
}

impl Call {
    pub(crate) fn new(program: &OsStr) -> Self {
        let command = Command::new(program);
        Self {
            command,
            words: Path::new(program).file_name().unwrap().to_string_lossy().into_owned(),
            stdin: Vec::new(),
        }
    }

    /// One word more.
    #[must_use]
    pub fn arg(mut self, word: impl AsRef<OsStr>) -> Self {
        let shown = word.as_ref().to_string_lossy();
        self.words.push(' ');
        self.words.extend(shown.chars().take(200));
        self.command.arg(word);
        self
    }

    /// More words.
    #[must_use]
    pub fn args<W: AsRef<OsStr>>(self, words: impl IntoIterator<Item = W>) -> Self {
        words.into_iter().fold(self, Self::arg)
    }

    /// Gives it this on standard input.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    /// With a variable.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Without a variable.
    #[must_use]
    pub fn without(mut self, name: impl AsRef<OsStr>) -> Self {
        self.command.env_remove(name);
        self
    }

    /// In another directory.
    #[must_use]
    pub fn dir(mut self, dir: impl AsRef<Path>) -> Self {
        self.command.current_dir(dir);
        self
    }

    pub(crate) fn clear_env(mut self, pairs: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        self.command.env_clear().envs(pairs);
        self
    }

    /// Runs it to its end.
    #[must_use]
    pub fn end(self) -> Outcome {
        self.start().end()
    }

    /// Starts it.
    pub fn start(mut self) -> Background {
        self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let bytes = self.stdin;
        // By a thread: it may read nothing of it, or print much before it does.
        let writer = std::thread::spawn(move || drop(stdin.write_all(&bytes)));
        Background { child: Some(child), words: self.words, writer: Some(writer) }
    }
}

/// A command that runs; it is killed where the test forgets it.
#[derive(Debug)]
pub struct Background {
    child: Option<Child>,
    words: String,
    writer: Option<std::thread::JoinHandle<()>>,
}

impl Background {
    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: i32) {
        crate::processes::kill(self.pid(), signal);
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        self.child.as_mut().unwrap().try_wait().unwrap().is_none()
    }

    /// The first `len` bytes of its output, while it runs; they are in no [`Outcome`].
    pub fn first_bytes(&mut self, len: usize) -> Vec<u8> {
        use std::io::Read;
        let stdout = self.child.as_mut().unwrap().stdout.as_mut().unwrap();
        let mut bytes = vec![0; len];
        let mut have = 0;
        while have < len {
            let mut fds = [PollFd::new(&*stdout, PollFlags::IN)];
            let ready = poll(&mut fds, Some(&Timespec { tv_sec: 60, tv_nsec: 0 })).unwrap();
            let so_far = String::from_utf8_lossy(&bytes[..have]).into_owned();
            assert!(ready > 0, "{} prints no more than {so_far:?}", self.words);
            let got = stdout.read(&mut bytes[have..]).unwrap();
            assert!(got > 0, "{} ended after printing {so_far:?}", self.words);
            have += got;
        }
        bytes
    }

    /// Waits for its end.
    #[must_use]
    pub fn end(mut self) -> Outcome {
        let output = self.child.take().unwrap().wait_with_output().unwrap();
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
        Outcome::new(std::mem::take(&mut self.words), output)
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
