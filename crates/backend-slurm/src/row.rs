//! From fields to a row: what the columns of squeue and sacct have in common.

use std::borrow::Cow;

use cluster_core::dialect::{Row, Tasks};
use cluster_core::{ExitStatus, JobState, MemSize};

use crate::job_id::{JobId, job_id, task_list};
use crate::lexeme::{self, Per, is_unset};
use crate::state::{self, Source, State, is_state, state};
use crate::table::Shape;

/// What a column says of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    /// `64_[3-100%2]`.
    Id,
    /// The id that each element of an array has for itself; for others the id.
    RawId,
    /// The array.
    ArrayJob,
    /// Its elements: `3-100%2`.
    ArrayTask,
    Name,
    User,
    Partition,
    State,
    Reason,
    /// `(Reason)` or a list of hosts.
    ReasonOrHosts,
    Hosts,
    Nodes,
    Cores,
    Limit,
    Submitted,
    Started,
    Ended,
    /// Memory that was asked for; in MB without a unit.
    Mem,
    /// `cpu=1,mem=200M,node=1`.
    Tres,
    Restarts,
    Comment,
    /// `code:signal`.
    ExitCode,
    /// A wait status as a number: 768 is exit 3.
    WaitStatus,
    /// The most memory used; in bytes without a unit.
    MaxRss,
    Cpu,
    /// Anything else, in one word.
    OtherWord,
    /// Anything else, in any text.
    OtherText,
}

impl Shape for Field {
    fn accepts(self, text: &[u8]) -> bool {
        match self {
            Self::Id => job_id(text).is_some(),
            Self::RawId => job_id(text).is_some_and(|id| id.tasks == Tasks::Single),
            Self::ArrayJob => is_unset(text) || lexeme::number(text).is_some(),
            Self::ArrayTask => is_unset(text) || task_list(text).is_some(),
            Self::State => is_state(text),
            Self::Nodes | Self::Cores | Self::Restarts => is_unset(text) || lexeme::count(text).is_some(),
            Self::Limit => lexeme::limit(text).is_some(),
            Self::Submitted | Self::Started | Self::Ended => lexeme::time(text).is_some(),
            Self::Cpu => lexeme::duration(text).is_some(),
            Self::Mem | Self::MaxRss => is_unset(text) || lexeme::memory(text, 1).is_some(),
            Self::ExitCode => is_unset(text) || lexeme::exit_code(text).is_some(),
            Self::User | Self::Partition => is_word(text),
            Self::Hosts => is_unset(text) || is_word(text),
            Self::Tres | Self::WaitStatus | Self::OtherWord => !text.contains(&b'\n'),
            Self::Name | Self::Reason | Self::ReasonOrHosts | Self::Comment | Self::OtherText => true,
        }
    }

    fn is_free(self) -> bool {
        matches!(self, Self::Name | Self::Reason | Self::ReasonOrHosts | Self::Comment | Self::OtherText)
    }

    fn suffers_from_cutting(self, text: &[u8]) -> bool {
        match self {
            // A known word, or a whole time, is not cut.
            Self::State => state(text, b"", Source::Controller).state == JobState::Unknown,
            Self::Submitted | Self::Started | Self::Ended => text.len() < 19,
            _ => !self.is_free() && !matches!(self, Self::User | Self::Partition | Self::OtherWord),
        }
    }

    fn expected(self) -> &'static str {
        match self {
            Self::Id | Self::RawId | Self::ArrayJob => "a job id, whole",
            Self::ArrayTask => "elements of an array, whole",
            Self::State => "a state",
            Self::Nodes | Self::Cores | Self::Restarts => "a number, whole",
            Self::Limit => "a time limit",
            Self::Submitted | Self::Started | Self::Ended => "a time like 2026-11-20T17:29:34",
            Self::Cpu => "a duration",
            Self::Mem | Self::MaxRss => "an amount of memory",
            Self::ExitCode => "CODE:SIGNAL",
            Self::Hosts | Self::Tres | Self::WaitStatus | Self::OtherWord | Self::User | Self::Partition => {
                "a word, and the end of its column"
            }
            Self::Name | Self::Reason | Self::ReasonOrHosts | Self::Comment | Self::OtherText => {
                "a text, and the end of its column"
            }
        }
    }
}

/// Whether the text has no blanks, no line feeds and no delimiter: then it is one field, not two.
fn is_word(text: &[u8]) -> bool {
    !text.iter().any(|b| b.is_ascii_whitespace() || *b == b'|')
}

/// Bytes as text; what is no UTF-8 (a name cut inside a letter) is replaced.
pub(crate) fn text(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

/// A part of a record as text. The record was checked once; where it is good, its parts need no second look.
fn part<'o>(record: &'o str, bytes: &'o [u8]) -> Cow<'o, str> {
    let from = (bytes.as_ptr() as usize).wrapping_sub(record.as_ptr() as usize);
    match record.get(from..from.saturating_add(bytes.len())) {
        Some(text) if text.as_ptr() == bytes.as_ptr() => Cow::Borrowed(text),
        _ => text(bytes),
    }
}

/// The same, with Slurm's words for nothing as nothing.
fn part_or_nothing<'o>(record: &'o str, bytes: &'o [u8]) -> Cow<'o, str> {
    if is_unset(bytes) { Cow::Borrowed("") } else { part(record, bytes) }
}

/// A record on its way to a row.
pub(crate) struct Draft<'o> {
    pub(crate) row: Row<'o>,
    pub(crate) id: Option<JobId<'o>>,
    raw_id: Option<&'o [u8]>,
    array_job: Option<&'o [u8]>,
    array_task: Option<&'o [u8]>,
    pub(crate) reason: &'o [u8],
    raw_state: &'o [u8],
    pub(crate) exit: Option<(u32, u32)>,
    mem: Option<(MemSize, Per)>,
    tres_mem: Option<MemSize>,
    hosts_known: bool,
}

impl<'o> Draft<'o> {
    pub(crate) fn new(record: &'o [u8]) -> Self {
        Self {
            row: Row { text: std::str::from_utf8(record).unwrap_or_default(), ..Row::default() },
            id: None,
            raw_id: None,
            array_job: None,
            array_task: None,
            reason: b"",
            raw_state: b"",
            exit: None,
            mem: None,
            tres_mem: None,
            hosts_known: false,
        }
    }

    /// Takes one field; `None` where it is not what the column holds.
    pub(crate) fn set(&mut self, field: Field, value: &'o [u8]) -> Option<()> {
        let row = &mut self.row;
        match field {
            Field::Id => {
                self.id = Some(job_id(value)?);
                row.id = part(row.text, value);
            }
            Field::RawId => {
                job_id(value).filter(|id| id.tasks == Tasks::Single)?;
                self.raw_id = Some(value);
            }
            Field::ArrayJob if is_unset(value) => {}
            Field::ArrayJob => {
                lexeme::number(value)?;
                self.array_job = Some(value);
            }
            Field::ArrayTask if is_unset(value) => {}
            Field::ArrayTask => {
                task_list(value)?;
                self.array_task = Some(value);
            }
            Field::Name => row.name = part(row.text, value),
            Field::User | Field::Partition if !is_word(value) => return None,
            Field::User => row.user = part_or_nothing(row.text, value),
            Field::Partition => row.partition = part_or_nothing(row.text, value),
            Field::State => {
                if !is_state(value) {
                    return None;
                }
                // Of `%T` and `%t` the long word is kept.
                if value.len() > self.raw_state.len() {
                    self.raw_state = value;
                    row.raw_state = part(row.text, value);
                }
            }
            Field::Reason => self.reason = value,
            Field::ReasonOrHosts => match value.strip_prefix(b"(").and_then(|v| v.strip_suffix(b")")) {
                Some(reason) => {
                    self.hosts_known = true;
                    if self.reason.is_empty() {
                        self.reason = reason;
                    }
                }
                None => self.set(Field::Hosts, value)?,
            },
            Field::Hosts if !is_unset(value) && !is_word(value) => return None,
            Field::Hosts => {
                self.hosts_known = true;
                row.hosts = part_or_nothing(row.text, value);
            }
            Field::Nodes => row.nodes = optional(value, lexeme::count)?,
            Field::Cores => row.cores = optional(value, lexeme::count)?,
            Field::Restarts => row.restarts = optional(value, lexeme::count)?,
            Field::Limit => row.time_limit = lexeme::limit(value)?,
            Field::Submitted => row.submitted = lexeme::time(value)?,
            Field::Started => row.started = lexeme::time(value)?,
            Field::Ended => row.ended = lexeme::time(value)?,
            Field::Mem => self.mem = optional(value, |v| lexeme::memory(v, 1 << 20))?,
            Field::Tres => self.tres_mem = lexeme::tres_memory(value),
            Field::Comment => {
                row.comment = (!value.is_empty() && value != b"(null)").then(|| part(row.text, value));
            }
            Field::ExitCode => self.exit = optional(value, lexeme::exit_code)?,
            // Of another form it is left out: what it says could be mistaken.
            Field::WaitStatus => self.exit = lexeme::wait_status(value),
            Field::MaxRss => row.mem_used = optional(value, |v| lexeme::memory(v, 1))?.map(|(size, _)| size),
            Field::Cpu => row.cpu_time = lexeme::duration(value)?,
            Field::OtherWord | Field::OtherText => {}
        }
        Some(())
    }

    /// The row; `None` where there is no id.
    pub(crate) fn finish(mut self, source: Source) -> Option<Row<'o>> {
        self.settle_id()?;
        let row = &mut self.row;
        if !is_unset(self.reason) {
            row.reason = part(row.text, self.reason);
        }
        // Without a state nothing follows from the other columns but what they say.
        if self.raw_state.is_empty() {
            if source == Source::Controller {
                (row.started, row.ended) = (None, None);
            }
        } else {
            let read = state(self.raw_state, self.reason, source);
            (row.state, row.cause, row.uncertain) = (read.state, read.cause, read.uncertain);
            row.may_be_held = row.state == JobState::Queued && state::may_be_held(self.reason);
            let ran = !(self.hosts_known && row.hosts.is_empty());
            settle(row, self.exit, source, ran);
        }
        row.mem = self.tres_mem.or_else(|| {
            let (size, per) = self.mem?;
            let times = match per {
                Per::Job => Some(1),
                Per::Core => row.cores,
                Per::Node => row.nodes,
            };
            size.as_mb().checked_mul(u64::from(times?)).map(MemSize::from_mb)
        });
        Some(self.row)
    }

    /// Id, job and tasks, from whichever columns there are.
    fn settle_id(&mut self) -> Option<()> {
        let row = &mut self.row;
        if let Some(id) = self.id.take() {
            row.job = Cow::Borrowed(id.job);
            row.tasks = id.tasks;
            row.throttle = id.throttle;
            return Some(());
        }
        if let (Some(job), Some(tasks)) = (self.array_job, self.array_task) {
            let (tasks_read, throttle) = task_list(tasks)?;
            (row.job, row.throttle) = (text(job), throttle);
            row.id = Cow::Owned(match tasks_read {
                Tasks::One(one) => format!("{}_{one}", row.job),
                _ => format!("{}_[{}]", row.job, text(tasks)),
            });
            row.tasks = tasks_read;
            return Some(());
        }
        let id = self.raw_id.or(self.array_job)?;
        row.id = text(id);
        row.job = text(id);
        Some(())
    }
}

/// What follows from the state: exit status and times. `ran`: whether it was anywhere, as far as is known.
pub(crate) fn settle(row: &mut Row<'_>, exit: Option<(u32, u32)>, source: Source, ran: bool) {
    let read = State { state: row.state, cause: row.cause, uncertain: row.uncertain };
    match exit {
        // The code of a job that was never anywhere is Slurm's own (BadConstraints: 1).
        Some((code, signal)) if ran => {
            row.status = state::status(read, code, signal, source);
            if row.state == JobState::Failed
                && row.cause.is_none()
                && row.status.is_none()
                && (code, signal) != (0, 0)
            {
                row.reason = unsaid_code(code, signal, &row.reason, source);
            }
        }
        Some(_) => {}
        None if row.state == JobState::Succeeded => row.status = Some(ExitStatus::Exit(0)),
        None => {}
    }
    // A start that is only planned, and an end that is only the limit, are none.
    if !row.state.is_end() {
        row.ended = None;
        if !row.state.has_started() {
            row.started = None;
        }
    } else if !ran || (row.cause.is_some() && row.hosts.is_empty() && row.started == row.ended) {
        // The controller writes the end as the start of a job that never started.
        row.started = None;
    }
}

/// A code that cannot be told, for people, before the reason where there is one.
fn unsaid_code<'o>(code: u32, signal: u32, reason: &str, source: Source) -> Cow<'o, str> {
    let said = match (signal, source) {
        (0, Source::Accounting) if code < 128 => format!("exit code {code} or {}", code + 128),
        // Seen where the directory or the output file of the job's own was not to be had (`launch_failures`).
        (53, _) => {
            format!("ExitCode {code}:53 (mostly an output file or a directory that the node does not have)")
        }
        _ => format!("ExitCode {code}:{signal}"),
    };
    Cow::Owned(if reason.is_empty() { said } else { format!("{said}, {reason}") })
}

/// A value, `Some(None)` where it is not set.
fn optional<T>(value: &[u8], read: impl FnOnce(&[u8]) -> Option<T>) -> Option<Option<T>> {
    if is_unset(value) { Some(None) } else { read(value).map(Some) }
}
