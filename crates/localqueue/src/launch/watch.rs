//! Watching one process to its end: its streams, its time limit, and whoever asks for its end.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, kill_process_group, pidfd_open, waitid,
};

use super::stream::Stream;
use super::{Job, Watched};
use crate::submission::{SLOW, Settings};
use crate::sys;

/// A job that runs this long is reported as running.
const WORTH_REPORTING: Duration = Duration::from_millis(20);
/// In this time the streams of a job are not looked at. A job that ends by then is drained at its end, and
/// its closing streams wake nobody; one that has filled its pipes waits no longer than this for us.
const NOT_LISTENING: Duration = Duration::from_millis(3);
/// How often we look where the kernel has no pidfd (before Linux 5.3).
const WITHOUT_PIDFD: Duration = Duration::from_millis(10);

/// Waits for the end of `pid`, the leader of its process group, draining `streams`; `slow` is called
/// once when it has run half a second.
pub(crate) fn watch(
    job: &mut Job<'_>,
    settings: &Settings,
    pid: Pid,
    streams: &mut [Stream],
    mut slow: impl FnMut(&mut [Stream]),
) -> Watched {
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).ok();
    let number = pid.as_raw_nonzero().get() as u32;
    let mut watched = Watched { pid: number, ..Watched::default() };
    let limit = settings.time_limit.and_then(|limit| job.began.checked_add(limit));
    let mut kill_at: Option<Instant> = None;
    let mut reported = false;
    let mut was_slow = false;
    loop {
        let now = Instant::now();
        let age = now.duration_since(job.began);
        if !reported && age >= WORTH_REPORTING {
            reported = true;
            job.report_running(number);
        }
        if !was_slow && age >= SLOW {
            was_slow = true;
            slow(streams);
        }
        if limit.is_some_and(|limit| now >= limit) && !watched.timed_out && kill_at.is_none() {
            watched.timed_out = true;
            kill_at = Some(end_group(pid, 15, now + settings.grace));
        }
        if kill_at.is_some_and(|at| now >= at) {
            // Again and again, a second apart: a group that is just forking may miss one.
            kill_at = Some(end_group(pid, 9, now + Duration::from_secs(1)));
        }
        let listening = age >= NOT_LISTENING;
        let next = [
            (!listening && !streams.is_empty()).then(|| job.began + NOT_LISTENING),
            (!reported).then(|| job.began + WORTH_REPORTING),
            (!was_slow).then(|| job.began + SLOW),
            limit.filter(|_| !watched.timed_out),
            kill_at,
            pidfd.is_none().then(|| now + WITHOUT_PIDFD),
        ];
        let wake = next.into_iter().flatten().min();
        let heard = if listening { &mut *streams } else { &mut [] };
        if wait(job, pidfd.as_ref(), heard, wake.map(|at| at.saturating_duration_since(now))) {
            break;
        }
        if pidfd.is_none() && has_ended(pid) {
            break;
        }
        if let Some(signal) = job.control.take() {
            watched.cancelled = true;
            kill_at = Some(end_group(pid, signal, Instant::now() + settings.grace));
        }
    }
    // What it left in its group ends with it; the group's number is ours until the leader is reaped.
    let _ = kill_process_group(pid, Signal::KILL);
    if let Ok((status, usage)) = sys::reap(pid.as_raw_nonzero().get()) {
        watched.status = Some(status);
        watched.usage = usage;
    }
    for stream in streams {
        stream.finish(&mut job.slot.scratch);
    }
    watched
}

/// Sends `signal` (and CONT, for a stopped one) and gives the time at which KILL follows.
fn end_group(pid: Pid, signal: i32, then: Instant) -> Instant {
    let signal = Signal::from_named_raw(signal).unwrap_or(Signal::TERM);
    let _ = kill_process_group(pid, signal);
    let _ = kill_process_group(pid, Signal::CONT);
    then
}

fn has_ended(pid: Pid) -> bool {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
    matches!(waitid(WaitId::Pid(pid), options), Ok(Some(_)) | Err(_))
}

/// Waits for anything, takes what the streams have, and says whether the process has ended.
fn wait(
    job: &mut Job<'_>,
    pidfd: Option<&OwnedFd>,
    streams: &mut [Stream],
    timeout: Option<Duration>,
) -> bool {
    let timeout = timeout.and_then(|left| Timespec::try_from(left).ok());
    // The bell first, then the process, then the streams that are open.
    let mut ready = [false; 2];
    let mut process = false;
    let bell;
    {
        let mut fds = Vec::with_capacity(4);
        fds.push(PollFd::from_borrowed_fd(job.control.as_fd(), PollFlags::IN));
        if let Some(pidfd) = pidfd {
            fds.push(PollFd::from_borrowed_fd(pidfd.as_fd(), PollFlags::IN));
        }
        let first = fds.len();
        let mut open = [0; 2];
        for (i, stream) in streams.iter().enumerate().take(2) {
            if let Some(fd) = stream.fd() {
                open[fds.len() - first] = i;
                fds.push(PollFd::from_borrowed_fd(fd, PollFlags::IN));
            }
        }
        if poll(&mut fds, timeout.as_ref()).is_err() {
            return false;
        }
        bell = !fds[0].revents().is_empty();
        if pidfd.is_some() {
            process = !fds[1].revents().is_empty();
        }
        for (place, fd) in fds[first..].iter().enumerate() {
            ready[open[place]] = !fd.revents().is_empty();
        }
    }
    if bell {
        job.control.silence();
    }
    for (stream, ready) in streams.iter_mut().zip(ready) {
        if ready {
            stream.read(&mut job.slot.scratch);
        }
    }
    process
}
