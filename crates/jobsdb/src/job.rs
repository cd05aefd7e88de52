//! One job as the store knows it: its row, or what its batch row says where it has none.

use cluster_core::life::Evidence;
use cluster_core::{Cause, ExitStatus, JobId, JobState, RemoteId, RunNumber, SubmissionNumber, Timestamp};
use sqlx::query::Query;
use sqlx::sqlite::{Sqlite, SqliteArguments};

use crate::batch::key;
use crate::columns::{Columns, status_to_number};
use crate::error::StoreError;
use crate::fault::json;

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
    /// Since when its scheduler's queue has not had it, with no end known.
    pub missing_since: Option<Timestamp>,
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

/// The row of `job j` as [`JobRow::read`] takes it.
macro_rules! job_columns {
    () => {
        run_columns!("j.priority", "j.collected", "j.cleaned", "j.missing_since")
    };
}
pub(crate) use job_columns;

/// The same of `run j`: what belongs to the job and not to a run is given, or left out.
macro_rules! run_columns {
    () => {
        run_columns!("0", "NULL", "NULL", "NULL")
    };
    ($priority:literal, $collected:literal, $cleaned:literal, $missing:literal) => {
        packed!(
            "j.batch, char(31), j.idx, char(31), j.state, char(31), j.cause, char(31), j.cause_arg",
            "j.status, char(31), json_quote(j.reason)",
            $priority,
            "j.k, char(31), j.run, char(31), j.changed, char(31), j.started, char(31), j.ended",
            "json_quote(j.host), char(31), j.pid, char(31), json_quote(j.remote)",
            "j.pack, char(31), j.out_at, char(31), j.out_len, char(31), j.err_at, char(31), j.err_len",
            "j.cpu_us, char(31), j.max_rss_kb, char(31), j.evidence, char(31), j.cancel_requested",
            $collected,
            $cleaned,
            $missing,
        )
    };
}
pub(crate) use run_columns;

impl JobRow {
    /// Reads the columns of [`job_columns`]; `inherited` are the batch's `collected` and `cleaned`.
    pub(crate) fn read(
        mut c: Columns<'_>,
        inherited: (Option<Timestamp>, Option<Timestamp>),
    ) -> Result<Self, sqlx::Error> {
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
            marks: (c.opt_number()?, c.opt_number()?),
            missing_since: c.opt_time()?,
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

impl JobRow {
    /// Binds the values of the table's columns, in the order in which it has them.
    pub(crate) fn bind<'q>(
        &self,
        query: Query<'q, Sqlite, SqliteArguments>,
    ) -> Result<Query<'q, Sqlite, SqliteArguments>, StoreError> {
        let cause = self.cause.map(Cause::to_numbers);
        let place = |stream: StreamPlace| match stream {
            StreamPlace::File { bytes } => (None, bytes),
            StreamPlace::Pack { offset, len } => (Some(offset), len),
        };
        let out = self.output.map(|output| place(output.out));
        let err = self.output.map(|output| place(output.err));
        let evidence = self.evidence.as_ref().map(|evidence| json("evidence", evidence)).transpose()?;
        let time = |time: Option<Timestamp>| time.map(|time| time.0);
        Ok(query
            .bind(key(self.id.batch))
            .bind(self.id.index)
            .bind(self.state as u8)
            .bind(cause.map(|(which, _)| which))
            .bind(cause.map(|(_, argument)| argument))
            .bind(self.status.map(status_to_number))
            .bind(self.reason.as_deref())
            .bind(self.priority)
            .bind(self.k)
            .bind(self.run)
            .bind(self.changed.0)
            .bind(time(self.started))
            .bind(time(self.ended))
            .bind(self.host.as_deref())
            .bind(self.pid)
            .bind(self.remote.as_ref().map(|remote| remote.0.as_str()))
            .bind(self.output.map(|output| output.pack))
            .bind(out.and_then(|(at, _)| at).map(number))
            .bind(out.map(|(_, len)| number(len)))
            .bind(err.and_then(|(at, _)| at).map(number))
            .bind(err.map(|(_, len)| number(len)))
            .bind(self.usage.map(|usage| number(usage.cpu_us)))
            .bind(self.usage.map(|usage| number(usage.max_rss_kb)))
            .bind(evidence)
            .bind(time(self.cancel_requested))
            .bind(self.marks.0)
            .bind(self.marks.1)
            .bind(time(self.missing_since)))
    }
}

/// A size as SQLite has it; beyond 8 EiB it is the largest there is.
fn number(size: u64) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}
