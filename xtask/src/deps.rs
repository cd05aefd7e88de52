//! Which crates stay light: who takes them into a program gets no runtime and no database with them.

use anyhow::bail;

use crate::tool;
use crate::workspace::Workspace;

/// The crates that must stay pure, whatever features are on.
const PURE: &[&str] = &[
    "cluster-core",
    "cluster-options",
    "cluster-backend-slurm",
    "cluster-backend-pbs",
    "cluster-backend-sge",
];

/// What they must not pull in; a name covers everything that begins with it and a dash.
const HEAVY: &[&str] = &["tokio", "sqlx", "libsqlite3-sys", "async-std", "smol"];

/// Fails where a pure crate depends on a heavy one.
pub(crate) fn run(workspace: &Workspace) -> anyhow::Result<()> {
    let members = packages(&tool::read(
        tool::cargo(&["tree", "--workspace", "--depth", "0", "--prefix", "none", "-e", "normal"])
            .current_dir(&workspace.root),
    )?);
    let mut wrong = Vec::new();
    for &package in PURE {
        if !members.iter().any(|member| member == package) {
            // A pure crate that was renamed must not leave this check unseen.
            bail!("{package} is no crate of this workspace: correct the list in xtask/src/deps.rs");
        }
        for features in [&[][..], &["--all-features"][..]] {
            let args = ["tree", "-p", package, "-e", "normal", "--prefix", "none"];
            let tree = tool::read(tool::cargo(&args).args(features).current_dir(&workspace.root))?;
            let names = packages(&tree);
            let heavy: Vec<_> = names.iter().filter(|name| is_heavy(name)).cloned().collect();
            let label = if features.is_empty() { "default features" } else { "all features" };
            if heavy.is_empty() {
                println!("{package} ({label}): {} crates, none of them heavy", names.len().saturating_sub(1));
            } else {
                wrong.push(format!("{package} ({label}) pulls in {}", heavy.join(", ")));
            }
        }
    }
    if !wrong.is_empty() {
        bail!("{}; `cargo tree -p PACKAGE -e normal -i CRATE` shows the way it came in", wrong.join("; "));
    }
    Ok(())
}

fn is_heavy(name: &str) -> bool {
    HEAVY
        .iter()
        .any(|heavy| name == *heavy || name.strip_prefix(heavy).is_some_and(|rest| rest.starts_with('-')))
}

/// The packages of a tree without its drawing, each once.
fn packages(tree: &str) -> Vec<String> {
    let mut names: Vec<String> = tree
        .lines()
        .filter_map(|line| {
            let (name, rest) = line.trim().split_once(' ')?;
            rest.starts_with('v').then(|| name.to_owned())
        })
        .collect();
    names.sort();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    const TREE: &str = "\
cluster-core v0.1.0 (crates/core)
serde v1.0.229
serde_derive v1.0.229 (proc-macro)
serde v1.0.229 (*)

[dev-dependencies]
tokio-stream v0.1.17
";

    #[test]
    fn a_tree_is_read_by_names() {
        assert_eq!(packages(TREE), ["cluster-core", "serde", "serde_derive", "tokio-stream"]);
    }

    #[test]
    fn heavy_ones_are_known_by_name_and_family() {
        for heavy in ["tokio", "tokio-util", "sqlx-core", "sqlx", "libsqlite3-sys"] {
            assert!(is_heavy(heavy), "{heavy}");
        }
        for light in ["tokios", "serde", "sqlxx", "smollest"] {
            assert!(!is_heavy(light), "{light}");
        }
    }
}
