//! `cluster logs`: what jobs printed.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::PathBuf;

use cluster_client::output::{self, Stream};
use cluster_core::{JobId, JobState, Selector, Timestamp};
use cluster_jobsdb::JobQuery;
use regex::bytes::Regex;

use crate::commands::run::{OnInterrupt, stream};
use crate::context::Context;
use crate::exit::{Exit, usage};
use crate::output::{Cleaned, talk};
use crate::signals::Signals;

/// The options of `logs`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Go on printing until the job is over
    #[arg(long, short = 'f')]
    follow: bool,
    /// The standard error instead of the standard output
    #[arg(long, short = 'e')]
    stderr: bool,
    /// Of this run, instead of the last
    #[arg(long, value_name = "N", conflicts_with = "follow")]
    run: Option<u32>,
    /// The last N lines
    #[arg(long, value_name = "N")]
    tail: Option<usize>,
    /// Lines that match this regular expression
    #[arg(long, value_name = "REGEX")]
    grep: Option<String>,
    /// Put the job's id before each line
    #[arg(long)]
    prefix: bool,
    /// Write into this file
    #[arg(long, value_name = "FILE")]
    export: Option<PathBuf>,
    /// Overwrite what is there
    #[arg(long, requires = "export")]
    force: bool,
    /// Jobs
    #[arg(default_value = "last")]
    selectors: Vec<Selector>,
}

pub(crate) fn run(mut context: Context, args: &Args) -> anyhow::Result<Exit> {
    let grep = match &args.grep {
        Some(text) => Some(Regex::new(text).map_err(|error| usage(format!("--grep {text}: {error}")))?),
        None => None,
    };
    let mut jobs: Vec<JobId> = Vec::new();
    for selection in context.select(&args.selectors)? {
        let query = JobQuery { jobs: selection.jobs, limit: u32::MAX, ..JobQuery::default() };
        let rows = context.client.store()?.jobs(selection.batch, &query)?;
        // Of a whole batch, those that have not started have nothing to say.
        jobs.extend(
            rows.iter()
                .filter(|row| row.started.is_some() || row.state == JobState::Running || args.follow)
                .map(|row| row.id),
        );
    }
    if args.follow {
        return follow(context, &jobs);
    }
    let which = if args.stderr { Stream::Err } else { Stream::Out };
    let export = match &args.export {
        Some(path) => Some(crate::commands::get::NewFile::create(&context.cwd.join(path), args.force)?),
        None => None,
    };
    let mut sink: Box<dyn Write> = match &export {
        Some(file) => Box::new(BufWriter::new(file.file()?)),
        None => Box::new(BufWriter::new(std::io::stdout().lock())),
    };
    let (mut cleaned, asked) = (Cleaned::default(), jobs.len() as u64);
    for id in jobs {
        let from = match open(&mut context, id, args.run, which)? {
            Found::Output(from) => from,
            Found::Cleaned(at) => {
                cleaned.add(id, at);
                continue;
            }
            Found::NoRun => {
                talk(&format!("cluster: job {id} had no run {}", args.run.unwrap_or(1)));
                continue;
            }
        };
        let prefix = if args.prefix { format!("{id}: ") } else { String::new() };
        print(from, &mut sink, &prefix, args.tail, grep.as_ref())?;
    }
    sink.flush()?;
    drop(sink);
    if let Some(file) = export {
        file.finish()?;
    }
    cleaned.tell();
    Ok(if asked > 0 && cleaned.count() == asked { Exit::JOB_FAILED } else { Exit::GOOD })
}

/// What there is of a run.
enum Found {
    Output(output::Output),
    Cleaned(Timestamp),
    NoRun,
}

fn open(context: &mut Context, id: JobId, run: Option<u32>, which: Stream) -> anyhow::Result<Found> {
    let mut row = context.client.job(id)?.row;
    if let Some(run) = run.filter(|run| *run != row.run) {
        let Some(earlier) = context.client.store()?.runs(id)?.into_iter().find(|row| row.run == run) else {
            return Ok(Found::NoRun);
        };
        (row.k, row.output) = (earlier.k, earlier.output);
    }
    let layout = context.client.layout();
    Ok(match row.cleaned.filter(|_| output::is_cleaned(layout, &row, which)) {
        Some(at) => Found::Cleaned(at),
        None => Found::Output(output::open(layout, id, row.k, row.output.as_ref(), which)?),
    })
}

/// Byte for byte where nothing is to be chosen; else line by line, and never more than the tail in memory.
fn print(
    mut from: output::Output,
    to: &mut dyn Write,
    prefix: &str,
    tail: Option<usize>,
    grep: Option<&Regex>,
) -> anyhow::Result<()> {
    if prefix.is_empty() && tail.is_none() && grep.is_none() {
        std::io::copy(&mut from, to)?;
        return Ok(());
    }
    let mut lines = BufReader::with_capacity(64 << 10, from);
    let mut last: VecDeque<Vec<u8>> = VecDeque::new();
    let mut line = Vec::new();
    loop {
        line.clear();
        if lines.read_until(b'\n', &mut line)? == 0 {
            break;
        }
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        if grep.is_some_and(|grep| !grep.is_match(text)) {
            continue;
        }
        match tail {
            Some(0) => {}
            Some(tail) => {
                if last.len() == tail {
                    last.pop_front();
                }
                last.push_back(line.clone());
            }
            None => {
                to.write_all(prefix.as_bytes())?;
                to.write_all(&line)?;
            }
        }
    }
    for line in last {
        to.write_all(prefix.as_bytes())?;
        to.write_all(&line)?;
    }
    Ok(())
}

fn follow(mut context: Context, jobs: &[JobId]) -> anyhow::Result<Exit> {
    let [job] = jobs else {
        return Err(usage(format!(
            "-f follows one job, and {} are selected: name one, like 17.3",
            jobs.len()
        )));
    };
    let signals = Signals::watch()?;
    let lender = context.enclosing();
    let patience = context.config.file_wait;
    let row = stream(&mut context.client, *job, &signals, lender.as_ref(), OnInterrupt::Leave, patience)?;
    Ok(if row.is_some() { Exit::GOOD } else { Exit::INTERRUPTED })
}
