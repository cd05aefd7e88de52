//! How the runner starts processes, seen by strace.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use cluster_tests::{World, skipped, wait_for, wait_some};

/// The calls of the runner's own threads that made a process or a thread. `dir` has a file for each thread.
fn made_by(runner: u32, dir: &Path) -> Vec<String> {
    let mut threads = vec![runner];
    let mut seen = BTreeSet::new();
    let mut calls = Vec::new();
    while let Some(thread) = threads.pop() {
        if !seen.insert(thread) {
            continue;
        }
        let text = fs::read_to_string(dir.join(format!("trace.{thread}"))).unwrap_or_default();
        for line in text.lines().filter(|line| line.contains('(')) {
            if line.contains("CLONE_THREAD") {
                threads.extend(line.rsplit_once("= ").and_then(|(_, made)| made.parse::<u32>().ok()));
            }
            calls.push(line.to_owned());
        }
    }
    calls
}

/// A plain fork copies the page tables of the whole runner for every job: half the rate, and less the larger it is.
/// `CLUSTER_BIN` names the program to be looked at, which matters: a static one may fork where another does not.
#[test]
fn the_runner_never_forks() {
    const WHAT: &str = "how the runner starts processes";
    let world = World::new();
    if !Path::new("/usr/bin/strace").exists() {
        return skipped(WHAT, "there is no strace");
    }
    let traces = world.path("traces");
    fs::create_dir(&traces).unwrap();
    let strace = world.program("strace").args(["-ff", "-qq", "-e", "trace=clone,clone3,fork,vfork", "-o"]);
    let mut traced =
        strace.arg(traces.join("trace")).arg(cluster_tests::binary()).args(["local", "start"]).start();
    let runner = wait_some("the runner runs, or cannot be traced", || match world.runner() {
        Some(pid) => Some(Some(pid)),
        None if !traced.runs() => Some(None),
        None => None,
    });
    let Some(runner) = runner else {
        return skipped(WHAT, &traced.end().err());
    };
    // Until then another client might start one that nobody traces.
    wait_for("it answers", || {
        let status = world.cluster(["local", "status", "--json"]);
        status.code == 0 && status.json()["pid"] == runner
    });
    // By job.sh and bare, into packs and into files, with a directory and a mask of their own.
    world.cluster(["map", "--quiet", "--range", "1-40", "--", "true"]).good();
    world.cluster(["map", "--quiet", "--output", "files", "--range", "1-40", "--", "true"]).good();
    let dir = world.path("elsewhere");
    fs::create_dir(&dir).unwrap();
    world.cluster(["run", "--sh", "umask; pwd"]).good();
    world
        .program("sh")
        .args(["-c", "umask 077; exec \"$@\"", "sh"])
        .arg(cluster_tests::binary())
        .dir(&dir)
        .args(["run", "--", "pwd"])
        .end()
        .good()
        .prints(format!("{}\n", dir.display()));
    world.cluster(["local", "stop"]).good();
    let _ = traced.end();
    let calls = made_by(runner, &traces);
    let children = calls.iter().filter(|call| !call.contains("CLONE_THREAD"));
    let (spawned, forked): (Vec<_>, Vec<_>) =
        children.partition(|call| call.contains("CLONE_VFORK") || call.starts_with("vfork("));
    assert!(forked.is_empty(), "{forked:?}");
    assert!(spawned.len() >= 82, "only {} processes were seen to be started", spawned.len());
}
