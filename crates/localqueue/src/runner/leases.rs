//! Cores that other processes use themselves (`--foreground`, pools), and what their jobs lend while they wait.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use cluster_core::{ByteString, JobId};

use crate::capacity::Amount;
use crate::engine::Engine;

/// A job and its root.
type Job = (ByteString, JobId);

/// See the [module](self).
pub(super) struct Leases {
    engine: Engine,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    leased: Amount,
    /// Jobs of leaseholders that wait for jobs of their own: what each takes, and how many of its waits lend it.
    lent: HashMap<Job, (Amount, u32)>,
    /// What the engine keeps free of its own jobs for all of this.
    kept: Amount,
}

impl Leases {
    pub(super) fn new(engine: &Engine) -> Self {
        Self { engine: engine.clone(), state: Mutex::default() }
    }

    /// Up to `most` of what is free now, until [`Self::end`]. `None` where no core is free.
    pub(super) fn begin(&self, most: Amount) -> Option<Amount> {
        let leased = self.engine.lease(most)?;
        self.change(|state| {
            state.leased = state.leased.saturating_add(&leased);
            state.kept = state.kept.saturating_add(&leased);
        });
        Some(leased)
    }

    /// The end of a lease.
    pub(super) fn end(&self, leased: Amount) {
        self.change(|state| state.leased = state.leased.saturating_sub(&leased));
    }

    /// A job of a leaseholder waits for jobs of its own: others may use its part until [`Self::take_back`].
    pub(super) fn lend(&self, job: &Job, need: Amount) {
        self.change(|state| state.lent.entry(job.clone()).or_insert((need, 0)).1 += 1);
    }

    /// It goes on.
    pub(super) fn take_back(&self, job: &Job) {
        self.change(|state| {
            let left = state.lent.get_mut(job).map(|(_, waits)| {
                *waits = waits.saturating_sub(1);
                *waits
            });
            if left == Some(0) {
                state.lent.remove(job);
            }
        });
    }

    /// Changes what there is, and has the engine keep what follows from it: never more than is leased, never less
    /// than is not lent, whichever ends first.
    fn change(&self, what: impl FnOnce(&mut State)) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        what(&mut state);
        let lent = state.lent.values().fold(Amount::default(), |sum, (need, _)| sum.saturating_add(need));
        let keep = state.leased.saturating_sub(&lent);
        let (more, less) = (keep.saturating_sub(&state.kept), state.kept.saturating_sub(&keep));
        state.kept = keep;
        if more != Amount::default() {
            self.engine.reserve(more);
        }
        if less != Amount::default() {
            self.engine.give_back(less);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::launch::Nothing;

    fn cores(cores: u32) -> Amount {
        Amount { cores, mem_mb: 0 }
    }

    #[test]
    fn what_is_lent_of_a_lease_is_lent_once_and_comes_back() {
        let engine = Engine::new(cores(4), Box::new(Nothing), None, 0);
        let leases = Leases::new(&engine);
        let taken = || engine.status().taken.cores;
        let first = leases.begin(cores(3)).unwrap();
        let second = leases.begin(cores(3)).unwrap();
        assert_eq!((first.cores, second.cores, taken()), (3, 1, 4));
        assert_eq!(leases.begin(cores(1)), None);
        let job = |batch: &str| (ByteString::from("/r"), batch.parse::<JobId>().unwrap());
        leases.lend(&job("1.0"), cores(2));
        leases.lend(&job("1.0"), cores(2));
        assert_eq!(taken(), 2);
        leases.take_back(&job("1.0"));
        assert_eq!(taken(), 2);
        leases.take_back(&job("1.0"));
        assert_eq!(taken(), 4);
        // One that ends before its job has gone on.
        leases.lend(&job("1.1"), cores(3));
        leases.end(first);
        assert_eq!(taken(), 0);
        leases.take_back(&job("1.1"));
        assert_eq!(taken(), 1);
        leases.take_back(&job("7.0"));
        leases.end(second);
        assert_eq!(taken(), 0);
    }
}
