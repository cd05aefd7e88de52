//! Jobs that are sent again must not wait for themselves, be it through others.

use std::collections::HashMap;

use cluster_core::{BatchId, IndexSet, JobSpec, JobState};

use crate::client::Client;
use crate::error::ClientError;

/// What waits for others. What runs or has ended does not.
const WAITING: [JobState; 4] = [JobState::Created, JobState::Submitting, JobState::Queued, JobState::Held];

impl Client {
    /// Refuses to send `jobs` of a batch again by a spec that has them wait for themselves, directly or through
    /// jobs that wait for them.
    ///
    /// # Errors
    /// The refusal, or a store that cannot be read.
    pub fn refuse_waiting_for_itself(
        &mut self,
        batch: BatchId,
        jobs: &IndexSet,
        spec: &JobSpec,
    ) -> Result<(), ClientError> {
        // What is still to be looked at, with the batch through which we came to it.
        let mut ahead = waited_for(spec, None);
        let mut seen: HashMap<BatchId, IndexSet> = HashMap::new();
        while let Some((other, on, through)) = ahead.pop() {
            if other == batch && !on.intersection(jobs).is_empty() {
                let through = through.map_or_else(String::new, |through| format!(" through batch {through}"));
                let on = on.intersection(jobs);
                return Err(ClientError::Usage(format!(
                    "jobs {on} of batch {batch} would wait for themselves{through}, and never start: have them wait \
                     for others by --after, or for nothing by --no-after"
                )));
            }
            let known = seen.entry(other).or_default();
            let new = on.difference(known);
            *known = known.union(&new);
            if new.is_empty() || self.store()?.batch(other)?.is_none() {
                continue;
            }
            let waiting = self.store()?.indices_in(other, &WAITING)?.intersection(&new);
            if waiting.is_empty() {
                continue;
            }
            for submission in self.store()?.submissions(other)? {
                let sent = submission.jobs.unwrap_or_else(|| waiting.clone());
                if !sent.intersection(&waiting).is_empty() {
                    let spec = self.spec(other, submission.k)?;
                    ahead.extend(waited_for(&spec, Some(other)));
                }
            }
        }
        Ok(())
    }
}

/// The jobs that jobs with this spec wait for, and the batch that they are in.
fn waited_for(spec: &JobSpec, through: Option<BatchId>) -> Vec<(BatchId, IndexSet, Option<BatchId>)> {
    let all = || IndexSet::range(0, u32::MAX);
    spec.dependencies.iter().map(|one| (one.batch, one.jobs.clone().unwrap_or_else(all), through)).collect()
}
