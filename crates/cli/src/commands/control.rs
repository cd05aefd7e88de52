//! `cluster cancel`, `hold`, `release`.

use std::collections::BTreeSet;

use cluster_client::client::LOCAL;
use cluster_core::Selector;
use cluster_jobsdb::Selection;
use cluster_localqueue::runner::protocol::Action;

use crate::context::Context;
use crate::exit::{Exit, usage};
use crate::output::{json, talk};

/// The signal that jobs get first where none is named.
const TERM: i32 = 15;

/// The options of `hold` and `release`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Batches or jobs
    #[arg(required = true)]
    selectors: Vec<Selector>,
}

/// The options of `cancel`.
#[derive(Debug, clap::Args)]
pub(crate) struct CancelArgs {
    /// The signal that running jobs of this machine get first: TERM, INT, HUP, USR1, USR2, KILL
    #[arg(long, value_name = "NAME", default_value = "TERM")]
    signal: String,
    /// Batches or jobs
    #[arg(required = true)]
    selectors: Vec<Selector>,
}

pub(crate) fn cancel(context: Context, args: &CancelArgs) -> anyhow::Result<Exit> {
    let name = args.signal.to_ascii_uppercase();
    let signal = match name.strip_prefix("SIG").unwrap_or(&name) {
        "TERM" | "15" => TERM,
        "INT" | "2" => 2,
        "HUP" | "1" => 1,
        "KILL" | "9" => 9,
        "USR1" | "10" => 10,
        "USR2" | "12" => 12,
        _ => {
            return Err(usage(format!(
                "--signal {}: expected TERM, INT, HUP, USR1, USR2 or KILL",
                args.signal
            )));
        }
    };
    act(context, &args.selectors, Action::Cancel(signal), "cancelled")
}

pub(crate) fn hold(context: Context, args: &Args) -> anyhow::Result<Exit> {
    act(context, &args.selectors, Action::Hold, "held")
}

pub(crate) fn release(context: Context, args: &Args) -> anyhow::Result<Exit> {
    act(context, &args.selectors, Action::Release, "released")
}

/// The schedulers in which these jobs are.
fn schedulers(context: &mut Context, selected: &[Selection]) -> anyhow::Result<BTreeSet<String>> {
    let mut systems = BTreeSet::new();
    for selection in selected {
        let batch = context.client.batch(selection.batch)?;
        if batch.scheduler != LOCAL {
            systems.insert(batch.system);
        }
    }
    Ok(systems)
}

fn act(mut context: Context, selectors: &[Selector], action: Action, done: &str) -> anyhow::Result<Exit> {
    let selected = context.select(selectors)?;
    let deaf = match action {
        Action::Cancel(TERM) => BTreeSet::new(),
        Action::Cancel(_) => schedulers(&mut context, &selected)?,
        _ => BTreeSet::new(),
    };
    let count = context.client.act(action.clone(), &selected)?;
    for system in deaf.iter().filter(|_| !context.common.quiet) {
        talk(&format!(
            "cluster: --signal has no effect on {system}: its own cancel decides which signals the jobs get"
        ));
    }
    if context.common.json {
        json(&serde_json::json!({ "v": 1, "changed": count }))?;
    } else if !context.common.quiet {
        let why = match (count, &action) {
            (0, Action::Hold) => ": none is queued",
            (0, Action::Release) => ": none is held",
            (0, Action::Cancel(_)) => ": all have ended",
            _ => "",
        };
        talk(&format!("{count} {} {done}{why}", if count == 1 { "job" } else { "jobs" }));
    }
    Ok(Exit::GOOD)
}
