//! Cancel, hold, release.

use cluster_core::dialect::{Control, ControlTarget, RefusalKind, Whose};
use cluster_core::{JobState, Timestamp};
use cluster_jobsdb::{ChunkRow, Selection, Unstarted};

use crate::client::Client;
use crate::error::ClientError;
use crate::scheduler::positions::positions_of;
use crate::system::System;
use crate::watch::LIVE;

/// The states of jobs to which it can be done: what has started is neither held nor released.
fn states(control: Control) -> &'static [JobState] {
    match control {
        Control::Cancel => &LIVE,
        Control::Hold => &[JobState::Created, JobState::Submitting, JobState::Queued],
        Control::Release => &[JobState::Held],
    }
}

impl Client {
    /// Does something to jobs of one system, in as few calls as it takes. How many it is about.
    ///
    /// # Errors
    /// Where the scheduler refuses or is out of reach; a request to cancel stays stored then, and is made
    /// again by whoever asks again.
    pub(crate) fn control(
        &mut self,
        system: &System,
        control: Control,
        selected: &[Selection],
    ) -> Result<u64, ClientError> {
        let now = Timestamp::now();
        let (mut count, mut targets) = (0, Vec::new());
        for selection in selected {
            let batch = selection.batch;
            let mut left = self.store()?.indices_in(batch, states(control))?;
            if let Some(jobs) = &selection.jobs {
                left = left.intersection(jobs);
            }
            count += left.len();
            if control == Control::Cancel {
                self.store()?.request_cancel(batch, selection.jobs.as_ref(), now)?;
            }
            // The newest submission of a job is the one that it is in.
            let chunks = self.store()?.chunks(batch)?;
            for chunk in chunks.iter().rev() {
                let here = chunk.jobs.intersection(&left);
                if here.is_empty() {
                    continue;
                }
                left = left.difference(&here);
                match &chunk.remote {
                    None => self.control_unsent(chunk, control, &here)?,
                    Some(id) => {
                        let live = self.store()?.indices_in(batch, &LIVE)?.intersection(&chunk.jobs);
                        let part = chunk.array && !live.difference(&here).is_empty();
                        let positions = part.then(|| positions_of(&chunk.jobs, &here));
                        targets.push(ControlTarget { id: id.clone(), positions, seen: false });
                    }
                }
            }
        }
        if targets.is_empty() {
            return Ok(count);
        }
        self.mark_seen(system, &mut targets);
        for invocation in system.dialect().control(control, &targets) {
            let output = system.run(&invocation).map_err(ClientError::System)?;
            match system.read(&invocation, &output) {
                Ok(_) => {}
                // Over, or gone already: there is nothing to do.
                Err(error) if error.refusal() == Some(RefusalKind::UnknownJob) => {}
                Err(error) => return Err(ClientError::System(error)),
            }
        }
        let to = match control {
            Control::Cancel => return Ok(count),
            Control::Hold => Unstarted::Held,
            Control::Release => Unstarted::Released,
        };
        let mut changed = 0;
        for selection in selected {
            changed += self.store()?.set_unstarted(selection.batch, selection.jobs.as_ref(), &to, now)?;
        }
        Ok(changed)
    }

    /// Jobs that no scheduler knows yet. One that may have got through is cancelled when it is found.
    fn control_unsent(
        &mut self,
        chunk: &ChunkRow,
        control: Control,
        here: &cluster_core::IndexSet,
    ) -> Result<(), ClientError> {
        if control == Control::Cancel && chunk.tried.is_none() {
            let now = Timestamp::now();
            self.store()?.set_unstarted(chunk.batch, Some(here), &Unstarted::Cancelled, now)?;
        }
        Ok(())
    }

    /// Notes which targets a query just now showed: some servers do not survive unknown ids among known ones.
    fn mark_seen(&self, system: &System, targets: &mut [ControlTarget]) {
        let user = [system.user().to_owned()];
        let since = Timestamp(Timestamp::now().0 - 5_000_000);
        let Ok(snapshot) = system.queue_now(Whose::Users(&user), since) else { return };
        let Ok(jobs) = snapshot.jobs(system) else { return };
        for target in targets {
            target.seen = jobs.rows.iter().any(|row| row.is_of(&target.id));
        }
    }
}
