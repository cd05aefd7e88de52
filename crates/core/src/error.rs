//! The error of everything that reads a short text: an id, a selector, a time, a size.

use thiserror::Error;

/// A text that is not what it should be, with what is accepted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{text:?} is not a {what}: expected {expected}")]
pub struct ParseError {
    /// What was being read: `job id`, `walltime` …
    pub what: &'static str,
    /// The text as it was given.
    pub text: String,
    /// What would have been accepted.
    pub expected: String,
}

impl ParseError {
    /// The error for `text`, which was to be a `what`.
    pub fn new(what: &'static str, text: impl Into<String>, expected: impl Into<String>) -> Self {
        Self { what, text: text.into(), expected: expected.into() }
    }
}
