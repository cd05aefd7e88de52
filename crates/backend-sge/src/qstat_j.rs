//! `qstat -j` as text: a block a job, `key:   value` a line. It does not print the state; what it prints
//! tells a running job, one in error and a waiting one apart, and else the state is unknown.

use std::borrow::Cow;
use std::time::Duration;

use cluster_core::JobState;
use cluster_core::MemSize;
use cluster_core::dialect::{DialectError, Jobs, Row, Tasks};

use crate::call::Call;
use crate::lexeme;

pub(crate) fn read<'t>(call: &Call<'_>, text: &'t str, mem: Option<&str>) -> Result<Jobs<'t>, DialectError> {
    if call.value("-j").is_none_or(|word| word.starts_with('-')) {
        return Err(call.not_read("without an id it is a list of reasons, not of jobs"));
    }
    let mut jobs = Jobs::default();
    let mut block: Option<Block<'t>> = None;
    let mut close = |block: Option<Block<'t>>| match block.map(|block| block.row(text, mem)) {
        Some(Ok(row)) => jobs.rows.push(row),
        Some(Err(at)) => jobs.error(|| call.syntax(text.as_bytes(), at, "a block with a job_number")),
        None => {}
    };
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let begin = at;
        at += line.len();
        let line = line.trim_end_matches('\n');
        if line.len() > 20 && line.bytes().all(|b| b == b'=') {
            close(block.take());
            block = Some(Block::new(begin));
        } else if let Some(block) = &mut block {
            block.line(line);
            block.end = begin + line.len();
        } else if !line.trim().is_empty() {
            return Err(call.syntax(text.as_bytes(), begin, "a line of equals signs before a job"));
        }
    }
    close(block);
    Ok(jobs)
}

/// One job.
struct Block<'t> {
    begin: usize,
    end: usize,
    fields: Vec<(&'t str, &'t str)>,
    /// What the scheduler said about it.
    info: Vec<&'t str>,
    in_info: bool,
    errors: Vec<&'t str>,
    usage: Option<&'t str>,
}

impl<'t> Block<'t> {
    fn new(begin: usize) -> Self {
        let (fields, info, errors) = (Vec::new(), Vec::new(), Vec::new());
        Self { begin, end: begin, fields, info, in_info: false, errors, usage: None }
    }

    fn line(&mut self, line: &'t str) {
        if line.starts_with(' ') {
            if self.in_info {
                self.info.push(line.trim());
            }
            return;
        }
        let Some((key, value)) = line.split_once(':') else { return };
        let value = value.trim();
        self.in_info = key == "scheduling info";
        if self.in_info {
            self.info.push(value);
        } else if key.starts_with("error reason") {
            self.errors.push(value);
        } else if key.starts_with("usage ") {
            self.usage = Some(value);
        } else {
            self.fields.push((key, value));
        }
    }

    /// The first of that name: variables of the job, whose values may hold lines of any kind, come later.
    fn get(&self, key: &str) -> &'t str {
        self.fields.iter().find(|(name, _)| *name == key).map_or("", |(_, value)| *value)
    }

    fn resource(&self, name: &str) -> Option<&'t str> {
        let list = self.get("hard resource_list").split(',').filter_map(|pair| pair.split_once('='));
        list.into_iter().find(|(key, _)| *key == name).map(|(_, value)| value)
    }

    fn predecessors(&self) -> Predecessors {
        let of = |key: &str| Some(self.get(key).to_owned()).filter(|list| !list.is_empty());
        Predecessors { jobs: of("jid_predecessor_list"), elements: of("ja_ad_predecessor_list") }
    }

    fn row(&self, text: &'t str, mem: Option<&str>) -> Result<Row<'t>, usize> {
        let job = self.get("job_number");
        if lexeme::number::<u64>(job).is_none() {
            return Err(self.begin);
        }
        let single = self.get("job-array tasks").is_empty();
        let standing =
            standing(self.usage.is_some(), self.errors.first().copied(), &self.predecessors(), &self.info);
        // `smp range: 2`; a range of slots (`2-4`) is no number yet.
        let environment = self.get("parallel environment").rsplit(' ').next().unwrap_or_default();
        let cores = if environment.is_empty() { Some(1) } else { lexeme::number::<u32>(environment) };
        let per_slot =
            |size: MemSize| MemSize::from_mb(size.as_mb().saturating_mul(cores.unwrap_or(1).into()));
        let usage = |name: &str| {
            let usage = self.usage.filter(|_| single)?;
            usage.split(", ").find_map(|part| part.strip_prefix(name)?.strip_prefix('='))
        };
        let variables = self.get("env_list").split(',');
        Ok(Row {
            id: Cow::Borrowed(job),
            job: Cow::Borrowed(job),
            tasks: if single { Tasks::Single } else { Tasks::Whole },
            throttle: lexeme::number(self.get("maximum concurrency")),
            name: Cow::Borrowed(self.get("job_name")),
            user: Cow::Borrowed(self.get("owner")),
            partition: Cow::Borrowed(self.get("hard_queue_list")),
            state: standing.state,
            uncertain: standing.uncertain,
            reason: standing.reason,
            cores,
            submitted: lexeme::time(self.get("submission_time")),
            time_limit: self.resource("h_rt").and_then(lexeme::limit),
            mem: mem.and_then(|mem| self.resource(mem)).and_then(lexeme::mem).map(per_slot),
            mem_used: usage("maxvmem").and_then(lexeme::mem),
            cpu_time: usage("cpu").and_then(clock),
            comment: variables
                .into_iter()
                .find_map(|pair| pair.strip_prefix("CLUSTER_TAG="))
                .map(Cow::Borrowed),
            text: text.get(self.begin..self.end).unwrap_or_default(),
            ..Row::default()
        })
    }
}

/// `[D:]HH:MM:SS`.
fn clock(text: &str) -> Option<Duration> {
    let fields = text.split(':').map(lexeme::number::<u64>).collect::<Option<Vec<_>>>()?;
    let units = [1, 60, 3600, 86_400];
    if fields.len() > units.len() {
        return None;
    }
    let products = fields.iter().rev().zip(units).map(|(field, unit)| field.checked_mul(unit));
    let secs = products.into_iter().try_fold(0_u64, |sum, product| sum.checked_add(product?))?;
    Some(Duration::from_secs(secs))
}

/// What can be told without the letters of a state.
pub(crate) struct Standing<'t> {
    pub(crate) state: JobState,
    pub(crate) uncertain: bool,
    pub(crate) reason: Cow<'t, str>,
}

/// What a job still waits for: whole jobs, and arrays whose elements its own wait for. Lists of ids.
pub(crate) struct Predecessors {
    pub(crate) jobs: Option<String>,
    pub(crate) elements: Option<String>,
}

impl Predecessors {
    fn waits(&self) -> Option<String> {
        let lists: Vec<_> = self.jobs.iter().chain(&self.elements).map(String::as_str).collect();
        (!lists.is_empty()).then(|| format!("waits for the end of {}", lists.join(",")))
    }
}

/// From whether anything of it runs, why it is in error, what it waits for, and what the scheduler said.
pub(crate) fn standing<'t>(
    runs: bool,
    error: Option<&'t str>,
    predecessors: &Predecessors,
    info: &[&'t str],
) -> Standing<'t> {
    let waits = predecessors.waits();
    // Waiting element by element is a kind of hold itself; waiting for a whole job is none.
    let held = predecessors.elements.is_none() && info.iter().any(|line| line.contains("is in hold state"));
    let (state, uncertain, reason) = match (error, waits) {
        (Some(error), _) => (JobState::Held, true, Cow::Borrowed(error)),
        _ if runs => (JobState::Running, false, Cow::Borrowed("")),
        (None, waits) if held => (JobState::Held, false, waits.map_or(Cow::Borrowed(""), Cow::Owned)),
        (None, Some(waits)) => (JobState::Queued, false, Cow::Owned(waits)),
        (None, None) if !info.is_empty() => (JobState::Queued, false, Cow::Owned(info.join("; "))),
        (None, None) => (JobState::Unknown, false, Cow::Borrowed("")),
    };
    Standing { state, uncertain, reason }
}
