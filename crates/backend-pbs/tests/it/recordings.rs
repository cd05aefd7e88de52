//! The recordings of real schedulers: `NAME.cmd .out .err .rc`, an empty `.err` and an `.rc` of 0 left out,
//! large outputs gzipped.

use std::ffi::OsString;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use cluster_core::ExitStatus;
use cluster_core::host::Output;

/// One recording.
pub(crate) struct Recording {
    /// Its name.
    pub(crate) name: String,
    /// The shell line.
    pub(crate) line: String,
    /// The command line whose output it is; `None` where it is that of several, or of none of PBS's.
    pub(crate) argv: Option<Vec<OsString>>,
    /// What it printed.
    pub(crate) output: Output,
}

/// All recordings of `scheduler`, by name.
pub(crate) fn all(scheduler: &str) -> Vec<Recording> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(scheduler);
    let mut paths: Vec<PathBuf> = std::fs::read_dir(&directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "cmd"))
        .collect();
    paths.sort();
    paths.iter().map(|path| load(path)).collect()
}

fn load(command: &Path) -> Recording {
    let line = std::fs::read_to_string(command).unwrap();
    let optional = |extension| std::fs::read(command.with_extension(extension)).unwrap_or_default();
    let stdout = match std::fs::read(command.with_extension("out.gz")) {
        Ok(packed) => {
            let mut plain = Vec::new();
            flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut plain).unwrap();
            plain
        }
        Err(_) => std::fs::read(command.with_extension("out")).unwrap(),
    };
    let code = String::from_utf8(optional("rc")).unwrap();
    Recording {
        name: command.file_stem().unwrap().to_str().unwrap().to_owned(),
        argv: command_line(&line),
        line: line.trim_end().to_owned(),
        output: Output {
            status: ExitStatus::Exit(code.trim().parse().unwrap_or(0)),
            stdout,
            stderr: optional("err"),
            truncated: false,
        },
    }
}

/// The commands of PBS.
const COMMANDS: &[&str] = &[
    "qsub", "qstat", "qdel", "qhold", "qrls", "qalter", "qmove", "qmsg", "qsig", "qrerun", "qrun", "qselect",
    "qmgr", "pbsnodes", "tracejob",
];

/// The command line of a small shell line whose output is recorded: the only command of PBS that writes to
/// stdout, the last of its pipe. Substitutions stay as they are written: only options are looked at.
pub(crate) fn command_line(line: &str) -> Option<Vec<OsString>> {
    let mut found = None;
    let simple = simple_commands(line)?;
    for command in &simple {
        let words: Vec<&String> = command
            .words
            .iter()
            .skip_while(|word| {
                word.split_once('=').is_some_and(|(name, _)| {
                    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
                })
            })
            .collect();
        // `timeout 8 qsub` runs qsub.
        let words = match words.as_slice() {
            [timeout, _, rest @ ..] if *timeout == "timeout" => rest,
            words => words,
        };
        let Some(program) = words.first() else { continue };
        let is_pbs = COMMANDS.contains(&program.as_str());
        let last = !command.pipes;
        let silent =
            ["export", "unset", "cd", "mkdir", "sleep"].contains(&program.as_str()) || command.redirected;
        match (is_pbs, last, silent) {
            (_, false, _) | (false, true, true) => {}
            (true, true, _) if found.is_none() => {
                found = Some(words.iter().map(|word| OsString::from(word.as_str())).collect());
            }
            _ => return None,
        }
    }
    found
}

struct Simple {
    words: Vec<String>,
    /// Its stdout goes into a pipe.
    pipes: bool,
    /// Its stdout goes elsewhere.
    redirected: bool,
}

/// Cuts a shell line into simple commands; `None` where it has loops.
fn simple_commands(line: &str) -> Option<Vec<Simple>> {
    let mut commands = Vec::new();
    let mut current = Simple { words: Vec::new(), pipes: false, redirected: false };
    let mut word: Option<String> = None;
    // The word names the file of a redirection.
    let mut file = false;
    let end = |current: &mut Simple, word: &mut Option<String>, file: &mut bool| {
        if let Some(word) = word.take()
            && !std::mem::take(file)
        {
            current.words.push(word);
        }
    };
    let mut chars = line.chars().peekable();
    let mut depth = 0;
    while let Some(c) = chars.next() {
        if depth > 0 {
            depth += i32::from(c == '(') - i32::from(c == ')');
            word.get_or_insert_default().push(c);
            continue;
        }
        match c {
            '$' if chars.peek() == Some(&'(') => {
                chars.next();
                depth = 1;
                word.get_or_insert_default().push_str("$(");
            }
            '\'' => {
                let word = word.get_or_insert_default();
                word.extend(chars.by_ref().take_while(|c| *c != '\''));
            }
            '"' => {
                let word = word.get_or_insert_default();
                while let Some(c) = chars.next() {
                    match c {
                        '"' => break,
                        '\\' => word.extend(chars.next()),
                        c => word.push(c),
                    }
                }
            }
            '\\' => word.get_or_insert_default().extend(chars.next()),
            ' ' | '\t' => end(&mut current, &mut word, &mut file),
            '>' | '<' => {
                current.words.extend(word.take());
                current.redirected |= c == '>';
                file = true;
            }
            ';' | '\n' | '|' => {
                end(&mut current, &mut word, &mut file);
                current.pipes = c == '|';
                let next = Simple { words: Vec::new(), pipes: false, redirected: false };
                let done = std::mem::replace(&mut current, next);
                if !done.words.is_empty() {
                    commands.push(done);
                }
            }
            c => word.get_or_insert_default().push(c),
        }
    }
    end(&mut current, &mut word, &mut file);
    if !current.words.is_empty() {
        commands.push(current);
    }
    let loops = |command: &Simple| {
        command
            .words
            .first()
            .is_some_and(|word| ["for", "while", "if", "do", "done"].contains(&word.as_str()))
    };
    (!commands.iter().any(loops)).then_some(commands)
}
