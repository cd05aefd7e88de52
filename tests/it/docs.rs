//! README, ARCHITECTURE and docs/ say what is so: their commands are run as they stand there and must print what is
//! shown; options, tests, files and keys that they name exist; links lead somewhere.
//!
//! Each document has a world of its own with a copy of the sources, and its commands run in order.
//! `cargo run --release -- …` is `cluster …`; blocks after `<!-- not run: reason -->` are not run. In what a
//! ```` ```console ```` block shows, `…` is anything within a line, a line that is only `…` any lines; after
//! `<!-- numbers differ -->` one number is as good as another.
//!
//! The commands of a block after `<!-- on slurm -->`, and of a document that [`ON`] names, find a mock of that
//! scheduler on PATH, the same one in the whole document. Both may be said: `<!-- on slurm, numbers differ -->`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use cluster_options::config::{KEYS, PARTITION_KEYS, SYSTEM_KEYS};
use cluster_tests::{World, binary, mock_binary};

fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn read(file: &str) -> String {
    fs::read_to_string(workspace().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// Documents whose commands are run, each by a test below.
const RUN: [&str; 9] = [
    "README.md",
    "ARCHITECTURE.md",
    "docs/config.md",
    "docs/exit-codes.md",
    "docs/job-files.md",
    "docs/json.md",
    "docs/local-queue.md",
    "docs/schedulers.md",
    "docs/systems.md",
];

/// Documents that are about a scheduler from their first line to their last.
const ON: [(&str, &str); 2] = [("docs/schedulers.md", "slurm"), ("docs/systems.md", "slurm")];

/// Documents with links and names alone: made by the program or the benchmark, or about code.
const NOT_RUN: [&str; 7] = [
    "CONTRIBUTING.md",
    "docs/benchmarks.md",
    "docs/benchmarks-schedulers.md",
    "docs/cli.md",
    "docs/new-scheduler.md",
    "tests/README.md",
    "tests/mock/README.md",
];

fn documents() -> Vec<String> {
    let all = RUN.iter().chain(&NOT_RUN).map(|file| (*file).to_owned());
    all.filter(|file| workspace().join(file).exists()).collect()
}

/// A fenced block.
struct Block {
    /// The line of its first line of text, from 1.
    line: usize,
    language: String,
    /// The comment right before it.
    comment: String,
    text: Vec<String>,
}

fn blocks(text: &str) -> Vec<Block> {
    let mut all = Vec::new();
    let mut open: Option<Block> = None;
    let mut comment = String::new();
    for (number, line) in text.lines().enumerate() {
        let fence = line.strip_prefix("```");
        match (&mut open, fence) {
            (Some(_), Some("")) => all.extend(open.take()),
            (Some(block), _) => block.text.push(line.to_owned()),
            (None, Some(language)) => {
                let (language, comment) = (language.to_owned(), std::mem::take(&mut comment));
                open = Some(Block { line: number + 2, language, comment, text: Vec::new() });
            }
            (None, None) => match line.strip_prefix("<!-- ").and_then(|rest| rest.strip_suffix(" -->")) {
                Some(text) => comment = text.to_owned(),
                None if line.is_empty() => {}
                None => comment.clear(),
            },
        }
    }
    assert!(open.is_none(), "a block is not closed");
    all
}

/// A command and what it is to print; `None`: that is not said.
struct Step {
    line: usize,
    command: String,
    expected: Option<Vec<String>>,
}

fn steps(block: &Block) -> Vec<Step> {
    if block.language == "sh" {
        let command = format!("set -e\n{}", block.text.join("\n"));
        return vec![Step { line: block.line, command, expected: None }];
    }
    let mut steps: Vec<Step> = Vec::new();
    for (number, line) in block.text.iter().enumerate() {
        match (line.strip_prefix("$ "), steps.last_mut()) {
            (Some(command), _) => {
                let (line, command) = (block.line + number, command.to_owned());
                steps.push(Step { line, command, expected: Some(Vec::new()) });
            }
            (None, Some(Step { command, expected: Some(lines), .. })) => match line.strip_prefix("> ") {
                Some(more) if lines.is_empty() => command.extend(["\n", more]),
                _ => lines.push(line.clone()),
            },
            _ => panic!("line {}: a console block begins with `$ `", block.line),
        }
    }
    steps
}

/// The sources, as they are in a clone.
fn copy_sources(to: &Path) {
    for name in ["LICENSE-APACHE", "LICENSE-MIT"] {
        fs::copy(workspace().join(name), to.join(name)).unwrap();
    }
    copy_dir(&workspace().join("examples"), &to.join("examples"));
    for entry in fs::read_dir(workspace().join("crates")).unwrap() {
        let dir = entry.unwrap().path();
        copy_dir(&dir.join("src"), &to.join("crates").join(dir.file_name().unwrap()).join("src"));
    }
}

fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_dir(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

/// What the comment before a block says.
#[derive(Debug, Default, PartialEq, Eq)]
struct How<'c> {
    not_run: bool,
    numbers_differ: bool,
    /// The scheduler of which there is a mock.
    on: Option<&'c str>,
}

impl<'c> How<'c> {
    fn of(comment: &'c str) -> Self {
        let mut how = Self::default();
        match comment.strip_prefix("not run: ") {
            Some(reason) => how.not_run = !reason.is_empty(),
            None => {
                for part in comment.split(", ") {
                    how.numbers_differ |= part == "numbers differ";
                    how.on = part.strip_prefix("on ").filter(|name| MOCKS.contains(name)).or(how.on);
                }
            }
        }
        how
    }
}

/// The mocks that a block may be run on.
const MOCKS: [&str; 4] = ["slurm", "pbs", "torque", "sge"];

/// A world with the mocks that a document names, each in `mock-NAME`.
fn world_for(schedulers: &BTreeSet<&str>) -> World {
    let mut config = "local: { cores: 2 }\n".to_owned();
    if !schedulers.is_empty() {
        config.push_str("systems:\n");
    }
    for name in schedulers {
        // A mock answers at once: nobody has to wait for it.
        config.push_str(&format!("  {name}: {{ scheduler: {name}, poll: 0.1 }}\n"));
    }
    let world = World::with_config(&config);
    for name in schedulers {
        let mock = std::process::Command::new(mock_binary())
            .arg("--init")
            .arg(world.path(format!("mock-{name}")))
            .args([*name, "timing.limit_scale=0.05", "timing.kill_wait=1.0", "timing.connect_timeout=0.5"])
            .output()
            .unwrap();
        assert!(mock.status.success(), "{}", String::from_utf8_lossy(&mock.stderr));
    }
    world
}

/// Runs the commands of a document.
fn run(file: &str) {
    assert!(RUN.contains(&file));
    let text = read(file);
    let blocks = blocks(&text);
    let of_file = ON.iter().find(|(name, _)| *name == file).map(|(_, on)| *on);
    let schedulers = blocks.iter().filter_map(|block| How::of(&block.comment).on).chain(of_file).collect();
    let world = world_for(&schedulers);
    copy_sources(&world.work());
    fs::create_dir(world.path("bin")).unwrap();
    std::os::unix::fs::symlink(binary(), world.path("bin/cluster")).unwrap();
    std::os::unix::fs::symlink(mock_binary(), world.path("bin/cluster-mock")).unwrap();
    let bin = world.path("bin").display().to_string();
    let shell = |command: &str, on: Option<&str>| {
        let command = command.replace("cargo run --release -- ", "cluster ");
        // As on a terminal: one stream, in the order in which it was written.
        let text = format!("exec 2>&1\n{command}");
        let call = world.program("timeout").args(["60", "sh", "-c", &text]).without("CLUSTER_ROOT");
        let Some(on) = on else {
            return call.env("PATH", format!("{bin}:/usr/local/bin:/usr/bin:/bin")).end();
        };
        let mock = world.path(format!("mock-{on}"));
        call.env("PATH", format!("{bin}:{}/bin:/usr/local/bin:/usr/bin:/bin", mock.display()))
            .env("CLUSTER_MOCK_DIR", mock)
            .without("CLUSTER_SYSTEM")
            .end()
    };
    for block in &blocks {
        let How { not_run, numbers_differ, on } = How::of(&block.comment);
        match block.language.as_str() {
            "sh" | "console" if !not_run => {
                for step in steps(block) {
                    let outcome = shell(&step.command, on.or(of_file));
                    let printed = outcome.out();
                    let told = format!(
                        "{file}:{}: {}\nprinted (code {}):\n{printed}",
                        step.line, step.command, outcome.code
                    );
                    assert_eq!(outcome.code, 0, "{told}");
                    let Some(expected) = step.expected else { continue };
                    let printed: Vec<_> = printed.lines().map(str::trim_end).collect();
                    let expected: Vec<_> = expected.iter().map(|line| line.trim_end()).collect();
                    let good = if numbers_differ {
                        let plain = |lines: &[&str]| {
                            lines.iter().map(|line| without_numbers(line)).collect::<Vec<_>>()
                        };
                        let (expected, printed) = (plain(&expected), plain(&printed));
                        matches(&refs(&expected), &refs(&printed))
                    } else {
                        matches(&expected, &printed)
                    };
                    assert!(good, "{told}expected:\n{}", expected.join("\n"));
                }
            }
            "yaml" if !not_run => {
                let file = world.path("yaml/cluster/config.yaml");
                fs::create_dir_all(file.parent().unwrap()).unwrap();
                fs::write(&file, block.text.join("\n")).unwrap();
                let said = world.call(["ls"]).env("XDG_CONFIG_HOME", world.path("yaml")).end().good().err();
                assert!(!said.contains("is not used"), "{said}");
            }
            _ => {}
        }
    }
}

fn refs(lines: &[String]) -> Vec<&str> {
    lines.iter().map(String::as_str).collect()
}

fn without_numbers(line: &str) -> String {
    let mut plain = String::new();
    for c in line.chars() {
        match c {
            '0'..='9' if plain.ends_with('0') => {}
            '0'..='9' => plain.push('0'),
            _ => plain.push(c),
        }
    }
    plain
}

/// Whether lines were printed as they are shown.
fn matches(shown: &[&str], printed: &[&str]) -> bool {
    match (shown, printed) {
        ([], []) => true,
        (["…", rest @ ..], _) => (0..=printed.len()).any(|skipped| matches(rest, &printed[skipped..])),
        ([first, rest @ ..], [line, more @ ..]) => matches_line(first, line) && matches(rest, more),
        _ => false,
    }
}

fn matches_line(shown: &str, line: &str) -> bool {
    let Some((before, after)) = shown.split_once('…') else { return shown == line };
    let Some(rest) = line.strip_prefix(before) else { return false };
    let starts = rest.char_indices().map(|(at, _)| at).chain([rest.len()]);
    // It stands for something: nothing at all is not elided.
    starts.skip(1).any(|at| matches_line(after, &rest[at..]))
}

#[test]
fn elisions() {
    assert!(matches(&["a …", "…", "c"], &["a 1", "b", "b", "c"]));
    assert!(matches(&["a", "…"], &["a"]) && matches(&["x … y … z"], &["x 1 y 2 y 3 z"]));
    assert!(!matches(&["a …"], &["a "]) && !matches(&["a"], &["a", "b"]) && !matches(&["…", "c"], &["a"]));
    assert_eq!(without_numbers("12 a.rs 3.4"), "0 a.rs 0.0");
}

#[test]
fn comments() {
    assert_eq!(
        How::of("on slurm, numbers differ"),
        How { numbers_differ: true, on: Some("slurm"), not_run: false }
    );
    assert_eq!(How::of("not run: on a day, on slurm"), How { not_run: true, ..How::default() });
    assert_eq!(How::of("anything else"), How::default());
}

#[test]
fn readme() {
    run("README.md");
}

#[test]
fn architecture() {
    run("ARCHITECTURE.md");
}

#[test]
fn docs_config() {
    run("docs/config.md");
}

#[test]
fn docs_exit_codes() {
    run("docs/exit-codes.md");
}

#[test]
fn docs_job_files() {
    run("docs/job-files.md");
}

#[test]
fn docs_json() {
    run("docs/json.md");
}

#[test]
fn docs_local_queue() {
    run("docs/local-queue.md");
}

#[test]
fn docs_schedulers() {
    run("docs/schedulers.md");
}

#[test]
fn docs_systems() {
    run("docs/systems.md");
}

#[test]
fn every_document_is_looked_at() {
    let known: BTreeSet<PathBuf> = RUN.iter().chain(&NOT_RUN).map(PathBuf::from).collect();
    for entry in fs::read_dir(workspace().join("docs")).unwrap() {
        let path = entry.unwrap().path();
        let name = Path::new("docs").join(path.file_name().unwrap());
        assert!(known.contains(&name), "{} is in no list of this file", name.display());
    }
}

/// The code spans of a document, those in its blocks left out.
fn code_spans(text: &str) -> Vec<String> {
    let mut in_block = false;
    let mut spans = Vec::new();
    for line in text.lines() {
        if line.starts_with("```") {
            in_block = !in_block;
        } else if !in_block {
            spans.extend(line.split('`').skip(1).step_by(2).map(str::to_owned));
        }
    }
    spans
}

#[test]
fn options_that_are_named_exist() {
    let reference = read("docs/cli.md");
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let options: BTreeSet<&str> =
        reference.split(|c| !is_part(c)).filter(|word| word.starts_with("--")).chain(["--help"]).collect();
    let commands: BTreeSet<&str> = reference
        .lines()
        .filter_map(|line| line.strip_prefix("## cluster "))
        .flat_map(|line| line.split(' '))
        .collect();
    for file in RUN {
        for span in code_spans(&read(file)) {
            let mut words = span.split_whitespace();
            if words.next() == Some("cluster")
                && let Some(command) =
                    words.next().filter(|word| word.chars().all(|c| c.is_ascii_lowercase()))
            {
                assert!(commands.contains(command), "{file}: `{span}`: there is no command {command}");
            }
            // Other programs have options, too; `--name=value` is how schedulers spell theirs, and never how we do.
            let others = ["cargo ", "systemd", "cluster-mock ", "sbatch ", "qsub "];
            let spelled = span.starts_with("--") && span.trim_start_matches(is_part).starts_with('=');
            if spelled || others.iter().any(|other| span.starts_with(other)) {
                continue;
            }
            for word in span.split(|c| !is_part(c)).filter(|word| word.len() > 2 && word.starts_with("--")) {
                assert!(options.contains(word), "{file}: `{span}`: there is no option {word}");
            }
        }
    }
}

fn sources(dir: &Path, all: &mut String) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, all);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            all.push_str(&fs::read_to_string(&path).unwrap());
        }
    }
}

#[test]
fn tests_and_files_that_the_architecture_names_exist() {
    let mut code = String::new();
    for dir in ["crates", "tests", "xtask"] {
        sources(&workspace().join(dir), &mut code);
    }
    for span in code_spans(&read("ARCHITECTURE.md")) {
        let is_name = span.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        if is_name && span.matches('_').count() >= 2 {
            assert!(code.contains(&format!("fn {span}(")), "there is no test {span}");
        }
        let first = span.split('/').next().unwrap_or_default();
        if ["crates", "tests", "xtask", "docs", "examples"].contains(&first)
            && !span.contains(['*', '{', ' '])
        {
            assert!(workspace().join(&span).exists(), "there is no {span}");
        }
    }
}

#[test]
fn links_lead_somewhere() {
    for file in documents() {
        let text = read(&file);
        let dir = workspace().join(&file).parent().unwrap().to_owned();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.starts_with("http") {
                continue;
            }
            let (path, anchor) =
                link.split_once('#').map_or((link, None), |(path, anchor)| (path, Some(anchor)));
            let target = if path.is_empty() { workspace().join(&file) } else { dir.join(path) };
            assert!(target.exists(), "{file}: {link} leads nowhere");
            if let Some(anchor) = anchor {
                let there = fs::read_to_string(&target).unwrap();
                let mut headings = there.lines().filter(|line| line.starts_with('#')).map(slug);
                assert!(
                    headings.any(|heading| heading == anchor),
                    "{file}: {link}: there is no such heading"
                );
            }
        }
    }
}

fn slug(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    text.chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

#[test]
fn every_configuration_key_is_in_the_table() {
    let text = read("docs/config.md");
    let rows: Vec<_> = text.lines().filter(|line| line.starts_with("| `")).collect();
    let wanted: Vec<_> = [KEYS, SYSTEM_KEYS, PARTITION_KEYS]
        .iter()
        .flat_map(|keys| keys.iter())
        .map(|key| {
            let default = key.default.map_or("–".to_owned(), |default| format!("`{default}`"));
            format!("| `{}` | {default} | {} | {} |", key.name, key.kind.expected(), key.help)
        })
        .collect();
    let table: Vec<_> = rows.into_iter().take(wanted.len()).collect();
    assert_eq!(table, wanted, "the table is to be:\n{}", wanted.join("\n"));
}
