//! `cluster completions`: what a shell needs to complete our words.

use std::io::{self, Write};

use clap::CommandFactory;
use clap_complete::Shell;

use crate::exit::Exit;

/// The options of `completions`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "bash: cluster completions bash > ~/.local/share/bash-completion/completions/cluster\n\
    zsh:  cluster completions zsh > a file _cluster in a directory of $fpath\n\
    fish: cluster completions fish > ~/.config/fish/completions/cluster.fish"
)]
pub(crate) struct Args {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Needs neither root nor configuration: it also works where there is no home.
pub(crate) fn run(args: &Args) -> anyhow::Result<Exit> {
    // Into memory first: the generator panics where it cannot write, as into a closed pipe.
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut crate::args::Args::command(), "cluster", &mut text);
    let mut out = io::stdout().lock();
    out.write_all(&text)?;
    out.flush()?;
    Ok(Exit::GOOD)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shell_gets_the_commands() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish, Shell::Elvish, Shell::PowerShell] {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut crate::args::Args::command(), "cluster", &mut text);
            let text = String::from_utf8(text).unwrap();
            assert!(text.contains("completions") && text.contains("local"), "{shell}");
        }
    }
}
