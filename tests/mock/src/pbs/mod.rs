//! OpenPBS 23.06, and what it shares with Torque.

pub(crate) mod bytes;
pub(crate) mod clock;
pub(crate) mod control;
pub(crate) mod depend;
pub(crate) mod getopt;
pub(crate) mod id;
mod json;
pub(crate) mod launch;
mod nodes;
pub(crate) mod options;
mod qstat;
pub(crate) mod qsub;
pub(crate) mod record;
pub(crate) mod resources;
pub(crate) mod script;
mod servers;
pub(crate) mod show;
pub(crate) mod state;
pub(crate) mod table;
pub(crate) mod variables;

use crate::config::{Cluster, Config, Limits, Node, Queue, Timing};
use crate::engine::{Exit, Job, Key, Launch, Phase, StartError, Table, Wait, Why};
use crate::front::{Call, FrontEnd};

use options::Family;

/// OpenPBS.
pub struct OpenPbs;

/// The scheduler, when it is called so.
pub fn front(name: &str) -> Option<Box<dyn FrontEnd>> {
    matches!(name, "pbs" | "openpbs").then(|| Box::new(OpenPbs) as Box<dyn FrontEnd>)
}

impl FrontEnd for OpenPbs {
    fn name(&self) -> &'static str {
        "pbs"
    }

    fn commands(&self) -> &'static [&'static str] {
        &[
            "qsub", "qstat", "qdel", "qhold", "qrls", "qalter", "qsig", "qrerun", "qmove", "qmsg", "qselect",
            "pbsnodes", "qmgr",
        ]
    }

    fn defaults(&self) -> Config {
        let queue = |name: &str| Queue { name: name.into(), default_time: Some(3600), ..Queue::default() };
        let node = Node { name: "pbshost".into(), cores: 16, memory: 64 << 10, ..Node::default() };
        Config {
            scheduler: "pbs".into(),
            cluster: Cluster {
                name: "pbshost".into(),
                nodes: vec![node],
                queues: vec![
                    Queue { default: true, ..queue("workq") },
                    Queue { max_time: Some(600), max_memory: Some(4096), ..queue("shortq") },
                    Queue { started: false, ..queue("holdq") },
                    Queue { enabled: false, ..queue("closedq") },
                ],
            },
            limits: Limits { max_array: 10_000, ..Limits::default() },
            timing: Timing {
                min_job_age: 1_209_600.0,
                kill_wait: 5.0,
                requeue_delay: 0.0,
                ..Timing::default()
            },
            ..Config::default()
        }
    }

    fn run(&self, call: &mut Call<'_>) -> i32 {
        if !is_patient(call) {
            return 1;
        }
        if call.engine.config().faults.credentials {
            return say_denied(call);
        }
        match call.name.as_str() {
            "qsub" => qsub::run(call),
            "qstat" => qstat::run(call),
            "qselect" => qstat::select(call),
            "pbsnodes" => nodes::pbsnodes(call),
            "qmgr" => servers::qmgr(call),
            _ => control::run(call),
        }
    }

    fn waits(&self, table: &Table, job: &Job) -> Wait {
        depend::waits(table, job, Family::OpenPbs)
    }

    fn blocked(&self, table: &Table, key: Key) -> Option<String> {
        let queue = table.config.cluster.queue(&table.jobs.get(&key)?.spec.queue)?;
        (!queue.started).then(|| "Queue not started.".to_owned())
    }

    fn never(&self, table: &mut Table, key: Key) {
        table.kill(key, Why::Dependency, &[]);
    }

    fn launch(&self, table: &Table, job: &Job) -> Launch {
        launch::launch(table, job, Family::OpenPbs)
    }

    fn ended(&self, table: &mut Table, key: Key, exit: &Exit) {
        finish(table, key, exit, Family::OpenPbs);
    }

    fn start_failed(&self, table: &mut Table, key: Key, error: &StartError) {
        could_not_start(table, key, error, Family::OpenPbs);
    }
}

/// The process of a job has ended: what the server makes of it.
pub(crate) fn finish(table: &mut Table, key: Key, exit: &Exit, family: Family) {
    let Some(job) = table.jobs.get(&key) else { return };
    let why = job.kill.as_ref().map(|kill| kill.why.clone());
    let status = state::status_of_end(job, exit, family);
    let session = job.process.map(|process| process.shell.to_string());
    let last_words = match (family, &why) {
        (Family::Torque, Some(Why::Timeout)) => {
            let (used, limit) = (elapsed(job), job.spec.limit.unwrap_or(0));
            format!("=>> PBS: job killed: walltime {} exceeded limit {limit}\n", used.max(limit))
        }
        (Family::OpenPbs, Some(Why::Timeout)) => {
            let (used, limit) = (elapsed(job), job.spec.limit.unwrap_or(0));
            format!("=>> PBS: job killed: walltime {} exceeded limit {limit}\n", used.max(limit + 1))
        }
        _ => String::new(),
    };
    let delivered = launch::deliver(table, job, family, &last_words);
    if why == Some(Why::Requeue) {
        table.requeue(key, Some(exit), None);
        if let Some(job) = table.job_mut(key) {
            job.attrs.remove("deleted_by");
        }
        return;
    }
    if let Some(job) = table.job_mut(key) {
        job.attrs.insert("exit".into(), status.to_string());
        job.attrs.insert("stageout".into(), if delivered { "1" } else { "0" }.into());
        if let Some(session) = session {
            job.attrs.insert("session".into(), session);
        }
    }
    table.end(key, Some(exit));
}

fn elapsed(job: &Job) -> u64 {
    let spent = crate::engine::now().saturating_sub(job.start.unwrap_or(0));
    u64::try_from(crate::engine::seconds(spent)).unwrap_or(0)
}

/// The process of a job could not be started: the job has run, and its shell has failed.
pub(crate) fn could_not_start(table: &mut Table, key: Key, error: &StartError, family: Family) {
    let direct =
        table.jobs.get(&key).is_some_and(|job| job.attr("program").is_some() || job.attr("shell").is_some());
    let code = match error {
        StartError::Exec(_) if direct => 254,
        StartError::Exec(_) => 127,
        StartError::Cwd(_) | StartError::Output(_) => 1,
    };
    finish(table, key, &Exit { status: code << 8, ..Exit::default() }, family);
}

/// The server's name.
pub(crate) fn server(table: &Table) -> String {
    table.config.cluster.name.clone()
}

/// Looks at the dependencies of a new submission at once: OpenPBS removes what can never run.
pub(crate) fn settle(table: &mut Table, id: u64) {
    let keys: Vec<Key> = table.elements(id).map(|job| job.key).collect();
    for key in keys {
        let Some(job) = table.jobs.get(&key) else { continue };
        if !job.depend.clauses.is_empty()
            && !table.config.faults.ignore_dependencies
            && depend::waits(table, job, Family::OpenPbs) == Wait::Never
        {
            table.kill(key, Why::Dependency, &[]);
        }
    }
}

/// Says `COMMAND: TEXT` on stderr.
pub(crate) fn refuse(call: &mut Call<'_>, code: i32, text: &str) -> i32 {
    let name = call.name.clone();
    call.err(format!("{name}: {text}\n"));
    code
}

/// Blocks for as long as the server hangs. False when the caller is gone by then: a request takes several exchanges,
/// so that what was asked for has not happened.
pub(crate) fn is_patient(call: &Call<'_>) -> bool {
    if call.engine.config().faults.controller != "hung" {
        return true;
    }
    call.controller_returns();
    !call.gone()
}

/// Is the server down?
pub(crate) fn is_down(call: &Call<'_>) -> bool {
    call.engine.config().faults.controller == "down"
}

/// What a command says of a server that is down.
pub(crate) fn say_down(call: &mut Call<'_>) -> i32 {
    let server = server(&call.engine.lock());
    let name = call.name.clone();
    call.err("Connection refused\n");
    match name.as_str() {
        "qdel" => call.err(format!("Couldn't connect to cluster: {server}\n")),
        "pbsnodes" => call.err(format!("pbsnodes: cannot connect to server {server}, error=15010\n")),
        "qmgr" => call.err("qmgr: cannot connect to server \n"),
        _ => call.err(format!("{name}: cannot connect to server {server} (errno=15010)\n")),
    }
    match name.as_str() {
        "qstat" => 255,
        "pbsnodes" => 1,
        "qmgr" => 3,
        _ => 162,
    }
}

/// What a command says when the server does not believe who calls.
fn say_denied(call: &mut Call<'_>) -> i32 {
    let server = server(&call.engine.lock());
    let name = call.name.clone();
    call.err("auth: error returned: 15007\nauth: Failed to send auth request\nNo Permission.\n");
    call.err(format!("{name}: cannot connect to server {server} (errno=15007)\n"));
    match name.as_str() {
        "qstat" => 255,
        "pbsnodes" => 1,
        "qmgr" => 3,
        _ => 159,
    }
}

/// The server dies, as the real one does of some requests. It stays dead until the fault is taken back; the next
/// job's number is then the next thousand.
pub(crate) fn die(call: &Call<'_>, jump: bool) {
    call.reconfigure(|config| config.faults.controller = "down".into());
    if jump {
        let mut table = call.engine.lock();
        table.next_id = (table.next_id / 1000 + 1) * 1000;
    }
}

/// Is anything of it still to come?
pub(crate) fn is_open(job: &Job) -> bool {
    job.phase != Phase::Ended
}
