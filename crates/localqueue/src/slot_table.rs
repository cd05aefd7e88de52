//! The slot table: what each slot runs now, in a file that outlives the runner.
//!
//! A slot writes its entry before it starts a job and again when it knows the process; one `pwrite`
//! each. After a kill of the runner the table says which jobs had been started, so that none is started
//! twice, and which processes are theirs.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use cluster_core::{BatchId, Timestamp};

/// Bytes of one entry on disk.
const ENTRY: usize = 96;

/// How a job was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartedBy {
    /// Through job.sh, whose record outlives us.
    Script,
    /// Bare: only we see its end.
    Bare,
    /// One way or the other, before the machine was started anew.
    EarlierBoot,
}

/// One job that was started in a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Its root, as the runner registers it.
    pub root: u64,
    /// Its batch.
    pub batch: BatchId,
    /// Its place there.
    pub index: u32,
    /// Its submission.
    pub k: u32,
    /// Its run.
    pub run: u32,
    /// How it was started.
    pub by: StartedBy,
    /// Cores it takes.
    pub cores: u32,
    /// Memory it takes, in MB.
    pub mem_mb: u64,
    /// When it started.
    pub started: Timestamp,
    /// Time since boot in µs just before it was started.
    pub boot_before: u64,
    /// The same, when the process was known; 0 before.
    pub boot_after: u64,
    /// Its process; 0 before it is known.
    pub pid: u32,
}

impl Entry {
    fn encode(&self) -> [u8; ENTRY] {
        let mut bytes = [0; ENTRY];
        let mut at = 0;
        let mut put = |field: &[u8]| {
            bytes[at..at + field.len()].copy_from_slice(field);
            at += field.len();
        };
        put(&self.root.to_le_bytes());
        put(&self.batch.0.to_le_bytes());
        put(&self.mem_mb.to_le_bytes());
        put(&self.started.0.to_le_bytes());
        put(&self.boot_before.to_le_bytes());
        put(&self.boot_after.to_le_bytes());
        for field in [self.index, self.k, self.run, self.cores, self.pid, self.by as u32] {
            put(&field.to_le_bytes());
        }
        let sum = crc32fast::hash(&bytes[..ENTRY - 4]);
        bytes[ENTRY - 4..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8; ENTRY]) -> Option<Self> {
        let (fields, sum) = bytes.split_last_chunk::<4>()?;
        if crc32fast::hash(fields) != u32::from_le_bytes(*sum) || fields.iter().all(|&b| b == 0) {
            return None;
        }
        let long = |i: usize| bytes[8 * i..].first_chunk().map(|b| u64::from_le_bytes(*b));
        let short = |i: usize| bytes[48 + 4 * i..].first_chunk().map(|b| u32::from_le_bytes(*b));
        Some(Self {
            root: long(0)?,
            batch: BatchId(long(1)?),
            mem_mb: long(2)?,
            started: Timestamp(long(3)? as i64),
            boot_before: long(4)?,
            boot_after: long(5)?,
            index: short(0)?,
            k: short(1)?,
            run: short(2)?,
            cores: short(3)?,
            pid: short(4)?,
            by: match short(5)? {
                by if by == StartedBy::Bare as u32 => StartedBy::Bare,
                by if by == StartedBy::EarlierBoot as u32 => StartedBy::EarlierBoot,
                _ => StartedBy::Script,
            },
        })
    }
}

/// The table on disk.
#[derive(Debug)]
pub struct SlotTable {
    file: File,
}

impl SlotTable {
    /// Opens or makes the table, and gives what a dead runner left in it.
    ///
    /// # Errors
    /// Where it cannot be opened or read.
    pub fn open(path: &Path) -> io::Result<(Self, Vec<Entry>)> {
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        let table = Self { file };
        let mut left = Vec::new();
        for slot in 0..table.slots()? {
            left.extend(table.read(slot)?);
        }
        Ok((table, left))
    }

    /// How many slots there is a place for, whatever is in it.
    ///
    /// # Errors
    /// Where the file system refuses.
    pub fn slots(&self) -> io::Result<usize> {
        Ok(self.file.metadata()?.len() as usize / ENTRY)
    }

    fn read(&self, slot: usize) -> io::Result<Option<Entry>> {
        let mut bytes = [0; ENTRY];
        self.file.read_exact_at(&mut bytes, (slot * ENTRY) as u64)?;
        Ok(Entry::decode(&bytes))
    }

    /// Forgets the entries of one root: somebody else has them now.
    ///
    /// # Errors
    /// Where the file system refuses.
    pub fn forget_root(&self, root: u64) -> io::Result<()> {
        for slot in 0..self.slots()? {
            if self.read(slot)?.is_some_and(|entry| entry.root == root) {
                self.file.write_all_at(&[0; ENTRY], (slot * ENTRY) as u64)?;
            }
        }
        Ok(())
    }

    /// Writes down what `slot` runs.
    ///
    /// # Errors
    /// Where the disk does not take it.
    pub fn write(&self, slot: usize, entry: &Entry) -> io::Result<()> {
        self.file.write_all_at(&entry.encode(), (slot * ENTRY) as u64)
    }

    /// Forgets all entries: what was in them is settled.
    ///
    /// # Errors
    /// Where the file system refuses.
    pub fn clear(&self) -> io::Result<()> {
        self.file.set_len(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_outlive_the_table() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("slots");
        let entry = Entry {
            root: 7,
            batch: BatchId(17),
            index: 3,
            k: 1,
            run: 2,
            by: StartedBy::Bare,
            cores: 2,
            mem_mb: 500,
            started: Timestamp(9),
            boot_before: 10,
            boot_after: 11,
            pid: 4711,
        };
        let (table, left) = SlotTable::open(&path).unwrap();
        assert!(left.is_empty());
        table.write(2, &entry).unwrap();
        let (table, left) = SlotTable::open(&path).unwrap();
        assert_eq!(left, [entry], "slots never written are no entries");
        table.write(2, &Entry { pid: 0, ..entry }).unwrap();
        table.file.write_all_at(b"x", 2 * ENTRY as u64 + 5).unwrap();
        assert!(SlotTable::open(&path).unwrap().1.is_empty(), "a torn entry is none");
        table.clear().unwrap();
        assert!(SlotTable::open(&path).unwrap().1.is_empty());
    }
}
