use std::time::{Duration, Instant};

use super::cluster::Cluster;

fn cluster() -> Cluster {
    Cluster::new("sge", &["timing.requeue_delay=0.05"])
}

/// Waits for the end of jobs by one that depends on them.
fn wait(cluster: &Cluster, id: &str) {
    cluster.out(&["qsub", "-sync", "y", "-hold_jid", id, "-o", "/dev/null", "-j", "y", "-b", "y", "true"]);
}

fn ends(cluster: &Cluster, id: &str) -> Vec<String> {
    let text = cluster.out(&["qacct", "-j", id]);
    let words = |line: &str| line.split_whitespace().nth(1).unwrap_or_default().to_owned();
    let failed = text.lines().filter(|line| line.starts_with("failed")).map(words);
    let codes = text.lines().filter(|line| line.starts_with("exit_status")).map(words);
    failed.zip(codes).map(|(failed, code)| format!("{failed}/{code}")).collect()
}

#[test]
fn codes_are_in_the_accounting_and_nothing_of_it_is_in_the_queue() {
    let cluster = cluster();
    let said = cluster.submit(&["-N", "one"], "echo $JOB_ID $SGE_TASK_ID $NSLOTS; exit 3\n");
    assert_eq!(said, "Your job 1 (\"one\") has been submitted");
    wait(&cluster, "1");
    assert_eq!(ends(&cluster, "1"), ["0/3"]);
    assert_eq!(cluster.home("one.o1"), "1 undefined 1\n");
    assert_eq!(cluster.out(&["qstat"]), "");
    let (code, out, err) = cluster.run(&["qstat", "-j", "1"]);
    assert_eq!((code, out.as_str(), err.as_str()), (1, "", "Following jobs do not exist: \n1\n"));
    assert_eq!(
        cluster.run(&["qacct", "-j", "77"]),
        (1, String::new(), "error: job id 77 not found\n".into())
    );
}

#[test]
fn a_dependent_waits_for_the_end_alone() {
    let cluster = cluster();
    assert_eq!(cluster.submit(&["-terse", "-N", "bad", "-h"], "exit 1\n"), "1");
    assert_eq!(cluster.submit(&["-terse", "-hold_jid", "bad,999"], "true\n"), "2");
    let list = cluster.out(&["qstat"]);
    assert_eq!(list.matches(" hqw ").count(), 2, "{list}");
    cluster.out(&["qrls", "1"]);
    wait(&cluster, "2");
    assert_eq!(ends(&cluster, "1"), ["0/1"]);
    assert_eq!(ends(&cluster, "2"), ["0/0"]);
}

#[test]
fn exit_99_runs_again_and_exit_100_stands_in_error() {
    let cluster = cluster();
    let script = "[ -e again ] && exit 0; touch again; exit 99\n";
    cluster.submit(&["-cwd", "-N", "again"], script);
    wait(&cluster, "1");
    assert_eq!(ends(&cluster, "1"), ["25/99", "0/0"]);
    cluster.submit(&["-N", "stop"], "exit 100\n");
    cluster.submit(&["-N", "nowhere", "-o", "/no/such/dir/x"], "true\n");
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut list = String::new();
    while list.matches(" Eqw ").count() < 2 && Instant::now() < deadline {
        list = cluster.out(&["qstat", "-s", "p"]);
    }
    assert_eq!(list.matches(" Eqw ").count(), 2, "{list}");
    assert_eq!(ends(&cluster, "stop"), ["30/100"]);
    assert_eq!(ends(&cluster, "nowhere"), ["26/0"]);
    assert!(cluster.out(&["qstat", "-j", "nowhere"]).contains("can't open output file"));
    assert_eq!(cluster.run(&["qmod", "-cj", "stop"]).0, 1, "the code of a success");
}

#[test]
fn a_deleted_job_is_killed_and_one_that_never_ran_leaves_no_record() {
    let cluster = cluster();
    let fifo = cluster.fifo("started");
    cluster.submit(&["-N", "run"], &format!("trap '' TERM; echo up >{}; sleep 60\n", fifo.display()));
    std::fs::read_to_string(&fifo).unwrap();
    assert_eq!(
        cluster.out(&["qdel", "1"]).split_once(" has ").unwrap().1,
        "registered the job 1 for deletion\n"
    );
    wait(&cluster, "1");
    assert_eq!(ends(&cluster, "1"), ["100/137"]);
    cluster.submit(&["-h", "-N", "never"], "true\n");
    assert!(cluster.out(&["qdel", "never"]).ends_with(" has deleted job 3\n"));
    assert_eq!(cluster.run(&["qacct", "-j", "3"]).0, 1);
    assert_eq!(cluster.run(&["qdel", "3"]), (1, "denied: job \"3\" does not exist\n".into(), String::new()));
}

#[test]
fn limits_are_refused_with_w_e_and_wait_for_ever_without() {
    let cluster = cluster();
    let refusal = "Unable to run job: error: no suitable queues\nExiting.\n";
    let asked = ["-l", "h_rt=48:0:0", "-q", "long.q", "-b", "y", "true"];
    let (code, _, err) = cluster.run(&[&["qsub", "-w", "e"], asked.as_slice()].concat());
    assert_eq!((code, err.as_str()), (1, refusal));
    cluster.out(&[&["qsub"], asked.as_slice()].concat());
    assert!(cluster.out(&["qstat"]).contains(" qw "));
    cluster.set(&["timing.limit_scale=0.1"]);
    cluster.submit(&["-N", "long", "-l", "h_rt=2"], "sleep 60\n");
    wait(&cluster, "long");
    assert_eq!(ends(&cluster, "long"), ["37/137"]);
    assert_eq!(cluster.run(&["qsub", "-t", "1-100000", "-b", "y", "true"]).0, 1);
}

#[test]
fn arrays_count_tasks_and_sync_has_the_worst_code() {
    let cluster = cluster();
    let (code, out, _) = cluster.feed(
        &["qsub", "-sync", "y", "-N", "arr", "-t", "2-6:2", "-o", "/dev/null", "-j", "y"],
        "exit $((SGE_TASK_ID == 4))\n",
    );
    assert_eq!(code, 1, "{out}");
    assert!(out.starts_with("Your job-array 1.2-6:2 (\"arr\") has been submitted\n"), "{out}");
    assert_eq!(ends(&cluster, "1").len(), 3);
    assert_eq!(cluster.out(&["qacct", "-j", "1", "-t", "4"]).matches("exit_status  1 ").count(), 1);
    let (code, ..) = cluster.run(&["qsub", "-sync", "y", "-shell", "n", "-b", "y", "bash", "-c", "exit 7"]);
    assert_eq!(code, 7);
    let (code, ..) = cluster.run(&["qsub", "-sync", "y", "-b", "y", "bash", "-c", "exit 7"]);
    assert_eq!(code, 0, "the words go through a shell again");
}

#[test]
fn queues_and_users_are_chosen_and_what_is_not_served_is_refused() {
    let cluster = cluster();
    assert_eq!(cluster.out(&["qselect", "-q", "long*"]), "long.q@vm\n");
    assert_eq!(cluster.out(&["qselect"]).lines().count(), 2);
    let (code, out, err) = cluster.run(&["qselect", "-xyz"]);
    assert!(code == 1 && out.is_empty() && err.contains("not served"), "{err}");
    assert_eq!(cluster.out(&["qselect", "-l", "q=long.q"]), "long.q@vm\n");
    assert_eq!(cluster.out(&["qselect", "-l", "h_rt=48:0:0", "-pe", "smp", "-U", "nobody"]), "all.q@vm\n");
    assert_eq!(cluster.run(&["qselect", "-l", "nosuch=1"]), (1, String::new(), String::new()));
    let fifo = cluster.fifo("started");
    cluster.submit(&["-N", "run"], &format!("echo up >{}; sleep 60\n", fifo.display()));
    std::fs::read_to_string(&fifo).unwrap();
    cluster.submit(&["-h", "-N", "held"], "true\n");
    // Of no queue nothing is printed, of others their jobs and those that wait.
    assert_eq!(cluster.out(&["qstat", "-l", "arch=foo"]), "");
    assert_eq!(cluster.run(&["qstat", "-l", "nosuch=1"]), (1, String::new(), String::new()));
    let unknown = "error: no such parallel environment\n".to_owned();
    assert_eq!(cluster.run(&["qstat", "-pe", "nosuch"]), (1, String::new(), unknown));
    for line in [
        &["qstat", "-l", "arch=lx-amd64,h_rt=10"][..],
        &["qstat", "-pe", "nosuch,smp"],
        &["qstat", "-U", "x"],
    ] {
        assert_eq!(cluster.out(line).lines().count(), 4, "{line:?}");
    }
    let waiting = cluster.out(&["qstat", "-l", "q=long.q"]);
    assert!(waiting.contains(" held ") && !waiting.contains(" run "), "{waiting}");
    let full = cluster.out(&["qstat", "-f", "-l", "q=long.q"]);
    assert!(full.contains("long.q@vm") && !full.contains("all.q@vm"), "{full}");
    let me = cluster.out(&["qstat"]).lines().nth(2).unwrap().split_whitespace().nth(3).unwrap().to_owned();
    let hosts = cluster.out(&["qhost", "-q", "-j"]);
    assert!(hosts.contains("   all.q                BIP   0/1/10        \n"), "{hosts}");
    assert!(
        hosts.lines().any(|line| line.starts_with("         1 ") && line.contains(" MASTER ")),
        "{hosts}"
    );
    assert!(cluster.out(&["qhold", "-u", "nobody-of-this-name"]).is_empty());
    cluster.out(&["qrls", "-u", &me]);
    cluster.out(&["qdel", "1"]);
    wait(&cluster, "2");
    assert_eq!(ends(&cluster, "2"), ["0/0"]);
}

#[test]
fn a_dead_qmaster_says_so_and_the_accounting_is_still_read() {
    let cluster = cluster();
    cluster.out(&["qsub", "-sync", "y", "-b", "y", "true"]);
    cluster.set(&["faults.controller=down"]);
    let line = "unable to send message to qmaster using port 23790 on host \"vm\": got send error";
    let head = "error: commlib error: got select error (Connection refused)\n";
    assert_eq!(cluster.run(&["qstat"]), (1, String::new(), format!("{head}error: {line}\n")));
    assert_eq!(cluster.run(&["qdel", "1"]), (1, format!("{line}\n"), head.into()));
    let (code, _, err) = cluster.run(&["qsub", "-b", "y", "true"]);
    assert_eq!((code, err), (1, format!("{head}Unable to run job: {line}\nExiting.\n")));
    assert_eq!(ends(&cluster, "1"), ["0/0"]);
}
