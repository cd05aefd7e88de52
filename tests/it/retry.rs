//! `cluster retry`: what is sent again, and that every run is kept.

use cluster_tests::World;

#[test]
fn retry_sends_failed_jobs_alone() {
    let world = World::new();
    let text = "echo run $CLUSTER_RUN of {}; [ {} != 1 ] || [ -e fixed ]";
    world.cluster(["map", "--range", "0-2", "--sh", text]).code(1);
    world.file("fixed", "");
    world.cluster(["retry", "1"]).good().says(["1 job sent again"]);
    world.cluster(["wait", "1"]).good();
    let runs: Vec<_> = world.jobs("1").iter().map(|job| job["run"].as_u64().unwrap()).collect();
    assert_eq!(runs, [1, 2, 1]);
    world.cluster(["get", "1"]).good().prints("run 1 of 0\nrun 2 of 1\nrun 1 of 2\n");
    world.cluster(["retry", "1"]).good().says(["no failed jobs"]);
    world.cluster(["retry", "--all", "1.0"]).good();
    world.cluster(["wait", "1"]).good();
    assert_eq!(world.job("1.0")["run"], 2);
}

#[test]
fn what_has_not_ended_is_not_sent_again() {
    let world = World::new();
    let gate = world.fifo("gate");
    let batch = world.submit(["--sh", &gate.wait_text()]);
    world.cluster(["retry", &batch]).good().says(["no failed jobs"]);
    world.cluster(["retry", "--all", &batch]).good();
    gate.let_go(1);
    world.cluster(["wait", &batch]).good();
    assert_eq!(world.job(&batch)["run"], 1);
}

#[test]
fn the_output_of_every_run_is_kept() {
    let world = World::new();
    for text in ["echo $CLUSTER_RUN; echo e$CLUSTER_RUN >&2; exit 1"] {
        for how in [
            &["submit", "--quiet", "--sh", text][..],
            &["map", "--quiet", "--detach", "--sh", text, ":::", "x", "y"],
        ] {
            let batch = world.cluster(how).good().out().trim().to_owned();
            for _ in 0..2 {
                world.cluster(["wait", &batch]).code(1);
                world.cluster(["retry", &batch]).good();
            }
            world.cluster(["wait", &batch]).code(1);
            let job = format!("{batch}.0");
            for run in 1..=3 {
                let number = run.to_string();
                world.cluster(["logs", "--run", &number, &job]).good().prints(format!("{run}\n"));
                world
                    .cluster(["logs", "--stderr", "--run", &number, &job])
                    .good()
                    .prints(format!("e{run}\n"));
            }
            world.cluster(["logs", &job]).good().prints("3\n");
            assert_eq!(world.job(&job)["runs"].as_array().unwrap().len(), 3);
        }
    }
}

#[test]
fn retry_may_change_what_is_asked_for() {
    let world = World::new();
    let batch =
        world.submit(["--time", "1", "--sh", "echo $CLUSTER_TOT_NCORES; [ $CLUSTER_RUN = 2 ] || sleep 100"]);
    world.cluster(["wait", &batch]).code(1);
    assert_eq!(world.state(&batch), "failed timeout");
    world.cluster(["retry", "--cores", "2", "--time", "1h", &batch]).good();
    world.cluster(["wait", &batch]).good();
    world.cluster(["logs", &batch]).good().prints("2\n");
}

#[test]
fn retry_renders_anew_or_keeps_the_script_as_it_lies_there() {
    let world = World::new();
    let batch = world.submit(["--sh", "echo ${MARK-none}; exit 1"]);
    world.cluster(["wait", &batch]).code(1);
    let edit = |k: u32| {
        let path = world.root().join(format!("jobs/{batch}/job.{k}.sh"));
        let text = std::fs::read_to_string(&path).unwrap();
        let at = text.find("umask ").unwrap();
        std::fs::write(&path, format!("{}export MARK=by-hand\n{}", &text[..at], &text[at..])).unwrap();
    };
    edit(0);
    world.cluster(["retry", "--keep-script", &batch]).good();
    world.cluster(["wait", &batch]).code(1);
    world.cluster(["logs", &batch]).good().prints("by-hand\n");
    world.cluster(["retry", &batch]).good();
    world.cluster(["wait", &batch]).code(1);
    world.cluster(["logs", &batch]).good().prints("none\n");
    world.cluster(["retry", "--keep-script", "--cores", "2", &batch]).code(2).says(["--keep-script"]);
}

#[test]
fn a_retry_of_what_others_failed_by_lets_them_be_retried() {
    let world = World::new();
    let first = world.submit(["--sh", "[ -e fixed ]"]);
    let second = world.submit(["--after", &first, "--", "true"]);
    world.cluster(["wait", &second]).code(1);
    world.file("fixed", "");
    world.cluster(["retry", &first]).good();
    world.cluster(["wait", &first]).good();
    world.cluster(["retry", &second]).good();
    world.cluster(["wait", &second]).good();
}
