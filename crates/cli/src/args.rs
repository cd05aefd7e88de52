//! The command line: the common options and the list of commands. Each command's own are in its file.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args as ClapArgs, FromArgMatches, Parser, Subcommand};

use crate::commands;

/// Submit, follow and collect jobs on the cores of this machine.
#[derive(Debug, Parser)]
#[command(
    name = "cluster",
    version,
    max_term_width = 110,
    subcommand_required = true,
    arg_required_else_help = true
)]
#[command(
    after_help = "A job is 17.3, a batch 17. Selectors: 17, 17.3, 17.0-99:2, last, name=GLOB, state=STATE, \
    meta.KEY=VALUE, system=NAME.\nExit codes: 0 good, 1 some job did not succeed, 2 usage or config, 3 out of \
    reach, 4 wait timed out, 5 store, 6 refused, 7 uncertain, 70 our bug, 128 + N ended \
    by signal N (130: Ctrl-C)."
)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct Common {
    /// Directory of the jobs' store and files [default: $CLUSTER_ROOT, the nearest .cluster with a store, else
    /// the user's own]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) root: Option<PathBuf>,
    /// Print data as JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Say less on stderr
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run one job: submit it, stream its output, end with its exit code
    Run(commands::run::Args),
    /// Submit one job and print its batch's id
    Submit(commands::submit::Args),
    /// Run one job for each input
    Map(commands::map::Args),
    /// List batches
    Ls(commands::ls::Args),
    /// Show batches or jobs in full
    Show(commands::show::Args),
    /// Wait for jobs to end
    Wait(commands::wait::Args),
    /// Go back to a batch: print what it prints until it is over
    Attach(commands::attach::Args),
    /// Print the output of jobs
    Logs(commands::logs::Args),
    /// List a scheduler's own queue, mine or anybody's
    Queue(commands::queue::Args),
    /// End jobs
    Cancel(commands::control::CancelArgs),
    /// Keep queued jobs from starting
    Hold(commands::control::Args),
    /// Let held jobs go on
    Release(commands::control::Args),
    /// Send ended jobs again, the failed ones if nothing else is said
    Retry(commands::retry::Args),
    /// Print or save the outputs of jobs, in the order of their inputs
    Get(commands::get::Args),
    /// Remove the files of ended jobs; what the store knows of them stays
    Clean(commands::tidy::Args),
    /// Remove whole batches: their files and all that the store knows of them
    Rm(commands::tidy::Args),
    /// Remove batches that ended long ago, and what was left behind
    Gc(commands::tidy::GcArgs),
    /// Make a root for the jobs of a project
    Init(commands::init::Args),
    /// The places to run: what was found, and whether it can be reached
    System(commands::system::Args),
    /// The runner, which starts jobs on this machine
    Local(commands::local::Args),
    /// The job store: check, export, unlock, path
    Db(commands::db::Args),
    /// Inside a job: who it is, and facts about it
    Job(commands::job::Args),
    /// What to send with a bug report
    Debug(commands::debug::Args),
    /// Print what a shell needs to complete these commands
    Completions(commands::completions::Args),
}

/// A command's own options, added to a command.
type Augment = fn(clap::Command) -> clap::Command;

/// The commands that scripts call by the thousand. Their options alone are built for them: the whole tree
/// costs as much as starting a process.
const OFTEN: &[(&str, Augment)] = &[
    ("run", commands::run::Args::augment_args),
    ("submit", commands::submit::Args::augment_args),
    ("map", commands::map::Args::augment_args),
    ("ls", commands::ls::Args::augment_args),
    ("show", commands::show::Args::augment_args),
    ("wait", commands::wait::Args::augment_args),
    ("logs", commands::logs::Args::augment_args),
    ("get", commands::get::Args::augment_args),
    ("cancel", commands::control::CancelArgs::augment_args),
];

/// Reads the command line. Whatever is wrong with it, or asks for help, is said by the whole tree.
pub(crate) fn parse(words: &[OsString]) -> Result<Args, clap::Error> {
    let often = words.get(1).and_then(|word| OFTEN.iter().find(|(name, _)| word == name));
    if let Some((name, augment)) = often {
        let root = Common::augment_args(clap::Command::new("cluster"));
        let tree = root.subcommand(augment(clap::Command::new(*name)));
        let matches = tree.disable_help_subcommand(true).try_get_matches_from(words);
        if let Ok(matches) = matches
            && let Ok(args) = Args::from_arg_matches(&matches)
        {
            return Ok(args);
        }
    }
    Args::try_parse_from(words)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_tree_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn the_short_way_reads_the_same() {
        let lines: &[&[&str]] = &[
            &["cluster", "submit", "-c", "2", "--after", "3,afterany:4", "--", "a", "-b", "--", "c"],
            &["cluster", "ls", "--json", "-l", "--limit", "3"],
            &["cluster", "map", "--root", "/x", "--range", "1-3", "--", "echo", ":::", "a"],
            &["cluster", "show", "17.3", "--short", "-q"],
            &["cluster", "cancel", "last"],
        ];
        for line in lines {
            let words: Vec<OsString> = line.iter().map(OsString::from).collect();
            let whole = Args::try_parse_from(&words).unwrap();
            assert_eq!(format!("{:?}", parse(&words).unwrap()), format!("{whole:?}"));
        }
    }

    #[test]
    fn each_of_the_often_is_a_command() {
        let tree = Args::command();
        for (name, augment) in OFTEN {
            let whole = tree.get_subcommands().find(|command| command.get_name() == *name).unwrap();
            let short = augment(clap::Command::new(*name));
            let ids = |command: &clap::Command| {
                command.get_arguments().map(|arg| arg.get_id().to_string()).collect::<Vec<_>>()
            };
            assert_eq!(ids(&short), ids(whole), "{name}");
        }
    }
}
