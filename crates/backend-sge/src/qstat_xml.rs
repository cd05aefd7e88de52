//! `qstat -xml` in its forms: plain, `-r`, `-f`, `-ext`, `-g d`, `-s z`. One pass; rows borrow from the text.

use std::borrow::Cow;

use cluster_core::dialect::{DialectError, Jobs, RangeBudget, Row, Tasks};
use cluster_core::{JobState, MemSize};
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use crate::call::Call;
use crate::lexeme;
use crate::state::letters;
use crate::xml::{position, unescape};

/// Reads the document. A job that cannot be read costs itself alone; a document that breaks off is an error
/// altogether, as what is missing would look like jobs that are gone.
pub(crate) fn read<'t>(call: &Call<'_>, text: &'t str, mem: Option<&str>) -> Result<Jobs<'t>, DialectError> {
    let mut reader = Reader::from_str(text);
    // A job takes some 340 bytes, and more in the longer forms.
    let mut jobs = Jobs { rows: Vec::with_capacity(text.len() / 340), ..Jobs::default() };
    let mut depth = 0_usize;
    let mut queue: Option<&'t str> = None;
    let mut job: Option<Job<'t>> = None;
    // Where the text of the innermost element begins, and what it is.
    let mut content = 0;
    let mut field = Field::Other;
    let mut seen_root = false;
    let mut ranges = RangeBudget::default();
    loop {
        let before = position(&reader);
        match reader.read_event() {
            Ok(Event::Start(start)) => {
                depth += 1;
                content = position(&reader);
                match start.name().as_ref() {
                    "job_list" => job = Some(Job::new(before, depth)),
                    "Queue-List" => queue = None,
                    "job_info" => seen_root = true,
                    name => field = Field::of(name, &start, mem),
                }
            }
            Ok(Event::End(end)) => {
                if let Some(open) = &mut job {
                    if open.depth == depth {
                        open.end = position(&reader);
                        match job.take().map(|job| job.row(text, queue)) {
                            Some(Ok(Some(row))) if ranges.admits(&row.tasks) => jobs.rows.push(row),
                            Some(Ok(Some(_))) => {
                                jobs.error(|| call.syntax(text.as_bytes(), before, "fewer tasks in all"));
                            }
                            Some(Err((at, expected))) => {
                                jobs.error(|| call.syntax(text.as_bytes(), at, expected));
                            }
                            Some(Ok(None)) | None => {}
                        }
                    } else {
                        open.take(field, text.get(content..before).unwrap_or_default(), content);
                    }
                } else if field == Field::QueueName {
                    queue = text.get(content..before);
                }
                if end.name().as_ref() == "Queue-List" {
                    queue = None;
                }
                field = Field::Other;
                depth = depth.saturating_sub(1);
            }
            Ok(Event::Eof) if depth == 0 && seen_root => return Ok(jobs),
            Ok(Event::Eof) => {
                return Err(call.syntax(text.as_bytes(), text.len(), "</job_info>: the answer is cut off"));
            }
            Ok(_) => {}
            Err(error) => {
                let at = usize::try_from(reader.error_position()).unwrap_or(text.len());
                return Err(call.syntax(text.as_bytes(), at, &format!("well-formed XML ({error})")));
            }
        }
    }
}

/// The elements that we use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Number,
    Name,
    FullName,
    Owner,
    State,
    Started,
    Submitted,
    Queue,
    Slots,
    Tasks,
    Master,
    /// What it still waits for.
    Predecessor,
    TimeLimit,
    Mem,
    QueueName,
    Other,
}

impl Field {
    fn of(name: &str, start: &BytesStart<'_>, mem: Option<&str>) -> Self {
        match name {
            "JB_job_number" => Self::Number,
            "JB_name" => Self::Name,
            "full_job_name" => Self::FullName,
            "JB_owner" => Self::Owner,
            "state" => Self::State,
            "JAT_start_time" => Self::Started,
            "JB_submission_time" => Self::Submitted,
            "queue_name" => Self::Queue,
            "slots" => Self::Slots,
            "tasks" => Self::Tasks,
            "master" => Self::Master,
            "predecessor_jobs" | "ad_predecessor_jobs" => Self::Predecessor,
            "hard_request" => match start.try_get_attribute("name").ok().flatten() {
                Some(resource) if *resource.value == *"h_rt" => Self::TimeLimit,
                Some(resource) if mem.is_some_and(|mem| mem == &*resource.value) => Self::Mem,
                _ => Self::Other,
            },
            "name" => Self::QueueName,
            _ => Self::Other,
        }
    }
}

/// One `job_list`, with its texts as they stand there.
struct Job<'t> {
    begin: usize,
    end: usize,
    depth: usize,
    number: &'t str,
    name: &'t str,
    owner: &'t str,
    state: &'t str,
    started: &'t str,
    submitted: &'t str,
    queue: &'t str,
    slots: &'t str,
    tasks: &'t str,
    tasks_at: usize,
    /// Whether `-r` was asked for, which says what a job waits for.
    detailed: bool,
    /// One of the hosts of a parallel job but its first (`-g t`).
    slave: bool,
    predecessors: String,
    time_limit: &'t str,
    mem: &'t str,
}

impl<'t> Job<'t> {
    fn new(begin: usize, depth: usize) -> Self {
        Self {
            begin,
            end: begin,
            depth,
            number: "",
            name: "",
            owner: "",
            state: "",
            started: "",
            submitted: "",
            queue: "",
            slots: "",
            tasks: "",
            tasks_at: begin,
            detailed: false,
            slave: false,
            predecessors: String::new(),
            time_limit: "",
            mem: "",
        }
    }

    fn take(&mut self, field: Field, text: &'t str, at: usize) {
        match field {
            Field::Number => self.number = text,
            Field::Name => self.name = text,
            Field::FullName => (self.name, self.detailed) = (text, true),
            Field::Owner => self.owner = text,
            Field::State => self.state = text,
            Field::Started => self.started = text,
            Field::Submitted => self.submitted = text,
            Field::Queue => self.queue = text,
            Field::Slots => self.slots = text,
            Field::Tasks => (self.tasks, self.tasks_at) = (text, at),
            Field::Master => self.slave = text.trim() == "SLAVE",
            Field::Predecessor => {
                let comma = if self.predecessors.is_empty() { "" } else { "," };
                self.predecessors.push_str(comma);
                self.predecessors.push_str(text);
            }
            Field::TimeLimit => self.time_limit = text,
            Field::Mem => self.mem = text,
            Field::QueueName | Field::Other => {}
        }
    }

    /// The row; none for what only repeats a job. The error is where, and what was expected.
    fn row(self, text: &'t str, queue: Option<&'t str>) -> Result<Option<Row<'t>>, (usize, &'static str)> {
        if self.slave {
            return Ok(None);
        }
        if lexeme::number::<u64>(self.number).is_none() {
            return Err((self.begin, "a job_list with a JB_job_number"));
        }
        let (id, tasks) =
            tasks(self.number, self.tasks).ok_or((self.tasks_at, "a list of tasks, like 3-6:1,8"))?;
        let cores = lexeme::number::<u32>(self.slots);
        let (mut state, mut reason, mut may_be_held) = (letters(self.state), Cow::Borrowed(""), false);
        if state.state == JobState::Held && !state.uncertain && !self.predecessors.is_empty() {
            // Its `h` is that of the dependency, and perhaps a user's as well.
            (state.state, may_be_held) = (JobState::Queued, true);
            reason = Cow::Owned(format!("waits for the end of {}", self.predecessors));
        } else if state.state == JobState::Held && !state.uncertain && !self.detailed {
            reason = Cow::Borrowed("held, or waiting for another job: `qstat -r` tells");
        } else if state.state == JobState::Held && state.uncertain {
            reason = Cow::Borrowed("in error state; `qstat -j` says why, `qmod -cj` clears it");
        }
        let (partition, hosts) = lexeme::queue_instance(if self.queue.is_empty() {
            queue.unwrap_or_default()
        } else {
            self.queue
        });
        let per_slot =
            |size: MemSize| MemSize::from_mb(size.as_mb().saturating_mul(cores.unwrap_or(1).into()));
        Ok(Some(Row {
            id,
            job: Cow::Borrowed(self.number),
            tasks,
            name: unescape(self.name),
            user: unescape(self.owner),
            partition: unescape(partition),
            state: state.state,
            raw_state: unescape(self.state),
            uncertain: state.uncertain,
            may_be_held,
            reason,
            hosts: unescape(hosts),
            cores,
            submitted: lexeme::time(self.submitted),
            started: lexeme::time(self.started),
            time_limit: lexeme::limit(self.time_limit),
            mem: lexeme::mem(self.mem).map(per_slot),
            // That it was is all that is known here; the accounting counts.
            restarts: state.restarted.then_some(1),
            text: text.get(self.begin..self.end).unwrap_or_default(),
            ..Row::default()
        }))
    }
}

/// The id and the tasks of a row: `88`, `88.3`, `88.3-6:1`.
pub(crate) fn tasks<'t>(job: &'t str, tasks: &str) -> Option<(Cow<'t, str>, Tasks)> {
    if tasks.is_empty() {
        return Some((Cow::Borrowed(job), Tasks::Single));
    }
    let id = Cow::Owned(format!("{job}.{tasks}"));
    match lexeme::number(tasks) {
        Some(task) => Some((id, Tasks::One(task))),
        None => Some((id, Tasks::Some(lexeme::tasks(tasks)?))),
    }
}
