//! Many who wait, and how often the scheduler is asked for it.

use std::time::Instant;

use cluster_tests::Site;

#[test]
fn a_thousand_pending_jobs_and_twenty_who_wait() {
    let site = Site::wished(&cluster_tests::Wish { system: "poll: 1".to_owned(), ..Default::default() });
    let batch = site.map(["--hold", "--range", "1-1000", "--", "true"]);
    let began = Instant::now();
    let calls = site.counted(site.kind().query());
    let waiting: Vec<_> = (0..20).map(|_| site.start(["wait", &batch])).collect();
    cluster_tests::wait_for("somebody asks, and again", || calls.count() >= 3);
    site.cluster(["cancel", &batch]).good();
    for one in waiting {
        let _ = one.end().code(1);
    }
    // One question an interval for all of them, and a few more around the cancel.
    let most = began.elapsed().as_secs() as usize + 4;
    assert!(calls.count() <= most, "{} questions, not {most}", calls.count());
    assert_eq!(site.count(&batch, "failed"), 1000);
    assert_eq!(site.state(&format!("{batch}.999")), "failed cancelled");
}

#[test]
fn two_roots_share_what_is_known() {
    let site = Site::wished(&cluster_tests::Wish { system: "poll: 2".to_owned(), ..Default::default() });
    let (gate, other) = (site.fifo("gate"), site.path("other"));
    let first = site.submit(["--sh", &gate.wait_text()]);
    let second = site.call(["submit", "--sh", &gate.wait_text()]).env("CLUSTER_ROOT", &other).end().good();
    let second = second.out().trim().to_owned();
    let began = Instant::now();
    let calls = site.counted(site.kind().query());
    let one = site.start(["wait", &first]);
    let two = site.call(["wait", &second]).env("CLUSTER_ROOT", &other).start();
    cluster_tests::wait_for("somebody asks, and again", || calls.count() >= 2);
    gate.let_go(2);
    one.end().good();
    two.end().good();
    let most = began.elapsed().as_secs() as usize / 2 + 4;
    assert!(calls.count() <= most, "{} questions, not {most}", calls.count());
}

#[test]
fn wait_for_any_and_for_a_while() {
    let site = Site::new();
    let gate = site.fifo("gate");
    let slow = site.submit(["--sh", &gate.wait_text()]);
    let quick = site.submit(["--", "true"]);
    site.cluster(["wait", "--any", &slow, &quick]).good();
    site.cluster(["wait", "--timeout", "1s", &slow]).code(4);
    gate.let_go(1);
    site.cluster(["wait", &slow]).good();
}

#[test]
fn ls_tells_what_is_stored_and_asks_when_it_is_told_to() {
    let site = Site::new();
    let said = site.fifo("said");
    let batch = site.submit(["--sh", &said.say_text("over")]);
    said.hear();
    let calls = site.counted(site.kind().query());
    site.cluster(["ls", "--offline"]).good();
    assert_eq!(calls.count(), 0);
    site.cluster(["wait", &batch]).good();
    site.cluster(["ls", "--refresh"]).good();
    assert_eq!(site.count(&batch, "succeeded"), 1);
}
