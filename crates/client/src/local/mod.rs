//! The runner's side of a root: its store in SQLite, its files on disk.

mod files;
mod owner;
mod root_store;

use std::path::Path;
use std::sync::Arc;

use cluster_jobsdb::{OpenOptions, Store};
use cluster_localqueue::runner::{RootFiles, RootOpener, RootStore, StoreFailure};

pub use files::DiskSubmission;
pub use owner::Owner;
pub use root_store::LocalStore;

use crate::layout::Layout;
use files::DiskFiles;

/// Opens roots for the runner.
#[derive(Debug, Clone)]
pub struct Opener {
    /// Whom local jobs belong to.
    pub owner: Owner,
}

impl RootOpener for Opener {
    fn open(&self, path: &Path) -> Result<(Box<dyn RootStore>, Arc<dyn RootFiles>), StoreFailure> {
        let layout = Layout::new(path);
        let options = OpenOptions { create: true, durable: true, ..OpenOptions::default() };
        layout.ensure().map_err(|error| StoreFailure(format!("cannot use the root {}: {error}", path.display())))?;
        let store = Store::open(path, &options).map_err(|error| StoreFailure(error.to_string()))?;
        let store = LocalStore::new(store, layout.clone(), self.owner.clone());
        Ok((Box::new(store), Arc::new(DiskFiles::new(layout))))
    }
}
