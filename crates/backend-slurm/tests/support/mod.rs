//! Recordings: what a command of a real Slurm 22.05.8 printed, with its command line.

#![allow(dead_code)] // not every test binary uses all of it

use std::ffi::OsString;
use std::io::Read;
use std::path::{Path, PathBuf};

use cluster_core::host::Output;
use cluster_core::state::ExitStatus;

pub(crate) const COMMANDS: [&str; 6] = ["sbatch", "squeue", "sacct", "scancel", "scontrol", "sinfo"];

pub(crate) struct Recording {
    pub(crate) name: String,
    /// The text of a shell, as it was typed.
    pub(crate) line: String,
    pub(crate) output: Output,
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// All recordings, by name.
pub(crate) fn recordings() -> Vec<Recording> {
    let mut names: Vec<String> = std::fs::read_dir(directory())
        .unwrap()
        .filter_map(|entry| {
            entry.unwrap().file_name().into_string().unwrap().strip_suffix(".cmd").map(str::to_owned)
        })
        .collect();
    names.sort();
    names.iter().map(|name| recording(name)).collect()
}

/// The recording of this name.
pub(crate) fn recording(name: &str) -> Recording {
    let path = |end: &str| directory().join(format!("{name}.{end}"));
    let read = |end: &str| std::fs::read(path(end)).unwrap_or_default();
    let stdout = match std::fs::read(path("out.gz")) {
        Ok(packed) => {
            let mut text = Vec::new();
            flate2::read::GzDecoder::new(packed.as_slice()).read_to_end(&mut text).unwrap();
            text
        }
        Err(_) => read("out"),
    };
    let code = String::from_utf8(read("rc")).unwrap();
    let code = if code.trim().is_empty() { 0 } else { code.trim().parse().unwrap() };
    Recording {
        name: name.to_owned(),
        line: String::from_utf8(read("cmd")).unwrap(),
        output: Output { status: ExitStatus::Exit(code), stdout, stderr: read("err"), truncated: false },
    }
}

impl Recording {
    /// The one command that printed all of it, without the assignments before it; an error where several
    /// commands, a pipe or another program printed it.
    pub(crate) fn argv(&self) -> Result<Vec<OsString>, &'static str> {
        let mut commands = commands(&self.line)?;
        // What only sets the stage prints nothing.
        commands.retain(|words| !matches!(words[0].as_str(), "unset" | "sleep"));
        match commands.as_mut_slice() {
            [one] => {
                while one[0].contains('=') {
                    one.remove(0);
                }
                if one[0] == "timeout" {
                    one.drain(..2);
                }
                Ok(one.iter().map(OsString::from).collect())
            }
            // The same question several times: the answers stand one after another.
            [first, rest @ ..]
                if rest.iter().all(|words| words[..words.len() - 1] == first[..first.len() - 1]) =>
            {
                Ok(first.iter().map(OsString::from).collect())
            }
            _ => Err("several commands printed it"),
        }
    }
}

/// The commands of a small shell line, in words. No variables but those that a shell would have left as
/// text; `$(…)` is kept whole, as one word.
fn commands(line: &str) -> Result<Vec<Vec<String>>, &'static str> {
    let mut commands = vec![vec![]];
    let mut word: Option<String> = None;
    let mut chars = line.trim_end().chars().peekable();
    let substitution = |chars: &mut std::iter::Peekable<std::str::Chars<'_>>, text: &mut String| {
        let mut depth = 0;
        for c in chars.by_ref() {
            text.push(c);
            depth += i32::from(c == '(') - i32::from(c == ')');
            if depth == 0 {
                break;
            }
        }
    };
    while let Some(c) = chars.next() {
        match c {
            '\'' => word.get_or_insert_default().extend(chars.by_ref().take_while(|&c| c != '\'')),
            '"' => {
                let word = word.get_or_insert_default();
                while let Some(c) = chars.next().filter(|&c| c != '"') {
                    match c {
                        '\\' => word.extend(chars.next()),
                        '$' if chars.peek() == Some(&'(') => substitution(&mut chars, word),
                        c => word.push(c),
                    }
                }
            }
            '\\' => word.get_or_insert_default().extend(chars.next()),
            '$' if chars.peek() == Some(&'(') => substitution(&mut chars, word.get_or_insert_default()),
            '|' => return Err("its output went through a pipe"),
            ';' => {
                let last = commands.last_mut().unwrap();
                last.extend(word.take());
                commands.push(vec![]);
            }
            c if c.is_whitespace() => {
                let last = commands.last_mut().unwrap();
                last.extend(word.take());
            }
            c => word.get_or_insert_default().push(c),
        }
    }
    commands.last_mut().unwrap().extend(word);
    commands.retain(|words| !words.is_empty());
    Ok(commands)
}
