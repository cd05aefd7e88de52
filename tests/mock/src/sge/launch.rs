//! How a job's process looks under Grid Engine.

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use crate::engine::{Job, Launch, Table};
use crate::pbs::bytes::narrow;

fn task(job: &Job) -> String {
    job.key.index.map_or_else(|| "1".to_owned(), |index| index.to_string())
}

fn temporary(job: &Job) -> PathBuf {
    let spool = PathBuf::from(job.attr("spool").unwrap_or("/tmp"));
    spool.join(format!("{}.{}.{}", job.key.id, task(job), job.spec.queue))
}

/// Removes what the job had.
pub(crate) fn clean(job: &Job) {
    let _ = std::fs::remove_dir_all(temporary(job));
}

/// Where stdout goes: `-o`, or `name.oID[.TASK]` in the home directory (with `-cwd` in that directory).
pub(crate) fn stdout(job: &Job) -> PathBuf {
    path(job, job.spec.stdout.as_deref(), 'o')
}

/// Where stderr goes.
pub(crate) fn stderr(job: &Job) -> PathBuf {
    path(job, job.spec.stderr.as_deref(), 'e')
}

fn path(job: &Job, given: Option<&str>, letter: char) -> PathBuf {
    let mut standard = format!("{}.{letter}{}", job.spec.name, job.key.id);
    if let Some(index) = job.key.index {
        standard.push_str(&format!(".{index}"));
    }
    let Some(given) = given else { return job.spec.cwd.join(standard) };
    let home = job.attr("home").unwrap_or("/");
    let given = match given.split_once(':') {
        Some((host, path)) if !host.contains('/') => path,
        _ => given,
    };
    let filled = given
        .replace("$JOB_ID", &job.key.id.to_string())
        .replace("$TASK_ID", &job.key.index.map_or_else(|| "undefined".into(), |index| index.to_string()))
        .replace("$JOB_NAME", &job.spec.name)
        .replace("$USER", &job.spec.user.name)
        .replace("$HOSTNAME", job.alloc.first().map_or("", |alloc| alloc.node.as_str()))
        .replace("$HOME", home);
    let filled = match filled.strip_prefix("~/") {
        Some(rest) => format!("{home}/{rest}"),
        None => filled,
    };
    let full = job.spec.cwd.join(filled);
    if full.is_dir() { full.join(standard) } else { full }
}

/// The process of a job that starts now.
pub(crate) fn launch(table: &Table, job: &Job) -> Launch {
    let spec = &job.spec;
    let temporary = temporary(job);
    let _ = std::fs::create_dir_all(&temporary);
    let host =
        job.alloc.first().map_or_else(|| table.config.cluster.name.clone(), |alloc| alloc.node.clone());
    let mut env: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    let mut set = |name: &str, value: Vec<u8>| {
        env.retain(|(known, _)| known != name.as_bytes());
        env.push((name.as_bytes().to_vec(), value));
    };
    for (name, value) in &spec.env {
        set(&String::from_utf8_lossy(name), value.clone());
    }
    let home = job.attr("home").unwrap_or("/").to_owned();
    let shell = job.attr("login_shell").unwrap_or("/bin/bash").to_owned();
    let merged = job.attr("merge").is_some();
    let out = stdout(job);
    let err = if merged { out.clone() } else { stderr(job) };
    let text = |text: &str| text.as_bytes().to_vec();
    let path = |path: &Path| path.as_os_str().as_bytes().to_vec();
    set("ARC", text("lx-amd64"));
    set("ENVIRONMENT", text("BATCH"));
    set("HOME", narrow(&home));
    set("HOSTNAME", text(&host));
    set("JOB_ID", text(&spec.id.to_string()));
    set("JOB_NAME", text(&spec.name));
    set("JOB_SCRIPT", text(job.attr("script_file").unwrap_or("STDIN")));
    set("LOGNAME", text(&spec.user.name));
    set("USER", text(&spec.user.name));
    set("NHOSTS", job.alloc.len().to_string().into_bytes());
    set("NQUEUES", text("1"));
    set("NSLOTS", spec.cores.to_string().into_bytes());
    let own_path = [temporary.as_os_str().as_bytes(), b":/usr/local/bin:/bin:/usr/bin"].concat();
    if !spec.env.iter().any(|(name, _)| name == b"PATH") {
        set("PATH", own_path);
    }
    set("QUEUE", text(&spec.queue));
    set("REQNAME", text(&spec.name));
    set("REQUEST", text(&spec.name));
    set("RESTARTED", if job.runs > 1 { text("1") } else { text("0") });
    set("SGE_ACCOUNT", text(job.attr("account").unwrap_or("sge")));
    set("SGE_ARCH", text("lx-amd64"));
    set("SGE_CELL", text("default"));
    set("SGE_CWD_PATH", path(&spec.cwd));
    set("SGE_JOB_SPOOL_DIR", path(&temporary));
    for name in ["HOME", "HOST", "LOGNAME", "PATH", "SHELL", "WORKDIR"] {
        if let Some(value) = job.attr(&format!("o_{name}")) {
            set(&format!("SGE_O_{name}"), narrow(value));
        }
    }
    if let Some(root) = job.attr("sge_root") {
        set("SGE_ROOT", narrow(root));
    }
    set("SGE_STDIN_PATH", text("/dev/null"));
    set("SGE_STDOUT_PATH", path(&out));
    set("SGE_STDERR_PATH", path(&err));
    match (job.key.index, &spec.array) {
        (Some(index), Some(indices)) => {
            let (first, last) = (indices.first().copied().unwrap_or(1), indices.last().copied().unwrap_or(1));
            set("SGE_TASK_ID", text(&index.to_string()));
            set("SGE_TASK_FIRST", text(&first.to_string()));
            set("SGE_TASK_LAST", text(&last.to_string()));
            set("SGE_TASK_STEPSIZE", text(job.attr("step").unwrap_or("1")));
        }
        _ => {
            for name in ["SGE_TASK_ID", "SGE_TASK_FIRST", "SGE_TASK_LAST", "SGE_TASK_STEPSIZE"] {
                set(name, text("undefined"));
            }
        }
    }
    set("SHELL", narrow(&shell));
    set("TMP", path(&temporary));
    set("TMPDIR", path(&temporary));
    if let Some((name, _)) = job.attr("pe").and_then(|pe| pe.split_once(' ')) {
        let hosts: String = job
            .alloc
            .iter()
            .map(|alloc| format!("{} {} {}@{} UNDEFINED\n", alloc.node, alloc.cores, spec.queue, alloc.node))
            .collect();
        let file = temporary.join("pe_hostfile");
        let _ = std::fs::write(&file, hosts);
        set("PE", text(name));
        set("PE_HOSTFILE", path(&file));
    }
    let mut launch = Launch {
        argv: spec.args.clone(),
        env,
        cwd: spec.cwd.clone(),
        umask: 0o022,
        stdin: spec.stdin.as_ref().map(PathBuf::from).unwrap_or_default(),
        stdout: out,
        stderr: if merged { PathBuf::new() } else { err },
        append: true,
        script_name: spec.id.to_string(),
        ..Launch::default()
    };
    if job.attr("binary").is_none() {
        launch.script = spec.script.clone();
        if !launch.script.starts_with(b"#!") {
            let shell = job.attr("shell").unwrap_or("/bin/bash");
            launch.script = [b"#!", shell.as_bytes(), b"\n", &spec.script].concat();
        }
    }
    launch
}
