//! A daemon, known by the file that holds its pid and by the program that runs under that pid.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

/// See the [module](self).
#[derive(Debug, Clone)]
pub(crate) struct Daemon {
    /// Its program's name.
    pub(crate) program: &'static str,
    /// What it is called here.
    pub(crate) label: String,
    /// Where its pid is.
    pub(crate) pid_file: PathBuf,
}

impl Daemon {
    pub(crate) fn new(program: &'static str, pid_file: PathBuf) -> Self {
        Self { program, label: program.to_owned(), pid_file }
    }

    /// Its process, where that runs and is the program: pids are given out again.
    pub(crate) fn pid(&self) -> Option<u32> {
        let pid = fs::read_to_string(&self.pid_file).ok()?.trim().parse().ok()?;
        (runs(pid, self.program) && !is_zombie(pid)).then_some(pid)
    }

    pub(crate) fn is_up(&self) -> bool {
        self.pid().is_some()
    }

    /// Ends it: TERM, then KILL after `grace`. Nothing happens where it does not run.
    pub(crate) fn stop(&self, grace: Duration) {
        if let Some(pid) = self.pid() {
            end(pid, grace, &self.label);
        }
        let _ = fs::remove_file(&self.pid_file);
    }

    /// Lets it go on where a test stopped it and was killed.
    pub(crate) fn go_on(&self) {
        if let Some(pid) = self.pid().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?)) {
            let _ = kill_process(pid, Signal::CONT);
        }
    }

    /// A line about it.
    pub(crate) fn line(&self) -> String {
        match self.pid() {
            Some(pid) => format!("  {:<22} pid {pid}", self.label),
            None => format!("  {:<22} does not run", self.label),
        }
    }
}

/// Ends a process, and waits until it is gone.
pub(crate) fn end(pid: u32, grace: Duration, label: &str) {
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return };
    // By the descriptor: it is of this very process, also when the number is used again.
    let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else { return };
    let ended = |wait: Duration| {
        let limit = Timespec { tv_sec: i64::try_from(wait.as_secs()).unwrap_or(i64::MAX), tv_nsec: 0 };
        poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&limit)).is_ok_and(|ready| ready > 0)
    };
    // One that was stopped by a test hears nothing before it goes on.
    let _ = kill_process(pid, Signal::CONT);
    let _ = kill_process(pid, Signal::TERM);
    if !ended(grace) {
        println!("{label} ({}) did not end within {} s: killed", pid.as_raw_nonzero(), grace.as_secs());
        let _ = kill_process(pid, Signal::KILL);
        let _ = ended(Duration::from_secs(5));
    }
}

/// Whether a process runs this program. Debian's `slurmd` is an alternative for `slurmd-wlm`.
fn runs(pid: u32, program: &str) -> bool {
    program_of(pid).is_some_and(|exe| exe == program || exe.strip_suffix("-wlm") == Some(program))
}

/// The base name of a process's program.
pub(crate) fn program_of(pid: u32) -> Option<String> {
    let exe = fs::read_link(format!("/proc/{pid}/exe")).ok()?;
    Some(exe.file_name()?.to_string_lossy().trim_end_matches(" (deleted)").to_owned())
}

/// All processes for which `is_it` says so.
pub(crate) fn processes(is_it: impl Fn(&Path, u32) -> bool) -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten();
    entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let pid = entry.file_name().to_str()?.parse().ok()?;
            is_it(&entry.path(), pid).then_some(pid)
        })
        .collect()
}

fn is_zombie(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_none_or(|(_, rest)| rest.trim_start().starts_with(['Z', 'X']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pid_of_another_program_is_not_the_daemon() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pid");
        fs::write(&file, format!("{}\n", std::process::id())).unwrap();
        assert!(!Daemon::new("slurmctld", file.clone()).is_up());
        let own = program_of(std::process::id()).unwrap();
        assert!(Daemon::new(Box::leak(own.into_boxed_str()), file).is_up());
    }

    #[test]
    fn a_stopped_daemon_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pid");
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        fs::write(&file, child.id().to_string()).unwrap();
        let name = program_of(child.id()).unwrap();
        let daemon = Daemon::new(Box::leak(name.into_boxed_str()), file.clone());
        assert!(daemon.is_up());
        daemon.stop(Duration::from_secs(10));
        assert!(!daemon.is_up() && !file.exists());
        child.wait().unwrap();
    }
}
