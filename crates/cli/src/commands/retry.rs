//! `cluster retry`: ended jobs are sent again.

use cluster_client::client::LOCAL;
use cluster_core::{IndexSet, JobState, Selector};

use crate::commands::hand_over::{Target, handed, unsaid};
use crate::context::Context;
use crate::exit::{Exit, usage};
use crate::output::{json, talk};
use crate::spec_args::SpecArgs;

/// The options of `retry`.
#[derive(Debug, clap::Args)]
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

pub(crate) fn run(mut context: Context, args: Args) -> anyhow::Result<Exit> {
    let mut selected = context.select(&args.selectors)?;
    // What others wait for first.
    selected.sort_by_key(|selection| selection.batch);
    let (mut sent, mut exit) = (0, Exit::GOOD);
    for selection in selected {
        let states: &[JobState] =
            if args.all { &[JobState::Failed, JobState::Succeeded] } else { &[JobState::Failed] };
        let ended = context.client.store()?.indices_in(selection.batch, states)?;
        let jobs: IndexSet = selection.jobs.as_ref().map_or(ended.clone(), |jobs| ended.intersection(jobs));
        if jobs.is_empty() {
            continue;
        }
        let last_k =
            context.client.store()?.submissions(selection.batch)?.iter().map(|one| one.k).max().unwrap_or(0);
        let mut spec = context.client.spec(selection.batch, last_k)?;
        let row = context.client.batch(selection.batch)?;
        let target = match row.scheduler == LOCAL {
            true => Target::Local,
            false => Target::System(context.client.system(&row.system)?),
        };
        let changed = args.spec.change(&mut context, &target, selection.batch, &mut spec)?;
        if changed && args.keep_script {
            return Err(usage("--keep-script sends the script as it is: it cannot go with changed options"));
        }
        sent += jobs.len();
        let Target::System(system) = target else {
            context.client.retry(selection.batch, &jobs, changed.then_some(spec), args.keep_script)?;
            continue;
        };
        unsaid(&args.spec.unsaid(system.config().scheduler), args.spec.is_strict())?;
        // What is satisfied by now is left out again; what never can be is said.
        if args.no_after {
            (spec.dependencies, spec.foreign) = (Vec::new(), Vec::new());
        }
        let quiet = context.common.quiet;
        let again = context.client.resubmit_to(
            &system,
            selection.batch,
            &jobs,
            &spec,
            args.keep_script,
            &mut |text| {
                if !quiet {
                    talk(&format!("cluster: {text}"));
                }
            },
        )?;
        let partition = spec.resources.partition.as_deref();
        if let Some((code, text)) = handed(&system, again, partition, quiet).trouble {
            talk(&format!("cluster: {text}"));
            exit = Exit(exit.0.max(code.0));
        }
    }
    if context.common.json {
        json(&serde_json::json!({ "v": 1, "changed": sent }))?;
    } else if !context.common.quiet {
        let which = if args.all { "ended" } else { "failed" };
        talk(&match sent {
            0 => format!("no {which} jobs are selected, so none is sent again"),
            1 => "1 job sent again".to_owned(),
            _ => format!("{sent} jobs sent again"),
        });
    }
    Ok(exit)
}
