//! `qacct`: the records of what has ended, one a run. It reads a file: it answers when the qmaster is down.

use crate::engine::{Job, Phase, micros, now, seconds};
use crate::front::Call;
use crate::pbs::clock::local;

use super::names;
use super::state::{exit_status, failed_text, signal_text};
use super::tasks::Range;

pub(crate) fn run(call: &mut Call<'_>) -> i32 {
    let (mut wanted, mut tasks, mut owner) = (None, None, None);
    let mut args = call.args.clone().into_iter().peekable();
    while let Some(arg) = args.next() {
        let next_is_value = args.peek().is_some_and(|next| !next.starts_with('-'));
        let value = if next_is_value
            && matches!(
                arg.as_str(),
                "-j" | "-t"
                    | "-o"
                    | "-d"
                    | "-b"
                    | "-e"
                    | "-q"
                    | "-h"
                    | "-f"
                    | "-A"
                    | "-P"
                    | "-l"
                    | "-pe"
                    | "-slots"
                    | "-g"
                    | "-D"
                    | "-ar"
            ) {
            args.next()
        } else {
            None
        };
        match arg.as_str() {
            "-j" => wanted = Some(value),
            "-t" => tasks = value.and_then(|text| Range::read(&text)),
            "-o" => owner = Some(value),
            "-d" | "-b" | "-e" | "-q" | "-h" | "-f" | "-A" | "-P" | "-l" | "-pe" | "-slots" | "-g" | "-D"
            | "-ar" => {}
            "-help" => {
                call.out("SGE 8.1.9\nusage: qacct [options]\n");
                return 0;
            }
            _ => {
                call.err(format!("error: unknown option: {arg}\n"));
                return 1;
            }
        }
    }
    let config = call.engine.config();
    if config.faults.accounting == "down" {
        call.err("error: can't open accounting file: No such file or directory\n");
        return 1;
    }
    let zone = call.var("TZ");
    let table = call.engine.lock();
    let before = now() - micros(config.timing.accounting_lag);
    let records: Vec<&Job> = table
        .accounting()
        .filter(|job| job.phase == Phase::Ended && is_record(job) && job.end.is_some_and(|end| end <= before))
        .filter(|_| config.faults.accounting.is_empty())
        .filter(|job| match &owner {
            Some(Some(name)) => *name == job.spec.user.name,
            _ => true,
        })
        .collect();
    let Some(wanted) = wanted else {
        let text = summary(&records, owner.map(Option::unwrap_or_default));
        drop(table);
        call.out(text);
        return 0;
    };
    let chosen: Vec<&Job> = records
        .into_iter()
        .filter(|job| match &wanted {
            None => true,
            Some(text) => match text.parse::<u64>() {
                Ok(id) => job.key.id == id,
                Err(_) => names::fits(text, &job.spec.name),
            },
        })
        .filter(|job| {
            tasks.is_none_or(|range| job.key.index.is_some_and(|index| range.indices().contains(&index)))
        })
        .collect();
    let text: String = chosen.iter().map(|job| record(job, zone.as_deref())).collect();
    drop(table);
    if text.is_empty()
        && let Some(name) = wanted
    {
        let kind = if name.parse::<u64>().is_ok() { "id" } else { "name" };
        call.err(format!("error: job {kind} {name} not found\n"));
        return 1;
    }
    call.out(text);
    0
}

/// What never started leaves none.
fn is_record(job: &Job) -> bool {
    job.start.is_some() || job.attrs.contains_key("failed")
}

/// One record.
pub(crate) fn record(job: &Job, zone: Option<&str>) -> String {
    let failed: i32 = job.attrs.get("failed").and_then(|text| text.parse().ok()).unwrap_or(0);
    let exit = job.exit.clone().unwrap_or_default();
    let date = |time: i64| local(seconds(time), zone).ctime();
    // What could not be started has no times.
    let ran = !matches!(failed, 26..=28);
    let status = if ran { exit_status(job) } else { 0 };
    let wall = if ran { seconds(job.end.unwrap_or(0) - job.start.unwrap_or(0)).max(0) } else { 0 };
    let (user, system) = ((exit.cpu - exit.system).max(0) as f64 / 1e6, exit.system as f64 / 1e6);
    let submitted = job.attr("qsub").and_then(|text| text.parse().ok()).unwrap_or(job.submit);
    let pe = job.attr("pe").and_then(|pe| pe.split(' ').next()).unwrap_or("NONE").to_owned();
    let node = job.alloc.first().map_or("vm", |alloc| alloc.node.as_str());
    let mut out = String::from("==============================================================\n");
    let mut padded = |name: &str, value: &str| out.push_str(&format!("{name:<13}{value:<20}\n"));
    padded("qname", &job.spec.queue);
    padded("hostname", node);
    padded("group", &job.spec.user.group);
    padded("owner", &job.spec.user.name);
    padded("project", "NONE");
    padded("department", "defaultdepartment");
    padded("jobname", &job.spec.name);
    padded("jobnumber", &job.key.id.to_string());
    match job.key.index {
        Some(index) => padded("taskid", &index.to_string()),
        None => out.push_str("taskid       undefined\n"),
    }
    let mut padded = |name: &str, value: &str| out.push_str(&format!("{name:<13}{value:<20}\n"));
    padded("account", job.attr("account").unwrap_or("sge"));
    padded("priority", "0");
    out.push_str(&format!("qsub_time    {}\n", date(submitted)));
    out.push_str(&format!(
        "start_time   {}\n",
        if ran { job.start.map_or("-/-".into(), date) } else { "-/-".into() }
    ));
    out.push_str(&format!(
        "end_time     {}\n",
        if ran { job.end.map_or("-/-".into(), date) } else { "-/-".into() }
    ));
    out.push_str(&format!("granted_pe   {pe:<20}\n"));
    out.push_str(&format!("slots        {:<20}\n", job.spec.cores));
    let words = failed_text(failed);
    out.push_str(&format!("failed       {failed:<4}{}\n", if words.is_empty() { " " } else { words }));
    out.push_str(&format!("exit_status  {status:<20}{}\n", signal_text(status)));
    out.push_str(&format!("ru_wallclock {wall}s\nru_utime     {user:.3}s\nru_stime     {system:.3}s\n"));
    // A process that ran had some memory, also where it was too quick to be measured; a forced deletion shows none.
    let peak = if ran && failed == 0 { exit.memory.max(1_400) } else { exit.memory };
    out.push_str(&format!("ru_maxrss    {}\n", kilobytes(peak)));
    for name in ["ru_ixrss", "ru_ismrss", "ru_idrss", "ru_isrss"] {
        out.push_str(&format!("{name:<13}0.000B\n"));
    }
    for name in [
        "ru_minflt",
        "ru_majflt",
        "ru_nswap",
        "ru_inblock",
        "ru_oublock",
        "ru_msgsnd",
        "ru_msgrcv",
        "ru_nsignals",
        "ru_nvcsw",
        "ru_nivcsw",
    ] {
        out.push_str(&format!("{name:<13}{:<20}\n", 0));
    }
    let category = match (job.attr("hard").unwrap_or_default(), job.attr("pe")) {
        ("", None) => "NONE".to_owned(),
        ("", Some(pe)) => format!("-pe {pe}"),
        (list, None) => format!("-l {list}"),
        (list, Some(pe)) => format!("-l {list} -pe {pe}"),
    };
    out.push_str(&format!(
        "cpu          {:.3}s\nmem          0.000Bs\nio           0.000B\niow          0.000s\nmaxvmem      {}\n\
         arid         undefined\nar_sub_time  undefined\ncategory     {category}\n",
        user + system,
        bytes(exit.memory)
    ));
    out
}

/// The unit of `ru_maxrss` is one too small in the real one.
fn kilobytes(kib: u64) -> String {
    if kib == 0 { "0.000B".into() } else { format!("{:.3}KB", kib as f64 / 1024.0) }
}

fn bytes(kib: u64) -> String {
    match kib {
        0 => "0.000B".into(),
        1..1024 => format!("{kib}.000KB"),
        1024..1_048_576 => format!("{:.3}MB", kib as f64 / 1024.0),
        _ => format!("{:.3}GB", kib as f64 / 1_048_576.0),
    }
}

fn summary(records: &[&Job], owner: Option<String>) -> String {
    let mut wall = 0;
    let (mut user, mut system) = (0.0, 0.0);
    for job in records {
        let exit = job.exit.clone().unwrap_or_default();
        wall += seconds(job.end.unwrap_or(0) - job.start.unwrap_or(0)).max(0);
        user += (exit.cpu - exit.system).max(0) as f64 / 1e6;
        system += exit.system as f64 / 1e6;
    }
    let figures = format!(
        "{wall:>13} {user:>13.3} {system:>13.3} {:>13.3} {:>18.3} {:>18.3} {:>18.3}\n",
        user + system,
        0.0,
        0.0,
        0.0
    );
    let head = "    WALLCLOCK         UTIME         STIME           CPU             MEMORY                 IO                IOW\n";
    match owner {
        None => format!("Total System Usage\n{head}{}\n{figures}", "=".repeat(112)),
        Some(name) => {
            let name = if name.is_empty() {
                records.first().map_or(String::new(), |job| job.spec.user.name.clone())
            } else {
                name
            };
            format!("OWNER   {head}{}\n{name:<8}{figures}", "=".repeat(120))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::engine::{Alloc, Exit, Key, Spec};
    use crate::front::User;

    fn job(id: u64, name: &str, times: (i64, i64, i64), exit: Exit, attrs: &[(&str, &str)]) -> Job {
        let user = User { name: "hpcuser".into(), uid: 1001, group: "hpcuser".into(), gid: 1001 };
        let spec = Spec { name: name.into(), user, queue: "all.q".into(), cores: 1, ..Spec::default() };
        let text = serde_json::json!({
            "key": {"id": id, "index": null}, "raw": id, "phase": "Ended", "reason": "", "held": 0,
            "depend": {"clauses": [], "any": false}, "submit": times.0 * 1_000_000, "start": times.1 * 1_000_000,
            "end": times.2 * 1_000_000, "priority": 0, "runs": 1,
            "alloc": [Alloc { node: "vm".into(), cores: 1 }], "exit": exit, "attrs": BTreeMap::<String, String>::new(),
        });
        let mut job: Job = serde_json::from_value(text).expect("a job reads back");
        assert_eq!(job.key, Key { id, index: None });
        job.attrs = attrs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        job.spec = std::sync::Arc::new(spec);
        job
    }

    /// All lines but those of measured usage.
    fn compare(made: &str, recorded: &str) {
        let measured = |line: &&str| {
            let name = line.split(' ').next().unwrap_or_default();
            let usage = name.starts_with("ru_") && name != "ru_wallclock";
            !usage && !matches!(name, "cpu" | "io" | "maxvmem" | "priority")
        };
        let made: Vec<&str> = made.lines().filter(measured).collect();
        let recorded: Vec<&str> = recorded.lines().filter(measured).collect();
        assert_eq!(made, recorded);
    }

    #[test]
    fn records_look_as_recorded() {
        let own = Exit { status: 3 << 8, ..Exit::default() };
        let fail3 = job(3, "fail3", (1_795_196_138, 1_795_196_138, 1_795_196_138), own, &[("failed", "0")]);
        compare(&record(&fail3, None), include_str!("recorded/qacct_fail3.out"));
        let usr1 = Exit { status: 10, ..Exit::default() };
        let attrs = [("failed", "100"), ("hard", "s_rt=5")];
        let soft = job(2, "srtkill", (1_795_196_138, 1_795_196_138, 1_795_196_144), usr1, &attrs);
        compare(&record(&soft, None), include_str!("recorded/qacct_srt.out"));
        let never = job(
            44,
            "crlf.sh",
            (1_795_196_156, 1_795_196_156, 1_795_196_156),
            Exit::default(),
            &[("failed", "27")],
        );
        compare(&record(&never, None), include_str!("recorded/qacct_crlf.out"));
    }
}
