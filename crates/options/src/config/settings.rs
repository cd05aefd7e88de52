//! What the configuration files say, with the defaults: [`Config`].

use std::time::Duration;

use cluster_core::Walltime;
use indexmap::IndexMap;

use crate::amount::{CoreAmount, MemAmount};
use crate::config::key::KEYS;
use crate::config::system::SystemConfig;
use crate::node::Node;
use crate::scheduler_kind::SchedulerKind;

/// The settings in force.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Config {
    /// The systems by name, in the order of the files; `local` is always among them.
    pub systems: IndexMap<String, SystemConfig>,
    /// The system that is taken where none is named.
    pub default_system: Option<String>,
    /// Whether the default may not be `local`.
    pub require_cluster: bool,
    /// How often a submission that failed for a passing reason is tried again.
    pub submit_retries: u32,
    /// A job that may never go on by itself ends a wait after so long.
    pub uncertain_limit: Walltime,
    /// How long outputs are waited for that a file system does not show yet.
    pub file_wait: Duration,
    /// The local queue.
    pub local: LocalConfig,
    /// When a job absent everywhere is lost; `None`: it depends on the system.
    pub lost_after: Option<Walltime>,
    /// How long the gate waits for an end record; `None`: it depends on the file system.
    pub gate_wait: Option<Duration>,
    /// What is refused.
    pub limits: Limits,
    /// What submitting from inside a job does.
    pub nesting: Nesting,
    /// How deep jobs may submit jobs.
    pub nesting_depth: u32,
}

/// The local queue.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LocalConfig {
    /// The cores it hands out.
    pub cores: CoreAmount,
    /// The memory it hands out.
    pub memory: MemAmount,
    /// It ends after so long without a job.
    pub idle_exit: Walltime,
    /// Time between TERM and KILL.
    pub grace: Duration,
}

/// What is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Larger batches.
    pub max_jobs_per_batch: u32,
}

/// What submitting from inside a job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nesting {
    /// Queues the jobs.
    Allow,
    /// Runs them one by one in place.
    Serial,
    /// Fails.
    Refuse,
}

impl Config {
    /// The settings in a tree that was checked. What it lacks comes from the table of keys.
    pub(crate) fn from_checked(merged: &Node, others: &[&'static str]) -> Self {
        let leaf = |name: &str| Leaf::new(merged, name);
        let mut systems = IndexMap::new();
        for (name, node) in merged.get(&["systems"]).and_then(Node::as_map).into_iter().flatten() {
            systems.insert(name.clone(), SystemConfig::from_checked(node, others));
        }
        systems.entry("local".to_owned()).or_insert_with(|| SystemConfig::new(SchedulerKind::Local));
        Self {
            systems,
            default_system: leaf("default_system").text.map(str::to_owned),
            require_cluster: leaf("require_cluster").read().unwrap_or(false),
            submit_retries: leaf("submit_retries").read().unwrap_or(5),
            uncertain_limit: leaf("uncertain_limit").read().unwrap_or(Walltime::UNLIMITED),
            file_wait: leaf("file_wait").duration().unwrap_or_default(),
            local: LocalConfig {
                cores: leaf("local.cores").read().unwrap_or(CoreAmount::Max),
                memory: leaf("local.memory").read().unwrap_or(MemAmount::Percent(crate::Percent::WHOLE)),
                idle_exit: leaf("local.idle_exit").read().unwrap_or(Walltime::UNLIMITED),
                grace: leaf("local.grace").duration().unwrap_or_default(),
            },
            lost_after: leaf("lost_after").read(),
            gate_wait: leaf("gate_wait").duration(),
            limits: Limits {
                max_jobs_per_batch: leaf("limits.max_jobs_per_batch").read().unwrap_or(u32::MAX),
            },
            nesting: match leaf("nesting").text {
                Some("serial") => Nesting::Serial,
                Some("refuse") => Nesting::Refuse,
                _ => Nesting::Allow,
            },
            nesting_depth: leaf("nesting_depth").read().unwrap_or(u32::MAX),
        }
    }
}

impl Default for Config {
    /// What is in force without any file.
    fn default() -> Self {
        Self::from_checked(&Node::Null, &[])
    }
}

/// The text of a key: of the files, else its default.
struct Leaf<'a> {
    text: Option<&'a str>,
}

impl<'a> Leaf<'a> {
    fn new(merged: &'a Node, name: &str) -> Self {
        let path: Vec<&str> = name.split('.').collect();
        let default = || KEYS.iter().find(|key| key.name == name).and_then(|key| key.default);
        Self { text: merged.get(&path).and_then(Node::as_text).or_else(default) }
    }

    fn read<T: std::str::FromStr>(&self) -> Option<T> {
        self.text.and_then(|text| text.parse().ok())
    }

    fn duration(&self) -> Option<Duration> {
        self.read::<Walltime>().and_then(Walltime::as_duration)
    }
}
