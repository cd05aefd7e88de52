//! Inside an allocation of a scheduler the runner is that allocation's own.

use cluster_tests::{Call, World, kill, wait_for, wait_some};

/// `cluster` as in a job of Slurm's with one core of this machine.
fn inside(world: &World, words: &[&str]) -> Call {
    world
        .call(words)
        .env("SLURM_JOB_ID", "4711")
        .env("SLURMD_NODENAME", "node1")
        .env("SLURM_CPUS_ON_NODE", "1")
        .env("SLURM_MEM_PER_NODE", "200")
}

#[test]
fn in_an_allocation_the_runner_is_its_own_with_its_cores_and_memory() {
    let world = World::with_config("local: { cores: 2, memory: 100% }\n");
    world.cluster(["local", "start"]).good();
    let outer = world.runner();
    // Roots are served by one runner of a machine: this one is of the allocation alone.
    let root = world.path("inner").display().to_string();
    inside(&world, &["run", "--system", "local", "--root", &root, "--", "echo", "hi"])
        .end()
        .good()
        .prints("hi\n");
    let status = inside(&world, &["local", "status", "--root", &root, "--json"]).end().good().json();
    assert_eq!(status["socket"], world.queue().join("in-slurm-4711/socket").to_str().unwrap());
    assert_eq!(status["limit"], serde_json::json!({ "cores": 1, "mem_mb": 200 }));
    assert!(status["lives_by"].as_str().unwrap().contains("slurm job 4711"), "{status}");
    inside(&world, &["submit", "--system", "local", "--root", &root, "--cores", "2", "--", "true"])
        .end()
        .code(6)
        .says(["asks for 2 cores, and", "1 core and 200 MB"]);
    assert_eq!(world.runner(), outer);
    assert_eq!(world.status()["limit"]["cores"], 2);
    inside(&world, &["local", "stop", "--root", &root]).end().good();
}

#[test]
fn what_the_runner_of_an_ended_allocation_left_goes_on_outside() {
    let world = World::new();
    let (said, gate) = (world.fifo("said"), world.fifo("gate"));
    let text = format!("{}; {}; exit 3", said.say_text("$$"), gate.wait_text());
    let submitted = inside(&world, &["submit", "--sh", &text]).end().good().out();
    let running = submitted.trim();
    let submitted = inside(&world, &["submit", "--", "echo", "later"]).end().good().out();
    let queued = submitted.trim();
    said.hear();
    let status = inside(&world, &["local", "status", "--json"]).end().good().json();
    // The allocation ends: its runner is killed, and what it ran in a session of its own lives on.
    let runner = wait_some("the runner of the allocation", || status["pid"].as_u64()) as u32;
    kill(runner, 9);
    wait_for("it is gone", || !cluster_tests::is_alive(runner));
    world.cluster(["local", "start"]).good();
    wait_for("it is adopted", || {
        world.status()["jobs"]["running"] == 1 || world.state(queued) == "succeeded"
    });
    gate.let_go(1);
    world.cluster(["wait", running, queued]).code(1);
    assert_eq!(world.state(running), "failed exit 3");
    assert_eq!(world.state(queued), "succeeded");
    assert!(!said.is_heard(), "it was started again");
    world.check_store();
}
