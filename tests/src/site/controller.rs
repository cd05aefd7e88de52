//! The scheduler's controller, broken and mended.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::{LOCATING, Site, variable};
use crate::processes::{is_alive, kill};
use crate::wait::{wait_for, wait_some};

const CONT: i32 = 18;
const STOP: i32 = 19;
const TERM: i32 = 15;

/// A scheduler out of order, until this is dropped.
#[derive(Debug)]
pub struct Outage<'a> {
    site: &'a Site,
    killed: bool,
}

pub(super) fn pid_file() -> PathBuf {
    variable("CLUSTER_SCHED_CONTROLLER_PID")
}

fn pid() -> Option<u32> {
    let pid = fs::read_to_string(pid_file()).ok()?.trim().parse().ok()?;
    is_alive(pid).then_some(pid)
}

impl Site {
    /// It takes requests and answers none of them before it is mended.
    #[must_use]
    pub fn hangs(&self) -> Outage<'_> {
        match &self.mock {
            Some(_) => self.fault("faults.controller", "hung"),
            None => kill(wait_some("the controller runs", pid), STOP),
        }
        Outage { site: self, killed: false }
    }

    /// Nobody is there to take a request.
    #[must_use]
    pub fn is_down(&self) -> Outage<'_> {
        match &self.mock {
            Some(_) => self.fault("faults.controller", "down"),
            None => {
                let pid = wait_some("the controller runs", pid);
                kill(pid, TERM);
                wait_for("the controller has ended", || !is_alive(pid));
            }
        }
        Outage { site: self, killed: true }
    }
}

impl Outage<'_> {
    /// It works again.
    pub fn mended(self) {
        drop(self);
    }
}

impl Drop for Outage<'_> {
    fn drop(&mut self) {
        if self.site.mock.is_some() {
            return self.site.fault("faults.controller", "");
        }
        if !self.killed {
            return kill(pid().unwrap_or_default(), CONT);
        }
        // With nothing of this test's world in its environment: it outlives it.
        let mut command = Command::new(variable("CLUSTER_SCHED_CONTROLLER"));
        command.env_clear().env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin").env("LC_ALL", "C.UTF-8");
        for name in LOCATING {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        let dir = pid_file().parent().map(PathBuf::from).unwrap_or_default();
        command.current_dir(dir).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let status = command.status();
        if !std::thread::panicking() {
            assert!(status.is_ok_and(|status| status.success()), "the controller cannot be started again");
            wait_for("the scheduler answers again", || {
                self.site.program(self.site.kind.query()).end().code == 0
            });
        }
    }
}
