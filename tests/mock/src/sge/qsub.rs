//! `qsub` of Grid Engine.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::{Config, Queue};
use crate::engine::{Clause, DependKind, HELD_USER, Key, Phase, Spec, Table, now, seconds};
use crate::front::Call;
use crate::pbs::bytes::{narrow, wide};
use crate::pbs::clock;

use super::names;
use super::options::{Misuse, Options};
use super::resources::{OTHERS, SIZES, TIMES, mebibytes, time};
use super::tasks::Range;

/// The parallel environments there are.
pub(crate) const ENVIRONMENTS: [&str; 3] = ["make", "mpi", "smp"];

/// A refusal of the qmaster's, as `qsub` prints it.
fn unable(text: &str) -> (i32, String) {
    (1, format!("Unable to run job: {text}\nExiting.\n"))
}

pub(crate) fn run(call: &mut Call<'_>) -> i32 {
    match submit(call) {
        Ok(code) => code,
        Err((code, text)) => {
            call.err(text);
            code
        }
    }
}

fn submit(call: &mut Call<'_>) -> Result<i32, (i32, String)> {
    let words: Vec<String> = call.raw_args.iter().map(|arg| wide(arg)).collect();
    if words.first().is_some_and(|word| word == "-help") {
        call.out("SGE 8.1.9\nusage: qsub [options] [scriptfile [args]]\n");
        return Ok(0);
    }
    let usage = |Misuse { code, text }: Misuse| {
        let text = if code == 2 {
            format!("qsub: {text}\nUse -help option to print usage.\n")
        } else {
            format!("qsub: {text}\n")
        };
        (code, text)
    };
    let mut line = Options::default();
    line.read(&words).map_err(usage)?;
    let mut script = Vec::new();
    let mut standard = String::from("STDIN");
    if let Some(first) = line.operands.first() {
        standard =
            Path::new(first).file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        if line.binary {
            standard = first.rsplit('/').next().unwrap_or_default().to_owned();
        } else {
            let path = call.path(String::from_utf8_lossy(&narrow(first)).as_ref());
            script = std::fs::read(&path).map_err(|error| {
                let why = match error.kind() {
                    std::io::ErrorKind::PermissionDenied => "Permission denied",
                    std::io::ErrorKind::IsADirectory => "Is a directory",
                    _ => "No such file or directory",
                };
                (14, format!("Unable to read script file because of error: error opening {first}: {why}\n"))
            })?;
        }
    } else if line.binary {
        return Err((1, "qsub: command required for a binary job\n".into()));
    } else {
        script = call.stdin();
    }
    if !line.binary && script.is_empty() {
        return Err(unable("job rejected: no script in your request"));
    }
    let mut options = Options::default();
    let prefix = line.prefix.clone().unwrap_or_else(|| "#$".into());
    options.read_script(&wide(&script), &prefix).map_err(|Misuse { code, text }| {
        (code, format!("Unable to read script file because of error: {text}\n"))
    })?;
    options.operands.clear();
    options.read(&words).map_err(usage)?;
    let name = options.name.clone().unwrap_or(standard);
    if let Some(refusal) = names::refusal(&name) {
        return Err(refusal);
    }
    let spec = specification(call, &options, name.clone(), script)?;
    let engine = call.engine;
    let (range, never) = (spec.array_text.clone(), spec.attrs.get("never").cloned());
    if matches!(options.check, 'e' | 'v' | 'p') {
        let next = engine.lock().next_id.max(1);
        if options.check == 'e' && never.is_some() {
            return Err(unable("error: no suitable queues"));
        }
        if options.check != 'e' {
            if let Some(why) = never {
                return Err(unable(&format!("Job {next} {why}\nverification: no suitable queues")));
            }
            call.out("verification: found suitable queue(s)\n");
            return Ok(0);
        }
    }
    let key = engine.lock().submit(spec);
    let number = if range.is_empty() { key.id.to_string() } else { format!("{}.{range}", key.id) };
    call.out(match (options.terse, range.is_empty()) {
        (true, _) => format!("{number}\n"),
        (false, true) => format!("Your job {number} (\"{name}\") has been submitted\n"),
        (false, false) => format!("Your job-array {number} (\"{name}\") has been submitted\n"),
    });
    engine.schedule();
    if options.sync {
        call.flush();
        return Ok(sync(call, key.id, &range));
    }
    Ok(0)
}

fn specification(
    call: &Call<'_>,
    options: &Options,
    name: String,
    script: Vec<u8>,
) -> Result<Spec, (i32, String)> {
    let config = call.engine.config();
    let mut spec = Spec { name, script, user: call.user.clone(), ..Spec::default() };
    let mut attrs: Vec<(&str, String)> = Vec::new();
    for (name, value) in &options.resources {
        if TIMES.contains(&name.as_str()) {
            let secs =
                time(value).ok_or_else(|| unable(&format!("attribute \"{name}\" is not a time value")))?;
            if name == "h_rt" || name == "s_rt" {
                attrs.push((if name == "h_rt" { "h_rt" } else { "s_rt" }, secs.to_string()));
                spec.limit = Some(spec.limit.map_or(secs, |limit| limit.min(secs)));
            }
        } else if SIZES.contains(&name.as_str()) {
            let size = mebibytes(value)
                .ok_or_else(|| unable(&format!("attribute \"{name}\" is not a memory value")))?;
            if name == "h_vmem" {
                spec.memory = size;
            }
        } else if !OTHERS.contains(&name.as_str()) {
            return Err(unable(&format!("unknown resource \"{name}\"")));
        } else if name == "hostname" || name == "h" {
            spec.only_nodes = vec![value.clone()];
        }
    }
    let list: Vec<String> = options
        .resources
        .iter()
        .map(|(name, value)| {
            let value = if TIMES.contains(&name.as_str()) {
                time(value).map_or(value.clone(), |secs| secs.to_string())
            } else {
                value.clone()
            };
            format!("{name}={value}")
        })
        .collect();
    attrs.push(("hard", list.join(",")));
    spec.cores = 1;
    spec.nodes = 1;
    if let Some((environment, slots)) = &options.environment {
        if !ENVIRONMENTS.contains(&environment.as_str()) {
            return Err(unable(&format!(
                "job rejected: the requested parallel environment \"{environment}\" does not exist"
            )));
        }
        let least = slots.split(['-', ',']).find(|part| !part.is_empty()).and_then(|part| part.parse().ok());
        spec.cores = least.unwrap_or(1).max(1);
        attrs.push(("pe", format!("{environment} {slots}")));
        let most = config.cluster.nodes.iter().map(|node| node.cores).max().unwrap_or(1).max(1);
        spec.nodes = if environment == "smp" { 1 } else { spec.cores.div_ceil(most) };
        spec.memory = spec.memory.saturating_mul(u64::from(spec.cores)) / u64::from(spec.nodes.max(1));
    }
    let queues = queues(&config, options)?;
    let suits = |queue: &&&Queue| {
        let long = queue.max_time.is_some_and(|most| spec.limit.is_some_and(|limit| limit > most));
        let share = spec.cores.div_ceil(spec.nodes.max(1));
        let nodes = config
            .cluster
            .nodes_of(queue)
            .filter(|node| node.cores >= share && node.memory >= spec.memory)
            .filter(|node| spec.only_nodes.is_empty() || spec.only_nodes.contains(&node.name));
        !long && nodes.count() as u32 >= spec.nodes
    };
    match queues.iter().find(suits) {
        Some(queue) => spec.queue = queue.name.clone(),
        None => {
            spec.queue = queues.first().map_or_else(String::new, |queue| queue.name.clone());
            let asked = list.join(",");
            let why = format!(
                "({}) cannot run in queue \"{}\" because of cluster queue",
                if asked.is_empty() { "-w e".into() } else { format!("-l {asked}") },
                spec.queue
            );
            attrs.push(("never", why));
        }
    }
    if options.priority > 0 && call.user.uid != 0 {
        return Err(unable("job rejected: positive submission priority requires operator privileges"));
    }
    if let Some(project) = &options.project {
        return Err(unable(&format!("job rejected: the requested project \"{project}\" does not exist")));
    }
    if let Some(text) = &options.tasks {
        let range = Range::read(text).ok_or_else(|| {
            (7, format!("qsub: Numerical value invalid!\nThe initial portion of string \"{text}\" contains no decimal number\n"))
        })?;
        if range.first == 0 {
            return Err(unable("job rejected: 0 is an invalid task id"));
        }
        if range.count() > u64::from(config.limits.max_array) {
            return Err(unable(&format!(
                "job rejected: you tried to submit a job with more than {} tasks",
                config.limits.max_array
            )));
        }
        spec.array = Some(range.indices());
        spec.array_text = range.text();
        attrs.push(("step", range.step.to_string()));
        spec.throttle = options.most.as_ref().and_then(|most| most.parse().ok()).filter(|most| *most > 0);
    }
    if let Some(text) = &options.begin {
        let time = clock::date_argument(text, seconds(now()), call.var("TZ").as_deref()).ok_or_else(|| {
            let text = format!(
                "\nInvalid format of date/hour-minute field.\nqsub: Wrong date/time format \"{text}\" specified to -a option\n"
            );
            (7, text)
        })?;
        spec.begin = Some(time.saturating_mul(1_000_000));
    }
    {
        let table = call.engine.lock();
        let ids = resolve(&table, call.user.uid, &options.hold_on);
        spec.depend.clauses.extend(ids.into_iter().map(|id| Clause {
            kind: DependKind::AfterAny,
            on: Key { id, index: None },
            delay: 0,
        }));
        let ids = resolve(&table, call.user.uid, &options.hold_task_on);
        spec.depend.clauses.extend(ids.into_iter().map(|id| Clause {
            kind: DependKind::AfterCorr,
            on: Key { id, index: None },
            delay: 0,
        }));
    }
    if !options.hold_on.is_empty() {
        attrs.push(("hold_jid", options.hold_on.join(",")));
    }
    if !options.hold_task_on.is_empty() {
        attrs.push(("hold_jid_ad", options.hold_task_on.join(",")));
    }
    let home = call.var("HOME").unwrap_or_else(|| "/".into());
    spec.cwd = match (&options.directory, options.cwd) {
        (Some(directory), _) => call.path(directory),
        (None, true) => call.cwd.clone(),
        (None, false) => PathBuf::from(&home),
    };
    spec.env = environment(call, options);
    spec.umask = 0o022;
    spec.stdin.clone_from(&options.input);
    spec.stdout.clone_from(&options.output);
    spec.stderr.clone_from(&options.error);
    spec.append = true;
    spec.priority = options.priority;
    spec.held = if options.hold.is_some() { HELD_USER } else { 0 };
    if options.binary {
        attrs.push(("binary", "y".into()));
        let words: Vec<Vec<u8>> = options.operands.iter().map(|word| narrow(word)).collect();
        spec.args = if options.no_shell {
            words
        } else {
            // The words are joined and go through a shell again.
            vec![b"/bin/bash".to_vec(), b"-c".to_vec(), words.join(&b' ')]
        };
    } else {
        spec.args = options.operands.iter().skip(1).map(|word| narrow(word)).collect();
    }
    attrs.push(("home", home));
    attrs.push(("login_shell", call.var("SHELL").unwrap_or_else(|| "/bin/bash".into())));
    attrs.push(("spool", call.engine.dir.join("spool").display().to_string()));
    attrs.push(("qsub", now().to_string()));
    attrs.push(("script_file", options.operands.first().cloned().unwrap_or_else(|| "STDIN".into())));
    attrs.push(("job_args", options.operands.get(1..).unwrap_or_default().join(",")));
    for (name, value) in [
        ("o_HOME", call.var("HOME")),
        ("o_LOGNAME", Some(call.user.name.clone())),
        ("o_PATH", call.var("PATH")),
        ("o_SHELL", call.var("SHELL")),
        ("o_WORKDIR", Some(wide(&Call::bytes(&call.cwd)))),
        ("o_HOST", Some(config.cluster.name.clone())),
        ("sge_root", call.var("SGE_ROOT")),
        ("account", options.account.clone()),
        ("shell", options.shell.clone()),
        ("hard_queues", options.queue.clone()),
    ] {
        if let Some(value) = value {
            attrs.push((name, value));
        }
    }
    for (name, said) in [
        ("merge", options.join),
        ("notify", options.notify),
        ("cwd", options.cwd || options.directory.is_some()),
        ("rerun", options.rerunnable == Some(true)),
    ] {
        if said {
            attrs.push((name, "y".into()));
        }
    }
    spec.attrs.extend(attrs.into_iter().map(|(name, value)| (name.to_owned(), value)));
    Ok(spec)
}

/// The queues that were asked for, or all; the default one first.
fn queues<'a>(config: &'a Config, options: &Options) -> Result<Vec<&'a Queue>, (i32, String)> {
    let Some(text) = &options.queue else {
        let first = config.cluster.default_queue();
        let others =
            config.cluster.queues.iter().filter(|queue| first.is_none_or(|first| first.name != queue.name));
        return Ok(first.into_iter().chain(others).collect());
    };
    let mut found = Vec::new();
    for wanted in text.split(',') {
        let pattern = wanted.split('@').next().unwrap_or_default();
        let before = found.len();
        found.extend(config.cluster.queues.iter().filter(|queue| names::fits(pattern, &queue.name)));
        if found.len() == before {
            return Err(unable(&format!("Job was rejected because job requests unknown queue \"{wanted}\"")));
        }
    }
    Ok(found)
}

/// The ids behind numbers, names and patterns; what is not known is left out without a word.
fn resolve(table: &Table, uid: u32, wanted: &[String]) -> Vec<u64> {
    let mut ids = Vec::new();
    for item in wanted {
        match item.split('.').next().and_then(|number| number.parse::<u64>().ok()) {
            Some(id) => ids.push(id),
            None => ids.extend(
                table
                    .jobs
                    .values()
                    .filter(|job| job.phase != Phase::Ended && job.spec.user.uid == uid)
                    .filter(|job| names::fits(item, &job.spec.name))
                    .map(|job| job.key.id),
            ),
        }
    }
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// The variables that `-V` and `-v` hand over.
fn environment(call: &Call<'_>, options: &Options) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut env: Vec<(Vec<u8>, Vec<u8>)> = if options.all_variables { call.env.clone() } else { Vec::new() };
    for item in options.variables.iter().flat_map(|list| list.split(',')).filter(|item| !item.is_empty()) {
        let (name, value) = match item.split_once('=') {
            Some((name, value)) => (name.as_bytes().to_vec(), narrow(value)),
            None => {
                let found = call.env.iter().find(|(name, _)| name == item.as_bytes());
                (item.as_bytes().to_vec(), found.map(|(_, value)| value.clone()).unwrap_or_default())
            }
        };
        env.retain(|(known, _)| *known != name);
        env.push((name, value));
    }
    env
}

/// `-sync y`: waits for all tasks. The job's code; 1 when one of an array failed, or when it was killed.
fn sync(call: &mut Call<'_>, id: u64, range: &str) -> i32 {
    let engine = call.engine;
    loop {
        if call.gone() {
            return 1;
        }
        let table = engine.lock();
        let open = table.elements(id).any(|job| job.phase != Phase::Ended);
        if !open {
            let mut code = 0;
            let mut said = Vec::new();
            for job in
                table.accounting().filter(|job| job.key.id == id && !job.attrs.contains_key("requeued"))
            {
                let name = job.key.index.map_or_else(|| id.to_string(), |index| format!("{id}.{index}"));
                let status = super::state::exit_status(job);
                let killed = job.exit.as_ref().is_none_or(|exit| exit.signal() != 0);
                if killed {
                    said.push((true, format!("Unable to run job {name}.\n")));
                    code = 1;
                } else {
                    said.push((status != 0, format!("Job {name} exited with exit code {status}.\n")));
                    code = if range.is_empty() { status } else { i32::from(code != 0 || status != 0) };
                }
            }
            drop(table);
            for (bad, text) in said {
                if bad { call.err(text) } else { call.out(text) }
            }
            return code;
        }
        drop(engine.wait(table, Duration::from_millis(500)));
    }
}
