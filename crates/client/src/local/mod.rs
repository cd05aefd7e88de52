//! The runner's side of a root: its store in SQLite, its files on disk.

pub(crate) mod elsewhere;
mod files;
mod owner;
mod root_store;

use std::fs::{File, OpenOptions as FileOptions, TryLockError};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cluster_jobsdb::{OpenOptions, Store};
use cluster_localqueue::runner::{OpenedRoot, RootOpener, StoreFailure};

pub use files::DiskSubmission;
pub(crate) use files::{write_new, write_private};
pub use owner::Owner;
pub use root_store::LocalStore;

use crate::layout::Layout;
use files::DiskFiles;

/// Opens roots for the runner.
#[derive(Debug, Clone)]
pub struct Opener {
    /// Whom local jobs belong to.
    pub owner: Owner,
    /// The runner's directory, to name it to others.
    pub home: PathBuf,
}

impl RootOpener for Opener {
    fn open(&self, path: &Path) -> Result<OpenedRoot, StoreFailure> {
        let layout = Layout::new(path);
        let options = OpenOptions { create: true, durable: true, ..OpenOptions::default() };
        layout
            .ensure()
            .map_err(|error| StoreFailure(format!("cannot use the root {}: {error}", path.display())))?;
        let claim = self.claim(path)?;
        let store = Store::open(path, &options).map_err(|error| StoreFailure(error.to_string()))?;
        let store = LocalStore::new(store, layout.clone(), self.owner.clone(), claim);
        Ok((Box::new(store), Arc::new(DiskFiles::new(layout))))
    }
}

impl Opener {
    /// One runner of a machine serves a root, whatever directories there are: with two, a job would run
    /// twice. A process of `--foreground` only starts what is its own, and needs no claim.
    fn claim(&self, root: &Path) -> Result<Option<File>, StoreFailure> {
        let Some(machine) = self.owner.runner_of() else { return Ok(None) };
        let path = root.join(format!("runner.{}.lock", machine.replace('/', "_")));
        let failed =
            |error: std::io::Error| StoreFailure(format!("cannot claim {}: {error}", path.display()));
        let mut file = FileOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(rustix::fs::OFlags::NONBLOCK.bits() as i32)
            .open(&path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let holder = std::fs::read_to_string(&path).unwrap_or_default();
                return Err(StoreFailure(format!(
                    "another runner serves the root {}: its directory is {}; use that one (CLUSTER_QUEUE_DIR), or \
                     stop it",
                    root.display(),
                    holder.trim()
                )));
            }
            // A file system without locks: there the machine's own lock on the directory has to do.
            Err(TryLockError::Error(error)) => tracing::warn!("{} cannot be locked: {error}", path.display()),
        }
        let text = format!("{}\n", self.home.display());
        file.set_len(0).and_then(|()| file.write_all(text.as_bytes())).map_err(failed)?;
        Ok(Some(file))
    }
}
