//! Removing what is no longer needed: never outside the root, never through links.

use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use cluster_core::{BatchId, IndexSet, Timestamp};
use cluster_jobsdb::{BatchFilter, JobQuery, Selection, StoreError};

use crate::client::Client;
use crate::error::ClientError;
use crate::output::Stream;
use crate::watch::LIVE;

/// What was removed, or would be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Removed {
    /// Files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Removed {
    fn add(&mut self, path: &Path, dry: bool) -> io::Result<()> {
        let metadata = match path.symlink_metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            metadata => metadata?,
        };
        if metadata.is_dir() {
            for entry in fs::read_dir(path)? {
                self.add(&entry?.path(), dry)?;
            }
            return if dry { Ok(()) } else { fs::remove_dir(path) };
        }
        self.files += 1;
        self.bytes += metadata.len();
        if dry { Ok(()) } else { fs::remove_file(path) }
    }
}

impl Client {
    /// Refuses where one of these batches has jobs that are not over or that others wait for.
    ///
    /// # Errors
    /// The refusal, with what to do.
    pub fn check_removable(&mut self, selected: &[Selection], force: bool) -> Result<(), ClientError> {
        for selection in selected {
            let live = self.store()?.indices_in(selection.batch, &LIVE)?;
            let live = selection.jobs.as_ref().map_or(live.clone(), |jobs| live.intersection(jobs));
            if let Some(first) = live.first() {
                return Err(StoreError::NotEnded { batch: selection.batch, count: live.len(), first }.into());
            }
        }
        if force {
            return Ok(());
        }
        let waiting = self.store()?.batches(&BatchFilter { unfinished: true, ..BatchFilter::default() }, None)?;
        for other in waiting {
            for dependency in other.spec()?.dependencies {
                let meant = |selection: &&Selection| {
                    let jobs = match (&selection.jobs, &dependency.jobs) {
                        (Some(a), Some(b)) => !a.intersection(b).is_empty(),
                        _ => true,
                    };
                    selection.batch == dependency.batch && jobs
                };
                if let Some(selection) = selected.iter().find(meant) {
                    return Err(ClientError::Usage(format!(
                        "batch {} waits for {}: wait for it, or remove it all the same with --force",
                        other.id, selection.batch
                    )));
                }
            }
        }
        Ok(())
    }

    /// Removes the files of ended jobs; what the store knows of them stays.
    ///
    /// # Errors
    /// Where some have not ended, or a file cannot be removed.
    pub fn clean(&mut self, selected: &[Selection], dry: bool, force: bool) -> Result<Removed, ClientError> {
        self.check_removable(selected, force)?;
        let mut removed = Removed::default();
        for selection in selected {
            let dir = self.layout().batch(selection.batch);
            let count = self.batch(selection.batch)?.count;
            let whole = selection.jobs.as_ref().is_none_or(|jobs| jobs.len() == u64::from(count));
            if whole {
                removed.add(&dir, dry).map_err(|e| ClientError::file("remove", &dir, e))?;
            } else if let Some(jobs) = &selection.jobs {
                self.clean_some(selection.batch, jobs, dry, &mut removed)?;
            }
            if !dry {
                let jobs = if whole { None } else { selection.jobs.as_ref() };
                self.store()?.mark_cleaned(selection.batch, jobs, Timestamp::now())?;
            }
        }
        Ok(removed)
    }

    /// Of some jobs the files of their own go; a pack is removed with its whole batch only.
    fn clean_some(
        &mut self,
        batch: BatchId,
        jobs: &IndexSet,
        dry: bool,
        removed: &mut Removed,
    ) -> Result<(), ClientError> {
        let query = JobQuery { jobs: Some(jobs.clone()), limit: u32::MAX, ..JobQuery::default() };
        for row in self.store()?.jobs(batch, &query)? {
            for k in 0..=row.k {
                for suffix in [Stream::Out.suffix(), Stream::Err.suffix(), "status"] {
                    let path = self.layout().job_file(batch, row.id.index, k, suffix);
                    removed.add(&path, dry).map_err(|e| ClientError::file("remove", &path, e))?;
                }
            }
        }
        Ok(())
    }

    /// Removes whole batches, files and all that the store knows of them.
    ///
    /// # Errors
    /// As [`Self::clean`].
    pub fn remove(&mut self, batches: &[BatchId], dry: bool, force: bool) -> Result<Removed, ClientError> {
        let selected: Vec<_> = batches.iter().map(|&batch| Selection { batch, jobs: None }).collect();
        self.check_removable(&selected, force)?;
        let mut removed = Removed::default();
        for &batch in batches {
            // The row first: without it the files are rubbish that `gc` finds; the other way round a
            // batch would be there whose files are not.
            if !dry {
                self.store()?.remove_batch(batch, false)?;
            }
            let dir = self.layout().batch(batch);
            removed.add(&dir, dry).map_err(|e| ClientError::file("remove", &dir, e))?;
        }
        Ok(removed)
    }

    /// Batches that ended longer ago than `age`, and what was left behind by submissions that never were:
    /// directories without a batch, stages a day old.
    ///
    /// # Errors
    /// Where the store or a directory cannot be read.
    pub fn garbage(&mut self, age: Duration) -> Result<(Vec<BatchId>, Vec<std::path::PathBuf>), ClientError> {
        let now = Timestamp::now();
        let all = self.store()?.batches(&BatchFilter::default(), None)?;
        let old = |batch: &&cluster_jobsdb::BatchRow| {
            batch.is_finished() && now.since(batch.changed.max(batch.created)) >= age
        };
        let batches = all.iter().filter(old).map(|batch| batch.id).collect();
        let jobs = self.layout().jobs();
        let mut left = Vec::new();
        let entries = fs::read_dir(&jobs).map_err(|e| ClientError::file("read", &jobs, e))?;
        for entry in entries.flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let stage = name.starts_with("new.") && is_older(&entry.path(), Duration::from_secs(86_400));
            let orphan = name.parse().is_ok_and(|id| {
                !all.iter().any(|batch| batch.id == BatchId(id)) && is_older(&entry.path(), Duration::from_secs(3600))
            });
            if stage || orphan {
                left.push(entry.path());
            }
        }
        Ok((batches, left))
    }

    /// Removes directories that [`Self::garbage`] found.
    ///
    /// # Errors
    /// Where one cannot be removed.
    pub fn remove_left(&self, left: &[std::path::PathBuf], dry: bool) -> Result<Removed, ClientError> {
        let mut removed = Removed::default();
        for path in left {
            removed.add(path, dry).map_err(|e| ClientError::file("remove", path, e))?;
        }
        Ok(removed)
    }
}

fn is_older(path: &Path, age: Duration) -> bool {
    let modified = path.symlink_metadata().and_then(|metadata| metadata.modified());
    modified.is_ok_and(|at| SystemTime::now().duration_since(at).is_ok_and(|since| since >= age))
}
