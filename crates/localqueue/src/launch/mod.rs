//! Starting one job and seeing it to its end, in the slot's own thread.

mod bare;
mod script;
mod stream;
mod watch;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cluster_core::life::{Evidence, Observation, Rank, Seen};
use cluster_core::{Cause, ExitStatus, Timestamp};

use crate::cgroup::Group;
use crate::control::Control;
use crate::event::{Ended, Event, StreamPlace, Usage};
use crate::pins::Pins;
use crate::queue::Start;
use crate::slot_table::{Entry, SlotTable, StartedBy};
use crate::submission::{Live, Root, Settings, Submission};
use crate::sys;

/// A job on its way through a slot.
pub struct Job<'a> {
    pub(crate) start: Start,
    pub(crate) root: &'a Arc<dyn Root>,
    pub(crate) live: &'a Live,
    pub(crate) control: &'a Control,
    pub(crate) slot: &'a mut Slot,
    pub(crate) table: Option<&'a SlotTable>,
    pub(crate) pins: &'a Pins,
    /// Slots of the machine: with more of them more jobs must show that they are fast.
    pub(crate) slots: u32,
    pub(crate) started: Timestamp,
    pub(crate) began: Instant,
    /// The control group that its processes are to be in.
    pub(crate) group: Option<Arc<Group>>,
}

/// What belongs to a slot's thread.
pub(crate) struct Slot {
    pub(crate) number: usize,
    /// Whether the thread has a working directory of its own.
    pub(crate) own_fs: bool,
    pub(crate) cwd: Option<PathBuf>,
    pub(crate) umask: Option<u32>,
    pub(crate) scratch: Vec<u8>,
}

/// How a job ended, and what is to be removed once that is recorded.
pub struct Finished {
    pub(crate) ended: Ended,
    pub(crate) remove: Vec<PathBuf>,
}

/// The one thing that a benchmark replaces: spawning a process and waiting for it.
pub trait Launch: Send + Sync {
    /// Runs the job to its end.
    fn run(&self, job: &mut Job<'_>) -> Finished;
}

/// Starts processes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Processes;

/// Starts nothing: every job has ended at once with exit code 0. For measuring the queue alone.
#[derive(Debug, Clone, Copy, Default)]
pub struct Nothing;

impl Launch for Processes {
    fn run(&self, job: &mut Job<'_>) -> Finished {
        let live = job.live;
        let source = match live.source(&**job.root, job.start.key.1, job.start.k) {
            Ok(source) => source,
            Err(error) => return job.never_ran(&format!("its files cannot be read: {error}")),
        };
        let settings = source.settings();
        // A process is only moved once it runs: what has a limit starts where it holds.
        let limited = job.group.as_ref().is_some_and(|group| group.is_limited());
        let may = settings.direct && !settings.durable && job.slot.own_fs && !limited;
        let fast = settings.always_bare || (may && live.is_fast(job.slots));
        // What the slot's thread starts is bound as it is.
        let bound = if settings.pin { job.pins.bind(job.start.need.cores) } else { None };
        let finished =
            if fast { bare::run(job, &**source, settings) } else { script::run(job, &**source, settings) };
        drop(bound);
        live.took(job.began.elapsed());
        finished
    }
}

impl Launch for Nothing {
    fn run(&self, job: &mut Job<'_>) -> Finished {
        let live = job.live;
        // What a real one does but for the process: its words, its two entries, its record.
        let words = live
            .source(&**job.root, job.start.key.1, job.start.k)
            .and_then(|source| source.words(job.start.index));
        if let Err(error) = words {
            return job.never_ran(&format!("its files cannot be read: {error}"));
        }
        let pid = 10_000 + job.start.index % 20_000;
        job.note_start(StartedBy::Bare);
        job.note_process(StartedBy::Bare, pid);
        let place = StreamPlace::Pack { offset: 0, len: 0 };
        live.took(Duration::ZERO);
        let usage = Usage { cpu_us: 700, max_rss_kb: 9000 };
        let watched = Watched { status: Some(ExitStatus::Exit(0)), pid, usage, ..Watched::default() };
        job.finished(&watched, false, (place, place))
    }
}

/// What was seen of a process from its start to its end.
#[derive(Debug, Default)]
pub(crate) struct Watched {
    pub(crate) pid: u32,
    pub(crate) status: Option<ExitStatus>,
    pub(crate) usage: Usage,
    pub(crate) cancelled: bool,
    pub(crate) timed_out: bool,
    pub(crate) reason: Option<String>,
}

impl Job<'_> {
    fn entry(&self, by: StartedBy, pid: u32) -> Entry {
        let Start { key, index, k, run, need } = self.start;
        Entry {
            root: self.root.number(),
            batch: key.1,
            index,
            k,
            run,
            by,
            cores: need.cores,
            mem_mb: need.mem_mb,
            started: self.started,
            boot_before: sys::boot_micros(),
            boot_after: 0,
            pid,
        }
    }

    /// From here on the job counts as started, whatever happens to us.
    pub(crate) fn note_start(&self, by: StartedBy) {
        self.control.set_bare(by == StartedBy::Bare);
        if let Some(table) = self.table {
            let _ = table.write(self.slot.number, &self.entry(by, 0));
        }
    }

    pub(crate) fn note_process(&self, by: StartedBy, pid: u32) {
        // job.sh goes there by itself, before it starts anything.
        if let Some(group) = self.group.as_ref().filter(|_| by == StartedBy::Bare) {
            group.take(pid);
        }
        if let Some(table) = self.table {
            let mut entry = self.entry(by, pid);
            entry.boot_after = entry.boot_before;
            entry.boot_before = entry.boot_before.saturating_sub(self.began.elapsed().as_micros() as u64);
            let _ = table.write(self.slot.number, &entry);
        }
    }

    /// Tells the root that the job runs.
    pub(crate) fn report_running(&self, pid: u32) {
        let Start { key, index, k, run, .. } = self.start;
        self.root.record(Event::Started { batch: key.1, index, k, run, at: self.started, pid });
    }

    /// The end of a job that we could not even try to start.
    pub(crate) fn never_ran(&self, reason: &str) -> Finished {
        let empty = StreamPlace::Pack { offset: 0, len: 0 };
        let watched = Watched { reason: Some(reason.to_owned()), ..Watched::default() };
        let mut finished = self.finished(&watched, false, (empty, empty));
        finished.ended.cause = Cause::SubmitRefused;
        finished
    }

    /// The end of a job, its cause decided as the design's rule 8 says.
    pub(crate) fn finished(
        &self,
        watched: &Watched,
        signalled: bool,
        (out, err): (StreamPlace, StreamPlace),
    ) -> Finished {
        let Start { key, index, k, run, .. } = self.start;
        let ended = Timestamp::now();
        let mut evidence = Evidence::default();
        let mut observe = |seen| evidence.observe(Observation { run, rank: Rank::Record, at: ended, seen });
        if watched.cancelled {
            observe(Seen::CancelRequested);
        }
        if watched.timed_out {
            observe(Seen::TimeLimitEnforced);
        }
        observe(Seen::Ended { status: watched.status, signalled, cause: None });
        let outcome = evidence.outcome();
        let ended = Ended {
            batch: key.1,
            index,
            k,
            run,
            started: self.started,
            ended,
            status: watched.status,
            cause: outcome.cause.unwrap_or(Cause::Lost),
            reason: watched.reason.clone(),
            out,
            err,
            pid: watched.pid,
            usage: watched.usage,
        };
        Finished { ended, remove: Vec::new() }
    }
}

impl Slot {
    /// The slot's thread gets a working directory and a umask of its own.
    pub(crate) fn new(number: usize) -> Self {
        Self { number, own_fs: sys::unshare_fs().is_ok(), cwd: None, umask: None, scratch: vec![0; 64 << 10] }
    }

    /// Goes where the job is to run.
    pub(crate) fn enter(&mut self, settings: &Settings) -> io::Result<()> {
        if self.umask != Some(settings.umask) {
            rustix::process::umask(rustix::fs::Mode::from_raw_mode(settings.umask));
            self.umask = Some(settings.umask);
        }
        if self.cwd.as_deref() != Some(&settings.cwd) {
            self.cwd = None;
            rustix::process::chdir(&settings.cwd)?;
            self.cwd = Some(settings.cwd.clone());
        }
        Ok(())
    }
}

/// The two output files of a job.
pub(crate) fn output_files(live: &Live, settings: &Settings, index: u32) -> io::Result<(PathBuf, PathBuf)> {
    let dir = live.shard_dir(settings, index)?;
    Ok((dir.join(format!("{index}.{}.out", settings.k)), dir.join(format!("{index}.{}.err", settings.k))))
}

pub(crate) use script::{end_record, sched_log};

pub(crate) type Source<'a> = &'a dyn Submission;
