//! Server and queues of OpenPBS: `qstat -B -Q -q`, `qmgr`.

use crate::engine::Table;
use crate::front::Call;

use super::getopt::{Item, getopt};
use super::qstat::document;
use super::record::{Record, Style};
use super::show::Item as Shown;
use super::table::{QueueRow, hms, queue_limits, queues};
use super::{is_down, say_down, server};

/// The queues with what is in them.
pub(crate) fn queue_rows(table: &Table) -> Vec<QueueRow> {
    let mut rows: Vec<QueueRow> = table
        .config
        .cluster
        .queues
        .iter()
        .map(|queue| QueueRow {
            name: queue.name.clone(),
            memory: queue.max_memory.map(|mib| {
                if mib.is_multiple_of(1024) { format!("{}gb", mib / 1024) } else { format!("{mib}mb") }
            }),
            walltime: queue.max_time.map(hms),
            enabled: queue.enabled,
            started: queue.started,
            ..QueueRow::default()
        })
        .collect();
    let mut last = None;
    for job in table.jobs.values() {
        if last == Some(job.key.id) {
            continue;
        }
        last = Some(job.key.id);
        let Some(row) = rows.iter_mut().find(|row| row.name == job.spec.queue) else { continue };
        let item = if job.key.index.is_some() { Shown::Parent(job) } else { Shown::Job(job) };
        match item.letter(table) {
            'Q' => row.queued += 1,
            'H' => row.held += 1,
            'W' => row.waiting += 1,
            'F' | 'X' => {}
            _ => row.running += 1,
        }
    }
    rows
}

/// `qstat -Q` and `-q`.
pub(crate) fn queue_status(
    call: &mut Call<'_>,
    flags: &str,
    format: Option<&str>,
    delimiter: &str,
    names: &[String],
) -> i32 {
    let engine = call.engine;
    let table = engine.lock();
    let mut rows = queue_rows(&table);
    if !names.is_empty() {
        rows.retain(|row| names.contains(&row.name));
    }
    if rows.is_empty() && !names.is_empty() {
        drop(table);
        let text = format!("qstat: Unknown queue {}\n", names.join(" "));
        call.err(text);
        return 170;
    }
    let out = if flags.contains('f') || format.is_some() {
        let records: Vec<Record> = rows.iter().map(queue_record).collect();
        match format {
            Some("json") => document(&table, "Queue", &records),
            Some("dsv") => records.iter().flat_map(|record| record.dsv("Queue", delimiter)).collect(),
            _ => records.iter().flat_map(|record| record.text("Queue", Style::OpenPbs)).collect(),
        }
    } else if flags.contains('q') {
        queue_limits(&server(&table), &rows).into_bytes()
    } else {
        queues(&rows).into_bytes()
    };
    drop(table);
    call.out(out);
    0
}

fn queue_record(row: &QueueRow) -> Record {
    let mut record = Record::new(row.name.clone());
    record.add("queue_type", "Execution");
    record.add("total_jobs", row.total().to_string());
    record.add(
        "state_count",
        format!(
            "Transit:0 Queued:{} Held:{} Waiting:{} Running:{} Exiting:0 Begun:0 ",
            row.queued, row.held, row.waiting, row.running
        ),
    );
    if let Some(memory) = &row.memory {
        record.add_resource("resources_max", "mem", memory.clone());
    }
    if let Some(walltime) = &row.walltime {
        record.add_resource("resources_max", "walltime", walltime.clone());
    }
    record.add("enabled", if row.enabled { "True" } else { "False" });
    record.add("started", if row.started { "True" } else { "False" });
    record
}

/// `qstat -B`.
pub(crate) fn server_status(call: &mut Call<'_>, full: bool, format: Option<&str>, delimiter: &str) -> i32 {
    let engine = call.engine;
    let table = engine.lock();
    let record = server_record(&table);
    let out = match (format, full) {
        (Some("json"), _) => document(&table, "Server", &[record]),
        (Some("dsv"), _) => record.dsv("Server", delimiter),
        (_, true) => record.text("Server", Style::OpenPbs),
        _ => {
            let rows = queue_rows(&table);
            let sum = |of: fn(&QueueRow) -> u64| rows.iter().map(of).sum::<u64>();
            format!(
                "Server             Max   Tot   Que   Run   Hld   Wat   Trn   Ext Status\n\
                 ---------------- ----- ----- ----- ----- ----- ----- ----- ----- -----------\n\
                 {:<16} {:>5} {:>5} {:>5} {:>5} {:>5} {:>5} {:>5} {:>5} {}\n",
                server(&table),
                0,
                sum(QueueRow::total),
                sum(|row| row.queued),
                sum(|row| row.running),
                sum(|row| row.held),
                sum(|row| row.waiting),
                0,
                0,
                "Active"
            )
            .into_bytes()
        }
    };
    drop(table);
    call.out(out);
    0
}

fn server_record(table: &Table) -> Record {
    let rows = queue_rows(table);
    let sum = |of: fn(&QueueRow) -> u64| rows.iter().map(of).sum::<u64>();
    let name = server(table);
    let total = table.jobs.len();
    let mut record = Record::new(name.clone());
    record.add("server_state", "Active");
    record.add("server_host", name);
    record.add("scheduling", "True");
    record.add("total_jobs", total.to_string());
    record.add(
        "state_count",
        format!(
            "Transit:0 Queued:{} Held:{} Waiting:{} Running:{} Exiting:0 Begun:0 ",
            sum(|row| row.queued),
            sum(|row| row.held),
            sum(|row| row.waiting),
            sum(|row| row.running)
        ),
    );
    record.add("acl_roots", "root");
    record.add_some("default_queue", table.config.cluster.default_queue().map(|queue| queue.name.clone()));
    record.add("log_events", "2047");
    record.add("query_other_jobs", "True");
    let walltime = table.config.cluster.default_queue().and_then(|queue| queue.default_time).unwrap_or(3600);
    record.add_resource("resources_default", "ncpus", "1");
    record.add_resource("resources_default", "walltime", hms(walltime));
    record.add_resource("default_chunk", "ncpus", "1");
    let used: u32 = table.active().map(|job| job.spec.cores).sum();
    record.add_resource("resources_assigned", "ncpus", used.to_string());
    record.add_resource("resources_assigned", "nodect", table.active().count().to_string());
    record.add("scheduler_iteration", "60");
    record.add("flatuid", "True");
    record.add("resv_enable", "True");
    record.add("node_fail_requeue", "310");
    record.add("max_array_size", table.config.limits.max_array.to_string());
    record.add("resend_term_delay", "5");
    record.add("license_count", "Avail_Global:1000000 Avail_Local:1000000 Used:0 High_Use:0");
    record.add("pbs_version", "23.06.06");
    record.add("eligible_time_enable", "False");
    record.add("job_history_enable", "True");
    record.add("job_history_duration", hms(table.config.timing.min_job_age as u64));
    record.add("max_concurrent_provision", "5");
    record.add("max_job_sequence_id", "9999999");
    record
}

/// `qmgr -c 'list|print server|queue …'`, as far as it reads.
pub(crate) fn qmgr(call: &mut Call<'_>) -> i32 {
    let mut commands = Vec::new();
    for item in getopt(&call.args.clone(), "ac:enz") {
        if let Item::Value('c', value) = item {
            commands.push(value);
        }
    }
    if commands.is_empty() {
        let text = String::from_utf8_lossy(&call.stdin()).into_owned();
        commands.extend(text.lines().map(str::to_owned));
    }
    if is_down(call) {
        return say_down(call);
    }
    for command in commands {
        let words: Vec<&str> = command.split_whitespace().collect();
        let engine = call.engine;
        let table = engine.lock();
        let wanted = words.get(2).copied();
        let records: Vec<(&str, Record)> = match words.get(1).copied() {
            Some("server" | "s") => vec![("Server", server_record(&table))],
            Some("queue" | "q") => queue_rows(&table)
                .iter()
                .filter(|row| wanted.is_none_or(|name| name == row.name || name == "@default"))
                .map(|row| ("Queue", queue_record(row)))
                .collect(),
            _ => Vec::new(),
        };
        drop(table);
        let verb = words.first().copied().unwrap_or_default();
        if !matches!(verb, "list" | "l" | "print" | "p" | "quit" | "q" | "") {
            call.err(
                "qmgr obj= svr=default: Unauthorized Request \nqmgr: Error (15007) returned from server\n",
            );
            return 1;
        }
        for (head, record) in records {
            if verb.starts_with('l') {
                call.out(format!("{head} {}\n", record.id));
                for attr in &record.attrs {
                    call.out(format!("    {} = ", attr.full_name()));
                    call.out(&attr.value);
                    call.out("\n");
                }
                call.out("\n");
            } else {
                let kind = head.to_lowercase();
                let name = if kind == "server" { String::new() } else { format!(" {}", record.id) };
                call.out(format!("#\n# Set {kind} attributes.\n#\n"));
                for attr in &record.attrs {
                    call.out(format!("set {kind}{name} {} = ", attr.full_name()));
                    call.out(&attr.value);
                    call.out("\n");
                }
            }
        }
    }
    0
}
