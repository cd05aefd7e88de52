//! `cluster ls`: batches, the newest last.

use std::time::Duration;

use cluster_client::client::LOCAL;
use cluster_client::scheduler::Refresh;
use cluster_client::watch::LIVE;
use cluster_core::bytestring::printable;
use cluster_core::{BatchId, JobState, Timestamp, selector};
use cluster_jobsdb::{BatchFilter, BatchLine};
use serde::Serialize;

use crate::context::Context;
use crate::exit::{Exit, usage};
use crate::output::{json, line, span, table, talk};

/// The options of `ls`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// All batches, not the last 20
    #[arg(long, short = 'a')]
    all: bool,
    /// The last N batches
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: u32,
    /// Batches with jobs in this state (repeatable)
    #[arg(long, value_name = "STATE")]
    state: Vec<JobState>,
    /// Batches with a name like this
    #[arg(long, value_name = "GLOB")]
    name: Option<String>,
    /// More columns
    #[arg(long, short = 'l')]
    long: bool,
    /// Only the ids, for xargs
    #[arg(long)]
    ids: bool,
    /// Ask the systems first: a runner is started where jobs wait for one
    #[arg(long)]
    refresh: bool,
    /// Ask nobody: what the store has, and how old it is
    #[arg(long, conflicts_with = "refresh")]
    offline: bool,
}

/// One batch in JSON; version 1.
#[derive(Serialize)]
pub(crate) struct Batch<'a> {
    v: u32,
    batch: BatchId,
    name: &'a str,
    system: &'a str,
    user: &'a str,
    jobs: u32,
    created: Timestamp,
    priority: i32,
    counts: std::collections::BTreeMap<&'static str, u64>,
    finished: bool,
    collected: Option<Timestamp>,
    cleaned: Option<Timestamp>,
}

impl<'a> Batch<'a> {
    pub(crate) fn new(row: &'a BatchLine) -> Self {
        let counts = row.counts.iter().map(|(state, count)| (state.as_str(), count));
        Self {
            v: 1,
            batch: row.id,
            name: &row.name,
            system: &row.system,
            user: &row.user,
            jobs: row.count,
            created: row.created,
            priority: row.priority,
            counts: counts.filter(|(_, count)| *count > 0).collect(),
            finished: row.is_finished(),
            collected: row.collected,
            cleaned: row.cleaned,
        }
    }
}

pub(crate) fn run(mut context: Context, args: &Args) -> anyhow::Result<Exit> {
    let there = context.root.join("store.db").try_exists();
    if !there
        .map_err(|error| usage(format!("cannot look into the root {}: {error}", context.root.display())))?
    {
        if context.common.json || args.ids {
            return Ok(Exit::GOOD);
        }
        talk(&format!("cluster: there are no jobs in {} yet", context.root.display()));
        return Ok(Exit::GOOD);
    }
    let mut trouble = false;
    if args.refresh {
        trouble = refresh(&mut context)?;
    }
    if let Some(pattern) = &args.name {
        selector::glob(pattern)?;
    }
    let filter = BatchFilter {
        name: args.name.clone(),
        states: Some(args.state.clone()).filter(|states| !states.is_empty()),
        ..BatchFilter::default()
    };
    let limit = if args.all { None } else { Some(args.limit) };
    let mut batches = context.client.store()?.lines(&filter, limit)?;
    batches.reverse();
    if context.common.json {
        batches.iter().try_for_each(|row| json(&Batch::new(row)))?;
    } else if args.ids {
        batches.iter().try_for_each(|row| line(&row.id.to_string()))?;
    } else {
        print(&batches, args.long)?;
    }
    let waiting =
        batches.iter().any(|row| row.scheduler == LOCAL && LIVE.iter().any(|state| row.count_of(*state) > 0));
    if waiting && !args.offline && !context.common.quiet && context.client.running_runner()?.is_none() {
        talk("cluster: no runner runs, so nothing of this starts: `cluster local start` starts it");
    }
    if args.offline {
        let newest = batches.iter().map(|row| row.changed.max(row.created)).max().unwrap_or_default();
        talk(&format!(
            "cluster: as the store has it; its newest entry is {} old",
            span(Timestamp::now().since(newest))
        ));
    }
    // What is shown is shown as it is known: but a script should see that it may be old.
    Ok(if trouble { Exit::OUT_OF_REACH } else { Exit::GOOD })
}

/// Asks the runner and the schedulers that have jobs of ours; whether one could not be asked.
fn refresh(context: &mut Context) -> anyhow::Result<bool> {
    let filter = BatchFilter { states: Some(LIVE.to_vec()), ..BatchFilter::default() };
    let live = context.client.store()?.lines(&filter, None)?;
    let (local, scheduled): (Vec<_>, Vec<_>) = live.iter().partition(|row| row.scheduler == LOCAL);
    if !local.is_empty() || scheduled.is_empty() {
        context.client.attach()?;
    }
    let how = Refresh { batches: None, max_age: Duration::ZERO, insist: true };
    let report = context.client.refresh(how)?;
    for (system, error) in &report.trouble {
        talk(&format!("cluster: {system} cannot be asked: {}", error.brief()));
    }
    for (_, text) in &report.told {
        talk(&format!("cluster: {text}"));
    }
    for (job, count, reason) in &report.stuck {
        talk(&match count {
            1 => format!("cluster: job {job} waits: {reason}"),
            _ => format!("cluster: {count} jobs of batch {} wait: {reason}", job.batch),
        });
    }
    Ok(!report.trouble.is_empty())
}

fn print(batches: &[BatchLine], long: bool) -> anyhow::Result<()> {
    let mut head = vec!["BATCH", "NAME", "JOBS", "STATE", "AGE"];
    if long {
        head.extend(["SYSTEM", "USER", "PRIORITY", "NOTES"]);
    }
    let now = Timestamp::now();
    let rows = batches.iter().map(|row| {
        let mut cells = vec![
            row.id.to_string(),
            shown(&row.name),
            row.count.to_string(),
            states(row),
            span(now.since(row.created)),
        ];
        if long {
            let notes = [(row.collected, "collected"), (row.cleaned, "cleaned")];
            let notes: Vec<_> = notes.iter().filter(|(at, _)| at.is_some()).map(|(_, note)| *note).collect();
            cells.extend([row.system.clone(), row.user.clone(), row.priority.to_string(), notes.join(",")]);
        }
        cells
    });
    table(&head, &rows.collect::<Vec<_>>())
}

/// A name on one line of a table.
pub(crate) fn shown(name: &str) -> String {
    let plain = printable(name);
    match plain.char_indices().nth(40) {
        Some((at, _)) => format!("{}…", &plain[..at]),
        None => plain,
    }
}

/// The states of a batch's jobs: one word where all are alike.
fn states(row: &BatchLine) -> String {
    let counts = JobState::ALL.into_iter().filter(|state| row.count_of(*state) > 0);
    let counts: Vec<_> = counts.collect();
    match counts[..] {
        [one] => one.to_string(),
        _ => counts
            .iter()
            .map(|state| format!("{} {state}", row.count_of(*state)))
            .collect::<Vec<_>>()
            .join(", "),
    }
}
