//! What a command printed and how it ended, and what tests say about it.

use std::os::unix::process::ExitStatusExt;
use std::process::Output;

use serde_json::Value;

/// The end of a command.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Its words, for messages.
    pub words: String,
    /// Its exit code; 128 and the signal where one ended it.
    pub code: i32,
    /// Its standard output.
    pub stdout: Vec<u8>,
    /// Its standard error.
    pub stderr: Vec<u8>,
}

impl Outcome {
    pub(crate) fn new(words: String, output: Output) -> Self {
        let code = output.status.code().unwrap_or_else(|| 128 + output.status.signal().unwrap_or(0));
        Self { words, code, stdout: output.stdout, stderr: output.stderr }
    }

    fn told(&self) -> String {
        let cut = |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(4000)]).into_owned();
        format!(
            "{}\ncode {}\nstdout: {}\nstderr: {}",
            self.words,
            self.code,
            cut(&self.stdout),
            cut(&self.stderr)
        )
    }

    /// It must have ended with 0.
    #[track_caller]
    pub fn good(self) -> Self {
        self.code(0)
    }

    /// It must have ended with this code.
    #[track_caller]
    pub fn code(self, code: i32) -> Self {
        assert_eq!(self.code, code, "expected code {code}: {}", self.told());
        self
    }

    /// It must have printed just this.
    #[track_caller]
    pub fn prints(self, stdout: impl AsRef<[u8]>) -> Self {
        let wanted = stdout.as_ref();
        assert!(
            self.stdout == wanted,
            "expected stdout {:?}: {}",
            String::from_utf8_lossy(wanted),
            self.told()
        );
        self
    }

    /// Each of these must be in what it said on stderr.
    #[track_caller]
    pub fn says<'a>(self, parts: impl IntoIterator<Item = &'a str>) -> Self {
        let text = self.err();
        for part in parts {
            assert!(text.contains(part), "expected {part:?} on stderr: {}", self.told());
        }
        self
    }

    /// It must have said nothing on stderr.
    #[track_caller]
    pub fn silent(self) -> Self {
        assert!(self.stderr.is_empty(), "expected nothing on stderr: {}", self.told());
        self
    }

    /// Its output as text.
    pub fn out(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Its talk as text.
    pub fn err(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// The lines of its output.
    pub fn lines(&self) -> Vec<String> {
        self.out().lines().map(str::to_owned).collect()
    }

    /// Its output as one JSON value.
    #[track_caller]
    pub fn json(&self) -> Value {
        match serde_json::from_slice(&self.stdout) {
            Ok(value) => value,
            Err(error) => panic!("no JSON ({error}): {}", self.told()),
        }
    }

    /// Its output as a JSON value a line.
    #[track_caller]
    pub fn json_lines(&self) -> Vec<Value> {
        self.out().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}
