//! The JSON of squeue, sacct and sinfo, from version 0.0.38 (Slurm 22.05) on.
//!
//! Later versions write numbers as `{"set":true,"number":1}` and states as lists; both are read. Texts borrow
//! from the output where they have no escapes.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use cluster_core::dialect::{DialectError, Jobs, Partition, Reading, Row, Site, Tasks};
use cluster_core::host::Output;
use cluster_core::{Cause, ExitStatus, JobState, MemSize, Timestamp, Walltime};
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::job_id::task_list;
use crate::lexeme;
use crate::state::{Source, state};

/// Slurm's numbers for "not set" and "no limit".
const NO_VAL: u64 = 0xffff_fffe;
const INFINITE: u64 = 0xffff_ffff;

/// A number in any of Slurm's forms.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
enum Num {
    #[default]
    Unset,
    Infinite,
    Is(u64),
}

impl Num {
    fn get(self) -> Option<u64> {
        if let Self::Is(n) = self { Some(n) } else { None }
    }

    fn small(self) -> Option<u32> {
        self.get()?.try_into().ok()
    }

    /// Seconds since 1970; 0 is none.
    fn time(self) -> Option<Timestamp> {
        self.get().filter(|n| *n > 0).and_then(|n| i64::try_from(n).ok()).map(Timestamp::from_secs)
    }

    /// A limit in minutes.
    fn minutes(self) -> Option<Walltime> {
        match self {
            Self::Unset => None,
            Self::Infinite => Some(Walltime::UNLIMITED),
            Self::Is(n) => Walltime::try_from_secs(n.checked_mul(60)?),
        }
    }
}

impl<'de> Deserialize<'de> for Num {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Numbers;
        impl<'de> Visitor<'de> for Numbers {
            type Value = Num;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, null, or a number with `set`")
            }
            fn visit_u64<E>(self, n: u64) -> Result<Num, E> {
                Ok(match n {
                    NO_VAL => Num::Unset,
                    INFINITE => Num::Infinite,
                    n => Num::Is(n),
                })
            }
            fn visit_i64<E>(self, n: i64) -> Result<Num, E> {
                Ok(u64::try_from(n).map_or(Num::Unset, Num::Is))
            }
            fn visit_f64<E>(self, _: f64) -> Result<Num, E> {
                Ok(Num::Unset)
            }
            fn visit_bool<E>(self, _: bool) -> Result<Num, E> {
                Ok(Num::Unset)
            }
            fn visit_str<E>(self, text: &str) -> Result<Num, E> {
                Ok(lexeme::number(text.as_bytes()).map_or(Num::Unset, Num::Is))
            }
            fn visit_unit<E>(self) -> Result<Num, E> {
                Ok(Num::Unset)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Num, A::Error> {
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Num::Unset)
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Num, A::Error> {
                let (mut set, mut infinite, mut number) = (true, false, Num::Unset);
                while let Some(key) = map.next_key::<Key<'de>>()? {
                    match &*key.0 {
                        "set" => set = map.next_value()?,
                        "infinite" => infinite = map.next_value()?,
                        "number" => number = map.next_value()?,
                        _ => drop(map.next_value::<IgnoredAny>()?),
                    }
                }
                Ok(if infinite {
                    Num::Infinite
                } else if set {
                    number
                } else {
                    Num::Unset
                })
            }
        }
        from.deserialize_any(Numbers)
    }
}

/// A key or a text, borrowed where it can be.
#[derive(Debug, Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

/// A text; null and other types are the empty text, of a list the last item that is no flag of its own.
#[derive(Debug, Clone, Default, PartialEq)]
struct Text<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Texts<'a>(PhantomData<&'a ()>);
        impl<'de: 'a, 'a> Visitor<'de> for Texts<'a> {
            type Value = Text<'a>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'a>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Text<'a>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
            fn visit_unit<E>(self) -> Result<Text<'a>, E> {
                Ok(Text::default())
            }
            fn visit_bool<E>(self, _: bool) -> Result<Text<'a>, E> {
                Ok(Text::default())
            }
            fn visit_u64<E>(self, n: u64) -> Result<Text<'a>, E> {
                Ok(Text(Cow::Owned(n.to_string())))
            }
            fn visit_i64<E>(self, n: i64) -> Result<Text<'a>, E> {
                Ok(Text(Cow::Owned(n.to_string())))
            }
            fn visit_f64<E>(self, _: f64) -> Result<Text<'a>, E> {
                Ok(Text::default())
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Text<'a>, A::Error> {
                let mut last = Text::default();
                while let Some(text) = list.next_element::<Text<'a>>()? {
                    last = text;
                }
                Ok(last)
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Text<'a>, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Text::default())
            }
        }
        from.deserialize_any(Texts(PhantomData))
    }
}

impl<'a> Text<'a> {
    /// The text, with "None" as nothing.
    fn or_nothing(self) -> Cow<'a, str> {
        if lexeme::is_unset(self.0.as_bytes()) { Cow::Borrowed("") } else { self.0 }
    }
}

/// A wait status as a number, or taken apart: `{"status":["SIGNALED"],"return_code":0,"signal":{"id":11}}`.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Exit(Option<(u32, u32)>);

impl<'de> Deserialize<'de> for Exit {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(default)]
        #[derive(Default)]
        struct Parts {
            return_code: Num,
            signal: Option<Signal>,
        }
        #[derive(Deserialize, Default)]
        #[serde(default)]
        struct Signal {
            #[serde(alias = "signal_id")]
            id: Num,
        }
        struct Exits;
        impl<'de> Visitor<'de> for Exits {
            type Value = Exit;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a wait status")
            }
            fn visit_u64<E>(self, n: u64) -> Result<Exit, E> {
                Ok(Exit(lexeme::wait_status(n.to_string().as_bytes())))
            }
            fn visit_i64<E>(self, _: i64) -> Result<Exit, E> {
                Ok(Exit(None))
            }
            fn visit_unit<E>(self) -> Result<Exit, E> {
                Ok(Exit(None))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Exit, A::Error> {
                let parts = Parts::deserialize(serde::de::value::MapAccessDeserializer::new(map))?;
                let signal = parts.signal.and_then(|signal| signal.id.small()).unwrap_or(0);
                Ok(Exit(Some((parts.return_code.small().unwrap_or(0), signal))))
            }
        }
        from.deserialize_any(Exits)
    }
}

/// An answer: what it is about, and what went wrong. With a dead controller squeue ends with 0 and says so
/// here alone.
#[derive(Deserialize)]
struct Answer<'a, J> {
    jobs: Option<Vec<J>>,
    #[serde(borrow)]
    nodes: Option<Vec<Node<'a>>>,
    #[serde(default, borrow)]
    errors: Vec<Complaint<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Complaint<'a> {
    #[serde(borrow)]
    description: Text<'a>,
    #[serde(borrow)]
    error: Text<'a>,
    #[serde(borrow)]
    source: Text<'a>,
}

/// The whole answer; an error of Slurm's or of the text is one here.
fn answer<'t, J: Deserialize<'t>>(
    command: &str,
    text: &'t str,
    output: &Output,
) -> Result<Answer<'t, J>, DialectError> {
    let answer: Answer<'t, J> = serde_json::from_str(text).map_err(|error| DialectError::Syntax {
        command: command.to_owned(),
        line: error.line(),
        column: error.column(),
        expected: error.to_string(),
        found: at(text.as_bytes(), error.line(), error.column()),
    })?;
    if let Some(first) = answer.errors.first() {
        let said = [&first.source.0, &first.description.0, &first.error.0];
        let said: Vec<&str> = said.into_iter().map(|text| &**text).filter(|text| !text.is_empty()).collect();
        return Err(DialectError::Unreachable {
            command: command.to_owned(),
            code: output.status.code(),
            stderr: DialectError::tail(said.join(": ").as_bytes()),
        });
    }
    Ok(answer)
}

/// The text at a place.
fn at(text: &[u8], line: usize, column: usize) -> String {
    let line = text.split(|&b| b == b'\n').nth(line.saturating_sub(1)).unwrap_or_default();
    let from = column.saturating_sub(1).min(line.len());
    String::from_utf8_lossy(&line[from..line.len().min(from + 60)]).into_owned()
}

#[derive(Deserialize)]
struct QueueJob<'a> {
    job_id: Num,
    #[serde(default)]
    array_job_id: Num,
    #[serde(default)]
    array_task_id: Num,
    #[serde(default, borrow)]
    array_task_string: Text<'a>,
    #[serde(default)]
    array_max_tasks: Num,
    #[serde(borrow)]
    job_state: Text<'a>,
    #[serde(default, borrow)]
    state_reason: Text<'a>,
    #[serde(default, borrow)]
    name: Text<'a>,
    #[serde(default, borrow)]
    user_name: Text<'a>,
    #[serde(default, borrow)]
    partition: Text<'a>,
    #[serde(default, borrow)]
    nodes: Text<'a>,
    #[serde(default)]
    node_count: Num,
    #[serde(default)]
    cpus: Num,
    #[serde(default)]
    restart_cnt: Num,
    #[serde(default)]
    exit_code: Exit,
    #[serde(default)]
    time_limit: Num,
    #[serde(default)]
    submit_time: Num,
    #[serde(default)]
    start_time: Num,
    #[serde(default)]
    end_time: Num,
    #[serde(default, borrow)]
    tres_req_str: Text<'a>,
    #[serde(default, borrow)]
    tres_alloc_str: Text<'a>,
    #[serde(default, borrow)]
    comment: Text<'a>,
}

/// Reads `squeue --json`.
pub(crate) fn squeue(output: &Output) -> Result<Reading<'_>, DialectError> {
    jobs(output, |text, output| {
        let answer: Answer<'_, QueueJob<'_>> = answer("squeue --json", text, output)?;
        Ok(rows("squeue --json", answer.jobs, queue_row))
    })
}

/// Reads a list of jobs. Texts borrow from the output; where a name is no UTF-8, rows are made of a copy in
/// which it is replaced.
fn jobs<'o>(
    output: &'o Output,
    read: for<'t> fn(&'t str, &Output) -> Result<Jobs<'t>, DialectError>,
) -> Result<Reading<'o>, DialectError> {
    if let Ok(text) = std::str::from_utf8(&output.stdout) {
        return read(text, output).map(Reading::Jobs);
    }
    let copy = String::from_utf8_lossy(&output.stdout);
    let Jobs { rows, errors } = read(&copy, output)?;
    Ok(Reading::Jobs(Jobs { rows: rows.into_iter().map(owned).collect(), errors }))
}

/// A row that borrows nothing.
fn owned(row: Row<'_>) -> Row<'static> {
    let text = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
    Row {
        id: text(row.id),
        job: text(row.job),
        name: text(row.name),
        user: text(row.user),
        partition: text(row.partition),
        raw_state: text(row.raw_state),
        reason: text(row.reason),
        hosts: text(row.hosts),
        comment: row.comment.map(text),
        text: "",
        tasks: row.tasks,
        throttle: row.throttle,
        state: row.state,
        uncertain: row.uncertain,
        nodes: row.nodes,
        cores: row.cores,
        status: row.status,
        cause: row.cause,
        submitted: row.submitted,
        started: row.started,
        ended: row.ended,
        time_limit: row.time_limit,
        mem: row.mem,
        mem_used: row.mem_used,
        cpu_time: row.cpu_time,
        restarts: row.restarts,
    }
}

/// The rows of a list; a job without an id is an error of its own.
fn rows<'t, J>(command: &str, list: Option<Vec<J>>, row: fn(J) -> Option<Row<'t>>) -> Jobs<'t> {
    let list = list.unwrap_or_default();
    let mut jobs = Jobs { rows: Vec::with_capacity(list.len()), errors: Vec::new() };
    for (i, job) in list.into_iter().enumerate() {
        match row(job) {
            Some(row) => jobs.rows.push(row),
            None if jobs.errors.len() < crate::table::MAX_ERRORS => jobs.errors.push(no_id(command, i)),
            None => {}
        }
    }
    jobs
}

/// Of a record in JSON its number is known, not its line.
fn no_id(command: &str, record: usize) -> DialectError {
    DialectError::Syntax {
        command: format!("{command}, job {} of the list", record + 1),
        line: 0,
        column: 0,
        expected: "a job with its id and its elements".to_owned(),
        found: String::new(),
    }
}

/// Id, job, tasks and throttle of an element, an array or a job.
fn identify<'a>(row: &mut Row<'a>, job: Num, array: Num, element: Num, elements: &str) -> Option<()> {
    let id = job.get().filter(|n| *n > 0)?;
    let array = array.get().filter(|n| *n > 0);
    row.job = Cow::Owned(array.unwrap_or(id).to_string());
    let (text, tasks, throttle) = match (array, element.small(), elements) {
        (Some(_), Some(one), _) => (format!("{}_{one}", row.job), Tasks::One(one), None),
        (Some(_), None, list) if !list.is_empty() => {
            let (tasks, throttle) = task_list(list.as_bytes())?;
            (format!("{}_[{list}]", row.job), tasks, throttle)
        }
        _ => (row.job.clone().into_owned(), Tasks::Single, None),
    };
    (row.id, row.tasks, row.throttle) = (Cow::Owned(text), tasks, throttle);
    Some(())
}

/// State, cause and what follows from them; `ran`: whether it was anywhere.
fn settle(row: &mut Row<'_>, exit: Exit, source: Source, ran: bool) {
    let read = state(row.raw_state.as_bytes(), row.reason.as_bytes(), source);
    (row.state, row.cause, row.uncertain) = (read.state, read.cause, read.uncertain);
    crate::row::settle(row, exit.0, source, ran);
}

fn queue_row(job: QueueJob<'_>) -> Option<Row<'_>> {
    let mut row = Row::default();
    identify(&mut row, job.job_id, job.array_job_id, job.array_task_id, &job.array_task_string.0)?;
    row.throttle = row.throttle.or(job.array_max_tasks.small().filter(|n| *n > 0));
    let ran = !job.nodes.0.is_empty();
    row.raw_state = job.job_state.0;
    row.reason = job.state_reason.or_nothing();
    row.name = job.name.0;
    row.user = job.user_name.0;
    row.partition = job.partition.0;
    row.hosts = job.nodes.or_nothing();
    row.nodes = job.node_count.small();
    row.cores = job.cpus.small();
    row.restarts = job.restart_cnt.small();
    row.time_limit = job.time_limit.minutes();
    (row.submitted, row.started, row.ended) =
        (job.submit_time.time(), job.start_time.time(), job.end_time.time());
    let tres = [&job.tres_alloc_str.0, &job.tres_req_str.0];
    row.mem = tres.into_iter().find_map(|tres| lexeme::tres_memory(tres.as_bytes()));
    row.comment = (!job.comment.0.is_empty()).then_some(job.comment.0);
    settle(&mut row, job.exit_code, Source::Controller, ran);
    Some(row)
}

#[derive(Deserialize)]
struct EndedJob<'a> {
    job_id: Num,
    #[serde(default, borrow)]
    array: Array<'a>,
    #[serde(borrow)]
    state: States<'a>,
    #[serde(default, borrow)]
    name: Text<'a>,
    #[serde(default, borrow)]
    user: Text<'a>,
    #[serde(default, borrow)]
    association: Association<'a>,
    #[serde(default, borrow)]
    partition: Text<'a>,
    #[serde(default, borrow)]
    nodes: Text<'a>,
    #[serde(default)]
    allocation_nodes: Num,
    #[serde(default)]
    required: Required,
    #[serde(default)]
    restart_cnt: Num,
    #[serde(default)]
    exit_code: Exit,
    #[serde(default)]
    time: Times,
    #[serde(default, borrow)]
    tres: Tres<'a>,
    #[serde(default, borrow)]
    comment: Comments<'a>,
    #[serde(default, borrow)]
    steps: Vec<Step<'a>>,
    #[serde(default, borrow)]
    kill_request_user: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Array<'a> {
    job_id: Num,
    task_id: Num,
    #[serde(borrow)]
    task: Text<'a>,
    limits: Limits,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Limits {
    max: Max,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Max {
    running: Running,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Running {
    tasks: Num,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct States<'a> {
    #[serde(borrow)]
    current: Text<'a>,
    #[serde(borrow)]
    reason: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Association<'a> {
    #[serde(borrow)]
    user: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Required {
    #[serde(rename = "CPUs")]
    cpus: Num,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Times {
    submission: Num,
    start: Num,
    end: Num,
    limit: Num,
    total: Total,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Total {
    seconds: Num,
    microseconds: Num,
}

impl Total {
    fn get(&self) -> Option<std::time::Duration> {
        let micros = self.microseconds.get().unwrap_or(0);
        let secs = std::time::Duration::from_secs(self.seconds.get()?);
        Some(secs.saturating_add(std::time::Duration::from_micros(micros)))
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Comments<'a> {
    #[serde(borrow)]
    job: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Tres<'a> {
    #[serde(borrow)]
    allocated: Vec<Resource<'a>>,
    #[serde(borrow)]
    requested: Option<IgnoredOr<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Resource<'a> {
    #[serde(rename = "type", borrow)]
    kind: Text<'a>,
    count: Num,
}

/// Of a job what was asked for is a list, of a step a table; both are left aside.
struct IgnoredOr<'a>(PhantomData<&'a ()>);

impl<'de: 'a, 'a> Deserialize<'de> for IgnoredOr<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(from).map(|_| Self(PhantomData))
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Step<'a> {
    #[serde(borrow)]
    state: Text<'a>,
    #[serde(borrow)]
    kill_request_user: Text<'a>,
    exit_code: Exit,
    time: Times,
    #[serde(borrow)]
    tres: StepTres<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct StepTres<'a> {
    #[serde(borrow)]
    requested: Usage<'a>,
}

/// What a step used stands under `requested`, `consumed` being filled the other way round.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Usage<'a> {
    #[serde(borrow)]
    max: Vec<Resource<'a>>,
}

/// Reads `sacct --json`. Its exit code is 0 for every failure: the state tells success from failure, and
/// signals are true.
pub(crate) fn sacct(output: &Output) -> Result<Reading<'_>, DialectError> {
    jobs(output, |text, output| {
        let answer: Answer<'_, EndedJob<'_>> = answer("sacct --json", text, output)?;
        Ok(rows("sacct --json", answer.jobs, ended_row))
    })
}

fn ended_row(job: EndedJob<'_>) -> Option<Row<'_>> {
    let mut row = Row::default();
    identify(&mut row, job.job_id, job.array.job_id, job.array.task_id, &job.array.task.0)?;
    row.throttle = row.throttle.or(job.array.limits.max.running.tasks.small().filter(|n| *n > 0));
    let amount = |list: &[Resource<'_>], kind: &str| {
        list.iter().find(|resource| resource.kind.0 == kind).and_then(|resource| resource.count.get())
    };
    row.raw_state = job.state.current.0;
    row.reason = job.state.reason.or_nothing();
    row.name = job.name.0;
    row.user = if job.user.0.is_empty() { job.association.user.0 } else { job.user.0 };
    row.partition = job.partition.0;
    row.hosts = job.nodes.or_nothing();
    row.nodes = job.allocation_nodes.small().filter(|n| *n > 0);
    row.cores =
        amount(&job.tres.allocated, "cpu").and_then(|n| n.try_into().ok()).or(job.required.cpus.small());
    row.restarts = job.restart_cnt.small();
    row.time_limit = job.time.limit.minutes();
    (row.submitted, row.started, row.ended) =
        (job.time.submission.time(), job.time.start.time(), job.time.end.time());
    row.mem = amount(&job.tres.allocated, "mem").map(MemSize::from_mb);
    row.comment = (!job.comment.job.0.is_empty()).then_some(job.comment.job.0);
    row.cpu_time = job.time.total.get().filter(|cpu| !cpu.is_zero()).or_else(|| {
        job.steps.iter().filter_map(|step| step.time.total.get()).reduce(std::time::Duration::saturating_add)
    });
    row.mem_used = job
        .steps
        .iter()
        .filter_map(|step| amount(&step.tres.requested.max, "mem"))
        .max()
        .map(MemSize::from_bytes);
    let ran = !row.hosts.is_empty();
    // Who cancelled it stands apart from the state.
    let by_somebody = !job.kill_request_user.0.is_empty();
    let exit = Exit(job.exit_code.0.filter(|(_, signal)| *signal != 0));
    settle(&mut row, exit, Source::Accounting, ran);
    if row.cause == Some(Cause::DependencyNeverSatisfied) && by_somebody {
        row.cause = Some(Cause::Cancelled);
    }
    if row.state == JobState::Succeeded {
        row.status = Some(ExitStatus::Exit(0));
    }
    let killed = job.steps.iter().any(|step| {
        step.state.0 == "CANCELLED"
            && step.kill_request_user.0 == "root"
            && step.exit_code.0.is_some_and(|exit| exit.1 == 9)
    });
    if killed && row.status == Some(ExitStatus::Signal(9)) && row.cause.is_none() && row.mem_used > row.mem {
        (row.cause, row.status) = (Some(Cause::OutOfMemory), None);
    }
    Some(row)
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Node<'a> {
    cpus: Num,
    real_memory: Num,
    #[serde(borrow)]
    partitions: Vec<Key<'a>>,
}

/// Reads `sinfo --json`, which lists nodes with their partitions.
pub(crate) fn sinfo(output: &Output) -> Result<Reading<'_>, DialectError> {
    let text = String::from_utf8_lossy(&output.stdout);
    let answer: Answer<'_, IgnoredAny> = answer("sinfo --json", &text, output)?;
    let Some(nodes) = answer.nodes else {
        return Err(DialectError::NotRead {
            command: "sinfo --json".to_owned(),
            why: "it has no list of nodes; read is `sinfo -O` with delimiters".to_owned(),
        });
    };
    let mut site = Site::default();
    for node in nodes {
        let cores = node.cpus.small();
        let group = Partition {
            nodes: Some(1),
            cores,
            cores_per_node: cores,
            mem_per_node: node.real_memory.get().map(MemSize::from_mb),
            ..Partition::default()
        };
        for name in node.partitions {
            crate::sinfo::add(&mut site, Partition { name: name.0.into_owned(), ..group.clone() });
        }
    }
    Ok(Reading::Site(site))
}
