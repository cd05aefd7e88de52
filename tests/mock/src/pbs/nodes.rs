//! The nodes of OpenPBS: `pbsnodes`.

use crate::engine::Phase;
use crate::front::Call;

use super::getopt::{Item, getopt};
use super::qstat::document;
use super::record::Record;
use super::{is_down, say_down};

/// `pbsnodes -a`, `-l`, `-aS`, `-aSj`, `-F json`, `-F dsv`.
pub(crate) fn pbsnodes(call: &mut Call<'_>) -> i32 {
    let (mut flags, mut format, mut names) = (String::new(), None, Vec::new());
    for item in getopt(&call.args.clone(), "acC:dD:F:HjlLoqrs:Sv") {
        match item {
            Item::Flag(letter) => flags.push(letter),
            Item::Value('F', value) => format = Some(value),
            Item::Operand(name) => names.push(name),
            Item::Unknown(letter) => {
                call.err(format!("pbsnodes: invalid option -- '{letter}'\n"));
                return 1;
            }
            _ => {}
        }
    }
    if is_down(call) {
        return say_down(call);
    }
    let engine = call.engine;
    let table = engine.lock();
    let nodes: Vec<_> = table
        .config
        .cluster
        .nodes
        .iter()
        .filter(|node| names.is_empty() || names.contains(&node.name))
        .collect();
    let missing: Vec<String> = names
        .iter()
        .filter(|name| !table.config.cluster.nodes.iter().any(|node| node.name == **name))
        .map(|name| format!("Node: {name},  Error: Unknown node \n"))
        .collect();
    let usage = table.usage();
    let mut out = Vec::new();
    let ids = |name: &str| -> Vec<String> {
        table
            .active()
            .filter(|job| job.alloc.iter().any(|alloc| alloc.node == name))
            .map(|job| super::launch::job_id(&table, job))
            .collect()
    };
    let size =
        |mib: u64| if mib.is_multiple_of(1024) { format!("{}gb", mib / 1024) } else { format!("{mib}mb") };
    let state = |node: &crate::config::Node| match node.state.as_str() {
        "" if usage.get(node.name.as_str()).is_some_and(|used| used.0 >= node.cores) => "job-busy".to_owned(),
        "" => "free".to_owned(),
        "drain" => "offline".to_owned(),
        other => other.to_owned(),
    };
    if flags.contains('l') {
        for node in nodes.iter().filter(|node| !node.state.is_empty()) {
            out.extend(format!("{:<20} {} {}\n", node.name, state(node), node.reason).into_bytes());
        }
    } else if flags.contains('S') && flags.contains('j') {
        out.extend_from_slice(
            b"                                                        mem       ncpus   nmics   ngpus\n\
              vnode           state           njobs   run   susp      f/t        f/t     f/t     f/t   jobs\n\
              --------------- --------------- ------ ----- ------ ------------ ------- ------- ------- -------\n",
        );
        for node in &nodes {
            let (cores, memory, gpus) = usage.get(node.name.as_str()).copied().unwrap_or_default();
            let ids = ids(&node.name);
            let short: Vec<&str> = ids.iter().map(|id| id.split('.').next().unwrap_or_default()).collect();
            let stopped = table
                .active()
                .filter(|job| {
                    job.phase == Phase::Suspended && job.alloc.iter().any(|alloc| alloc.node == node.name)
                })
                .count();
            let line = format!(
                "{:<15} {:<15} {:>6} {:>5} {:>6} {:>12} {:>7} {:>7} {:>7} {}\n",
                node.name,
                state(node),
                ids.len(),
                ids.len() - stopped,
                stopped,
                format!("{}/{}", size(node.memory.saturating_sub(memory)), size(node.memory)),
                format!("{}/{}", node.cores.saturating_sub(cores), node.cores),
                "0/0",
                format!("{}/{}", node.gpus.saturating_sub(gpus), node.gpus),
                if short.is_empty() { "--".to_owned() } else { short.join(",") }
            );
            out.extend(line.into_bytes());
        }
    } else if flags.contains('S') {
        out.extend_from_slice(
            b"vnode           state           OS       hardware host            queue        mem     ncpus   nmics   ngpus  comment\n\
              --------------- --------------- -------- -------- --------------- ---------- -------- ------- ------- ------- ---------\n",
        );
        for node in &nodes {
            let line = format!(
                "{:<15} {:<15} {:<8} {:<8} {:<15} {:<10} {:>8} {:>7} {:>7} {:>7} --\n",
                node.name,
                state(node),
                "--",
                "--",
                node.name,
                "--",
                size(node.memory),
                node.cores,
                0,
                node.gpus
            );
            out.extend(line.into_bytes());
        }
    } else {
        let records: Vec<Record> = nodes
            .iter()
            .map(|node| {
                let (cores, memory, _) = usage.get(node.name.as_str()).copied().unwrap_or_default();
                let mut record = Record::new(node.name.clone());
                record.add("Mom", node.name.clone());
                record.add("ntype", "PBS");
                record.add("state", state(node));
                record.add("pcpus", node.cores.to_string());
                let ids = ids(&node.name);
                if !ids.is_empty() {
                    let slots = ids.iter().enumerate().map(|(slot, id)| format!("{id}/{slot}"));
                    let joint = if format.is_some() { "," } else { ", " };
                    record.add("jobs", slots.collect::<Vec<_>>().join(joint));
                }
                for (name, value) in [
                    ("arch", "linux".to_owned()),
                    ("host", node.name.clone()),
                    ("mem", size(node.memory)),
                    ("ncpus", node.cores.to_string()),
                    ("vnode", node.name.clone()),
                ] {
                    record.add_resource("resources_available", name, value);
                }
                if node.gpus > 0 {
                    record.add_resource("resources_available", "ngpus", node.gpus.to_string());
                }
                for (name, value) in [
                    ("accelerator_memory", "0kb".to_owned()),
                    ("hbmem", "0kb".to_owned()),
                    ("mem", format!("{}kb", memory * 1024)),
                    ("naccelerators", "0".to_owned()),
                    ("ncpus", cores.to_string()),
                    ("vmem", "0kb".to_owned()),
                ] {
                    record.add_resource("resources_assigned", name, value);
                }
                record.add_some("comment", Some(node.reason.clone()).filter(|reason| !reason.is_empty()));
                record.add("resv_enable", "True");
                record.add("sharing", "default_shared");
                record.add("license", "l");
                record
            })
            .collect();
        match format.as_deref() {
            Some("json") => out = document(&table, "nodes", &records),
            Some("dsv") => {
                for record in &records {
                    out.extend(
                        record
                            .dsv("Name", "|")
                            .strip_prefix(b"Name: ")
                            .map_or_else(Vec::new, |rest| [b"Name=".as_slice(), rest].concat()),
                    );
                }
            }
            _ => {
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
        }
    }
    drop(table);
    call.out(out);
    call.err(missing.concat());
    i32::from(!missing.is_empty())
}
