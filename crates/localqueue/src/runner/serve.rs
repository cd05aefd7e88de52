//! The runner's process: lock, socket, roots, and when it ends.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cluster_core::{ByteString, JobId, Timestamp};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Notify, broadcast};

use super::place::{Place, PlaceError};
use super::protocol::{Refusal, RefusalKind, Reply, Report, Request, RootReport, VERSION, frame, frame_len};
use super::roots::{LISTING, News, Opening, RunnerRoot};
use super::store::RootOpener;
use crate::capacity::Amount;
use crate::engine::Engine;
use crate::launch::Launch;
use crate::machine::Identity;
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
}

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
struct Limits {
    cores: Option<u32>,
    mem_mb: Option<u64>,
}

struct Runner {
    place: Place,
    engine: Engine,
    opener: Arc<dyn RootOpener>,
    news: broadcast::Sender<News>,
    roots: tokio::sync::Mutex<HashMap<PathBuf, Arc<RunnerRoot>>>,
    opening: Mutex<HashMap<PathBuf, Arc<Mutex<()>>>>,
    /// What the last runner's slots had started, by root.
    started: Mutex<HashMap<u64, Vec<Entry>>>,
    /// Kept for the running jobs of roots that are not open yet, by root: else others would get their cores.
    reserved: Mutex<HashMap<u64, Amount>>,
    same_boot: bool,
    machine: Amount,
    /// The limit of the configuration.
    configured: Amount,
    limits: Mutex<Limits>,
    lives_by: String,
    since: Timestamp,
    /// Counts everything that anybody asked, to see whether anything happens.
    activity: AtomicU64,
    connections: AtomicU64,
    ending: AtomicBool,
    end: Notify,
    watch: Option<super::watch_dirs::Watch>,
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
    let failed = |what: &str| {
        let what = what.to_owned();
        move |source| RunnerError::Io { what, source }
    };
    let identity = Identity::here();
    let identity_file = place.dir().join("identity");
    let same_boot =
        std::fs::read_to_string(&identity_file).is_ok_and(|text| text == identity_text(&identity));
    let (table, left) = SlotTable::open(&place.slots()).map_err(failed("the slot table"))?;
    let first_slot = if left.is_empty() { 0 } else { left.len() };
    std::fs::write(&identity_file, identity_text(&identity)).map_err(failed("the identity file"))?;
    let limits: Limits = std::fs::read(place.limits())
        .ok()
        .and_then(|text| serde_json::from_slice(&text).ok())
        .unwrap_or_default();
    let engine = Engine::new(limited(settings.limit, limits), settings.launch, Some(table), first_slot);
    let (news, _) = broadcast::channel(1024);
    let mut started: HashMap<u64, Vec<Entry>> = HashMap::new();
    let mut reserved: HashMap<u64, Amount> = HashMap::new();
    for entry in left {
        if same_boot && super::adopt::is_alive(&entry) {
            let need = Amount { cores: entry.cores, mem_mb: entry.mem_mb };
            let kept = reserved.entry(entry.root).or_default();
            *kept = kept.saturating_add(&need);
            engine.reserve(need);
        }
        started.entry(entry.root).or_default().push(entry);
    }
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
        opening: Mutex::default(),
        started: Mutex::new(started),
        reserved: Mutex::new(reserved),
        same_boot,
        machine: settings.machine,
        configured: settings.limit,
        limits: Mutex::new(limits),
        lives_by: settings.lives_by,
        since: Timestamp::now(),
        activity: AtomicU64::new(0),
        connections: AtomicU64::new(0),
        ending: AtomicBool::new(false),
        end: Notify::new(),
        watch: super::watch_dirs::Watch::new(),
    });
    runtime.block_on(async {
        let listener = bind(&place).map_err(failed("the socket"))?;
        let _ = writeln!(word, "ready");
        drop(word);
        runner.clone().take_up_roots().await;
        Runner::watch_directories(&runner);
        Runner::end_when_idle(&runner, settings.idle_exit);
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        tokio::spawn(serve(runner.clone(), stream));
                    }
                    Err(error) => {
                        tracing::warn!("a connection failed: {error}");
                        tokio::task::yield_now().await;
                    }
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

fn identity_text(identity: &Identity) -> String {
    format!("{}\n{}\n", identity.machine, identity.boot)
}

fn limited(configured: Amount, limits: Limits) -> Amount {
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

impl Runner {
    /// The root at `path`, opened where it is not yet. A root that hangs keeps only its own clients waiting.
    async fn root(self: &Arc<Self>, path: &Path) -> Result<Arc<RunnerRoot>, Refusal> {
        let known = self.roots.lock().await.get(path).cloned();
        match known {
            Some(root) if root.is_in_place() => return Ok(root),
            Some(gone) => {
                // Removed, and perhaps made again: what we have open is nobody's any more.
                tracing::warn!("the root {} was removed or replaced", path.display());
                self.roots.lock().await.remove(path);
                self.engine.remove_root(gone.id());
                let _ = gone.close().await;
                let _ = std::fs::remove_dir_all(self.place.root(path).1);
            }
            None => {}
        }
        let (runner, owned) = (self.clone(), path.to_owned());
        let opened = tokio::task::spawn_blocking(move || runner.open(&owned)).await;
        opened.unwrap_or_else(|error| {
            Err(refusal(RefusalKind::Store, format!("opening the root failed: {error}")))
        })
    }

    fn open(self: &Arc<Self>, path: &Path) -> Result<Arc<RunnerRoot>, Refusal> {
        let store_failed = |failure: super::store::StoreFailure| refusal(RefusalKind::Store, failure.0);
        // One at a time for each path: two would queue its jobs twice. Another path does not wait.
        let turn = {
            let mut opening = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
            opening.entry(path.to_owned()).or_default().clone()
        };
        let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(root) = self.roots.blocking_lock().get(path) {
            return Ok(root.clone());
        }
        let (store, files) = self.opener.open(path).map_err(store_failed)?;
        let (number, dir) = self.place.root(path);
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
            store,
            files,
            engine: &self.engine,
            news: self.news.clone(),
            started,
            same_boot: self.same_boot,
            listing: LISTING,
        });
        // Its running jobs have their part of the machine themselves now.
        self.drop_reserve(number);
        let root = opened.map_err(store_failed)?;
        self.started.lock().unwrap_or_else(PoisonError::into_inner).remove(&number);
        if let Some(watch) = &self.watch {
            watch.add_root(path);
        }
        root.intake();
        self.roots.blocking_lock().insert(path.to_owned(), root.clone());
        Ok(root)
    }

    /// What was kept for the jobs of a root that a dead runner left is free.
    fn drop_reserve(&self, number: u64) {
        let kept = self.reserved.lock().unwrap_or_else(PoisonError::into_inner).remove(&number);
        if let Some(kept) = kept {
            self.engine.give_back(kept);
        }
    }

    /// Opens every root that had unfinished jobs.
    async fn take_up_roots(self: Arc<Self>) {
        use std::os::unix::ffi::OsStringExt;
        let registered = std::fs::read_dir(self.place.roots()).into_iter().flatten();
        let paths: Vec<_> = registered
            .filter_map(|entry| std::fs::read(entry.ok()?.path().join("path")).ok())
            .map(|path| PathBuf::from(std::ffi::OsString::from_vec(path)))
            .collect();
        for path in paths {
            let runner = self.clone();
            // Each by itself: one that hangs or is gone keeps nobody else back.
            tokio::spawn(async move {
                if !path.join("store.db").exists() {
                    let (_, dir) = runner.place.root(&path);
                    tracing::warn!("the root {} is gone; {} is kept", path.display(), dir.display());
                    runner.drop_reserve(runner.place.root(&path).0);
                    return;
                }
                if let Err(error) = runner.root(&path).await {
                    tracing::error!("{}: {}", path.display(), error.message);
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

    fn begin_end(&self) {
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

    async fn report(&self) -> Report {
        let status = self.engine.status();
        let mut roots: Vec<_> = self
            .roots
            .lock()
            .await
            .values()
            .map(|root| RootReport {
                path: root.path.to_path_buf().into(),
                trouble: root.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone(),
                journal_bytes: root.journal_bytes(),
            })
            .collect();
        roots.sort_by(|a, b| a.path.cmp(&b.path));
        Report {
            pid: std::process::id(),
            started: self.since,
            dir: ByteString::from(self.place.dir().to_owned()),
            machine: self.machine,
            limit: status.capacity,
            taken: status.taken,
            running: u64::from(status.running),
            queued: status.waiting.queued,
            held: status.waiting.held,
            draining: status.draining,
            lives_by: self.lives_by.clone(),
            not_enforced: vec![
                "memory: a job that uses more than it asked for is not stopped".to_owned(),
                "processes that leave a job's group by setsid are not ended with it".to_owned(),
            ],
            roots,
        }
    }

    fn set_capacity(&self, cores: Option<u32>, mem_mb: Option<u64>) -> Result<(), Refusal> {
        if cores == Some(0) {
            return Err(refusal(
                RefusalKind::Usage,
                "0 cores would start nothing: `cluster local drain` does that",
            ));
        }
        let mut limits = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        limits.cores = cores.or(limits.cores);
        limits.mem_mb = mem_mb.or(limits.mem_mb);
        let write = || std::fs::write(self.place.limits(), serde_json::to_vec(&*limits)?);
        write().map_err(|error: io::Error| {
            refusal(RefusalKind::Store, format!("{}: {error}", self.place.limits().display()))
        })?;
        self.engine.set_capacity(limited(self.configured, *limits));
        Ok(())
    }

    async fn answer(self: &Arc<Self>, request: Request) -> Reply {
        let result = match request {
            Request::Hello { version } if version == VERSION => {
                Ok(Reply::Hello { version: VERSION, pid: std::process::id() })
            }
            Request::Hello { .. } => Ok(Reply::Hello { version: VERSION, pid: std::process::id() }),
            Request::Submit { root, batches } => match self.root(root.as_path()).await {
                Ok(root) => self.submit(&root, batches).await,
                Err(refusal) => Err(refusal),
            },
            Request::Resubmit { root, what } => match self.root(root.as_path()).await {
                Ok(root) => root.resubmit(what).await.map(Reply::Resubmitted),
                Err(refusal) => Err(refusal),
            },
            Request::Act { root, action, targets } => match self.root(root.as_path()).await {
                Ok(root) => root.act(action, targets).await.map(Reply::Acted),
                Err(refusal) => Err(refusal),
            },
            Request::Attach { root } => self.root(root.as_path()).await.map(|root| {
                root.look_for_orphans();
                Reply::Done
            }),
            Request::Status => Ok(Reply::Status(Box::new(self.report().await))),
            Request::SetCapacity { cores, mem_mb } => self.set_capacity(cores, mem_mb).map(|()| Reply::Done),
            Request::Drain(on) => {
                self.engine.set_draining(on);
                Ok(Reply::Done)
            }
            Request::Stop { wait } => {
                self.engine.set_draining(true);
                // While bare jobs end, which nobody else could see, we are still here to answer.
                let engine = self.engine.clone();
                let quiet = move || if wait { engine.wait_quiet() } else { engine.wait_bare() };
                let _ = tokio::task::spawn_blocking(quiet).await;
                self.begin_end();
                Ok(Reply::Done)
            }
            Request::Watch { .. } | Request::Lease(_) => {
                Err(refusal(RefusalKind::Usage, "this has a connection of its own"))
            }
        };
        result.unwrap_or_else(Reply::Refused)
    }

    /// Jobs larger than the machine are refused here, with the numbers; the others go on to the store.
    async fn submit(
        &self,
        root: &RunnerRoot,
        batches: Vec<super::protocol::Submit>,
    ) -> Result<Reply, Refusal> {
        if self.ending.load(Ordering::SeqCst) {
            return Err(refusal(RefusalKind::Ending, "the runner is ending"));
        }
        let capacity = self.engine.status().capacity;
        let too_large = |batch: &super::protocol::Submit| {
            let need = need_of(&batch.spec.resources);
            (!capacity.fits(&need)).then(|| {
                refusal(
                    RefusalKind::TooLarge,
                    format!(
                        "a job of {} asks for {} cores and {} MB, and jobs here may take {} cores and {} MB in all: \
                         ask for less, use --fit, or raise the limit by `cluster local set`",
                        batch.spec.name, need.cores, need.mem_mb, capacity.cores, capacity.mem_mb
                    ),
                )
            })
        };
        let refused: Vec<_> = batches.iter().map(too_large).collect();
        let fitting =
            batches.into_iter().zip(&refused).filter(|(_, no)| no.is_none()).map(|(batch, _)| batch);
        let mut results = root.submit(fitting.collect()).await.into_iter();
        let answers = refused.into_iter().map(|refused| match refused {
            Some(refusal) => Err(refusal),
            None => {
                results.next().unwrap_or_else(|| Err(refusal(RefusalKind::Ending, "the runner is ending")))
            }
        });
        Ok(Reply::Submitted(answers.collect()))
    }
}

/// What one job takes of this machine.
pub fn need_of(resources: &cluster_core::Resources) -> Amount {
    Amount {
        cores: resources.total_cores().max(1),
        mem_mb: resources.mem.map_or(0, cluster_core::MemSize::as_mb),
    }
}

fn refusal(kind: RefusalKind, message: impl Into<String>) -> Refusal {
    Refusal { kind, message: message.into() }
}

/// One client, until it leaves.
async fn serve(runner: Arc<Runner>, mut stream: UnixStream) {
    // The directory is ours alone already; this is the second lock on the same door.
    let ours = stream.peer_cred().is_ok_and(|peer| peer.uid() == rustix::process::getuid().as_raw());
    if !ours {
        return;
    }
    runner.connections.fetch_add(1, Ordering::SeqCst);
    runner.activity.fetch_add(1, Ordering::SeqCst);
    // Whoever leaves in the middle is just gone.
    let _ = converse(&runner, &mut stream).await;
    runner.connections.fetch_sub(1, Ordering::SeqCst);
    runner.activity.fetch_add(1, Ordering::SeqCst);
}

async fn converse(runner: &Arc<Runner>, stream: &mut UnixStream) -> io::Result<()> {
    loop {
        let mut head = [0; 4];
        stream.read_exact(&mut head).await?;
        let mut text = vec![0; frame_len(head)?];
        stream.read_exact(&mut text).await?;
        let reply = match serde_json::from_slice(&text) {
            Ok(Request::Watch { root, batches, lend }) => {
                return watch(runner, stream, root, batches, lend).await;
            }
            Ok(Request::Lease(most)) => return lease(runner, stream, most).await,
            Ok(request) => runner.answer(request).await,
            Err(error) => Reply::Refused(refusal(RefusalKind::Usage, format!("not understood: {error}"))),
        };
        stream.write_all(&frame(&reply)?).await?;
    }
}

/// Says when something changes, until the client leaves; lent cores come back then.
async fn watch(
    runner: &Arc<Runner>,
    stream: &mut UnixStream,
    root: ByteString,
    batches: Vec<cluster_core::BatchId>,
    lend: Option<(ByteString, JobId)>,
) -> io::Result<()> {
    let mut news = runner.news.subscribe();
    match runner.root(root.as_path()).await {
        Ok(root) => root.look_for_orphans(),
        Err(refusal) => return stream.write_all(&frame(&Reply::Refused(refusal))?).await,
    }
    let mut lent = None;
    if let Some((root, job)) = lend
        && let Ok(root) = runner.root(root.as_path()).await
    {
        let key = (root.id(), job.batch);
        lent = runner.engine.lend(key, job.index, true).then_some((key, job.index));
    }
    let result = tell_news(stream, &mut news, &root, &batches).await;
    if let Some((key, index)) = lent {
        runner.engine.lend(key, index, false);
    }
    result
}

/// Cores that a client uses itself, until it leaves.
async fn lease(runner: &Arc<Runner>, stream: &mut UnixStream, most: Amount) -> io::Result<()> {
    let Some(leased) = runner.engine.lease(most) else {
        let no = refusal(RefusalKind::TooLarge, "no core is free now: running jobs have them all");
        return stream.write_all(&frame(&Reply::Refused(no))?).await;
    };
    let mut result = stream.write_all(&frame(&Reply::Leased(leased))?).await;
    if result.is_ok() {
        // Nothing more is said; the end of the connection is the end of the lease.
        result = stream.read_exact(&mut [0]).await.map(drop);
    }
    runner.engine.give_back(leased);
    result
}

async fn tell_news(
    stream: &mut UnixStream,
    news: &mut broadcast::Receiver<News>,
    root: &ByteString,
    batches: &[cluster_core::BatchId],
) -> io::Result<()> {
    stream.write_all(&frame(&Reply::News(batches.to_vec()))?).await?;
    let (mut from, mut to) = stream.split();
    let mut byte = [0];
    loop {
        tokio::select! {
            // The client says nothing more; this is how we see that it left.
            read = from.read(&mut byte) => {
                if read? == 0 {
                    return Ok(());
                }
            }
            got = news.recv() => {
                let changed = match got {
                    Ok(news) if *news.root == *root.as_path() => {
                        news.batches.iter().filter(|batch| batches.contains(batch)).copied().collect()
                    }
                    Ok(_) => Vec::new(),
                    // Too much at once: anything may have changed.
                    Err(broadcast::error::RecvError::Lagged(_)) => batches.to_vec(),
                    Err(broadcast::error::RecvError::Closed) => return Ok(()),
                };
                if !changed.is_empty() {
                    to.write_all(&frame(&Reply::News(changed))?).await?;
                }
            }
        }
    }
}
