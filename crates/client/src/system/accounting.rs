//! What the accounting knows of ended jobs: asked by one process at a time, and kept for a while.
//!
//! The file holds the answers of the last questions, the oldest first: of each one line of JSON (version, the
//! ids and the time that were asked for, when, and the length of what follows), then its snapshots.

use std::collections::HashSet;
use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use cluster_core::dialect::RefusalKind;
use cluster_core::host::Invocation;
use cluster_core::{RemoteId, Timestamp};
use serde::{Deserialize, Serialize};

use super::System;
use super::error::SystemError;
use super::recording::Snapshot;
use super::shared::replace;

pub(super) const ACCOUNTING: &str = "accounting";

/// So much of answers is kept, in bytes: whoever needs more asks anew.
const KEPT: usize = 16 << 20;

/// The times that are asked for are whole hours, so that processes that wait for different jobs ask alike.
const HOUR_US: i64 = 3_600_000_000;

/// The answer to one question.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    head: Head,
    snapshots: Vec<Snapshot>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Head {
    v: u32,
    ids: Vec<String>,
    since: Timestamp,
    began: Timestamp,
    bytes: usize,
}

const VERSION: u32 = 1;

impl System {
    /// What the accounting knows of ended jobs: the answers to all command lines that it takes. Empty where
    /// there is no accounting. One process asks at a time, and nobody takes over its answer.
    ///
    /// # Errors
    /// Where one of them failed, and until the next try is due.
    pub fn accounting(&self, ids: &[RemoteId], since: Timestamp) -> Result<Vec<Snapshot>, SystemError> {
        let questions = self.accounting_questions(ids, since);
        let Some(first) = questions.first() else { return Ok(Vec::new()) };
        self.shared(ACCOUNTING, first)?.get(Timestamp(i64::MAX), true, || self.ask_all(&questions))
    }

    /// The same, where an answer will do that another process, or this one, got to a question that began at
    /// most `max_age` ago: only what no such answer was about is asked for. Of many that wait one asks.
    ///
    /// The answers come the oldest first and may hold other jobs too. What an answer lacks may have come to
    /// the accounting since.
    ///
    /// # Errors
    /// Where one of the commands failed, and until the next try is due.
    pub fn accounting_shared(
        &self,
        ids: &[RemoteId],
        since: Timestamp,
        max_age: Duration,
    ) -> Result<Vec<Snapshot>, SystemError> {
        let since = Timestamp(since.0.saturating_sub(since.0.rem_euclid(HOUR_US)));
        let questions = self.accounting_questions(ids, since);
        let Some(first) = questions.first().filter(|_| !ids.is_empty()) else { return Ok(Vec::new()) };
        let shared = self.shared(ACCOUNTING, first)?;
        let path = shared.path(".answers");
        let oldest = Timestamp::now().before(max_age);
        let fresh = |now| -> Result<Vec<Answer>, SystemError> {
            let mut answers = read(&path)?;
            answers.retain(|answer| answer.head.is_good_for(oldest, now));
            Ok(answers)
        };
        let known = |now| {
            let answers = fresh(now)?;
            Ok(missing(&answers, ids, since).is_empty().then_some(answers))
        };
        let ask = || {
            let mut answers = fresh(Timestamp::now())?;
            let missing = missing(&answers, ids, since);
            let questions = self.accounting_questions(&missing, since);
            let began = Timestamp::now();
            let (snapshots, good) = self.ask_all(&questions)?;
            let ids = missing.into_iter().map(|id| id.0).collect();
            answers.push(Answer { head: Head { v: VERSION, ids, since, began, bytes: 0 }, snapshots });
            Ok((answers, good))
        };
        let answers = shared.once(true, known, ask, |answers| write(&path, answers))?;
        let asked: HashSet<&str> = ids.iter().map(|id| id.0.as_str()).collect();
        let wanted = |answer: &Answer| answer.head.ids.iter().any(|id| asked.contains(id.as_str()));
        Ok(answers.into_iter().filter(wanted).flat_map(|answer| answer.snapshots).collect())
    }

    fn accounting_questions(&self, ids: &[RemoteId], since: Timestamp) -> Vec<Invocation> {
        if self.has_accounting() { self.dialect.accounting(ids, self.user(), since) } else { Vec::new() }
    }

    /// The answers, and whether all records of them were understood.
    fn ask_all(&self, questions: &[Invocation]) -> Result<(Vec<Snapshot>, bool), SystemError> {
        let mut answers = Vec::new();
        let mut good = true;
        for question in questions {
            let snapshot = self.record(question)?;
            match snapshot.jobs(self) {
                // From here on it is a scheduler without one.
                Err(error) if error.is_no_accounting() => {
                    self.no_accounting.store(true, Ordering::Relaxed);
                    return Ok((Vec::new(), false));
                }
                Ok(jobs) => {
                    good &= jobs.errors.is_empty();
                    answers.push(snapshot);
                }
                // It answers, and knows none of them.
                Err(error) if error.refusal() == Some(RefusalKind::UnknownJob) => {}
                Err(error) => return Err(error),
            }
        }
        Ok((answers, good))
    }

    /// Whether the accounting answers; false: there is none. What it says is not kept.
    ///
    /// # Errors
    /// Where there should be one, and it does not answer.
    pub fn check_accounting(&self) -> Result<bool, SystemError> {
        let ids = [RemoteId("1".to_owned())];
        let questions = self.accounting_questions(&ids, Timestamp::now());
        for question in &questions {
            match self.record(question)?.jobs(self) {
                Ok(_) => {}
                Err(error) if error.is_no_accounting() => {
                    self.no_accounting.store(true, Ordering::Relaxed);
                    return Ok(false);
                }
                Err(error) if error.refusal() == Some(RefusalKind::UnknownJob) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(!questions.is_empty())
    }
}

impl Head {
    /// One from the future is of before the clock was set back.
    fn is_good_for(&self, oldest: Timestamp, now: Timestamp) -> bool {
        self.began >= oldest && self.began <= now
    }
}

/// The ids that no answer is about.
fn missing(answers: &[Answer], ids: &[RemoteId], since: Timestamp) -> Vec<RemoteId> {
    let far_enough = answers.iter().filter(|answer| answer.head.since <= since);
    let known: HashSet<&str> = far_enough.flat_map(|answer| &answer.head.ids).map(String::as_str).collect();
    ids.iter().filter(|id| !known.contains(id.0.as_str())).cloned().collect()
}

/// The answers in a file; none where it is missing, or not as we write it.
fn read(path: &Path) -> Result<Vec<Answer>, SystemError> {
    match fs::read(path) {
        Ok(bytes) => Ok(parse(&bytes).unwrap_or_default()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(SystemError::file("read", path, error)),
    }
}

fn parse(mut bytes: &[u8]) -> Option<Vec<Answer>> {
    let mut answers = Vec::new();
    while !bytes.is_empty() {
        let line = bytes.iter().position(|&b| b == b'\n')?;
        let head: Head = serde_json::from_slice(bytes.get(..line)?).ok()?;
        if head.v != VERSION {
            return None;
        }
        let (snapshots, rest) = bytes.get(line + 1..)?.split_at_checked(head.bytes)?;
        answers.push(Answer { head: Head { bytes: 0, ..head }, snapshots: Snapshot::read_all(snapshots)? });
        bytes = rest;
    }
    Some(answers)
}

/// The newest answers, as many as may be kept.
fn write(path: &Path, answers: &[Answer]) -> Result<(), SystemError> {
    let failed = |error| SystemError::file("write", path, error);
    let mut kept = Vec::new();
    let mut room = KEPT;
    for answer in answers.iter().rev() {
        let mut body = Vec::new();
        answer.snapshots.iter().try_for_each(|one| one.write(&mut body)).map_err(failed)?;
        let Head { v, ids, since, began, .. } = &answer.head;
        let head = Head { v: *v, ids: ids.clone(), since: *since, began: *began, bytes: body.len() };
        let mut bytes = serde_json::to_vec(&head).map_err(|error| failed(error.into()))?;
        bytes.push(b'\n');
        bytes.append(&mut body);
        match room.checked_sub(bytes.len()) {
            Some(left) => room = left,
            None => break,
        }
        kept.push(bytes);
    }
    replace(path, |file| kept.iter().rev().try_for_each(|bytes| file.write_all(bytes)))
}

#[cfg(test)]
mod tests {
    use cluster_core::host::Output;
    use cluster_core::state::ExitStatus;

    use super::*;

    fn answer(id: &str, text: &[u8]) -> Answer {
        let output =
            Output { status: ExitStatus::Exit(0), stdout: text.to_vec(), stderr: vec![], truncated: false };
        let (began, ended) = (Timestamp(2), Timestamp(3));
        let snapshot = Snapshot { argv: vec!["acct".into()], output, began, ended };
        let head = Head { v: VERSION, ids: vec![id.to_owned()], since: Timestamp(1), began, bytes: 0 };
        Answer { head, snapshots: vec![snapshot] }
    }

    #[test]
    fn what_is_written_is_read_back_and_what_is_not_whole_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        assert_eq!(read(&path).unwrap(), []);
        let none = Answer { snapshots: Vec::new(), ..answer("9", b"") };
        let all = [answer("7", b"{\n\0"), none, answer("8", b"x\n")];
        write(&path, &all).unwrap();
        assert_eq!(read(&path).unwrap(), all);
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        assert_eq!(read(&path).unwrap(), []);
    }

    #[test]
    fn the_oldest_answers_make_room() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        let large = vec![b'x'; KEPT / 2];
        write(&path, &[answer("1", &large), answer("2", &large), answer("3", b"")]).unwrap();
        let kept = read(&path).unwrap();
        let ids: Vec<&String> = kept.iter().flat_map(|answer| &answer.head.ids).collect();
        assert_eq!(ids, ["2", "3"]);
    }
}
