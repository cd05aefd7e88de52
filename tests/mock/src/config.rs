//! The configuration of a mock cluster: its shape, limits, timings and faults. A JSON file, `config.json`, in the
//! state directory; every key has a default, and the daemon reads the file again when it has changed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The whole file. Durations are seconds, memory is MiB.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// `slurm`, `pbs`, `torque` or `sge`.
    pub scheduler: String,
    /// The nodes and queues.
    pub cluster: Cluster,
    /// What is refused.
    pub limits: Limits,
    /// How long things take.
    pub timing: Timing,
    /// What is broken in the cluster.
    pub faults: Faults,
    /// What is broken in single commands: `squeue`, `qstat` …, or `*` for all.
    pub commands: BTreeMap<String, CommandFault>,
    /// What only one scheduler knows.
    pub extra: BTreeMap<String, Value>,
}

/// The shape of the cluster.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Cluster {
    /// Its name, as `sacct` and `-M` say it.
    pub name: String,
    /// The nodes, in the order in which they are filled.
    pub nodes: Vec<Node>,
    /// Partitions or queues; the first with `default` takes jobs that name none.
    pub queues: Vec<Queue>,
}

/// One pretended node.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Cores.
    pub cores: u32,
    /// Memory in MiB.
    pub memory: u64,
    /// GPUs.
    pub gpus: u32,
    /// Empty when it is up, else `down` or `drain`.
    pub state: String,
    /// Why it is not up.
    pub reason: String,
}

/// One partition or queue.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Queue {
    /// Its name.
    pub name: String,
    /// Takes jobs that name no queue.
    pub default: bool,
    /// Names of its nodes; empty: all.
    pub nodes: Vec<String>,
    /// The longest time limit in seconds; none: no limit.
    pub max_time: Option<u64>,
    /// The time limit of jobs that ask for none, in seconds.
    pub default_time: Option<u64>,
    /// Most memory a node, MiB.
    pub max_memory: Option<u64>,
    /// Most memory a core, MiB.
    pub max_memory_per_core: Option<u64>,
    /// Most nodes of one job.
    pub max_nodes: Option<u32>,
    /// Most cores of one job.
    pub max_cores: Option<u32>,
    /// Jobs start; else they wait.
    pub started: bool,
    /// Jobs are taken; else they are refused.
    pub enabled: bool,
}

/// What is refused.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// The array *index* must be below this (Slurm), or the count must not be above it (the others).
    pub max_array: u32,
    /// Most jobs in the controller's memory.
    pub max_jobs: usize,
    /// Jobs over a queue's limits are refused (Slurm's `EnforcePartLimits=ALL`); else they wait for ever.
    pub enforce_queue_limits: bool,
    /// A job that uses more memory than it asked for is killed.
    pub enforce_memory: bool,
}

/// How long things take, in seconds.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Timing {
    /// An ended job is forgotten by the queue after this time (Torque: keep_completed).
    pub min_job_age: f64,
    /// From TERM to KILL.
    pub kill_wait: f64,
    /// Jobs and their ends are in the accounting this much later.
    pub accounting_lag: f64,
    /// From a change to the scheduling pass that follows.
    pub scheduling_delay: f64,
    /// A client gives up after this time when nobody answers.
    pub message_timeout: f64,
    /// A client with a dead controller gives up after this time.
    pub connect_timeout: f64,
    /// A requeued job waits this long.
    pub requeue_delay: f64,
    /// The time limit is stretched by this factor: 0.05 makes `-t 1` three seconds.
    pub limit_scale: f64,
    /// The daemon ends when there was no command and no job for this time.
    pub idle: f64,
}

/// What is broken in the cluster.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Faults {
    /// `""`: well; `down`: connections are refused; `hung`: it takes requests and answers when it is well again.
    pub controller: String,
    /// `""`: well; `down`: connections are refused; `empty`: it has lost everything.
    pub accounting: String,
    /// The credential service is dead (Slurm's munge): every command fails.
    pub credentials: bool,
    /// Jobs with these ids have vanished from the queue and the accounting (they go on running).
    pub forget: Vec<u64>,
    /// Every job vanishes as soon as it ends, from the queue and the accounting.
    pub forget_ended: bool,
    /// Dependent jobs are let through without a look at what they depend on.
    pub ignore_dependencies: bool,
}

/// What is broken in one command.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CommandFault {
    /// Seconds before it does anything.
    pub delay: f64,
    /// It does nothing and ends with this code, printing `stdout` and `stderr`.
    pub rc: Option<i32>,
    /// With `rc`: what is printed; without: what is printed instead of the answer.
    pub stdout: Option<String>,
    /// With `rc`: what is said; without: said besides the answer.
    pub stderr: Option<String>,
    /// It blocks, before it does anything, until this is taken away; then it goes on.
    pub hang: bool,
    /// It does its work, then blocks without an answer until this is taken away.
    pub hang_after: bool,
    /// `before`: killed before anything happened; `after`: the work is done, the answer is not given.
    pub die: String,
    /// Bytes of the answer that are printed.
    pub truncate: Option<usize>,
    /// Bytes that are no text are printed instead of the answer, this many.
    pub rubbish: Option<usize>,
    /// Every line of the answer but the first is printed twice.
    pub duplicate: bool,
    /// Only when an argument contains this text.
    pub only: Option<String>,
    /// So many calls are hit, then none; none: all.
    pub times: Option<u64>,
}

impl Default for Cluster {
    fn default() -> Self {
        let nodes = [1, 2, 3, 5]
            .map(|n| Node {
                name: format!("node{n}"),
                cores: 4,
                memory: 8000,
                gpus: if n == 5 { 2 } else { 0 },
                state: String::new(),
                reason: String::new(),
            })
            .to_vec();
        Self { name: String::from("testcluster"), nodes, queues: Vec::new() }
    }
}

impl Default for Node {
    fn default() -> Self {
        Self {
            name: String::new(),
            cores: 4,
            memory: 8000,
            gpus: 0,
            state: String::new(),
            reason: String::new(),
        }
    }
}

impl Default for Queue {
    fn default() -> Self {
        Self {
            name: String::new(),
            default: false,
            nodes: Vec::new(),
            max_time: None,
            default_time: None,
            max_memory: None,
            max_memory_per_core: None,
            max_nodes: None,
            max_cores: None,
            started: true,
            enabled: true,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_array: 2001, max_jobs: 20_000, enforce_queue_limits: true, enforce_memory: false }
    }
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            min_job_age: 60.0,
            kill_wait: 2.0,
            accounting_lag: 0.0,
            scheduling_delay: 0.0,
            message_timeout: 10.0,
            connect_timeout: 2.0,
            requeue_delay: 2.0,
            limit_scale: 1.0,
            idle: 60.0,
        }
    }
}

impl Cluster {
    /// The names of the queues that a node belongs to.
    pub fn queues_of(&self, node: &str) -> Vec<&str> {
        let of = self.queues.iter().filter(|queue| self.nodes_of(queue).any(|one| one.name == node));
        of.map(|queue| queue.name.as_str()).collect()
    }

    /// The queue of that name.
    pub fn queue(&self, name: &str) -> Option<&Queue> {
        self.queues.iter().find(|queue| queue.name == name)
    }

    /// The queue of jobs that name none.
    pub fn default_queue(&self) -> Option<&Queue> {
        self.queues.iter().find(|queue| queue.default).or(self.queues.first())
    }

    /// The nodes of a queue.
    pub fn nodes_of<'a>(&'a self, queue: &'a Queue) -> impl Iterator<Item = &'a Node> {
        self.nodes.iter().filter(|node| queue.nodes.is_empty() || queue.nodes.contains(&node.name))
    }
}

/// Sets one key, named by its path with dots (`commands.squeue.delay`), in a configuration. `null` removes it.
pub fn set(config: &mut Value, path: &str, value: Value) {
    let mut at = config;
    let mut steps = path.split('.').peekable();
    while let Some(step) = steps.next() {
        let last = steps.peek().is_none();
        at = match at {
            Value::Array(items) => match step.parse::<usize>().ok().filter(|index| *index < items.len()) {
                Some(index) => &mut items[index],
                None => return,
            },
            other => {
                if !other.is_object() {
                    *other = Value::Object(serde_json::Map::new());
                }
                let Value::Object(map) = other else { return };
                if last && value.is_null() {
                    map.remove(step);
                    return;
                }
                map.entry(step).or_insert(Value::Null)
            }
        };
    }
    *at = value;
}
