//! The conformance suite: the same tests on each mock, and on the real schedulers.

use std::fmt;

use anyhow::{Context as _, bail};

use crate::mock::{self, KINDS};
use crate::scheduler::{self, Kind, Limits};
use crate::tool::{self, cargo, installed};
use crate::workspace::Workspace;

/// How many tests run at once: they wait for schedulers more than they compute.
const AT_ONCE: &str = "6";

/// The name of the made-up scheduler's suite.
const SAMPLE: &str = "sample";

/// What the sample's shell script cannot do: it enforces no memory limit, is too slow for thousands of elements,
/// and a client that is killed within `psub` leaves it hanging.
const SKIPPED_BY_SAMPLE: [&str; 3] = [
    "the_memory_limit_ends_a_job",
    "an_array_of_2500_over_a_limit",
    "killed_after_it_took_a_job_that_still_waits",
];

/// One scheduler to run the suite on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Site {
    Mock(&'static str),
    Real(Kind),
    /// The made-up scheduler of `examples/sample-backend`.
    Sample,
}

impl fmt::Display for Site {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mock(name) => write!(out, "conformance on the mock of {name}"),
            Self::Real(kind) => write!(out, "conformance on a real {kind}"),
            Self::Sample => write!(out, "conformance on the sample"),
        }
    }
}

impl Site {
    pub(crate) fn parse(name: &str, real: bool) -> anyhow::Result<Self> {
        if real {
            return Kind::parse(name).map(Self::Real);
        }
        if name == SAMPLE {
            return Ok(Self::Sample);
        }
        match KINDS.into_iter().find(|known| *known == name) {
            Some(known) => Ok(Self::Mock(known)),
            None => bail!(
                "there is no integration suite {name:?}: there are faults, fuzz, sample, {}",
                KINDS.join(", ")
            ),
        }
    }

    /// Why it cannot run on this machine.
    pub(crate) fn obstacle(self) -> Option<String> {
        match self {
            Self::Mock(_) | Self::Sample => None,
            Self::Real(kind) => scheduler::obstacle(kind),
        }
    }
}

/// Builds what the suite consists of.
pub(crate) fn build(workspace: &Workspace) -> anyhow::Result<()> {
    // The selection of `cargo xtask test`: another one would build the large dependencies a second time.
    tool::run(cargo(&["build", "--workspace", "--all-features", "--bins"]).current_dir(&workspace.root))
}

/// Runs it on each of the mocks.
pub(crate) fn on_mocks(workspace: &Workspace) -> anyhow::Result<()> {
    KINDS.into_iter().map(Site::Mock).try_for_each(|site| {
        // Others run at the same time: what failed says which it was.
        run(workspace, site, &[]).with_context(|| site.to_string())
    })
}

/// Runs it on the real ones, at the same time: they wait more than they compute. What was left out, and why.
pub(crate) fn on_real_ones(workspace: &Workspace) -> anyhow::Result<Vec<String>> {
    let (can, cannot): (Vec<Kind>, Vec<Kind>) =
        Kind::ALL.into_iter().partition(|&kind| scheduler::obstacle(kind).is_none());
    let results: Vec<(Kind, anyhow::Result<()>)> = std::thread::scope(|scope| {
        let started: Vec<_> =
            can.iter().map(|&kind| (kind, scope.spawn(move || real(workspace, kind, &[])))).collect();
        let ended = started.into_iter().map(|(kind, thread)| {
            (kind, thread.join().unwrap_or_else(|_| Err(anyhow::anyhow!("it panicked"))))
        });
        ended.collect()
    });
    for (kind, result) in results {
        result.with_context(|| format!("{}", Site::Real(kind)))?;
    }
    Ok(cannot.into_iter().filter_map(scheduler::obstacle).collect())
}

/// Runs it, or those tests of it whose names contain one of `filters`.
pub(crate) fn run(workspace: &Workspace, site: Site, filters: &[&str]) -> anyhow::Result<()> {
    match site {
        Site::Mock(name) => tests(workspace, name, &[], filters),
        Site::Real(kind) => real(workspace, kind, filters),
        Site::Sample => tests(workspace, SAMPLE, &[], filters),
    }
}

/// Starts the real one for it and stops it again, unless it was up before.
fn real(workspace: &Workspace, kind: Kind, filters: &[&str]) -> anyhow::Result<()> {
    let was_up = scheduler::is_up(workspace, kind)?;
    let mut variables = scheduler::up(workspace, kind, Limits::All)?;
    variables.push(("CLUSTER_SITE_REAL".to_owned(), "1".to_owned()));
    let mut result = tests(workspace, kind.name(), &variables, filters);
    if result.is_ok() && kind == Kind::Slurm && filters.is_empty() {
        // Slurm's own default: what is over a limit is taken, and waits for ever.
        scheduler::up(workspace, kind, Limits::No)?;
        variables.push(("CLUSTER_SITE_LIMITS".to_owned(), "no".to_owned()));
        result = tests(workspace, kind.name(), &variables, &["can_never_start", "is_refused"]);
    }
    if !was_up {
        scheduler::down(workspace, kind, false)?;
    }
    result
}

fn tests(
    workspace: &Workspace,
    name: &str,
    variables: &[(String, String)],
    filters: &[&str],
) -> anyhow::Result<()> {
    let suite = ["--workspace", "--all-features", "--test", "conformance"];
    let mut command = if installed("cargo-nextest") {
        let mut command = cargo(&["nextest", "run"]);
        command.args(suite).args(["--profile", "conformance", "--test-threads", AT_ONCE]).args(filters);
        command
    } else {
        let mut command = cargo(&["test"]);
        command.args(suite).args(["--", "--test-threads", AT_ONCE]).args(filters);
        command
    };
    if name == SAMPLE {
        println!("*** SKIPPED *** on the sample: {}", SKIPPED_BY_SAMPLE.join(", "));
        if installed("cargo-nextest") {
            command.arg("--");
        }
        command.args(SKIPPED_BY_SAMPLE.iter().flat_map(|test| ["--skip", test]));
    }
    for known in ["CLUSTER_SITE", "CLUSTER_SITE_REAL", "CLUSTER_SITE_LIMITS"] {
        command.env_remove(known);
    }
    command.env("CLUSTER_SITE", name).envs(variables.iter().map(|(name, value)| (name, value)));
    command.env("CLUSTER_BIN", workspace.debug_binary());
    command.env("CLUSTER_MOCK_BIN", workspace.target.join("debug").join(mock::MOCK));
    tool::run(command.current_dir(&workspace.root))
}
