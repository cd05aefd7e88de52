//! The runner's side of a root: its store in SQLite, its files on disk.

mod claim;
pub(crate) mod elsewhere;
mod files;
mod owner;
mod root_store;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cluster_jobsdb::{OpenOptions, Store};
use cluster_localqueue::runner::{OpenedRoot, RootOpener, StoreFailure};

pub use files::DiskSubmission;
pub(crate) use files::{write_new, write_private};
pub use owner::Owner;
pub use root_store::LocalStore;
pub(crate) use root_store::resolved;

use crate::layout::Layout;
use claim::Claim;
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
        let options = OpenOptions { create: true, sync_follows: true, ..OpenOptions::default() };
        layout
            .ensure()
            .map_err(|error| StoreFailure(format!("cannot use the root {}: {error}", path.display())))?;
        // A process of `--foreground` only starts what is its own, and needs no claim.
        let claim = match self.owner.runner_of() {
            Some(machine) => Some(Claim::take(path, machine, &self.home)?),
            None => None,
        };
        let store = Store::open(path, &options).map_err(|error| StoreFailure(error.to_string()))?;
        let store = LocalStore::new(store, layout.clone(), self.owner.clone(), claim);
        Ok((Box::new(store), Arc::new(DiskFiles::new(layout))))
    }
}
