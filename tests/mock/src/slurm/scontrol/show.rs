//! `scontrol show`: jobs, partitions, nodes and the configuration, as Slurm writes them.

use super::super::{ACCOUNT, Clock, args, controller, launch, sinfo, squeue, text, view};
use crate::config::{Config, Node, Queue};
use crate::engine::{Key, Table, now};
use crate::front::Call;

pub(super) fn show(call: &mut Call<'_>, what: &str, which: Option<&str>, one: bool) -> i32 {
    let clock = Clock::of(call);
    let host = call.host();
    if what.starts_with("job") {
        let words = which.map(args::ids).unwrap_or_default();
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
            .filter(|job| keys.is_empty() || keys.iter().any(|key| squeue::matches(job, *key)));
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
        pattern.map(|pattern| spec.cwd.join(launch::expand(pattern, job)).to_string_lossy().into_owned())
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
            attr("account").unwrap_or(ACCOUNT),
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
    let state = sinfo::node_state(table, node).0.to_ascii_uppercase();
    let partitions = table.config.cluster.queues_of(&node.name);
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
