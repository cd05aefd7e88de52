//! Waiting for a scheduler's jobs, whoever sent them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use cluster_core::dialect::{Row, Tasks, Whose};
use cluster_core::{IndexSet, JobState, RemoteId, Timestamp, Walltime};

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
    /// Those of them that the queue does not show any more, and nothing says yet how they ended.
    absent: BTreeMap<String, Vec<Absent>>,
    ends: Ends,
    looked: bool,
    unread: usize,
    since: Timestamp,
    pace: Pace,
    lost_after: Duration,
}

/// What one look missed first of a job.
#[derive(Debug)]
struct Absent {
    at: Instant,
    tasks: Option<IndexSet>,
}

/// Jobs with the elements of them that are meant; none: the job itself.
type Gone = Vec<(String, Option<IndexSet>)>;

/// The accounting is asked from a day before the wait began: a job may have started long ago.
const DAY_US: i64 = 24 * 3600 * 1_000_000;

/// Of an array that was named and is not in the queue, those elements count which the accounting knows after
/// this time: it may learn of the others a little later.
const ELEMENTS_KNOWN: Duration = Duration::from_secs(30);

impl Foreign {
    /// Nothing has been looked at yet. A job that is not in the queue any more is given up `lost_after` it was
    /// first missed, if nothing says how it ended: by default 120 s, and 600 s without an accounting. The
    /// word of the system's configuration goes over it.
    pub fn new(wanted: Wanted, system: &System, lost_after: Option<Duration>) -> Self {
        let has_accounting = system.has_accounting();
        let by_default = Duration::from_secs(if has_accounting { 120 } else { 600 });
        let of_system = system.config().lost_after.and_then(Walltime::as_duration);
        Self {
            wanted,
            left: BTreeMap::new(),
            absent: BTreeMap::new(),
            ends: Ends::default(),
            looked: false,
            unread: 0,
            since: Timestamp(Timestamp::now().0 - DAY_US),
            pace: Pace::new(system.config().poll),
            lost_after: of_system.or(lost_after).unwrap_or(by_default),
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

    /// How many of them the queue does not show any more: the accounting is asked how they ended, for as long
    /// as [`lost_after`](Self::lost_after).
    pub fn absent(&self) -> u64 {
        let absent = self.absent.values().flatten();
        absent.map(|absent| absent.tasks.as_ref().map_or(1, IndexSet::len)).sum()
    }

    /// When a job is given up after it was first missed.
    pub fn lost_after(&self) -> Duration {
        self.lost_after
    }

    /// How many records of the last queue could not be read. While there are any no job counts as gone.
    pub fn unread(&self) -> usize {
        self.unread
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
        self.look_at(system, Instant::now())
    }

    fn look_at(&mut self, system: &System, now: Instant) -> Result<(), SystemError> {
        let whose = if self.wanted.all_users || !self.wanted.ids.is_empty() {
            Whose::All
        } else {
            Whose::Users(&self.wanted.users)
        };
        let snapshot = system.queue(whose, Timestamp::now().before(self.pace.interval()))?;
        let jobs = snapshot.jobs(system)?;
        self.unread = jobs.errors.len();
        let alive = by_job(jobs.rows.iter().filter(|row| !row.state.is_end()));
        if !self.looked {
            self.left = by_job(jobs.rows.iter().filter(|row| !row.state.is_end() && self.takes(row)));
            for id in &self.wanted.ids {
                if let Some((job, task)) = as_element(system, id, &alive) {
                    let known = self.left.entry(job).or_insert_with(|| Some(IndexSet::default()));
                    *known =
                        known.take().map(|tasks| tasks.union(&IndexSet::range(task, task.saturating_add(1))));
                } else if !jobs.rows.iter().any(|row| !row.state.is_end() && row.is_of(id)) {
                    // One that the queue does not have may have ended, or never been.
                    self.left.entry(id.0.clone()).or_insert(None);
                }
            }
            self.looked = true;
        }
        let before = (self.left(), self.absent());
        // What the queue still shows of an end is good, even beside records that cannot be read.
        let mut known = Known::default();
        jobs.rows.iter().for_each(|row| known.take(row, &self.wanted.ids));
        let open = self.settle(system, gone(&self.left, &alive), &known, now);
        self.miss(&open, now);
        let asked = if self.unread == 0 && !open.is_empty() { self.ask(system, open, now) } else { Ok(()) };
        if before == (self.left(), self.absent()) {
            self.pace.unchanged();
        } else {
            self.pace.changed();
        }
        asked
    }

    /// Asks the accounting for what the queue does not have, and gives up what it has not had for long.
    fn ask(&mut self, system: &System, open: Gone, now: Instant) -> Result<(), SystemError> {
        let first_task = system.dialect().capabilities().first_task;
        let mut ids = Vec::new();
        for (job, tasks) in &open {
            let id = RemoteId(job.clone());
            match tasks {
                Some(tasks) if tasks.len() <= 20 => {
                    let positions = tasks.iter().map(|task| task.saturating_sub(first_task));
                    ids.extend(positions.map(|position| system.dialect().element(&id, position)));
                }
                _ => ids.push(id),
            }
        }
        let mut known = Known::default();
        for answer in system.accounting_shared(&ids, self.since, system.config().poll)? {
            answer.jobs(system)?.rows.iter().for_each(|row| known.take(row, &self.wanted.ids));
        }
        let open = self.settle(system, open, &known, now);
        self.miss(&open, now);
        let mut lost = Vec::new();
        for (job, absent) in &self.absent {
            let late = absent.iter().filter(|absent| now.duration_since(absent.at) >= self.lost_after);
            lost.extend(late.map(|absent| (job.clone(), absent.tasks.clone())));
        }
        for (job, tasks) in lost {
            for task in each(tasks.as_ref()) {
                self.ends.unknown.push(name(system, &job, task));
            }
            self.drop(&job, tasks.as_ref());
            if let Some(absent) = self.absent.get_mut(&job) {
                absent.retain(|absent| now.duration_since(absent.at) < self.lost_after);
            }
        }
        self.absent.retain(|_, absent| !absent.is_empty());
        Ok(())
    }

    /// Takes in the ends that are known; what is left of `gone`.
    fn settle(&mut self, system: &System, gone: Gone, known: &Known, now: Instant) -> Gone {
        let mut open = Vec::new();
        for (job, tasks) in gone {
            let Some(tasks) = tasks else {
                let end = known.ends.get(&(job.clone(), None));
                if let Some(state) = end {
                    self.end(*state, || job.clone());
                }
                if end.is_some() || self.settle_named(&job, known, now) {
                    self.drop(&job, None);
                } else {
                    open.push((job, None));
                }
                continue;
            };
            let mut ended = IndexSet::default();
            for ((_, task), state) in known.ends.range((job.clone(), Some(0))..=(job.clone(), Some(u32::MAX)))
            {
                if let Some(task) = task.filter(|task| tasks.contains(*task)) {
                    ended.insert(task);
                    self.end(*state, || name(system, &job, Some(task)));
                }
            }
            let without = tasks.difference(&ended);
            if !ended.is_empty() {
                self.drop(&job, Some(&ended));
            }
            if !without.is_empty() {
                open.push((job, Some(without)));
            }
        }
        open
    }

    /// The same for an id that was named and that the queue did not have at the first look: an element, or an
    /// array, of which we do not know how many elements it has.
    fn settle_named(&mut self, id: &str, known: &Known, now: Instant) -> bool {
        let Some(rows) = known.named.get(id) else { return false };
        let itself = rows.contains_key(id);
        let missed = self.absent.get(id).into_iter().flatten().map(|absent| absent.at).min();
        let enough = ELEMENTS_KNOWN.min(self.lost_after);
        if !itself && missed.is_none_or(|at| now.duration_since(at) < enough) {
            return false;
        }
        for (row, state) in rows {
            self.end(*state, || row.clone());
        }
        true
    }

    fn end(&mut self, state: JobState, name: impl FnOnce() -> String) {
        match state {
            JobState::Succeeded => self.ends.succeeded += 1,
            _ => self.ends.failed.push(name()),
        }
    }

    /// Keeps when what is still open was first missed; nothing is missed in an answer that was not whole.
    fn miss(&mut self, open: &Gone, now: Instant) {
        let mut before = std::mem::take(&mut self.absent);
        for (job, tasks) in open {
            let mut absent = before.remove(job).unwrap_or_default();
            let mut new = tasks.clone();
            for one in &mut absent {
                match (&mut one.tasks, tasks, &mut new) {
                    (Some(known), Some(tasks), Some(new)) => {
                        *known = known.intersection(tasks);
                        *new = new.difference(known);
                    }
                    _ => new = Some(IndexSet::default()),
                }
            }
            if self.unread == 0 && new.as_ref().is_none_or(|new| !new.is_empty()) {
                absent.push(Absent { at: now, tasks: new });
            }
            absent.retain(|absent| absent.tasks.as_ref().is_none_or(|tasks| !tasks.is_empty()));
            if !absent.is_empty() {
                self.absent.insert(job.clone(), absent);
            }
        }
    }

    fn takes(&self, row: &Row<'_>) -> bool {
        let wanted = &self.wanted;
        let user = row.user.split('@').next().unwrap_or_default();
        let users = wanted.all_users || wanted.users.iter().any(|one| one == user);
        let place = wanted.partitions.is_empty() || wanted.partitions.iter().any(|one| *one == row.partition);
        (users && place) || wanted.ids.iter().any(|id| row.is_of(id))
    }

    fn drop(&mut self, job: &str, tasks: Option<&IndexSet>) {
        match (self.left.get_mut(job), tasks) {
            (Some(Some(left)), Some(tasks)) => {
                *left = left.difference(tasks);
                if left.is_empty() {
                    self.left.remove(job);
                }
            }
            _ => drop(self.left.remove(job)),
        }
    }
}

/// Ends that an answer tells.
#[derive(Debug, Default)]
struct Known {
    /// By job and element.
    ends: BTreeMap<(String, Option<u32>), JobState>,
    /// Of the ids that were named, by the ids of the rows that are of them.
    named: BTreeMap<String, BTreeMap<String, JobState>>,
}

impl Known {
    /// The last row of a job is that of its last run.
    fn take(&mut self, row: &Row<'_>, named: &[RemoteId]) {
        let task = match row.tasks {
            Tasks::One(task) => Some(task),
            Tasks::Single => None,
            Tasks::Some(_) | Tasks::Whole => return,
        };
        if !row.state.is_end() {
            return;
        }
        self.ends.insert((row.job.to_string(), task), row.state);
        for id in named.iter().filter(|id| row.is_of(id)) {
            self.named.entry(id.0.clone()).or_default().insert(row.id.to_string(), row.state);
        }
    }
}

fn each(tasks: Option<&IndexSet>) -> impl Iterator<Item = Option<u32>> + '_ {
    let job = tasks.is_none().then_some(None);
    job.into_iter().chain(tasks.into_iter().flat_map(IndexSet::iter).map(Some))
}

fn name(system: &System, job: &str, task: Option<u32>) -> String {
    let first_task = system.dialect().capabilities().first_task;
    let id = RemoteId(job.to_owned());
    task.map_or(id.0.clone(), |task| system.dialect().element(&id, task.saturating_sub(first_task)).0)
}

/// The array in the queue of which `id` is an element, and its number there: the queue may show it folded.
fn as_element(
    system: &System,
    id: &RemoteId,
    alive: &BTreeMap<String, Option<IndexSet>>,
) -> Option<(String, u32)> {
    let numbers = id.0.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse::<u32>().ok());
    let numbers: Vec<u32> = numbers.collect();
    let mut arrays = alive.iter().filter_map(|(job, tasks)| Some((job, tasks.as_ref()?)));
    arrays.find_map(|(job, tasks)| {
        let mut own = numbers.iter().filter(|task| tasks.contains(**task));
        own.find(|task| name(system, job, Some(**task)) == id.0).map(|task| (job.clone(), *task))
    })
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
fn gone(left: &BTreeMap<String, Option<IndexSet>>, alive: &BTreeMap<String, Option<IndexSet>>) -> Gone {
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
mod tests;
