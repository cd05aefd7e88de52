//! `cargo xtask`: everything about the workspace that is more than one cargo command.

// A tool for the terminal whose whole work is to start other tools.
#![allow(clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods)]

mod bench;
mod deps;
mod dist;
mod integration;
mod mock;
mod reference;
mod scheduler;
mod test;
mod tool;
mod workspace;

use std::process::ExitCode;

use anyhow::bail;

use crate::workspace::Workspace;

const HELP: &str = "\
cargo xtask COMMAND

  test                  everything that must hold before a change goes in: formatting, clippy, tests,
                        documentation, `deps`, `docs --check`
  deps                  crates that must stay free of a runtime and a database are
  docs [--check]        docs/cli.md from the program itself; --check only compares
  man DIR               man pages
  completions DIR       completions for bash, zsh and fish
  dist                  the static binary with its man pages and completions, in target/dist-out
  bench local [--quick] [--only ROW]... [--json FILE] [--doc FILE]
                        speed and size against the limit of the machine and against other tools
  bench schedulers [--quick] [--real] [--json FILE] [--doc FILE]
                        reading of large answers, submission, calls of the scheduler; --real: on a Slurm, too
  integration faults    the long form of the fault tests
  integration fuzz [--seconds N] [slurm|pbs|sge|units]...
                        what schedulers print and users write, bent by libFuzzer (nightly, cargo-fuzz)
  integration slurm|pbs|torque|sge [--real] [TEST]...
                        the conformance suite on a mock, or on a real Slurm or Grid Engine
  integration sample [TEST]...
                        the conformance suite on the made-up scheduler of docs/new-scheduler.md
  mock slurm|pbs|torque|sge -- COMMAND...
                        a command with a mock scheduler, of a state of its own, first on PATH
  scheduler up|down|status slurm|sge [--limits all|no] [--purge]
                        a real Slurm or Grid Engine on this machine, by root from Debian's packages, in
                        target/schedulers or $CLUSTER_SCHED_DIR
";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        ["mock", kind, "--", command @ ..] => {
            Workspace::find().and_then(|workspace| mock::run(&workspace, kind, command))
        }
        words => run(words).map(|()| ExitCode::SUCCESS),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[&str]) -> anyhow::Result<()> {
    let workspace = || Workspace::find();
    match words {
        [] | ["help" | "--help" | "-h", ..] => {
            print!("{HELP}");
            Ok(())
        }
        ["test"] => test::run(&workspace()?),
        ["deps"] => deps::run(&workspace()?),
        ["docs"] => reference::write(&workspace()?),
        ["docs", "--check"] => {
            let workspace = workspace()?;
            reference::check(&workspace, &workspace.build_debug()?)
        }
        ["man", dir] => reference::man(&workspace()?.build_debug()?, dir.as_ref()),
        ["completions", dir] => reference::completions(&workspace()?.build_debug()?, dir.as_ref()),
        ["dist"] => dist::run(&workspace()?).map(drop),
        ["bench", "local", options @ ..] => bench::run(&workspace()?, &bench::Options::parse(options)?),
        ["bench", "schedulers", options @ ..] => bench::schedulers::run(&workspace()?, options),
        #[cfg(feature = "parse")]
        ["bench", "__parse", rounds, only @ ..] => {
            bench::schedulers_parse::run(&workspace()?.root.join("crates"), rounds.parse()?, only)
        }
        ["scheduler", words @ ..] => scheduler::command(&workspace()?, words),
        ["integration", words @ ..] => integration::command(&workspace()?, words),
        _ => bail!("unknown command: {}\n\n{HELP}", words.join(" ")),
    }
}
