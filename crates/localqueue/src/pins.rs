//! Cores that belong to one job while it runs.

use std::sync::{Mutex, PoisonError};

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Which cores this process may use, and which of them are a job's own now.
#[derive(Debug)]
pub(crate) struct Pins {
    allowed: CpuSet,
    taken: Mutex<Vec<usize>>,
}

impl Pins {
    pub(crate) fn new() -> Self {
        Self { allowed: sched_getaffinity(None).unwrap_or_else(|_| CpuSet::new()), taken: Mutex::default() }
    }

    /// Binds the calling thread, and what it starts, to `count` cores that nobody else is bound to. Where
    /// there are not so many left, the thread stays free: a wrong promise would be worse than none.
    pub(crate) fn bind(&self, count: u32) -> Option<Bound<'_>> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let free = (0..CpuSet::MAX_CPU).filter(|core| self.allowed.is_set(*core) && !taken.contains(core));
        let cores: Vec<_> = free.take(count as usize).collect();
        if cores.len() < count as usize {
            return None;
        }
        let mut set = CpuSet::new();
        cores.iter().for_each(|&core| set.set(core));
        sched_setaffinity(None, &set).ok()?;
        taken.extend(&cores);
        Some(Bound { pins: self, cores })
    }
}

/// Cores of one job; dropped, they are anybody's again and the thread is free.
pub(crate) struct Bound<'a> {
    pins: &'a Pins,
    cores: Vec<usize>,
}

impl Drop for Bound<'_> {
    fn drop(&mut self) {
        let mut taken = self.pins.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.retain(|core| !self.cores.contains(core));
        let _ = sched_setaffinity(None, &self.pins.allowed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_core_has_one_owner() {
        let pins = Pins::new();
        let all = pins.allowed.count();
        let mut bound: Vec<_> = (0..all).map(|_| pins.bind(1).unwrap()).collect();
        assert!(pins.bind(1).is_none());
        assert_eq!(sched_getaffinity(None).unwrap().count(), 1);
        drop(bound.pop());
        assert!(pins.bind(1).is_some());
        bound.clear();
        assert!(pins.bind(all).is_some());
    }
}
