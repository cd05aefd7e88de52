//! The JSON of `squeue` and `sacct`, data parser v0.0.38.

use serde_json::{Value, json};

use super::view;
use crate::engine::{Job, Phase, Table, Why, seconds};

/// A document around rows.
pub(super) fn document(jobs: &[Value]) -> String {
    wrap("jobs", jobs)
}

/// The same, with another name.
pub(super) fn wrap(name: &str, rows: &[Value]) -> String {
    let document = json!({
        "meta": {
            "plugin": { "type": "openapi/v0.0.38", "name": "Slurm OpenAPI v0.0.38" },
            "Slurm": { "version": { "major": 22, "micro": 8, "minor": 5 }, "release": "22.05.8" },
        },
        "errors": [],
        name: rows,
    });
    let text = serde_json::to_string_pretty(&document).unwrap_or_default();
    // As the real one writes them.
    text.replace('/', "\\/") + "\n"
}

fn time(time: Option<i64>) -> i64 {
    time.map_or(0, seconds)
}

/// A job as `squeue --json` shows it.
pub(super) fn job(table: &Table, job: &Job) -> Value {
    let spec = &job.spec;
    let cells: Vec<Value> = job
        .alloc
        .iter()
        .map(|alloc| json!({ "nodename": alloc.node, "cpus_used": 0, "memory_used": 0, "memory_allocated": spec.memory,
            "sockets": { "0": { "cores": (0..alloc.cores).map(|core| (core.to_string(), json!("allocated"))).collect::<serde_json::Map<_, _>>() } } }))
        .collect();
    let end = job.end.or_else(|| Some(job.start? + job.limit? as i64 * 1_000_000));
    let array = job.key.index.map(u64::from);
    json!({
        "account": job.attr("account").unwrap_or(super::ACCOUNT),
        "accrue_time": time(job.eligible),
        "admin_comment": "",
        "array_job_id": if array.is_some() { job.key.id } else { 0 },
        "array_task_id": array,
        "array_max_tasks": spec.throttle.unwrap_or(0),
        "array_task_string": "",
        "batch_flag": true,
        "batch_host": job.alloc.first().map_or("", |alloc| alloc.node.as_str()),
        "flags": ["TRES_STR_CALC"],
        "cluster": table.config.cluster.name,
        "command": job.attr("command").unwrap_or(""),
        "comment": job.attr("comment").unwrap_or(""),
        "cpus_per_task": Value::Null,
        "deadline": 0,
        "dependency": view::dependency(table, job).unwrap_or_default(),
        "derived_exit_code": 0,
        "eligible_time": time(job.eligible),
        "end_time": time(end),
        "excluded_nodes": job.attr("exclude").unwrap_or(""),
        "exit_code": job.exit.as_ref().filter(|_| job.kill.is_none()).map_or(0, |exit| exit.status),
        "features": job.attr("constraint").unwrap_or(""),
        "group_id": spec.user.gid,
        "group_name": spec.user.group,
        "job_id": job.raw,
        "job_resources": if job.alloc.is_empty() { json!({}) } else { json!({
            "nodes": view::node_list(job), "allocated_cores": spec.cores, "allocated_hosts": job.alloc.len(), "allocated_nodes": cells }) },
        "job_state": view::state(job).0,
        "last_sched_evaluation": time(job.start.or(Some(job.submit))),
        "licenses": "",
        "name": spec.name,
        "nodes": view::node_list(job),
        "nice": if job.priority == 0 { Value::Null } else { json!(-job.priority) },
        "tasks_per_node": 0,
        "cpus": spec.cores,
        "node_count": if job.alloc.is_empty() { spec.nodes as usize } else { job.alloc.len() },
        "tasks": job.attr("tasks").and_then(|tasks| tasks.parse::<u32>().ok()).unwrap_or(1),
        "partition": spec.queue,
        "memory_per_node": job.attr("mem_per_node").and_then(|size| size.parse::<u64>().ok()),
        "memory_per_cpu": job.attr("mem_per_cpu").and_then(|size| size.parse::<u64>().ok()),
        "minimum_cpus_per_node": 1,
        "pre_sus_time": 0,
        "priority": if job.held == 0 { 4_294_901_760_u64.saturating_sub(job.key.id) } else { 0 },
        "qos": job.attr("qos").unwrap_or("normal"),
        "required_nodes": job.attr("nodelist").unwrap_or(""),
        "requeue": job.attr("no_requeue").is_none(),
        "restart_cnt": job.runs.saturating_sub(1),
        "start_time": time(job.start.or(job.begin).or(job.end)),
        "state_description": "",
        "state_reason": view::reason(job),
        "standard_error": spec.stderr.as_deref().map(|pattern| spec.cwd.join(super::launch::expand(pattern, job)).to_string_lossy().into_owned()).unwrap_or_default(),
        "standard_input": spec.stdin.as_deref().unwrap_or("/dev/null"),
        "standard_output": spec.stdout.as_deref().map(|pattern| spec.cwd.join(super::launch::expand(pattern, job)).to_string_lossy().into_owned()).unwrap_or_default(),
        "submit_time": seconds(job.submit),
        "suspend_time": time(job.suspended),
        "system_comment": "",
        "time_limit": job.limit.map(|limit| limit / 60),
        "time_minimum": 0,
        "tres_per_node": if spec.gpus > 0 { format!("gres:gpu:{}", spec.gpus) } else { String::new() },
        "tres_req_str": view::tres(job, false),
        "tres_alloc_str": if job.alloc.is_empty() { String::new() } else { view::tres(job, false) },
        "user_id": spec.user.uid,
        "user_name": spec.user.name,
        "wckey": "",
        "current_working_directory": spec.cwd.to_string_lossy(),
    })
}

/// A job as `sacct --json` shows it: exit codes are SUCCESS and 0, whatever they were; signals are told.
pub(super) fn record(table: &Table, job: &Job, state: &str) -> Value {
    let spec = &job.spec;
    let signal = view::exit_code(job).1;
    let code = |signal: i32| {
        if signal > 0 {
            json!({ "status": "SIGNALED", "return_code": 0, "signal": { "signal_id": signal, "name": "" } })
        } else if job.phase != Phase::Ended {
            json!({ "status": "PENDING", "return_code": 0 })
        } else {
            json!({ "status": "SUCCESS", "return_code": 0 })
        }
    };
    let cpu = job.exit.as_ref().map_or(0, |exit| exit.cpu);
    let system = job.exit.as_ref().map_or(0, |exit| exit.system);
    let split = |time: i64| json!({ "seconds": time / 1_000_000, "microseconds": time % 1_000_000 });
    let counts = json!([
        { "type": "cpu", "name": Value::Null, "id": 1, "count": spec.cores },
        { "type": "mem", "name": Value::Null, "id": 2, "count": spec.memory },
        { "type": "node", "name": Value::Null, "id": 4, "count": spec.nodes },
        { "type": "billing", "name": Value::Null, "id": 5, "count": spec.cores },
    ]);
    let times = json!({
        "elapsed": view::elapsed(job), "eligible": time(job.eligible), "end": time(job.end), "start": time(job.start),
        "submission": seconds(job.submit), "suspended": 0, "system": split(system), "limit": job.limit.map(|limit| limit / 60),
        "total": split(cpu), "user": split(cpu - system),
    });
    let steps = if job.start.is_none() {
        json!([])
    } else {
        json!([{
            "nodes": { "list": job.alloc.iter().map(|alloc| alloc.node.as_str()).collect::<Vec<_>>(), "count": job.alloc.len(), "range": view::node_list(job) },
            "time": { "elapsed": view::elapsed(job), "end": time(job.end), "start": time(job.start), "suspended": 0,
                "system": split(system), "total": split(cpu), "user": split(cpu - system) },
            "exit_code": code(view::batch_code(job).1),
            "tasks": { "count": 1 },
            "state": if job.kill.is_some() || view::batch_code(job).1 > 0 { "CANCELLED" } else { state },
            "step": { "job_id": job.raw, "het": { "component": Value::Null }, "id": "batch", "name": "batch" },
        }])
    };
    json!({
        "account": job.attr("account").unwrap_or(super::ACCOUNT),
        "comment": { "administrator": Value::Null, "job": job.attr("comment"), "system": Value::Null },
        "allocation_nodes": job.alloc.len(),
        "array": { "job_id": if job.key.index.is_some() { job.key.id } else { 0 },
            "limits": { "max": { "running": { "tasks": spec.throttle.unwrap_or(0) } } }, "task": Value::Null, "task_id": job.key.index },
        "association": { "account": job.attr("account").unwrap_or(super::ACCOUNT), "cluster": table.config.cluster.name, "partition": Value::Null, "user": spec.user.name },
        "cluster": table.config.cluster.name,
        "constraints": "",
        "derived_exit_code": { "status": "SUCCESS", "return_code": 0 },
        "time": times,
        "exit_code": code(signal),
        "flags": ["CLEAR_SCHEDULING"],
        "group": spec.user.group,
        "het": { "job_id": 0, "job_offset": Value::Null },
        "job_id": job.raw,
        "name": spec.name,
        "nodes": if job.alloc.is_empty() { String::from("None assigned") } else { view::node_list(job) },
        "partition": spec.queue,
        "priority": 4_294_901_760_u64.saturating_sub(job.key.id),
        "qos": job.attr("qos").unwrap_or("normal"),
        "required": { "CPUs": spec.cores, "memory": spec.memory },
        "kill_request_user": match job.kill.as_ref().map(|kill| &kill.why) {
            Some(Why::Cancel(_)) => json!(spec.user.name), _ => Value::Null },
        "reservation": { "id": 0, "name": 0 },
        "state": { "current": state, "reason": view::reason(job) },
        "steps": steps,
        "tres": { "allocated": if job.alloc.is_empty() { json!([]) } else { counts.clone() }, "requested": counts },
        "user": spec.user.name,
        "wckey": { "wckey": "", "flags": [] },
        "working_directory": spec.cwd.to_string_lossy(),
    })
}
