//! Reading the recordings.

#![allow(dead_code)] // Each test binary uses a part of it.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::Read as _;
use std::path::PathBuf;

use cluster_backend_sge::Sge;
use cluster_core::dialect::{Dialect, DialectError, Jobs, Reading};
use cluster_core::host::Output;
use cluster_core::{ExitStatus, JobState};

/// One recording.
pub(crate) struct Recording {
    pub(crate) cmd: String,
    pub(crate) output: Output,
}

/// Whose output a recording is.
pub(crate) enum Attributed {
    Argv(Vec<String>),
    Not(&'static str),
}

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// The names of all recordings, in order.
pub(crate) fn names() -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(directory())
        .expect("fixtures")
        .filter_map(|entry| Some(entry.ok()?.file_name().to_str()?.strip_suffix(".cmd")?.to_owned()))
        .collect();
    names.sort();
    names
}

/// One of them.
pub(crate) fn load(name: &str) -> Recording {
    let file = |end: &str| std::fs::read(directory().join(format!("{name}{end}"))).ok();
    let stdout = file(".out").or_else(|| {
        let packed = file(".out.gz")?;
        let mut text = Vec::new();
        flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut text).ok()?;
        Some(text)
    });
    let code = file(".rc").map_or(0, |rc| String::from_utf8_lossy(&rc).trim().parse().expect("a code"));
    Recording {
        cmd: String::from_utf8_lossy(&file(".cmd").expect("a command")).into_owned(),
        output: Output {
            status: ExitStatus::Exit(code),
            stdout: stdout.unwrap_or_else(|| panic!("{name} has no .out")),
            stderr: file(".err").unwrap_or_default(),
            truncated: false,
        },
    }
}

/// The commands of a shell line, each as its words; `|` and `;` between them. Substitutions stay as they are.
fn words(line: &str) -> Vec<(Vec<String>, char)> {
    let (mut commands, mut words, mut word, mut open) = (Vec::new(), Vec::new(), String::new(), false);
    let mut chars = line.trim_end_matches('\n').chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\'' => {
                open = true;
                word.extend(chars.by_ref().take_while(|&c| c != '\''));
            }
            '"' => {
                open = true;
                let mut depth = 0;
                for c in chars.by_ref() {
                    match c {
                        '(' => depth += 1,
                        ')' => depth -= 1,
                        '"' if depth == 0 => break,
                        _ => {}
                    }
                    word.push(c);
                }
            }
            '\\' => {
                open = true;
                word.extend(chars.next());
            }
            '$' if chars.peek() == Some(&'(') => {
                open = true;
                word.push(c);
                word.extend(chars.by_ref().take_while(|&c| c != ')'));
                word.push(')');
            }
            ' ' | '\t' | '\n' | ';' | '|' => {
                if open || !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                    open = false;
                }
                if matches!(c, ';' | '|') {
                    commands.push((std::mem::take(&mut words), c));
                }
            }
            _ => word.push(c),
        }
    }
    if open || !word.is_empty() {
        words.push(word);
    }
    commands.push((words, ';'));
    commands
}

/// The one command of Grid Engine's whose output, whole and unchanged, is the line's.
pub(crate) fn attribute(line: &str) -> Attributed {
    let mut found = None;
    let commands = words(line);
    let last = commands.len() - 1;
    for (i, (words, joint)) in commands.into_iter().enumerate() {
        let assigned = |word: &&String| {
            word.split_once('=')
                .is_some_and(|(name, _)| name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_'))
        };
        let mut rest: Vec<String> = words.iter().skip_while(assigned).cloned().collect();
        if rest.first().is_some_and(|word| word == "timeout") {
            rest.drain(..2.min(rest.len()));
        }
        match rest.first().map(String::as_str) {
            Some("cd" | "unset") if joint == ';' => {}
            Some("echo" | "printf") if joint == '|' => {}
            Some(program) if program.starts_with('q') && found.is_none() && i == last => found = Some(rest),
            Some(program) if program.starts_with('q') => {
                return Attributed::Not("its output goes on to another command, or several write to it");
            }
            _ => return Attributed::Not("another program writes it"),
        }
    }
    found.map_or(Attributed::Not("no command of Grid Engine's"), Attributed::Argv)
}

/// The dialect as a site with a parallel environment sets it.
pub(crate) fn sge() -> Sge {
    Sge { parallel_environment: Some("smp".into()), ..Sge::default() }
}

/// What is understood of a recording, as text.
pub(crate) fn outcome(recording: &Recording) -> String {
    let argv = match attribute(&recording.cmd) {
        Attributed::Argv(argv) => argv,
        Attributed::Not(why) => {
            let error =
                DialectError::NotRead { command: recording.cmd.trim().to_owned(), why: why.to_owned() };
            return format!("not attributed\n{}", json(&error));
        }
    };
    let argv: Vec<OsString> = argv.into_iter().map(OsString::from).collect();
    match sge().read(&argv, &recording.output) {
        Ok(Reading::Jobs(jobs)) if jobs.rows.len() > 30 => shortened(&jobs),
        Ok(Reading::Jobs(jobs)) => {
            let mut text = format!("{} rows, {} errors\n", jobs.rows.len(), jobs.errors.len());
            for row in &jobs.rows {
                let _ = writeln!(text, "{}", line(row));
            }
            for error in &jobs.errors {
                let _ = writeln!(text, "{error}");
            }
            text
        }
        Ok(reading) => json(&reading),
        Err(error) => format!("error\n{}", json(&error)),
    }
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string_pretty(value).expect("it serializes")
}

fn line(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("it serializes")
}

/// Of many rows: how many of each state, and the first and last three.
fn shortened(jobs: &Jobs<'_>) -> String {
    let mut text = format!("{} rows, {} errors\n", jobs.rows.len(), jobs.errors.len());
    for state in JobState::ALL {
        let rows: Vec<_> = jobs.rows.iter().filter(|row| row.state == state).collect();
        let mut raw: Vec<_> = rows.iter().map(|row| &*row.raw_state).collect();
        raw.sort_unstable();
        raw.dedup();
        if !rows.is_empty() {
            let _ = writeln!(text, "{state}: {} ({})", rows.len(), raw.join(" "));
        }
    }
    let end = jobs.rows.len() - 3;
    for row in jobs.rows[..3].iter().chain(&jobs.rows[end..]) {
        let _ = writeln!(text, "{}", line(row));
    }
    text
}
