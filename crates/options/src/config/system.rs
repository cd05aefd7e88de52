//! One system of the configuration: [`SystemConfig`].

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use cluster_core::{MemSize, Walltime};
use indexmap::IndexMap;

use crate::catalogue::Catalogue;
use crate::config::key::{Key, KeyKind, interval, key};
use crate::node::Node;
use crate::option_type::OptionType;
use crate::scheduler_kind::SchedulerKind;
use crate::value::Value;

/// A place to run.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SystemConfig {
    /// Its scheduler.
    pub scheduler: SchedulerKind,
    /// Options of every job there, by the names of the catalogue; what a command says goes over them.
    pub options: IndexMap<String, Value>,
    /// Its partitions or queues, as far as they were said.
    pub partitions: IndexMap<String, PartitionConfig>,
    /// Where commands of the scheduler lie, by their plain names.
    pub commands: IndexMap<String, PathBuf>,
    /// The directory of all others.
    pub bin: Option<PathBuf>,
    /// Variables of all commands of the scheduler, over those of the environment.
    pub env: IndexMap<String, String>,
    /// Commands of a shell that run on the submitting host right before the command that submits.
    pub pre_submit: Vec<String>,
    /// Commands of a shell that run in each job right before its command.
    pub setup: Vec<String>,
    /// Directives of each script, without the scheduler's prefix.
    pub extra: Vec<String>,
    /// SGE: the parallel environment of jobs with more than one core.
    pub parallel_environment: Option<String>,
    /// SGE: the resource that stands for memory.
    pub mem_resource: Option<String>,
    /// SGE: the resource that stands for GPUs.
    pub gpu_resource: Option<String>,
    /// The most elements of an array; `None`: the scheduler is asked.
    pub max_array_size: Option<u32>,
    /// When a job absent everywhere is lost, over the key of this name for all systems.
    pub lost_after: Option<Walltime>,
    /// The least time between two queries.
    pub poll: Duration,
    /// How long a command may take; `None`: it depends on the command.
    pub timeout: Option<Duration>,
    /// Whether ended jobs can be asked for; `None`: the scheduler is asked.
    pub accounting: Option<bool>,
}

/// The limits of a partition, for checks before the scheduler is asked. What is `None` is not limited.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PartitionConfig {
    /// The longest time limit.
    pub max_time: Option<Walltime>,
    /// The time limit of jobs that ask for none.
    pub default_time: Option<Walltime>,
    /// The most memory of a job on a node.
    pub max_mem: Option<MemSize>,
    /// The cores of a node.
    pub cores: Option<u32>,
    /// The most nodes of a job.
    pub max_nodes: Option<u32>,
}

const MOST: KeyKind = KeyKind::Count(u32::MAX as u64);

/// The keys of a system.
pub const SYSTEM_KEYS: &[Key] = &[
    key(
        "scheduler",
        KeyKind::Choice(&["slurm", "pbs", "torque", "sge", "local", "file"]),
        None,
        "What queues and starts its jobs. The one key that has to be there.",
    ),
    key("options", KeyKind::Options, None, "Options of every job there; those of a command go over them."),
    key("partitions", KeyKind::Partitions, None, "Partitions or queues and their limits."),
    key(
        "commands",
        KeyKind::Paths,
        None,
        "Paths of commands of the scheduler by name, where they are not on PATH.",
    ),
    key("bin", KeyKind::Path, None, "The directory of the commands that `commands` does not name."),
    key(
        "env",
        KeyKind::Variables,
        None,
        "Variables of every command of the scheduler (`SGE_ROOT`, `SLURM_CONF`), over those of the environment; jobs \
         do not get them.",
    ),
    key(
        "pre_submit",
        KeyKind::Commands,
        None,
        "Run on the submitting host in the same shell right before the command that submits. A failure ends \
         the submission.",
    ),
    key("setup", KeyKind::Commands, None, "Run in each job right before its command, in the same shell."),
    key("extra", KeyKind::Directives, None, "Further directives for the head of every script."),
    key(
        "parallel_environment",
        KeyKind::Name,
        None,
        "SGE: the parallel environment of jobs with more than one core.",
    ),
    key("mem_resource", KeyKind::Name, None, "SGE: the resource that stands for memory."),
    key("gpu_resource", KeyKind::Name, None, "SGE: the resource that stands for GPUs."),
    key("max_array_size", MOST, None, "The most elements of one array; else the scheduler is asked."),
    key(
        "lost_after",
        KeyKind::Time,
        None,
        "As the key of this name for all systems, which it replaces here.",
    ),
    key("poll", KeyKind::Interval, Some("10s"), "The least time between two queries of the scheduler."),
    key(
        "timeout",
        KeyKind::Interval,
        None,
        "A command of the scheduler is killed after so long; else it depends on the command, mostly a minute.",
    ),
    key(
        "accounting",
        KeyKind::Bool,
        None,
        "Whether the scheduler can be asked for ended jobs; else it is found out.",
    ),
];

/// The keys of a partition.
pub const PARTITION_KEYS: &[Key] = &[
    key("max_time", KeyKind::Time, None, "The longest time limit of a job."),
    key("default_time", KeyKind::Time, None, "The time limit of a job that asks for none."),
    key("max_mem", KeyKind::Size, None, "The most memory of a job on one node."),
    key("cores", MOST, None, "The cores of one node."),
    key("max_nodes", MOST, None, "The most nodes of a job."),
];

impl SystemConfig {
    /// A system of which only the scheduler is known.
    pub fn new(scheduler: SchedulerKind) -> Self {
        Self::read(scheduler, &Node::Null)
    }

    /// The system in a tree that was checked.
    pub(super) fn from_checked(node: &Node, others: &[&'static str]) -> Self {
        let scheduler = text(node, "scheduler").and_then(|text| SchedulerKind::read(text, others).ok());
        Self::read(scheduler.unwrap_or(SchedulerKind::Local), node)
    }

    fn read(scheduler: SchedulerKind, node: &Node) -> Self {
        let options = entries(node, "options").filter_map(|(name, value)| {
            let (option, value) = Catalogue::builtin().check(name, &option_text(name, value)?).ok()?;
            Some((option.name.clone(), value))
        });
        let partitions =
            entries(node, "partitions").map(|(name, limits)| (name.clone(), PartitionConfig::read(limits)));
        let commands = entries(node, "commands")
            .filter_map(|(name, path)| Some((name.clone(), PathBuf::from(path.as_text()?))));
        let env = entries(node, "env")
            .filter_map(|(name, value)| Some((name.clone(), value.as_text()?.to_owned())));
        let name = |key: &str| text(node, key).map(|text| text.trim().to_owned());
        Self {
            scheduler,
            options: options.collect(),
            partitions: partitions.collect(),
            commands: commands.collect(),
            bin: text(node, "bin").map(PathBuf::from),
            env: env.collect(),
            pre_submit: lines(node, "pre_submit"),
            setup: lines(node, "setup"),
            extra: lines(node, "extra"),
            parallel_environment: name("parallel_environment"),
            mem_resource: name("mem_resource"),
            gpu_resource: name("gpu_resource"),
            max_array_size: parsed(node, "max_array_size"),
            lost_after: parsed(node, "lost_after"),
            poll: text(node, "poll").and_then(interval).unwrap_or(Duration::from_secs(10)),
            timeout: text(node, "timeout").and_then(interval),
            accounting: node.get(&["accounting"]).and_then(Node::as_bool),
        }
    }

    /// Whether tests and `--all-systems` leave the system of this name out.
    pub fn is_private(name: &str) -> bool {
        name.starts_with('_')
    }
}

impl PartitionConfig {
    fn read(node: &Node) -> Self {
        Self {
            max_time: parsed(node, "max_time"),
            default_time: parsed(node, "default_time"),
            max_mem: parsed(node, "max_mem"),
            cores: parsed(node, "cores"),
            max_nodes: parsed(node, "max_nodes"),
        }
    }
}

/// An option's value as a command line would have it: the items of a list with what goes between them.
pub(super) fn option_text(name: &str, value: &Node) -> Option<String> {
    let Some(items) = value.as_list() else { return value.as_text().map(str::to_owned) };
    let OptionType::List { split } = &Catalogue::builtin().get(name)?.kind else { return None };
    let items: Option<Vec<&str>> = items.iter().map(Node::as_text).collect();
    Some(items?.join(split.get(..1)?))
}

fn text<'n>(node: &'n Node, key: &str) -> Option<&'n str> {
    node.get(&[key]).and_then(Node::as_text)
}

fn parsed<T: FromStr>(node: &Node, key: &str) -> Option<T> {
    text(node, key)?.parse().ok()
}

fn entries<'n>(node: &'n Node, key: &str) -> impl Iterator<Item = (&'n String, &'n Node)> {
    node.get(&[key]).and_then(Node::as_map).into_iter().flatten()
}

fn lines(node: &Node, key: &str) -> Vec<String> {
    let Some(node) = node.get(&[key]) else { return Vec::new() };
    let items = node.as_list().unwrap_or(std::slice::from_ref(node));
    items.iter().filter_map(Node::as_text).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_interval_is_the_one_in_the_table() {
        let poll = SYSTEM_KEYS.iter().find(|key| key.name == "poll").unwrap();
        assert_eq!(poll.default.and_then(interval), Some(SystemConfig::new(SchedulerKind::Slurm).poll));
    }
}
