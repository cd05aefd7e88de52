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
mod tests {
    use cluster_core::exec::LocalHost;

    use super::super::toy::Toy;
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

    /// A queue and an accounting that say what the test wants, and time that passes as it wants.
    struct Stage {
        toy: Toy,
        begin: Instant,
        foreign: Foreign,
    }

    impl Stage {
        fn new(ids: &[&str]) -> Self {
            let mut toy = Toy::new();
            // Each look is one at the scheduler.
            toy.config.poll = Duration::ZERO;
            let ids = ids.iter().map(|id| RemoteId((*id).to_owned())).collect();
            let users = vec!["ann".to_owned()];
            let wanted = Wanted { users, ids, ..Wanted::default() };
            let foreign = Foreign::new(wanted, &toy.system_on(LocalHost), Some(Duration::from_secs(100)));
            let stage = Self { toy, begin: Instant::now(), foreign };
            stage.says("toyq", "");
            stage.says("toyacct", "");
            stage
        }

        fn says(&self, command: &str, lines: &str) {
            self.toy.command(command, &format!("printf '{lines}'"));
        }

        /// After so many seconds: how many are left, and how many of them are absent.
        fn look(&mut self, seconds: u64) -> (u64, u64) {
            let system = self.toy.system_on(LocalHost);
            self.foreign.look_at(&system, self.begin + Duration::from_secs(seconds)).unwrap();
            (self.foreign.left(), self.foreign.absent())
        }
    }

    #[test]
    fn an_accounting_that_lags_is_asked_again() {
        let mut stage = Stage::new(&[]);
        stage.says("toyq", "1 ann running\\n2 ann running\\n3 bob running\\n");
        assert_eq!(stage.look(0), (2, 0));
        stage.says("toyq", "2 ann running\\n");
        assert_eq!(stage.look(10), (2, 1));
        stage.says("toyq", "");
        assert_eq!(stage.look(109), (2, 2));
        stage.says("toyacct", "1 ann failed\\n");
        assert_eq!(stage.look(109), (1, 1));
        assert_eq!(stage.foreign.ends().failed, ["1"]);
        // The time of the second one began later.
        assert_eq!(stage.look(208), (1, 1));
        assert_eq!(stage.look(209), (0, 0));
        assert_eq!(stage.foreign.ends().unknown, ["2"]);
    }

    #[test]
    fn one_that_comes_back_is_missed_anew() {
        let mut stage = Stage::new(&["1"]);
        assert_eq!(stage.look(0), (1, 1), "it is not there at all");
        stage.says("toyq", "1 ann queued\\n");
        assert_eq!(stage.look(99), (1, 0));
        stage.says("toyq", "");
        assert_eq!(stage.look(150), (1, 1));
        stage.says("toyacct", "1 ann succeeded\\n");
        assert_eq!(stage.look(160), (0, 0));
        assert_eq!(stage.foreign.ends(), &Ends { succeeded: 1, ..Ends::default() });
    }

    #[test]
    fn nothing_is_gone_beside_records_that_cannot_be_read() {
        let mut stage = Stage::new(&[]);
        stage.says("toyq", "1 ann running\\n2 ann running\\n");
        stage.look(0);
        stage.says("toyq", "rubbish\\n2 ann succeeded\\n");
        stage.says("toyacct", "1 ann failed\\n");
        assert_eq!(stage.look(10), (1, 0), "an end that it shows is one");
        assert_eq!(stage.look(500), (1, 0));
        assert_eq!((stage.foreign.unread(), stage.foreign.ends().succeeded), (1, 1));
        stage.says("toyacct", "");
        stage.says("toyq", "");
        assert_eq!(stage.look(501), (1, 1), "its time begins now");
        assert_eq!(stage.look(601), (0, 0));
        assert_eq!(stage.foreign.ends().unknown, ["1"]);
    }

    #[test]
    fn an_accounting_that_fails_says_nothing_about_anybody() {
        let mut stage = Stage::new(&["1"]);
        stage.toy.command("toyacct", "echo down >&2; exit 9");
        let system = stage.toy.system_on(LocalHost);
        for seconds in [0, 500] {
            let at = stage.begin + Duration::from_secs(seconds);
            assert!(stage.foreign.look_at(&system, at).unwrap_err().is_passing());
            assert_eq!((stage.foreign.left(), stage.foreign.absent()), (1, 1));
        }
    }

    #[test]
    fn each_element_has_its_own_time() {
        let toy = Toy::new();
        let system = toy.system_on(LocalHost);
        let mut foreign = Foreign::new(Wanted::default(), &system, None);
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let open = |tasks: &str| vec![("7".to_owned(), Some(tasks.parse::<IndexSet>().unwrap()))];
        foreign.left = open("1-9").into_iter().collect();
        foreign.miss(&open("1-3"), at(0));
        foreign.miss(&open("2-5"), at(10));
        let absent: Vec<_> = foreign.absent["7"]
            .iter()
            .map(|absent| {
                (absent.at.duration_since(begin).as_secs(), absent.tasks.clone().unwrap().to_string())
            })
            .collect();
        assert_eq!(absent, [(0, "2-3".to_owned()), (10, "4-5".to_owned())]);
        let mut known = Known::default();
        let ended = |task, state| Row { state, ..row("7", Tasks::One(task)) };
        known.take(&ended(2, JobState::Succeeded), &[]);
        known.take(&ended(4, JobState::Failed), &[]);
        known.take(&ended(8, JobState::Failed), &[]);
        assert_eq!(foreign.settle(&system, open("2-5"), &known, at(20)), {
            let mut rest = open("3");
            rest[0].1.as_mut().unwrap().insert(5);
            rest
        });
        assert_eq!((foreign.ends().succeeded, &foreign.ends().failed[..]), (1, &["7#4".to_owned()][..]));
        assert_eq!(foreign.left["7"].as_ref().unwrap().len(), 7, "2 and 4 have ended");
    }

    #[test]
    fn an_array_that_was_named_waits_for_all_of_its_elements() {
        let mut stage = Stage::new(&["7"]);
        stage.look(0);
        let system = stage.toy.system_on(LocalHost);
        let mut known = Known::default();
        for (id, task, state) in [("7#1", 1, JobState::Succeeded), ("7#2", 2, JobState::Failed)] {
            known
                .take(&Row { id: id.into(), state, ..row("7", Tasks::One(task)) }, &stage.foreign.wanted.ids);
        }
        let gone = || vec![("7".to_owned(), None)];
        let at = |seconds| stage.begin + Duration::from_secs(seconds);
        assert_eq!(stage.foreign.settle(&system, gone(), &known, at(29)), gone());
        assert_eq!(stage.foreign.settle(&system, gone(), &known, at(30)), []);
        assert_eq!(
            (stage.foreign.ends().succeeded, &stage.foreign.ends().failed[..]),
            (1, &["7#2".to_owned()][..])
        );
    }

    #[test]
    fn how_long_is_the_systems_word_first() {
        let mut toy = Toy::new();
        let lost_after = |toy: &Toy, given| {
            Foreign::new(Wanted::default(), &toy.system_on(LocalHost), given).lost_after().as_secs()
        };
        assert_eq!(lost_after(&toy, None), 120);
        assert_eq!(lost_after(&toy, Some(Duration::from_secs(5))), 5);
        toy.config.accounting = Some(false);
        assert_eq!(lost_after(&toy, None), 600);
        toy.config.lost_after = Some("7s".parse().unwrap());
        assert_eq!(lost_after(&toy, Some(Duration::from_secs(5))), 7);
    }

    #[test]
    fn an_element_is_found_in_the_array_that_the_queue_shows() {
        let toy = Toy::new();
        let system = toy.system_on(LocalHost);
        let alive = by_job([row("7", Tasks::Some("2-5".parse().unwrap())), row("8", Tasks::Single)].iter());
        let find = |id: &str| as_element(&system, &RemoteId(id.to_owned()), &alive);
        assert_eq!(find("7#3"), Some(("7".to_owned(), 3)));
        assert_eq!((find("7#6"), find("7"), find("8"), find("9#3")), (None, None, None, None));
    }
}
