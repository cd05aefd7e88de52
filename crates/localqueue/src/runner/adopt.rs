//! After a runner's death: which of the jobs that it had started still run, and how the others ended.

use std::collections::HashMap;
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cluster_core::job_script::shard;
use cluster_core::life::{Evidence, Observation, Rank, Seen};
use cluster_core::status_file::{self, StatusLine};
use cluster_core::{BatchId, Cause, Timestamp};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

use super::store::{RootFiles, StartedJob, Unfinished};
use crate::capacity::Amount;
use crate::control::Control;
use crate::engine::Engine;
use crate::event::{Ended, Event, StreamPlace, Usage};
use crate::launch::end_record;
use crate::queue::{RootId, Start};
use crate::slot_table::{Entry, StartedBy};
use crate::submission::Settings;
use crate::sys;

/// What became of a job that had been started.
pub(crate) enum Found {
    /// It is over.
    Ended(Box<Ended>),
    /// It runs.
    Running(Box<Watcher>),
    /// Nothing of it ever ran: it goes back into the queue.
    NeverBegan(StartedJob),
}

/// Looks at every job that a slot had started or that the store calls running.
pub(crate) fn settle(
    files: &dyn RootFiles,
    unfinished: &Unfinished,
    slots: &[Entry],
    same_boot: bool,
) -> Vec<Found> {
    let mut started: HashMap<(BatchId, u32, u32), (StartedJob, Option<Entry>)> = HashMap::new();
    for job in &unfinished.started {
        started.insert((job.batch, job.index, job.run), (job.clone(), None));
    }
    for entry in slots {
        let id = (entry.batch, entry.index, entry.run);
        // A job whose end the store has is in neither: its entry is old.
        let queued = unfinished.works.iter().any(|work| {
            work.batch == entry.batch
                && work.run == entry.run
                && (work.jobs.contains(entry.index) || work.held.contains(entry.index))
        });
        if queued || started.contains_key(&id) {
            let job = StartedJob {
                batch: entry.batch,
                index: entry.index,
                k: entry.k,
                run: entry.run,
                need: Amount { cores: entry.cores, mem_mb: entry.mem_mb },
                started: entry.started,
                cancel_requested: started.get(&id).is_some_and(|(job, _)| job.cancel_requested),
            };
            started.insert(id, (job, Some(*entry)));
        }
    }
    started.into_values().map(|(job, entry)| look(files, job, entry, same_boot)).collect()
}

fn look(files: &dyn RootFiles, job: StartedJob, entry: Option<Entry>, same_boot: bool) -> Found {
    let settings = match files.submission(job.batch, job.k) {
        Ok(submission) => submission.settings().clone(),
        Err(error) => {
            let reason = format!("its files cannot be read after the runner's restart: {error}");
            return Found::Ended(Box::new(lost(&job, Cause::Lost, reason)));
        }
    };
    let by_script = entry.is_none_or(|entry| entry.by != StartedBy::Bare);
    if by_script && let Some(ended) = recorded_end(&job, &settings, false, false) {
        return Found::Ended(Box::new(ended));
    }
    let is_of_this_boot = entry.map_or(same_boot, |entry| entry.by != StartedBy::EarlierBoot);
    if !is_of_this_boot {
        let reason = "the machine restarted while it ran".to_owned();
        return Found::Ended(Box::new(lost(&job, Cause::NodeFailure, reason)));
    }
    if let Some(pid) = process_of(&job, entry.as_ref(), &settings)
        && let Ok(pidfd) = pidfd_open(pid, PidfdFlags::empty())
        && let Ok(control) = Control::new()
    {
        return Found::Running(Box::new(Watcher {
            job,
            settings,
            pid,
            pidfd,
            by_script,
            control: Arc::new(control),
        }));
    }
    // It may have ended while we looked.
    if by_script && let Some(ended) = recorded_end(&job, &settings, false, false) {
        return Found::Ended(Box::new(ended));
    }
    let unborn = entry.is_some_and(|entry| entry.pid == 0 && entry.by == StartedBy::Script);
    if unborn && status_text(&job, &settings).is_none_or(|text| text.is_empty()) {
        if job.cancel_requested {
            let reason = "it was cancelled before it began".to_owned();
            return Found::Ended(Box::new(lost(&job, Cause::Cancelled, reason)));
        }
        return Found::NeverBegan(job);
    }
    let reason = "the runner was killed while it ran, and it left no record".to_owned();
    Found::Ended(Box::new(lost(&job, Cause::Lost, reason)))
}

fn stem(job: &StartedJob, settings: &Settings, suffix: &str) -> PathBuf {
    settings.dir.join(shard(job.index).to_string()).join(format!("{}.{}.{suffix}", job.index, job.k))
}

fn status_text(job: &StartedJob, settings: &Settings) -> Option<Vec<u8>> {
    fs::read(stem(job, settings, "status")).ok()
}

/// The end that job.sh wrote down.
fn recorded_end(job: &StartedJob, settings: &Settings, cancelled: bool, timed_out: bool) -> Option<Ended> {
    let record = end_record(&stem(job, settings, "status"), job.k)?;
    let mut evidence = Evidence::default();
    let mut observe =
        |seen| evidence.observe(Observation { run: job.run, rank: Rank::Record, at: record.at, seen });
    if cancelled {
        observe(Seen::CancelRequested);
    }
    if timed_out {
        observe(Seen::TimeLimitEnforced);
    }
    observe(Seen::Ended { status: Some(record.status), signalled: record.signalled, cause: None });
    Some(Ended {
        status: Some(record.status),
        cause: evidence.outcome().cause.unwrap_or(Cause::Lost),
        reason: None,
        ended: record.at.max(job.started),
        out: StreamPlace::File(record.out_bytes),
        err: StreamPlace::File(record.err_bytes),
        ..lost(job, Cause::Lost, String::new())
    })
}

fn lost(job: &StartedJob, cause: Cause, reason: String) -> Ended {
    Ended {
        batch: job.batch,
        index: job.index,
        k: job.k,
        run: job.run,
        started: job.started,
        ended: super::root::now(),
        status: None,
        cause,
        reason: Some(reason),
        out: StreamPlace::File(0),
        err: StreamPlace::File(0),
        pid: 0,
        usage: Usage::default(),
    }
}

/// The process of a job, where it still is that one: by the slot table's pid and times, by the start
/// line of its status file, or by the environment that only this job has.
fn process_of(job: &StartedJob, entry: Option<&Entry>, settings: &Settings) -> Option<Pid> {
    if let Some(entry) = entry.filter(|entry| entry.pid != 0) {
        return if is_alive(entry) { Pid::from_raw(entry.pid as i32) } else { None };
    }
    let recorded = status_text(job, settings).and_then(|text| {
        status_file::parse(&text).find_map(|line| match line {
            StatusLine::Start { k, pid, .. } if k == job.k => Some(pid),
            _ => None,
        })
    });
    let is_ours = |pid: u32| is_job(pid, job, settings).then(|| Pid::from_raw(pid as i32)).flatten();
    recorded.and_then(is_ours).or_else(|| processes().find_map(is_ours))
}

/// Whether the process of a slot's entry is there, and is that one.
pub(crate) fn is_alive(entry: &Entry) -> bool {
    let slack = 2 * 1_000_000 / sys::ticks_per_second();
    let born = if entry.pid == 0 { None } else { started_at(entry.pid) };
    born.is_some_and(|born| born + slack >= entry.boot_before && born <= entry.boot_after + slack)
}

fn processes() -> impl Iterator<Item = u32> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

/// Whether a process leads the group of this job: job.sh by its words, a bare one by its environment.
fn is_job(pid: u32, job: &StartedJob, settings: &Settings) -> bool {
    use std::os::unix::ffi::OsStrExt;
    // Kernel threads have the group 0.
    if stat_field(pid, 2) != Some(u64::from(pid)) {
        return false;
    }
    let has = |file: &str, wanted: &[Vec<u8>]| {
        let text = fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
        wanted.iter().all(|word| text.split(|&b| b == 0).any(|field| field == word))
    };
    let script = settings.dir.join(format!("job.{}.sh", job.k));
    let words = [script.as_os_str().as_bytes().to_vec(), job.index.to_string().into_bytes()];
    let mut root = b"CLUSTER_ROOT=".to_vec();
    root.extend_from_slice(settings.root.as_os_str().as_bytes());
    let environment = [
        format!("CLUSTER_JOB_ID={}.{}", job.batch, job.index).into_bytes(),
        format!("CLUSTER_RUN={}", job.run).into_bytes(),
        root,
    ];
    has("cmdline", &words) || has("environ", &environment)
}

/// When a process started, in µs since boot.
fn started_at(pid: u32) -> Option<u64> {
    Some(stat_field(pid, 19)? * 1_000_000 / sys::ticks_per_second())
}

/// A number of `/proc/<pid>/stat`, counted from the state, which is field 0: the name before it may hold
/// anything.
fn stat_field(pid: u32, field: usize) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(field)?.parse().ok()
}

/// An adopted job, which is no child of ours.
pub(crate) struct Watcher {
    job: StartedJob,
    settings: Settings,
    pid: Pid,
    pidfd: OwnedFd,
    by_script: bool,
    control: Arc<Control>,
}

impl Watcher {
    pub(crate) fn batch(&self) -> BatchId {
        self.job.batch
    }

    pub(crate) fn index(&self) -> u32 {
        self.job.index
    }

    /// That it runs: its start may never have come to the store.
    pub(crate) fn running(&self) -> Event {
        let StartedJob { batch, index, k, run, started, .. } = self.job;
        Event::Started { batch, index, k, run, at: started, pid: self.pid.as_raw_nonzero().get() as u32 }
    }

    /// Watches it to its end from a thread of its own; until then it has its part of the machine.
    pub(crate) fn watch(self, root: RootId, engine: &Engine) {
        let StartedJob { batch, index, k, run, need, started, cancel_requested } = self.job;
        let start = Start { key: (root, batch), index, k, run, need };
        engine.adopt(start, started, self.control.clone());
        if cancel_requested {
            engine.cancel(start.key, Some(&[index].into_iter().collect()), Signal::TERM.as_raw());
        }
        let engine = engine.clone();
        let watch = move || {
            let timed_out = self.wait();
            let cancelled = engine.was_cancelled(start.key, index);
            let ended = self.end(cancelled, timed_out);
            engine.adopted_ended(start, ended);
        };
        if let Err(error) =
            std::thread::Builder::new().name("adopted".to_owned()).stack_size(128 << 10).spawn(watch)
        {
            tracing::error!("cannot watch job {batch}.{index}: {error}");
        }
    }

    /// True where its time limit ended it.
    fn wait(&self) -> bool {
        let age = super::root::now().since(self.job.started);
        let limit = self.settings.time_limit.map(|limit| Instant::now() + limit.saturating_sub(age));
        let mut kill_at: Option<Instant> = None;
        let mut timed_out = false;
        loop {
            let now = Instant::now();
            if limit.is_some_and(|limit| now >= limit) && kill_at.is_none() {
                timed_out = true;
                kill_at = Some(self.signal(Signal::TERM, now + self.settings.grace));
            }
            if kill_at.is_some_and(|at| now >= at) {
                kill_at = Some(self.signal(Signal::KILL, now + Duration::from_secs(1)));
            }
            let next = kill_at.or(limit.filter(|_| !timed_out));
            let timeout = next.and_then(|at| Timespec::try_from(at.saturating_duration_since(now)).ok());
            let mut fds = [
                PollFd::from_borrowed_fd(self.pidfd.as_fd(), PollFlags::IN),
                PollFd::from_borrowed_fd((*self.control).as_fd(), PollFlags::IN),
            ];
            let polled = poll(&mut fds, timeout.as_ref());
            if polled.is_ok() && !fds[0].revents().is_empty() {
                return timed_out;
            }
            if polled.is_ok() && !fds[1].revents().is_empty() {
                self.control.silence();
            }
            if let Some(signal) = self.control.take() {
                let signal = Signal::from_named_raw(signal).unwrap_or(Signal::TERM);
                kill_at = Some(self.signal(signal, Instant::now() + self.settings.grace));
            }
        }
    }

    fn signal(&self, signal: Signal, then: Instant) -> Instant {
        // Its leader is alive: its group's number is still its own.
        let _ = kill_process_group(self.pid, signal);
        let _ = kill_process_group(self.pid, Signal::CONT);
        then
    }

    fn end(&self, cancelled: bool, timed_out: bool) -> Ended {
        if self.by_script
            && let Some(mut ended) = recorded_end(&self.job, &self.settings, cancelled, timed_out)
        {
            // Its record has whole seconds; we saw the end itself just now.
            let last = Timestamp(ended.ended.0.saturating_add(1_000_000));
            ended.ended = super::root::now().clamp(ended.ended, last);
            return ended;
        }
        let size = |path: &Path| path.metadata().map_or(0, |metadata| metadata.len());
        let out = StreamPlace::File(size(&stem(&self.job, &self.settings, "out")));
        let err = StreamPlace::File(size(&stem(&self.job, &self.settings, "err")));
        let (cause, reason) = if cancelled {
            (Cause::Cancelled, "it was killed after the runner's restart".to_owned())
        } else if timed_out {
            (Cause::Timeout, "it was killed after the runner's restart".to_owned())
        } else {
            (Cause::Lost, "it ended after the runner had been killed, and left no record".to_owned())
        };
        Ended { out, err, ..lost(&self.job, cause, reason) }
    }
}
