//! The kinds of scheduler that options are spelled for: [`SchedulerKind`].

use std::fmt;
use std::str::FromStr;

use cluster_core::ParseError;

/// What queues and starts jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SchedulerKind {
    /// Slurm.
    Slurm,
    /// OpenPBS, PBS Pro.
    Pbs,
    /// Torque.
    Torque,
    /// Sun, Univa, Altair, Open Cluster … Grid Engine.
    Sge,
    /// The cores of this machine.
    Local,
    /// A runnable script of everything; starts nothing.
    File,
}

impl SchedulerKind {
    /// All of them, in the order in which tables show them.
    pub const ALL: [Self; 6] = [Self::Slurm, Self::Pbs, Self::Torque, Self::Sge, Self::Local, Self::File];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Slurm => "slurm",
            Self::Pbs => "pbs",
            Self::Torque => "torque",
            Self::Sge => "sge",
            Self::Local => "local",
            Self::File => "file",
        }
    }
}

impl fmt::Display for SchedulerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for SchedulerKind {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or_else(|| {
            ParseError::new("scheduler", crate::shown::shown(text), "slurm, pbs, torque, sge, local or file")
        })
    }
}
