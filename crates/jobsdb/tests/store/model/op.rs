//! The operations that are tried at random.

use cluster_core::JobState::{self, Created, Failed, Held, Queued, Submitting, Succeeded};
use cluster_core::{Cause, ExitStatus, IndexSet, JobId, RemoteId, RunNumber, SubmissionNumber, Timestamp};
use cluster_jobsdb::{JobChange, OutputPlace, StreamPlace, Unstarted, Usage};
use proptest::prelude::*;

/// `parts` is in how many submissions to a scheduler the jobs go; none is not through one.
#[derive(Debug, Clone)]
pub(super) enum Op {
    Accept { tag: u64, count: u32, state: JobState, priority: i32, parts: usize },
    Apply(Vec<Change>),
    Unstarted { batch: usize, jobs: Option<IndexSet>, to: Unstarted },
    Priority { batch: usize, jobs: Option<IndexSet>, priority: i32 },
    RequestCancel { batch: usize, jobs: Option<IndexSet> },
    Resubmit { batch: usize, jobs: IndexSet, tag: u64, state: JobState, parts: usize },
    Mark { batch: usize, k: SubmissionNumber, mark: Mark },
    Missing { batch: usize, jobs: IndexSet, missing: bool },
    Collect { batch: usize, jobs: Option<IndexSet> },
    Clean { batch: usize, jobs: Option<IndexSet> },
}

/// What becomes known of a chunk.
#[derive(Debug, Clone)]
pub(super) enum Mark {
    Tried,
    Doubt,
    Sent { held: bool },
    Refused { cause: Cause },
    Over,
}

#[derive(Debug, Clone)]
pub(super) struct Change {
    pub(super) batch: usize,
    pub(super) index: u32,
    pub(super) run: RunNumber,
    pub(super) state: JobState,
    pub(super) lost: bool,
    pub(super) code: i32,
    pub(super) at: i64,
    pub(super) host: Option<String>,
    pub(super) packed: bool,
}

impl Change {
    pub(super) fn to_change(&self) -> JobChange {
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

pub(super) const BATCHES: usize = 3;
pub(super) const JOBS: u32 = 12;

pub(super) fn indices() -> impl Strategy<Value = IndexSet> {
    prop::collection::btree_set(0..JOBS, 1..8).prop_map(|set| set.into_iter().collect())
}

pub(super) fn slice() -> impl Strategy<Value = Option<IndexSet>> {
    prop_oneof![
        2 => Just(None),
        4 => indices().prop_map(Some),
        1 => Just(Some(IndexSet::range(0, JOBS))),
    ]
}

pub(super) fn change() -> impl Strategy<Value = Change> {
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

pub(super) fn unstarted() -> impl Strategy<Value = Unstarted> {
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

pub(super) fn mark() -> impl Strategy<Value = Mark> {
    prop_oneof![
        1 => Just(Mark::Tried),
        1 => Just(Mark::Doubt),
        4 => any::<bool>().prop_map(|held| Mark::Sent { held }),
        2 => prop::sample::select(vec![Cause::SubmitRefused, Cause::DependencyNeverSatisfied])
            .prop_map(|cause| Mark::Refused { cause }),
        1 => Just(Mark::Over),
    ]
}

pub(super) fn op() -> impl Strategy<Value = Op> {
    let begin = prop::sample::select(vec![Created, Submitting, Queued, Held]);
    let jobs = prop_oneof![4 => Just(JOBS), 1 => Just(1u32), 1 => Just(5)];
    prop_oneof![
        2 => (0..6u64, jobs, begin.clone(), -1..2i32, 0..4usize)
            .prop_map(|(tag, count, state, priority, parts)| Op::Accept { tag, count, state, priority, parts }),
        4 => prop::collection::vec(change(), 1..8).prop_map(Op::Apply),
        4 => (0..BATCHES, slice(), unstarted()).prop_map(|(batch, jobs, to)| Op::Unstarted { batch, jobs, to }),
        2 => (0..BATCHES, slice(), -1..3i32)
            .prop_map(|(batch, jobs, priority)| Op::Priority { batch, jobs, priority }),
        1 => (0..BATCHES, slice()).prop_map(|(batch, jobs)| Op::RequestCancel { batch, jobs }),
        3 => (0..BATCHES, indices(), 10..16u64, begin, 0..3usize)
            .prop_map(|(batch, jobs, tag, state, parts)| Op::Resubmit { batch, jobs, tag, state, parts }),
        4 => (prop_oneof![3 => Just(0), 1 => 0..BATCHES], 0..4u32, mark()).prop_map(|(batch, k, mark)| Op::Mark { batch, k, mark }),
        2 => (0..BATCHES, indices(), any::<bool>())
            .prop_map(|(batch, jobs, missing)| Op::Missing { batch, jobs, missing }),
        1 => (0..BATCHES, slice()).prop_map(|(batch, jobs)| Op::Collect { batch, jobs }),
        1 => (0..BATCHES, slice()).prop_map(|(batch, jobs)| Op::Clean { batch, jobs }),
    ]
}
