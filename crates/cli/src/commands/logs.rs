//! `cluster logs`: what jobs printed.

use std::io::{self, BufWriter, Read, Write};
use std::path::PathBuf;

use cluster_client::output::{self, Stream};
use cluster_core::{JobId, JobState, Selector, Timestamp};
use cluster_jobsdb::JobQuery;
use regex::bytes::Regex;

use crate::commands::stream::{OnInterrupt, Sink, stream};
use crate::context::Context;
use crate::exit::{Exit, usage};
use crate::lines::{Choice, Lines, last_matches};
use crate::new_file::NewFile;
use crate::output::{Cleaned, talk};
use crate::signals::Signals;

/// The options of `logs`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Go on printing until the job is over; --tail is then the last lines of what it has printed so far
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
    /// Lines that match this regular expression; of a line above 1 MiB what begins with the part that matches
    #[arg(long, value_name = "REGEX")]
    grep: Option<String>,
    /// Put the job's id before each line
    #[arg(long)]
    prefix: bool,
    /// Write into this file
    #[arg(long, value_name = "FILE", conflicts_with = "follow")]
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
    for selection in context.select_some(&args.selectors)? {
        let query = JobQuery { jobs: selection.jobs, limit: u32::MAX, ..JobQuery::default() };
        let rows = context.client.store()?.jobs(selection.batch, &query)?;
        // Of a whole batch, those that have not started have nothing to say; but who names a run means it.
        let all = args.follow || args.run.is_some();
        jobs.extend(
            rows.iter()
                .filter(|row| all || row.started.is_some() || row.state == JobState::Running)
                .map(|row| row.id),
        );
    }
    let choice = Choice { prefix: String::new(), tail: args.tail, grep };
    if args.follow {
        return follow(context, args, &jobs, choice);
    }
    let which = if args.stderr { Stream::Err } else { Stream::Out };
    let export = match &args.export {
        Some(path) => Some(NewFile::create(&context.cwd.join(path), args.force)?),
        None => None,
    };
    let to: Box<dyn Write> = match &export {
        Some(file) => Box::new(BufWriter::new(file.file()?)),
        None => Box::new(BufWriter::new(io::stdout().lock())),
    };
    let mut sink = Ending { to, last: b'\n' };
    let (mut cleaned, mut no_run, asked) = (Cleaned::default(), 0, jobs.len() as u64);
    for id in jobs {
        let from = match open(&mut context, id, args.run, which)? {
            Found::Output(from) => from,
            Found::Cleaned(at) => {
                cleaned.add(id, at);
                continue;
            }
            Found::NoRun => {
                talk(&format!("cluster: job {id} had no run {}", args.run.unwrap_or(1)));
                no_run += 1;
                continue;
            }
        };
        let again = || match open(&mut context, id, args.run, which)? {
            Found::Output(from) => Ok(from),
            _ => anyhow::bail!("the output of job {id} was cleaned while it was read"),
        };
        // A prefix begins a line, whatever the job before ended with.
        if args.prefix && sink.last != b'\n' {
            sink.write_all(b"\n")?;
        }
        print(from, again, &mut sink, &of_job(&choice, args, id))?;
    }
    sink.flush()?;
    drop(sink);
    if let Some(file) = export {
        file.finish()?;
    }
    cleaned.tell();
    Ok(match asked {
        0 => Exit::GOOD,
        _ if no_run == asked => Exit::USAGE,
        _ if cleaned.count() == asked => Exit::JOB_FAILED,
        _ => Exit::GOOD,
    })
}

/// Knows how what was written ends.
struct Ending {
    to: Box<dyn Write>,
    last: u8,
}

impl Write for Ending {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.last = bytes[..written].last().copied().unwrap_or(self.last);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// What there is of a run.
enum Found {
    Output(output::Output),
    Cleaned(Timestamp),
    NoRun,
}

fn open(context: &mut Context, id: JobId, run: Option<u32>, which: Stream) -> anyhow::Result<Found> {
    let mut row = context.client.job(id)?.row;
    if run.is_some_and(|run| run == row.run) && row.started.is_none() && row.state != JobState::Running {
        return Ok(Found::NoRun);
    }
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

/// `open` opens the output once more, from its first byte.
fn print(
    mut from: output::Output,
    mut open: impl FnMut() -> anyhow::Result<output::Output>,
    to: &mut dyn Write,
    choice: &Choice,
) -> anyhow::Result<()> {
    // What there is can be looked at from its end, or twice: no line of it is held.
    if let (Some(tail), Some(grep)) = (choice.tail, &choice.grep) {
        let (mut again, mut at) = (open()?, 0);
        for (start, len) in last_matches(&mut from, grep, tail)? {
            again.skip(start.saturating_sub(at))?;
            to.write_all(choice.prefix.as_bytes())?;
            io::copy(&mut again.by_ref().take(len), to)?;
            at = start + len;
        }
        return Ok(());
    }
    if let Some(tail) = choice.tail {
        from.last_lines(tail)?;
    }
    let choice = Choice { tail: None, ..choice.clone() };
    if choice.is_all() {
        io::copy(&mut from, to)?;
        return Ok(());
    }
    let mut lines = Lines::new(choice);
    let mut buffer = vec![0; 64 << 10];
    loop {
        let n = from.read(&mut buffer)?;
        if n == 0 {
            return Ok(lines.end(to)?);
        }
        lines.push(&buffer[..n], to)?;
    }
}

/// What of a job that is followed goes to our stdout and stderr.
struct Followed {
    streams: &'static [Stream],
    out: Lines,
    err: Lines,
}

impl Followed {
    fn each(&mut self, what: impl Fn(&mut Lines, &mut dyn Write) -> io::Result<()>) -> io::Result<()> {
        what(&mut self.out, &mut io::stdout().lock())?;
        what(&mut self.err, &mut io::stderr().lock())?;
        io::stdout().flush()
    }
}

impl Sink for Followed {
    fn streams(&self) -> &[Stream] {
        self.streams
    }

    fn take(&mut self, stream: Stream, bytes: &[u8]) -> io::Result<()> {
        // The one that was asked for goes to stdout, as without --follow.
        if stream == Stream::Out || self.streams.len() == 1 {
            let mut out = io::stdout().lock();
            self.out.push(bytes, &mut out)?;
            out.flush()
        } else {
            self.err.push(bytes, &mut io::stderr().lock())
        }
    }

    fn caught_up(&mut self) -> io::Result<()> {
        self.each(Lines::caught_up)
    }

    fn end(&mut self) -> io::Result<()> {
        self.each(Lines::end)
    }
}

fn follow(mut context: Context, args: &Args, jobs: &[JobId], choice: Choice) -> anyhow::Result<Exit> {
    let [job] = jobs else {
        return Err(usage(format!(
            "-f follows one job, and {} are selected: name one, like 17.3",
            jobs.len()
        )));
    };
    let signals = Signals::watch()?;
    let lender = context.enclosing();
    let patience = context.config.file_wait;
    let choice = of_job(&choice, args, *job);
    let mut followed = Followed {
        streams: if args.stderr { &[Stream::Err] } else { &[Stream::Out, Stream::Err] },
        out: Lines::new(choice.clone()),
        err: Lines::new(choice),
    };
    let (client, leave) = (&mut context.client, OnInterrupt::Leave);
    let row = stream(client, *job, &signals, lender.as_ref(), leave, patience, &mut followed)?;
    Ok(if row.is_some() { Exit::GOOD } else { signals.exit() })
}

/// The choice with the job's id before each line, where that was asked for.
fn of_job(choice: &Choice, args: &Args, id: JobId) -> Choice {
    let prefix = if args.prefix { format!("{id}: ") } else { String::new() };
    Choice { prefix, ..choice.clone() }
}
