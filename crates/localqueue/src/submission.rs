//! What the engine has to know of a submission to start its jobs.

use std::collections::VecDeque;
use std::ffi::{CStr, OsStr, OsString};
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use cluster_core::job_script::shard;
use cluster_core::{BatchId, JobIndex, OutputMode, SubmissionNumber};

use crate::event::Event;
use crate::pack::Pack;
use crate::sys::EnvBlock;

/// What holds for all jobs of a submission.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The batch's directory, `ROOT/jobs/B`.
    pub dir: PathBuf,
    /// The root, told to the jobs.
    pub root: PathBuf,
    /// The submission's number.
    pub k: SubmissionNumber,
    /// Whether the words are for the kernel, so that a job can be started bare.
    pub direct: bool,
    /// Whether every job is started bare, there being no job.sh (the pool).
    pub always_bare: bool,
    /// Whether only job.sh may start a job, so that its record outlives the runner.
    pub durable: bool,
    /// The environment of the jobs, without what differs from job to job.
    pub env: Vec<(OsString, OsString)>,
    /// Their working directory.
    pub cwd: PathBuf,
    /// Their umask.
    pub umask: u32,
    /// Their standard input; `None` is empty.
    pub stdin: Option<PathBuf>,
    /// Where their output goes.
    pub output: OutputMode,
    /// Their time limit.
    pub time_limit: Option<Duration>,
    /// Time between TERM and KILL.
    pub grace: Duration,
    /// Whether each gets cores of its own.
    pub pin: bool,
}

/// One submission of a batch, as its root's files describe it.
pub trait Submission: Send + Sync {
    /// What holds for all of its jobs.
    fn settings(&self) -> &Settings;

    /// The words of one job.
    ///
    /// # Errors
    /// Where its input cannot be read.
    fn words(&self, index: JobIndex) -> io::Result<Vec<OsString>>;

    /// Makes what job.sh reads for this job, and the directory of its output.
    ///
    /// # Errors
    /// What the file system says.
    fn prepare(&self, index: JobIndex) -> io::Result<()>;
}

/// Where jobs come from and where facts about them go.
pub trait Root: Send + Sync {
    /// The submission's description.
    ///
    /// # Errors
    /// Where its files cannot be read.
    fn submission(&self, batch: BatchId, k: SubmissionNumber) -> io::Result<Arc<dyn Submission>>;

    /// Takes a fact in. Where this returns true, no kill of this process loses it.
    fn record(&self, event: Event) -> bool;

    /// The number under which the slot table knows this root.
    fn number(&self) -> u64;

    /// Somebody waits for the end that was recorded last: a batch is over, or others depend on it.
    fn end_awaited(&self) {}
}

/// Below this median a submission's jobs are started bare.
const FAST: Duration = Duration::from_millis(100);
/// A bare job that reaches this turns its submission back to job.sh.
pub(crate) const SLOW: Duration = Duration::from_millis(500);
/// Run times that the median is of.
const SAMPLES: usize = 16;

/// How fast the jobs of a submission are.
#[derive(Debug, Default)]
struct Pace {
    ended: u32,
    recent: VecDeque<Duration>,
}

/// A submission with jobs that run.
pub(crate) struct Live {
    source: OnceLock<Arc<dyn Submission>>,
    pack: OnceLock<Pack>,
    pace: Mutex<Pace>,
    made_shard: Mutex<Option<u32>>,
    env: OnceLock<EnvBlock>,
    stdin: OnceLock<File>,
    /// The program that a first word was found to be.
    pub(crate) program: Mutex<Option<(OsString, Arc<CStr>)>>,
}

impl Live {
    pub(crate) fn new() -> Self {
        Self {
            source: OnceLock::new(),
            pack: OnceLock::new(),
            pace: Mutex::default(),
            made_shard: Mutex::default(),
            env: OnceLock::new(),
            stdin: OnceLock::new(),
            program: Mutex::default(),
        }
    }

    /// Its description, read at the first call.
    pub(crate) fn source(&self, root: &dyn Root, batch: BatchId, k: u32) -> io::Result<&Arc<dyn Submission>> {
        if let Some(source) = self.source.get() {
            return Ok(source);
        }
        let read = root.submission(batch, k)?;
        Ok(self.source.get_or_init(|| read))
    }

    /// Its pack, opened at the first call.
    pub(crate) fn pack(&self, settings: &Settings) -> io::Result<&Pack> {
        if let Some(pack) = self.pack.get() {
            return Ok(pack);
        }
        let opened = Pack::open(&settings.dir.join(format!("{}.pack", settings.k)))?;
        // Of two that open it at once one is used: an offset is given out by one counter alone.
        Ok(self.pack.get_or_init(|| opened))
    }

    /// The environment of its bare jobs, without what differs from job to job.
    pub(crate) fn env(&self, settings: &Settings, batch: BatchId) -> &EnvBlock {
        self.env.get_or_init(|| {
            let (batch, k) = (OsString::from(batch.to_string()), OsString::from(settings.k.to_string()));
            let own = [
                (OsStr::new("PWD"), settings.cwd.as_os_str()),
                (OsStr::new("CLUSTER_ROOT"), settings.root.as_os_str()),
                (OsStr::new("CLUSTER_BATCH_ID"), &batch),
                (OsStr::new("CLUSTER_SUBMISSION"), &k),
            ];
            let given = settings.env.iter().map(|(name, value)| (name.as_os_str(), value.as_os_str()));
            EnvBlock::new(given.chain(own))
        })
    }

    /// `/dev/null`, opened once: as standard input all jobs can share it.
    pub(crate) fn null(&self) -> io::Result<&File> {
        if let Some(null) = self.stdin.get() {
            return Ok(null);
        }
        let null = File::open("/dev/null")?;
        Ok(self.stdin.get_or_init(|| null))
    }

    /// Whether the next job may be started bare.
    pub(crate) fn is_fast(&self, slots: u32) -> bool {
        let pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
        if pace.ended < (2 * slots).max(8) {
            return false;
        }
        let mut recent: Vec<_> = pace.recent.iter().collect();
        let middle = recent.len() / 2;
        **recent.select_nth_unstable(middle).1 < FAST
    }

    /// A job took so long.
    pub(crate) fn took(&self, time: Duration) {
        let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
        pace.ended = pace.ended.saturating_add(1);
        if pace.recent.len() == SAMPLES {
            pace.recent.pop_front();
        }
        pace.recent.push_back(time);
    }

    /// A bare job turned out slow: the next ones have to show again that they are fast.
    pub(crate) fn turn_back(&self) {
        *self.pace.lock().unwrap_or_else(PoisonError::into_inner) = Pace::default();
    }

    /// Its last job is over: what job.sh itself might have said is kept only where it said something.
    pub(crate) fn tidy(&self) {
        let Some(source) = self.source.get() else { return };
        let log = crate::launch::sched_log(source.settings());
        if log.metadata().is_ok_and(|metadata| metadata.len() == 0) {
            let _ = std::fs::remove_file(log);
        }
    }

    /// The directory of a job's files, made where it is not there.
    pub(crate) fn shard_dir(&self, settings: &Settings, index: JobIndex) -> io::Result<PathBuf> {
        let shard = shard(index);
        let dir = settings.dir.join(shard.to_string());
        let mut made = self.made_shard.lock().unwrap_or_else(PoisonError::into_inner);
        if *made != Some(shard) {
            crate::files::make_private_dir(&dir)?;
            *made = Some(shard);
        }
        Ok(dir)
    }
}
