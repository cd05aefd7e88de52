//! Slurm's commands.

use crate::config::Config;
use crate::engine::{Job, Launch, Table};
use crate::front::{Call, FrontEnd};

/// Slurm.
pub struct Slurm;

impl FrontEnd for Slurm {
    fn name(&self) -> &'static str {
        "slurm"
    }

    fn commands(&self) -> &'static [&'static str] {
        &["sbatch"]
    }

    fn defaults(&self) -> Config {
        Config::default()
    }

    fn run(&self, call: &mut Call<'_>) -> i32 {
        let _ = call;
        1
    }

    fn launch(&self, table: &Table, job: &Job) -> Launch {
        let _ = (table, job);
        Launch::default()
    }
}
