//! Arrays: their elements, their inputs, retries, how many run at once.

use std::collections::BTreeSet;

use cluster_tests::{Site, state_of};

#[test]
fn fifty_with_one_that_fails() {
    let site = Site::new();
    let batch = site.map(["--range", "0-49", "--sh", "echo out-{}; [ {} != 7 ] || exit 3"]);
    site.cluster(["wait", &batch]).code(1);
    assert_eq!((site.count(&batch, "succeeded"), site.count(&batch, "failed")), (49, 1));
    assert_eq!(site.state(&format!("{batch}.7")), "failed exit 3");
    let wanted: String = (0..50).map(|i| format!("out-{i}\n")).collect();
    site.cluster(["get", &batch]).code(1).prints(wanted);
    // Each has an id of its own in the scheduler's words.
    let ids: BTreeSet<String> = site.jobs(&batch).iter().map(|job| job["remote_id"].to_string()).collect();
    assert_eq!(ids.len(), 50);
}

#[test]
fn each_element_has_its_own_input_and_index() {
    let site = Site::new();
    let inputs = ["a b", "it's", "\"q\" $HOME", "", "ü|🎉", "-n"];
    let mut words =
        vec!["--", "sh", "-c", "printf '%s:%s\\n' \"$CLUSTER_JOB_INDEX\" \"$1\"", "sh", "{}", ":::"];
    words.extend(inputs);
    let batch = site.map(words);
    site.cluster(["wait", &batch]).good();
    let wanted: String = inputs.iter().enumerate().map(|(i, input)| format!("{i}:{input}\n")).collect();
    site.cluster(["get", &batch]).good().prints(wanted);
}

#[test]
fn one_element_is_cancelled() {
    let site = Site::new();
    let (said, gate) = (site.fifo("said"), site.fifo("gate"));
    let text = format!("{}; {}", said.say_text("{}"), gate.wait_text());
    let batch = site.map(["--range", "0-3", "--sh", &text]);
    let mut up: Vec<String> = (0..4).map(|_| said.hear()).collect();
    up.sort();
    assert_eq!(up, ["0", "1", "2", "3"]);
    let one = format!("{batch}.2");
    site.cluster(["cancel", &one]).good();
    site.cluster(["wait", &one]).code(1);
    assert_eq!(site.state(&one), "failed cancelled");
    gate.let_go(4);
    site.cluster(["wait", &batch]).code(1);
    let states: Vec<String> = site.jobs(&batch).iter().map(state_of).collect();
    assert_eq!(states, ["succeeded", "succeeded", "failed cancelled", "succeeded"]);
}

#[test]
fn the_failed_ones_are_sent_again_as_one_array() {
    let site = Site::new();
    let ran = site.path("ran");
    // Those of 3, 7 and 41 fail the first time. The index stays the job's own.
    let text = format!(
        "echo $CLUSTER_JOB_INDEX >> '{ran}'; case $1 in 3|7|41) [ \"$(grep -cx \"$1\" '{ran}')\" = 2 ];; esac",
        ran = ran.display()
    );
    let batch = site.map(["--range", "0-49", "--", "sh", "-c", &text, "sh", "{}"]);
    site.cluster(["wait", &batch]).code(1);
    let failed = |job: &serde_json::Value| job["state"] == "failed";
    let again: Vec<_> = site.jobs(&batch).into_iter().filter(|job| failed(job)).collect();
    assert_eq!(again.len(), 3, "{again:?}");
    let calls = site.counted(site.kind().submit());
    site.cluster(["retry", &batch]).good();
    site.cluster(["wait", &batch]).good();
    assert_eq!(calls.count(), 1, "{:?}", calls.lines());
    assert_eq!(site.count(&batch, "succeeded"), 50);
    for job in site.jobs(&batch) {
        let index: u32 = job["job"].as_str().unwrap().rsplit('.').next().unwrap().parse().unwrap();
        let second = [3, 7, 41].contains(&index);
        assert_eq!(job["run"], if second { 2 } else { 1 }, "{job}");
    }
    assert_eq!(std::fs::read_to_string(&ran).unwrap().lines().count(), 53);
}

#[test]
fn one_job_is_sent_again_as_no_array() {
    let site = Site::new();
    let mark = site.path("mark");
    let text = format!("[ {{}} != 2 ] || [ -e '{0}' ] || {{ touch '{0}'; exit 4; }}", mark.display());
    let batch = site.map(["--range", "0-4", "--sh", &text]);
    site.cluster(["wait", &batch]).code(1);
    assert_eq!(site.state(&format!("{batch}.2")), "failed exit 4");
    site.cluster(["retry", &format!("{batch}.2")]).good();
    site.cluster(["wait", &batch]).good();
}

#[test]
fn only_so_many_run_at_once() {
    let site = Site::new();
    let (said, gate) = (site.fifo("said"), site.fifo("gate"));
    let text = format!("{}; {}; {}", said.say_text("up"), gate.wait_text(), said.say_text("over"));
    let batch = site.map(["--max-running", "2", "--range", "1-8", "--sh", &text]);
    let (mut running, mut ended) = (0, 0);
    while ended < 8 {
        match said.hear().as_str() {
            "up" => {
                running += 1;
                assert!(running <= 2);
                gate.let_go(1);
            }
            _ => {
                running -= 1;
                ended += 1;
            }
        }
    }
    site.cluster(["wait", &batch]).good();
}

#[test]
fn a_part_is_waited_for_and_shown() {
    let site = Site::new();
    let gate = site.fifo("gate");
    let text = format!("[ {{}} -lt 2 ] || {}", gate.wait_text());
    let batch = site.map(["--range", "0-3", "--sh", &text]);
    site.cluster(["wait", &format!("{batch}.0-1")]).good();
    assert_eq!(site.state(&format!("{batch}.1")), "succeeded");
    gate.let_go(2);
    site.cluster(["wait", &batch]).good();
}
