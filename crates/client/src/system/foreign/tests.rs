//! Waiting for jobs of others, on a scheduler that is told what to say.

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
        .map(|absent| (absent.at.duration_since(begin).as_secs(), absent.tasks.clone().unwrap().to_string()))
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
        known.take(&Row { id: id.into(), state, ..row("7", Tasks::One(task)) }, &stage.foreign.wanted.ids);
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
