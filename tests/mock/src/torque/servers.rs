//! Server, queues and nodes of Torque.

use crate::engine::{Phase, Table, now, seconds};
use crate::front::Call;
use crate::pbs::getopt::{Item, getopt};
use crate::pbs::launch::job_id;
use crate::pbs::record::{Record, Style};
use crate::pbs::table::{QueueRow, hms};
use crate::pbs::{is_down, refuse, server};

use super::show::letter;
use super::{say_down, xml};

fn rows(table: &Table) -> Vec<QueueRow> {
    let queues = &table.config.cluster.queues;
    let mut rows: Vec<QueueRow> = queues
        .iter()
        .map(|queue| QueueRow {
            name: queue.name.clone(),
            walltime: queue.max_time.map(hms),
            enabled: queue.enabled,
            started: queue.started,
            ..QueueRow::default()
        })
        .collect();
    for job in table.jobs.values() {
        let Some(row) = rows.iter_mut().find(|row| row.name == job.spec.queue) else { continue };
        match letter(table, job) {
            'Q' => row.queued += 1,
            'H' => row.held += 1,
            'W' => row.waiting += 1,
            'C' => row.complete += 1,
            _ => row.running += 1,
        }
    }
    rows
}

fn counts(row: &QueueRow) -> String {
    format!(
        "Transit:0 Queued:{} Held:{} Waiting:{} Running:{} Exiting:0 Complete:{} ",
        row.queued, row.held, row.waiting, row.running, row.complete
    )
}

fn total(table: &Table) -> QueueRow {
    rows(table).iter().fold(QueueRow::default(), |mut sum, row| {
        sum.queued += row.queued;
        sum.running += row.running;
        sum.held += row.held;
        sum.waiting += row.waiting;
        sum.complete += row.complete;
        sum
    })
}

fn server_record(table: &Table) -> Record {
    let sum = total(table);
    let name = server(table);
    let mut record = Record::new(name.clone());
    for (attr, value) in [
        ("server_state", "Active".to_owned()),
        ("scheduling", "True".to_owned()),
        ("total_jobs", sum.total().to_string()),
        ("state_count", counts(&sum)),
        ("acl_hosts", name.clone()),
        ("acl_roots", "root".to_owned()),
        (
            "default_queue",
            table.config.cluster.default_queue().map_or_else(String::new, |queue| queue.name.clone()),
        ),
        ("log_events", "2047".to_owned()),
        ("mail_from", "adm".to_owned()),
        ("scheduler_iteration", "20".to_owned()),
        ("node_check_rate", "150".to_owned()),
        ("tcp_timeout", "300".to_owned()),
        ("pbs_version", "master".to_owned()),
        ("keep_completed", format!("{:.0}", table.config.timing.min_job_age)),
        ("submit_hosts", format!("{name},localhost")),
        ("allow_node_submit", "True".to_owned()),
        ("next_job_number", table.next_id.to_string()),
        ("moab_array_compatible", "True".to_owned()),
        ("nppcu", "1".to_owned()),
        ("timeout_for_job_delete", "120".to_owned()),
        ("timeout_for_job_requeue", "120".to_owned()),
        ("note_append_on_error", "True".to_owned()),
    ] {
        record.add(attr, value);
    }
    record
}

fn queue_record(table: &Table, row: &QueueRow) -> Record {
    let mut record = Record::new(row.name.clone());
    record.add("queue_type", "Execution");
    record.add("total_jobs", row.total().to_string());
    record.add("state_count", counts(row));
    if let Some(walltime) = &row.walltime {
        record.add_resource("resources_max", "walltime", walltime.clone());
    }
    if let Some(default) = table.config.cluster.queue(&row.name).and_then(|queue| queue.default_time) {
        record.add_resource("resources_default", "nodes", "1");
        record.add_resource("resources_default", "walltime", hms(default));
    }
    record.add("mtime", seconds(now()).to_string());
    record.add("enabled", if row.enabled { "True" } else { "False" });
    record.add("started", if row.started { "True" } else { "False" });
    record
}

/// `qstat -B`.
pub(crate) fn server_status(call: &mut Call<'_>, full: bool) -> i32 {
    let engine = call.engine;
    let table = engine.lock();
    let out = if full {
        server_record(&table).text("Server", Style::Torque)
    } else {
        let sum = total(&table);
        format!(
            "Server             Max   Tot   Que   Run   Hld   Wat   Trn   Ext   Com Status    \n\
             ----------------   ---   ---   ---   ---   ---   ---   ---   ---   --- ----------\n\
             {:<18} {:>3} {:>5} {:>5} {:>5} {:>5} {:>5} {:>5} {:>5} {:>5} {:<10}\n",
            server(&table),
            0,
            sum.total(),
            sum.queued,
            sum.running,
            sum.held,
            sum.waiting,
            0,
            0,
            sum.complete,
            "Active"
        )
        .into_bytes()
    };
    drop(table);
    call.out(out);
    0
}

/// `qstat -Q` and `-q`.
pub(crate) fn queue_status(call: &mut Call<'_>, limits: bool, full: bool, names: &[String]) -> i32 {
    let engine = call.engine;
    let table = engine.lock();
    let mut rows = rows(&table);
    if !names.is_empty() {
        rows.retain(|row| names.contains(&row.name));
    }
    let mut out = Vec::new();
    if full {
        out.extend(rows.iter().flat_map(|row| queue_record(&table, row).text("Queue", Style::Torque)));
    } else if limits {
        let mut text = format!(
            "\nserver: {}\n\nQueue            Memory CPU Time Walltime Node  Run Que Lm  State\n\
             ---------------- ------ -------- -------- ----  --- --- --  -----\n",
            server(&table)
        );
        let (mut running, mut waiting) = (0, 0);
        for row in &rows {
            let que = row.queued + row.held + row.waiting;
            running += row.running;
            waiting += que;
            text.push_str(&format!(
                "{:<16}   --      --    {:>8}   --  {:>3} {:>3} --   {} {}\n",
                row.name,
                row.walltime.as_deref().unwrap_or("--   "),
                row.running,
                que,
                if row.enabled { 'E' } else { 'D' },
                if row.started { 'R' } else { 'S' }
            ));
        }
        text.push_str(&format!("{:47}----- -----\n{:47}{running:>5} {waiting:>5}\n", "", ""));
        out = text.into_bytes();
    } else {
        let mut text = String::from(
            "Queue              Max    Tot   Ena   Str   Que   Run   Hld   Wat   Trn   Ext T   Cpt\n\
             ----------------   ---   ----    --    --   ---   ---   ---   ---   ---   --- -   ---\n",
        );
        let yes = |flag: bool| if flag { "yes" } else { "no" };
        for row in &rows {
            text.push_str(&format!(
                "{:<18} {:>3} {:>6} {:>5} {:>5} {:>5} {:>5} {:>5} {:>5} {:>5} {:>5} E {:>5}\n",
                row.name,
                0,
                row.total(),
                yes(row.enabled),
                yes(row.started),
                row.queued,
                row.running,
                row.held,
                row.waiting,
                0,
                0,
                row.complete
            ));
        }
        out = text.into_bytes();
    }
    drop(table);
    call.out(out);
    0
}

/// `pbsnodes`, `-a`, `-l`, `-x`.
pub(crate) fn pbsnodes(call: &mut Call<'_>) -> i32 {
    let (mut flags, mut names) = (String::new(), Vec::new());
    for item in getopt(&call.args.clone(), "acdlmnoqrs:xN:") {
        match item {
            Item::Flag(letter) => flags.push(letter),
            Item::Operand(name) => names.push(name),
            _ => {}
        }
    }
    if is_down(call) {
        return say_down(call);
    }
    let engine = call.engine;
    let table = engine.lock();
    let listing = flags.contains('l');
    let all = names.iter().any(|name| name == "all");
    let known = |name: &String| table.config.cluster.nodes.iter().any(|node| node.name == *name);
    if !listing && names.iter().any(|name| !known(name)) {
        drop(table);
        return refuse(call, 1, "Unknown node  MSG=cannot locate specified node");
    }
    let usage = table.usage();
    let mut records = Vec::new();
    let mut out = Vec::new();
    for node in &table.config.cluster.nodes {
        let used = usage.get(node.name.as_str()).map_or(0, |used| used.0);
        let state = match node.state.as_str() {
            "" if used >= node.cores => "job-exclusive",
            "" => "free",
            "drain" => "offline",
            other => other,
        };
        if listing {
            let asked = match names.as_slice() {
                [] => !node.state.is_empty(),
                words => words.iter().any(|word| {
                    word == state
                        || *word == node.name
                        || (word == "up" && node.state.is_empty())
                        || (word == "active" && used > 0)
                }),
            };
            if all || asked {
                out.extend(format!("{:<20} {state}\n", node.name).into_bytes());
            }
            continue;
        }
        if !names.is_empty() && !names.contains(&node.name) {
            continue;
        }
        let mut slot = 0;
        let mut jobs = Vec::new();
        for job in table.active().filter(|job| job.phase != Phase::Ended) {
            for alloc in job.alloc.iter().filter(|alloc| alloc.node == node.name) {
                let last = slot + alloc.cores.max(1) - 1;
                let slots = if last > slot { format!("{slot}-{last}") } else { slot.to_string() };
                jobs.push(format!("{slots}/{}", job_id(&table, job)));
                slot = last + 1;
            }
        }
        let mut record = Record::new(node.name.clone());
        record.add("state", state);
        record.add("power_state", "Running");
        record.add("np", node.cores.to_string());
        record.add("ntype", "cluster");
        if !jobs.is_empty() {
            record.add("jobs", jobs.join(","));
        }
        record.add(
            "status",
            format!(
                "opsys=linux,totmem={}kb,physmem={}kb,ncpus={},loadave=0.10,state=free,rectime={}",
                node.memory * 1024,
                node.memory * 1024,
                node.cores,
                seconds(now())
            ),
        );
        record.add("mom_service_port", "15002");
        record.add("mom_manager_port", "15003");
        records.push(record);
    }
    drop(table);
    if flags.contains('x') {
        let document = xml::document(&records, "Node", "name");
        out = document.strip_prefix(b"<?xml version=\"1.0\"?>\n").map_or_else(Vec::new, <[u8]>::to_vec);
    } else if !listing {
        for record in &records {
            out.extend(format!("{}\n", record.id).into_bytes());
            for attr in &record.attrs {
                out.extend(format!("     {} = ", attr.full_name()).into_bytes());
                out.extend(&attr.value);
                out.push(b'\n');
            }
            out.push(b'\n');
        }
    }
    call.out(out);
    0
}

/// `qmgr -c 'list|print server|queue …'`, as far as it reads.
pub(crate) fn qmgr(call: &mut Call<'_>) -> i32 {
    let mut commands = Vec::new();
    for item in getopt(&call.args.clone(), "ac:enz") {
        if let Item::Value('c', value) = item {
            commands.push(value);
        }
    }
    if is_down(call) {
        return say_down(call);
    }
    for command in commands {
        let words: Vec<&str> = command.split_whitespace().collect();
        let verb = words.first().copied().unwrap_or_default();
        if !verb.starts_with('l') && !verb.starts_with('p') {
            return refuse(call, 1, "Unauthorized Request ");
        }
        let engine = call.engine;
        let table = engine.lock();
        let records: Vec<(&str, Record)> = match words.get(1).copied() {
            Some("server" | "s") => vec![("Server", server_record(&table))],
            _ => rows(&table)
                .iter()
                .filter(|row| words.get(2).is_none_or(|name| *name == row.name))
                .map(|row| ("Queue", queue_record(&table, row)))
                .collect(),
        };
        drop(table);
        for (head, record) in records {
            let listing = verb.starts_with('l');
            let kind = head.to_lowercase();
            if listing {
                call.out(format!("{head} {}\n", record.id));
            }
            for attr in &record.attrs {
                let name = attr.full_name();
                call.out(match (listing, kind.as_str()) {
                    (true, _) => format!("\t{name} = "),
                    (false, "server") => format!("set server {name} = "),
                    (false, _) => format!("set queue {} {name} = ", record.id),
                });
                call.out(&attr.value);
                call.out("\n");
            }
            if listing {
                call.out("\n");
            }
        }
    }
    0
}
