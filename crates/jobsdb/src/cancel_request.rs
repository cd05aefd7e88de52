//! A request to the runner of another host to end jobs: a file in `ROOT/events/new`, which that runner alone obeys.
//!
//! `{"v":1,"cancel":{"batch":17,"jobs":"0-4","signal":15,"owner":"<machine>"}}`; without `jobs` the whole batch is
//! meant.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use cluster_core::{BatchId, IndexSet, Tag};
use serde::{Deserialize, Serialize};

use crate::error::StoreError;

/// What somebody on another host asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelRequest {
    /// The batch.
    pub batch: BatchId,
    /// Its jobs; `None` for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jobs: Option<IndexSet>,
    /// The signal that running ones get first.
    pub signal: i32,
    /// Who is to obey: the owner of the batch.
    pub owner: String,
    /// The file it came by.
    #[serde(skip)]
    pub file: PathBuf,
}

#[derive(Serialize)]
struct Form<'a> {
    v: u32,
    cancel: &'a CancelRequest,
}

impl CancelRequest {
    /// Puts it into the events of `root`, as a whole or not at all. `unique` makes its name one of its own.
    ///
    /// # Errors
    /// Where the directory cannot be written.
    pub fn send(&self, root: &Path, unique: &Tag) -> Result<(), StoreError> {
        let name = format!("{}.cancel.0.{unique}", self.batch);
        let events = root.join("events");
        let (before, after) = (events.join("tmp").join(&name), events.join("new").join(&name));
        let text = serde_json::to_vec(&Form { v: 1, cancel: self })
            .map_err(|e| StoreError::Encode { what: "request", detail: e.to_string() })?;
        for dir in [before.parent(), after.parent()].into_iter().flatten() {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
            made.map_err(|e| StoreError::io("make", dir, e))?;
        }
        let written = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&before)
            .and_then(|mut file| file.write_all(&text).and_then(|()| file.sync_data()));
        written.map_err(|e| StoreError::io("write", &before, e))?;
        fs::rename(&before, &after).map_err(|e| StoreError::io("move", &before, e))
    }

    /// Takes the file away: it was obeyed, or nobody can any more.
    ///
    /// # Errors
    /// Where it is there and cannot be removed.
    pub fn settle(&self) -> Result<(), StoreError> {
        match fs::remove_file(&self.file) {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(StoreError::io("remove", &self.file, e)),
            _ => Ok(()),
        }
    }
}
