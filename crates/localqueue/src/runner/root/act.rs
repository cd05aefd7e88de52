//! What users and other hosts ask of jobs.

use std::sync::PoisonError;
use std::time::Instant;

use cluster_core::{BatchId, Cause, IndexSet};

use super::thread::Thread;
use crate::queue::Happened;
use crate::runner::protocol::{Action, Refusal, RefusalKind, Target};
use crate::runner::store::{Asked, Change, StoreFailure};

impl Thread {
    pub(super) fn act(&mut self, action: &Action, targets: Vec<Target>) -> Result<u64, Refusal> {
        // With a store that takes nothing the queue is left as it is: what is told is what is so.
        self.commit();
        if self.retry.is_some() {
            let why = self.root.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone();
            return Err(store_refusal(StoreFailure(why.unwrap_or_else(|| "the store fails".to_owned()))));
        }
        let mut changed = Ok(0);
        let batches = targets.iter().map(|(batch, _)| *batch).collect();
        for (batch, jobs) in targets {
            let done = self.act_on(action, batch, jobs.as_ref()).map_err(store_refusal);
            changed = changed.and_then(|sum| done.map(|count| sum + count));
        }
        self.tell(batches);
        changed
    }

    /// First the queue, then the store: what the store says next must not be overtaken by a start.
    fn act_on(
        &mut self,
        action: &Action,
        batch: BatchId,
        jobs: Option<&IndexSet>,
    ) -> Result<u64, StoreFailure> {
        let key = (self.id, batch);
        match action {
            Action::Hold => {
                let held = self.engine.hold(key, jobs);
                self.change(batch, jobs, &held, &Change::Hold)
            }
            Action::Release => {
                let released = self.engine.release(key, jobs);
                self.change(batch, jobs, &released, &Change::Release)
            }
            Action::Priority(priority) => {
                let changed = self.engine.set_priority(key, jobs, *priority);
                self.change(batch, jobs, &changed, &Change::Priority(*priority))
            }
            Action::Cancel(signal) => {
                let (unstarted, asked) = self.engine.cancel(key, jobs, *signal);
                self.commit();
                let changed = self.change(batch, jobs, &unstarted, &Change::End(Cause::Cancelled))?;
                self.engine.happened(key, &unstarted, Happened::Failed);
                if !asked.is_empty() {
                    self.store.change(batch, Some(&asked), &Change::CancelRequested)?;
                }
                Ok(changed + asked.len())
            }
        }
    }

    /// `affected` are the jobs that the queue had. Where the whole batch was meant the store does it in one
    /// row, as ever many there are; a job that runs and has no row yet gets its own by its end.
    fn change(
        &mut self,
        batch: BatchId,
        meant: Option<&IndexSet>,
        affected: &IndexSet,
        change: &Change,
    ) -> Result<u64, StoreFailure> {
        if affected.is_empty() {
            return Ok(0);
        }
        let jobs = if meant.is_none() { None } else { Some(affected) };
        if let Err(failure) = self.store.change(batch, jobs, change) {
            // The queue has done it: the store follows as soon as it can.
            self.pending.push((batch, jobs.cloned(), change.clone()));
            self.trouble(failure.0.clone());
            return Err(failure);
        }
        Ok(affected.len())
    }

    pub(super) fn intake(&mut self) {
        self.listed = Instant::now();
        let asked = match self.store.intake() {
            Ok(asked) => asked,
            Err(failure) => return tracing::warn!("events of {}: {failure}", self.root.path.display()),
        };
        for Asked { batch, jobs, signal, file } in asked {
            tracing::info!("the end of jobs of batch {batch} is asked for by {}", file.display());
            // Refused by a store that fails now, it stays and is obeyed later.
            match self.act(&Action::Cancel(signal), vec![(batch, jobs)]) {
                Ok(_) => drop(std::fs::remove_file(&file)),
                Err(refusal) => tracing::warn!("{}: {}", file.display(), refusal.message),
            }
        }
    }

    /// When `events/new` is to be listed: where other hosts write to it, as long as there is something they
    /// could ask of us.
    pub(super) fn next_listing(&self) -> Option<Instant> {
        (self.store.is_shared() && self.engine.has_root_work(self.id)).then(|| self.listed + self.listing)
    }
}

fn store_refusal(failure: StoreFailure) -> Refusal {
    Refusal { kind: RefusalKind::Store, message: failure.0 }
}
