//! One root in the runner: its journal, the thread that feeds its store, and its place in the engine.

mod act;
mod commit;
mod thread;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use cluster_core::{BatchId, SubmissionNumber, Timestamp};
use tokio::sync::{broadcast, oneshot};

use super::adopt;
use super::former::{Former, HANDED_ON};
use super::origin::Origin;
use super::protocol::{Action, Refusal, RefusalKind, Resubmit, Submit, Target};
use super::store::{RootFiles, RootStore, StoreFailure};
use crate::engine::Engine;
use crate::event::Event;
use crate::journal::Journal;
use crate::queue::RootId;
use crate::slot_table::{Entry, SlotTable, StartedBy};
use crate::submission::{Root, Submission};
use thread::Thread;

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
    /// Whether it lies on a file system of the network, where a look at it may hang.
    pub(crate) shared: bool,
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
    /// The slot table of the runner.
    pub(crate) slots: PathBuf,
    pub(crate) store: Box<dyn RootStore>,
    pub(crate) files: Arc<dyn RootFiles>,
    pub(crate) engine: &'a Engine,
    pub(crate) news: broadcast::Sender<News>,
    /// What the last runner's slots had started in this root.
    pub(crate) started: Vec<Entry>,
    /// How often `events/new` is listed where other hosts write to it: [`LISTING`], but for tests.
    pub(crate) listing: Duration,
}

impl RunnerRoot {
    /// Settles what the last runner left, queues what is queued, and starts the root's thread.
    pub(crate) fn open(opening: Opening<'_>) -> Result<Arc<Self>, StoreFailure> {
        let Opening { path, number, dir, slots, mut store, files, engine, news, mut started, listing } =
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
        let here = Origin::here(store.id()?);
        let was = Origin::read(&dir);
        let (handed_on, known) = SlotTable::open(&dir.join(HANDED_ON))
            .map_err(|error| failed("cannot read the slots in", error))?;
        started.extend(known);
        if was.as_ref().is_some_and(|was| !was.is_store_of(&here)) {
            // The root was removed and made anew: the same numbers are other jobs.
            tracing::warn!(
                "what was left in {} is of a store that is gone from {}",
                dir.display(),
                path.display()
            );
            let mut forget = || {
                journal.forget_all()?;
                handed_on.clear()?;
                SlotTable::open(&slots)?.0.forget_root(number)
            };
            forget().map_err(|error| failed("cannot empty", error))?;
            started.clear();
        } else if !left.is_empty() {
            store.commit(&left)?;
            journal.forget_all().map_err(|error| failed("cannot empty the journal in", error))?;
        }
        let same_boot = was.is_none_or(|was| was.is_boot_of(&here));
        if !same_boot {
            started.iter_mut().for_each(|entry| entry.by = StartedBy::EarlierBoot);
        }
        started.extend(take_over(&mut *store, path, number, &handed_on, &here)?);
        let origin = here.prepare(&dir).map_err(|error| failed("cannot write to", error))?;
        let unfinished = store.unfinished()?;
        let (send, receive) = channel();
        let feed = Feed { journal, events: Vec::new(), woken: false, failed: None };
        let shared = store.is_shared();
        let root = Arc::new(Self {
            path: path.into(),
            number,
            feed: Mutex::new(feed),
            files: files.clone(),
            thread: Mutex::new(send),
            trouble: Mutex::default(),
            id: OnceLock::new(),
            store: store_of(path),
            shared,
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
        let works = thread.take_up(unfinished.works, found);
        // What was left is settled, and what starts now is of this boot.
        if let Err(error) = origin.take_place() {
            tracing::error!("{}: {error}", dir.display());
        }
        thread.begin(works);
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

/// Takes over what dead runners of other directories left of the root: their slots are written to `table`, too.
fn take_over(
    store: &mut dyn RootStore,
    path: &Path,
    number: u64,
    table: &SlotTable,
    here: &Origin,
) -> Result<Vec<Entry>, StoreFailure> {
    let homes = store.former_homes();
    let mut all = Vec::new();
    for home in &homes {
        let failed = |error: io::Error| {
            StoreFailure(format!("cannot take over what a runner left in {}: {error}", home.display()))
        };
        let Some(former) = Former::of(home, path, here).map_err(failed)? else { continue };
        store.commit(&former.events)?;
        let first = table.slots().map_err(failed)?;
        for (slot, entry) in former.started.iter().enumerate() {
            let entry = Entry { root: number, ..*entry };
            table.write(first + slot, &entry).map_err(failed)?;
            all.push(entry);
        }
        former.forget().map_err(failed)?;
    }
    if !homes.is_empty() {
        store.forget_former_homes()?;
    }
    Ok(all)
}

fn ending() -> Refusal {
    Refusal { kind: RefusalKind::Ending, message: "the runner is ending".to_owned() }
}

/// Device and inode of the store in a root.
fn store_of(root: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    let metadata = std::fs::metadata(root.join("store.db")).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

/// The time of a look at the clock, for those who have no event's own.
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}

#[cfg(test)]
mod tests;
