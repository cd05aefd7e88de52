//! `cluster retry`: what is sent again, and that every run is kept.

use cluster_tests::{Site, World};

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
    world.cluster(["wait", &first]).code(1);
    let second = world.cluster(["submit", "--after", &first, "--", "true"]).code(1).out().trim().to_owned();
    world.cluster(["wait", &second]).code(1);
    world.file("fixed", "");
    world.cluster(["retry", &first]).good();
    world.cluster(["wait", &first]).good();
    world.cluster(["retry", &second]).good();
    world.cluster(["wait", &second]).good();
}

/// A batch of one job that failed.
fn failed(world: &World) -> String {
    let batch = world.submit(["--priority", "0", "--sh", "echo ran >> ran; [ $CLUSTER_RUN = 2 ]"]);
    world.cluster(["wait", &batch]).code(1);
    batch
}

#[test]
fn a_dry_run_of_a_retry_sends_nothing() {
    let world = World::new();
    let batch = failed(&world);
    world.cluster(["retry", "--dry-run", &batch]).good().says(["would take jobs 0 of batch 1 again"]);
    world.cluster(["retry", "--dry-run", "--cores", "99", &batch]).code(6).says(["99 cores"]);
    assert_eq!(world.job(&batch)["run"], 1);
    assert_eq!(std::fs::read(world.work().join("ran")).unwrap(), b"ran\n");
}

#[test]
fn a_held_retry_waits_for_its_release() {
    let world = World::new();
    let batch = failed(&world);
    world.cluster(["retry", "--hold", &batch]).good();
    assert_eq!(world.state(&batch), "held");
    // Also when another runner has taken over.
    world.kill_runner();
    world.cluster(["local", "start"]).good();
    assert_eq!(world.state(&batch), "held");
    world.cluster(["release", &batch]).good().says(["1 job released"]);
    world.cluster(["wait", &batch]).good();
}

#[test]
fn what_a_retry_cannot_change_is_refused_and_nothing_is_sent() {
    let world = World::new();
    let batch = failed(&world);
    for (words, said) in [
        (&["--system", "foo"][..], "batch 1 is on local"),
        (&["--chdir", "/nonexist"], "--chdir cannot be changed"),
        (&["--export", "none"], "--export cannot be changed"),
        (&["--output", "packed"], "--output cannot be changed"),
        (&["--name", "other"], "--name cannot be changed"),
        (&["--meta", "k=v"], "--meta cannot be changed"),
        (&["--nodes", "4", "--strict"], "this machine is one node"),
        (&["--partition", "p", "--strict"], "the local queue has none"),
    ] {
        world.call(["retry"]).args(words).arg(&batch).end().code(2).says([said]);
    }
    assert_eq!(world.job(&batch)["run"], 1);
    // The batch's own system is no other one.
    world.cluster(["retry", "--system", "local", &batch]).good();
    world.cluster(["wait", &batch]).good();
}

#[test]
fn a_retry_that_can_never_start_is_refused() {
    let world = World::new();
    let batch = failed(&world);
    world.cluster(["retry", "--cores", "99", &batch]).code(6).says(["asks for 99 cores"]);
    world.cluster(["retry", "--mem", "900T", &batch]).code(6).says(["asks for 1 core"]);
    assert_eq!(world.job(&batch)["run"], 1);
    world.cluster(["retry", "--cores", "99", "--fit", &batch]).good().says(["cut to 2"]);
    world.cluster(["wait", &batch]).good();
}

#[test]
fn the_priority_of_a_retry_is_told() {
    let world = World::new();
    let batch = failed(&world);
    world.cluster(["retry", "--priority", "5", "--hold", &batch]).good();
    assert_eq!(world.job(&batch)["priority"], 5);
}

#[test]
fn no_retry_waits_for_itself() {
    let world = World::new();
    let batch = failed(&world);
    world.cluster(["retry", "--after", "afterany:1", &batch]).code(2).says(["wait for themselves"]);
    // Through one that waits for it.
    let other = world.submit(["--hold", "--after", "afterany:1", "--", "true"]);
    let after = format!("afterany:{other}");
    world.cluster(["retry", "--after", &after, &batch]).code(2).says(["through batch 2"]);
    assert_eq!(world.job(&batch)["run"], 1);
    // What runs or has ended does not wait.
    world.cluster(["release", &other]).good();
    world.cluster(["wait", &other]).good();
    world.cluster(["retry", "--after", &after, &batch]).good();
    world.cluster(["wait", &batch]).good();
}

#[test]
fn a_script_that_is_gone_is_named_and_nothing_is_sent() {
    let world = World::new();
    let batch = failed(&world);
    std::fs::remove_file(world.root().join("jobs/1/job.0.sh")).unwrap();
    world.cluster(["retry", "--keep-script", &batch]).code(2).says(["jobs/1/job.0.sh", "--keep-script"]);
    assert_eq!(world.state(&batch), "failed exit 1");
    world.cluster(["retry", &batch]).good();
    world.cluster(["wait", &batch]).good();
}

#[test]
fn a_retry_on_a_scheduler_does_what_its_options_say() {
    let site = Site::new();
    let batch = site.submit(["--sh", "[ $CLUSTER_RUN = 2 ]"]);
    site.cluster(["wait", &batch]).code(1);
    let dry = site.cluster(["retry", "--dry-run", "--time", "2h", &batch]).good().out();
    assert!(dry.contains("# jobs 0") && dry.contains("02:00:00"), "{dry}");
    site.cluster(["retry", "--name", "x", &batch]).code(2).says(["--name cannot be changed"]);
    site.cluster(["retry", "--system", "local", &batch]).code(2).says(["a retry stays there"]);
    assert_eq!(site.job(&batch)["run"], 1);
    site.cluster(["retry", "--hold", "--priority", "5", &batch]).good();
    let job = site.job(&batch);
    assert_eq!((&job["state"], &job["priority"], &job["run"]), (&"held".into(), &5.into(), &2.into()));
    site.cluster(["release", &batch]).good();
    site.cluster(["wait", &batch]).good();
}
