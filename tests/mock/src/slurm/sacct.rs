//! `sacct`, and the little of `sacctmgr` that clients ask for.

use super::view::{self, Row};
use super::{Clock, accounting_down, args, preamble, text};
use crate::engine::{Job, Phase, Table, Why, micros, now};
use crate::front::Call;

const OPTIONS: &str = "account=A accounts=A allclusters/L allocations/X allusers/a array associations=x brief/b \
    cluster=M clusters=M completion/c constraints=C delimiter= duplicates/D endtime=E env-vars batch-script/B federation \
    flags=F format=o gid=g group=g help/h helpformat/e jobs=j json local long/l name= ncpus=I nnodes=i noconvert \
    nodelist=N noheader/n parsable/p parsable2/P partition=r qos=q reason=R starttime=S state=s timelimit-max= \
    timelimit-min=k truncate/T uid=u units= usage use-local-uid user=u verbose/v version/V wckeys=W whole-hetjob? yaml";

/// They choose jobs, or another form, in ways that this mock does not know.
const UNSERVED: &[&str] = &[
    "associations",
    "batch-script",
    "completion",
    "constraints",
    "env-vars",
    "flags",
    "long",
    "ncpus",
    "nnodes",
    "reason",
    "timelimit-max",
    "timelimit-min",
    "whole-hetjob",
    "yaml",
];

const FIELDS: &[(&str, usize)] = &[
    ("Account", 10),
    ("AdminComment", 19),
    ("AllocCPUS", 10),
    ("AllocNodes", 10),
    ("AllocTRES", 10),
    ("AssocID", 7),
    ("AveCPU", 10),
    ("AveRSS", 10),
    ("AveVMSize", 10),
    ("Cluster", 10),
    ("Comment", 14),
    ("Constraints", 15),
    ("ConsumedEnergy", 14),
    ("CPUTime", 10),
    ("CPUTimeRAW", 10),
    ("DerivedExitCode", 15),
    ("Elapsed", 10),
    ("ElapsedRaw", 10),
    ("Eligible", 19),
    ("End", 19),
    ("ExitCode", 8),
    ("Flags", 20),
    ("GID", 6),
    ("Group", 9),
    ("JobID", 12),
    ("JobIDRaw", 12),
    ("JobName", 10),
    ("MaxRSS", 10),
    ("MaxVMSize", 10),
    ("NCPUS", 10),
    ("NNodes", 8),
    ("NodeList", 15),
    ("NTasks", 8),
    ("Partition", 10),
    ("Priority", 10),
    ("QOS", 10),
    ("Reason", 22),
    ("ReqCPUS", 8),
    ("ReqMem", 10),
    ("ReqNodes", 8),
    ("ReqTRES", 10),
    ("Reservation", 20),
    ("Start", 19),
    ("State", 10),
    ("Submit", 19),
    ("SubmitLine", 20),
    ("Suspended", 10),
    ("SystemCPU", 10),
    ("Timelimit", 10),
    ("TimelimitRaw", 12),
    ("TotalCPU", 10),
    ("UID", 6),
    ("User", 9),
    ("UserCPU", 10),
    ("WCKey", 10),
    ("WorkDir", 20),
];

pub(super) fn run(call: &mut Call<'_>) -> i32 {
    let args = call.args.clone();
    let given = match args::parse(OPTIONS, &args, false) {
        Ok(given) => given,
        Err(error) => {
            call.err(format!("sacct: {error}\nTry \"sacct --help\" for more information\n"));
            return 1;
        }
    };
    if let Some(code) = preamble::answer(call, &given, OPTIONS, UNSERVED) {
        return code;
    }
    if given.has("helpformat") {
        let mut line = String::new();
        for (at, (name, _)) in FIELDS.iter().enumerate() {
            line += &format!("{name:<19}");
            line += if at % 4 == 3 { "\n" } else { " " };
        }
        call.out(line + "\n");
        return 0;
    }
    let default = "JobID,JobName,Partition,Account,AllocCPUS,State,ExitCode";
    let format = given.get("format").map(String::from).or_else(|| call.var("SACCT_FORMAT"));
    let format = format
        .unwrap_or_else(|| (if given.has("brief") { "JobID,State,ExitCode" } else { default }).to_owned());
    let mut fields: Vec<(&str, i64)> = Vec::new();
    for word in format.split(',').filter(|word| !word.is_empty()) {
        let (name, width) = word.split_once('%').unwrap_or((word, ""));
        let Some(found) = FIELDS.iter().find(|field| field.0.eq_ignore_ascii_case(name)) else {
            call.err(format!("sacct: error: Invalid field requested: \"{name}\"\n"));
            return 1;
        };
        fields.push((found.0, width.parse().unwrap_or(found.1 as i64)));
    }
    let mut keys = Vec::new();
    for word in given.get("jobs").unwrap_or_default().split(',').filter(|word| !word.is_empty()) {
        let (id, step) = word.split_once('.').map_or((word, None), |(id, step)| (id, Some(step.to_owned())));
        match view::key(id) {
            Some(key) => keys.push((key, step)),
            None => {
                call.err(format!("sacct: fatal: Bad job/step specified: {word}\n"));
                return 1;
            }
        }
    }
    if accounting_down(call, "sacct") {
        call.err("sacct: error: Problem talking to the database: Connection refused\n");
        return 1;
    }
    let time = now();
    let midnight = time.div_euclid(86_400_000_000) * 86_400_000_000;
    let point = |option: &str| given.get(option).and_then(|word| text::when(word, time));
    // With ids, or with states and no time, the window is open.
    let from = point("starttime").unwrap_or(if keys.is_empty() { midnight } else { 0 });
    let to = point("endtime").unwrap_or(i64::MAX);
    let states: Option<Vec<String>> =
        given.get("state").map(|list| list.split(',').map(str::to_ascii_uppercase).collect());
    let users: Vec<&str> =
        given.get("user").or(given.get("uid")).map(|list| list.split(',').collect()).unwrap_or_default();
    let all = given.has("allusers") || (users.is_empty() && (call.user.uid == 0 || !keys.is_empty()));
    let own = call.user.uid;
    let groups: Option<Vec<String>> =
        given.get("group").or(given.get("gid")).map(|list| list.split(',').map(String::from).collect());
    let nodes = match view::nodes_asked_for(call, &given) {
        Ok(nodes) => nodes,
        Err(code) => return code,
    };
    let clock = Clock::of(call);
    let table = call.engine.lock();
    let lag = micros(table.config.timing.accounting_lag);
    let lost = table.config.faults.accounting == "empty";
    let listed = |option: &str, value: &str| {
        given.get(option).is_none_or(|list| list.split(',').any(|name| name == value))
    };
    let mut jobs: Vec<&Job> = table
        .accounting()
        .filter(|job| {
            !lost
                && job.submit + lag <= time
                && (keys.is_empty() || keys.iter().any(|(key, _)| super::squeue::matches(job, *key)))
                && (all
                    || users.iter().any(|user| *user == job.spec.user.name || user.parse() == Ok(job.spec.user.uid))
                    || (users.is_empty() && job.spec.user.uid == own))
                && listed("name", &job.spec.name)
                && listed("partition", &job.spec.queue)
                && listed("account", job.attr("account").unwrap_or(super::ACCOUNT))
                && listed("accounts", job.attr("account").unwrap_or(super::ACCOUNT))
                && listed("qos", job.attr("qos").unwrap_or("normal"))
                && listed("wckeys", job.attr("wckey").unwrap_or_default())
                && groups.as_ref().is_none_or(|groups| groups.contains(&job.spec.user.group) || groups.contains(&job.spec.user.gid.to_string()))
                && nodes.as_ref().is_none_or(|nodes| view::is_on(job, nodes))
                && job.end.is_none_or(|end| end >= from)
                && job.submit <= to
                // Without ids what was never eligible is left out.
                && (!keys.is_empty() || job.eligible.is_some() || job.phase == Phase::Ended)
        })
        .collect();
    if !given.has("duplicates") {
        // The last run of each job only.
        let mut last = std::collections::BTreeMap::new();
        for (at, job) in jobs.iter().enumerate() {
            last.insert(job.key, at);
        }
        let mut at = 0;
        jobs.retain(|job| {
            at += 1;
            last.get(&job.key) == Some(&(at - 1))
        });
    }
    let state_of = |job: &Job| {
        let running = job.phase != Phase::Ended || job.end.is_some_and(|end| end + lag > time);
        if running && job.start.is_some() {
            if job.phase == Phase::Suspended { "SUSPENDED" } else { "RUNNING" }
        } else if running {
            "PENDING"
        } else {
            view::state(job).0
        }
    };
    if let Some(states) = &states {
        jobs.retain(|job| {
            let long = state_of(job);
            let short = view::STATES.iter().find(|state| state.0 == long).map_or("", |state| state.1);
            states.iter().any(|state| state == long || state == short)
        });
    }
    if given.has("json") {
        let rows: Vec<serde_json::Value> =
            jobs.iter().map(|job| super::json::record(&table, job, state_of(job))).collect();
        let text = super::json::document(&rows);
        drop(table);
        call.out(text);
        return 0;
    }
    let parsable = given.has("parsable") || given.has("parsable2");
    let delimiter = given.get("delimiter").unwrap_or("|").to_owned();
    let mut out = String::new();
    let mut line = |values: &mut dyn Iterator<Item = String>| {
        if parsable {
            out += &values.collect::<Vec<_>>().join(&delimiter);
            if given.has("parsable") {
                out += &delimiter;
            }
        } else {
            for (value, (name, width)) in values.zip(&fields) {
                let size = width.unsigned_abs() as usize;
                let mut cut: String = value.chars().take(size).collect();
                if value.chars().count() > size && matches!(*name, "State" | "JobName" | "JobID") {
                    cut.pop();
                    cut.push('+');
                }
                // Ids are written to the left by default.
                let left = *width < 0 || (name.starts_with("JobID") && !format.contains('%'));
                out += &if left { format!("{cut:<size$} ") } else { format!("{cut:>size$} ") };
            }
        }
        out.push('\n');
    };
    if !given.has("noheader") {
        line(&mut fields.iter().map(|field| field.0.to_owned()));
        if !parsable {
            line(&mut fields.iter().map(|field| "-".repeat(field.1.unsigned_abs() as usize)));
        }
    }
    for row in view::rows(jobs.into_iter(), given.has("array")) {
        let state = state_of(row.job);
        let wanted =
            |step: &str| keys.is_empty() || keys.iter().any(|(_, s)| s.as_deref().is_none_or(|s| s == step));
        let whole = keys.is_empty() || keys.iter().any(|(_, step)| step.is_none());
        if whole {
            line(&mut fields.iter().map(|(name, _)| value(&table, &row, name, state, false, &clock)));
        }
        if !given.has("allocations")
            && row.job.start.is_some()
            && row.job.process_started()
            && wanted("batch")
        {
            line(&mut fields.iter().map(|(name, _)| value(&table, &row, name, state, true, &clock)));
        }
    }
    drop(table);
    call.out(out);
    0
}

trait Step {
    fn process_started(&self) -> bool;
}

impl Step for Job {
    /// Its batch step was started.
    fn process_started(&self) -> bool {
        self.exit.as_ref().is_none_or(|exit| exit.signal() != 53)
    }
}

fn value(table: &Table, row: &Row<'_>, name: &str, state: &str, batch: bool, clock: &Clock) -> String {
    let job = row.job;
    let spec = &job.spec;
    let ended = !matches!(state, "RUNNING" | "PENDING" | "SUSPENDED");
    let why = job.kill.as_ref().map(|kill| &kill.why);
    let only_job = |text: String| if batch { String::new() } else { text };
    let only_batch = |text: String| if batch { text } else { String::new() };
    let started = job.start.is_some();
    let cpu = |time: i64| {
        let whole = time.max(0);
        if whole >= 3_600_000_000 {
            text::long(whole / 1_000_000)
        } else {
            format!("{:02}:{:02}.{:03}", whole / 60_000_000, whole / 1_000_000 % 60, whole / 1000 % 1000)
        }
    };
    let time = |time: Option<i64>| match time {
        Some(time) => clock.write(time),
        None => String::from("Unknown"),
    };
    match name {
        "JobID" => format!("{}{}", row.id(), if batch { ".batch" } else { "" }),
        "JobIDRaw" => format!("{}{}", job.raw, if batch { ".batch" } else { "" }),
        "JobName" if batch => String::from("batch"),
        "JobName" if spec.name.is_empty() => String::from("allocation"),
        "JobName" => spec.name.replace('"', "`"),
        "Partition" => only_job(spec.queue.clone()),
        "Account" => job.attr("account").unwrap_or(super::ACCOUNT).to_owned(),
        "User" => only_job(spec.user.name.clone()),
        "UID" => only_job(spec.user.uid.to_string()),
        "Group" => only_job(spec.user.group.clone()),
        "GID" => only_job(spec.user.gid.to_string()),
        "Cluster" => table.config.cluster.name.clone(),
        "Comment" => only_job(job.attr("comment").unwrap_or_default().to_owned()),
        "QOS" => only_job(job.attr("qos").unwrap_or("normal").to_owned()),
        "State" if batch && ended => match (why, view::batch_code(job)) {
            (Some(Why::Memory), _) => String::from("CANCELLED by 0"),
            (Some(_), _) => String::from("CANCELLED"),
            (None, (_, signal)) if signal > 0 => String::from("CANCELLED"),
            _ => state.to_owned(),
        },
        "State" => match why {
            Some(Why::Cancel(uid)) if state == "CANCELLED" => format!("CANCELLED by {uid}"),
            _ => state.to_owned(),
        },
        "ExitCode" if !ended => String::from("0:0"),
        "ExitCode" if batch => view::sacct_code(view::batch_code(job)),
        "ExitCode" => view::sacct_code(view::exit_code(job)),
        "DerivedExitCode" => only_job(String::from("0:0")),
        "Elapsed" => text::long(view::elapsed(job)),
        "ElapsedRaw" => view::elapsed(job).to_string(),
        "CPUTime" => text::long(view::elapsed(job) * i64::from(spec.cores)),
        "CPUTimeRAW" => (view::elapsed(job) * i64::from(spec.cores)).to_string(),
        "TotalCPU" => cpu(job.exit.as_ref().map_or(0, |exit| exit.cpu)),
        "SystemCPU" => cpu(job.exit.as_ref().map_or(0, |exit| exit.system)),
        "UserCPU" => cpu(job.exit.as_ref().map_or(0, |exit| exit.cpu - exit.system)),
        "AveCPU" => only_batch(text::long(job.exit.as_ref().map_or(0, |exit| exit.cpu / 1_000_000))),
        "Suspended" => String::from("00:00:00"),
        "Timelimit" => {
            only_job(job.limit.map_or_else(|| String::from("UNLIMITED"), |limit| text::long(limit as i64)))
        }
        "TimelimitRaw" => {
            only_job(job.limit.map_or_else(|| String::from("UNLIMITED"), |limit| (limit / 60).to_string()))
        }
        "Submit" => clock.write(if batch { job.start.unwrap_or(job.submit) } else { job.submit }),
        "Eligible" => time(if batch { job.start } else { job.eligible }),
        "Start" if !started && ended => String::from("None"),
        "Start" => time(job.start),
        "End" if !ended => String::from("Unknown"),
        "End" => time(job.end),
        "NNodes" | "AllocNodes" => {
            if job.alloc.is_empty() { spec.nodes as usize } else { job.alloc.len() }.to_string()
        }
        "ReqNodes" => spec.nodes.to_string(),
        "NCPUS" | "ReqCPUS" => spec.cores.to_string(),
        "AllocCPUS" => if started { spec.cores } else { 0 }.to_string(),
        "NTasks" => only_batch(String::from("1")),
        "AllocTRES" if !started => String::new(),
        "AllocTRES" if batch => format!("cpu={},mem={}M,node=1", spec.cores, spec.memory),
        "AllocTRES" | "ReqTRES" => only_job(view::tres(job, true)),
        "ReqMem" => only_job(match job.attr("mem_per_node") {
            Some(_) => format!("{}M", spec.memory),
            None => format!("{}M", spec.memory * u64::from(spec.nodes.max(1))),
        }),
        "MaxRSS" => only_batch(
            job.exit
                .as_ref()
                .filter(|exit| exit.memory > 0)
                .map_or_else(String::new, |exit| format!("{}K", exit.memory)),
        ),
        "NodeList" if !started => String::from("None assigned"),
        "NodeList" if batch => job.alloc.first().map(|alloc| alloc.node.clone()).unwrap_or_default(),
        "NodeList" => view::node_list(job),
        "WorkDir" => only_job(spec.cwd.to_string_lossy().into_owned()),
        "Reason" if batch => String::new(),
        "Reason" => match (view::reason(job).as_str(), ended) {
            ("DependencyNeverSatisfied" | "Dependency", true) => String::from("Dependency"),
            (word @ ("JobHeldUser" | "JobHeldAdmin" | "PartitionDown"), _) => word.to_owned(),
            _ => String::from("None"),
        },
        "Priority" => {
            only_job(if job.held == 0 { (4_294_901_760 - job.key.id).to_string() } else { String::from("0") })
        }
        _ => String::new(),
    }
}

/// `sacctmgr show …`: the cluster, the users and associations of a plain set-up.
pub(super) fn manager(call: &mut Call<'_>) -> i32 {
    if call.args.iter().any(|arg| arg == "--version" || arg == "-V") {
        call.out("slurm-wlm 22.05.8\n");
        return 0;
    }
    if accounting_down(call, "sacctmgr") {
        call.err("sacctmgr: error: Problem talking to the database: Connection refused\n");
        return 1;
    }
    let words: Vec<String> =
        call.args.iter().filter(|arg| !arg.starts_with('-')).map(|arg| arg.to_ascii_lowercase()).collect();
    let flags: String = call.args.iter().filter(|arg| arg.starts_with('-')).map(String::as_str).collect();
    let cluster = call.engine.config().cluster.name.clone();
    let user = call.user.name.clone();
    let (header, rows): (&str, Vec<String>) = match words.get(1).map(String::as_str) {
        Some("assoc" | "association" | "associations") => (
            "Cluster|Account|User|Partition|QOS",
            vec![
                format!("{cluster}|root|||normal"),
                format!("{cluster}|{}|||normal", super::ACCOUNT),
                format!("{cluster}|{}|{user}||normal", super::ACCOUNT),
            ],
        ),
        Some("cluster" | "clusters") => {
            ("Cluster|ControlHost|ControlPort|RPC", vec![format!("{cluster}|127.0.0.1|6817|9728")])
        }
        Some("qos") => ("Name|Priority", vec![String::from("normal|0")]),
        Some("account" | "accounts") => ("Account|Descr|Org", vec![format!("{0}|{0}|{0}", super::ACCOUNT)]),
        Some("user" | "users") => ("User|Def Acct|Admin", vec![format!("{user}|{}|None", super::ACCOUNT)]),
        _ => {
            call.err("sacctmgr: error: this mock knows show assoc|cluster|qos|account|user only\n");
            return 1;
        }
    };
    let separator =
        if flags.contains('P') || flags.contains('p') || flags.contains("parsable") { "|" } else { " " };
    let no_header = flags.trim_start_matches('-').contains('n');
    for row in (!no_header).then_some(header.to_owned()).into_iter().chain(rows) {
        call.out(row.replace('|', separator) + "\n");
    }
    0
}
