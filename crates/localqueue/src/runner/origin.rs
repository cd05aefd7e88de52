//! Where from the things in a root's directory are: of which store, and of which boot of which machine.
//!
//! A journal, and the slots that a runner left, mean something only to the store that they were of; pids only in the
//! boot that they are of. Both may have changed since: a root is removed and made anew, and a runner that
//! starts after a reboot may not reach the root yet.

use std::io;
use std::path::{Path, PathBuf};

use crate::machine::Identity;

/// See the [module](self).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Origin {
    boot: String,
    /// The id of the store.
    store: String,
}

impl Origin {
    /// This boot, and a store.
    pub(super) fn here(store: String) -> Self {
        let Identity { machine, boot, .. } = Identity::here();
        Self { boot: format!("{machine} {boot}"), store }
    }

    /// What the runner wrote down that had a root last. `None` where nothing was left, or nothing to be read.
    pub(super) fn read(dir: &Path) -> Option<Self> {
        let text = std::fs::read_to_string(dir.join(FILE)).ok()?;
        let (boot, store) = text.strip_suffix('\n')?.split_once('\n')?;
        Some(Self { boot: boot.to_owned(), store: store.to_owned() })
    }

    /// Writes it down beside what is there: what takes room is done then.
    pub(super) fn prepare(&self, dir: &Path) -> io::Result<Prepared> {
        let prepared = Prepared(dir.to_owned());
        std::fs::write(dir.join(NEW), format!("{}\n{}\n", self.boot, self.store))?;
        Ok(prepared)
    }

    pub(super) fn is_boot_of(&self, other: &Self) -> bool {
        self.boot == other.boot
    }

    pub(super) fn is_store_of(&self, other: &Self) -> bool {
        self.store == other.store
    }
}

/// An origin that is about to be that of a directory.
pub(super) struct Prepared(PathBuf);

impl Prepared {
    /// From here on all that is in the directory is of it.
    pub(super) fn take_place(self) -> io::Result<()> {
        std::fs::rename(self.0.join(NEW), self.0.join(FILE))
    }
}

const FILE: &str = "origin";
const NEW: &str = "origin.new";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_as_written_and_never_by_halves() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Origin::read(dir.path()), None);
        let origin = Origin::here("ab12".to_owned());
        let prepared = origin.prepare(dir.path()).unwrap();
        assert_eq!(Origin::read(dir.path()), None);
        prepared.take_place().unwrap();
        assert_eq!(Origin::read(dir.path()), Some(origin.clone()));
        let other = Origin::here("cd34".to_owned());
        assert!(other.is_boot_of(&origin) && !other.is_store_of(&origin));
        std::fs::write(dir.path().join(FILE), "some boot\n").unwrap();
        assert_eq!(Origin::read(dir.path()), None);
    }
}
