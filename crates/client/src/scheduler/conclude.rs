//! From what is known of one job to what the store is told of it.

use std::fs;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::time::Duration;

use cluster_core::dialect::{Row, Whose};
use cluster_core::life::{Evidence, Observation, Rank, Seen};
use cluster_core::{Cause, JobState, RunNumber, Timestamp};
use cluster_jobsdb::{ChunkRow, JobChange, JobRow, OutputPlace, StreamPlace, Usage};

use crate::layout::Layout;
use crate::scheduler::positions::position_of;
use crate::scheduler::record::Record;
use crate::scheduler::send::log;
use crate::system::System;

/// A job that left the queue, of which the accounting has to tell the end.
#[derive(Debug)]
pub(crate) struct Ask<'c> {
    pub(crate) chunk: &'c ChunkRow,
    pub(crate) job: JobRow,
    pub(crate) record: Record,
    /// What the queue still shows of its end, without a cause.
    pub(crate) row: Option<&'c Row<'c>>,
}

/// What is known of a job before its end is concluded.
pub(crate) struct Known<'a> {
    pub(crate) system: &'a System,
    pub(crate) chunk: &'a ChunkRow,
    pub(crate) layout: &'a Layout,
    pub(crate) job: &'a JobRow,
    pub(crate) record: &'a Record,
}

/// A record of an end that is not success waits so long for the accounting to name the cause.
const PATIENCE: Duration = Duration::from_secs(30);

impl Known<'_> {
    /// The number of the run that the record, or a row that counts restarts, is about.
    fn run(&self, row: Option<&Row<'_>>) -> RunNumber {
        let sent_as = self.chunk.runs.of(self.job.id.index).unwrap_or(1);
        let restarts = row.and_then(|row| row.restarts).unwrap_or(0);
        let run = sent_as + restarts.max(self.record.runs.saturating_sub(1));
        if self.job.k == self.chunk.k { run.max(self.job.run) } else { run }
    }

    fn position(&self) -> Option<u32> {
        self.chunk.array.then(|| position_of(&self.chunk.jobs, self.job.id.index)).flatten()
    }

    /// The scheduler's id of this very job.
    fn remote(&self) -> Option<cluster_core::RemoteId> {
        let remote = self.chunk.remote.as_ref()?;
        Some(match self.position() {
            Some(position) => self.system.dialect().element(remote, position),
            None => remote.clone(),
        })
    }

    /// The job as a snapshot whose query began at `began` shows it, where that is news.
    pub(crate) fn alive(&self, row: &Row<'_>, began: Timestamp) -> Vec<JobChange> {
        let run = self.run(Some(row));
        let job = self.job;
        let reason = match row.state {
            JobState::Unknown => Some(row.raw_state.clone().into_owned()),
            JobState::Suspended => Some(words(row)).filter(|words| !words.is_empty()),
            JobState::Running => None,
            _ => Some(row.reason.clone().into_owned()).filter(|reason| !reason.is_empty()),
        };
        let known = job.state == row.state && job.run == run && (job.host.is_some() || row.hosts.is_empty());
        if known || (job.changed > began && job.run >= run) {
            return Vec::new();
        }
        let mut changes = Vec::new();
        if run > job.run && job.state.has_started() {
            changes.push(closed_run(job, began));
        }
        let host = self.record.started.as_ref().map(|(_, host)| host.clone());
        let hosts = Some(row.hosts.clone().into_owned()).filter(|hosts| !hosts.is_empty());
        changes.push(JobChange {
            reason,
            started: self.record.started.as_ref().map(|(at, _)| *at).or(row.started),
            host: hosts.or(host),
            remote: self.remote(),
            ..JobChange::new(job.id, self.chunk.k, run, row.state, began)
        });
        changes
    }

    /// What the record alone says while nobody can be asked.
    pub(crate) fn begun(&self) -> Option<JobChange> {
        let (at, host) = self.record.started.as_ref()?;
        // A state that nobody knows was seen after the start: the record of the start does not end it.
        let started = self.job.state.has_started() || self.job.state == JobState::Unknown;
        if self.record.is_over() || started {
            return None;
        }
        Some(JobChange {
            started: Some(*at),
            host: Some(host.clone()),
            remote: self.remote(),
            // Known from now on: its line has the node's clock, in whole seconds, and a snapshot that was asked for
            // between that and the true start would seem to show the job waiting again.
            ..JobChange::new(self.job.id, self.chunk.k, self.run(None), JobState::Running, Timestamp::now())
        })
    }

    /// The end of a job of which the accounting said nothing. A record is good enough where there is no
    /// accounting, or where it stays silent.
    pub(crate) fn without_accounting(&self, answered: bool) -> Option<JobChange> {
        let has_accounting = self.system.has_accounting();
        if self.record.is_over() {
            let waited = self.record.over_at().map_or(Duration::MAX, |at| Timestamp::now().since(at));
            return (!has_accounting || waited >= PATIENCE).then(|| conclude(self, &[])).flatten();
        }
        // Cancelled before it started, some schedulers keep nothing of a job.
        let asked = self.job.cancel_requested.filter(|_| self.record.started.is_none())?;
        if (has_accounting && !answered) || self.good_queries_since(asked) < 2 {
            return None;
        }
        let now = Timestamp::now();
        let seen = Seen::Ended { status: None, signalled: false, cause: Some(Cause::Cancelled) };
        let inferred = Observation { run: self.run(None), rank: Rank::Inference, at: now, seen };
        self.ended([inferred], &[])
    }

    fn good_queries_since(&self, since: Timestamp) -> usize {
        let user = [self.system.user().to_owned()];
        let Ok(seen) = self.system.seen(Whose::Users(&user)) else { return 0 };
        seen.queries.iter().filter(|began| **began > since).count()
    }

    fn ended(&self, more: impl IntoIterator<Item = Observation>, rows: &[&Row<'_>]) -> Option<JobChange> {
        let row = rows.last().copied();
        let run = self.run(row);
        let mut evidence = Evidence::default();
        for observation in self.record.observations(run).into_iter().chain(more) {
            evidence.observe(observation);
        }
        if let Some(at) = self.job.cancel_requested {
            evidence.observe(Observation { run, rank: Rank::Record, at, seen: Seen::CancelRequested });
        }
        let outcome = evidence.outcome();
        let cause = outcome.cause?;
        let ended = rows.iter().rev().find_map(|row| row.ended);
        let at = self.record.over_at().or(ended).unwrap_or_else(Timestamp::now);
        let started = self.record.started.as_ref();
        let reason = match (&self.record.stopped, row) {
            (Some((job, why)), _) => Some(format!("{job} {why}")),
            (None, Some(row)) if cause != Cause::Exit(0) => said(row),
            _ => None,
        };
        let output = self.record.ended.as_ref().map(|end| OutputPlace {
            pack: self.chunk.k,
            out: StreamPlace::File { bytes: end.out },
            err: StreamPlace::File { bytes: end.err },
        });
        Some(JobChange {
            cause: Some(cause),
            status: outcome.status,
            reason,
            started: started.map(|(at, _)| *at).or(rows.iter().rev().find_map(|row| row.started)),
            ended: Some(at),
            host: started
                .map(|(_, host)| host.clone())
                .or_else(|| row.map(|row| row.hosts.clone().into_owned()).filter(|hosts| !hosts.is_empty())),
            remote: self.remote(),
            output,
            usage: rows.iter().rev().find_map(|row| usage(row)),
            evidence: Some(evidence),
            // The clocks of scheduler, node and this host differ: an end that nobody explains must not seem
            // older than the state it ends.
            ..JobChange::new(self.job.id, self.chunk.k, run, outcome.state, at.max(self.job.changed))
        })
    }
}

/// The end of a job, from its record and the scheduler's own words on it, the best last.
pub(crate) fn conclude(known: &Known<'_>, rows: &[&Row<'_>]) -> Option<JobChange> {
    let run = known.run(rows.last().copied());
    let now = Timestamp::now();
    let mut more = Vec::new();
    for (i, row) in rows.iter().enumerate() {
        // One that knows neither code nor cause must not hide what another knows.
        if row.status.is_none() && row.cause.is_none() && rows.len() > 1 && i + 1 == rows.len() {
            continue;
        }
        let seen = Seen::Ended { status: row.status, signalled: false, cause: row.cause };
        let at = row.ended.unwrap_or(now);
        more.push(Observation { run, rank: Rank::Accounting, at, seen });
    }
    // Where nobody names the cause of a bad end, the scheduler's own output may.
    let named = rows.iter().any(|row| row.cause.is_some());
    if !named
        && !known.record.is_plain()
        && let Some(cause) = cause_in_log(known)
    {
        let at = known.record.over_at().unwrap_or(now);
        let status = None;
        let seen = Seen::Ended { status, signalled: false, cause: Some(cause) };
        more.push(Observation { run, rank: Rank::Queue, at, seen });
    }
    known.ended(more, rows)
}

/// A job of which no trace is left, when all that is asked for has come together.
pub(crate) fn lost(known: &Known<'_>, lost_after: Option<Duration>) -> Option<JobChange> {
    if known.record.is_over() {
        return None;
    }
    let since = known.job.missing_since?;
    let system = known.system;
    let has_accounting = system.has_accounting();
    let by_default = Duration::from_secs(if has_accounting { 120 } else { 600 });
    let of_system = system.config().lost_after.and_then(cluster_core::Walltime::as_duration);
    let lost_after = of_system.or(lost_after).unwrap_or(by_default);
    let user = [system.user().to_owned()];
    let seen = system.seen(Whose::Users(&user)).ok()?;
    let good = |times: &[Timestamp]| times.iter().filter(|at| **at >= since).count();
    let enough = if has_accounting {
        good(&seen.queries) >= 2 && good(&seen.accounting) >= 1
    } else {
        good(&seen.queries) >= 3
    };
    let now = Timestamp::now();
    if !enough || now.since(since) < lost_after {
        return None;
    }
    let run = known.run(None);
    let inferred = Observation { run, rank: Rank::Inference, at: now, seen: Seen::Lost };
    let change = known.ended([inferred], &[])?;
    let gone = format!("{} shows no trace of it any more", system.name());
    Some(JobChange { reason: Some(gone), ended: Some(now), at: now, ..change })
}

/// A run that the scheduler broke off to start the job again.
pub(crate) fn closed_run(job: &JobRow, at: Timestamp) -> JobChange {
    JobChange {
        cause: Some(Cause::Lost),
        reason: Some("the scheduler queued the job again".to_owned()),
        ended: Some(at),
        ..JobChange::new(job.id, job.k, job.run, JobState::Failed, at)
    }
}

/// The scheduler's own words for an end, where they say more than its state.
fn said(row: &Row<'_>) -> Option<String> {
    (!matches!(row.reason.trim(), "" | "None")).then(|| words(row))
}

/// State and reason in the scheduler's own words.
fn words(row: &Row<'_>) -> String {
    let words = [row.raw_state.trim(), row.reason.trim()];
    let said = |word: &&&str| !matches!(**word, "" | "None");
    words.iter().filter(said).copied().collect::<Vec<_>>().join(", ")
}

pub(crate) fn usage(row: &Row<'_>) -> Option<Usage> {
    if row.cpu_time.is_none() && row.mem_used.is_none() {
        return None;
    }
    Some(Usage {
        cpu_us: row.cpu_time.map_or(0, |time| u64::try_from(time.as_micros()).unwrap_or(u64::MAX)),
        max_rss_kb: row.mem_used.map_or(0, |size| size.as_bytes() / 1024),
    })
}

fn cause_in_log(known: &Known<'_>) -> Option<Cause> {
    let base = log(known.layout, known.chunk);
    let path = known.system.dialect().log(&base, known.position());
    // What all elements share names none of them.
    if path == base && known.chunk.array {
        return None;
    }
    known.system.dialect().cause_in_log(&tail(&path)?)
}

/// What a scheduler's own output of a chunk lies in is removed where it said nothing.
pub(crate) fn remove_empty_logs(system: &System, layout: &Layout, chunk: &ChunkRow) {
    let base = log(layout, chunk);
    let count = if chunk.array { u32::try_from(chunk.jobs.len()).unwrap_or(u32::MAX) } else { 0 };
    let mut paths: Vec<_> = (0..count).map(|at| system.dialect().log(&base, Some(at))).collect();
    paths.push(system.dialect().log(&base, None));
    paths.dedup();
    for path in paths {
        if fs::metadata(&path).is_ok_and(|meta| meta.is_file() && meta.len() == 0) {
            let _ = fs::remove_file(path);
        }
    }
}

/// The last 64 KiB of a file.
fn tail(path: &Path) -> Option<Vec<u8>> {
    const MOST: u64 = 64 << 10;
    let mut file = fs::File::open(path).ok()?;
    let len = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(len.saturating_sub(MOST))).ok()?;
    let mut text = Vec::new();
    file.take(MOST).read_to_end(&mut text).ok()?;
    Some(text)
}
