//! One root in the runner: its journal, the thread that feeds its store, and its place in the engine.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use cluster_core::{BatchId, Cause, IndexSet, SubmissionNumber, Timestamp};
use tokio::sync::{broadcast, oneshot};

use super::adopt::{self, Found};
use super::protocol::{Action, Refusal, RefusalKind, Resubmit, Submit, Target};
use super::store::{Accepted, Asked, Change, RootFiles, RootStore, StoreFailure, WorkPlan};
use crate::engine::Engine;
use crate::event::{Ended, Event, StreamPlace};
use crate::journal::Journal;
use crate::queue::{Blocker, Happened, NewWork, RootId};
use crate::slot_table::Entry;
use crate::submission::{Root, Submission};

/// Facts are committed at the latest after this time while they keep coming. The journal has them at once;
/// each commit waits for the disk, and on ext4 everybody who makes files waits with it.
const LONGEST_GROUP: Duration = Duration::from_millis(150);
/// Each fact of a group puts the next commit off by this much: a single one is committed at once.
const PER_EVENT: Duration = Duration::from_millis(10);
/// A full disk is tried again after this time, then after twice as long, up to the last.
const FIRST_RETRY: Duration = Duration::from_millis(500);
const LAST_RETRY: Duration = Duration::from_secs(30);

/// How often `events/new` is listed on a network file system, while the root has unfinished jobs here.
pub(crate) const LISTING: Duration = Duration::from_secs(10);

/// Batches of one root that changed.
#[derive(Debug, Clone)]
pub(crate) struct News {
    pub(crate) root: Arc<Path>,
    pub(crate) batches: Arc<[BatchId]>,
}

enum Message {
    /// There are events to be committed.
    Wake,
    /// A batch is over: commit at once.
    Now,
    Submit(Vec<Submit>, oneshot::Sender<Vec<Result<BatchId, Refusal>>>),
    Resubmit(Box<Resubmit>, oneshot::Sender<Result<SubmissionNumber, Refusal>>),
    Act(Action, Vec<Target>, oneshot::Sender<Result<u64, Refusal>>),
    Intake,
    /// Look for jobs of dead foreground processes.
    Orphans,
    /// Whether the store has everything then.
    Close(oneshot::Sender<bool>),
}

/// What slots and the root's thread share.
struct Feed {
    journal: Journal,
    events: Vec<Event>,
    woken: bool,
    /// The journal's disk does not take more.
    failed: Option<String>,
}

/// A root that the runner serves.
pub(crate) struct RunnerRoot {
    pub(crate) path: Arc<Path>,
    number: u64,
    feed: Mutex<Feed>,
    files: Arc<dyn RootFiles>,
    thread: Mutex<Sender<Message>>,
    pub(crate) trouble: Mutex<Option<String>>,
    id: OnceLock<RootId>,
    /// Device and inode of its store.
    store: Option<(u64, u64)>,
}

impl Root for RunnerRoot {
    fn submission(&self, batch: BatchId, k: SubmissionNumber) -> io::Result<Arc<dyn Submission>> {
        self.files.submission(batch, k)
    }

    fn record(&self, event: Event) -> bool {
        let (wake, written) = {
            let mut feed = self.feed.lock().unwrap_or_else(PoisonError::into_inner);
            let written = feed.journal.append(&event);
            if let Err(error) = &written {
                feed.failed = Some(format!("the runner's journal cannot be written: {error}"));
            }
            feed.events.push(event);
            (!std::mem::replace(&mut feed.woken, true), written.is_ok())
        };
        if wake {
            self.send(Message::Wake);
        }
        written
    }

    fn number(&self) -> u64 {
        self.number
    }

    fn end_awaited(&self) {
        self.send(Message::Now);
    }
}

/// What a root is opened with.
pub(crate) struct Opening<'a> {
    pub(crate) path: &'a Path,
    /// Its number, and the directory of its journal.
    pub(crate) number: u64,
    pub(crate) dir: PathBuf,
    pub(crate) store: Box<dyn RootStore>,
    pub(crate) files: Arc<dyn RootFiles>,
    pub(crate) engine: &'a Engine,
    pub(crate) news: broadcast::Sender<News>,
    /// What the last runner's slots had started in this root.
    pub(crate) started: Vec<Entry>,
    /// Whether pids of that time still mean something.
    pub(crate) same_boot: bool,
    /// How often `events/new` is listed where other hosts write to it: [`LISTING`], but for tests.
    pub(crate) listing: Duration,
}

impl RunnerRoot {
    /// Settles what the last runner left, queues what is queued, and starts the root's thread.
    pub(crate) fn open(opening: Opening<'_>) -> Result<Arc<Self>, StoreFailure> {
        let Opening { path, number, dir, mut store, files, engine, news, started, same_boot, listing } =
            opening;
        let failed =
            |what: &str, error: io::Error| StoreFailure(format!("{what} {}: {error}", dir.display()));
        crate::files::make_private_dirs(&dir).map_err(|error| failed("cannot make", error))?;
        use std::os::unix::ffi::OsStrExt;
        let registered = dir.join("path");
        if std::fs::read(&registered).ok().as_deref() != Some(path.as_os_str().as_bytes()) {
            std::fs::write(&registered, path.as_os_str().as_bytes())
                .map_err(|error| failed("cannot register the root in", error))?;
        }
        let (mut journal, left) =
            Journal::open(&dir).map_err(|error| failed("cannot open the journal in", error))?;
        if !left.is_empty() {
            store.commit(&left)?;
            journal.forget_all().map_err(|error| failed("cannot empty the journal in", error))?;
        }
        let unfinished = store.unfinished()?;
        let (send, receive) = channel();
        let feed = Feed { journal, events: Vec::new(), woken: false, failed: None };
        let root = Arc::new(Self {
            path: path.into(),
            number,
            feed: Mutex::new(feed),
            files: files.clone(),
            thread: Mutex::new(send),
            trouble: Mutex::default(),
            id: OnceLock::new(),
            store: store_of(path),
        });
        let id = engine.add_root(root.clone());
        let _ = root.id.set(id);
        let found = adopt::settle(&*files, &unfinished, &started, same_boot);
        let mut thread = Thread {
            root: root.clone(),
            id,
            store,
            engine: engine.clone(),
            news,
            last_commit: Instant::now(),
            wait: Duration::ZERO,
            retry: None,
            pending: Vec::new(),
            listed: Instant::now(),
            listing,
        };
        thread.take_up(unfinished.works, found);
        std::thread::Builder::new()
            .name("root".to_owned())
            .stack_size(512 << 10)
            .spawn(move || thread.serve(&receive))
            .map_err(|error| failed("cannot start the thread for", error))?;
        Ok(root)
    }

    /// Whether the store at the root's path is still the one that was opened.
    pub(crate) fn is_in_place(&self) -> bool {
        store_of(&self.path) == self.store
    }

    /// The root's number in the engine.
    pub(crate) fn id(&self) -> RootId {
        self.id.get().copied().unwrap_or(RootId::MAX)
    }

    /// Bytes that went through the journal.
    pub(crate) fn journal_bytes(&self) -> u64 {
        self.feed.lock().unwrap_or_else(PoisonError::into_inner).journal.written()
    }

    fn send(&self, message: Message) {
        // The thread only ends when it is told to.
        let _ = self.thread.lock().unwrap_or_else(PoisonError::into_inner).send(message);
    }

    pub(crate) async fn submit(&self, batches: Vec<Submit>) -> Vec<Result<BatchId, Refusal>> {
        let (reply, answer) = oneshot::channel();
        let count = batches.len();
        self.send(Message::Submit(batches, reply));
        answer.await.unwrap_or_else(|_| (0..count).map(|_| Err(ending())).collect())
    }

    pub(crate) async fn resubmit(&self, what: Box<Resubmit>) -> Result<SubmissionNumber, Refusal> {
        let (reply, answer) = oneshot::channel();
        self.send(Message::Resubmit(what, reply));
        answer.await.unwrap_or_else(|_| Err(ending()))
    }

    pub(crate) async fn act(&self, action: Action, targets: Vec<Target>) -> Result<u64, Refusal> {
        let (reply, answer) = oneshot::channel();
        self.send(Message::Act(action, targets, reply));
        answer.await.unwrap_or_else(|_| Err(ending()))
    }

    /// Somebody looks after the root: a process that died over its own jobs is seen now.
    pub(crate) fn look_for_orphans(&self) {
        self.send(Message::Orphans);
    }

    pub(crate) fn intake(&self) {
        self.send(Message::Intake);
    }

    /// Commits what there is and ends the thread; answers whether the store has everything.
    pub(crate) fn close(&self) -> oneshot::Receiver<bool> {
        let (reply, answer) = oneshot::channel();
        self.send(Message::Close(reply));
        answer
    }
}

fn ending() -> Refusal {
    Refusal { kind: RefusalKind::Ending, message: "the runner is ending".to_owned() }
}

fn store_refusal(failure: StoreFailure) -> Refusal {
    Refusal { kind: RefusalKind::Store, message: failure.0 }
}

struct Thread {
    root: Arc<RunnerRoot>,
    id: RootId,
    store: Box<dyn RootStore>,
    engine: Engine,
    news: broadcast::Sender<News>,
    last_commit: Instant,
    /// How long after the last commit the next one is due.
    wait: Duration,
    /// What the queue did and the store did not: it is done with the next commit that works.
    pending: Vec<(BatchId, Option<IndexSet>, Change)>,
    /// The store or the journal failed: the next try, and how long we waited for it.
    retry: Option<(Instant, Duration)>,
    /// When `events/new` was last looked at, and how often it is where others write to it.
    listed: Instant,
    listing: Duration,
}

impl Thread {
    fn serve(mut self, messages: &Receiver<Message>) {
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

    /// Gives the store all events there are, and those that follow from them.
    fn commit(&mut self) {
        while self.commit_once() {}
    }

    /// True where it made jobs impossible that others waited for: more is to be committed.
    fn commit_once(&mut self) -> bool {
        let (events, failed) = {
            let mut feed = self.root.feed.lock().unwrap_or_else(PoisonError::into_inner);
            feed.woken = false;
            if self.retry.is_none() {
                feed.journal.turn();
            }
            (std::mem::take(&mut feed.events), feed.failed.take())
        };
        let result = if events.is_empty() { Ok(()) } else { self.feed_store(&events) };
        let result = result.and_then(|()| self.do_pending());
        if let Err(failure) = result {
            // Back to the front: the order of a job's facts is kept.
            let mut feed = self.root.feed.lock().unwrap_or_else(PoisonError::into_inner);
            let newer = std::mem::replace(&mut feed.events, events);
            feed.events.extend(newer);
            drop(feed);
            self.trouble(failure.0);
            return false;
        }
        {
            let mut feed = self.root.feed.lock().unwrap_or_else(PoisonError::into_inner);
            // After a failure both sides hold what the store has now; only what came since is new.
            let emptied = match self.retry {
                None => feed.journal.forget_other(),
                Some(_) if feed.events.is_empty() => feed.journal.forget_all(),
                Some(_) => Ok(()),
            };
            if let Err(error) = emptied {
                tracing::warn!("the journal of {} cannot be emptied: {error}", self.root.path.display());
            }
        }
        self.last_commit = Instant::now();
        self.wait = LONGEST_GROUP.min(PER_EVENT * events.len() as u32);
        match failed {
            Some(why) => self.trouble(why),
            None if self.retry.is_some() => {
                self.retry = None;
                *self.root.trouble.lock().unwrap_or_else(PoisonError::into_inner) = None;
                tracing::info!("{} works again", self.root.path.display());
                self.engine.pause_root(self.id, false);
                // What could not be obeyed meanwhile.
                self.root.intake();
            }
            None => {}
        }
        let batches: BTreeSet<_> = events.iter().map(Event::batch).collect();
        self.tell(batches);
        self.release_dependents(&events);
        self.retry.is_none()
            && self.root.feed.lock().unwrap_or_else(PoisonError::into_inner).events.iter().any(is_doom)
    }

    /// Tells those that wait for the ends that the store has now.
    fn release_dependents(&self, events: &[Event]) {
        let mut ends: BTreeMap<BatchId, [Vec<(u32, u32)>; 3]> = BTreeMap::new();
        for event in events {
            match event {
                Event::Started { batch, index, .. } => {
                    ends.entry(*batch).or_default()[2].push((*index, *index + 1));
                }
                Event::Ended(ended) => {
                    let failed = usize::from(ended.cause != Cause::Exit(0));
                    ends.entry(ended.batch).or_default()[failed].push((ended.index, ended.index + 1));
                }
                Event::Unstarted { batch, jobs, .. } => {
                    ends.entry(*batch).or_default()[1].extend_from_slice(jobs.ranges());
                }
            }
        }
        for (batch, [succeeded, failed, started]) in ends {
            let key = (self.id, batch);
            if self.engine.has_dependents(key) {
                self.engine.happened(key, &started.into_iter().collect(), Happened::Started);
                self.engine.happened(key, &succeeded.into_iter().collect(), Happened::Succeeded);
                self.engine.happened(key, &failed.into_iter().collect(), Happened::Failed);
            }
        }
    }

    /// What could not be told the store before.
    fn do_pending(&mut self) -> Result<(), StoreFailure> {
        while let Some((batch, jobs, change)) = self.pending.first() {
            self.store.change(*batch, jobs.as_ref(), change)?;
            self.pending.remove(0);
        }
        Ok(())
    }

    fn feed_store(&mut self, events: &[Event]) -> Result<(), StoreFailure> {
        // The outputs first: no record may name bytes that a power cut could take.
        let packs: BTreeSet<_> = events.iter().filter_map(pack_of).collect();
        for (batch, k) in packs {
            let path = self.root.path.join("jobs").join(batch.to_string()).join(format!("{k}.pack"));
            let synced = std::fs::File::open(&path).and_then(|pack| pack.sync_data());
            if let Err(error) = synced
                && error.kind() != io::ErrorKind::NotFound
            {
                return Err(StoreFailure(format!("{} cannot be put on disk: {error}", path.display())));
            }
        }
        self.store.commit(&without_overtaken(events))
    }

    /// The disk is full, or the root is gone: nothing of it starts until it works again.
    fn trouble(&mut self, why: String) {
        let wait = self.retry.map_or(FIRST_RETRY, |(_, wait)| LAST_RETRY.min(wait * 2));
        if self.retry.is_none() {
            tracing::error!("{}: {why}", self.root.path.display());
            self.engine.pause_root(self.id, true);
        }
        *self.root.trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
        self.retry = Some((Instant::now() + wait, wait));
    }

    fn tell(&self, batches: BTreeSet<BatchId>) {
        if !batches.is_empty() {
            // Nobody may be listening.
            let _ =
                self.news.send(News { root: self.root.path.clone(), batches: batches.into_iter().collect() });
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

    fn act(&mut self, action: &Action, targets: Vec<Target>) -> Result<u64, Refusal> {
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

    fn intake(&mut self) {
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
    fn next_listing(&self) -> Option<Instant> {
        (self.store.is_shared() && self.engine.has_root_work(self.id)).then(|| self.listed + self.listing)
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
            self.take_up(Vec::new(), found);
        }
    }

    /// What the last runner left: queued jobs are queued, ended ones recorded, running ones watched.
    fn take_up(&mut self, works: Vec<WorkPlan>, found: Vec<Found>) {
        let mut settled: Vec<(BatchId, u32)> = Vec::new();
        let mut again: Vec<(BatchId, u32)> = Vec::new();
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
                Found::NeverBegan { batch, index } => again.push((batch, index)),
            }
        }
        let works = works
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
        self.enqueue(works);
        self.commit();
    }
}

/// Device and inode of the store in a root.
fn store_of(root: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    let metadata = std::fs::metadata(root.join("store.db")).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

/// Whether it is about jobs that never ran, and others may wait for them.
fn is_doom(event: &Event) -> bool {
    matches!(event, Event::Unstarted { .. })
}

fn pack_of(event: &Event) -> Option<(BatchId, u32)> {
    let Event::Ended(Ended { batch, k, out, err, .. }) = event else { return None };
    let packed = |place: &StreamPlace| matches!(place, StreamPlace::Pack { len: 1.., .. });
    (packed(out) || packed(err)).then_some((*batch, *k))
}

/// The events without starts of jobs whose end is among them.
fn without_overtaken(events: &[Event]) -> Vec<Event> {
    let ended: BTreeSet<_> = events
        .iter()
        .filter_map(|event| match event {
            Event::Ended(ended) => Some((ended.batch, ended.index, ended.run)),
            _ => None,
        })
        .collect();
    let overtaken = |event: &&Event| match event {
        Event::Started { batch, index, run, .. } => !ended.contains(&(*batch, *index, *run)),
        _ => true,
    };
    events.iter().filter(overtaken).cloned().collect()
}

/// The time of a look at the clock, for those who have no event's own.
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}
