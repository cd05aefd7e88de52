//! What a dead runner of another directory left of a root.
//!
//! One runner of a machine serves a root at a time, but not always one of the same directory: each allocation of a
//! scheduler has a runner of its own, and `CLUSTER_QUEUE_DIR` may change. What was killed there lies there. Whoever
//! holds the claim on the root may take it, also where another runner lives in that directory by now: without the
//! claim it does not touch what is of this root.

use std::io;
use std::path::{Path, PathBuf};

use super::origin::Origin;
use super::place::Place;
use crate::event::Event;
use crate::journal::Journal;
use crate::slot_table::{Entry, SlotTable, StartedBy};

/// See the [module](self).
pub(super) struct Former {
    number: u64,
    dir: PathBuf,
    table: SlotTable,
    /// Events that the store may not have.
    pub(super) events: Vec<Event>,
    /// What its slots had started in the root.
    pub(super) started: Vec<Entry>,
}

impl Former {
    /// What lies in `home` of `root`, which is `here` now. `None` where there is nothing, and where the directory is
    /// not ours alone.
    pub(super) fn of(home: &Path, root: &Path, here: &Origin) -> io::Result<Option<Self>> {
        let place = Place::new(Some(home.to_owned()));
        let (number, dir) = place.root(root);
        if place.check().is_err() || !dir.is_dir() {
            return Ok(None);
        }
        let (_, mut events) = Journal::open(&dir)?;
        let (table, left) = SlotTable::open(&place.slots())?;
        let (_, handed_on) = SlotTable::open(&dir.join(HANDED_ON))?;
        let mut started: Vec<_> = left.into_iter().filter(|entry| entry.root == number).collect();
        started.extend(handed_on);
        let origin = Origin::read(&dir);
        if origin.as_ref().is_some_and(|origin| !origin.is_boot_of(here)) {
            started.iter_mut().for_each(|entry| entry.by = StartedBy::EarlierBoot);
        }
        if origin.is_some_and(|origin| !origin.is_store_of(here)) {
            tracing::warn!("{} is of a store that is gone from {}", dir.display(), root.display());
            (events, started) = (Vec::new(), Vec::new());
        }
        Ok(Some(Self { number, dir, table, events, started }))
    }

    /// All of it is somewhere else: the next runner there finds nothing of the root.
    pub(super) fn forget(self) -> io::Result<()> {
        self.table.forget_root(self.number)?;
        match std::fs::remove_dir_all(self.dir) {
            // Its runner was about to, after an orderly end.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result,
        }
    }
}

/// The slots that were taken over with a root, in the directory of its journal.
pub(super) const HANDED_ON: &str = "slots";
