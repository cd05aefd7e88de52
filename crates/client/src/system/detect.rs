//! Which schedulers answer on this host.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cluster_core::Timestamp;
use cluster_core::dialect::{Reading, Site};
use serde::{Deserialize, Serialize};

use super::System;
use super::error::SystemError;
use super::queue::LOCATING;
use super::shared::replace;

/// A probe that takes longer is killed.
const PATIENCE: Duration = Duration::from_secs(5);

/// So long it is believed that a scheduler answers, or that none does.
const FOUND: Duration = Duration::from_secs(600);
const NONE: Duration = Duration::from_secs(60);

/// A system whose commands lie on this host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// The system.
    pub system: String,
    /// Its scheduler's version, where the answer holds one.
    pub version: Option<String>,
    /// Its server or cluster, where the answer holds it.
    pub server: Option<String>,
    /// Why it does not answer; `None`: it does.
    pub error: Option<String>,
}

/// What was found, and when.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Detected {
    /// Those whose commands are there, in the order in which they were given.
    pub found: Vec<Found>,
    /// When they were asked.
    pub at: Timestamp,
    /// Whether that was just now, and not a kept answer.
    #[serde(skip)]
    pub anew: bool,
}

#[derive(Serialize, Deserialize)]
struct Cache {
    key: String,
    detected: Detected,
}

impl Detected {
    /// The first that answers.
    pub fn first(&self) -> Option<&Found> {
        self.found.iter().find(|found| found.error.is_none())
    }

    fn is_valid(&self, now: Timestamp) -> bool {
        let age = if self.first().is_some() { FOUND } else { NONE };
        self.at <= now && now.since(self.at) < age
    }
}

/// Which of these systems answer. Where no command that submits is there nothing is started and no file is
/// read. The answer is kept for ten minutes, or one where none answers, unless `anew`; other commands, other
/// paths and another server are other questions.
///
/// # Errors
/// Where the answer cannot be kept.
pub fn detect(systems: &[System], anew: bool) -> Result<Detected, SystemError> {
    let submits =
        |system: &System| system.dialect.commands().first().and_then(|command| system.locate(command));
    let candidates: Vec<(&System, PathBuf)> =
        systems.iter().filter_map(|system| Some((system, submits(system)?))).collect();
    let Some((first, _)) = candidates.first() else { return Ok(Detected::default()) };
    let place = &first.around.place;
    place.ensure()?;
    let path = place.dir().join("detected.json");
    let key = key(&candidates);
    let now = Timestamp::now();
    let cached = fs::read(&path).ok().and_then(|bytes| serde_json::from_slice::<Cache>(&bytes).ok());
    if let Some(cache) = cached
        && !anew
        && cache.key == key
        && cache.detected.is_valid(now)
    {
        return Ok(cache.detected);
    }
    let found = std::thread::scope(|scope| {
        let probes: Vec<_> =
            candidates.iter().map(|(system, _)| (system, scope.spawn(|| system.probe()))).collect();
        probes
            .into_iter()
            .map(|(system, probe)| {
                let answer = probe.join().unwrap_or_else(|_| Err("the probe failed".to_owned()));
                let (site, error) = match answer {
                    Ok(site) => (site, None),
                    Err(error) => (Site::default(), Some(error)),
                };
                Found { system: system.name.clone(), version: site.version, server: site.server, error }
            })
            .collect()
    });
    let cache = Cache { key, detected: Detected { found, at: now, anew: true } };
    replace(&path, |file| Ok(serde_json::to_writer(file, &cache)?))?;
    Ok(cache.detected)
}

impl System {
    /// Asks the scheduler something that only it answers; what it says of itself, or why it does not answer.
    ///
    /// # Errors
    /// The reason, for people.
    pub fn probe(&self) -> Result<Site, String> {
        // Who shows it says of which system it is.
        let prefix = format!("system {}: ", self.name);
        self.probed().map_err(|error| error.strip_prefix(&prefix).map(str::to_owned).unwrap_or(error))
    }

    fn probed(&self) -> Result<Site, String> {
        let mut question = self.dialect.probe();
        question.timeout = question.timeout.min(self.config.timeout.unwrap_or(PATIENCE)).min(PATIENCE);
        let prepared = self.prepared(&question);
        let prepared = cluster_core::host::Invocation { timeout: question.timeout, ..prepared };
        let output = self
            .host
            .run(&prepared)
            .map_err(|error| self.host_error(prepared.command_line(), error).to_string())?;
        match self.read(&question, &output).map_err(|error| error.to_string())? {
            Reading::Site(site) if site.up == Some(false) => Err("its controller does not answer".to_owned()),
            Reading::Site(site) => Ok(site),
            _ => {
                Err(format!("system {}: the answer to {} is none of it", self.name, prepared.command_line()))
            }
        }
    }
}

/// What the answer depends on: the very files that submit and that are asked, where commands are looked for, and
/// which servers. To look for all commands of all schedulers was two thirds of the time of a submission.
fn key(candidates: &[(&System, PathBuf)]) -> String {
    let mut hash = blake3::Hasher::new();
    let mut add = |part: &[u8]| {
        hash.update(&(part.len() as u64).to_le_bytes());
        hash.update(part);
    };
    let stamp = |path: &Path| {
        let file = path.metadata().ok()?;
        Some(format!("{} {} {} {}", file.dev(), file.ino(), file.mtime(), file.mtime_nsec()))
    };
    for (system, submits) in candidates {
        add(system.name.as_bytes());
        add(system.dialect.name().as_bytes());
        let probe = system.dialect.probe();
        let asked = probe.argv.first().and_then(|command| system.locate(command.to_str()?));
        for file in [Some(submits), asked.as_ref()] {
            add(file.map(|file| file.as_os_str().as_encoded_bytes()).unwrap_or_default());
            add(file.and_then(|file| stamp(file)).unwrap_or_default().as_bytes());
        }
        for command in system.dialect.commands() {
            add(system.program(command).as_os_str().as_encoded_bytes());
        }
        for name in LOCATING.iter().chain(&["PATH"]) {
            add(system.around.var(name).unwrap_or_default().as_encoded_bytes());
        }
    }
    hash.finalize().to_hex().to_string()
}
