//! `scontrol`: its commands.

mod show;

use super::view;
use super::{controller, text};
use crate::config::Config;
use crate::engine::{HELD_OPERATOR, HELD_USER, Job, Key, Phase, Scope, Table, Why, now};
use crate::front::{Call, Controller};

pub(super) fn run(call: &mut Call<'_>) -> i32 {
    let flags: Vec<String> = call.args.iter().take_while(|arg| arg.starts_with('-')).cloned().collect();
    let words: Vec<String> = call.args.iter().filter(|arg| !arg.starts_with('-')).cloned().collect();
    let tail_flags = call.args.iter().any(|arg| arg == "-o" || arg == "--oneliner");
    if flags.iter().any(|flag| flag == "-V" || flag == "--version")
        || words.first().is_some_and(|word| word == "version")
    {
        call.out("slurm-wlm 22.05.8\n");
        return 0;
    }
    let one = tail_flags
        || flags.iter().any(|flag| flag.starts_with('-') && !flag.starts_with("--") && flag.contains('o'));
    let lower: Vec<String> = words.iter().map(|word| word.to_ascii_lowercase()).collect();
    match lower.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["ping", ..] => {
            let host = call.host();
            let down = call.engine.config().faults.controller.clone();
            if down == "hung" {
                let _ = call.controller();
            }
            let up = call.engine.config().faults.controller.is_empty();
            call.out(format!("Slurmctld(primary) at {host} is {}\n", if up { "UP" } else { "DOWN" }));
            i32::from(!up)
        }
        ["show", "hostnames" | "hostname", ..] => {
            let list = words.get(2).cloned().or_else(|| call.var("SLURM_JOB_NODELIST")).unwrap_or_default();
            match text::hostnames(&list) {
                Some(names) => {
                    names.iter().for_each(|name| call.out(format!("{name}\n")));
                    0
                }
                None => {
                    call.err(format!("Invalid hostlist: {list}\n"));
                    1
                }
            }
        }
        ["show", "hostlist", names, ..] => {
            call.out(text::nodes(names.split(',')) + "\n");
            0
        }
        ["show", what, ..] => show::show(call, what, words.get(2).map(String::as_str), one),
        ["hold" | "uhold" | "release" | "requeue" | "requeuehold" | "suspend" | "resume", ..] => {
            control(call, &lower[0], &words[1..])
        }
        ["update", ..] => update(call, &words[1..]),
        ["write", "batch_script", id, ..] => script(call, id, words.get(3).map(String::as_str)),
        _ => {
            let word = words.first().cloned().unwrap_or_default();
            call.err(format!("invalid keyword: {word}\n"));
            1
        }
    }
}

fn control(call: &mut Call<'_>, verb: &str, ids: &[String]) -> i32 {
    let error = match verb {
        "suspend" | "resume" => "slurm_suspend error: ",
        "requeue" | "requeuehold" => "slurm_requeue error: ",
        _ => "slurm_update error: ",
    };
    if ids.is_empty() {
        call.err(format!("too few arguments for keyword:{verb}\n"));
        return 1;
    }
    if let Some(code) = controller(call, error, 1.0) {
        return code;
    }
    let uid = call.user.uid;
    let mut code = 0;
    let mut said = String::new();
    let mut table = call.engine.lock();
    for word in ids.iter().flat_map(|word| super::args::ids(word)) {
        let keys = keys_of(&table, &word);
        if keys.is_empty() {
            said += &format!("Invalid job id specified for job {word}\n{error}Invalid job id specified\n");
            code = 1;
        }
        let partial = word.contains('_');
        for key in keys {
            let Some(job) = table.jobs.get(&key) else { continue };
            if uid != 0 && job.spec.user.uid != uid {
                said += &format!("Invalid user id for job {word}\n{error}Invalid user id\n");
                code = 1;
                break;
            }
            if uid != 0 && matches!(verb, "suspend" | "resume") {
                said += &format!("Access/permission denied for job {word}\n");
                code = 1;
                break;
            }
            let (phase, pending) = (job.phase, job.phase == Phase::Pending);
            match verb {
                "hold" | "uhold" if pending => {
                    if partial {
                        super::split(&mut table, key);
                    }
                    let bit = if uid == 0 && verb == "hold" { HELD_OPERATOR } else { HELD_USER };
                    if let Some(job) = table.job_mut(key) {
                        job.held |= bit;
                    }
                }
                "release" if pending => {
                    if let Some(job) = table.job_mut(key) {
                        job.held = 0;
                        job.reason = String::from("None");
                    }
                }
                "requeue" | "requeuehold" if job.is_active() => {
                    if verb == "requeuehold"
                        && let Some(job) = table.job_mut(key)
                    {
                        job.held |= HELD_USER;
                    }
                    call.engine.kill(&mut table, key, Why::Requeue);
                }
                "requeue" | "requeuehold" if phase == Phase::Ended => {
                    let exit = job.exit.clone();
                    table.requeue(key, exit.as_ref(), None);
                }
                "suspend" if phase == Phase::Running => {
                    table.signal(key, 19, Scope::All);
                    if let Some(job) = table.job_mut(key) {
                        job.phase = Phase::Suspended;
                        job.suspended = Some(now());
                    }
                }
                "resume" if phase == Phase::Suspended => {
                    table.signal(key, 18, Scope::All);
                    if let Some(job) = table.job_mut(key) {
                        job.phase = Phase::Running;
                        // The time it was suspended does not count.
                        if let (Some(at), Some(start)) = (job.suspended.take(), job.start) {
                            job.start = Some(start + now() - at);
                        }
                    }
                }
                "hold" | "uhold" | "release" if phase == Phase::Ended => {
                    said += &format!(
                        "Job has already finished for job {word}\n{error}Job/step already completing or completed\n"
                    );
                    code = 1;
                }
                "release" | "hold" | "uhold" => {}
                _ => {
                    let why = if pending {
                        "Job is pending execution"
                    } else {
                        "Requested operation is presently disabled"
                    };
                    said += &format!("{why} for job {word}\n{error}{why}\n");
                    code = 1;
                }
            }
        }
    }
    drop(table);
    call.err(said);
    call.engine.schedule();
    code
}

/// The jobs that a word names: an id, an element, a list of elements, an element's own id.
fn keys_of(table: &Table, word: &str) -> Vec<Key> {
    let id = word.strip_prefix("JobId=").or(word.strip_prefix("jobid=")).unwrap_or(word);
    if let Some((_, name)) = id
        .split_once('=')
        .filter(|(key, _)| ["jobname", "name"].iter().any(|known| key.eq_ignore_ascii_case(known)))
    {
        return table.jobs.values().filter(|job| job.spec.name == name).map(|job| job.key).collect();
    }
    if let Some((id, list)) = id.split_once('_')
        && let (Some(key), Some((list, _))) = (view::key(id), text::indices(list, u32::MAX))
    {
        let keys = list.into_iter().map(|index| Key { id: key.id, index: Some(index) });
        return keys.filter(|key| table.jobs.contains_key(key)).collect();
    }
    let Some(key) = view::key(id) else { return Vec::new() };
    table.jobs.values().filter(|job| super::squeue::matches(job, key)).map(|job| job.key).collect()
}

fn update(call: &mut Call<'_>, words: &[String]) -> i32 {
    let pairs: Vec<(String, String)> = words
        .iter()
        .filter_map(|word| word.split_once('='))
        .map(|(key, value)| (key.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let value = |name: &str| pairs.iter().find(|pair| pair.0 == name).map(|pair| pair.1.clone());
    if let Some(names) = value("nodename").or_else(|| value("node")) {
        return update_nodes(call, &names, value("state"), value("reason"));
    }
    if let Some(name) = value("partitionname") {
        return update_partition(call, &name, value("state"));
    }
    let Some(id) = value("jobid").or_else(|| value("job")) else {
        call.err("No valid entity in update command\nInput line must include \"NodeName\", \"PartitionName\", \"JobId\", \"Reservation\" etc.\n");
        return 1;
    };
    if call.controller() != Controller::Well {
        call.err(format!("slurm_update error: {}\n", super::CONNECT));
        return 1;
    }
    let uid = call.user.uid;
    let mut table = call.engine.lock();
    let keys = keys_of(&table, &id);
    if keys.is_empty() {
        drop(table);
        call.err("slurm_update error: Invalid job id specified\n");
        return 1;
    }
    for key in keys {
        let depend = match value("dependency").map(|text| super::sbatch::dependency(&text)) {
            Some(None) => {
                drop(table);
                call.err("slurm_update error: Job dependency problem\n");
                return 1;
            }
            Some(depend) => depend,
            None => None,
        };
        let Some(job) = table.job_mut(key) else { continue };
        if uid != 0 && job.spec.user.uid != uid {
            drop(table);
            call.err("slurm_update error: Access/permission denied\n");
            return 1;
        }
        if let Some(depend) = depend {
            job.depend = depend;
        }
        if let Some(limit) = value("timelimit").and_then(|text| text::limit(&text)) {
            job.limit = limit;
        }
        if let Some(nice) = value("nice").and_then(|text| text.parse::<i64>().ok()) {
            job.priority = -nice;
        }
        if let Some(begin) = value("starttime").and_then(|word| text::when(&word, now())) {
            job.begin = Some(begin);
        }
        for name in ["comment", "account", "qos"] {
            if let Some(text) = value(name) {
                job.attrs.insert(name.to_owned(), text);
            }
        }
        if value("priority").as_deref() == Some("0") {
            job.held |= HELD_USER;
        }
        let throttle = value("arraytaskthrottle").and_then(|text| text.parse::<u32>().ok());
        if throttle.is_some() || value("partition").is_some() || value("jobname").is_some() {
            let mut spec = (*job.spec).clone();
            spec.throttle = throttle.map_or(spec.throttle, |most| (most > 0).then_some(most));
            spec.queue = value("partition").unwrap_or(spec.queue);
            spec.name = value("jobname").unwrap_or(spec.name);
            job.spec = std::sync::Arc::new(spec);
        }
    }
    drop(table);
    call.engine.schedule();
    0
}

/// `update NodeName=… State=DRAIN|DOWN|RESUME Reason=…`, for root as in the real one.
fn update_nodes(call: &mut Call<'_>, names: &str, state: Option<String>, reason: Option<String>) -> i32 {
    let config = call.engine.config();
    let names = text::hostnames(names).unwrap_or_default();
    let known = |name: &String| config.cluster.nodes.iter().any(|node| node.name == *name);
    if names.is_empty() || !names.iter().all(known) {
        call.err("slurm_update error: Invalid node name specified\n");
        return 1;
    }
    let state = match state.as_deref().map(str::to_ascii_uppercase).as_deref() {
        None => None,
        Some("DRAIN") => Some("drain"),
        Some("DOWN" | "FAIL") => Some("down"),
        Some("RESUME" | "IDLE" | "UNDRAIN") => Some(""),
        Some(other) => {
            call.err(format!("Invalid input: {other}\nRequest aborted\nValid states are:\n  NoResp DRAIN FAIL FUTURE RESUME POWER_DOWN POWER_UP UNDRAIN\n"));
            return 1;
        }
    };
    if matches!(state, Some("drain" | "down")) && reason.is_none() {
        call.err("You must specify a reason when DOWNING or DRAINING a node. Request denied\n");
        return 1;
    }
    change(call, |config| {
        for node in config.cluster.nodes.iter_mut().filter(|node| names.contains(&node.name)) {
            if let Some(state) = state {
                state.clone_into(&mut node.state);
                node.reason.clear();
            }
            node.reason = reason.clone().unwrap_or_else(|| node.reason.clone());
        }
    })
}

/// `update PartitionName=… State=UP|DOWN`.
fn update_partition(call: &mut Call<'_>, name: &str, state: Option<String>) -> i32 {
    if call.engine.config().cluster.queue(name).is_none() {
        call.err("slurm_update error: Invalid partition name specified\n");
        return 1;
    }
    let started = match state.as_deref().map(str::to_ascii_uppercase).as_deref() {
        Some("UP") => true,
        Some("DOWN") => false,
        _ => {
            call.err("scontrol: error: the mock of Slurm changes a partition's State alone, to UP or DOWN\n");
            return 1;
        }
    };
    change(call, |config| {
        for queue in config.cluster.queues.iter_mut().filter(|queue| queue.name == name) {
            queue.started = started;
        }
    })
}

/// Changes the cluster, if the caller is root.
fn change(call: &mut Call<'_>, by: impl FnOnce(&mut Config)) -> i32 {
    if call.controller() != Controller::Well {
        call.err(format!("slurm_update error: {}\n", super::CONNECT));
        return 1;
    }
    let trusted = call.engine.config().extra.get("users_are_operators").and_then(serde_json::Value::as_bool);
    if call.user.uid != 0 && trusted != Some(true) {
        call.err("slurm_update error: Invalid user id\n");
        return 1;
    }
    call.reconfigure(by);
    call.engine.schedule();
    0
}

fn script(call: &mut Call<'_>, id: &str, to: Option<&str>) -> i32 {
    let found = view::key(id).and_then(|key| {
        let table = call.engine.lock();
        table
            .jobs
            .values()
            .find(|job| super::squeue::matches(job, key))
            .map(|job: &Job| job.spec.script.clone())
    });
    let Some(text) = found else {
        call.err("job script retrieval failed: Invalid job id specified\n");
        return 1;
    };
    if to == Some("-") || call.args.last().is_some_and(|arg| arg == "-") {
        call.out(text);
        return 0;
    }
    let path = call.path(to.map_or_else(|| format!("slurm-{id}.sh"), String::from));
    let written = std::fs::write(&path, text);
    call.out(format!("batch script for job {id} written to {}\n", path.display()));
    i32::from(written.is_err())
}
