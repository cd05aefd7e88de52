//! Variables that would change what Slurm's commands do or print, and those of an enclosing job.

use std::ffi::OsString;

use cluster_core::host::Invocation;

/// Variables that shape the output of a query or the reach of a change. Those that locate or default the
/// scheduler (`SLURM_CONF`, `SLURM_CLUSTERS`, `SBATCH_ACCOUNT`, `SBATCH_PARTITION` …) are none of them.
const SHAPING: &[&str] = &[
    "SACCT_FEDERATION",
    "SACCT_FORMAT",
    "SACCT_LOCAL",
    "SCANCEL_ACCOUNT",
    "SCANCEL_BATCH",
    "SCANCEL_CRON",
    "SCANCEL_CTLD",
    "SCANCEL_FULL",
    "SCANCEL_HURRY",
    "SCANCEL_INTERACTIVE",
    "SCANCEL_NAME",
    "SCANCEL_PARTITION",
    "SCANCEL_QOS",
    "SCANCEL_RESERVATION",
    "SCANCEL_STATE",
    "SCANCEL_USER",
    "SCANCEL_VERBOSE",
    "SCANCEL_WCKEY",
    "SCONTROL_ALL",
    "SCONTROL_FEDERATION",
    "SCONTROL_FUTURE",
    "SCONTROL_LOCAL",
    "SCONTROL_SIBLING",
    "SINFO_ALL",
    "SINFO_FEDERATION",
    "SINFO_FORMAT",
    "SINFO_LOCAL",
    "SINFO_PARTITION",
    "SINFO_SORT",
    "SLURM_DEBUG_FLAGS",
    "SLURM_JSON",
    "SLURM_TIME_FORMAT",
    "SLURM_YAML",
    "SQUEUE_ACCOUNT",
    "SQUEUE_ALL",
    "SQUEUE_ARRAY",
    "SQUEUE_FEDERATION",
    "SQUEUE_FORMAT",
    "SQUEUE_FORMAT2",
    "SQUEUE_LICENSES",
    "SQUEUE_LOCAL",
    "SQUEUE_NAMES",
    "SQUEUE_PARTITION",
    "SQUEUE_PRIORITY",
    "SQUEUE_QOS",
    "SQUEUE_SIBLING",
    "SQUEUE_SORT",
    "SQUEUE_STATES",
    "SQUEUE_USERS",
];

/// Variables that would change a submission beside its command line: make an array of it, wait for its end,
/// load a login environment, send its output elsewhere.
const SUBMITTING: &[&str] = &[
    "SBATCH_ARRAY_INX",
    "SBATCH_DEBUG",
    "SBATCH_ERROR",
    "SBATCH_EXPORT",
    "SBATCH_GET_USER_ENV",
    "SBATCH_INPUT",
    "SBATCH_JOB_NAME",
    "SBATCH_OPEN_MODE",
    "SBATCH_OUTPUT",
    "SBATCH_WAIT",
    "SBATCH_WRAP",
    "SLURM_EXPORT_ENV",
];

/// Variables of an enclosing job, a star for any end.
pub(crate) const ENCLOSING_JOB: &[&str] = &[
    "SLURM_JOB*",
    "SLURM_STEP*",
    "SLURM_ARRAY_*",
    "SLURM_HET_*",
    "SLURM_PACK_*",
    "SLURM_NTASKS*",
    "SLURM_NPROCS",
    "SLURM_NNODES",
    "SLURM_NODE_ALIASES",
    "SLURM_NODELIST",
    "SLURM_NODEID",
    "SLURM_TASKS_PER_NODE",
    "SLURM_TASK_PID",
    "SLURM_PROCID",
    "SLURM_LOCALID",
    "SLURM_GTIDS",
    "SLURM_CPUS_*",
    "SLURM_CPU_BIND*",
    "SLURM_CPU_FREQ_REQ",
    "SLURM_MEM_*",
    "SLURM_GPUS*",
    "SLURM_GPU_*",
    "SLURM_THREADS_PER_CORE",
    "SLURM_TRES_PER_TASK",
    "SLURM_DISTRIBUTION",
    "SLURM_DIST_*",
    "SLURM_TOPOLOGY_*",
    "SLURM_PRIO_PROCESS",
    "SLURM_SUBMIT_*",
    "SLURM_EXPORT_ENV",
    "SLURM_GET_USER_ENV",
    "SLURM_LAUNCH_NODE_IPADDR",
    "SLURM_SRUN_COMM_*",
    "SLURM_UMASK",
    "SLURM_RLIMIT_*",
    "SLURM_SCRIPT_CONTEXT",
    "SLURM_WORKING_CLUSTER",
    "SLURM_OVERCOMMIT",
    "SLURM_OVERSUBSCRIBE",
    "SLURM_EXACT",
    "SLURM_EXCLUSIVE",
    "SLURM_PROFILE",
    "SLURM_RESTART_COUNT",
    "SLURM_SPANK_*",
    "SLURMD_*",
    "SLURM_PMI*",
    "PMI_*",
    "PMIX_*",
];

/// What sbatch needs of the submitter's environment: who he is, where programs and libraries are, how he is
/// known, and what locates and defaults Slurm. All of it reaches the job: see [`submits_with`].
const NEEDED: &[&str] = &["PATH", "HOME", "USER", "LOGNAME", "SHELL", "LD_LIBRARY_PATH", "KRB5CCNAME"];
const NEEDED_PREFIXES: &[&str] = &["SLURM_", "SBATCH_", "MUNGE_"];

/// Whether sbatch gets this variable. It hands what it has to the job (`--export=ALL`): told to export less,
/// by a list or NONE, it has slurmd load the login environment on the node instead (seen on 22.05: a line in
/// `~/.profile` ran), and NIL, which does not, is known since 23.11 alone.
pub(crate) fn submits_with(name: &[u8]) -> bool {
    NEEDED.iter().any(|needed| needed.as_bytes() == name)
        || NEEDED_PREFIXES.iter().any(|prefix| name.starts_with(prefix.as_bytes()))
}

/// What we set for sbatch, and the job must not see; and what would make srun give its tasks another environment.
pub(crate) const UNSET: &[&str] = &["LC_ALL", "TZ", "SLURM_BITSTR_LEN", "SLURM_EXPORT_ENV"];

/// The variables that would go over what the script says itself: sbatch takes `SBATCH_PARTITION` before a
/// `#SBATCH --partition`. Those of options that it does not say stay, they are the user's defaults.
fn overriding(head: &[String]) -> Vec<OsString> {
    let mut names = Vec::new();
    let words = head.iter().filter_map(|line| line.strip_prefix("#SBATCH")).flat_map(str::split_whitespace);
    for word in words {
        let name = match (word.strip_prefix("--"), word.strip_prefix('-')) {
            (Some(long), _) => long.split('=').next().unwrap_or(long),
            (None, Some(short)) => crate::sbatch::long_name(short).unwrap_or_default(),
            (None, None) => continue,
        };
        let variables: &[&str] = match name {
            "" => continue,
            "time" => &["SBATCH_TIMELIMIT"],
            "mem" | "mem-per-cpu" | "mem-per-gpu" => {
                &["SBATCH_MEM_PER_NODE", "SBATCH_MEM_PER_CPU", "SBATCH_MEM_PER_GPU"]
            }
            "requeue" | "no-requeue" => &["SBATCH_REQUEUE", "SBATCH_NO_REQUEUE"],
            _ => {
                names.push(format!("SBATCH_{}", name.to_ascii_uppercase().replace('-', "_")).into());
                continue;
            }
        };
        names.extend(variables.iter().map(OsString::from));
    }
    names
}

/// An invocation whose output is the same for everybody.
pub(crate) fn plain(mut invocation: Invocation) -> Invocation {
    // A dead controller costs a command of Slurm's half a minute, or twice that; killed earlier it could not
    // say so.
    invocation.timeout = std::time::Duration::from_secs(90);
    let set = |name: &str, value: &str| (OsString::from(name), Some(OsString::from(value)));
    invocation.env.extend([
        set("LC_ALL", "C.UTF-8"),
        set("TZ", "UTC"),
        // Without it lists of array elements end in ... after 64 characters.
        set("SLURM_BITSTR_LEN", "0"),
    ]);
    invocation.env.extend(SHAPING.iter().map(|name| (OsString::from(name), None)));
    invocation
}

/// The same for a submission of a script with this head.
pub(crate) fn submitting(invocation: Invocation, head: &[String]) -> Invocation {
    let mut invocation = plain(invocation);
    invocation.timeout = std::time::Duration::from_secs(120);
    invocation.env.extend(SUBMITTING.iter().map(|name| (OsString::from(name), None)));
    invocation.env.extend(overriding(head).into_iter().map(|name| (name, None)));
    invocation
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hides(name: &str) -> bool {
        ENCLOSING_JOB.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => *pattern == name,
        })
    }

    #[test]
    fn an_enclosing_job_is_hidden_and_the_scheduler_is_not() {
        for name in [
            "SLURM_JOB_ID",
            "SLURM_JOBID",
            "SLURM_JOB_NODELIST",
            "SLURM_STEP_ID",
            "SLURM_ARRAY_TASK_ID",
            "SLURM_NTASKS_PER_NODE",
            "SLURM_CPUS_PER_TASK",
            "SLURM_MEM_PER_NODE",
            "SLURM_TASKS_PER_NODE",
            "SLURM_NNODES",
            "SLURM_NODELIST",
            "SLURM_PROCID",
            "SLURM_EXPORT_ENV",
            "SLURM_SUBMIT_DIR",
        ] {
            assert!(hides(name), "{name}");
        }
        let kept = [
            "SLURM_CONF",
            "SLURM_CLUSTERS",
            "SLURM_CONF_SERVER",
            "SBATCH_ACCOUNT",
            "SBATCH_PARTITION",
            "SBATCH_QOS",
        ];
        let call = submitting(Invocation::new(["sbatch"]), &[]);
        for name in kept {
            assert!(!hides(name), "{name}");
            assert!(!call.env.iter().any(|(variable, _)| variable == name), "{name}");
        }
    }

    #[test]
    fn what_the_script_says_goes_over_the_defaults_of_the_environment() {
        let head =
            ["#!/bin/sh", "#SBATCH --partition=debug -t 5 --mem=1G", "#SBATCH --gpus-per-node=1", "# -q x"];
        let call = submitting(Invocation::new(["sbatch"]), &head.map(str::to_owned));
        let unset = |name: &str| call.env.iter().any(|(variable, value)| variable == name && value.is_none());
        for name in ["SBATCH_PARTITION", "SBATCH_TIMELIMIT", "SBATCH_MEM_PER_CPU", "SBATCH_GPUS_PER_NODE"] {
            assert!(unset(name), "{name}");
        }
        for name in ["SBATCH_ACCOUNT", "SBATCH_QOS", "SBATCH_GPUS"] {
            assert!(!unset(name), "{name}");
        }
    }

    #[test]
    fn the_job_gets_nothing_of_the_submitter_but_what_sbatch_needs() {
        for name in ["PATH", "HOME", "SLURM_CONF", "SBATCH_ACCOUNT"] {
            assert!(submits_with(name.as_bytes()), "{name}");
        }
        for name in ["LANG", "EDITOR", "PYTHONPATH", "BASH_FUNC_module%%", "PATHS"] {
            assert!(!submits_with(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn what_shapes_output_is_gone() {
        let call = plain(Invocation::new(["squeue"]));
        let value = |name: &str| {
            call.env.iter().find(|(variable, _)| variable == name).map(|(_, value)| value.clone())
        };
        for name in [
            "SLURM_TIME_FORMAT",
            "SQUEUE_FORMAT",
            "SQUEUE_STATES",
            "SACCT_FORMAT",
            "SINFO_FORMAT",
            "SCANCEL_STATE",
        ] {
            assert_eq!(value(name), Some(None), "{name}");
        }
        for (name, want) in [("LC_ALL", "C.UTF-8"), ("TZ", "UTC"), ("SLURM_BITSTR_LEN", "0")] {
            assert_eq!(value(name), Some(Some(want.into())), "{name}");
        }
    }
}
