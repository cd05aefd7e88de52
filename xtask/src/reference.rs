//! What is written from the program itself: `docs/cli.md`, man pages, completions.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, bail};

use crate::tool;
use crate::workspace::Workspace;

const FILE: &str = "docs/cli.md";

/// Shells, and the name that each looks for.
const SHELLS: [(&str, &str); 3] = [("bash", "cluster.bash"), ("zsh", "_cluster"), ("fish", "cluster.fish")];

/// Writes the reference anew.
pub(crate) fn write(workspace: &Workspace) -> anyhow::Result<()> {
    let text = markdown(&workspace.build_debug()?)?;
    let path = workspace.root.join(FILE);
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    println!("wrote {FILE}");
    Ok(())
}

/// Compares the reference with what `binary` says of itself.
pub(crate) fn check(workspace: &Workspace, binary: &Path) -> anyhow::Result<()> {
    let now = markdown(binary)?;
    let path = workspace.root.join(FILE);
    let written = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    if let Some((number, old, new)) = first_difference(&written, &now) {
        bail!(
            "{FILE} is not what the program says, first at line {number}:\n  - {old}\n  + {new}\nrun `cargo xtask docs` \
             and commit the file"
        );
    }
    println!("{FILE} is up to date");
    Ok(())
}

fn markdown(binary: &Path) -> anyhow::Result<String> {
    tool::read(Command::new(binary).arg("__docs").env("NO_COLOR", "1"))
}

/// The first line in which two texts differ, counted from 1.
fn first_difference(old: &str, new: &str) -> Option<(usize, String, String)> {
    let (mut old, mut new) = (old.lines(), new.lines());
    for number in 1.. {
        let (a, b) = (old.next(), new.next());
        if a != b {
            let shown = |line: Option<&str>| line.unwrap_or("(nothing more)").to_owned();
            return Some((number, shown(a), shown(b)));
        }
        if a.is_none() {
            break;
        }
    }
    None
}

/// Writes the man pages into `dir`.
pub(crate) fn man(binary: &Path, dir: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    tool::read(Command::new(binary).arg("__man").arg(dir))?;
    let pages = fs::read_dir(dir)?.count();
    println!("{pages} man pages in {}", dir.display());
    Ok(())
}

/// Writes the completions into `dir`.
pub(crate) fn completions(binary: &Path, dir: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    for (shell, name) in SHELLS {
        let text = tool::read(Command::new(binary).args(["completions", shell]))?;
        if text.trim().is_empty() {
            bail!("the completions for {shell} are empty");
        }
        fs::write(dir.join(name), text).with_context(|| format!("cannot write {name}"))?;
    }
    println!("completions for {} in {}", SHELLS.map(|(shell, _)| shell).join(", "), dir.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_difference_is_found_at_the_end_too() {
        assert_eq!(first_difference("a\nb\n", "a\nb\n"), None);
        assert_eq!(first_difference("a\nb\n", "a\nc\n"), Some((2, "b".into(), "c".into())));
        assert_eq!(first_difference("a\n", "a\nb\n"), Some((2, "(nothing more)".into(), "b".into())));
        assert_eq!(first_difference("a\nb\n", "a\n"), Some((2, "b".into(), "(nothing more)".into())));
    }
}
