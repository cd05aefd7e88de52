//! Cores and memory: what the machine has and what a job takes.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An amount of cores and memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Amount {
    /// Cores.
    pub cores: u32,
    /// Memory in MB.
    pub mem_mb: u64,
}

/// For people: `1 core`, `4 cores and 2000 MB`.
impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.cores, if self.cores == 1 { "core" } else { "cores" })?;
        if self.mem_mb > 0 {
            write!(f, " and {} MB", self.mem_mb)?;
        }
        Ok(())
    }
}

impl Amount {
    /// Whether `need` is no more than this, in both.
    pub fn fits(&self, need: &Self) -> bool {
        need.cores <= self.cores && need.mem_mb <= self.mem_mb
    }

    /// The smaller one of each.
    pub fn min(&self, other: &Self) -> Self {
        Self { cores: self.cores.min(other.cores), mem_mb: self.mem_mb.min(other.mem_mb) }
    }

    /// What is left after `other`, at least nothing.
    pub fn saturating_sub(&self, other: &Self) -> Self {
        Self {
            cores: self.cores.saturating_sub(other.cores),
            mem_mb: self.mem_mb.saturating_sub(other.mem_mb),
        }
    }

    /// Both together.
    pub fn saturating_add(&self, other: &Self) -> Self {
        Self {
            cores: self.cores.saturating_add(other.cores),
            mem_mb: self.mem_mb.saturating_add(other.mem_mb),
        }
    }
}
