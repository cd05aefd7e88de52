//! `qstat -j`: all that the qmaster knows of jobs that have not ended.

use std::collections::BTreeSet;

use crate::engine::{HELD_ERROR, Job, Key, Phase, Table, now, seconds};
use crate::pbs::clock::local;

use super::names;
use super::xml::escaped;

/// What is printed on stdout and stderr, and the code.
pub(crate) fn answer(
    table: &Table,
    wanted: &[String],
    as_xml: bool,
    zone: Option<&str>,
) -> (String, String, i32) {
    if wanted.is_empty() {
        return (dropped(table), String::new(), 0);
    }
    let (mut found, mut missing) = (Vec::new(), Vec::new());
    for item in wanted {
        let ids: BTreeSet<u64> = match item.split('.').next().and_then(|number| number.parse::<u64>().ok()) {
            Some(id) => {
                table.elements(id).filter(|job| job.phase != Phase::Ended).map(|job| job.key.id).collect()
            }
            None => table
                .jobs
                .values()
                .filter(|job| job.phase != Phase::Ended && names::fits(item, &job.spec.name))
                .map(|job| job.key.id)
                .collect(),
        };
        if ids.is_empty() {
            missing.push(item.clone());
        }
        found.extend(ids);
    }
    if as_xml {
        return (xml(table, &found, &missing), String::new(), 0);
    }
    if found.is_empty() {
        let list = missing.join(", ");
        return (String::new(), format!("Following jobs do not exist: \n{list}\n"), 1);
    }
    let mut out = String::from("==============================================================\n");
    let blocks: Vec<String> = found.iter().map(|id| block(table, *id, zone)).collect();
    out.push_str(&blocks.join("==============================================================\n"));
    (out, String::new(), 0)
}

fn first(table: &Table, id: u64) -> Option<&Job> {
    table.elements(id).find(|job| job.phase != Phase::Ended)
}

fn dropped(table: &Table) -> String {
    let mut out = String::new();
    let mut list = |title: &str, ids: BTreeSet<u64>| {
        if ids.is_empty() {
            return;
        }
        let ids: Vec<String> = ids.iter().map(|id| format!("\t{id}")).collect();
        let rows: Vec<String> = ids.chunks(8).map(|row| row.join(",")).collect();
        let gap = if out.is_empty() { "" } else { "\n" };
        out.push_str(&format!("{gap}{title}\n{}\n", rows.join(",\n")));
    };
    let pending = || table.jobs.values().filter(|job| job.phase == Phase::Pending);
    list(
        "Jobs dropped because of error state",
        pending().filter(|job| job.held & HELD_ERROR != 0).map(|job| job.key.id).collect(),
    );
    list(
        "Jobs dropped because of hold state",
        pending().filter(|job| job.held & !HELD_ERROR != 0).map(|job| job.key.id).collect(),
    );
    list(
        "Jobs dropped because of job dependencies",
        pending()
            .filter(|job| job.held == 0 && super::is_waiting(table, job))
            .map(|job| job.key.id)
            .collect(),
    );
    out
}

/// Ids of jobs that wait for this one.
fn successors(table: &Table, id: u64) -> Vec<String> {
    let ids: BTreeSet<u64> = table
        .jobs
        .values()
        .filter(|job| job.phase != Phase::Ended && job.depend.clauses.iter().any(|clause| clause.on.id == id))
        .map(|job| job.key.id)
        .collect();
    ids.iter().map(u64::to_string).collect()
}

/// Ids of jobs that this one waits for, of those that are there.
fn predecessors(table: &Table, job: &Job) -> Vec<String> {
    let there = |key: &Key| table.elements(key.id).any(|job| job.phase != Phase::Ended);
    job.depend.clauses.iter().map(|clause| clause.on).filter(there).map(|on| on.id.to_string()).collect()
}

fn block(table: &Table, id: u64, zone: Option<&str>) -> String {
    let Some(job) = first(table, id) else { return String::new() };
    let spec = &job.spec;
    let mut out = String::new();
    let mut add = |name: &str, value: &str| out.push_str(&format!("{:<28}{value}\n", format!("{name}:")));
    let attr = |name: &str| job.attr(name).unwrap_or_default().to_owned();
    let submitted = job.attr("qsub").and_then(|text| text.parse().ok()).unwrap_or(job.submit);
    add("job_number", &id.to_string());
    add("exec_file", &format!("job_scripts/{id}"));
    add("submission_time", &local(seconds(submitted), zone).ctime());
    add("owner", &spec.user.name);
    add("uid", &spec.user.uid.to_string());
    add("group", &spec.user.group);
    add("gid", &spec.user.gid.to_string());
    add("sge_o_home", &attr("o_HOME"));
    add("sge_o_log_name", &attr("o_LOGNAME"));
    add("sge_o_path", &attr("o_PATH"));
    add("sge_o_shell", &attr("o_SHELL"));
    add("sge_o_workdir", &attr("o_WORKDIR"));
    add("sge_o_host", &attr("o_HOST"));
    if let Some(begin) = job.begin.filter(|begin| *begin > now() && !job.attrs.contains_key("restarted")) {
        add("execution_time", &local(seconds(begin), zone).ctime());
    }
    add("account", job.attr("account").unwrap_or("sge"));
    if job.attr("cwd").is_some() {
        add("cwd", &spec.cwd.display().to_string());
    }
    if job.attr("merge").is_some() {
        add("merge", "y");
    } else if let Some(path) = &spec.stderr {
        add("stderr_path_list", &format!("NONE:NONE:{path}"));
    }
    let hard = attr("hard");
    if !hard.is_empty() {
        add("hard resource_list", &hard);
    }
    add("mail_list", &format!("{}@{}", spec.user.name, table.config.cluster.name));
    add("notify", if job.attr("notify").is_some() { "TRUE" } else { "FALSE" });
    add("job_name", &spec.name);
    if let Some(path) = &spec.stdout {
        add("stdout_path_list", &format!("NONE:NONE:{path}"));
    }
    add("jobshare", "0");
    let env: Vec<String> = spec
        .env
        .iter()
        .map(|(name, value)| format!("{}={}", String::from_utf8_lossy(name), String::from_utf8_lossy(value)))
        .collect();
    add("env_list", &if env.is_empty() { "TERM=NONE".to_owned() } else { env.join(",") });
    let args = attr("job_args");
    if !args.is_empty() {
        add("job_args", &args);
    }
    add("script_file", &attr("script_file"));
    if let Some((name, slots)) = job.attr("pe").and_then(|pe| pe.split_once(' ')) {
        out.push_str(&format!("parallel environment:  {name} range: {slots}\n"));
    }
    let mut add = |name: &str, value: &str| out.push_str(&format!("{:<28}{value}\n", format!("{name}:")));
    if let Some(list) = job.attr("hold_jid") {
        add("jid_predecessor_list (req)", list);
        let ids = predecessors(table, job);
        if !ids.is_empty() {
            add("jid_predecessor_list", &ids.join(","));
        }
    }
    let after = successors(table, id);
    if !after.is_empty() {
        add("jid_successor_list", &after.join(","));
    }
    if !spec.array_text.is_empty() {
        add("job-array tasks", &spec.array_text);
    }
    if let Some(most) = spec.throttle {
        add("maximum concurrency", &most.to_string());
    }
    add("binding", "NONE");
    add("job_type", if job.attr("binary").is_some() { "binary" } else { "NONE" });
    for task in table.elements(id).filter(|job| job.is_active()) {
        let number = task.key.index.unwrap_or(1);
        let usage = "cpu=00:00:00, mem=0.00000 GB s, io=0.00002 GB, vmem=N/A, maxvmem=N/A";
        out.push_str(&format!("usage {number:>9}:            {usage}\n"));
    }
    for task in table.elements(id).filter(|job| job.is_active()) {
        out.push_str(&format!("binding {:>7}:            NONE\n", task.key.index.unwrap_or(1)));
    }
    for task in table.elements(id) {
        if let Some(reason) = task.attrs.get("error").filter(|_| task.held & HELD_ERROR != 0) {
            let at = local(seconds(task.submit), zone).american();
            let number = task.key.index.unwrap_or(1);
            out.push_str(&format!(
                "error reason {number:>10}:      {at} [{}:{}]: {reason}\n",
                spec.user.uid, id
            ));
        }
    }
    let info = scheduling(table, job);
    if !info.is_empty() {
        out.push_str(&format!("scheduling info:            {info}\n"));
    }
    out
}

/// Why it waits.
fn scheduling(table: &Table, job: &Job) -> String {
    if job.phase != Phase::Pending {
        String::new()
    } else if job.held & HELD_ERROR != 0 {
        "Job is in error state".into()
    } else if job.held != 0 {
        "Job is in hold state".into()
    } else if super::is_waiting(table, job) {
        "job dropped because of job dependencies".into()
    } else if job.begin.is_some_and(|begin| begin > now()) {
        "execution time not reached".into()
    } else if let Some(text) = job.attr("never") {
        text.to_owned()
    } else {
        let host = table.config.cluster.nodes.first().map_or("", |node| node.name.as_str());
        format!("queue instance \"{}@{host}\" dropped because it is full", job.spec.queue)
    }
}

fn xml(table: &Table, found: &[u64], missing: &[String]) -> String {
    let head = "<?xml version='1.0'?>\n";
    if found.is_empty() {
        let list: String = missing
            .iter()
            .map(|item| {
                format!("    <element>\n      <ST_name>{}</ST_name>\n    </element>\n", escaped(item))
            })
            .collect();
        return format!(
            "{head}<unknown_jobs  xmlns:xsd=\"http://arc.liv.ac.uk/repos/darcs/sge/source/dist/util/resources/schemas/qstat/detailed_job_info.xsd\">\n  <djob_info>\n{list}  </djob_info>\n</unknown_jobs>\n"
        );
    }
    let mut out = format!(
        "{head}<detailed_job_info  xmlns:xsd=\"http://arc.liv.ac.uk/repos/darcs/sge/source/dist/util/resources/schemas/qstat/detailed_job_info.xsd\">\n  <djob_info>\n"
    );
    for id in found {
        let Some(job) = first(table, *id) else { continue };
        let spec = &job.spec;
        let submitted = job.attr("qsub").and_then(|text| text.parse().ok()).unwrap_or(job.submit);
        out.push_str("    <element>\n");
        let mut add =
            |name: &str, value: &str| out.push_str(&format!("      <{name}>{}</{name}>\n", escaped(value)));
        add("JB_job_number", &id.to_string());
        add("JB_ar", "0");
        add("JB_exec_file", &format!("job_scripts/{id}"));
        add("JB_submission_time", &seconds(submitted).to_string());
        add("JB_owner", &spec.user.name);
        add("JB_uid", &spec.user.uid.to_string());
        add("JB_group", &spec.user.group);
        add("JB_gid", &spec.user.gid.to_string());
        add("JB_account", job.attr("account").unwrap_or("sge"));
        add("JB_merge_stderr", if job.attr("merge").is_some() { "true" } else { "false" });
        add("JB_notify", if job.attr("notify").is_some() { "true" } else { "false" });
        add("JB_job_name", &spec.name);
        add("JB_jobshare", "0");
        add("JB_script_file", job.attr("script_file").unwrap_or_default());
        out.push_str("      <JB_ja_tasks>\n");
        for task in table.elements(*id).filter(|job| job.phase != Phase::Ended) {
            let status = if task.is_active() { 128 } else { 0 };
            out.push_str(&format!(
                "        <ulong_sublist>\n          <JAT_status>{status}</JAT_status>\n          <JAT_task_number>{}</JAT_task_number>\n",
                task.key.index.unwrap_or(1)
            ));
            if let Some(start) = task.start {
                out.push_str(&format!("          <JAT_start_time>{}</JAT_start_time>\n", seconds(start)));
            }
            if let Some(reason) = task.attrs.get("error").filter(|_| task.held & HELD_ERROR != 0) {
                out.push_str(&format!(
                    "          <JAT_message_list>\n            <ulong_sublist>\n              <QIM_type>1</QIM_type>\n              <QIM_message>{}</QIM_message>\n            </ulong_sublist>\n          </JAT_message_list>\n",
                    escaped(reason)
                ));
            }
            out.push_str("        </ulong_sublist>\n");
        }
        out.push_str("      </JB_ja_tasks>\n    </element>\n");
    }
    out.push_str("  </djob_info>\n</detailed_job_info>\n");
    out
}
