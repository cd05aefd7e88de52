//! The cell: `qhost`, `qconf`, `qselect`.

use crate::config::{Config, Queue};
use crate::engine::{Table, seconds};
use crate::front::Call;
use crate::pbs::clock::local;

use super::names;
use super::qsub::ENVIRONMENTS;
use super::selected::Selected;
use super::state::{letters, priority};
use super::xml::escaped;

/// `qhost`, with `-xml`.
pub(crate) fn qhost(call: &mut Call<'_>) -> i32 {
    let config = call.engine.config();
    let columns = |node: &crate::config::Node| {
        let down = node.state == "down";
        let unknown = |text: String| if down { "-".to_owned() } else { text };
        [
            ("arch_string", "lx-amd64".to_owned()),
            ("num_proc", node.cores.to_string()),
            ("m_socket", "1".to_owned()),
            ("m_core", node.cores.to_string()),
            ("m_thread", node.cores.to_string()),
            ("load_avg", unknown("0.10".to_owned())),
            ("mem_total", format!("{:.1}G", node.memory as f64 / 1024.0)),
            ("mem_used", unknown("638.8M".to_owned())),
            ("swap_total", "0.0".to_owned()),
            ("swap_used", unknown("0.0".to_owned())),
        ]
    };
    let (with_queues, with_jobs) =
        (call.args.iter().any(|arg| arg == "-q"), call.args.iter().any(|arg| arg == "-j"));
    if call.args.iter().any(|arg| arg == "-xml") {
        call.out("<?xml version='1.0'?>\n<qhost xmlns:xsd=\"http://arc.liv.ac.uk/repos/darcs/sge/source/dist/util/resources/schemas/qhost/qhost.xsd\">\n <host name='global'>\n");
        if let Some(node) = config.cluster.nodes.first() {
            for (name, _) in columns(node) {
                call.out(format!("   <hostvalue name='{name}'>-</hostvalue>\n"));
            }
        }
        call.out(" </host>\n");
        for node in &config.cluster.nodes {
            call.out(format!(" <host name='{}'>\n", node.name));
            for (name, value) in columns(node) {
                call.out(format!("   <hostvalue name='{name}'>{value}</hostvalue>\n"));
            }
            let text = contents(&call.engine.lock(), node, with_queues, with_jobs);
            call.out(text);
            call.out(" </host>\n");
        }
        call.out("</qhost>\n");
        return 0;
    }
    if with_jobs && !with_queues {
        return super::not_served(call, "-j without -q");
    }
    let zone = call.var("TZ");
    call.out(
        "HOSTNAME                ARCH         NCPU NSOC NCOR NTHR  LOAD  MEMTOT  MEMUSE  SWAPTO  SWAPUS\n",
    );
    call.out(format!("{}\n", "-".repeat(94)));
    call.out(
        "global                  -               -    -    -    -     -       -       -       -       -\n",
    );
    for node in &config.cluster.nodes {
        let [arch, cpus, sockets, cores, threads, load, memory, used, swap, swapped] =
            columns(node).map(|(_, value)| value);
        call.out(format!(
            "{:<23} {arch:<12} {cpus:>4} {sockets:>4} {cores:>4} {threads:>4} {load:>5} {memory:>7} {used:>7} {swap:>7} {swapped:>7}\n",
            node.name
        ));
        if with_queues {
            let text = plain_contents(&call.engine.lock(), node, with_jobs, zone.as_deref());
            call.out(text);
        }
    }
    0
}

/// The jobs of a queue that run on a host.
fn running<'t>(table: &'t Table, queue: &Queue, node: &crate::config::Node) -> Vec<&'t crate::engine::Job> {
    let here = |job: &&crate::engine::Job| {
        job.spec.queue == queue.name && job.alloc.iter().any(|alloc| alloc.node == node.name)
    };
    table.active().filter(here).collect()
}

fn queue_state(queue: &Queue, node: &crate::config::Node) -> &'static str {
    match (node.state.as_str(), queue.enabled && queue.started) {
        ("down", _) => "u",
        ("drain", _) | (_, false) => "d",
        _ => "",
    }
}

/// The queues and jobs of a host, as `-q` and `-j` print them below its line.
fn plain_contents(table: &Table, node: &crate::config::Node, jobs: bool, zone: Option<&str>) -> String {
    let mut out = String::new();
    let queues = table.config.cluster.queues.iter();
    for queue in queues.filter(|queue| table.config.cluster.nodes_of(queue).any(|n| n.name == node.name)) {
        let running = running(table, queue, node);
        let used: u32 = running.iter().map(|job| job.spec.cores).sum();
        let slots = format!("0/{used}/{}", node.cores);
        out.push_str(&format!("   {:<20} BIP   {slots:<14}{}\n", queue.name, queue_state(queue, node)));
        for job in running.iter().filter(|_| jobs) {
            let name: String = job.spec.name.chars().take(10).collect();
            let task = job.key.index.map_or_else(|| " ".repeat(7), |index| index.to_string());
            out.push_str(&format!(
                "{:>10} {:.5} {name:<10} {:<12} {:<5} {} MASTER {task}\n",
                job.key.id,
                priority(table, job),
                job.spec.user.name,
                letters(table, job),
                local(seconds(job.start.unwrap_or(0)), zone).american()
            ));
        }
    }
    out
}

/// The queues and jobs of a host, in XML.
fn contents(table: &Table, node: &crate::config::Node, queues: bool, jobs: bool) -> String {
    let mut out = String::new();
    for queue in &table.config.cluster.queues {
        let here = table.config.cluster.nodes_of(queue).any(|other| other.name == node.name);
        let running = running(table, queue, node);
        if queues && here {
            let used: u32 = running.iter().map(|job| job.spec.cores).sum();
            let state = queue_state(queue, node);
            let name = &queue.name;
            out.push_str(&format!(" <queue name='{name}'>\n"));
            for (value, text) in [
                ("qtype_string", "BIP".to_owned()),
                ("slots_used", used.to_string()),
                ("slots", node.cores.to_string()),
                ("slots_resv", "0".to_owned()),
                ("state_string", state.to_owned()),
            ] {
                out.push_str(&format!("   <queuevalue qname='{name}' name='{value}'>{text}</queuevalue>\n"));
            }
            out.push_str(" </queue>\n");
        }
        for job in running.iter().filter(|_| jobs) {
            let id = job.key.id;
            out.push_str(&format!(" <job name='{id}'>\n"));
            let mut values = vec![
                ("priority", format!("'{:.6}'", priority(table, job))),
                ("qinstance_name", format!("{}@{}", queue.name, node.name)),
                ("job_name", escaped(&job.spec.name)),
                ("job_owner", job.spec.user.name.clone()),
                ("job_state", letters(table, job)),
                ("start_time", seconds(job.start.unwrap_or(0)).to_string()),
                ("pe_master", "MASTER".to_owned()),
            ];
            if let Some(index) = job.key.index {
                values.push(("taskid", index.to_string()));
            }
            for (name, value) in values {
                out.push_str(&format!("   <jobvalue jobid='{id}' name='{name}'>{value}</jobvalue>\n"));
            }
            out.push_str(" </job>\n");
        }
    }
    out
}

/// `qselect`: queue instances.
pub(crate) fn qselect(call: &mut Call<'_>) -> i32 {
    let config = call.engine.config();
    let mut selected = Selected::default();
    let mut args = call.args.clone().into_iter();
    while let Some(arg) = args.next() {
        match selected.take(&arg, || args.next().unwrap_or_default()) {
            Ok(true) => {}
            Ok(false) => return super::not_served(call, &arg),
            Err(said) => {
                call.err(said);
                return 1;
            }
        }
    }
    for queue in &config.cluster.queues {
        for node in config.cluster.nodes_of(queue) {
            if selected.has_instance(&config.cluster, queue, &node.name) {
                call.out(format!("{}@{}\n", queue.name, node.name));
            }
        }
    }
    0
}

/// `qconf`, as far as it shows.
pub(crate) fn qconf(call: &mut Call<'_>) -> i32 {
    let config = call.engine.config();
    let args = call.args.clone();
    let value = args.get(1).cloned().unwrap_or_default();
    let text = match args.first().map(String::as_str) {
        Some("-sql") => lines(config.cluster.queues.iter().map(|queue| queue.name.as_str())),
        Some("-sel" | "-sh" | "-ss") => lines(config.cluster.nodes.iter().map(|node| node.name.as_str())),
        Some("-spl") => lines(ENVIRONMENTS),
        Some("-sm" | "-so") => "root\n".to_owned(),
        Some("-sq") => {
            let mut out = String::new();
            for pattern in value.split(',') {
                let cluster = pattern.split('@').next().unwrap_or_default();
                let found: Vec<&Queue> =
                    config.cluster.queues.iter().filter(|queue| names::fits(cluster, &queue.name)).collect();
                if found.is_empty() {
                    call.err(format!("No cluster queue or queue instance matches the phrase \"{pattern}\"\n"));
                    return 1;
                }
                for queue in found {
                    let gap = if out.is_empty() { "" } else { "\n" };
                    out.push_str(&format!("{gap}{}", show_queue(&config, queue)));
                }
            }
            out
        }
        Some("-sp") => {
            if !ENVIRONMENTS.contains(&value.as_str()) {
                call.err(format!("\"{value}\" is not a parallel environment\n"));
                return 1;
            }
            let rule = if value == "smp" { "$pe_slots" } else { "$fill_up" };
            format!(
                "pe_name            {value}\nslots              64\nuser_lists         NONE\nxuser_lists        NONE\n\
                 start_proc_args    NONE\nstop_proc_args     NONE\nallocation_rule    {rule}\ncontrol_slaves     TRUE\n\
                 job_is_first_task  TRUE\nurgency_slots      min\naccounting_summary FALSE\nqsort_args         NONE\n"
            )
        }
        Some("-sconf") => format!(
            "#global:\nmin_uid                      0\nmin_gid                      0\nload_report_time             00:00:05\n\
             max_unheard                  00:01:00\nexecd_params                 ENABLE_ADDGRP_KILL=TRUE\n\
             reporting_params             accounting=true reporting=false \\\n\
             {:29}flush_time=00:00:01 \\\n{:29}accounting_flush_time=00:00:00 joblog=false \\\n{:29}sharelog=00:00:00\n\
             finished_jobs                100\nmax_aj_instances             2000\nmax_aj_tasks                 {}\n\
             max_u_jobs                   0\nmax_jobs                     0\n",
            "", "", "", config.limits.max_array
        ),
        Some("-ssconf") => "algorithm                         default\nschedule_interval                 0:0:2\n\
             maxujobs                          0\nqueue_sort_method                 load\nschedd_job_info                   true\n\
             flush_submit_sec                  1\nflush_finish_sec                  1\n"
            .to_owned(),
        Some("-sc") => "#name               shortcut   type      relop requestable consumable default  urgency \n\
             #--------------------------------------------------------------------------------------\n\
             h_rt                h_rt       TIME      <=    YES         NO         0:0:0    0\n\
             h_vmem              h_vmem     MEMORY    <=    YES         YES        2G       0\n\
             hostname            h          HOST      ==    YES         NO         NONE     0\n\
             s_rt                s_rt       TIME      <=    YES         NO         0:0:0    0\n\
             slots               s          INT       <=    YES         YES        1        1000\n"
            .to_owned(),
        Some("-se") => match config.cluster.nodes.iter().find(|node| node.name == value) {
            Some(node) => format!(
                "hostname              {}\nload_scaling          NONE\ncomplex_values        h_vmem={}G\n\
                 load_values           load_avg=0.100000,arch=lx-amd64,num_proc={}\nprocessors            {}\n\
                 user_lists            NONE\nxuser_lists           NONE\nprojects              NONE\n\
                 xprojects             NONE\nusage_scaling         NONE\nreport_variables      NONE\n",
                node.name,
                node.memory / 1024,
                node.cores,
                node.cores
            ),
            None => {
                call.err(format!("Host object \"{value}\" does not exist\n"));
                return 1;
            }
        },
        Some(_) => {
            let user = call.user.name.clone();
            call.err(format!("denied: \"{user}\" must be manager for this operation\n"));
            return 1;
        }
        None => {
            call.err("SGE 8.1.9\nusage: qconf [options]\n");
            return 1;
        }
    };
    call.out(text);
    0
}

fn lines<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().map(|name| format!("{name}\n")).collect()
}

fn show_queue(config: &Config, queue: &Queue) -> String {
    let hours = |limit: Option<u64>| limit.map_or("INFINITY".to_owned(), crate::pbs::table::hms);
    let slots = config.cluster.nodes_of(queue).map(|node| node.cores).max().unwrap_or(0);
    let hosts: Vec<&str> = queue.nodes.iter().map(String::as_str).collect();
    let hosts = if hosts.is_empty() { "@allhosts".to_owned() } else { hosts.join(" ") };
    let rows: Vec<(&str, String)> = [
        ("qname", queue.name.clone()),
        ("hostlist", hosts),
        ("seq_no", "0".into()),
        ("load_thresholds", "NONE".into()),
        ("suspend_thresholds", "NONE".into()),
        ("priority", "0".into()),
        ("qtype", "BATCH INTERACTIVE".into()),
        ("ckpt_list", "NONE".into()),
        ("pe_list", "make smp mpi".into()),
        ("rerun", "FALSE".into()),
        ("slots", slots.to_string()),
        ("tmpdir", "/tmp".into()),
        ("shell", "/bin/bash".into()),
        ("prolog", "NONE".into()),
        ("epilog", "NONE".into()),
        ("shell_start_mode", "unix_behavior".into()),
        ("notify", "00:00:05".into()),
        ("initial_state", "default".into()),
        ("s_rt", "INFINITY".into()),
        ("h_rt", hours(queue.max_time)),
        ("s_vmem", "INFINITY".into()),
        ("h_vmem", queue.max_memory.map_or("INFINITY".into(), |mib| format!("{mib}M"))),
    ]
    .into();
    rows.iter().map(|(name, value)| format!("{name:<22}{value}\n")).collect()
}
