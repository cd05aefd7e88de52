//! The queue and the limits of a system, asked for once for all processes of the user.

use std::path::PathBuf;
use std::time::Duration;

use cluster_core::Timestamp;
use cluster_core::dialect::{Partition, Reading, Site, Whose};
use cluster_core::host::Invocation;

use super::System;
use super::accounting::ACCOUNTING;
use super::error::SystemError;
use super::recording::Snapshot;
use super::shared::{Seen, Shared};

/// Variables that locate a scheduler or choose among several: with other values it is another queue.
pub(super) const LOCATING: &[&str] = &[
    "SLURM_CONF",
    "SLURM_CONF_SERVER",
    "SLURM_CLUSTERS",
    "SBATCH_CLUSTERS",
    "PBS_CONF_FILE",
    "PBS_SERVER",
    "PBS_DEFAULT",
    "PBS_PRIMARY",
    "SGE_ROOT",
    "SGE_CELL",
    "SGE_CLUSTER_NAME",
    "SGE_QMASTER_PORT",
];

/// More than a command's own limit, for the answer to be written.
const SPARE: Duration = Duration::from_secs(10);

impl System {
    /// The newest queue of these users whose query began at `since` or later. Where there is none, this
    /// process or another one asks; of many that wait one does. A row of it says nothing about a submission
    /// that returned after [`began`](Snapshot::began).
    ///
    /// A waiter passes the time one interval of its [`Pace`](super::Pace) ago.
    ///
    /// # Errors
    /// Where the query failed, and until the next one is due: [`SystemError::BackingOff`].
    pub fn queue(&self, whose: Whose<'_>, since: Timestamp) -> Result<Snapshot, SystemError> {
        self.ask_queue(whose, since, true)
    }

    /// The same for a person who waits: asks however lately a query failed.
    ///
    /// # Errors
    /// Where the query failed.
    pub fn queue_now(&self, whose: Whose<'_>, since: Timestamp) -> Result<Snapshot, SystemError> {
        self.ask_queue(whose, since, false)
    }

    fn ask_queue(&self, whose: Whose<'_>, since: Timestamp, polite: bool) -> Result<Snapshot, SystemError> {
        let query = self.dialect.query(whose);
        let ask = || {
            let snapshot = self.record(&query)?;
            let good = snapshot.jobs(self)?.errors.is_empty();
            Ok((vec![snapshot], good))
        };
        let answer = self.shared(&queue_name(whose), &query)?.get(since, polite, ask)?;
        answer
            .into_iter()
            .next()
            .ok_or_else(|| SystemError::Odd { system: self.name.clone(), command: query.command_line() })
    }

    /// When the last good queries of these users and the last good answers of the accounting began.
    ///
    /// # Errors
    /// Where the directory of these files cannot be used.
    pub fn seen(&self, whose: Whose<'_>) -> Result<Seen, SystemError> {
        let query = self.dialect.query(whose);
        let queue = self.shared(&queue_name(whose), &query)?.state();
        let accounting = self.shared(ACCOUNTING, &query)?.state();
        Ok(Seen { queries: queue.good, accounting: accounting.good, failure: queue.failure })
    }

    /// The limits and partitions, not older than `age`. What the configuration says of them goes over what
    /// the scheduler says.
    ///
    /// # Errors
    /// Where none of the questions was answered.
    pub fn site(&self, age: Duration) -> Result<Site, SystemError> {
        let questions = self.dialect.survey();
        let mut site = self.configured_site();
        let Some(first) = questions.first() else { return Ok(site) };
        let ask = || {
            let mut answers = Vec::new();
            let mut failed = None;
            for question in &questions {
                let answer = self.record(question).and_then(|snapshot| {
                    self.read(question, &snapshot.output)?;
                    Ok(snapshot)
                });
                match answer {
                    Ok(snapshot) => answers.push(snapshot),
                    Err(error) => failed = failed.or(Some(error)),
                }
            }
            match failed {
                Some(error) if answers.is_empty() => Err(error),
                failed => Ok((answers, failed.is_none())),
            }
        };
        let since = Timestamp::now().before(age);
        for snapshot in self.shared("site", first)?.get(since, false, ask)? {
            if let Reading::Site(part) = self.read_words(&snapshot.argv, &snapshot.output)? {
                site.merge(part);
            }
        }
        Ok(site)
    }

    /// What the configuration alone says of the limits.
    pub fn configured_site(&self) -> Site {
        let partitions = self.config.partitions.iter().map(|(name, limits)| Partition {
            name: name.clone(),
            max_time: limits.max_time,
            default_time: limits.default_time,
            max_nodes: limits.max_nodes,
            max_mem_per_node: limits.max_mem,
            cores_per_node: limits.cores,
            ..Partition::default()
        });
        Site {
            max_array: self.config.max_array_size,
            accounting: self.config.accounting,
            partitions: partitions.collect(),
            ..Site::default()
        }
    }

    /// Runs a command line and keeps what it printed with the times.
    pub(super) fn record(&self, question: &Invocation) -> Result<Snapshot, SystemError> {
        let began = Timestamp::now();
        let output = self.run(question)?;
        Ok(Snapshot { argv: question.argv.clone(), output, began, ended: Timestamp::now() })
    }

    /// The files of one question, which is asked with `command`.
    pub(super) fn shared(&self, name: &str, command: &Invocation) -> Result<Shared, SystemError> {
        let dir = self.shared_dir()?;
        let timeout = self.config.timeout.unwrap_or(command.timeout);
        // Survey and accounting may be several commands.
        Ok(Shared::new(&self.name, dir.join(name), self.config.poll, timeout * 3 + SPARE))
    }

    /// The directory of this scheduler's files, made where it is missing. Systems of the same name that are
    /// not the same scheduler have different ones: a queue of another one would make jobs look lost.
    fn shared_dir(&self) -> Result<PathBuf, SystemError> {
        let place = &self.around.place;
        place.ensure()?;
        let plain = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' };
        let name: String = self.name.chars().map(plain).take(40).collect();
        let dir = place.dir().join("systems").join(format!("{name}-{}", self.identity()));
        cluster_localqueue::files::make_private_dirs(&dir)
            .map_err(|error| SystemError::file("make", &dir, error))?;
        Ok(dir)
    }

    /// What tells this scheduler from any other, folded.
    pub(super) fn identity(&self) -> String {
        let mut hash = blake3::Hasher::new();
        let mut add = |part: &[u8]| {
            hash.update(&(part.len() as u64).to_le_bytes());
            hash.update(part);
        };
        add(self.name.as_bytes());
        add(self.dialect.name().as_bytes());
        for command in self.dialect.commands() {
            add(self.locate(command).unwrap_or_default().as_os_str().as_encoded_bytes());
        }
        for name in LOCATING {
            add(self.around.var(name).unwrap_or_default().as_encoded_bytes());
        }
        hash.finalize().to_hex()[..16].to_owned()
    }
}

fn queue_name(whose: Whose<'_>) -> String {
    match whose {
        Whose::All => "queue-all".to_owned(),
        Whose::Users(users) => {
            let mut users: Vec<&String> = users.iter().collect();
            users.sort();
            users.dedup();
            let mut hash = blake3::Hasher::new();
            for user in users {
                hash.update(user.as_bytes());
                hash.update(b"\0");
            }
            format!("queue-{}", &hash.finalize().to_hex()[..16])
        }
    }
}
