//! What the engine knows of a job.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::front::User;

/// Microseconds since 1970.
pub type Micros = i64;

/// Now.
pub fn now() -> Micros {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// Seconds as microseconds.
pub fn micros(seconds: f64) -> Micros {
    (seconds * 1e6) as Micros
}

/// Microseconds as whole seconds.
pub fn seconds(time: Micros) -> i64 {
    time.div_euclid(1_000_000)
}

/// A job: the id of the submission and, in an array, the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Key {
    /// The id of the submission.
    pub id: u64,
    /// The index in the array.
    pub index: Option<u32>,
}

/// What was submitted: shared by all elements of an array.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Spec {
    /// Given by [`super::Table::submit`].
    pub id: u64,
    /// The job's name.
    pub name: String,
    /// Its owner.
    pub user: User,
    /// Partition or queue.
    pub queue: String,
    /// The script's text; kept in the spool, `spool/ID.script`.
    #[serde(skip)]
    pub script: Vec<u8>,
    /// The script's arguments.
    pub args: Vec<Vec<u8>>,
    /// The environment handed over; kept in the spool.
    #[serde(skip)]
    pub env: Vec<(Vec<u8>, Vec<u8>)>,
    /// Working directory.
    pub cwd: PathBuf,
    /// Umask of the submitter.
    pub umask: u32,
    /// Where stdin comes from; none: `/dev/null`.
    pub stdin: Option<String>,
    /// Where stdout goes, the scheduler's patterns in it.
    pub stdout: Option<String>,
    /// Where stderr goes; none: with stdout.
    pub stderr: Option<String>,
    /// Outputs are appended to.
    pub append: bool,
    /// The indices of an array.
    pub array: Option<Vec<u32>>,
    /// Most running elements.
    pub throttle: Option<u32>,
    /// The array as it was written.
    pub array_text: String,
    /// Nodes asked for.
    pub nodes: u32,
    /// Cores asked for, over all nodes.
    pub cores: u32,
    /// Memory on each node, MiB.
    pub memory: u64,
    /// GPUs on each node.
    pub gpus: u32,
    /// Only these nodes.
    pub only_nodes: Vec<String>,
    /// Not before.
    pub begin: Option<Micros>,
    /// Time limit in seconds; none: no limit.
    pub limit: Option<u64>,
    /// Nice value or priority: higher starts first.
    pub priority: i64,
    /// What it depends on.
    pub depend: Depend,
    /// It holds: [`Job::held`].
    pub held: u8,
    /// What only this scheduler knows.
    pub attrs: BTreeMap<String, String>,
}

/// Dependencies: all clauses, or any of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Depend {
    /// The clauses.
    pub clauses: Vec<Clause>,
    /// One met clause is enough.
    pub any: bool,
}

/// One dependency.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clause {
    /// When it is met.
    pub kind: DependKind,
    /// On what: a whole submission or one element.
    pub on: Key,
    /// Wait this many seconds more (`after:ID+MIN`).
    #[serde(default)]
    pub delay: u64,
}

/// When a dependency is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DependKind {
    /// It has ended well.
    AfterOk,
    /// It has ended badly.
    AfterNotOk,
    /// It has ended.
    AfterAny,
    /// It has started.
    After,
    /// The element of the same index has ended well.
    AfterCorr,
    /// No other job of that name and owner is there.
    Singleton,
}

/// What dependencies say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wait {
    /// It may start.
    Ready,
    /// Not yet.
    Wait,
    /// Never.
    Never,
}

/// Where a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// In the queue, held or not.
    Pending,
    /// Its process runs, or is being started.
    Running,
    /// Stopped by the scheduler.
    Suspended,
    /// It was told to end and has not yet.
    Completing,
    /// Ended.
    Ended,
}

/// A user's hold.
pub const HELD_USER: u8 = 1;
/// An operator's hold.
pub const HELD_OPERATOR: u8 = 2;
/// The system's hold.
pub const HELD_SYSTEM: u8 = 4;
/// In error (SGE's Eqw).
pub const HELD_ERROR: u8 = 8;

/// Why a job was told to end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Why {
    /// By a user, with the uid.
    Cancel(u32),
    /// At its time limit.
    Timeout,
    /// It used too much memory.
    Memory,
    /// To be queued again.
    Requeue,
    /// A node went away.
    NodeFail,
    /// It missed its deadline.
    Deadline,
    /// A dependency can never be met.
    Dependency,
    /// It could not be started.
    Launch,
    /// A scheduler's own.
    Other(String),
}

/// A job was told to end.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Kill {
    /// Why.
    pub why: Why,
    /// When.
    pub at: Micros,
    /// What is still to be sent: when, which signal, to whom.
    pub plan: Vec<(Micros, i32, Scope)>,
}

/// Which processes of a job a signal is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scope {
    /// All of them, the script's shell included.
    All,
    /// The script's shell alone.
    Shell,
    /// All but the script's shell.
    Children,
    /// The script's process group.
    Group,
}

/// How a process ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Exit {
    /// The raw wait status: code << 8, or the signal.
    pub status: i32,
    /// CPU time used, microseconds.
    pub cpu: Micros,
    /// Of that in the kernel.
    pub system: Micros,
    /// Largest resident memory seen, KiB.
    pub memory: u64,
}

impl Exit {
    /// The exit code, 0 for a signal.
    pub fn code(&self) -> i32 {
        (self.status >> 8) & 0xff
    }

    /// The signal, 0 for an exit.
    pub fn signal(&self) -> i32 {
        self.status & 0x7f
    }
}

/// Cores on a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alloc {
    /// The node.
    pub node: String,
    /// Cores.
    pub cores: u32,
}

/// A process that runs a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// The step daemon: parent of all that belongs to the job.
    pub step: i32,
    /// The script's shell.
    pub shell: i32,
}

/// One job.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Job {
    /// Which.
    pub key: Key,
    /// The scheduler's own id of the element (Slurm), else the id.
    pub raw: u64,
    /// Where it is.
    pub phase: Phase,
    /// Why it waits, or a word about its end; the front-end's own.
    pub reason: String,
    /// Holds: a set of [`HELD_USER`] …
    pub held: u8,
    /// What it depends on.
    pub depend: Depend,
    /// When it was submitted.
    pub submit: Micros,
    /// When it could first have started.
    pub eligible: Option<Micros>,
    /// Not before.
    pub begin: Option<Micros>,
    /// When it started.
    pub start: Option<Micros>,
    /// When it ended.
    pub end: Option<Micros>,
    /// When it was suspended.
    pub suspended: Option<Micros>,
    /// Time limit in seconds.
    pub limit: Option<u64>,
    /// Higher starts first.
    pub priority: i64,
    /// Where it runs, or ran.
    pub alloc: Vec<Alloc>,
    /// Its process.
    pub process: Option<Process>,
    /// Told to end.
    pub kill: Option<Kill>,
    /// How its process ended.
    pub exit: Option<Exit>,
    /// Starts so far.
    pub runs: u32,
    /// What only this scheduler knows; over [`Spec::attrs`].
    pub attrs: BTreeMap<String, String>,
    /// What was submitted. Not written to the journal: found again by id.
    #[serde(skip)]
    pub spec: std::sync::Arc<Spec>,
}

impl Job {
    /// An attribute of the job or of what was submitted.
    pub fn attr(&self, name: &str) -> Option<&str> {
        self.attrs.get(name).or_else(|| self.spec.attrs.get(name)).map(String::as_str)
    }

    /// It has started and not ended.
    pub fn is_active(&self) -> bool {
        matches!(self.phase, Phase::Running | Phase::Suspended | Phase::Completing)
    }

    /// It has ended with status 0 and was not told to end.
    pub fn is_ok(&self) -> bool {
        self.phase == Phase::Ended
            && self.kill.is_none()
            && self.exit.as_ref().is_some_and(|exit| exit.status == 0)
    }
}

/// How the process of a job is started.
#[derive(Clone, Debug, Default)]
pub struct Launch {
    /// The script to copy into the spool, and its arguments. The spool path is put before `args`.
    pub argv: Vec<Vec<u8>>,
    /// The whole environment.
    pub env: Vec<(Vec<u8>, Vec<u8>)>,
    /// Working directory.
    pub cwd: PathBuf,
    /// Umask.
    pub umask: u32,
    /// Stdin; empty: `/dev/null`.
    pub stdin: PathBuf,
    /// Stdout.
    pub stdout: PathBuf,
    /// Stderr; empty: with stdout.
    pub stderr: PathBuf,
    /// Appended to instead of emptied.
    pub append: bool,
    /// Bytes a copy of which are the script; written to `spool/KEY.sh`, which becomes the first word of argv. Empty:
    /// argv is run as it is.
    pub script: Vec<u8>,
    /// A name for the script in the spool; empty: `script`.
    pub script_name: String,
    /// The begin of a login environment, `HOME` in it: what `~/.profile` makes of it goes below `env`. Empty: none.
    pub login: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Why a job's process did not start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartError {
    /// The working directory.
    Cwd(String),
    /// Stdin, stdout or stderr.
    Output(String),
    /// The program.
    Exec(String),
}
