//! The own record of a job in one submission, as evidence.

use std::fs;
use std::io;

use cluster_core::life::{Observation, Rank, Seen};
use cluster_core::status_file::{StatusLine, parse};
use cluster_core::{ExitStatus, JobId, JobState, RunNumber, SubmissionNumber, Timestamp};

use cluster_jobsdb::{ChunkRow, JobRow};

use crate::layout::Layout;

/// What the newest run in a status file says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Record {
    /// How many runs of this submission it tells of.
    pub(crate) runs: u32,
    /// When the newest began, and where.
    pub(crate) started: Option<(Timestamp, String)>,
    /// When it ended, with its code, the sizes of its outputs and the signal that the script received.
    pub(crate) ended: Option<Ended>,
    /// The job because of which the gate stopped it, and why.
    pub(crate) stopped: Option<(JobId, String)>,
}

/// An end line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) at: Timestamp,
    pub(crate) code: i32,
    pub(crate) out: u64,
    pub(crate) err: u64,
    pub(crate) signalled: bool,
}

impl Record {
    /// Of a job; one that has none yet is empty.
    pub(crate) fn read(layout: &Layout, job: JobId, k: SubmissionNumber) -> io::Result<Self> {
        match fs::read(layout.job_file(job.batch, job.index, k, "status")) {
            Ok(text) => Ok(Self::of(&text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error),
        }
    }

    /// The text of a status file.
    pub(crate) fn of(text: &[u8]) -> Self {
        let mut record = Self::default();
        for line in parse(text) {
            match line {
                StatusLine::Start { at, host, .. } => {
                    record = Self { runs: record.runs + 1, started: Some((at, host)), ..Self::default() };
                }
                StatusLine::End { at, code, out_bytes, err_bytes, received, .. } => {
                    let signalled = received.is_some();
                    record.ended = Some(Ended { at, code, out: out_bytes, err: err_bytes, signalled });
                }
                StatusLine::Gate { on, why, .. } if why != "unknown" => record.stopped = Some((on, why)),
                StatusLine::Gate { .. } | StatusLine::Other(_) => {}
            }
        }
        record
    }

    /// The same, where it is about the newest run of the job: after a requeue it still tells of the one before,
    /// until the next begins.
    pub(crate) fn of_run(self, chunk: &ChunkRow, job: &JobRow) -> Self {
        let sent_as = chunk.runs.of(job.id.index).unwrap_or(1);
        if self.runs > 0 && job.k == chunk.k && sent_as + self.runs - 1 < job.run {
            return Self { runs: self.runs, ..Self::default() };
        }
        self
    }

    /// Whether it says that the run is over.
    pub(crate) fn is_over(&self) -> bool {
        self.ended.is_some() || self.stopped.is_some()
    }

    /// Whether nothing more needs to be asked: success, or a job that the gate stopped.
    pub(crate) fn is_plain(&self) -> bool {
        self.stopped.is_some() || self.ended.as_ref().is_some_and(|end| end.code == 0 && !end.signalled)
    }

    /// When it ended, as far as it says.
    pub(crate) fn over_at(&self) -> Option<Timestamp> {
        let stopped = self.stopped.is_some().then(|| self.started.as_ref().map(|(at, _)| *at)).flatten();
        self.ended.as_ref().map(|end| end.at).or(stopped)
    }

    /// As observations of `run`.
    pub(crate) fn observations(&self, run: RunNumber) -> Vec<Observation> {
        let seen = |at, seen| Observation { run, rank: Rank::Record, at, seen };
        let mut all = Vec::new();
        if let Some((at, _)) = &self.started {
            all.push(seen(*at, Seen::Alive(JobState::Running)));
        }
        if let Some(end) = &self.ended {
            let status = Some(ExitStatus::Exit(end.code));
            all.push(seen(end.at, Seen::Ended { status, signalled: end.signalled, cause: None }));
        }
        if self.stopped.is_some() {
            let at = self.started.as_ref().map_or(Timestamp(0), |(at, _)| *at);
            all.push(seen(at, Seen::GateStopped));
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_run_counts() {
        let text = b"v1 start 0 10 a 1 7\nv1 end 0 20 1 5 6 -\nv1 start 0 30 b 2 7\n";
        let record = Record::of(text);
        assert_eq!((record.runs, record.is_over()), (2, false));
        assert_eq!(record.started, Some((Timestamp::from_secs(30), "b".to_owned())));
        let ended = [&text[..], b"v1 end 0 40 0 5 6 -\n"].concat();
        assert!(Record::of(&ended).is_plain());
        let signalled = [&text[..], b"v1 end 0 40 0 5 6 TERM\n"].concat();
        assert!(Record::of(&signalled).is_over() && !Record::of(&signalled).is_plain());
    }

    #[test]
    fn a_gate_that_let_through_stopped_nothing() {
        assert!(!Record::of(b"v1 start 0 1 a 1 7\nv1 gate 0 3.1 unknown\n").is_over());
        let stopped = Record::of(b"v1 start 0 1 a 1 7\nv1 gate 0 3.1 failed\n");
        assert_eq!(stopped.stopped, Some((JobId::new(3, 1), "failed".to_owned())));
        assert!(stopped.is_plain());
    }
}
