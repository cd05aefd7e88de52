//! The store against a naive model with a row for each job, under random operations on batches and slices.

use std::collections::BTreeMap;

use cluster_core::{
    Cause, ExitStatus, IndexSet, JobId, JobState, RemoteId, RunNumber, SubmissionNumber, Tag, Timestamp,
};
use cluster_jobsdb::{
    JobChange, JobQuery, JobRow, OutputPlace, Store, StoreError, StreamPlace, Unstarted, Usage,
};
use proptest::prelude::*;

use JobState::{Created, Failed, Held, Queued, Running, Submitting, Succeeded, Suspended, Unknown};

#[derive(Debug, Clone, PartialEq)]
struct Job {
    state: JobState,
    cause: Option<Cause>,
    status: Option<ExitStatus>,
    reason: Option<String>,
    priority: i32,
    k: SubmissionNumber,
    run: RunNumber,
    changed: i64,
    started: Option<i64>,
    ended: Option<i64>,
    host: Option<String>,
    pid: Option<u32>,
    remote: Option<String>,
    output: Option<OutputPlace>,
    usage: Option<Usage>,
    cancel_requested: Option<i64>,
    collected: Option<i64>,
    cleaned: Option<i64>,
    earlier: BTreeMap<RunNumber, Job>,
}

#[derive(Debug, Clone)]
struct Batch {
    jobs: Vec<Job>,
    submissions: Vec<Tag>,
}

#[derive(Debug, Clone)]
enum Op {
    Accept { tag: u64, count: u32, state: JobState, priority: i32 },
    Apply(Vec<Change>),
    Unstarted { batch: usize, jobs: Option<IndexSet>, to: Unstarted },
    Priority { batch: usize, jobs: Option<IndexSet>, priority: i32 },
    RequestCancel { batch: usize, jobs: Option<IndexSet> },
    Resubmit { batch: usize, jobs: IndexSet, tag: u64, state: JobState },
    Collect { batch: usize, jobs: Option<IndexSet> },
    Clean { batch: usize, jobs: Option<IndexSet> },
}

#[derive(Debug, Clone)]
struct Change {
    batch: usize,
    index: u32,
    run: RunNumber,
    state: JobState,
    lost: bool,
    code: i32,
    at: i64,
    host: Option<String>,
    packed: bool,
}

impl Change {
    fn to_change(&self) -> JobChange {
        let id = JobId::new(self.batch as u64 + 1, self.index);
        let mut change = JobChange::new(id, self.run - 1, self.run, self.state, Timestamp(self.at));
        change.host.clone_from(&self.host);
        change.pid = self.host.as_ref().map(|host| host.len() as u32 + 7);
        change.remote = self.host.clone().map(RemoteId);
        if self.state.is_end() {
            change.cause = Some(match (self.state, self.lost) {
                (Succeeded, _) => Cause::Exit(0),
                (_, true) => Cause::Lost,
                (_, false) => Cause::Exit(self.code),
            });
            change.status = (!self.lost).then_some(ExitStatus::Exit(self.code));
            change.ended = Some(Timestamp(self.at));
            change.started = (self.code % 2 == 1).then_some(Timestamp(self.at - 1));
            change.output = Some(OutputPlace {
                pack: 0,
                out: if self.packed {
                    StreamPlace::Pack { offset: 5, len: 9 }
                } else {
                    StreamPlace::File { bytes: 3 }
                },
                err: StreamPlace::File { bytes: 0 },
            });
            change.usage = Some(Usage { cpu_us: self.at as u64, max_rss_kb: 2 });
        }
        change
    }
}

const BATCHES: usize = 3;
const JOBS: u32 = 12;

fn indices() -> impl Strategy<Value = IndexSet> {
    prop::collection::btree_set(0..JOBS, 1..8).prop_map(|set| set.into_iter().collect())
}

fn slice() -> impl Strategy<Value = Option<IndexSet>> {
    prop_oneof![
        2 => Just(None),
        4 => indices().prop_map(Some),
        1 => Just(Some(IndexSet::range(0, JOBS))),
    ]
}

fn change() -> impl Strategy<Value = Change> {
    let state = prop::sample::select(&JobState::ALL[..]);
    (
        0..BATCHES,
        0..JOBS + 2,
        prop_oneof![6 => Just(1u32), 2 => Just(2), 1 => Just(3)],
        state,
        prop::bool::weighted(0.3),
        1..4i32,
        0..60i64,
        prop::option::of("[ab]{1,2}"),
        any::<bool>(),
    )
        .prop_map(|(batch, index, run, state, lost, code, at, host, packed)| {
            let lost = lost && state == Failed;
            let code = if state == Succeeded { 0 } else { code };
            Change { batch, index, run, state, lost, code, at, host, packed }
        })
}

fn unstarted() -> impl Strategy<Value = Unstarted> {
    prop::sample::select(vec![
        Unstarted::Held,
        Unstarted::Queued,
        Unstarted::Released,
        Unstarted::Submitting,
        Unstarted::Created,
        Unstarted::Waiting { held: false, reason: Some("Resources".to_owned()) },
        Unstarted::Waiting { held: true, reason: None },
        Unstarted::Sent { held: false },
        Unstarted::Cancelled,
        Unstarted::Ended { cause: Cause::SubmitRefused, reason: Some("no".to_owned()) },
    ])
}

fn op() -> impl Strategy<Value = Op> {
    let begin = prop::sample::select(vec![Created, Submitting, Queued, Held]);
    let jobs = prop_oneof![4 => Just(JOBS), 1 => Just(1u32), 1 => Just(5)];
    prop_oneof![
        2 => (0..6u64, jobs, begin.clone(), -1..2i32)
            .prop_map(|(tag, count, state, priority)| Op::Accept { tag, count, state, priority }),
        4 => prop::collection::vec(change(), 1..8).prop_map(Op::Apply),
        4 => (0..BATCHES, slice(), unstarted()).prop_map(|(batch, jobs, to)| Op::Unstarted { batch, jobs, to }),
        2 => (0..BATCHES, slice(), -1..3i32)
            .prop_map(|(batch, jobs, priority)| Op::Priority { batch, jobs, priority }),
        1 => (0..BATCHES, slice()).prop_map(|(batch, jobs)| Op::RequestCancel { batch, jobs }),
        3 => (0..BATCHES, indices(), 10..16u64, begin)
            .prop_map(|(batch, jobs, tag, state)| Op::Resubmit { batch, jobs, tag, state }),
        1 => (0..BATCHES, slice()).prop_map(|(batch, jobs)| Op::Collect { batch, jobs }),
        1 => (0..BATCHES, slice()).prop_map(|(batch, jobs)| Op::Clean { batch, jobs }),
    ]
}

impl Job {
    fn new(state: JobState, priority: i32, at: i64) -> Self {
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
            earlier: BTreeMap::new(),
        }
    }

    fn of(row: &JobRow) -> Self {
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
            earlier: BTreeMap::new(),
        }
    }

    fn waits(&self) -> bool {
        matches!(self.state, Created | Submitting | Queued | Held)
    }

    fn move_to(&mut self, to: &Unstarted, now: i64) -> bool {
        let (sources, target): (&[JobState], JobState) = match to {
            Unstarted::Held => (&[Created, Submitting, Queued], Held),
            Unstarted::Queued => (&[Created, Submitting, Held], Queued),
            Unstarted::Released => (&[Held], Queued),
            Unstarted::Submitting => (&[Created], Submitting),
            Unstarted::Created => (&[Submitting], Created),
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

    fn has_begun(&self) -> bool {
        self.started.is_some() || self.state.is_end() || matches!(self.state, Running | Suspended)
    }

    fn next_run(&mut self, run: RunNumber, k: SubmissionNumber, state: JobState, at: i64) {
        let mut next = Self::new(state, self.priority, at);
        (next.run, next.k, next.earlier) = (run, k, std::mem::take(&mut self.earlier));
        let over = std::mem::replace(self, next);
        self.earlier.insert(over.run, over);
    }

    fn take(&mut self, change: &JobChange) {
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

/// The jobs of a slice, or `None` where one is not there.
fn chosen(batch: &Batch, jobs: Option<&IndexSet>) -> Option<Vec<usize>> {
    let all = batch.jobs.len();
    match jobs {
        None => Some((0..all).collect()),
        Some(jobs) => {
            let chosen: Vec<usize> = jobs.iter().map(|i| i as usize).collect();
            chosen.iter().all(|i| *i < all).then_some(chosen)
        }
    }
}

#[derive(Default)]
struct Model {
    batches: Vec<Batch>,
    tags: BTreeMap<u64, (usize, SubmissionNumber)>,
}

impl Model {
    /// Does the same to the model and to the store; both must agree on whether it can be done.
    fn run(&mut self, store: &mut Store, op: &Op, now: i64) -> Result<(), TestCaseError> {
        let time = Timestamp(now);
        match op {
            Op::Accept { tag, count, state, priority } => {
                self.accept(store, *tag, *count, *state, *priority, time)?;
            }
            Op::Apply(changes) => {
                let changes: Vec<_> = changes.iter().map(Change::to_change).collect();
                store.apply(&changes).unwrap();
                for change in &changes {
                    let batch = self.batches.get_mut(change.job.batch.0 as usize - 1);
                    if let Some(job) = batch.and_then(|b| b.jobs.get_mut(change.job.index as usize)) {
                        job.take(change);
                    }
                }
            }
            Op::Unstarted { batch, jobs, to } => {
                let result = store.set_unstarted(id(*batch), jobs.as_ref(), to, time);
                let n = self.each(*batch, jobs.as_ref(), |job| job.move_to(to, now));
                prop_assert_eq!(result.ok(), n);
            }
            Op::Priority { batch, jobs, priority } => {
                let result = store.set_priority(id(*batch), jobs.as_ref(), *priority);
                let n = self.each(*batch, jobs.as_ref(), |job| {
                    let changes = job.waits() && job.priority != *priority;
                    if changes {
                        job.priority = *priority;
                    }
                    changes
                });
                prop_assert_eq!(result.ok(), n);
            }
            Op::RequestCancel { batch, jobs } => {
                let result = store.request_cancel(id(*batch), jobs.as_ref(), time);
                let n = self.each(*batch, jobs.as_ref(), |job| {
                    let changes = !job.state.is_end() && job.cancel_requested.is_none();
                    if changes {
                        job.cancel_requested = Some(now);
                    }
                    changes
                });
                prop_assert_eq!(result.ok(), n);
            }
            Op::Collect { batch, jobs } => {
                let result = store.mark_collected(id(*batch), jobs.as_ref(), time);
                let n = self.each(*batch, jobs.as_ref(), |job| {
                    if job.state.is_end() {
                        job.collected = job.collected.or(Some(now));
                    }
                    true
                });
                prop_assert_eq!(result.is_ok(), n.is_some());
            }
            Op::Clean { batch, jobs } => {
                let result = store.mark_cleaned(id(*batch), jobs.as_ref(), time);
                let n = self.each(*batch, jobs.as_ref(), |job| {
                    if job.state.is_end() {
                        job.cleaned = job.cleaned.or(Some(now));
                    }
                    true
                });
                prop_assert_eq!(result.is_ok(), n.is_some());
            }
            Op::Resubmit { batch, jobs, tag, state } => {
                self.resubmit(store, *batch, jobs, *tag, *state, time)?;
            }
        }
        Ok(())
    }

    fn each(
        &mut self,
        batch: usize,
        jobs: Option<&IndexSet>,
        mut change: impl FnMut(&mut Job) -> bool,
    ) -> Option<u64> {
        let batch = self.batches.get_mut(batch)?;
        let chosen = chosen(batch, jobs)?;
        Some(chosen.into_iter().filter(|i| change(&mut batch.jobs[*i])).count() as u64)
    }

    fn accept(
        &mut self,
        store: &mut Store,
        tag: u64,
        count: u32,
        state: JobState,
        priority: i32,
        time: Timestamp,
    ) -> Result<(), TestCaseError> {
        if !self.tags.contains_key(&tag) && self.batches.len() == BATCHES {
            return Ok(());
        }
        let mut new = crate::batch(tag, count, state);
        (new.spec.priority, new.at) = (priority, time);
        let made = store.accept(&[new.clone(), new]).unwrap();
        let &mut (place, _) = self.tags.entry(tag).or_insert_with(|| {
            let jobs = vec![Job::new(state, priority, time.0); count as usize];
            self.batches.push(Batch { jobs, submissions: vec![Tag::from_bits(tag)] });
            (self.batches.len() - 1, 0)
        });
        prop_assert_eq!(made, vec![id(place); 2]);
        Ok(())
    }

    fn resubmit(
        &mut self,
        store: &mut Store,
        batch: usize,
        jobs: &IndexSet,
        tag: u64,
        state: JobState,
        time: Timestamp,
    ) -> Result<(), TestCaseError> {
        let result = store.resubmit(id(batch), jobs, &Tag::from_bits(tag), state, time);
        if let Some((_, k)) = self.tags.get(&tag) {
            prop_assert_eq!(result.unwrap(), *k);
            return Ok(());
        }
        let Some(entry) = self.batches.get_mut(batch) else {
            prop_assert!(matches!(result, Err(StoreError::UnknownBatch(_))));
            return Ok(());
        };
        let Some(chosen) = chosen(entry, Some(jobs)) else {
            let unknown = matches!(result, Err(StoreError::UnknownJob { .. }));
            prop_assert!(unknown);
            return Ok(());
        };
        let stuck: Vec<_> = chosen
            .iter()
            .filter(|i| !entry.jobs[**i].state.is_end() && entry.jobs[**i].state != Created)
            .collect();
        if let Some(expected) = stuck.first() {
            let Err(StoreError::NotEnded { count, first, .. }) = result else {
                return Err(TestCaseError::fail("resubmitted jobs that had not ended"));
            };
            prop_assert_eq!((count as usize, first as usize), (stuck.len(), **expected));
            return Ok(());
        }
        let k = entry.submissions.len() as SubmissionNumber;
        prop_assert_eq!(result.unwrap(), k);
        entry.submissions.push(Tag::from_bits(tag));
        self.tags.insert(tag, (batch, k));
        for i in chosen {
            let job = &mut entry.jobs[i];
            if job.state.is_end() {
                job.next_run(job.run + 1, k, state, time.0);
            } else {
                let again = Job::new(state, job.priority, time.0);
                *job = Job {
                    run: job.run,
                    k,
                    collected: job.collected,
                    cleaned: job.cleaned,
                    earlier: std::mem::take(&mut job.earlier),
                    ..again
                };
            }
        }
        Ok(())
    }

    /// Everything that can be asked of the store is what the model says.
    fn compare(&self, store: &mut Store) -> Result<(), TestCaseError> {
        for (place, batch) in self.batches.iter().enumerate() {
            let row = store.batch(id(place)).unwrap().unwrap();
            let counts = JobState::ALL.map(|s| batch.jobs.iter().filter(|job| job.state == s).count() as u64);
            prop_assert_eq!(row.counts, counts);
            for state in JobState::ALL {
                let expected: IndexSet =
                    (0u32..).zip(&batch.jobs).filter(|(_, job)| job.state == state).map(|(i, _)| i).collect();
                prop_assert_eq!(store.indices_in(id(place), &[state]).unwrap(), expected);
            }
            self.compare_pages(store, place, batch)?;
            let k: Vec<_> = store.submissions(id(place)).unwrap().into_iter().map(|s| (s.k, s.tag)).collect();
            prop_assert_eq!(k, (0..).zip(batch.submissions.clone()).collect::<Vec<_>>());
        }
        self.compare_unfinished(store)?;
        let report = store.check().unwrap();
        prop_assert!(report.is_sound(), "{:?}", report);
        Ok(())
    }

    fn compare_pages(&self, store: &mut Store, place: usize, batch: &Batch) -> Result<(), TestCaseError> {
        for states in
            [None, Some(vec![Failed]), Some(vec![Queued, Running]), Some(vec![Held, Succeeded, Failed])]
        {
            let expected: Vec<(u32, Job)> = (0u32..)
                .zip(&batch.jobs)
                .filter(|(_, job)| states.as_ref().is_none_or(|states| states.contains(&job.state)))
                .map(|(i, job)| (i, Job { earlier: BTreeMap::new(), ..job.clone() }))
                .collect();
            let mut seen = Vec::new();
            let mut after = None;
            loop {
                let query = JobQuery { jobs: None, states: states.clone(), after, limit: 5 };
                let page = store.jobs(id(place), &query).unwrap();
                let Some(last) = page.last() else { break };
                after = Some(last.id.index);
                seen.extend(page.iter().map(|row| (row.id.index, Job::of(row))));
            }
            prop_assert_eq!(seen, expected);
        }
        for (i, job) in (0u32..).zip(&batch.jobs) {
            let one = JobId { batch: id(place), index: i };
            let expected = Job { earlier: BTreeMap::new(), ..job.clone() };
            prop_assert_eq!(Job::of(&store.job(one).unwrap().unwrap()), expected);
            let known = job.earlier.values().chain([job]).filter(|job| job.has_begun());
            let known: Vec<_> = known.collect();
            let runs = store.runs(one).unwrap();
            prop_assert_eq!(runs.len(), known.len());
            for (run, job) in runs.into_iter().zip(known) {
                prop_assert_eq!(
                    (run.run, run.k, run.state, run.cause),
                    (job.run, job.k, job.state, job.cause)
                );
                prop_assert_eq!((run.status, &run.reason, &run.host), (job.status, &job.reason, &job.host));
                prop_assert_eq!((run.pid, run.output, run.usage), (job.pid, job.output, job.usage));
                prop_assert_eq!(run.remote.map(|remote| remote.0), job.remote.clone());
                prop_assert_eq!(run.started.map(|t| t.0), job.started);
                prop_assert_eq!(run.ended.map(|t| t.0), job.ended);
                prop_assert_eq!(run.cancel_requested.map(|t| t.0), job.cancel_requested);
            }
        }
        Ok(())
    }

    fn compare_unfinished(&self, store: &mut Store) -> Result<(), TestCaseError> {
        let unfinished = store.unfinished("local").unwrap();
        let expected = self.batches.iter().filter(|b| b.jobs.iter().any(|job| !job.state.is_end())).count();
        prop_assert_eq!(unfinished.len(), expected);
        for entry in &unfinished {
            let jobs = &self.batches[entry.batch.id.0 as usize - 1].jobs;
            let mut seen = 0;
            for group in &entry.unstarted {
                for index in group.jobs.iter() {
                    let job = &jobs[index as usize];
                    prop_assert_eq!((job.state, job.k, job.run), (group.state, group.k, group.run));
                    prop_assert_eq!(job.priority, group.priority);
                    prop_assert_eq!(job.cancel_requested, group.cancel_requested.map(|t| t.0));
                    seen += 1;
                }
            }
            for started in &entry.started {
                let job = &jobs[started.index as usize];
                prop_assert!(matches!(job.state, Running | Suspended | Unknown));
                prop_assert_eq!((job.state, job.k, job.run), (started.state, started.k, started.run));
                prop_assert_eq!((&job.host, job.pid), (&started.host, started.pid));
                seen += 1;
            }
            prop_assert_eq!(seen, jobs.iter().filter(|job| !job.state.is_end()).count());
        }
        Ok(())
    }
}

fn id(place: usize) -> cluster_core::BatchId {
    cluster_core::BatchId(place as u64 + 1)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn the_store_is_what_a_row_for_each_job_would_be(ops in prop::collection::vec(op(), 1..14)) {
        let root = tempfile::tempdir().unwrap();
        let mut store = crate::open(root.path());
        let mut model = Model::default();
        let first = Op::Accept { tag: 0, count: JOBS, state: Queued, priority: 0 };
        for (now, op) in (20..).zip(std::iter::once(&first).chain(&ops)) {
            model.run(&mut store, op, now)?;
        }
        model.compare(&mut store)?;
    }

    #[test]
    fn applying_the_same_changes_again_is_harmless(
        before in prop::collection::vec(op(), 0..5),
        changes in prop::collection::vec(change(), 1..10),
    ) {
        let root = tempfile::tempdir().unwrap();
        let mut store = crate::open(root.path());
        let mut model = Model::default();
        let first = Op::Accept { tag: 0, count: JOBS, state: Queued, priority: 0 };
        for (now, op) in (20..).zip(std::iter::once(&first).chain(&before)) {
            model.run(&mut store, op, now)?;
        }
        let changes: Vec<_> = changes.iter().map(Change::to_change).collect();
        store.apply(&changes).unwrap();
        let mut once = Vec::new();
        store.export(&mut once).unwrap();
        store.apply(&changes).unwrap();
        let mut twice = Vec::new();
        store.export(&mut twice).unwrap();
        prop_assert_eq!(String::from_utf8(once).unwrap(), String::from_utf8(twice).unwrap());
    }
}
