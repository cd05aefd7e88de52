//! Outputs that have not arrived yet: files that other hosts wrote show late on a network file system.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use cluster_core::JobState;
use cluster_jobsdb::{JobRow, StreamPlace};

use crate::layout::Layout;
use crate::output::{Stream, file};

/// Between two looks at a directory.
const STEP: Duration = Duration::from_millis(250);

/// What a failed job was to have written is waited for no longer than this.
const AFTER_FAILURE: Duration = Duration::from_secs(2);

/// The files of ended jobs that are not there, or shorter than their records say.
pub fn missing(layout: &Layout, rows: &[JobRow]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for row in rows {
        let Some(place) = row.output.as_ref().filter(|_| row.cleaned.is_none()) else { continue };
        for (stream, place) in [(Stream::Out, place.out), (Stream::Err, place.err)] {
            let StreamPlace::File { bytes } = place else { continue };
            let path = file(layout, row.id, row.k, stream);
            let there = path.metadata().map(|meta| meta.len()).unwrap_or(0);
            if there < bytes {
                found.push(path);
            }
        }
    }
    found
}

/// Waits until the outputs of these ended jobs are there in full; names those that did not come in time.
pub fn wait_for_outputs(layout: &Layout, rows: &[JobRow], patience: Duration) -> Vec<PathBuf> {
    let mut late = missing(layout, rows);
    if late.is_empty() {
        return late;
    }
    let failed = rows.iter().all(|row| row.state == JobState::Failed);
    let patience = if failed { patience.min(AFTER_FAILURE) } else { patience };
    let deadline = Instant::now() + patience;
    while !late.is_empty() && Instant::now() < deadline {
        std::thread::sleep(STEP.min(patience));
        for dir in late.iter().filter_map(|path| path.parent()) {
            // Reading the directory makes a client of a network file system look again.
            let _ = std::fs::read_dir(dir).map(Iterator::count);
        }
        late = missing(layout, rows);
    }
    late
}

#[cfg(test)]
mod tests {
    use cluster_core::{BatchId, Cause, ExitStatus, JobId, JobSpec, Tag, Timestamp};
    use cluster_jobsdb::{JobChange, JobQuery, NewBatch, OpenOptions, OutputPlace, Store};

    use super::*;

    /// A root with one job that wrote three bytes, as its record says.
    fn job(root: &std::path::Path) -> (Layout, Vec<JobRow>) {
        let options = OpenOptions { create: true, ..OpenOptions::default() };
        let mut store = Store::open(root, &options).unwrap();
        let spec = JobSpec::single("x", vec!["true".into()], "/".into());
        let new = NewBatch::new(Tag::from_bits(1), spec, "s", "slurm", JobState::Queued, "me", Timestamp(1));
        let batch: BatchId = store.accept(&[new]).unwrap()[0];
        let (out, err) = (StreamPlace::File { bytes: 3 }, StreamPlace::File { bytes: 0 });
        let change = JobChange {
            cause: Some(Cause::Exit(0)),
            status: Some(ExitStatus::Exit(0)),
            ended: Some(Timestamp(3)),
            output: Some(OutputPlace { pack: 0, out, err }),
            ..JobChange::new(JobId { batch, index: 0 }, 0, 1, JobState::Succeeded, Timestamp(3))
        };
        store.apply(&[change]).unwrap();
        let rows = store.jobs(batch, &JobQuery { limit: 9, ..JobQuery::default() }).unwrap();
        (Layout::new(root), rows)
    }

    #[test]
    fn a_short_file_is_named_and_a_whole_one_is_not() {
        let root = tempfile::tempdir().unwrap();
        let (layout, rows) = job(root.path());
        let path = file(&layout, rows[0].id, 0, Stream::Out);
        assert_eq!(wait_for_outputs(&layout, &rows, Duration::ZERO), std::slice::from_ref(&path));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, "ab").unwrap();
        assert_eq!(missing(&layout, &rows), std::slice::from_ref(&path));
        std::fs::write(&path, "abc").unwrap();
        assert!(wait_for_outputs(&layout, &rows, Duration::ZERO).is_empty());
    }

    #[test]
    fn what_comes_late_is_waited_for() {
        let root = tempfile::tempdir().unwrap();
        let (layout, rows) = job(root.path());
        let path = file(&layout, rows[0].id, 0, Stream::Out);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| wait_for_outputs(&layout, &rows, Duration::from_secs(60)));
            std::fs::write(&path, "abc").unwrap();
            assert!(waiting.join().unwrap().is_empty());
        });
    }
}
