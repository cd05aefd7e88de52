//! Grid Engine 8.1.9 (Son of Grid Engine, as Debian has it).

mod cell;
mod control;
mod detail;
mod launch;
mod names;
mod options;
mod qacct;
mod qstat;
mod qsub;
mod resources;
mod selected;
mod state;
mod tasks;
mod xml;

use crate::config::{Cluster, Config, Limits, Node, Queue, Timing};
use crate::engine::{
    DependKind, Exit, HELD_ERROR, Job, Key, Kill, Launch, Phase, Scope, StartError, Table, Wait, Why, micros,
    now,
};
use crate::front::{Call, FrontEnd};

/// Grid Engine.
pub struct Sge;

/// The scheduler, when it is called so.
pub fn front(name: &str) -> Option<Box<dyn FrontEnd>> {
    (name == "sge").then(|| Box::new(Sge) as Box<dyn FrontEnd>)
}

const SIGUSR1: i32 = 10;
const SIGUSR2: i32 = 12;
const SIGKILL: i32 = 9;

impl FrontEnd for Sge {
    fn name(&self) -> &'static str {
        "sge"
    }

    fn commands(&self) -> &'static [&'static str] {
        &[
            "qsub", "qstat", "qdel", "qhold", "qrls", "qalter", "qacct", "qconf", "qhost", "qmod", "qresub",
            "qselect",
        ]
    }

    fn defaults(&self) -> Config {
        let node = Node { name: "vm".into(), cores: 10, memory: 64 << 10, ..Node::default() };
        Config {
            scheduler: "sge".into(),
            cluster: Cluster {
                name: "vm".into(),
                nodes: vec![node],
                queues: vec![
                    Queue { name: "all.q".into(), default: true, ..Queue::default() },
                    Queue { name: "long.q".into(), max_time: Some(86_400), ..Queue::default() },
                ],
            },
            limits: Limits { max_array: 75_000, ..Limits::default() },
            timing: Timing { min_job_age: 0.0, requeue_delay: 1.0, ..Timing::default() },
            ..Config::default()
        }
    }

    fn run(&self, call: &mut Call<'_>) -> i32 {
        if call.name != "qacct" && !crate::pbs::is_patient(call) {
            return 1;
        }
        if call.name != "qacct" && call.engine.config().faults.controller == "down" {
            return say_down(call);
        }
        if call.name != "qacct" && call.engine.config().faults.credentials {
            return say_denied(call);
        }
        match call.name.as_str() {
            "qsub" => qsub::run(call),
            "qstat" => qstat::run(call),
            "qacct" => qacct::run(call),
            "qhost" => cell::qhost(call),
            "qconf" => cell::qconf(call),
            "qselect" => cell::qselect(call),
            _ => control::run(call),
        }
    }

    /// Waits for the end of what it depends on, however that was. What is not known has ended.
    fn waits(&self, table: &Table, job: &Job) -> Wait {
        if is_waiting(table, job) { Wait::Wait } else { Wait::Ready }
    }

    fn blocked(&self, table: &Table, key: Key) -> Option<String> {
        let job = table.jobs.get(&key)?;
        let queue = table.config.cluster.queue(&job.spec.queue);
        let closed = queue.is_some_and(|queue| !queue.started || !queue.enabled);
        job.attr("never").map(str::to_owned).or_else(|| closed.then(|| "queue is disabled".to_owned()))
    }

    fn launch(&self, table: &Table, job: &Job) -> Launch {
        launch::launch(table, job)
    }

    /// KILL at once; with `-notify` USR2 a little earlier; a soft limit is USR1 first.
    fn kill_plan(&self, _table: &Table, job: &Job, kill: &Kill) -> Vec<(f64, i32, Scope)> {
        let number = |name: &str| job.attr(name).and_then(|text| text.parse::<f64>().ok());
        match (&kill.why, number("s_rt")) {
            (Why::Timeout, Some(soft)) => {
                let hard = number("h_rt").map(|hard| ((hard - soft).max(0.0), SIGKILL, Scope::All));
                [Some((0.0, SIGUSR1, Scope::Group)), hard].into_iter().flatten().collect()
            }
            (Why::Cancel(_) | Why::Requeue, _) if job.attr("notify").is_some() => {
                let notify = number("notify").unwrap_or(5.0);
                vec![(0.0, SIGUSR2, Scope::Group), (notify, SIGKILL, Scope::All)]
            }
            _ => vec![(0.0, SIGKILL, Scope::All)],
        }
    }

    fn ended(&self, table: &mut Table, key: Key, exit: &Exit) {
        ended(table, key, exit);
    }

    /// A directory or interpreter that is not there: back in the queue, in error.
    fn start_failed(&self, table: &mut Table, key: Key, error: &StartError) {
        let Some(job) = table.jobs.get(&key) else { return };
        let (failed, text) = match error {
            StartError::Output(text) => (26, text.clone()),
            StartError::Exec(text) => (27, text.clone()),
            StartError::Cwd(text) => (28, text.clone()),
        };
        let what = match error {
            StartError::Output(_) => {
                format!("error: can't open output file \"{}\"", launch::stdout(job).display())
            }
            StartError::Exec(_) => "unable to find shell".to_owned(),
            StartError::Cwd(_) => format!("error: can't chdir to {}", job.spec.cwd.display()),
        };
        let _ = text;
        in_error(table, key, failed, &format!("{what}: No such file or directory"), &Exit::default());
    }
}

/// Does a job wait for another?
pub(crate) fn is_waiting(table: &Table, job: &Job) -> bool {
    job.depend.clauses.iter().any(|clause| {
        let index = if clause.kind == DependKind::AfterCorr { job.key.index } else { clause.on.index };
        table
            .elements(clause.on.id)
            .any(|other| other.phase != Phase::Ended && (index.is_none() || other.key.index == index))
    })
}

/// What the end of a process means: 99 puts the job back, 100 holds it in error.
fn ended(table: &mut Table, key: Key, exit: &Exit) {
    let Some(job) = table.jobs.get(&key) else { return };
    let why = job.kill.as_ref().map(|kill| kill.why.clone());
    let failed = match &why {
        Some(Why::Timeout | Why::Memory) if exit.signal() == SIGKILL => 37,
        _ if exit.signal() != 0 => 100,
        _ => 0,
    };
    launch::clean(job);
    let delay = table.config.timing.requeue_delay;
    if why == Some(Why::Requeue) {
        return requeue(table, key, exit, delay);
    }
    if exit.signal() == 0 && why.is_none() {
        match exit.code() {
            99 if job.attr("forbid_reschedule").is_none() => return requeue(table, key, exit, delay),
            100 => return in_error(table, key, 30, "job exited with exit code 100", exit),
            _ => {}
        }
    }
    if let Some(job) = table.job_mut(key) {
        job.attrs.insert("failed".into(), failed.to_string());
    }
    table.end(key, Some(exit));
}

fn requeue(table: &mut Table, key: Key, exit: &Exit, delay: f64) {
    if let Some(job) = table.job_mut(key) {
        job.attrs.insert("failed".into(), "25".into());
    }
    table.requeue(key, Some(exit), Some(now() + micros(delay)));
    if let Some(job) = table.job_mut(key) {
        job.attrs.remove("failed");
        job.attrs.insert("restarted".into(), "1".into());
    }
}

fn in_error(table: &mut Table, key: Key, failed: i32, reason: &str, exit: &Exit) {
    if let Some(job) = table.job_mut(key) {
        job.attrs.insert("failed".into(), failed.to_string());
    }
    table.requeue(key, Some(exit), None);
    if let Some(job) = table.job_mut(key) {
        job.attrs.remove("failed");
        job.attrs.insert("error".into(), reason.to_owned());
        job.held |= HELD_ERROR;
    }
}

/// An option that would choose, and that this mock does not know: never left out.
fn not_served(call: &mut Call<'_>, option: &str) -> i32 {
    let name = call.name.clone();
    call.err(format!(
        "{name}: {option} is not served by the mock of Grid Engine: leave it out, or add it (tests/mock/README.md)\n"
    ));
    1
}

/// What a command says when the qmaster is down.
fn say_down(call: &mut Call<'_>) -> i32 {
    let port = call.var("SGE_QMASTER_PORT").unwrap_or_else(|| "23790".into());
    let line = format!(
        "unable to send message to qmaster using port {port} on host \"{}\": got send error",
        host(call)
    );
    call.err("error: commlib error: got select error (Connection refused)\n");
    let asks_one = call.args.iter().any(|arg| arg == "-j");
    match call.name.as_str() {
        "qsub" => call.err(format!("Unable to run job: {line}\nExiting.\n")),
        "qstat" if asks_one => call.err(format!("{line}\n{line}\n")),
        "qstat" | "qhost" => call.err(format!("error: {line}\n")),
        "qconf" => call.err(format!("{line}\n")),
        _ => call.out(format!("{line}\n")),
    }
    1
}

/// What a command says when the qmaster does not take the caller's host for what it says it is.
fn say_denied(call: &mut Call<'_>) -> i32 {
    let host = host(call);
    call.err(format!(
        "error: commlib error: access denied (client IP resolved to host name \"localhost\". This is not identical to clients host name \"{host}\")\n"
    ));
    let line = format!("unable to contact qmaster using port 23790 on host \"{host}\"");
    match call.name.as_str() {
        "qsub" => call.err(format!("Unable to run job: {line}\nExiting.\n")),
        _ => call.err(format!("error: {line}\n")),
    }
    1
}

/// The host of the qmaster and of the jobs.
fn host(call: &Call<'_>) -> String {
    call.engine.config().cluster.name.clone()
}
