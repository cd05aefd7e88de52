//! Runner and client killed by -9 at random moments: nothing is lost unsaid, nothing runs twice.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use cluster_tests::{Random, World, kill, long_form, state_of, wait_for};

/// How often each line is in a file.
fn lines(path: &Path) -> HashMap<String, usize> {
    let mut counts = HashMap::new();
    for line in fs::read_to_string(path).unwrap_or_default().lines() {
        *counts.entry(line.to_owned()).or_default() += 1;
    }
    counts
}

/// One map of `jobs` jobs under `kills` kills. Returns how many were lost.
fn killed_map(random: &mut Random, jobs: u64, kills: u64, options: &[&str]) -> usize {
    let world = World::new();
    let runs = world.path("runs");
    let text = format!(
        "echo $CLUSTER_JOB_INDEX >> {}; echo out $CLUSTER_JOB_INDEX; exit $(($CLUSTER_JOB_INDEX % 5))",
        runs.display()
    );
    let range = format!("0-{}", jobs - 1);
    let mut words = options.to_vec();
    words.extend(["--range", &range, "--", "sh", "-c", &text]);
    let batch = world.map(words);
    for part in 0..kills {
        // Somewhere in its part of the run, and somewhere in a job.
        let at = (part * jobs + random.below(jobs)) / kills;
        wait_for("the run goes on", || {
            fs::read_to_string(&runs).unwrap_or_default().lines().count() as u64 >= at
        });
        random.pass(Duration::from_millis(5));
        if let Some(runner) = world.runner() {
            kill(runner, 9);
        }
        world.cluster(["local", "start", "--quiet"]).good();
    }
    world.cluster(["wait", "--timeout", "10m", &batch]).code(1);
    world.check_store();
    let ran = lines(&runs);
    let mut lost = 0;
    let all = world.jobs(&batch);
    assert_eq!(all.len() as u64, jobs);
    for (i, job) in all.iter().enumerate() {
        let ran = ran.get(&i.to_string()).copied().unwrap_or(0);
        let state = state_of(job);
        if state == "failed lost" {
            lost += 1;
            assert!(ran <= 1, "a lost job ran {ran} times: {job}");
            assert!(job["reason"].as_str().is_some_and(|reason| reason.contains("runner")), "{job}");
            continue;
        }
        assert_eq!(ran, 1, "job {i} ran {ran} times: {job}");
        let wanted = if i % 5 == 0 { "succeeded".to_owned() } else { format!("failed exit {}", i % 5) };
        assert_eq!(state, wanted, "{job}");
        assert_eq!(job["runs"].as_array().unwrap().len(), 1, "{job}");
    }
    let limit = if options.contains(&"--durable") { 0 } else { 2 * kills as usize };
    assert!(lost <= limit, "{lost} of {jobs} jobs were lost by {kills} kills");
    // Of every other job the output is its own.
    for output in world.cluster(["get", "--json", &batch]).code(1).json_lines() {
        let job = output["job"].as_str().unwrap();
        let index: usize = job.rsplit_once('.').unwrap().1.parse().unwrap();
        if state_of(&all[index]) != "failed lost" {
            assert_eq!(output["output"], format!("out {index}\n"), "{output}");
        }
    }
    let left = world.processes();
    assert!(left.iter().all(|pid| Some(*pid) == world.runner()), "{left:?}");
    lost
}

fn rounds() -> (u64, u64, u64) {
    if long_form() { (20, 2000, 4) } else { (3, 300, 2) }
}

#[test]
fn runner_killed_in_a_map() {
    let mut random = Random::new();
    let (rounds, jobs, kills) = rounds();
    let lost: usize = (0..rounds).map(|_| killed_map(&mut random, jobs, kills, &[])).sum();
    eprintln!("{lost} of {} jobs were lost by {} kills", rounds * jobs, rounds * kills);
}

#[test]
fn runner_killed_with_output_in_files() {
    killed_map(&mut Random::new(), if long_form() { 2000 } else { 200 }, 2, &["--output", "files"]);
}

#[test]
fn runner_killed_loses_nothing_durable() {
    killed_map(&mut Random::new(), if long_form() { 1000 } else { 100 }, 3, &["--durable"]);
}

#[test]
fn runner_killed_while_a_job_runs_adopts_it() {
    let world = World::new();
    let said = world.fifo("said");
    let gate = world.fifo("gate");
    let text = format!("echo early; {}; {}; echo late; exit 5", said.say_text("up"), gate.wait_text());
    let alone = world.submit(["--sh", &text]);
    let many = world.map(["--range", "1-1", "--sh", &text]);
    let queued = world.submit(["--", "echo", "queued"]);
    let held = world.submit(["--hold", "--", "true"]);
    said.hear();
    said.hear();
    // That it runs is told to the store a moment after its start.
    world.wait_state(&alone, "running");
    let pid = world.job(&alone)["pid"].clone();
    world.kill_runner();
    world.cluster(["local", "start"]).good();
    assert_eq!(world.status()["jobs"]["running"], 2, "{}", world.status());
    assert_eq!((world.state(&queued).as_str(), world.state(&held).as_str()), ("queued", "held"));
    // Adopted, it still has its cores: nothing else starts.
    gate.let_go(2);
    world.cluster(["wait", &alone, &many, &queued]).code(1);
    for batch in [&alone, &many] {
        assert_eq!(world.state(batch), "failed exit 5");
        world.cluster(["logs", batch]).good().prints("early\nlate\n");
        assert_eq!(world.job(batch)["run"], 1);
        // Seen to its end, it ends when that was, not at the begin of that second.
        let job = world.job(batch);
        assert!(job["ended"].as_i64() > job["started"].as_i64(), "{job}");
    }
    assert_eq!(world.job(&alone)["pid"], pid);
    assert_eq!(world.state(&queued), "succeeded");
    world.check_store();
}

#[test]
fn runner_killed_and_the_job_ended_before_the_next_one() {
    let world = World::new();
    let said = world.fifo("said");
    let gate = world.fifo("gate");
    let done = world.path("done");
    let batch = world.submit(["--sh", &format!("{}; {}; exit 6", said.say_text("up"), gate.wait_text())]);
    said.hear();
    world.kill_runner();
    gate.let_go(1);
    let status = world.root().join(format!("jobs/{batch}/0/0.0.status"));
    wait_for("the end is on record", || fs::read_to_string(&status).unwrap_or_default().contains("v1 end"));
    assert!(!done.exists());
    world.cluster(["wait", &batch]).code(1);
    assert_eq!(world.state(&batch), "failed exit 6");
}

#[test]
fn runner_and_job_killed_is_lost_and_says_so() {
    let world = World::new();
    let said = world.fifo("said");
    let batch = world.submit(["--sh", &format!("{}; sleep 1000", said.say_text("up"))]);
    said.hear();
    // One may be just starting another.
    wait_for("all are gone", || {
        let left = world.processes();
        left.iter().for_each(|&pid| kill(pid, 9));
        left.is_empty()
    });
    world.cluster(["wait", &batch]).code(1);
    assert_eq!(world.state(&batch), "failed lost");
    let job = world.job(&batch);
    assert!(
        job["reason"].as_str().is_some_and(|reason| reason.contains("runner") && reason.contains("killed")),
        "{job}"
    );
    world.cluster(["retry", &batch]).good().says(["1 job sent again"]);
    said.hear();
    world.cluster(["cancel", &batch]).good();
    world.cluster(["wait", &batch]).code(1);
    assert_eq!(world.state(&batch), "failed cancelled");
}

#[test]
fn runner_killed_over_a_bare_job_waits_for_it_and_calls_it_lost() {
    let world = World::new();
    let said = world.fifo("said");
    let gate = world.fifo("gate");
    // Forty short ones, so that the last is spawned bare.
    let text =
        format!("[ $CLUSTER_JOB_INDEX -lt 40 ] || {{ {}; {}; }}", said.say_text("$$"), gate.wait_text());
    let batch = world.map(["--range", "0-40", "--", "sh", "-c", &text]);
    let pid: u32 = said.hear().parse().unwrap();
    let job = format!("{batch}.40");
    let script = world.root().join(format!("jobs/{batch}/0/40.0.status"));
    assert!(!script.exists(), "the last job was not bare: this tests nothing");
    // The last of the short ones may still be running beside it.
    wait_for("the short ones have ended", || world.count(&batch, "succeeded") == 40);
    world.kill_runner();
    assert!(cluster_tests::is_alive(pid));
    world.cluster(["local", "start"]).good();
    wait_for("it is running again", || world.status()["jobs"]["running"] == 1);
    world.cluster(["retry", &job]).good().says(["no failed jobs"]);
    assert_eq!(world.state(&job), "running");
    gate.let_go(1);
    world.cluster(["wait", &batch]).code(1);
    assert_eq!(world.state(&job), "failed lost");
    assert_eq!(world.count(&batch, "succeeded"), 40);
    assert!(!said.is_heard());
}

#[test]
fn an_adopted_job_can_be_cancelled_and_timed_out() {
    let world = World::new();
    let said = world.fifo("said");
    let text = format!("{}; sleep 1000", said.say_text("$$"));
    let cancelled = world.submit(["--sh", &text]);
    let timed = world.submit(["--time", "2", "--sh", &text]);
    let pids: [u32; 2] = [said.hear(), said.hear()].map(|pid| pid.parse().unwrap());
    world.kill_runner();
    world.cluster(["cancel", &cancelled]).good();
    world.cluster(["wait", &cancelled, &timed]).code(1);
    assert_eq!(world.state(&cancelled), "failed cancelled");
    assert_eq!(world.state(&timed), "failed timeout");
    wait_for("their processes have ended", || !pids.iter().any(|&pid| cluster_tests::is_alive(pid)));
}

#[test]
fn runner_killed_under_a_waiting_client() {
    let world = World::new();
    let gate = world.fifo("gate");
    let said = world.fifo("said");
    let text = format!("{}; {}; echo {{}}", said.say_text("up"), gate.wait_text());
    let map = world.start(["map", "--range", "1-6", "--sh", &text]);
    said.hear();
    said.hear();
    let wait = world.start(["run", "--after", "afterany:1", "--", "echo", "after"]);
    world.wait_state("2", "queued");
    world.kill_runner();
    gate.let_go(6);
    map.end().good().prints("1\n2\n3\n4\n5\n6\n");
    wait.end().good().prints("after\n");
    world.check_store();
}

#[test]
fn client_killed_at_random_moments_of_submit() {
    let mut random = Random::new();
    let world = World::new();
    let runs = world.path("runs");
    world.cluster(["local", "start"]).good();
    let count = if long_form() { 1000 } else { 60 };
    let mut told = 0;
    for i in 0..count {
        let submit = world.start(["submit", "--quiet", "--sh", &format!("echo {i} >> {}", runs.display())]);
        random.pass(Duration::from_millis(15));
        submit.signal(9);
        let outcome = submit.end();
        told += usize::from(outcome.code == 0);
    }
    one_run_a_batch(&world, &runs, told);
}

/// Every batch that is there ran once; nothing ran without one.
pub(crate) fn one_run_a_batch(world: &World, runs: &Path, told: usize) {
    // What a killed client had said is taken in by the time at which something said later is.
    world.submit(["--quiet", "--sh", &format!("echo last >> {}", runs.display())]);
    let batches = world.cluster(["ls", "--all", "--ids"]).good().lines();
    world.cluster(["wait"].into_iter().chain(batches.iter().map(String::as_str))).good();
    let ran = lines(runs);
    assert!(ran.values().all(|&times| times == 1), "{ran:?}");
    assert_eq!(ran.len(), batches.len(), "batches and runs differ");
    assert!(told <= batches.len(), "{told} clients were told of a batch, and there are {}", batches.len());
    world.check_store();
}

#[test]
fn two_runners_started_at_once_from_different_logins() {
    for _ in 0..if long_form() { 30 } else { 4 } {
        let world = World::new();
        let runtime = world.path("runtime");
        fs::create_dir(&runtime).unwrap();
        let most = world.path("most");
        fs::create_dir(&most).unwrap();
        // Each job counts those that run beside it.
        let text = format!(
            "d={}; : {{}}; mkdir $d/$CLUSTER_JOB_ID; ls $d | wc -l >> $d.counts; rmdir $d/$CLUSTER_JOB_ID",
            most.display()
        );
        let map =
            |call: cluster_tests::Call| call.args(["--quiet", "--range", "1-20", "--sh", &text]).start();
        let line = format!("'{}' map --quiet --range 1-20 --sh \"$TEXT\"", cluster_tests::binary().display());
        let all = [
            map(world.call(["map"]).env("XDG_RUNTIME_DIR", &runtime)),
            map(world.call(["map"]).env("TMPDIR", &runtime).env("SSH_CONNECTION", "1 2 3 4")),
            world.program("script").args(["-qec", &line, "/dev/null"]).env("TEXT", &text).start(),
            map(world.call(["map"]).without("HOME").without("XDG_STATE_HOME")),
        ];
        for run in all {
            let outcome = run.end();
            assert_eq!(outcome.code, 0, "{} {}", outcome.words, outcome.err());
        }
        let counts = fs::read_to_string(world.path("most.counts")).unwrap();
        let counts: Vec<u32> = counts.lines().map(|line| line.trim().parse().unwrap()).collect();
        assert_eq!(counts.len(), 80);
        assert!(counts.iter().all(|&count| count <= 2), "cores were booked twice: {counts:?}");
        let words = format!("__runner\0{}", world.queue().display());
        let runners = world.processes().into_iter().filter(|pid| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).contains(&words)
        });
        assert_eq!(runners.count(), 1);
    }
}
