//! `sacct --json`.

use std::marker::PhantomData;
use std::time::Duration;

use cluster_core::dialect::{DialectError, Reading, Row};
use cluster_core::host::Output;
use cluster_core::{Cause, ExitStatus, JobState, MemSize};
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny};

use super::value::{Exit, Num, Text};
use super::{Answer, answer, identify, jobs, rows, settle};
use crate::state::Source;

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
    fn get(&self) -> Option<Duration> {
        let micros = self.microseconds.get().unwrap_or(0);
        let secs = Duration::from_secs(self.seconds.get()?);
        Some(secs.saturating_add(Duration::from_micros(micros)))
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
        job.steps.iter().filter_map(|step| step.time.total.get()).reduce(Duration::saturating_add)
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
