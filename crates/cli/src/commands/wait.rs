//! `cluster wait`: until jobs have ended.

use std::time::Instant;

use cluster_client::system::{Foreign, System, Wanted};
use cluster_client::{LOCAL, Look, Until, Waited, Waiting};
use cluster_core::{
    BatchId, ForeignDependency, IndexSet, JobId, JobState, RemoteId, Selector, Walltime, shell,
};
use cluster_jobsdb::Selection;

use crate::choose;
use crate::commands::stream::tell_if_drained;
use crate::context::Context;
use crate::exit::{Exit, usage};
use crate::output::{json, span, talk};
use crate::signals::Signals;

/// The options of `wait`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Until one has ended, not all
    #[arg(long)]
    any: bool,
    /// Not longer than this; exit code 4 then
    #[arg(long, value_name = "TIME")]
    timeout: Option<Walltime>,
    /// Stop with exit code 7 where a job stays suspended or in an unknown state for so long [default: 45m]
    #[arg(long, value_name = "TIME")]
    uncertain: Option<Walltime>,
    /// For this user's jobs in the scheduler's queue as it is now (repeatable)
    #[arg(long, short = 'u', value_name = "USER")]
    user: Vec<String>,
    /// For everybody's jobs in the scheduler's queue
    #[arg(long, conflicts_with = "user")]
    all_users: bool,
    /// Of the jobs in the scheduler's queue those in this partition (repeatable; mine where no user is named)
    #[arg(long, short = 'p', value_name = "PARTITION")]
    partition: Vec<String>,
    /// The system whose queue it is [default: $CLUSTER_SYSTEM, the default system, else the scheduler that answers here]
    #[arg(long, value_name = "NAME")]
    system: Option<String>,
    /// Batches or jobs, or remote:ID of a scheduler's job [default: last]
    selectors: Vec<For>,
}

/// What is waited for: jobs of ours, or a scheduler's.
#[derive(Debug, Clone)]
enum For {
    Ours(Selector),
    Remote(RemoteId),
}

impl std::str::FromStr for For {
    type Err = cluster_core::ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.starts_with("remote:") {
            true => Ok(Self::Remote(text.parse::<ForeignDependency>()?.id)),
            false => text.parse().map(Self::Ours),
        }
    }
}

pub(crate) fn run(mut context: Context, args: &Args) -> anyhow::Result<Exit> {
    let deadline =
        args.timeout.and_then(Walltime::as_duration).and_then(|time| Instant::now().checked_add(time));
    let mut selectors: Vec<Selector> = Vec::new();
    let mut ids = Vec::new();
    for one in &args.selectors {
        match one {
            For::Ours(selector) => selectors.push(selector.clone()),
            For::Remote(id) => ids.push(id.clone()),
        }
    }
    let wanted = Wanted {
        users: args.user.clone(),
        all_users: args.all_users,
        partitions: args.partition.clone(),
        ids,
    };
    let foreign =
        args.all_users || !args.user.is_empty() || !args.partition.is_empty() || !wanted.ids.is_empty();
    if !foreign || !args.selectors.is_empty() {
        Signals::end_by(come_back(&args.selectors))?;
    }
    if !foreign {
        if selectors.is_empty() {
            selectors.push(Selector::Last);
        }
        return ours(&mut context, args, &selectors, deadline);
    }
    if args.any && !selectors.is_empty() {
        return Err(usage("--any waits for jobs of ours, or for a scheduler's: not for both at once"));
    }
    let mut theirs = Theirs::new(&context, args, wanted)?;
    let mut first = Exit::GOOD;
    if !selectors.is_empty() {
        // Those that are there now are waited for, also if they end before ours.
        theirs.look(&context)?;
        first = ours(&mut context, args, &selectors, deadline)?;
    }
    if first == Exit::TIMED_OUT || first == Exit::UNCERTAIN {
        return Ok(first);
    }
    let second = theirs.wait(&context, args, deadline)?;
    Ok(Exit(first.0.max(second.0)))
}

/// Says how to come back to jobs that go on without us.
fn come_back(selectors: &[For]) -> String {
    let named = |one: &For| match one {
        For::Ours(selector) => Some(shell::join([selector.to_string().as_bytes()])),
        For::Remote(_) => None,
    };
    let ours: Vec<_> = selectors.iter().filter_map(named).collect();
    let all = match ours.is_empty() {
        true if selectors.is_empty() => "last".to_owned(),
        true => return "\ncluster: the jobs go on".to_owned(),
        false => String::from_utf8_lossy(&ours.join(&b' ')).into_owned(),
    };
    format!(
        "\ncluster: the jobs go on; wait for them again by `cluster wait {all}`, end them by `cluster cancel {all}`"
    )
}

/// Jobs of this root.
fn ours(
    context: &mut Context,
    args: &Args,
    selectors: &[Selector],
    deadline: Option<Instant>,
) -> anyhow::Result<Exit> {
    let selected = context.select_some(selectors)?;
    let until = if args.any { Until::Any } else { Until::All };
    let timeout = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
    let lender = context.enclosing();
    let uncertain = args.uncertain.unwrap_or(context.config.uncertain_limit).as_duration();
    let how = Waiting { until, timeout, lend: lender.as_ref(), uncertain };
    let quiet = context.common.quiet;
    let mut queued = false;
    for selection in &selected {
        let batch = context.client.batch(selection.batch)?;
        queued |= batch.scheduler == LOCAL && batch.count_of(JobState::Queued) > 0;
    }
    if queued && !quiet {
        tell_if_drained(&context.client);
    }
    let waited = context.client.wait(&selected, how, |look| match look {
        Look::Said(text) if !quiet => talk(&format!("cluster: {text}")),
        _ => {}
    })?;
    let (ended, all) = context.client.progress(&selected)?;
    let (failed, lost) = failed(context, &selected)?;
    if context.common.json {
        json(&serde_json::json!({
            "v": 1, "ended": ended, "jobs": all, "timed_out": waited == Waited::TimedOut,
            "failed": failed.first, "failed_count": failed.count,
            "lost": lost.first, "lost_count": lost.count,
        }))?;
    }
    tell_lost(&lost);
    match &waited {
        Waited::TimedOut => {
            if !context.common.quiet {
                let left = all - ended;
                talk(&match all {
                    1 => "cluster: the job has not ended".to_owned(),
                    _ => format!(
                        "cluster: {left} of {all} jobs {} not ended",
                        if left == 1 { "has" } else { "have" }
                    ),
                });
            }
            return Ok(Exit::TIMED_OUT);
        }
        Waited::Uncertain(jobs) => {
            for (job, state) in jobs {
                talk(&format!("cluster: job {job} may never go on by itself: {state}"));
            }
            return Ok(Exit::UNCERTAIN);
        }
        Waited::Done => {}
    }
    Ok(if failed.count > 0 { Exit::JOB_FAILED } else { Exit::GOOD })
}

/// A scheduler's jobs, whoever sent them: those that are there now.
struct Theirs {
    system: System,
    foreign: Foreign,
    troubled: bool,
    /// At the last look.
    absent: u64,
    told_absent: bool,
    told_unread: bool,
}

impl Theirs {
    fn new(context: &Context, args: &Args, mut wanted: Wanted) -> anyhow::Result<Self> {
        let system = choose::queue_of(context, args.system.as_deref())?;
        if wanted.users.is_empty() && !wanted.all_users && !wanted.partitions.is_empty() {
            wanted.users.push(system.user().to_owned());
        }
        let lost_after = context.config.lost_after.and_then(Walltime::as_duration);
        let foreign = Foreign::new(wanted, &system, lost_after);
        Ok(Self { system, foreign, troubled: false, absent: 0, told_absent: false, told_unread: false })
    }

    /// Looks once, and says what a person who waits should know.
    fn look(&mut self, context: &Context) -> anyhow::Result<()> {
        let name = self.system.name();
        let say = |text: &str| {
            if !context.common.quiet {
                talk(&format!("cluster: {text}"));
            }
        };
        match self.foreign.look(&self.system) {
            Ok(()) => self.troubled = false,
            Err(error) if error.is_passing() => {
                if !self.troubled {
                    say(&format!("{name} cannot be asked ({}); this goes on", error.brief()));
                }
                self.troubled = true;
            }
            Err(error) => return Err(cluster_client::ClientError::System(error).into()),
        }
        let unread = self.foreign.unread();
        if unread > 0 && !self.told_unread {
            say(&format!(
                "{unread} records of {name} were not understood: no job counts as gone meanwhile; \
                 `cluster queue` shows the first of them"
            ));
            self.told_unread = true;
        }
        // An accounting comes a little late as a rule: one look without a word is nothing to tell.
        let absent = self.foreign.absent();
        if absent.min(self.absent) > 0 && !self.told_absent {
            say(&format!(
                "not in the queue of {name}, and without a word yet on how they ended: {absent} of the jobs; \
                 each is waited for up to {}",
                span(self.foreign.lost_after())
            ));
            self.told_absent = true;
        }
        self.absent = absent;
        Ok(())
    }

    fn wait(&mut self, context: &Context, args: &Args, deadline: Option<Instant>) -> anyhow::Result<Exit> {
        loop {
            self.look(context)?;
            let (system, foreign) = (&self.system, &self.foreign);
            let ends = foreign.ends();
            let ended = ends.succeeded + (ends.failed.len() + ends.unknown.len()) as u64;
            let left = foreign.left();
            let done = left == 0 || (args.any && ended > 0);
            let late = !done && deadline.is_some_and(|deadline| Instant::now() >= deadline);
            if !done && !late {
                let pause = foreign.pace().interval();
                let pause = deadline
                    .map_or(pause, |deadline| pause.min(deadline.saturating_duration_since(Instant::now())));
                std::thread::sleep(pause);
                continue;
            }
            if context.common.json {
                json(&serde_json::json!({
                    "v": 1, "system": system.name(), "ended": ended, "left": left, "failed": ends.failed,
                    "unknown": ends.unknown, "timed_out": late,
                }))?;
            }
            for job in &ends.failed {
                talk(&format!("cluster: job {job} of {} did not succeed", system.name()));
            }
            for job in &ends.unknown {
                talk(&format!(
                    "cluster: job {job} of {} is gone, and nothing says how it ended",
                    system.name()
                ));
            }
            return Ok(match () {
                () if late => Exit::TIMED_OUT,
                () if !ends.unknown.is_empty() => Exit::UNCERTAIN,
                () if !ends.failed.is_empty() => Exit::JOB_FAILED,
                () => Exit::GOOD,
            });
        }
    }
}

/// More ids than these are counted and not named.
const IN_JSON: usize = 100;
const IN_TALK: usize = 5;

/// Jobs of ours that did not end well: how many, and the first of them.
#[derive(Default)]
struct Ended {
    count: u64,
    first: Vec<JobId>,
}

impl Ended {
    fn add(&mut self, batch: BatchId, jobs: &IndexSet) {
        self.count += jobs.len();
        let room = IN_JSON - self.first.len();
        self.first.extend(jobs.iter().take(room).map(|index| JobId { batch, index }));
    }
}

/// Those that failed, and of these the ones of which nobody saw how they ended.
fn failed(context: &mut Context, selected: &[Selection]) -> anyhow::Result<(Ended, Ended)> {
    let (mut failed, mut lost) = (Ended::default(), Ended::default());
    for selection in selected {
        let batch = selection.batch;
        if context.client.batch(batch)?.count_of(JobState::Failed) == 0 {
            continue;
        }
        let of =
            |jobs: IndexSet| selection.jobs.as_ref().map_or(jobs.clone(), |only| jobs.intersection(only));
        let store = context.client.store()?;
        failed.add(batch, &of(store.indices_in(batch, &[JobState::Failed])?));
        lost.add(batch, &of(store.lost_in(batch)?));
    }
    Ok((failed, lost))
}

/// What is to be known of jobs that are lost: nothing else is printed of them.
fn tell_lost(lost: &Ended) {
    let named: Vec<String> = lost.first.iter().take(IN_TALK).map(ToString::to_string).collect();
    let Some(first) = named.first() else { return };
    let jobs = named.join(", ");
    talk(&match (lost.count, lost.count.saturating_sub(named.len() as u64)) {
        (1, _) => format!(
            "cluster: job {first} is lost: it is gone, and nobody saw how it ended; `cluster show {first}` tells what \
             is known, `cluster retry {first}` runs it again"
        ),
        (count, more) => format!(
            "cluster: {count} jobs are lost: they are gone, and nobody saw how they ended: {jobs}{}; `cluster show \
             {first}` tells what is known, `cluster retry` runs them again",
            if more > 0 { format!(" and {more} more") } else { String::new() }
        ),
    });
}
