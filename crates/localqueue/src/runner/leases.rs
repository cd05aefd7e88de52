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
    holders: Mutex<HashMap<u32, Holder>>,
}

/// A process that runs jobs itself.
#[derive(Default)]
struct Holder {
    leased: Amount,
    /// Jobs of it that wait for jobs of their own: what each takes, and how many of its waits lend it.
    lent: HashMap<Job, (Amount, u32)>,
    /// What the engine keeps free of its own jobs for it.
    kept: Amount,
}

impl Leases {
    pub(super) fn new(engine: &Engine) -> Self {
        Self { engine: engine.clone(), holders: Mutex::default() }
    }

    /// Up to `most` of what is free now, for a process, until [`Self::end`]. `None` where no core is free.
    pub(super) fn begin(&self, holder: u32, most: Amount) -> Option<Amount> {
        let leased = self.engine.lease(most)?;
        self.change(holder, |holder| {
            holder.leased = holder.leased.saturating_add(&leased);
            holder.kept = holder.kept.saturating_add(&leased);
        });
        Some(leased)
    }

    /// The end of a lease, or of a part of it.
    pub(super) fn end(&self, holder: u32, leased: Amount) {
        self.change(holder, |holder| holder.leased = holder.leased.saturating_sub(&leased));
    }

    /// A job of a process waits for jobs of its own: others may use its part until [`Self::take_back`].
    pub(super) fn lend(&self, holder: u32, job: &Job, need: Amount) {
        self.change(holder, |holder| holder.lent.entry(job.clone()).or_insert((need, 0)).1 += 1);
    }

    /// It goes on.
    pub(super) fn take_back(&self, holder: u32, job: &Job) {
        self.change(holder, |holder| {
            let Some((_, waits)) = holder.lent.get_mut(job) else { return };
            *waits -= 1;
            if *waits == 0 {
                holder.lent.remove(job);
            }
        });
    }

    /// Changes what there is of a holder, and has the engine keep what follows from it: never more than it has
    /// leased, never less than it does not lend, whichever ends first.
    fn change(&self, number: u32, what: impl FnOnce(&mut Holder)) {
        let mut holders = self.holders.lock().unwrap_or_else(PoisonError::into_inner);
        let holder = holders.entry(number).or_default();
        what(holder);
        let lent = holder.lent.values().fold(Amount::default(), |sum, (need, _)| sum.saturating_add(need));
        let keep = holder.leased.saturating_sub(&lent);
        let (more, less) = (keep.saturating_sub(&holder.kept), holder.kept.saturating_sub(&keep));
        holder.kept = keep;
        if more != Amount::default() {
            self.engine.reserve(more);
        }
        if less != Amount::default() {
            self.engine.give_back(less);
        }
        if holder.leased == Amount::default() && holder.lent.is_empty() {
            holders.remove(&number);
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
        let first = leases.begin(1, cores(3)).unwrap();
        let second = leases.begin(2, cores(3)).unwrap();
        assert_eq!((first.cores, second.cores, taken()), (3, 1, 4));
        assert_eq!(leases.begin(3, cores(1)), None);
        let job = |text: &str| (ByteString::from("/r"), text.parse::<JobId>().unwrap());
        leases.lend(1, &job("1.0"), cores(2));
        leases.lend(1, &job("1.0"), cores(2));
        assert_eq!(taken(), 2);
        leases.take_back(1, &job("1.0"));
        assert_eq!(taken(), 2);
        leases.take_back(1, &job("1.0"));
        assert_eq!(taken(), 4);
        // Who has no lease lends nothing of others'.
        leases.lend(3, &job("2.0"), cores(4));
        assert_eq!(taken(), 4);
        leases.take_back(3, &job("2.0"));
        // A part is given back, and the rest ends before its job has gone on.
        leases.end(1, cores(1));
        assert_eq!(taken(), 3);
        leases.lend(1, &job("1.1"), cores(3));
        leases.end(1, cores(2));
        assert_eq!(taken(), 1);
        leases.take_back(1, &job("1.1"));
        leases.take_back(1, &job("7.0"));
        assert_eq!(taken(), 1);
        leases.end(2, second);
        assert_eq!(taken(), 0);
        assert!(leases.holders.lock().unwrap().is_empty());
    }
}
