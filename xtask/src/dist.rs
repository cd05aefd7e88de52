//! `cargo xtask dist`: what users get, one static binary with its man pages and completions.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

use crate::reference;
use crate::tool::{self, cargo};
use crate::workspace::{CLI, Workspace};

/// Without `--target` the flag would reach proc-macros too, and they cannot be static.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// What the C library would answer by loading its own shared objects, which a static program cannot do.
const FORBIDDEN: [&str; 5] = ["getpwnam", "getpwuid", "getgrnam", "getgrgid", "getaddrinfo"];

/// Builds and checks everything in `target/dist-out`; returns the binary there.
pub(crate) fn run(workspace: &Workspace) -> anyhow::Result<PathBuf> {
    let built = build(workspace)?;
    check_symbols(&built)?;
    check_static(&built)?;
    let out = workspace.target.join("dist-out");
    if out.exists() {
        fs::remove_dir_all(&out).with_context(|| format!("cannot empty {}", out.display()))?;
    }
    fs::create_dir_all(&out)?;
    let binary = out.join("cluster");
    // A stripped copy: what was built keeps its symbols, so that the next call need not build it again.
    tool::run(Command::new("strip").arg("--strip-all").arg("-o").arg(&binary).arg(&built))?;
    reference::man(&binary, &out.join("man"))?;
    reference::completions(&binary, &out.join("completions"))?;
    let sum = tool::read(Command::new("sha256sum").arg("cluster").current_dir(&out))?;
    fs::write(out.join("cluster.sha256"), &sum)?;
    let size = fs::metadata(&binary)?.len();
    println!("{}: {:.1} MB, static\n{}", binary.display(), size as f64 / 1e6, sum.trim());
    Ok(binary)
}

/// Builds the binary, its symbols still in it.
pub(crate) fn build(workspace: &Workspace) -> anyhow::Result<PathBuf> {
    let mut command = cargo(&["build", "--profile", "dist", "--target", TARGET, "-p", CLI]);
    // Of this call only: in a configuration file it would reach every build of the workspace. Without relocation
    // at start a fifth of the time of a short command is saved; the program serves nobody but its own user.
    let flags = "-C target-feature=+crt-static -C relocation-model=static";
    command.env("RUSTFLAGS", flags).current_dir(&workspace.root);
    tool::run(&mut command)?;
    Ok(workspace.target.join(TARGET).join("dist/cluster"))
}

fn check_symbols(binary: &Path) -> anyhow::Result<()> {
    let symbols = tool::read(Command::new("nm").arg(binary))?;
    if symbols.lines().count() < 1000 {
        bail!(
            "{} has lost its symbols, so nothing can be said about what is linked into it",
            binary.display()
        );
    }
    let linked = forbidden(&symbols);
    if !linked.is_empty() {
        bail!(
            "{} is linked into the static binary: find who calls it, and read the file instead",
            linked.join(", ")
        );
    }
    println!("none of {} is linked", FORBIDDEN.join(", "));
    Ok(())
}

/// The forbidden functions among `nm`'s lines, defined or used, also in their `_r` and versioned forms.
fn forbidden(symbols: &str) -> Vec<&'static str> {
    let names: Vec<&str> = symbols
        .lines()
        .filter_map(|line| {
            let mut fields = line.split_whitespace().rev();
            let name = fields.next()?;
            // A letter of its own kind: data may be called anything.
            let kind = fields.next()?;
            matches!(kind, "T" | "t" | "U" | "W" | "w" | "i").then_some(name)
        })
        .map(|name| name.split('@').next().unwrap_or(name).trim_start_matches('_'))
        .collect();
    FORBIDDEN
        .into_iter()
        .filter(|bad| names.iter().any(|name| name == bad || name.strip_suffix("_r") == Some(bad)))
        .collect()
}

fn check_static(binary: &Path) -> anyhow::Result<()> {
    let headers = tool::read(Command::new("readelf").args(["--program-headers", "--wide"]).arg(binary))?;
    if headers.contains("INTERP") {
        bail!("{} asks for a dynamic loader: it is not static", binary.display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forbidden_functions_are_found_in_all_forms() {
        let symbols = "\
0000000000401000 T main
                 U getpwnam@GLIBC_2.2.5
0000000000402000 t __getpwuid_r
0000000000403000 W getaddrinfo
0000000000404000 r getgrnam
0000000000405000 T getgrgid_like
";
        assert_eq!(forbidden(symbols), ["getpwnam", "getpwuid", "getaddrinfo"]);
        assert!(forbidden("0000000000401000 T main\n").is_empty());
    }
}
