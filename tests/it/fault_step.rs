//! Runner and client killed on entering each of their system calls, by strace.

use std::fs;
use std::path::Path;

use cluster_tests::{Random, World, long_form, skipped, state_of};

use crate::fault_kill::one_run_a_batch;

#[test]
fn client_killed_between_every_two_steps_of_submit() {
    let world = World::new();
    if !Path::new("/usr/bin/strace").exists() {
        return skipped("client killed between steps", "there is no strace");
    }
    let runs = world.path("runs");
    world.cluster(["local", "start"]).good();
    world.cluster(["submit", "--quiet", "--sh", &format!("echo first >> {}", runs.display())]).good();
    let mut told = 1;
    let mut kills = 0;
    for call in ["mkdir", "openat", "write", "rename", "connect", "sendto", "recvfrom", "fsync", "fdatasync"]
    {
        let mut when = 1;
        loop {
            let inject = format!("inject={call}:signal=KILL:when={when}");
            let text = format!("echo {call}-{when} >> {}", runs.display());
            let strace = world.program("strace").args(["-qq", "-o", "/dev/null", "-e", &inject]);
            let outcome =
                strace.arg(cluster_tests::binary()).args(["submit", "--quiet", "--sh", &text]).end();
            if outcome.code != 137 {
                // Perhaps strace may not trace here: then nothing of it was tried.
                if outcome.code != 0 && kills == 0 {
                    return skipped("client killed between steps", &outcome.err());
                }
                told += usize::from(outcome.code == 0);
                break;
            }
            kills += 1;
            when += 1;
        }
    }
    assert!(kills > 10, "only {kills} kills");
    one_run_a_batch(&world, &runs, told);
}

/// A map under a runner that is killed on entering its `when`-th `call`. True where it was killed.
fn killed_at_a_step(call: &str, when: u32) -> Option<bool> {
    let world = World::new();
    let done = world.path("done");
    fs::create_dir(&done).unwrap();
    let inject = format!("inject={call}:signal=KILL:when={when}");
    let strace = world.program("strace").args(["-f", "-qq", "-o", "/dev/null", "-e", &inject]);
    let mut traced = strace.arg(cluster_tests::binary()).args(["local", "start"]).start();
    let first = cluster_tests::wait_some("the runner runs, or cannot be traced", || match world.runner() {
        Some(pid) => Some(Some(pid)),
        None if !traced.runs() => Some(None),
        None => None,
    });
    if first.is_none() && when > 1 {
        let outcome = traced.end();
        assert!(outcome.err().contains("PTRACE") || outcome.code != 0, "{}", outcome.err());
        return None;
    }
    // `mkdir` fails where it is done twice, and is none of the calls that are counted.
    let text = format!("{}/{{}}", done.display());
    let map = world.cluster(["map", "--quiet", "--detach", "--range", "0-39", "--", "mkdir", &text]);
    let step = format!("{call} {when}");
    if map.code != 0 {
        // Told that it is out of reach: then it is there as a whole, or not at all.
        assert!(matches!(map.code, 3 | 5 | 7), "{step}: {} {}", map.code, map.err());
    }
    let batches = world.cluster(["ls", "--ids"]).good().lines();
    assert!(map.code != 0 || batches.len() == 1, "{step}: {batches:?}");
    let mut lost = 0;
    for batch in &batches {
        let _ = world.cluster(["wait", "--timeout", "5m", batch]);
        for (i, job) in world.jobs(batch).iter().enumerate() {
            let ran = done.join(i.to_string()).exists();
            match state_of(job).as_str() {
                "succeeded" => assert!(ran, "{step}: {job}"),
                "failed lost" => {
                    lost += 1;
                    assert!(job["reason"].is_string(), "{step}: {job}");
                }
                other => panic!("{step}: {other}: {job}"),
            }
            assert_eq!(job["runs"].as_array().map(Vec::len), Some(1), "{step}: {job}");
        }
    }
    assert!(lost <= 2, "{step}: {lost} jobs were lost by one kill");
    world.check_store();
    Some(world.runner() != first)
}

#[test]
fn runner_killed_between_every_two_steps() {
    if !Path::new("/usr/bin/strace").exists() {
        return skipped("runner killed between steps", "there is no strace");
    }
    // The shells of jobs write twice or so: only the runner's threads get to the later ones.
    let mut random = Random::new();
    let mut kills = 0;
    for (call, first, last) in
        [("write", 6, 30), ("pwrite64", 1, 80), ("fdatasync", 1, 8), ("ftruncate", 1, 8)]
    {
        let tries: Vec<u32> = match long_form() {
            true => (first..=last).collect(),
            false => (0..5).map(|_| first + random.below(u64::from(last - first) + 1) as u32).collect(),
        };
        for when in tries {
            match killed_at_a_step(call, when) {
                None => return skipped("runner killed between steps", "strace may not trace here"),
                Some(killed) => kills += u32::from(killed),
            }
        }
    }
    assert!(kills > 3, "only {kills} kills");
}
