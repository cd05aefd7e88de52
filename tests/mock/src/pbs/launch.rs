//! How a job's process looks under PBS and Torque, and the delivery of its output files.

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use crate::engine::{Job, Launch, Table};

use super::bytes::narrow;
use super::options::Family;
use super::{server, variables};

/// The id of a job as the job sees it: `12.server`, `12[3].server`.
pub(crate) fn job_id(table: &Table, job: &Job) -> String {
    match job.key.index {
        Some(index) => format!("{}[{index}].{}", job.key.id, server(table)),
        None => format!("{}.{}", job.key.id, server(table)),
    }
}

fn spool(job: &Job) -> PathBuf {
    PathBuf::from(job.attr("spool").unwrap_or("/tmp"))
}

fn spool_file(job: &Job, id: &str, kind: &str) -> PathBuf {
    spool(job).join(format!("{id}.{kind}"))
}

/// The process of a job that starts now. Writes its node file.
pub(crate) fn launch(table: &Table, job: &Job, family: Family) -> Launch {
    let id = job_id(table, job);
    let spec = &job.spec;
    let nodes: String = match family {
        Family::OpenPbs => job.alloc.iter().map(|alloc| format!("{}\n", alloc.node)).collect(),
        Family::Torque => {
            job.alloc.iter().map(|alloc| format!("{}\n", alloc.node).repeat(alloc.cores as usize)).collect()
        }
    };
    let node_file = spool(job).join("aux").join(&id);
    let temporary = spool(job).join(format!("pbs.{id}"));
    let _ = std::fs::create_dir_all(spool(job).join("aux"));
    let _ = std::fs::create_dir_all(&temporary);
    let _ = std::fs::write(&node_file, nodes);

    let mut env: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    let mut set = |name: &str, value: Vec<u8>| {
        env.retain(|(known, _)| known != name.as_bytes());
        env.push((name.as_bytes().to_vec(), value));
    };
    let home = job.attr("home").unwrap_or("/").to_owned();
    let shell = job.attr("login_shell").unwrap_or("/bin/bash").to_owned();
    set("HOME", narrow(&home));
    set("LOGNAME", spec.user.name.clone().into_bytes());
    set("USER", spec.user.name.clone().into_bytes());
    set("SHELL", narrow(&shell));
    set("PATH", b"/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games".to_vec());
    for pair in variables::split(job.attr("variables").unwrap_or_default()) {
        let (name, value) = pair.split_once('=').unwrap_or((&pair, ""));
        set(name, narrow(&variables::unescaped(value)));
    }
    let text = |value: &str| value.as_bytes().to_vec();
    set("ENVIRONMENT", text("BATCH"));
    set("PBS_ENVIRONMENT", text("PBS_BATCH"));
    set("PBS_JOBCOOKIE", format!("{:032X}", u128::from(spec.id) << 64 | 0x3E56_7B11_74DF_1AFF).into_bytes());
    set("PBS_JOBID", text(&id));
    set("PBS_JOBNAME", name(job, family).into_bytes());
    set("PBS_MOMPORT", text("15003"));
    set("PBS_NODEFILE", node_file.as_os_str().as_bytes().to_vec());
    set("PBS_NODENUM", text("0"));
    set("PBS_QUEUE", text(&spec.queue));
    set("PBS_TASKNUM", text("1"));
    let first = job.alloc.first().map_or(1, |alloc| alloc.cores);
    match family {
        Family::OpenPbs => {
            set("NCPUS", first.to_string().into_bytes());
            set("OMP_NUM_THREADS", first.to_string().into_bytes());
            set("PBS_JOBDIR", narrow(&home));
            set("TMPDIR", temporary.as_os_str().as_bytes().to_vec());
            if let Some(index) = job.key.index {
                set("PBS_ARRAY_INDEX", index.to_string().into_bytes());
                set("PBS_ARRAY_ID", format!("{}[].{}", spec.id, server(table)).into_bytes());
            }
        }
        Family::Torque => {
            set("PBS_VERSION", text("TORQUE-master"));
            set("PBS_NUM_NODES", job.alloc.len().to_string().into_bytes());
            set("PBS_NUM_PPN", first.to_string().into_bytes());
            set("PBS_NP", spec.cores.to_string().into_bytes());
            set("PBS_VNODENUM", text("0"));
            set("PBS_WALLTIME", spec.limit.unwrap_or(0).to_string().into_bytes());
            set("PBS_O_INITDIR", narrow(job.attr("directory").unwrap_or(&home)));
            if let Some(index) = job.key.index {
                set("PBS_ARRAYID", index.to_string().into_bytes());
            }
        }
    }

    let joined = job.attr("join").unwrap_or("n");
    let keep = job.attr("keep").unwrap_or("n");
    let direct = |which: char| keep.contains('d') && keep.contains(which);
    let out = if direct('o') { target(table, job, true, family) } else { spool_file(job, &id, "OU") };
    let err = if direct('e') { target(table, job, false, family) } else { spool_file(job, &id, "ER") };
    let (stdout, stderr) = match joined {
        "oe" => (out, PathBuf::new()),
        "eo" => (err, PathBuf::new()),
        _ => (out, err),
    };
    let args: Vec<Vec<u8>> = spec.args.clone();
    let mut launch = Launch {
        argv: args,
        env,
        cwd: job.attr("directory").map_or_else(|| PathBuf::from(&home), PathBuf::from),
        umask: spec.umask,
        stdout,
        stderr,
        script_name: format!("{id}.SC"),
        ..Launch::default()
    };
    if job.attr("program").is_none() {
        launch.script = spec.script.clone();
        if !launch.script.starts_with(b"#!") {
            let shell = job.attr("shell").unwrap_or(&shell);
            launch.script = [b"#!", shell.as_bytes(), b"\n", &spec.script].concat();
        }
    }
    launch
}

/// A job's name; Torque's subjobs have their index in it.
pub(crate) fn name(job: &Job, family: Family) -> String {
    match (family, job.key.index) {
        (Family::Torque, Some(index)) => format!("{}-{index}", job.spec.name),
        _ => job.spec.name.clone(),
    }
}

/// `Output_Path` or `Error_Path`, with the host before it.
pub(crate) fn path_attribute(
    table: &Table,
    job: &Job,
    output: bool,
    family: Family,
    started: bool,
) -> String {
    let given = if output { &job.spec.stdout } else { &job.spec.stderr };
    let letter = if output { 'o' } else { 'e' };
    let server = server(table);
    let host = match family {
        Family::OpenPbs if given.is_some() => "localhost",
        _ => &server,
    };
    let index = match (family, job.key.index, started) {
        (Family::OpenPbs, Some(index), true) => format!(".{index}"),
        (Family::OpenPbs, Some(_), false) => ".^array_index^".to_owned(),
        (Family::Torque, Some(index), _) => format!("-{index}"),
        (_, None, _) => String::new(),
    };
    let standard = format!("{}.{letter}{}{index}", job.spec.name, job.key.id);
    match given {
        None => format!("{host}:{}/{standard}", job.spec.cwd.display()),
        Some(path) => {
            let (host, path) = match path.split_once(':') {
                Some((named, path)) if !named.contains('/') => (named, path),
                _ => (host, path.as_str()),
            };
            let mut full = job.spec.cwd.join(path);
            if full.is_dir() || path.ends_with('/') {
                let kind = if output { "OU" } else { "ER" };
                full = match family {
                    Family::OpenPbs => full.join(format!("{}.{kind}", job_id(table, job))),
                    Family::Torque => full.join(&standard),
                };
            } else if let (Family::Torque, Some(index)) = (family, job.key.index) {
                full = PathBuf::from(format!("{}-{index}", full.display()));
            }
            let full = full.display().to_string();
            let full = match (started, job.key.index) {
                (true, Some(index)) => full.replace("^array_index^", &index.to_string()),
                _ => full,
            };
            format!("{host}:{full}")
        }
    }
}

/// The file that output is delivered to.
fn target(table: &Table, job: &Job, output: bool, family: Family) -> PathBuf {
    let path = path_attribute(table, job, output, family, true);
    PathBuf::from(path.split_once(':').map_or(path.as_str(), |(_, path)| path))
}

/// Copies the spooled output to where it belongs; false when that failed for one. Removes what the job had.
pub(crate) fn deliver(table: &Table, job: &Job, family: Family, last_words: &str) -> bool {
    let id = job_id(table, job);
    let joined = job.attr("join").unwrap_or("n");
    let keep = job.attr("keep").unwrap_or("n");
    if !last_words.is_empty() {
        let kind = if joined == "oe" { "OU" } else { "ER" };
        let written = std::fs::OpenOptions::new().append(true).create(true).open(spool_file(job, &id, kind));
        if let Ok(mut file) = written {
            let _ = std::io::Write::write_all(&mut file, last_words.as_bytes());
        }
    }
    let mut good = true;
    let wanted: &[(bool, &str)] = match joined {
        "oe" => &[(true, "OU")],
        "eo" => &[(false, "ER")],
        _ => &[(true, "OU"), (false, "ER")],
    };
    for (output, kind) in wanted {
        let from = spool_file(job, &id, kind);
        let removed = job.attr("remove").is_some_and(|which| which.contains(if *output { 'o' } else { 'e' }));
        if !keep.contains('d') && !removed {
            let to = target(table, job, *output, family);
            good &= copy(&from, &to);
        }
        let _ = std::fs::remove_file(from);
    }
    let _ = std::fs::remove_file(spool(job).join("aux").join(&id));
    let _ = std::fs::remove_dir_all(spool(job).join(format!("pbs.{id}")));
    good
}

fn copy(from: &Path, to: &Path) -> bool {
    to == Path::new("/dev/null") || std::fs::copy(from, to).is_ok()
}
