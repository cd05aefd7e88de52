//! Jobs: the attributes of one entry become a [`Row`].

use std::borrow::Cow;
use std::mem::take;

use cluster_core::dialect::{DialectError, Jobs, RangeBudget, Row, Tasks};
use cluster_core::{Cause, ExitStatus, JobState, Tag, Timestamp};

use crate::attribute::Attribute;
use crate::checked::Checked;
use crate::entry::{Entries, Kind, Wants};
use crate::exit_status::{self, Evidence};
use crate::flavour::Flavour;
use crate::lexeme::{self, Id};
use crate::state::{self, Meaning};
use crate::{hosts, torque_nodes};

/// Gathers the jobs of an output.
pub(crate) struct JobEntries<'o> {
    flavour: Flavour,
    /// Whether the answer is from OpenPBS's history, which keeps a record of every element that ran.
    history: bool,
    command: String,
    output: Checked<'o>,
    current: Record<'o>,
    /// Whether `current` is a job that has begun.
    open: bool,
    jobs: Jobs<'o>,
    ranges: RangeBudget,
}

/// What is kept of the entry that is being read.
#[derive(Default)]
struct Record<'o> {
    id: Cow<'o, str>,
    name: Cow<'o, str>,
    owner: Cow<'o, str>,
    state: Cow<'o, str>,
    queue: Cow<'o, str>,
    comment: Cow<'o, str>,
    holds: Cow<'o, str>,
    depend: Cow<'o, str>,
    exec_host: Cow<'o, str>,
    array_id: Cow<'o, str>,
    tag: Option<Cow<'o, str>>,
    throttle: Option<u32>,
    /// Whether an element has a record of its own. One that was never started shows its array's.
    own: bool,
    exit: Option<i64>,
    substate: Option<i64>,
    submitted: Option<Timestamp>,
    /// Read where the end is not said otherwise.
    modified: Cow<'o, str>,
    started: Option<Timestamp>,
    ended: Option<Timestamp>,
    history: Option<Timestamp>,
    time_limit: Option<cluster_core::Walltime>,
    mem: Option<cluster_core::MemSize>,
    mem_used: Option<cluster_core::MemSize>,
    cpu_time: Option<std::time::Duration>,
    starts: Option<u32>,
    nodes: Option<u32>,
    cores: Option<u32>,
    node_spec: Cow<'o, str>,
    /// The output could not be copied to its place, whatever the exit status.
    undelivered: bool,
    broken: bool,
}

impl<'o> JobEntries<'o> {
    pub(crate) fn new(flavour: Flavour, history: bool, command: &str, output: &'o [u8]) -> Self {
        // A job takes more than 1,000 bytes in most forms.
        let jobs = Jobs { rows: Vec::with_capacity(output.len() / 1_024), ..Jobs::default() };
        Self {
            flavour,
            history,
            command: command.to_owned(),
            output: Checked::new(output),
            current: Record::default(),
            open: false,
            jobs,
            ranges: RangeBudget::default(),
        }
    }

    pub(crate) fn finish(self) -> Jobs<'o> {
        self.jobs
    }

    fn at(&self, text: &[u8]) -> usize {
        let output = self.output.bytes();
        (text.as_ptr() as usize).saturating_sub(output.as_ptr() as usize).min(output.len())
    }
}

impl<'o> Entries<'o> for JobEntries<'o> {
    fn begin(&mut self, kind: Kind, id: Cow<'o, str>) {
        self.open = kind == Kind::Job;
        if self.open {
            self.current = Record { id, ..Record::default() };
        }
    }

    #[inline]
    fn wants_group(&self, group: &[u8]) -> Wants {
        match group {
            b"" | b"Resource_List" | b"resources_used" => Wants::All,
            b"Variable_List" => Wants::Only(b"CLUSTER_TAG"),
            _ => Wants::Nothing,
        }
    }

    #[inline]
    fn wants(&self, group: &[u8], name: &[u8]) -> bool {
        Attribute::of(group, name).is_some()
    }

    fn attribute(&mut self, group: &[u8], name: &[u8], value: Cow<'o, [u8]>) {
        if let Some(attribute) = Attribute::of(group, name).filter(|_| self.open) {
            let value = self.output.text(value);
            self.current.set(attribute, value);
        }
    }

    fn end(&mut self, text: &'o [u8]) {
        if !take(&mut self.open) {
            return;
        }
        let expected = if self.current.broken {
            "each attribute once: a value with a line feed looks like one, ask with `-w` (Torque: `-x`)"
        } else {
            let text = match self.output.text(Cow::Borrowed(text)) {
                Cow::Borrowed(text) => text,
                Cow::Owned(_) => lexeme::valid_prefix(text),
            };
            let row = self.current.row(self.flavour, self.history, text);
            if let Some(row) = row.filter(|row| self.ranges.admits(&row.tasks)) {
                self.jobs.rows.push(row);
                return;
            }
            "a job with an id like `12.server` or `12[3].server`, and a `job_state`"
        };
        let at = self.at(text);
        self.jobs.error(|| DialectError::syntax(&self.command, self.output.bytes(), at, expected));
    }

    fn broken(&mut self, error: impl FnOnce() -> DialectError) {
        self.open = false;
        self.jobs.error(error);
    }
}

/// Keeps a text; another one for the same attribute breaks the record.
fn keep<'o>(place: &mut Cow<'o, str>, value: Cow<'o, str>, broken: &mut bool) {
    if !place.is_empty() && *place != value {
        *broken = true;
    }
    *place = value;
}

/// Keeps what was read; something else for the same attribute breaks the record.
fn keep_some<T: PartialEq>(place: &mut Option<T>, value: Option<T>, broken: &mut bool) {
    if place.is_some() && *place != value {
        *broken = true;
    }
    *place = value;
}

impl<'o> Record<'o> {
    fn set(&mut self, attribute: Attribute, value: Cow<'o, str>) {
        let broken = &mut self.broken;
        match attribute {
            Attribute::Name => keep(&mut self.name, value, broken),
            Attribute::Owner => keep(&mut self.owner, value, broken),
            Attribute::State => keep(&mut self.state, value, broken),
            Attribute::Queue => keep(&mut self.queue, value, broken),
            Attribute::Comment => keep(&mut self.comment, value, broken),
            Attribute::Holds => keep(&mut self.holds, value, broken),
            Attribute::Depend => keep(&mut self.depend, value, broken),
            Attribute::ExecHost => keep(&mut self.exec_host, value, broken),
            Attribute::ArrayId => keep(&mut self.array_id, value, broken),
            Attribute::Own => self.own = true,
            Attribute::ArrayRequest => {
                self.throttle = value.rsplit_once('%').and_then(|(_, slots)| lexeme::count(slots));
            }
            Attribute::Throttle => keep_some(&mut self.throttle, lexeme::count(&value), broken),
            Attribute::Exit => {
                keep_some(&mut self.exit, lexeme::integer(&value), broken);
            }
            Attribute::Substate => keep_some(&mut self.substate, lexeme::integer(&value), broken),
            Attribute::Submitted => keep_some(&mut self.submitted, lexeme::timestamp(&value), broken),
            Attribute::Modified => keep(&mut self.modified, value, broken),
            Attribute::Started => {
                keep_some(&mut self.started, lexeme::timestamp(&value), broken);
            }
            Attribute::Ended => {
                keep_some(&mut self.ended, lexeme::timestamp(&value), broken);
            }
            Attribute::Stageout => self.undelivered = lexeme::integer(&value) == Some(0),
            Attribute::History => self.history = lexeme::timestamp(&value),
            Attribute::Starts => self.starts = lexeme::count(&value),
            Attribute::Variables => self.tag = tag(&value),
            Attribute::Tag if value.parse::<Tag>().is_ok() => self.tag = Some(value),
            Attribute::Walltime => {
                keep_some(&mut self.time_limit, lexeme::walltime(&value), broken);
            }
            Attribute::Mem => keep_some(&mut self.mem, lexeme::size(&value), broken),
            Attribute::Cores => self.cores = lexeme::count(&value).or(self.cores),
            Attribute::NodeCount => keep_some(&mut self.nodes, lexeme::count(&value), broken),
            Attribute::NodeSpec => keep(&mut self.node_spec, value, broken),
            Attribute::MemUsed => self.mem_used = lexeme::size(&value),
            Attribute::CpuTime => self.cpu_time = lexeme::duration(&value),
            Attribute::Tag => {}
        }
    }

    /// The row; what is kept goes over into it. `None` where there is no id or no state.
    fn row(&mut self, flavour: Flavour, history: bool, text: &'o str) -> Option<Row<'o>> {
        let (job, tasks) = {
            let id = Id::read(&self.id)?;
            let tasks = match id.index {
                None => Tasks::Single,
                Some("") => Tasks::Whole,
                Some(index) => match lexeme::count(index) {
                    Some(index) => Tasks::One(index),
                    None => Tasks::Some(lexeme::indices(index)?),
                },
            };
            let job = match tasks {
                Tasks::Single | Tasks::Whole => self.id.clone(),
                _ if !self.array_id.is_empty() => take(&mut self.array_id),
                _ => Cow::Owned(id.array()),
            };
            (job, tasks)
        };
        if self.state.is_empty() {
            return None;
        }
        let whole = tasks == Tasks::Whole;
        // An element without a record of its own shows its array's attributes: the start and the exit status
        // are not its own then.
        let foreign = whole || (matches!(tasks, Tasks::One(_) | Tasks::Some(_)) && !self.own);
        let meaning = match state::meaning(flavour, &self.state, &self.holds) {
            // The elements of a held array are printed as queued, with the array's hold.
            Meaning::Alive(JobState::Queued, _) if foreign && state::is_held(&self.holds) => {
                Meaning::Alive(JobState::Held, false)
            }
            meaning => meaning,
        };
        let depends = waits_for(&self.depend);
        let mut row = Row {
            name: name(take(&mut self.name), &tasks, flavour),
            throttle: if whole { self.throttle } else { None },
            partition: take(&mut self.queue),
            nodes: self.nodes,
            cores: self
                .cores
                .or_else(|| hosts::total(&self.exec_host))
                .or_else(|| torque_nodes::cores(&self.node_spec)),
            submitted: self.submitted,
            time_limit: self.time_limit,
            mem: self.mem,
            restarts: self.starts.map(|starts| starts.saturating_sub(1)),
            comment: self.tag.take(),
            text,
            ..Row::default()
        };
        row.user = lexeme::part(&self.owner, 0..self.owner.rfind('@').unwrap_or(self.owner.len()));
        if !foreign {
            row.hosts = take(&mut self.exec_host);
            row.mem_used = self.mem_used;
            row.cpu_time = self.cpu_time;
        }
        match meaning {
            Meaning::Alive(state, uncertain) => {
                row.state = state;
                row.uncertain = uncertain;
                if !foreign && state != JobState::Queued && state != JobState::Held {
                    row.started = self.started;
                }
            }
            Meaning::Ended => {
                let never_ran = foreign && !whole;
                let evidence = Evidence {
                    exit: self.exit,
                    substate: self.substate,
                    comment: &self.comment,
                    holds: &self.holds,
                };
                if !foreign {
                    row.started = self.started;
                }
                row.ended = self.ended.or(self.history).or_else(|| lexeme::timestamp(&self.modified));
                let end = exit_status::end(flavour, evidence);
                if whole && flavour == Flavour::Torque {
                    // It says nothing at all of its elements.
                    row.state = JobState::Unknown;
                } else if whole {
                    // The array's exit status is that of the element that ended last, whatever the others
                    // did; only that none has run is told of all of them.
                    let failed = self.exit != Some(0) || self.substate == Some(93);
                    row.state = if failed { JobState::Failed } else { JobState::Succeeded };
                    row.cause = end.cause.filter(|_| self.exit.is_none());
                } else if never_ran && self.exit.is_some() {
                    // The exit status is not its own; the comment is. A server without history keeps no
                    // record of an element that ran, and says "finished" of it and of one that was deleted
                    // before it ran.
                    let said = self.comment.as_ref();
                    (row.state, row.cause) = match said {
                        "Subjob terminated" => (JobState::Failed, Some(Cause::Cancelled)),
                        "Subjob failed" => (JobState::Failed, None),
                        _ if history => (JobState::Failed, Some(Cause::Cancelled)),
                        _ => (JobState::Unknown, None),
                    };
                    row.uncertain = row.state == JobState::Unknown;
                } else {
                    row.status = end.status;
                    row.cause = end.cause;
                    let success = end.cause.is_none() && end.status == Some(ExitStatus::Exit(0));
                    row.state = if success { JobState::Succeeded } else { JobState::Failed };
                }
            }
        }
        if says_start_alone(&self.comment) {
            self.comment = Cow::Borrowed("");
        }
        // What an array began at is no reason for an element of it to wait.
        let reason = !(foreign && self.comment.starts_with("Job Array Began") && !whole);
        row.reason = match self.exit {
            _ if !reason => Cow::Borrowed(""),
            Some(code) if code < 0 && self.comment.is_empty() => Cow::Owned(format!("exit status {code}")),
            Some(_) if self.undelivered && !whole && row.state.is_end() => {
                let but = if self.comment.is_empty() { "" } else { "; " };
                Cow::Owned(format!("{}{but}its files were not delivered", self.comment))
            }
            _ if self.comment.is_empty() && depends && !row.state.is_end() => take(&mut self.depend),
            _ => take(&mut self.comment),
        };
        row.id = take(&mut self.id);
        row.job = job;
        row.tasks = tasks;
        row.raw_state = take(&mut self.state);
        Some(row)
    }
}

/// Torque's comment of a job that runs or ran: `Job started on Fri Nov 20 at 17:31`. It is kept when the job ends,
/// and is a reason for nothing.
fn says_start_alone(comment: &str) -> bool {
    let Some(when) = comment.strip_prefix("Job started on ") else { return false };
    let words: Vec<&str> = when.split_ascii_whitespace().collect();
    matches!(words.as_slice(), [_, _, _, "at", clock] if clock.len() == 5)
}

/// Whether a `depend` has something that this job waits for, beside what waits for it (`before…`).
fn waits_for(depend: &str) -> bool {
    !depend.is_empty()
        && depend.split(',').any(|part| !part.is_empty() && !part.trim_start().starts_with("before"))
}

/// The name of the job. Torque adds the number of the element to it.
fn name<'o>(name: Cow<'o, str>, tasks: &Tasks, flavour: Flavour) -> Cow<'o, str> {
    match tasks {
        Tasks::One(index) if flavour == Flavour::Torque => {
            let end = name.strip_suffix(&format!("-{index}")).map_or(name.len(), str::len);
            lexeme::part(&name, 0..end)
        }
        _ => name,
    }
}

/// The value of `CLUSTER_TAG` in a list of variables. A comma within a value has a backslash before it.
fn tag<'o>(list: &Cow<'o, str>) -> Option<Cow<'o, str>> {
    const NAME: &str = "CLUSTER_TAG=";
    let mut from = 0;
    while let Some(at) = list.get(from..)?.find(NAME) {
        let at = from + at;
        let before = list.as_bytes().get(..at).unwrap_or_default();
        let value = at + NAME.len();
        let end = list.get(value..)?.find(',').map_or(list.len(), |comma| value + comma);
        let begins = match before.split_last() {
            None => true,
            Some((b',', before)) => before.iter().rev().take_while(|b| **b == b'\\').count() % 2 == 0,
            _ => false,
        };
        if begins && list.get(value..end).is_some_and(|text| text.parse::<Tag>().is_ok()) {
            return Some(lexeme::part(list, value..end));
        }
        from = value;
    }
    None
}
