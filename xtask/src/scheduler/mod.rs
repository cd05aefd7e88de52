//! `cargo xtask scheduler`: a real Slurm or a real Grid Engine on this machine, for tests.
//!
//! Both come from Debian's packages, keep everything in a directory of ours and run as root on loopback. Nothing
//! of them starts with the machine, and only processes that are known by their pid and program are ever ended.

mod apt;
mod daemon;
mod host_name;
mod place;
mod ports;
mod ready;
mod sge;
mod sge_conf;
mod sge_objects;
mod slurm;
mod slurm_accounting;
mod slurm_conf;

use std::fmt;
use std::path::PathBuf;

use anyhow::bail;

use crate::workspace::Workspace;
use place::Place;
use sge::Sge;
use slurm::Slurm;

/// The schedulers that can really be started here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Slurm,
    Sge,
}

impl Kind {
    /// Both.
    pub(crate) const ALL: [Self; 2] = [Self::Slurm, Self::Sge];

    /// By its name.
    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        match text {
            "slurm" => Ok(Self::Slurm),
            "sge" => Ok(Self::Sge),
            other => bail!("no real {other:?} can be started here: Debian has packages of slurm and sge"),
        }
    }

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Slurm => "slurm",
            Self::Sge => "sge",
        }
    }

    fn packages(self) -> &'static [&'static str] {
        match self {
            Self::Slurm => slurm::PACKAGES,
            Self::Sge => sge::PACKAGES,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

/// Slurm's `EnforcePartLimits`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limits {
    /// A job over a partition's limits is refused at submission.
    All,
    /// It is taken and stays pending for ever: Slurm's own default.
    No,
}

impl Limits {
    /// As in `slurm.conf`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::All => "ALL",
            Self::No => "NO",
        }
    }
}

/// Why a scheduler cannot be started on this machine, whatever one does to the project.
pub(crate) fn obstacle(kind: Kind) -> Option<String> {
    if !rustix::process::getuid().is_root() {
        return Some(format!("a real {kind} is started by root alone"));
    }
    let missing = apt::missing(kind.packages());
    if !missing.is_empty() && !apt::is_here() {
        return Some(format!(
            "the packages {} are not installed and apt-get is not here",
            missing.join(", ")
        ));
    }
    None
}

/// Starts it where it does not run; the variables by which its commands find it.
pub(crate) fn up(workspace: &Workspace, kind: Kind, limits: Limits) -> anyhow::Result<Vec<(String, String)>> {
    let place = Place::of(workspace, kind)?;
    let _lock = place.lock()?;
    match kind {
        Kind::Slurm => Slurm::new(place, limits)?.up(),
        Kind::Sge => Sge::new(place)?.up(),
    }
}

/// Stops what runs of it.
pub(crate) fn down(workspace: &Workspace, kind: Kind, purge: bool) -> anyhow::Result<()> {
    let place = Place::of(workspace, kind)?;
    if !place.exists() {
        println!("{kind}: nothing at {}", place.dir().display());
        return Ok(());
    }
    let _lock = place.lock()?;
    match kind {
        Kind::Slurm => Slurm::new(place.clone(), Limits::All)?.down()?,
        Kind::Sge => Sge::new(place.clone())?.down()?,
    }
    if purge {
        place.remove()?;
    }
    println!("{kind}: down");
    Ok(())
}

/// Whether anything of it runs.
pub(crate) fn is_up(workspace: &Workspace, kind: Kind) -> anyhow::Result<bool> {
    let place = Place::of(workspace, kind)?;
    Ok(match kind {
        Kind::Slurm => Slurm::new(place, Limits::All)?.is_up(),
        Kind::Sge => Sge::new(place)?.is_up(),
    })
}

/// What runs of it, a line each; whether all of it does.
pub(crate) fn status(workspace: &Workspace, kind: Kind) -> anyhow::Result<bool> {
    let place = Place::of(workspace, kind)?;
    if !place.exists() {
        println!("{kind}: down, nothing at {}", place.dir().display());
        return Ok(false);
    }
    match kind {
        Kind::Slurm => Slurm::new(place, Limits::All)?.status(),
        Kind::Sge => Sge::new(place)?.status(),
    }
}

/// Where the variables of a scheduler are written, for shells.
pub(crate) fn env_file(workspace: &Workspace, kind: Kind) -> anyhow::Result<PathBuf> {
    Ok(Place::of(workspace, kind)?.env_file())
}

/// The words after `scheduler`.
pub(crate) fn command(workspace: &Workspace, words: &[&str]) -> anyhow::Result<()> {
    let usage = "cargo xtask scheduler up|down|status slurm|sge [--limits all|no] [--purge]";
    let (mut limits, mut purge, mut plain) = (Limits::All, false, Vec::new());
    let mut rest = words.iter();
    while let Some(&word) = rest.next() {
        match word {
            "--purge" => purge = true,
            "--limits" => {
                limits = match rest.next().map(|word| word.to_ascii_lowercase()).as_deref() {
                    Some("all") => Limits::All,
                    Some("no") => Limits::No,
                    _ => bail!("--limits is all or no\nusage: {usage}"),
                }
            }
            other => plain.push(other),
        }
    }
    match plain.as_slice() {
        ["up", name] => {
            let kind = Kind::parse(name)?;
            if let Some(why) = obstacle(kind) {
                bail!("*** SKIPPED *** {kind} was not started: {why}");
            }
            up(workspace, kind, limits)?;
            println!(
                "{kind}: up; its commands find it after\n\n  . {}\n",
                env_file(workspace, kind)?.display()
            );
            Ok(())
        }
        ["down", name] => down(workspace, Kind::parse(name)?, purge),
        ["status"] => Kind::ALL.into_iter().try_for_each(|kind| status(workspace, kind).map(drop)),
        ["status", name] => {
            let kind = Kind::parse(name)?;
            if !status(workspace, kind)? {
                bail!("{kind} is not up");
            }
            Ok(())
        }
        _ => bail!("usage: {usage}"),
    }
}
