//! `qstat -j … -xml`: one row a job, from its elements and from what the scheduler said about it.

use std::borrow::Cow;
use std::time::Duration;

use cluster_core::dialect::{DialectError, Jobs, Row, Tasks};
use cluster_core::{MemSize, Timestamp};
use quick_xml::Reader;
use quick_xml::events::Event;

use crate::call::Call;
use crate::lexeme;
use crate::qstat_j::{Predecessors, standing};
use crate::xml::{position, unescape};

pub(crate) fn read<'t>(call: &Call<'_>, text: &'t str, mem: Option<&str>) -> Result<Jobs<'t>, DialectError> {
    // Of jobs that are not there it says so in a document of its own (some versions': with an element that
    // has no name).
    if text.contains("<unknown_jobs") && !text.contains("<detailed_job_info") {
        return Ok(Jobs::default());
    }
    let mut reader = Reader::from_str(text);
    let mut path: Vec<&'t str> = Vec::new();
    let mut content = 0;
    let mut document = Document::default();
    let mut seen_root = false;
    loop {
        let before = position(&reader);
        match reader.read_event() {
            Ok(Event::Start(start)) => {
                let name = text.get(before + 1..before + 1 + start.name().as_ref().len()).unwrap_or_default();
                seen_root |= name == "detailed_job_info";
                path.push(name);
                content = position(&reader);
                document.open(&path, before);
            }
            Ok(Event::End(_)) => {
                document.close(&path, text.get(content..before).unwrap_or_default(), position(&reader));
                // The next to close is no leaf.
                content = text.len();
                path.pop();
            }
            Ok(Event::Eof) if path.is_empty() && seen_root => break,
            Ok(Event::Eof) => {
                let expected = "</detailed_job_info>: the answer is cut off";
                return Err(call.syntax(text.as_bytes(), text.len(), expected));
            }
            Ok(_) => {}
            Err(error) => {
                let at = usize::try_from(reader.error_position()).unwrap_or(text.len());
                return Err(call.syntax(text.as_bytes(), at, &format!("well-formed XML ({error})")));
            }
        }
    }
    let mut jobs = Jobs::default();
    for job in &document.jobs {
        match job.row(text, mem, &document.said) {
            Ok(row) => jobs.rows.push(row),
            Err(at) => jobs.error(|| call.syntax(text.as_bytes(), at, "an element with a JB_job_number")),
        }
    }
    Ok(jobs)
}

#[derive(Default)]
struct Document<'t> {
    jobs: Vec<Job<'t>>,
    /// What the scheduler said, with the job it is about.
    said: Vec<(&'t str, &'t str)>,
    /// The jobs that the message to come is about.
    about: Vec<&'t str>,
    /// The name to which the value to come belongs.
    name: &'t str,
}

#[derive(Default)]
struct Job<'t> {
    begin: usize,
    end: usize,
    number: &'t str,
    name: &'t str,
    owner: &'t str,
    submitted: Option<Timestamp>,
    kind: u32,
    last_task: &'t str,
    throttle: Option<u32>,
    environment: bool,
    slots: (&'t str, &'t str),
    resources: Vec<(&'t str, &'t str)>,
    predecessors: Vec<&'t str>,
    elements: Vec<&'t str>,
    queues: Vec<&'t str>,
    tag: Option<&'t str>,
    error: Option<&'t str>,
    runs: bool,
    started: Option<Timestamp>,
    usage: Vec<(&'t str, &'t str)>,
}

impl<'t> Document<'t> {
    fn open(&mut self, path: &[&'t str], at: usize) {
        match path {
            [_, "djob_info", "element"] => self.jobs.push(Job { begin: at, end: at, ..Job::default() }),
            [.., "SME_message_list", "element"] => self.about.clear(),
            _ => {}
        }
    }

    fn close(&mut self, path: &[&'t str], value: &'t str, end: usize) {
        match path {
            [_, "messages", .., "MES_job_number_list", _, "ULNG_value"] => self.about.push(value),
            [_, "messages", .., "SME_message_list", "element", "MES_message"] => {
                self.said.extend(self.about.iter().map(|job| (*job, value)));
            }
            [_, "djob_info", "element", path @ ..] => {
                let Some(job) = self.jobs.last_mut() else { return };
                match path {
                    [] => job.end = end,
                    [.., "VA_variable" | "UA_name" | "CE_name"] => self.name = value,
                    path => job.take(path, self.name, value),
                }
            }
            _ => {}
        }
    }
}

impl<'t> Job<'t> {
    fn take(&mut self, path: &[&'t str], name: &'t str, value: &'t str) {
        match path {
            ["JB_job_number"] => self.number = value,
            ["JB_job_name"] => self.name = value,
            ["JB_owner"] => self.owner = value,
            ["JB_submission_time"] => self.submitted = lexeme::epoch_time(value),
            ["JB_type"] => self.kind = lexeme::number(value).unwrap_or(0),
            ["JB_pe"] => self.environment = true,
            ["JB_pe_range", _, "RN_min"] => self.slots.0 = value,
            ["JB_pe_range", _, "RN_max"] => self.slots.1 = value,
            ["JB_ja_structure", _, "RN_max"] => self.last_task = value,
            ["JB_ja_task_concurrency"] => self.throttle = lexeme::number(value).filter(|&most| most > 0),
            ["JB_hard_resource_list", .., "CE_stringval"] => self.resources.push((name, value)),
            ["JB_hard_queue_list", .., "QR_name"] => self.queues.push(value),
            ["JB_jid_predecessor_list", .., "JRE_job_number"] => self.predecessors.push(value),
            ["JB_ja_ad_predecessor_list", .., "JRE_job_number"] => self.elements.push(value),
            ["JB_env_list", .., "VA_value"] if name == "CLUSTER_TAG" => self.tag = Some(value),
            ["JB_ja_tasks", .., "QIM_message"] if self.error.is_none() => self.error = Some(value),
            // 64: on its way to a host; 128: it runs.
            ["JB_ja_tasks", _, "JAT_status"] => {
                self.runs |= lexeme::number::<u32>(value).is_some_and(|status| status & (64 | 128) != 0);
            }
            ["JB_ja_tasks", _, "JAT_start_time"] => self.started = lexeme::epoch_time(value).or(self.started),
            ["JB_ja_tasks", .., "UA_value"] => self.usage.push((name, value)),
            _ => {}
        }
    }

    fn row(&self, text: &'t str, mem: Option<&str>, said: &[(&'t str, &'t str)]) -> Result<Row<'t>, usize> {
        const ARRAY: u32 = 128;
        if lexeme::number::<u64>(self.number).is_none() {
            return Err(self.begin);
        }
        let single = self.kind & ARRAY == 0 && matches!(self.last_task, "" | "1");
        let info: Vec<_> =
            said.iter().filter(|(job, _)| *job == self.number).map(|(_, said)| *said).collect();
        let list = |ids: &[&str]| Some(ids.join(",")).filter(|list| !list.is_empty());
        let predecessors = Predecessors { jobs: list(&self.predecessors), elements: list(&self.elements) };
        let standing = standing(self.runs, self.error, &predecessors, &info);
        let cores = match (self.environment, self.slots) {
            (false, _) => Some(1),
            (true, (min, max)) if min == max => lexeme::number::<u32>(min),
            _ => None,
        };
        let asked = |name: &str| self.resources.iter().find(|(key, _)| *key == name).map(|(_, value)| *value);
        let used = |name: &str| {
            let usage = self.usage.iter().filter(|_| single);
            usage.into_iter().find(|(key, _)| *key == name).map(|(_, value)| *value)
        };
        let per_slot =
            |size: MemSize| MemSize::from_mb(size.as_mb().saturating_mul(cores.unwrap_or(1).into()));
        let cpu: Option<Duration> = used("cpu").and_then(lexeme::used);
        Ok(Row {
            id: Cow::Borrowed(self.number),
            job: Cow::Borrowed(self.number),
            tasks: if single { Tasks::Single } else { Tasks::Whole },
            throttle: self.throttle,
            name: unescape(self.name),
            user: unescape(self.owner),
            partition: Cow::Owned(self.queues.join(",")),
            state: standing.state,
            uncertain: standing.uncertain,
            reason: Cow::Owned(unescape(&standing.reason).into_owned()),
            cores,
            submitted: self.submitted,
            started: self.started.filter(|_| single),
            time_limit: asked("h_rt").and_then(lexeme::limit),
            mem: mem.and_then(asked).and_then(lexeme::mem).map(per_slot),
            mem_used: used("maxvmem").and_then(lexeme::mem).filter(|used| used.as_mb() > 0),
            cpu_time: cpu,
            comment: self.tag.map(unescape),
            text: text.get(self.begin..self.end).unwrap_or_default(),
            ..Row::default()
        })
    }
}
