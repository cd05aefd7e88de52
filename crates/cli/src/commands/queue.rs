//! `cluster queue`: what is in a scheduler's queue, whoever sent it.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use cluster_client::system::listing::{Listed, NodeUse, by_node, fold, ids, unfold};
use cluster_client::system::{Snapshot, System};
use cluster_core::dialect::{Dialect, HostCores, Row, Whose};
use cluster_core::{JobState, Tag, Timestamp};
use globset::{GlobBuilder, GlobMatcher};
use serde::Serialize;

use crate::choose;
use crate::commands::ls::shown;
use crate::context::Context;
use crate::exit::{Exit, usage};
use crate::output::{json, line, span, table, talk};

/// A snapshot of this age is new enough: `watch cluster queue` asks no more often.
const FRESH: Duration = Duration::from_secs(2);

/// The options of `queue`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Everybody's jobs, not only mine
    #[arg(long, short = 'a', conflicts_with = "user")]
    all: bool,
    /// This user's jobs (repeatable, or several with commas)
    #[arg(long, short = 'u', value_name = "USER", value_delimiter = ',')]
    user: Vec<String>,
    /// Jobs in this partition or queue (repeatable, or several with commas)
    #[arg(long, short = 'p', value_name = "PARTITION", value_delimiter = ',')]
    partition: Vec<String>,
    /// Jobs in this state: running, queued, held, done, bad, or a single state (repeatable, or with commas)
    #[arg(long, value_name = "STATE", value_delimiter = ',')]
    state: Vec<Group>,
    /// Jobs with a name like this; the tag behind the name of a job of ours need not be named
    #[arg(long, value_name = "GLOB")]
    name: Option<String>,
    /// Each element of an array in its own line
    #[arg(long)]
    tasks: bool,
    /// Only how many jobs there are
    #[arg(long, conflicts_with_all = ["ids", "nodes"])]
    count: bool,
    /// Only the scheduler's ids, for xargs; of an array that is meant in part, those of its elements
    #[arg(long, conflicts_with = "nodes")]
    ids: bool,
    /// The nodes on which they run, with the cores that are used
    #[arg(long)]
    nodes: bool,
    /// The system whose queue it is [default: $CLUSTER_SYSTEM, the default system, else the scheduler that answers here]
    #[arg(long, value_name = "NAME", conflicts_with = "all_systems")]
    system: Option<String>,
    /// All systems, but for those whose names begin with _
    #[arg(long)]
    all_systems: bool,
}

/// Some states.
#[derive(Debug, Clone)]
enum Group {
    /// Ended.
    Done,
    /// Ended otherwise than well, or may never go on by itself.
    Bad,
    Queued,
    One(JobState),
}

impl std::str::FromStr for Group {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "done" => Ok(Self::Done),
            "bad" => Ok(Self::Bad),
            "queued" => Ok(Self::Queued),
            other => other.parse().map(Self::One).map_err(|_| {
                let states = JobState::ALL.map(JobState::as_str).join(", ");
                format!("expected done, bad, or one of {states}")
            }),
        }
    }
}

impl Group {
    /// Whether it is about jobs that have ended.
    fn is_over(&self) -> bool {
        match self {
            Self::Done | Self::Bad => true,
            Self::Queued => false,
            Self::One(state) => state.is_end(),
        }
    }

    fn has(&self, row: &Row<'_>) -> bool {
        match self {
            Self::Done => row.state.is_end(),
            Self::Bad => row.state == JobState::Failed || row.uncertain,
            Self::Queued => {
                matches!(row.state, JobState::Created | JobState::Submitting | JobState::Queued)
            }
            Self::One(state) => row.state == *state,
        }
    }
}

/// What is looked for, beyond whose it is.
struct Filter<'a> {
    args: &'a Args,
    users: &'a [String],
    name: Option<GlobMatcher>,
}

impl Filter<'_> {
    fn takes(&self, row: &Row<'_>) -> bool {
        let args = self.args;
        // Some schedulers cannot be asked for one user's jobs, and some add the host.
        let user = row.user.split('@').next().unwrap_or_default();
        (args.all || user.is_empty() || self.users.iter().any(|one| one == user))
            && (args.partition.is_empty() || args.partition.iter().any(|one| *one == row.partition))
            && (args.state.is_empty() || args.state.iter().any(|group| group.has(row)))
            && self.name.as_ref().is_none_or(|glob| {
                glob.is_match(&*row.name) || untagged(&row.name).is_some_and(|name| glob.is_match(name))
            })
    }
}

/// The name that a job of ours was given: the scheduler's has the tag behind it.
fn untagged(name: &str) -> Option<&str> {
    let (name, tag) = name.rsplit_once('.')?;
    tag.parse::<Tag>().is_ok().then_some(name)
}

/// A line in JSON; version 1.
#[derive(Serialize)]
struct Line<'a> {
    v: u32,
    system: &'a str,
    #[serde(flatten)]
    listed: &'a Listed<'a>,
    /// The hosts one by one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    on: Vec<HostCores>,
}

#[derive(Serialize)]
struct Node<'a> {
    v: u32,
    system: &'a str,
    #[serde(flatten)]
    used: &'a NodeUse,
}

#[derive(Serialize)]
struct Count<'a> {
    v: u32,
    system: &'a str,
    jobs: u64,
    counts: BTreeMap<&'static str, u64>,
}

pub(crate) fn run(mut context: Context, args: &Args) -> anyhow::Result<Exit> {
    let systems = if args.all_systems {
        choose::all(&context)?
    } else {
        vec![choose::queue_of(&context, args.system.as_deref())?]
    };
    let name = match &args.name {
        Some(glob) => {
            let glob = GlobBuilder::new(glob).build().map_err(|error| usage(format!("--name: {error}")))?;
            Some(glob.compile_matcher())
        }
        None => None,
    };
    let mine = [context.surroundings().user];
    let users = if args.user.is_empty() { &mine[..] } else { &args.user[..] };
    let filter = Filter { args, users, name };
    let whose = if args.all { Whose::All } else { Whose::Users(users) };
    let mut exit = Exit::GOOD;
    for system in &systems {
        // What keeps no jobs, or cannot be read, keeps nobody from looking at a queue.
        let chunks = context.client.store().ok().and_then(|store| store.open_chunks(system.name()).ok());
        let sent = chunks.iter().flatten().filter_map(|chunk| chunk.sent).max();
        let since = since(Timestamp::now(), system.config().poll, sent);
        let result = system
            .queue_now(whose, since)
            .map_err(Into::into)
            .and_then(|snapshot| print(&context, &filter, system, &snapshot, systems.len() > 1));
        match result {
            Ok(()) => {}
            Err(error) if systems.len() == 1 => return Err(error),
            // The others are shown.
            Err(error) => {
                talk(&format!("cluster: {error}"));
                exit = crate::exit::code(&error);
            }
        }
    }
    Ok(exit)
}

/// When the query must have begun: lately, and after the scheduler took what was `sent` last, since whoever
/// has just submitted looks for it.
fn since(now: Timestamp, poll: Duration, sent: Option<Timestamp>) -> Timestamp {
    let lately = now.before(FRESH.min(poll));
    // One from the future, by another host's clock, does not outdo a new query.
    sent.map_or(lately, |sent| lately.max(sent.min(now)))
}

fn print(
    context: &Context,
    filter: &Filter<'_>,
    system: &System,
    snapshot: &Snapshot,
    several: bool,
) -> anyhow::Result<()> {
    let args = filter.args;
    let jobs = snapshot.jobs(system)?;
    let rows: Vec<&Row<'_>> = jobs.rows.iter().filter(|row| filter.takes(row)).collect();
    let name = system.name();
    if several && !context.common.json {
        talk(&format!("{name}:"));
    }
    if args.count {
        print_count(context, name, &fold(&rows))?;
    } else if args.nodes {
        print_nodes(context, system, &rows)?;
    } else if args.ids && !args.tasks {
        for id in ids(&jobs.rows, |row| filter.takes(row), system.dialect()) {
            print_id(context, name, &id)?;
        }
    } else {
        let lines: Box<dyn Iterator<Item = Listed<'_>>> = if args.tasks {
            Box::new(unfold(&rows, system.dialect()))
        } else {
            Box::new(fold(&rows).into_iter())
        };
        if args.ids {
            for listed in lines {
                print_id(context, name, &listed.id)?;
            }
        } else if context.common.json {
            for listed in lines {
                let on = each_host(&listed.hosts, system.dialect());
                json(&Line { v: 1, system: name, listed: &listed, on })?;
            }
        } else {
            print_table(&lines.collect::<Vec<_>>(), args.all || users_differ(filter))?;
        }
    }
    if args.state.iter().any(Group::is_over)
        && !system.dialect().capabilities().shows_ended
        && !context.common.quiet
    {
        talk(&format!(
            "cluster: the queue of {name} keeps no ended jobs ({} drops them); how yours ended say `cluster ls` and \
             `cluster show`",
            system.dialect().name()
        ));
    }
    if let Some(first) = jobs.errors.first().filter(|_| !context.common.quiet) {
        talk(&format!("cluster: {} records of {name} were not understood, the first:", jobs.errors.len()));
        talk(&format!("  {first}"));
        talk(&format!("  `cluster debug parse` reads what `{}` prints", snapshot.command_line()));
    }
    Ok(())
}

/// The hosts of folded lists, each once. A list that is not understood is there as it was printed, and `--nodes` says
/// why.
fn each_host(lists: &[&str], dialect: &dyn Dialect) -> Vec<HostCores> {
    let mut hosts: Vec<_> = lists.iter().filter_map(|list| dialect.hosts(list).ok()).flatten().collect();
    let mut seen = HashSet::new();
    hosts.retain(|host| seen.insert(host.host.clone()));
    hosts
}

fn print_id(context: &Context, system: &str, id: &str) -> anyhow::Result<()> {
    match context.common.json {
        true => json(&serde_json::json!({ "v": 1, "system": system, "id": id })),
        false => line(id),
    }
}

fn users_differ(filter: &Filter<'_>) -> bool {
    filter.users.len() > 1
}

fn print_count(context: &Context, system: &str, lines: &[Listed<'_>]) -> anyhow::Result<()> {
    let mut counts = BTreeMap::new();
    for listed in lines {
        if listed.counts.is_empty() {
            *counts.entry(listed.state.as_str()).or_default() += listed.jobs;
        }
        for (state, count) in &listed.counts {
            *counts.entry(*state).or_default() += count;
        }
    }
    let jobs = lines.iter().map(|listed| listed.jobs).sum();
    if context.common.json {
        return json(&Count { v: 1, system, jobs, counts });
    }
    line(&jobs.to_string())
}

fn print_nodes(context: &Context, system: &System, rows: &[&Row<'_>]) -> anyhow::Result<()> {
    let (nodes, errors) = by_node(rows, system.dialect());
    if context.common.json {
        nodes.iter().try_for_each(|used| json(&Node { v: 1, system: system.name(), used }))?;
    } else {
        let cells = |node: &NodeUse| vec![node.node.clone(), node.cores.to_string(), node.jobs.to_string()];
        table(&["NODE", "CORES", "JOBS"], &nodes.iter().map(cells).collect::<Vec<_>>())?;
    }
    for error in errors.iter().take(3) {
        talk(&format!("cluster: {error}"));
    }
    Ok(())
}

fn print_table(lines: &[Listed<'_>], users: bool) -> anyhow::Result<()> {
    let mut head = vec!["ID", "NAME", "PARTITION", "JOBS", "STATE", "CORES", "TIME", "WHERE"];
    if users {
        head.insert(2, "USER");
    }
    let now = Timestamp::now();
    let rows = lines.iter().map(|listed| {
        let began = listed.started.filter(|_| listed.state == JobState::Running);
        let waited = listed.submitted.filter(|_| !listed.state.is_end() && began.is_none());
        let ran = listed.started.zip(listed.ended).map(|(from, to)| to.since(from));
        let time = ran.or(began.or(waited).map(|from| now.since(from)));
        let cores = listed.cores.map_or_else(String::new, |cores| cores.to_string());
        let mut cells = vec![
            listed.id.to_string(),
            shown(listed.name),
            shown(listed.partition),
            listed.jobs.to_string(),
            states(listed),
            cores,
            time.map_or_else(String::new, span),
            place(listed),
        ];
        if users {
            cells.insert(2, shown(listed.user));
        }
        cells
    });
    table(&head, &rows.collect::<Vec<_>>())
}

/// The state in our words, and in the scheduler's where ours says too little.
fn states(listed: &Listed<'_>) -> String {
    let mut text = match listed.counts.len() {
        0 | 1 => match listed.state {
            JobState::Unknown => format!("unknown ({})", shown(listed.raw_state)),
            state => state.to_string(),
        },
        _ => {
            let each: Vec<_> =
                listed.counts.iter().map(|(state, count)| format!("{count} {state}")).collect();
            format!("{} ({})", listed.state, each.join(", "))
        }
    };
    if let Some(status) = listed.status.filter(|status| !status.is_success()) {
        text.push_str(&format!(", exit {}", status.code()));
    }
    text
}

/// Where it runs, or why it does not.
fn place(listed: &Listed<'_>) -> String {
    match &listed.hosts[..] {
        [] if listed.reason.is_empty() || listed.reason == "None" => String::new(),
        [] => format!("({})", shown(listed.reason)),
        [one] => shown(one),
        [one, more @ ..] => format!("{} and {} more", shown(one), more.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_last_is_in_the_queue_that_is_shown() {
        let at = |ms: i64| Timestamp(1_000_000_000 + ms * 1000);
        let poll = Duration::from_secs(10);
        assert_eq!(since(at(0), poll, None), at(-2000));
        assert_eq!(since(at(0), poll, Some(at(-5000))), at(-2000));
        assert_eq!(since(at(0), poll, Some(at(-500))), at(-500), "a query before it is too old");
        assert_eq!(since(at(0), poll, Some(at(60_000))), at(0));
        assert_eq!(since(at(0), Duration::from_secs(1), None), at(-1000));
    }
}
