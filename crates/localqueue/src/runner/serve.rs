//! The runner's process: lock, socket, roots, and when it ends.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use cluster_core::Timestamp;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::net::UnixListener;
use tokio::sync::{Notify, broadcast};

use super::conversation;
use super::leases::Leases;
use super::origin::Origin;
use super::place::{Place, PlaceError};
use super::protocol::{Refusal, RefusalKind};
use super::reserved::Reserved;
use super::root::{LISTING, News, Opening, RunnerRoot};
use super::store::{OpenedRoot, RootOpener, StoreFailure};
use crate::capacity::Amount;
use crate::cgroup::{Contained, Delegated};
use crate::engine::Engine;
use crate::launch::Launch;
use crate::slot_table::{Entry, SlotTable};

/// How a runner is to be.
pub struct Settings {
    /// Where it lives.
    pub place: Place,
    /// What jobs may take, from the configuration; `cluster local set` goes over it.
    pub limit: Amount,
    /// What the machine allows.
    pub machine: Amount,
    /// It ends when nothing was to do for this long.
    pub idle_exit: Duration,
    /// How it outlives the terminal, for `local status`.
    pub lives_by: String,
    /// What starts its jobs.
    pub launch: Box<dyn Launch>,
    /// What opens roots.
    pub opener: Arc<dyn RootOpener>,
    /// The root of the command that started it, which will ask for it at once: opened while that connects.
    pub first_root: Option<PathBuf>,
}

/// A root whose store is being opened.
type OnItsWay = (PathBuf, JoinHandle<Option<Result<OpenedRoot, StoreFailure>>>);

/// A runner that could not run.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RunnerError {
    /// Its directory cannot be used.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// Something of the system's failed.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// The system's reason.
        source: io::Error,
    },
}

/// Limits given by `cluster local set`.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(super) struct Limits {
    pub(super) cores: Option<u32>,
    pub(super) mem_mb: Option<u64>,
}

pub(super) struct Runner {
    pub(super) place: Place,
    pub(super) engine: Engine,
    opener: Arc<dyn RootOpener>,
    pub(super) news: broadcast::Sender<News>,
    pub(super) roots: tokio::sync::Mutex<HashMap<PathBuf, Arc<RunnerRoot>>>,
    /// The first root's store, on its way.
    first: Mutex<Option<OnItsWay>>,
    opening: Mutex<HashMap<PathBuf, Arc<Mutex<()>>>>,
    /// What the last runner's slots had started, by root.
    started: Mutex<HashMap<u64, Vec<Entry>>>,
    /// Kept for the running jobs of roots that are not open yet, by root: else others would get their cores.
    reserved: Reserved,
    pub(super) leases: Leases,
    pub(super) machine: Amount,
    /// The limit of the configuration.
    pub(super) configured: Amount,
    pub(super) limits: Mutex<Limits>,
    pub(super) lives_by: String,
    pub(super) since: Timestamp,
    /// Counts everything that anybody asked, to see whether anything happens.
    pub(super) activity: AtomicU64,
    pub(super) connections: AtomicU64,
    pub(super) ending: AtomicBool,
    end: Notify,
    rebind: Notify,
    watch: Option<super::watch_dirs::Watch>,
    /// The control groups of jobs, where there are any.
    pub(super) groups: Option<Arc<Delegated>>,
}

/// Runs until it is stopped or has nothing to do. Writes `ready` to `word` once clients may connect,
/// `busy` where another runner has the lock; then `word` is dropped.
///
/// # Errors
/// Where the directory or the socket cannot be used.
pub fn run(settings: Settings, mut word: impl Write) -> Result<(), RunnerError> {
    let place = settings.place.clone();
    place.ensure()?;
    let Some(lock) = place.lock()? else {
        let _ = writeln!(word, "busy");
        return Ok(());
    };
    // Beside all that follows here, which takes about as long.
    let first = settings.first_root.map(|path| {
        let (opener, opened) = (settings.opener.clone(), path.clone());
        // Even a look at it may hang. What is no root yet is made by a submission, not by this.
        (path, std::thread::spawn(move || is_root(&opened).then(|| opener.open(&opened))))
    });
    let first_root = first.as_ref().map(|(path, _)| path.clone());
    let failed = |what: &str| {
        let what = what.to_owned();
        move |source| RunnerError::Io { what, source }
    };
    let (table, mut left) = SlotTable::open(&place.slots()).map_err(failed("the slot table"))?;
    if std::fs::read_dir(place.roots()).is_ok_and(|mut roots| roots.next().is_none()) {
        // Of roots that are done with nothing is to be settled, and the table need not grow from start to start.
        table.clear().map_err(failed("the slot table"))?;
        left.clear();
    }
    // What is not settled yet is not written over.
    let first_slot = if left.is_empty() { 0 } else { table.slots().map_err(failed("the slot table"))? };
    let limits: Limits = std::fs::read(place.limits())
        .ok()
        .and_then(|text| serde_json::from_slice(&text).ok())
        .unwrap_or_default();
    let groups = Delegated::of_this_process().map(Arc::new);
    let launch = match &groups {
        Some(groups) => Box::new(Contained { inner: settings.launch, groups: groups.clone() }),
        None => settings.launch,
    };
    let engine = Engine::new(limited(settings.limit, limits), launch, Some(table), first_slot);
    let (news, _) = broadcast::channel(1024);
    let mut started: HashMap<u64, Vec<Entry>> = HashMap::new();
    for entry in left {
        started.entry(entry.root).or_default().push(entry);
    }
    let here = Origin::here(String::new());
    let of_this_boot =
        |root: u64| Origin::read(&place.root_dir(root)).is_some_and(|origin| origin.is_boot_of(&here));
    let running = started.iter().filter(|(root, _)| of_this_boot(**root)).flat_map(|(_, entries)| entries);
    let reserved = Reserved::new(&engine, running);
    let leases = Leases::new(&engine);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .map_err(failed("the event loop"))?;
    let runner = Arc::new(Runner {
        place: place.clone(),
        engine,
        opener: settings.opener,
        news,
        roots: tokio::sync::Mutex::default(),
        first: Mutex::new(first),
        opening: Mutex::default(),
        started: Mutex::new(started),
        reserved,
        leases,
        machine: settings.machine,
        configured: settings.limit,
        limits: Mutex::new(limits),
        lives_by: settings.lives_by,
        since: Timestamp::now(),
        activity: AtomicU64::new(0),
        connections: AtomicU64::new(0),
        ending: AtomicBool::new(false),
        end: Notify::new(),
        rebind: Notify::new(),
        watch: super::watch_dirs::Watch::new(),
        groups,
    });
    runtime.block_on(async {
        let mut listener = bind(&place).map_err(failed("the socket"))?;
        let _ = writeln!(word, "ready");
        drop(word);
        runner.take_up_roots(first_root);
        Runner::watch_directories(&runner);
        Runner::end_when_idle(&runner, settings.idle_exit);
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        tokio::spawn(conversation::serve(runner.clone(), stream));
                    }
                    Err(error) => {
                        tracing::warn!("a connection failed: {error}");
                        tokio::task::yield_now().await;
                    }
                },
                () = runner.rebind.notified() => match bind(&place) {
                    Ok(anew) => listener = anew,
                    Err(error) => tracing::warn!("the socket cannot be made anew: {error}"),
                },
                () = runner.end.notified() => break,
            }
        }
        // Nobody connects from here on; a client that was just about to starts the next runner.
        drop(listener);
        let _ = std::fs::remove_file(place.socket());
        runner.finish().await;
        Ok::<(), RunnerError>(())
    })?;
    drop(lock);
    Ok(())
}

pub(super) fn limited(configured: Amount, limits: Limits) -> Amount {
    Amount {
        cores: limits.cores.unwrap_or(configured.cores),
        mem_mb: limits.mem_mb.unwrap_or(configured.mem_mb),
    }
}

/// A short name for a file through its open directory, for paths longer than a socket's may be.
pub(crate) fn through(dir: &File, path: &Path) -> PathBuf {
    Path::new("/proc/self/fd").join(dir.as_raw_fd().to_string()).join(path.file_name().unwrap_or_default())
}

/// Makes the socket anew: only the lock's holder comes here.
fn bind(place: &Place) -> io::Result<UnixListener> {
    let path = place.socket();
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    if path.as_os_str().len() < 100 {
        return UnixListener::bind(&path);
    }
    let dir = File::open(place.dir())?;
    UnixListener::bind(through(&dir, &path))
}

/// Whether there is a store.
fn is_root(path: &Path) -> bool {
    path.join("store.db").exists()
}

impl Runner {
    /// The root at `path`, opened where it is not yet. A root that hangs keeps only its own clients waiting.
    pub(super) async fn root(self: &Arc<Self>, path: &Path) -> Result<Arc<RunnerRoot>, Refusal> {
        let known = self.roots.lock().await.get(path).cloned();
        if let Some(root) = known.filter(|root| !root.shared && root.is_in_place()) {
            return Ok(root);
        }
        let (runner, owned) = (self.clone(), path.to_owned());
        let opened = tokio::task::spawn_blocking(move || runner.open(&owned)).await;
        opened.unwrap_or_else(|error| {
            Err(refusal(RefusalKind::Store, format!("opening the root failed: {error}")))
        })
    }

    fn open(self: &Arc<Self>, path: &Path) -> Result<Arc<RunnerRoot>, Refusal> {
        let store_failed = |failure: StoreFailure| refusal(RefusalKind::Store, failure.0);
        // One at a time for each path: two would queue its jobs twice. Another path does not wait.
        let turn = {
            let mut opening = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
            opening.entry(path.to_owned()).or_default().clone()
        };
        let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
        let (number, dir) = self.place.root(path);
        let known = self.roots.blocking_lock().get(path).cloned();
        if let Some(root) = known {
            if root.is_in_place() {
                return Ok(root);
            }
            // Removed, and perhaps made again: what we have open is nobody's any more.
            tracing::warn!("the root {} was removed or replaced", path.display());
            self.roots.blocking_lock().remove(path);
            self.engine.remove_root(root.id());
            let _ = root.close().blocking_recv();
            let _ = SlotTable::open(&self.place.slots()).and_then(|(table, _)| table.forget_root(number));
            let _ = std::fs::remove_dir_all(&dir);
        }
        let first =
            self.first.lock().unwrap_or_else(PoisonError::into_inner).take_if(|(first, _)| first == path);
        let opened = first.and_then(|(_, thread)| thread.join().ok().flatten());
        let opened = opened.unwrap_or_else(|| self.opener.open(path));
        let (store, files) = opened.map_err(|failure| {
            self.reserved.give_back_at_ends(number);
            store_failed(failure)
        })?;
        let started = self
            .started
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&number)
            .cloned()
            .unwrap_or_default();
        let opened = RunnerRoot::open(Opening {
            path,
            number,
            dir,
            slots: self.place.slots(),
            store,
            files,
            engine: &self.engine,
            news: self.news.clone(),
            started,
            listing: LISTING,
        });
        let root = opened.map_err(|failure| {
            self.reserved.give_back_at_ends(number);
            store_failed(failure)
        })?;
        // Its running jobs have their part of the machine themselves now.
        self.reserved.give_back(number);
        self.started.lock().unwrap_or_else(PoisonError::into_inner).remove(&number);
        if let Some(watch) = &self.watch {
            watch.add_root(path);
        }
        root.intake();
        self.roots.blocking_lock().insert(path.to_owned(), root.clone());
        Ok(root)
    }

    /// Opens every root that had unfinished jobs, and the first one.
    fn take_up_roots(self: &Arc<Self>, first: Option<PathBuf>) {
        use std::os::unix::ffi::OsStringExt;
        let registered: Vec<_> = std::fs::read_dir(self.place.roots())
            .into_iter()
            .flatten()
            .filter_map(|entry| std::fs::read(entry.ok()?.path().join("path")).ok())
            .map(|path| PathBuf::from(std::ffi::OsString::from_vec(path)))
            .collect();
        let new = first.filter(|path| !registered.contains(path));
        let known = registered.into_iter().map(|path| (path, true));
        for (path, registered) in new.into_iter().map(|path| (path, false)).chain(known) {
            let runner = self.clone();
            // Each by itself: one that hangs or is gone keeps nobody else back.
            tokio::task::spawn_blocking(move || {
                if is_root(&path) {
                    if let Err(error) = runner.open(&path) {
                        tracing::error!("{}: {}", path.display(), error.message);
                    }
                } else if registered {
                    let (number, dir) = runner.place.root(&path);
                    tracing::warn!("the root {} is gone; {} is kept", path.display(), dir.display());
                    runner.reserved.give_back_at_ends(number);
                }
            });
        }
    }

    /// Jobs drop events into their root; and where our own directory goes, we go.
    fn watch_directories(self: &Arc<Self>) {
        let Some(watch) = &self.watch else { return };
        watch.add_home(self.place.dir());
        let (runner, watch) = (self.clone(), watch.clone());
        let handle = tokio::runtime::Handle::current();
        let spawned =
            std::thread::Builder::new().name("watch".to_owned()).stack_size(128 << 10).spawn(move || {
                watch.run(|what| match what {
                    super::watch_dirs::Seen::HomeGone => {
                        tracing::warn!("the runner's directory was removed: it ends");
                        runner.begin_end();
                    }
                    // Its own end removes it as well.
                    super::watch_dirs::Seen::SocketGone if runner.ending.load(Ordering::SeqCst) => {}
                    super::watch_dirs::Seen::SocketGone => {
                        tracing::warn!("somebody removed the socket: it is made anew");
                        runner.rebind.notify_one();
                    }
                    super::watch_dirs::Seen::Events(path) => {
                        let runner = runner.clone();
                        handle.spawn(async move {
                            if let Some(root) = runner.roots.lock().await.get(&path) {
                                root.intake();
                            }
                        });
                    }
                });
            });
        if let Err(error) = spawned {
            tracing::warn!("directories are not watched: {error}");
        }
    }

    /// Ends the runner when for `idle` nobody asked and nothing ran. Looks twice in that time, no more:
    /// an idle runner must not wake the machine.
    fn end_when_idle(self: &Arc<Self>, idle: Duration) {
        let runner = self.clone();
        let look = idle.div_f64(2.0).max(Duration::from_millis(20));
        let watch = move || {
            let mut last = (u64::MAX, 0);
            loop {
                std::thread::sleep(look);
                let status = runner.engine.status();
                let activity = runner.activity.load(Ordering::SeqCst);
                let busy = status.running > 0
                    || runner.connections.load(Ordering::SeqCst) > 0
                    || (status.waiting.queued > 0 && runner.engine.could_start());
                if busy || activity != last.0 {
                    last = (activity, 0);
                    continue;
                }
                last.1 += 1;
                if last.1 >= 2 {
                    runner.begin_end();
                    return;
                }
            }
        };
        let spawned = std::thread::Builder::new().name("idle".to_owned()).stack_size(64 << 10).spawn(watch);
        if let Err(error) = spawned {
            tracing::warn!("the runner will not end when idle: {error}");
        }
    }

    pub(super) fn begin_end(&self) {
        self.ending.store(true, Ordering::SeqCst);
        self.end.notify_one();
    }

    /// Lets bare jobs end (nobody else would see how), commits everything, forgets roots that are done.
    async fn finish(self: &Arc<Self>) {
        self.engine.set_draining(true);
        let engine = self.engine.clone();
        let _ = tokio::task::spawn_blocking(move || engine.wait_bare()).await;
        self.engine.report_running();
        let roots: Vec<_> = self.roots.lock().await.drain().collect();
        for (path, root) in roots {
            let complete = root.close().await.unwrap_or(false);
            if complete && !self.engine.has_root_work(root.id()) {
                let (_, dir) = self.place.root(&path);
                let _ = std::fs::remove_dir_all(dir);
            }
        }
    }
}

pub(super) fn refusal(kind: RefusalKind, message: impl Into<String>) -> Refusal {
    Refusal { kind, message: message.into() }
}
