//! `sinfo`.

use serde_json::json;

use super::{Clock, args, controller, preamble, text};
use crate::config::{Node, Queue};
use crate::engine::{Table, now};
use crate::front::Call;

const OPTIONS: &str = "all/a clusters=M dead/d exact/e federation format=o Format=O help hide iterate=i json local \
    list-reasons/R long/l Node/N nodes=n noconvert noheader/h partition=p responding/r sort=S states=t summarize/s \
    reservation/T usage verbose/v version/V yaml";

/// They choose nodes, or another form, in ways that this mock does not know.
const UNSERVED: &[&str] = &["yaml", "iterate", "dead", "responding", "reservation"];

/// One row: nodes of one partition that are alike.
struct Row<'a> {
    queue: Option<&'a Queue>,
    nodes: Vec<&'a Node>,
}

/// The state of a node, long and short.
pub(super) fn node_state(table: &Table, node: &Node) -> (&'static str, &'static str) {
    let used = table.usage().get(node.name.as_str()).map_or(0, |used| used.0);
    match (node.state.as_str(), used) {
        ("down", _) => ("down", "down"),
        ("drain", 0) => ("drained", "drain"),
        ("drain", _) => ("draining", "drng"),
        (_, 0) => ("idle", "idle"),
        (_, used) if used >= node.cores => ("allocated", "alloc"),
        _ => ("mixed", "mix"),
    }
}

pub(super) fn run(call: &mut Call<'_>) -> i32 {
    let args = call.args.clone();
    let given = match args::parse(OPTIONS, &args, false) {
        Ok(given) => given,
        Err(error) => {
            call.err(format!("sinfo: {error}\nTry \"sinfo --help\" for more information\n"));
            return 1;
        }
    };
    if let Some(code) = preamble::answer(call, &given, OPTIONS, UNSERVED) {
        return code;
    }
    if let Some(code) = controller(call, "slurm_load_partitions: ", 1.0) {
        return code;
    }
    let clock = Clock::of(call);
    let by_node = given.has("Node");
    let default = if given.has("list-reasons") {
        "%20E %9u %19H %N"
    } else if by_node && given.has("long") {
        "%10N %.5D %9P %11T %4c %8z %6m %8d %6w %8f %20E"
    } else if by_node {
        "%10N %6D %9P %6t"
    } else if given.has("summarize") {
        "%9P %.5a %.10l %.16F %N"
    } else if given.has("long") {
        "%9P %.5a %.10l %.10s %.4r %.8h %.10g %.6D %.11T %N"
    } else {
        "%9P %.5a %.10l %.6D %.6t %N"
    };
    let format = given.get("format").map(String::from).or_else(|| call.var("SINFO_FORMAT"));
    let format = format.unwrap_or_else(|| default.to_owned());
    let parts = match given.get("Format") {
        Some(list) => long_format(list),
        None => short_format(&format),
    };
    let states: Option<Vec<String>> =
        given.get("states").map(|list| list.split(',').map(str::to_ascii_lowercase).collect());
    let queues: Option<Vec<&str>> = given.get("partition").map(|list| list.split(',').collect());
    let names = given.get("nodes").and_then(text::hostnames);
    let table = call.engine.lock();
    let wanted = |node: &&Node| {
        let (long, short) = node_state(&table, node);
        states
            .as_ref()
            .is_none_or(|states| states.iter().any(|state| state == long || state == short || state == "all"))
            && names.as_ref().is_none_or(|names| names.contains(&node.name))
            && (!given.has("list-reasons") || !node.state.is_empty())
    };
    if given.has("json") {
        let rows: Vec<serde_json::Value> =
            table.config.cluster.nodes.iter().filter(wanted).map(|node| json_node(&table, node)).collect();
        let text = super::json::wrap("nodes", &rows);
        drop(table);
        call.out(text);
        return 0;
    }
    // Which fields part the nodes of a partition into rows.
    let parts_state = parts.iter().any(|part| matches!(part.0, 't' | 'T' | 'E'));
    let parts_nodes = parts.iter().any(|part| matches!(part.0, 'n'));
    let parts_queue = parts.iter().any(|part| matches!(part.0, 'P' | 'R' | 'a' | 'l' | 's' | 'L'));
    let parts_shape = given.has("Format") || parts.iter().any(|part| matches!(part.0, 'c' | 'm' | 'G'));
    let mut rows: Vec<Row<'_>> = Vec::new();
    let all = table
        .config
        .cluster
        .queues
        .iter()
        .filter(|queue| queues.as_ref().is_none_or(|names| names.contains(&queue.name.as_str())));
    for queue in all {
        let mut found = false;
        for node in table.config.cluster.nodes_of(queue).filter(wanted) {
            found = true;
            let alike = rows.iter_mut().find(|row| {
                let first = row.nodes.first();
                let same_queue = row.queue.is_some_and(|other| other.name == queue.name) || !parts_queue;
                same_queue
                    && !by_node
                    && !parts_nodes
                    && first.is_some_and(|first| {
                        (!parts_state
                            || (node_state(&table, first) == node_state(&table, node)
                                && first.reason == node.reason))
                            && (!parts_shape
                                || (first.cores, first.memory, first.gpus)
                                    == (node.cores, node.memory, node.gpus))
                    })
            });
            match alike {
                Some(row) => {
                    if row.nodes.iter().all(|known| known.name != node.name) {
                        row.nodes.push(node);
                    }
                }
                None => rows.push(Row { queue: Some(queue), nodes: vec![node] }),
            }
        }
        if !found && !by_node && parts_queue && !given.has("list-reasons") {
            rows.push(Row { queue: Some(queue), nodes: Vec::new() });
        }
    }
    if by_node {
        rows.sort_by(|a, b| {
            a.nodes.first().map(|node| &node.name).cmp(&b.nodes.first().map(|node| &node.name))
        });
    }
    let mut out = String::new();
    if !given.has("noheader") {
        if given.has("long") {
            out += &format!("{}\n", text::ctime(now() + clock.offset * 1_000_000));
        }
        write(&mut out, &parts, |letter| header(letter, by_node));
    }
    for row in &rows {
        write(&mut out, &parts, |letter| field(&table, row, letter, &clock));
    }
    drop(table);
    call.out(out);
    0
}

type Part = (char, usize, bool, String);

/// Fields with width, side and the text that follows; text alone has the letter NUL.
fn short_format(format: &str) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    let mut letters = format.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter != '%' {
            match parts.last_mut() {
                Some(part) => part.3.push(letter),
                None => parts.push(('\0', 0, false, letter.to_string())),
            }
            continue;
        }
        let right = letters.next_if_eq(&'.').is_some();
        let mut width = String::new();
        while let Some(digit) = letters.next_if(char::is_ascii_digit) {
            width.push(digit);
        }
        if let Some(letter) = letters.next() {
            parts.push((letter, width.parse().unwrap_or(0), right, String::new()));
        }
    }
    parts
}

fn long_format(list: &str) -> Vec<Part> {
    const NAMES: &[(&str, char)] = &[
        ("partition", 'P'),
        ("partitionname", 'R'),
        ("available", 'a'),
        ("time", 'l'),
        ("defaulttime", 'L'),
        ("nodes", 'D'),
        ("nodeai", 'A'),
        ("nodeaiot", 'F'),
        ("statelong", 'T'),
        ("statecompact", 't'),
        ("nodelist", 'N'),
        ("nodehost", 'n'),
        ("cpusstate", 'C'),
        ("cpus", 'c'),
        ("memory", 'm'),
        ("allocmem", '\u{1}'),
        ("freemem", 'e'),
        ("gres", 'G'),
        ("gresused", '\u{2}'),
        ("features", 'f'),
        ("reason", 'E'),
        ("size", 's'),
        ("weight", 'w'),
        ("cpusload", 'O'),
        ("version", 'v'),
    ];
    list.split(',')
        .filter_map(|word| {
            let (name, size) = word.split_once(':').unwrap_or((word, "20"));
            let lower = name.trim().to_ascii_lowercase();
            let letter = NAMES.iter().find(|known| known.0 == lower)?.1;
            let digits = size.trim_start_matches('.').find(|c: char| !c.is_ascii_digit());
            let bare = size.trim_start_matches('.');
            let (width, suffix) = bare.split_at(digits.unwrap_or(bare.len()));
            Some((letter, width.parse().unwrap_or(0), size.starts_with('.'), suffix.to_owned()))
        })
        .collect()
}

fn write(out: &mut String, parts: &[Part], value: impl Fn(char) -> String) {
    for (letter, width, right, suffix) in parts {
        let text = if *letter == '\0' { String::new() } else { value(*letter) };
        let cut: String = if *width > 0 { text.chars().take(*width).collect() } else { text };
        out.push_str(&if *right { format!("{cut:>width$}") } else { format!("{cut:<width$}") });
        out.push_str(suffix);
    }
    out.push('\n');
}

fn header(letter: char, by_node: bool) -> String {
    let text = match letter {
        'P' | 'R' => "PARTITION",
        'a' => "AVAIL",
        'l' => "TIMELIMIT",
        'L' => "DEFAULTTIME",
        'D' => "NODES",
        'A' => "NODES(A/I)",
        'F' => "NODES(A/I/O/T)",
        't' | 'T' => "STATE",
        'N' if by_node => "NODELIST",
        'N' => "NODELIST",
        'n' => "HOSTNAMES",
        'C' => "CPUS(A/I/O/T)",
        'c' => "CPUS",
        'm' => "MEMORY",
        '\u{1}' => "ALLOCMEM",
        'e' => "FREE_MEM",
        'G' => "GRES",
        '\u{2}' => "GRES_USED",
        'f' => "AVAIL_FEATURES",
        'E' => "REASON",
        'u' => "USER",
        'H' => "TIMESTAMP",
        's' => "JOB_SIZE",
        'r' => "ROOT",
        'h' => "OVERSUBS",
        'g' => "GROUPS",
        'w' => "WEIGHT",
        'z' => "S:C:T",
        'd' => "TMP_DISK",
        'O' => "CPU_LOAD",
        'v' => "VERSION",
        _ => "",
    };
    text.to_owned()
}

fn field(table: &Table, row: &Row<'_>, letter: char, clock: &Clock) -> String {
    let usage = table.usage();
    let used = |node: &Node| usage.get(node.name.as_str()).copied().unwrap_or_default();
    let cores: u32 = row.nodes.iter().map(|node| node.cores).sum();
    let (mut busy, mut other, mut free) = (0, 0, 0);
    let (mut busy_nodes, mut other_nodes, mut idle_nodes) = (0, 0, 0);
    for node in &row.nodes {
        let (taken, ..) = used(node);
        busy += taken;
        if node.state.is_empty() {
            free += node.cores.saturating_sub(taken);
        } else {
            other += node.cores.saturating_sub(taken);
        }
        match (node.state.is_empty(), taken) {
            (false, _) => other_nodes += 1,
            (true, 0) => idle_nodes += 1,
            _ => busy_nodes += 1,
        }
    }
    let first = row.nodes.first();
    let queue = row.queue;
    let is_default =
        |queue: &Queue| table.config.cluster.default_queue().is_some_and(|first| first.name == queue.name);
    let limit =
        |time: Option<u64>| time.map_or_else(|| String::from("infinite"), |time| text::short(time as i64));
    match letter {
        'P' => queue
            .map(|queue| format!("{}{}", queue.name, if is_default(queue) { "*" } else { "" }))
            .unwrap_or_default(),
        'R' => queue.map(|queue| queue.name.clone()).unwrap_or_default(),
        'a' => String::from(if queue.is_some_and(|queue| queue.started) { "up" } else { "down" }),
        'l' => limit(queue.and_then(|queue| queue.max_time)),
        'L' => queue
            .and_then(|queue| queue.default_time)
            .map_or_else(|| String::from("n/a"), |time| text::short(time as i64)),
        'D' => row.nodes.len().to_string(),
        'A' => format!("{busy_nodes}/{idle_nodes}"),
        'F' => format!("{busy_nodes}/{idle_nodes}/{other_nodes}/{}", row.nodes.len()),
        't' => first.map_or("n/a", |node| node_state(table, node).1).to_owned(),
        'T' => first.map_or("n/a", |node| node_state(table, node).0).to_owned(),
        'N' => text::nodes(row.nodes.iter().map(|node| node.name.as_str())),
        'n' => first.map(|node| node.name.clone()).unwrap_or_default(),
        'C' => format!("{busy}/{free}/{other}/{cores}"),
        'c' => first.map_or(0, |node| node.cores).to_string(),
        'm' => first.map_or(0, |node| node.memory).to_string(),
        '\u{1}' => first.map_or(0, |node| used(node).1).to_string(),
        'e' => first.map_or(0, |node| node.memory.saturating_sub(used(node).1)).to_string(),
        'G' => first
            .filter(|node| node.gpus > 0)
            .map_or_else(|| String::from("(null)"), |node| format!("gpu:{}", node.gpus)),
        '\u{2}' => first
            .filter(|node| node.gpus > 0)
            .map_or_else(|| String::from("gpu:0"), |node| format!("gpu:{}", used(node).2)),
        'f' => String::from("(null)"),
        'E' => first
            .filter(|node| !node.reason.is_empty())
            .map_or_else(|| String::from("none"), |node| node.reason.clone()),
        'u' => String::from("root"),
        'H' => clock.write(now()),
        's' => queue
            .and_then(|queue| queue.max_nodes)
            .map_or_else(|| String::from("1-infinite"), |most| format!("1-{most}")),
        'r' => String::from("no"),
        'h' => String::from("NO"),
        'g' => String::from("all"),
        'w' => first
            .and_then(|first| table.config.cluster.nodes.iter().position(|node| node.name == first.name))
            .map_or(1, |at| at + 1)
            .to_string(),
        'z' => format!("1:{}:1", first.map_or(0, |node| node.cores)),
        'd' => String::from("0"),
        'O' => String::from("0.10"),
        'v' => String::from("22.05.8"),
        _ => String::new(),
    }
}

fn json_node(table: &Table, node: &Node) -> serde_json::Value {
    let (cores, memory, gpus) = table.usage().get(node.name.as_str()).copied().unwrap_or_default();
    let queues = table.config.cluster.queues_of(&node.name);
    let gres = if node.gpus > 0 { format!("gpu:{}", node.gpus) } else { String::new() };
    json!({
        "architecture": "x86_64", "address": "127.0.0.1", "name": node.name, "hostname": "localhost",
        "cpus": node.cores, "cores": node.cores, "sockets": 1, "boards": 1, "threads": 1,
        "alloc_cpus": cores, "idle_cpus": node.cores.saturating_sub(cores), "alloc_memory": memory,
        "real_memory": node.memory, "free_memory": node.memory.saturating_sub(memory),
        "gres": gres, "gres_used": if node.gpus > 0 { format!("gpu:{gpus}") } else { String::new() },
        "partitions": queues, "state": node_state(table, node).0, "state_flags": [], "reason": node.reason,
        "weight": 1, "slurmd_version": "22.05.8", "tres": format!("cpu={0},mem={1}M,billing={0}", node.cores, node.memory),
    })
}
