//! The programs under test.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// `$CLUSTER_BIN`, else the `cluster` beside this test's own executable, built where it is missing.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| find("CLUSTER_BIN", "cluster", "cluster-cli"))
}

/// `$CLUSTER_MOCK_BIN`, else the `cluster-mock` beside this test's own executable, built where it is missing.
pub fn mock_binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| find("CLUSTER_MOCK_BIN", "cluster-mock", "cluster-mock"))
}

fn find(variable: &str, name: &str, package: &str) -> PathBuf {
    if let Some(given) = std::env::var_os(variable) {
        return given.into();
    }
    let test = std::env::current_exe().unwrap();
    // target/<profile>/deps/it-<hash>
    let profile = test.ancestors().nth(2).unwrap();
    let binary = profile.join(name);
    if !binary.exists() {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        build.args(["build", "--package", package, "--target-dir"]).arg(profile.parent().unwrap());
        if profile.ends_with("release") {
            build.arg("--release");
        }
        let status = build.current_dir(workspace).status().unwrap();
        assert!(status.success() && binary.exists(), "{} cannot be built", binary.display());
    }
    binary
}
