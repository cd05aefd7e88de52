//! A root over a store that does as it is told, also fail.

use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use cluster_core::{BatchId, Cause, IndexSet, Timestamp};
use tokio::sync::broadcast;

use super::{HANDED_ON, Opening, RunnerRoot};
use crate::capacity::Amount;
use crate::engine::Engine;
use crate::event::Event;
use crate::journal::Journal;
use crate::launch::Nothing;
use crate::runner::place::Place;
use crate::runner::protocol::{Action, Refusal, RefusalKind, Resubmit, Submit};
use crate::runner::store::{
    Accepted, Asked, Change, RootFiles, RootStore, Settled, StoreFailure, Unfinished, WorkPlan,
};
use crate::slot_table::{Entry, SlotTable, StartedBy};
use crate::submission::{Root, Submission};

/// What the store was given, and how it is to behave.
#[derive(Default)]
struct Shown {
    fails: bool,
    /// Where only what follows the queue fails.
    changes_fail: bool,
    shared: bool,
    commits: Vec<Event>,
    changes: Vec<(BatchId, Option<IndexSet>, Change)>,
    intakes: u32,
    asked: Vec<Asked>,
    works: Vec<WorkPlan>,
    former: Vec<PathBuf>,
}

#[derive(Clone, Default)]
struct Fake(Arc<(Mutex<Shown>, Condvar)>);

impl Fake {
    fn shown(&self) -> MutexGuard<'_, Shown> {
        self.0.0.lock().unwrap()
    }

    /// Waits until the store has come to this.
    #[track_caller]
    fn until(&self, what: &str, is_so: impl Fn(&Shown) -> bool) {
        let (shown, result) = self
            .0
            .1
            .wait_timeout_while(self.shown(), Duration::from_secs(60), |shown| !is_so(shown))
            .unwrap();
        drop(shown);
        assert!(!result.timed_out(), "never came: {what}");
    }

    fn did<T>(
        &self,
        fails: impl Fn(&Shown) -> bool,
        what: impl FnOnce(&mut Shown) -> T,
    ) -> Result<T, StoreFailure> {
        let mut shown = self.shown();
        if fails(&shown) {
            return Err(StoreFailure("the disk is full".to_owned()));
        }
        let result = what(&mut shown);
        self.0.1.notify_all();
        Ok(result)
    }
}

impl RootStore for Fake {
    fn submit(&mut self, batches: &[Submit]) -> Vec<Result<Accepted, Refusal>> {
        batches.iter().map(|_| Err(no())).collect()
    }

    fn resubmit(&mut self, _: &Resubmit) -> Result<Accepted, Refusal> {
        Err(no())
    }

    fn unfinished(&mut self) -> Result<Unfinished, StoreFailure> {
        Ok(Unfinished { works: self.shown().works.clone(), started: Vec::new() })
    }

    fn orphans(&mut self) -> Result<Unfinished, StoreFailure> {
        Ok(Unfinished::default())
    }

    fn settled(&mut self, _: BatchId) -> Result<Settled, StoreFailure> {
        Ok(Settled::default())
    }

    fn commit(&mut self, events: &[Event]) -> Result<(), StoreFailure> {
        self.did(|shown| shown.fails, |shown| shown.commits.extend_from_slice(events))
    }

    fn change(
        &mut self,
        batch: BatchId,
        jobs: Option<&IndexSet>,
        change: &Change,
    ) -> Result<u64, StoreFailure> {
        let fails = |shown: &Shown| shown.fails || shown.changes_fail;
        self.did(fails, |shown| {
            shown.changes.push((batch, jobs.cloned(), change.clone()));
            1
        })
    }

    fn intake(&mut self) -> Result<Vec<Asked>, StoreFailure> {
        self.did(
            |shown| shown.fails,
            |shown| {
                shown.intakes += 1;
                std::mem::take(&mut shown.asked)
            },
        )
    }

    fn is_shared(&self) -> bool {
        self.shown().shared
    }

    fn former_homes(&self) -> Vec<PathBuf> {
        self.shown().former.clone()
    }

    fn forget_former_homes(&mut self) -> Result<(), StoreFailure> {
        self.shown().former.clear();
        Ok(())
    }

    fn close(self: Box<Self>) {}
}

struct NoFiles;

impl RootFiles for NoFiles {
    fn submission(&self, _: BatchId, _: u32) -> io::Result<Arc<dyn Submission>> {
        Err(io::ErrorKind::NotFound.into())
    }
}

fn no() -> Refusal {
    Refusal { kind: RefusalKind::Usage, message: "not here".to_owned() }
}

/// An answer of the root's thread, waited for without an event loop.
fn answer<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let mut future = std::pin::pin!(future);
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(answer) => return answer,
            Poll::Pending => std::thread::park(),
        }
    }
}

fn engine() -> Engine {
    Engine::new(Amount { cores: 1, mem_mb: 0 }, Box::new(Nothing), None, 0)
}

fn opened(dir: &std::path::Path, store: &Fake, engine: &Engine) -> Arc<RunnerRoot> {
    RunnerRoot::open(Opening {
        path: dir,
        number: 7,
        dir: dir.join("journal"),
        store: Box::new(store.clone()),
        files: Arc::new(NoFiles),
        engine,
        news: broadcast::channel(16).0,
        started: Vec::new(),
        same_boot: true,
        listing: Duration::from_millis(5),
    })
    .unwrap()
}

fn doomed(batch: u64) -> Event {
    let (jobs, cause) = (IndexSet::range(0, 1), Cause::DependencyNeverSatisfied);
    Event::Unstarted { batch: BatchId(batch), k: 0, run: 1, jobs, cause, at: Timestamp(1) }
}

/// Held jobs of one batch.
fn held(batch: u64, count: u32) -> WorkPlan {
    WorkPlan {
        batch: BatchId(batch),
        k: 0,
        run: 1,
        need: Amount { cores: 1, mem_mb: 0 },
        priority: 0,
        jobs: IndexSet::new(),
        held: IndexSet::range(0, count),
        max_running: None,
        dependencies: Vec::new(),
    }
}

#[test]
fn what_a_failing_store_did_not_take_stays_in_the_journal() {
    let dir = tempfile::tempdir().unwrap();
    let (store, engine) = (Fake::default(), engine());
    let root = opened(dir.path(), &store, &engine);
    assert!(root.record(doomed(1)));
    store.until("the first commit", |shown| shown.commits == [doomed(1)]);
    store.shown().fails = true;
    assert!(root.record(doomed(2)));
    let complete = root.close().blocking_recv().unwrap();
    assert!(!complete, "what says that it is complete is removed with its journal");
    // Each fact once or twice, none lost.
    let again = Fake::default();
    opened(dir.path(), &again, &engine);
    assert!(again.shown().commits.contains(&doomed(2)));
    // And what the store has is given to nobody again.
    let third = Fake::default();
    let root = opened(dir.path(), &third, &engine);
    assert!(third.shown().commits.is_empty());
    assert!(root.close().blocking_recv().unwrap());
}

#[test]
fn a_store_that_fails_under_a_cancel_follows_when_it_works() {
    let dir = tempfile::tempdir().unwrap();
    let (store, engine) = (Fake::default(), engine());
    store.shown().works = vec![held(1, 5), held(2, 5)];
    let root = opened(dir.path(), &store, &engine);
    assert_eq!(engine.status().waiting.held, 10);
    // The commit before it works, the change itself does not: the queue has done it, and says that it failed.
    store.shown().changes_fail = true;
    let cancel = |batch| vec![(BatchId(batch), None)];
    let refused = answer(root.act(Action::Cancel(15), cancel(1))).unwrap_err();
    assert!(refused.message.contains("the disk is full"), "{}", refused.message);
    assert_eq!(engine.status().waiting.held, 5);
    assert!(root.trouble.lock().unwrap().is_some());
    // As long as the store fails nothing more is touched.
    assert!(answer(root.act(Action::Cancel(15), cancel(2))).is_err());
    assert_eq!(engine.status().waiting.held, 5);
    store.shown().changes_fail = false;
    store.until("the change is made up for", |shown| {
        shown.changes == [(BatchId(1), None, Change::End(Cause::Cancelled))]
    });
    assert_eq!(answer(root.act(Action::Cancel(15), cancel(2))).unwrap(), 5);
    assert_eq!(engine.status().waiting.held, 0);
    assert!(root.trouble.lock().unwrap().is_none());
    assert!(root.close().blocking_recv().unwrap());
}

#[test]
fn a_root_that_others_write_to_is_listed_while_it_has_jobs() {
    let dir = tempfile::tempdir().unwrap();
    let (store, engine) = (Fake::default(), engine());
    store.shown().shared = true;
    store.shown().works = vec![held(1, 5)];
    let root = opened(dir.path(), &store, &engine);
    store.until("it is listed again and again", |shown| shown.intakes > 2);
    let file = dir.path().join("request");
    std::fs::write(&file, "").unwrap();
    let some = IndexSet::range(1, 3);
    let ask = |jobs: Option<IndexSet>| Asked { batch: BatchId(1), jobs, signal: 15, file: file.clone() };
    store.shown().asked = vec![ask(Some(some.clone()))];
    store.until("the slice is cancelled", |shown| shown.changes.len() == 1);
    assert_eq!(store.shown().changes[0], (BatchId(1), Some(some), Change::End(Cause::Cancelled)));
    assert_eq!(engine.status().waiting.held, 3);
    store.shown().asked = vec![ask(None)];
    store.until("all are cancelled", |shown| shown.changes.len() == 2);
    assert!(root.close().blocking_recv().unwrap());
    assert!(!file.exists(), "a request that was obeyed is removed");
}

#[test]
fn a_root_without_jobs_has_no_timer() {
    let dir = tempfile::tempdir().unwrap();
    let (store, engine) = (Fake::default(), engine());
    store.shown().shared = true;
    let root = opened(dir.path(), &store, &engine);
    root.intake();
    store.until("it was asked to", |shown| shown.intakes == 1);
    // Much longer than the time between two listings, until another root has been listed often.
    let (other, busy) = (tempfile::tempdir().unwrap(), Fake::default());
    busy.shown().shared = true;
    busy.shown().works = vec![held(1, 1)];
    let also = opened(other.path(), &busy, &engine);
    busy.until("the other one is listed", |shown| shown.intakes > 10);
    assert_eq!(store.shown().intakes, 1);
    for root in [root, also] {
        assert!(root.close().blocking_recv().unwrap());
    }
}

#[test]
fn what_a_killed_runner_of_another_directory_left_is_taken_over_once() {
    let dir = tempfile::tempdir().unwrap();
    let former = Place::new(Some(dir.path().join("former")));
    former.ensure().unwrap();
    let (number, journal_dir) = former.root(dir.path());
    crate::files::make_private_dirs(&journal_dir).unwrap();
    Journal::open(&journal_dir).unwrap().0.append(&doomed(1)).unwrap();
    let entry = Entry {
        root: number,
        batch: BatchId(3),
        index: 5,
        k: 0,
        run: 1,
        by: StartedBy::Script,
        cores: 1,
        mem_mb: 0,
        started: Timestamp(2),
        boot_before: 3,
        boot_after: 4,
        pid: 0,
    };
    let (table, _) = SlotTable::open(&former.slots()).unwrap();
    table.write(0, &Entry { root: number + 1, ..entry }).unwrap();
    table.write(1, &entry).unwrap();

    let (store, engine) = (Fake::default(), engine());
    store.shown().former = vec![former.dir().to_owned(), dir.path().join("gone")];
    // Another runner lives there by now: what is of this root is not its own.
    let _lives = former.lock().unwrap().unwrap();
    assert!(opened(dir.path(), &store, &engine).close().blocking_recv().unwrap());
    assert_eq!(store.shown().commits, [doomed(1)]);
    assert!(store.shown().former.is_empty() && !journal_dir.exists());
    let left = SlotTable::open(&former.slots()).unwrap().1;
    assert_eq!(left, [Entry { root: number + 1, ..entry }]);
    // The next runner of this directory knows of the slots as well, if this one is killed.
    let handed_on = SlotTable::open(&dir.path().join("journal").join(HANDED_ON)).unwrap().1;
    assert_eq!(handed_on, [Entry { root: 7, ..entry }]);
}
