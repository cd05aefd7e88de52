//! What runs beside the oldest job that does not fit: at most what is left of the machine when that one runs, so
//! that it waits for nothing that started after it had to wait.

use std::collections::HashMap;

use super::{BatchKey, Rank};
use crate::capacity::Amount;

/// The oldest job that does not fit, by its place in the queue.
pub(super) type Head = (Rank, u32);

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Beside {
    /// For whom room is kept.
    head: Option<Head>,
    /// What those take that started since.
    taken: Amount,
    /// Running jobs of a batch with the same need: how many, and how many of them started since.
    running: HashMap<(BatchKey, Amount), (u32, u32)>,
}

impl Beside {
    /// What may still start beside `head`, which needs so much of `capacity`.
    pub(super) fn room(&self, head: Head, need: &Amount, capacity: &Amount) -> Amount {
        let room = capacity.saturating_sub(need);
        if self.head == Some(head) { room.saturating_sub(&self.taken) } else { room }
    }

    /// A job started; `head` is whom it passed.
    pub(super) fn started(&mut self, key: BatchKey, need: Amount, head: Option<Head>) {
        if self.head != head {
            self.head = head;
            self.taken = Amount::default();
            self.running.values_mut().for_each(|(_, beside)| *beside = 0);
        }
        let (running, beside) = self.running.entry((key, need)).or_default();
        *running += 1;
        if head.is_some() {
            *beside += 1;
            self.taken = self.taken.saturating_add(&need);
        }
    }

    /// A job is found running: it was there before anybody waited.
    pub(super) fn adopted(&mut self, key: BatchKey, need: Amount) {
        self.running.entry((key, need)).or_default().0 += 1;
    }

    /// A job ended. Which of those that are alike is not known: the ones that started last are taken to run on.
    pub(super) fn finished(&mut self, key: BatchKey, need: Amount) {
        let Some((running, beside)) = self.running.get_mut(&(key, need)) else { return };
        *running = running.saturating_sub(1);
        if *beside > *running {
            *beside = *running;
            self.taken = self.taken.saturating_sub(&need);
        }
        if *running == 0 {
            self.running.remove(&(key, need));
        }
    }
}
