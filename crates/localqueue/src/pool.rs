//! The queue inside one's own process: for library users, and for whoever wants no runner.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use cluster_core::{BatchId, Cause, IndexSet, JobIndex, OutputMode, SubmissionNumber};

use crate::capacity::Amount;
use crate::engine::Engine;
use crate::event::{Ended, Event, StreamPlace};
use crate::launch::Processes;
use crate::queue::NewWork;
use crate::submission::{Root, Settings, Submission};

/// One command for a [`Pool`].
#[derive(Debug, Clone)]
pub struct Task {
    /// Program and arguments; no shell.
    pub argv: Vec<OsString>,
    /// Its environment.
    pub env: Vec<(OsString, OsString)>,
    /// Its working directory.
    pub cwd: PathBuf,
    /// What it takes.
    pub need: Amount,
    /// The higher goes first.
    pub priority: i32,
    /// Its time limit.
    pub time_limit: Option<Duration>,
}

impl Task {
    /// `argv` on one core in `cwd`, with an empty environment.
    pub fn new<W: Into<OsString>>(argv: impl IntoIterator<Item = W>, cwd: impl Into<PathBuf>) -> Self {
        Self {
            argv: argv.into_iter().map(Into::into).collect(),
            env: Vec::new(),
            cwd: cwd.into(),
            need: Amount { cores: 1, mem_mb: 0 },
            priority: 0,
            time_limit: None,
        }
    }
}

/// How a task ended.
#[derive(Debug)]
pub struct Done {
    /// Why; success is `Cause::Exit(0)`.
    pub cause: Cause,
    /// Its stdout, as a reader: it is never all in memory.
    pub stdout: Output,
    /// Its stderr.
    pub stderr: Output,
    /// What else there is to say.
    pub reason: Option<String>,
}

/// One output of a task, in the pool's directory.
pub type Output = io::Take<std::fs::File>;

/// A task that was handed in.
pub struct Handle {
    root: Arc<MemoryRoot>,
    number: u64,
}

/// Runs tasks on some cores of this machine. Dropped, it waits for those that run and starts no more.
///
/// ```
/// use cluster_localqueue::{capacity::Amount, pool::{Pool, Task}};
/// use std::io::Read;
/// let dir = tempfile::tempdir()?;
/// let pool = Pool::new(Amount { cores: 2, mem_mb: 0 }, dir.path())?;
/// let task = pool.run(Task::new(["/bin/echo", "hi"], "/"));
/// let mut text = String::new();
/// task.wait()?.stdout.read_to_string(&mut text)?;
/// assert_eq!(text, "hi\n");
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Pool {
    engine: Engine,
    root: Arc<MemoryRoot>,
    id: u16,
}

impl Pool {
    /// A pool over `capacity` that keeps outputs in `dir`.
    ///
    /// # Errors
    /// Where `dir` cannot be made.
    pub fn new(capacity: Amount, dir: impl Into<PathBuf>) -> io::Result<Self> {
        let dir = dir.into();
        crate::files::make_private_dirs(&dir)?;
        let engine = Engine::new(capacity, Box::new(Processes), None, 0);
        let root = Arc::new(MemoryRoot { dir, tasks: Mutex::default(), ended: Condvar::new() });
        let id = engine.add_root(root.clone());
        Ok(Self { engine, root, id })
    }

    /// Hands a task in.
    pub fn run(&self, task: Task) -> Handle {
        let (need, priority) = (task.need, task.priority);
        let number = {
            let mut tasks = self.root.lock();
            tasks.next += 1;
            let number = tasks.next;
            tasks.given.insert(number, task);
            number
        };
        self.engine.push([NewWork {
            key: (self.id, BatchId(number)),
            k: 0,
            run: 1,
            need,
            priority,
            jobs: IndexSet::range(0, 1),
            held: IndexSet::new(),
            max_running: None,
            blockers: Vec::new(),
        }]);
        Handle { root: self.root.clone(), number }
    }

    /// Asks for the end of a task.
    pub fn cancel(&self, task: &Handle) {
        let key = (self.id, BatchId(task.number));
        let (unstarted, _) = self.engine.cancel(key, None, libc::SIGTERM);
        if !unstarted.is_empty() {
            let place = StreamPlace::Pack { offset: 0, len: 0 };
            self.root.lock().done.insert(task.number, (Cause::Cancelled, None, place, place));
            self.root.ended.notify_all();
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.engine.close();
        self.engine.wait_quiet();
    }
}

impl Handle {
    /// Waits for the end of the task.
    ///
    /// # Errors
    /// Where its output cannot be opened.
    pub fn wait(self) -> io::Result<Done> {
        let (cause, reason, out, err) = {
            let mut tasks = self.root.lock();
            loop {
                if let Some(done) = tasks.done.remove(&self.number) {
                    break done;
                }
                tasks = self.root.ended.wait(tasks).unwrap_or_else(PoisonError::into_inner);
            }
        };
        let dir = self.root.dir.join(self.number.to_string());
        let open = |place, suffix: &str| {
            let (path, offset, len) = match place {
                StreamPlace::File(len) => (dir.join(format!("0/0.0.{suffix}")), 0, len),
                StreamPlace::Pack { len: 0, .. } => (PathBuf::from("/dev/null"), 0, 0),
                StreamPlace::Pack { offset, len } => (dir.join("0.pack"), offset, len),
            };
            let mut file = std::fs::File::open(path)?;
            io::Seek::seek(&mut file, io::SeekFrom::Start(offset))?;
            Ok::<_, io::Error>(io::Read::take(file, len))
        };
        Ok(Done { cause, reason, stdout: open(out, "out")?, stderr: open(err, "err")? })
    }
}

type Outcome = (Cause, Option<String>, StreamPlace, StreamPlace);

#[derive(Default)]
struct Tasks {
    next: u64,
    given: HashMap<u64, Task>,
    done: HashMap<u64, Outcome>,
}

struct MemoryRoot {
    dir: PathBuf,
    tasks: Mutex<Tasks>,
    ended: Condvar,
}

impl MemoryRoot {
    fn lock(&self) -> std::sync::MutexGuard<'_, Tasks> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Root for MemoryRoot {
    fn submission(&self, batch: BatchId, k: SubmissionNumber) -> io::Result<Arc<dyn Submission>> {
        let task = self.lock().given.remove(&batch.0).ok_or(io::ErrorKind::NotFound)?;
        let dir = self.dir.join(batch.to_string());
        crate::files::make_private_dir(&dir)?;
        let settings = Settings {
            dir,
            root: self.dir.clone(),
            k,
            direct: true,
            always_bare: true,
            durable: false,
            env: task.env,
            cwd: task.cwd,
            umask: 0o022,
            stdin: None,
            output: OutputMode::Packed,
            time_limit: task.time_limit,
            grace: Duration::from_secs(10),
            pin: false,
        };
        Ok(Arc::new(OneTask { settings, argv: task.argv }))
    }

    fn record(&self, event: Event) -> bool {
        if let Event::Ended(Ended { batch, cause, reason, out, err, .. }) = event {
            self.lock().done.insert(batch.0, (cause, reason, out, err));
            self.ended.notify_all();
        }
        true
    }

    fn number(&self) -> u64 {
        0
    }
}

struct OneTask {
    settings: Settings,
    argv: Vec<OsString>,
}

impl Submission for OneTask {
    fn settings(&self) -> &Settings {
        &self.settings
    }

    fn words(&self, _: JobIndex) -> io::Result<Vec<OsString>> {
        Ok(self.argv.clone())
    }

    fn prepare(&self, _: JobIndex) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn pool(cores: u32) -> (tempfile::TempDir, Pool) {
        let dir = tempfile::tempdir().unwrap();
        let pool = Pool::new(Amount { cores, mem_mb: 0 }, dir.path()).unwrap();
        (dir, pool)
    }

    fn sh(text: &str) -> Task {
        Task::new(["/bin/sh", "-c", text], "/")
    }

    fn text(mut output: Output) -> String {
        let mut text = String::new();
        output.read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn outputs_and_codes() {
        let (_dir, pool) = pool(2);
        let task = pool.run(sh("echo out; echo err >&2; pwd; exit 3"));
        let done = task.wait().unwrap();
        assert_eq!(done.cause, Cause::Exit(3));
        assert_eq!((text(done.stdout).as_str(), text(done.stderr).as_str()), ("out\n/\n", "err\n"));
    }

    #[test]
    fn a_bare_job_knows_its_submission() {
        let (_dir, pool) = pool(1);
        let done = pool.run(sh("echo $CLUSTER_SUBMISSION")).wait().unwrap();
        assert_eq!(text(done.stdout), "0\n");
    }

    #[test]
    fn a_command_that_is_not_there() {
        let (_dir, pool) = pool(1);
        let done = pool.run(Task::new(["no-such-command"], "/")).wait().unwrap();
        assert_eq!(done.cause, Cause::Exit(127));
        assert_eq!(text(done.stderr), "cluster: no-such-command: command not found\n");
        let done = pool.run(Task::new(["/etc/passwd"], "/")).wait().unwrap();
        assert_eq!(done.cause, Cause::Exit(126));
        let done = pool.run(Task::new(["true"], "/no/such/dir")).wait().unwrap();
        assert_eq!(done.cause, Cause::Exit(126));
    }

    #[test]
    fn the_time_limit_ends_the_whole_group() {
        let (_dir, pool) = pool(1);
        let mut task = sh("sleep 1000 & echo $!; wait");
        task.time_limit = Some(Duration::from_millis(200));
        let done = pool.run(task).wait().unwrap();
        assert_eq!(done.cause, Cause::Timeout);
        let pid: i32 = text(done.stdout).trim().parse().unwrap();
        let gone =
            || rustix::process::test_kill_process(rustix::process::Pid::from_raw(pid).unwrap()).is_err();
        // The grandchild is init's to reap.
        while !gone()
            && !std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default().contains(") Z")
        {
            std::thread::yield_now();
        }
    }

    #[test]
    fn long_output_is_whole_and_order_is_kept() {
        let (_dir, pool) = pool(2);
        let tasks: Vec<_> = (0..4).map(|i| pool.run(sh(&format!("yes {i} | head -c 3000000")))).collect();
        for (i, task) in tasks.into_iter().enumerate() {
            let text = text(task.wait().unwrap().stdout);
            assert_eq!(text.len(), 3_000_000);
            assert_eq!(text, format!("{i}\n").repeat(1_500_000));
        }
    }

    #[test]
    fn a_late_writer_touches_nobodys_output() {
        let (_dir, pool) = pool(1);
        let first = pool.run(sh("setsid -f sh -c 'sleep 0.3; echo late' ; echo first"));
        assert_eq!(text(first.wait().unwrap().stdout), "first\n");
        let second = pool.run(sh("sleep 0.6; echo second > /dev/stdout"));
        assert_eq!(text(second.wait().unwrap().stdout), "second\n");
    }

    #[test]
    fn waiting_and_running_tasks_can_be_cancelled() {
        let (_dir, pool) = pool(1);
        let running = pool.run(sh("sleep 1000"));
        let waiting = pool.run(sh("echo never"));
        pool.cancel(&waiting);
        assert_eq!(waiting.wait().unwrap().cause, Cause::Cancelled);
        pool.cancel(&running);
        // It may not have started yet; either way it is cancelled.
        assert_eq!(running.wait().unwrap().cause, Cause::Cancelled);
    }
}
