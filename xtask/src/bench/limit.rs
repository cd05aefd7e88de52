//! What this machine can do at all: processes started and waited for, and nothing else.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, bail};

use super::proc;

/// Where the output of the processes goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Output {
    /// Into one file a thread, which stays open.
    Open,
    /// Into two new files each.
    Files,
}

/// How fast it went, and what it cost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Speed {
    pub(crate) per_second: f64,
    /// CPU milliseconds each: parent and child.
    pub(crate) cpu_ms: f64,
}

/// One thread a core of the two, each with one child at a time; `dir` is made, and stays
/// to the end of the benchmark: ext4 looks at each inode that was freed in the last seconds before it takes another,
/// so that removing the files of one side slows the next one that makes some.
pub(crate) fn measure(jobs: usize, output: Output, dir: &Path) -> anyhow::Result<Speed> {
    let dirs: Vec<_> = (0..THREADS).map(|thread| dir.join(thread.to_string())).collect();
    for dir in &dirs {
        fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    }
    let cpu = proc::own_cpu()?;
    let start = Instant::now();
    std::thread::scope(|scope| {
        let threads: Vec<_> =
            dirs.iter().map(|dir| scope.spawn(|| spawn_and_wait(jobs / THREADS, output, dir))).collect();
        for thread in threads {
            match thread.join() {
                Ok(result) => result?,
                Err(_) => bail!("a thread of the limit panicked"),
            }
        }
        Ok(())
    })?;
    let (seconds, cpu) = (start.elapsed().as_secs_f64(), proc::own_cpu()? - cpu);
    let jobs = (jobs / THREADS * THREADS) as f64;
    Ok(Speed { per_second: jobs / seconds, cpu_ms: cpu * 1000.0 / jobs })
}

/// Two children at a time: as many as the peers are told to run.
pub(crate) const THREADS: usize = 2;

fn spawn_and_wait(jobs: usize, output: Output, dir: &Path) -> anyhow::Result<()> {
    let null = File::open("/dev/null")?;
    let kept = File::create(dir.join("output"))?;
    for i in 0..jobs {
        let (out, err) = match output {
            Output::Open => (kept.try_clone()?, kept.try_clone()?),
            Output::Files => new_files(dir, i)?,
        };
        // A process group of its own is the least that any queue needs; it keeps std's posix_spawn path.
        let status = Command::new("/bin/true")
            .stdin(Stdio::from(null.try_clone()?))
            .stdout(Stdio::from(out))
            .stderr(Stdio::from(err))
            .process_group(0)
            .spawn()
            .context("cannot start /bin/true")?
            .wait()?;
        if !status.success() {
            bail!("/bin/true failed ({status})");
        }
    }
    Ok(())
}

fn new_files(dir: &Path, i: usize) -> io::Result<(File, File)> {
    Ok((File::create(dir.join(format!("{i}.out")))?, File::create(dir.join(format!("{i}.err")))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_measured() {
        let dir = tempfile::tempdir().unwrap();
        for output in [Output::Open, Output::Files] {
            let own = dir.path().join("limit");
            let speed = measure(20, output, &own).unwrap();
            assert!(speed.per_second > 1.0);
        }
    }
}
