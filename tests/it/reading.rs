//! Faults that were found by reading, each with the sequence that showed it.

use cluster_tests::{World, binary, is_alive, skipped, wait_for};

#[test]
fn a_job_that_was_waited_for_can_be_read() {
    let world = World::new();
    let cluster = binary().display().to_string();
    for _ in 0..15 {
        let map = world.map(["--range", "1-3", "--", "echo"]);
        let get = format!("{cluster} get {map}");
        world.cluster(["run", "--quiet", "--after", &map, "--sh", &get]).good().prints("1\n2\n3\n");
    }
}

#[test]
fn two_waits_of_one_job_lend_its_core_once() {
    let world = World::with_config("local: { cores: 1 }\n");
    let cluster = binary().display().to_string();
    let text = format!("{cluster} run -q -- true & {cluster} run -q -- true & wait; echo over");
    world.cluster(["run", "--quiet", "--time", "60", "--sh", &text]).good().prints("over\n");
    assert_eq!(world.status()["jobs"]["running"], 0);
}

#[test]
fn one_that_writes_for_ever_does_not_keep_the_slot() {
    let world = World::new();
    let pid = world.path("pid");
    // Until it has left the group it would be killed with it.
    let gone = world.fifo("gone");
    let text = format!(
        "[ $CLUSTER_JOB_INDEX -lt 30 ] || {{ setsid -f sh -c 'echo $$ > {}; echo > {}; exec yes'; {}; echo $PPID; }}",
        pid.display(),
        gone.path().display(),
        gone.wait_text(),
    );
    world.cluster(["map", "--quiet", "--range", "1-31", "--no-append", "--sh", &text]).good();
    let parent = world.cluster(["logs", "1.30"]).good().out();
    if parent.lines().find_map(|line| line.parse().ok()) != world.runner() {
        return skipped("a late writer of a bare job", "jobs take so long now that none was started bare");
    }
    // Its pipe was closed, so it has ended by itself.
    wait_for("the late writer has ended", || {
        let text = std::fs::read_to_string(&pid).unwrap_or_default();
        text.trim().parse().is_ok_and(|pid| !is_alive(pid))
    });
}

#[test]
fn a_job_that_just_started_is_known_to_have() {
    let world = World::new();
    let gate = world.fifo("gate");
    let first = world.submit(["--sh", &gate.wait_text()]);
    world
        .cluster(["run", "--quiet", "--after", &format!("after:{first}"), "--", "echo", "beside"])
        .good()
        .prints("beside\n");
    gate.let_go(1);
    world.cluster(["wait", &first]).good();
}

#[test]
fn a_root_made_anew_is_served_anew() {
    let world = World::new();
    world.cluster(["run", "--quiet", "--", "true"]).good();
    std::fs::remove_dir_all(world.root()).unwrap();
    world.cluster(["run", "--quiet", "--", "echo", "anew"]).good().prints("anew\n");
    assert_eq!(world.cluster(["ls", "--ids"]).good().lines(), ["1"]);
}

#[test]
fn a_foreground_process_killed_over_its_jobs_leaves_none_waiting() {
    let world = World::new();
    world.cluster(["local", "start"]).good();
    let said = world.fifo("said");
    let gate = world.fifo("gate");
    let text = format!("{}; {}; exit 4", said.say_text("$PPID"), gate.wait_text());
    let batch = "1";
    let map = world.start(["map", "--foreground", "--range", "1-9", "--no-append", "--sh", &text]);
    said.hear();
    said.hear();
    map.signal(9);
    drop(map.end());
    gate.let_go(2);
    world.cluster(["wait", "--timeout", "60", batch]).code(1);
    assert_eq!(world.count(batch, "failed"), 9);
    world.check_store();
}
