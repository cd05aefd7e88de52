//! The thread of a root: it alone uses the root's store, and does one thing after another.

use std::collections::BTreeSet;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use cluster_core::{BatchId, IndexSet, SubmissionNumber};
use tokio::sync::{broadcast, oneshot};

use super::{Message, News, RunnerRoot, ending};
use crate::engine::Engine;
use crate::event::Event;
use crate::queue::{Blocker, Happened, NewWork, RootId};
use crate::runner::adopt::{self, Found};
use crate::runner::protocol::{Refusal, Resubmit, Submit};
use crate::runner::store::{Accepted, Change, RootStore, StartedJob, WorkPlan};
use crate::submission::Root;

/// See the [module](self).
pub(super) struct Thread {
    pub(super) root: Arc<RunnerRoot>,
    pub(super) id: RootId,
    pub(super) store: Box<dyn RootStore>,
    pub(super) engine: Engine,
    pub(super) news: broadcast::Sender<News>,
    pub(super) last_commit: Instant,
    /// How long after the last commit the next one is due.
    pub(super) wait: Duration,
    /// What the queue did and the store did not: it is done with the next commit that works.
    pub(super) pending: Vec<(BatchId, Option<IndexSet>, Change)>,
    /// The store or the journal failed: the next try, and how long we waited for it.
    pub(super) retry: Option<(Instant, Duration)>,
    /// When `events/new` was last looked at, and how often it is where others write to it.
    pub(super) listed: Instant,
    pub(super) listing: Duration,
}

impl Thread {
    pub(super) fn serve(mut self, messages: &Receiver<Message>) {
        let mut due: Option<Instant> = None;
        loop {
            let listing = self.next_listing();
            let wake = self.retry.map(|(at, _)| at).or(due).into_iter().chain(listing).min();
            let first = match wake {
                None => messages.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(at) => messages.recv_timeout(at.saturating_duration_since(Instant::now())),
            };
            let mut submits = Vec::new();
            let mut close = None;
            match first {
                Ok(first) => {
                    // What came meanwhile goes into the same commit.
                    let mut next = Some(first);
                    while let Some(message) = next {
                        match message {
                            Message::Wake => {
                                let at = self.last_commit + self.wait;
                                due = Some(due.map_or(at, |due| due.min(at)));
                            }
                            Message::Now => due = Some(Instant::now()),
                            Message::Submit(batches, reply) => submits.push((batches, reply)),
                            Message::Resubmit(what, reply) => drop(reply.send(self.resubmit(&what))),
                            Message::Act(action, targets, reply) => {
                                drop(reply.send(self.act(&action, targets)));
                            }
                            Message::Intake => self.intake(),
                            Message::Orphans => self.take_orphans(),
                            Message::Close(reply) => close = Some(reply),
                        }
                        next = messages.try_recv().ok();
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if !submits.is_empty() {
                self.submit(submits);
            }
            let now = Instant::now();
            if listing.is_some_and(|at| now >= at) {
                self.intake();
            }
            let retry = self.retry.is_some_and(|(at, _)| now >= at);
            if retry || (self.retry.is_none() && due.is_some_and(|at| now >= at)) || close.is_some() {
                due = None;
                self.commit();
            }
            if let Some(reply) = close {
                let nothing_left =
                    self.root.feed.lock().unwrap_or_else(PoisonError::into_inner).events.is_empty();
                let complete = self.retry.is_none() && self.pending.is_empty() && nothing_left;
                // Closed, the store is one whole file.
                self.store.close();
                let _ = reply.send(complete);
                return;
            }
        }
    }

    #[allow(clippy::type_complexity)]
    fn submit(&mut self, submits: Vec<(Vec<Submit>, oneshot::Sender<Vec<Result<BatchId, Refusal>>>)>) {
        let all: Vec<_> = submits.iter().flat_map(|(batches, _)| batches.iter().cloned()).collect();
        let mut results = self.store.submit(&all).into_iter();
        for (batches, reply) in submits {
            let answers: Vec<_> = (0..batches.len())
                .map(|_| {
                    let accepted = results.next().unwrap_or_else(|| Err(ending()))?;
                    let batch = accepted.batch;
                    self.take_in(accepted);
                    Ok(batch)
                })
                .collect();
            let _ = reply.send(answers);
        }
        // After the answer: it takes a third of a short submission, and only a power cut just then would show.
        if let Err(failure) = self.store.sync() {
            tracing::error!("{}: {failure}", self.root.path.display());
        }
    }

    fn resubmit(&mut self, what: &Resubmit) -> Result<SubmissionNumber, Refusal> {
        // Ends that are still on their way to the store are what is to be sent again.
        self.commit();
        let accepted = self.store.resubmit(what)?;
        let (k, batch) = (accepted.k, accepted.batch);
        self.take_in(accepted);
        self.tell([batch].into());
        Ok(k)
    }

    fn take_in(&mut self, accepted: Accepted) {
        self.enqueue(accepted.works);
    }

    /// Queues jobs. Those that depend on others are first made to wait for all of them; then what the
    /// others have come to so far is taken from the store. An end that happens in between is told by
    /// the engine itself, so that none is missed.
    fn enqueue(&mut self, works: Vec<WorkPlan>) {
        let others: BTreeSet<_> =
            works.iter().flat_map(|work| &work.dependencies).map(|dependency| dependency.batch).collect();
        let new = works.into_iter().map(|work| NewWork {
            key: (self.id, work.batch),
            k: work.k,
            run: work.run,
            need: work.need,
            priority: work.priority,
            jobs: work.jobs,
            held: work.held,
            max_running: work.max_running,
            blockers: work
                .dependencies
                .into_iter()
                .map(|dependency| Blocker {
                    kind: dependency.kind,
                    batch: dependency.batch,
                    waiting: dependency.jobs.unwrap_or_default(),
                })
                .collect(),
        });
        self.engine.push(new);
        if others.is_empty() {
            return;
        }
        self.commit();
        for other in others {
            match self.store.settled(other) {
                Ok(settled) => {
                    let key = (self.id, other);
                    self.engine.happened(key, &settled.started, Happened::Started);
                    self.engine.happened(key, &settled.succeeded, Happened::Succeeded);
                    self.engine.happened(key, &settled.failed, Happened::Failed);
                }
                Err(failure) => tracing::error!("what batch {other} came to cannot be read: {failure}"),
            }
        }
    }

    fn take_orphans(&mut self) {
        let mut left = match self.store.orphans() {
            Ok(left) => left,
            Err(failure) => return tracing::warn!("{}: {failure}", self.root.path.display()),
        };
        // Those that we watch already are ours.
        left.started.retain(|job| !self.engine.is_running((self.id, job.batch), job.index));
        if !left.started.is_empty() {
            let found = adopt::settle(&*self.root.files, &left, &[], true);
            let works = self.take_up(Vec::new(), found);
            self.begin(works);
        }
    }

    /// What the last runner left: ended jobs are recorded, running ones watched. Returns those that are to be queued.
    pub(super) fn take_up(&mut self, works: Vec<WorkPlan>, found: Vec<Found>) -> Vec<WorkPlan> {
        let mut settled: Vec<(BatchId, u32)> = Vec::new();
        let mut again: Vec<StartedJob> = Vec::new();
        for one in found {
            match one {
                Found::Ended(ended) => {
                    settled.push((ended.batch, ended.index));
                    self.root.record(Event::Ended(*ended));
                }
                Found::Running(watcher) => {
                    settled.push((watcher.batch(), watcher.index()));
                    self.root.record(watcher.running());
                    watcher.watch(self.id, &self.engine);
                }
                Found::NeverBegan(job) => again.push(job),
            }
        }
        let mut works: Vec<_> = works
            .into_iter()
            .map(|mut work| {
                let gone: IndexSet = settled
                    .iter()
                    .filter(|(batch, _)| *batch == work.batch)
                    .map(|(_, index)| *index)
                    .collect();
                work.jobs = work.jobs.difference(&gone);
                work.held = work.held.difference(&gone);
                work
            })
            .collect();
        if !again.is_empty() {
            tracing::info!("{} jobs had not begun and are queued again", again.len());
        }
        for StartedJob { batch, index, k, run, need, .. } in again {
            let mut of_batch = works.iter().filter(|work| work.batch == batch);
            if of_batch
                .clone()
                .any(|work| work.run == run && (work.jobs.contains(index) || work.held.contains(index)))
            {
                continue;
            }
            // The store calls it running already, so that it is among no queued ones: its turn was there.
            works.push(WorkPlan {
                batch,
                k,
                run,
                need,
                priority: of_batch.next().map_or(0, |work| work.priority),
                jobs: IndexSet::range(index, index + 1),
                held: IndexSet::new(),
                max_running: None,
                dependencies: Vec::new(),
            });
        }
        works
    }

    /// Queues what a runner left waiting.
    pub(super) fn begin(&mut self, works: Vec<WorkPlan>) {
        self.enqueue(works);
        self.commit();
    }
}
