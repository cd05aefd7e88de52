//! Sending one submission: the intent first, a search before every other try, a refusal never again.

use std::path::PathBuf;
use std::time::Duration;

use cluster_core::dialect::{DialectError, RefusalKind, RemoteDependency, SubmitRequest};
use cluster_core::host::Invocation;
use cluster_core::{Cause, ExitStatus, JobSpec, RemoteId, Timestamp};
use cluster_jobsdb::{ChunkRow, JobQuery, Store};
use serde::{Deserialize, Serialize};

use crate::error::ClientError;
use crate::layout::Layout;
use crate::scheduler::find::{find, submitted};
use crate::system::{System, SystemError};
use crate::watch::LIVE;

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
    /// Its script is an earlier one, perhaps changed by hand, and is not rendered anew.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) kept: bool,
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
    Uncertain(String),
    /// It is sent when what it waits for is over.
    Later(String),
    /// It can never run; the jobs ended as `dependency_never_satisfied`.
    Never(String),
}

/// After a doubt a submission is made again only when so much time has passed since the command was killed:
/// what it had handed over shows by then.
pub(crate) const DOUBT: Duration = Duration::from_secs(60);

/// After this time a queue without accounting may have forgotten a job that has ended.
const FORGOTTEN: Duration = Duration::from_secs(240);

/// The first wait before another try; each is twice the one before.
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// Why a job was never sent that nobody wanted any more.
pub(crate) const UNSENT: &str = "it was cancelled before it was sent";

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
        match followed(store, chunk)? {
            Followed::Nothing => {}
            Followed::NotSent => {
                return Ok(Sending::Later(format!("follows the submission before it of batch {batch}")));
            }
            Followed::Array(remote) => handed.after.push(remote),
        }
    }
    let script = layout.script(batch, k);
    let log = log(layout, chunk);
    let head = head_lines(&std::fs::read(&script).unwrap_or_default());
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
        head: &head,
    };
    let invocation = match system.dialect().submit(&request) {
        Ok(invocation) => invocation,
        Err(source) => {
            let (system, command) = (system.name().to_owned(), system.dialect().commands()[0].to_owned());
            return refused(store, chunk, SystemError::Answer { system, command, source: Box::new(source) });
        }
    };
    let mut search = chunk.tried.is_some();
    let mut doubt = doubt_of(store, chunk)?;
    let mut wait = FIRST_WAIT;
    let mut left = retries;
    loop {
        let mut trouble = None;
        // What may have got through is looked for first: there may be something to cancel.
        if search && (doubt.is_some() || !all_cancelled(store, chunk)?) {
            match look_for(store, layout, system, chunk, doubt) {
                Ok(Some(sending)) => return Ok(sending),
                Ok(None) => {}
                Err(ClientError::System(error)) => trouble = Some(error),
                Err(error) => return Err(error),
            }
        }
        let trouble = match trouble {
            Some(error) => error,
            None => {
                let now = Timestamp::now();
                if !store.mark_tried_untouched(batch, k, now)? {
                    if all_cancelled(store, chunk)? {
                        return cancelled(store, chunk);
                    }
                    store.mark_tried(batch, k, now)?;
                }
                // What the scheduler has, and the store lost with the machine's power, nobody would look for.
                let synced = store.sync_beside();
                let answer = answer(system, &invocation);
                let _ = synced.join();
                match answer {
                    Ok(id) => return accepted(store, chunk, id, handed.hold),
                    Err(error) if error.is_doubt() && !never_arrived(&error) => {
                        let now = Timestamp::now();
                        store.mark_doubt(batch, k, now)?;
                        (doubt, search) = (Some(now), true);
                        say(&format!("{}; looking for it by its tag {}", error.brief(), chunk.tag));
                        continue;
                    }
                    // What nobody knows the meaning of may have come after the job was taken.
                    Err(error) if error.refusal() == Some(RefusalKind::Other) => {
                        return match find(system, layout, chunk) {
                            Ok(Some(id)) => accepted(store, chunk, id, handed.hold),
                            _ => refused(store, chunk, error),
                        };
                    }
                    Err(error) if !error.is_passing() => return refused(store, chunk, error),
                    Err(error) => {
                        store.mark_untried(batch, k)?;
                        error
                    }
                }
            }
        };
        // Nothing got through as far as anybody can tell, but only a search makes sure.
        search = true;
        if left == 0 {
            return Ok(match doubt {
                Some(_) => Sending::Uncertain(trouble.to_string()),
                None => Sending::OutOfReach(trouble),
            });
        }
        left -= 1;
        say(&format!("{}; trying again in {} s", trouble.brief(), wait.as_secs()));
        std::thread::sleep(wait);
        wait *= 2;
    }
}

/// Since when a submission may have got through without an answer.
fn doubt_of(store: &mut Store, chunk: &ChunkRow) -> Result<Option<Timestamp>, ClientError> {
    if chunk.tried.is_some_and(|tried| chunk.doubt.is_none_or(|doubt| doubt < tried)) {
        // A process that is gone made this try. Its command may have lived until now: it held the lock.
        let now = Timestamp::now();
        store.mark_doubt(chunk.batch, chunk.k, now)?;
        return Ok(Some(now));
    }
    Ok(chunk.doubt)
}

/// Looks for a submission that may have got through. `None`: it has not.
fn look_for(
    store: &mut Store,
    layout: &Layout,
    system: &System,
    chunk: &ChunkRow,
    doubt: Option<Timestamp>,
) -> Result<Option<Sending>, ClientError> {
    match find(system, layout, chunk)? {
        Some(id) => accepted(store, chunk, id, HandedOver::of(chunk).hold).map(Some),
        None => Ok(doubt.and_then(|doubt| still_in_doubt(system, chunk, doubt)).map(Sending::Uncertain)),
    }
}

/// What became of a submission that was tried and that could not be made again. `None`: nothing got through.
pub(crate) fn what_came_of(
    store: &mut Store,
    layout: &Layout,
    system: &System,
    chunk: &ChunkRow,
) -> Result<Option<Sending>, ClientError> {
    let doubt = doubt_of(store, chunk)?;
    look_for(store, layout, system, chunk, doubt)
}

/// The lines at the head of a script that begin with `#`.
pub(crate) fn head_lines(script: &[u8]) -> Vec<String> {
    let lines = script.split(|&b| b == b'\n').take_while(|line| line.starts_with(b"#"));
    lines.map(|line| String::from_utf8_lossy(line).into_owned()).collect()
}

/// Runs the submit command once.
fn answer(system: &System, invocation: &Invocation) -> Result<RemoteId, SystemError> {
    let output = system.submit(invocation)?;
    // Killed by somebody: whatever it had printed by then, it may have been accepted.
    let killed = match output.status {
        ExitStatus::Signal(_) => true,
        ExitStatus::Exit(code) => [124, 137, 143].contains(&code) && output.stdout.is_empty(),
    };
    let (system_name, command) = (system.name().to_owned(), invocation.command_line());
    match system.read(invocation, &output) {
        Ok(reading) => submitted(reading).ok_or(SystemError::Odd { system: system_name, command }),
        Err(error) if killed && error.refusal().is_none_or(|kind| kind == RefusalKind::Other) => {
            let tail = &output.stderr[output.stderr.len().saturating_sub(2_000)..];
            let stderr = String::from_utf8_lossy(tail).into_owned();
            Err(SystemError::Killed { system: system_name, command, stderr })
        }
        Err(error) => Err(error),
    }
}

fn accepted(store: &mut Store, chunk: &ChunkRow, id: RemoteId, held: bool) -> Result<Sending, ClientError> {
    store.mark_sent(chunk.batch, chunk.k, &id, Timestamp::now(), held)?;
    Ok(Sending::Accepted(id))
}

/// Why a submission that was looked for and not found is not made again yet.
fn still_in_doubt(system: &System, chunk: &ChunkRow, doubt: Timestamp) -> Option<String> {
    let since = Timestamp::now().since(doubt);
    let text = format!(
        "{} gave no answer to the submission, and nothing with the tag {} is found yet",
        system.name(),
        chunk.tag
    );
    if since < DOUBT {
        return Some(format!("{text}; it is made again a minute after the try at the earliest"));
    }
    let has_accounting = system.has_accounting();
    // A queue forgets what has ended: without accounting nobody can tell any more whether it ran.
    (!has_accounting && since > FORGOTTEN).then(|| {
        format!("{text}; without accounting it may have run since: look, and `cluster cancel {0}` or submit it anew", chunk.batch)
    })
}

/// Whether nobody wants it any more.
pub(crate) fn all_cancelled(store: &mut Store, chunk: &ChunkRow) -> Result<bool, ClientError> {
    if store.is_untouched(chunk.batch)? {
        return Ok(false);
    }
    let query = JobQuery { jobs: Some(chunk.jobs.clone()), limit: u32::MAX, ..JobQuery::default() };
    let jobs = store.jobs(chunk.batch, &query)?;
    Ok(jobs.iter().all(|job| job.cancel_requested.is_some() || job.state.is_end()))
}

/// Ends a submission that was cancelled before it got through.
pub(crate) fn cancelled(store: &mut Store, chunk: &ChunkRow) -> Result<Sending, ClientError> {
    store.mark_refused(chunk.batch, chunk.k, Cause::Cancelled, UNSENT, Timestamp::now())?;
    Ok(Sending::Never(UNSENT.to_owned()))
}

/// What a chained submission follows.
enum Followed {
    Nothing,
    NotSent,
    Array(RemoteDependency),
}

/// The nearest submission before this one that runs, or is to run: those that were refused are passed over. One
/// that is over keeps nothing back, and the scheduler may have forgotten it.
fn followed(store: &mut Store, chunk: &ChunkRow) -> Result<Followed, ClientError> {
    let chunks = store.chunks(chunk.batch)?;
    let mut live = store.indices_in(chunk.batch, &LIVE)?;
    for one in chunks.iter().rev() {
        if one.k >= chunk.k {
            // Jobs that were sent again since are live in another array.
            live = live.difference(&one.jobs);
            continue;
        }
        let runs = !one.jobs.intersection(&live).is_empty();
        live = live.difference(&one.jobs);
        match &one.remote {
            Some(_) if !runs => return Ok(Followed::Nothing),
            Some(id) => {
                return Ok(Followed::Array(RemoteDependency {
                    kind: cluster_core::DependencyKind::AfterAny,
                    id: id.clone(),
                    array: one.array,
                    elementwise: false,
                    gated: false,
                }));
            }
            None if !one.over => return Ok(Followed::NotSent),
            None if !HandedOver::of(one).follows => return Ok(Followed::Nothing),
            None => {}
        }
    }
    Ok(Followed::Nothing)
}

/// Whether nobody was there to take the call: then it has not got through for certain. A time-out of a call
/// that was begun says nothing.
pub(crate) fn never_arrived(error: &SystemError) -> bool {
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
