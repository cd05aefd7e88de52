//! One question of all processes of a user: a file with the newest answer, a lock that names the one who
//! asks, and a file with what became of the last questions.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cluster_core::Timestamp;
use serde::{Deserialize, Serialize};

use super::error::SystemError;
use super::recording::Snapshot;

/// So many begin times of good answers are kept.
const KEPT: usize = 8;

/// How a waiter looks whether the lock is free.
const LOOK: Duration = Duration::from_millis(20);

/// What became of the last questions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// When the last good queries of the queue began, at most 8, the oldest first. One with a record that
    /// could not be read is not among them: it proves nobody's absence.
    pub queries: Vec<Timestamp>,
    /// The same for answers of the accounting.
    pub accounting: Vec<Timestamp>,
    /// The last query of the queue, where it failed.
    pub failure: Option<Failure>,
}

/// A question without an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Why.
    pub reason: String,
    /// When it was asked.
    pub at: Timestamp,
    /// When it was known that there is none.
    pub ended: Timestamp,
    /// When it may be asked again.
    pub again: Timestamp,
    /// How many in a row.
    pub count: u32,
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct State {
    pub(super) good: Vec<Timestamp>,
    pub(super) failure: Option<Failure>,
}

/// The files of one question.
pub(super) struct Shared {
    system: String,
    /// Their path without the ending.
    base: PathBuf,
    /// The first pause after a failure, and the longest.
    pauses: (Duration, Duration),
    /// How long somebody else may ask.
    patience: Duration,
}

impl Shared {
    pub(super) fn new(system: &str, base: PathBuf, poll: Duration, patience: Duration) -> Self {
        Self { system: system.to_owned(), base, pauses: (poll / 5, poll * 6), patience }
    }

    pub(super) fn path(&self, ending: &str) -> PathBuf {
        let mut path = self.base.clone().into_os_string();
        path.push(ending);
        path.into()
    }

    /// The newest answer, where all of it was asked for at `since` or later.
    fn answer(&self, since: Timestamp, now: Timestamp) -> Result<Option<Vec<Snapshot>>, SystemError> {
        let path = self.path(".snapshot");
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(SystemError::file("read", path, error)),
        };
        // One from the future is of before the clock was set back.
        let fresh = |one: &Snapshot| one.began >= since && one.began <= now;
        Ok(Snapshot::read_all(&bytes).filter(|all| !all.is_empty() && all.iter().all(fresh)))
    }

    pub(super) fn state(&self) -> State {
        // Missing, or written by a version that we do not know: nothing is known.
        let read = fs::read(self.path(".state")).ok();
        read.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
    }

    fn set_state(&self, state: &State) -> Result<(), SystemError> {
        replace(&self.path(".state"), |file| Ok(serde_json::to_writer(file, state)?))
    }

    /// The answer of `since` or later: the one that is there, else a new one that `ask` gets. `ask` says,
    /// beside the answer, whether it is wholly good. For the rest see [`once`](Self::once).
    pub(super) fn get(
        &self,
        since: Timestamp,
        polite: bool,
        ask: impl FnOnce() -> Result<(Vec<Snapshot>, bool), SystemError>,
    ) -> Result<Vec<Snapshot>, SystemError> {
        let path = self.path(".snapshot");
        let keep = |answer: &Vec<Snapshot>| {
            // What nobody can take over is not kept.
            if since == Timestamp(i64::MAX) {
                return Ok(());
            }
            replace(&path, |file| answer.iter().try_for_each(|one| one.write(file)))
        };
        self.once(polite, |now| self.answer(since, now), ask, keep)
    }

    /// The answer that is `known`, else a new one that `ask` gets and `keep` keeps. Among all processes one
    /// asks at a time; the others take what it got, or its failure. A `polite` caller does not ask before the
    /// pause after the last failure is over.
    pub(super) fn once<T>(
        &self,
        polite: bool,
        known: impl Fn(Timestamp) -> Result<Option<T>, SystemError>,
        ask: impl FnOnce() -> Result<(T, bool), SystemError>,
        keep: impl FnOnce(&T) -> Result<(), SystemError>,
    ) -> Result<T, SystemError> {
        let entered = Timestamp::now();
        if let Some(answer) = known(entered)? {
            return Ok(answer);
        }
        if polite {
            self.back_off(entered)?;
        }
        let _lock = self.lock()?;
        let now = Timestamp::now();
        if let Some(answer) = known(now)? {
            return Ok(answer);
        }
        let mut state = self.state();
        if let Some(failure) =
            state.failure.as_ref().filter(|failure| failure.at >= entered && failure.at <= now)
        {
            return Err(SystemError::Shared(failure.reason.clone()));
        }
        if polite {
            self.back_off(now)?;
        }
        match ask() {
            Ok((answer, good)) => {
                keep(&answer)?;
                if good {
                    state.good.push(now);
                    let surplus = state.good.len().saturating_sub(KEPT);
                    state.good.drain(..surplus);
                }
                state.failure = None;
                self.set_state(&state)?;
                Ok(answer)
            }
            Err(error) => {
                let count = state.failure.map_or(0, |failure| failure.count).saturating_add(1);
                let ended = Timestamp::now();
                let again = ended.after(self.pause(count));
                state.failure = Some(Failure { reason: error.to_string(), at: now, ended, again, count });
                self.set_state(&state)?;
                Err(error)
            }
        }
    }

    fn back_off(&self, now: Timestamp) -> Result<(), SystemError> {
        match self.state().failure {
            Some(Failure { reason, at, ended, again, .. }) if ended <= now && again > now => {
                let (ago, wait) = (now.since(ended), again.since(now));
                Err(SystemError::BackingOff { reason, at, ago, again, wait })
            }
            _ => Ok(()),
        }
    }

    /// The pause after so many failures in a row: doubling, and a quarter more or less by chance, so that
    /// systems that failed together are not asked together.
    fn pause(&self, count: u32) -> Duration {
        let (first, longest) = self.pauses;
        let doubled = first.saturating_mul(1_u32.checked_shl(count.saturating_sub(1)).unwrap_or(u32::MAX));
        let chance = f64::from(RandomState::new().build_hasher().finish() as u16) / f64::from(u16::MAX);
        doubled.min(longest).mul_f64(0.75 + chance / 2.0)
    }

    /// The lock of the one who asks. Its holder's end frees it, however it ends.
    fn lock(&self) -> Result<File, SystemError> {
        let path = self.path(".lock");
        let failed = |error| SystemError::file("lock", &path, error);
        let open = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
        let file = open.map_err(failed)?;
        let begin = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) if begin.elapsed() < self.patience => std::thread::sleep(LOOK),
                Err(TryLockError::WouldBlock) => {
                    let (system, waited) = (self.system.clone(), begin.elapsed());
                    return Err(SystemError::Busy { system, waited, lock: path });
                }
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
        }
    }
}

/// Puts a new file in the place of `path`: who reads it sees the old one or the new one, whole.
pub(super) fn replace(
    path: &Path,
    write: impl FnOnce(&mut io::BufWriter<File>) -> io::Result<()>,
) -> Result<(), SystemError> {
    let mut new = path.to_owned().into_os_string();
    new.push(format!(".{}", std::process::id()));
    let new = PathBuf::from(new);
    let open = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&new);
    let written = open.and_then(|file| {
        let mut file = io::BufWriter::new(file);
        write(&mut file)?;
        file.flush()
    });
    written.and_then(|()| fs::rename(&new, path)).map_err(|error| {
        let _ = fs::remove_file(&new);
        SystemError::file("write", path, error)
    })
}

#[cfg(test)]
mod tests {
    use cluster_core::host::Output;
    use cluster_core::state::ExitStatus;

    use super::*;

    fn snapshot(began: Timestamp) -> Snapshot {
        let output = Output { status: ExitStatus::Exit(0), stdout: vec![], stderr: vec![], truncated: false };
        Snapshot { argv: vec!["q".into()], output, began, ended: began }
    }

    fn shared(dir: &Path) -> Shared {
        Shared::new("toy", dir.join("q"), Duration::from_secs(10), Duration::from_millis(30))
    }

    #[test]
    fn an_answer_from_the_future_is_not_believed() {
        let dir = tempfile::tempdir().unwrap();
        let shared = shared(dir.path());
        let (now, hour) = (Timestamp::now(), Duration::from_secs(3600));
        let get =
            |began: Timestamp| shared.get(now, true, || Ok((vec![snapshot(began)], true))).unwrap()[0].began;
        assert_eq!(get(now.after(hour)), now.after(hour));
        assert_eq!(get(now), now);
        assert_eq!(get(now.after(hour)), now, "a good one is kept");
    }

    #[test]
    fn one_who_asks_for_ever_is_named_at_last() {
        let dir = tempfile::tempdir().unwrap();
        let shared = shared(dir.path());
        let held = shared.lock().unwrap();
        let error = shared.get(Timestamp::now(), false, || panic!("the lock is taken")).unwrap_err();
        assert!(matches!(error, SystemError::Busy { .. }) && error.is_passing(), "{error}");
        drop(held);
        shared.get(Timestamp::now(), false, || Ok((vec![snapshot(Timestamp::now())], true))).unwrap();
    }

    #[test]
    fn pauses_double_up_to_six_intervals_and_differ() {
        let dir = tempfile::tempdir().unwrap();
        let shared = shared(dir.path());
        for (count, middle) in [(1, 2.0), (2, 4.0), (4, 16.0), (10, 60.0), (u32::MAX, 60.0)] {
            let pauses: Vec<f64> = (0..20).map(|_| shared.pause(count).as_secs_f64() / middle).collect();
            assert!(pauses.iter().all(|part| (0.74..1.26).contains(part)), "{count}: {pauses:?}");
            assert!(pauses.iter().any(|part| *part != pauses[0]), "{count}: they are alike");
        }
    }

    #[test]
    fn eight_good_ones_are_remembered() {
        let dir = tempfile::tempdir().unwrap();
        let shared = shared(dir.path());
        for good in [true, true, false, true, true, true, true, true, true, true] {
            let begin = Timestamp::now();
            shared.get(begin, false, || Ok((vec![snapshot(Timestamp::now())], good))).unwrap();
        }
        let state = shared.state();
        assert_eq!(state.good.len(), 8);
        assert!(state.good.is_sorted());
    }
}
