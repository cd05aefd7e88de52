//! `qstat`: the lists. `-j` is in `detail`, `-xml` in `xml`.

use std::collections::BTreeSet;

use crate::engine::{DependKind, Job, Micros, Phase, Table, seconds};
use crate::front::Call;
use crate::pbs::clock::local;

use super::names;
use super::selected::Selected;
use super::state::{is_running, letters, priority};
use super::tasks::listed;
use super::{detail, xml};

/// One line of a list: a job, a task, or the waiting tasks of an array that have the same state.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) id: u64,
    pub(crate) priority: f64,
    pub(crate) name: String,
    pub(crate) user: String,
    pub(crate) state: String,
    pub(crate) time: Micros,
    /// `all.q@vm`; empty for what waits.
    pub(crate) queue: String,
    pub(crate) slots: u32,
    pub(crate) tasks: String,
    pub(crate) running: bool,
    pub(crate) hard: String,
    pub(crate) pe: Option<String>,
    pub(crate) master: String,
    /// Queues asked for and jobs waited for, as elements of `-r -xml`.
    pub(crate) requests: Vec<(&'static str, String)>,
}

#[derive(Default)]
struct Asked {
    users: Vec<String>,
    states: String,
    selected: Selected,
    full: bool,
    xml: bool,
    each_task: bool,
    clusters: bool,
    resources: bool,
    not_empty: bool,
    jobs: Option<Vec<String>>,
}

const USAGE: &str = "SGE 8.1.9
usage: qstat [options]
        [-ext]                            view additional attributes
        [-explain a|c|A|E]                show reason for queue c(onfiguration ambiguous), a(larm), suspend A(larm), E(rror) state
        [-f]                              full output
        [-F [resource_attributes]]        full output and show (selected) resources of queue(s)
        [-g c]                            display cluster queue summary
        [-g d]                            display all job-array tasks (do not group)
        [-g t]                            display all parallel job tasks (do not group)
        [-help]                           print this help
        [-j [job_identifier_list]]        show scheduler job information
        [-q wc_queue_list]                print information on given queue
        [-r]                              show requested resources of job(s)
        [-s {p|r|s|z|hu|ho|hs|hd|hj|ha|h|a}] show pending, running, suspended, zombie jobs,
        [-u user_list]                    view only jobs of this user
        [-xml]                            display the information in XML-Format
";

pub(crate) fn run(call: &mut Call<'_>) -> i32 {
    let mut asked = Asked::default();
    let mut args = call.args.clone().into_iter().peekable();
    while let Some(arg) = args.next() {
        match asked.selected.take(&arg, || args.next().unwrap_or_default()) {
            Ok(true) => continue,
            Ok(false) => {}
            Err(said) => {
                call.err(said);
                return 1;
            }
        }
        match arg.as_str() {
            "-u" => asked.users.extend(args.next().unwrap_or_default().split(',').map(str::to_owned)),
            "-s" => asked.states = args.next().unwrap_or_default(),
            "-f" => asked.full = true,
            "-F" => {
                asked.full = true;
                args.next_if(|next| !next.starts_with('-'));
            }
            "-xml" => asked.xml = true,
            "-r" => asked.resources = true,
            "-ne" => asked.not_empty = true,
            "-g" => match args.next().as_deref() {
                Some("c") => asked.clusters = true,
                Some("d") => asked.each_task = true,
                _ => {}
            },
            "-j" => {
                let list = args.next_if(|next| !next.starts_with('-')).unwrap_or_default();
                let list = list.split(',').filter(|item| !item.is_empty()).map(str::to_owned).collect();
                asked.jobs = Some(list);
            }
            "-ext" | "-pri" | "-urg" | "-t" | "-cb" | "-ncb" => {}
            "-explain" => {
                args.next();
            }
            "-help" => {
                call.out(USAGE);
                return 0;
            }
            _ => {
                call.err(USAGE);
                return 1;
            }
        }
    }
    let zone = call.var("TZ");
    let zone = zone.as_deref();
    let engine = call.engine;
    let table = engine.lock();
    if let Some(wanted) = &asked.jobs {
        let (out, err, code) = detail::answer(&table, wanted, asked.xml, zone);
        drop(table);
        call.out(out);
        call.err(err);
        return code;
    }
    if asked.users.is_empty() {
        asked.users.push(call.user.name.clone());
    }
    let any = asked.selected.is_any(&table.config.cluster);
    let lines = if any { lines(&table, &asked) } else { Vec::new() };
    let out = if asked.clusters {
        clusters(&table)
    } else if asked.xml {
        let queues = if asked.full { queue_lines(&table, &asked) } else { Vec::new() };
        xml::list(&lines, asked.full.then_some(&queues), asked.resources, zone)
    } else if !any {
        String::new()
    } else if asked.full {
        full(&queue_lines(&table, &asked), &lines, zone)
    } else {
        plain(&lines, asked.resources, zone)
    };
    drop(table);
    call.out(crate::pbs::bytes::narrow(&out));
    0
}

fn lines(table: &Table, asked: &Asked) -> Vec<Line> {
    let wanted = |job: &&Job| {
        asked.users.iter().any(|user| names::fits(user, &job.spec.user.name))
            && (!is_running(job) || in_queues(table, asked, &job.spec.queue))
    };
    let mut out: Vec<Line> = Vec::new();
    let list_all = asked.states.is_empty() || asked.states == "a";
    let has = |letter: char| list_all || asked.states.contains(letter);
    for job in table.jobs.values().filter(|job| job.phase != Phase::Ended).filter(wanted) {
        let state = letters(table, job);
        let running = is_running(job);
        let shown = match (running, job.phase) {
            (true, Phase::Suspended) => has('s') || has('r') && list_all,
            (true, _) => has('r'),
            (false, _) => has('p') || (asked.states.contains('h') && state.starts_with('h')),
        };
        if !shown {
            continue;
        }
        let priority = priority(table, job);
        let joined = !running && !asked.each_task;
        let same = |line: &&mut Line| joined && !line.running && line.id == job.key.id && line.state == state;
        if let (Some(_), Some(line)) = (job.key.index, out.iter_mut().rev().take(4).find(same)) {
            line.tasks.push_str(&format!(" {}", job.key.index.unwrap_or(0)));
            continue;
        }
        out.push(line(table, job, state, priority, running));
    }
    if asked.states.contains('z') {
        let over = table
            .past
            .iter()
            .rev()
            .filter(|job| !job.attrs.contains_key("requeued"))
            .filter(wanted)
            .take(100);
        let mut over: Vec<Line> = over.map(|job| line(table, job, "z".into(), 0.0, false)).collect();
        over.reverse();
        out.extend(over);
    }
    for line in &mut out {
        if line.tasks.contains(' ') || !line.tasks.is_empty() {
            let tasks: BTreeSet<u32> = line.tasks.split(' ').filter_map(|task| task.parse().ok()).collect();
            let step = table
                .elements(line.id)
                .next()
                .and_then(|job| job.attr("step"))
                .and_then(|step| step.parse().ok());
            line.tasks = listed(&tasks, step.unwrap_or(1));
        }
    }
    out.sort_by(|a, b| {
        b.running
            .cmp(&a.running)
            .then(if a.running || b.running {
                std::cmp::Ordering::Equal
            } else {
                b.priority.total_cmp(&a.priority)
            })
            .then(a.id.cmp(&b.id))
    });
    out
}

fn in_queues(table: &Table, asked: &Asked, queue: &str) -> bool {
    let cluster = &table.config.cluster;
    !asked.selected.is_some()
        || cluster.queues.iter().any(|one| one.name == queue && asked.selected.has(cluster, one))
}

fn line(table: &Table, job: &Job, state: String, priority: f64, running: bool) -> Line {
    let submitted = job.attr("qsub").and_then(|text| text.parse().ok()).unwrap_or(job.submit);
    let host = job.alloc.first().map_or("", |alloc| alloc.node.as_str());
    Line {
        id: job.key.id,
        priority,
        name: job.spec.name.clone(),
        user: job.spec.user.name.clone(),
        time: if running { job.start.unwrap_or(submitted) } else { submitted },
        queue: if running { format!("{}@{host}", job.spec.queue) } else { String::new() },
        slots: job.spec.cores,
        tasks: job.key.index.map_or_else(String::new, |index| index.to_string()),
        running,
        state,
        hard: job.attr("hard").unwrap_or_default().to_owned(),
        pe: job.attr("pe").map(str::to_owned),
        master: format!("{}@{host}", job.spec.queue),
        requests: requests(table, job),
    }
}

fn requests(table: &Table, job: &Job) -> Vec<(&'static str, String)> {
    let mut out = Vec::new();
    let list = |name: &str| -> Vec<String> {
        job.attr(name)
            .unwrap_or_default()
            .split(',')
            .filter(|item| !item.is_empty())
            .map(str::to_owned)
            .collect()
    };
    out.extend(list("hard_queues").into_iter().map(|queue| ("hard_req_queue", queue)));
    for (attr, wanted, there, kind) in [
        ("hold_jid", "predecessor_jobs_req", "predecessor_jobs", DependKind::AfterAny),
        ("hold_jid_ad", "ad_predecessor_jobs_req", "ad_predecessor_jobs", DependKind::AfterCorr),
    ] {
        out.extend(list(attr).into_iter().map(|item| (wanted, item)));
        let clauses = job.depend.clauses.iter().filter(|clause| clause.kind == kind);
        let open =
            clauses.filter(|clause| table.elements(clause.on.id).any(|other| other.phase != Phase::Ended));
        out.extend(open.map(|clause| (there, clause.on.id.to_string())));
    }
    out
}

fn cut(text: &str, width: usize) -> String {
    text.chars().take(width).collect()
}

fn american(time: Micros, zone: Option<&str>) -> String {
    local(seconds(time), zone).american()
}

fn plain(lines: &[Line], resources: bool, zone: Option<&str>) -> String {
    if lines.is_empty() {
        return String::new();
    }
    let mut out = String::from(
        "job-ID  prior   name       user         state submit/start at     queue                          slots ja-task-ID \n",
    );
    out.push_str(&"-".repeat(113));
    out.push('\n');
    for line in lines {
        out.push_str(&format!(
            "{:>7} {:.5} {:<10} {:<12} {:<5} {} {:<30} {:>5} ",
            line.id,
            line.priority,
            cut(&line.name, 10),
            cut(&line.user, 12),
            line.state,
            american(line.time, zone),
            cut(&line.queue, 30),
            line.slots
        ));
        out.push_str(if line.tasks.is_empty() { "       " } else { &line.tasks });
        out.push('\n');
        if resources {
            out.push_str(&format!("       Full jobname:     {}\n", line.name));
            if line.running {
                out.push_str(&format!("       Master Queue:     {}\n", line.master));
            }
            if let Some(pe) = &line.pe {
                out.push_str(&format!("       Requested PE:     {pe}\n"));
                if line.running {
                    let name = pe.split(' ').next().unwrap_or_default();
                    out.push_str(&format!("       Granted PE:       {name} {}\n", line.slots));
                }
            }
            out.push_str(&format!("       Hard Resources:   {}\n", line.hard));
            out.push_str("       Soft Resources:   \n       Binding:          NONE\n");
        }
    }
    out
}

/// A queue on a host.
pub(crate) struct QueueLine {
    pub(crate) name: String,
    pub(crate) used: u32,
    pub(crate) total: u32,
    pub(crate) state: String,
}

fn queue_lines(table: &Table, asked: &Asked) -> Vec<QueueLine> {
    let mut out = Vec::new();
    for queue in &table.config.cluster.queues {
        for node in table.config.cluster.nodes_of(queue) {
            if !asked.selected.has_instance(&table.config.cluster, queue, &node.name) {
                continue;
            }
            let used: u32 = table
                .active()
                .filter(|job| job.spec.queue == queue.name)
                .flat_map(|job| &job.alloc)
                .filter(|alloc| alloc.node == node.name)
                .map(|alloc| alloc.cores)
                .sum();
            if asked.not_empty && used == 0 {
                continue;
            }
            let state = match (node.state.as_str(), queue.enabled && queue.started) {
                ("down", _) => "u",
                ("drain", _) | (_, false) => "d",
                _ => "",
            };
            out.push(QueueLine {
                name: format!("{}@{}", queue.name, node.name),
                used,
                total: node.cores,
                state: state.to_owned(),
            });
        }
    }
    out
}

fn full(queues: &[QueueLine], lines: &[Line], zone: Option<&str>) -> String {
    let mut out =
        String::from("queuename                      qtype resv/used/tot. load_avg arch          states\n");
    let job = |line: &Line| {
        format!(
            "{:>7} {:.5} {:<10} {:<12} {:<5} {} {:>5} {}\n",
            line.id,
            line.priority,
            cut(&line.name, 10),
            cut(&line.user, 12),
            line.state,
            american(line.time, zone),
            line.slots,
            if line.tasks.is_empty() { "       " } else { &line.tasks }
        )
    };
    for queue in queues {
        out.push_str(&"-".repeat(81));
        let load = if queue.state == "u" { "-NA-" } else { "0.10" };
        out.push_str(&format!(
            "\n{:<30} BIP   {:<14} {load:<8} lx-amd64      {}\n",
            queue.name,
            format!("0/{}/{}", queue.used, queue.total),
            queue.state
        ));
        for line in lines.iter().filter(|line| line.running && line.queue == queue.name) {
            out.push_str(&job(line));
        }
    }
    let pending: String = lines.iter().filter(|line| !line.running).map(job).collect();
    if !pending.is_empty() {
        let bar = "#".repeat(76);
        out.push_str(&format!(
            "\n{bar}\n - PENDING JOBS - PENDING JOBS - PENDING JOBS - PENDING JOBS - PENDING JOBS\n{bar}\n{pending}"
        ));
    }
    out
}

fn clusters(table: &Table) -> String {
    let mut out =
        String::from("CLUSTER QUEUE                   CQLOAD   USED    RES  AVAIL  TOTAL aoACDS  cdsuE  \n");
    out.push_str(&"-".repeat(80));
    out.push('\n');
    let all = queue_lines(table, &Asked::default());
    for queue in &table.config.cluster.queues {
        let mine = || all.iter().filter(|line| line.name.split('@').next() == Some(queue.name.as_str()));
        let used: u32 = mine().map(|line| line.used).sum();
        let total: u32 = mine().map(|line| line.total).sum();
        let off: u32 = mine().filter(|line| !line.state.is_empty()).map(|line| line.total).sum();
        out.push_str(&format!(
            "{:<30} {:>7} {used:>6} {:>6} {:>6} {total:>6} {:>6} {off:>6} \n",
            cut(&queue.name, 30),
            "0.10",
            0,
            total.saturating_sub(used).saturating_sub(off),
            0
        ));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(id: u64, priority: f64, name: &str, state: &str, time: i64) -> Line {
        Line {
            id,
            priority,
            name: name.into(),
            user: "hpcuser".into(),
            state: state.into(),
            time: time * 1_000_000,
            queue: String::new(),
            slots: 1,
            tasks: String::new(),
            running: false,
            hard: String::new(),
            pe: None,
            master: String::new(),
            requests: Vec::new(),
        }
    }

    fn running(line: Line, queue: &str) -> Line {
        Line { queue: queue.into(), running: true, ..line }
    }

    #[test]
    fn the_list_looks_as_recorded() {
        let runarr = running(line(76, 0.25002, "runarr", "r", 1_795_196_162), "long.q@vm");
        let smprun = running(line(75, 0.25849, "smprun", "r", 1_795_196_165), "all.q@vm");
        let lines = [
            running(line(74, 0.25002, "a_rather_long_job_name", "r", 1_795_196_162), "long.q@vm"),
            Line { slots: 2, ..smprun },
            Line { tasks: "1".into(), ..runarr },
            Line { slots: 60, ..line(81, 0.75, "pbig", "qw", 1_795_196_166) },
            Line { tasks: "1-3:1".into(), ..line(72, 0.25, "badwdarr", "Eqw", 1_795_196_162) },
        ];
        let recorded: Vec<&str> = include_str!("recorded/qstat_plain.out").lines().collect();
        for made in plain(&lines, false, None).lines() {
            assert!(recorded.contains(&made), "not recorded: {made:?}");
        }
        assert_eq!(plain(&[], false, None), "");
    }
}
