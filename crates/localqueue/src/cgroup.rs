//! Control groups (v2) of jobs, where the runner's own one was delegated to it.
//!
//! Each slot has a group: what its job leaves behind, also by `setsid`, ends with it, and where the memory
//! controller is handed down the job has its limit. systemd says by the attribute `user.delegate` (before 251
//! `trusted.delegate`) that a group is its processes' to divide; without it nothing is touched.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use cluster_core::Cause;

use crate::launch::{Finished, Job, Launch};

/// Where the hierarchy is mounted: alone, or beside those of version 1.
const MOUNTS: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];

/// A group that is ours to divide.
#[derive(Debug)]
pub(crate) struct Delegated {
    dir: PathBuf,
    memory: bool,
    slots: Mutex<Vec<Option<Arc<Group>>>>,
}

impl Delegated {
    /// The group of this process, if it was delegated; the process goes into a group of its own below it, since
    /// one with processes hands down no memory controller.
    pub(crate) fn of_this_process() -> Option<Self> {
        let text = fs::read_to_string("/proc/self/cgroup").ok()?;
        let dir = own_dir(&text)?;
        if !is_delegated(&dir) {
            return None;
        }
        match Self::divide(dir) {
            Ok(delegated) => Some(delegated),
            Err(error) => {
                tracing::warn!("the control group that was delegated to us cannot be divided: {error}");
                None
            }
        }
    }

    fn divide(dir: PathBuf) -> io::Result<Self> {
        let own = dir.join("runner");
        make(&own)?;
        fs::write(own.join("cgroup.procs"), std::process::id().to_string())?;
        let offered = fs::read_to_string(dir.join("cgroup.controllers"))?;
        let memory = offered.split_whitespace().any(|name| name == "memory")
            && fs::write(dir.join("cgroup.subtree_control"), "+memory").is_ok();
        Ok(Self { dir, memory, slots: Mutex::default() })
    }

    /// Whether jobs are held to the memory that they asked for.
    pub(crate) fn limits_memory(&self) -> bool {
        self.memory
    }

    /// The group of a slot, made when it is first used.
    fn slot(&self, number: usize) -> io::Result<Arc<Group>> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.len() <= number {
            slots.resize(number + 1, None);
        }
        if let Some(group) = &slots[number] {
            return Ok(group.clone());
        }
        let dir = self.dir.join(format!("slot-{number}"));
        make(&dir)?;
        let group = Arc::new(Group { dir, memory: self.memory, limit_mb: AtomicU64::new(0) });
        slots[number] = Some(group.clone());
        Ok(group)
    }
}

fn make(dir: &Path) -> io::Result<()> {
    match fs::create_dir(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// The directory that `/proc/self/cgroup` names.
fn own_dir(text: &str) -> Option<PathBuf> {
    let path = text.lines().find_map(|line| line.strip_prefix("0::"))?;
    // The mount point is none: it is the system's.
    let below = path.trim_start_matches('/');
    let mount = MOUNTS.iter().map(Path::new).find(|mount| mount.join("cgroup.controllers").exists())?;
    (!below.is_empty()).then(|| mount.join(below))
}

fn is_delegated(dir: &Path) -> bool {
    let is_set = |name: &str| {
        let mut value = [0; 8];
        rustix::fs::getxattr(dir, name, &mut value[..])
            .is_ok_and(|len| value.get(..len) == Some(b"1".as_slice()))
    };
    (is_set("user.delegate") || is_set("trusted.delegate")) && dir.join("cgroup.kill").exists()
}

/// The group of a slot, for one job after another.
#[derive(Debug)]
pub(crate) struct Group {
    dir: PathBuf,
    memory: bool,
    /// What `memory.max` is; 0 is no limit.
    limit_mb: AtomicU64,
}

impl Group {
    fn limit(&self, mem_mb: u64) -> io::Result<()> {
        if self.memory && self.limit_mb.swap(mem_mb, Ordering::Relaxed) != mem_mb {
            let text = if mem_mb == 0 { "max".to_owned() } else { (mem_mb << 20).to_string() };
            fs::write(self.dir.join("memory.max"), text)?;
        }
        Ok(())
    }

    /// The file that a process joins by writing its number to it.
    pub(crate) fn processes(&self) -> PathBuf {
        self.dir.join("cgroup.procs")
    }

    /// Whether the job that is to start has a limit here.
    pub(crate) fn is_limited(&self) -> bool {
        self.memory && self.limit_mb.load(Ordering::Relaxed) > 0
    }

    /// Takes a process in that has just been started. What it has started meanwhile stays outside.
    pub(crate) fn take(&self, pid: u32) {
        if let Err(error) = fs::write(self.processes(), pid.to_string())
            // It may have ended already.
            && error.raw_os_error() != Some(libc::ESRCH)
        {
            tracing::warn!("{}: {error}", self.dir.display());
        }
    }

    /// How often something was killed here for want of memory.
    fn kills(&self) -> u64 {
        fs::read_to_string(self.dir.join("memory.events")).map_or(0, |text| oom_kills(&text))
    }

    /// Ends whatever is left.
    fn end(&self) {
        if let Err(error) = fs::write(self.dir.join("cgroup.kill"), "1") {
            tracing::warn!("{}: {error}", self.dir.display());
        }
    }
}

fn oom_kills(events: &str) -> u64 {
    events.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok()).unwrap_or(0)
}

/// Starts jobs as `inner` does, each in the group of its slot.
pub(crate) struct Contained {
    pub(crate) inner: Box<dyn Launch>,
    pub(crate) groups: Arc<Delegated>,
}

impl Launch for Contained {
    fn run(&self, job: &mut Job<'_>) -> Finished {
        let mem_mb = job.start.need.mem_mb;
        let prepared =
            self.groups.slot(job.slot.number).and_then(|group| group.limit(mem_mb).map(|()| group));
        let group = match prepared {
            Ok(group) => group,
            Err(error) => {
                tracing::warn!("a job starts without a control group: {error}");
                return self.inner.run(job);
            }
        };
        let limited = group.is_limited();
        let before = if limited { group.kills() } else { 0 };
        job.group = Some(group.clone());
        let mut finished = self.inner.run(job);
        job.group = None;
        if limited && group.kills() > before {
            ended_for_memory(&mut finished, mem_mb);
        }
        group.end();
        finished
    }
}

/// Not where it succeeded all the same, and not over what was asked for or enforced by us.
fn ended_for_memory(finished: &mut Finished, mem_mb: u64) {
    let ended = &mut finished.ended;
    if matches!(ended.cause, Cause::Exit(code) if code != 0) || matches!(ended.cause, Cause::Signal(_)) {
        ended.cause = Cause::OutOfMemory;
        ended.reason = Some(format!("it used more than the {mem_mb} MB that it asked for"));
    }
}

#[cfg(test)]
mod tests {
    use cluster_core::{BatchId, Timestamp};

    use super::*;
    use crate::event::{Ended, StreamPlace, Usage};

    #[test]
    fn the_events_of_a_group_are_read() {
        let text = "low 0\nhigh 0\nmax 17\noom 2\noom_kill 3\noom_group_kill 0\n";
        assert_eq!(oom_kills(text), 3);
        assert_eq!(oom_kills("oom 2\noom_group_kill 9\n"), 0);
        assert_eq!(oom_kills(""), 0);
    }

    #[test]
    fn only_an_end_of_its_own_is_called_out_of_memory() {
        let ended_by = |cause| {
            let place = StreamPlace::Pack { offset: 0, len: 0 };
            let ended = Ended {
                batch: BatchId(1),
                index: 0,
                k: 0,
                run: 1,
                started: Timestamp(1),
                ended: Timestamp(2),
                status: None,
                cause,
                reason: None,
                out: place,
                err: place,
                pid: 7,
                usage: Usage::default(),
            };
            let mut finished = Finished { ended, remove: Vec::new() };
            ended_for_memory(&mut finished, 100);
            finished.ended.cause
        };
        for cause in [Cause::Exit(137), Cause::Exit(1), Cause::Signal(9)] {
            assert_eq!(ended_by(cause), Cause::OutOfMemory);
        }
        for cause in [Cause::Exit(0), Cause::Cancelled, Cause::Timeout, Cause::Lost, Cause::SubmitRefused] {
            assert_eq!(ended_by(cause), cause);
        }
    }

    #[test]
    fn the_top_is_nobodys_to_divide() {
        assert_eq!(own_dir("4:memory:/a\n0::/\n"), None);
        assert_eq!(own_dir("4:memory:/a\n"), None);
        assert!(!is_delegated(Path::new("/")));
    }
}
