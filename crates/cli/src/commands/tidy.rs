//! `cluster clean`, `rm`, `gc`: removing what is no longer needed, never unasked.

use std::io::{self, BufRead, IsTerminal, Write};
use std::path::PathBuf;

use anyhow::Context as _;
use cluster_client::tidy::Removed;
use cluster_core::{BatchId, ByteString, Selector, Walltime};
use cluster_jobsdb::Selection;
use serde::Serialize;

use crate::commands::ls::shown;
use crate::context::Context;
use crate::exit::{Exit, usage};
use crate::output::{bytes, json, table, talk};

const WHICH: &str = "\
Which removes what:
                                              clean   rm      gc
  files of ended jobs: output, status,
  scripts, inputs, environment                yes     yes     of old batches
  what the store knows: states, exit codes,
  times, facts                                no      yes     of old batches
  single jobs of a batch                      yes     no      no
  left behind by submissions that never were  no      no      yes
  jobs that have not ended                    never   never   never
  batches that others wait for                --force --force never
Outputs packed into one file go with their whole batch alone.
Each lists what would go and asks; --dry-run only lists, --yes does not ask.";

/// How a removal is asked for.
#[derive(Debug, clap::Args)]
struct Asking {
    /// Only print what would go
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long, short = 'y')]
    yes: bool,
}

/// The options of `clean` and `rm`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = WHICH)]
pub(crate) struct Args {
    #[command(flatten)]
    asking: Asking,
    /// Also what other batches wait for
    #[arg(long)]
    force: bool,
    /// Batches or jobs
    #[arg(required = true, value_name = "SELECTOR")]
    selectors: Vec<Selector>,
}

/// The options of `gc`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = WHICH)]
pub(crate) struct GcArgs {
    #[command(flatten)]
    asking: Asking,
    /// Batches of which all jobs ended longer ago than this
    #[arg(long, value_name = "TIME", default_value = "30d")]
    older_than: Walltime,
}

/// One thing that goes.
struct Item {
    what: What,
    name: String,
    path: PathBuf,
    size: Removed,
}

enum What {
    /// The files of a batch or of some of its jobs.
    Files(Selection),
    /// A batch with all that is known of it.
    Batch(BatchId),
    /// Something that was left behind.
    Left,
}

/// One thing in JSON; version 1.
#[derive(Serialize)]
struct Line<'a> {
    v: u32,
    batch: Option<BatchId>,
    /// Of some jobs alone.
    jobs: Option<String>,
    path: &'a ByteString,
    files: u64,
    bytes: u64,
    removed: bool,
}

pub(crate) fn clean(mut context: Context, args: &Args) -> anyhow::Result<Exit> {
    args.asking.check()?;
    let selected = context.select(&args.selectors)?;
    context.client.check_removable(&selected, args.force)?;
    let mut items = Vec::new();
    let mut packed = false;
    for selection in selected {
        let size = context.client.clean(std::slice::from_ref(&selection), true, args.force)?;
        if size.files == 0 {
            packed |= selection.jobs.is_some();
            continue;
        }
        let (name, path) = place(&mut context, selection.batch)?;
        items.push(Item { what: What::Files(selection), name, path, size });
    }
    if items.is_empty() && packed && !context.common.quiet {
        talk(
            "cluster: the selected jobs have no files of their own; packed outputs go with their whole batch",
        );
    }
    finish(context, &items, &args.asking, args.force)
}

pub(crate) fn rm(mut context: Context, args: &Args) -> anyhow::Result<Exit> {
    args.asking.check()?;
    for selector in &args.selectors {
        if let Selector::Jobs { batch, jobs: Some(_) } = selector {
            return Err(usage(format!(
                "{selector} names single jobs, and rm removes whole batches: `cluster rm {batch}`, or \
                 `cluster clean {selector}` for the files of these jobs"
            )));
        }
    }
    let selected = context.select(&args.selectors)?;
    for Selection { batch, jobs } in &selected {
        let count = context.client.batch(*batch)?.count;
        if let Some(jobs) = jobs.as_ref().filter(|jobs| jobs.len() < u64::from(count)) {
            return Err(usage(format!(
                "of batch {batch} only {} of {count} jobs are selected, and rm removes whole batches: \
                 `cluster rm {batch}`, or `cluster clean` for the files of these jobs",
                jobs.len()
            )));
        }
    }
    context.client.check_removable(&selected, args.force)?;
    let batches: Vec<_> = selected.iter().map(|selection| selection.batch).collect();
    let items = whole(&mut context, &batches)?;
    finish(context, &items, &args.asking, args.force)
}

pub(crate) fn gc(mut context: Context, args: &GcArgs) -> anyhow::Result<Exit> {
    args.asking.check()?;
    let age =
        args.older_than.as_duration().ok_or_else(|| usage("--older-than unlimited: nothing is that old"))?;
    let (batches, left) = context.client.garbage(age)?;
    let mut items = whole(&mut context, &batches)?;
    for path in left {
        let size = context.client.remove_left(std::slice::from_ref(&path), true)?;
        items.push(Item { what: What::Left, name: "(left behind)".to_owned(), path, size });
    }
    finish(context, &items, &args.asking, false)
}

fn place(context: &mut Context, batch: BatchId) -> anyhow::Result<(String, PathBuf)> {
    let name = context.client.batch(batch)?.name;
    Ok((name, context.client.layout().batch(batch)))
}

fn whole(context: &mut Context, batches: &[BatchId]) -> anyhow::Result<Vec<Item>> {
    let mut items = Vec::new();
    for &batch in batches {
        let size = context.client.remove(&[batch], true, true)?;
        let (name, path) = place(context, batch)?;
        items.push(Item { what: What::Batch(batch), name, path, size });
    }
    Ok(items)
}

/// Lists, asks, removes.
fn finish(mut context: Context, items: &[Item], asking: &Asking, force: bool) -> anyhow::Result<Exit> {
    let quiet = context.common.quiet;
    if items.is_empty() {
        if !quiet {
            talk("there is nothing to remove");
        }
        return Ok(Exit::GOOD);
    }
    let total = total(items);
    if context.common.json {
        if asking.dry_run {
            items
                .iter()
                .try_for_each(|item| json(&item.line(&item.path.clone().into(), item.size, false)))?;
        }
    } else {
        list(items)?;
    }
    if asking.dry_run {
        if !quiet {
            talk(&format!("{total} would be removed; nothing was"));
        }
        return Ok(Exit::GOOD);
    }
    if !asking.yes && !ask(&format!("Remove {total}?"), &mut io::stdin().lock())? {
        talk("nothing was removed");
        return Ok(Exit::GOOD);
    }
    let mut removed = Removed::default();
    for item in items {
        let size = match &item.what {
            What::Files(selection) => context.client.clean(std::slice::from_ref(selection), false, force)?,
            What::Batch(batch) => context.client.remove(&[*batch], false, force)?,
            What::Left => context.client.remove_left(std::slice::from_ref(&item.path), false)?,
        };
        removed.files += size.files;
        removed.bytes += size.bytes;
        if context.common.json {
            json(&item.line(&item.path.clone().into(), size, true))?;
        }
    }
    if !quiet && !context.common.json {
        talk(&format!("removed {}", words(batches(items), removed)));
    }
    Ok(Exit::GOOD)
}

impl Item {
    fn line<'a>(&self, path: &'a ByteString, size: Removed, removed: bool) -> Line<'a> {
        let (batch, jobs) = match &self.what {
            What::Files(selection) => {
                (Some(selection.batch), selection.jobs.as_ref().map(ToString::to_string))
            }
            What::Batch(batch) => (Some(*batch), None),
            What::Left => (None, None),
        };
        Line { v: 1, batch, jobs, path, files: size.files, bytes: size.bytes, removed }
    }

    fn id(&self) -> String {
        match &self.what {
            What::Files(Selection { batch, jobs: Some(jobs) }) => format!("{batch}.{jobs}"),
            What::Files(Selection { batch, .. }) | What::Batch(batch) => batch.to_string(),
            What::Left => "-".to_owned(),
        }
    }
}

fn list(items: &[Item]) -> anyhow::Result<()> {
    let row = |item: &Item| {
        let path = item.path.display().to_string();
        vec![item.id(), shown(&item.name), item.size.files.to_string(), bytes(item.size.bytes), path]
    };
    table(&["ID", "NAME", "FILES", "SIZE", "PATH"], &items.iter().map(row).collect::<Vec<_>>())
}

/// What goes, in words.
fn total(items: &[Item]) -> String {
    let mut size = Removed::default();
    for item in items {
        size.files += item.size.files;
        size.bytes += item.size.bytes;
    }
    words(batches(items), size)
}

fn batches(items: &[Item]) -> usize {
    items.iter().filter(|item| matches!(item.what, What::Batch(_))).count()
}

fn words(batches: usize, size: Removed) -> String {
    let files = if size.files == 1 { "file" } else { "files" };
    let files = format!("{} {files} ({})", size.files, bytes(size.bytes));
    match batches {
        0 => files,
        1 => format!("1 batch and {files}"),
        _ => format!("{batches} batches and {files}"),
    }
}

impl Asking {
    /// Before anything else, so that a script fails alike whether or not there is something to remove.
    fn check(&self) -> anyhow::Result<()> {
        if self.yes || self.dry_run || (io::stdin().is_terminal() && io::stderr().is_terminal()) {
            return Ok(());
        }
        Err(usage("there is no terminal to ask on: say --yes to remove, or --dry-run to see what would go"))
    }
}

/// A question on stderr; no is the default, and what three unclear answers come to.
fn ask(question: &str, answers: &mut dyn BufRead) -> anyhow::Result<bool> {
    for _ in 0..3 {
        let mut err = io::stderr().lock();
        let _ = write!(err, "{question} [y/N] ");
        let _ = err.flush();
        drop(err);
        let mut answer = Vec::new();
        answers.read_until(b'\n', &mut answer).context("cannot read the answer")?;
        let ended = answer.is_empty();
        match answer.trim_ascii().to_ascii_lowercase().as_slice() {
            b"y" | b"yes" => return Ok(true),
            b"" | b"n" | b"no" => {
                if ended {
                    talk("");
                }
                return Ok(false);
            }
            _ => talk("please answer y or n"),
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clear_yes_is_one() {
        let said = |text: &str| ask("Remove 1 file?", &mut text.as_bytes()).unwrap();
        for yes in ["y\n", "Y\n", "yes\n", " YES \r\n", "what\nhow\ny\n", "y"] {
            assert!(said(yes), "{yes:?}");
        }
        for no in ["", "\n", "n\n", "No\n", "yess\nyep\nja\ny\n", "x\n"] {
            assert!(!said(no), "{no:?}");
        }
    }

    #[test]
    fn a_total_names_batches_where_they_go() {
        let item = |what, files| {
            let size = Removed { files, bytes: files * 1024 };
            Item { what, name: "x".to_owned(), path: "/r".into(), size }
        };
        assert_eq!(total(&[item(What::Left, 1)]), "1 file (1.0 KiB)");
        let batches =
            [item(What::Batch(BatchId(1)), 1), item(What::Batch(BatchId(2)), 2), item(What::Left, 0)];
        assert_eq!(total(&batches), "2 batches and 3 files (3.0 KiB)");
    }
}
