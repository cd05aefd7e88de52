//! `qsub` of OpenPBS.

use std::path::Path;
use std::time::Duration;

use crate::engine::{HELD_USER, Phase, Spec, micros, now, seconds};
use crate::front::Call;

use super::bytes::{narrow, wide};
use super::options::{Family, Misuse, Options};
use super::resources::{Defaults, Refused, read};
use super::{clock, depend, refuse, script, server, variables};

const USAGE: &str = "usage: qsub [-a date_time] [-A account_string] [-c interval]
\t[-C directive_prefix] [-e path] [-f ] [-h ] [-I [-X]] [-j oe|eo] [-J X-Y[:Z]]
\t[-k keep] [-l resource_list] [-m mail_options] [-M user_list]
\t[-N jobname] [-o path] [-p priority] [-P project] [-q queue] [-r y|n]
\t[-R o|e|oe] [-S path] [-u user_list] [-W otherattributes=value...]
\t[-v variable_list] [-V ] [-z] [script | -- command [arg1 ...]]
       qsub --version
";

pub(crate) fn run(call: &mut Call<'_>) -> i32 {
    if call.args.first().is_some_and(|arg| arg == "--version") {
        call.out("pbs_version = 23.06.06\n");
        return 0;
    }
    let words: Vec<String> = call.raw_args.iter().map(|arg| wide(arg)).collect();
    let (options, text) = match gather(call, &words) {
        Ok(both) => both,
        Err(code) => return code,
    };
    let pairs = match environment(call, &options) {
        Ok(pairs) => pairs,
        Err(variables::Refusal::CannotSend) => {
            return refuse(call, 1, "cannot send environment with the job");
        }
        Err(variables::Refusal::Abort) => {
            call.err("free(): invalid pointer\n");
            return 134;
        }
    };
    if super::is_down(call) {
        return super::say_down(call);
    }
    let spec = match specification(call, &options, text, &pairs, &words) {
        Ok(spec) => spec,
        Err(refused) => return refuse(call, refused.code, &refused.text),
    };
    let engine = call.engine;
    let array = spec.array.is_some();
    let key = engine.lock().submit(spec);
    super::settle(&mut engine.lock(), key.id);
    let name = format!("{}{}.{}\n", key.id, if array { "[]" } else { "" }, server(&engine.lock()));
    if !options.silent {
        call.out(name);
    }
    engine.schedule();
    if options.block {
        call.flush();
        return block(call, key.id);
    }
    0
}

/// Options of script and command line, and the script's text.
fn gather(call: &mut Call<'_>, words: &[String]) -> Result<(Options, Vec<u8>), i32> {
    let misuse = |call: &mut Call<'_>, Misuse(text): Misuse| {
        call.err(format!("qsub: {text}\n{USAGE}"));
        2
    };
    let mut line = Options::default();
    line.read(words, Family::OpenPbs).map_err(|error| misuse(call, error))?;
    let mut text = Vec::new();
    let mut standard = String::from("STDIN");
    if line.program.is_none() {
        text = match line.operands.first() {
            Some(file) => {
                let path = call.path(String::from_utf8_lossy(&narrow(file)).as_ref());
                standard = Path::new(file)
                    .file_name()
                    .map_or_else(String::new, |name| name.to_string_lossy().into_owned());
                standard.truncate(standard.char_indices().nth(230).map_or(standard.len(), |(at, _)| at));
                match std::fs::read(path) {
                    Ok(text) => text,
                    Err(_) => return Err(refuse(call, 1, "script file:: No such file or directory")),
                }
            }
            None => call.stdin(),
        };
    }
    let prefix = line.prefix.clone().unwrap_or_else(|| "#PBS".into());
    let mut options = Options::default();
    for directive in script::directives(&wide(&text), &prefix) {
        options.read(&directive, Family::OpenPbs).map_err(|error| misuse(call, error))?;
    }
    options.operands.clear();
    options.read(words, Family::OpenPbs).map_err(|error| misuse(call, error))?;
    if options.name.is_none() {
        if !super::options::name_is_good(&standard, Family::OpenPbs) {
            return Err(misuse(call, Misuse("illegal -N value".into())));
        }
        options.name = Some(standard);
    }
    Ok((options, text))
}

/// The submitter's variables that go into `Variable_List`, in the order of the real one.
fn environment(call: &Call<'_>, options: &Options) -> Result<Vec<String>, variables::Refusal> {
    let lookup = |name: &str| {
        let found = call.env.iter().find(|(key, _)| key == name.as_bytes());
        found.map(|(_, value)| wide(value))
    };
    let mut pairs = Vec::new();
    for name in ["HOME", "LANG", "LOGNAME", "PATH", "MAIL", "SHELL", "TZ"] {
        if let Some(value) = lookup(name) {
            pairs.extend(variables::from_environment(
                [(format!("PBS_O_{name}").as_str(), value.as_str())].into_iter(),
            ));
        }
    }
    pairs.push("PBS_O_INTERACTIVE_AUTH_METHOD=resvport".into());
    pairs.push("PBS_O_INTERACTIVE_ENCRYPT_METHOD=".into());
    let cwd = wide(&Call::bytes(&call.cwd));
    pairs.extend(variables::from_environment([("PBS_O_WORKDIR", cwd.as_str())].into_iter()));
    pairs.push("PBS_O_SYSTEM=Linux".into());
    for list in &options.variables {
        pairs.extend(variables::from_list(list, lookup)?);
    }
    if options.all_variables {
        let all: Vec<(String, String)> =
            call.env.iter().map(|(name, value)| (wide(name), wide(value))).collect();
        pairs.extend(variables::from_environment(
            all.iter().map(|(name, value)| (name.as_str(), value.as_str())),
        ));
    }
    Ok(pairs)
}

fn specification(
    call: &Call<'_>,
    options: &Options,
    script: Vec<u8>,
    pairs: &[String],
    words: &[String],
) -> Result<Spec, Refused> {
    let refused = |code, text: &str| Refused { code, text: text.to_owned() };
    let config = call.engine.config();
    let server = server(&call.engine.lock());
    let cluster = &config.cluster;
    let queue = match &options.queue {
        Some(name) => cluster.queue(name.split('@').next().unwrap_or_default()),
        None => cluster.default_queue(),
    };
    let queue = queue.ok_or_else(|| refused(170, "Unknown queue"))?;
    let defaults = Defaults {
        walltime: queue.default_time.unwrap_or(3600),
        chunk_mem: config
            .extra
            .get("chunk_mem")
            .and_then(|value| value.get(&queue.name))
            .and_then(|value| value.as_str()),
    };
    let request = read(&options.resources, defaults)?;
    if options
        .project
        .as_deref()
        .is_some_and(|project| project.contains(['/', '[', ']', '"', ';', ':', ',', '=']))
    {
        return Err(refused(166, "Illegal attribute or resource value project"));
    }
    if !queue.enabled {
        return Err(refused(173, "Queue is not enabled"));
    }
    let over = queue.max_time.is_some_and(|most| request.walltime > most)
        || queue.max_cores.is_some_and(|most| request.cores() > u64::from(most))
        || queue.max_nodes.is_some_and(|most| request.chunks.len() as u64 > u64::from(most))
        || queue.max_memory.is_some_and(|most| request.mem_kb().is_some_and(|kb| kb > most * 1024));
    if over && config.limits.enforce_queue_limits {
        return Err(refused(188, "Job violates queue and/or server resource limits"));
    }
    let mut spec = Spec::default();
    if let Some(text) = &options.array {
        let (range, throttle) =
            text.split_once('%').map_or((text.as_str(), None), |(range, most)| (range, Some(most)));
        let indices = super::id::range(range).unwrap_or_default();
        if indices.len() as u64 > u64::from(config.limits.max_array) {
            return Err(refused(3, "Array job exceeds server or queue size limit"));
        }
        spec.array = Some(indices);
        spec.array_text = range.to_owned();
        spec.throttle = throttle.and_then(|most| most.parse().ok());
    }
    if let Some(most) = config.extra.get("max_queued_per_user").and_then(|limits| limits.get(&queue.name)) {
        let table = call.engine.lock();
        let mine = table.jobs.values().filter(|job| {
            job.phase != Phase::Ended && job.spec.queue == queue.name && job.spec.user.uid == call.user.uid
        });
        if most.as_u64().is_some_and(|most| mine.count() as u64 >= most) {
            return Err(refused(38, "would exceed queue generic's per-user limit"));
        }
    }
    spec.begin = match &options.begin {
        Some(text) => {
            let time = clock::date_argument(text, seconds(now()), call.var("TZ").as_deref());
            let time =
                time.ok_or_else(|| refused(166, "Illegal attribute or resource value Execution_Time"))?;
            Some(time.saturating_mul(1_000_000))
        }
        None => None,
    };
    let fits = |chunk: &super::resources::Chunk| {
        cluster.nodes_of(queue).any(|node| {
            chunk.ncpus <= u64::from(node.cores)
                && chunk.mem_kb.unwrap_or(0) <= node.memory.saturating_mul(1024)
        })
    };
    let mut attr = |name: &str, value: String| {
        spec.attrs.insert(name.to_owned(), value);
    };
    if let Some(chunk) = request.chunks.iter().find(|chunk| !fits(chunk)) {
        let cores = cluster.nodes_of(queue).map(|node| u64::from(node.cores)).max().unwrap_or(0);
        let memory = cluster.nodes_of(queue).map(|node| node.memory.saturating_mul(1024)).max().unwrap_or(0);
        let (what, asked, most, unit) = match chunk.mem_kb {
            Some(asked) if chunk.ncpus <= cores => ("mem", asked, memory, "kb"),
            _ => ("ncpus", chunk.ncpus, cores, ""),
        };
        attr(
            "never",
            format!(
                "Can Never Run: Insufficient amount of resource: {what} (R: {asked}{unit} A: {most}{unit} T: {most}{unit})"
            ),
        );
    }
    let mut pairs = pairs.to_vec();
    pairs.push(format!("PBS_O_QUEUE={}", queue.name));
    pairs.push(format!("PBS_O_HOST={server}"));
    attr("variables", pairs.join(","));
    attr("submit_args", words.join(" "));
    attr("ctime", now().to_string());
    attr("resources", serde_json::to_string(&request.list).unwrap_or_default());
    attr(
        "vnodes",
        serde_json::to_string(&request.chunks.iter().map(|c| &c.vnode).collect::<Vec<_>>())
            .unwrap_or_default(),
    );
    attr("home", call.var("HOME").unwrap_or_else(|| "/".into()));
    attr("login_shell", call.var("SHELL").unwrap_or_else(|| "/bin/bash".into()));
    attr("spool", call.engine.dir.join("spool").display().to_string());
    attr("project", options.project.clone().unwrap_or_else(|| "_pbs_project_default".into()));
    attr("join", options.join.clone().unwrap_or_else(|| "n".into()));
    attr("keep", options.keep.clone().unwrap_or_else(|| "n".into()));
    attr("mail", options.mail.clone().unwrap_or_else(|| "a".into()));
    attr("rerunnable", if options.rerunnable == Some(false) { "False" } else { "True" }.into());
    attr("priority", options.priority.unwrap_or(0).to_string());
    for (name, value) in [
        ("account", &options.account),
        ("shell", &options.shell),
        ("mail_users", &options.mail_users),
        ("depend", &options.depend),
    ] {
        if let Some(value) = value {
            attr(name, value.clone());
        }
    }
    if options.block {
        attr("block", "True".into());
    }
    if let Some(program) = &options.program {
        attr("program", program.first().cloned().unwrap_or_default());
        attr(
            "program_args",
            serde_json::to_string(&program.get(1..).unwrap_or_default()).unwrap_or_default(),
        );
        spec.args = program.iter().map(|word| narrow(word)).collect();
    }
    spec.name = options.name.clone().unwrap_or_default();
    spec.user = call.user.clone();
    spec.queue = queue.name.clone();
    spec.script = script;
    spec.cwd = call.cwd.clone();
    spec.umask = options.umask.unwrap_or(0o077);
    spec.stdout = options.output.clone();
    spec.stderr = options.error.clone();
    spec.nodes = request.chunks.len() as u32;
    spec.cores = request.cores() as u32;
    spec.memory = request.mem_kb().map_or(0, |kb| kb.div_ceil(1024) / (request.chunks.len() as u64).max(1));
    spec.limit = Some(request.walltime);
    spec.priority = options.priority.unwrap_or(0);
    spec.held = if options.hold { HELD_USER } else { 0 };
    if let Some(text) = &options.depend {
        let written = depend::read(text, Family::OpenPbs).unwrap_or_default();
        spec.depend.clauses = depend::clauses(&written);
    }
    Ok(spec)
}

/// `-W block=true`: waits for the end and has the job's code.
pub(crate) fn block(call: &mut Call<'_>, id: u64) -> i32 {
    let engine = call.engine;
    loop {
        if call.gone() {
            return 1;
        }
        let table = engine.lock();
        if table.elements(id).all(|job| job.phase == Phase::Ended) {
            let status = if table.elements(id).any(|job| job.key.index.is_some()) {
                super::state::array_exit(table.elements(id))
            } else {
                table.elements(id).find_map(super::state::exit_status)
            };
            return status.map_or(1, |status| i32::try_from(status.rem_euclid(256)).unwrap_or(1));
        }
        drop(engine.wait(table, Duration::from_micros(micros(0.5).unsigned_abs())));
    }
}
