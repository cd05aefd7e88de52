//! State letters, priorities and exit texts.

use crate::engine::{HELD_ERROR, Job, Phase, Table, Why};

/// `qw`, `hqw`, `Eqw`, `t`, `r`, `s`, `dr`, with `R` before them for what was started before.
pub(crate) fn letters(table: &Table, job: &Job) -> String {
    let again = if job.attrs.contains_key("restarted") { "R" } else { "" };
    match job.phase {
        Phase::Pending => {
            if job.held & HELD_ERROR != 0 {
                return "Eqw".into();
            }
            let held = job.held != 0 || super::is_waiting(table, job);
            match (held, again) {
                (true, "R") => "hRwq".into(),
                (true, _) => "hqw".into(),
                (false, "R") => "Rq".into(),
                (false, _) => "qw".into(),
            }
        }
        Phase::Running if job.process.is_none() => format!("{again}t"),
        Phase::Running => format!("{again}r"),
        Phase::Suspended => "s".into(),
        Phase::Completing => match job.kill.as_ref().map(|kill| &kill.why) {
            Some(Why::Cancel(_)) => "dr".into(),
            _ => format!("{again}r"),
        },
        Phase::Ended => "z".into(),
    }
}

/// Is it listed with the running ones?
pub(crate) fn is_running(job: &Job) -> bool {
    job.is_active()
}

/// The `prior` column: what is held has none.
pub(crate) fn priority(table: &Table, job: &Job) -> f64 {
    let letters = letters(table, job);
    let delayed = job.begin.is_some_and(|begin| begin > crate::engine::now()) && !letters.starts_with('R');
    if letters.starts_with('h') || letters == "z" || delayed {
        return 0.0;
    }
    (0.5 + 0.25 * job.priority as f64 / 1024.0 + 0.005 * f64::from(job.spec.cores.saturating_sub(1)))
        .clamp(0.0, 1.0)
}

/// The exit status that accounting keeps: 128 + n for a signal.
pub(crate) fn exit_status(job: &Job) -> i32 {
    job.exit.as_ref().map_or(0, |exit| match exit.signal() {
        0 => exit.code(),
        signal => 128 + signal,
    })
}

/// The words behind an exit status above 128.
pub(crate) fn signal_text(status: i32) -> String {
    let signal = status - 128;
    let text = match signal {
        ..=0 => return String::new(),
        1 => "Hangup",
        2 => "Interrupt",
        3 => "Quit",
        4 => "Illegal instruction",
        6 => "Aborted",
        7 => "Bus error",
        8 => "Floating point exception",
        9 => "Killed",
        10 => "User defined signal 1",
        11 => "Segmentation fault",
        12 => "User defined signal 2",
        13 => "Broken pipe",
        14 => "Alarm clock",
        15 => "Terminated",
        24 => "CPU time limit exceeded",
        25 => "File size limit exceeded",
        _ => return format!(" (Unknown signal {signal})"),
    };
    format!(" ({text})")
}

/// The words behind `failed`.
pub(crate) fn failed_text(failed: i32) -> &'static str {
    match failed {
        25 => ": rescheduling",
        26 => ": opening input/output file",
        27 => ": searching requested shell",
        28 => ": changing into working directory",
        30 => ": application error returned",
        37 => ": qmaster enforced h_rt, h_cpu, or h_vmem limit",
        100 => ": assumedly after job",
        _ => "",
    }
}
