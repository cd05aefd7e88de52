//! Torque, as its newest public sources behave.

mod control;
mod qstat;
mod qsub;
mod servers;
mod show;
mod xml;

use crate::config::{Cluster, Config, Limits, Node, Queue, Timing};
use crate::engine::{Exit, Job, Key, Launch, StartError, Table, Wait, Why};
use crate::front::{Call, FrontEnd};
use crate::pbs::options::Family;
use crate::pbs::{could_not_start, depend, finish, is_patient, launch, server};

/// Torque.
pub struct Torque;

/// The scheduler, when it is called so.
pub fn front(name: &str) -> Option<Box<dyn FrontEnd>> {
    (name == "torque").then(|| Box::new(Torque) as Box<dyn FrontEnd>)
}

impl FrontEnd for Torque {
    fn name(&self) -> &'static str {
        "torque"
    }

    fn commands(&self) -> &'static [&'static str] {
        &["qsub", "qstat", "qdel", "qhold", "qrls", "qalter", "qsig", "qrerun", "qselect", "pbsnodes", "qmgr"]
    }

    fn defaults(&self) -> Config {
        let queue = |name: &str| Queue { name: name.into(), default_time: Some(3600), ..Queue::default() };
        let node = Node { name: "vm".into(), cores: 16, memory: 64 << 10, ..Node::default() };
        Config {
            scheduler: "torque".into(),
            cluster: Cluster {
                name: "vm".into(),
                nodes: vec![node],
                queues: vec![
                    Queue { enabled: false, ..queue("closedq") },
                    Queue { started: false, ..queue("holdq") },
                    Queue { max_time: Some(600), ..queue("shortq") },
                    Queue { default: true, ..queue("batch") },
                ],
            },
            limits: Limits { max_array: 100_000, ..Limits::default() },
            timing: Timing { min_job_age: 300.0, kill_wait: 2.0, requeue_delay: 0.0, ..Timing::default() },
            ..Config::default()
        }
    }

    fn run(&self, call: &mut Call<'_>) -> i32 {
        if !is_patient(call) {
            return 1;
        }
        if call.engine.config().faults.credentials {
            // Its authorization daemon is not there.
            let name = call.name.clone();
            call.err("socket_connect_unix failed: 15137\n".repeat(3));
            call.err(format!(
                "{name}: cannot connect to server (null) (errno=15137) could not connect to trqauthd\n"
            ));
            if name == "qstat" {
                call.err("qstat: Error (15137 - could not connect to trqauthd) \n");
            }
            return 33;
        }
        match call.name.as_str() {
            "qsub" => qsub::run(call),
            "qstat" => qstat::run(call),
            "qselect" => qstat::select(call),
            "pbsnodes" => servers::pbsnodes(call),
            "qmgr" => servers::qmgr(call),
            _ => control::run(call),
        }
    }

    fn waits(&self, table: &Table, job: &Job) -> Wait {
        depend::waits(table, job, Family::Torque)
    }

    /// The job is deleted, and says so.
    fn never(&self, table: &mut Table, key: Key) {
        let on = table.jobs.get(&key).and_then(|job| {
            let clauses = &job.depend.clauses;
            clauses
                .iter()
                .find(|clause| depend::is_known(table, clause))
                .or(clauses.first())
                .map(|clause| clause.on.id)
        });
        let comment =
            format!("Job deleted as result of dependency on job {}.{}", on.unwrap_or(0), server(table));
        if let Some(job) = table.job_mut(key) {
            job.attrs.insert("exit".into(), "271".into());
            job.attrs.insert("comment".into(), comment);
        }
        table.kill(key, Why::Dependency, &[]);
    }

    fn blocked(&self, table: &Table, key: Key) -> Option<String> {
        let job = table.jobs.get(&key)?;
        let queue = table.config.cluster.queue(&job.spec.queue)?;
        (!queue.started).then(|| "queue not started".to_owned())
    }

    fn launch(&self, table: &Table, job: &Job) -> Launch {
        launch::launch(table, job, Family::Torque)
    }

    fn ended(&self, table: &mut Table, key: Key, exit: &Exit) {
        finish(table, key, exit, Family::Torque);
    }

    fn start_failed(&self, table: &mut Table, key: Key, error: &StartError) {
        could_not_start(table, key, error, Family::Torque);
    }
}

/// What a command says of a server that is down.
fn say_down(call: &mut Call<'_>) -> i32 {
    let server = server(&call.engine.lock());
    let name = call.name.clone();
    let once = format!(
        "\nUnable to communicate with {server}(127.0.0.1)\nCannot connect to specified server host '{server}'.\n"
    );
    match name.as_str() {
        "qstat" => {
            call.err(once.repeat(3));
            call.err(format!(
                "qstat: cannot connect to server {server} (errno=111) Connection refused\nqstat: Error (111 - Connection refused) \n"
            ));
            if call.args.iter().any(|arg| arg == "-B") { 145 } else { 111 }
        }
        "pbsnodes" => {
            call.err(format!(
                "{once}pbsnodes: cannot connect to server {server}, error=111 (Connection refused)\n"
            ));
            1
        }
        _ => {
            call.err(format!(
                "{once}{name}: cannot connect to server {server} (errno=111) Connection refused\n"
            ));
            111
        }
    }
}
