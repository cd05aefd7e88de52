//! Runners that end, or are killed, over jobs that go on.

use cluster_tests::{Seized, World, wait_for};

#[test]
fn cores_of_running_jobs_are_kept_for_them_at_a_restart() {
    let world = World::new();
    let (said, gate) = (world.fifo("said"), world.fifo("gate"));
    let text = format!("{}; {}", said.say_text("up"), gate.wait_text());
    let running = world.map(["--range", "1-2", "--no-append", "--sh", &text]);
    said.hear();
    said.hear();
    world.wait_state(&format!("{running}.1"), "running");
    world.kill_runner();
    // The first who comes is of another root. The next runner cannot open the first one yet.
    let seized = Seized::new(&world.root().join("store.db"));
    let other = world.path("other-root");
    let call = |words: &[&str]| world.call(["--root", other.to_str().unwrap()]).args(words);
    let text = said.say_text("other");
    let batch = call(&["submit", "--sh", &text]).end().good().lines().remove(0);
    let status = world.status();
    assert_eq!((&status["jobs"]["running"], &status["jobs"]["queued"]), (&0.into(), &1.into()), "{status}");
    assert_eq!(status["free"]["cores"], 0, "{status}");
    drop(seized);
    wait_for("both are adopted", || world.status()["jobs"]["running"] == 2);
    assert_eq!(world.status()["free"]["cores"], 0);
    assert!(!said.is_heard(), "a job took a core that a running one has");
    gate.let_go(1);
    assert_eq!(said.hear(), "other");
    call(&["wait", &batch]).end().good();
    gate.let_go(1);
    world.cluster(["wait", &running]).good();
    // Nothing is kept for jobs that are over.
    wait_for("both cores are free", || world.status()["free"]["cores"] == 2);
}

#[test]
fn a_batch_keeps_its_limit_over_a_restart() {
    let world = World::new();
    let (said, gate) = (world.fifo("said"), world.fifo("gate"));
    let text = format!("{}; {}", said.say_text("$CLUSTER_JOB_INDEX"), gate.wait_text());
    let batch = world.map(["--max-running", "1", "--range", "1-3", "--no-append", "--sh", &text]);
    assert_eq!(said.hear(), "0");
    world.wait_state(&format!("{batch}.0"), "running");
    world.kill_runner();
    // A job behind it in the order of the queue goes by: the core is free, the limit of the batch is not.
    world.cluster(["run", "--quiet", "--", "true"]).good();
    assert_eq!(world.count(&batch, "running"), 1);
    assert!(!said.is_heard(), "a second one runs beside the adopted one");
    for next in ["1", "2"] {
        gate.let_go(1);
        assert_eq!(said.hear(), next);
        world.cluster(["run", "--quiet", "--", "true"]).good();
        assert!(!said.is_heard());
    }
    gate.let_go(1);
    world.cluster(["wait", &batch]).good();
}

#[test]
fn a_foreground_batch_can_be_waited_for() {
    let world = World::new();
    world.cluster(["local", "start"]).good();
    let (said, gate) = (world.fifo("said"), world.fifo("gate"));
    let text = format!("{}; {}; exit $CLUSTER_JOB_INDEX", said.say_text("up"), gate.wait_text());
    let map = world.start(["map", "--foreground", "--range", "1-2", "--no-append", "--sh", &text]);
    said.hear();
    said.hear();
    world.cluster(["wait", "--timeout", "1s", "1"]).code(4);
    let mut wait = world.start(["wait", "1"]);
    assert!(wait.runs());
    gate.let_go(2);
    assert_eq!(map.end().code, 1);
    let outcome = wait.end();
    assert_eq!(outcome.code, 1, "{}", outcome.err());
    assert_eq!((world.count("1", "succeeded"), world.count("1", "failed")), (1, 1));
}

#[test]
fn a_runner_that_is_told_to_stop_sees_its_bare_jobs_to_their_end() {
    let world = World::new();
    let (said, gate) = (world.fifo("said"), world.fifo("gate"));
    let text = format!("[ $1 -lt 60 ] || {{ {}; {}; echo late; }}", said.say_text("$PPID"), gate.wait_text());
    let batch = world.map(["--range", "1-60", "--", "sh", "-c", &text, "sh"]);
    let parent: u32 = said.hear().parse().unwrap();
    // Its parent is the runner itself: nobody else will see how it ends.
    assert_eq!(Some(parent), world.runner(), "the job was not started bare");
    let later = world.submit(["--", "echo", "later"]);
    world.cluster(["wait", &later]).good();
    let mut stop = world.start(["local", "stop"]);
    wait_for("nothing more starts", || world.status()["draining"] == true);
    let last = world.submit(["--", "echo", "last"]);
    assert!(stop.runs());
    world.wait_state(&format!("{batch}.59"), "running");
    gate.let_go(1);
    let outcome = stop.end();
    assert_eq!(outcome.code, 0, "{}", outcome.err());
    let job = world.job(&format!("{batch}.59"));
    assert_eq!(job["state"], "succeeded", "{job}");
    world.cluster(["logs", &format!("{batch}.59")]).good().prints("late\n");
    // What came meanwhile goes on with the next runner.
    world.cluster(["wait", &last]).good();
    world.check_store();
}

#[test]
fn a_foreground_batch_is_cancelled_and_held_from_another_shell() {
    let world = World::new();
    let said = world.fifo("said");
    let text = format!("{}; exec sleep 1000", said.say_text("up"));
    let map = world.start(["map", "--foreground", "--range", "1-3", "--no-append", "--sh", &text]);
    said.hear();
    said.hear();
    world.cluster(["hold", "1"]).good().says(["1 job held"]);
    assert_eq!(world.state("1.2"), "held");
    world.cluster(["cancel", "1"]).good().says(["3 jobs cancelled"]);
    map.end().code(1);
    assert_eq!(world.count("1", "failed"), 3);
    assert_eq!(world.state("1.0"), "failed cancelled");
}

#[test]
fn a_foreground_process_that_cannot_be_asked_is_named() {
    let world = World::new();
    let said = world.fifo("said");
    let text = format!("{}; exec sleep 1000", said.say_text("up"));
    let run = world.start(["run", "--foreground", "--sh", &text]);
    said.hear();
    let elsewhere = world.path("other-queue");
    let refused = world.call(["cancel", "1"]).env("CLUSTER_QUEUE_DIR", elsewhere).end().code(3);
    refused.says(["batch 1 runs inside process", &format!("kill -INT {}", run.pid())]);
    run.signal(2);
    run.end().code(130);
}

#[test]
fn what_a_batch_waits_for_is_kept_when_another_of_its_parents_is_removed() {
    let world = World::new();
    let gate = world.fifo("gate");
    let first = world.submit(["--", "true"]);
    world.cluster(["wait", &first]).good();
    let second = world.submit(["--sh", &gate.wait_text()]);
    world.wait_state(&second, "running");
    let ran = world.path("ran");
    let text = format!("echo ran > '{}'", ran.display());
    let depends = ["--after", first.as_str(), "--after", second.as_str()];
    let third = world.submit(depends.into_iter().chain(["--sh", &text]));
    world.cluster(["rm", "--yes", &first]).code(2).says(["waits for", "--force"]);
    world.cluster(["rm", "--yes", "--force", &first]).good();
    world.kill_runner();
    world.cluster(["run", "--quiet", "--", "true"]).good();
    assert_eq!(world.state(&third), "queued");
    assert!(!ran.exists(), "it ran before the job that it waits for");
    gate.let_go(1);
    world.cluster(["wait", &third]).good();
}

#[test]
fn a_root_made_anew_owes_nothing_to_the_one_before() {
    let world = World::new();
    let (said, gate) = (world.fifo("said"), world.fifo("gate"));
    let text = format!("{}; {}", said.say_text("up"), gate.wait_text());
    let old = world.submit(["--sh", &text]);
    said.hear();
    world.wait_state(&old, "running");
    world.kill_runner();
    std::fs::remove_dir_all(world.root()).unwrap();
    // The same number, and a job that was never started.
    let new = world.submit(["--hold", "--sh", "echo new"]);
    assert_eq!(new, old);
    world.cluster(["run", "--quiet", "--", "true"]).good();
    assert_eq!(world.state(&new), "held");
    world.cluster(["release", &new]).good();
    world.cluster(["wait", &new]).good();
    world.cluster(["logs", &new]).good().prints("new\n");
    gate.let_go(1);
}

#[test]
fn a_root_made_anew_under_a_running_job_has_jobs_of_its_own() {
    let world = World::new();
    let (said, gate) = (world.fifo("said"), world.fifo("gate"));
    let text = format!("{}; {}", said.say_text("$1"), gate.wait_text());
    let old = world.submit(["--sh", &text.replace("$1", "old")]);
    assert_eq!(said.hear(), "old");
    world.wait_state(&old, "running");
    std::fs::remove_dir_all(world.root()).unwrap();
    let other = world.fifo("other");
    let text = format!("{}; {}; exit 5", said.say_text("new"), other.wait_text());
    let new = world.submit(["--sh", &text]);
    assert_eq!(new, old);
    assert_eq!(said.hear(), "new");
    world.wait_state(&new, "running");
    // The end of the old one is not the end of the new one.
    gate.let_go(1);
    wait_for("the old one has ended", || world.status()["jobs"]["running"] == 1);
    assert_eq!(world.state(&new), "running");
    other.let_go(1);
    world.cluster(["wait", &new]).code(1);
    assert_eq!(world.state(&new), "failed exit 5");
}
