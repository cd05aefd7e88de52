//! What a job waits for.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::ParseError;
use crate::ids::{BatchId, RemoteId, digits};
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

impl FromStr for DependencyKind {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        [Self::AfterOk, Self::AfterAny, Self::AfterNotOk, Self::After]
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or(())
    }
}

/// A kind and the jobs it is about: `afterok:17`, `afterany:17.3`, `17.0-9` (afterok is meant), or
/// `aftercorr:17`: each job waits for the success of the job of batch 17 with its own index.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Dependency {
    /// Which end counts.
    pub kind: DependencyKind,
    /// The batch of the jobs.
    pub batch: BatchId,
    /// The jobs of it, `None` for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jobs: Option<IndexSet>,
    /// Each job waits for the one with its own index.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub elementwise: bool,
}

impl fmt::Display for Dependency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.elementwise { "aftercorr" } else { self.kind.as_str() };
        write!(f, "{kind}:{}", self.batch)?;
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
                "[afterok|afterany|afternotok|after|aftercorr:]BATCH[.JOBS], like afterok:17.3",
            )
        };
        let (kind, elementwise, on) = split_kind(text);
        let (batch, jobs) = match on.split_once('.') {
            Some((batch, jobs)) => (batch, Some(jobs.parse()?)),
            None => (on, None),
        };
        let batch = BatchId(digits(batch).ok_or_else(wrong)?);
        if elementwise && jobs.is_some() {
            return Err(ParseError::new("dependency", text, "a whole batch after aftercorr: aftercorr:17"));
        }
        Ok(Self { kind, batch, jobs, elementwise })
    }
}

/// The kind before the first colon, afterok where none is there; whether that is `aftercorr`, job for job;
/// and what is behind it.
///
/// ```
/// use cluster_core::dependency::{DependencyKind::{AfterAny, AfterOk}, split_kind};
/// assert_eq!(split_kind("afterany:last"), (AfterAny, false, "last"));
/// assert_eq!(split_kind("aftercorr:17"), (AfterOk, true, "17"));
/// assert_eq!(split_kind("name=a:b"), (AfterOk, false, "name=a:b"));
/// ```
pub fn split_kind(text: &str) -> (DependencyKind, bool, &str) {
    if let Some(on) = text.strip_prefix("aftercorr:") {
        return (DependencyKind::AfterOk, true, on);
    }
    let named = text.split_once(':').and_then(|(kind, on)| Some((kind.parse().ok()?, false, on)));
    named.unwrap_or((DependencyKind::AfterOk, false, text))
}

/// A job of the same scheduler that is not ours: `remote:4711`, `afterany:remote:4711`.
///
/// ```
/// use cluster_core::dependency::{DependencyKind, ForeignDependency};
/// let one: ForeignDependency = "afterany:remote:12[].srv".parse().unwrap();
/// assert_eq!((one.kind, one.id.0.as_str()), (DependencyKind::AfterAny, "12[].srv"));
/// assert_eq!(one.to_string(), "afterany:remote:12[].srv");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ForeignDependency {
    /// Which end counts.
    pub kind: DependencyKind,
    /// The scheduler's id.
    pub id: RemoteId,
}

impl fmt::Display for ForeignDependency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:remote:{}", self.kind.as_str(), self.id)
    }
}

impl FromStr for ForeignDependency {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let (kind, elementwise, rest) = split_kind(text);
        let id =
            rest.strip_prefix("remote:").filter(|id| !elementwise && is_remote_id(id)).ok_or_else(|| {
                ParseError::new(
                    "dependency",
                    text,
                    "[KIND:]remote:ID with the scheduler's own id, like remote:4711",
                )
            })?;
        Ok(Self { kind, id: RemoteId(id.to_owned()) })
    }
}

/// What a scheduler's id may be made of: nothing that a list of dependencies would be cut at.
fn is_remote_id(id: &str) -> bool {
    id.starts_with(|c: char| c.is_ascii_digit())
        && id.chars().all(|c| c.is_ascii_alphanumeric() || "._-[]".contains(c))
}
