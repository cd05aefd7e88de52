//! What a queue looks like: an array as one line, or each of its elements, or the nodes that are used.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};

use cluster_core::dialect::{Dialect, DialectError, Row, Tasks};
use cluster_core::state::{ExitStatus, JobState};
use cluster_core::{IndexSet, MemSize, RemoteId, Timestamp, Walltime};
use serde::Serialize;

/// More elements of one row than this stay one line.
const UNFOLDED: u64 = 1_000_000;

/// A line of the queue: a job, an array, or an element of one.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Listed<'o> {
    /// The scheduler's id.
    pub id: Cow<'o, str>,
    /// How many jobs it stands for.
    pub jobs: u64,
    /// Its name.
    pub name: &'o str,
    /// Its owner.
    pub user: &'o str,
    /// Its partition or queue.
    pub partition: &'o str,
    /// Its state; of several the first of running, queued, held, failed, done.
    pub state: JobState,
    /// The same in the scheduler's words.
    pub raw_state: &'o str,
    /// How many are in which state, where it stands for several.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub counts: BTreeMap<&'static str, u64>,
    /// Whether some may never go on by themselves: suspended, stopped, or in an unknown state.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub uncertain: bool,
    /// Why it is in that state.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub reason: &'o str,
    /// The cores of all jobs that it stands for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cores: Option<u64>,
    /// The nodes of one of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nodes: Option<u32>,
    /// Where they are, folded as the scheduler prints it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<&'o str>,
    /// The worst exit status: the highest code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<ExitStatus>,
    /// The first submission.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub submitted: Option<Timestamp>,
    /// The first start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started: Option<Timestamp>,
    /// The last end, where all have ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<Timestamp>,
    /// The time limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_limit: Option<Walltime>,
    /// The memory that one of them asks for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mem: Option<MemSize>,
}

/// What is used of a node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct NodeUse {
    /// Its name.
    pub node: String,
    /// Cores of running jobs. Where the scheduler says only how many a job has in all, they count as spread
    /// evenly over its nodes.
    pub cores: u64,
    /// Jobs that run there.
    pub jobs: u64,
}

/// The state of an array: that of its elements that comes first here.
fn order(state: JobState) -> u8 {
    match state {
        JobState::Running => 0,
        JobState::Suspended => 1,
        JobState::Queued | JobState::Submitting | JobState::Created => 2,
        JobState::Held => 3,
        JobState::Unknown => 4,
        JobState::Failed => 5,
        JobState::Succeeded => 6,
    }
}

/// How many jobs a row stands for.
fn count(row: &Row<'_>) -> u64 {
    match &row.tasks {
        Tasks::Some(set) => set.len().max(1),
        Tasks::Single | Tasks::One(_) | Tasks::Whole => 1,
    }
}

impl<'o> Listed<'o> {
    fn new(row: &'o Row<'_>, id: Cow<'o, str>, jobs: u64) -> Self {
        Self {
            id,
            jobs,
            name: &row.name,
            user: &row.user,
            partition: &row.partition,
            state: row.state,
            raw_state: &row.raw_state,
            counts: BTreeMap::new(),
            uncertain: row.uncertain,
            reason: &row.reason,
            cores: row.cores.map(|cores| u64::from(cores).saturating_mul(jobs)),
            nodes: row.nodes,
            hosts: Some(&*row.hosts).filter(|hosts| !hosts.is_empty()).into_iter().collect(),
            status: row.status,
            submitted: row.submitted,
            started: row.started,
            ended: row.ended,
            time_limit: row.time_limit,
            mem: row.mem,
        }
    }

    fn add(&mut self, other: Self) {
        if order(other.state) < order(self.state) {
            (self.state, self.raw_state, self.reason) = (other.state, other.raw_state, other.reason);
        }
        self.jobs = self.jobs.saturating_add(other.jobs);
        self.uncertain |= other.uncertain;
        self.cores = match (self.cores, other.cores) {
            (Some(one), Some(two)) => Some(one.saturating_add(two)),
            (one, two) => one.or(two),
        };
        self.nodes = self.nodes.max(other.nodes);
        self.hosts.extend(other.hosts);
        self.status = self.status.max_by_code(other.status);
        self.submitted = earlier(self.submitted, other.submitted);
        self.started = earlier(self.started, other.started);
        self.ended = self.ended.zip(other.ended).map(|(one, two)| one.max(two));
        self.time_limit = self.time_limit.or(other.time_limit);
        self.mem = self.mem.or(other.mem);
    }
}

trait Worst {
    fn max_by_code(self, other: Self) -> Self;
}

impl Worst for Option<ExitStatus> {
    fn max_by_code(self, other: Self) -> Self {
        [self, other].into_iter().flatten().max_by_key(|status| status.code())
    }
}

fn earlier(one: Option<Timestamp>, two: Option<Timestamp>) -> Option<Timestamp> {
    [one, two].into_iter().flatten().min()
}

/// The arrays of which there are rows of elements: their own rows say nothing more.
fn with_elements<'r>(rows: &[&'r Row<'_>]) -> HashSet<&'r str> {
    let elements = rows.iter().filter(|row| matches!(row.tasks, Tasks::One(_) | Tasks::Some(_)));
    elements.map(|row| &*row.job).collect()
}

/// One line for each job and each array, in the order in which they first come.
pub fn fold<'o>(rows: &[&'o Row<'_>]) -> Vec<Listed<'o>> {
    let elements = with_elements(rows);
    let mut lines: Vec<Listed<'o>> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    for row in rows {
        let is_array = row.tasks != Tasks::Single;
        if row.tasks == Tasks::Whole && elements.contains(&*row.job) {
            continue;
        }
        let jobs = count(row);
        let mut line = Listed::new(row, Cow::Borrowed(&row.job), jobs);
        if !is_array {
            lines.push(line);
            continue;
        }
        let place = *places.entry(&row.job).or_insert(lines.len());
        match lines.get_mut(place) {
            Some(known) => {
                *known.counts.entry(row.state.as_str()).or_default() += jobs;
                known.add(line);
            }
            None => {
                line.counts.insert(row.state.as_str(), jobs);
                lines.push(line);
            }
        }
    }
    for line in lines.iter_mut().filter(|line| line.hosts.len() > 1) {
        let mut seen = HashSet::new();
        line.hosts.retain(|host| seen.insert(*host));
    }
    lines
}

/// One line for each job and each element of an array. Rows of very many elements stay as they are.
pub fn unfold<'o>(rows: &'o [&'o Row<'_>], dialect: &'o dyn Dialect) -> impl Iterator<Item = Listed<'o>> {
    let elements = with_elements(rows);
    let first = dialect.capabilities().first_task;
    let rows = rows.iter().filter(move |row| row.tasks != Tasks::Whole || !elements.contains(&*row.job));
    rows.flat_map(move |row| {
        let row: &'o Row<'_> = row;
        let (set, whole) = match &row.tasks {
            Tasks::Some(set) if set.len() <= UNFOLDED => (set.clone(), None),
            _ => (IndexSet::new(), Some(Listed::new(row, Cow::Borrowed(&row.id), count(row)))),
        };
        let mut left = set;
        let elements = std::iter::from_fn(move || {
            let task = left.pop_first()?;
            let array = RemoteId(row.job.to_string());
            let id = match task.checked_sub(first) {
                Some(position) => dialect.element(&array, position).0,
                None => row.id.to_string(),
            };
            Some(Listed::new(row, Cow::Owned(id), 1))
        });
        whole.into_iter().chain(elements)
    })
}

/// The ids of the jobs and arrays of which `takes` takes rows: of an array that it takes in part, those of the
/// elements that it takes. Whoever cancels what this says ends nothing else.
pub fn ids(rows: &[Row<'_>], takes: impl Fn(&Row<'_>) -> bool, dialect: &dyn Dialect) -> Vec<String> {
    let all: Vec<&Row<'_>> = rows.iter().collect();
    let elements = with_elements(&all);
    let counts = |row: &Row<'_>| row.tasks != Tasks::Whole || !elements.contains(&*row.job);
    let (taken, left): (Vec<&Row<'_>>, Vec<&Row<'_>>) =
        all.into_iter().filter(|row| counts(row)).partition(|row| takes(row));
    let in_part: HashSet<&str> = left.iter().map(|row| &*row.job).collect();
    let (parts, whole): (Vec<&Row<'_>>, Vec<&Row<'_>>) =
        taken.into_iter().partition(|row| in_part.contains(&*row.job));
    let whole = fold(&whole).into_iter().map(|line| line.id.into_owned()).collect::<Vec<_>>();
    whole.into_iter().chain(unfold(&parts, dialect).map(|line| line.id.into_owned())).collect()
}

/// The nodes on which these jobs run, by name; and the lists of hosts that were not understood.
pub fn by_node(rows: &[&Row<'_>], dialect: &dyn Dialect) -> (Vec<NodeUse>, Vec<DialectError>) {
    let elements = with_elements(rows);
    let mut nodes: HashMap<String, NodeUse> = HashMap::new();
    let mut errors = Vec::new();
    let running = rows.iter().filter(|row| {
        let counted = row.tasks != Tasks::Whole || !elements.contains(&*row.job);
        counted && row.state == JobState::Running && !row.hosts.is_empty()
    });
    for row in running {
        let hosts = match dialect.hosts(&row.hosts) {
            Ok(hosts) => hosts,
            Err(error) => {
                errors.push(error);
                continue;
            }
        };
        let count = hosts.len().max(1) as u64;
        let all = u64::from(row.cores.unwrap_or(0));
        for (place, host) in hosts.into_iter().enumerate() {
            let spread = all / count + u64::from((place as u64) < all % count);
            let entry = nodes
                .entry(host.host.clone())
                .or_insert_with(|| NodeUse { node: host.host, ..NodeUse::default() });
            entry.cores = entry.cores.saturating_add(host.cores.map_or(spread, u64::from));
            entry.jobs += 1;
        }
    }
    let mut nodes: Vec<NodeUse> = nodes.into_values().collect();
    nodes.sort_by(|one, two| natural(&one.node).cmp(&natural(&two.node)));
    (nodes, errors)
}

/// `n2` before `n10`.
fn natural(name: &str) -> (&str, Reverse<bool>, u64, &str) {
    let digits = name.len() - name.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    let (prefix, number) = name.split_at(name.len() - digits);
    (prefix, Reverse(number.is_empty()), number.parse().unwrap_or(u64::MAX), name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::toy::ToyDialect;

    fn row(job: &'static str, tasks: Tasks, state: JobState) -> Row<'static> {
        Row {
            id: job.into(),
            job: job.into(),
            tasks,
            state,
            raw_state: "x".into(),
            cores: Some(2),
            ..Row::default()
        }
    }

    fn array() -> Vec<Row<'static>> {
        let failed = Row {
            status: Some(ExitStatus::Exit(3)),
            ended: Some(Timestamp(9)),
            hosts: "n1".into(),
            ..row("7", Tasks::One(1), JobState::Failed)
        };
        vec![
            row("7", Tasks::Whole, JobState::Unknown),
            Row {
                status: Some(ExitStatus::Exit(0)),
                hosts: "n1".into(),
                ..row("7", Tasks::One(0), JobState::Succeeded)
            },
            failed,
            row("8", Tasks::Single, JobState::Held),
            row("7", Tasks::Some("4-9".parse().unwrap()), JobState::Queued),
            row("9", Tasks::Whole, JobState::Running),
        ]
    }

    #[test]
    fn an_array_is_one_line_with_counts_and_the_worst_exit() {
        let rows = array();
        let lines = fold(&rows.iter().collect::<Vec<_>>());
        let seen: Vec<_> = lines.iter().map(|line| (&*line.id, line.jobs, line.state)).collect();
        let wanted = [("7", 8, JobState::Queued), ("8", 1, JobState::Held), ("9", 1, JobState::Running)];
        assert_eq!(seen, wanted);
        assert_eq!(lines[0].counts, BTreeMap::from([("failed", 1), ("queued", 6), ("succeeded", 1)]));
        assert_eq!((lines[0].status, lines[0].cores), (Some(ExitStatus::Exit(3)), Some(16)));
        assert_eq!(lines[0].hosts, ["n1"]);
        // Some are not over.
        assert_eq!(lines[0].ended, None);
        assert!(lines[1].counts.is_empty());
    }

    #[test]
    fn the_state_of_an_array_is_the_first_of_all() {
        use JobState::{Failed, Held, Queued, Running, Succeeded};
        let orders = [Running, Queued, Held, Failed, Succeeded];
        for (i, first) in orders.into_iter().enumerate() {
            let rows: Vec<_> =
                orders[i..].iter().rev().map(|state| row("1", Tasks::One(0), *state)).collect();
            assert_eq!(fold(&rows.iter().collect::<Vec<_>>())[0].state, first);
        }
    }

    #[test]
    fn unfolded_each_element_is_a_line_and_a_monster_stays_one() {
        let rows = array();
        let rows: Vec<_> = rows.iter().collect();
        let dialect = ToyDialect;
        let ids: Vec<_> = unfold(&rows, &dialect).map(|line| line.id.into_owned()).collect();
        assert_eq!(ids, ["7", "7", "8", "7#4", "7#5", "7#6", "7#7", "7#8", "7#9", "9"]);
        let monster = row("1", Tasks::Some(IndexSet::range(0, u32::MAX)), JobState::Queued);
        let rows = [&monster];
        let lines: Vec<_> = unfold(&rows, &dialect).collect();
        assert_eq!((lines.len(), lines[0].jobs), (1, u64::from(u32::MAX)));
    }

    #[test]
    fn an_array_that_is_taken_in_part_is_named_by_its_elements() {
        let rows = array();
        let of = |takes: &dyn Fn(&Row<'_>) -> bool| ids(&rows, takes, &ToyDialect);
        assert_eq!(of(&|_| true), ["7", "8", "9"]);
        let queued = |row: &Row<'_>| matches!(row.state, JobState::Queued | JobState::Held);
        assert_eq!(of(&queued), ["8", "7#4", "7#5", "7#6", "7#7", "7#8", "7#9"]);
        assert_eq!(of(&|_| false), Vec::<String>::new());
    }

    #[test]
    fn cores_are_those_that_are_said_else_spread() {
        let on = |hosts: &'static str, cores| Row {
            hosts: hosts.into(),
            cores: Some(cores),
            ..row("1", Tasks::Single, JobState::Running)
        };
        let rows =
            [on("n2 n10", 5), on("n2:4", 4), on("?", 1), Row { state: JobState::Succeeded, ..on("n3", 1) }];
        let (nodes, errors) = by_node(&rows.iter().collect::<Vec<_>>(), &ToyDialect);
        let seen: Vec<_> = nodes.iter().map(|node| (&*node.node, node.cores, node.jobs)).collect();
        assert_eq!(seen, [("n2", 7, 2), ("n10", 2, 1)]);
        assert_eq!(errors.len(), 1);
    }
}
