//! What a job runs: a script with its words, or a command.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use clap::{Args as ClapArgs, CommandFactory as _};
use cluster_client::Stage;
use cluster_core::{ByteString, Command};
use cluster_options::nearest;

use crate::context::Context;
use crate::exit::usage;
use crate::output::talk;

/// What stands after the options: a script with its words, or, after `--`, a command.
#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct WhatArgs {
    /// Text of a script, instead of a file
    #[arg(long, value_name = "TEXT", conflicts_with = "sh")]
    script: Option<OsString>,
    /// Text for `sh -c`
    #[arg(long, value_name = "TEXT")]
    pub(crate) sh: Option<OsString>,
    /// A script file (- for standard input) and its words; or -- and a command
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "FILE|-- COMMAND")]
    words: Vec<OsString>,
}

/// A command, ready for a spec; `first` names it.
pub(crate) struct What {
    pub(crate) command: Command,
    pub(crate) first: OsString,
}

impl WhatArgs {
    /// What is to be run. A script's text is copied into the stage.
    pub(crate) fn resolve(&self, context: &Context, stage: &Stage, strict: bool) -> anyhow::Result<What> {
        let words = &self.words;
        if let Some(text) = &self.sh {
            return Ok(shell(text, words));
        }
        if let Some(text) = &self.script {
            return stage_script(stage, OsStr::new("script"), text.as_bytes(), words, strict);
        }
        let Some(first) = words.first() else {
            return Err(usage("there is no command: give one after --, a script file, --script or --sh"));
        };
        if after_dashes(words.len()) {
            let path = context.cwd.join(first);
            if words.len() == 1 && first.as_bytes().contains(&b' ') && !path.exists() {
                let text = first.to_string_lossy();
                return Err(usage(format!(
                    "{text:?} is one word with blanks, and no file: for shell text use --sh {text:?}"
                )));
            }
            let argv = words.iter().cloned().map(ByteString::from).collect();
            return Ok(What { command: Command::Argv(argv), first: first.clone() });
        }
        if first.len() > 1 && first.as_bytes().starts_with(b"-") {
            return Err(unknown_option(first));
        }
        if first == "-" {
            let mut text = Vec::new();
            std::io::Read::read_to_end(&mut std::io::stdin().lock(), &mut text)?;
            return stage_script(stage, OsStr::new("stdin"), &text, &words[1..], strict);
        }
        let path = context.cwd.join(first);
        if !path.is_file() {
            let line = words.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
            return Err(usage(format!(
                "there is no script file {}: for a command write -- before it: -- {line}",
                first.to_string_lossy()
            )));
        }
        let text = std::fs::read(&path)
            .map_err(|error| usage(format!("cannot read {}: {error}", path.display())))?;
        if text[..text.len().min(4096)].contains(&0) {
            return Err(usage(format!(
                "{} is no script: to run a program write -- before it",
                path.display()
            )));
        }
        stage_script(stage, path.file_name().unwrap_or(first), &text, &words[1..], strict)
    }

    /// Whether the words are a command (the script is not what uses standard input then).
    pub(crate) fn reads_stdin(&self) -> bool {
        self.words.first().is_some_and(|word| word == "-") && !after_dashes(self.words.len())
    }
}

/// A word before the script or command that is no file and looks like an option.
pub(crate) fn unknown_option(word: &OsStr) -> anyhow::Error {
    let name = word.to_string_lossy();
    let bare = name.trim_start_matches('-').split('=').next().unwrap_or_default();
    let catalogue = cluster_options::Catalogue::builtin();
    let program = crate::args::Args::command();
    let ours: Vec<&str> = program
        .get_subcommands()
        .filter(|command| ["run", "submit", "map"].contains(&command.get_name()))
        .flat_map(|command| command.get_arguments().filter_map(clap::Arg::get_long))
        .collect();
    let mut near: Vec<_> = nearest(bare, ours).into_iter().chain(catalogue.nearest(bare)).collect();
    near.sort_unstable();
    near.dedup();
    near.retain(|near| *near != bare);
    let near: Vec<_> = near.iter().map(|near| format!("--{near}")).collect();
    let near = if near.is_empty() { String::new() } else { format!(" (did you mean {}?)", near.join(", ")) };
    usage(format!("there is no option {name}{near}; for a command write -- before it"))
}

/// Shell text as a command, the words after it its positional parameters.
fn shell(text: &OsStr, words: &[OsString]) -> What {
    let head = ["sh".into(), "-c".into(), ByteString::from(text.to_owned()), "sh".into()];
    let argv = head.into_iter().chain(words.iter().cloned().map(ByteString::from)).collect();
    let first = text.as_bytes().split(u8::is_ascii_whitespace).find(|word| !word.is_empty()).unwrap_or(b"sh");
    What { command: Command::Argv(argv), first: OsStr::from_bytes(first).to_owned() }
}

fn stage_script(
    stage: &Stage,
    name: &OsStr,
    text: &[u8],
    args: &[OsString],
    strict: bool,
) -> anyhow::Result<What> {
    if let Some(directive) = first_directive(text) {
        let message = format!(
            "the directives of {} are not read yet (the first is {directive:?})",
            name.to_string_lossy()
        );
        if strict {
            return Err(usage(format!("{message}: give them as options (--strict)")));
        }
        talk(&format!("cluster: {message}"));
    }
    let name = ByteString::from(name.to_owned());
    stage.script(&name, text)?;
    let interpreter = interpreter(text);
    let args = args.iter().cloned().map(ByteString::from).collect();
    Ok(What { first: name.clone().into(), command: Command::Script { name, interpreter, args } })
}

/// What the `#!` line says, as the kernel reads it: a program and at most one word.
fn interpreter(text: &[u8]) -> Vec<ByteString> {
    let line = text.split(|&b| b == b'\n').next().unwrap_or_default();
    let Some(rest) = line.strip_prefix(b"#!") else { return vec!["/bin/sh".into()] };
    let rest = rest.trim_ascii();
    let end = rest.iter().position(u8::is_ascii_whitespace).unwrap_or(rest.len());
    let (program, word) = rest.split_at(end);
    let words = [program, word.trim_ascii()];
    words.iter().filter(|word| !word.is_empty()).map(|word| ByteString(word.to_vec())).collect()
}

/// The first line at the head of a script that is an option for some scheduler.
fn first_directive(text: &[u8]) -> Option<String> {
    text.split(|&b| b == b'\n')
        .take_while(|line| line.trim_ascii().is_empty() || line.starts_with(b"#"))
        .find(|line| {
            [&b"#CLUSTER"[..], b"#SBATCH", b"#PBS", b"#$ "].iter().any(|start| line.starts_with(start))
        })
        .map(|line| String::from_utf8_lossy(line).into_owned())
}

/// Whether the last `count` words of our command line came after `--`.
pub(crate) fn after_dashes(count: usize) -> bool {
    let words: Vec<_> = std::env::args_os().collect();
    words.len().checked_sub(count + 1).is_some_and(|before| words[before] == "--")
}
