//! A world of its own for each test: directories, environment, runner.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use crate::binary::binary;
use crate::call::{Background, Call};
use crate::fifo::Fifo;
use crate::guard::Guard;
use crate::outcome::Outcome;
use crate::processes::{is_alive, kill, processes_with};
use crate::wait::{wait_for, wait_some};

/// One test's own world. When it is dropped, every process that was started in it ends.
#[derive(Debug)]
pub struct World {
    dir: TempDir,
    variables: Vec<(OsString, OsString)>,
    removed: Vec<&'static str>,
    _guard: Guard,
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

impl World {
    /// A world whose local queue has two cores, whatever the machine has.
    pub fn new() -> Self {
        Self::with_config("local: { cores: 2 }\n")
    }

    /// A world with this configuration file.
    pub fn with_config(yaml: &str) -> Self {
        let dir = tempfile::Builder::new().prefix("cluster-it-").tempdir().unwrap();
        let guard = Guard::new(dir.path());
        let world = Self { dir, variables: Vec::new(), removed: Vec::new(), _guard: guard };
        for part in ["home", "config/cluster", "data", "state", "cache", "work"] {
            fs::create_dir_all(world.path(part)).unwrap();
        }
        fs::write(world.path("config/cluster/config.yaml"), yaml).unwrap();
        world
    }

    /// Adds to the environment of every command, or puts other values in.
    pub(crate) fn add_variables(&mut self, variables: Vec<(OsString, OsString)>) {
        self.variables.extend(variables);
    }

    /// Takes a variable out of the environment of every command.
    pub(crate) fn remove_variable(&mut self, name: &'static str) {
        self.removed.push(name);
    }

    /// A path in this world.
    pub fn path(&self, below: impl AsRef<Path>) -> PathBuf {
        self.dir.path().join(below)
    }

    /// The directory in which commands run.
    pub fn work(&self) -> PathBuf {
        self.path("work")
    }

    /// The root of the jobs.
    pub fn root(&self) -> PathBuf {
        self.path("root")
    }

    /// The runner's directory.
    pub fn queue(&self) -> PathBuf {
        self.path("queue")
    }

    /// Writes a file in the work directory and returns its path.
    pub fn file(&self, name: impl AsRef<Path>, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.work().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }

    /// A script of the work directory that may be executed.
    pub fn script(&self, name: &str, text: &str) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let path = self.file(name, text);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    /// A named pipe.
    pub fn fifo(&self, name: &str) -> Fifo {
        Fifo::new(self.path(name))
    }

    /// The environment of every command here.
    pub fn environment(&self) -> Vec<(OsString, OsString)> {
        let own = [
            ("HOME", self.path("home")),
            ("XDG_CONFIG_HOME", self.path("config")),
            ("XDG_DATA_HOME", self.path("data")),
            ("XDG_STATE_HOME", self.path("state")),
            ("XDG_CACHE_HOME", self.path("cache")),
            ("CLUSTER_QUEUE_DIR", self.queue()),
            ("CLUSTER_ROOT", self.root()),
            ("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin".into()),
            // Commands of a scheduler that are installed here must not be asked.
            ("CLUSTER_SYSTEM", "local".into()),
        ];
        let own = own.into_iter().map(|(name, value)| (name.into(), value.into()));
        let is_kept = |name: &OsString| !self.removed.iter().any(|removed| *removed == name.as_os_str());
        own.filter(|(name, _)| is_kept(name)).chain(self.variables.iter().cloned()).collect()
    }

    /// Any program, in this environment.
    pub fn program(&self, program: impl AsRef<OsStr>) -> Call {
        Call::new(program.as_ref()).clear_env(self.environment()).dir(self.work())
    }

    /// `cluster` with these words.
    pub fn call<W: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = W>) -> Call {
        self.program(binary()).args(words)
    }

    /// `cluster` with these words, to its end.
    #[must_use]
    pub fn cluster<W: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = W>) -> Outcome {
        self.call(words).end()
    }

    /// `cluster` with these words, in the background.
    pub fn start<W: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = W>) -> Background {
        self.call(words).start()
    }

    /// Submits and returns the batch's id.
    #[track_caller]
    pub fn submit<W: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = W>) -> String {
        let call = words.into_iter().fold(self.call(["submit"]), Call::arg);
        call.end().good().out().trim().to_owned()
    }

    /// Submits an array without waiting and returns the batch's id.
    #[track_caller]
    pub fn map<W: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = W>) -> String {
        let call = words.into_iter().fold(self.call(["map", "--detach"]), Call::arg);
        call.end().good().out().trim().to_owned()
    }

    /// A job as `show --json` has it; `id` is a job or a batch of one.
    #[track_caller]
    pub fn job(&self, id: &str) -> Value {
        self.cluster(["show", "--json", id]).good().json()
    }

    /// The jobs of a selection.
    #[track_caller]
    pub fn jobs(&self, id: &str) -> Vec<Value> {
        self.cluster(["show", "--json", "--short", "--limit", "1000000", id]).good().json_lines()
    }

    /// The state of a job, and its cause where it failed: `failed exit 3`.
    #[track_caller]
    pub fn state(&self, id: &str) -> String {
        state_of(&self.job(id))
    }

    /// How many jobs of a batch are in a state.
    #[track_caller]
    pub fn count(&self, batch: &str, state: &str) -> u64 {
        let rows = self.cluster(["ls", "--json", "--all"]).good().json_lines();
        let row = rows.iter().find(|row| row["batch"].to_string().trim_matches('"') == batch);
        row.unwrap_or_else(|| panic!("there is no batch {batch}"))["counts"][state].as_u64().unwrap_or(0)
    }

    /// Waits until a job is in a state.
    #[track_caller]
    pub fn wait_state(&self, id: &str, state: &str) {
        wait_for(&format!("{id} is {state}"), || {
            let shown = self.cluster(["show", "--json", id]);
            shown.code == 0 && shown.json()["state"] == state
        });
    }

    /// What `local status --json` says.
    #[track_caller]
    pub fn status(&self) -> Value {
        self.cluster(["local", "status", "--json"]).good().json()
    }

    /// The runner's process, where one runs.
    pub fn runner(&self) -> Option<u32> {
        let words = format!("__runner\0{}\0", self.queue().display());
        let is_runner = |pid: &u32| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            line.windows(words.len()).any(|window| window == words.as_bytes())
        };
        processes_with(&self.queue().display().to_string()).into_iter().find(is_runner)
    }

    /// Kills the runner by -9 and waits until it is gone.
    #[track_caller]
    pub fn kill_runner(&self) {
        let pid = wait_some("a runner runs", || self.runner());
        kill(pid, 9);
        wait_for("the killed runner is gone", || !is_alive(pid));
    }

    /// Every process of this world.
    pub fn processes(&self) -> Vec<u32> {
        processes_with(&self.dir.path().display().to_string())
    }

    /// The store must be in order.
    #[track_caller]
    pub fn check_store(&self) {
        let report = self.cluster(["db", "check", "--json"]).good().json();
        assert_eq!(report["sound"], true, "{report}");
    }
}

/// The state of a job as JSON, and its cause where it failed.
pub fn state_of(job: &Value) -> String {
    let text = |name: &str| job[name].as_str().unwrap_or_default().to_owned();
    match (text("state").as_str(), text("cause").as_str()) {
        ("failed", "exit") => format!("failed exit {}", job["exit_code"]),
        ("failed", cause) => format!("failed {cause}"),
        (state, _) => state.to_owned(),
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // The runner first: it would start what waits.
        if let Some(runner) = self.runner() {
            kill(runner, 9);
        }
        let since = std::time::Instant::now();
        loop {
            let left = self.processes();
            if left.is_empty() {
                break;
            }
            left.iter().for_each(|&pid| kill(pid, 9));
            if since.elapsed().as_secs() > 20 {
                eprintln!("processes are left: {left:?}");
                break;
            }
            std::thread::yield_now();
        }
        if std::thread::panicking() {
            let log = fs::read_to_string(self.queue().join("runner.log")).unwrap_or_default();
            eprintln!("--- the runner's log:\n{log}---");
        }
    }
}
