//! What a job gets from its system where the command line says nothing: options of the configuration, and the
//! size of a node for what is asked for relative to it.

use std::time::Duration;

use cluster_client::ClientError;
use cluster_client::system::System;
use cluster_core::{MemSize, Walltime};
use cluster_localqueue::capacity::Amount;
use cluster_options::{CoreAmount, MemAmount, Value};
use indexmap::IndexMap;

use crate::commands::hand_over::Target;
use crate::exit::usage;

/// The options that the configuration of a system gives every job there.
pub(crate) struct Defaults<'a> {
    options: Option<&'a IndexMap<String, Value>>,
}

impl<'a> Defaults<'a> {
    pub(crate) fn of(target: &'a Target) -> Self {
        Self { options: target.system().map(|system| &system.config().options) }
    }

    fn get(&self, name: &str) -> Option<&Value> {
        self.options?.get(name)
    }

    pub(crate) fn number(&self, name: &str) -> Option<u32> {
        self.get(name)?.to_string().parse().ok()
    }

    pub(crate) fn text(&self, name: &str) -> Option<String> {
        self.get(name).map(ToString::to_string)
    }

    pub(crate) fn cores(&self) -> Option<CoreAmount> {
        self.get("cores")?.to_string().parse().ok()
    }

    pub(crate) fn mem(&self) -> Option<MemAmount> {
        match self.get("mem")? {
            Value::Memory(amount) => Some(*amount),
            _ => None,
        }
    }

    pub(crate) fn time(&self) -> Option<Walltime> {
        match self.get("time")? {
            Value::Time(time) => Some(*time),
            _ => None,
        }
    }
}

/// A node of a system, for what is asked for relative to it.
pub(crate) fn node_of(system: &System, partition: Option<&str>) -> anyhow::Result<Amount> {
    let site = system.site(Duration::from_secs(3600)).map_err(ClientError::System)?;
    let found = site.partitions.iter().find(|one| match partition {
        Some(name) => one.name == name,
        None => one.is_default,
    });
    let known = found.and_then(|one| Some((one.cores_per_node?, one.mem_per_node)));
    let Some((cores, mem)) = known else {
        return Err(usage(format!(
            "{} does not say how large its nodes are: give numbers, or `partitions` in the configuration",
            system.name()
        )));
    };
    Ok(Amount { cores, mem_mb: mem.map_or(u64::MAX, MemSize::as_mb) })
}
