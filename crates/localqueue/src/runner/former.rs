//! What a dead runner of another directory left of a root.
//!
//! One runner of a machine serves a root at a time, but not always one of the same directory: each allocation of a
//! scheduler has a runner of its own, and `CLUSTER_QUEUE_DIR` may change. What was killed there lies there. Whoever
//! holds the claim on the root may take it, also where another runner lives in that directory by now: without the
//! claim it does not touch what is of this root.

use std::io;
use std::path::{Path, PathBuf};

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
}

impl Former {
    /// What lies in `home` of `root`. `None` where there is nothing, and where the directory is not ours alone.
    pub(super) fn of(home: &Path, root: &Path) -> io::Result<Option<Self>> {
        let place = Place::new(Some(home.to_owned()));
        let (number, dir) = place.root(root);
        if place.check().is_err() || !dir.is_dir() {
            return Ok(None);
        }
        let (_, events) = Journal::open(&dir)?;
        let (table, left) = SlotTable::open(&place.slots())?;
        let (_, handed_on) = SlotTable::open(&dir.join(HANDED_ON))?;
        let mut started: Vec<_> = left.into_iter().filter(|entry| entry.root == number).collect();
        started.extend(handed_on);
        let identity = std::fs::read_to_string(place.identity()).unwrap_or_default();
        let same_boot = identity == identity_text(&Identity::here());
        Ok(Some(Self { number, dir, table, events, started, same_boot }))
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
