//! `cluster wait`: until jobs have ended.

use cluster_client::{Look, Until, Waited, Waiting};
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
    /// Stop with exit code 7 where a job stays suspended or in an unknown state for so long [default: 45m]
    #[arg(long, value_name = "TIME")]
    uncertain: Option<Walltime>,
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
    let uncertain = args.uncertain.unwrap_or(context.config.uncertain_limit).as_duration();
    let how = Waiting { until, timeout, lend: lender.as_ref(), uncertain };
    let quiet = context.common.quiet;
    let waited = context.client.wait(&selected, how, |look| match look {
        Look::Said(text) if !quiet => talk(&format!("cluster: {text}")),
        _ => {}
    })?;
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
    if let Waited::Uncertain(jobs) = &waited {
        for (job, state) in jobs {
            talk(&format!("cluster: job {job} may never go on by itself: {state}"));
        }
        return Ok(Exit::UNCERTAIN);
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
