//! Waiting for a scheduler's jobs, whoever sent them.

use std::collections::BTreeMap;

use cluster_core::dialect::{Row, Tasks, Whose};
use cluster_core::{IndexSet, JobState, RemoteId, Timestamp};

use super::error::SystemError;
use super::{Pace, System};

/// Which jobs: those of some users in some partitions, and these ids besides.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Of these users.
    pub users: Vec<String>,
    /// Of everybody.
    pub all_users: bool,
    /// In these partitions or queues alone; empty: in any.
    pub partitions: Vec<String>,
    /// These, whatever their owner and partition.
    pub ids: Vec<RemoteId>,
}

/// What became of the jobs that are waited for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ends {
    /// How many ended with success.
    pub succeeded: u64,
    /// Those that did not, as the scheduler's ids.
    pub failed: Vec<String>,
    /// Those that are gone without a word on how they ended.
    pub unknown: Vec<String>,
}

/// The jobs that were there at the first look, and how far they are.
#[derive(Debug)]
pub struct Foreign {
    wanted: Wanted,
    /// Ids of jobs with the elements that have not ended; none: the job is no array.
    left: BTreeMap<String, Option<IndexSet>>,
    ends: Ends,
    looked: bool,
    since: Timestamp,
    pace: Pace,
}

/// The accounting is asked from a day before the wait began: a job may have started long ago.
const DAY_US: i64 = 24 * 3600 * 1_000_000;

impl Foreign {
    /// Nothing has been looked at yet.
    pub fn new(wanted: Wanted, system: &System) -> Self {
        Self {
            wanted,
            left: BTreeMap::new(),
            ends: Ends::default(),
            looked: false,
            since: Timestamp(Timestamp::now().0 - DAY_US),
            pace: Pace::new(system.config().poll),
        }
    }

    /// How often to look.
    pub fn pace(&self) -> &Pace {
        &self.pace
    }

    /// How many jobs and elements have not ended; before the first look all of them.
    pub fn left(&self) -> u64 {
        if !self.looked {
            return u64::MAX;
        }
        self.left.values().map(|tasks| tasks.as_ref().map_or(1, IndexSet::len)).sum()
    }

    /// What became of the others.
    pub fn ends(&self) -> &Ends {
        &self.ends
    }

    /// Looks at the queue, and at the accounting for what has left it.
    ///
    /// # Errors
    /// Where the scheduler cannot be asked; nothing is concluded then.
    pub fn look(&mut self, system: &System) -> Result<(), SystemError> {
        let now = Timestamp::now();
        let age = i64::try_from(self.pace.interval().as_micros()).unwrap_or(i64::MAX);
        let whose = if self.wanted.all_users || !self.wanted.ids.is_empty() {
            Whose::All
        } else {
            Whose::Users(&self.wanted.users)
        };
        let snapshot = system.queue(whose, Timestamp(now.0.saturating_sub(age)))?;
        let jobs = snapshot.jobs(system)?;
        let alive = by_job(jobs.rows.iter().filter(|row| !row.state.is_end()));
        if !self.looked {
            self.left = by_job(jobs.rows.iter().filter(|row| !row.state.is_end() && self.takes(row)));
            for id in &self.wanted.ids {
                // One that the queue does not have may have ended, or never been.
                self.left.entry(id.0.clone()).or_insert(None);
            }
            self.looked = true;
        }
        let gone = gone(&self.left, &alive);
        if gone.is_empty() {
            self.pace.unchanged();
            return Ok(());
        }
        self.pace.changed();
        let first_task = system.dialect().capabilities().first_task;
        let mut ends: BTreeMap<(String, Option<u32>), JobState> = BTreeMap::new();
        let mut take = |row: &Row<'_>| match row.tasks {
            Tasks::One(task) => drop(ends.insert((row.job.to_string(), Some(task)), row.state)),
            Tasks::Single => drop(ends.insert((row.job.to_string(), None), row.state)),
            Tasks::Some(_) | Tasks::Whole => {}
        };
        jobs.rows.iter().filter(|row| row.state.is_end()).for_each(&mut take);
        let mut ids = Vec::new();
        for (job, tasks) in &gone {
            let id = RemoteId(job.clone());
            match tasks {
                Some(tasks) if tasks.len() <= 20 => {
                    let positions = tasks.iter().map(|task| task.saturating_sub(first_task));
                    ids.extend(positions.map(|position| system.dialect().element(&id, position)));
                }
                _ => ids.push(id),
            }
        }
        for answer in system.accounting(&ids, self.since)? {
            answer.jobs(system)?.rows.iter().filter(|row| row.state.is_end()).for_each(&mut take);
        }
        for (job, tasks) in gone {
            let tasks = tasks.map_or(vec![None], |tasks| tasks.iter().map(Some).collect());
            for task in tasks {
                let name = task.map_or_else(
                    || job.clone(),
                    |task| {
                        let position = task.saturating_sub(first_task);
                        system.dialect().element(&RemoteId(job.clone()), position).0
                    },
                );
                match ends.get(&(job.clone(), task)) {
                    Some(JobState::Succeeded) => self.ends.succeeded += 1,
                    Some(_) => self.ends.failed.push(name),
                    None => self.ends.unknown.push(name),
                }
                self.drop(&job, task);
            }
        }
        Ok(())
    }

    fn takes(&self, row: &Row<'_>) -> bool {
        let wanted = &self.wanted;
        let user = row.user.split('@').next().unwrap_or_default();
        let users = wanted.all_users || wanted.users.iter().any(|one| one == user);
        let place = wanted.partitions.is_empty() || wanted.partitions.iter().any(|one| *one == row.partition);
        (users && place) || wanted.ids.iter().any(|id| row.is_of(id))
    }

    fn drop(&mut self, job: &str, task: Option<u32>) {
        match (self.left.get_mut(job), task) {
            (Some(Some(tasks)), Some(task)) => {
                *tasks = tasks.difference(&IndexSet::range(task, task + 1));
                if tasks.is_empty() {
                    self.left.remove(job);
                }
            }
            _ => drop(self.left.remove(job)),
        }
    }
}

/// Jobs by id, with the elements that the rows show.
fn by_job<'r, 'o: 'r>(rows: impl Iterator<Item = &'r Row<'o>>) -> BTreeMap<String, Option<IndexSet>> {
    let mut jobs: BTreeMap<String, Option<IndexSet>> = BTreeMap::new();
    for row in rows {
        let tasks = match &row.tasks {
            Tasks::Single | Tasks::Whole => None,
            Tasks::One(task) => Some(IndexSet::range(*task, task.saturating_add(1))),
            Tasks::Some(tasks) => Some(tasks.clone()),
        };
        let known = jobs.entry(row.job.to_string()).or_default();
        *known = match (known.take(), tasks) {
            (Some(a), Some(b)) => Some(a.union(&b)),
            (a, b) => a.or(b),
        };
    }
    jobs
}

/// What of `left` is not `alive` any more.
fn gone(
    left: &BTreeMap<String, Option<IndexSet>>,
    alive: &BTreeMap<String, Option<IndexSet>>,
) -> Vec<(String, Option<IndexSet>)> {
    let mut gone = Vec::new();
    for (job, tasks) in left {
        match (tasks, alive.get(job)) {
            (_, None) => gone.push((job.clone(), tasks.clone())),
            (Some(tasks), Some(Some(alive))) => {
                let ended = tasks.difference(alive);
                if !ended.is_empty() {
                    gone.push((job.clone(), Some(ended)));
                }
            }
            _ => {}
        }
    }
    gone
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(job: &'static str, tasks: Tasks) -> Row<'static> {
        Row { job: job.into(), tasks, ..Row::default() }
    }

    #[test]
    fn elements_are_gone_one_by_one_and_jobs_at_once() {
        let rows =
            [row("7", Tasks::Some("2-5".parse().unwrap())), row("7", Tasks::One(1)), row("8", Tasks::Single)];
        let left = by_job(rows.iter());
        assert_eq!(left["7"].as_ref().unwrap().to_string(), "1-5");
        let alive = by_job([row("7", Tasks::Some("4-5".parse().unwrap()))].iter());
        let gone = gone(&left, &alive);
        assert_eq!(gone[0].1.as_ref().unwrap().to_string(), "1-3");
        assert_eq!(gone[1], ("8".to_owned(), None));
    }
}
