//! The life of a run as a pure function of what was observed of it.
//!
//! Observations skip states, come late or twice, and from several sources. [`Evidence`] is what is left
//! of them: each of its parts keeps the best observation of its kind, so that taking one in is a join
//! (commutative, associative, idempotent) and neither order nor repeats matter. What the job *is*, its
//! state and cause, is then derived from the evidence, by [`Evidence::outcome`].

use serde::{Deserialize, Serialize};

use crate::ids::RunNumber;
use crate::state::{Cause, ExitStatus, JobState};
use crate::time::Timestamp;

/// How much a source is worth, the best last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rank {
    /// Concluded from other things.
    Inference,
    /// A snapshot of the scheduler's queue; its time is when the query began.
    Queue,
    /// The scheduler's accounting.
    Accounting,
    /// The job's own record, or a wait status that we saw.
    Record,
}

/// What was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// Alive in this state.
    Alive(JobState),
    /// In a state that we do not know, as the scheduler writes it.
    Unknown(String),
    /// Ended: its status, the signal that job.sh received meanwhile, and the cause where the source names one.
    Ended {
        /// Exit code or signal, where the source knows it.
        status: Option<ExitStatus>,
        /// Whether job.sh noted a signal.
        signalled: bool,
        /// The cause that the source names (accounting), beyond the status.
        cause: Option<Cause>,
    },
    /// The gate stopped it.
    GateStopped,
    /// We asked for its end.
    CancelRequested,
    /// The runner enforced the time limit.
    TimeLimitEnforced,
    /// No trace of it was left when all of rule 1 was met.
    Lost,
}

/// One observation of one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// Which run it is about.
    pub run: RunNumber,
    /// Where it comes from.
    pub rank: Rank,
    /// The source's time.
    pub at: Timestamp,
    /// What was seen.
    pub seen: Seen,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Alive {
    // The order of the fields is the order of precedence: started beats not started, then the later source.
    started: bool,
    at: Timestamp,
    rank: Rank,
    state: JobState,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct End {
    rank: Rank,
    at: Timestamp,
    status: Option<ExitStatus>,
    signalled: bool,
}

/// All that is known of the newest run of a job. `Default` knows nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Evidence {
    run: RunNumber,
    #[serde(skip_serializing_if = "Option::is_none")]
    alive: Option<Alive>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unknown: Option<(Timestamp, String)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end: Option<End>,
    /// The cause that a source named, by the source's time.
    #[serde(skip_serializing_if = "Option::is_none")]
    named: Option<(Timestamp, Cause)>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    gate_stopped: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    cancel_requested: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    time_limit_enforced: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    lost: Option<Timestamp>,
    /// When it was last seen alive.
    seen_at: Timestamp,
}

/// What a job is, as far as the evidence goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Its state.
    pub state: JobState,
    /// Why it ended; `None` while it has not.
    pub cause: Option<Cause>,
    /// Its exit status, where one was seen.
    pub status: Option<ExitStatus>,
}

impl Evidence {
    /// Takes one observation in. Of an older run than the newest known nothing is taken, but for nothing.
    pub fn observe(&mut self, observation: Observation) {
        let Observation { run, rank, at, seen } = observation;
        let mut one = Self { run, ..Self::default() };
        match seen {
            Seen::Alive(state) if !state.is_end() => {
                one.alive = Some(Alive { started: state.has_started(), at, rank, state });
                one.seen_at = at;
            }
            // A state that is an end without a word on how is no evidence of anything.
            Seen::Alive(_) => {}
            Seen::Unknown(raw) => {
                one.unknown = Some((at, raw));
                one.seen_at = at;
            }
            Seen::Ended { status, signalled, cause } => {
                one.end = Some(End { rank, at, status, signalled });
                one.named = cause.map(|cause| (at, cause));
            }
            Seen::GateStopped => one.gate_stopped = true,
            Seen::CancelRequested => one.cancel_requested = true,
            Seen::TimeLimitEnforced => one.time_limit_enforced = true,
            Seen::Lost => one.lost = Some(at),
        }
        self.join(one);
    }

    /// Puts together what two sides know.
    pub fn join(&mut self, other: Self) {
        match self.run.cmp(&other.run) {
            std::cmp::Ordering::Greater => {}
            std::cmp::Ordering::Less => *self = other,
            std::cmp::Ordering::Equal => {
                keep_max(&mut self.alive, other.alive);
                keep_max(&mut self.unknown, other.unknown);
                keep_max(&mut self.end, other.end);
                keep_max(&mut self.named, other.named);
                keep_max(&mut self.lost, other.lost);
                self.gate_stopped |= other.gate_stopped;
                self.cancel_requested |= other.cancel_requested;
                self.time_limit_enforced |= other.time_limit_enforced;
                self.seen_at = self.seen_at.max(other.seen_at);
            }
        }
    }

    /// The run it is about.
    pub fn run(&self) -> RunNumber {
        self.run
    }

    /// When the job was last seen alive.
    pub fn seen_at(&self) -> Timestamp {
        self.seen_at
    }

    /// The scheduler's word for a state that we do not know, where that is the newest.
    pub fn unknown_state(&self) -> Option<&str> {
        let (at, raw) = self.unknown.as_ref()?;
        let newest = self.end.is_none() && self.alive.as_ref().is_none_or(|alive| alive.at < *at);
        newest.then_some(raw.as_str())
    }

    /// State and cause (design rule 8).
    pub fn outcome(&self) -> Outcome {
        let status = self.end.as_ref().and_then(|end| end.status);
        if let Some(cause) = self.cause() {
            return Outcome { state: cause.state(), cause: Some(cause), status };
        }
        let alive = self.alive.as_ref().map_or(JobState::Created, |alive| alive.state);
        let state = if self.unknown_state().is_some() { JobState::Unknown } else { alive };
        Outcome { state, cause: None, status: None }
    }

    fn cause(&self) -> Option<Cause> {
        let named = self.named.map(|(_, cause)| cause);
        let asked = if self.cancel_requested {
            Some(Cause::Cancelled)
        } else {
            self.time_limit_enforced.then_some(Cause::Timeout)
        };
        let Some(end) = &self.end else {
            if self.gate_stopped {
                return Some(Cause::DependencyNeverSatisfied);
            }
            // An inference, which anything seen later takes back.
            return self.lost.filter(|lost| *lost >= self.seen_at).map(|_| Cause::Lost);
        };
        let success = end.status.is_some_and(ExitStatus::is_success);
        if success && !self.gate_stopped {
            let stopped = asked.or(named).filter(|cause| {
                end.signalled && matches!(cause, Cause::Cancelled | Cause::Timeout | Cause::Preempted)
            });
            return Some(stopped.unwrap_or(Cause::Exit(0)));
        }
        let gate = self.gate_stopped.then_some(Cause::DependencyNeverSatisfied);
        let by_status = end.status.filter(|status| !status.is_success()).map(Cause::from);
        // An end that nobody explains: it is over, and how is not known.
        Some(asked.or(named).or(gate).or(by_status).unwrap_or(Cause::Lost))
    }
}

fn keep_max<T: Ord>(best: &mut Option<T>, other: Option<T>) {
    if other > *best {
        *best = other;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn observation() -> impl Strategy<Value = Observation> {
        let state = prop::sample::select(&JobState::ALL[..]);
        let status = prop_oneof![
            Just(None),
            (0..4).prop_map(|code| Some(ExitStatus::Exit(code))),
            Just(Some(ExitStatus::Signal(9)))
        ];
        let cause = prop_oneof![Just(None), Just(Some(Cause::Timeout)), Just(Some(Cause::OutOfMemory))];
        let seen = prop_oneof![
            4 => state.prop_map(Seen::Alive),
            1 => Just(Seen::Unknown("XY".into())),
            2 => (status, any::<bool>(), cause)
                .prop_map(|(status, signalled, cause)| Seen::Ended { status, signalled, cause }),
            1 => Just(Seen::GateStopped),
            1 => Just(Seen::CancelRequested),
            1 => Just(Seen::TimeLimitEnforced),
            1 => Just(Seen::Lost),
        ];
        let rank = prop::sample::select(&[Rank::Inference, Rank::Queue, Rank::Accounting, Rank::Record][..]);
        (1u32..3, rank, 0i64..6, seen).prop_map(|(run, rank, at, seen)| Observation {
            run,
            rank,
            at: Timestamp(at),
            seen,
        })
    }

    fn fold(observations: &[Observation]) -> Evidence {
        let mut evidence = Evidence::default();
        for observation in observations {
            evidence.observe(observation.clone());
        }
        evidence
    }

    proptest! {
        #[test]
        fn evidence_reads_back(observations in prop::collection::vec(observation(), 0..12)) {
            let evidence = fold(&observations);
            let text = serde_json::to_string(&evidence).unwrap();
            prop_assert_eq!(serde_json::from_str::<Evidence>(&text).unwrap(), evidence);
        }

        #[test]
        fn order_and_repeats_do_not_matter(
            observations in prop::collection::vec(observation(), 0..12),
            seed: u64,
        ) {
            let expected = fold(&observations);
            let mut shuffled: Vec<_> = observations.iter().chain(&observations).cloned().collect();
            let mut state = seed | 1;
            for i in (1..shuffled.len()).rev() {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                shuffled.swap(i, (state >> 33) as usize % (i + 1));
            }
            prop_assert_eq!(fold(&shuffled), expected);
        }

        #[test]
        fn an_end_is_never_left_but_for_lost(
            observations in prop::collection::vec(observation(), 1..12),
        ) {
            let mut evidence = Evidence::default();
            for observation in observations {
                let (run, before) = (evidence.run(), evidence.outcome());
                evidence.observe(observation);
                let after = evidence.outcome();
                if run == evidence.run() && before.state.is_end() && before.cause != Some(Cause::Lost) {
                    prop_assert!(after.state.is_end(), "{before:?} then {after:?}");
                }
                prop_assert_eq!(after.state.is_end(), after.cause.is_some());
                if after.state == JobState::Succeeded {
                    prop_assert_eq!(after.cause, Some(Cause::Exit(0)));
                }
            }
        }
    }

    fn at(time: i64, rank: Rank, seen: Seen) -> Observation {
        Observation { run: 1, rank, at: Timestamp(time), seen }
    }

    fn ended(code: i32, signalled: bool) -> Seen {
        Seen::Ended { status: Some(ExitStatus::Exit(code)), signalled, cause: None }
    }

    fn cause(observations: &[Observation]) -> Option<Cause> {
        fold(observations).outcome().cause
    }

    #[test]
    fn a_cancel_after_success_is_success() {
        let request = at(5, Rank::Record, Seen::CancelRequested);
        assert_eq!(cause(&[at(4, Rank::Record, ended(0, false)), request.clone()]), Some(Cause::Exit(0)));
        assert_eq!(cause(&[at(6, Rank::Record, ended(0, true)), request.clone()]), Some(Cause::Cancelled));
        assert_eq!(cause(&[at(6, Rank::Record, ended(143, true)), request]), Some(Cause::Cancelled));
    }

    #[test]
    fn a_trapped_term_at_the_time_limit_is_a_timeout() {
        let limit = at(5, Rank::Record, Seen::TimeLimitEnforced);
        assert_eq!(cause(&[limit, at(6, Rank::Record, ended(0, true))]), Some(Cause::Timeout));
        assert_eq!(cause(&[at(6, Rank::Record, ended(0, true))]), Some(Cause::Exit(0)));
    }

    #[test]
    fn accounting_names_the_cause_and_the_record_the_code() {
        let accounting = at(
            9,
            Rank::Accounting,
            Seen::Ended {
                status: Some(ExitStatus::Exit(9)),
                signalled: false,
                cause: Some(Cause::OutOfMemory),
            },
        );
        let outcome = fold(&[at(8, Rank::Record, ended(137, false)), accounting]).outcome();
        assert_eq!(outcome.cause, Some(Cause::OutOfMemory));
        assert_eq!(outcome.status, Some(ExitStatus::Exit(137)));
    }

    #[test]
    fn lost_is_taken_back_by_what_comes_later() {
        let lost = at(10, Rank::Inference, Seen::Lost);
        let running = |time| at(time, Rank::Queue, Seen::Alive(JobState::Running));
        assert_eq!(cause(&[running(5), lost.clone()]), Some(Cause::Lost));
        assert_eq!(fold(&[lost.clone(), running(11)]).outcome().state, JobState::Running);
        assert_eq!(cause(&[lost, at(3, Rank::Record, ended(0, false))]), Some(Cause::Exit(0)));
    }

    #[test]
    fn a_late_snapshot_does_not_take_a_started_job_back() {
        let start = at(5, Rank::Record, Seen::Alive(JobState::Running));
        let queued = at(7, Rank::Queue, Seen::Alive(JobState::Queued));
        assert_eq!(fold(&[start.clone(), queued]).outcome().state, JobState::Running);
        let suspended = at(8, Rank::Queue, Seen::Alive(JobState::Suspended));
        assert_eq!(fold(&[suspended, start]).outcome().state, JobState::Suspended);
    }

    #[test]
    fn a_requeue_is_a_new_run() {
        let first = at(5, Rank::Record, ended(1, false));
        let again =
            Observation { run: 2, rank: Rank::Queue, at: Timestamp(6), seen: Seen::Alive(JobState::Queued) };
        assert_eq!(fold(&[again, first]).outcome().state, JobState::Queued);
    }

    #[test]
    fn an_unknown_state_is_shown_as_such() {
        let unknown = at(7, Rank::Queue, Seen::Unknown("XY".into()));
        let running = |time| at(time, Rank::Queue, Seen::Alive(JobState::Running));
        let evidence = fold(&[running(6), unknown.clone()]);
        assert_eq!((evidence.outcome().state, evidence.unknown_state()), (JobState::Unknown, Some("XY")));
        assert_eq!(fold(&[unknown, running(8)]).outcome().state, JobState::Running);
    }
}
