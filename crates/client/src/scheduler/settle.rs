//! Submissions that were left open: cut off, in doubt, out of reach, or waiting for us.

use cluster_core::dialect::Control;
use cluster_core::{BatchId, Cause, IndexSet, Timestamp};
use cluster_jobsdb::{ChunkRow, JobQuery, Selection, Unstarted};

use crate::client::Client;
use crate::error::ClientError;
use crate::layout::Layout;
use crate::scheduler::depend::Resolved;
use crate::scheduler::follow::Refreshed;
use crate::scheduler::lock::SendLock;
use crate::scheduler::send::{DOUBT, HandedOver, Sending, all_cancelled, cancelled, send, what_came_of};
use crate::system::System;

impl Client {
    /// The right to send submissions of a batch; `None` where another process has it, or there are no files.
    pub(crate) fn lock(&self, batch: BatchId) -> Option<SendLock> {
        SendLock::take(&self.layout().batch(batch)).ok().flatten()
    }

    /// Brings a submission that has no id yet further, if nobody else is at it.
    pub(crate) fn settle(
        &mut self,
        system: &System,
        chunk: &ChunkRow,
        report: &mut Refreshed,
    ) -> Result<(), ClientError> {
        let batch = chunk.batch;
        let Some(_lock) = self.claim(chunk)? else { return Ok(()) };
        let chunks = self.store()?.chunks(batch)?;
        let fresh = chunks.iter().find(|one| one.k == chunk.k).cloned();
        let Some(chunk) = fresh.filter(|chunk| chunk.remote.is_none() && !chunk.over) else { return Ok(()) };
        let mut chunk = chunk;
        if chunk.tried.is_none() && all_cancelled(self.store()?, &chunk)? {
            cancelled(self.store()?, &chunk)?;
            report.changed = true;
            return Ok(());
        }
        let spec = self.spec(batch, chunk.k)?;
        let jobs = IndexSet::range(0, spec.count);
        let plan = match self.plan_looking(system, &spec, &jobs, chunk.tried.is_none()) {
            Ok(plan) => plan,
            // What it waits for is not there any more, or not as it was: nobody can tell when it may run.
            Err(ClientError::Usage(why)) => return self.settle_without_plan(system, &chunk, &why, report),
            Err(error) => return Err(error),
        };
        let handed = HandedOver::of(&chunk);
        if chunk.tried.is_none() {
            // Nothing of it has got through: what it waits for may have come to its end meanwhile.
            match &plan.resolved {
                Resolved::Later(_) => return Ok(()),
                Resolved::Never(why) => return self.never(&chunk, why, report),
                // What is left to wait for is on this system by now: the scheduler and the gate see to it.
                Resolved::Ready(_) => {
                    if let Err(why) = plan.check_cut(&chunk.jobs) {
                        return self.never(&chunk, why, report);
                    }
                    let after = plan.dependencies(&chunk.jobs);
                    chunk.depends = HandedOver { after, later: false, ..handed }.to_text();
                }
            }
        }
        self.make_files(system, &chunks, &spec, &plan)?;
        if chunk.tried.is_none() {
            // Never sent, so it may be written anew: with the gate for what is left.
            let written = match HandedOver::of(&chunk).kept {
                true => self.kept_script(&chunk).map(Some),
                false => Ok(None),
            }
            .and_then(|kept| self.write_submission(system, &chunk, &spec, &plan, kept.as_deref()));
            written.map_err(|e| ClientError::file("write to", self.layout().batch(batch), e))?;
        }
        let now = Timestamp::now();
        self.store()?.set_unstarted(batch, Some(&chunk.jobs), &Unstarted::Submitting, now)?;
        let layout = self.layout().clone();
        let sending = send(self.store()?, &layout, system, &chunk, &spec, 0, &mut |_| ())?;
        self.settled(system, &chunk, sending, report)
    }

    /// One that cannot be planned any more. It may have got through before.
    fn settle_without_plan(
        &mut self,
        system: &System,
        chunk: &ChunkRow,
        why: &str,
        report: &mut Refreshed,
    ) -> Result<(), ClientError> {
        let layout = self.layout().clone();
        let came = match chunk.tried {
            Some(_) => what_came_of(self.store()?, &layout, system, chunk)?,
            None => None,
        };
        match came {
            Some(sending) => self.settled(system, chunk, sending, report),
            None => self.never(chunk, why, report),
        }
    }

    /// The script of a submission that keeps an earlier one: its own, or where that was not written yet, the last
    /// before it.
    fn kept_script(&self, chunk: &ChunkRow) -> std::io::Result<Vec<u8>> {
        let scripts = (0..=chunk.k).rev().map(|k| self.layout().script(chunk.batch, k));
        let script = scripts.into_iter().find(|path| path.exists());
        std::fs::read(script.unwrap_or_else(|| self.layout().script(chunk.batch, chunk.k)))
    }

    fn settled(
        &mut self,
        system: &System,
        chunk: &ChunkRow,
        sending: Sending,
        report: &mut Refreshed,
    ) -> Result<(), ClientError> {
        let batch = chunk.batch;
        report.changed |=
            !matches!(sending, Sending::Later(_) | Sending::OutOfReach(_) | Sending::Uncertain(_));
        match sending {
            Sending::Accepted(id) => {
                report
                    .told
                    .push((Some(chunk.batch), format!("batch {batch} is job {id} of {}", system.name())));
                self.cancel_late(system, chunk)?;
            }
            Sending::Refused(error) => {
                report.told.push((Some(chunk.batch), format!("batch {batch}: {error}")));
            }
            // The queue was asked a moment ago, and answered: it is about this one alone.
            Sending::OutOfReach(error) => {
                report.told.push((
                    Some(chunk.batch),
                    format!("batch {batch} cannot be sent yet: {}", error.brief()),
                ));
            }
            Sending::Uncertain(why) => report.told.push((Some(chunk.batch), format!("batch {batch}: {why}"))),
            Sending::Later(_) | Sending::Never(_) => {}
        }
        Ok(())
    }

    fn never(&mut self, chunk: &ChunkRow, why: &str, report: &mut Refreshed) -> Result<(), ClientError> {
        let cause = Cause::DependencyNeverSatisfied;
        self.store()?.mark_refused(chunk.batch, chunk.k, cause, why, Timestamp::now())?;
        report.told.push((Some(chunk.batch), format!("batch {} will not run: {why}", chunk.batch)));
        report.changed = true;
        Ok(())
    }

    /// The lock of a batch, whose files may not have got their name yet.
    fn claim(&mut self, chunk: &ChunkRow) -> Result<Option<SendLock>, ClientError> {
        let (dir, stage) = (self.layout().batch(chunk.batch), first_stage(self.layout(), chunk));
        let dir = if dir.is_dir() { dir } else { stage };
        match SendLock::take(&dir) {
            Ok(lock) => Ok(lock),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                // Between the record and the files there is an instant, but no more.
                if chunk.tried.is_none() && Timestamp::now().since(chunk.created) > DOUBT {
                    let why = "its files are gone: submit it anew";
                    let now = Timestamp::now();
                    self.store()?.mark_refused(chunk.batch, chunk.k, Cause::SubmitRefused, why, now)?;
                }
                Ok(None)
            }
            Err(error) => Err(ClientError::file("lock", dir, error)),
        }
    }

    /// A request that came while nobody knew whether there was anything to cancel.
    pub(crate) fn cancel_late(&mut self, system: &System, chunk: &ChunkRow) -> Result<(), ClientError> {
        if self.store()?.is_untouched(chunk.batch)? {
            return Ok(());
        }
        let query = JobQuery { jobs: Some(chunk.jobs.clone()), limit: u32::MAX, ..JobQuery::default() };
        let jobs = self.store()?.jobs(chunk.batch, &query)?;
        let asked: IndexSet =
            jobs.iter().filter(|job| job.cancel_requested.is_some()).map(|job| job.id.index).collect();
        if asked.is_empty() {
            return Ok(());
        }
        self.control(system, Control::Cancel, &[Selection { batch: chunk.batch, jobs: Some(asked) }])
            .map(drop)
    }
}

/// Where the files of a batch lie before it has its name: under the tag of its first submission.
fn first_stage(layout: &Layout, chunk: &ChunkRow) -> std::path::PathBuf {
    layout.stage(&chunk.tag)
}
