//! Debian's packages.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

use super::place::Place;
use crate::tool;

/// Other jobs of this machine may be using apt: seconds to wait for it.
const WAIT: &str = "DPkg::Lock::Timeout=300";

/// Whether packages can be installed here.
pub(crate) fn is_here() -> bool {
    tool::installed("apt-get") && tool::installed("dpkg-query")
}

/// Those that are not installed.
pub(crate) fn missing(packages: &[&str]) -> Vec<String> {
    packages.iter().filter(|package| !is_installed(package)).map(|&package| package.to_owned()).collect()
}

fn is_installed(package: &str) -> bool {
    let output = Command::new("dpkg-query").args(["-W", "-f=${Status}", package]).output();
    output.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("ok installed"))
}

/// Installs what is missing of them; their own services do not start.
pub(crate) fn install(place: &Place, packages: &[&str]) -> anyhow::Result<()> {
    let missing = missing(packages);
    if missing.is_empty() {
        return Ok(());
    }
    println!("installing {} (apt's output: {})", missing.join(" "), place.text("apt.log"));
    let _policy = Policy::new()?;
    let mut log = String::new();
    // A source that cannot be read need not be one that we need.
    let _ = apt(&mut log, &["-qq", "update"], &[]);
    let installed = apt(&mut log, &["install", "-y", "--no-install-recommends"], &missing);
    place.write("apt.log", &log, 0o644)?;
    if !installed? {
        bail!("apt-get install failed:\n{}", place.tail("apt.log"));
    }
    Ok(())
}

fn apt(log: &mut String, words: &[&str], packages: &[String]) -> anyhow::Result<bool> {
    let mut command = Command::new("apt-get");
    command.args(["-o", WAIT]).args(words).args(packages);
    command.env("DEBIAN_FRONTEND", "noninteractive").env("LC_ALL", "C.UTF-8");
    let output = command.output().context("cannot start apt-get")?;
    log.push_str(&String::from_utf8_lossy(&output.stdout));
    log.push_str(&String::from_utf8_lossy(&output.stderr));
    Ok(output.status.success())
}

/// Debian's way to say that no service may be started; it goes again with this, where it was not there before.
struct Policy(Option<PathBuf>);

impl Policy {
    fn new() -> anyhow::Result<Self> {
        let path = Path::new("/usr/sbin/policy-rc.d");
        if path.exists() {
            return Ok(Self(None));
        }
        fs::write(path, "#!/bin/sh\nexit 101\n")
            .with_context(|| format!("cannot write {}", path.display()))?;
        let policy = Self(Some(path.to_owned()));
        fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
        Ok(policy)
    }
}

impl Drop for Policy {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            let _ = fs::remove_file(path);
        }
    }
}
