//! The fault tests in their long form.

use crate::tool::{self, cargo, installed};
use crate::workspace::Workspace;

/// All of them, the ignored ones too.
pub(crate) fn run(workspace: &Workspace) -> anyhow::Result<()> {
    let build = ["build", "--workspace", "--all-targets", "--all-features"];
    tool::run(cargo(&build).current_dir(&workspace.root))?;
    let mut command = if installed("cargo-nextest") {
        let args = [
            "nextest",
            "run",
            "--workspace",
            "--all-features",
            "--profile",
            "faults",
            "--run-ignored",
            "all",
        ];
        let mut command = cargo(&args);
        command.args(["-E", "package(cluster-tests) & test(fault)"]);
        command
    } else {
        println!("cargo-nextest is not installed: cargo test does the same, one test after the other");
        cargo(&["test", "-p", "cluster-tests", "fault", "--", "--include-ignored", "--test-threads", "1"])
    };
    command.env("CLUSTER_FAULTS", "long").env("CLUSTER_BIN", workspace.debug_binary());
    tool::run(command.current_dir(&workspace.root))
}
