//! The configuration files of the real Grid Engine.

use super::place::Place;

/// The settings of the whole cell, changed against Debian's.
pub(crate) fn configuration(debian: &str, place: &Place) -> String {
    let changed = [
        ("execd_spool_dir", place.text("spool/execd")),
        // A script's first line says by what it runs.
        ("shell_start_mode", "unix_behavior".to_owned()),
        // Root may submit.
        ("min_uid", "0".to_owned()),
        ("min_gid", "0".to_owned()),
        ("load_report_time", "00:00:02".to_owned()),
        ("max_unheard", "00:01:00".to_owned()),
        ("mailer", "/bin/true".to_owned()),
        ("xterm", "/bin/true".to_owned()),
        ("loglevel", "log_info".to_owned()),
        // What ends a job reaches every process of it.
        ("execd_params", "ENABLE_ADDGRP_KILL=TRUE".to_owned()),
        (
            "reporting_params",
            "accounting=true reporting=false flush_time=00:00:01 accounting_flush_time=00:00:00 joblog=false \
             sharelog=00:00:00"
                .to_owned(),
        ),
        // A spare group for each running job; none may be in use.
        ("gid_range", "65400-65500".to_owned()),
        ("max_aj_tasks", "2000".to_owned()),
    ];
    with(debian, &changed)
}

/// The scheduler: soon, and with what it thinks in `qstat -j`.
pub(crate) fn scheduler(current: &str) -> String {
    let changed = [
        ("schedule_interval", "0:0:1"),
        ("flush_submit_sec", "1"),
        ("flush_finish_sec", "1"),
        ("schedd_job_info", "true"),
        // Each start would add a load that is not there and put off the next.
        ("job_load_adjustments", "NONE"),
        ("load_adjustment_decay_time", "0:0:0"),
    ];
    with(current, &changed.map(|(name, value)| (name, value.to_owned())))
}

/// Puts values in the place of those that a text of lines `name value` has; adds what it has not.
fn with(text: &str, changed: &[(&str, String)]) -> String {
    let mut lines: Vec<String> = Vec::new();
    let name = |line: &str| line.split_whitespace().next().unwrap_or_default().to_owned();
    let mut goes_on = false;
    for line in text.lines() {
        // A value goes on after a backslash: it goes with its name.
        let (drop, more) = (goes_on, line.ends_with('\\'));
        if drop {
            goes_on = more;
            continue;
        }
        if changed.iter().any(|(changed, _)| *changed == name(line)) {
            goes_on = more;
        } else {
            lines.push(line.to_owned());
        }
    }
    lines.extend(changed.iter().map(|(name, value)| format!("{name:<28} {value}")));
    lines.join("\n") + "\n"
}

/// `bootstrap`. Root does everything itself: the directory is ours, whoever else may enter it or not.
pub(crate) fn bootstrap(place: &Place) -> String {
    format!(
        "\
admin_user              none
default_domain          none
ignore_fqdn             true
spooling_method         berkeleydb
spooling_lib            libspoolb
spooling_params         {}
binary_path             /usr/sbin
qmaster_spool_dir       {}
security_mode           none
listener_threads        2
worker_threads          2
scheduler_threads       1
",
        place.text("spool/db"),
        place.text("spool/qmaster")
    )
}

/// `host_aliases`: a name must lead to an address and back to itself, which on loopback is mostly `localhost`.
pub(crate) fn host_aliases(host: &str, names: &str) -> String {
    let mut others: Vec<&str> = names.split_whitespace().filter(|name| *name != host).collect();
    others.push("localhost");
    others.sort_unstable();
    others.dedup();
    format!("{host} {}\n", others.join(" "))
}

/// The execution host.
pub(crate) fn exec_host(host: &str) -> String {
    format!(
        "hostname {host}\nload_scaling NONE\ncomplex_values NONE\nuser_lists NONE\nxuser_lists NONE\nprojects \
         NONE\nxprojects NONE\nusage_scaling NONE\nreport_variables NONE\n"
    )
}

/// The complexes with `h_vmem` booked against the host. Its default must not be 0: that would be each job's limit,
/// and its end after a second.
pub(crate) fn complexes(current: &str) -> String {
    let changed = |line: &str| {
        let mut fields: Vec<&str> = line.split_whitespace().collect();
        if fields.first() == Some(&"h_vmem") && fields.len() >= 8 {
            (fields[5], fields[6]) = ("YES", "2G");
        }
        fields.join(" ") + "\n"
    };
    current.lines().map(changed).collect()
}

/// A parallel environment, from Debian's.
pub(crate) fn parallel(debian: &str, rule: &str) -> String {
    with(debian, &[("slots", "64".to_owned()), ("allocation_rule", rule.to_owned())])
}

/// A queue. No load keeps it from starting jobs: a busy machine must not stop the tests. The shell is one that is
/// there; nothing is restarted in silence; between USR2 and KILL there are 5 s, not a minute.
pub(crate) fn queue(name: &str, slots: u32, h_rt: &str, number: u32) -> String {
    let mut text = format!("qname {name}\nhostlist @allhosts\nseq_no {number}\nslots {slots}\nh_rt {h_rt}\n");
    for line in [
        "load_thresholds NONE",
        "suspend_thresholds NONE",
        "nsuspend 1",
        "suspend_interval 00:05:00",
        "priority 0",
        "min_cpu_interval 00:05:00",
        "processors UNDEFINED",
        "qtype BATCH INTERACTIVE",
        "ckpt_list NONE",
        "pe_list make smp mpi",
        "rerun FALSE",
        "tmpdir /tmp",
        "shell /bin/sh",
        "shell_start_mode unix_behavior",
        "notify 00:00:05",
        "initial_state default",
    ] {
        text.push_str(line);
        text.push('\n');
    }
    for name in [
        "prolog",
        "epilog",
        "starter_method",
        "suspend_method",
        "resume_method",
        "terminate_method",
        "owner_list",
        "user_lists",
        "xuser_lists",
        "subordinate_list",
        "complex_values",
        "projects",
        "xprojects",
        "calendar",
    ] {
        text.push_str(&format!("{name} NONE\n"));
    }
    for name in [
        "s_rt", "s_cpu", "h_cpu", "s_fsize", "h_fsize", "s_data", "h_data", "s_stack", "h_stack", "s_core",
        "h_core", "s_rss", "h_rss", "s_vmem", "h_vmem",
    ] {
        text.push_str(&format!("{name} INFINITY\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_replaced_with_all_their_lines() {
        let old = "a 1\nb 2 \\\n  3 \\\n  4\nc 5\n";
        let new = with(old, &[("b", "x".to_owned()), ("d", "y".to_owned())]);
        let words: Vec<Vec<&str>> = new.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(words, [vec!["a", "1"], vec!["c", "5"], vec!["b", "x"], vec!["d", "y"]]);
    }

    #[test]
    fn one_host_has_one_name() {
        assert_eq!(host_aliases("vm", "localhost vm vm.example"), "vm localhost vm.example\n");
    }

    #[test]
    fn memory_is_booked_with_a_default() {
        let old = "#name shortcut type relop requestable consumable default urgency\nh_vmem h_vmem MEMORY <= YES NO 0 0\n";
        assert!(complexes(old).ends_with("h_vmem h_vmem MEMORY <= YES YES 2G 0\n"));
    }
}
