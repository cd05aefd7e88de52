//! Removing what is no longer needed: never outside the root, never through links.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use cluster_core::{BatchId, Dependency, IndexSet, JobState, Timestamp};
use cluster_jobsdb::{BatchFilter, BatchRow, JobQuery, Selection, StoreError};

use crate::client::Client;
use crate::error::ClientError;
use crate::output::Stream;
use crate::watch::LIVE;

/// So many jobs are looked at at once.
const PAGE: u32 = 2000;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

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
        for (other, dependency) in self.waited_for()? {
            let meant = |selection: &&Selection| {
                let jobs = match (&selection.jobs, &dependency.jobs) {
                    (Some(a), Some(b)) => !a.intersection(b).is_empty(),
                    _ => true,
                };
                selection.batch == dependency.batch && jobs
            };
            if let Some(Selection { batch, .. }) = selected.iter().find(meant) {
                return Err(ClientError::Usage(format!(
                    "batch {other} waits for {batch}: wait until it starts, or remove {batch} all the same with --force"
                )));
            }
        }
        Ok(())
    }

    /// What batches wait for: those with jobs that have not started. The others have seen it.
    fn waited_for(&mut self) -> Result<Vec<(BatchId, Dependency)>, ClientError> {
        let states = [JobState::Created, JobState::Submitting, JobState::Queued, JobState::Held];
        let filter =
            BatchFilter { unfinished: true, states: Some(states.to_vec()), ..BatchFilter::default() };
        let mut all = Vec::new();
        for batch in self.store()?.batches(&filter, None)? {
            let mut dependencies = batch.spec()?.dependencies;
            // A retry may wait for others than the batch did.
            let newest = self.store()?.submissions(batch.id)?.iter().map(|one| one.k).max().unwrap_or(0);
            for k in 1..=newest {
                dependencies.extend(self.spec(batch.id, k)?.dependencies);
            }
            all.extend(dependencies.into_iter().map(|dependency| (batch.id, dependency)));
        }
        Ok(all)
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
        let mut after = None;
        loop {
            // Page by page: a million jobs are never all in memory.
            let query = JobQuery { jobs: Some(jobs.clone()), states: None, after, limit: PAGE };
            let rows = self.store()?.jobs(batch, &query)?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = Some(last.id.index);
            for row in &rows {
                for k in 0..=row.k {
                    for suffix in [Stream::Out.suffix(), Stream::Err.suffix(), "status"] {
                        let path = self.layout().job_file(batch, row.id.index, k, suffix);
                        removed.add(&path, dry).map_err(|e| ClientError::file("remove", &path, e))?;
                    }
                }
            }
        }
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

    /// Batches of which every job ended longer ago than `age` and for which nobody waits, and what was left
    /// behind: directories without a batch, stages and event files a day old, events of that age that could
    /// not be taken in.
    ///
    /// # Errors
    /// Where the store or a directory cannot be read.
    pub fn garbage(&mut self, age: Duration) -> Result<(Vec<BatchId>, Vec<PathBuf>), ClientError> {
        let now = Timestamp::now();
        // The directories first: what is listed here and has no row afterwards was no batch just being made.
        let jobs = entries(&self.layout().jobs())?;
        let all = self.store()?.batches(&BatchFilter::default(), None)?;
        let needed: HashSet<_> = self.waited_for()?.into_iter().map(|(_, needed)| needed.batch).collect();
        let mut batches = Vec::new();
        for row in all.iter().filter(|row| row.is_finished() && !needed.contains(&row.id)) {
            if self.ended_before(row, now, age)? {
                batches.push(row.id);
            }
        }
        batches.sort_unstable();
        let known: HashSet<_> = all.iter().map(|row| row.id.to_string()).collect();
        let is_left = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let orphan = name.parse::<u64>().is_ok() && !known.contains(&*name) && is_older(path, HOUR);
            orphan || (name.starts_with("new.") && is_older(path, DAY))
        };
        let mut left: Vec<_> = jobs.into_iter().filter(is_left).collect();
        let events = self.layout().root().join("events");
        for (dir, age) in [("tmp", DAY), ("bad", age)] {
            left.extend(entries(&events.join(dir))?.into_iter().filter(|path| is_older(path, age)));
        }
        left.sort();
        Ok((batches, left))
    }

    /// Whether the newest end in a finished batch is that old. The batch's own row does not know: it speaks
    /// of the jobs that have none.
    fn ended_before(&mut self, batch: &BatchRow, now: Timestamp, age: Duration) -> Result<bool, ClientError> {
        let is_old = |at: Timestamp| now.since(at) >= age;
        if !is_old(batch.created) || !is_old(batch.changed) {
            return Ok(false);
        }
        if batch.rows == 0 {
            return Ok(true);
        }
        let mut after = None;
        loop {
            let rows =
                self.store()?.jobs(batch.id, &JobQuery { jobs: None, states: None, after, limit: PAGE })?;
            let Some(last) = rows.last() else { return Ok(true) };
            after = Some(last.id.index);
            if !rows.iter().all(|row| is_old(row.changed) && row.ended.is_none_or(is_old)) {
                return Ok(false);
            }
        }
    }

    /// Removes files and directories that [`Self::garbage`] found.
    ///
    /// # Errors
    /// Where one cannot be removed.
    pub fn remove_left(&self, left: &[PathBuf], dry: bool) -> Result<Removed, ClientError> {
        let mut removed = Removed::default();
        for path in left {
            removed.add(path, dry).map_err(|e| ClientError::file("remove", path, e))?;
        }
        Ok(removed)
    }
}

/// What lies in a directory; nothing where there is none.
fn entries(dir: &Path) -> Result<Vec<PathBuf>, ClientError> {
    let list = || fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>();
    match list() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        listed => listed.map_err(|e| ClientError::file("read", dir, e)),
    }
}

fn is_older(path: &Path, age: Duration) -> bool {
    let modified = path.symlink_metadata().and_then(|metadata| metadata.modified());
    modified.is_ok_and(|at| SystemTime::now().duration_since(at).is_ok_and(|since| since >= age))
}
