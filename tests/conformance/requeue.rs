//! A requeue is a new run of the same submission; its output is added to what is there.

use cluster_tests::{Kind, Site, skipped};

#[test]
fn a_requeued_job_runs_again_and_loses_no_log() {
    let Some((command, words)) = Kind::given().requeue().and_then(<[_]>::split_first) else {
        return skipped("a requeue", "this scheduler has no command for it");
    };
    // The real Slurm waits two minutes before it starts a job again.
    let Some(site) = Site::mock_only("a requeue") else { return };
    // Of PBS it is an operator's command.
    site.fault("extra.users_are_operators", true);
    let (said, gate) = (site.fifo("said"), site.fifo("gate"));
    let text = format!("echo run; {}; {}", said.say_text("up"), gate.wait_text());
    let batch = site.submit(["--sh", &text]);
    said.hear();
    site.wait_state(&batch, "running");
    let remote = site.job(&batch)["remote_id"].as_str().unwrap().to_owned();
    site.program(command).args(words).arg(&remote).end().good();
    said.hear();
    gate.let_go(2);
    site.cluster(["wait", &batch]).good();
    let job = site.job(&batch);
    assert_eq!((job["state"].as_str(), job["run"].as_u64()), (Some("succeeded"), Some(2)), "{job}");
    site.cluster(["logs", &batch]).good().prints("run\nrun\n");
}
