//! A [`World`] with a scheduler in it: a mock of the test's own, or a real one that all tests share.
//!
//! Which one is in the environment of the tests, so that the same code runs on each: `CLUSTER_SITE` names the
//! scheduler (`slurm`, if nothing does), and with `CLUSTER_SITE_REAL=1` it is the real one whose variables
//! (`SLURM_CONF`, `SGE_ROOT` …) are in the environment, too. `cargo xtask integration` sets all this.

mod controller;
mod kind;
mod mock;
mod wrapper;

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::ops::Deref;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;

pub use controller::Outage;
pub use kind::Kind;
pub use wrapper::Calls;

use crate::outcome::Outcome;
use crate::privileges::skipped;
use crate::wait::wait_for;
use crate::world::World;
use mock::Mock;

/// The variables of a real scheduler that its commands need.
const LOCATING: [&str; 7] = [
    "SLURM_CONF",
    "SGE_ROOT",
    "SGE_CELL",
    "SGE_QMASTER_PORT",
    "SGE_EXECD_PORT",
    "SGE_ARCH",
    "SGE_CLUSTER_NAME",
];

/// The name of the system that stands for the scheduler in the configuration.
pub const SYSTEM: &str = "hpc";

/// A place to run the suite: one scheduler, a mock or a real one, with directories of its own.
#[derive(Debug)]
pub struct Site {
    // Dropped in this order: the jobs of the world need the scheduler, and the lock outlives both.
    world: World,
    kind: Kind,
    mock: Option<Mock>,
    _lock: Option<File>,
}

impl Deref for Site {
    type Target = World;

    fn deref(&self) -> &World {
        &self.world
    }
}

impl Default for Site {
    fn default() -> Self {
        Self::new()
    }
}

/// What a test wants of its site.
#[derive(Debug, Clone, Default)]
pub struct Wish {
    /// Keys of the system: `timeout: 2, poll: 5`.
    pub system: String,
    /// Whole lines of the configuration file.
    pub config: String,
    /// No other test uses the scheduler at the same time.
    pub alone: bool,
}

impl Site {
    /// A site as most tests want it.
    pub fn new() -> Self {
        Self::wished(&Wish::default())
    }

    /// A site that no other test uses at the same time: what happens to its scheduler harms nobody.
    pub fn alone() -> Self {
        Self::wished(&Wish { alone: true, ..Wish::default() })
    }

    /// A site of one's own, with keys for its system.
    pub fn alone_with(system: &str) -> Self {
        Self::wished(&Wish { system: system.to_owned(), alone: true, ..Wish::default() })
    }

    /// A mock, for what a real scheduler cannot be made to do; `None`, said loudly, where this is a real one.
    pub fn mock_only(what: &str) -> Option<Self> {
        Self::mock_only_with(what, "")
    }

    /// The same with keys for its system.
    pub fn mock_only_with(what: &str, system: &str) -> Option<Self> {
        if is_real() {
            skipped(what, "a real scheduler cannot be made to do this; the mocks are");
            return None;
        }
        if Kind::given() == Kind::Sample {
            skipped(what, "the sample's mock cannot be made to do this");
            return None;
        }
        Some(Self::wished(&Wish { system: system.to_owned(), ..Wish::default() }))
    }

    /// A site.
    pub fn wished(wish: &Wish) -> Self {
        let kind = Kind::given();
        let lock = is_real().then(|| lock(wish.alone));
        // A real scheduler's accounting comes a second late and its commands take some time.
        let (poll, lost_after) = if is_real() { ("0.5", "30s") } else { ("0.1", "2s") };
        let mut keys = format!("scheduler: {kind}, poll: {poll}, lost_after: {lost_after}, {}", kind.keys());
        if !wish.system.is_empty() {
            keys = format!("{keys}, {}", wish.system);
        }
        // YAML takes the last of two equal keys in no case: those of the test go over ours.
        let keys = last_of_each(&keys);
        let yaml = format!(
            "local: {{ cores: 2 }}\ndefault_system: {SYSTEM}\nsystems:\n  {SYSTEM}: {{ {keys} }}\n{}",
            wish.config
        );
        let mut world = World::with_config(&yaml);
        fs::create_dir_all(world.path("first")).unwrap();
        let first = world.path("first").display().to_string();
        let system = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin";
        let mut variables: Vec<(OsString, OsString)> = Vec::new();
        let mut path = format!("{first}:{system}");
        let mut mock = None;
        if is_real() {
            variables.extend(
                LOCATING.iter().filter_map(|name| Some((OsString::from(name), std::env::var_os(name)?))),
            );
        } else {
            let made = Mock::new(kind, &world.path("mock"));
            path = format!("{first}:{}:{system}", made.bin().display());
            variables.push(("CLUSTER_MOCK_DIR".into(), made.dir().into()));
            mock = Some(made);
        }
        variables.push(("PATH".into(), path.into()));
        world.add_variables(variables);
        // The configuration says where jobs run.
        world.remove_variable("CLUSTER_SYSTEM");
        Self { world, kind, mock, _lock: lock }
    }

    /// The scheduler.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether it is a real one.
    pub fn is_real(&self) -> bool {
        self.mock.is_none()
    }

    /// Changes the mock: `commands.squeue.hang`, `faults.controller` (`cluster_mock::config` has them all).
    #[track_caller]
    pub fn fault(&self, path: &str, value: impl Into<Value>) {
        let mock = self.mock.as_ref().expect("only a mock can be told to misbehave");
        mock.set(path, value.into());
    }

    /// Waits until a job is in a state, asking the scheduler each time: `show` alone tells what is stored.
    #[track_caller]
    pub fn wait_state(&self, id: &str, state: &str) {
        wait_for(&format!("{id} is {state}"), || {
            let _ = self.cluster(["ls", "--refresh"]);
            self.cluster(["show", "--json", id]).json()["state"] == state
        });
    }

    /// Whether a command of the scheduler runs that was started in this world.
    pub fn runs_command(&self, name: &str) -> bool {
        let is_it = |pid: &u32| {
            let comm = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            comm.trim_end() == name
        };
        self.world.processes().iter().any(is_it)
    }

    /// The number in a scheduler's id: `4711` of `4711_3` and of `4711[3].srv`.
    pub fn number(remote_id: &str) -> u64 {
        let digits: String = remote_id.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().unwrap_or_else(|_| panic!("no number begins {remote_id:?}"))
    }

    /// Submits a script past `cluster`; the scheduler's id.
    #[track_caller]
    pub fn foreign(&self, text: &str) -> String {
        let script = self.script(&format!("foreign-{}.sh", fs::read_dir(self.work()).unwrap().count()), text);
        let call = self.program(self.kind.submit()).args(self.kind.bare_words());
        let printed = call.arg(script).end().good().out();
        printed.trim().split(';').next().unwrap_or_default().to_owned()
    }

    /// A cluster command that must end well or be refused: for clearing up.
    fn quietly(&self, words: &[&str]) -> Option<Outcome> {
        let mut command = Command::new(crate::binary::binary());
        command.args(words).env_clear().envs(self.world.environment()).current_dir(self.world.work());
        let output = command.stdin(Stdio::null()).output().ok()?;
        Some(Outcome::new(words.join(" "), output))
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(self.world.path("first"));
        if self.mock.is_none() {
            // The world's end kills what runs; what waits would stay in a queue that others use.
            if let Some(listed) = self.quietly(&["ls", "--ids", "--all", "--offline"]) {
                let ids = listed.lines();
                if !ids.is_empty() {
                    let words: Vec<&str> =
                        ["cancel"].into_iter().chain(ids.iter().map(String::as_str)).collect();
                    self.quietly(&words);
                }
            }
        }
    }
}

/// Whether the scheduler of these tests is a real one.
pub fn is_real() -> bool {
    std::env::var_os("CLUSTER_SITE_REAL").is_some_and(|value| value == "1")
}

/// Whether the real Slurm refuses at submission what is over a limit.
pub fn refuses_over_limit() -> bool {
    std::env::var_os("CLUSTER_SITE_LIMITS").is_none_or(|value| value != "no")
}

/// One who may break the scheduler, or many who may not.
fn lock(alone: bool) -> File {
    let path = controller::pid_file().with_extension("users");
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(path).unwrap();
    let locked = if alone { file.lock() } else { file.lock_shared() };
    locked.unwrap();
    file
}

/// Drops keys that come again later.
fn last_of_each(keys: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let name = |pair: &str| pair.split(':').next().unwrap_or_default().trim().to_owned();
    for pair in keys.split(", ").filter(|pair| !pair.trim().is_empty()) {
        kept.retain(|old| name(old) != name(pair));
        kept.push(pair);
    }
    kept.join(", ")
}

/// The variables of this test's directory that lead to a real scheduler's controller.
pub(crate) fn variable(name: &str) -> PathBuf {
    std::env::var_os(name)
        .unwrap_or_else(|| panic!("{name} is not set: use `cargo xtask integration`"))
        .into()
}
