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
    site.cluster(["cancel", &batch]).good();
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
