//! The keys of a configuration file: [`KEYS`].

use std::time::Duration;

use cluster_core::{MemSize, Walltime};

use crate::amount::{CoreAmount, MemAmount};
use crate::node::Node;

/// One key.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Key {
    /// Its path, with dots.
    pub name: &'static str,
    /// What it takes.
    pub kind: KeyKind,
    /// Its value where no file has one, as it would be written; `None`: it depends, see the help.
    pub default: Option<&'static str>,
    /// What it is for.
    pub help: &'static str,
}

/// What a key takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyKind {
    /// A number of cores, `max` or a percentage.
    Cores,
    /// A size or a percentage.
    Memory,
    /// A time, perhaps `unlimited`.
    Time,
    /// A time that ends.
    Duration,
    /// A whole number up to this.
    Count(u64),
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A name.
    Name,
    /// `true` or `false`.
    Bool,
    /// A number of seconds, perhaps with decimals, or a time that ends.
    Interval,
    /// A size.
    Size,
    /// The path of a file or directory, from the root.
    Path,
    /// Commands of a shell, or one.
    Commands,
    /// Directives without the scheduler's prefix, or one.
    Directives,
    /// Options of the catalogue by name.
    Options,
    /// Paths of commands by their plain names.
    Paths,
    /// Variables by name.
    Variables,
    /// Partitions by name.
    Partitions,
    /// Systems by name.
    Systems,
}

pub(super) const fn key(
    name: &'static str,
    kind: KeyKind,
    default: Option<&'static str>,
    help: &'static str,
) -> Key {
    Key { name, kind, default, help }
}

/// All keys.
pub const KEYS: &[Key] = &[
    key(
        "systems",
        KeyKind::Systems,
        None,
        "Places to run: a name, its `scheduler`, and what else that needs.",
    ),
    key("default_system", KeyKind::Name, None, "The system that is taken where none is named."),
    key(
        "require_cluster",
        KeyKind::Bool,
        Some("false"),
        "Where no system is named and no scheduler answers, fail instead of taking `local`.",
    ),
    key(
        "submit_retries",
        KeyKind::Count(1000),
        Some("5"),
        "A submission that failed for a passing reason is tried again so often.",
    ),
    key(
        "uncertain_limit",
        KeyKind::Time,
        Some("45m"),
        "A job that stays suspended, stopped or in an unknown state for so long ends a `wait`.",
    ),
    key(
        "file_wait",
        KeyKind::Duration,
        Some("30s"),
        "How long outputs are waited for that a network file system does not show yet.",
    ),
    key("local.cores", KeyKind::Cores, Some("max"), "Cores that the local queue hands out."),
    key("local.memory", KeyKind::Memory, Some("100%"), "Memory that the local queue hands out."),
    key("local.idle_exit", KeyKind::Time, Some("10m"), "The local runner ends after so long without a job."),
    key("local.grace", KeyKind::Duration, Some("10s"), "Time between TERM and KILL."),
    key(
        "lost_after",
        KeyKind::Time,
        None,
        "A job absent everywhere for so long is lost; 120 s, and 600 s on a system without accounting.",
    ),
    key(
        "gate_wait",
        KeyKind::Duration,
        None,
        "A job waits so long for the end record of one it depends on; 5 s, and 90 s on a network file system.",
    ),
    key(
        "limits.max_jobs_per_batch",
        KeyKind::Count(u32::MAX as u64),
        Some("10000000"),
        "Larger batches are refused.",
    ),
    key(
        "nesting",
        KeyKind::Choice(&["allow", "serial", "refuse"]),
        Some("allow"),
        "What submitting from inside a job does: queue the jobs, run them one by one in place, or fail.",
    ),
    key(
        "nesting_depth",
        KeyKind::Count(1000),
        Some("8"),
        "Jobs that submit jobs that submit …: at most so deep.",
    ),
];

impl KeyKind {
    /// What is accepted, for help and messages.
    pub fn expected(self) -> String {
        match self {
            Self::Cores => CoreAmount::EXPECTED.to_owned(),
            Self::Memory => MemAmount::EXPECTED.to_owned(),
            Self::Time => Walltime::EXPECTED.to_owned(),
            Self::Duration => {
                "seconds (90), HH:MM:SS or a time with units (90s 90m 1.5h), not `unlimited`".to_owned()
            }
            Self::Count(max) => format!("a whole number from 0 to {max}"),
            Self::Choice(words) => words.join(", "),
            Self::Name => "a name".to_owned(),
            Self::Bool => "true or false".to_owned(),
            Self::Interval => "seconds (90, 0.5), HH:MM:SS or a time with units, not `unlimited`".to_owned(),
            Self::Size => MemSize::EXPECTED.to_owned(),
            Self::Path => "a path from the root (/…)".to_owned(),
            Self::Commands => "a command of a shell, or a list of such".to_owned(),
            Self::Directives => "a directive without its prefix (--exclusive), or a list of such".to_owned(),
            Self::Options => "options by name, as `cluster submit` takes them".to_owned(),
            Self::Paths => "commands by name, each with its path".to_owned(),
            Self::Variables => "variables by name, each with its value".to_owned(),
            Self::Partitions => "partitions by name, each with its limits".to_owned(),
            Self::Systems => "names of systems, each with its `scheduler`".to_owned(),
        }
    }

    /// Is this a value of a key with one value?
    pub(crate) fn accepts(self, node: &Node) -> bool {
        if let (Self::Commands | Self::Directives, Some(items)) = (self, node.as_list()) {
            return items.iter().all(|item| item.as_list().is_none() && self.accepts(item));
        }
        let Some(text) = node.as_text() else { return false };
        match self {
            Self::Cores => text.parse::<CoreAmount>().is_ok(),
            Self::Memory => text.parse::<MemAmount>().is_ok(),
            Self::Time => text.parse::<Walltime>().is_ok(),
            Self::Duration => text.parse::<Walltime>().is_ok_and(|time| !time.is_unlimited()),
            Self::Count(max) => text.parse::<u64>().is_ok_and(|n| n <= max),
            Self::Choice(words) => words.contains(&text),
            Self::Name => !text.trim().is_empty() && !text.chars().any(char::is_control),
            Self::Bool => node.as_bool().is_some(),
            Self::Interval => interval(text).is_some(),
            Self::Size => text.parse::<MemSize>().is_ok(),
            Self::Path => text.starts_with('/') && !text.chars().any(char::is_control),
            Self::Commands => !text.trim().is_empty() && !text.contains('\0'),
            Self::Directives => !text.trim().is_empty() && !text.chars().any(char::is_control),
            Self::Options | Self::Paths | Self::Variables | Self::Partitions | Self::Systems => false,
        }
    }
}

/// Seconds with decimals, or a time that ends.
pub(super) fn interval(text: &str) -> Option<Duration> {
    let plain = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    match text.parse::<f64>() {
        Ok(seconds) if plain => Duration::try_from_secs_f64(seconds).ok(),
        _ => text.parse::<Walltime>().ok().and_then(Walltime::as_duration),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_accepted_by_its_own_key() {
        for key in KEYS {
            if let Some(default) = key.default {
                let written = crate::yaml::Document::parse(default.as_bytes()).unwrap();
                assert!(key.kind.accepts(written.root()), "{}", key.name);
            }
        }
    }
}
