//! Where the workspace and its build products are.

use std::path::PathBuf;

use anyhow::Context as _;
use serde_json::Value;

use crate::tool;

/// The package that holds the binary.
pub(crate) const CLI: &str = "cluster-cli";

/// See the [module](self).
pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
    pub(crate) target: PathBuf,
}

impl Workspace {
    /// Asks cargo, which knows about `CARGO_TARGET_DIR` and its configuration.
    pub(crate) fn find() -> anyhow::Result<Self> {
        let text = tool::read(&mut tool::cargo(&["metadata", "--no-deps", "--format-version", "1"]))?;
        let metadata: Value = serde_json::from_str(&text).context("cargo metadata printed no JSON")?;
        let path = |key: &str| {
            metadata[key].as_str().map(PathBuf::from).with_context(|| format!("cargo metadata has no {key}"))
        };
        Ok(Self { root: path("workspace_root")?, target: path("target_directory")? })
    }

    /// Builds the binary for development.
    pub(crate) fn build_debug(&self) -> anyhow::Result<PathBuf> {
        tool::run(tool::cargo(&["build", "--quiet", "-p", CLI]).current_dir(&self.root))?;
        Ok(self.debug_binary())
    }

    /// Where cargo puts it.
    pub(crate) fn debug_binary(&self) -> PathBuf {
        self.target.join("debug/cluster")
    }
}
