//! Processes, by what they were started with.

use std::fs;

use rustix::process::{Pid, Signal, kill_process};

/// The processes that have `text` in their words or in their environment, this one left out.
pub fn processes_with(text: &str) -> Vec<u32> {
    let me = std::process::id();
    let pids =
        fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter(|&pid| pid != me && has_text(pid, text)).collect()
}

/// Whether there is one.
pub fn has_process_with(text: &str) -> bool {
    !processes_with(text).is_empty()
}

fn has_text(pid: u32, text: &str) -> bool {
    let within = |file: &str| {
        let bytes = fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    };
    is_alive(pid) && (within("cmdline") || within("environ"))
}

/// Whether a process runs; a zombie does not.
pub fn is_alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
}

/// Whether a process has set up what it does at a signal.
pub fn catches(pid: u32, signal: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    mask >> (signal - 1) & 1 == 1
}

/// Sends a signal; a process that is gone is no error.
pub fn kill(pid: u32, signal: i32) {
    if let (Some(pid), Some(signal)) = (Pid::from_raw(pid as i32), Signal::from_named_raw(signal)) {
        let _ = kill_process(pid, signal);
    }
}
