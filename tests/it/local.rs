//! The runner by hand: start, status, stop, restart, drain, set, idle exit, nesting.

use cluster_tests::{World, is_alive, wait_for};

#[test]
fn status_with_and_without_a_runner() {
    let world = World::with_config("local: { cores: 2, memory: 3000M }\n");
    let none = world.status();
    assert_eq!((&none["running"], &none["v"]), (&false.into(), &1.into()));
    world.cluster(["local", "status"]).good();
    assert!(world.runner().is_none(), "a look must start nothing");
    world.cluster(["local", "start"]).good();
    let gate = world.fifo("gate");
    let batch = world.map(["--mem", "1000M", "--range", "1-3", "--", "sh", "-c", &gate.wait_text()]);
    world.submit(["--hold", "--", "true"]);
    wait_for("two run", || world.status()["jobs"]["running"] == 2);
    let status = world.status();
    assert_eq!(status["pid"].as_u64().map(|pid| pid as u32), world.runner());
    assert_eq!(status["limit"], serde_json::json!({ "cores": 2, "mem_mb": 3000 }));
    assert_eq!(status["free"], serde_json::json!({ "cores": 0, "mem_mb": 1000 }));
    assert_eq!(status["jobs"], serde_json::json!({ "running": 2, "queued": 1, "held": 1 }));
    assert_eq!(status["socket"], world.queue().join("socket").to_str().unwrap());
    assert!(status["uptime_s"].is_u64() && status["machine"]["cores"].as_u64() >= Some(1));
    assert_eq!(status["roots"][0]["path"], world.root().to_str().unwrap());
    let text = world.cluster(["local", "status"]).good().out();
    for part in ["cores", "memory", "2 running, 1 queued, 1 held", "pid", "socket", "not enforced"] {
        assert!(text.contains(part), "{text}");
    }
    gate.let_go(3);
    world.cluster(["wait", &batch]).good();
}

#[test]
fn start_starts_one_and_says_when_one_runs() {
    let world = World::new();
    world.cluster(["local", "start"]).good();
    let pid = world.runner().unwrap();
    world.cluster(["local", "start"]).good().says([&*pid.to_string()]);
    assert_eq!(world.runner(), Some(pid));
}

#[test]
fn stop_leaves_jobs_running_and_the_next_takes_them_over() {
    let world = World::new();
    let said = world.fifo("said");
    let gate = world.fifo("gate");
    let text = format!("{}; {}; exit 4", said.say_text("$$"), gate.wait_text());
    let running = world.submit(["--cores", "2", "--sh", &text]);
    let queued = world.submit(["--", "true"]);
    let pid: u32 = said.hear().parse().unwrap();
    world.cluster(["local", "stop"]).good();
    assert!(world.runner().is_none() && is_alive(pid));
    assert_eq!((world.state(&running).as_str(), world.state(&queued).as_str()), ("running", "queued"));
    world.cluster(["local", "start"]).good();
    assert_eq!(world.status()["free"]["cores"], 0);
    gate.let_go(1);
    world.cluster(["wait", &running, &queued]).code(1);
    assert_eq!(
        (world.state(&running).as_str(), world.state(&queued).as_str()),
        ("failed exit 4", "succeeded")
    );
    world.cluster(["local", "stop"]).good();
    world.cluster(["local", "stop"]).good().says(["no runner"]);
}

#[test]
fn restart_keeps_everything() {
    let world = World::new();
    let gate = world.fifo("gate");
    let said = world.fifo("said");
    let batch = world.map([
        "--range",
        "1-4",
        "--",
        "sh",
        "-c",
        &format!("{}; {}", said.say_text("up"), gate.wait_text()),
    ]);
    let held = world.submit(["--hold", "--", "true"]);
    said.hear();
    said.hear();
    let before = world.runner();
    for _ in 0..3 {
        world.cluster(["local", "restart"]).good();
    }
    assert_ne!(world.runner(), before);
    assert!(!said.is_heard(), "a job was started again");
    assert_eq!(world.status()["jobs"], serde_json::json!({ "running": 2, "queued": 2, "held": 1 }));
    gate.let_go(4);
    world.cluster(["wait", &batch]).good();
    assert!(world.jobs(&batch).iter().all(|job| job["run"] == 1));
    assert_eq!(world.state(&held), "held");
}

#[test]
fn drain_starts_nothing_more_until_it_is_off() {
    let world = World::new();
    let gate = world.fifo("gate");
    let running = world.submit(["--sh", &gate.wait_text()]);
    world.wait_state(&running, "running");
    world.cluster(["local", "drain"]).good();
    let queued = world.submit(["--", "true"]);
    gate.let_go(1);
    world.cluster(["wait", &running]).good();
    assert_eq!(world.status()["draining"], true);
    assert_eq!(world.state(&queued), "queued");
    world.cluster(["local", "drain", "--off"]).good();
    world.cluster(["wait", &queued]).good();
}

#[test]
fn stop_wait_ends_when_nothing_runs() {
    let world = World::new();
    let gate = world.fifo("gate");
    let running = world.submit(["--cores", "2", "--sh", &gate.wait_text()]);
    let queued = world.submit(["--", "true"]);
    world.wait_state(&running, "running");
    let mut stop = world.start(["local", "stop", "--wait"]);
    wait_for("it drains", || world.status()["draining"] == true);
    assert!(stop.runs());
    gate.let_go(1);
    stop.end().good();
    assert!(world.runner().is_none());
    assert_eq!((world.state(&running).as_str(), world.state(&queued).as_str()), ("succeeded", "queued"));
}

#[test]
fn the_limit_changes_while_it_runs() {
    let world = World::new();
    let gate = world.fifo("gate");
    let said = world.fifo("said");
    let batch = world.map([
        "--range",
        "1-6",
        "--",
        "sh",
        "-c",
        &format!("{}; {}", said.say_text("up"), gate.wait_text()),
    ]);
    said.hear();
    said.hear();
    world.cluster(["local", "set", "--cores", "4"]).good();
    said.hear();
    said.hear();
    assert_eq!(world.status()["jobs"]["running"], 4);
    // A lower one stops no running job, and outlives the runner.
    world.cluster(["local", "set", "--cores", "1"]).good();
    assert_eq!(world.status()["jobs"]["running"], 4);
    gate.let_go(3);
    wait_for("three have ended", || world.count(&batch, "succeeded") == 3);
    assert!(!said.is_heard());
    world.cluster(["local", "restart"]).good();
    assert_eq!(world.status()["limit"]["cores"], 1);
    gate.let_go(1);
    said.hear();
    assert_eq!(world.status()["jobs"]["running"], 1);
    gate.let_go(2);
    world.cluster(["wait", &batch]).good();
    world.cluster(["local", "set", "--cores", "0"]).code(2).says(["0"]);
    world.cluster(["local", "set"]).code(2);
}

#[test]
fn a_runner_ends_when_idle_and_a_job_keeps_it() {
    let world = World::with_config("local: { cores: 2, idle_exit: 1 }\n");
    let gate = world.fifo("gate");
    let batch = world.submit(["--sh", &gate.wait_text()]);
    world.submit(["--hold", "--", "true"]);
    let pid = world.runner().unwrap();
    // What would have ended it by now has; a job that runs keeps it.
    world.cluster(["wait", "--timeout", "3", &batch]).code(4);
    assert_eq!(world.runner(), Some(pid));
    gate.let_go(1);
    world.cluster(["wait", &batch]).good();
    wait_for("it has ended", || !is_alive(pid));
    // What is held waits for the next one.
    world.cluster(["release", "2"]).good();
    world.cluster(["wait", "2"]).good();
}

#[test]
fn nested_submissions_do_not_deadlock() {
    let world = World::with_config("local: { cores: 1 }\n");
    let bin = cluster_tests::binary().display().to_string();
    let inner = format!(
        "'{bin}' map --quiet --range 1-3 -- echo inner {{}} && '{bin}' get last && '{bin}' run --quiet -- echo run"
    );
    let outcome = world.cluster(["run", "--quiet", "--sh", &inner]).good();
    assert_eq!(outcome.out(), "inner 1\ninner 2\ninner 3\nrun\n");
    // Two jobs that each wait for jobs of their own.
    let text = format!("'{bin}' run --quiet -- sh -c '\"{bin}\" run --quiet -- echo deep'");
    let outcome = world.cluster(["map", "--range", "1-2", "--", "sh", "-c", &text]).good();
    assert_eq!(outcome.out(), "deep\ndeep\n");
    // Its cores are its own again: no two run side by side.
    assert_eq!(world.status()["free"]["cores"], 1);
}

#[test]
fn nesting_can_be_refused_and_is_not_endless() {
    let world = World::with_config("local: { cores: 1 }\nnesting: refuse\n");
    let bin = cluster_tests::binary().display().to_string();
    let outcome = world.cluster(["run", "--", &bin, "run", "--", "true"]);
    assert_eq!(outcome.code, 2, "{}", outcome.err());
    outcome.says(["nesting"]);
    let world = World::with_config("local: { cores: 1 }\nnesting_depth: 3\n");
    world.script("again.sh", &format!("#!/bin/sh\necho level\nexec '{bin}' run --quiet -- ./again.sh\n"));
    let outcome = world.cluster(["run", "--quiet", "--", "./again.sh"]);
    assert_ne!(outcome.code, 0);
    assert_eq!(outcome.out(), "level\n".repeat(4));
    outcome.says(["nesting_depth", "3"]);
}

#[test]
fn the_runner_keeps_nothing_of_who_started_it() {
    let world = World::new();
    let call = world.call(["run", "--quiet", "--", "true"]).env("SECRET_OF_SHELL", "x").dir(world.work());
    call.end().good();
    let pid = world.runner().unwrap();
    let environment = std::fs::read_to_string(format!("/proc/{pid}/environ")).unwrap();
    assert!(!environment.contains("SECRET_OF_SHELL"), "{environment}");
    assert_eq!(std::fs::read_link(format!("/proc/{pid}/cwd")).unwrap().to_str(), Some("/"));
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let session = stat.rsplit_once(')').unwrap().1.split_whitespace().nth(3).unwrap().to_owned();
    assert_eq!(session, pid.to_string(), "it is in a session of its own");
}

#[test]
fn neither_runner_nor_jobs_have_a_descriptor_of_who_started_it() {
    let world = World::new();
    let lock = world.file("lock", "");
    let line =
        format!("exec 9> lock; '{}' run --quiet -- ls -l /proc/self/fd", cluster_tests::binary().display());
    let of_job = world.program("sh").args(["-c", &line]).end().good().out();
    let lock = lock.to_str().unwrap();
    assert!(!of_job.contains(lock), "{of_job}");
    let pid = world.runner().unwrap();
    for entry in std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap() {
        let target = std::fs::read_link(entry.unwrap().path()).unwrap_or_default();
        assert_ne!(target.to_str(), Some(lock));
    }
}

#[test]
fn a_removed_directory_ends_the_runner() {
    let world = World::new();
    world.cluster(["local", "start"]).good();
    let pid = world.runner().unwrap();
    std::fs::remove_dir_all(world.queue()).unwrap();
    wait_for("it has ended", || !is_alive(pid));
    world.cluster(["run", "--quiet", "--", "echo", "on"]).good().prints("on\n");
}

#[test]
fn a_directory_that_others_may_enter_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let world = World::new();
    std::fs::create_dir(world.queue()).unwrap();
    std::fs::set_permissions(world.queue(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let outcome = world.cluster(["submit", "--", "true"]).code(3);
    outcome.says([world.queue().to_str().unwrap(), "chmod 700", "CLUSTER_QUEUE_DIR"]);
}

#[test]
fn a_plain_stop_logs_no_warning() {
    let world = World::new();
    world.cluster(["map", "--quiet", "--range", "1-3", "--", "true"]).good();
    world.cluster(["local", "stop"]).good();
    let log = std::fs::read_to_string(world.queue().join("runner.log")).unwrap();
    assert!(!log.contains("WARN") && !log.contains("ERROR"), "{log}");
}

#[test]
fn a_job_of_a_foreground_process_takes_and_lends_what_it_needs() {
    let world = World::new();
    world.cluster(["local", "start"]).good();
    let (said, gate) = (world.fifo("said"), world.fifo("gate"));
    let text = format!("{}; {}", said.say_text("up"), gate.wait_text());
    let run = world.start(["run", "--foreground", "--sh", &text]);
    said.hear();
    // One core of two.
    wait_for("the rest is given back", || world.status()["free"]["cores"] == 1);
    world.cluster(["run", "--", "true"]).good();
    gate.let_go(1);
    run.end().good();
    wait_for("all is given back", || world.status()["free"]["cores"] == 2);
    // All of them, and jobs of its own that need them.
    let nested = format!("'{}' run --cores 2 -- echo hi", cluster_tests::binary().display());
    world.cluster(["run", "--foreground", "--cores", "2", "--sh", &nested]).good().prints("hi\n");
    let nested = format!("'{}' map -- echo ::: 1 2 3", cluster_tests::binary().display());
    world.cluster(["map", "--foreground", "--no-append", "--range", "1-2", "--sh", &nested]).good();
    wait_for("all is free again", || world.status()["free"]["cores"] == 2);
}

#[test]
fn a_runner_whose_socket_is_removed_listens_again() {
    let world = World::new();
    world.cluster(["run", "--", "true"]).good();
    let pid = world.status()["pid"].clone();
    std::fs::remove_file(world.queue().join("socket")).unwrap();
    world.cluster(["run", "--", "true"]).good();
    assert_eq!(world.status()["pid"], pid);
    world.cluster(["local", "stop"]).good();
}

#[test]
fn a_stopped_runner_is_named() {
    let world = World::new();
    world.cluster(["local", "start"]).good();
    let pid = world.runner().unwrap();
    cluster_tests::kill(pid, 19);
    let status = world.cluster(["local", "status"]).code(3);
    cluster_tests::kill(pid, 18);
    status.says([pid.to_string().as_str(), "kill -CONT"]);
    world.cluster(["local", "status"]).good();
}
