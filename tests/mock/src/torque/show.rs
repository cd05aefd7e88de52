//! Jobs as Torque lists them.

use crate::engine::{
    Clause, DependKind, HELD_OPERATOR, HELD_SYSTEM, HELD_USER, Job, Micros, Phase, Table, Wait, Why, now,
    seconds,
};
use crate::pbs::bytes::narrow;
use crate::pbs::clock::local;
use crate::pbs::launch::{name, path_attribute};
use crate::pbs::options::Family;
use crate::pbs::record::Record;
use crate::pbs::show::{Item, dependents, resources, word};
use crate::pbs::state::exit_status;
use crate::pbs::table::hms;
use crate::pbs::{depend, server};

/// How times are written.
#[derive(Clone, Copy)]
pub(crate) enum Dates<'a> {
    /// As text in the caller's zone.
    Zone(Option<&'a str>),
    /// Seconds since 1970, as in XML.
    Epoch,
}

/// The state letter of a job or subjob.
pub(crate) fn letter(table: &Table, job: &Job) -> char {
    match job.phase {
        Phase::Pending if job.held != 0 => 'H',
        Phase::Pending if depend::waits(table, job, Family::Torque) == Wait::Wait => 'H',
        // What a slot limit keeps back is held.
        Phase::Pending if job.reason == "JobArrayTaskLimit" => 'H',
        Phase::Pending if job.begin.is_some_and(|begin| begin > now()) => 'W',
        Phase::Pending => 'Q',
        Phase::Running | Phase::Completing => 'R',
        Phase::Suspended => 'S',
        Phase::Ended => 'C',
    }
}

/// The letter of what is listed; a parent runs as long as one of its subjobs has begun.
pub(crate) fn item_letter(table: &Table, item: Item<'_>) -> char {
    let Item::Parent(first) = item else { return letter(table, item.job()) };
    let elements = || table.elements(first.key.id);
    if elements().all(|job| job.phase == Phase::Ended) {
        'C'
    } else if elements().any(|job| job.phase != Phase::Pending) {
        'R'
    } else {
        letter(table, first)
    }
}

fn holds(table: &Table, job: &Job) -> String {
    let mut out = String::new();
    for (bit, letter) in [(HELD_USER, 'u'), (HELD_OPERATOR, 'o'), (HELD_SYSTEM, 's')] {
        if job.held & bit != 0 {
            out.push(letter);
        }
    }
    let dependent = match job.phase {
        Phase::Pending => depend::waits(table, job, Family::Torque) == Wait::Wait,
        Phase::Ended => job.kill.as_ref().is_some_and(|kill| kill.why == Why::Dependency),
        _ => false,
    };
    if dependent {
        out.push('s');
    }
    if out.is_empty() { "n".into() } else { out }
}

fn exec_host(job: &Job) -> Option<String> {
    let hosts: Vec<String> = job
        .alloc
        .iter()
        .map(|alloc| match alloc.cores {
            1 => format!("{}/0", alloc.node),
            cores => format!("{}/0-{}", alloc.node, cores - 1),
        })
        .collect();
    (!hosts.is_empty() && job.start.is_some()).then(|| hosts.join("+"))
}

fn used(job: &Job) -> u64 {
    let end = job.end.unwrap_or_else(now);
    u64::try_from(seconds(end.saturating_sub(job.start.unwrap_or(end)))).unwrap_or(0)
}

fn depend_attribute(table: &Table, job: &Job) -> Option<String> {
    let server = server(table);
    let mut groups: Vec<(&'static str, Vec<String>)> = Vec::new();
    let mut add = |word: &'static str, id: String| match groups.iter_mut().find(|(known, _)| *known == word) {
        Some((_, ids)) => ids.push(id),
        None => groups.push((word, vec![id])),
    };
    let full = |clause: &Clause| match (clause.on.index, clause.delay) {
        (Some(index), _) => format!("{}[{index}].{server}", clause.on.id),
        (None, 0) => format!("{}.{server}", clause.on.id),
        (None, _) => format!("{}[].{server}", clause.on.id),
    };
    if job.start.is_none() {
        for clause in &job.spec.depend.clauses {
            add(word(clause.kind), full(clause));
        }
    }
    for other in dependents(table, job.key.id) {
        for clause in other.spec.depend.clauses.iter().filter(|clause| clause.on.id == job.key.id) {
            let before = match clause.kind {
                DependKind::AfterOk => "beforeok",
                DependKind::AfterNotOk => "beforenotok",
                DependKind::AfterAny => "beforeany",
                _ => "before",
            };
            add(before, format!("{}.{server}", other.key.id));
        }
    }
    if groups.is_empty() {
        return None;
    }
    Some(groups.iter().map(|(word, ids)| format!("{word}:{}", ids.join(":"))).collect::<Vec<_>>().join(","))
}

fn comment(job: &Job, letter: char) -> Option<String> {
    if let Some(text) = job.attrs.get("comment") {
        return Some(text.clone());
    }
    if let Some(start) = job.start {
        return Some(format!("Job started on {}", local(seconds(start), None).at()));
    }
    matches!(letter, 'Q' | 'C')
        .then(|| "Not Running: Not enough of the right type of nodes are available".to_owned())
}

/// The attributes of `qstat -f` and `-x`, in the server's order.
pub(crate) fn record(table: &Table, item: Item<'_>, dates: Dates<'_>) -> Record {
    let job = item.job();
    let subjob = job.key.index.is_some() && matches!(item, Item::Job(_));
    let letter = item_letter(table, item);
    let date = |time: Micros| match dates {
        Dates::Zone(zone) => local(seconds(time), zone).ctime(),
        Dates::Epoch => seconds(time).to_string(),
    };
    let ran = job.start.is_some();
    let created: Micros = job.attr("ctime").and_then(|text| text.parse().ok()).unwrap_or(job.submit);
    let mut out = Record::new(item.id(table));
    out.add("Job_Name", narrow(&if subjob { name(job, Family::Torque) } else { job.spec.name.clone() }));
    out.add("Job_Owner", format!("{}@localhost", job.spec.user.name));
    if exit_status(job).is_some() && ran {
        let exit = job.exit.clone().unwrap_or_default();
        let mut add = |name: &str, value: String| out.add_resource("resources_used", name, value);
        add("cput", hms(u64::try_from(seconds(exit.cpu)).unwrap_or(0)));
        add("vmem", format!("{}kb", exit.memory));
        add("walltime", hms(used(job)));
        add("mem", format!("{}kb", exit.memory));
        add("energy_used", "0".into());
    }
    out.add("job_state", letter.to_string());
    out.add("queue", job.spec.queue.clone());
    out.add("server", server(table));
    out.add_some("Account_Name", job.attr("account").map(narrow));
    out.add("Checkpoint", "u");
    out.add("ctime", date(created));
    out.add_some("depend", depend_attribute(table, job));
    out.add("Error_Path", path_attribute(table, job, false, Family::Torque, true));
    out.add_some("exec_host", exec_host(job));
    out.add_some("Execution_Time", job.begin.filter(|begin| *begin > now()).map(date));
    // Of elements the recordings have it for none; a hold of their own has to show.
    if !subjob || job.held != 0 {
        out.add("Hold_Types", holds(table, job));
    }
    out.add("Join_Path", job.attr("join").unwrap_or("n"));
    out.add("Keep_Files", job.attr("keep").unwrap_or("n"));
    out.add("Mail_Points", job.attr("mail").unwrap_or("a"));
    let marked = job.attrs.get("mtime").and_then(|text| text.parse().ok());
    let modified = [Some(created), job.start, job.end, marked].into_iter().flatten().max().unwrap_or(created);
    out.add("mtime", date(modified));
    out.add("Output_Path", path_attribute(table, job, true, Family::Torque, true));
    out.add("Priority", job.attr("priority").unwrap_or("0"));
    out.add("qtime", date(created));
    out.add("Rerunable", job.attr("rerunnable").unwrap_or("True"));
    for (name, value) in resources(job) {
        out.add_resource("Resource_List", &name, value);
    }
    let session = job.process.map(|process| process.shell.to_string());
    out.add_some("session_id", session.or_else(|| job.attrs.get("session").cloned()).filter(|_| ran));
    let index =
        job.key.index.filter(|_| subjob).map_or_else(String::new, |index| format!("PBS_ARRAYID={index},"));
    out.add("Variable_List", narrow(&format!("{index}{}", job.attr("variables").unwrap_or_default())));
    out.add("euser", job.spec.user.name.clone());
    out.add("egroup", job.spec.user.group.clone());
    out.add("queue_type", "E");
    out.add_some("comment", comment(job, letter));
    let never_eligible = matches!(letter, 'H' | 'W') || (letter == 'C' && job.eligible.is_none());
    if !never_eligible {
        out.add("etime", date(job.eligible.unwrap_or(created)));
    }
    out.add_some("exit_status", exit_status(job).map(|status| status.to_string()));
    out.add_some("submit_args", job.attr("submit_args").filter(|text| !text.is_empty()).map(narrow));
    out.add_some("job_array_id", job.key.index.filter(|_| subjob).map(|index| index.to_string()));
    if let Some(start) = job.start {
        out.add("start_time", date(start));
        if let (true, Some(limit)) = (job.is_active(), job.limit) {
            out.add_resource("Walltime", "Remaining", limit.saturating_sub(used(job)).to_string());
        }
        out.add("start_count", job.runs.to_string());
    }
    out.add("fault_tolerant", "False");
    if let (Some(start), Some(end)) = (job.start, job.end) {
        out.add("comp_time", date(end));
        out.add("job_radix", "0");
        out.add("total_runtime", format!("{:.6}", (end - start) as f64 / 1e6));
    } else {
        out.add("job_radix", "0");
    }
    out.add("submit_host", server(table));
    out.add("init_work_dir", narrow(job.attr("init").unwrap_or("/")));
    out.add("request_version", "1");
    out
}

/// A row of the tables.
pub(crate) struct Row {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) user: String,
    pub(crate) used: String,
    pub(crate) letter: char,
    pub(crate) queue: String,
    session: Option<i32>,
    nodes: String,
    tasks: u32,
    memory: Option<String>,
    limit: Option<u64>,
    elapsed: Option<u64>,
    hosts: Option<String>,
}

/// The row of what is listed.
pub(crate) fn row(table: &Table, item: Item<'_>) -> Row {
    let job = item.job();
    let parent = matches!(item, Item::Parent(_));
    let list = resources(job);
    let resource =
        |wanted: &str| list.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.clone());
    let cpu = job.exit.as_ref().map_or(0, |exit| u64::try_from(seconds(exit.cpu)).unwrap_or(0));
    let ended = exit_status(job).is_some() && job.start.is_some() && !parent;
    Row {
        id: item.id(table),
        name: if parent { job.spec.name.clone() } else { name(job, Family::Torque) },
        user: job.spec.user.name.clone(),
        used: if ended { hms(cpu) } else { "0".into() },
        letter: item_letter(table, item),
        queue: job.spec.queue.clone(),
        session: job
            .process
            .map(|process| process.shell)
            .or_else(|| job.attrs.get("session").and_then(|text| text.parse().ok()))
            .filter(|_| !parent),
        nodes: resource("nodect").unwrap_or_else(|| "1".into()),
        tasks: job.spec.cores,
        memory: resource("mem"),
        limit: job.limit,
        elapsed: (job.is_active() && !parent).then(|| used(job)),
        hosts: exec_host(job),
    }
}

/// The tail of a name that is too long.
fn tail(text: &str, width: usize) -> String {
    let count = text.chars().count();
    if count <= width {
        return text.to_owned();
    }
    let kept: String = text.chars().skip(count - (width - 3)).collect();
    format!("...{kept}")
}

/// The default table.
pub(crate) fn plain(rows: &[Row]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let mut out = String::from(
        "Job ID                    Name             User            Time Use S Queue\n\
         ------------------------- ---------------- --------------- -------- - -----\n",
    );
    for row in rows {
        out.push_str(&format!(
            "{:<26} {:<16} {:<15} {:>8} {} {:<15}\n",
            row.id,
            tail(&row.name, 16),
            tail(&row.user, 15),
            row.used,
            row.letter,
            row.queue
        ));
    }
    out
}

/// The table of `-a -i -r -n -u`.
pub(crate) fn alternate(server: &str, rows: &[Row], hosts: bool, one_line: bool) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let mut out = format!(
        "\n{server}: \n{:82}Req'd       Req'd       Elap\n\
         Job ID                  Username    Queue    Jobname          SessID  NDS   TSK   Memory      Time    S   Time\n\
         ----------------------- ----------- -------- ---------------- ------ ----- ------ --------- --------- - ---------\n",
        ""
    );
    let cut = |text: &str, width: usize| text.chars().take(width).collect::<String>();
    for row in rows {
        out.push_str(&format!(
            "{:<23} {:<11} {:<8} {:<16} {:>6} {:>5} {:>6} {:>9} {:>9} {} {:>9}",
            cut(&row.id, 23),
            cut(&row.user, 11),
            cut(&row.queue, 8),
            cut(&row.name, 16),
            row.session.map_or_else(|| "-- ".into(), |pid| pid.to_string()),
            row.nodes,
            row.tasks,
            row.memory.as_deref().unwrap_or("-- "),
            row.limit.map_or_else(|| "-- ".into(), hms),
            row.letter,
            row.elapsed.map_or_else(|| "-- ".into(), hms)
        ));
        if hosts {
            out.push_str(if one_line { "   " } else { "\n   " });
            out.push_str(row.hosts.as_deref().unwrap_or(" -- "));
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: &str, name: &str, letter: char, used: &str) -> Row {
        Row {
            id: id.into(),
            name: name.into(),
            user: "pbsuser".into(),
            used: used.into(),
            letter,
            queue: "batch".into(),
            session: None,
            nodes: "1".into(),
            tasks: 1,
            memory: None,
            limit: Some(3600),
            elapsed: None,
            hosts: None,
        }
    }

    #[test]
    fn tables_look_as_recorded() {
        let rows = [row("0.vm", "STDIN", 'C', "00:00:00"), row("6[].vm", "arr", 'R', "0")];
        let recorded = include_str!("recorded/qstat-plain.out");
        for line in plain(&rows).lines() {
            assert!(recorded.lines().any(|other| other == line), "not recorded: {line:?}");
        }
        let mut five = row("5.vm", "STDIN", 'Q', "0");
        five.memory = Some("102400kb".into());
        let mut done = row("0.vm", "STDIN", 'C', "0");
        done.session = Some(23095);
        let mut four = row("4.vm", "nodesppn", 'R', "0");
        (four.session, four.tasks, four.memory) = (Some(24969), 2, Some("500mb".into()));
        (four.limit, four.elapsed) = (Some(600), Some(106));
        let recorded = include_str!("recorded/qstat-a.out");
        for line in
            alternate("vm", &[done, four, five, row("11.vm", "STDIN", 'Q', "0")], false, false).lines()
        {
            assert!(recorded.lines().any(|other| other == line), "not recorded: {line:?}");
        }
    }
}
