//! `cargo xtask test`: everything that must hold before a change goes in, the quick checks first.

use std::process::Command;
use std::time::Instant;

use anyhow::Context as _;

use crate::tool::{self, cargo, installed};
use crate::workspace::Workspace;
use crate::{deps, integration, reference};

/// One check: its heading, what to do when it fails, and itself.
struct Step {
    title: &'static str,
    remedy: &'static str,
    check: fn(&Workspace) -> anyhow::Result<Outcome>,
}

enum Outcome {
    Passed,
    Skipped(String),
}

const STEPS: &[Step] = &[
    Step { title: "formatting", remedy: "run `cargo fmt --all`", check: formatting },
    Step {
        title: "clippy, warnings are errors",
        remedy: "correct what clippy names; an exception needs #[allow] and a comment with the reason",
        check: clippy,
    },
    Step {
        title: "licences, advisories, sources of dependencies (cargo-deny)",
        remedy: "see deny.toml: another crate, or an exception with its reason",
        check: deny,
    },
    Step { title: "light crates stay light", remedy: "move the dependency to another crate", check: deps },
    Step {
        title: "unit and integration tests",
        remedy: "run the named test alone, as shown above",
        check: tests,
    },
    Step {
        title: "conformance on four mocks, a real Slurm and a real Grid Engine",
        remedy: "run `cargo xtask integration slurm [--real] TEST` (pbs, torque, sge): see tests/README.md",
        check: conformance,
    },
    Step {
        title: "documentation tests",
        remedy: "correct the example in the documentation",
        check: doc_tests,
    },
    Step {
        title: "documentation",
        remedy: "correct the links and markup that rustdoc names",
        check: documentation,
    },
    Step {
        title: "command line reference",
        remedy: "run `cargo xtask docs` and commit docs/cli.md",
        check: docs,
    },
];

/// Runs all steps in order; the first failure ends it.
pub(crate) fn run(workspace: &Workspace) -> anyhow::Result<()> {
    let began = Instant::now();
    let mut table = Vec::new();
    for (i, step) in STEPS.iter().enumerate() {
        let heading = format!("[{}/{}] {}", i + 1, STEPS.len(), step.title);
        println!("\n{heading}\n{}", "=".repeat(heading.chars().count()));
        let start = Instant::now();
        let outcome = (step.check)(workspace)
            .with_context(|| format!("\n{heading}: FAILED\nwhat to do: {}\nthe cause", step.remedy))?;
        let seconds = start.elapsed().as_secs_f64();
        let word = match outcome {
            Outcome::Passed => "passed".to_owned(),
            Outcome::Skipped(why) => {
                println!("\n*** SKIPPED *** {}: {why}\n", step.title);
                format!("SKIPPED: {why}")
            }
        };
        table.push(format!("{seconds:7.1} s  {:<60} {word}", step.title));
    }
    println!("\nAll checks passed in {:.0} s\n{}", began.elapsed().as_secs_f64(), table.join("\n"));
    Ok(())
}

fn in_root(workspace: &Workspace, mut command: Command) -> anyhow::Result<Outcome> {
    tool::run(command.current_dir(&workspace.root))?;
    Ok(Outcome::Passed)
}

fn formatting(workspace: &Workspace) -> anyhow::Result<Outcome> {
    in_root(workspace, cargo(&["fmt", "--all", "--check"]))
}

fn clippy(workspace: &Workspace) -> anyhow::Result<Outcome> {
    let args = ["clippy", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"];
    in_root(workspace, cargo(&args))
}

fn deny(workspace: &Workspace) -> anyhow::Result<Outcome> {
    if !installed("cargo-deny") {
        let why = "cargo-deny is not installed (`cargo install --locked cargo-deny`)";
        return Ok(Outcome::Skipped(why.to_owned()));
    }
    in_root(workspace, cargo(&["deny", "--all-features", "check"]))
}

fn deps(workspace: &Workspace) -> anyhow::Result<Outcome> {
    deps::run(workspace).map(|()| Outcome::Passed)
}

fn tests(workspace: &Workspace) -> anyhow::Result<Outcome> {
    // One selection of packages and features for all that is built from here on: cargo unifies features over the
    // selection, and `-p cluster-cli` alone would build the large dependencies a second time.
    tool::run(
        cargo(&["build", "--workspace", "--all-targets", "--all-features"]).current_dir(&workspace.root),
    )?;
    let mut command = if installed("cargo-nextest") {
        // The conformance suite is run by itself, once for each scheduler.
        cargo(&["nextest", "run", "--workspace", "--all-features", "-E", "not binary(conformance)"])
    } else {
        println!("cargo-nextest is not installed: cargo test does the same, a little slower");
        cargo(&["test", "--workspace", "--all-features", "--lib", "--bins", "--tests", "--no-fail-fast"])
    };
    command.env("CLUSTER_BIN", workspace.debug_binary());
    in_root(workspace, command)
}

fn conformance(workspace: &Workspace) -> anyhow::Result<Outcome> {
    // At the same time: they wait for schedulers more than they compute.
    let (mocks, reals) = std::thread::scope(|scope| {
        let mocks = scope.spawn(|| integration::on_mocks(workspace));
        let reals = integration::on_real_ones(workspace);
        (mocks.join().unwrap_or_else(|_| Err(anyhow::anyhow!("it panicked"))), reals)
    });
    mocks?;
    let skipped = reals?;
    Ok(if skipped.is_empty() { Outcome::Passed } else { Outcome::Skipped(skipped.join("; ")) })
}

fn doc_tests(workspace: &Workspace) -> anyhow::Result<Outcome> {
    in_root(workspace, cargo(&["test", "--doc", "--workspace", "--all-features"]))
}

fn documentation(workspace: &Workspace) -> anyhow::Result<Outcome> {
    let mut command = cargo(&["doc", "--workspace", "--no-deps", "--all-features"]);
    command.env("RUSTDOCFLAGS", "-D warnings");
    in_root(workspace, command)
}

fn docs(workspace: &Workspace) -> anyhow::Result<Outcome> {
    // Built by the tests' step.
    reference::check(workspace, &workspace.debug_binary()).map(|()| Outcome::Passed)
}
