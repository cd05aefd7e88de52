//! Slurm 22.05: its commands, its texts and its decisions, after recordings of the real one.

mod args;
mod json;
mod launch;
mod preamble;
mod sacct;
mod sbatch;
mod scancel;
mod scontrol;
mod sinfo;
mod squeue;
mod srun;
mod text;
mod view;

use crate::config::{Config, Queue};
use crate::engine::{Exit, Job, Key, Kill, Launch, Phase, Scope, StartError, Table, Why, micros, now};
use crate::front::{Call, Controller, FrontEnd, SIGKILL, SIGTERM};

/// Slurm.
pub struct Slurm;

/// The account of jobs that name none.
const ACCOUNT: &str = "research";
const CONNECT: &str = "Unable to contact slurm controller (connect failure)";

impl FrontEnd for Slurm {
    fn name(&self) -> &'static str {
        "slurm"
    }

    fn commands(&self) -> &'static [&'static str] {
        &["sbatch", "squeue", "sacct", "scancel", "scontrol", "sinfo", "sacctmgr", "srun"]
    }

    fn defaults(&self) -> Config {
        let mut config = Config::default();
        let names = |numbers: &[u32]| numbers.iter().map(|n| format!("node{n}")).collect::<Vec<_>>();
        let queue = |name: &str, nodes: &[u32], max: Option<u64>, default: Option<u64>| Queue {
            name: name.to_owned(),
            nodes: names(nodes),
            max_time: max,
            default_time: default,
            ..Queue::default()
        };
        config.cluster.queues = vec![
            Queue {
                default: true,
                max_memory: Some(4000),
                ..queue("debug", &[1, 2, 3, 5], Some(1800), Some(600))
            },
            Queue {
                max_memory_per_core: Some(1000),
                max_nodes: Some(2),
                ..queue("short", &[1, 2, 3], Some(120), Some(60))
            },
            queue("long", &[1, 2, 3, 5], None, Some(86_400)),
            queue("gpu", &[5], Some(7 * 86_400), Some(3600)),
            Queue { started: false, ..queue("maint", &[5], Some(3600), None) },
        ];
        config
    }

    fn run(&self, call: &mut Call<'_>) -> i32 {
        if call.engine.config().faults.credentials {
            let name = call.name.clone();
            call.err(format!(
                "{name}: error: Munge encode failed: Failed to access \"/run/munge/munge.socket.2\": No such file or directory (Did you start munged?)\n{name}: error: slurm_send_node_msg: auth_g_create: has authentication error\n"
            ));
            call.err("slurm_load_jobs error: Protocol authentication error\n");
            return 1;
        }
        match call.name.as_str() {
            "sbatch" => sbatch::run(call),
            "squeue" => squeue::run(call),
            "sacct" => sacct::run(call),
            "scancel" => scancel::run(call),
            "scontrol" => scontrol::run(call),
            "sinfo" => sinfo::run(call),
            "sacctmgr" => sacct::manager(call),
            _ => srun::run(call),
        }
    }

    fn blocked(&self, table: &Table, key: Key) -> Option<String> {
        let job = table.jobs.get(&key)?;
        let queue = table.config.cluster.queue(&job.spec.queue)?;
        if !queue.started {
            return Some(String::from("PartitionDown"));
        }
        if let Some(reason) = view::over(queue, &job.spec) {
            return Some(reason.to_owned());
        }
        let usable = |name: &str| {
            table.config.cluster.nodes.iter().any(|node| node.name == name && node.state.is_empty())
        };
        let up = table.config.cluster.nodes_of(queue).filter(|node| usable(&node.name)).count();
        let named_down = job.spec.only_nodes.iter().any(|name| !usable(name));
        (up < job.spec.nodes as usize || named_down).then(|| {
            String::from(
                "Nodes required for job are DOWN, DRAINED or reserved for jobs in higher priority partitions",
            )
        })
    }

    fn never(&self, table: &mut Table, key: Key) {
        let kills = table.jobs.get(&key).is_some_and(|job| job.attr("kill_invalid").is_some());
        if kills {
            table.kill(key, Why::Dependency, &[]);
        }
    }

    fn starts(&self, table: &mut Table, key: Key) {
        split(table, key);
    }

    fn launch(&self, table: &Table, job: &Job) -> Launch {
        launch::launch(table, job)
    }

    fn kill_plan(&self, table: &Table, _job: &Job, kill: &Kill) -> Vec<(f64, i32, Scope)> {
        // Over its memory: killed at once. Else all processes, the script's shell too, are told and given time.
        if kill.why == Why::Memory {
            return vec![(0.0, SIGKILL, Scope::All)];
        }
        vec![(0.0, SIGTERM, Scope::All), (table.config.timing.kill_wait, SIGKILL, Scope::All)]
    }

    fn ended(&self, table: &mut Table, key: Key, exit: &Exit) {
        let requeue = table
            .jobs
            .get(&key)
            .and_then(|job| job.kill.as_ref())
            .is_some_and(|kill| kill.why == Why::Requeue);
        if requeue {
            let begin = now() + micros(table.config.timing.requeue_delay);
            table.requeue(key, Some(exit), Some(begin));
        } else {
            table.end(key, Some(exit));
        }
    }

    fn start_failed(&self, table: &mut Table, key: Key, error: &StartError) {
        // As seen: a directory or an output file that is not there is "0:53"; a missing interpreter is code 127 or 2.
        let status = match error {
            StartError::Cwd(_) | StartError::Output(_) => 53,
            StartError::Exec(_) => 2 << 8,
        };
        table.end(key, Some(&Exit { status, ..Exit::default() }));
    }
}

/// Gives an element of an array an id of its own, but for the last one, which keeps the array's.
fn split(table: &mut Table, key: Key) {
    let Some(job) = table.jobs.get(&key) else { return };
    if key.index.is_none() || job.raw != key.id {
        return;
    }
    let others =
        table.elements(key.id).any(|job| job.key != key && job.raw == key.id && job.phase == Phase::Pending);
    if others {
        let raw = table.take_id();
        if let Some(job) = table.job_mut(key) {
            job.raw = raw;
        }
    }
}

/// Associations are enforced: the key `extra.enforce_accounts`.
fn is_enforced(config: &Config) -> bool {
    config.extra.get("enforce_accounts").and_then(serde_json::Value::as_bool).unwrap_or(false)
}

/// The accounting is down; the first lines of what is said then are printed.
fn accounting_down(call: &mut Call<'_>, name: &str) -> bool {
    if call.engine.config().faults.accounting != "down" {
        return false;
    }
    call.err(format!("{name}: error: slurm_persist_conn_open_without_init: failed to open persistent connection to host:127.0.0.1:23711: Connection refused\n{name}: error: Sending PersistInit msg: Connection refused\n"));
    true
}

/// Waits for the controller as a client does; what it says when it gives up, and its code.
fn controller(call: &mut Call<'_>, prefix: &str, times: f64) -> Option<i32> {
    let why = match call.controller_within(times) {
        Controller::Well => return None,
        Controller::Down => CONNECT,
        Controller::Hung => "Socket timed out on send/recv operation",
    };
    call.err(format!("{prefix}{why}\n"));
    Some(1)
}

/// How the caller wants points in time to be written.
struct Clock {
    offset: i64,
    epoch: bool,
}

impl Clock {
    fn of(call: &Call<'_>) -> Self {
        let zone = call.var("TZ").unwrap_or_default();
        // POSIX zones without rules: name and hours west.
        let digits = zone.trim_start_matches(|c: char| c.is_ascii_alphabetic() || c == '<' || c == '>');
        let offset = digits.parse::<i64>().map_or(0, |west| -west * 3600);
        Self { offset, epoch: call.var("SLURM_TIME_FORMAT").as_deref() == Some("%s") }
    }

    fn write(&self, time: crate::engine::Micros) -> String {
        if self.epoch {
            return crate::engine::seconds(time).to_string();
        }
        text::iso(time, self.offset)
    }
}
