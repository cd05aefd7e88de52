//! The schedulers, and what tests have to know of each.

use std::fmt;

/// A scheduler of the suite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Slurm.
    Slurm,
    /// OpenPBS and PBS Pro.
    Pbs,
    /// Torque.
    Torque,
    /// Grid Engine.
    Sge,
    /// The made-up scheduler of `examples/sample-backend`.
    Sample,
}

impl Kind {
    /// The one that the environment names.
    pub fn given() -> Self {
        match std::env::var("CLUSTER_SITE").as_deref() {
            Err(_) | Ok("slurm") => Self::Slurm,
            Ok("pbs") => Self::Pbs,
            Ok("torque") => Self::Torque,
            Ok("sge") => Self::Sge,
            Ok("sample") => Self::Sample,
            Ok(other) => panic!("CLUSTER_SITE={other}: it is slurm, pbs, torque, sge or sample"),
        }
    }

    /// Its name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Slurm => "slurm",
            Self::Pbs => "pbs",
            Self::Torque => "torque",
            Self::Sge => "sge",
            Self::Sample => "plain",
        }
    }

    /// What else a system of it needs in the configuration.
    pub fn keys(self) -> &'static str {
        match self {
            Self::Sge => "parallel_environment: smp, mem_resource: h_vmem",
            Self::Torque => "max_array_size: 2000",
            _ => "",
        }
    }

    /// The command that submits.
    pub fn submit(self) -> &'static str {
        match self {
            Self::Slurm => "sbatch",
            Self::Sample => "psub",
            _ => "qsub",
        }
    }

    /// The words after it that make it print nothing but the id.
    pub fn bare_words(self) -> &'static [&'static str] {
        match self {
            Self::Slurm => &["--parsable", "--output=/dev/null"],
            Self::Pbs | Self::Torque => &["-j", "oe", "-o", "/dev/null"],
            Self::Sge => &["-terse", "-j", "y", "-o", "/dev/null"],
            Self::Sample => &[],
        }
    }

    /// The option that names a job.
    pub fn name_option(self) -> &'static str {
        if self == Self::Slurm { "-J" } else { "-N" }
    }

    /// The command that lists the queue.
    pub fn query(self) -> &'static str {
        match self {
            Self::Slurm => "squeue",
            Self::Sample => "pstat",
            _ => "qstat",
        }
    }

    /// The command that cancels.
    pub fn cancel(self) -> &'static str {
        match self {
            Self::Slurm => "scancel",
            Self::Sample => "pdel",
            _ => "qdel",
        }
    }

    /// How many TERM a command gets when its job is cancelled, before KILL. Grid Engine kills at once.
    pub fn terms(self) -> usize {
        if self == Self::Sge { 0 } else { 1 }
    }

    /// Whether a job with more cores than there are is refused; the others keep it waiting.
    pub fn refuses_too_large(self) -> bool {
        matches!(self, Self::Slurm | Self::Sge)
    }

    /// Whether an element of an array can wait for the element of the same number of another.
    pub fn has_elementwise_dependencies(self) -> bool {
        matches!(self, Self::Slurm | Self::Sge)
    }

    /// The command that puts a running job back into the queue; the id comes after it.
    pub fn requeue(self) -> Option<&'static [&'static str]> {
        match self {
            Self::Slurm => Some(&["scontrol", "requeue"]),
            Self::Pbs | Self::Torque => Some(&["qrerun"]),
            Self::Sge => Some(&["qmod", "-rj"]),
            Self::Sample => None,
        }
    }

    /// The shortest time limit. Where they are whole minutes the mock makes them pass quickly; Grid Engine's are
    /// exact, and its accounting is compared with them.
    pub fn short_limit(self) -> &'static str {
        if self == Self::Sge { "3" } else { "1m" }
    }

    /// A partition, and a time that is too long for it.
    pub fn too_long(self) -> (&'static str, &'static str) {
        match self {
            Self::Slurm => ("short", "1h"),
            Self::Sge => ("long.q", "48h"),
            Self::Pbs | Self::Torque | Self::Sample => ("brief", "1h"),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}
