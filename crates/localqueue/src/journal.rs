//! The journal of a root: ends that its store does not have yet, on the runner's own disk.
//!
//! Two files take turns. Events go to the active one; to feed the store, the sides are changed, the
//! events of the other side are committed, and only when that commit was synced is that file emptied.
//! Killed in between, the runner finds both files and gives the store all of it again, which it takes
//! as it should: the same fact twice is one fact.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::event::Event;

/// See the [module](self).
#[derive(Debug)]
pub struct Journal {
    sides: [File; 2],
    active: usize,
    line: Vec<u8>,
    /// Bytes written since the beginning, for benchmarks.
    written: u64,
}

impl Journal {
    /// Opens the journal in `dir` and gives the events that a dead runner left.
    ///
    /// # Errors
    /// Where a file cannot be opened or read.
    pub fn open(dir: &Path) -> io::Result<(Self, Vec<Event>)> {
        let open = |name: &str| {
            OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(dir.join(name))
        };
        let mut sides = [open("journal.0")?, open("journal.1")?];
        let mut left = Vec::new();
        for side in &mut sides {
            let mut text = Vec::new();
            side.read_to_end(&mut text)?;
            // A torn last line was never acted upon: it is dropped.
            left.extend(text.split(|&b| b == b'\n').filter_map(Event::parse_line));
        }
        Ok((Self { sides, active: 0, line: Vec::new(), written: 0 }, left))
    }

    /// Writes one event down: when this returns, no kill of the runner loses it.
    ///
    /// # Errors
    /// Where the disk does not take it (nothing of the line is kept then).
    pub fn append(&mut self, event: &Event) -> io::Result<()> {
        self.line.clear();
        event.write_line(&mut self.line);
        if self.line.is_empty() {
            return Ok(());
        }
        let side = &mut self.sides[self.active];
        // One write: a kill leaves the line whole or out.
        let taken = side.write(&self.line)?;
        if taken < self.line.len() {
            let len = side.metadata()?.len();
            side.set_len(len - taken as u64)?;
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.written += taken as u64;
        Ok(())
    }

    /// Events go to the other side from now on.
    pub fn turn(&mut self) {
        self.active = 1 - self.active;
    }

    /// Empties the side that is not active: the store has what was in it, synced.
    ///
    /// # Errors
    /// Where the file system refuses.
    pub fn forget_other(&mut self) -> io::Result<()> {
        self.sides[1 - self.active].set_len(0)
    }

    /// Empties both sides.
    ///
    /// # Errors
    /// Where the file system refuses.
    pub fn forget_all(&mut self) -> io::Result<()> {
        self.sides.iter().try_for_each(|side| side.set_len(0))
    }

    /// Bytes written since it was opened.
    pub fn written(&self) -> u64 {
        self.written
    }
}

#[cfg(test)]
mod tests {
    use cluster_core::{BatchId, Cause, IndexSet, Timestamp};

    use super::*;

    fn event(batch: u64) -> Event {
        let jobs = IndexSet::range(0, 1);
        Event::Unstarted {
            batch: BatchId(batch),
            k: 0,
            run: 1,
            jobs,
            cause: Cause::Cancelled,
            at: Timestamp(1),
        }
    }

    #[test]
    fn what_was_not_forgotten_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let (mut journal, left) = Journal::open(dir.path()).unwrap();
        assert!(left.is_empty());
        journal.append(&event(1)).unwrap();
        journal.turn();
        journal.append(&event(2)).unwrap();
        let (_, left) = Journal::open(dir.path()).unwrap();
        assert_eq!(left, [event(1), event(2)]);
        journal.forget_other().unwrap();
        OpenOptions::new()
            .append(true)
            .open(dir.path().join("journal.1"))
            .unwrap()
            .write_all(b"end 1 2 torn")
            .unwrap();
        let (mut journal, left) = Journal::open(dir.path()).unwrap();
        assert_eq!(left, [event(2)]);
        journal.forget_all().unwrap();
        assert!(Journal::open(dir.path()).unwrap().1.is_empty());
    }
}
