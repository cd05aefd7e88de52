//! What keeps the local queue from taking a batch, or its jobs from ever starting.

use cluster_core::JobSpec;
use cluster_localqueue::capacity::Amount;
use cluster_localqueue::runner::too_large;

use crate::client::{Client, LOCAL};
use crate::error::ClientError;
use crate::local::resolved;
use crate::scheduler::never;

impl Client {
    /// What keeps the local queue from taking a batch, as far as that is known without it: jobs that are too large
    /// for `capacity`, or wait for what is not there.
    ///
    /// # Errors
    /// The refusal, or a store that cannot be read.
    pub fn check(&mut self, spec: &JobSpec, capacity: Amount) -> Result<(), ClientError> {
        if let Some(refusal) = too_large(spec, capacity) {
            return Err(ClientError::Refused(refusal));
        }
        if spec.dependencies.is_empty() {
            return Ok(());
        }
        self.refuse_waiting_elsewhere(spec)?;
        resolved(self.store()?, spec).map(drop).map_err(ClientError::Refused)
    }

    /// Why a batch that is submitted now could never run: what it waits for has ended otherwise.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn why_never(&mut self, spec: &JobSpec) -> Result<Option<String>, ClientError> {
        if spec.dependencies.is_empty() { Ok(None) } else { never(self.store()?, spec) }
    }

    /// The runner hears of its own jobs alone: one that waits for a scheduler's would wait for ever.
    pub(crate) fn refuse_waiting_elsewhere(&mut self, spec: &JobSpec) -> Result<(), ClientError> {
        for dependency in &spec.dependencies {
            let Some(batch) = self.store()?.batch(dependency.batch)? else { continue };
            if batch.scheduler != LOCAL && !batch.is_finished() {
                return Err(ClientError::Usage(format!(
                    "{dependency}: batch {0} is on {1} and has not ended, and jobs of the local queue can only wait for \
                     each other: submit with --system {1}, or after `cluster wait {0}`",
                    batch.id, batch.system
                )));
            }
        }
        Ok(())
    }
}
