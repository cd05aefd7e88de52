//! The scheduler by itself, without `cluster`: what the other tests take for granted.

use std::time::{Duration, Instant};

use cluster_tests::{Kind, Site, wait_for};

#[test]
fn a_job_runs_and_leaves_the_queue() {
    let site = Site::new();
    let (said, gate) = (site.fifo("said"), site.fifo("gate"));
    let id = site.foreign(&format!("#!/bin/sh\n{}\n{}\n", said.say_text("up"), gate.wait_text()));
    assert_eq!(said.hear(), "up");
    let listed = || site.program(site.kind().query()).end().good().out();
    assert!(listed().contains(&id), "{}", listed());
    gate.let_go(1);
    let is_queued = |line: &str| line.split_whitespace().next().is_some_and(|first| first.starts_with(&id));
    // Torque shows what has ended for a while.
    wait_for("it leaves the queue", || {
        !listed().lines().any(|line| is_queued(line) && !line.split_whitespace().any(|word| word == "C"))
    });
}

#[test]
fn calls_are_counted_and_answered() {
    let site = Site::new();
    let calls = site.counted(site.kind().query());
    for _ in 0..3 {
        site.program(site.kind().query()).end().good();
    }
    assert_eq!(calls.count(), 3);
}

#[test]
fn an_outage_ends() {
    let site = Site::alone();
    let query = || site.program("timeout").args(["60", site.kind().query()]).end();
    query().good();
    let outage = site.is_down();
    assert_ne!(query().code, 0);
    outage.mended();
    query().good();
    let outage = site.hangs();
    let began = Instant::now();
    let slow = site.program("timeout").args(["3", site.kind().query()]).end();
    assert!(slow.code != 0 && began.elapsed() > Duration::from_secs(1), "{slow:?}");
    outage.mended();
    query().good();
}

#[test]
fn what_a_hanging_scheduler_took_runs_once() {
    let site = Site::alone();
    let said = site.fifo("said");
    let script = site.script("late.sh", &format!("#!/bin/sh\n{}\n", said.say_text("late")));
    let outage = site.hangs();
    let call = site.program("timeout").args(["2", site.kind().submit()]).args(site.kind().bare_words());
    assert_ne!(call.arg(script).end().code, 0);
    outage.mended();
    if site.kind() == Kind::Slurm {
        // Grid Engine's qsub asks more than once: killed at its first question it has handed over nothing.
        assert_eq!(said.hear(), "late");
    }
    site.program(site.kind().query()).end().good();
    assert!(!said.is_heard());
}
