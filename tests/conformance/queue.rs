//! `cluster queue`: the scheduler's own queue, ours and what is not.

use cluster_tests::{SYSTEM, Site};

#[test]
fn ours_and_theirs() {
    let site = Site::new();
    let gate = site.fifo("gate");
    let ours = site.submit(["--name", "ours", "--sh", &gate.wait_text()]);
    let theirs = site.foreign(&format!("#!/bin/sh\n{}\n", gate.wait_text()));
    site.wait_state(&ours, "running");
    let remote = site.job(&ours)["remote_id"].as_str().unwrap().to_owned();
    let rows = site.cluster(["queue", "--json"]).good().json_lines();
    let ids: Vec<u64> = rows.iter().map(|row| Site::number(row["id"].as_str().unwrap())).collect();
    assert!(ids.contains(&Site::number(&remote)) && ids.contains(&Site::number(&theirs)), "{rows:?}");
    let row =
        rows.iter().find(|row| Site::number(row["id"].as_str().unwrap()) == Site::number(&remote)).unwrap();
    assert_eq!(row["state"], "running", "{row}");
    let printed = site.cluster(["queue", "--ids"]).good().out();
    assert!(printed.lines().any(|line| Site::number(line) == Site::number(&remote)), "{printed}");
    let count: usize = site.cluster(["queue", "--count"]).good().out().trim().parse().unwrap();
    assert!(count >= 2, "{count}");
    gate.let_go(2);
    site.cluster(["wait", &ours]).good();
    // Where nothing tells how it ended, that is said.
    let waited = site.cluster(["wait", &format!("remote:{theirs}")]);
    assert!([0, 7].contains(&waited.code) || waited.err().contains("did not succeed"), "{waited:?}");
}

#[test]
fn an_array_is_one_line_and_can_be_unfolded() {
    let site = Site::new();
    let batch = site.map(["--hold", "--range", "1-30", "--name", "folded", "--", "true"]);
    let remote = Site::number(site.job(&format!("{batch}.0"))["remote_id"].as_str().unwrap());
    let of_ours = |words: &[&str]| {
        let rows = site.cluster(words).good().json_lines();
        rows.into_iter().filter(|row| Site::number(row["id"].as_str().unwrap()) == remote).count()
    };
    assert_eq!(of_ours(&["queue", "--json"]), 1);
    assert_eq!(of_ours(&["queue", "--json", "--tasks"]), 30);
    assert_eq!(of_ours(&["queue", "--json", "--state", "running"]), 0);
    assert_eq!(of_ours(&["queue", "--json", "--state", "held"]), 1);
    assert_eq!(of_ours(&["queue", "--json", "--state", "running,held"]), 1);
    site.cluster(["cancel", &batch]).good();
}

#[test]
fn the_queue_is_asked_by_user_partition_name_and_state() {
    let site = Site::new();
    let (gate, me) = (site.fifo("gate"), me(&site));
    let (partition, _) = site.kind().too_long();
    if !site.is_real() {
        // They run for as long as the test wants.
        site.fault("timing.limit_scale", 1.0);
    }
    let first = site.submit(["--name", "alpha", "--sh", &gate.wait_text()]);
    let second =
        site.submit(["--name", "beta", "--partition", partition, "--time", "2m", "--sh", &gate.wait_text()]);
    site.wait_state(&first, "running");
    site.wait_state(&second, "running");
    let [alpha, beta] =
        [&first, &second].map(|batch| Site::number(site.job(batch)["remote_id"].as_str().unwrap()));
    // A real queue may have the jobs of other tests in it.
    let asked = |words: &[&str]| {
        let printed = site.cluster([&["queue", "--ids"], words].concat()).good().out();
        let ids = printed.lines().map(Site::number).filter(|id| [alpha, beta].contains(id));
        let mut ids: Vec<u64> = ids.collect();
        ids.sort_unstable();
        ids
    };
    for (words, wanted) in [
        (&["--user", &me][..], &[alpha, beta][..]),
        (&["--user", "daemon"], &[]),
        (&["--all"], &[alpha, beta]),
        (&["--partition", partition], &[beta]),
        (&["--name", "alpha*"], &[alpha]),
        (&["--name", "alpha"], &[alpha]),
        (&["--name", "alph"], &[]),
        (&["--name", "b?t*"], &[beta]),
        (&["--state", "running"], &[alpha, beta]),
        (&["--state", "queued"], &[]),
        (&["--name", "*a*", "--partition", partition, "--state", "running"], &[beta]),
    ] {
        assert_eq!(asked(words), wanted, "{words:?}");
    }
    if !site.is_real() {
        for (words, wanted) in [(&["--partition", partition][..], "1\n"), (&["--all"], "2\n")] {
            site.cluster([&["queue", "--count"], words].concat()).good().prints(wanted);
        }
    }
    gate.let_go(2);
    site.cluster(["wait", &first, &second]).good();
}

#[test]
fn a_queue_is_waited_for_by_user_and_partition() {
    let Some(site) = Site::mock_only("waiting for all that is in a queue") else { return };
    let (gate, other, me) = (site.fifo("gate"), site.fifo("other"), me(&site));
    let (partition, _) = site.kind().too_long();
    site.fault("timing.limit_scale", 1.0);
    let first = site.submit(["--sh", &gate.wait_text()]);
    let second = site.submit(["--partition", partition, "--time", "2m", "--sh", &other.wait_text()]);
    site.wait_state(&first, "running");
    site.wait_state(&second, "running");
    for words in [&["--user", &me][..], &["--all-users"], &["--partition", partition]] {
        let words = [&["wait", "--timeout", "0.3s"], words].concat();
        site.cluster(&words).code(4);
    }
    // Nothing of this one's.
    site.cluster(["wait", "--timeout", "20s", "--user", "daemon"]).good();
    other.let_go(1);
    site.cluster(["wait", "--partition", partition]).good();
    // What was in that queue is over, and the other is not.
    site.cluster(["wait", &second]).good();
    site.cluster(["wait", "--timeout", "0.3s", &first]).code(4);
    let all = site.start(["wait", "--all-users"]);
    let mine = site.start(["wait", "--user", &me]);
    gate.let_go(1);
    let _ = (all.end().good(), mine.end().good());
    site.cluster(["wait", &first]).good();
}

/// The user whose jobs these are.
fn me(site: &Site) -> String {
    site.program("id").arg("-un").end().good().out().trim().to_owned()
}

#[test]
fn a_queue_that_keeps_no_ended_jobs_says_so() {
    let site = Site::new();
    let drops = matches!(site.kind().name(), "pbs" | "sge");
    for (state, over) in [("done", true), ("bad", true), ("failed", true), ("running", false)] {
        let asked = site.cluster(["queue", "--state", state]).good();
        assert_eq!(asked.err().contains("keeps no ended jobs"), drops && over, "{state}: {}", asked.err());
        site.cluster(["queue", "--quiet", "--state", state]).good().silent();
    }
}

#[test]
fn the_nodes_that_are_used() {
    let site = Site::new();
    let (said, gate) = (site.fifo("said"), site.fifo("gate"));
    let batch =
        site.submit(["--cores", "2", "--sh", &format!("{}; {}", said.say_text("up"), gate.wait_text())]);
    said.hear();
    let nodes = site.cluster(["queue", "--nodes", "--json"]).good().json_lines();
    assert!(nodes.iter().any(|node| node["cores"].as_u64().is_some_and(|cores| cores >= 2)), "{nodes:?}");
    gate.let_go(1);
    site.cluster(["wait", &batch]).good();
    let named = site.cluster(["queue", "--system", SYSTEM]).good();
    assert!(named.err().is_empty(), "{}", named.err());
}
