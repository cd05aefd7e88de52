//! A job of the model: what becomes of it by each operation and by each change.

use std::collections::BTreeMap;

use cluster_core::JobState::{self, Created, Failed, Held, Queued, Running, Submitting, Suspended};
use cluster_core::{Cause, ExitStatus, RunNumber, SubmissionNumber};
use cluster_jobsdb::{JobChange, JobRow, OutputPlace, Unstarted, Usage};

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Job {
    pub(super) state: JobState,
    pub(super) cause: Option<Cause>,
    pub(super) status: Option<ExitStatus>,
    pub(super) reason: Option<String>,
    pub(super) priority: i32,
    pub(super) k: SubmissionNumber,
    pub(super) run: RunNumber,
    pub(super) changed: i64,
    pub(super) started: Option<i64>,
    pub(super) ended: Option<i64>,
    pub(super) host: Option<String>,
    pub(super) pid: Option<u32>,
    pub(super) remote: Option<String>,
    pub(super) output: Option<OutputPlace>,
    pub(super) usage: Option<Usage>,
    pub(super) cancel_requested: Option<i64>,
    pub(super) collected: Option<i64>,
    pub(super) cleaned: Option<i64>,
    pub(super) missing_since: Option<i64>,
    pub(super) earlier: BTreeMap<RunNumber, Job>,
}

impl Job {
    pub(super) fn new(state: JobState, priority: i32, at: i64) -> Self {
        Self {
            state,
            cause: None,
            status: None,
            reason: None,
            priority,
            k: 0,
            run: 1,
            changed: at,
            started: None,
            ended: None,
            host: None,
            pid: None,
            remote: None,
            output: None,
            usage: None,
            cancel_requested: None,
            collected: None,
            cleaned: None,
            missing_since: None,
            earlier: BTreeMap::new(),
        }
    }

    pub(super) fn of(row: &JobRow) -> Self {
        Self {
            state: row.state,
            cause: row.cause,
            status: row.status,
            reason: row.reason.clone(),
            priority: row.priority,
            k: row.k,
            run: row.run,
            changed: row.changed.0,
            started: row.started.map(|t| t.0),
            ended: row.ended.map(|t| t.0),
            host: row.host.clone(),
            pid: row.pid,
            remote: row.remote.clone().map(|remote| remote.0),
            output: row.output,
            usage: row.usage,
            cancel_requested: row.cancel_requested.map(|t| t.0),
            collected: row.collected.map(|t| t.0),
            cleaned: row.cleaned.map(|t| t.0),
            missing_since: row.missing_since.map(|t| t.0),
            earlier: BTreeMap::new(),
        }
    }

    pub(super) fn waits(&self) -> bool {
        matches!(self.state, Created | Submitting | Queued | Held)
    }

    pub(super) fn move_to(&mut self, to: &Unstarted, now: i64) -> bool {
        let (sources, target): (&[JobState], JobState) = match to {
            Unstarted::Held => (&[Created, Submitting, Queued], Held),
            Unstarted::Queued => (&[Created, Submitting, Held], Queued),
            Unstarted::Released => (&[Held], Queued),
            Unstarted::Submitting => (&[Created], Submitting),
            Unstarted::Created => (&[Submitting, Held], Created),
            Unstarted::Sent { held } => (&[Submitting], if *held { Held } else { Queued }),
            Unstarted::Waiting { held, .. } => {
                (&[Created, Submitting, Queued, Held], if *held { Held } else { Queued })
            }
            Unstarted::Cancelled | Unstarted::Ended { .. } => (&[Created, Submitting, Queued, Held], Failed),
        };
        if !sources.contains(&self.state) {
            return false;
        }
        if let Unstarted::Waiting { reason, .. } = to
            && target == self.state
        {
            // Only the reason is news: it has been in this state for as long as before.
            let changes = self.reason != *reason;
            self.reason.clone_from(reason);
            return changes;
        }
        (self.state, self.changed) = (target, now);
        (self.cause, self.reason) = match to {
            Unstarted::Cancelled => (Some(Cause::Cancelled), None),
            Unstarted::Ended { cause, reason } => (Some(*cause), reason.clone()),
            Unstarted::Waiting { reason, .. } => (None, reason.clone()),
            _ => (None, None),
        };
        self.ended = target.is_end().then_some(now);
        true
    }

    pub(super) fn has_begun(&self) -> bool {
        self.started.is_some() || self.state.is_end() || matches!(self.state, Running | Suspended)
    }

    pub(super) fn next_run(&mut self, run: RunNumber, k: SubmissionNumber, state: JobState, at: i64) {
        let mut next = Self::new(state, self.priority, at);
        (next.run, next.k, next.earlier) = (run, k, std::mem::take(&mut self.earlier));
        let over = std::mem::replace(self, next);
        self.earlier.insert(over.run, over);
    }

    pub(super) fn take(&mut self, change: &JobChange) {
        if change.run < self.run {
            let mut old = self.earlier.remove(&change.run).unwrap_or_else(|| {
                let mut old = Self::new(Created, 0, i64::MIN);
                (old.run, old.k) = (change.run, change.k);
                old
            });
            old.take(change);
            self.earlier.insert(change.run, old);
            return;
        }
        if change.run > self.run {
            self.next_run(change.run, change.k, Created, i64::MIN);
        }
        let certain = |state: JobState, cause| state.is_end() && cause != Some(Cause::Lost);
        let new_started = matches!(change.state, Running | Suspended);
        let new_waits = matches!(change.state, Created | Submitting | Queued | Held);
        let later = change.at.0 >= self.changed;
        let wins = match (certain(self.state, self.cause), certain(change.state, change.cause)) {
            (true, false) => false,
            (false, true) => true,
            (true, true) => later,
            (false, false) if matches!(self.state, Running | Suspended) && new_waits => false,
            (false, false) if self.waits() && new_started && self.started.is_none() => true,
            (false, false) => later,
        };
        let new_certain = certain(change.state, change.cause);
        if !certain(self.state, self.cause) && !new_certain {
            self.changed = self.changed.max(change.at.0);
        } else if wins {
            self.changed = change.at.0;
        }
        let started = change.started.map(|t| t.0).or(new_started.then_some(change.at.0));
        if !wins {
            self.started = self.started.or(started);
            self.host = self.host.take().or(change.host.clone());
            self.pid = self.pid.or(change.pid);
            self.remote = self.remote.take().or(change.remote.clone().map(|r| r.0));
            self.output = self.output.or(change.output);
            self.usage = self.usage.or(change.usage);
            return;
        }
        self.state = change.state;
        self.k = change.k;
        self.reason.clone_from(&change.reason);
        self.started = change.started.map(|t| t.0).or(self.started).or(new_started.then_some(change.at.0));
        let end = change.state.is_end();
        self.status = if end { change.status.or(self.status) } else { None };
        self.cause = if end { change.cause } else { None };
        self.ended = if end { change.ended.map(|t| t.0) } else { None };
        self.host = change.host.clone().or(self.host.take());
        self.pid = change.pid.or(self.pid);
        self.remote = change.remote.clone().map(|r| r.0).or(self.remote.take());
        self.output = change.output.or(self.output);
        self.usage = change.usage.or(self.usage);
    }
}
