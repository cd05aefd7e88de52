//! Hold, release, cancel.

use cluster_tests::{SYSTEM, Site, is_alive, state_of, wait_for};

#[test]
fn held_from_the_start() {
    let site = Site::new();
    let mark = site.path("mark");
    let batch = site.submit(["--hold", "--sh", &format!("touch '{}'", mark.display())]);
    site.cluster(["run", "--quiet", "--", "true"]).good();
    assert_eq!(site.state(&batch), "held");
    assert!(!mark.exists());
    site.cluster(["release", &batch]).good();
    site.cluster(["wait", &batch]).good();
    assert!(mark.exists());
}

#[test]
fn a_signal_that_the_schedulers_cancel_does_not_send_is_said() {
    let site = Site::new();
    let [first, second] = [(); 2].map(|()| site.submit(["--hold", "--", "true"]));
    let said = format!("--signal has no effect on {SYSTEM}");
    site.cluster(["cancel", "--signal", "USR1", &first]).good().says([&*said]);
    let plain = site.cluster(["cancel", "--signal", "TERM", &second]).good();
    assert!(!plain.err().contains("--signal"), "{}", plain.err());
}

#[test]
fn held_while_it_waits() {
    let site = Site::new();
    let gate = site.fifo("gate");
    let first = site.submit(["--sh", &gate.wait_text()]);
    let second = site.submit(["--depends", &format!("afterany:{first}"), "--", "true"]);
    site.cluster(["hold", &second]).good();
    site.wait_state(&second, "held");
    gate.let_go(1);
    site.cluster(["wait", &first]).good();
    site.cluster(["run", "--quiet", "--", "true"]).good();
    assert_eq!(site.state(&second), "held");
    site.cluster(["release", &second]).good();
    site.cluster(["wait", &second]).good();
}

#[test]
fn elements_are_held_and_released() {
    let site = Site::new();
    let batch = site.map(["--hold", "--range", "0-4", "--sh", "echo {}"]);
    site.cluster(["release", &format!("{batch}.1-2")]).good();
    site.cluster(["wait", &format!("{batch}.1-2")]).good();
    assert_eq!((site.count(&batch, "held"), site.count(&batch, "succeeded")), (3, 2));
    site.cluster(["release", &batch]).good();
    site.cluster(["wait", &batch]).good();
    assert_eq!(site.count(&batch, "succeeded"), 5);
}

#[test]
fn a_queued_job_is_cancelled_and_never_starts() {
    let site = Site::new();
    let (gate, mark) = (site.fifo("gate"), site.path("mark"));
    let first = site.submit(["--sh", &gate.wait_text()]);
    let touch = format!("touch '{}'", mark.display());
    let queued = site.submit(["--depends", &format!("afterany:{first}"), "--sh", &touch]);
    let held = site.submit(["--hold", "--sh", &touch]);
    site.cluster(["cancel", &queued, &held]).good();
    gate.let_go(1);
    site.cluster(["wait", &queued, &held]).code(1);
    for batch in [&queued, &held] {
        let job = site.job(batch);
        assert_eq!(state_of(&job), "failed cancelled", "{job}");
        assert!(job["started"].is_null(), "{job}");
    }
    site.cluster(["wait", &first]).good();
    assert!(!mark.exists());
}

#[test]
fn a_running_job_is_cancelled() {
    let site = Site::new();
    let said = site.fifo("said");
    let batch = site.submit(["--sh", &format!("{}; while :; do sleep 100; done", said.say_text("$$"))]);
    let pid: u32 = said.hear().parse().unwrap();
    assert!(is_alive(pid));
    site.cluster(["cancel", &batch]).good();
    site.cluster(["wait", &batch]).code(1);
    assert_eq!(site.state(&batch), "failed cancelled");
    wait_for("the command has ended", || !is_alive(pid));
}

#[test]
fn what_ignores_term_is_killed() {
    let site = Site::new();
    let said = site.fifo("said");
    let text = format!("trap '' TERM; {}; while :; do sleep 100; done", said.say_text("$$"));
    let batch = site.submit(["--sh", &text]);
    let pid: u32 = said.hear().parse().unwrap();
    site.cluster(["cancel", &batch]).good();
    site.cluster(["wait", &batch]).code(1);
    assert_eq!(site.state(&batch), "failed cancelled");
    wait_for("the command has ended", || !is_alive(pid));
}

#[test]
fn many_are_cancelled_in_few_calls() {
    let site = Site::new();
    let batches: Vec<String> = (0..20).map(|_| site.submit(["--hold", "--", "true"])).collect();
    let calls = site.counted(site.kind().cancel());
    let mut words = vec!["cancel"];
    words.extend(batches.iter().map(String::as_str));
    site.cluster(&words).good();
    assert!(calls.count() <= 2, "{:?}", calls.lines());
    words[0] = "wait";
    site.cluster(&words).code(1);
    for batch in &batches {
        assert_eq!(site.state(batch), "failed cancelled");
    }
}

#[test]
fn a_cancel_that_came_after_success() {
    let site = Site::new();
    let said = site.fifo("said");
    let batch = site.submit(["--sh", &said.say_text("over")]);
    said.hear();
    // The end is in the status file; the client has not looked yet.
    let status = site.root().join(format!("jobs/{batch}/0/0.0.status"));
    wait_for("the end is recorded", || {
        std::fs::read_to_string(&status).is_ok_and(|text| text.lines().any(|line| line.contains(" end ")))
    });
    let _ = site.cluster(["cancel", &batch]);
    site.cluster(["wait", &batch]).good();
    assert_eq!(site.state(&batch), "succeeded");
}

#[test]
fn cancelling_twice_and_what_has_ended_harms_nothing() {
    let site = Site::new();
    let held = site.submit(["--hold", "--", "true"]);
    let over = site.submit(["--", "true"]);
    site.cluster(["wait", &over]).good();
    site.cluster(["cancel", &held, &over]).good();
    site.cluster(["wait", &held]).code(1);
    site.cluster(["cancel", &held, &over]).good();
    assert_eq!(site.state(&over), "succeeded");
    assert_eq!(site.state(&held), "failed cancelled");
}

#[test]
fn ctrl_c_in_run_cancels_the_job() {
    let site = Site::new();
    let said = site.fifo("said");
    let run = site.start(["run", "--sh", &format!("{}; while :; do sleep 100; done", said.say_text("$$"))]);
    let pid: u32 = said.hear().parse().unwrap();
    run.signal(2);
    run.end().code(130);
    site.cluster(["wait", "last"]).code(1);
    assert_eq!(site.state("last"), "failed cancelled");
    wait_for("the command has ended", || !is_alive(pid));
}

#[test]
fn jobs_that_were_not_sent_yet_are_cancelled_at_once() {
    let site = Site::new();
    // What waits for a local job is sent when that has ended.
    site.cluster(["submit", "--system", "local", "--hold", "--", "true"]).good();
    site.cluster(["map", "--detach", "--after", "1", "--range", "0-4", "--", "echo", "ran {}"]).good();
    assert_eq!(site.count("2", "created"), 5);
    site.cluster(["cancel", "2.1", "2.3"]).good();
    assert_eq!((site.state("2.1").as_str(), site.count("2", "created")), ("failed cancelled", 3));
    site.cluster(["cancel", "2.4"]).good();
    let calls = site.counted(site.kind().submit());
    site.cluster(["release", "1"]).good();
    site.cluster(["wait", "2"]).code(1);
    assert_eq!(calls.count(), 1);
    assert_eq!((site.count("2", "succeeded"), site.count("2", "failed")), (2, 3));
    site.cluster(["get", "2.0", "2.2"]).good().prints("ran 0\nran 2\n");
    site.cluster(["retry", "2"]).good();
    site.cluster(["wait", "2"]).good();
    site.cluster(["get", "2"]).good().prints("ran 0\nran 1\nran 2\nran 3\nran 4\n");
    site.check_store();
}
