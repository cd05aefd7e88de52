//! A queue directory and a root of a benchmark's own, and `cluster` in it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::proc;

/// See the [module](self). Its runner is stopped when it is dropped, its files go with the benchmark's.
pub(crate) struct Place {
    dir: PathBuf,
    binary: PathBuf,
}

/// How long a runner may take to go.
const PATIENCE: Duration = Duration::from_secs(20);

impl Place {
    /// One in `dir`, which is made.
    pub(crate) fn new(binary: &Path, dir: PathBuf) -> anyhow::Result<Self> {
        fs::create_dir_all(dir.join("home")).with_context(|| format!("cannot make {}", dir.display()))?;
        Ok(Self { dir, binary: binary.to_owned() })
    }

    fn queue(&self) -> PathBuf {
        self.dir.join("q")
    }

    /// `cluster` with nothing of the user's around it; what it prints goes nowhere, its talk into a file.
    pub(crate) fn cluster(&self, args: &[&str]) -> anyhow::Result<Command> {
        let talk = File::options().create(true).append(true).open(self.dir.join("talk"))?;
        let mut command = Command::new(&self.binary);
        command
            .args(args)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.dir.join("home"))
            .env("XDG_STATE_HOME", self.dir.join("state"))
            .env("CLUSTER_QUEUE_DIR", self.queue())
            .env("CLUSTER_ROOT", self.dir.join("root"))
            .current_dir(self.dir.join("home"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(talk);
        Ok(command)
    }

    /// Seconds that a command takes from its start to its end.
    pub(crate) fn time(&self, args: &[&str]) -> anyhow::Result<f64> {
        let mut command = self.cluster(args)?;
        let start = Instant::now();
        let status = command.status().with_context(|| format!("cannot start {}", self.binary.display()))?;
        let seconds = start.elapsed().as_secs_f64();
        if !status.success() {
            bail!("`cluster {}` failed ({status}): {}", args.join(" "), self.talk());
        }
        Ok(seconds)
    }

    /// Starts a command and lets it go on.
    pub(crate) fn spawn(&self, args: &[&str]) -> anyhow::Result<Child> {
        Ok(self.cluster(args)?.spawn()?)
    }

    /// What a command prints.
    pub(crate) fn read(&self, args: &[&str]) -> anyhow::Result<String> {
        let output = self.cluster(args)?.stdout(Stdio::piped()).output()?;
        if !output.status.success() {
            bail!("`cluster {}` failed ({}): {}", args.join(" "), output.status, self.talk());
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Whether the binary has a command that only benchmarks use.
    pub(crate) fn has(&self, hidden: &str, number: &str) -> bool {
        self.cluster(&[hidden, number])
            .and_then(|mut command| Ok(command.status()?))
            .is_ok_and(|status| status.success())
    }

    fn talk(&self) -> String {
        let text = fs::read_to_string(self.dir.join("talk")).unwrap_or_default();
        let lines: Vec<_> = text.lines().rev().take(3).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("; ")
    }

    /// Jobs that the store calls succeeded, in all batches.
    pub(crate) fn succeeded(&self) -> anyhow::Result<u64> {
        Ok(count(&self.read(&["ls", "--all", "--json"])?, "succeeded"))
    }

    /// Fails unless exactly `jobs` have succeeded: a fast run that lost one is no result.
    pub(crate) fn expect_succeeded(&self, jobs: u64) -> anyhow::Result<()> {
        match self.succeeded()? {
            found if found == jobs => Ok(()),
            found => bail!("{found} jobs are recorded as succeeded, {jobs} were run"),
        }
    }

    /// The runner's process.
    pub(crate) fn runner(&self) -> Option<u32> {
        proc::find_runner(&self.queue())
    }

    /// The runner's process, which must be there.
    pub(crate) fn running(&self) -> anyhow::Result<u32> {
        self.runner().with_context(|| format!("no runner in {}: {}", self.queue().display(), self.talk()))
    }

    /// Ends the runner and waits until it is gone.
    pub(crate) fn stop(&self) -> anyhow::Result<()> {
        let Some(pid) = self.runner() else { return Ok(()) };
        // What it does at the end is the runner's own; a signal is for one that cannot be talked to.
        let asked = self.cluster(&["local", "stop"])?.status().is_ok_and(|status| status.success());
        if asked && gone(pid) {
            return Ok(());
        }
        for signal in [Signal::TERM, Signal::KILL] {
            if let Some(id) = i32::try_from(pid).ok().and_then(Pid::from_raw).filter(|_| proc::is_alive(pid))
            {
                let _ = kill_process(id, signal);
            }
            if gone(pid) {
                return Ok(());
            }
        }
        bail!("the runner {pid} does not end")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            eprintln!("xtask: {error:#}");
        }
        // Its files go with the benchmark's: see `limit::measure`.
    }
}

fn gone(pid: u32) -> bool {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        if !proc::is_alive(pid) {
            return true;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    false
}

/// The sum of one state's counts over lines (or an array) of batches in JSON.
fn count(text: &str, state: &str) -> u64 {
    let values: Vec<Value> =
        serde_json::Deserializer::from_str(text).into_iter().map_while(Result::ok).collect();
    let batches = values.iter().flat_map(|value| match value {
        Value::Array(items) => items.iter().collect::<Vec<_>>(),
        one => vec![one],
    });
    batches.filter_map(|batch| batch["counts"][state].as_u64()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_summed_over_lines_and_arrays() {
        let lines = "{\"counts\":{\"succeeded\":3}}\n{\"counts\":{\"failed\":2,\"succeeded\":4}}\n";
        assert_eq!(count(lines, "succeeded"), 7);
        assert_eq!(count("[{\"counts\":{\"succeeded\":3}},{\"counts\":{}}]", "succeeded"), 3);
        assert_eq!(count("", "succeeded"), 0);
    }

    #[test]
    fn a_command_is_timed_in_a_place_whose_files_stay_to_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::new(Path::new("/bin/true"), dir.path().join("p")).unwrap();
        assert!(place.time(&["anything"]).unwrap() < 10.0);
        assert_eq!(place.runner(), None);
        drop(place);
        assert!(dir.path().join("p").exists());
        let place = Place::new(Path::new("/bin/false"), dir.path().join("p")).unwrap();
        assert!(place.time(&["anything"]).is_err());
    }
}
