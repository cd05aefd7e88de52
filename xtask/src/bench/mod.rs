//! `cargo xtask bench local`: the table of speed and size.
//!
//! Everything that is compared is measured in the same run, in an order that differs each round, with the limit of
//! the machine before and after each: other users of a machine then slow both sides.

mod idle;
mod latency;
mod limit;
mod machine;
mod many;
mod million;
mod place;
mod proc;
mod queue;
mod row;
pub(crate) mod schedulers;
mod schedulers_calls;
#[cfg(feature = "parse")]
pub(crate) mod schedulers_parse;
mod stats;
mod throughput;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};
use serde_json::json;

use self::place::Place;
use self::row::Row;
use crate::workspace::Workspace;
use crate::{dist, tool};

/// What was asked for.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Options {
    quick: bool,
    only: Vec<String>,
    json: Option<PathBuf>,
    doc: Option<PathBuf>,
    binary: Option<PathBuf>,
}

impl Options {
    pub(crate) fn parse(words: &[&str]) -> anyhow::Result<Self> {
        let options = Self::read(words)?;
        for only in &options.only {
            if !GROUPS.iter().any(|group| wants(only, group.name)) {
                let names: Vec<_> = GROUPS.iter().map(|group| group.name).collect();
                bail!(
                    "there is no row {only}: the groups are {}, a row is one of a group (million.range)",
                    names.join(", ")
                );
            }
        }
        Ok(options)
    }

    fn read(words: &[&str]) -> anyhow::Result<Self> {
        let mut options = Self::default();
        let mut words = words.iter();
        while let Some(&word) = words.next() {
            let mut value = || {
                words.next().map(|value| (*value).to_owned()).with_context(|| format!("{word} needs a value"))
            };
            match word {
                "--quick" => options.quick = true,
                "--only" => options.only.push(value()?),
                "--json" => options.json = Some(value()?.into()),
                "--doc" => options.doc = Some(value()?.into()),
                "--binary" => options.binary = Some(value()?.into()),
                _ => bail!(
                    "bench does not know {word}: it has --quick, --only ROW, --json FILE, --doc FILE, --binary FILE"
                ),
            }
        }
        Ok(options)
    }
}

/// Rows that are measured together.
struct Group {
    name: &'static str,
    run: fn(&Bench) -> anyhow::Result<Vec<Row>>,
}

const GROUPS: &[Group] = &[
    Group { name: "throughput", run: throughput::run },
    Group { name: "queue", run: queue::run },
    Group { name: "million", run: million::run },
    Group { name: "latency", run: latency::run },
    Group { name: "many", run: many::run },
    Group { name: "idle", run: idle::run },
];

/// Whether `only` (a group, or a row of one) needs this group.
fn wants(only: &str, group: &str) -> bool {
    only == group || only.strip_prefix(group).is_some_and(|rest| rest.starts_with('.'))
}

/// One run of the benchmarks: its directory, and how long to measure.
pub(crate) struct Bench {
    binary: PathBuf,
    dir: PathBuf,
    quick: bool,
    places: std::cell::Cell<u32>,
}

impl Bench {
    /// A fresh queue and root.
    fn place(&self) -> anyhow::Result<Place> {
        Place::new(&self.binary, self.fresh("p"))
    }

    /// A path in our directory that is not there yet.
    fn fresh(&self, prefix: &str) -> PathBuf {
        let number = self.places.get();
        self.places.set(number + 1);
        self.dir.join(format!("{prefix}{number}"))
    }

    /// Rounds of what takes seconds.
    fn rounds(&self) -> usize {
        self.choose(5, 3)
    }

    /// Rounds of what takes milliseconds.
    fn repeats(&self) -> usize {
        self.choose(51, 21)
    }

    fn choose<T>(&self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// Measures, prints, and writes what was asked for.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> anyhow::Result<()> {
    // Below the target directory: the same file system for all sides, and none that is only memory.
    let all = workspace.target.join("bench");
    remove_old(&all);
    let dir = all.join(std::process::id().to_string());
    fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let dir = dir.canonicalize()?;
    let binary = dir.join("cluster");
    let bench = Bench { binary, dir, quick: options.quick, places: 0.into() };
    prepare(workspace, options, &bench.binary)?;
    let machine = machine::describe(&bench.dir);
    println!("{}", machine.text());
    let mut rows = Vec::new();
    for group in GROUPS {
        let wanted = options.only.is_empty() || options.only.iter().any(|only| wants(only, group.name));
        if !wanted {
            continue;
        }
        println!("\n== {} ==", group.name);
        // One group that cannot be measured must not cost the results of the others.
        match (group.run)(&bench) {
            Ok(measured) => rows.extend(measured),
            Err(error) => rows.push(Row::skipped(group.name, group.name, format!("{error:#}"))),
        }
    }
    rows.retain(|row| options.only.is_empty() || options.only.iter().any(|only| shows(only, &row.id)));
    println!("\n{}", row::table(&rows));
    for row in rows.iter().filter(|row| !row.note.is_empty()) {
        println!("{}: {}", row.what, row.note);
    }
    let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    if let Some(path) = &options.json {
        let rows: Vec<_> = rows.iter().map(Row::json).collect();
        let all =
            json!({"v": 1, "time": at, "quick": options.quick, "machine": machine.json(), "rows": rows});
        write(path, &format!("{}\n", serde_json::to_string_pretty(&all)?))?;
    }
    if let Some(path) = &options.doc {
        write(path, &document(&machine, &rows, options.quick))?;
    }
    let failed: Vec<_> =
        rows.iter().filter(|row| row.passed() == Some(false)).map(|row| row.id.as_str()).collect();
    let skipped = rows.iter().filter(|row| row.skipped).count();
    println!("\n{} rows: {} short of their mark, {skipped} skipped", rows.len(), failed.len());
    if !failed.is_empty() {
        bail!("short of their mark: {}", failed.join(", "));
    }
    Ok(())
}

/// Removes what interrupted runs left; a runner whose directory is gone ends by itself.
fn remove_old(dir: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let pid = entry.file_name().to_str().and_then(|name| name.parse().ok());
        if pid.is_some_and(|pid| !proc::is_alive(pid)) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Whether `only` means this row, or its group.
fn shows(only: &str, id: &str) -> bool {
    wants(only, id) || id.strip_prefix(only).is_some_and(|rest| rest.starts_with('.')) || id == only
}

/// Puts the binary that is measured into our directory: later builds must not change it.
fn prepare(workspace: &Workspace, options: &Options, binary: &Path) -> anyhow::Result<()> {
    let built = match &options.binary {
        Some(path) => path.clone(),
        None => dist::build(workspace)?,
    };
    tool::run(Command::new("strip").arg("--strip-all").arg("-o").arg(binary).arg(built))
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

fn document(machine: &machine::Machine, rows: &[Row], quick: bool) -> String {
    let how = include_str!("how.md");
    let kind = if quick { "\nThis was a `--quick` run: fewer rounds and smaller batches.\n" } else { "" };
    format!(
        "# Benchmarks\n\nWritten by `cargo xtask bench local --doc docs/benchmarks.md`.\n{kind}\n{how}\n## The machine\n\n{}\n## Results\n\n{}",
        machine.markdown(),
        row::markdown(rows)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read() {
        let options =
            Options::parse(&["--quick", "--only", "idle", "--only", "million.range", "--json", "f"]).unwrap();
        assert!(options.quick);
        assert_eq!(options.only, ["idle", "million.range"]);
        assert_eq!(options.json.as_deref(), Some(Path::new("f")));
        assert!(Options::parse(&["--only", "nothing"]).is_err());
        assert!(Options::parse(&["--json"]).is_err());
        assert!(Options::parse(&["--fast"]).is_err());
    }

    #[test]
    fn a_row_brings_its_group_and_shows_alone() {
        assert!(wants("million.range", "million") && wants("million", "million"));
        assert!(!wants("millions", "million"));
        assert!(shows("million", "million.range") && shows("million.range", "million.range.cold"));
        assert!(!shows("million.range", "million.lines"));
    }
}
