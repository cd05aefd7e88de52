//! What a dead runner of another directory left of a root.
//!
//! One runner of a machine serves a root at a time, but not always one of the same directory: each allocation of a
//! scheduler has a runner of its own, and `CLUSTER_QUEUE_DIR` may change. What was killed there lies there.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::place::Place;
use super::serve::identity_text;
use crate::event::Event;
use crate::journal::Journal;
use crate::machine::Identity;
use crate::slot_table::{Entry, SlotTable};

/// See the [module](self).
pub(super) struct Former {
    number: u64,
    dir: PathBuf,
    table: SlotTable,
    /// Events that the store may not have.
    pub(super) events: Vec<Event>,
    /// What its slots had started in the root.
    pub(super) started: Vec<Entry>,
    /// Whether pids of that time still mean something.
    pub(super) same_boot: bool,
    /// No runner starts there while we look.
    _lock: File,
}

impl Former {
    /// What lies in `home` of `root`. `None` where there is nothing, where the directory is not ours alone, and
    /// where a runner lives there: it keeps what is its own.
    pub(super) fn of(home: &Path, root: &Path) -> Option<Self> {
        let place = Place::new(Some(home.to_owned()));
        place.check().ok()?;
        let lock = lock(&place)?;
        let (number, dir) = place.root(root);
        let (_, events) = if dir.is_dir() { Journal::open(&dir).ok()? } else { return None };
        let (table, left) = SlotTable::open(&place.slots()).ok()?;
        let (_, handed_on) = SlotTable::open(&dir.join(HANDED_ON)).ok()?;
        let mut started: Vec<_> = left.into_iter().filter(|entry| entry.root == number).collect();
        started.extend(handed_on);
        let identity = std::fs::read_to_string(place.identity()).unwrap_or_default();
        let same_boot = identity == identity_text(&Identity::here());
        Some(Self { number, dir, table, events, started, same_boot, _lock: lock })
    }

    /// All of it is somewhere else: the next runner there finds nothing of the root.
    pub(super) fn forget(self) -> std::io::Result<()> {
        self.table.forget_root(self.number)?;
        std::fs::remove_dir_all(self.dir)
    }
}

/// The lock of a directory. That of a killed process is let go a moment after its claim on the root.
fn lock(place: &Place) -> Option<File> {
    let patience = Instant::now() + Duration::from_secs(2);
    loop {
        match place.lock().ok()? {
            Some(lock) => return Some(lock),
            None if Instant::now() >= patience => return None,
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

/// The slots that were taken over with a root, in the directory of its journal.
pub(super) const HANDED_ON: &str = "slots";
