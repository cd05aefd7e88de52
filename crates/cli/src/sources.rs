//! Where the inputs of a `map` come from.

mod tables;

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use clap::{ArgMatches, FromArgMatches};
use cluster_client::Stage;
use cluster_core::inputs::{InputPlan, Link, Source, SourceKind};

use self::tables::{csv_rows, json_rows};
use crate::exit::usage;
use crate::output::talk;

/// The options that name inputs; `:::` lists are among the command's words.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Inputs")]
struct Flags {
    /// Numbers: 1-100, 0-20:5
    #[arg(long, value_name = "FIRST-LAST[:STEP]", allow_hyphen_values = true)]
    range: Vec<String>,
    /// One input a path that matches (repeatable)
    #[arg(long, value_name = "PATTERN")]
    glob: Vec<String>,
    /// One input a line of FILE (- for standard input)
    #[arg(long, value_name = "FILE")]
    from: Vec<PathBuf>,
    /// One input a row of a CSV file; the header's names are placeholders
    #[arg(long, value_name = "FILE")]
    csv: Vec<PathBuf>,
    /// One input a line of a file of JSON objects; their keys are placeholders
    #[arg(long = "json-lines", value_name = "FILE")]
    json_lines: Vec<PathBuf>,
    /// Take the sources side by side instead of in all pairs
    #[arg(long)]
    zip: bool,
    /// Inputs to one job
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    per_job: u32,
    /// Never put the input after a command without a placeholder; the job has CLUSTER_JOB_INDEX to go by
    #[arg(long)]
    no_append: bool,
}

/// What the user named, in the order of the command line: columns are counted over it.
#[derive(Debug, Clone)]
enum Given {
    Range(String),
    Glob(String),
    From(PathBuf),
    Csv(PathBuf),
    JsonLines(PathBuf),
}

/// The options that name inputs, as they were given.
#[derive(Debug, Clone)]
pub(crate) struct SourceArgs {
    given: Vec<Given>,
    zip: bool,
    per_job: u32,
    no_append: bool,
}

impl clap::Args for SourceArgs {
    fn augment_args(command: clap::Command) -> clap::Command {
        Flags::augment_args(command)
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Flags::augment_args_for_update(command)
    }
}

impl FromArgMatches for SourceArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let Flags { range, glob, from, csv, json_lines, zip, per_job, no_append } =
            Flags::from_arg_matches(matches)?;
        let mut given: Vec<(usize, Given)> = Vec::new();
        let mut add = |id: &str, of_kind: Vec<Given>| {
            given.extend(matches.indices_of(id).into_iter().flatten().zip(of_kind));
        };
        add("range", range.into_iter().map(Given::Range).collect());
        add("glob", glob.into_iter().map(Given::Glob).collect());
        add("from", from.into_iter().map(Given::From).collect());
        add("csv", csv.into_iter().map(Given::Csv).collect());
        add("json_lines", json_lines.into_iter().map(Given::JsonLines).collect());
        given.sort_by_key(|(place, _)| *place);
        Ok(Self { given: given.into_iter().map(|(_, one)| one).collect(), zip, per_job, no_append })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// A command's words and the `:::` lists after it.
pub(crate) struct Words {
    pub(crate) command: Vec<OsString>,
    lists: Vec<(Link, Vec<OsString>)>,
}

/// Cuts the words at `:::` and `:::+`.
pub(crate) fn split_lists(words: Vec<OsString>) -> Words {
    let mut command = Vec::new();
    let mut lists: Vec<(Link, Vec<OsString>)> = Vec::new();
    for word in words {
        match (word.as_bytes(), lists.last_mut()) {
            (b":::", _) => lists.push((Link::Cross, Vec::new())),
            (b":::+", _) => lists.push((Link::Zip, Vec::new())),
            (_, Some((_, list))) => list.push(word),
            (_, None) => command.push(word),
        }
    }
    Words { command, lists }
}

impl SourceArgs {
    /// Copies the inputs into the stage and says how they make jobs.
    pub(crate) fn plan(&self, stage: &mut Stage, words: &Words, cwd: &Path) -> anyhow::Result<InputPlan> {
        let mut sources = Vec::new();
        let from_stdin = |given: &&Given| match given {
            Given::From(path) | Given::Csv(path) | Given::JsonLines(path) => path == Path::new("-"),
            Given::Range(_) | Given::Glob(_) => false,
        };
        if self.given.iter().filter(from_stdin).count() > 1 {
            return Err(usage("standard input (-) can be read once: put the other inputs into a file"));
        }
        for given in &self.given {
            let (kind, columns) = match given {
                Given::Range(range) => (parse_range(range)?, Vec::new()),
                Given::Glob(pattern) => {
                    let paths = glob(pattern, cwd)?;
                    if paths.is_empty() {
                        return Err(usage(format!(
                            "--glob {pattern}: no path matches, so there are no inputs"
                        )));
                    }
                    (store(stage, paths.iter().map(|path| path.as_os_str().as_bytes()))?, Vec::new())
                }
                Given::From(path) => (lines(stage, path, cwd)?, Vec::new()),
                Given::Csv(path) => csv_rows(stage, path, cwd)?,
                Given::JsonLines(path) => json_rows(stage, path, cwd)?,
            };
            sources.push((Link::Cross, kind, columns));
        }
        if let Some((Link::Zip, _)) = words.lists.first()
            && sources.is_empty()
        {
            return Err(usage(":::+ goes beside the inputs before it, and there are none: write :::"));
        }
        for (link, list) in &words.lists {
            sources.push((*link, store(stage, list.iter().map(|word| word.as_bytes()))?, Vec::new()));
        }
        if sources.is_empty() {
            if io::stdin().is_terminal() {
                talk("cluster: the inputs are read from this terminal, one a line; Ctrl-D ends them");
            }
            sources.push((Link::Cross, lines(stage, Path::new("-"), cwd)?, Vec::new()));
        }
        let zip = |(i, (link, kind, columns)): (usize, (Link, SourceKind, Vec<String>))| Source {
            link: if self.zip && i > 0 { Link::Zip } else { link },
            kind,
            columns,
        };
        let plan = InputPlan {
            sources: sources.into_iter().enumerate().map(zip).collect(),
            per_job: self.per_job.max(1),
            append: !self.no_append,
            literal: 0,
        };
        check_zipped(&plan)?;
        Ok(plan)
    }
}

/// Sources side by side must be equally long.
fn check_zipped(plan: &InputPlan) -> anyhow::Result<()> {
    let mut first = 0;
    for (i, source) in plan.sources.iter().enumerate() {
        if source.link == Link::Cross || i == 0 {
            first = i;
        } else if source.len() != plan.sources[first].len() {
            return Err(usage(format!(
                "source {} has {} inputs and source {} beside it has {}: they must be equally many",
                first + 1,
                plan.sources[first].len(),
                i + 1,
                source.len()
            )));
        }
    }
    Ok(())
}

fn parse_range(text: &str) -> anyhow::Result<SourceKind> {
    let wrong =
        || usage(format!("--range {text}: expected FIRST-LAST or FIRST-LAST:STEP, like 1-100 or 0-20:5"));
    let (span, step) = match text.rsplit_once(':') {
        Some((span, step)) => (span, step.parse::<i64>().map_err(|_| wrong())?),
        None => (text, 1),
    };
    // The first number may be negative: its own sign is no separator.
    let dash =
        span.char_indices().skip(1).find(|&(i, c)| c == '-' && span.as_bytes()[i - 1].is_ascii_digit());
    let (first, last) = match dash {
        Some((at, _)) => (&span[..at], &span[at + 1..]),
        None => (span, span),
    };
    let (first, last): (i64, i64) = (first.parse().map_err(|_| wrong())?, last.parse().map_err(|_| wrong())?);
    if step == 0 {
        return Err(usage(format!("--range {text}: a step of 0 never arrives")));
    }
    if (last < first && step > 0) || (last > first && step < 0) {
        return Err(usage(format!(
            "--range {text} is empty: it goes from {first} to {last} by {step} (for a falling one write {first}-{last}:-1)"
        )));
    }
    Ok(SourceKind::Range { first, last, step })
}

fn store<'a>(stage: &mut Stage, inputs: impl Iterator<Item = &'a [u8]>) -> anyhow::Result<SourceKind> {
    let (file, mut writer) = stage.inputs()?;
    for input in inputs {
        writer.push(input)?;
    }
    Ok(SourceKind::Stored { file, count: writer.finish()? })
}

fn open(path: &Path, cwd: &Path) -> anyhow::Result<Box<dyn Read>> {
    if path == Path::new("-") {
        return Ok(Box::new(io::stdin().lock()));
    }
    let path = cwd.join(path);
    let failed = |error: io::Error| usage(format!("cannot read {}: {error}", path.display()));
    let file = File::open(&path).map_err(failed)?;
    if file.metadata().map_err(failed)?.is_dir() {
        return Err(failed(io::ErrorKind::IsADirectory.into()));
    }
    Ok(Box::new(file))
}

/// One input a line; a line may end by CRLF, and the last one by nothing.
fn lines(stage: &mut Stage, path: &Path, cwd: &Path) -> anyhow::Result<SourceKind> {
    let mut from = BufReader::with_capacity(256 << 10, open(path, cwd)?);
    let (file, mut writer) = stage.inputs()?;
    let mut line = Vec::new();
    loop {
        line.clear();
        if from.read_until(b'\n', &mut line)? == 0 {
            break;
        }
        if line.ends_with(b"\n") {
            line.pop();
            if line.ends_with(b"\r") {
                line.pop();
            }
        }
        if line.contains(&0) {
            return Err(usage(format!(
                "{} has a NUL byte in it: no command can be given that",
                path.display()
            )));
        }
        writer.push(&line)?;
    }
    Ok(SourceKind::Stored { file, count: writer.finish()? })
}

/// The paths that match, sorted. Hidden files only where the pattern names the dot.
fn glob(pattern: &str, cwd: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let matcher = globset::GlobBuilder::new(pattern)
        .literal_separator(true)
        .build()
        .map_err(|error| usage(format!("--glob {pattern}: {error}")))?
        .compile_matcher();
    let is_plain = |part: &&OsStr| !part.as_bytes().iter().any(|b| b"*?[{\\".contains(b));
    let parts: Vec<_> = Path::new(pattern).components().map(std::path::Component::as_os_str).collect();
    let fixed = parts.iter().take_while(|part| is_plain(part)).count().min(parts.len().saturating_sub(1));
    let base: PathBuf = parts[..fixed].iter().collect();
    let depth = if pattern.contains("**") { usize::MAX } else { parts.len() - fixed };
    let hidden = pattern.split('/').any(|part| part.starts_with('.') && part != "." && part != "..");
    let mut found = Vec::new();
    walk(&base, cwd, depth, hidden, &mut |path| {
        if matcher.is_match(path) {
            found.push(path.to_owned());
        }
    })
    .map_err(|error| usage(format!("--glob {pattern}: {error}")))?;
    found.sort();
    Ok(found)
}

fn walk(
    dir: &Path,
    cwd: &Path,
    depth: usize,
    hidden: bool,
    found: &mut dyn FnMut(&Path),
) -> anyhow::Result<()> {
    if depth == 0 {
        return Ok(());
    }
    // A directory that nobody may read matches nothing, as in a shell.
    let Ok(entries) = std::fs::read_dir(cwd.join(dir)) else { return Ok(()) };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        if name.as_bytes().starts_with(b".") && !hidden {
            continue;
        }
        let path = dir.join(&name);
        // Links are matched but not walked into: they may lead back.
        if entry.file_type()?.is_dir() {
            walk(&path, cwd, depth - 1, hidden, found)?;
        }
        found(&path);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        let range = |text: &str| parse_range(text).map_err(|error| error.to_string());
        assert_eq!(range("1-100"), Ok(SourceKind::Range { first: 1, last: 100, step: 1 }));
        assert_eq!(range("-3--1"), Ok(SourceKind::Range { first: -3, last: -1, step: 1 }));
        assert_eq!(range("5-1:-2"), Ok(SourceKind::Range { first: 5, last: 1, step: -2 }));
        assert_eq!(range("7"), Ok(SourceKind::Range { first: 7, last: 7, step: 1 }));
        assert!(range("5-1").unwrap_err().contains("is empty"));
        assert!(range("1-2:0").is_err() && range("a-b").is_err() && range("").is_err());
    }

    #[test]
    fn globs_match_as_in_a_shell() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a/x.rs", "a/b/y.rs", ".h/z.rs", "w.txt"] {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let matches = |pattern: &str| {
            let paths = glob(pattern, dir.path()).unwrap();
            paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(matches("**/*.rs"), ["a/b/y.rs", "a/x.rs"]);
        assert_eq!(matches("a/*.rs"), ["a/x.rs"]);
        assert_eq!(matches("*.txt"), ["w.txt"]);
        assert_eq!(matches(".h/*"), [".h/z.rs"]);
        assert!(matches("nope/*").is_empty());
    }
}
