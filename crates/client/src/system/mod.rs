//! Systems with a scheduler: how its commands are run, and what all processes of a user know of its queue.
//!
//! A [`System`] brings a dialect (what to say), a host (where to say it) and the configuration (with which
//! commands) together.
//!
//! | file | what |
//! |---|---|
//! | `command` | the command line as it is run: paths, time limits, variables, `pre_submit` |
//! | `error` | what can go wrong with it |
//! | `recording` | what a command printed and when, as a file |
//! | `shared` | one file, one lock, one asker for all processes of the user |
//! | `queue` | the queue and the site, through these files |
//! | `accounting` | the accounting, through the same, with answers that are kept for a while |
//! | `listing` | what a queue looks like, for people and scripts |
//! | `pace` | how often one looks |
//! | `foreign` | waiting for jobs of any owner |
//! | `detect` | which schedulers answer on this host |

mod accounting;
mod command;
mod detect;
mod error;
mod foreign;
pub mod listing;
mod pace;
mod queue;
mod recording;
mod shared;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod toy;

use std::ffi::{OsStr, OsString};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cluster_core::dialect::{Dialect, Reading};
use cluster_core::host::{Host, Invocation, Output};
use cluster_localqueue::runner::Place;
use cluster_options::config::SystemConfig;

pub use detect::{Detected, Found, detect};
pub use error::SystemError;
pub use foreign::{Ends, Foreign, Wanted};
pub use pace::Pace;
pub use recording::Snapshot;
pub use shared::{Failure, Seen};

/// What the client is told of its surroundings: it reads no environment itself.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// The environment of the command that the user called.
    pub env: Arc<[(OsString, OsString)]>,
    /// The runner's private directory: what processes share lies beside its socket.
    pub place: Place,
    /// The user.
    pub user: String,
}

impl Surroundings {
    /// The value of a variable.
    pub(crate) fn var(&self, name: &str) -> Option<&OsStr> {
        self.env.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_os_str())
    }

    /// Sets variables over those that are there.
    fn set(&mut self, own: &[(OsString, OsString)]) {
        if own.is_empty() {
            return;
        }
        let others = self.env.iter().filter(|(name, _)| own.iter().all(|(ours, _)| ours != name));
        self.env = others.chain(own).cloned().collect();
    }
}

/// A named place to run with a scheduler that is spoken to by its commands.
pub struct System {
    name: String,
    config: SystemConfig,
    dialect: Box<dyn Dialect>,
    host: Arc<dyn Host>,
    around: Surroundings,
    /// Variables of its commands that the environment does not have so.
    own: Vec<(OsString, OsString)>,
    /// It was asked, and said that it keeps none.
    no_accounting: AtomicBool,
}

impl System {
    /// The system `name`. Nothing is started or read.
    pub fn new(
        name: impl Into<String>,
        config: SystemConfig,
        dialect: Box<dyn Dialect>,
        host: Arc<dyn Host>,
        mut around: Surroundings,
    ) -> Self {
        let mut own: Vec<(OsString, OsString)> =
            config.env.iter().map(|(name, value)| (name.into(), value.into())).collect();
        around.set(&own);
        for (alone, all) in dialect.submit_alone() {
            if let (Some(value), None) = (around.var(alone), around.var(all)) {
                own.push((all.into(), value.to_owned()));
            }
        }
        around.set(&own);
        Self { name: name.into(), config, dialect, host, around, own, no_accounting: AtomicBool::new(false) }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the configuration says of it.
    pub fn config(&self) -> &SystemConfig {
        &self.config
    }

    /// Whether there is an accounting that can be asked for ended jobs: as far as is known, until one that should
    /// be there was asked and said that there is none.
    pub fn has_accounting(&self) -> bool {
        self.dialect.capabilities().accounting
            && self.config.accounting != Some(false)
            && !self.no_accounting.load(Ordering::Relaxed)
    }

    /// How its scheduler is spoken to.
    pub fn dialect(&self) -> &dyn Dialect {
        &*self.dialect
    }

    /// The user whose jobs are ours.
    pub fn user(&self) -> &str {
        &self.around.user
    }

    /// Runs a command of the scheduler: with the site's path, in its time, with output that a dialect can
    /// read. An exit code other than 0 is an `Output`, which [`read`](Self::read) understands.
    ///
    /// # Errors
    /// Where it could not be started, was killed at its time limit, or a stream failed.
    pub fn run(&self, invocation: &Invocation) -> Result<Output, SystemError> {
        let prepared = self.prepared(invocation);
        self.host.run(&prepared).map_err(|error| self.host_error(prepared.command_line(), error))
    }

    /// What the dialect makes of a command's output. One that was cut is never read: what it lacks would look
    /// like jobs that are gone.
    ///
    /// # Errors
    /// A refusal, an unreachable scheduler, or what cannot be read.
    pub fn read<'o>(&self, invocation: &Invocation, output: &'o Output) -> Result<Reading<'o>, SystemError> {
        self.read_words(&invocation.argv, output)
    }

    pub(crate) fn read_words<'o>(
        &self,
        argv: &[OsString],
        output: &'o Output,
    ) -> Result<Reading<'o>, SystemError> {
        let command = || Invocation::new(argv.iter().cloned()).command_line();
        if output.truncated {
            return Err(SystemError::Cut { system: self.name.clone(), command: command() });
        }
        self.dialect.read(argv, output).map_err(|source| SystemError::Answer {
            system: self.name.clone(),
            command: command(),
            source: Box::new(source),
        })
    }

    /// Where a command of the scheduler lies; `None`: it is not there, or cannot be executed.
    pub fn locate(&self, command: &str) -> Option<PathBuf> {
        let program = self.program(command);
        if program.is_absolute() {
            return is_executable(&program).then_some(program);
        }
        let path = self.around.var("PATH")?;
        std::env::split_paths(path)
            .filter(|dir| dir.is_absolute())
            .map(|dir| dir.join(&program))
            .find(|file| is_executable(file))
    }

    /// The commands of its scheduler, each with where it lies.
    pub fn commands(&self) -> Vec<(&'static str, Option<PathBuf>)> {
        self.dialect.commands().iter().map(|command| (*command, self.locate(command))).collect()
    }
}

fn is_executable(file: &Path) -> bool {
    file.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}
