//! The processes of a job: all that descends from its step daemon, which orphans come back to.

use std::collections::BTreeMap;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use super::{Process, Scope};

/// Sends a signal to the processes of a job.
pub(crate) fn signal(process: Process, signal: i32, scope: Scope) {
    let Some(signal) = Signal::from_named_raw(signal) else { return };
    let shell = Pid::from_raw(process.shell);
    match scope {
        Scope::Shell => {
            let _ = shell.map(|pid| kill_process(pid, signal));
        }
        Scope::Group => {
            let _ = shell.map(|pid| kill_process_group(pid, signal));
        }
        Scope::All | Scope::Children => {
            for pid in descendants(process.step) {
                if (scope == Scope::All || pid != process.shell)
                    && let Some(pid) = Pid::from_raw(pid)
                {
                    let _ = kill_process(pid, signal);
                }
            }
        }
    }
}

/// All that descends from a process, the eldest first.
pub(crate) fn descendants(of: i32) -> Vec<i32> {
    let mut children: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().map_while(Result::ok) {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        if let Some(parent) = stat(pid).and_then(|fields| fields.get(1)?.parse::<i32>().ok()) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut found = children.remove(&of).unwrap_or_default();
    let mut at = 0;
    while let Some(pid) = found.get(at) {
        let more = children.remove(pid).unwrap_or_default();
        found.extend(more);
        at += 1;
    }
    found
}

/// The fields of `/proc/PID/stat` after the name: state, parent …
pub(crate) fn stat(pid: i32) -> Option<Vec<String>> {
    let bytes = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let (_, rest) = text.rsplit_once(')')?;
    Some(rest.split_whitespace().map(String::from).collect())
}

/// True when the process is there and no zombie.
pub(crate) fn is_alive(pid: i32) -> bool {
    stat(pid).is_some_and(|fields| fields.first().is_some_and(|state| state != "Z" && state != "X"))
}

/// Resident memory of all that descends from a process, MiB.
pub(crate) fn memory(of: i32) -> u64 {
    let pages: u64 =
        descendants(of).into_iter().filter_map(|pid| stat(pid)?.get(21)?.parse::<u64>().ok()).sum();
    (pages * 4096) >> 20
}
