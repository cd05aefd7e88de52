//! Sending one submission: the intent first, a search before every other try, a refusal never again.

use std::path::PathBuf;
use std::time::Duration;

use cluster_core::dialect::{DialectError, RefusalKind, RemoteDependency, SubmitRequest};
use cluster_core::{Cause, JobSpec, RemoteId, Timestamp};
use cluster_jobsdb::{ChunkRow, Store};
use serde::{Deserialize, Serialize};

use crate::error::ClientError;
use crate::layout::Layout;
use crate::scheduler::find::{find, submitted};
use crate::system::{System, SystemError};

/// What a submission says to the scheduler besides its jobs, as the store keeps it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HandedOver {
    /// It begins held.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) hold: bool,
    /// What it waits for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) after: Vec<RemoteDependency>,
    /// It follows the submission before it, to keep `--max-running` over several arrays.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) follows: bool,
    /// Nothing goes out before what it waits for is over.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) later: bool,
}

impl HandedOver {
    pub(crate) fn of(chunk: &ChunkRow) -> Self {
        chunk.depends.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
    }

    pub(crate) fn to_text(&self) -> Option<String> {
        if *self == Self::default() { None } else { serde_json::to_string(self).ok() }
    }
}

/// What came of sending a submission.
#[derive(Debug)]
pub enum Sending {
    /// The scheduler has it.
    Accepted(RemoteId),
    /// The scheduler said no; the jobs ended as `submit_refused`.
    Refused(SystemError),
    /// Nobody could be reached, and it has not got through: it stays `submitting`, and the next look at the
    /// system tries again.
    OutOfReach(SystemError),
    /// It may have got through: it stays `submitting` until a search answers.
    Uncertain(SystemError),
    /// It is sent when what it waits for is over.
    Later(String),
    /// It can never run; the jobs ended as `dependency_never_satisfied`.
    Never(String),
}

/// After a doubt a submission is made again only when so much time has passed since the command was killed:
/// what it had handed over shows by then.
pub(crate) const DOUBT: Duration = Duration::from_secs(60);

/// The first wait before another try; each is twice the one before.
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// Where the scheduler's own output of a submission goes.
pub(crate) fn log(layout: &Layout, chunk: &ChunkRow) -> PathBuf {
    layout.batch(chunk.batch).join(format!("{}.sched", chunk.k))
}

/// Sends `chunk`, whose script lies ready; tries again up to `retries` times where the trouble may pass.
/// The caller holds the batch's lock.
pub(crate) fn send(
    store: &mut Store,
    layout: &Layout,
    system: &System,
    chunk: &ChunkRow,
    spec: &JobSpec,
    retries: u32,
    say: &mut dyn FnMut(&str),
) -> Result<Sending, ClientError> {
    let (batch, k) = (chunk.batch, chunk.k);
    let mut handed = HandedOver::of(chunk);
    if handed.follows {
        let chunks = store.chunks(batch)?;
        let before = chunks.iter().find(|one| one.k + 1 == k);
        match before.map(|one| (one.remote.clone(), one.array, one.over)) {
            Some((Some(id), array, _)) => handed.after.push(RemoteDependency {
                kind: cluster_core::DependencyKind::AfterAny,
                id,
                array,
                elementwise: false,
                gated: false,
            }),
            // It was refused: there is nothing to follow.
            Some((None, _, true)) | None => {}
            Some((None, _, false)) => {
                return Ok(Sending::Later(format!("follows the submission before it of batch {batch}")));
            }
        }
    }
    let script = layout.script(batch, k);
    let log = log(layout, chunk);
    let request = SubmitRequest {
        script: &script,
        name: &spec.name,
        tag: &chunk.tag,
        log: &log,
        array: chunk.array.then(|| u32::try_from(chunk.jobs.len()).unwrap_or(u32::MAX)),
        throttle: chunk.throttle,
        dependencies: &handed.after,
        hold: handed.hold,
        resources: &spec.resources,
    };
    let invocation = match system.dialect().submit(&request) {
        Ok(invocation) => invocation,
        Err(source) => {
            let (system, command) = (system.name().to_owned(), system.dialect().commands()[0].to_owned());
            return refused(store, chunk, SystemError::Answer { system, command, source: Box::new(source) });
        }
    };
    let odd = || SystemError::Odd { system: system.name().to_owned(), command: invocation.command_line() };
    let mut search = chunk.tried.is_some();
    // Our own try, or one of a process that is gone.
    let mut doubt = chunk.doubt.or(chunk.tried);
    let mut wait = FIRST_WAIT;
    let mut left = retries;
    loop {
        let trouble = if search {
            match find(system, &chunk.tag, chunk.created) {
                Ok(Some(id)) => {
                    store.mark_sent(batch, k, &id, Timestamp::now(), handed.hold)?;
                    return Ok(Sending::Accepted(id));
                }
                Ok(None) if doubt.is_some_and(|doubt| Timestamp::now().since(doubt) < DOUBT) => {
                    return Ok(Sending::Uncertain(odd()));
                }
                Ok(None) => None,
                Err(error) => Some(error),
            }
        } else {
            None
        };
        let trouble = match trouble {
            Some(error) => error,
            None => {
                store.mark_tried(batch, k, Timestamp::now())?;
                let output = system.submit(&invocation);
                let answer = output.and_then(|output| {
                    let reading = system.read(&invocation, &output)?;
                    submitted(reading).ok_or_else(odd)
                });
                match answer {
                    Ok(id) => {
                        store.mark_sent(batch, k, &id, Timestamp::now(), handed.hold)?;
                        return Ok(Sending::Accepted(id));
                    }
                    Err(error) if error.is_doubt() && !never_arrived(&error) => {
                        let now = Timestamp::now();
                        store.mark_doubt(batch, k, now)?;
                        (doubt, search) = (Some(now), true);
                        say(&format!("{error}; looking for it by its tag {}", chunk.tag));
                        continue;
                    }
                    Err(error) if !error.is_passing() => return refused(store, chunk, error),
                    Err(error) => {
                        store.mark_untried(batch, k)?;
                        doubt = chunk.doubt;
                        error
                    }
                }
            }
        };
        // Nothing got through as far as anybody can tell, but only a search makes sure.
        search = true;
        if left == 0 {
            return Ok(if doubt.is_some() {
                Sending::Uncertain(trouble)
            } else {
                Sending::OutOfReach(trouble)
            });
        }
        left -= 1;
        say(&format!("{trouble}; trying again in {} s", wait.as_secs()));
        std::thread::sleep(wait);
        wait *= 2;
    }
}

/// Whether nobody was there to take the call: then it has not got through for certain. A time-out of a call
/// that was begun says nothing.
fn never_arrived(error: &SystemError) -> bool {
    let Some(DialectError::Unreachable { stderr, .. }) = error.dialect_error() else { return false };
    let text = stderr.to_ascii_lowercase();
    let nobody = [
        "connection refused",
        "connect failure",
        "cannot connect",
        "could not connect",
        "couldn't connect",
        "no route to host",
        "unknown host",
        "configuration source",
    ];
    nobody.iter().any(|words| text.contains(words)) && !text.contains("timed out")
}

/// The scheduler, or the dialect, will not have it: the jobs end here.
fn refused(store: &mut Store, chunk: &ChunkRow, error: SystemError) -> Result<Sending, ClientError> {
    let cause = match error.refusal() {
        Some(RefusalKind::BadDependency) => Cause::DependencyNeverSatisfied,
        _ => Cause::SubmitRefused,
    };
    store.mark_refused(chunk.batch, chunk.k, cause, &error.to_string(), Timestamp::now())?;
    Ok(Sending::Refused(error))
}
