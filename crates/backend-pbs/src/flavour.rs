//! The two families of PBS.

use cluster_options::SchedulerKind;

/// Which PBS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Flavour {
    /// OpenPBS and PBS Pro.
    OpenPbs,
    /// Torque.
    Torque,
}

impl Flavour {
    /// Its column in the catalogue of options.
    pub(crate) fn kind(self) -> SchedulerKind {
        match self {
            Self::OpenPbs => SchedulerKind::Pbs,
            Self::Torque => SchedulerKind::Torque,
        }
    }

    /// Which form of a question is read, for messages.
    pub(crate) fn readable(self) -> &'static str {
        match self {
            Self::OpenPbs => "`qstat -f -w`, `qstat -f`, `qstat -f -F json` and `qstat -f -F dsv` are read",
            Self::Torque => "`qstat -x`, `qstat -f -1` and `qstat -f` are read",
        }
    }
}
