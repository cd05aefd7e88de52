//! Why a text is no document: [`YamlError`], and places in texts: [`Position`].

use std::fmt;

use thiserror::Error;

use crate::yaml::{MAX_BYTES, MAX_DEPTH};

/// A place in a text, both from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The character in the line.
    pub column: usize,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// Why a text is no document.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{}{cause}", .position.map(|p| format!("{p}: ")).unwrap_or_default())]
pub struct YamlError {
    /// Where, if that is known.
    pub position: Option<Position>,
    /// What is wrong.
    pub cause: YamlErrorCause,
}

/// What is wrong with a text.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum YamlErrorCause {
    /// It is too large.
    #[error("{0} bytes are too many, at most {MAX_BYTES} are read")]
    TooLarge(usize),
    /// It is nested too deeply.
    #[error("nested too deeply, more than {MAX_DEPTH} levels")]
    TooDeep,
    /// Its aliases make too much of it.
    #[error("aliases (`*name`) make too much of this text")]
    TooMuch,
    /// It is no UTF-8.
    #[error("not UTF-8 text")]
    NotUtf8,
    /// It holds a control character, perhaps being no text at all.
    #[error("a control character")]
    ControlCharacter,
    /// A key is there twice in one mapping.
    #[error("key `{0}` is given twice")]
    DuplicateKey(String),
    /// A key is no plain text.
    #[error("a key must be plain text")]
    KeyNotText,
    /// A tag like `!name`.
    #[error("tags (`!name`) have no meaning here")]
    Tag,
    /// It is no YAML.
    #[error("{0}")]
    Syntax(String),
}
