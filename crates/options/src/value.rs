//! The value of an option: [`Value`].

use std::fmt;
use std::path::PathBuf;

use cluster_core::Walltime;

use crate::amount::{CoreAmount, MemAmount};
use crate::env_export::EnvExport;

/// A checked value, of the option's type. It prints as it would be written, and is read back the same.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// Of type `bool`.
    Bool(bool),
    /// Of type `int`.
    Int(i64),
    /// Of type `int` with `relative`.
    Cores(CoreAmount),
    /// Of type `float`.
    Float(f64),
    /// Of type `string`.
    Text(String),
    /// Of type `list`.
    List(Vec<String>),
    /// Of type `time`.
    Time(Walltime),
    /// Of type `memory`.
    Memory(MemAmount),
    /// Of type `path`.
    Path(PathBuf),
    /// Of type `choice`: the word as the catalogue has it.
    Choice(String),
    /// Of type `env`.
    Env(EnvExport),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => value.fmt(f),
            Self::Int(value) => value.fmt(f),
            Self::Cores(value) => value.fmt(f),
            Self::Float(value) => value.fmt(f),
            Self::Text(value) | Self::Choice(value) => value.fmt(f),
            Self::List(items) => f.write_str(&items.join(",")),
            Self::Time(value) => value.fmt(f),
            Self::Memory(value) => value.fmt(f),
            Self::Path(value) => value.display().fmt(f),
            Self::Env(value) => value.fmt(f),
        }
    }
}
