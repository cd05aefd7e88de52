//! The fuzz targets, one after the other, with a corpus from the recordings.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, bail};

use crate::tool::{self, cargo};
use crate::workspace::Workspace;

/// A target, and the tests that know its corpus: a package, a test binary, a word of the test's name.
struct Target {
    name: &'static str,
    corpus: [&'static str; 3],
}

const TARGETS: &[Target] = &[
    Target { name: "slurm", corpus: ["cluster-backend-slurm", "corpus", "corpus_keeps"] },
    Target { name: "pbs", corpus: ["cluster-backend-pbs", "it", "corpus_keeps"] },
    Target { name: "sge", corpus: ["cluster-backend-sge", "corpus", "corpus_keeps"] },
    Target { name: "units", corpus: ["cluster-options", "corpus", "what_is_read"] },
];

/// What a reader gets: a second for each input is far too much, half a gigabyte too.
const LIMITS: [&str; 4] = ["-max_len=8192", "-timeout=30", "-rss_limit_mb=1024", "-malloc_limit_mb=512"];

/// Runs the targets that are named, or all, for so many seconds each (`--seconds`, 900).
pub(crate) fn run(workspace: &Workspace, words: &[&str]) -> anyhow::Result<()> {
    let mut seconds = 900;
    let mut chosen = Vec::new();
    let mut words = words.iter();
    while let Some(&word) = words.next() {
        if word == "--seconds" {
            seconds = words.next().and_then(|text| text.parse().ok()).context("--seconds needs a number")?;
            continue;
        }
        let target = TARGETS.iter().find(|target| target.name == word);
        chosen.push(target.with_context(|| format!("no fuzz target is called {word:?}"))?);
    }
    if chosen.is_empty() {
        chosen.extend(TARGETS);
    }
    let nightly = |args: &[&str]| {
        let mut command = Command::new("cargo");
        // The cargo that runs us is a stable one, and would be found first.
        command.env_remove("CARGO").env_remove("RUSTUP_TOOLCHAIN").arg("+nightly").args(args);
        command.current_dir(&workspace.root);
        command
    };
    tool::read(&mut nightly(&["fuzz", "--version"])).context(
        "it takes a nightly compiler and cargo-fuzz: `rustup toolchain install nightly` and \
         `cargo install --locked cargo-fuzz`",
    )?;
    let mut found = Vec::new();
    for target in chosen {
        let corpus = corpus(workspace, target)?;
        let mut command = nightly(&["fuzz", "run", "--target-dir"]);
        command.arg(workspace.target.join("fuzz")).arg(target.name).arg(&corpus).arg("--");
        command.arg(format!("-max_total_time={seconds}")).args(LIMITS);
        // What it found is named by libFuzzer; the other targets are looked at all the same.
        if tool::run(&mut command).is_err() {
            found.push(target.name);
        }
    }
    if !found.is_empty() {
        bail!("cases that break a promise: see fuzz/artifacts of {}", found.join(", "));
    }
    Ok(())
}

/// Has the tests write their corpus.
fn corpus(workspace: &Workspace, target: &Target) -> anyhow::Result<PathBuf> {
    let dir = workspace.root.join("fuzz/corpus").join(target.name);
    let [package, binary, test] = target.corpus;
    let mut command = cargo(&["test", "--quiet", "-p", package, "--test", binary, test]);
    tool::run(command.env("CLUSTER_FUZZ_CORPUS", &dir).current_dir(&workspace.root))?;
    Ok(dir)
}
