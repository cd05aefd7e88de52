//! Local jobs that our runner does not have. Those of another host only its runner can end, and it is asked by a file;
//! those of a process that runs them itself (`--foreground`) are that one's, and it is asked as a runner is.

use std::collections::BTreeMap;

use cluster_core::{BatchId, Timestamp};
use cluster_jobsdb::{CancelRequest, Selection, Store};
use cluster_localqueue::runner::ConnectError;
use cluster_localqueue::runner::protocol::{Action, Refusal, RefusalKind};

use super::owner::Owner;
use crate::client::draw_tag;
use crate::error::ClientError;

/// Takes the batches of other hosts' runners out of `selected` and asks for the end of their jobs. Returns the
/// others, and of how many jobs the end was asked for.
///
/// # Errors
/// Where the store or the root cannot be written, or something else than an end is asked for.
pub(crate) fn ask(
    store: &mut Store,
    action: &Action,
    selected: &[Selection],
) -> Result<(Vec<Selection>, u64), ClientError> {
    let here = Owner::runner();
    let (mut ours, mut asked) = (Vec::with_capacity(selected.len()), 0);
    for selection in selected {
        let row = store.batch(selection.batch)?;
        let owner =
            row.filter(|row| row.scheduler == "local" && !row.is_finished()).and_then(|row| row.owner);
        let Some(owner) = owner.filter(|owner| !Owner::parse(owner).is_of(&here)) else {
            ours.push(selection.clone());
            continue;
        };
        let Action::Cancel(signal) = *action else {
            let message = format!(
                "batch {} belongs to the runner of another host ({owner}): from here it can only be cancelled",
                selection.batch
            );
            return Err(ClientError::Refused(Refusal { kind: RefusalKind::Usage, message }));
        };
        // First in the store, so that nobody takes the end for another.
        asked += store.request_cancel(selection.batch, selection.jobs.as_ref(), Timestamp::now())?;
        let tag = draw_tag().map_err(|e| ClientError::file("read", "/dev/urandom", e))?;
        let (batch, jobs) = (selection.batch, selection.jobs.clone());
        tracing::info!("batch {batch} runs on another host ({owner}): its runner was asked to end it");
        let request = CancelRequest { batch, jobs, signal, owner, file: Default::default() };
        request.send(store.root().to_owned().as_path(), &tag)?;
    }
    Ok((ours, asked))
}

/// Takes the batches of other processes that run their jobs themselves out of `selected`. What a dead one left is the
/// runner's.
///
/// # Errors
/// Where the store cannot be read.
#[allow(clippy::type_complexity)]
pub(crate) fn of_processes(
    store: &mut Store,
    selected: Vec<Selection>,
) -> Result<(Vec<Selection>, BTreeMap<u32, Vec<Selection>>), ClientError> {
    let us = std::process::id();
    let mut ours = Vec::with_capacity(selected.len());
    let mut theirs: BTreeMap<u32, Vec<Selection>> = BTreeMap::new();
    for selection in selected {
        let row = store.batch(selection.batch)?.filter(|row| !row.is_finished());
        let owner = row.and_then(|row| row.owner).map(|owner| Owner::parse(&owner));
        match owner.filter(|owner| !owner.is_gone()).and_then(|owner| owner.process()) {
            Some(pid) if pid != us => theirs.entry(pid).or_default().push(selection),
            _ => ours.push(selection),
        }
    }
    Ok((ours, theirs))
}

/// The process that has a batch cannot be asked.
pub(crate) fn unheard(batch: BatchId, pid: u32, error: &ConnectError) -> ClientError {
    let message = format!(
        "batch {batch} runs inside process {pid} of this host (--foreground), which cannot be asked from here ({error}): \
         end it by kill -INT {pid}"
    );
    ClientError::Refused(Refusal { kind: RefusalKind::Ending, message })
}
