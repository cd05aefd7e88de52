//! What is known of a scheduler itself.

use serde::Serialize;

use crate::mem_size::MemSize;
use crate::walltime::Walltime;

/// A scheduler and its limits, as far as one answer, or several put together, tell them.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Site {
    /// Its version, as it prints it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The server, or the cluster's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// Whether its controller answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub up: Option<bool>,
    /// The most elements of an array that we number from the first task on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_array: Option<u32>,
    /// Whether ended jobs can be asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accounting: Option<bool>,
    /// Whether too large a request is refused when it is submitted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refuses_over_limit: Option<bool>,
    /// Parallel environments (SGE).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parallel_environments: Vec<String>,
    /// Its nodes that belong to no partition in particular (PBS): they serve all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nodes: Option<u32>,
    /// The cores of these nodes together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cores: Option<u32>,
    /// The most cores of one of these nodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cores_per_node: Option<u32>,
    /// The most memory of one of these nodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mem_per_node: Option<MemSize>,
    /// Its partitions or queues.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub partitions: Vec<Partition>,
}

/// One partition or queue. A limit that is `None` is not known or not there.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Partition {
    /// Its name.
    pub name: String,
    /// Whether it is taken where none is named.
    pub is_default: bool,
    /// Whether it starts jobs.
    pub up: Option<bool>,
    /// The longest time limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_time: Option<Walltime>,
    /// The time limit of jobs that ask for none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_time: Option<Walltime>,
    /// The most nodes of a job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_nodes: Option<u32>,
    /// The most memory of a job on a node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_mem_per_node: Option<MemSize>,
    /// Its nodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nodes: Option<u32>,
    /// Its cores (SGE: slots), over all nodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cores: Option<u32>,
    /// The most cores of one of its nodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cores_per_node: Option<u32>,
    /// The most memory of one of its nodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mem_per_node: Option<MemSize>,
}

impl Site {
    /// Puts together what two answers tell: what is known here stays, what is missing is filled in, also
    /// within partitions of the same name.
    pub fn merge(&mut self, other: Self) {
        let Self { version, server, up, max_array, accounting, refuses_over_limit, .. } = other;
        fill(&mut self.version, version);
        fill(&mut self.server, server);
        fill(&mut self.up, up);
        fill(&mut self.max_array, max_array);
        fill(&mut self.accounting, accounting);
        fill(&mut self.refuses_over_limit, refuses_over_limit);
        fill(&mut self.nodes, other.nodes);
        fill(&mut self.cores, other.cores);
        fill(&mut self.cores_per_node, other.cores_per_node);
        fill(&mut self.mem_per_node, other.mem_per_node);
        for name in other.parallel_environments {
            if !self.parallel_environments.contains(&name) {
                self.parallel_environments.push(name);
            }
        }
        for partition in other.partitions {
            match self.partitions.iter_mut().find(|known| known.name == partition.name) {
                Some(known) => known.merge(partition),
                None => self.partitions.push(partition),
            }
        }
    }
}

impl Partition {
    fn merge(&mut self, other: Self) {
        self.is_default |= other.is_default;
        fill(&mut self.up, other.up);
        fill(&mut self.max_time, other.max_time);
        fill(&mut self.default_time, other.default_time);
        fill(&mut self.max_nodes, other.max_nodes);
        fill(&mut self.max_mem_per_node, other.max_mem_per_node);
        fill(&mut self.nodes, other.nodes);
        fill(&mut self.cores, other.cores);
        fill(&mut self.cores_per_node, other.cores_per_node);
        fill(&mut self.mem_per_node, other.mem_per_node);
    }
}

fn fill<T>(known: &mut Option<T>, new: Option<T>) {
    if known.is_none() {
        *known = new;
    }
}
