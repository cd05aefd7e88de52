//! Which jobs a command is about; the same words in every command.

use std::fmt;
use std::str::FromStr;

use crate::error::ParseError;
use crate::ids::{BatchId, digits};
use crate::indices::IndexSet;
use crate::state::JobState;

/// One selector; several are joined by "or".
///
/// ```
/// use cluster_core::Selector;
/// assert!(matches!("17.0-99:2".parse().unwrap(), Selector::Jobs { .. }));
/// assert!(matches!("name=align*".parse().unwrap(), Selector::Name(_)));
/// assert!("state=gone".parse::<Selector>().is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// `17` or `17.0-99:2`: a batch, or some of its jobs.
    Jobs {
        /// The batch.
        batch: BatchId,
        /// Its jobs, `None` for all.
        jobs: Option<IndexSet>,
    },
    /// `last`: the newest batch of this root from this terminal, else of the user.
    Last,
    /// `name=GLOB`.
    Name(String),
    /// `state=failed`.
    State(JobState),
    /// `meta.KEY=VAL`.
    Meta {
        /// The key.
        key: String,
        /// The value it must have.
        value: String,
    },
    /// `system=NAME`.
    System(String),
}

impl FromStr for Selector {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        if text == "last" {
            return Ok(Self::Last);
        }
        if let Some((key, value)) = text.split_once('=') {
            return match key {
                "name" => glob(value).map(|()| Self::Name(value.to_owned())),
                "state" => value.parse().map(Self::State),
                "system" => Ok(Self::System(value.to_owned())),
                _ => match key.strip_prefix("meta.") {
                    Some(key) if !key.is_empty() => {
                        Ok(Self::Meta { key: key.to_owned(), value: value.to_owned() })
                    }
                    _ => Err(wrong(text)),
                },
            };
        }
        if text.contains('@') {
            return Err(wrong(text));
        }
        let (batch, jobs) = match text.split_once('.') {
            Some((batch, jobs)) => (batch, Some(jobs.parse()?)),
            None => (text, None),
        };
        Ok(Self::Jobs { batch: BatchId(digits(batch).ok_or_else(|| wrong(text))?), jobs })
    }
}

/// Whether a pattern for names can match anything.
///
/// # Errors
/// Where a bracket is not closed.
pub fn glob(pattern: &str) -> Result<(), ParseError> {
    let mut rest = pattern;
    while let Some(open) = rest.find('[') {
        // The first character in it closes nothing.
        let inside = &rest[open + 1..];
        let inside = inside.strip_prefix('^').unwrap_or(inside);
        let from = inside.chars().next().map_or(0, char::len_utf8);
        let Some(close) = inside[from..].find(']') else {
            return Err(ParseError::new("pattern", pattern, "a ] for each [, which is itself [[]"));
        };
        rest = &inside[from + close + 1..];
    }
    Ok(())
}

fn wrong(text: &str) -> ParseError {
    if text.contains('@') {
        return ParseError::new(
            "selector",
            text,
            "a job without its run, like 17.3; `cluster logs --run 2 17.3` prints that of a run",
        );
    }
    ParseError::new(
        "selector",
        text,
        "a batch (17), jobs of it (17.3, 17.0-99:2), last, name=GLOB, state=STATE, meta.KEY=VALUE or system=NAME",
    )
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Jobs { batch, jobs: None } => write!(f, "{batch}"),
            Self::Jobs { batch, jobs: Some(jobs) } => write!(f, "{batch}.{jobs}"),
            Self::Last => f.write_str("last"),
            Self::Name(glob) => write!(f, "name={glob}"),
            Self::State(state) => write!(f, "state={state}"),
            Self::Meta { key, value } => write!(f, "meta.{key}={value}"),
            Self::System(name) => write!(f, "system={name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_that_matches_nothing_and_a_run_are_told() {
        for good in ["a*", "[ab]", "[]]", "[^]a]x", "x[[]"] {
            assert!(glob(good).is_ok(), "{good}");
        }
        for bad in ["[", "a[b", "[]", "[^]"] {
            assert!(format!("name={bad}").parse::<Selector>().is_err(), "{bad}");
        }
        let error = "17.3@2".parse::<Selector>().unwrap_err().to_string();
        assert!(error.contains("--run 2 17.3"), "{error}");
    }
}
