//! What a submission takes, and how often the scheduler is called.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use super::row::{Mark, Row};
use super::{Bench, Options, prepare, stats};
use crate::mock;
use crate::scheduler::{self, Kind, Limits};
use crate::tool;
use crate::workspace::Workspace;

/// Seconds between two questions of those who wait.
const POLL: u64 = 2;
/// How many wait.
const WAITING: usize = 100;

/// A directory with a configuration for one system, and the variables that lead to its scheduler.
struct Site {
    binary: PathBuf,
    dir: PathBuf,
    variables: BTreeMap<OsString, OsString>,
}

impl Site {
    fn new(bench: &Bench, keys: &str, variables: BTreeMap<OsString, OsString>) -> anyhow::Result<Self> {
        let dir = bench.fresh("s");
        fs::create_dir_all(dir.join("config/cluster"))?;
        let yaml =
            format!("default_system: slurm\nsystems:\n  slurm: {{scheduler: slurm, poll: {POLL}s{keys}}}\n");
        fs::write(dir.join("config/cluster/config.yaml"), yaml)?;
        Ok(Self { binary: bench.binary.clone(), dir, variables })
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env_clear().envs(&self.variables).env("HOME", &self.dir).current_dir(&self.dir);
        command.env("XDG_CONFIG_HOME", self.dir.join("config")).env("XDG_STATE_HOME", self.dir.join("state"));
        command.env("CLUSTER_ROOT", self.dir.join("root")).env("CLUSTER_QUEUE_DIR", self.dir.join("q"));
        command.stdin(Stdio::null());
        command
    }

    fn cluster(&self, words: &[&str]) -> anyhow::Result<String> {
        tool::read(self.command(&self.binary).args(words))
    }

    /// Milliseconds that a command takes.
    fn time(&self, program: &Path, words: &[OsString]) -> anyhow::Result<f64> {
        let begin = Instant::now();
        let output = self.command(program).args(words).output()?;
        let time = begin.elapsed().as_secs_f64() * 1000.0;
        if !output.status.success() {
            bail!("{}: {}", program.display(), String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(time)
    }
}

/// All rows; those of a real Slurm where that is asked for.
pub(super) fn run(workspace: &Workspace, options: &Options, real: bool) -> anyhow::Result<Vec<Row>> {
    let dir = workspace.target.join("bench").join(std::process::id().to_string());
    fs::create_dir_all(&dir)?;
    let dir = dir.canonicalize()?;
    let bench = Bench { binary: dir.join("cluster"), dir, quick: options.quick, places: 0.into() };
    prepare(workspace, options, &bench.binary)?;
    let mut rows = on_mock(workspace, &bench)?;
    if !real {
        rows.push(Row::skipped("submit.real", "`submit` on a real Slurm", "it takes --real"));
        return Ok(rows);
    }
    let was_up = scheduler::is_up(workspace, Kind::Slurm)?;
    let variables = scheduler::up(workspace, Kind::Slurm, Limits::All)?;
    let measured = on_real(&bench, variables);
    if !was_up {
        scheduler::down(workspace, Kind::Slurm, false)?;
    }
    rows.extend(measured?);
    Ok(rows)
}

fn path_with(first: &Path) -> anyhow::Result<OsString> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    Ok(std::env::join_paths(std::iter::once(first.to_owned()).chain(std::env::split_paths(&path)))?)
}

/// Calls of one command in the mock's log.
fn count(state: &Path, commands: &[&str]) -> anyhow::Result<usize> {
    let text = fs::read_to_string(state.join("calls.log")).context("the mock has no calls.log")?;
    let called = |line: &&str| commands.iter().any(|name| line.contains(&format!("\"{name}\"")));
    Ok(text.lines().filter(called).count())
}

fn on_mock(workspace: &Workspace, bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let program = mock::build(workspace)?;
    let state = bench.fresh("m");
    tool::read(Command::new(&program).arg("--init").arg(&state).arg("slurm"))?;
    let variables = BTreeMap::from([
        ("PATH".into(), path_with(&state.join("bin"))?),
        ("CLUSTER_MOCK_DIR".into(), state.clone().into_os_string()),
    ]);
    let measured = on_this_mock(bench, &state, variables);
    let _ = Command::new(&program).arg("--stop").arg(&state).status();
    measured
}

fn on_this_mock(
    bench: &Bench,
    state: &Path,
    variables: BTreeMap<OsString, OsString>,
) -> anyhow::Result<Vec<Row>> {
    let site = Site::new(bench, "", variables)?;
    site.cluster(&["map", "--detach", "--hold", "--range", "1-1000", "--", "true"])?;
    let calls = count(state, &["sbatch"])?;
    let mut rows = vec![Row::value(
        "batch.mock",
        "calls of sbatch for 1,000 jobs, mock",
        "",
        &[calls as f64],
        Mark::AtMost(1.0),
    )];

    let before = count(state, &["squeue", "sacct", "scontrol"])?;
    let time = Duration::from_secs(bench.choose(60, 15));
    let begin = Instant::now();
    let mut waiting: Vec<Child> = Vec::new();
    for _ in 0..WAITING {
        let mut command = site.command(&site.binary);
        waiting.push(command.args(["wait", "last"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?);
    }
    std::thread::sleep(time.saturating_sub(begin.elapsed()));
    let seconds = begin.elapsed().as_secs_f64();
    let asked = count(state, &["squeue", "sacct", "scontrol"])? - before;
    let mut gone = 0;
    for mut child in waiting {
        gone += usize::from(matches!(child.try_wait(), Ok(Some(_))));
        let _ = child.kill();
        let _ = child.wait();
    }
    site.cluster(&["cancel", "last"])?;
    if gone > 0 {
        bail!("{gone} of {WAITING} that were to wait have ended");
    }
    let intervals = seconds / POLL as f64;
    let row = Row::value(
        "wait.queries",
        &format!("questions a poll interval, {WAITING} processes that wait for {} s", time.as_secs()),
        "",
        // The question at the very beginning belongs to no interval.
        &[asked.saturating_sub(1) as f64 / intervals],
        Mark::AtMost(1.0),
    );
    rows.push(row.note(format!("{asked} questions in {seconds:.1} s, an interval is {POLL} s")));
    Ok(rows)
}

fn on_real(bench: &Bench, variables: Vec<(String, String)>) -> anyhow::Result<Vec<Row>> {
    let mut variables: BTreeMap<OsString, OsString> =
        variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
    variables.entry("PATH".into()).or_insert_with(|| std::env::var_os("PATH").unwrap_or_default());
    let site = Site::new(bench, "", variables.clone())?;
    let words = |words: &[&str]| words.iter().map(OsString::from).collect::<Vec<_>>();
    // The system is known then, and there is a script to send by hand.
    let batch = site.cluster(&["submit", "--hold", "--", "true"])?.trim().to_owned();
    let script = site.dir.join("bare.sh");
    fs::write(&script, site.cluster(&["show", "--script", &batch])?)?;
    let bare =
        [words(&["--parsable", "--hold", "--output=/dev/null"]), vec![script.into_os_string()]].concat();
    let submit = words(&["submit", "--hold", "--", "true"]);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..bench.repeats() {
        let mut side = |ours_now: bool| -> anyhow::Result<()> {
            if ours_now {
                ours.push(site.time(&site.binary, &submit)?);
            } else {
                theirs.push(site.time(Path::new("sbatch"), &bare)?);
            }
            Ok(())
        };
        side(round % 2 == 0)?;
        side(round % 2 == 1)?;
    }
    let (mine, other) = (stats::median(&ours), stats::median(&theirs));
    // Whichever bound is larger, in hundredths.
    let bound = 1.5_f64.max((other + 8.0) / other);
    let mark = Mark::AtMost((bound * 100.0).floor() / 100.0);
    let mut rows = vec![
        Row::value("submit.bare", "`sbatch --parsable` of the same script", "ms", &theirs, Mark::None),
        Row::value("submit.real", "`cluster submit` of one job on a real Slurm", "ms", &ours, mark)
            .over("bare sbatch", mine / other)
            .note(format!("{:.1} ms more; the bound is the larger one of 1.5 × and 8 ms more", mine - other)),
    ];
    let wrapper = site.dir.join("sbatch-counted");
    let log = site.dir.join("sbatch.calls");
    fs::write(&wrapper, format!("#!/bin/sh\necho call >> '{}'\nexec sbatch \"$@\"\n", log.display()))?;
    fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755))?;
    let keys = format!(", commands: {{sbatch: {}}}", wrapper.display());
    let counted = Site::new(bench, &keys, variables)?;
    counted.cluster(&["map", "--detach", "--hold", "--range", "1-1000", "--", "true"])?;
    let calls = fs::read_to_string(&log)?.lines().count() as f64;
    let what = "calls of sbatch for 1,000 jobs, a real Slurm";
    rows.push(Row::value("batch.real", what, "", &[calls], Mark::AtMost(1.0)));
    tool::read(site.command(Path::new("scancel")).args(["--user", "root"]))?;
    Ok(rows)
}
