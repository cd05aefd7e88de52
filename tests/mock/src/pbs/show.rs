//! Jobs as OpenPBS lists them: attributes for `-f`, rows for the tables.

use crate::engine::{Clause, DependKind, Job, Key, Micros, Phase, Table, Why, now, seconds};

use super::bytes::narrow;
use super::clock::local;
use super::launch::path_attribute;
use super::options::Family;
use super::record::Record;
use super::state::{array_exit, exit_status, holds, letter, parent_letter, substate};
use super::table::{Row, hms};
use super::{id, server};

/// What is listed: a job or subjob, or the parent of an array.
#[derive(Clone, Copy)]
pub(crate) enum Item<'a> {
    Job(&'a Job),
    /// The parent, shown by the first of its elements.
    Parent(&'a Job),
}

impl<'a> Item<'a> {
    pub(crate) fn job(self) -> &'a Job {
        match self {
            Self::Job(job) | Self::Parent(job) => job,
        }
    }

    pub(crate) fn id(self, table: &Table) -> String {
        match self {
            Self::Job(job) => super::launch::job_id(table, job),
            Self::Parent(job) => format!("{}[].{}", job.key.id, server(table)),
        }
    }

    pub(crate) fn letter(self, table: &Table) -> char {
        match self {
            Self::Job(job) => letter(table, job),
            Self::Parent(job) => parent_letter(table, job.key.id),
        }
    }
}

/// Where a job runs: `host/0*2+…`.
pub(crate) fn exec_host(job: &Job) -> Option<String> {
    if job.alloc.is_empty() {
        return None;
    }
    let hosts = job.alloc.iter().map(|alloc| match alloc.cores {
        1 => format!("{}/0", alloc.node),
        cores => format!("{}/0*{cores}", alloc.node),
    });
    Some(hosts.collect::<Vec<_>>().join("+"))
}

fn exec_vnode(job: &Job) -> Option<String> {
    if job.alloc.is_empty() {
        return None;
    }
    let vnodes: Vec<String> =
        job.attr("vnodes").and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let parts = job.alloc.iter().enumerate().map(|(index, alloc)| {
        let fallback = format!("ncpus={}", alloc.cores);
        format!("({}:{})", alloc.node, vnodes.get(index).unwrap_or(&fallback))
    });
    Some(parts.collect::<Vec<_>>().join("+"))
}

fn used_seconds(job: &Job) -> u64 {
    let start = job.start.unwrap_or(0);
    u64::try_from(seconds(job.end.unwrap_or_else(now).saturating_sub(start))).unwrap_or(0)
}

/// A process has been seen: there is usage.
fn has_usage(job: &Job) -> bool {
    job.process.is_some() || exit_status(job).is_some()
}

fn created(job: &Job) -> Micros {
    job.attr("ctime").and_then(|text| text.parse().ok()).unwrap_or(job.submit)
}

fn modified(job: &Job) -> Micros {
    let marked = job.attrs.get("mtime").and_then(|text| text.parse().ok());
    [Some(created(job)), job.start, job.end, marked].into_iter().flatten().max().unwrap_or(0)
}

/// The comment that goes with the state.
fn comment(table: &Table, item: Item<'_>, letter: char) -> Option<String> {
    let job = item.job();
    let zone = None;
    let started = |job: &Job| job.start.map(|start| local(seconds(start), zone).at());
    let parent = matches!(item, Item::Parent(_));
    let base = if parent {
        let first = table.elements(job.key.id).filter_map(|job| job.start).min();
        first.map(|start| format!("Job Array Began at {}", local(seconds(start), zone).at()))
    } else {
        started(job).map(|at| format!("Job run at {at} on {}", exec_vnode(job).unwrap_or_default()))
    };
    let waiting = || match (letter, job.attrs.get("held_by"), job.attr("never")) {
        ('H', Some(by), _) => Some(by.clone()),
        ('Q', _, Some(text)) => Some(text.to_owned()),
        ('Q', ..) => {
            let queue = table.config.cluster.queue(&job.spec.queue);
            let stopped = queue.is_some_and(|queue| !queue.started);
            let text = if stopped { "Queue not started." } else { "Not enough free nodes available" };
            Some(format!("Not Running: {text}"))
        }
        _ => None,
    };
    let deleted = job.attrs.get("deleted_by");
    match letter {
        'F' | 'X' => {
            let why = job.kill.as_ref().map(|kill| &kill.why);
            if why == Some(&Why::Dependency) {
                return None;
            }
            let Some(base) = base else {
                return Some(match job.key.index.is_some() && !parent {
                    true => "Subjob finished".to_owned(),
                    false => "Not Running: Not enough free nodes available and terminated".to_owned(),
                });
            };
            let failed = if parent {
                table.elements(job.key.id).any(|job| exit_status(job) != Some(0))
            } else {
                exit_status(job) != Some(0)
            };
            Some(match (why, deleted) {
                (Some(Why::Timeout), _) if !parent => format!("{base} and exceeded resource walltime"),
                (Some(Why::Memory), _) if !parent => format!("{base} and exceeded resource mem"),
                (Some(Why::Cancel(_)), Some(by)) => format!("{base} and terminated by {by}"),
                (Some(Why::Cancel(_)), None) => format!("{base} and terminated"),
                _ if failed => format!("{base} and failed"),
                _ => format!("{base} and finished"),
            })
        }
        'R' => match (base, deleted) {
            (Some(base), Some(by)) => Some(format!("{base} and terminated by {by}")),
            (base, _) => base,
        },
        'S' => None,
        'B' => base,
        _ => waiting(),
    }
}

/// The jobs that wait, or waited, for one. What depends on it was submitted after it.
pub(crate) fn dependents(table: &Table, id: u64) -> impl Iterator<Item = &Job> {
    let later = table.jobs.range(Key { id, index: None }..).map(|(_, job)| job);
    later.filter(move |job| job.spec.depend.clauses.iter().any(|clause| clause.on.id == id))
}

/// The `depend` attribute: what it waits for, and what waits for it.
fn dependencies(table: &Table, item: Item<'_>) -> Option<String> {
    let job = item.job();
    let server = server(table);
    let full = |clause: &Clause| {
        let array = if clause.delay == 0 { "" } else { "[]" };
        format!("{}{array}.{server}@{server}", clause.on.id)
    };
    let mut groups: Vec<(&str, Vec<String>)> = Vec::new();
    let mut add = |word: &'static str, id: String| match groups.iter_mut().find(|(known, _)| *known == word) {
        Some((_, ids)) => ids.push(id),
        None => groups.push((word, vec![id])),
    };
    // What was met is no longer there once the job has run.
    if job.start.is_none() {
        for clause in &job.spec.depend.clauses {
            add(word(clause.kind), full(clause));
        }
    }
    if job.key.index.is_none() || matches!(item, Item::Parent(_)) {
        for other in dependents(table, job.key.id) {
            for clause in other.spec.depend.clauses.iter().filter(|clause| clause.on.id == job.key.id) {
                let before = match clause.kind {
                    DependKind::AfterOk => "beforeok",
                    DependKind::AfterNotOk => "beforenotok",
                    DependKind::AfterAny => "beforeany",
                    _ => "before",
                };
                if other.key.index.is_none()
                    || table.elements(other.key.id).next().is_some_and(|e| e.key == other.key)
                {
                    let array = if other.key.index.is_some() { "[]" } else { "" };
                    add(before, format!("{}{array}.{server}@{server}", other.key.id));
                }
            }
        }
    }
    if groups.is_empty() {
        return None;
    }
    Some(groups.iter().map(|(word, ids)| format!("{word}:{}", ids.join(":"))).collect::<Vec<_>>().join(","))
}

pub(crate) fn word(kind: DependKind) -> &'static str {
    match kind {
        DependKind::AfterOk | DependKind::AfterCorr => "afterok",
        DependKind::AfterNotOk => "afternotok",
        DependKind::AfterAny => "afterany",
        DependKind::After | DependKind::Singleton => "after",
    }
}

/// The attributes of `qstat -f`, in the server's order.
pub(crate) fn record(table: &Table, item: Item<'_>, zone: Option<&str>) -> Record {
    let job = item.job();
    let parent = matches!(item, Item::Parent(_));
    let subjob = job.key.index.is_some() && !parent;
    // A subjob that has not run shows its parent's attributes.
    let real = !subjob || job.start.is_some();
    let letter = item.letter(table);
    let date = |time: Micros| local(seconds(time), zone).ctime();
    let elements = || table.elements(job.key.id);
    let start = if parent { elements().filter_map(|job| job.start).min() } else { job.start };
    let ended = matches!(letter, 'F' | 'X');
    let (end, status) = if parent {
        (elements().filter_map(|job| job.end).max().filter(|_| ended), array_exit(elements()))
    } else {
        (job.end, exit_status(job))
    };
    let mut out = Record::new(item.id(table));
    out.add("Job_Name", narrow(&job.spec.name));
    out.add("Job_Owner", format!("{}@{}", job.spec.user.name, server(table)));
    if !parent && has_usage(job) {
        let exit = job.exit.clone().unwrap_or_default();
        let mut used = |name: &str, value: String| out.add_resource("resources_used", name, value);
        used("cpupercent", "0".into());
        used("cput", hms(u64::try_from(seconds(exit.cpu)).unwrap_or(0)));
        used("mem", format!("{}kb", exit.memory));
        used("ncpus", job.spec.cores.to_string());
        used("vmem", format!("{}kb", exit.memory));
        used("walltime", hms(used_seconds(job)));
    }
    out.add("job_state", letter.to_string());
    out.add("queue", job.spec.queue.clone());
    out.add("server", server(table));
    out.add_some("Account_Name", job.attr("account").map(narrow));
    if !(subjob && real) {
        out.add("Checkpoint", "u");
    }
    out.add("ctime", date(created(job)));
    if !subjob {
        out.add_some("depend", dependencies(table, item));
    }
    let running_path = !parent && real;
    out.add("Error_Path", path_attribute(table, job, false, Family::OpenPbs, running_path));
    if !parent {
        out.add_some("exec_host", exec_host(job).filter(|_| start.is_some()));
        out.add_some("exec_vnode", exec_vnode(job).filter(|_| start.is_some()));
    }
    out.add_some("Execution_Time", job.begin.filter(|begin| *begin > now()).map(date));
    if !(subjob && real) {
        out.add("Hold_Types", holds(table, job));
    }
    out.add("Join_Path", job.attr("join").unwrap_or("n"));
    out.add("Keep_Files", job.attr("keep").unwrap_or("n"));
    out.add("Mail_Points", job.attr("mail").unwrap_or("a"));
    out.add_some("Mail_Users", job.attr("mail_users").map(narrow));
    let modified = if parent { elements().map(modified).max().unwrap_or(0) } else { modified(job) };
    out.add("mtime", date(modified));
    out.add("Output_Path", path_attribute(table, job, true, Family::OpenPbs, running_path));
    out.add("Priority", job.attr("priority").unwrap_or("0"));
    out.add("qtime", date(created(job)));
    out.add("Rerunable", job.attr("rerunnable").unwrap_or("True"));
    for (name, value) in resources(job) {
        out.add_resource("Resource_List", &name, value);
    }
    out.add_some("stime", start.map(date));
    out.add_some("obittime", end.filter(|_| status.is_some()).map(date));
    if !parent && start.is_some() {
        let session = job.process.map(|process| process.shell.to_string());
        out.add_some("session_id", session.or_else(|| job.attrs.get("session").cloned()));
        out.add_some("Shell_Path_List", job.attr("shell").map(narrow));
        out.add("jobdir", narrow(job.attr("home").unwrap_or("/")));
    } else {
        out.add_some("Shell_Path_List", job.attr("shell").map(narrow));
    }
    let number = match (parent, letter) {
        (true, 'F') => parent_substate(table, job),
        (true, 'H') if job.held == 0 => 22,
        _ => substate(job, letter),
    };
    out.add("substate", number.to_string());
    out.add("Variable_List", narrow(job.attr("variables").unwrap_or_default()));
    out.add_some("euser", None::<String>);
    out.add_some("comment", comment(table, item, letter).map(|text| narrow(&text)));
    let eligible = start.is_some() || matches!(letter, 'Q' | 'R' | 'B' | 'S');
    let gone = job.kill.as_ref().is_some_and(|kill| kill.why == Why::Dependency);
    if (eligible || (ended && job.eligible.is_some())) && !gone {
        out.add("etime", date(job.eligible.unwrap_or_else(|| created(job))));
    }
    out.add_some("block", job.attr("block"));
    if !parent && start.is_some() {
        out.add("run_count", job.runs.to_string());
    }
    if status.is_some() {
        let staged = if parent { "1" } else { job.attrs.get("stageout").map_or("1", String::as_str) };
        out.add("Stageout_status", staged);
    }
    out.add_some("Exit_status", status.map(|status| status.to_string()));
    if !(subjob && real) {
        out.add("Submit_arguments", narrow(job.attr("submit_args").unwrap_or_default()));
    }
    if let (Some(program), false) = (job.attr("program"), subjob) {
        out.add("executable", narrow(&tagged("Executable", program)));
        let args: Vec<String> =
            job.attr("program_args").and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        if !args.is_empty() {
            out.add(
                "argument_list",
                narrow(&args.iter().map(|arg| tagged("Argument", arg)).collect::<String>()),
            );
        }
    }
    if parent {
        array_attributes(table, job, letter, &mut out);
    } else if let (Some(index), true) = (job.key.index, real) {
        out.add("array_id", format!("{}[].{}", job.key.id, server(table)));
        out.add("array_index", index.to_string());
    }
    if ended && (real || parent) {
        out.add_some("history_timestamp", end.map(|end| seconds(end).to_string()));
    }
    if real || parent {
        out.add("project", narrow(job.attr("project").unwrap_or("_pbs_project_default")));
        out.add("Submit_Host", server(table));
    }
    if parent {
        out.add_some("max_run_subjobs", job.spec.throttle.map(|most| most.to_string()));
    }
    out
}

/// `Resource_List`.
pub(crate) fn resources(job: &Job) -> Vec<(String, String)> {
    job.attr("resources").and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

fn parent_substate(table: &Table, job: &Job) -> u32 {
    let elements = || table.elements(job.key.id);
    if elements().all(|job| matches!(job.kill.as_ref().map(|kill| &kill.why), Some(Why::Cancel(_)))) {
        91
    } else if elements().any(|job| exit_status(job) != Some(0) && job.start.is_some()) {
        93
    } else {
        92
    }
}

fn array_attributes(table: &Table, job: &Job, letter: char, out: &mut Record) {
    let (mut queued, mut running, mut expired) = (0, 0, 0);
    let mut remaining = Vec::new();
    for element in table.elements(job.key.id) {
        match element.phase {
            Phase::Pending => {
                queued += 1;
                remaining.extend(element.key.index);
            }
            Phase::Ended => expired += 1,
            _ => running += 1,
        }
    }
    if letter == 'F' && job.start.is_some() {
        expired = 0;
    }
    out.add("array", "True");
    out.add("array_state_count", format!("Queued:{queued} Running:{running} Exiting:0 Expired:{expired}"));
    out.add("array_indices_submitted", job.spec.array_text.clone());
    let remaining = if remaining.is_empty() { "-".to_owned() } else { id::ranges(&remaining) };
    out.add("array_indices_remaining", remaining);
}

fn tagged(tag: &str, text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
    format!("<jsdl-hpcpa:{tag}>{text}</jsdl-hpcpa:{tag}>")
}

/// The row of a table.
pub(crate) fn row(table: &Table, item: Item<'_>) -> Row {
    let job = item.job();
    let parent = matches!(item, Item::Parent(_));
    let letter = item.letter(table);
    let used = !parent && has_usage(job);
    let list = resources(job);
    let resource =
        |wanted: &str| list.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.clone());
    let number = |wanted: &str| resource(wanted).and_then(|text| text.parse().ok()).unwrap_or(1);
    let cpu = job.exit.as_ref().map_or(0, |exit| u64::try_from(seconds(exit.cpu)).unwrap_or(0));
    Row {
        id: item.id(table),
        name: job.spec.name.clone(),
        user: job.spec.user.name.clone(),
        used: if used { hms(cpu) } else { "0".to_owned() },
        state: letter,
        queue: job.spec.queue.clone(),
        session: job.process.filter(|_| !parent).and_then(|process| u32::try_from(process.shell).ok()),
        nodes: number("nodect"),
        tasks: number("ncpus"),
        memory: resource("mem"),
        limit: job.spec.limit,
        elapsed: used.then(|| used_seconds(job)),
        exec_host: exec_host(job).filter(|_| !parent && job.start.is_some()),
        comment: comment(table, item, letter),
    }
}
