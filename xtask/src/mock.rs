//! `cargo xtask mock`: a command that finds a mock scheduler first on its PATH.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, bail};

use crate::tool;
use crate::workspace::Workspace;

/// The package that is the mock, and its program.
pub(crate) const MOCK: &str = "cluster-mock";

/// The schedulers it can be.
pub(crate) const KINDS: [&str; 4] = ["slurm", "pbs", "torque", "sge"];

/// Runs a command with a mock of a state of its own; ends as the command does.
pub(crate) fn run(workspace: &Workspace, kind: &str, words: &[&str]) -> anyhow::Result<ExitCode> {
    let [program, words @ ..] = words else {
        bail!("usage: cargo xtask mock {} -- COMMAND …", KINDS.join("|"));
    };
    if !KINDS.contains(&kind) {
        bail!("no mock is called {kind:?}: there are {}", KINDS.join(", "));
    }
    let mock = build(workspace)?;
    let state = State::new(&mock, kind)?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let first = std::iter::once(state.dir.join("bin")).chain(std::env::split_paths(&path));
    let mut command = Command::new(program);
    command.args(words).env("PATH", std::env::join_paths(first)?).env("CLUSTER_MOCK_DIR", &state.dir);
    let status = command.status().with_context(|| format!("cannot start {program}"))?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

/// Builds the mock and says where it is.
pub(crate) fn build(workspace: &Workspace) -> anyhow::Result<PathBuf> {
    let mut cargo = tool::cargo(&["build", "--quiet", "-p", MOCK]);
    // Not by tool::run: what the command prints stands alone on stdout.
    let status = cargo.current_dir(&workspace.root).status()?;
    if !status.success() {
        bail!("the mock schedulers cannot be built");
    }
    Ok(workspace.target.join("debug").join(MOCK))
}

/// A state directory, which goes with its jobs and its daemon when it is dropped.
struct State {
    mock: PathBuf,
    dir: PathBuf,
}

impl State {
    fn new(mock: &Path, kind: &str) -> anyhow::Result<Self> {
        let dir = std::env::temp_dir().join(format!("cluster-mock-{kind}-{}", std::process::id()));
        let state = Self { mock: mock.to_owned(), dir };
        tool::read(Command::new(mock).arg("--init").arg(&state.dir).arg(kind))?;
        Ok(state)
    }
}

impl Drop for State {
    fn drop(&mut self) {
        let _ = Command::new(&self.mock).arg("--stop").arg(&self.dir).status();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}
