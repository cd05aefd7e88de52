//! What is told of a job when the scheduler tells little, or lies.

use cluster_tests::{Kind, Site, kill, wait_for};

#[test]
fn a_job_that_vanishes_without_a_trace_is_lost() {
    let Some(site) = Site::mock_only("a job that vanishes without a trace") else { return };
    let said = site.fifo("said");
    let batch = site.submit(["--sh", &format!("{}; exec sleep 1000", said.say_text("$PPID $$"))]);
    let pids: Vec<u32> = said.hear().split(' ').map(|pid| pid.parse().unwrap()).collect();
    site.wait_state(&batch, "running");
    let remote = Site::number(site.job(&batch)["remote_id"].as_str().unwrap());
    site.fault("faults.forget", vec![remote]);
    // job.sh first: it would record the command's end.
    pids.iter().for_each(|&pid| kill(pid, 9));
    site.cluster(["wait", &batch]).code(1);
    assert_eq!(site.state(&batch), "failed lost");
}

#[test]
fn a_job_that_vanishes_before_it_ran_is_lost_and_never_succeeded() {
    let Some(site) = Site::mock_only("a queued job that vanishes") else { return };
    let batch = site.submit(["--hold", "--", "true"]);
    let remote = Site::number(site.job(&batch)["remote_id"].as_str().unwrap());
    site.fault("faults.forget", vec![remote]);
    let waited = site.cluster(["wait", &batch]).code(1);
    let said = format!("job {batch}.0 is lost");
    assert!(waited.err().contains(&said), "{}", waited.err());
    assert_eq!(site.state(&batch), "failed lost");
}

#[test]
fn lost_jobs_are_named_and_counted_by_wait() {
    let Some(site) = Site::mock_only("an array that vanishes") else { return };
    let batch = site.map(["--hold", "--range", "1-120", "--", "true"]);
    let remote = Site::number(site.job(&format!("{batch}.0"))["remote_id"].as_str().unwrap());
    site.fault("faults.forget", vec![remote]);
    let waited = site.cluster(["wait", "--json", &batch]).code(1);
    let seen = &waited.json_lines()[0];
    assert_eq!((&seen["failed_count"], &seen["lost_count"]), (&120.into(), &120.into()), "{seen}");
    let lost = seen["lost"].as_array().unwrap();
    assert_eq!((lost.len(), &lost[0], &seen["failed"]), (100, &format!("{batch}.0").into(), &seen["lost"]));
    assert!(waited.err().contains(&format!("{batch}.4 and 115 more")), "{}", waited.err());
}

#[test]
fn a_lost_job_that_comes_back_is_found() {
    let Some(site) = Site::mock_only("a job that comes back") else { return };
    let gate = site.fifo("gate");
    let batch = site.submit(["--sh", &gate.wait_text()]);
    site.wait_state(&batch, "running");
    let remote = Site::number(site.job(&batch)["remote_id"].as_str().unwrap());
    site.fault("faults.forget", vec![remote]);
    site.cluster(["wait", &batch]).code(1);
    assert_eq!(site.state(&batch), "failed lost");
    gate.let_go(1);
    let status = site.root().join(format!("jobs/{batch}/0/0.0.status"));
    wait_for("the end is recorded", || {
        std::fs::read_to_string(&status).is_ok_and(|text| text.lines().any(|line| line.contains(" end ")))
    });
    site.cluster(["ls", "--refresh"]).good();
    assert_eq!(site.state(&batch), "succeeded");
}

#[test]
fn the_own_record_is_enough_when_the_scheduler_forgets_at_once() {
    let Some(site) = Site::mock_only("a scheduler that forgets at once") else { return };
    site.fault("faults.forget_ended", true);
    let batch = site.map(["--range", "0-9", "--sh", "i={}; exit $((i % 3))"]);
    site.cluster(["wait", &batch]).code(1);
    assert_eq!((site.count(&batch, "succeeded"), site.count(&batch, "failed")), (4, 6));
    assert_eq!(site.state(&format!("{batch}.5")), "failed exit 2");
}

#[test]
fn queries_that_fail_or_print_rubbish_change_nothing() {
    let Some(site) = Site::mock_only("rubbish") else { return };
    let (said, gate) = (site.fifo("said"), site.fifo("gate"));
    let batch = site.submit(["--sh", &format!("{}; {}", said.say_text("up"), gate.wait_text())]);
    said.hear();
    site.wait_state(&batch, "running");
    let query = format!("commands.{}", site.kind().query());
    for (key, value) in [
        ("rc", serde_json::json!(1)),
        ("rubbish", serde_json::json!(5000)),
        ("truncate", serde_json::json!(20)),
        ("duplicate", serde_json::json!(true)),
        ("stdout", serde_json::json!("")),
    ] {
        site.fault(&query, serde_json::json!({ key: value }));
        site.cluster(["wait", "--timeout", "1s", &batch]).code(4);
        if key != "stdout" {
            assert_eq!(site.state(&batch), "running", "{key}");
        }
        site.fault(&query, serde_json::Value::Null);
    }
    gate.let_go(1);
    site.cluster(["wait", &batch]).good();
}

#[test]
fn accounting_that_is_down_or_empty_delays_and_does_not_invent() {
    let Some(site) = Site::mock_only("a broken accounting") else { return };
    for state in ["down", "empty"] {
        site.fault("faults.accounting", state);
        let batch = site.map(["--range", "0-2", "--sh", "exit {}"]);
        site.cluster(["wait", &batch]).code(1);
        let codes: Vec<_> = site.jobs(&batch).iter().map(|job| job["exit_code"].as_i64()).collect();
        assert_eq!(codes, [Some(0), Some(1), Some(2)], "{state}");
    }
}

#[test]
fn accounting_that_lags_costs_no_job() {
    let Some(site) = Site::mock_only("a late accounting") else { return };
    site.fault("timing.accounting_lag", 1.5);
    site.fault("timing.min_job_age", 0.0);
    let said = site.fifo("said");
    // Its end is known by the accounting alone.
    let batch = site.submit([
        "--time",
        site.kind().short_limit(),
        "--sh",
        &format!("{}; sleep 1000", said.say_text("up")),
    ]);
    said.hear();
    site.cluster(["wait", &batch]).code(1);
    assert_eq!(site.state(&batch), "failed timeout");
}

#[test]
fn dependents_that_are_let_through_are_stopped_by_the_gate() {
    let Some(site) = Site::mock_only("a scheduler that lets dependents through") else { return };
    site.fault("faults.ignore_dependencies", true);
    let (gate, mark) = (site.fifo("gate"), site.path("mark"));
    let parent = site.submit(["--sh", &format!("{}; exit 3", gate.wait_text())]);
    site.wait_state(&parent, "running");
    gate.let_go(1);
    let child = site.submit([
        "--depends",
        &format!("afterok:{parent}"),
        "--sh",
        &format!("touch '{}'", mark.display()),
    ]);
    site.cluster(["wait", &child]).code(1);
    assert_eq!(site.state(&child), "failed dependency_never_satisfied");
    assert!(!mark.exists());
}

#[test]
fn usage_is_there_afterwards() {
    let site = Site::new();
    let batch = site.submit(["--mem", "200M", "--", "sh", "-c", "head -c 30000000 /dev/zero | tail | wc -c"]);
    site.cluster(["wait", &batch]).good();
    let raw = site.cluster(["show", "--raw", &batch]).good().out();
    assert!(!raw.trim().is_empty());
    if site.kind() == Kind::Slurm {
        assert!(raw.contains("COMPLETED"), "{raw}");
    }
    let job = site.job(&batch);
    assert!(job["cpu_us"].is_u64() || job["max_rss_kb"].is_u64(), "{job}");
}
