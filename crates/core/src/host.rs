//! `Host`: where command lines run: here, later over ssh, or from a recording.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

use crate::state::ExitStatus;

/// Where a command's standard input comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Stdin {
    /// Nothing.
    #[default]
    Empty,
    /// These bytes.
    Bytes(Vec<u8>),
    /// A file of the host.
    File(PathBuf),
}

/// Where a command's stdout or stderr goes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Sink {
    /// Into the [`Output`], up to the cap.
    #[default]
    Capture,
    /// To the end of a file of the host.
    File(PathBuf),
}

/// One command line and how it is run. A list of words; a shell only where the words say `sh -c`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invocation {
    /// Program and arguments.
    pub argv: Vec<OsString>,
    /// Its standard input.
    pub stdin: Stdin,
    /// Its standard output.
    pub stdout: Sink,
    /// Its standard error.
    pub stderr: Sink,
    /// Variables set (`Some`) or removed (`None`), over those of the host.
    pub env: Vec<(OsString, Option<OsString>)>,
    /// Its working directory.
    pub cwd: Option<PathBuf>,
    /// After this time its whole process group is killed.
    pub timeout: Duration,
    /// Bytes kept of each captured stream; the rest is read and dropped.
    pub output_cap: usize,
}

impl Invocation {
    /// `argv` with no input, both streams captured up to 64 MiB, and a minute of time.
    pub fn new<W: Into<OsString>>(argv: impl IntoIterator<Item = W>) -> Self {
        Self {
            argv: argv.into_iter().map(Into::into).collect(),
            stdin: Stdin::Empty,
            stdout: Sink::Capture,
            stderr: Sink::Capture,
            env: Vec::new(),
            cwd: None,
            timeout: Duration::from_secs(60),
            output_cap: 64 << 20,
        }
    }

    /// The command line as a person would type it.
    pub fn command_line(&self) -> String {
        use std::os::unix::ffi::OsStrExt;
        String::from_utf8_lossy(&crate::shell::join(self.argv.iter().map(|word| word.as_bytes())))
            .into_owned()
    }
}

/// What a command came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// Its captured stdout.
    pub stdout: Vec<u8>,
    /// Its captured stderr.
    pub stderr: Vec<u8>,
    /// Whether a stream was longer than the cap.
    pub truncated: bool,
}

/// A command that could not be run to its end.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum HostError {
    /// It could not be started.
    #[error("cannot run {command}: {source}")]
    Start {
        /// The command line.
        command: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// It was killed at its time limit; whether it did its work is not known.
    #[error("{command} gave no answer in {} s and was killed; its stderr ends: {stderr}", timeout.as_secs())]
    Timeout {
        /// The command line.
        command: String,
        /// The limit.
        timeout: Duration,
        /// The end of its stderr.
        stderr: String,
    },
    /// Reading or writing one of its streams failed.
    #[error("{what} of {command}: {source}")]
    Stream {
        /// The command line.
        command: String,
        /// Which stream or file.
        what: String,
        /// The system's reason.
        source: std::io::Error,
    },
}

/// A place where command lines run.
pub trait Host: Send + Sync {
    /// Runs one command to its end. An exit code other than 0 is an `Output`, not an error.
    ///
    /// # Errors
    /// Where it could not be started, was killed at its time limit, or a stream failed.
    fn run(&self, invocation: &Invocation) -> Result<Output, HostError>;
}

/// A host that tries again: `times` more, after `wait` each, where `again` says that an error may pass.
///
/// Never wrap a submit command in it: one that was killed may have been accepted.
pub struct Retry<H, F> {
    host: H,
    times: u32,
    wait: Duration,
    again: F,
}

/// See [`Retry`].
pub fn retry<H: Host, F>(host: H, times: u32, wait: Duration, again: F) -> Retry<H, F>
where
    F: Fn(&Result<Output, HostError>) -> bool + Send + Sync,
{
    Retry { host, times, wait, again }
}

impl<H: Host, F: Fn(&Result<Output, HostError>) -> bool + Send + Sync> Host for Retry<H, F> {
    fn run(&self, invocation: &Invocation) -> Result<Output, HostError> {
        let mut result = self.host.run(invocation);
        for _ in 0..self.times {
            if !(self.again)(&result) {
                break;
            }
            std::thread::sleep(self.wait);
            result = self.host.run(invocation);
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    struct FailsTwice(AtomicU32);

    impl Host for FailsTwice {
        fn run(&self, _: &Invocation) -> Result<Output, HostError> {
            let code = i32::from(self.0.fetch_add(1, Ordering::SeqCst) < 2);
            Ok(Output { status: ExitStatus::Exit(code), stdout: vec![], stderr: vec![], truncated: false })
        }
    }

    #[test]
    fn retry_stops_at_the_first_good_answer() {
        let failed =
            |result: &Result<Output, HostError>| result.as_ref().is_ok_and(|o| !o.status.is_success());
        let host = retry(FailsTwice(AtomicU32::new(0)), 5, Duration::ZERO, failed);
        assert!(host.run(&Invocation::new(["x"])).unwrap().status.is_success());
        assert_eq!(host.host.0.load(Ordering::SeqCst), 3);
        let host = retry(FailsTwice(AtomicU32::new(0)), 1, Duration::ZERO, failed);
        assert!(!host.run(&Invocation::new(["x"])).unwrap().status.is_success());
    }
}
