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

/// The same for a submission.
pub(crate) fn submitting(invocation: Invocation) -> Invocation {
    let mut invocation = plain(invocation);
    invocation.timeout = std::time::Duration::from_secs(120);
    invocation.env.extend(SUBMITTING.iter().map(|name| (OsString::from(name), None)));
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
        let call = submitting(Invocation::new(["sbatch"]));
        for name in kept {
            assert!(!hides(name), "{name}");
            assert!(!call.env.iter().any(|(variable, _)| variable == name), "{name}");
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
