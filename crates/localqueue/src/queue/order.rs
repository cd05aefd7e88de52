//! Which of the works that may start goes first, and what running jobs take.

use std::collections::BTreeSet;

use super::beside::Head;
use super::{BatchKey, Queue, Rank, RootId, Start, WorkId, packed};
use crate::capacity::Amount;

/// Works of equal need, of which only the first is looked at.
#[derive(Debug)]
pub(super) struct Class {
    pub(super) need: Amount,
    pub(super) ready: BTreeSet<(Rank, WorkId)>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Throttle {
    pub(super) limit: u32,
    pub(super) running: u32,
}

impl Queue {
    pub(super) fn class(&mut self, need: Amount) -> u32 {
        *self.class_of.entry(need).or_insert_with(|| {
            self.classes.push(Class { need, ready: BTreeSet::new() });
            (self.classes.len() - 1) as u32
        })
    }

    pub(super) fn make_ready(&mut self, id: WorkId) {
        let Some(work) = &self.works[id as usize] else { return };
        let throttle = self.throttles.get(&work.key());
        let throttled = throttle.is_some_and(|throttle| throttle.running >= throttle.limit);
        let none = work.jobs.is_empty() || work.all_held;
        if none || work.is_blocked() || throttled || self.paused.contains(&work.root) {
            return;
        }
        let (rank, class) = (work.rank(), work.class);
        let ready = &mut self.classes[class as usize].ready;
        let old = ready.first().map(|&(rank, _)| rank);
        if ready.insert((rank, id)) && old.is_none_or(|old| rank < old) {
            if let Some(old) = old {
                self.heads.remove(&(old, class));
            }
            self.heads.insert((rank, class));
        }
    }

    pub(super) fn unready(&mut self, id: WorkId) {
        let Some(work) = self.works.get(id as usize).and_then(Option::as_ref) else { return };
        let (rank, class) = (work.rank(), work.class);
        let ready = &mut self.classes[class as usize].ready;
        let was_head = ready.first().is_some_and(|&(first, first_id)| first == rank && first_id == id);
        if ready.remove(&(rank, id)) && was_head {
            self.heads.remove(&(rank, class));
            if let Some(&(next, _)) = self.classes[class as usize].ready.first() {
                self.heads.insert((next, class));
            }
        }
    }

    /// The class whose head may start now, and the job that does not fit and is passed by it.
    pub(super) fn startable(&self) -> Option<(u32, Option<Head>)> {
        if self.draining {
            return None;
        }
        let mut free = self.capacity.saturating_sub(&self.taken);
        let mut passed = None;
        for &(rank, class) in &self.heads {
            if free.cores == 0 {
                return None;
            }
            let need = &self.classes[class as usize].need;
            if free.fits(need) {
                return Some((class, passed));
            }
            // What can never fit (the limit was lowered) must not keep anything from others.
            if passed.is_none() && self.capacity.fits(need) {
                let head = (rank, class);
                passed = Some(head);
                free = free.min(&self.beside.room(head, need, &self.capacity));
            }
        }
        None
    }

    /// Whether a job could start now.
    pub fn can_start(&self) -> bool {
        self.startable().is_some()
    }

    /// The job that starts now, if one does.
    pub fn start_next(&mut self) -> Option<Start> {
        let (class, passed) = self.startable()?;
        let class = class as usize;
        let id = self.classes[class].ready.first()?.1;
        let need = self.classes[class].need;
        let work = self.works[id as usize].as_mut()?;
        let index = work.jobs.pop_first()?;
        let start = Start { key: work.key(), index, k: work.k, run: work.run, need };
        let empty = work.jobs.is_empty();
        if empty {
            // Where only held ones are left, they are its jobs now.
            let (pending, held) = work.sets();
            work.set(pending, held);
        }
        let over = work.is_over();
        self.counts.queued -= 1;
        self.taken = self.taken.saturating_add(&need);
        self.beside.started(start.key, need, passed);
        let mut throttled = false;
        if let Some(throttle) = self.throttles.get_mut(&start.key) {
            throttle.running += 1;
            throttled = throttle.running >= throttle.limit;
        }
        if throttled {
            for id in self.works_of(start.key) {
                self.unready(id);
            }
        } else if empty {
            self.unready(id);
        }
        if over {
            self.unready(id);
            self.forget(id);
        }
        Some(start)
    }

    /// Whether a job could start if nothing else ran.
    pub fn could_start(&self) -> bool {
        self.heads.iter().any(|&(_, class)| self.capacity.fits(&self.classes[class as usize].need))
    }

    /// A job that was found running takes its part (it is not in the queue).
    pub fn adopt(&mut self, key: BatchKey, need: Amount) {
        self.taken = self.taken.saturating_add(&need);
        self.beside.adopted(key, need);
        // Its limit comes with the jobs that wait, if there are any.
        self.throttles.entry(key).or_insert(Throttle { limit: u32::MAX, running: 0 }).running += 1;
    }

    /// A running job is over: what it took is free again.
    pub fn finished(&mut self, key: BatchKey, need: Amount) {
        self.taken = self.taken.saturating_sub(&need);
        self.beside.finished(key, need);
        let Some(throttle) = self.throttles.get_mut(&key) else { return };
        throttle.running = throttle.running.saturating_sub(1);
        if throttle.running == 0 && !self.by_batch.contains_key(&packed(key)) {
            self.throttles.remove(&key);
        } else {
            for id in self.works_of(key) {
                self.make_ready(id);
            }
        }
    }

    /// A job that waits lends what it took (`lend`), or takes it back.
    pub fn lend(&mut self, need: Amount, lend: bool) {
        self.taken = if lend { self.taken.saturating_sub(&need) } else { self.taken.saturating_add(&need) };
    }

    /// From now on nothing starts (or again something does).
    pub fn set_draining(&mut self, draining: bool) {
        self.draining = draining;
    }

    /// Whether it drains.
    pub fn is_draining(&self) -> bool {
        self.draining
    }

    /// From now on nothing of this root starts (or again something does): its disk is full, or gone.
    pub fn pause_root(&mut self, root: RootId, paused: bool) {
        if paused != self.paused.contains(&root) {
            let ids: Vec<_> = self.of_root(root).flat_map(|key| self.works_of(key)).collect();
            if paused {
                self.paused.insert(root);
                ids.into_iter().for_each(|id| self.unready(id));
            } else {
                self.paused.remove(&root);
                ids.into_iter().for_each(|id| self.make_ready(id));
            }
        }
    }
}
