//! What `--after` takes: [`After`].

use std::fmt;
use std::str::FromStr;

use cluster_client::ClientError;
use cluster_core::dependency::split_kind;
use cluster_core::{BatchId, Dependency, DependencyKind, ForeignDependency, ParseError, Selector};
use cluster_jobsdb::StoreError;

use crate::context::Context;
use crate::exit::usage;

/// Jobs to wait for: ours, by number or by selector, or the scheduler's.
#[derive(Debug, Clone)]
pub(crate) enum After {
    Ours(Dependency),
    Foreign(ForeignDependency),
    /// Whatever the selector names when the batch is submitted; what comes later is not waited for.
    Selected {
        kind: DependencyKind,
        elementwise: bool,
        selector: Selector,
    },
}

const EXPECTED: &str = "[afterok|afterany|afternotok|after|aftercorr:] and then BATCH[.JOBS] (17.3), a selector \
     (last, name=GLOB, state=STATE, meta.KEY=VALUE, system=NAME) or remote:ID, like afterany:17.3";

impl FromStr for After {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let (kind, elementwise, on) = split_kind(text);
        if on.starts_with("remote:") {
            return text.parse().map(Self::Foreign);
        }
        if on == "last" || on.contains('=') {
            return Ok(Self::Selected { kind, elementwise, selector: on.parse()? });
        }
        text.parse().map(Self::Ours).map_err(|error: ParseError| match error.what {
            "dependency" if !elementwise => ParseError::new("dependency", text, EXPECTED),
            _ => error,
        })
    }
}

impl fmt::Display for After {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ours(ours) => ours.fmt(f),
            Self::Foreign(foreign) => foreign.fmt(f),
            Self::Selected { kind, elementwise, selector } => {
                let kind = if *elementwise { "aftercorr" } else { kind.as_str() };
                write!(f, "{kind}:{selector}")
            }
        }
    }
}

impl After {
    /// Why the local queue cannot wait for this.
    pub(crate) fn not_here(&self) -> Option<String> {
        let instead = match self {
            Self::Foreign(_) => {
                return Some(format!("{self}: the local queue knows jobs of this root alone"));
            }
            Self::Ours(ours) if ours.elementwise => ours.batch.to_string(),
            Self::Selected { elementwise: true, selector, .. } => selector.to_string(),
            Self::Ours(_) | Self::Selected { .. } => return None,
        };
        Some(format!(
            "{self}: the local queue cannot wait job for job; wait for the whole batch by {instead}"
        ))
    }
}

/// All that is to be waited for, where selectors have become batches. `itself` is the batch that is to wait,
/// where it is there already.
pub(crate) fn resolve(
    context: &mut Context,
    all: &[After],
    itself: Option<BatchId>,
) -> anyhow::Result<(Vec<Dependency>, Vec<ForeignDependency>)> {
    let (mut ours, mut foreign) = (Vec::new(), Vec::new());
    for after in all {
        match after {
            After::Ours(one) => ours.push(one.clone()),
            After::Foreign(one) => foreign.push(one.clone()),
            After::Selected { kind, elementwise, selector } => {
                let selected = match context.select(std::slice::from_ref(selector)) {
                    Err(error) if is_nothing_there(&error) => Vec::new(),
                    selected => selected?,
                };
                if selected.is_empty() {
                    return Err(usage(format!("--after {after}: no job matches {selector}")));
                }
                for one in selected {
                    if itself == Some(one.batch) {
                        return Err(usage(format!(
                            "--after {after}: {selector} names batch {} itself, which would wait for ever",
                            one.batch
                        )));
                    }
                    if *elementwise && one.jobs.is_some() {
                        return Err(usage(format!(
                            "--after {after}: {selector} names some jobs of batch {0}, and job for job there are \
                             whole batches alone: aftercorr:{0}",
                            one.batch
                        )));
                    }
                    ours.push(Dependency {
                        kind: *kind,
                        batch: one.batch,
                        jobs: one.jobs,
                        elementwise: *elementwise,
                    });
                }
            }
        }
    }
    Ok((ours, foreign))
}

/// Whether the root has no batch, or no store yet: the first submission makes it.
fn is_nothing_there(error: &anyhow::Error) -> bool {
    matches!(
        error.downcast_ref(),
        Some(ClientError::Store(StoreError::NoLast { .. } | StoreError::Missing { .. }))
    )
}
