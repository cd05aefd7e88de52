//! What a job waits for.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::ParseError;
use crate::ids::{BatchId, digits};
use crate::indices::IndexSet;

/// Which end of the other job lets this one go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DependencyKind {
    /// Each of them succeeded.
    AfterOk,
    /// Each of them ended, however.
    AfterAny,
    /// Each of them failed.
    AfterNotOk,
    /// Each of them has started.
    After,
}

impl DependencyKind {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AfterOk => "afterok",
            Self::AfterAny => "afterany",
            Self::AfterNotOk => "afternotok",
            Self::After => "after",
        }
    }
}

/// A kind and the jobs it is about: `afterok:17`, `afterany:17.3`, `17.0-9` (afterok is meant).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Dependency {
    /// Which end counts.
    pub kind: DependencyKind,
    /// The batch of the jobs.
    pub batch: BatchId,
    /// The jobs of it, `None` for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jobs: Option<IndexSet>,
}

impl fmt::Display for Dependency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind.as_str(), self.batch)?;
        self.jobs.as_ref().map_or(Ok(()), |jobs| write!(f, ".{jobs}"))
    }
}

impl FromStr for Dependency {
    type Err = ParseError;

    /// ```
    /// use cluster_core::{Dependency, DependencyKind};
    /// let one: Dependency = "afterany:17.3-5".parse().unwrap();
    /// assert_eq!(one.kind, DependencyKind::AfterAny);
    /// assert_eq!(one.to_string(), "afterany:17.3-5");
    /// assert_eq!("17".parse::<Dependency>().unwrap().kind, DependencyKind::AfterOk);
    /// ```
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let wrong = || {
            ParseError::new(
                "dependency",
                text,
                "[afterok|afterany|afternotok|after:]BATCH[.JOBS], like afterok:17.3",
            )
        };
        let (kind, on) = match text.split_once(':') {
            Some(("afterok", on)) => (DependencyKind::AfterOk, on),
            Some(("afterany", on)) => (DependencyKind::AfterAny, on),
            Some(("afternotok", on)) => (DependencyKind::AfterNotOk, on),
            Some(("after", on)) => (DependencyKind::After, on),
            _ => (DependencyKind::AfterOk, text),
        };
        let (batch, jobs) = match on.split_once('.') {
            Some((batch, jobs)) => (batch, Some(jobs.parse()?)),
            None => (on, None),
        };
        Ok(Self { kind, batch: BatchId(digits(batch).ok_or_else(wrong)?), jobs })
    }
}
