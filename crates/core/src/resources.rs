//! What a job asks for.

use serde::{Deserialize, Serialize};

use crate::mem_size::MemSize;
use crate::walltime::Walltime;

/// The request of one job: `nodes` machines, `tasks` processes over all of them, `cores` for each task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Resources {
    /// Machines.
    pub nodes: u32,
    /// Tasks over all nodes.
    pub tasks: u32,
    /// Cores of each task.
    pub cores: u32,
    /// Memory of the whole job; `None` asks for none in particular.
    pub mem: Option<MemSize>,
    /// Time limit; `None` leaves it to the system.
    pub time: Option<Walltime>,
    /// GPUs of the whole job.
    pub gpus: u32,
    /// Partition (PBS, SGE: queue).
    pub partition: Option<String>,
    /// Account to charge.
    pub account: Option<String>,
}

impl Default for Resources {
    fn default() -> Self {
        Self { nodes: 1, tasks: 1, cores: 1, mem: None, time: None, gpus: 0, partition: None, account: None }
    }
}

impl Resources {
    /// Cores of the whole job.
    pub fn total_cores(&self) -> u32 {
        self.tasks.saturating_mul(self.cores)
    }

    /// What a job is told of its size, as names and values of its environment.
    pub fn job_environment(&self) -> [(&'static str, u32); 6] {
        let per_node = |n: u32| n.div_ceil(self.nodes.max(1));
        [
            ("CLUSTER_NNODES", self.nodes),
            ("CLUSTER_TOT_NCORES", self.total_cores()),
            ("CLUSTER_TOT_NTASKS", self.tasks),
            ("CLUSTER_NCORES_PER_NODE", per_node(self.total_cores())),
            ("CLUSTER_NTASKS_PER_NODE", per_node(self.tasks)),
            ("CLUSTER_NCORES_PER_TASK", self.cores),
        ]
    }
}
