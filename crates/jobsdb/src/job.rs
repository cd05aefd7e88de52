//! One job as the store knows it: its row, or what its batch row says where it has none.

use cluster_core::life::Evidence;
use cluster_core::{Cause, ExitStatus, JobId, JobState, RemoteId, RunNumber, SubmissionNumber, Timestamp};
use serde::Serialize;
use serde::ser::SerializeSeq;
use sqlx::sqlite::SqliteRow;

use crate::columns::{Columns, status_to_number};

/// Where one stream of a job's output lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamPlace {
    /// In a file of its own, so many bytes at the job's end.
    File {
        /// Its size.
        bytes: u64,
    },
    /// In the batch's pack.
    Pack {
        /// Where it begins.
        offset: u64,
        /// How long it is.
        len: u64,
    },
}

/// Where the output of a run lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutputPlace {
    /// The number of the pack, for streams that are in one: that of the submission that made it.
    pub pack: SubmissionNumber,
    /// The standard output.
    pub out: StreamPlace,
    /// The standard error.
    pub err: StreamPlace,
}

/// What a run used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// CPU time of it and its children, user and system.
    pub cpu_us: u64,
    /// The largest resident set.
    pub max_rss_kb: u64,
}

/// A job, with all that is known of its newest run.
#[derive(Debug, Clone, PartialEq)]
pub struct JobRow {
    /// Its id.
    pub id: JobId,
    /// Its state.
    pub state: JobState,
    /// Why it ended; `Some` exactly when it has.
    pub cause: Option<Cause>,
    /// Its exit status, where one was seen.
    pub status: Option<ExitStatus>,
    /// Why it is in this state, in words.
    pub reason: Option<String>,
    /// The higher goes first.
    pub priority: i32,
    /// Its newest submission.
    pub k: SubmissionNumber,
    /// Its newest run, from 1; it may not have started.
    pub run: RunNumber,
    /// When the state became what it is.
    pub changed: Timestamp,
    /// When the run started.
    pub started: Option<Timestamp>,
    /// When it ended; `Some` exactly when it has.
    pub ended: Option<Timestamp>,
    /// Where it ran.
    pub host: Option<String>,
    /// Its process there.
    pub pid: Option<u32>,
    /// The scheduler's id of it.
    pub remote: Option<RemoteId>,
    /// Where its output lies.
    pub output: Option<OutputPlace>,
    /// What it used.
    pub usage: Option<Usage>,
    /// The evidence that its state rests on.
    pub evidence: Option<Evidence>,
    /// When its end was asked for.
    pub cancel_requested: Option<Timestamp>,
    /// When its results were consumed.
    pub collected: Option<Timestamp>,
    /// When its files were removed.
    pub cleaned: Option<Timestamp>,
    /// What the columns `collected` and `cleaned` hold: none is "as the batch", 0 is "not".
    pub(crate) marks: (Option<i64>, Option<i64>),
}

/// A run of a job, the newest or an earlier one.
#[derive(Debug, Clone, PartialEq)]
pub struct RunRow {
    /// The job.
    pub id: JobId,
    /// The run's number over all submissions, from 1.
    pub run: RunNumber,
    /// Its submission.
    pub k: SubmissionNumber,
    /// Its state.
    pub state: JobState,
    /// Why it ended.
    pub cause: Option<Cause>,
    /// Its exit status.
    pub status: Option<ExitStatus>,
    /// Why it is in this state, in words.
    pub reason: Option<String>,
    /// When it started.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// Where it ran.
    pub host: Option<String>,
    /// Its process there.
    pub pid: Option<u32>,
    /// The scheduler's id of it.
    pub remote: Option<RemoteId>,
    /// Where its output lies.
    pub output: Option<OutputPlace>,
    /// What it used.
    pub usage: Option<Usage>,
    /// The evidence that its state rests on.
    pub evidence: Option<Evidence>,
    /// When its end was asked for.
    pub cancel_requested: Option<Timestamp>,
}

/// The columns that [`JobRow::read`] takes, in its order, from `job j` joined to `batch b`.
macro_rules! job_columns {
    () => {
        "j.batch, j.idx, j.state, j.cause, j.cause_arg, j.status, j.reason, j.priority, j.k, j.run, j.changed, \
         j.started, j.ended, j.host, j.pid, j.remote, j.pack, j.out_at, j.out_len, j.err_at, j.err_len, \
         j.cpu_us, j.max_rss_kb, j.evidence, j.cancel_requested, j.collected, j.cleaned"
    };
}
pub(crate) use job_columns;

/// The same from `run j`, where what belongs to the job and not to a run is filled in.
macro_rules! run_columns {
    () => {
        "j.batch, j.idx, j.state, j.cause, j.cause_arg, j.status, j.reason, 0, j.k, j.run, j.changed, \
         j.started, j.ended, j.host, j.pid, j.remote, j.pack, j.out_at, j.out_len, j.err_at, j.err_len, \
         j.cpu_us, j.max_rss_kb, j.evidence, j.cancel_requested, NULL, NULL"
    };
}
pub(crate) use run_columns;

impl JobRow {
    /// Reads the columns of [`job_columns`]; `inherited` are the batch's `collected` and `cleaned`.
    pub(crate) fn read(
        row: &SqliteRow,
        inherited: (Option<Timestamp>, Option<Timestamp>),
    ) -> Result<Self, sqlx::Error> {
        let mut c = Columns::new(row);
        let id = JobId::new(c.number()?, c.number()?);
        let mut job = Self {
            id,
            state: c.state()?,
            cause: c.cause()?,
            status: c.status()?,
            reason: c.opt_text()?,
            priority: c.number()?,
            k: c.number()?,
            run: c.number()?,
            changed: c.time()?,
            started: c.opt_time()?,
            ended: c.opt_time()?,
            host: c.opt_text()?,
            pid: c.opt_number()?,
            remote: c.opt_text()?.map(RemoteId),
            output: {
                let pack = c.opt_number()?;
                let (out_at, out_len) = (c.opt_number()?, c.opt_number()?);
                let (err_at, err_len) = (c.opt_number()?, c.opt_number()?);
                output(pack, (out_at, out_len), (err_at, err_len))
            },
            usage: match (c.opt_number()?, c.opt_number()?) {
                (Some(cpu_us), Some(max_rss_kb)) => Some(Usage { cpu_us, max_rss_kb }),
                _ => None,
            },
            evidence: c.opt_json()?,
            cancel_requested: c.opt_time()?,
            collected: None,
            cleaned: None,
            marks: (c.opt_int()?, c.opt_int()?),
        };
        job.inherit(inherited);
        Ok(job)
    }

    /// Puts `collected` and `cleaned` together from the row's own marks and the batch's.
    pub(crate) fn inherit(&mut self, (collected, cleaned): (Option<Timestamp>, Option<Timestamp>)) {
        let effective = |own: Option<i64>, batch| match own {
            None => batch,
            Some(0) => None,
            Some(at) => Some(Timestamp(at)),
        };
        self.collected = effective(self.marks.0, collected);
        self.cleaned = effective(self.marks.1, cleaned);
    }

    /// Whether the newest run has anything to tell, or is only to come.
    pub(crate) fn has_begun(&self) -> bool {
        self.started.is_some() || self.state.is_end() || self.state.has_started()
    }

    /// The newest run.
    pub fn into_run(self) -> RunRow {
        RunRow {
            id: self.id,
            run: self.run,
            k: self.k,
            state: self.state,
            cause: self.cause,
            status: self.status,
            reason: self.reason,
            started: self.started,
            ended: self.ended,
            host: self.host,
            pid: self.pid,
            remote: self.remote,
            output: self.output,
            usage: self.usage,
            evidence: self.evidence,
            cancel_requested: self.cancel_requested,
        }
    }
}

type OffsetAndLength = (Option<u64>, Option<u64>);

fn output(pack: Option<u32>, out: OffsetAndLength, err: OffsetAndLength) -> Option<OutputPlace> {
    let stream = |(at, len): OffsetAndLength| {
        len.map(|len| match at {
            Some(offset) => StreamPlace::Pack { offset, len },
            None => StreamPlace::File { bytes: len },
        })
    };
    Some(OutputPlace { pack: pack?, out: stream(out)?, err: stream(err)? })
}

impl Serialize for JobRow {
    /// The values of the table's columns as a JSON array, in the order of [`job_columns`].
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let cause = self.cause.map(Cause::to_numbers);
        let place = |stream: StreamPlace| match stream {
            StreamPlace::File { bytes } => (None, bytes),
            StreamPlace::Pack { offset, len } => (Some(offset), len),
        };
        let out = self.output.map(|output| place(output.out));
        let err = self.output.map(|output| place(output.err));
        let evidence = self.evidence.as_ref().map(serde_json::to_string).transpose();
        let mut s = to.serialize_seq(Some(27))?;
        s.serialize_element(&self.id.batch)?;
        s.serialize_element(&self.id.index)?;
        s.serialize_element(&(self.state as u8))?;
        s.serialize_element(&cause.map(|(which, _)| which))?;
        s.serialize_element(&cause.map(|(_, argument)| argument))?;
        s.serialize_element(&self.status.map(status_to_number))?;
        s.serialize_element(&self.reason)?;
        s.serialize_element(&self.priority)?;
        s.serialize_element(&self.k)?;
        s.serialize_element(&self.run)?;
        s.serialize_element(&self.changed)?;
        s.serialize_element(&self.started)?;
        s.serialize_element(&self.ended)?;
        s.serialize_element(&self.host)?;
        s.serialize_element(&self.pid)?;
        s.serialize_element(&self.remote)?;
        s.serialize_element(&self.output.map(|output| output.pack))?;
        s.serialize_element(&out.and_then(|(at, _)| at))?;
        s.serialize_element(&out.map(|(_, len)| len))?;
        s.serialize_element(&err.and_then(|(at, _)| at))?;
        s.serialize_element(&err.map(|(_, len)| len))?;
        s.serialize_element(&self.usage.map(|usage| usage.cpu_us))?;
        s.serialize_element(&self.usage.map(|usage| usage.max_rss_kb))?;
        s.serialize_element(&evidence.map_err(serde::ser::Error::custom)?)?;
        s.serialize_element(&self.cancel_requested)?;
        s.serialize_element(&self.marks.0)?;
        s.serialize_element(&self.marks.1)?;
        s.end()
    }
}
