//! `cluster retry`: ended jobs are sent again.

use std::collections::HashSet;

use cluster_client::Again;
use cluster_client::client::LOCAL;
use cluster_core::{BatchId, IndexSet, JobState, Selector, Tag};
use cluster_jobsdb::Selection;
use cluster_localqueue::capacity::Amount;

use crate::commands::hand_over::{Target, dry_run, handed, unsaid, would_run_here};
use crate::context::Context;
use crate::exit::{Exit, usage};
use crate::output::{json, talk};
use crate::spec_args::SpecArgs;

/// The options of `retry`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The jobs stay what they were: --name, --chdir, --export, --output, --meta and another --system \
    are for new ones."
)]
pub(crate) struct Args {
    /// Jobs that succeeded, too
    #[arg(long)]
    all: bool,
    /// Send the last script as it lies there, also when it was changed by hand
    #[arg(long)]
    keep_script: bool,
    /// Wait for nothing, whatever the jobs waited for when they were sent first
    #[arg(long, conflicts_with = "after")]
    no_after: bool,
    #[command(flatten)]
    spec: SpecArgs,
    /// Batches or jobs
    #[arg(required = true)]
    selectors: Vec<Selector>,
}

/// Jobs of one batch that are about to be sent again.
struct Planned {
    batch: BatchId,
    jobs: IndexSet,
    target: Target,
    again: Again,
}

/// What is looked at once for all batches.
#[derive(Default)]
struct Seen {
    /// The systems for which it was said what has no effect.
    warned: HashSet<String>,
    /// What jobs may take here.
    limit: Option<Amount>,
}

pub(crate) fn run(mut context: Context, args: Args) -> anyhow::Result<Exit> {
    args.spec.refuse_fixed()?;
    let mut selected = context.select(&args.selectors)?;
    // What others wait for first.
    selected.sort_by_key(|selection| selection.batch);
    // All is looked at before any of it is sent.
    let (mut planned, mut seen) = (Vec::new(), Seen::default());
    for selection in selected {
        planned.extend(plan(&mut context, &args, &selection, &mut seen)?);
    }
    let sent: u64 = planned.iter().map(|one| one.jobs.len()).sum();
    if args.spec.is_dry_run() {
        planned.iter().try_for_each(|one| show(&mut context, one))?;
        if sent == 0 {
            talk(&told(&args, sent));
        }
        return Ok(Exit::GOOD);
    }
    let mut exit = Exit::GOOD;
    for one in planned {
        exit = Exit(exit.0.max(send(&mut context, one)?.0));
    }
    if context.common.json {
        json(&serde_json::json!({ "v": 1, "changed": sent }))?;
    } else if !context.common.quiet {
        talk(&told(&args, sent));
    }
    Ok(exit)
}

/// What is sent again of a selection, if anything.
fn plan(
    context: &mut Context,
    args: &Args,
    selection: &Selection,
    seen: &mut Seen,
) -> anyhow::Result<Option<Planned>> {
    let batch = selection.batch;
    let row = context.client.batch(batch)?;
    args.spec.refuse_moving(&row)?;
    let states: &[JobState] =
        if args.all { &[JobState::Failed, JobState::Succeeded] } else { &[JobState::Failed] };
    let ended = context.client.store()?.indices_in(batch, states)?;
    let jobs: IndexSet = selection.jobs.as_ref().map_or(ended.clone(), |jobs| ended.intersection(jobs));
    if jobs.is_empty() {
        return Ok(None);
    }
    let target = match row.scheduler == LOCAL {
        true => Target::Local,
        false => Target::System(context.client.system(&row.system)?),
    };
    let first = seen.warned.insert(row.system.clone());
    match &target {
        Target::Local if first => args.spec.check_local()?,
        Target::System(_) if first => {
            unsaid(&args.spec.unsaid(&target), args.spec.is_strict())?;
        }
        _ => {}
    }
    let mut spec = context.client.last_spec(batch)?;
    let changed = args.spec.change(context, &target, batch, &mut spec)?;
    if changed && args.keep_script {
        return Err(usage("--keep-script sends the script as it is: it cannot go with changed options"));
    }
    // What is satisfied by now is left out again; what never can be is said.
    if args.no_after {
        (spec.dependencies, spec.foreign) = (Vec::new(), Vec::new());
    }
    context.client.refuse_waiting_for_itself(batch, &jobs, &spec)?;
    if let Target::Local = target {
        let limit = *seen.limit.get_or_insert_with(|| context.limit());
        context.client.check(&spec, limit)?;
    }
    let again = Again { spec, keep_script: args.keep_script, hold: args.spec.hold };
    Ok(Some(Planned { batch, jobs, target, again }))
}

/// Sends it.
fn send(context: &mut Context, one: Planned) -> anyhow::Result<Exit> {
    let Planned { batch, jobs, target, again } = one;
    let Target::System(system) = target else {
        context.client.retry(batch, &jobs, again)?;
        return Ok(Exit::GOOD);
    };
    let quiet = context.common.quiet;
    let mut say = |text: &str| {
        if !quiet {
            talk(&format!("cluster: {text}"));
        }
    };
    let sent = context.client.resubmit_to(&system, batch, &jobs, &again, &mut say)?;
    let partition = again.spec.resources.partition.as_deref();
    let Some((exit, text)) = handed(&system, sent, partition, quiet).trouble else { return Ok(Exit::GOOD) };
    talk(&format!("cluster: {text}"));
    Ok(exit)
}

/// Prints what would be sent.
fn show(context: &mut Context, one: &Planned) -> anyhow::Result<()> {
    let Planned { batch, jobs, target, again } = one;
    let Target::System(system) = target else {
        talk(&format!("cluster: the local queue would take jobs {jobs} of batch {batch} again"));
        return would_run_here(context, jobs.len());
    };
    let plan = context.client.plan_for(system, &again.spec, jobs)?;
    dry_run(context, system, &Tag::from_bits(0), &again.spec, again.hold, &plan)
}

fn told(args: &Args, sent: u64) -> String {
    let which = if args.all { "ended" } else { "failed" };
    match sent {
        0 => format!("no {which} jobs are selected, so none is sent again"),
        1 => "1 job sent again".to_owned(),
        _ => format!("{sent} jobs sent again"),
    }
}
