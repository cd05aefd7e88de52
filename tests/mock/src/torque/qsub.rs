//! `qsub` of Torque.

use std::path::Path;

use crate::engine::{HELD_USER, Phase, Spec, now, seconds};
use crate::front::Call;
use crate::pbs::bytes::{narrow, wide};
use crate::pbs::options::{Family, Misuse, Options, name_is_good};
use crate::pbs::resources::{kilobytes, seconds as duration};
use crate::pbs::table::hms;
use crate::pbs::{clock, depend, die, is_down, qsub, refuse, script, server};

const USAGE: &str = "
usage: qsub [-a date_time] [-A account_string] [-b secs]
    [-c [ none | { enabled | periodic | shutdown |
    depth=<int> | dir=<path> | interval=<minutes>}... ]
    [-C directive_prefix] [-d path] [-D path]
    [-e path] [-h] [-I] [-j oe|eo|n] [-k {oe}] [-K <kill delay seconds>] 
    [-l resource_list] [-m n|{abe}] [-M user_list] [-N jobname] [-o path] 
    [-p priority] [-P proxy_user [-J <jobid]] [-q queue] [-r y|n] 
    [-S path] [-t number_to_submit] [-T type]  [-u user_list] [-w] path
    [-W additional_attributes] [-v variable_list] [-V ] [-x] [-X] [-z] [script]

";

struct Refused(i32, String);

pub(crate) fn run(call: &mut Call<'_>) -> i32 {
    if call.args.first().is_some_and(|arg| arg == "--version") {
        call.err("Version: master\n");
        return 0;
    }
    let allowed = call.engine.config().extra.get("root_may_submit").and_then(serde_json::Value::as_bool);
    if call.user.uid == 0 && allowed == Some(false) {
        call.err("qsub can not be run as root\n");
        return 1;
    }
    let words: Vec<String> = call.raw_args.iter().map(|arg| wide(arg)).collect();
    let (options, text) = match gather(call, &words) {
        Ok(both) => both,
        Err(code) => return code,
    };
    if options.variables.iter().any(|list| list.contains('"')) {
        call.err("invalid -v syntax\n");
        return 3;
    }
    if is_down(call) {
        return super::say_down(call);
    }
    if options.array.as_deref().is_some_and(is_backwards) {
        die(call, false);
        return refuse(call, 67, "submit error (End of File)");
    }
    let spec = match specification(call, &options, text, &words) {
        Ok(spec) => spec,
        Err(Refused(code, text)) => return refuse(call, code, &format!("submit error ({text})")),
    };
    let engine = call.engine;
    let array = spec.array.is_some();
    let key = engine.lock().submit(spec);
    let name = format!("{}{}.{}\n", key.id, if array { "[]" } else { "" }, server(&engine.lock()));
    if !options.silent {
        call.out(name);
    }
    engine.schedule();
    if options.block {
        call.flush();
        return qsub::block(call, key.id);
    }
    0
}

/// `5-1`: the real server dies of it.
fn is_backwards(text: &str) -> bool {
    text.split('%').next().unwrap_or_default().split(',').any(|part| {
        part.split_once('-')
            .and_then(|(first, last)| Some((first.parse::<u64>().ok()?, last.parse::<u64>().ok()?)))
            .is_some_and(|(first, last)| first > last)
    })
}

fn gather(call: &mut Call<'_>, words: &[String]) -> Result<(Options, Vec<u8>), i32> {
    let misuse = |call: &mut Call<'_>, Misuse(text): Misuse| {
        let text = if text.starts_with("The -J") { text } else { format!("qsub: {text}") };
        call.err(format!("[{text}]\n{USAGE}"));
        2
    };
    let mut line = Options::default();
    line.read(words, Family::Torque).map_err(|error| misuse(call, error))?;
    let mut standard = String::from("STDIN");
    let text = match line.operands.first() {
        Some(file) => {
            standard = Path::new(file)
                .file_name()
                .map_or_else(String::new, |name| name.to_string_lossy().into_owned());
            let path = call.path(String::from_utf8_lossy(&narrow(file)).as_ref());
            match std::fs::read(path) {
                Ok(text) => text,
                Err(_) => {
                    let text = format!("script file '{file}' cannot be loaded - No such file or directory");
                    return Err(refuse(call, 1, &text));
                }
            }
        }
        None => call.stdin(),
    };
    let prefix = line.prefix.clone().unwrap_or_else(|| "#PBS".into());
    let mut options = Options::default();
    for directive in script::directives(&wide(&text), &prefix) {
        options.read(&directive, Family::Torque).map_err(|error| misuse(call, error))?;
    }
    options.operands.clear();
    options.read(words, Family::Torque).map_err(|error| misuse(call, error))?;
    if options.name.is_none() {
        if !name_is_good(&standard, Family::Torque) {
            return Err(misuse(call, Misuse("illegal -N value".into())));
        }
        options.name = Some(standard);
    }
    Ok((options, text))
}

/// `0-9`, `1,3,5-7`: the indices, in order; none when it is not written so.
pub(crate) fn indices(text: &str) -> Option<Vec<u32>> {
    const MOST: u64 = 1_000_000;
    let mut out = std::collections::BTreeSet::new();
    for part in text.split(',') {
        let (first, last): (u32, u32) = match part.split_once('-') {
            Some((first, last)) => (first.parse().ok()?, last.parse().ok()?),
            None => (part.parse().ok()?, part.parse().ok()?),
        };
        if u64::from(last.saturating_sub(first)) >= MOST {
            return None;
        }
        out.extend(first..=last);
    }
    Some(out.into_iter().collect())
}

/// Escapes a value for `Variable_List`; a newline gets a backslash too.
fn escaped(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for c in value.chars() {
        if matches!(c, '\\' | ',' | '"' | '\'' | '\n') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// The variables, in the order of the real one, with what its `-v` makes of commas.
fn variables(call: &Call<'_>, options: &Options, queue: &str, host: &str) -> Vec<String> {
    let lookup = |name: &str| {
        let found = call.env.iter().find(|(key, _)| key == name.as_bytes());
        found.map(|(_, value)| wide(value))
    };
    let mut pairs = vec![format!("PBS_O_QUEUE={queue}")];
    for name in ["HOME", "LOGNAME", "PATH", "MAIL", "SHELL", "LANG", "TZ"] {
        if let Some(value) = lookup(name) {
            pairs.push(format!("PBS_O_{name}={}", escaped(&value)));
        }
    }
    for list in &options.variables {
        let mut mangled = false;
        for piece in split(list) {
            match (piece.split_once('='), lookup(&piece)) {
                (Some((name, value)), _) => {
                    // What stands behind an escaped comma is lost.
                    let broken = value.contains("\\,");
                    let kept: Vec<&str> = value.split("\\,").collect();
                    let value = if broken {
                        kept.iter().take(2).copied().collect::<Vec<_>>().join(",")
                    } else {
                        value.to_owned()
                    };
                    let tail = if broken && kept.len() > 2 { "=" } else { "" };
                    pairs.push(format!("{name}={}{tail}", escaped(&value)));
                    if broken && kept.len() > 2 {
                        pairs.push("name=".into());
                    }
                }
                (None, Some(value)) => pairs.push(format!("{piece}={}", escaped(&value))),
                (None, None) if mangled => pairs.push("name=".into()),
                (None, None) => {
                    pairs.push(format!("{piece}="));
                    mangled = true;
                }
            }
        }
    }
    pairs.push(format!("PBS_O_WORKDIR={}", escaped(&wide(&Call::bytes(&call.cwd)))));
    pairs.push(format!("PBS_O_HOST={host}"));
    pairs.push(format!("PBS_O_SERVER={host}"));
    if options.all_variables {
        pairs
            .extend(call.env.iter().map(|(name, value)| format!("{}={}", wide(name), escaped(&wide(value)))));
    }
    pairs
}

/// Cuts at commas that are not escaped.
fn split(list: &str) -> Vec<String> {
    crate::pbs::variables::split(list)
}

fn specification(
    call: &Call<'_>,
    options: &Options,
    script: Vec<u8>,
    words: &[String],
) -> Result<Spec, Refused> {
    let refused = |code, text: &str| Refused(code, text.to_owned());
    let config = call.engine.config();
    let host = server(&call.engine.lock());
    let queue = match &options.queue {
        Some(name) => config.cluster.queue(name.split('@').next().unwrap_or_default()),
        None => config.cluster.default_queue(),
    };
    let queue = queue.ok_or_else(|| refused(172, "Unknown queue MSG=requested queue not found"))?;
    let mut spec = Spec { script, user: call.user.clone(), queue: queue.name.clone(), ..Spec::default() };
    let mut list: Vec<(String, String)> = Vec::new();
    let mut wall = None;
    let (mut nodes, mut per_node) = (1_u32, 1_u32);
    for item in options.resources.iter().flat_map(|list| list.split(',')).filter(|item| !item.is_empty()) {
        let (name, value) = item.split_once('=').unwrap_or((item, ""));
        let illegal =
            || refused(168, &format!("Illegal attribute or resource value for Resource_List.{name}"));
        let mut shown = value.to_owned();
        match name {
            "walltime" | "cput" | "pcput" => {
                let secs = duration(value).ok_or_else(illegal)?;
                shown = hms(secs);
                if name == "walltime" {
                    wall = Some(secs);
                }
            }
            "mem" | "vmem" | "pmem" | "pvmem" | "file" => {
                let kb = kilobytes(value).ok_or_else(illegal)?;
                if name == "mem" {
                    spec.memory = kb.div_ceil(1024);
                }
            }
            "nodes" => {
                let first = value.split('+').next().unwrap_or_default();
                let mut parts = first.split(':');
                nodes = parts.next().and_then(|count| count.parse().ok()).unwrap_or(1);
                per_node = parts
                    .find_map(|part| part.strip_prefix("ppn="))
                    .and_then(|ppn| ppn.parse().ok())
                    .unwrap_or(1);
            }
            "procs" | "ncpus" => per_node = value.parse().map_err(|_| illegal())?,
            "select" | "place" | "arch" | "host" | "nice" | "nodect" | "software" | "qos" | "feature"
            | "gres" | "other" | "naccesspolicy" | "ncores" | "depend" | "opsys" | "prologue"
            | "epilogue" | "size" => {}
            _ => return Err(refused(189, &format!("Unknown resource type  Resource_List.{name}"))),
        }
        list.retain(|(known, _)| known != name);
        list.push((name.to_owned(), shown));
    }
    let has = |list: &[(String, String)], name: &str| list.iter().any(|(known, _)| known == name);
    if !has(&list, "nodes") {
        list.push(("nodes".into(), "1".into()));
    }
    let wall = wall.or(queue.default_time);
    if let (Some(wall), false) = (wall, has(&list, "walltime")) {
        list.push(("walltime".into(), hms(wall)));
    }
    list.push(("nodect".into(), nodes.to_string()));
    if !queue.enabled {
        return Err(refused(
            175,
            &format!(
                "Queue is not enabled MSG=queue is disabled: user {}@localhost, queue {}",
                call.user.name, queue.name
            ),
        ));
    }
    if queue.max_time.is_some_and(|most| wall.is_some_and(|wall| wall > most))
        && config.limits.enforce_queue_limits
    {
        return Err(refused(
            190,
            "Job exceeds queue resource limits MSG=cannot satisfy queue max walltime requirement",
        ));
    }
    let fitting = config.cluster.nodes_of(queue).filter(|node| node.cores >= per_node).count();
    if (fitting as u64) < u64::from(nodes) {
        return Err(refused(
            190,
            "Job exceeds queue resource limits MSG=cannot locate feasible nodes (nodes file is empty, all systems are busy, or no nodes have the requested feature)",
        ));
    }
    if let Some(most) = config.extra.get("max_queued_per_user").and_then(|limits| limits.get(&queue.name)) {
        let table = call.engine.lock();
        let mine = table.jobs.values().filter(|job| {
            job.phase != Phase::Ended && job.spec.queue == queue.name && job.spec.user.uid == call.user.uid
        });
        if most.as_u64().is_some_and(|most| mine.count() as u64 >= most) {
            return Err(refused(
                228,
                &format!(
                    "Maximum number of jobs already in queue for user MSG=total number of current user's jobs exceeds the queue limit: user {}@localhost, queue {}",
                    call.user.name, queue.name
                ),
            ));
        }
    }
    if let Some(text) = &options.array {
        let (range, throttle) =
            text.split_once('%').map_or((text.as_str(), None), |(range, most)| (range, Some(most)));
        let indices =
            indices(range).filter(|indices| indices.len() as u64 <= u64::from(config.limits.max_array));
        spec.array = Some(indices.ok_or_else(|| refused(235, "Bad Job Array Request"))?);
        spec.array_text = range.to_owned();
        spec.throttle = throttle.and_then(|most| most.parse().ok());
    }
    if let Some(text) = &options.begin {
        let time = clock::date_argument(text, seconds(now()), call.var("TZ").as_deref())
            .ok_or_else(|| refused(168, "Illegal attribute or resource value for Execution_Time"))?;
        spec.begin = Some(time.saturating_mul(1_000_000));
    }
    if let Some(text) = &options.depend {
        spec.depend.clauses = depend::clauses(&depend::read(text, Family::Torque).unwrap_or_default());
        let table = call.engine.lock();
        if spec.depend.clauses.iter().any(|clause| table.elements(clause.on.id).next().is_none()) {
            return Err(refused(208, "Invalid Job Dependency"));
        }
    }
    let home = call.var("HOME").unwrap_or_else(|| "/".into());
    let mut attr = |name: &str, value: String| {
        spec.attrs.insert(name.to_owned(), value);
    };
    attr("variables", variables(call, options, &queue.name, &host).join(","));
    attr("submit_args", words.join(" "));
    attr("ctime", now().to_string());
    attr("resources", serde_json::to_string(&list).unwrap_or_default());
    attr("home", home);
    attr("login_shell", call.var("SHELL").unwrap_or_else(|| "/bin/bash".into()));
    attr("spool", call.engine.dir.join("spool").display().to_string());
    attr("join", options.join.clone().unwrap_or_else(|| "n".into()));
    attr("keep", options.keep.clone().unwrap_or_else(|| "n".into()));
    attr("mail", options.mail.clone().unwrap_or_else(|| "a".into()));
    attr("rerunnable", if options.rerunnable == Some(false) { "False" } else { "True" }.into());
    attr("priority", options.priority.unwrap_or(0).to_string());
    attr("init", wide(&Call::bytes(&call.cwd)));
    for (name, value) in [
        ("account", &options.account),
        ("shell", &options.shell),
        ("mail_users", &options.mail_users),
        ("directory", &options.directory),
        ("depend", &options.depend),
    ] {
        if let Some(value) = value {
            attr(name, value.clone());
        }
    }
    spec.name = options.name.clone().unwrap_or_default();
    spec.args =
        options.script_args.iter().flat_map(|args| script::words(args)).map(|word| narrow(&word)).collect();
    spec.cwd = call.cwd.clone();
    spec.umask = options.umask.unwrap_or(0o077);
    spec.stdout = options.output.clone();
    spec.stderr = options.error.clone();
    spec.nodes = nodes;
    spec.cores = nodes.saturating_mul(per_node);
    spec.memory /= u64::from(nodes.max(1));
    spec.limit = wall;
    spec.priority = options.priority.unwrap_or(0);
    spec.held = if options.hold { HELD_USER } else { 0 };
    Ok(spec)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_are_read() {
        assert_eq!(indices("1,3,5-7"), Some(vec![1, 3, 5, 6, 7]));
        assert_eq!(indices("0-9:2"), None);
        assert_eq!(indices("0-4000000000"), None);
        assert!(is_backwards("5-1"));
        assert!(!is_backwards("1-5%2"));
    }

    #[test]
    fn values_are_escaped_as_recorded() {
        assert_eq!(escaped("two\nlines\ttab"), "two\\\nlines\ttab");
        assert_eq!(escaped("a\"b"), "a\\\"b");
    }
}
