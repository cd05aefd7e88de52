//! The JSON of squeue, sacct and sinfo, from version 0.0.38 (Slurm 22.05) on.
//!
//! Later versions write numbers as `{"set":true,"number":1}` and states as lists; both are read. Texts borrow
//! from the output where they have no escapes.

mod ended;
mod queue;
mod value;

use std::borrow::Cow;

use cluster_core::dialect::{DialectError, Jobs, Partition, RangeBudget, Reading, Row, Site, Tasks};
use cluster_core::host::Output;
use cluster_core::{JobState, MemSize};
use serde::Deserialize;
use serde::de::IgnoredAny;

pub(crate) use ended::sacct;
pub(crate) use queue::squeue;

use crate::job_id::task_list;
use crate::state::{Source, state};
use value::{Exit, Key, Num, Text};

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
        line: error.line().max(1),
        // An end right after a line feed is at column 0 to the library.
        column: error.column().max(1),
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
    Ok(Reading::Jobs(Jobs { rows: rows.into_iter().map(Row::into_owned).collect(), errors }))
}

/// The rows of a list; a job without an id is an error of its own.
fn rows<'t, J>(command: &str, list: Option<Vec<J>>, row: fn(J) -> Option<Row<'t>>) -> Jobs<'t> {
    let list = list.unwrap_or_default();
    let mut jobs = Jobs { rows: Vec::with_capacity(list.len()), errors: Vec::new() };
    let mut ranges = RangeBudget::default();
    for (i, job) in list.into_iter().enumerate() {
        match row(job).filter(|row| ranges.admits(&row.tasks)) {
            Some(row) => jobs.rows.push(row),
            None => jobs.error(|| no_id(command, i)),
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
    row.may_be_held = row.state == JobState::Queued && crate::state::may_be_held(row.reason.as_bytes());
    crate::row::settle(row, exit.0, source, ran);
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
