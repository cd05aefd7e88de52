//! The allocation of a scheduler that we run in: its runner is its own, with its cores, and ends with it.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cluster_localqueue::capacity::Amount;
use cluster_localqueue::runner::Place;

/// A job of a scheduler, as its environment tells of it on this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Allocation {
    /// `slurm`, `pbs` or `sge`.
    pub(crate) scheduler: &'static str,
    /// The scheduler's id of the job.
    pub(crate) id: String,
    /// Cores of this node that are its own, where that is told.
    pub(crate) cores: Option<u32>,
    /// Where that is told in a file, which is read only when somebody wants to know: its path, and this host.
    hosts: Option<(PathBuf, String)>,
    /// Memory of this node, in MB.
    pub(crate) mem_mb: Option<u64>,
}

/// Directories of ended allocations are kept so long.
const KEPT: Duration = Duration::from_secs(24 * 3600);

impl Allocation {
    /// The one that these variables describe, if they do. `host` is this machine's name.
    pub(crate) fn of(env: &HashMap<OsString, OsString>, host: &str) -> Option<Self> {
        let get =
            |name: &str| env.get(OsString::from(name).as_os_str())?.to_str().filter(|text| !text.is_empty());
        let number = |name: &str| get(name)?.parse::<u64>().ok().filter(|&n| n > 0);
        let cores = |name: &str| number(name).and_then(|n| u32::try_from(n).ok());
        // The second is set by slurmd: a shell of `salloc` has the first, too, and sits on the login node.
        if let (Some(id), Some(_)) = (get("SLURM_JOB_ID"), get("SLURMD_NODENAME")) {
            let on_node = cores("SLURM_CPUS_ON_NODE");
            let mem_mb = number("SLURM_MEM_PER_NODE")
                .or_else(|| number("SLURM_MEM_PER_CPU")?.checked_mul(on_node?.into()));
            return Some(Self { scheduler: "slurm", id: id.to_owned(), cores: on_node, hosts: None, mem_mb });
        }
        // Set in jobs alone, batch or interactive; the id is also found in a shell that only talks to PBS.
        if let (Some(id), Some(_)) = (get("PBS_JOBID"), get("PBS_ENVIRONMENT")) {
            // OpenPBS says NCPUS, Torque PBS_NUM_PPN.
            let cores = cores("NCPUS").or_else(|| cores("PBS_NUM_PPN"));
            return Some(Self { scheduler: "pbs", id: id.to_owned(), cores, hosts: None, mem_mb: None });
        }
        if let (Some(id), Some(task)) = (get("JOB_ID"), get("SGE_TASK_ID")) {
            let hosts = get("PE_HOSTFILE").map(|path| (PathBuf::from(path), host.to_owned()));
            let cores = cores("NSLOTS").filter(|_| number("NHOSTS").unwrap_or(1) == 1);
            let id = if task == "undefined" { id.to_owned() } else { format!("{id}.{task}") };
            return Some(Self { scheduler: "sge", id, cores, hosts, mem_mb: None });
        }
        None
    }

    /// The directory of its runner, below that of the machine's.
    pub(crate) fn place(&self, base: &Place) -> Place {
        let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-') { c } else { '_' };
        let id: String = self.id.chars().map(plain).take(60).collect();
        Place::new(Some(base.dir().join(format!("{PREFIX}{}-{id}", self.scheduler))))
    }

    /// What of the machine is the allocation's.
    pub(crate) fn of_machine(&self, machine: Amount) -> Amount {
        let told = || self.hosts.as_ref().and_then(|(path, host)| slots_here(&small_file(path)?, host));
        Amount {
            cores: self.cores.or_else(told).map_or(machine.cores, |cores| cores.min(machine.cores)),
            mem_mb: self.mem_mb.map_or(machine.mem_mb, |mem_mb| mem_mb.min(machine.mem_mb)),
        }
    }
}

/// How the directories of allocations' runners begin.
const PREFIX: &str = "in-";

/// The text of a plain file: who set the variable may have meant anything, also what never ends.
fn small_file(path: &Path) -> Option<String> {
    const MOST: u64 = 1 << 20;
    let is_small = fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.len() <= MOST);
    is_small.then(|| fs::read_to_string(path).ok()).flatten()
}

/// The slots of `host` in a `PE_HOSTFILE`: lines of host, slots, queue, processors.
fn slots_here(text: &str, host: &str) -> Option<u32> {
    let short = |name: &str| name.split('.').next().unwrap_or_default().to_owned();
    let of_line = |line: &str| {
        let mut words = line.split_whitespace();
        let (name, slots) = (words.next()?, words.next()?);
        (short(name) == short(host)).then(|| slots.parse::<u32>().ok()).flatten()
    };
    let slots: u32 = text.lines().filter_map(of_line).sum();
    (slots > 0).then_some(slots)
}

/// Removes what ended allocations left in `base`: those in which no runner lives and that hold nothing of a root.
pub(crate) fn sweep(base: &Path) {
    let old = |path: &PathBuf| {
        let age = fs::metadata(path.join("lock")).and_then(|meta| meta.modified()).ok()?.elapsed().ok()?;
        let roots = fs::read_dir(path.join("roots")).map_or(0, Iterator::count);
        let place = Place::new(Some(path.clone()));
        (age > KEPT && roots == 0 && place.check().is_ok()).then_some(place)
    };
    let entries = fs::read_dir(base).into_iter().flatten().flatten();
    let ours = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX));
    for place in ours.filter_map(|entry| old(&entry.path())) {
        if let Ok(Some(_lock)) = place.lock() {
            let _ = fs::remove_dir_all(place.dir());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> Option<Allocation> {
        let env = variables.iter().map(|(name, value)| (name.into(), value.into())).collect();
        Allocation::of(&env, "node7.site.org")
    }

    #[test]
    fn each_scheduler_tells_of_its_job() {
        let variables = [
            ("SLURM_JOB_ID", "71"),
            ("SLURM_CPUS_ON_NODE", "4"),
            ("SLURM_MEM_PER_CPU", "500"),
            ("SLURMD_NODENAME", "n1"),
        ];
        assert_eq!(of(&variables[..3]), None);
        let slurm = of(&variables).unwrap();
        assert_eq!((slurm.scheduler, slurm.cores, slurm.mem_mb), ("slurm", Some(4), Some(2000)));
        let machine = Amount { cores: 64, mem_mb: 1_000 };
        assert_eq!(slurm.of_machine(machine), Amount { cores: 4, mem_mb: 1_000 });
        assert_eq!(of(&[("PBS_JOBID", "7.srv")]), None);
        let pbs = of(&[("PBS_JOBID", "7[3].srv"), ("PBS_ENVIRONMENT", "PBS_BATCH"), ("NCPUS", "2")]).unwrap();
        assert_eq!(pbs.cores, Some(2));
        let base = Place::new(Some("/q".into()));
        assert_eq!(pbs.place(&base).dir(), Path::new("/q/in-pbs-7_3_.srv"));
        let sge =
            of(&[("JOB_ID", "9"), ("SGE_TASK_ID", "undefined"), ("NSLOTS", "3"), ("NHOSTS", "1")]).unwrap();
        assert_eq!((sge.scheduler, sge.cores), ("sge", Some(3)));
        // Slots on several hosts are not this host's.
        let spread = of(&[("JOB_ID", "9"), ("SGE_TASK_ID", "1"), ("NSLOTS", "3"), ("NHOSTS", "2")]);
        let spread = spread.unwrap();
        assert_eq!((spread.cores, spread.id.as_str()), (None, "9.1"));
        let odd = of(&[("JOB_ID", "9"), ("SGE_TASK_ID", "1"), ("NHOSTS", "2"), ("PE_HOSTFILE", "/dev/zero")]);
        assert_eq!(odd.unwrap().of_machine(machine), machine);
        // Any program may call a variable JOB_ID.
        assert_eq!(of(&[("JOB_ID", "9"), ("NSLOTS", "3")]), None);
    }

    #[test]
    fn slots_of_this_host_are_counted() {
        let text = "node1.site.org 4 all.q@node1 UNDEFINED\nnode7 2 all.q@node7 UNDEFINED\nnode7 1 long.q@node7 <NULL>\n";
        assert_eq!(slots_here(text, "node7.site.org"), Some(3));
        assert_eq!(slots_here(text, "node8"), None);
    }

    #[test]
    fn what_an_ended_allocation_left_goes_and_what_holds_jobs_stays() {
        let base = tempfile::tempdir().unwrap();
        let long_ago = std::time::SystemTime::now() - 2 * KEPT;
        for (name, root, age) in
            [("in-slurm-1", false, true), ("in-slurm-2", true, true), ("in-slurm-3", false, false)]
        {
            let place = Place::new(Some(base.path().join(name)));
            place.ensure().unwrap();
            let lock = place.lock().unwrap().unwrap();
            if age {
                lock.set_modified(long_ago).unwrap();
            }
            if root {
                fs::create_dir_all(place.roots().join("1")).unwrap();
            }
        }
        sweep(base.path());
        let left: Vec<_> = ["in-slurm-1", "in-slurm-2", "in-slurm-3"]
            .into_iter()
            .filter(|name| base.path().join(name).exists())
            .collect();
        assert_eq!(left, ["in-slurm-2", "in-slurm-3"]);
    }
}
