//! What a retry makes of the options: it may change what jobs ask for, not what they are.

use cluster_core::{BatchId, JobSpec, Walltime};
use cluster_jobsdb::BatchRow;

use super::SpecArgs;
use crate::after;
use crate::commands::hand_over::Target;
use crate::context::Context;
use crate::exit::usage;

impl SpecArgs {
    /// Refuses what a retry cannot change.
    pub(crate) fn refuse_fixed(&self) -> anyhow::Result<()> {
        let fixed = [
            ("--name", self.name.is_some()),
            ("--chdir", self.chdir.is_some()),
            ("--export", self.export.is_some()),
            ("--output", self.output.is_some()),
            ("--meta", !self.meta.is_empty()),
        ];
        match fixed.iter().find(|(_, asked)| *asked) {
            None => Ok(()),
            Some((name, _)) => {
                Err(usage(format!("{name} cannot be changed by a retry: submit the jobs anew with it")))
            }
        }
    }

    /// Refuses to move a batch to another system.
    pub(crate) fn refuse_moving(&self, row: &BatchRow) -> anyhow::Result<()> {
        match &self.system {
            Some(name) if *name != row.system && *name != row.scheduler => Err(usage(format!(
                "--system {name}: batch {} is on {}, and a retry stays there: submit the jobs anew to go elsewhere",
                row.id, row.system
            ))),
            _ => Ok(()),
        }
    }

    /// Changes what a retry of `batch` asks for; false where nothing is asked to change.
    pub(crate) fn change(
        &self,
        context: &mut Context,
        target: &Target,
        batch: BatchId,
        spec: &mut JobSpec,
    ) -> anyhow::Result<bool> {
        let before = spec.clone();
        spec.resources = self.resources(context, target, Some(&before.resources))?;
        spec.priority = self.priority.unwrap_or(spec.priority);
        spec.max_running = self.max_running.or(spec.max_running);
        spec.durable |= self.durable;
        spec.pin |= self.pin;
        if let Some(grace) = self.grace.and_then(Walltime::as_secs) {
            spec.grace_ms = grace * 1000;
        }
        if !self.after.is_empty() {
            (spec.dependencies, spec.foreign) = after::resolve(context, &self.after, Some(batch))?;
        }
        Ok(*spec != before)
    }

    /// Whether nothing is to be sent.
    pub(crate) fn is_dry_run(&self) -> bool {
        self.dry_run
    }
}
