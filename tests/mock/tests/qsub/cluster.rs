//! A mock cluster that ends with the test.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

pub(crate) struct Cluster {
    dir: tempfile::TempDir,
}

impl Cluster {
    pub(crate) fn new(scheduler: &str, keys: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let cluster = Self { dir };
        std::fs::create_dir(cluster.file("home")).unwrap();
        let out = cluster.own(&[&["--init", &cluster.state(), scheduler], keys].concat());
        assert!(out.status.success(), "{out:?}");
        cluster
    }

    fn state(&self) -> String {
        self.dir.path().join("state").display().to_string()
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn home(&self, name: &str) -> String {
        std::fs::read_to_string(self.file("home").join(name))
            .unwrap_or_else(|error| format!("{name}: {error}"))
    }

    fn own(&self, args: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_cluster-mock")).args(args).output().unwrap()
    }

    pub(crate) fn set(&self, keys: &[&str]) {
        let out = self.own(&[&["--set", &self.state()], keys].concat());
        assert!(out.status.success(), "{out:?}");
    }

    /// Runs a command with text on its stdin: code, stdout, stderr.
    pub(crate) fn feed(&self, line: &[&str], stdin: &str) -> (i32, String, String) {
        let mut command = Command::new(self.dir.path().join("state/bin").join(line[0]));
        command.args(&line[1..]).current_dir(self.file("home")).env_clear();
        command.env("TZ", "UTC").env("HOME", self.file("home")).env("PATH", "/usr/bin:/bin");
        command.env("ODD", "a\\b").env("CLUSTER_MOCK_DIR", self.state());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // A command that does not read its stdin may be gone already.
        let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
        let out = child.wait_with_output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (out.status.code().unwrap_or(-1), text(&out.stdout), text(&out.stderr))
    }

    /// Starts a command that is left alone.
    pub(crate) fn spawn(&self, line: &[&str]) -> std::process::Child {
        let mut command = Command::new(self.dir.path().join("state/bin").join(line[0]));
        command.args(&line[1..]).env("HOME", self.file("home")).env("CLUSTER_MOCK_DIR", self.state());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
    }

    pub(crate) fn run(&self, line: &[&str]) -> (i32, String, String) {
        self.feed(line, "")
    }

    pub(crate) fn out(&self, line: &[&str]) -> String {
        let (code, out, err) = self.run(line);
        assert_eq!(code, 0, "{line:?}: {out}{err}");
        out
    }

    /// Submits a script and returns what is printed, without the end of the line.
    pub(crate) fn submit(&self, args: &[&str], script: &str) -> String {
        let (code, out, err) = self.feed(&[&["qsub"], args].concat(), script);
        assert_eq!(code, 0, "{args:?}: {out}{err}");
        out.trim_end().to_owned()
    }

    /// Makes a fifo; a job that writes into it says that it has started.
    pub(crate) fn fifo(&self, name: &str) -> PathBuf {
        let path = self.file(name);
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        path
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.own(&["--stop", &self.state()]);
    }
}
