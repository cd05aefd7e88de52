//! `scontrol`.

use super::view;
use super::{Clock, controller, text};
use crate::config::{Config, Node, Queue};
use crate::engine::{HELD_OPERATOR, HELD_USER, Job, Key, Phase, Scope, Table, Why, now};
use crate::front::{Call, Controller};

pub(super) fn run(call: &mut Call<'_>) -> i32 {
    let flags: Vec<String> = call.args.iter().take_while(|arg| arg.starts_with('-')).cloned().collect();
    let words: Vec<String> = call.args.iter().filter(|arg| !arg.starts_with('-')).cloned().collect();
    let tail_flags = call.args.iter().any(|arg| arg == "-o" || arg == "--oneliner");
    if flags.iter().any(|flag| flag == "-V" || flag == "--version")
        || words.first().is_some_and(|word| word == "version")
    {
        call.out("slurm-wlm 22.05.8\n");
        return 0;
    }
    let one = tail_flags
        || flags.iter().any(|flag| flag.starts_with('-') && !flag.starts_with("--") && flag.contains('o'));
    let lower: Vec<String> = words.iter().map(|word| word.to_ascii_lowercase()).collect();
    match lower.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["ping", ..] => {
            let host = call.host();
            let down = call.engine.config().faults.controller.clone();
            if down == "hung" {
                let _ = call.controller();
            }
            let up = call.engine.config().faults.controller.is_empty();
            call.out(format!("Slurmctld(primary) at {host} is {}\n", if up { "UP" } else { "DOWN" }));
            i32::from(!up)
        }
        ["show", "hostnames" | "hostname", ..] => {
            let list = words.get(2).cloned().or_else(|| call.var("SLURM_JOB_NODELIST")).unwrap_or_default();
            match text::hostnames(&list) {
                Some(names) => {
                    names.iter().for_each(|name| call.out(format!("{name}\n")));
                    0
                }
                None => {
                    call.err(format!("Invalid hostlist: {list}\n"));
                    1
                }
            }
        }
        ["show", "hostlist", names, ..] => {
            call.out(text::nodes(names.split(',')) + "\n");
            0
        }
        ["show", what, ..] => show(call, what, words.get(2).map(String::as_str), one),
        ["hold" | "uhold" | "release" | "requeue" | "requeuehold" | "suspend" | "resume", ..] => {
            control(call, &lower[0], &words[1..])
        }
        ["update", ..] => update(call, &words[1..]),
        ["write", "batch_script", id, ..] => script(call, id, words.get(3).map(String::as_str)),
        _ => {
            let word = words.first().cloned().unwrap_or_default();
            call.err(format!("invalid keyword: {word}\n"));
            1
        }
    }
}

fn show(call: &mut Call<'_>, what: &str, which: Option<&str>, one: bool) -> i32 {
    let clock = Clock::of(call);
    let host = call.host();
    if what.starts_with("job") {
        let words = which.map(super::args::ids).unwrap_or_default();
        let Some(keys) = words.iter().map(|word| view::key(word)).collect::<Option<Vec<Key>>>() else {
            call.err("slurm_load_jobs error: Invalid job id specified\n");
            return 1;
        };
        if let Some(code) = controller(call, "slurm_load_jobs error: ", 2.0) {
            return code;
        }
        let table = call.engine.lock();
        let jobs = table
            .jobs
            .values()
            .filter(|job| keys.is_empty() || keys.iter().any(|key| super::squeue::matches(job, *key)));
        let single = keys.iter().any(|key| key.index.is_some());
        let mut out = String::new();
        // A held element stands alone here, unlike in squeue.
        for row in view::rows(jobs, single) {
            out += &job(&table, &row, &clock, &host, one);
        }
        drop(table);
        if out.is_empty() {
            if !keys.is_empty() {
                call.err("slurm_load_jobs error: Invalid job id specified\n");
                return 1;
            }
            out = String::from("No jobs in the system\n");
        }
        call.out(out);
        return 0;
    }
    let prefix =
        if what.starts_with("part") { "slurm_load_partitions error: " } else { "slurm_load_node error: " };
    if let Some(code) = controller(call, prefix, 1.0) {
        return code;
    }
    let table = call.engine.lock();
    let config = &table.config;
    let mut out = String::new();
    if what.starts_with("part") {
        for queue in config.cluster.queues.iter().filter(|queue| which.is_none_or(|name| name == queue.name))
        {
            out += &partition(config, queue, one);
        }
        if out.is_empty() {
            drop(table);
            call.err(format!("Partition {} not found\n", which.unwrap_or_default()));
            return 1;
        }
    } else if what.starts_with("node") {
        let names = which.and_then(text::hostnames);
        for node in config
            .cluster
            .nodes
            .iter()
            .filter(|node| names.as_ref().is_none_or(|names| names.contains(&node.name)))
        {
            out += &node_text(&table, node, &clock, one);
        }
        if out.is_empty() {
            drop(table);
            call.err(format!("Node {} not found\n", which.unwrap_or_default()));
            return 1;
        }
    } else if what.starts_with("conf") {
        out = configuration(&table, &clock, &host);
    } else if what.starts_with("lic") {
        let tail = "    Total=2 Used=0 Free=2 Reserved=0 Remote=no";
        out = if one {
            format!("LicenseName=lic {}\n", tail.trim_start())
        } else {
            format!("LicenseName=lic\n{tail}\n")
        };
    } else {
        drop(table);
        call.err(format!("invalid entity:{what} for keyword:show \n"));
        return 1;
    }
    drop(table);
    call.out(out);
    0
}

/// Lines of `k=v`, joined into one with `one`.
fn layout(lines: &[String], one: bool) -> String {
    if one {
        let joined: Vec<&str> = lines.iter().map(|line| line.trim_start()).collect();
        return joined.join(" ") + "\n";
    }
    lines.join("\n   ") + "\n\n"
}

fn job(table: &Table, row: &view::Row<'_>, clock: &Clock, host: &str, one: bool) -> String {
    let job = row.job;
    let spec = &job.spec;
    let attr = |name: &str| job.attr(name);
    let null = "(null)";
    let time = |time: Option<i64>| time.map_or_else(|| String::from("Unknown"), |time| clock.write(time));
    let (code, signal) = view::exit_code(job);
    let priority = if job.held == 0 { 4_294_901_760 - job.key.id as i64 + job.priority } else { 0 };
    let array = row.tasks().map_or_else(String::new, |tasks| {
        let throttle = spec.throttle.map(|most| format!("ArrayTaskThrottle={most} ")).unwrap_or_default();
        format!("ArrayJobId={} ArrayTaskId={tasks} {throttle}", job.key.id)
    });
    let nodes = if job.alloc.is_empty() { spec.nodes as usize } else { job.alloc.len() };
    let end = job.end.or_else(|| Some(job.start? + job.limit? as i64 * 1_000_000));
    let file = |pattern: Option<&str>| {
        pattern
            .map(|pattern| spec.cwd.join(super::launch::expand(pattern, job)).to_string_lossy().into_owned())
    };
    let default = if job.key.index.is_some() { "slurm-%A_%a.out" } else { "slurm-%j.out" };
    let stdout = file(Some(spec.stdout.as_deref().unwrap_or(default))).unwrap_or_default();
    let stderr = file(spec.stderr.as_deref()).unwrap_or_else(|| stdout.clone());
    let memory = match attr("mem_per_cpu") {
        Some(each) => format!("MinMemoryCPU={each}M"),
        None => format!("MinMemoryNode={}M", spec.memory),
    };
    let mut lines = vec![
        format!("JobId={} {array}JobName={}", job.raw, spec.name),
        format!(
            "UserId={}({}) GroupId={}({}) MCS_label=N/A",
            spec.user.name, spec.user.uid, spec.user.group, spec.user.gid
        ),
        format!(
            "Priority={priority} Nice={} Account={} QOS={}",
            -job.priority,
            attr("account").unwrap_or(super::ACCOUNT),
            attr("qos").unwrap_or("normal")
        ),
        format!(
            "JobState={} Reason={} Dependency={}",
            view::state(job).0,
            row.reason().replace(' ', "_"),
            view::dependency(table, job).unwrap_or_else(|| null.to_owned())
        ),
        format!(
            "Requeue={} Restarts={} BatchFlag=1 Reboot=0 ExitCode={code}:{signal}",
            i32::from(attr("no_requeue").is_none()),
            job.runs.saturating_sub(1)
        ),
        format!(
            "RunTime={} TimeLimit={} TimeMin=N/A",
            text::long(view::elapsed(job)),
            job.limit.map_or_else(|| String::from("UNLIMITED"), |limit| text::long(limit as i64))
        ),
        format!("SubmitTime={} EligibleTime={}", clock.write(job.submit), time(job.eligible.or(job.begin))),
        format!("AccrueTime={}", time(job.eligible)),
        format!("StartTime={} EndTime={} Deadline=N/A", time(job.start.or(job.begin).or(job.end)), time(end)),
        format!(
            "SuspendTime={} SecsPreSuspend=0 LastSchedEval={} Scheduler=Main",
            job.suspended.map_or_else(|| String::from("None"), |at| clock.write(at)),
            time(job.start.or(Some(job.submit)))
        ),
        format!("Partition={} AllocNode:Sid={host}:1", spec.queue),
        format!(
            "ReqNodeList={} ExcNodeList={}",
            attr("nodelist").unwrap_or(null),
            attr("exclude").unwrap_or(null)
        ),
        format!("NodeList={}", view::node_list(job)),
    ];
    if let Some(first) = job.alloc.first() {
        lines.push(format!("BatchHost={}", first.node));
    }
    lines.extend([
        format!(
            "NumNodes={nodes} NumCPUs={} NumTasks={} CPUs/Task={} ReqB:S:C:T=0:0:*:*",
            spec.cores,
            attr("tasks").unwrap_or("1"),
            attr("cpus_per_task").unwrap_or("1")
        ),
        format!("TRES={}", view::tres(job, false)),
        format!("Socks/Node=* NtasksPerN:B:S:C={}:0:*:* CoreSpec=*", attr("ntasks_per_node").unwrap_or("0")),
        format!("MinCPUsNode={} {memory} MinTmpDiskNode=0", attr("cpus_per_task").unwrap_or("1")),
        format!("Features={} DelayBoot=00:00:00", attr("constraint").unwrap_or(null)),
        format!(
            "OverSubscribe={} Contiguous=0 Licenses=(null) Network=(null)",
            if job.start.is_some() { "NO" } else { "OK" }
        ),
        format!("Command={}", attr("command").unwrap_or(null)),
        format!("WorkDir={}", spec.cwd.display()),
    ]);
    if let Some(comment) = attr("comment") {
        lines.push(format!("Comment={comment} "));
    }
    lines.extend([
        format!("StdErr={stderr}"),
        format!("StdIn={}", spec.stdin.as_deref().unwrap_or("/dev/null")),
        format!("StdOut={stdout}"),
        String::from("Power="),
    ]);
    if spec.gpus > 0 {
        lines.push(format!("TresPerNode=gres:gpu:{}", spec.gpus));
    }
    if one {
        return layout(&lines, true).trim_end().to_owned() + " \n";
    }
    lines.join("\n   ") + "\n   \n\n"
}

fn partition(config: &Config, queue: &Queue, one: bool) -> String {
    let nodes: Vec<&Node> = config.cluster.nodes_of(queue).collect();
    let cores: u32 = nodes.iter().map(|node| node.cores).sum();
    let memory: u64 = nodes.iter().map(|node| node.memory).sum();
    let gpus: u32 = nodes.iter().map(|node| node.gpus).sum();
    let limit =
        |time: Option<u64>, none: &str| time.map_or_else(|| none.to_owned(), |time| text::long(time as i64));
    let default = config.cluster.default_queue().is_some_and(|first| first.name == queue.name);
    let size = match (queue.max_memory, queue.max_memory_per_core) {
        (_, Some(each)) => format!("MaxMemPerCPU={each}"),
        (Some(size), None) => format!("MaxMemPerNode={size}"),
        (None, None) => String::from("MaxMemPerNode=UNLIMITED"),
    };
    let tres = if gpus > 0 { format!(",gres/gpu={gpus}") } else { String::new() };
    layout(
        &[
            format!("PartitionName={}", queue.name),
            String::from("AllowGroups=ALL AllowAccounts=ALL AllowQos=ALL"),
            format!("AllocNodes=ALL Default={} QoS=N/A", if default { "YES" } else { "NO" }),
            format!(
                "DefaultTime={} DisableRootJobs=NO ExclusiveUser=NO GraceTime=0 Hidden=NO",
                limit(queue.default_time, "NONE")
            ),
            format!(
                "MaxNodes={} MaxTime={} MinNodes=0 LLN=NO MaxCPUsPerNode=UNLIMITED",
                queue.max_nodes.map_or_else(|| String::from("UNLIMITED"), |most| most.to_string()),
                limit(queue.max_time, "UNLIMITED")
            ),
            format!("Nodes={}", text::nodes(nodes.iter().map(|node| node.name.as_str()))),
            String::from("PriorityJobFactor=1 PriorityTier=1 RootOnly=NO ReqResv=NO OverSubscribe=NO"),
            String::from("OverTimeLimit=NONE PreemptMode=OFF"),
            format!(
                "State={} TotalCPUs={cores} TotalNodes={} SelectTypeParameters=NONE",
                if queue.started { "UP" } else { "DOWN" },
                nodes.len()
            ),
            format!("JobDefaults=(null)\n   DefMemPerNode=UNLIMITED {size}")
                .replace("\n   ", if one { " " } else { "\n   " }),
            format!("TRES=cpu={cores},mem={memory}M,node={},billing={cores}{tres}", nodes.len()),
        ],
        one,
    )
}

fn node_text(table: &Table, node: &Node, clock: &Clock, one: bool) -> String {
    let (cores, memory, _) = table.usage().get(node.name.as_str()).copied().unwrap_or_default();
    let state = super::sinfo::node_state(table, node).0.to_ascii_uppercase();
    let partitions: Vec<&str> = table
        .config
        .cluster
        .queues
        .iter()
        .filter(|queue| queue.nodes.is_empty() || queue.nodes.contains(&node.name))
        .map(|queue| queue.name.as_str())
        .collect();
    let gres = if node.gpus > 0 { format!("gpu:{}", node.gpus) } else { String::from("(null)") };
    let tres = if node.gpus > 0 { format!(",gres/gpu={}", node.gpus) } else { String::new() };
    let used = if cores > 0 { format!("cpu={cores},mem={memory}M") } else { String::new() };
    let state = match state.as_str() {
        "DRAINED" => String::from("IDLE+DRAIN"),
        "DRAINING" => String::from("MIXED+DRAIN"),
        _ => state,
    };
    let mut lines = vec![
        format!("NodeName={} Arch=x86_64 CoresPerSocket={} ", node.name, node.cores),
        format!("CPUAlloc={cores} CPUEfctv={0} CPUTot={0} CPULoad=0.10", node.cores),
        String::from("AvailableFeatures=(null)"),
        String::from("ActiveFeatures=(null)"),
        format!("Gres={gres}"),
        String::from("NodeAddr=127.0.0.1 NodeHostName=localhost Port=6818 Version=22.05.8"),
        String::from("OS=Linux "),
        format!("RealMemory={0} AllocMem={memory} FreeMem={0} Sockets=1 Boards=1", node.memory),
        format!("State={state} ThreadsPerCore=1 TmpDisk=0 Weight=1 Owner=N/A MCS_label=N/A"),
        format!("Partitions={} ", partitions.join(",")),
        format!("BootTime={0} SlurmdStartTime={0}", clock.write(0)),
        format!("LastBusyTime={}", clock.write(now())),
        format!("CfgTRES=cpu={0},mem={1}M,billing={0}{tres}", node.cores, node.memory),
        format!("AllocTRES={used}"),
        String::from("CapWatts=n/a"),
        String::from("CurrentWatts=0 AveWatts=0"),
        String::from("ExtSensorsJoules=n/s ExtSensorsWatts=0 ExtSensorsTemp=n/s"),
    ];
    if !node.reason.is_empty() {
        lines.push(format!("Reason={} [root@{}]", node.reason, clock.write(now())));
    }
    layout(&lines, one)
}

fn configuration(table: &Table, clock: &Clock, host: &str) -> String {
    let config = &table.config;
    let whole = |seconds: f64| seconds.ceil() as i64;
    let enforce = if config.limits.enforce_queue_limits { "ALL" } else { "NO" };
    let keys = [
        ("AccountingStorageType", String::from("accounting_storage/slurmdbd")),
        ("ClusterName", config.cluster.name.clone()),
        ("DefMemPerCPU", String::from("200")),
        ("EnforcePartLimits", enforce.to_owned()),
        ("JobRequeue", String::from("1")),
        ("KillWait", format!("{} sec", whole(config.timing.kill_wait))),
        ("MaxArraySize", config.limits.max_array.to_string()),
        ("MaxJobCount", config.limits.max_jobs.to_string()),
        ("MessageTimeout", format!("{} sec", whole(config.timing.message_timeout))),
        ("MinJobAge", format!("{} sec", whole(config.timing.min_job_age))),
        ("NEXT_JOB_ID", table.next_id.max(1).to_string()),
        ("ProctrackType", String::from("proctrack/linuxproc")),
        ("SchedulerType", String::from("sched/backfill")),
        ("SelectType", String::from("select/cons_tres")),
        ("SLURM_CONF", String::from("/etc/slurm/slurm.conf")),
        ("SLURM_VERSION", String::from("22.05.8")),
        ("SlurmctldHost[0]", format!("{host}(127.0.0.1)")),
        ("TaskPlugin", String::from("task/none")),
    ];
    let mut out = format!("Configuration data as of {}\n", clock.write(now()));
    for (key, value) in keys {
        out += &format!("{key:<23} = {value}\n");
    }
    let up = if config.faults.controller.is_empty() { "UP" } else { "DOWN" };
    out + &format!("\nSlurmctld(primary) at {host} is {up}\n")
}

fn control(call: &mut Call<'_>, verb: &str, ids: &[String]) -> i32 {
    let error = match verb {
        "suspend" | "resume" => "slurm_suspend error: ",
        "requeue" | "requeuehold" => "slurm_requeue error: ",
        _ => "slurm_update error: ",
    };
    if ids.is_empty() {
        call.err(format!("too few arguments for keyword:{verb}\n"));
        return 1;
    }
    if let Some(code) = controller(call, error, 1.0) {
        return code;
    }
    let uid = call.user.uid;
    let mut code = 0;
    let mut said = String::new();
    let mut table = call.engine.lock();
    for word in ids.iter().flat_map(|word| super::args::ids(word)) {
        let keys = keys_of(&table, &word);
        if keys.is_empty() {
            said += &format!("Invalid job id specified for job {word}\n{error}Invalid job id specified\n");
            code = 1;
        }
        let partial = word.contains('_');
        for key in keys {
            let Some(job) = table.jobs.get(&key) else { continue };
            if uid != 0 && job.spec.user.uid != uid {
                said += &format!("Invalid user id for job {word}\n{error}Invalid user id\n");
                code = 1;
                break;
            }
            if uid != 0 && matches!(verb, "suspend" | "resume") {
                said += &format!("Access/permission denied for job {word}\n");
                code = 1;
                break;
            }
            let (phase, pending) = (job.phase, job.phase == Phase::Pending);
            match verb {
                "hold" | "uhold" if pending => {
                    if partial {
                        super::split(&mut table, key);
                    }
                    let bit = if uid == 0 && verb == "hold" { HELD_OPERATOR } else { HELD_USER };
                    if let Some(job) = table.job_mut(key) {
                        job.held |= bit;
                    }
                }
                "release" if pending => {
                    if let Some(job) = table.job_mut(key) {
                        job.held = 0;
                        job.reason = String::from("None");
                    }
                }
                "requeue" | "requeuehold" if job.is_active() => {
                    if verb == "requeuehold"
                        && let Some(job) = table.job_mut(key)
                    {
                        job.held |= HELD_USER;
                    }
                    call.engine.kill(&mut table, key, Why::Requeue);
                }
                "requeue" | "requeuehold" if phase == Phase::Ended => {
                    let exit = job.exit.clone();
                    table.requeue(key, exit.as_ref(), None);
                }
                "suspend" if phase == Phase::Running => {
                    table.signal(key, 19, Scope::All);
                    if let Some(job) = table.job_mut(key) {
                        job.phase = Phase::Suspended;
                        job.suspended = Some(now());
                    }
                }
                "resume" if phase == Phase::Suspended => {
                    table.signal(key, 18, Scope::All);
                    if let Some(job) = table.job_mut(key) {
                        job.phase = Phase::Running;
                        // The time it was suspended does not count.
                        if let (Some(at), Some(start)) = (job.suspended.take(), job.start) {
                            job.start = Some(start + now() - at);
                        }
                    }
                }
                "hold" | "uhold" | "release" if phase == Phase::Ended => {
                    said += &format!(
                        "Job has already finished for job {word}\n{error}Job/step already completing or completed\n"
                    );
                    code = 1;
                }
                "release" | "hold" | "uhold" => {}
                _ => {
                    let why = if pending {
                        "Job is pending execution"
                    } else {
                        "Requested operation is presently disabled"
                    };
                    said += &format!("{why} for job {word}\n{error}{why}\n");
                    code = 1;
                }
            }
        }
    }
    drop(table);
    call.err(said);
    call.engine.schedule();
    code
}

/// The jobs that a word names: an id, an element, a list of elements, an element's own id.
fn keys_of(table: &Table, word: &str) -> Vec<Key> {
    let id = word.strip_prefix("JobId=").or(word.strip_prefix("jobid=")).unwrap_or(word);
    if let Some((_, name)) = id
        .split_once('=')
        .filter(|(key, _)| ["jobname", "name"].iter().any(|known| key.eq_ignore_ascii_case(known)))
    {
        return table.jobs.values().filter(|job| job.spec.name == name).map(|job| job.key).collect();
    }
    if let Some((id, list)) = id.split_once('_')
        && let (Some(key), Some((list, _))) = (view::key(id), text::indices(list, u32::MAX))
    {
        let keys = list.into_iter().map(|index| Key { id: key.id, index: Some(index) });
        return keys.filter(|key| table.jobs.contains_key(key)).collect();
    }
    let Some(key) = view::key(id) else { return Vec::new() };
    table.jobs.values().filter(|job| super::squeue::matches(job, key)).map(|job| job.key).collect()
}

fn update(call: &mut Call<'_>, words: &[String]) -> i32 {
    let pairs: Vec<(String, String)> = words
        .iter()
        .filter_map(|word| word.split_once('='))
        .map(|(key, value)| (key.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let value = |name: &str| pairs.iter().find(|pair| pair.0 == name).map(|pair| pair.1.clone());
    if let Some(names) = value("nodename").or_else(|| value("node")) {
        return update_nodes(call, &names, value("state"), value("reason"));
    }
    if let Some(name) = value("partitionname") {
        return update_partition(call, &name, value("state"));
    }
    let Some(id) = value("jobid").or_else(|| value("job")) else {
        call.err("No valid entity in update command\nInput line must include \"NodeName\", \"PartitionName\", \"JobId\", \"Reservation\" etc.\n");
        return 1;
    };
    if call.controller() != Controller::Well {
        call.err(format!("slurm_update error: {}\n", super::CONNECT));
        return 1;
    }
    let uid = call.user.uid;
    let mut table = call.engine.lock();
    let keys = keys_of(&table, &id);
    if keys.is_empty() {
        drop(table);
        call.err("slurm_update error: Invalid job id specified\n");
        return 1;
    }
    for key in keys {
        let depend = match value("dependency").map(|text| super::sbatch::dependency(&text)) {
            Some(None) => {
                drop(table);
                call.err("slurm_update error: Job dependency problem\n");
                return 1;
            }
            Some(depend) => depend,
            None => None,
        };
        let Some(job) = table.job_mut(key) else { continue };
        if uid != 0 && job.spec.user.uid != uid {
            drop(table);
            call.err("slurm_update error: Access/permission denied\n");
            return 1;
        }
        if let Some(depend) = depend {
            job.depend = depend;
        }
        if let Some(limit) = value("timelimit").and_then(|text| text::limit(&text)) {
            job.limit = limit;
        }
        if let Some(nice) = value("nice").and_then(|text| text.parse::<i64>().ok()) {
            job.priority = -nice;
        }
        if let Some(begin) = value("starttime").and_then(|word| text::when(&word, now())) {
            job.begin = Some(begin);
        }
        for name in ["comment", "account", "qos"] {
            if let Some(text) = value(name) {
                job.attrs.insert(name.to_owned(), text);
            }
        }
        if value("priority").as_deref() == Some("0") {
            job.held |= HELD_USER;
        }
        let throttle = value("arraytaskthrottle").and_then(|text| text.parse::<u32>().ok());
        if throttle.is_some() || value("partition").is_some() || value("jobname").is_some() {
            let mut spec = (*job.spec).clone();
            spec.throttle = throttle.map_or(spec.throttle, |most| (most > 0).then_some(most));
            spec.queue = value("partition").unwrap_or(spec.queue);
            spec.name = value("jobname").unwrap_or(spec.name);
            job.spec = std::sync::Arc::new(spec);
        }
    }
    drop(table);
    call.engine.schedule();
    0
}

/// `update NodeName=… State=DRAIN|DOWN|RESUME Reason=…`, for root as in the real one.
fn update_nodes(call: &mut Call<'_>, names: &str, state: Option<String>, reason: Option<String>) -> i32 {
    let config = call.engine.config();
    let names = text::hostnames(names).unwrap_or_default();
    let known = |name: &String| config.cluster.nodes.iter().any(|node| node.name == *name);
    if names.is_empty() || !names.iter().all(known) {
        call.err("slurm_update error: Invalid node name specified\n");
        return 1;
    }
    let state = match state.as_deref().map(str::to_ascii_uppercase).as_deref() {
        None => None,
        Some("DRAIN") => Some("drain"),
        Some("DOWN" | "FAIL") => Some("down"),
        Some("RESUME" | "IDLE" | "UNDRAIN") => Some(""),
        Some(other) => {
            call.err(format!("Invalid input: {other}\nRequest aborted\nValid states are:\n  NoResp DRAIN FAIL FUTURE RESUME POWER_DOWN POWER_UP UNDRAIN\n"));
            return 1;
        }
    };
    if matches!(state, Some("drain" | "down")) && reason.is_none() {
        call.err("You must specify a reason when DOWNING or DRAINING a node. Request denied\n");
        return 1;
    }
    change(call, |config| {
        for node in config.cluster.nodes.iter_mut().filter(|node| names.contains(&node.name)) {
            if let Some(state) = state {
                state.clone_into(&mut node.state);
                node.reason.clear();
            }
            node.reason = reason.clone().unwrap_or_else(|| node.reason.clone());
        }
    })
}

/// `update PartitionName=… State=UP|DOWN`.
fn update_partition(call: &mut Call<'_>, name: &str, state: Option<String>) -> i32 {
    if call.engine.config().cluster.queue(name).is_none() {
        call.err("slurm_update error: Invalid partition name specified\n");
        return 1;
    }
    let started = match state.as_deref().map(str::to_ascii_uppercase).as_deref() {
        Some("UP") => true,
        Some("DOWN") => false,
        _ => {
            call.err("scontrol: error: the mock of Slurm changes a partition's State alone, to UP or DOWN\n");
            return 1;
        }
    };
    change(call, |config| {
        for queue in config.cluster.queues.iter_mut().filter(|queue| queue.name == name) {
            queue.started = started;
        }
    })
}

/// Changes the cluster, if the caller is root.
fn change(call: &mut Call<'_>, by: impl FnOnce(&mut Config)) -> i32 {
    if call.controller() != Controller::Well {
        call.err(format!("slurm_update error: {}\n", super::CONNECT));
        return 1;
    }
    let trusted = call.engine.config().extra.get("users_are_operators").and_then(serde_json::Value::as_bool);
    if call.user.uid != 0 && trusted != Some(true) {
        call.err("slurm_update error: Invalid user id\n");
        return 1;
    }
    call.reconfigure(by);
    call.engine.schedule();
    0
}

fn script(call: &mut Call<'_>, id: &str, to: Option<&str>) -> i32 {
    let found = view::key(id).and_then(|key| {
        let table = call.engine.lock();
        table
            .jobs
            .values()
            .find(|job| super::squeue::matches(job, key))
            .map(|job: &Job| job.spec.script.clone())
    });
    let Some(text) = found else {
        call.err("job script retrieval failed: Invalid job id specified\n");
        return 1;
    };
    if to == Some("-") || call.args.last().is_some_and(|arg| arg == "-") {
        call.out(text);
        return 0;
    }
    let path = call.path(to.map_or_else(|| format!("slurm-{id}.sh"), String::from));
    let written = std::fs::write(&path, text);
    call.out(format!("batch script for job {id} written to {}\n", path.display()));
    i32::from(written.is_err())
}
