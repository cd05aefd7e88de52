//! `squeue --json`.

use cluster_core::dialect::{DialectError, Reading, Row};
use cluster_core::host::Output;
use serde::Deserialize;

use super::value::{Exit, Num, Text};
use super::{Answer, answer, identify, jobs, rows, settle};
use crate::lexeme;
use crate::state::Source;

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
