//! Cancel, hold, release.

use std::time::Duration;

use cluster_core::dialect::{Control, ControlTarget, RefusalKind, Whose};
use cluster_core::{BatchId, IndexSet, JobState, Timestamp};
use cluster_jobsdb::{ChunkRow, Cut, NewSubmission, Selection, Unstarted};

use crate::client::{Client, draw_tag};
use crate::error::ClientError;
use crate::local::write_new;
use crate::scheduler::follow::{Refresh, Refreshed};
use crate::scheduler::positions::positions_of;
use crate::scheduler::send::{HandedOver, UNSENT, cancelled, never_arrived};
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
    /// Where the scheduler refuses or is out of reach. A request to cancel that reached nobody is forgotten then:
    /// whoever wants it asks again.
    pub(crate) fn control(
        &mut self,
        system: &System,
        control: Control,
        selected: &[Selection],
    ) -> Result<u64, ClientError> {
        for selection in selected {
            self.settle_doubts(system, selection.batch)?;
        }
        if control != Control::Cancel {
            // What has started meanwhile is neither held nor released, and what others held can be released.
            let batches: Vec<BatchId> = selected.iter().map(|selection| selection.batch).collect();
            let max_age = Duration::ZERO;
            self.refresh(Refresh { batches: Some(&batches), max_age, insist: true })?;
        }
        let now = Timestamp::now();
        let (mut count, mut targets, mut sent) = (0, Vec::new(), Vec::new());
        for selection in selected {
            let batch = selection.batch;
            let mut left = self.store()?.indices_in(batch, states(control))?;
            if let Some(jobs) = &selection.jobs {
                left = left.intersection(jobs);
            }
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
                count += here.len();
                match &chunk.remote {
                    None => self.control_unsent(chunk, control, &here)?,
                    Some(id) => {
                        let live = self.store()?.indices_in(batch, &LIVE)?.intersection(&chunk.jobs);
                        let part = chunk.array && !live.difference(&here).is_empty();
                        let positions = part.then(|| positions_of(&chunk.jobs, &here));
                        targets.push(ControlTarget { id: id.clone(), positions, seen: false });
                        sent.push((batch, here));
                    }
                }
            }
        }
        if targets.is_empty() {
            return Ok(count);
        }
        self.mark_seen(system, &mut targets);
        let (mut trouble, mut reached) = (None, false);
        for invocation in system.dialect().control(control, &targets) {
            let output = system.run(&invocation);
            match output.and_then(|output| system.read(&invocation, &output).map(drop)) {
                Ok(()) => reached = true,
                // Over, or gone already: there is nothing to do.
                Err(error) if error.refusal() == Some(RefusalKind::UnknownJob) => {}
                // The other calls are made all the same. One that we killed may have got through.
                Err(error) => {
                    reached |= error.is_doubt() && !never_arrived(&error);
                    trouble.get_or_insert(error);
                }
            }
        }
        if let Some(error) = trouble {
            if control == Control::Cancel && !reached {
                // What reached nobody is no reason for anything.
                for (batch, _) in &sent {
                    self.store()?.withdraw_cancel(*batch, now)?;
                }
            }
            return Err(ClientError::System(error));
        }
        let to = match control {
            Control::Cancel => return Ok(count),
            Control::Hold => Unstarted::Held,
            Control::Release => Unstarted::Released,
        };
        for (batch, here) in sent {
            self.store()?.set_unstarted(batch, Some(&here), &to, now)?;
        }
        Ok(count)
    }

    /// What may have got through is looked for first: only then it is known to whom to say it.
    fn settle_doubts(&mut self, system: &System, batch: BatchId) -> Result<(), ClientError> {
        let chunks = self.store()?.chunks(batch)?;
        for chunk in chunks.iter().filter(|one| one.remote.is_none() && !one.over && one.tried.is_some()) {
            self.settle(system, chunk, &mut Refreshed::default())?;
        }
        Ok(())
    }

    /// Jobs that no scheduler knows yet. A process that is sending them just now finds the request to cancel
    /// when it is done; what is held or released is what goes out.
    fn control_unsent(
        &mut self,
        chunk: &ChunkRow,
        control: Control,
        here: &IndexSet,
    ) -> Result<(), ClientError> {
        let Some(_lock) = self.lock(chunk.batch) else {
            if control == Control::Cancel {
                return Ok(());
            }
            return Err(ClientError::Usage(format!(
                "batch {} is being sent just now: try again in a moment",
                chunk.batch
            )));
        };
        // It may have been sent before the lock was ours. Whoever sent it has seen the request to cancel.
        let chunks = self.store()?.chunks(chunk.batch)?;
        let Some(chunk) = chunks.iter().find(|one| one.k == chunk.k && one.remote.is_none() && !one.over)
        else {
            return match control {
                Control::Cancel => Ok(()),
                _ => Err(ClientError::Usage(format!(
                    "batch {} was sent just now: try again in a moment",
                    chunk.batch
                ))),
            };
        };
        let all = self.store()?.indices_in(chunk.batch, &LIVE)?.intersection(&chunk.jobs);
        let whole = all.difference(here).is_empty();
        let now = Timestamp::now();
        if control == Control::Cancel {
            // Of one that may have got through they are cancelled when that is known.
            return match chunk.tried {
                None if whole => cancelled(self.store()?, chunk).map(drop),
                None => self.cut(chunk, &chunks, here, &all.difference(here)),
                Some(_) => Ok(()),
            };
        }
        if !whole {
            return Err(ClientError::Usage(format!(
                "batch {} has not been sent yet: hold or release it as a whole, or wait until it was sent",
                chunk.batch
            )));
        }
        let hold = control == Control::Hold;
        let text = HandedOver { hold, ..HandedOver::of(chunk) }.to_text();
        self.store()?.set_depends(chunk.batch, chunk.k, text.as_deref())?;
        let to = if hold { Unstarted::Held } else { Unstarted::Created };
        self.store()?.set_unstarted(chunk.batch, Some(here), &to, now).map(drop)?;
        Ok(())
    }

    /// Ends some jobs of an array that was not sent; what is left goes out as an array of its own. The caller holds the
    /// lock of the batch, whose `chunks` these are.
    fn cut(
        &mut self,
        chunk: &ChunkRow,
        chunks: &[ChunkRow],
        cancelled: &IndexSet,
        rest: &IndexSet,
    ) -> Result<(), ClientError> {
        let batch = chunk.batch;
        let tag = draw_tag().map_err(|e| ClientError::file("read", "/dev/urandom", e))?;
        // Before it is recorded: a retry has a spec of its own. The script is written when it is sent.
        let spec = self.spec(batch, chunk.k)?;
        let path = self.layout().spec(batch, chunks.last().map_or(0, |last| last.k) + 1);
        let written = serde_json::to_vec(&spec).map_err(Into::into).and_then(|text| write_new(&path, &text));
        written.map_err(|e| ClientError::file("write", &path, e))?;
        let held = !self.store()?.indices_in(batch, &[JobState::Held])?.intersection(rest).is_empty();
        let mut handed = HandedOver::of(chunk);
        // It goes to the end of a chain that keeps `--max-running`.
        handed.follows |= chunks.iter().any(|one| one.k != chunk.k && HandedOver::of(one).follows);
        let state = match handed.later {
            _ if held => JobState::Held,
            true => JobState::Created,
            false => JobState::Submitting,
        };
        let new = NewSubmission {
            array: rest.len() > 1,
            throttle: chunk.throttle,
            // What it waits for is looked at anew before it is sent.
            depends: handed.to_text(),
            ..NewSubmission::new(tag, rest.clone())
        };
        let cut = Cut { cancelled, reason: UNSENT, rest: &new, state };
        self.store()?.cut_chunk(batch, chunk.k, &cut, Timestamp::now())?;
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
