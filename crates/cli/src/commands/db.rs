//! `cluster db`: the job store itself.

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use anyhow::Context as _;
use cluster_core::ByteString;
use cluster_jobsdb::{CheckReport, OpenOptions, Store, StoreError, unlock};
use serde_json::json;

use crate::commands::init::path_line;
use crate::context::Context;
use crate::exit::Exit;
use crate::new_file::NewFile;
use crate::output::{self, line, talk};

/// The options of `db`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Look whether the store is in order; exit code 5 where it is not
    Check,
    /// Write the whole store as JSON lines; of a damaged one what can be read
    Export {
        /// Into this file, not to stdout
        #[arg(long, value_name = "FILE")]
        to: Option<PathBuf>,
        /// Overwrite the file
        #[arg(long, requires = "to")]
        force: bool,
    },
    /// Remove the lock that a dead process left on a network file system
    Unlock {
        /// Also one of another host, where nobody can look from here
        #[arg(long)]
        force: bool,
    },
    /// Print where the store is
    Path,
}

pub(crate) fn run(context: &Context, args: &Args) -> anyhow::Result<Exit> {
    match &args.what {
        What::Check => check(context),
        What::Export { to, force } => export(context, to.as_ref(), *force),
        What::Unlock { force } => remove_lock(context, *force),
        What::Path => path(context),
    }
}

/// Opened to read alone: looking at a damaged store must not change it.
fn open(context: &Context) -> Result<Store, StoreError> {
    Store::open(&context.root, &OpenOptions { read_only: true, ..OpenOptions::default() })
}

fn check(context: &Context) -> anyhow::Result<Exit> {
    let file = context.root.join("store.db");
    let report = match open(context) {
        Ok(mut store) => store.check()?,
        // The same answer in the same form, with as much of the extent as can be seen.
        Err(StoreError::Corrupt { detail, .. }) => {
            let seen = Store::open_damaged(&context.root).and_then(|mut store| store.check());
            let mut report = seen.unwrap_or_default();
            report.problems.insert(0, detail);
            report
        }
        Err(error) => return Err(error.into()),
    };
    if context.common.json {
        output::json(&json!({
            "v": 1,
            "store": ByteString::from(file.clone()),
            "sound": report.is_sound(),
            "batches": report.batches,
            "jobs": report.jobs,
            "rows": report.rows,
            "problems": report.problems,
        }))?;
    } else if report.is_sound() {
        let CheckReport { batches, jobs, rows, .. } = report;
        line(&format!("{} is in order: {batches} batches, {jobs} jobs ({rows} with a row)", file.display()))?;
    } else {
        report.problems.iter().try_for_each(|problem| line(problem))?;
    }
    if report.is_sound() {
        return Ok(Exit::GOOD);
    }
    talk(&format!(
        "cluster: the job store {} is not in order; nothing was changed. `cluster db export` writes what can still \
         be read, if anything; then move the file away",
        file.display()
    ));
    Ok(Exit::STORE)
}

fn export(context: &Context, to: Option<&PathBuf>, force: bool) -> anyhow::Result<Exit> {
    let path = to.map(|path| context.cwd.join(path));
    let file = path.as_ref().map(|path| NewFile::create(path, force)).transpose()?;
    let mut store = match open(context) {
        Err(StoreError::Corrupt { .. }) => Store::open_damaged(&context.root)?,
        opened => opened?,
    };
    let report = match (&file, &path) {
        (Some(file), Some(path)) => {
            let mut out = BufWriter::with_capacity(64 << 10, file.file()?);
            let report = store.export(&mut out)?;
            let written = out.flush().and_then(|()| out.get_ref().sync_all());
            written.with_context(|| format!("cannot write {}", path.display()))?;
            report
        }
        _ => {
            let mut out = BufWriter::with_capacity(64 << 10, io::stdout().lock());
            let report = store.export(&mut out)?;
            out.flush().context("cannot write the export to stdout")?;
            report
        }
    };
    if let Some(file) = file {
        file.finish()?;
    }
    if report.is_complete() {
        return Ok(Exit::GOOD);
    }
    report.skipped.iter().for_each(|line| talk(&format!("cluster: {line}")));
    talk(&format!(
        "cluster: the job store {} is damaged and was not changed; the export has the {} rows that can be read, and not all",
        context.root.join("store.db").display(),
        report.rows
    ));
    Ok(Exit::STORE)
}

fn remove_lock(context: &Context, force: bool) -> anyhow::Result<Exit> {
    let report = unlock(&context.root, force)?;
    if context.common.json {
        output::json(&json!({
            "v": 1,
            "lock": ByteString::from(report.file),
            "removed": report.removed.is_some(),
            "holder": report.removed,
        }))?;
        return Ok(Exit::GOOD);
    }
    talk(&match report.removed {
        Some(holder) => format!("removed {}, the lock of {holder}", report.file.display()),
        None => format!("there is no lock {}: nothing to remove", report.file.display()),
    });
    Ok(Exit::GOOD)
}

fn path(context: &Context) -> anyhow::Result<Exit> {
    let file = context.root.join("store.db");
    let there = file.is_file();
    if context.common.json {
        output::json(&json!({ "v": 1, "store": ByteString::from(file), "there": there }))?;
        return Ok(Exit::GOOD);
    }
    path_line(&file)?;
    if !there && !context.common.quiet {
        talk("cluster: it is not there yet: the first submission or `cluster init` makes it");
    }
    Ok(Exit::GOOD)
}
