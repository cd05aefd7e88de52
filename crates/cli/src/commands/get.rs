//! `cluster get`: the outputs of jobs, in the order of their inputs.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use cluster_client::ClientError;
use cluster_client::arrival::wait_for_outputs;
use cluster_client::output::{Copier, Stream, is_cleaned};
use cluster_core::{JobState, Selector, Timestamp};
use cluster_jobsdb::{JobQuery, JobRow};
use serde::Serialize;

use crate::context::Context;
use crate::exit::{Exit, usage};
use crate::long_json;
use crate::new_file::NewFile;
use crate::output::{Cleaned, talk};

/// The options of `get`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The standard error instead of the standard output
    #[arg(long, short = 'e')]
    stderr: bool,
    /// Into this directory, a file for each job
    #[arg(long, value_name = "DIR", conflicts_with = "to")]
    dir: Option<PathBuf>,
    /// Into this file, one after the other
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
    /// Overwrite what is there
    #[arg(long)]
    force: bool,
    /// Mark the jobs as collected: their results were taken, they may be cleaned
    #[arg(long)]
    collect: bool,
    /// Batches or jobs
    #[arg(default_value = "last")]
    selectors: Vec<Selector>,
}

#[derive(Serialize)]
struct Output {
    v: u32,
    job: cluster_core::JobId,
    state: JobState,
    exit_code: Option<i32>,
}

/// Those with an output to be taken.
const ENDED: [JobState; 2] = [JobState::Succeeded, JobState::Failed];

pub(crate) fn run(mut context: Context, args: &Args) -> anyhow::Result<Exit> {
    let selected = context.select_some(&args.selectors)?;
    let stream = if args.stderr { Stream::Err } else { Stream::Out };
    let layout = context.client.layout().clone();
    let mut copier = Copier::new(&layout);
    let mut target = Target::new(&context, args)?;
    let (ended, all) = context.client.progress(&selected)?;
    let (unfinished, mut failed, mut cleaned) = (all - ended, 0, Cleaned::default());
    let patience = context.config.file_wait;
    let mut late = Vec::new();
    for selection in selected {
        let mut after = None;
        loop {
            // Page by page: a million jobs are never all in memory.
            let states = Some(ENDED.to_vec());
            let query = JobQuery { jobs: selection.jobs.clone(), states, after, limit: 2000 };
            let rows = context.client.store()?.jobs(selection.batch, &query)?;
            let Some(last) = rows.last() else { break };
            after = Some(last.id.index);
            late.extend(wait_for_outputs(&layout, &rows, patience));
            for row in &rows {
                if let Some(at) = row.cleaned
                    && is_cleaned(&layout, row, stream)
                {
                    cleaned.add(row.id, at);
                    continue;
                }
                failed += u64::from(row.state == JobState::Failed);
                target.take(&mut copier, row, stream)?;
            }
        }
        if args.collect {
            let ended = context.client.store()?.indices_in(selection.batch, &ENDED)?;
            let jobs = selection.jobs.as_ref().map_or(ended.clone(), |jobs| ended.intersection(jobs));
            context.client.store()?.mark_collected(selection.batch, Some(&jobs), Timestamp::now())?;
        }
    }
    target.finish()?;
    cleaned.tell();
    if unfinished > 0 {
        talk(&format!(
            "cluster: {} not ended and {} left out; `cluster wait` waits for {}",
            if unfinished == 1 { "1 job has".to_owned() } else { format!("{unfinished} jobs have") },
            if unfinished == 1 { "is" } else { "are" },
            if unfinished == 1 { "it" } else { "them" },
        ));
    }
    tell_late(&late);
    Ok(if failed + unfinished + cleaned.count() + late.len() as u64 > 0 {
        Exit::JOB_FAILED
    } else {
        Exit::GOOD
    })
}

/// Names outputs that did not arrive in time.
pub(crate) fn tell_late(late: &[PathBuf]) {
    const NAMED: usize = 5;
    for path in late.iter().take(NAMED) {
        talk(&format!(
            "cluster: {} is not there in full yet (file_wait says how long it is waited for)",
            path.display()
        ));
    }
    if late.len() > NAMED {
        talk(&format!("cluster: … and {} more", late.len() - NAMED));
    }
}

/// Where the outputs go.
enum Target {
    Stdout(BufWriter<io::Stdout>),
    Json,
    Dir(PathBuf),
    File(NewFile, BufWriter<File>),
}

impl Target {
    fn new(context: &Context, args: &Args) -> anyhow::Result<Self> {
        if let Some(path) = &args.to {
            let file = NewFile::create(&context.cwd.join(path), args.force)?;
            let writer = BufWriter::new(file.file()?);
            return Ok(Self::File(file, writer));
        }
        if let Some(dir) = &args.dir {
            let dir = context.cwd.join(dir);
            let taken = fs::read_dir(&dir).is_ok_and(|mut entries| entries.next().is_some());
            if taken && !args.force {
                return Err(usage(format!(
                    "{} is not empty: write into it all the same with --force",
                    dir.display()
                )));
            }
            fs::create_dir_all(&dir).map_err(|e| ClientError::file("make", &dir, e))?;
            return Ok(Self::Dir(dir));
        }
        Ok(if context.common.json { Self::Json } else { Self::Stdout(BufWriter::new(io::stdout())) })
    }

    fn take(&mut self, copier: &mut Copier<'_>, row: &JobRow, stream: Stream) -> anyhow::Result<()> {
        match self {
            Self::Stdout(out) => drop(copier.copy(row, stream, out)?),
            Self::File(_, out) => drop(copier.copy(row, stream, out)?),
            Self::Dir(dir) => {
                let path = dir.join(format!("{}.{}", row.id, stream.suffix()));
                let file = NewFile::create(&path, true)?;
                let mut out = BufWriter::new(file.file()?);
                copier.copy(row, stream, &mut out)?;
                out.flush()?;
                file.finish()?;
            }
            Self::Json => {
                let exit_code = row.status.map(cluster_core::ExitStatus::code);
                let head = Output { v: 1, job: row.id, state: row.state, exit_code };
                long_json::write(&head, "output", |to| copier.copy(row, stream, to).map(drop))?;
            }
        }
        Ok(())
    }

    fn finish(self) -> anyhow::Result<()> {
        match self {
            Self::Stdout(mut out) => Ok(out.flush()?),
            Self::File(file, mut out) => {
                out.flush()?;
                file.finish()
            }
            Self::Json | Self::Dir(_) => Ok(()),
        }
    }
}
