//! What a scheduler says of jobs, and does not mean: ids that came again, jobs that its queue hides, states that
//! nobody knows, an accounting that is not there.

use cluster_tests::{Kind, Site, Wish, skipped, wait_for};

#[test]
fn a_bad_end_is_noticed_soon_after_somebody_looked_at_the_queue() {
    let site = Site::wished(&Wish { system: "poll: 10s".to_owned(), ..Wish::default() });
    for _ in 0..3 {
        // Of a look from just before, which says nothing of the job, nobody may make do.
        site.cluster(["queue"]).good();
        let batch = site.submit(["--", "sh", "-c", "exit 3"]);
        site.cluster(["wait", "--timeout", "25s", &batch]).code(1);
        assert_eq!(site.state(&batch), "failed exit 3");
    }
}

#[test]
fn a_held_element_stays_held_however_often_one_looks() {
    let site = Site::new();
    let gate = site.fifo("gate");
    let map = [
        "--max-running",
        "1",
        "--range",
        "0-3",
        "--sh",
        &format!("[ {{}} -gt 0 ] || {{ {}; }}", gate.wait_text()),
    ];
    let batch = site.map(map);
    site.wait_state(&format!("{batch}.0"), "running");
    let one = format!("{batch}.2");
    site.cluster(["hold", &one]).good();
    for _ in 0..3 {
        site.cluster(["ls", "--refresh"]).good();
        assert_eq!(site.state(&one), "held");
    }
    gate.let_go(1);
    let others = [format!("{batch}.0-1"), format!("{batch}.3")];
    site.cluster(["wait", &others[0], &others[1]]).good();
    assert_eq!(site.state(&one), "held");
    site.cluster(["release", &one]).good().says(["1 job released"]);
    site.cluster(["wait", &batch]).good();
}

#[test]
fn a_job_that_the_queue_hides_is_not_lost_while_the_accounting_has_it() {
    if Kind::given() != Kind::Slurm {
        return skipped(
            "a job that the queue hides",
            "only Slurm has an accounting of running jobs and a queue apart",
        );
    }
    let site = Site::new();
    let gate = site.fifo("gate");
    // Its record cannot be seen from here: what remains is what the accounting says.
    let batch = site.submit(["--sh", &gate.wait_text()]);
    site.wait_state(&batch, "running");
    site.wrap("squeue", "exit 0");
    let calls = site.counted("sacct");
    wait_for("the accounting was asked often enough", || {
        site.cluster(["ls", "--refresh"]).good();
        calls.count() > 4
    });
    site.cluster(["wait", "--timeout", "3s", &batch]).code(4);
    assert_eq!(site.state(&batch), "running");
    site.unwrap_command("squeue");
    gate.let_go(1);
    site.cluster(["wait", &batch]).good();
}

#[test]
fn a_state_that_nobody_knows_ends_the_wait_after_a_while() {
    let (query, known, unknown) = match Kind::given() {
        Kind::Slurm => ("squeue", "RUNNING", "WOBBLING"),
        Kind::Pbs => ("qstat", "job_state = R", "job_state = Z"),
        Kind::Torque => ("qstat", "<job_state>R</job_state>", "<job_state>Z</job_state>"),
        Kind::Sge => ("qstat", "<state>r</state>", "<state>Y</state>"),
        Kind::Sample => return skipped("a state that nobody knows", "the sample has three"),
    };
    let site = Site::new();
    let gate = site.fifo("gate");
    let batch = site.submit(["--sh", &gate.wait_text()]);
    site.wait_state(&batch, "running");
    site.wrap(
        query,
        &format!(
            "\"$REAL\" \"$@\" | sed -e 's/{}/{}/'",
            known.replace('/', "\\/"),
            unknown.replace('/', "\\/")
        ),
    );
    let raw = unknown.trim_start_matches("job_state = ");
    let raw = raw.split(['<', '>']).nth(2).unwrap_or(raw);
    let wait = site.cluster(["wait", "--uncertain", "1s", "--timeout", "40s", &batch]);
    assert_eq!(wait.code, 7, "{}", wait.err());
    wait.says([&*format!("unknown ({raw}")]);
    site.unwrap_command(query);
    gate.let_go(1);
    site.cluster(["wait", &batch]).good();
}

#[test]
fn an_id_that_came_again_is_not_taken_for_the_job() {
    if Kind::given() != Kind::Sge {
        return skipped(
            "an id that came again",
            "Grid Engine's accounting goes back years, and its ids are few",
        );
    }
    let Some(site) = Site::mock_only("an id that came again") else { return };
    let batch = site.submit(["--hold", "--", "true"]);
    let id = site.job(&batch)["remote_id"].as_str().unwrap().to_owned();
    // The scheduler forgets the job, and its accounting has one of long ago that bore the number, and ended well.
    let old = format!(
        "printf '%s\\n' '==============================================================' 'qname all.q' \
         'hostname node1' 'owner somebody' 'jobname old' 'jobnumber {id}' 'taskid undefined' \
         'qsub_time Fri Nov 20 10:00:00 2020' 'start_time Fri Nov 20 10:00:00 2020' \
         'end_time Fri Nov 20 10:00:01 2020' 'failed 0' 'exit_status 0'"
    );
    site.wrap("qacct", &old);
    site.wrap("qstat", "exit 0");
    site.cluster(["wait", "--timeout", "40s", &batch]).code(1);
    assert_eq!(site.state(&batch), "failed lost");
}

#[test]
fn an_accounting_that_is_not_there_after_all_is_done_without() {
    let (command, text) = match Kind::given() {
        Kind::Slurm => ("sacct", "echo 'Slurm accounting storage is disabled' >&2; exit 1"),
        Kind::Pbs => (
            "qstat",
            "case \" $* \" in *' -x '*) echo 'qstat: PBS is not configured to maintain job history' >&2; exit 142 ;; esac\n\
             exec \"$REAL\" \"$@\"",
        ),
        _ => return skipped("an accounting that is not there", "its accounting is a file, or there is none"),
    };
    let site = Site::new();
    site.wrap(command, text);
    let held = site.submit(["--hold", "--", "true"]);
    site.cluster(["cancel", &held]).good();
    let failed = site.submit(["--", "sh", "-c", "exit 5"]);
    let waited = site.cluster(["wait", "--timeout", "60s", &held, &failed]);
    assert_eq!(waited.code, 1, "{}", waited.err());
    assert_eq!(site.state(&held), "failed cancelled");
    assert_eq!(site.state(&failed), "failed exit 5");
}

#[test]
fn who_waits_for_a_batch_waits_for_what_it_waits_for_on_another_system() {
    let site = Site::new();
    let kind = site.kind();
    let text = format!("systems:\n  other: {{ scheduler: {kind}, poll: 0.1, {} }}\n", kind.keys());
    std::fs::create_dir_all(site.work().join(".cluster")).unwrap();
    std::fs::write(site.work().join(".cluster/config.yaml"), text).unwrap();
    let parent = site.submit(["--system", "other", "--", "true"]);
    let child = site.submit(["--after", &parent, "--", "echo", "done"]);
    site.cluster(["wait", "--timeout", "60s", &child]).good();
    site.cluster(["logs", &child]).good().prints("done\n");
    // A system that is not configured any more keeps nobody from the others.
    let open = site.submit(["--system", "other", "--hold", "--", "true"]);
    std::fs::write(site.work().join(".cluster/config.yaml"), "{}\n").unwrap();
    site.cluster(["ls", "--refresh"]).good().says(["no system other"]);
    site.cluster(["show", "--short", &open]).good();
    std::fs::write(
        site.work().join(".cluster/config.yaml"),
        format!("systems:\n  other: {{ scheduler: {kind}, {} }}\n", kind.keys()),
    )
    .unwrap();
    site.cluster(["cancel", &open]).good();
}

#[test]
fn what_nobody_knows_is_waited_for_by_nobody() {
    let site = Site::new();
    let unknown = match site.kind() {
        Kind::Pbs => "987654.pbshost",
        Kind::Torque => "987654.vm",
        _ => "987654",
    };
    let refused = site.cluster(["submit", "--after", &format!("afterany:remote:{unknown}"), "--", "true"]);
    assert_eq!(refused.code, 2, "{}", refused.err());
    refused.says(["knows no job", unknown]);
    assert!(site.cluster(["ls", "--ids"]).good().lines().is_empty(), "nothing was recorded");
}

#[test]
fn what_has_started_is_not_held() {
    let site = Site::new();
    let (said, gate) = (site.fifo("said"), site.fifo("gate"));
    let batch = site.submit(["--sh", &format!("{}; {}", said.say_text("up"), gate.wait_text())]);
    said.hear();
    wait_for("the scheduler shows it running", || {
        site.cluster(["queue", "--state", "running", "--count"]).good().out().trim() == "1"
    });
    site.cluster(["hold", &batch]).good().says(["0 jobs held"]);
    assert_eq!(site.state(&batch), "running");
    gate.let_go(1);
    site.cluster(["wait", &batch]).good();
}
