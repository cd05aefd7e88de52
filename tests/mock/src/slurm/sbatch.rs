//! `sbatch`.

use std::time::Duration;

use super::args::{self, Parsed};
use super::{preamble, text, view};
use crate::engine::{Clause, Depend, DependKind, HELD_USER, Key, Phase, Spec, Table, now};
use crate::front::{Call, Controller};

pub(super) const OPTIONS: &str = "array=a account=A bb= bbf= begin=b chdir=D cluster-constraint= clusters=M comment= \
    constraint=C contiguous container= core-spec=S cores-per-socket= cpu-freq= cpus-per-gpu= cpus-per-task=c \
    deadline= delay-boot= dependency=d distribution=m error=e exclude=x exclusive? export= export-file= extra-node-info=B \
    get-user-env? gid= gpu-bind= gpu-freq= gpus=G gpus-per-node= gpus-per-socket= gpus-per-task= gres= gres-flags= \
    help/h hint= hold/H ignore-pbs input=i job-name=J kill-on-invalid-dep= licenses=L mail-type= mail-user= mcs-label= \
    mem= mem-bind= mem-per-cpu= mem-per-gpu= mincpus= network= nice? no-kill?k no-requeue nodefile=F nodelist=w nodes=N \
    ntasks=n ntasks-per-core= ntasks-per-gpu= ntasks-per-node= ntasks-per-socket= open-mode= output=o overcommit/O \
    oversubscribe/s parsable partition=p power= prefer= priority= profile= propagate? qos=q quiet/Q reboot requeue \
    reservation= signal= sockets-per-node= spread-job switches= test-only thread-spec= threads-per-core= time=t \
    time-min= tmp= tres-per-task= uid= usage use-min-nodes verbose/v version/V wait/W wait-all-nodes= wckey= wrap=";

type Refusal = (i32, String);

pub(super) fn run(call: &mut Call<'_>) -> i32 {
    let args = call.args.clone();
    let given = match args::parse(OPTIONS, &args, true) {
        Ok(given) => given,
        Err(error) => return usage(call, &error),
    };
    if let Some(code) = preamble::answer(call, &given, OPTIONS, &[]) {
        return code;
    }
    let (spec, given) = match prepare(call, given) {
        Ok(prepared) => prepared,
        Err((code, text)) => {
            call.err(text);
            return code;
        }
    };
    let hung = match call.controller_within(if given.has("test-only") { 2.0 } else { 1.0 }) {
        Controller::Well => false,
        Controller::Down => {
            call.err(format!("sbatch: error: Batch job submission failed: {}\n", super::CONNECT));
            return 1;
        }
        Controller::Hung => {
            call.err("sbatch: error: Batch job submission failed: Socket timed out on send/recv operation\n");
            call.finish(1);
            call.controller_returns();
            true
        }
    };
    if given.has("clusters") && super::accounting_down(call, "sbatch") {
        call.err("sbatch: error: There is a problem talking to the database: Connection refused.  Only local cluster communication is available, remove --cluster from your command line or contact your admin to resolve the problem.\n");
        return 1;
    }
    let mut spec = spec;
    let key = {
        let mut table = call.engine.lock();
        if let Err(text) = check(&table, &mut spec, &given) {
            drop(table);
            call.err(text);
            return 1;
        }
        if given.has("test-only") {
            let nodes = text::nodes(
                table.config.cluster.nodes.iter().take(spec.nodes as usize).map(|n| n.name.as_str()),
            );
            let line = format!(
                "sbatch: Job {} to start at {} using {} processors on nodes {nodes} in partition {}\n",
                table.take_id(),
                text::iso(now(), 0),
                spec.cores,
                spec.queue
            );
            drop(table);
            call.err(line);
            return 0;
        }
        // An element may be named by its own id; what the controller has forgotten is no dependency.
        for clause in &mut spec.depend.clauses {
            if clause.on.index.is_none()
                && let Some(job) =
                    table.jobs.values().find(|job| job.raw == clause.on.id && job.key.id != job.raw)
            {
                clause.on = job.key;
            }
        }
        spec.depend.clauses.retain(|clause| {
            clause.kind == DependKind::Singleton || table.elements(clause.on.id).next().is_some()
        });
        table.submit(spec)
    };
    call.engine.schedule();
    if hung {
        return 1;
    }
    if given.has("verbose") {
        call.err("sbatch: defined options\nsbatch: -------------------- --------------------\n");
        call.err("sbatch: -------------------- --------------------\nsbatch: end of defined options\n");
    }
    if given.has("parsable") {
        let cluster = given.get("clusters").map(|name| format!(";{name}")).unwrap_or_default();
        call.out(format!("{}{cluster}\n", key.id));
    } else if !given.has("quiet") {
        let cluster = given.get("clusters").map(|name| format!(" on cluster {name}")).unwrap_or_default();
        call.out(format!("Submitted batch job {}{cluster}\n", key.id));
    }
    if given.has("wait") { wait(call, key) } else { 0 }
}

fn usage(call: &mut Call<'_>, error: &str) -> i32 {
    call.err(format!("sbatch: {error}\nTry \"sbatch --help\" for more information\n"));
    255
}

/// Waits for the end of a job: the greatest code of its elements.
fn wait(call: &mut Call<'_>, key: Key) -> i32 {
    call.flush();
    let mut table = call.engine.lock();
    loop {
        let mut codes = 0;
        let open = table.elements(key.id).any(|job| job.phase != Phase::Ended);
        for job in table.elements(key.id) {
            let (code, signal) = view::exit_code(job);
            codes = codes.max(if signal > 0 { 128 + signal } else { code });
        }
        if !open || call.engine.is_stopping() {
            return codes;
        }
        if call.gone() {
            return 1;
        }
        table = call.engine.wait(table, Duration::from_secs(1));
    }
}

/// Reads script and options; nothing of the controller's.
fn prepare(call: &mut Call<'_>, given: Parsed) -> Result<(Spec, Parsed), Refusal> {
    let mut script_name = None;
    let mut args = Vec::new();
    let script = if let Some(wrap) = given.get("wrap") {
        if !given.rest.is_empty() {
            return Err((
                1,
                String::from("sbatch: error: Script arguments not permitted with --wrap option\n"),
            ));
        }
        format!("#!/bin/sh\n# This script was created by sbatch --wrap.\n\n{wrap}\n").into_bytes()
    } else if let Some(file) = given.rest.first() {
        let skip = call.raw_args.len() - given.rest.len() + 1;
        args = call.raw_args[skip..].to_vec();
        let mut path = call.path(file);
        if !path.exists()
            && !file.contains('/')
            && let Some(found) = call.var("PATH").and_then(|path| {
                std::env::split_paths(&path).map(|dir| dir.join(file)).find(|path| path.is_file())
            })
        {
            path = found;
        }
        script_name = Some(path.clone());
        std::fs::read(&path).map_err(|_| (1, format!("sbatch: error: Unable to open file {file}\n")))?
    } else {
        call.stdin()
    };
    look_at(&script)?;
    // Command line over script, by way of order: the last one counts.
    let mut words = directives(&script);
    let environment = [
        ("SBATCH_ACCOUNT", "account"),
        ("SBATCH_PARTITION", "partition"),
        ("SBATCH_QOS", "qos"),
        ("SBATCH_TIMELIMIT", "time"),
        ("SBATCH_JOB_NAME", "job-name"),
        ("SBATCH_EXPORT", "export"),
        ("SBATCH_OPEN_MODE", "open-mode"),
        ("SBATCH_CLUSTERS", "clusters"),
        ("SLURM_CLUSTERS", "clusters"),
        ("SBATCH_ARRAY_INX", "array"),
        ("SBATCH_OUTPUT", "output"),
        ("SBATCH_ERROR", "error"),
    ];
    for (variable, option) in environment {
        words.extend(call.var(variable).map(|value| format!("--{option}={value}")));
    }
    let mut all = args::parse(OPTIONS, &words, true)
        .map_err(|error| (255, format!("sbatch: {error}\nTry \"sbatch --help\" for more information\n")))?;
    all.options.extend(given.options);
    let spec = spec(call, &all, script, script_name, args)?;
    Ok((spec, all))
}

fn look_at(script: &[u8]) -> Result<(), Refusal> {
    if script.iter().all(u8::is_ascii_whitespace) {
        return Err((1, String::from("sbatch: error: Batch script is empty!\n")));
    }
    if !script.starts_with(b"#!") {
        let text = "sbatch: error: This does not look like a batch script.  The first\nsbatch: error: line must start with #! followed by the path to an interpreter.\nsbatch: error: For instance: #!/bin/sh\n";
        return Err((1, String::from(text)));
    }
    if script.contains(&0) {
        return Err((
            1,
            String::from(
                "sbatch: error: The Slurm controller does not allow scripts that\nsbatch: error: contain a NULL character '\\0'.\n",
            ),
        ));
    }
    if script.windows(2).any(|pair| pair == b"\r\n") {
        let text = "sbatch: error: Batch script contains DOS line breaks (\\r\\n)\nsbatch: error: instead of expected UNIX line breaks (\\n).\n";
        return Err((1, String::from(text)));
    }
    Ok(())
}

/// The words of the `#SBATCH` lines before the first command.
fn directives(script: &[u8]) -> Vec<String> {
    let mut words = Vec::new();
    for line in String::from_utf8_lossy(script).lines() {
        if let Some(rest) = line.strip_prefix("#SBATCH") {
            words.extend(split(rest));
        } else if !line.trim_start().starts_with('#') && !line.trim().is_empty() {
            break;
        }
    }
    words
}

/// Words of a line, with quotes, up to a comment.
fn split(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match (quote, letter) {
            (Some(open), _) if letter == open => quote = None,
            (None, '"' | '\'') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (None | Some('"'), '\\') => word.get_or_insert_default().extend(letters.next()),
            (None, '#') if word.is_none() => break,
            (None, _) if letter.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    words
}

fn bad(option: &str) -> Refusal {
    (255, format!("sbatch: error: Invalid --{option} specification\n"))
}

fn number(given: &Parsed, option: &str) -> Result<Option<u32>, Refusal> {
    let Some(text) = given.get(option) else { return Ok(None) };
    // -N 2-4: the smaller one.
    let least = text.split(['-', ',']).next().unwrap_or(text);
    match least.parse::<u32>() {
        Ok(count) if count > 0 => Ok(Some(count)),
        _ if option == "nodes" => Err((
            255,
            format!(
                "sbatch: error: \"{text}\" is not a valid node count\nsbatch: error: invalid node count `{text}'\n"
            ),
        )),
        _ => Err((255, format!("sbatch: error: Invalid numeric value \"{text}\" for --{option}.\n"))),
    }
}

fn spec(
    call: &Call<'_>,
    given: &Parsed,
    script: Vec<u8>,
    script_name: Option<std::path::PathBuf>,
    args: Vec<Vec<u8>>,
) -> Result<Spec, Refusal> {
    let mut spec = Spec {
        script,
        args,
        cwd: call.cwd.clone(),
        umask: call.umask,
        user: call.user.clone(),
        ..Spec::default()
    };
    let file = script_name
        .as_deref()
        .and_then(|path| path.file_name())
        .map(|name| name.to_string_lossy().into_owned());
    let stem = if given.has("wrap") { Some(String::from("wrap")) } else { file };
    spec.name = given.get("job-name").map(String::from).or(stem).unwrap_or_else(|| String::from("sbatch"));
    if let Some(path) = script_name {
        spec.attrs.insert(String::from("command"), path.to_string_lossy().into_owned());
    }
    if let Some(dir) = given.get("chdir") {
        spec.cwd = call.path(dir);
    }
    spec.queue = given.get("partition").unwrap_or_default().to_owned();
    (spec.stdin, spec.stdout, spec.stderr) = (
        given.get("input").map(String::from),
        given.get("output").map(String::from),
        given.get("error").map(String::from),
    );
    spec.append = given.get("open-mode").is_some_and(|mode| mode.starts_with('a'));
    spec.held = if given.has("hold") { HELD_USER } else { 0 };
    if let Some(limit) = given.get("time") {
        spec.limit = text::limit(limit).ok_or_else(|| bad("time"))?;
        spec.attrs.insert(String::from("time"), String::from("1"));
    }
    if let Some(begin) = given.get("begin") {
        let time = text::when(begin, now()).ok_or_else(|| {
            (255, format!("Invalid time specification (pos=0): {begin}\nsbatch: error: Invalid --begin specification\n"))
        })?;
        spec.begin = (time > now()).then_some(time);
    }
    let tasks = number(given, "ntasks")?;
    let per_task = number(given, "cpus-per-task")?.unwrap_or(1);
    let per_node = number(given, "ntasks-per-node")?;
    spec.nodes = number(given, "nodes")?.unwrap_or(1);
    let tasks = tasks.unwrap_or_else(|| spec.nodes.saturating_mul(per_node.unwrap_or(1)));
    if !given.has("nodes")
        && let Some(each) = per_node
    {
        spec.nodes = tasks.div_ceil(each);
    }
    spec.cores = tasks.saturating_mul(per_task);
    let put = |attrs: &mut std::collections::BTreeMap<String, String>, name: &str, value: String| {
        attrs.insert(name.to_owned(), value);
    };
    put(&mut spec.attrs, "tasks", tasks.to_string());
    put(&mut spec.attrs, "cpus_per_task", per_task.to_string());
    if given.has("cpus-per-task") {
        put(&mut spec.attrs, "cpus_per_task_given", String::from("1"));
    }
    if given.has("ntasks") {
        put(&mut spec.attrs, "ntasks_given", String::from("1"));
    }
    if let Some(each) = per_node {
        put(&mut spec.attrs, "ntasks_per_node", each.to_string());
    }
    if let Some(memory) = given.get("mem") {
        spec.memory = text::memory(memory).ok_or_else(|| bad("mem"))?;
        put(&mut spec.attrs, "mem_per_node", spec.memory.to_string());
    } else {
        let each = match given.get("mem-per-cpu") {
            Some(memory) => text::memory(memory).ok_or_else(|| bad("mem-per-cpu"))?,
            None => 200,
        };
        put(&mut spec.attrs, "mem_per_cpu", each.to_string());
        spec.memory = each * u64::from(spec.cores.div_ceil(spec.nodes.max(1)));
    }
    spec.gpus = gpus(given)?;
    for option in [
        "account",
        "qos",
        "comment",
        "dependency",
        "export",
        "reservation",
        "licenses",
        "constraint",
        "exclude",
        "nodelist",
        "wckey",
        "signal",
        "deadline",
        "gres",
    ] {
        if let Some(value) = given.get(option) {
            put(&mut spec.attrs, option, value.to_owned());
        }
    }
    if let Some(list) = given.get("nodelist") {
        spec.only_nodes = text::hostnames(list).unwrap_or_default();
    }
    if given.get("kill-on-invalid-dep") == Some("yes") {
        put(&mut spec.attrs, "kill_invalid", String::from("1"));
    }
    if given
        .options
        .iter()
        .rev()
        .find(|(name, _)| name.ends_with("requeue"))
        .is_some_and(|(name, _)| *name == "no-requeue")
    {
        put(&mut spec.attrs, "no_requeue", String::from("1"));
    }
    if given.has("exclusive") {
        put(&mut spec.attrs, "exclusive", String::from("1"));
    }
    if given.has("nice") {
        let nice = given.get("nice").filter(|text| !text.is_empty()).unwrap_or("100");
        spec.priority = -nice.parse::<i64>().map_err(|_| bad("nice"))?;
    }
    let export = given.get("export").unwrap_or("ALL");
    spec.env = environment(call, export);
    if export != "ALL" {
        // As the real one: a list of variables, too, has the node load the user's login environment.
        let home = call.var("HOME").unwrap_or_else(|| String::from("/"));
        put(&mut spec.attrs, "login_home", home);
        spec.env.push((b"SLURM_GET_USER_ENV".to_vec(), b"1".to_vec()));
    }
    put(&mut spec.attrs, "submit_host", call.host());
    put(&mut spec.attrs, "submit_dir", call.cwd.to_string_lossy().into_owned());
    Ok(spec)
}

/// GPUs a node, of `--gpus`, `--gpus-per-node` or `--gres=gpu[:type][:n]`.
fn gpus(given: &Parsed) -> Result<u32, Refusal> {
    let count = |text: &str| text.rsplit(':').next().and_then(|count| count.parse::<u32>().ok());
    if let Some(text) = given.get("gres").filter(|text| !text.is_empty() && *text != "none") {
        let mut found = 0;
        for part in text.split(',') {
            let part = part.strip_prefix("gres:").or(part.strip_prefix("gres/")).unwrap_or(part);
            if part.split(':').next() != Some("gpu") {
                return Err((
                    1,
                    String::from("sbatch: error: Invalid generic resource (gres) specification\n"),
                ));
            }
            found += count(part).unwrap_or(1);
        }
        return Ok(found);
    }
    Ok(["gpus", "gpus-per-node"].iter().find_map(|option| given.get(option)).and_then(count).unwrap_or(0))
}

/// The environment that is handed over.
fn environment(call: &Call<'_>, export: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut env: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    let mut add = |key: &[u8], value: &[u8]| {
        env.retain(|(known, _)| known != key);
        env.push((key.to_vec(), value.to_vec()));
    };
    for word in export.split(',') {
        match (word, word.split_once('=')) {
            ("ALL", _) => call.env.iter().for_each(|(key, value)| add(key, value)),
            ("NONE" | "NIL", _) => {}
            (_, Some((key, value))) => add(key.as_bytes(), value.as_bytes()),
            _ => {
                for (key, value) in call.env.iter().filter(|(key, _)| key == word.as_bytes()) {
                    add(key, value);
                }
            }
        }
    }
    env
}

/// What the controller has to say about a submission.
fn check(table: &Table, spec: &mut Spec, given: &Parsed) -> Result<(), String> {
    let failed = |why: &str| format!("sbatch: error: Batch job submission failed: {why}\n");
    let config = &table.config;
    if spec.queue.is_empty() {
        spec.queue = config.cluster.default_queue().map(|queue| queue.name.clone()).unwrap_or_default();
    }
    let first = spec.queue.split(',').next().unwrap_or_default().to_owned();
    let Some(queue) = config.cluster.queue(&first) else {
        let why = failed("Invalid partition name specified");
        return Err(format!("sbatch: error: invalid partition specified: {first}\n{why}"));
    };
    spec.queue = first;
    if spec.name.len() > 1024 {
        return Err(failed("Pathname of a file, directory or other parameter too long"));
    }
    if let Some(array) = given.get("array") {
        let (indices, throttle) = text::indices(array, config.limits.max_array)
            .ok_or_else(|| failed("Invalid job array specification"))?;
        (spec.array, spec.throttle) = (Some(indices), throttle);
    }
    let count = spec.array.as_ref().map_or(1, Vec::len);
    let known = table.jobs.values().filter(|job| job.phase != Phase::Ended).count();
    if known + count > config.limits.max_jobs {
        return Err(failed("Resource temporarily unavailable"));
    }
    if let Some(text) = given.get("dependency") {
        spec.depend = dependency(text).ok_or_else(|| failed("Job dependency problem"))?;
    }
    if spec.only_nodes.iter().any(|name| config.cluster.nodes.iter().all(|node| node.name != *name)) {
        return Err(failed("Invalid node name specified"));
    }
    if given.has("reservation") {
        return Err(failed("Requested reservation is invalid"));
    }
    if given.get("licenses").is_some_and(|name| name.split([':', ',']).next() != Some("lic")) {
        return Err(failed("Invalid license specification"));
    }
    if given.get("account").is_some_and(|name| super::is_enforced(config) && name != super::ACCOUNT) {
        return Err(failed("Invalid account or account/partition combination specified"));
    }
    if !spec.attrs.contains_key("time") {
        spec.limit = queue.default_time.or(queue.max_time);
    }
    let total: u32 = config.cluster.nodes_of(queue).map(|node| node.cores).sum();
    let nodes = u32::try_from(config.cluster.nodes_of(queue).count()).unwrap_or(u32::MAX);
    let largest = config.cluster.nodes_of(queue).map(|node| node.cores).max().unwrap_or(0);
    let per_task: u32 = spec.attrs.get("cpus_per_task").and_then(|text| text.parse().ok()).unwrap_or(1);
    if !given.has("nodes") && spec.cores > largest && largest > 0 {
        spec.nodes = spec.nodes.max(spec.cores.div_ceil(largest));
    }
    if spec.cores > total || spec.nodes > nodes || per_task > largest {
        return Err(failed("More processors requested than permitted"));
    }
    if config.cluster.nodes_of(queue).all(|node| node.gpus < spec.gpus) {
        return Err(failed("Requested node configuration is not available"));
    }
    if config.cluster.nodes_of(queue).all(|node| node.memory < spec.memory) {
        return Err(failed("Memory required by task is not available"));
    }
    if config.limits.enforce_queue_limits {
        match view::over(queue, spec) {
            Some("PartitionTimeLimit") => {
                return Err(failed("Requested time limit is invalid (missing or exceeds some limit)"));
            }
            Some("MaxMemPerLimit") => return Err(failed("Memory required by task is not available")),
            Some(_) => return Err(failed("Node count specification invalid")),
            None => {}
        }
    }
    Ok(())
}

/// `afterok:1:2_3,afterany:4`, `singleton`; with `?` any of them is enough.
pub(super) fn dependency(text: &str) -> Option<Depend> {
    let mut depend = Depend { clauses: Vec::new(), any: text.contains('?') };
    for part in text.split([',', '?']).filter(|part| !part.is_empty()) {
        let mut words = part.split(':');
        let kind = match words.next()? {
            "after" => DependKind::After,
            "afterany" => DependKind::AfterAny,
            "afterok" => DependKind::AfterOk,
            "afternotok" => DependKind::AfterNotOk,
            "aftercorr" => DependKind::AfterCorr,
            "singleton" => {
                depend.clauses.push(Clause {
                    kind: DependKind::Singleton,
                    on: Key { id: 0, index: None },
                    delay: 0,
                });
                continue;
            }
            // An id alone is afterany.
            id if id.starts_with(|c: char| c.is_ascii_digit()) => {
                depend.clauses.push(Clause { kind: DependKind::AfterAny, on: view::key(id)?, delay: 0 });
                continue;
            }
            _ => return None,
        };
        let mut count = 0;
        for id in words {
            let (id, delay) = match id.split_once('+') {
                Some((id, minutes)) => (id, minutes.parse::<u64>().ok()?.checked_mul(60)?),
                None => (id, 0),
            };
            depend.clauses.push(Clause { kind, on: view::key(id)?, delay });
            count += 1;
        }
        if count == 0 {
            return None;
        }
    }
    Some(depend)
}
