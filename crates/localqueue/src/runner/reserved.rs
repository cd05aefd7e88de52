//! What is kept of the machine for jobs that a dead runner left running, until their roots are open.
//!
//! Without it others would get their cores. A root that cannot be opened keeps them no longer than its jobs run.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::adopt::is_alive;
use crate::capacity::Amount;
use crate::engine::Engine;
use crate::slot_table::Entry;

/// See the [module](self).
#[derive(Clone)]
pub(super) struct Reserved {
    engine: Engine,
    kept: Arc<Mutex<HashMap<u64, Vec<Kept>>>>,
}

/// What is kept for one job.
struct Kept {
    entry: Entry,
    /// Whether somebody waits for the end of its process.
    is_watched: bool,
}

fn need(entry: &Entry) -> Amount {
    Amount { cores: entry.cores, mem_mb: entry.mem_mb }
}

impl Reserved {
    /// Keeps for each of `started` that runs what it takes.
    pub(super) fn new<'a>(engine: &Engine, started: impl Iterator<Item = &'a Entry>) -> Self {
        let mut kept: HashMap<u64, Vec<Kept>> = HashMap::new();
        for entry in started.filter(|entry| is_alive(entry)) {
            engine.reserve(need(entry));
            kept.entry(entry.root).or_default().push(Kept { entry: *entry, is_watched: false });
        }
        Self { engine: engine.clone(), kept: Arc::new(Mutex::new(kept)) }
    }

    /// The jobs of a root have their part of the machine themselves.
    pub(super) fn give_back(&self, root: u64) {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).remove(&root);
        kept.iter().flatten().for_each(|kept| self.engine.give_back(need(&kept.entry)));
    }

    /// Nobody watches the jobs of a root: gives each one's part back when its process has ended, if they are not
    /// watched by then. However often somebody tries to open the root, each process is waited for once.
    pub(super) fn give_back_at_ends(&self, root: u64) {
        let mut unwatched = Vec::new();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        for one in kept.get_mut(&root).into_iter().flatten().filter(|one| !one.is_watched) {
            one.is_watched = true;
            unwatched.push(one.entry);
        }
        drop(kept);
        for entry in unwatched {
            // Asked for before it is looked at again: then it is the process of the entry.
            let pid = Pid::from_raw(entry.pid as i32);
            let process = pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
            let Some(process) = process.filter(|_| is_alive(&entry)) else {
                self.ended(&entry);
                continue;
            };
            let reserved = self.clone();
            let watch = move || {
                wait(&process);
                reserved.ended(&entry);
            };
            let spawned =
                std::thread::Builder::new().name("left".to_owned()).stack_size(64 << 10).spawn(watch);
            if let Err(error) = spawned {
                tracing::error!("cannot watch process {}: {error}", entry.pid);
                self.ended(&entry);
            }
        }
    }

    fn ended(&self, entry: &Entry) {
        let was_kept = {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            let of_root = kept.entry(entry.root).or_default();
            let place = of_root.iter().position(|one| one.entry == *entry);
            place.map(|place| of_root.swap_remove(place)).is_some()
        };
        if was_kept {
            self.engine.give_back(need(entry));
        }
    }
}

fn wait(process: &OwnedFd) {
    while poll(&mut [PollFd::new(process, PollFlags::IN)], None).is_err() {}
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::time::{Duration, Instant};

    use cluster_core::{BatchId, Timestamp};

    use super::*;
    use crate::launch::Nothing;
    use crate::slot_table::StartedBy;

    #[test]
    fn what_a_root_out_of_reach_keeps_is_free_when_its_job_ends() {
        let engine = Engine::new(Amount { cores: 4, mem_mb: 0 }, Box::new(Nothing), None, 0);
        #[allow(clippy::disallowed_methods)] // Not one of ours.
        let mut child = Command::new("sleep").arg("600").spawn().unwrap();
        let entry = Entry {
            root: 7,
            batch: BatchId(1),
            index: 0,
            k: 0,
            run: 1,
            by: StartedBy::Script,
            cores: 3,
            mem_mb: 0,
            started: Timestamp(1),
            boot_before: 0,
            boot_after: u64::MAX / 2,
            pid: child.id(),
        };
        let ended = Entry { pid: u32::MAX / 2, index: 1, ..entry };
        let reserved = Reserved::new(&engine, [entry, ended].iter());
        assert_eq!(engine.status().taken.cores, 3);
        reserved.give_back_at_ends(7);
        reserved.give_back_at_ends(7);
        reserved.give_back_at_ends(8);
        assert_eq!(engine.status().taken.cores, 3);
        child.kill().unwrap();
        child.wait().unwrap();
        let begun = Instant::now();
        while engine.status().taken.cores > 0 && begun.elapsed() < Duration::from_secs(60) {
            std::thread::yield_now();
        }
        assert_eq!(engine.status().taken.cores, 0);
        // Once.
        reserved.give_back(7);
        assert_eq!(engine.status().taken.cores, 0);
    }
}
