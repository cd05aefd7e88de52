//! What a snapshot of the queue says of one chunk. Pure.

use std::collections::BTreeMap;

use cluster_core::dialect::{Row, Tasks};
use cluster_core::{IndexSet, JobIndex, JobState};
use cluster_jobsdb::ChunkRow;

use crate::scheduler::positions::{index_at, indices_at};

/// The jobs of a chunk by what the snapshot shows of them.
#[derive(Debug, Default)]
pub(crate) struct Shown<'r, 'o> {
    /// Those that have not started, by state and reason: folded rows stay folded.
    pub(crate) waiting: Vec<(JobState, &'r Row<'o>, IndexSet)>,
    /// Those that have, or that have ended, one by one.
    pub(crate) single: BTreeMap<JobIndex, &'r Row<'o>>,
    /// Those that the snapshot does not have.
    pub(crate) absent: IndexSet,
}

/// Sorts the rows of `chunk`; `live` are its jobs that have not ended as far as we know.
pub(crate) fn sort<'r, 'o>(
    chunk: &ChunkRow,
    first_task: u32,
    rows: &[&'r Row<'o>],
    live: &IndexSet,
) -> Shown<'r, 'o> {
    let mut shown = Shown::default();
    let mut whole = None;
    let mut seen = IndexSet::new();
    for row in rows {
        let here = match &row.tasks {
            Tasks::Single if !chunk.array => chunk.jobs.clone(),
            Tasks::Single | Tasks::Whole => {
                whole = Some(*row);
                continue;
            }
            Tasks::One(task) => {
                let index = task.checked_sub(first_task).and_then(|position| index_at(&chunk.jobs, position));
                index.map(|index| IndexSet::range(index, index + 1)).unwrap_or_default()
            }
            Tasks::Some(tasks) => {
                let positions = tasks
                    .ranges()
                    .iter()
                    .map(|&(a, b)| (a.saturating_sub(first_task), b.saturating_sub(first_task)));
                indices_at(&chunk.jobs, &positions.collect())
            }
        };
        let here = here.intersection(live);
        if here.is_empty() {
            continue;
        }
        seen = seen.union(&here);
        if matches!(row.state, JobState::Queued | JobState::Held) {
            shown.waiting.push((row.state, row, here));
        } else {
            // A requeued job may have a row for each of its runs: the last one counts.
            shown.single.extend(here.iter().map(|index| (index, *row)));
        }
    }
    let absent = live.difference(&seen);
    match whole {
        // A scheduler that shows an array as a whole shows it as long as some of it waits.
        Some(row) if seen.is_empty() && matches!(row.state, JobState::Queued | JobState::Held) => {
            shown.waiting.push((row.state, row, absent));
        }
        _ => shown.absent = absent,
    }
    shown
}

/// Whether the reason may be one of being busy, and of never: OpenPBS and Torque say `Not Running: …` of both.
pub(crate) fn may_be_busy(row: &Row<'_>) -> bool {
    row.reason.starts_with("Not Running:")
}

/// Whether the reason says more than that the queue is being worked through.
pub(crate) fn is_stuck(row: &Row<'_>) -> bool {
    const USUAL: &[&str] = &[
        "",
        "None",
        "(null)",
        "Priority",
        "Resources",
        "Dependency",
        "BeginTime",
        "JobArrayTaskLimit",
        "JobHeldUser",
        "JobHeldAdmin",
        "Prolog",
        "Cleaning",
        "NodesConfiguring",
    ];
    !row.reason.split(',').all(|reason| USUAL.contains(&reason.trim()))
        // A dependency, in words or as it was given.
        && !["waits for", "after"].iter().any(|usual| row.reason.starts_with(usual))
}

#[cfg(test)]
pub(crate) mod tests {
    use cluster_core::{BatchId, RemoteId, Tag, Timestamp};
    use cluster_jobsdb::Runs;

    use super::*;

    /// A submission of these jobs as array 7.
    pub(crate) fn chunk(jobs: &str) -> ChunkRow {
        let jobs: IndexSet = jobs.parse().unwrap();
        ChunkRow {
            batch: BatchId(1),
            k: 0,
            tag: Tag::from_bits(1),
            created: Timestamp(0),
            array: jobs.len() > 1,
            jobs,
            runs: Runs::all(1),
            throttle: None,
            depends: None,
            tried: None,
            tries: 0,
            doubt: None,
            remote: Some(RemoteId("7".into())),
            sent: Some(Timestamp(1)),
            over: false,
        }
    }

    fn row(tasks: Tasks, state: JobState) -> Row<'static> {
        Row { tasks, state, ..Row::default() }
    }

    #[test]
    fn rows_become_jobs_by_their_positions() {
        let chunk = chunk("3-5,9-12");
        let rows = [
            row(Tasks::Some("4-7".parse().unwrap()), JobState::Queued),
            row(Tasks::One(2), JobState::Running),
            row(Tasks::One(99), JobState::Running),
            row(Tasks::Whole, JobState::Running),
        ];
        let rows: Vec<_> = rows.iter().collect();
        let live = "3-5,9-11".parse().unwrap();
        let shown = sort(&chunk, 1, &rows, &live);
        assert_eq!(shown.waiting[0].2.to_string(), "9-11");
        assert_eq!(shown.single.keys().copied().collect::<Vec<_>>(), [4]);
        assert_eq!(shown.absent.to_string(), "3,5");
    }

    #[test]
    fn an_array_that_is_shown_whole_waits_whole() {
        let chunk = chunk("0-9");
        let parent = row(Tasks::Whole, JobState::Queued);
        let shown = sort(&chunk, 0, &[&parent], &chunk.jobs);
        assert_eq!(shown.waiting[0].2, chunk.jobs);
        let running = row(Tasks::Whole, JobState::Running);
        assert_eq!(sort(&chunk, 0, &[&running], &chunk.jobs).absent, chunk.jobs);
    }

    #[test]
    fn usual_reasons_are_not_told() {
        let with = |reason: &'static str| Row { reason: reason.into(), ..Row::default() };
        assert!(!is_stuck(&with("Priority,JobHeldUser")) && !is_stuck(&with("")));
        assert!(is_stuck(&with("PartitionTimeLimit")));
        assert!(!is_stuck(&with("afterok:1[].srv@srv")) && !is_stuck(&with("waits for the end of 7")));
        assert!(is_stuck(&with("Can Never Run: Insufficient amount of resource: ncpus")));
    }
}
