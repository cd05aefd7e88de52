//! How the batch step of a job is started: its script, environment and files.

use std::path::PathBuf;

use super::view;
use crate::engine::{Job, Launch, Table};

pub(super) fn launch(table: &Table, job: &Job) -> Launch {
    let spec = &job.spec;
    let cwd = spec.cwd.clone();
    let default = if job.key.index.is_some() { "slurm-%A_%a.out" } else { "slurm-%j.out" };
    let file = |pattern: &str| cwd.join(expand(pattern, job));
    let stdout = file(spec.stdout.as_deref().unwrap_or(default));
    let stderr = spec.stderr.as_deref().map(file).unwrap_or_default();
    Launch {
        argv: spec.args.clone(),
        env: environment(table, job),
        stdin: spec.stdin.as_deref().filter(|stdin| *stdin != "/dev/null").map(file).unwrap_or_default(),
        cwd,
        umask: spec.umask,
        stdout,
        stderr,
        append: spec.append || job.runs > 1,
        script: spec.script.clone(),
        script_name: String::from("slurm_script"),
        login: login(job),
    }
}

/// The begin of the login environment of a job that does not get all of its submitter's.
fn login(job: &Job) -> Vec<(Vec<u8>, Vec<u8>)> {
    let Some(home) = job.attr("login_home") else { return Vec::new() };
    let user = job.spec.user.name.as_str();
    let path = "/usr/local/bin:/usr/bin:/bin";
    [("HOME", home), ("USER", user), ("LOGNAME", user), ("SHELL", "/bin/sh"), ("PATH", path)]
        .map(|(key, value)| (key.as_bytes().to_vec(), value.as_bytes().to_vec()))
        .to_vec()
}

/// A file name with its patterns filled in.
pub(super) fn expand(pattern: &str, job: &Job) -> PathBuf {
    if let Some((before, after)) = pattern.split_once('\\') {
        return PathBuf::from(format!("{before}{after}"));
    }
    let mut path = String::new();
    let mut letters = pattern.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter != '%' {
            path.push(letter);
            continue;
        }
        let mut width = String::new();
        while let Some(digit) = letters.next_if(char::is_ascii_digit) {
            width.push(digit);
        }
        let width = width.parse::<usize>().unwrap_or(0).min(10);
        let index = job.key.index.map_or(4_294_967_294, u64::from);
        match letters.next() {
            Some('%') => path.push('%'),
            Some('j') => path.push_str(&format!("{:0width$}", job.raw)),
            Some('A') => path.push_str(&format!("{:0width$}", job.key.id)),
            Some('a') => path.push_str(&format!("{index:0width$}")),
            Some('J') => path.push_str(&job.raw.to_string()),
            Some('x') => path.push_str(&job.spec.name),
            Some('u') => path.push_str(&job.spec.user.name),
            Some('N') => path.push_str(job.alloc.first().map_or("", |alloc| alloc.node.as_str())),
            Some('n' | 't') => path.push_str(&format!("{:0width$}", 0)),
            Some('s') => path.push_str("batch"),
            Some(other) => path.extend(['%', other]),
            None => path.push('%'),
        }
    }
    PathBuf::from(path)
}

fn environment(table: &Table, job: &Job) -> Vec<(Vec<u8>, Vec<u8>)> {
    let spec = &job.spec;
    let mut env = spec.env.clone();
    let mut set = |key: &str, value: String| {
        env.retain(|(known, _)| known != key.as_bytes());
        env.push((key.as_bytes().to_vec(), value.into_bytes()));
    };
    let attr = |name: &str| spec.attrs.get(name).cloned();
    let nodes = view::node_list(job);
    let cores: Vec<u32> = job.alloc.iter().map(|alloc| alloc.cores).collect();
    let mut folded = String::new();
    let mut at = 0;
    while let Some(count) = cores.get(at) {
        let same = cores[at..].iter().take_while(|other| *other == count).count();
        let comma = if folded.is_empty() { "" } else { "," };
        folded += &if same > 1 { format!("{comma}{count}(x{same})") } else { format!("{comma}{count}") };
        at += same;
    }
    set("ENVIRONMENT", String::from("BATCH"));
    set("HOSTNAME", attr("submit_host").unwrap_or_default());
    set("SLURM_CLUSTER_NAME", table.config.cluster.name.clone());
    set("SLURM_CONF", attr("conf").unwrap_or_else(|| String::from("/etc/slurm/slurm.conf")));
    set("SLURM_CPUS_ON_NODE", cores.first().copied().unwrap_or(1).to_string());
    set("SLURM_GTIDS", String::from("0"));
    set("SLURM_JOBID", job.raw.to_string());
    set("SLURM_JOB_ID", job.raw.to_string());
    set("SLURM_JOB_NAME", spec.name.clone());
    set("SLURM_JOB_USER", spec.user.name.clone());
    set("SLURM_JOB_UID", spec.user.uid.to_string());
    set("SLURM_JOB_GID", spec.user.gid.to_string());
    set("SLURM_JOB_ACCOUNT", attr("account").unwrap_or_else(|| super::ACCOUNT.to_owned()));
    set("SLURM_JOB_QOS", attr("qos").unwrap_or_else(|| String::from("normal")));
    set("SLURM_JOB_PARTITION", spec.queue.clone());
    set("SLURM_JOB_NODELIST", nodes.clone());
    set("SLURM_NODELIST", nodes);
    set("SLURM_JOB_NUM_NODES", job.alloc.len().to_string());
    set("SLURM_NNODES", job.alloc.len().to_string());
    set("SLURM_JOB_CPUS_PER_NODE", folded);
    set("SLURM_TASKS_PER_NODE", attr("ntasks_per_node").unwrap_or_else(|| String::from("1")));
    set("SLURM_LOCALID", String::from("0"));
    set("SLURM_NODEID", String::from("0"));
    set("SLURM_PROCID", String::from("0"));
    set("SLURM_NODE_ALIASES", String::from("(null)"));
    set("SLURMD_NODENAME", job.alloc.first().map(|alloc| alloc.node.clone()).unwrap_or_default());
    set("SLURM_SUBMIT_DIR", attr("submit_dir").unwrap_or_default());
    set("SLURM_SUBMIT_HOST", attr("submit_host").unwrap_or_default());
    set("SLURM_PRIO_PROCESS", String::from("0"));
    set("SLURM_TOPOLOGY_ADDR_PATTERN", String::from("node"));
    set("SLURM_RESTART_COUNT", job.runs.saturating_sub(1).to_string());
    if job.runs <= 1 {
        env.retain(|(key, _)| key != b"SLURM_RESTART_COUNT");
    }
    let mut set = |key: &str, value: String| {
        env.retain(|(known, _)| known != key.as_bytes());
        env.push((key.as_bytes().to_vec(), value.into_bytes()));
    };
    if attr("ntasks_given").is_some() || attr("ntasks_per_node").is_some() {
        set("SLURM_NTASKS", attr("tasks").unwrap_or_default());
        set("SLURM_NPROCS", attr("tasks").unwrap_or_default());
    }
    if attr("cpus_per_task_given").is_some() {
        set("SLURM_CPUS_PER_TASK", attr("cpus_per_task").unwrap_or_default());
    }
    for (name, variable) in [
        ("mem_per_node", "SLURM_MEM_PER_NODE"),
        ("mem_per_cpu", "SLURM_MEM_PER_CPU"),
        ("ntasks_per_node", "SLURM_NTASKS_PER_NODE"),
    ] {
        if let Some(value) = attr(name) {
            set(variable, value);
        }
    }
    if let Some(export) = attr("export").filter(|export| export != "ALL") {
        set("SLURM_EXPORT_ENV", export);
    }
    if spec.gpus > 0 {
        let list: Vec<String> = (0..spec.gpus).map(|gpu| gpu.to_string()).collect();
        set("SLURM_JOB_GPUS", list.join(","));
        set("CUDA_VISIBLE_DEVICES", list.join(","));
    }
    if let (Some(index), Some(indices)) = (job.key.index, &spec.array) {
        set("SLURM_ARRAY_JOB_ID", job.key.id.to_string());
        set("SLURM_ARRAY_TASK_ID", index.to_string());
        set("SLURM_ARRAY_TASK_COUNT", indices.len().to_string());
        set("SLURM_ARRAY_TASK_MIN", indices.first().copied().unwrap_or(0).to_string());
        set("SLURM_ARRAY_TASK_MAX", indices.last().copied().unwrap_or(0).to_string());
        let step = indices.first().zip(indices.get(1)).map_or(1, |(first, second)| second - first);
        set("SLURM_ARRAY_TASK_STEP", step.to_string());
    }
    env
}
