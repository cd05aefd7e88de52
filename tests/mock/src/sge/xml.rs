//! `qstat -xml`, bugs included: `<` in a name is written `%lt;`.

use crate::engine::{Micros, seconds};
use crate::pbs::clock::local;

use super::qstat::{Line, QueueLine};

const HEAD: &str = "<?xml version='1.0'?>\n<job_info  xmlns:xsd=\"http://arc.liv.ac.uk/repos/darcs/sge/source/dist/util/resources/schemas/qstat/qstat.xsd\">\n";

/// Text as the real one writes it.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("%lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            _ => out.push(c),
        }
    }
    out
}

fn iso(time: Micros, zone: Option<&str>) -> String {
    local(seconds(time), zone).iso()
}

/// The lists: running jobs (by queue with `-f`), then waiting ones.
pub(crate) fn list(
    lines: &[Line],
    queues: Option<&Vec<QueueLine>>,
    resources: bool,
    zone: Option<&str>,
) -> String {
    let mut out = String::from(HEAD);
    out.push_str("  <queue_info>\n");
    match queues {
        None => {
            for line in lines.iter().filter(|line| line.running) {
                out.push_str(&job(line, "    ", true, resources, zone));
            }
        }
        Some(queues) => {
            for queue in queues {
                out.push_str(&format!(
                    "    <Queue-List>\n      <name>{}</name>\n      <qtype>BIP</qtype>\n      <slots_used>{}</slots_used>\n      \
                     <slots_resv>0</slots_resv>\n      <slots_total>{}</slots_total>\n",
                    escaped(&queue.name),
                    queue.used,
                    queue.total
                ));
                if queue.state != "u" {
                    out.push_str("      <load_avg>0.10000</load_avg>\n");
                }
                out.push_str("      <arch>lx-amd64</arch>\n");
                if !queue.state.is_empty() {
                    out.push_str(&format!("      <state>{}</state>\n", queue.state));
                }
                for line in lines.iter().filter(|line| line.running && line.queue == queue.name) {
                    out.push_str(&job(line, "      ", false, resources, zone));
                }
                out.push_str("    </Queue-List>\n");
            }
        }
    }
    out.push_str("  </queue_info>\n  <job_info>\n");
    for line in lines.iter().filter(|line| !line.running) {
        out.push_str(&job(line, "    ", queues.is_none(), resources, zone));
    }
    out.push_str("  </job_info>\n</job_info>\n");
    out
}

fn job(line: &Line, indent: &str, with_queue: bool, resources: bool, zone: Option<&str>) -> String {
    let kind = match (line.running, line.state.as_str()) {
        (true, _) => "running",
        (false, "z") => "zombie",
        _ => "pending",
    };
    let mut out = format!("{indent}<job_list state=\"{kind}\">\n");
    let mut add = |name: &str, value: &str| out.push_str(&format!("{indent}  <{name}>{value}</{name}>\n"));
    add("JB_job_number", &line.id.to_string());
    add("JAT_prio", &format!("{:.5}", line.priority));
    add("JB_name", &escaped(&line.name));
    add("JB_owner", &escaped(&line.user));
    add("state", &line.state);
    add(if line.running { "JAT_start_time" } else { "JB_submission_time" }, &iso(line.time, zone));
    if with_queue {
        add("queue_name", &escaped(&line.queue));
    }
    add("slots", &line.slots.to_string());
    if !line.tasks.is_empty() {
        add("tasks", &line.tasks);
    }
    if resources {
        add("full_job_name", &escaped(&line.name));
        if let Some((name, slots)) = line.pe.as_deref().and_then(|pe| pe.split_once(' ')) {
            out.push_str(&format!("{indent}  <requested_pe name=\"{name}\">{slots}</requested_pe>\n"));
            if line.running {
                out.push_str(&format!("{indent}  <granted_pe name=\"{name}\">{}</granted_pe>\n", line.slots));
            }
        }
        for item in line.hard.split(',').filter(|item| !item.is_empty()) {
            let (name, value) = item.split_once('=').unwrap_or((item, ""));
            let tag = format!(
                "{indent}  <hard_request name=\"{name}\" resource_contribution=\"0.000000\">{value}</hard_request>\n"
            );
            out.push_str(&tag);
        }
        for (name, value) in &line.requests {
            out.push_str(&format!("{indent}  <{name}>{}</{name}>\n", escaped(value)));
        }
        out.push_str(&format!("{indent}  <binding>NONE</binding>\n"));
    }
    out.push_str(&format!("{indent}</job_list>\n"));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_list_and_names_are_as_recorded() {
        assert_eq!(list(&[], None, false, None), include_str!("recorded/qstat_empty_xml.out"));
        assert_eq!(escaped("<xml>&amp;"), "%lt;xml&gt;&amp;amp;");
        assert_eq!(escaped("q\"d's"), "q&quot;d&apos;s");
    }

    #[test]
    fn jobs_are_as_recorded() {
        let line = Line {
            id: 1303,
            priority: 0.5,
            name: "ignore".into(),
            user: "hpcuser".into(),
            state: "r".into(),
            time: 1_795_197_152_000_000,
            queue: "all.q@vm".into(),
            slots: 1,
            tasks: String::new(),
            running: true,
            hard: String::new(),
            pe: None,
            master: String::new(),
            requests: Vec::new(),
        };
        let failed = Line {
            id: 1302,
            priority: 0.75,
            name: "t100".into(),
            state: "Eqw".into(),
            queue: String::new(),
            tasks: "2".into(),
            running: false,
            ..line.clone()
        };
        let made = list(&[line, failed], None, false, None);
        assert_eq!(made, include_str!("recorded/qstat_array_one_task_error_xml.out"));
    }
}
