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
    /// One that this crate does not know, by the name that its dialect gives itself: the catalogue has no
    /// words for it, so its dialect says everything by code.
    Other(&'static str),
}

impl SchedulerKind {
    /// All that the catalogue knows, in the order in which tables show them.
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
            Self::Other(name) => name,
        }
    }

    /// Its place in [`ALL`](Self::ALL).
    pub(crate) fn place(self) -> Option<usize> {
        Self::ALL.into_iter().position(|known| known == self)
    }

    /// Reads the word for one of [`ALL`](Self::ALL) or of `others`.
    ///
    /// # Errors
    /// Names what there is.
    ///
    /// ```
    /// # use cluster_options::SchedulerKind;
    /// assert_eq!(SchedulerKind::read("acme", &["acme"]), Ok(SchedulerKind::Other("acme")));
    /// assert!(SchedulerKind::read("acme", &[]).is_err());
    /// ```
    pub fn read(text: &str, others: &[&'static str]) -> Result<Self, ParseError> {
        let all = || Self::ALL.into_iter().chain(others.iter().copied().map(Self::Other));
        all().find(|kind| kind.as_str() == text).ok_or_else(|| {
            let names: Vec<_> = all().map(Self::as_str).collect();
            let expected = match &names[..] {
                [first @ .., last] => format!("{} or {last}", first.join(", ")),
                [] => String::new(),
            };
            ParseError::new("scheduler", crate::shown::shown(text), expected)
        })
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
        Self::read(text, &[])
    }
}
