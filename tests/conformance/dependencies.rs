//! Dependencies, in the scheduler's terms and by the gate.

use cluster_tests::{Kind, Site, Wish, wait_for};

const NEVER: &str = "failed dependency_never_satisfied";

#[test]
fn each_kind_on_jobs_that_have_ended() {
    let site = Site::new();
    let good = site.submit(["--", "true"]);
    let bad = site.submit(["--", "false"]);
    site.cluster(["wait", &good, &bad]).code(1);
    let calls = site.counted(site.kind().submit());
    let outcome = |dependency: &str| {
        // One that can never be met is said at once.
        let submitted = site.cluster(["submit", "--depends", dependency, "--", "true"]);
        assert!([0, 1].contains(&submitted.code), "{submitted:?}");
        let batch = submitted.out().trim().to_owned();
        let _ = site.cluster(["wait", &batch]);
        site.state(&batch)
    };
    for (kind, after_good, after_bad) in [
        ("afterok", "succeeded", NEVER),
        ("afterany", "succeeded", "succeeded"),
        ("afternotok", NEVER, "succeeded"),
    ] {
        assert_eq!(outcome(&format!("{kind}:{good}")), after_good, "{kind}:{good}");
        assert_eq!(outcome(&format!("{kind}:{bad}")), after_bad, "{kind}:{bad}");
    }
    // What can be no more is not even sent.
    assert_eq!(calls.count(), 4, "{:?}", calls.lines());
    site.cluster(["submit", "--depends", "afterok:99", "--", "true"]).code(2).says(["99"]);
}

#[test]
fn dependents_wait_for_the_end_and_for_how_it_was() {
    let site = Site::new();
    let (said, gate, up) = (site.fifo("said"), site.fifo("gate"), site.fifo("up"));
    let parent = site.submit(["--sh", &format!("{}; {}; exit 1", up.say_text("up"), gate.wait_text())]);
    let after =
        |kind: &str| site.submit(["--depends", &format!("{kind}:{parent}"), "--sh", &said.say_text(kind)]);
    let (ok, any, not) = (after("afterok"), after("afterany"), after("afternotok"));
    up.hear();
    assert!(!said.is_heard());
    for batch in [&ok, &any, &not] {
        assert_eq!(site.state(batch), "queued");
    }
    gate.let_go(1);
    site.cluster(["wait", &any, &not]).good();
    site.cluster(["wait", &ok]).code(1);
    assert_eq!(site.state(&ok), NEVER);
    let mut heard = [said.hear(), said.hear()];
    heard.sort();
    assert_eq!(heard, ["afterany", "afternotok"]);
    assert!(!said.is_heard());
}

#[test]
fn success_lets_dependents_go() {
    let site = Site::new();
    let (said, gate) = (site.fifo("said"), site.fifo("gate"));
    let parent = site.submit(["--sh", &gate.wait_text()]);
    let first = site.submit(["--depends", &format!("afterok:{parent}"), "--sh", &said.say_text("first")]);
    let second = site.submit(["--depends", &format!("afterok:{first}"), "--sh", &said.say_text("second")]);
    let not = site.submit(["--depends", &format!("afternotok:{parent}"), "--sh", &said.say_text("not")]);
    gate.let_go(1);
    site.cluster(["wait", &second]).good();
    site.cluster(["wait", &not]).code(1);
    assert_eq!(site.state(&not), NEVER);
    assert_eq!([said.hear(), said.hear()], ["first", "second"]);
    assert!(!said.is_heard());
}

#[test]
fn a_chain_falls_as_a_whole_and_nothing_hangs() {
    let site = Site::new();
    let (gate, mark) = (site.fifo("gate"), site.path("mark"));
    let parent = site.submit(["--sh", &format!("{}; exit 3", gate.wait_text())]);
    let touch = format!("touch '{}'", mark.display());
    let mut chain = Vec::new();
    let mut last = parent.clone();
    for _ in 0..3 {
        last = site.submit(["--depends", &format!("afterok:{last}"), "--sh", &touch]);
        chain.push(last.clone());
    }
    gate.let_go(1);
    site.cluster(["wait", &last]).code(1);
    for batch in &chain {
        site.cluster(["wait", batch]).code(1);
        assert_eq!(site.state(batch), NEVER);
    }
    assert!(!mark.exists());
    site.cluster(["wait", &parent]).code(1);
    assert_eq!(site.state(&parent), "failed exit 3");
}

#[test]
fn an_array_with_one_failure_satisfies_nobody() {
    let site = Site::new();
    let (gate, mark) = (site.fifo("gate"), site.path("mark"));
    // The last one succeeds: some schedulers look at no other.
    let text = format!("{}; [ {{}} != 1 ]", gate.wait_text());
    let array = site.map(["--range", "0-3", "--sh", &text]);
    let ok = site.submit([
        "--depends",
        &format!("afterok:{array}"),
        "--sh",
        &format!("touch '{}'", mark.display()),
    ]);
    let any = site.submit(["--depends", &format!("afterany:{array}"), "--", "true"]);
    gate.let_go(4);
    site.cluster(["wait", &any]).good();
    site.cluster(["wait", &ok]).code(1);
    assert_eq!(site.state(&ok), NEVER);
    assert!(!mark.exists());
    site.cluster(["wait", &array]).code(1);
    assert_eq!(site.count(&array, "succeeded"), 3);
}

#[test]
fn a_parent_that_is_deleted_while_queued_satisfies_nobody() {
    let site = Site::new();
    let mark = site.path("mark");
    let parent = site.submit(["--hold", "--", "true"]);
    let ok = site.submit([
        "--depends",
        &format!("afterok:{parent}"),
        "--sh",
        &format!("touch '{}'", mark.display()),
    ]);
    let any = site.submit(["--depends", &format!("afterany:{parent}"), "--", "true"]);
    site.cluster(["cancel", &parent]).good();
    site.cluster(["wait", &any]).good();
    site.cluster(["wait", &ok]).code(1);
    assert_eq!(site.state(&ok), NEVER);
    site.cluster(["wait", &parent]).code(1);
    assert_eq!(site.state(&parent), "failed cancelled");
    assert!(!mark.exists());
}

#[test]
fn one_element_is_waited_for() {
    let site = Site::new();
    let (gate, never) = (site.fifo("gate"), site.fifo("never"));
    let text = format!("if [ {{}} = 1 ]; then {}; else {}; fi", gate.wait_text(), never.wait_text());
    let array = site.map(["--range", "0-2", "--sh", &text]);
    let one = site.submit(["--depends", &format!("afterok:{array}.1"), "--", "echo", "on"]);
    gate.let_go(1);
    site.cluster(["wait", &one]).good();
    never.let_go(2);
    site.cluster(["wait", &array]).good();
}

#[test]
fn element_after_element() {
    let site = Site::new();
    let gate = site.fifo("gate");
    let text = format!("{}; [ {{}} != 2 ]", gate.wait_text());
    let first = site.map(["--range", "0-4", "--sh", &text]);
    let words =
        ["map", "--detach", "--depends", &format!("aftercorr:{first}"), "--range", "0-4", "--sh", "echo {}"];
    let submitted = site.cluster(words);
    gate.let_go(5);
    if !site.kind().has_elementwise_dependencies() {
        // What a scheduler has not is said, with the ways out.
        submitted.code(2).says(["aftercorr"]);
        site.cluster(["wait", &first]).code(1);
        return;
    }
    let second = submitted.good().out().trim().to_owned();
    site.cluster(["wait", &second]).code(1);
    let states: Vec<String> = site.jobs(&second).iter().map(cluster_tests::state_of).collect();
    assert_eq!(states, ["succeeded", "succeeded", NEVER, "succeeded", "succeeded"]);
}

#[test]
fn a_job_of_somebody_else_is_waited_for() {
    let site = Site::new();
    let (said, gate) = (site.fifo("said"), site.fifo("gate"));
    let remote = site.foreign(&format!("#!/bin/sh\n{}\n{}\n", gate.wait_text(), said.say_text("theirs")));
    // Grid Engine does not look at how a job ended, and this one has no record of ours: afterok is refused.
    let kind = if site.kind() == Kind::Sge { "afterany" } else { "afterok" };
    let ours = site.submit(["--depends", &format!("{kind}:remote:{remote}"), "--sh", &said.say_text("ours")]);
    gate.let_go(1);
    site.cluster(["wait", &ours]).good();
    assert_eq!([said.hear(), said.hear()], ["theirs", "ours"]);
}

#[test]
fn element_after_element_of_an_array_that_was_cut_otherwise() {
    let site = Site::wished(&Wish { system: "max_array_size: 10".to_owned(), ..Wish::default() });
    if !site.kind().has_elementwise_dependencies() {
        return;
    }
    let (gate, here, ran) = (site.fifo("gate"), site.fifo("here"), site.path("ran"));
    let first = site.map(["--range", "0-11", "--no-append", "--sh", &gate.wait_text()]);
    let config = site.path("config/cluster/config.yaml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("max_array_size: 10", "max_array_size: 20")).unwrap();
    // Nothing goes out before a job of another system has ended: how it is cut is settled before.
    let other = site.submit(["--system", "local", "--sh", &here.wait_text()]);
    let (after, any) = (format!("aftercorr:{first}"), format!("afterany:{other}"));
    let text = format!("echo {{}} >> '{}'", ran.display());
    let child = site.map(["--depends", &after, "--depends", &any, "--range", "0-11", "--sh", &text]);
    here.let_go(1);
    site.cluster(["wait", &other]).good();
    site.cluster(["wait", &child]).code(1);
    assert_eq!(site.state(&format!("{child}.0")), NEVER);
    assert!(!ran.exists(), "none may run before its parent");
    gate.let_go(12);
    site.cluster(["wait", &first]).good();
}

#[test]
fn what_has_ended_since_anybody_looked_is_not_waited_for_at_a_scheduler_that_forgot_it() {
    let Some(site) = Site::mock_only("a scheduler that forgets at once") else { return };
    site.fault("faults.forget_ended", true);
    let parent = site.submit(["--", "true"]);
    let record = site.root().join(format!("jobs/{parent}/0/0.0.status"));
    wait_for("it has ended", || std::fs::read_to_string(&record).unwrap_or_default().contains("end "));
    assert_eq!(site.count(&parent, "queued"), 1);
    let child = site.submit(["--after", &parent, "--", "true"]);
    assert_eq!(site.count(&parent, "succeeded"), 1);
    site.cluster(["wait", &child]).good();
}
