//! What a command printed, and when: [`Snapshot`], and its form in a file.
//!
//! One line of JSON (version, command line, times, exit status, lengths), then stdout and stderr as they
//! were. A file may hold several.

use std::ffi::OsString;
use std::io::Write;

use cluster_core::dialect::{Jobs, Reading};
use cluster_core::host::{Invocation, Output};
use cluster_core::state::ExitStatus;
use cluster_core::{ByteString, Timestamp};
use serde::{Deserialize, Serialize};

use super::System;
use super::error::SystemError;

/// The answer to a question, as it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The command line, with the plain names of commands.
    pub argv: Vec<OsString>,
    /// What it came to.
    pub output: Output,
    /// When the question was asked. It says nothing of what happened later.
    pub began: Timestamp,
    /// When the answer was complete.
    pub ended: Timestamp,
}

#[derive(Serialize, Deserialize)]
struct Head {
    v: u32,
    argv: Vec<ByteString>,
    began: Timestamp,
    ended: Timestamp,
    status: ExitStatus,
    stdout: usize,
    stderr: usize,
}

const VERSION: u32 = 1;

impl Snapshot {
    /// The jobs in it, parsed by the dialect of `system`; the rows borrow from this snapshot.
    ///
    /// # Errors
    /// As [`System::read`]; and where the answer holds no jobs.
    pub fn jobs<'o>(&'o self, system: &System) -> Result<Jobs<'o>, SystemError> {
        match system.read_words(&self.argv, &self.output)? {
            Reading::Jobs(jobs) => Ok(jobs),
            Reading::Done => Ok(Jobs::default()),
            _ => Err(SystemError::Odd { system: system.name().to_owned(), command: self.command_line() }),
        }
    }

    /// The command line as a person would type it.
    pub fn command_line(&self) -> String {
        Invocation::new(self.argv.iter().cloned()).command_line()
    }

    pub(super) fn write(&self, file: &mut impl Write) -> std::io::Result<()> {
        let head = Head {
            v: VERSION,
            argv: self.argv.iter().map(|word| word.clone().into()).collect(),
            began: self.began,
            ended: self.ended,
            status: self.output.status,
            stdout: self.output.stdout.len(),
            stderr: self.output.stderr.len(),
        };
        serde_json::to_writer(&mut *file, &head)?;
        file.write_all(b"\n")?;
        file.write_all(&self.output.stdout)?;
        file.write_all(&self.output.stderr)
    }

    /// All snapshots in a file; `None` where it is none of ours, or not whole.
    pub(super) fn read_all(mut bytes: &[u8]) -> Option<Vec<Self>> {
        let mut all = Vec::new();
        while !bytes.is_empty() {
            let line = bytes.iter().position(|&b| b == b'\n')?;
            let head: Head = serde_json::from_slice(bytes.get(..line)?).ok()?;
            if head.v != VERSION {
                return None;
            }
            let rest = bytes.get(line + 1..)?;
            let (stdout, rest) = rest.split_at_checked(head.stdout)?;
            let (stderr, rest) = rest.split_at_checked(head.stderr)?;
            all.push(Self {
                argv: head.argv.iter().map(|word| word.as_os_str().to_owned()).collect(),
                output: Output {
                    status: head.status,
                    stdout: stdout.to_vec(),
                    stderr: stderr.to_vec(),
                    truncated: false,
                },
                began: head.began,
                ended: head.ended,
            });
            bytes = rest;
        }
        Some(all)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    #[test]
    fn what_is_written_is_read_back_and_half_of_it_is_not() {
        let snapshot = |argv: &[&[u8]], stdout: &[u8]| Snapshot {
            argv: argv.iter().map(|word| OsString::from_vec(word.to_vec())).collect(),
            output: Output {
                status: ExitStatus::Signal(9),
                stdout: stdout.to_vec(),
                stderr: b"x\n".to_vec(),
                truncated: false,
            },
            began: Timestamp(1),
            ended: Timestamp(2),
        };
        let all = [snapshot(&[b"a", b"\xff"], b"{\n\0"), snapshot(&[], b"")];
        let mut bytes = Vec::new();
        for one in &all {
            one.write(&mut bytes).unwrap();
        }
        assert_eq!(Snapshot::read_all(&bytes).unwrap(), all);
        let first = {
            let mut bytes = Vec::new();
            all[0].write(&mut bytes).unwrap();
            bytes.len()
        };
        for end in (1..bytes.len()).filter(|end| *end != first) {
            assert_eq!(Snapshot::read_all(&bytes[..end]), None, "{end}");
        }
        assert_eq!(Snapshot::read_all(b"{}\n"), None);
    }
}
