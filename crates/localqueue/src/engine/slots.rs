//! The slot threads: each takes the next job, sees it to its end, and records that.

use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Instant;

use cluster_core::{Cause, IndexSet, Timestamp};

use super::{Running, Shared, State};
use crate::control::Control;
use crate::event::{Ended, Event};
use crate::launch::{Job, Slot};
use crate::queue::{Doomed, Happened, Start};
use crate::submission::Live;

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // A panic in one slot must not end all others.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sees to it that somebody takes the next job, where one can start.
    pub(super) fn wake(self: &Arc<Self>, state: &mut State) {
        if !state.queue.can_start() || state.closing {
            return;
        }
        if state.idle > 0 {
            self.work.notify_one();
            return;
        }
        let shared = self.clone();
        let number = self.first_slot + state.slots as usize;
        let spawned = std::thread::Builder::new()
            .name(format!("slot-{number}"))
            .stack_size(256 << 10)
            .spawn(move || shared.serve(number));
        match spawned {
            Ok(_) => state.slots += 1,
            // The slots that there are go on; with none at all, the next call tries again.
            Err(error) => tracing::error!("cannot start a slot thread: {error}"),
        }
    }

    fn serve(self: Arc<Self>, number: usize) {
        let control = match Control::new() {
            Ok(control) => Arc::new(control),
            Err(error) => {
                tracing::error!("cannot make a slot: {error}");
                return;
            }
        };
        let mut slot = Slot::new(number);
        let mut state = self.lock();
        loop {
            let Some(start) = state.queue.start_next() else {
                if state.closing {
                    state.slots -= 1;
                    self.quiet.notify_all();
                    return;
                }
                if state.running.is_empty() {
                    self.quiet.notify_all();
                }
                state.idle += 1;
                state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.idle -= 1;
                continue;
            };
            let Some(root) = state.roots.get(usize::from(start.key.0)).and_then(Clone::clone) else {
                state.queue.finished(start.key, start.need);
                continue;
            };
            let since = Timestamp::now();
            let entry = state.live.entry((start.key, start.k)).or_insert_with(|| (Arc::new(Live::new()), 0));
            entry.1 += 1;
            let live = entry.0.clone();
            control.take();
            control.set_bare(false);
            state.running.insert(
                (start.key, start.index),
                Running { start, since, control: control.clone(), lent: 0, cancelled: false },
            );
            if state.queue.has_dependents(start.key) {
                let one = IndexSet::range(start.index, start.index + 1);
                let doomed = state.queue.happened(start.key, &one, Happened::Started);
                self.doom(&mut state, doomed);
            }
            let slots = state.queue.capacity().cores;
            self.wake(&mut state);
            drop(state);
            let mut job = Job {
                start,
                root: &root,
                live: &live,
                control: &control,
                slot: &mut slot,
                table: self.table.as_ref(),
                pins: &self.pins,
                slots,
                started: since,
                began: Instant::now(),
                group: None,
            };
            let finished = self.launch.run(&mut job);
            // First the record, then what follows from it.
            if root.record(Event::Ended(finished.ended)) {
                for path in finished.remove {
                    let _ = std::fs::remove_file(path);
                }
            }
            state = self.lock();
            if self.settle(&mut state, start) {
                drop(state);
                live.tidy();
                root.end_awaited();
                state = self.lock();
            }
        }
    }

    pub(super) fn ended(self: &Arc<Self>, start: Start, ended: Ended) {
        let root = self.lock().roots.get(usize::from(start.key.0)).and_then(Clone::clone);
        if let Some(root) = &root {
            root.record(Event::Ended(ended));
        }
        let mut state = self.lock();
        let over = self.settle(&mut state, start);
        self.wake(&mut state);
        self.quiet.notify_all();
        drop(state);
        if let Some(root) = root.filter(|_| over) {
            root.end_awaited();
        }
    }

    /// Gives back what a job took. True where its end is waited for: nothing is left of its batch, or others
    /// depend on it.
    fn settle(self: &Arc<Self>, state: &mut State, start: Start) -> bool {
        if let Some(running) = state.running.remove(&(start.key, start.index))
            && running.lent > 0
        {
            state.queue.lend(start.need, false);
        }
        state.queue.finished(start.key, start.need);
        let mut over = !state.live.contains_key(&(start.key, start.k));
        if let Some((_, running)) = state.live.get_mut(&(start.key, start.k)) {
            *running -= 1;
            if *running == 0 && !state.queue.has_unstarted(start.key) {
                // Also those of earlier submissions, which ended while this one waited.
                drop(state.idle_live(start.key));
                over = true;
            }
        }
        if state.queue.is_draining() {
            self.quiet.notify_all();
        }
        // Whoever waits for it is told by the root, once its end is in the store: they may read it there.
        over || state.queue.has_dependents(start.key)
    }

    pub(super) fn doom(&self, state: &mut State, doomed: Vec<Doomed>) {
        for Doomed { key, k, run, jobs } in doomed {
            let Some(root) = state.roots.get(usize::from(key.0)).and_then(Option::as_ref) else { continue };
            root.record(Event::Unstarted {
                batch: key.1,
                k,
                run,
                jobs,
                cause: Cause::DependencyNeverSatisfied,
                at: Timestamp::now(),
            });
        }
    }
}
