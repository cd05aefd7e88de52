//! `squeue`.

use super::view::{self, Row};
use super::{Clock, args, controller, preamble, text};
use crate::engine::{HELD_USER, Job, Phase, Table, micros, now};
use crate::front::Call;

const OPTIONS: &str = "account=A all/a array/r array-unique clusters=M federation format=o Format=O help hide \
    iterate=i jobs=j json json-v2 licenses=L local long/l me name=n noconvert nodelist=w noheader/h only-job-state \
    partition=p priority/P qos=q reservation=R sibling sort=S start state=t states=t step=s steps? usage user=u \
    users=u verbose/v version/V yaml";

/// They choose jobs, or another form, in ways that this mock does not know.
const UNSERVED: &[&str] = &["json-v2", "yaml", "iterate", "licenses", "reservation", "step", "steps"];

const DEFAULT: &str = "%.18i %.9P %.8j %.8u %.2t %.10M %.6D %R";
const LONG: &str = "%.18i %.9P %.8j %.8u %.8T %.10M %.9l %.6D %R";
const START: &str = "%.18i %.9P %.8j %.8u %.2t %.19S %.6D %20Y %R";
const ALL: &str = "%a|%b|%c|%d|%e|%f|%g|%h|%i|%j|%k|%l|%m|%n|%o|%p|%q|%r|%t|%u|%v|%w|%x|%y|%z|%A|%B|%C|%D|%E|%F|%G|%H|%I|%J|%K|%L|%M|%N|%O|%P|%Q|%R|%S|%T|%U|%V|%W|%X|%Y|%Z";

/// Letter, names in `-O`, header.
const FIELDS: &[(char, &str, &str)] = &[
    ('a', "account", "ACCOUNT"),
    ('b', "tres-per-node trespernode gres", "TRES_PER_NODE"),
    ('c', "mincpus", "MIN_CPUS"),
    ('d', "mintmpdisk", "MIN_TMP_DISK"),
    ('e', "endtime", "END_TIME"),
    ('f', "feature", "FEATURES"),
    ('g', "groupname", "GROUP"),
    ('h', "oversubscribe", "OVER_SUBSCRIBE"),
    ('i', "jobarrayid", "JOBID"),
    ('j', "name", "NAME"),
    ('k', "comment", "COMMENT"),
    ('l', "timelimit", "TIME_LIMIT"),
    ('m', "minmemory", "MIN_MEMORY"),
    ('n', "reqnodes", "REQ_NODES"),
    ('o', "command", "COMMAND"),
    ('p', "priority", "PRIORITY"),
    ('q', "qos", "QOS"),
    ('r', "reason", "REASON"),
    ('t', "statecompact", "ST"),
    ('u', "username", "USER"),
    ('v', "reservation", "RESERVATION"),
    ('w', "wckey", "WCKEY"),
    ('x', "exc_nodes excnodes", "EXC_NODES"),
    ('y', "nice", "NICE"),
    ('z', "sct", "S:C:T"),
    ('A', "jobid", "JOBID"),
    ('B', "batchhost exec_host", "EXEC_HOST"),
    ('C', "numcpus", "CPUS"),
    ('D', "numnodes", "NODES"),
    ('E', "dependency", "DEPENDENCY"),
    ('F', "arrayjobid", "ARRAY_JOB_ID"),
    ('G', "groupid", "GROUP"),
    ('H', "sockets", "SOCKETS_PER_NODE"),
    ('I', "cores", "CORES_PER_SOCKET"),
    ('J', "threads", "THREADS_PER_CORE"),
    ('K', "arraytaskid", "ARRAY_TASK_ID"),
    ('L', "timeleft", "TIME_LEFT"),
    ('M', "timeused", "TIME"),
    ('N', "nodelist", "NODELIST"),
    ('O', "contiguous", "CONTIGUOUS"),
    ('P', "partition", "PARTITION"),
    ('Q', "prioritylong", "PRIORITY"),
    ('R', "reasonlist", "NODELIST(REASON)"),
    ('S', "starttime", "START_TIME"),
    ('T', "state", "STATE"),
    ('U', "userid", "UID"),
    ('V', "submittime", "SUBMIT_TIME"),
    ('W', "licenses", "LICENSES"),
    ('X', "corespec", "CORE_SPEC"),
    ('Y', "schednodes", "SCHEDNODES"),
    ('Z', "workdir", "WORK_DIR"),
    ('\u{1}', "tres-alloc tresalloc", "TRES_ALLOC"),
    ('\u{2}', "numtasks", "TASKS"),
    ('\u{3}', "exit_code exitcode", "EXIT_CODE"),
    ('\u{4}', "stdout", "STDOUT"),
    ('\u{5}', "stderr", "STDERR"),
    ('\u{6}', "stdin", "STDIN"),
    ('\u{7}', "eligibletime", "ELIGIBLE_TIME"),
    ('\u{8}', "restartcnt", "RESTART_COUNT"),
    ('\u{e}', "accruetime", "ACCRUE_TIME"),
    ('\u{f}', "cluster", "CLUSTER"),
    ('\u{10}', "requeue", "REQUEUE"),
];

/// A part of a format: text, or a field with its width.
enum Part {
    Text(String),
    Field { letter: char, width: Option<usize>, right: bool, suffix: String },
}

pub(super) fn run(call: &mut Call<'_>) -> i32 {
    let args = call.args.clone();
    let given = match args::parse(OPTIONS, &args, false) {
        Ok(given) => given,
        Err(error) => {
            call.err(format!("squeue: {error}\nTry \"squeue --help\" for more information\n"));
            return 1;
        }
    };
    if let Some(code) = preamble::answer(call, &given, OPTIONS, UNSERVED) {
        return code;
    }
    let mut keys = Vec::new();
    for word in given.get("jobs").unwrap_or_default().split(',').filter(|word| !word.is_empty()) {
        match view::key(word.trim()) {
            Some(key) => keys.push(key),
            None => {
                call.err(format!("squeue: error: Invalid job id: {word}\n"));
                return 1;
            }
        }
    }
    let mut states: Option<Vec<&str>> = None;
    if let Some(list) = given.get("states").or(given.get("state")) {
        let mut wanted = Vec::new();
        for word in list.split(',').filter(|word| !word.is_empty()) {
            let upper = word.to_ascii_uppercase();
            if upper == "ALL" {
                wanted.extend(view::STATES.iter().map(|state| state.1));
                continue;
            }
            match view::STATES.iter().find(|state| state.0 == upper || state.1 == upper) {
                Some(state) => wanted.push(state.1),
                None => {
                    let all: Vec<&str> = view::STATES.iter().map(|state| state.0).collect();
                    call.err(format!("squeue: error: Invalid job state specified: {word}\nsqueue: error: Valid job states include: {}\n", all.join(",")));
                    return 1;
                }
            }
        }
        states = Some(wanted);
    }
    let mut users: Vec<String> = Vec::new();
    for word in
        given.get("users").or(given.get("user")).unwrap_or_default().split(',').filter(|w| !w.is_empty())
    {
        if word.parse::<u32>().is_err() && crate::daemon::uid_of(word).is_none() {
            call.err(format!("squeue: error: Invalid user: {word}\n"));
            // As recorded: the header and nothing else.
        }
        users.push(word.to_owned());
    }
    if given.has("me") {
        users.push(call.user.uid.to_string());
    }
    let mut unknown = Vec::new();
    let parts = if let Some(format) = given.get("Format") {
        parse_long(format, &mut unknown)
    } else {
        let format = given.get("format").map(String::from).or_else(|| call.var("SQUEUE_FORMAT"));
        let default = if given.has("start") {
            START
        } else if given.has("long") {
            LONG
        } else {
            DEFAULT
        };
        let format = format.unwrap_or_else(|| default.to_owned());
        parse(if format == "%all" { ALL } else { &format })
    };
    for name in unknown {
        call.err(format!("squeue: error: Invalid job format specification: {name}\n"));
    }
    let nodes = match view::nodes_asked_for(call, &given) {
        Ok(nodes) => nodes,
        Err(code) => return code,
    };
    let clock = Clock::of(call);
    if let Some(code) = controller(call, "slurm_load_jobs error: ", if keys.is_empty() { 1.0 } else { 2.0 }) {
        return code;
    }
    let table = call.engine.lock();
    let names: Option<Vec<&str>> = given.get("name").map(|names| names.split(',').collect());
    let queues: Option<Vec<&str>> = given.get("partition").map(|names| names.split(',').collect());
    let listed = |option: &str, value: &str| {
        given.get(option).is_none_or(|list| list.split(',').any(|name| name == value))
    };
    let wanted = |job: &&Job| {
        let short = view::state(job).1;
        (keys.is_empty() || keys.iter().any(|key| matches(job, *key)))
            && states.as_ref().map_or_else(|| job.phase != Phase::Ended, |states| states.contains(&short))
            && (users.is_empty()
                || users
                    .iter()
                    .any(|user| *user == job.spec.user.name || *user == job.spec.user.uid.to_string()))
            && names.as_ref().is_none_or(|names| names.contains(&job.spec.name.as_str()))
            && queues.as_ref().is_none_or(|names| names.contains(&job.spec.queue.as_str()))
            && listed("account", account(job))
            && listed("qos", job.attr("qos").unwrap_or("normal"))
            && nodes.as_ref().is_none_or(|nodes| view::is_on(job, nodes))
            && (!given.has("start") || job.phase == Phase::Pending)
    };
    if let [key] = keys.as_slice()
        && !table.jobs.values().any(|job| matches(job, *key))
    {
        drop(table);
        call.err("slurm_load_jobs error: Invalid job id specified\n");
        return 1;
    }
    let single = keys.iter().any(|key| key.index.is_some());
    if given.has("json") {
        let jobs: Vec<serde_json::Value> = table
            .jobs
            .values()
            .filter(|job| {
                wanted(job) || (given.get("states").is_none() && job.phase == Phase::Ended && keys.is_empty())
            })
            .map(|job| super::json::job(&table, job))
            .collect();
        let text = super::json::document(&jobs);
        drop(table);
        call.out(text);
        return 0;
    }
    let mut rows = view::rows(table.jobs.values().filter(wanted), given.has("array") || single);
    sort(&mut rows, given.get("sort"));
    let mut out = Vec::new();
    if !given.has("noheader") {
        if given.has("long") {
            out.extend_from_slice(
                format!("{}\n", text::ctime(now() + micros(clock.offset as f64))).as_bytes(),
            );
        }
        line(&mut out, &parts, |letter| {
            FIELDS.iter().find(|field| field.0 == letter).map_or("", |field| field.2).to_owned()
        });
    }
    for row in &rows {
        line(&mut out, &parts, |letter| field(&table, row, letter, &clock));
    }
    drop(table);
    call.out(out);
    0
}

/// An id names a job: the array, the element, or the element's own id.
pub(super) fn matches(job: &Job, key: crate::engine::Key) -> bool {
    match key.index {
        Some(_) => job.key == key,
        None => job.key.id == key.id || job.raw == key.id,
    }
}

fn account(job: &Job) -> &str {
    job.attr("account").unwrap_or(super::ACCOUNT)
}

fn rank(job: &Job) -> usize {
    view::STATES.iter().position(|state| state.1 == view::state(job).1).unwrap_or(0)
}

/// By partition, state and priority, or by the fields of `-S`.
fn sort(rows: &mut [Row<'_>], by: Option<&str>) {
    let held = |row: &Row<'_>| row.job.held & HELD_USER != 0 && row.job.phase == Phase::Pending;
    let Some(by) = by else {
        rows.sort_by(|a, b| {
            (&a.job.spec.queue, rank(a.job), held(a), -a.job.priority)
                .cmp(&(&b.job.spec.queue, rank(b.job), held(b), -b.job.priority))
                .then_with(|| a.job.key.id.cmp(&b.job.key.id))
                .then_with(|| b.job.key.index.cmp(&a.job.key.index))
        });
        return;
    };
    for key in by.split(',').rev() {
        let down = key.starts_with('-');
        let letter = key.trim_start_matches(['-', '+']).chars().next().unwrap_or('i');
        rows.sort_by(|a, b| {
            let order = match letter {
                'P' => a.job.spec.queue.cmp(&b.job.spec.queue),
                't' | 'T' => rank(a.job).cmp(&rank(b.job)),
                'u' => a.job.spec.user.name.cmp(&b.job.spec.user.name),
                'j' => a.job.spec.name.cmp(&b.job.spec.name),
                'p' | 'Q' => a.job.priority.cmp(&b.job.priority).then(b.job.key.id.cmp(&a.job.key.id)),
                'S' => a.job.start.cmp(&b.job.start),
                'V' => a.job.submit.cmp(&b.job.submit),
                'M' => view::elapsed(a.job).cmp(&view::elapsed(b.job)),
                _ => a.job.key.cmp(&b.job.key),
            };
            if down { order.reverse() } else { order }
        });
    }
}

/// `%[.][width]letter` and text between.
fn parse(format: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut letters = format.chars().peekable();
    let mut plain = String::new();
    while let Some(letter) = letters.next() {
        if letter != '%' {
            plain.push(letter);
            continue;
        }
        if !plain.is_empty() {
            parts.push(Part::Text(std::mem::take(&mut plain)));
        }
        let right = letters.next_if_eq(&'.').is_some();
        let mut width = String::new();
        while let Some(digit) = letters.next_if(char::is_ascii_digit) {
            width.push(digit);
        }
        if let Some(letter) = letters.next() {
            parts.push(Part::Field { letter, width: width.parse().ok(), right, suffix: String::new() });
        }
    }
    if !plain.is_empty() {
        parts.push(Part::Text(plain));
    }
    parts
}

/// `name[:[.]width][suffix],…`; 20 columns without a width, as needed with a suffix.
fn parse_long(format: &str, unknown: &mut Vec<String>) -> Vec<Part> {
    let mut parts = Vec::new();
    for word in format.split(',').filter(|word| !word.is_empty()) {
        let (name, size) = word.split_once(':').map_or((word, None), |(name, size)| (name, Some(size)));
        let lower = name.trim().to_ascii_lowercase();
        let Some(found) = FIELDS.iter().find(|field| field.1.split(' ').any(|known| known == lower)) else {
            unknown.push(name.to_owned());
            continue;
        };
        let size = size.unwrap_or("20");
        let right = size.starts_with('.');
        let size = size.trim_start_matches('.');
        let digits = size.find(|c: char| !c.is_ascii_digit()).unwrap_or(size.len());
        let (width, suffix) = size.split_at(digits);
        parts.push(Part::Field {
            letter: found.0,
            width: width.parse().ok(),
            right,
            suffix: suffix.to_owned(),
        });
    }
    parts
}

/// Cuts and pads by bytes, through the middle of a letter, as the real one does.
fn line(out: &mut Vec<u8>, parts: &[Part], value: impl Fn(char) -> String) {
    for part in parts {
        match part {
            Part::Text(text) => out.extend_from_slice(text.as_bytes()),
            Part::Field { letter, width, right, suffix } => {
                let text = value(*letter).into_bytes();
                let size = width.filter(|width| *width > 0).unwrap_or(text.len());
                let pad = vec![b' '; size.saturating_sub(text.len())];
                let cut = &text[..text.len().min(size)];
                let (first, second) = if *right { (pad.as_slice(), cut) } else { (cut, pad.as_slice()) };
                out.extend_from_slice(first);
                out.extend_from_slice(second);
                out.extend_from_slice(suffix.as_bytes());
            }
        }
    }
    out.push(b'\n');
}

fn field(table: &Table, row: &Row<'_>, letter: char, clock: &Clock) -> String {
    let job = row.job;
    let spec = &job.spec;
    let null = || String::from("(null)");
    let attr = |name: &str| job.attr(name).map(String::from);
    let time = |time: Option<i64>| time.map_or_else(|| String::from("N/A"), |time| clock.write(time));
    let priority = 4_294_901_760_i64 - (job.key.id as i64) + job.priority;
    let pending = job.phase == Phase::Pending;
    match letter {
        'a' => account(job).to_owned(),
        'b' => {
            if spec.gpus > 0 {
                attr("gres").map_or_else(|| format!("gres:gpu:{}", spec.gpus), |gres| format!("gres:{gres}"))
            } else {
                String::from("N/A")
            }
        }
        'c' => attr("cpus_per_task").unwrap_or_else(|| String::from("1")),
        'd' => String::from("0"),
        'e' => match (job.end, job.start, job.limit) {
            (None, Some(start), Some(limit)) => clock.write(start + limit as i64 * 1_000_000),
            (end, ..) => time(end),
        },
        'f' => attr("constraint").unwrap_or_else(null),
        'g' => spec.user.group.clone(),
        'h' => String::from(if pending { "OK" } else { "NO" }),
        'i' => row.id(),
        'j' => spec.name.clone(),
        'k' => attr("comment").filter(|text| !text.is_empty()).unwrap_or_else(null),
        'l' => job.limit.map_or_else(|| String::from("UNLIMITED"), |limit| text::short(limit as i64)),
        'L' => match job.limit {
            None => String::from("UNLIMITED"),
            Some(limit) => {
                let left = limit as i64 - view::elapsed(job);
                if left < 0 { format!("-{}", text::short(-left)) } else { text::short(left) }
            }
        },
        'm' => match attr("mem_per_cpu") {
            Some(each) => size(&each),
            None => size(&spec.memory.to_string()),
        },
        'n' => attr("nodelist").unwrap_or_default(),
        'o' => attr("command").unwrap_or_else(null),
        'p' => format!("{:.14}", priority as f64 / 4_294_967_295.0),
        'q' => attr("qos").unwrap_or_else(|| String::from("normal")),
        'r' => row.reason(),
        't' => view::state(job).1.to_owned(),
        'T' => view::state(job).0.to_owned(),
        'u' => spec.user.name.clone(),
        'v' | 'W' | 'w' => null(),
        'x' => attr("exclude").unwrap_or_default(),
        'y' => (-job.priority).to_string(),
        'z' => String::from("*:*:*"),
        'A' => job.raw.to_string(),
        'B' => job.alloc.first().map_or_else(|| String::from("n/a"), |alloc| alloc.node.clone()),
        'C' => spec.cores.to_string(),
        'D' => if job.alloc.is_empty() { spec.nodes as usize } else { job.alloc.len() }.to_string(),
        'E' => view::dependency(table, job).unwrap_or_else(null),
        'F' => job.key.id.to_string(),
        'G' => spec.user.gid.to_string(),
        'H' | 'I' | 'J' => String::from("*"),
        'K' => row.tasks().unwrap_or_else(|| String::from("N/A")),
        'M' => text::short(view::elapsed(job)),
        'N' => view::node_list(job),
        'O' => String::from("0"),
        'P' => spec.queue.clone(),
        'Q' => if job.held != 0 { 0 } else { priority }.to_string(),
        'R' if pending => format!("({})", row.reason()),
        'R' if job.alloc.is_empty() => format!("({})", row.reason()),
        'R' => view::node_list(job),
        'S' => time(job.start.or(job.begin).or(job.end)),
        'U' => spec.user.uid.to_string(),
        'V' => clock.write(job.submit),
        'X' => String::from("N/A"),
        'Y' => null(),
        'Z' => spec.cwd.to_string_lossy().into_owned(),
        '\u{1}' => view::tres(job, false),
        '\u{2}' => attr("tasks").unwrap_or_else(|| String::from("1")),
        '\u{3}' => job.exit.as_ref().map_or(0, |exit| exit.status).to_string(),
        '\u{4}' => {
            let default = if job.key.index.is_some() { "slurm-%A_%a.out" } else { "slurm-%j.out" };
            spec.cwd
                .join(super::launch::expand(spec.stdout.as_deref().unwrap_or(default), job))
                .to_string_lossy()
                .into_owned()
        }
        '\u{5}' => spec
            .stderr
            .as_deref()
            .map(|pattern| spec.cwd.join(super::launch::expand(pattern, job)).to_string_lossy().into_owned())
            .unwrap_or_default(),
        '\u{6}' => spec.stdin.clone().unwrap_or_else(|| String::from("/dev/null")),
        '\u{7}' | '\u{e}' => time(job.eligible),
        '\u{8}' => job.runs.saturating_sub(1).to_string(),
        '\u{f}' => table.config.cluster.name.clone(),
        '\u{10}' => String::from("1"),
        _ => String::new(),
    }
}

/// MiB as squeue writes them: `200M`, `4G`.
fn size(text: &str) -> String {
    match text.parse::<u64>() {
        Ok(size) if size >= 1024 && size.is_multiple_of(1024) => format!("{}G", size / 1024),
        _ => format!("{text}M"),
    }
}
