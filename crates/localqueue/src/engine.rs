//! The engine: the queue, and a slot thread for each job that runs at once.
//!
//! There is no scheduling thread and no polling. A slot whose job has ended records the end, gives back
//! what the job took and takes the next job, all in its own thread; others are woken only where more
//! than one job can start.

mod slots;

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use cluster_core::{IndexSet, JobIndex, Timestamp};

use crate::capacity::Amount;
use crate::control::Control;
use crate::event::{Ended, Event};
use crate::launch::Launch;
use crate::pins::Pins;
use crate::queue::{BatchKey, Counts, Happened, NewWork, Queue, RootId, Start};
use crate::slot_table::SlotTable;
use crate::submission::{Live, Root};

/// A job that runs.
struct Running {
    start: Start,
    since: Timestamp,
    /// The slot's bell; an adopted job has its watcher's.
    control: Arc<Control>,
    /// How many of its waits lend what it took.
    lent: u32,
    cancelled: bool,
}

struct State {
    queue: Queue,
    roots: Vec<Option<Arc<dyn Root>>>,
    live: HashMap<(BatchKey, u32), (Arc<Live>, u32)>,
    running: HashMap<(BatchKey, JobIndex), Running>,
    /// Slots without a job.
    idle: u32,
    slots: u32,
    closing: bool,
}

impl State {
    /// Takes out the submissions of a batch of which nothing runs.
    fn idle_live(&mut self, key: BatchKey) -> Vec<Arc<Live>> {
        let idle = self.live.extract_if(|(of, _), (_, running)| *of == key && *running == 0);
        idle.map(|(_, (live, _))| live).collect()
    }
}

pub(crate) struct Shared {
    state: Mutex<State>,
    work: Condvar,
    /// Rung when a job has ended and when slots leave.
    quiet: Condvar,
    launch: Box<dyn Launch>,
    table: Option<SlotTable>,
    first_slot: usize,
    pins: Pins,
}

/// See the [module](self).
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
}

/// What the engine does now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// All that jobs may take.
    pub capacity: Amount,
    /// What running jobs take.
    pub taken: Amount,
    /// Jobs that run.
    pub running: u32,
    /// Jobs that wait.
    pub waiting: Counts,
    /// Whether nothing more starts.
    pub draining: bool,
}

impl Engine {
    /// An engine over `capacity`. With a `table` it can be seen after a kill what had been started; its
    /// entries before `first_slot` are those of adopted jobs.
    pub fn new(
        capacity: Amount,
        launch: Box<dyn Launch>,
        table: Option<SlotTable>,
        first_slot: usize,
    ) -> Self {
        let state = State {
            queue: Queue::new(capacity),
            roots: Vec::new(),
            live: HashMap::new(),
            running: HashMap::new(),
            idle: 0,
            slots: 0,
            closing: false,
        };
        let shared = Shared {
            state: Mutex::new(state),
            work: Condvar::new(),
            quiet: Condvar::new(),
            launch,
            table,
            first_slot,
            pins: Pins::new(),
        };
        Self { shared: Arc::new(shared) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.lock()
    }

    /// Takes a root in.
    pub fn add_root(&self, root: Arc<dyn Root>) -> RootId {
        let mut state = self.lock();
        // Not the place of a root that was removed while a job of it runs: the two would be taken for each other.
        let runs = |place: usize| state.running.keys().any(|(key, _)| usize::from(key.0) == place);
        let free = state.roots.iter().enumerate().position(|(place, root)| root.is_none() && !runs(place));
        let free = free.unwrap_or(state.roots.len());
        if free == state.roots.len() {
            state.roots.push(None);
        }
        state.roots[free] = Some(root);
        free as RootId
    }

    /// Forgets a root; its running jobs go on, and their ends are still recorded by it.
    pub fn remove_root(&self, root: RootId) {
        let mut state = self.lock();
        state.queue.remove_root(root);
        state.live.retain(|(key, _), _| key.0 != root);
        if let Some(place) = state.roots.get_mut(usize::from(root)) {
            *place = None;
        }
    }

    /// Takes jobs in, all works before any of their jobs starts.
    pub fn push(&self, works: impl IntoIterator<Item = NewWork>) {
        let mut state = self.lock();
        for work in works {
            state.queue.push(work);
        }
        self.shared.wake(&mut state);
    }

    /// Holds queued jobs of a batch (`None`: all). Returns those that were queued.
    pub fn hold(&self, key: BatchKey, jobs: Option<&IndexSet>) -> IndexSet {
        self.lock().queue.hold(key, jobs)
    }

    /// Releases held jobs of a batch. Returns those that were held.
    pub fn release(&self, key: BatchKey, jobs: Option<&IndexSet>) -> IndexSet {
        let mut state = self.lock();
        let released = state.queue.release(key, jobs);
        self.shared.wake(&mut state);
        released
    }

    /// Gives waiting jobs another priority. Returns those that it changed.
    pub fn set_priority(&self, key: BatchKey, jobs: Option<&IndexSet>, priority: i32) -> IndexSet {
        self.lock().queue.set_priority(key, jobs, priority)
    }

    /// Takes waiting jobs out of the queue and asks running ones to end, by `signal`. Returns both sets:
    /// the first have ended by this, the others will say so themselves.
    pub fn cancel(&self, key: BatchKey, jobs: Option<&IndexSet>, signal: i32) -> (IndexSet, IndexSet) {
        let mut state = self.lock();
        let unstarted = state.queue.cancel(key, jobs);
        let root = state.roots.get(usize::from(key.0)).and_then(Clone::clone);
        let mut asked = Vec::new();
        for running in state.running.values_mut() {
            let meant =
                running.start.key == key && jobs.is_none_or(|jobs| jobs.contains(running.start.index));
            if meant {
                running.cancelled = true;
                running.control.ask(signal);
                asked.push(running.start.index);
                // Known as running from here on: what becomes of the rest of the batch is not about it.
                let Start { index, k, run, .. } = running.start;
                if let Some(root) = &root {
                    root.record(Event::Started { batch: key.1, index, k, run, at: running.since, pid: 0 });
                }
            }
        }
        self.shared.wake(&mut state);
        // Where nothing of the batch runs either, nobody else will come by to tidy up after it.
        let over: Vec<_> = if state.queue.has_unstarted(key) { Vec::new() } else { state.idle_live(key) };
        drop(state);
        over.iter().for_each(|live| live.tidy());
        (unstarted, asked.into_iter().collect())
    }

    /// Whether anybody waits for jobs of this batch.
    pub fn has_dependents(&self, key: BatchKey) -> bool {
        self.lock().queue.has_dependents(key)
    }

    /// Tells those that wait for jobs of a batch what happened to them.
    pub fn happened(&self, key: BatchKey, jobs: &IndexSet, what: Happened) {
        let mut state = self.lock();
        let doomed = state.queue.happened(key, jobs, what);
        self.shared.doom(&mut state, doomed);
        self.shared.wake(&mut state);
    }

    /// Nothing of the root starts from now on, or again something does.
    pub fn pause_root(&self, root: RootId, paused: bool) {
        let mut state = self.lock();
        state.queue.pause_root(root, paused);
        self.shared.wake(&mut state);
    }

    /// A running job waits for jobs of its own: others may use its cores until it goes on.
    /// False where no such job runs here.
    pub fn lend(&self, key: BatchKey, index: JobIndex, lend: bool) -> bool {
        let mut state = self.lock();
        let Some(running) = state.running.get_mut(&(key, index)) else { return false };
        let (before, need) = (running.lent, running.start.need);
        running.lent = if lend { before + 1 } else { before.saturating_sub(1) };
        // Only the first wait lends, and only the last takes back.
        if (before == 0) != (running.lent == 0) {
            state.queue.lend(need, lend);
        }
        self.shared.wake(&mut state);
        true
    }

    /// Takes up to `most` of what is free out of use, for somebody who starts processes himself, until
    /// `give_back`. `None` where no core is free.
    pub fn lease(&self, most: Amount) -> Option<Amount> {
        let mut state = self.lock();
        let free = state.queue.capacity().saturating_sub(&state.queue.taken());
        let leased = free.min(&most);
        if leased.cores == 0 {
            return None;
        }
        state.queue.lend(leased, false);
        Some(leased)
    }

    /// The end of a lease.
    pub fn give_back(&self, leased: Amount) {
        let mut state = self.lock();
        state.queue.lend(leased, true);
        self.shared.wake(&mut state);
    }

    /// Keeps this for jobs that are about to be adopted, until `give_back`.
    pub(crate) fn reserve(&self, need: Amount) {
        self.lock().queue.lend(need, false);
    }

    /// Changes what jobs may take; a lower limit stops no running job.
    pub fn set_capacity(&self, capacity: Amount) {
        let mut state = self.lock();
        state.queue.set_capacity(capacity);
        self.shared.wake(&mut state);
    }

    /// Starts nothing more, or again something.
    pub fn set_draining(&self, draining: bool) {
        let mut state = self.lock();
        state.queue.set_draining(draining);
        self.shared.wake(&mut state);
    }

    /// What it does now.
    pub fn status(&self) -> Status {
        let state = self.lock();
        Status {
            capacity: state.queue.capacity(),
            taken: state.queue.taken(),
            running: state.running.len() as u32,
            waiting: state.queue.counts(),
            draining: state.queue.is_draining(),
        }
    }

    /// Waits until nothing runs and, unless it drains, nothing could.
    pub fn wait_quiet(&self) {
        let mut state = self.lock();
        while !state.running.is_empty() || state.queue.can_start() {
            state = self.shared.quiet.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits until no job runs of which only we would see the end.
    pub fn wait_bare(&self) {
        let mut state = self.lock();
        while state.running.values().any(|running| running.control.is_bare()) {
            state = self.shared.quiet.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Tells the roots of all jobs that run: nobody will be here to report them.
    pub(crate) fn report_running(&self) {
        let state = self.lock();
        for running in state.running.values() {
            let Start { key, index, k, run, .. } = running.start;
            if let Some(root) = state.roots.get(usize::from(key.0)).and_then(Option::as_ref) {
                root.record(Event::Started { batch: key.1, index, k, run, at: running.since, pid: 0 });
            }
        }
    }

    /// Whether a job could start if nothing else ran.
    pub fn could_start(&self) -> bool {
        self.lock().queue.could_start()
    }

    /// Whether any job of the root waits or runs.
    pub fn has_root_work(&self, root: RootId) -> bool {
        let state = self.lock();
        state.queue.has_root_work(root) || state.running.keys().any(|(key, _)| key.0 == root)
    }

    /// Ends the slots as their jobs end.
    pub fn close(&self) {
        let mut state = self.lock();
        state.closing = true;
        state.queue.set_draining(true);
        self.shared.work.notify_all();
    }

    /// Takes in a job that was found running: it has its part of the machine until `adopted_ended`.
    pub(crate) fn adopt(&self, start: Start, since: Timestamp, control: Arc<Control>) {
        let mut state = self.lock();
        state.queue.adopt(start.key, start.need);
        state
            .running
            .insert((start.key, start.index), Running { start, since, control, lent: 0, cancelled: false });
    }

    /// An adopted job is over.
    pub(crate) fn adopted_ended(&self, start: Start, ended: Ended) {
        self.shared.ended(start, ended);
    }

    /// Whether a job runs.
    pub(crate) fn is_running(&self, key: BatchKey, index: JobIndex) -> bool {
        self.lock().running.contains_key(&(key, index))
    }

    /// Whether somebody asked for the end of a job that runs.
    pub(crate) fn was_cancelled(&self, key: BatchKey, index: JobIndex) -> bool {
        self.lock().running.get(&(key, index)).is_some_and(|running| running.cancelled)
    }
}
