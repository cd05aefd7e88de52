//! This machine: who it is, and how much of it is ours to use.

use std::fs;
use std::path::{Path, PathBuf};

use crate::capacity::Amount;

/// Which host, which boot of it, and which view of its processes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// `/etc/machine-id`, or the host name where that is empty: what owns queued jobs.
    pub machine: String,
    /// The host's name, for people.
    pub host: String,
    /// The boot and pid namespace in which a pid means something.
    pub boot: String,
}

impl Identity {
    /// The one of this process.
    pub fn here() -> Self {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
        let machine =
            Some(read("/etc/machine-id")).filter(|id| !id.is_empty()).unwrap_or_else(|| host.clone());
        let namespace = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
        let boot = format!("{} {}", read("/proc/sys/kernel/random/boot_id"), namespace.display());
        Self { machine, host, boot }
    }
}

/// What the affinity mask and the cgroups of this process allow.
pub fn allowance() -> Amount {
    let mask = rustix::thread::sched_getaffinity(None).map_or(1, |set| set.count());
    let cores = cgroup_cores().map_or(mask, |quota| mask.min(quota)).max(1);
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total_kb = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok())
        .unwrap_or(0);
    let mem_mb = (total_kb / 1024).min(cgroup_memory_mb().unwrap_or(u64::MAX));
    Amount { cores, mem_mb }
}

/// The directories of this process's cgroup for `controller`, from its own to the top (v1 and v2).
fn cgroup_dirs(controller: &str) -> Vec<PathBuf> {
    let text = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let mut dirs = Vec::new();
    for line in text.lines() {
        let mut fields = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (fields.next(), fields.next(), fields.next()) else {
            continue;
        };
        let mounts: &[&str] = if controllers.is_empty() {
            &["/sys/fs/cgroup", "/sys/fs/cgroup/unified"]
        } else if controllers.split(',').any(|name| name == controller) {
            &["/sys/fs/cgroup"]
        } else {
            continue;
        };
        for mount in mounts {
            let mount = if controllers.is_empty() {
                PathBuf::from(mount)
            } else {
                Path::new(mount).join(controllers)
            };
            let mut dir = Some(Path::new(path.trim_start_matches('/')));
            while let Some(below) = dir {
                dirs.push(mount.join(below));
                dir = below.parent();
            }
        }
    }
    dirs
}

fn cgroup_cores() -> Option<u32> {
    let limits = cgroup_dirs("cpu").into_iter().filter_map(|dir| {
        let max = fs::read_to_string(dir.join("cpu.max")).ok();
        let (quota, period) = match &max {
            Some(text) => {
                let (quota, period) = text.trim().split_once(' ')?;
                (quota.parse::<u64>().ok()?, period.parse::<u64>().ok()?)
            }
            None => {
                let read = |name: &str| fs::read_to_string(dir.join(name)).ok()?.trim().parse::<i64>().ok();
                (
                    u64::try_from(read("cpu.cfs_quota_us")?).ok()?,
                    u64::try_from(read("cpu.cfs_period_us")?).ok()?,
                )
            }
        };
        u32::try_from(quota.div_ceil(period.max(1))).ok()
    });
    limits.filter(|&cores| cores > 0).min()
}

fn cgroup_memory_mb() -> Option<u64> {
    let limits = cgroup_dirs("memory").into_iter().filter_map(|dir| {
        let read = |name: &str| fs::read_to_string(dir.join(name)).ok()?.trim().parse::<u64>().ok();
        read("memory.max").or_else(|| read("memory.limit_in_bytes"))
    });
    // v1 writes "no limit" as a number near 2^63.
    limits.map(|bytes| bytes >> 20).filter(|&mb| mb < 1 << 40).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_something() {
        let amount = allowance();
        assert!(amount.cores >= 1 && amount.mem_mb > 0, "{amount:?}");
        let here = Identity::here();
        assert!(!here.machine.is_empty() && !here.boot.is_empty());
        assert_eq!(here, Identity::here());
    }
}
