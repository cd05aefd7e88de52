//! What the jobs of a batch are to do: everything that is stored of a submission.

use serde::{Deserialize, Serialize};

use crate::bytestring::ByteString;
use crate::dependency::{Dependency, ForeignDependency};
use crate::inputs::InputPlan;
use crate::resources::Resources;

/// What a job runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Command {
    /// Words for the kernel, no shell; with inputs they may hold placeholders.
    Argv(Vec<ByteString>),
    /// A script, stored as `jobs/B/script/<name>`, with the words after it.
    Script {
        /// Its base name.
        name: ByteString,
        /// What its `#!` line says, else `/bin/sh`.
        interpreter: Vec<ByteString>,
        /// The words after the script.
        args: Vec<ByteString>,
    },
}

/// Where the outputs of the jobs go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OutputMode {
    /// Two files for each job.
    #[default]
    Files,
    /// All jobs in one pack of the batch, above 1 MiB a file.
    Packed,
}

/// One batch as it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobSpec {
    /// Its name, not necessarily unique.
    pub name: String,
    /// How many jobs it has.
    pub count: u32,
    /// What each runs.
    pub command: Command,
    /// The inputs that go into the command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inputs: Option<InputPlan>,
    /// The working directory.
    pub cwd: ByteString,
    /// The umask of the job and of its output files.
    pub umask: u32,
    /// The name of the file in `jobs/B/env/` (without `.sh`) that restores the environment.
    pub environment: String,
    /// Whether `jobs/B/stdin` is the standard input.
    #[serde(default)]
    pub stdin: bool,
    /// What each job asks for.
    #[serde(default)]
    pub resources: Resources,
    /// What all of them wait for.
    #[serde(default)]
    pub dependencies: Vec<Dependency>,
    /// Jobs of the same scheduler that are not ours, for which all of them wait.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub foreign: Vec<ForeignDependency>,
    /// The higher goes first.
    #[serde(default)]
    pub priority: i32,
    /// At most so many at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_running: Option<u32>,
    /// Where the outputs go.
    #[serde(default)]
    pub output: OutputMode,
    /// Never start a job in a way that a crash of the runner could make `failed(lost)`.
    #[serde(default)]
    pub durable: bool,
    /// Bind each job to cores of its own.
    #[serde(default)]
    pub pin: bool,
    /// Milliseconds between TERM and KILL.
    #[serde(default = "default_grace")]
    pub grace_ms: u64,
    /// How deep in jobs that submitted jobs this one is; 0 from a terminal.
    #[serde(default)]
    pub depth: u32,
}

/// The time between TERM and KILL where nothing else is said, in milliseconds.
pub const fn default_grace() -> u64 {
    10_000
}

impl JobSpec {
    /// A batch of one job that runs `argv` in `cwd`, with all else at its default.
    pub fn single(name: impl Into<String>, argv: Vec<ByteString>, cwd: ByteString) -> Self {
        Self {
            name: name.into(),
            count: 1,
            command: Command::Argv(argv),
            inputs: None,
            cwd,
            umask: 0o022,
            environment: String::new(),
            stdin: false,
            resources: Resources::default(),
            dependencies: Vec::new(),
            foreign: Vec::new(),
            priority: 0,
            max_running: None,
            output: OutputMode::Files,
            durable: false,
            pin: false,
            grace_ms: default_grace(),
            depth: 0,
        }
    }
}
