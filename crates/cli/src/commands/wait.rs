//! `cluster wait`: until jobs have ended.

use cluster_client::Waited;
use cluster_client::watch::Until;
use cluster_core::{JobState, Selector, Walltime};
use cluster_jobsdb::Selection;

use crate::context::Context;
use crate::exit::{Exit, usage};
use crate::output::{json, talk};

/// The options of `wait`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Until one has ended, not all
    #[arg(long)]
    any: bool,
    /// Not longer than this; exit code 4 then
    #[arg(long, value_name = "TIME")]
    timeout: Option<Walltime>,
    /// Batches or jobs
    #[arg(default_value = "last")]
    selectors: Vec<Selector>,
}

pub(crate) fn run(mut context: Context, args: &Args) -> anyhow::Result<Exit> {
    let selected = context.select(&args.selectors)?;
    if selected.is_empty() {
        return Err(usage("there is nothing to wait for: no job is selected"));
    }
    let until = if args.any { Until::Any } else { Until::All };
    let timeout = args.timeout.and_then(Walltime::as_duration);
    let lender = context.enclosing();
    let waited = context.client.wait(&selected, until, timeout, lender.as_ref(), |_, _| {})?;
    let (ended, all) = context.client.progress(&selected)?;
    if context.common.json {
        json(
            &serde_json::json!({ "v": 1, "ended": ended, "jobs": all, "timed_out": waited == Waited::TimedOut }),
        )?;
    }
    if waited == Waited::TimedOut {
        if !context.common.quiet {
            talk(&format!("cluster: {} of {all} jobs have not ended", all - ended));
        }
        return Ok(Exit::TIMED_OUT);
    }
    Ok(if any_failed(&mut context, &selected)? { Exit::JOB_FAILED } else { Exit::GOOD })
}

fn any_failed(context: &mut Context, selected: &[Selection]) -> anyhow::Result<bool> {
    for selection in selected {
        let failed = match &selection.jobs {
            None => context.client.batch(selection.batch)?.count_of(JobState::Failed) > 0,
            Some(jobs) => {
                let failed = context.client.store()?.indices_in(selection.batch, &[JobState::Failed])?;
                !failed.intersection(jobs).is_empty()
            }
        };
        if failed {
            return Ok(true);
        }
    }
    Ok(false)
}
