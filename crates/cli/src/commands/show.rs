//! `cluster show`: a batch or a job in full.

use std::io::Write;
use std::os::unix::ffi::OsStrExt;

use cluster_client::Job;
use cluster_client::local::DiskSubmission;
use cluster_client::output::{Stream, file, is_cleaned};
use cluster_core::bytestring::printable;
use cluster_core::calendar::Utc;
use cluster_core::{ByteString, Cause, IndexSet, JobId, JobState, Selector, Timestamp, shell};
use cluster_jobsdb::{JobQuery, JobRow, RunRow, Selection};
use serde::Serialize;
use serde_json::{Value, json};

use crate::commands::ls::Batch;
use crate::context::Context;
use crate::exit::Exit;
use crate::output::{self, Cleaned, line, span};

/// The options of `show`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// One line a job: id, name, state and cause, system, remote id, run time
    #[arg(long)]
    short: bool,
    /// The exact words of the jobs, quoted for sh
    #[arg(long)]
    command: bool,
    /// The inputs of the jobs, as map was given them
    #[arg(long)]
    input: bool,
    /// The script that was sent
    #[arg(long)]
    script: bool,
    /// The scheduler's own last record of the jobs, as it printed it
    #[arg(long)]
    raw: bool,
    /// Jobs in this state alone
    #[arg(long, value_name = "STATE")]
    state: Vec<JobState>,
    /// At most so many jobs of each batch [default: 1000, and all with --json or where they are named]
    #[arg(long, value_name = "N")]
    limit: Option<u32>,
    /// Batches or jobs
    #[arg(default_value = "last")]
    selectors: Vec<Selector>,
}

/// So many jobs of a batch are shown where nothing else is said.
const MOST: u32 = 1000;

pub(crate) fn run(mut context: Context, args: &Args) -> anyhow::Result<Exit> {
    let selected = context.select_some(&args.selectors)?;
    let (mut cleaned, mut gone) = (Cleaned::default(), false);
    let from_files = args.script || args.command || args.input;
    for selection in &selected {
        let per_job =
            args.short || args.command || args.input || args.script || args.raw || !args.state.is_empty();
        if selection.jobs.is_none() && !per_job {
            let row = context.client.batch(selection.batch)?;
            if row.count > 1 {
                show_batch(&mut context, selection)?;
                continue;
            }
        }
        for id in jobs(&mut context, args, selection)? {
            if from_files {
                let row = context.client.job(id)?.row;
                gone |= files_are_gone(&context, &row);
            }
            show_job(&mut context, args, id, &mut cleaned)?;
        }
    }
    cleaned.tell();
    // What was asked for is not there any more, as `get` and `logs` have it.
    Ok(if gone { Exit::JOB_FAILED } else { Exit::GOOD })
}

/// Whether all files of a job's batch were cleaned, those that say what it is among them.
fn files_are_gone(context: &Context, row: &JobRow) -> bool {
    row.cleaned.is_some() && !context.client.layout().batch(row.id.batch).is_dir()
}

fn jobs(context: &mut Context, args: &Args, selection: &Selection) -> anyhow::Result<Vec<JobId>> {
    let named = selection.jobs.is_some() || context.common.json;
    let limit = args.limit.unwrap_or(if named { u32::MAX } else { MOST });
    let query = JobQuery {
        jobs: selection.jobs.clone(),
        states: Some(args.state.clone()).filter(|states| !states.is_empty()),
        after: None,
        limit,
    };
    let rows = context.client.store()?.jobs(selection.batch, &query)?;
    if rows.len() as u64 == u64::from(limit) {
        let all = match &query.states {
            Some(states) => context.client.store()?.indices_in(selection.batch, states)?,
            None => IndexSet::range(0, context.client.batch(selection.batch)?.count),
        };
        let all = selection.jobs.as_ref().map_or(all.clone(), |jobs| all.intersection(jobs)).len();
        if all > rows.len() as u64 {
            output::talk(&format!(
                "cluster: {} more jobs of batch {} are not shown; --limit {all} shows them",
                all - rows.len() as u64,
                selection.batch
            ));
        }
    }
    Ok(rows.into_iter().map(|row| row.id).collect())
}

fn show_batch(context: &mut Context, selection: &Selection) -> anyhow::Result<()> {
    let row = context.client.batch(selection.batch)?;
    if let Some(at) = row.cleaned.filter(|_| !context.client.layout().batch(row.id).is_dir()) {
        output::talk(&format!("cluster: the files of batch {} were cleaned ({})", row.id, time(at)));
    }
    let spec = row.spec()?;
    let meta = context.client.store()?.meta(row.id)?;
    if context.common.json {
        let mut value = serde_json::to_value(Batch::new(&(&row).into()))?;
        value["spec"] = serde_json::to_value(&spec)?;
        value["meta"] = serde_json::to_value(&meta)?;
        return output::json(&value);
    }
    let mut fields = Fields::default();
    fields.add("batch", row.id);
    fields.add("name", &row.name);
    fields.add("system", &row.system);
    fields.add("jobs", row.count);
    let counts = JobState::ALL.into_iter().filter(|state| row.count_of(*state) > 0);
    fields.add(
        "states",
        counts.map(|state| format!("{} {state}", row.count_of(state))).collect::<Vec<_>>().join(", "),
    );
    fields.add("command", command_text(&spec.command));
    fields.add("directory", spec.cwd.to_string_lossy());
    fields.add("submitted", time(row.created));
    if !spec.dependencies.is_empty() {
        fields.add("after", spec.dependencies.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "));
    }
    for (key, value) in meta {
        fields.add(&format!("meta.{key}"), value);
    }
    fields.add("files", context.client.layout().batch(row.id).display());
    fields.print()
}

fn show_job(context: &mut Context, args: &Args, id: JobId, cleaned: &mut Cleaned) -> anyhow::Result<()> {
    let job = context.client.job(id)?;
    // A script that is gone is an error of its own.
    if let Some(at) = job.row.cleaned.filter(|_| files_are_gone(context, &job.row)) {
        cleaned.add(id, at);
        let from_files = args.script || args.command || args.input;
        if from_files && !context.common.json {
            return Ok(());
        }
        if args.script {
            return output::json(&json!({ "v": 1, "job": id, "script": null }));
        }
    } else if let Some(at) =
        job.row.cleaned.filter(|_| is_cleaned(context.client.layout(), &job.row, Stream::Out))
    {
        cleaned.add(id, at);
    }
    if args.script {
        let path = context.client.layout().script(id.batch, job.row.k);
        let text = std::fs::read(&path).map_err(|e| cluster_client::ClientError::file("read", path, e))?;
        if context.common.json {
            return output::json(&json!({ "v": 1, "job": id, "script": ByteString(text) }));
        }
        return Ok(std::io::stdout().lock().write_all(&text)?);
    }
    if args.raw {
        let Some(record) = context.client.look_up(id)? else {
            output::talk(&format!("cluster: no scheduler has a record of job {id}"));
            return Ok(());
        };
        let mut out = std::io::stdout().lock();
        out.write_all(&record.text)?;
        if !record.text.ends_with(b"\n") {
            out.write_all(b"\n")?;
        }
        return Ok(());
    }
    // What it used is asked for when somebody wants to know.
    let mut job = job;
    if job.row.state.is_end() && job.row.usage.is_none() && !args.short {
        if let Err(error) = context.client.look_up(id) {
            output::talk(&format!("cluster: what job {id} used is not known: {error:#}"));
        }
        job = context.client.job(id)?;
    }
    job.row.remote = context.client.remote_of(&job.row)?;
    let submission = || DiskSubmission::read(context.client.layout(), id.batch, job.row.k);
    if args.command && !context.common.json {
        let words = submission()?.argv(id.index)?;
        let mut out = std::io::stdout().lock();
        out.write_all(&shell::join(words.iter().map(|word| &word.0)))?;
        return Ok(out.write_all(b"\n")?);
    }
    if args.input && !context.common.json {
        let mut out = std::io::stdout().lock();
        for record in submission()?.inputs(id.index)? {
            for (i, column) in record.iter().enumerate() {
                if i > 0 {
                    out.write_all(b"\t")?;
                }
                out.write_all(&column.0)?;
            }
            out.write_all(b"\n")?;
        }
        return Ok(());
    }
    if args.short && !context.common.json {
        return line(&job.to_string());
    }
    if context.common.json {
        let value = job_json(context, &job)?;
        return output::json(&value);
    }
    full(context, &job)
}

/// A job in JSON; version 1.
fn job_json(context: &mut Context, job: &Job) -> anyhow::Result<Value> {
    let row = &job.row;
    let id = row.id;
    let runs = context.client.store()?.runs(id)?;
    let meta = context.client.store()?.job_meta(id)?;
    let submission = DiskSubmission::read(context.client.layout(), id.batch, row.k).ok();
    let words: Option<Vec<ByteString>> =
        submission.as_ref().and_then(|submission| submission.argv(id.index).ok());
    let inputs = submission.and_then(|submission| submission.inputs(id.index).ok());
    Ok(json!({
        "v": 1,
        "job": id,
        "name": job.name,
        "system": job.system,
        "state": row.state,
        "cause": row.cause.map(Cause::word),
        "exit_code": row.status.map(cluster_core::ExitStatus::code),
        "reason": row.reason,
        "priority": row.priority,
        "run": row.run,
        "submission": row.k,
        "started": row.started,
        "ended": row.ended,
        "host": row.host,
        "pid": row.pid,
        "remote_id": row.remote,
        "cpu_us": row.usage.map(|usage| usage.cpu_us),
        "max_rss_kb": row.usage.map(|usage| usage.max_rss_kb),
        "collected": row.collected,
        "cleaned": row.cleaned,
        "command": words,
        "input": inputs,
        "meta": meta,
        "runs": runs.iter().map(Run::new).collect::<Vec<_>>(),
    }))
}

#[derive(Serialize)]
struct Run {
    run: u32,
    submission: u32,
    state: JobState,
    cause: Option<&'static str>,
    exit_code: Option<i32>,
    started: Option<Timestamp>,
    ended: Option<Timestamp>,
    host: Option<String>,
}

impl Run {
    fn new(row: &RunRow) -> Self {
        Self {
            run: row.run,
            submission: row.k,
            state: row.state,
            cause: row.cause.map(Cause::word),
            exit_code: row.status.map(cluster_core::ExitStatus::code),
            started: row.started,
            ended: row.ended,
            host: row.host.clone(),
        }
    }
}

fn full(context: &mut Context, job: &Job) -> anyhow::Result<()> {
    let row = &job.row;
    let mut fields = Fields::default();
    fields.add("job", row.id);
    fields.add("name", &job.name);
    fields.add("state", state_text(row));
    if let Some(reason) = &row.reason {
        fields.add("reason", reason);
    }
    fields.add("system", &job.system);
    if let Some(remote) = &row.remote {
        fields.add("remote id", remote);
    }
    if let Ok(submission) = DiskSubmission::read(context.client.layout(), row.id.batch, row.k) {
        let words = submission.argv(row.id.index)?;
        fields.add("command", String::from_utf8_lossy(&shell::join(words.iter().map(|word| &word.0))));
    }
    let spec = context.client.spec(row.id.batch, row.k)?;
    fields.add("directory", spec.cwd.to_string_lossy());
    fields.add("run", row.run);
    if !spec.dependencies.is_empty() {
        fields.add("after", spec.dependencies.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "));
    }
    for foreign in &spec.foreign {
        fields.add("after", format!("{foreign} (not ours: the scheduler alone looks after it)"));
    }
    if let Some(host) = &row.host {
        fields.add("host", host);
    }
    if let Some(started) = row.started {
        fields.add("started", time(started));
    }
    if let Some(ended) = row.ended {
        fields.add("ended", time(ended));
    }
    if let Some(time) = job.run_time() {
        fields.add("run time", span(time));
    }
    if let Some(usage) = row.usage {
        fields.add("cpu time", span(std::time::Duration::from_micros(usage.cpu_us)));
        fields.add("peak memory", output::bytes(usage.max_rss_kb * 1024));
    }
    for (key, value) in context.client.store()?.job_meta(row.id)? {
        fields.add(&format!("meta.{key}"), value);
    }
    let out = file(context.client.layout(), row.id, row.k, Stream::Out);
    if out.exists() {
        fields.add("stdout", out.display());
        fields.add("stderr", file(context.client.layout(), row.id, row.k, Stream::Err).display());
    }
    fields.print()
}

/// `failed (exit 3)`, `running`.
pub(crate) fn state_text(row: &JobRow) -> String {
    match row.cause.filter(|_| row.state == JobState::Failed) {
        Some(cause) => format!("{} ({cause})", row.state),
        None => row.state.to_string(),
    }
}

fn command_text(command: &cluster_core::Command) -> String {
    let words: Vec<&[u8]> = match command {
        cluster_core::Command::Argv(words) => words.iter().map(|word| &word.0[..]).collect(),
        cluster_core::Command::Script { name, args, .. } => {
            std::iter::once(name.as_os_str().as_bytes()).chain(args.iter().map(|word| &word.0[..])).collect()
        }
    };
    String::from_utf8_lossy(&shell::join(words)).into_owned()
}

/// A time in UTC, as RFC 3339 has it, to the second.
pub(crate) fn time(at: Timestamp) -> String {
    format!("{}Z", Utc::of(at))
}

/// Names and values, one a line, aligned.
#[derive(Default)]
struct Fields(Vec<(String, String)>);

impl Fields {
    fn add(&mut self, name: &str, value: impl ToString) {
        // Of a command of several lines each is one.
        let lines: Vec<_> = value.to_string().split('\n').map(printable).collect();
        let text = lines.join(if name == "command" { "\n" } else { "?" });
        self.0.push((printable(name), text));
    }

    fn print(&self) -> anyhow::Result<()> {
        let width = self.0.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        self.0.iter().try_for_each(|(name, value)| line(&format!("{name:width$}  {value}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_utc() {
        assert_eq!(time(Timestamp::from_secs(0)), "1970-01-01T00:00:00Z");
        assert_eq!(time(Timestamp::from_secs(951_782_400)), "2000-02-29T00:00:00Z");
        assert_eq!(time(Timestamp::from_secs(1_795_000_000)), "2026-11-18T11:06:40Z");
    }
}
