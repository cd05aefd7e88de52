//! The engine: the job table behind one lock, the scheduling pass, and the processes of jobs.

pub mod depend;
mod job;
mod journal;
mod processes;
pub(crate) use processes::{descendants, stat};
mod schedule;
mod steps;
mod table;

use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use job::*;
pub use table::Table;

use crate::config::Config;
use crate::front::FrontEnd;

/// A scheduler's controller: its jobs, and the threads that look after them.
pub struct Engine {
    /// The state directory.
    pub dir: PathBuf,
    /// The scheduler.
    pub front: Box<dyn FrontEnd>,
    table: Mutex<Table>,
    changed: Condvar,
    journal: Mutex<journal::Journal>,
    steps: steps::Steps,
    stopping: AtomicBool,
    /// When this controller came up: what started before belongs to steps of an earlier one.
    opened: Micros,
}

/// The locked job table. When it is dropped, changed jobs are written down and waiting threads look again.
pub struct Locked<'a> {
    engine: &'a Engine,
    guard: Option<MutexGuard<'a, Table>>,
}

impl Engine {
    /// The engine of a state directory, with the jobs that its journal tells of.
    pub fn open(dir: &Path, front: Box<dyn FrontEnd>) -> std::io::Result<Arc<Self>> {
        std::fs::create_dir_all(dir.join("spool"))?;
        let mut table = Table::default();
        let journal = journal::Journal::open(dir, &mut table)?;
        let engine = Arc::new(Self {
            dir: dir.to_path_buf(),
            front,
            table: Mutex::new(table),
            changed: Condvar::new(),
            journal: Mutex::new(journal),
            steps: steps::Steps::default(),
            stopping: AtomicBool::new(false),
            opened: now(),
        });
        Ok(engine)
    }

    /// The job table.
    pub fn lock(&self) -> Locked<'_> {
        let guard = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        Locked { engine: self, guard: Some(guard) }
    }

    /// Gives the lock back and takes it again when something has changed, or after `limit`.
    pub fn wait<'a>(&'a self, mut locked: Locked<'a>, limit: Duration) -> Locked<'a> {
        locked.settle();
        if let Some(guard) = locked.guard.take() {
            let (guard, _) = self.changed.wait_timeout(guard, limit).unwrap_or_else(PoisonError::into_inner);
            locked.guard = Some(guard);
        }
        locked
    }

    /// Wakes all who wait.
    pub fn wake(&self) {
        self.changed.notify_all();
    }

    /// The configuration.
    pub fn config(&self) -> Arc<Config> {
        Arc::clone(&self.lock().config)
    }

    /// Takes a new configuration.
    pub fn configure(&self, config: Config) {
        let mut table = self.lock();
        for id in &config.faults.forget {
            let keys: Vec<Key> = table.elements(*id).map(|job| job.key).collect();
            for key in keys {
                table.erase(key);
            }
            table.past.retain(|job| job.key.id != *id);
        }
        table.config = Arc::new(config);
        table.changed = true;
    }

    /// Tells a job to end, with the front-end's signals. False when it is unknown or has ended.
    pub fn kill(&self, table: &mut Table, key: Key, why: Why) -> bool {
        let Some(job) = table.jobs.get(&key).filter(|job| job.phase != Phase::Ended) else { return false };
        let kill = Kill { why: why.clone(), at: now(), plan: Vec::new() };
        let plan = self.front.kill_plan(table, job, &kill);
        table.kill(key, why, &plan);
        true
    }

    /// The daemon is to end.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        self.wake();
    }

    /// The daemon is ending.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// A path in the spool.
    pub fn spool(&self, name: &str) -> PathBuf {
        self.dir.join("spool").join(name)
    }
}

impl Locked<'_> {
    /// Writes down what has changed and sends the signals that were asked for.
    fn settle(&mut self) {
        let Some(table) = self.guard.as_mut() else { return };
        if table.changed {
            table.changed = false;
            let mut journal = self.engine.journal.lock().unwrap_or_else(PoisonError::into_inner);
            journal.write(table);
            self.engine.changed.notify_all();
        }
        for (key, signal, scope) in std::mem::take(&mut table.signals) {
            if let Some(process) = table.jobs.get(&key).and_then(|job| job.process) {
                processes::signal(process, signal, scope);
            }
        }
    }
}

impl Deref for Locked<'_> {
    type Target = Table;

    fn deref(&self) -> &Table {
        self.guard.as_deref().expect("the guard is there but while waiting")
    }
}

impl DerefMut for Locked<'_> {
    fn deref_mut(&mut self) -> &mut Table {
        self.guard.as_deref_mut().expect("the guard is there but while waiting")
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        self.settle();
    }
}
