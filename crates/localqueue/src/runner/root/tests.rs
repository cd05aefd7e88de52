//! A root over a store that does as it is told, also fail.

use std::ffi::OsString;
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use cluster_core::{BatchId, Cause, IndexSet, OutputMode, Timestamp};
use tokio::sync::broadcast;

use super::{Opening, RunnerRoot};
use crate::capacity::Amount;
use crate::control::Control;
use crate::engine::Engine;
use crate::event::Event;
use crate::launch::Nothing;
use crate::queue::Start;
use crate::runner::protocol::{Action, Refusal, RefusalKind, Resubmit, Submit};
use crate::runner::store::{
    Accepted, Asked, Change, RootFiles, RootStore, Settled, StartedJob, StoreFailure, Unfinished, WorkPlan,
};
use crate::slot_table::Entry;
use crate::submission::{Root, Settings, Submission};

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
    /// A disk on which a sync does not return.
    disk_hangs: bool,
    syncs: u32,
    asked: Vec<Asked>,
    works: Vec<WorkPlan>,
    started: Vec<StartedJob>,
    former: Vec<PathBuf>,
    /// Which store it is.
    id: String,
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

    fn sync(&mut self) -> Result<(), StoreFailure> {
        let hangs = |shown: &mut Shown| shown.disk_hangs;
        let mut shown = self.0.1.wait_while(self.shown(), hangs).unwrap();
        shown.syncs += 1;
        self.0.1.notify_all();
        Ok(())
    }

    fn resubmit(&mut self, _: &Resubmit) -> Result<Accepted, Refusal> {
        Err(no())
    }

    fn unfinished(&mut self) -> Result<Unfinished, StoreFailure> {
        let shown = self.shown();
        Ok(Unfinished { works: shown.works.clone(), started: shown.started.clone() })
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

    fn id(&mut self) -> Result<String, StoreFailure> {
        Ok(self.shown().id.clone())
    }

    fn close(self: Box<Self>) {}
}

/// Files of jobs in one directory, where it has any.
struct DirFiles(PathBuf);

impl RootFiles for DirFiles {
    fn submission(&self, batch: BatchId, _: u32) -> io::Result<Arc<dyn Submission>> {
        let dir = self.0.join(batch.to_string());
        std::fs::metadata(&dir)?;
        Ok(Arc::new(InDir(settings(dir))))
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
    opened_after(dir, store, engine, Vec::new())
}

/// Opened by a runner whose last one had `started` this.
fn opened_after(
    dir: &std::path::Path,
    store: &Fake,
    engine: &Engine,
    started: Vec<Entry>,
) -> Arc<RunnerRoot> {
    RunnerRoot::open(Opening {
        path: dir,
        number: 7,
        dir: dir.join("journal"),
        slots: dir.join("slots"),
        store: Box::new(store.clone()),
        files: Arc::new(DirFiles(dir.to_owned())),
        engine,
        news: broadcast::channel(16).0,
        started,
        listing: Duration::from_millis(5),
    })
    .unwrap()
}

fn doomed(batch: u64) -> Event {
    let (jobs, cause) = (IndexSet::range(0, 1), Cause::DependencyNeverSatisfied);
    Event::Unstarted { batch: BatchId(batch), k: 0, run: 1, jobs, cause, at: Timestamp(1) }
}

struct InDir(Settings);

impl Submission for InDir {
    fn settings(&self) -> &Settings {
        &self.0
    }

    fn words(&self, _: u32) -> io::Result<Vec<OsString>> {
        Ok(vec!["true".into()])
    }

    fn prepare(&self, _: u32) -> io::Result<()> {
        Ok(())
    }
}

fn settings(dir: PathBuf) -> Settings {
    Settings {
        root: dir.clone(),
        cwd: dir.clone(),
        dir,
        k: 0,
        direct: false,
        always_bare: false,
        durable: false,
        env: Vec::new(),
        umask: 0o022,
        stdin: None,
        output: OutputMode::Files,
        time_limit: None,
        grace: Duration::from_secs(1),
        pin: false,
    }
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
fn a_submission_is_answered_before_the_disk_has_it_and_then_synced() {
    let dir = tempfile::tempdir().unwrap();
    let (store, engine) = (Fake::default(), engine());
    let root = opened(dir.path(), &store, &engine);
    store.shown().disk_hangs = true;
    let spec = cluster_core::JobSpec::single("x", vec!["true".into()], "/".into());
    let (tag, user) = (cluster_core::Tag::from_bits(1), "me".to_owned());
    let submit = Submit { tag, spec, hold: false, user, terminal: None, parent: None, meta: Vec::new() };
    assert_eq!(answer(root.submit(vec![submit])).len(), 1);
    assert_eq!(store.shown().syncs, 0);
    store.shown().disk_hangs = false;
    store.0.1.notify_all();
    store.until("it is synced", |shown| shown.syncs == 1);
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
fn a_root_made_anew_is_not_taken_for_the_one_whose_job_still_runs() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (store, engine) = (Fake::default(), engine());
    let root = opened(dir.path(), &store, &engine);
    let need = Amount { cores: 1, mem_mb: 0 };
    let start = Start { key: (root.id(), BatchId(1)), index: 0, k: 0, run: 1, need };
    engine.adopt(start, Timestamp(1), Arc::new(Control::new().unwrap()));
    engine.remove_root(root.id());
    let anew = opened(other.path(), &Fake::default(), &engine);
    assert_ne!(anew.id(), root.id());
    assert!(engine.has_root_work(root.id()) && !engine.has_root_work(anew.id()));
    for root in [root, anew] {
        assert!(root.close().blocking_recv().unwrap());
    }
}

mod left;
