//! The mock Slurm, used as a client would.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test that cannot go on says where; it starts commands"
)]

use std::path::PathBuf;
use std::process::{Command, Output};

/// A mock cluster that ends with the test.
struct Cluster {
    dir: tempfile::TempDir,
}

impl Cluster {
    fn new(keys: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let cluster = Self { dir };
        let out = cluster.own(&[&["--init", &cluster.state(), "slurm"], keys].concat());
        assert!(out.status.success(), "{out:?}");
        cluster
    }

    fn state(&self) -> String {
        self.dir.path().join("state").display().to_string()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn own(&self, args: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_cluster-mock")).args(args).output().unwrap()
    }

    fn set(&self, keys: &[&str]) {
        let out = self.own(&[&["--set", &self.state()], keys].concat());
        assert!(out.status.success(), "{out:?}");
    }

    fn command(&self, line: &[&str]) -> Command {
        let mut command = Command::new(self.dir.path().join("state/bin").join(line[0]));
        command.args(&line[1..]).current_dir(self.dir.path()).env("TZ", "UTC");
        command.env("CLUSTER_MOCK_DIR", self.state());
        command
    }

    fn run(&self, line: &[&str]) -> (i32, String, String) {
        let out = self.command(line).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (out.status.code().unwrap_or(-1), text(&out.stdout), text(&out.stderr))
    }

    fn out(&self, line: &[&str]) -> String {
        let (code, out, err) = self.run(line);
        assert_eq!(code, 0, "{line:?}: {out}{err}");
        out
    }

    /// Submits and returns the id.
    fn submit(&self, args: &[&str]) -> String {
        self.out(&[&["sbatch", "--parsable"], args].concat()).trim().to_owned()
    }

    /// Waits for the end of a job: one that depends on it says so.
    fn wait(&self, id: &str) {
        self.run(&["sbatch", "--wait", "-o", "/dev/null", "-d", &format!("afterany:{id}"), "--wrap", "true"]);
    }

    fn accounting(&self, id: &str) -> String {
        self.out(&["sacct", "-n", "-P", "-X", "-j", id, "--format=State,ExitCode"]).trim().to_owned()
    }

    /// Makes a fifo that a job opens to say that it has started.
    fn fifo(&self, name: &str) -> PathBuf {
        let path = self.file(name);
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        path
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.own(&["--stop", &self.state()]);
    }
}

#[test]
fn exit_codes_are_recorded_and_sacct_takes_128_off() {
    let cluster = Cluster::new(&[]);
    for (script, code, row) in
        [("exit 0", 0, "COMPLETED|0:0"), ("exit 3", 3, "FAILED|3:0"), ("exit 200", 200, "FAILED|72:0")]
    {
        let (rc, out, _) = cluster.run(&["sbatch", "--parsable", "--wait", "--wrap", script]);
        assert_eq!(rc, code);
        assert_eq!(cluster.accounting(out.trim()), row);
        let shown = cluster.out(&["scontrol", "-o", "show", "job", out.trim()]);
        assert!(shown.contains(&format!(" ExitCode={code}:0 ")), "{shown}");
    }
    let (_, out, _) = cluster.run(&["sbatch", "--parsable", "--wait", "--wrap", "kill -SEGV $$"]);
    assert_eq!(cluster.accounting(out.trim()), "FAILED|0:11");
}

#[test]
fn output_goes_where_the_patterns_say_and_the_environment_is_slurms() {
    let cluster = Cluster::new(&[]);
    let script = "echo $SLURM_JOB_ID $SLURM_ARRAY_JOB_ID $SLURM_ARRAY_TASK_ID $FROM $NOT; echo err >&2";
    let mut command =
        cluster.command(&["sbatch", "--parsable", "--wait", "-a", "3", "-J", "nm", "--export=FROM=here"]);
    command.args(["-o", "%x-%A-%a-%4j.out", "-e", "%x.err", "--wrap", script]).env("NOT", "seen");
    assert!(command.output().unwrap().status.success());
    assert_eq!(std::fs::read_to_string(cluster.file("nm-1-3-0001.out")).unwrap(), "1 1 3 here\n");
    assert_eq!(std::fs::read_to_string(cluster.file("nm.err")).unwrap(), "err\n");
    // A second run of the same file empties it, --open-mode=append does not.
    cluster.run(&["sbatch", "--wait", "-o", "f", "--wrap", "echo 1"]);
    cluster.run(&["sbatch", "--wait", "-o", "f", "--wrap", "echo 2"]);
    cluster.run(&["sbatch", "--wait", "-o", "f", "--open-mode=append", "--wrap", "echo 3"]);
    assert_eq!(std::fs::read_to_string(cluster.file("f")).unwrap(), "2\n3\n");
}

#[test]
fn the_login_environment_is_loaded_where_not_all_is_exported() {
    let cluster = Cluster::new(&[]);
    std::fs::write(cluster.file(".profile"), "echo noise; export LOGIN=loaded WHERE=profile\n").unwrap();
    let script = "echo ${LOGIN-no} ${WHERE-no} ${SLURM_GET_USER_ENV-no} ${OURS-no}";
    for (export, wanted) in [
        ("ALL", "no ours no ours\n"),
        ("NONE", "loaded profile 1 no\n"),
        ("NIL", "loaded profile 1 no\n"),
        ("WHERE", "loaded ours 1 no\n"),
    ] {
        let export = format!("--export={export}");
        let mut command = cluster.command(&["sbatch", "--wait", "-o", "out", &export, "--wrap", script]);
        command.env("HOME", cluster.file("")).env("WHERE", "ours").env("OURS", "ours");
        assert!(command.output().unwrap().status.success());
        assert_eq!(std::fs::read_to_string(cluster.file("out")).unwrap(), wanted, "{export}");
    }
}

#[test]
fn a_filter_chooses_jobs_in_every_command() {
    let cluster = Cluster::new(&[]);
    let started = cluster.fifo("started");
    let script = "echo up > started; sleep 1000";
    let here =
        cluster.submit(&["-w", "node5", "-A", "ours", "--wckey", "key", "-o", "/dev/null", "--wrap", script]);
    assert_eq!(std::fs::read_to_string(&started).unwrap(), "up\n");
    let there = cluster.submit(&["-w", "node1", "-q", "fast", "-o", "/dev/null", "--wrap", script]);
    assert_eq!(std::fs::read_to_string(&started).unwrap(), "up\n");
    for (filter, wanted) in [(["-w", "node[4-5]"], &here), (["-A", "ours"], &here), (["-q", "fast"], &there)]
    {
        let out = cluster.out(&[&["squeue", "-h", "-o", "%i"], &filter[..]].concat());
        assert_eq!(out.trim(), wanted, "squeue {filter:?}");
        let filter = [filter[0].replace('w', "N"), filter[1].to_owned()];
        let out = cluster.out(&["sacct", "-n", "-P", "-X", "--format=JobID", &filter[0], &filter[1]]);
        assert_eq!(out.trim(), wanted, "sacct {filter:?}");
    }
    for (filter, left) in [
        (["-w", "node2"], 2),
        (["-q", "slow"], 2),
        (["--wckey", "none"], 2),
        (["-w", "node1"], 1),
        (["--wckey", "key"], 0),
    ] {
        cluster.out(&[&["scancel"], &filter[..]].concat());
        let out = cluster.out(&["squeue", "-h", "-t", "PD,R,S", "-o", "%i"]);
        assert_eq!(out.lines().count(), left, "scancel {filter:?}: {out}");
    }
}

#[test]
fn scontrol_takes_lists_and_names_and_changes_nodes_and_partitions() {
    let cluster = Cluster::new(&["extra.users_are_operators=true"]);
    let ids = [(); 3].map(|()| cluster.submit(&["-H", "-J", "nm", "--wrap", "true"]));
    let shown = cluster.out(&["scontrol", "-o", "show", "job", &format!("{},{}", ids[0], ids[2])]);
    let first: Vec<&str> = shown.lines().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(first, [format!("JobId={}", ids[0]), format!("JobId={}", ids[2])]);
    cluster.out(&["scontrol", "update", "NodeName=node[1-2]", "State=DRAIN", "Reason=a fan"]);
    cluster.out(&["scontrol", "update", "PartitionName=debug", "State=DOWN"]);
    let nodes = cluster.out(&["sinfo", "-h", "-N", "-p", "debug", "-o", "%N %t"]);
    assert_eq!(nodes, "node1 drain\nnode2 drain\nnode3 idle\nnode5 idle\n");
    assert!(cluster.out(&["scontrol", "-o", "show", "node", "node1"]).contains("Reason=a fan"));
    cluster.out(&["scontrol", "release", "JobName=nm"]);
    let reasons = cluster.out(&["squeue", "-h", "-o", "%r"]);
    assert_eq!(reasons, "PartitionDown\n".repeat(3));
    cluster.out(&["scontrol", "update", "NodeName=node1,node2", "State=RESUME"]);
    cluster.out(&["scontrol", "update", "PartitionName=debug", "State=UP"]);
    ids.iter().for_each(|id| cluster.wait(id));
    let (code, _, err) = cluster.run(&["scontrol", "update", "NodeName=nowhere", "State=RESUME"]);
    assert_eq!((code, err.as_str()), (1, "slurm_update error: Invalid node name specified\n"));
}

#[test]
fn what_is_not_served_is_refused_and_help_is_given() {
    let cluster = Cluster::new(&[]);
    let id = cluster.submit(&["-H", "--wrap", "true"]);
    for line in [
        &["squeue", "--yaml"][..],
        &["squeue", "-R", "resv"],
        &["sacct", "-l"],
        &["sacct", "--yaml"],
        &["sinfo", "--yaml"],
        &["scancel", "-R", "resv"],
        &["scancel", "-i", &id],
    ] {
        let (code, out, err) = cluster.run(line);
        assert_eq!((code, out.as_str()), (1, ""), "{line:?}");
        assert!(err.contains("is not served by the mock"), "{line:?}: {err}");
    }
    assert_eq!(cluster.out(&["squeue", "-h", "-o", "%i"]), format!("{id}\n"));
    for name in ["sbatch", "squeue", "sacct", "scancel", "sinfo"] {
        let help = cluster.out(&[name, "--help"]);
        assert!(
            help.starts_with(&format!("Usage: {name} [OPTIONS...]")) && help.contains("--version"),
            "{help}"
        );
    }
}

#[test]
fn a_pending_array_is_one_row_and_started_elements_have_ids_of_their_own() {
    let cluster = Cluster::new(&[]);
    let id = cluster.submit(&["-H", "-a", "1,3,5-9,20,25,30%2", "-o", "/dev/null", "--wrap", "true"]);
    let row = cluster.out(&["squeue", "-h", "-o", "%i|%A|%F|%K|%T|%r"]);
    assert_eq!(row, format!("{id}_[1,3,5-9,20,25,30%2]|{id}|{id}|1,3,5-9,20,25,30%2|PENDING|JobHeldUser\n"));
    assert_eq!(cluster.out(&["squeue", "-h", "-r"]).lines().count(), 10);
    let header = "             JOBID PARTITION     NAME     USER ST       TIME  NODES NODELIST(REASON)\n";
    let table = cluster.out(&["squeue"]);
    assert!(table.starts_with(header), "{table}");
    assert!(table.contains("\n1_[1,3,5-9,20,25,3     debug     wrap "), "{table}");
    cluster.out(&["scontrol", "release", &id]);
    cluster.wait(&id);
    let raw = cluster.out(&["sacct", "-n", "-P", "-X", "-j", &id, "--format=JobID,JobIDRaw"]);
    // The last one to start keeps the id of the array.
    assert!(raw.contains("1_1|2\n") && raw.contains("1_30|1\n"), "{raw}");
}

#[test]
fn a_cancelled_job_gets_one_signal_and_is_cancelled_whatever_it_ends_with() {
    let cluster = Cluster::new(&[]);
    let started = cluster.fifo("started");
    let script = "trap 'echo TERM >> signals; exit 0' TERM; echo up > started; while :; do sleep 0.01; done";
    let id = cluster.submit(&["-o", "/dev/null", "--wrap", script]);
    assert_eq!(std::fs::read_to_string(started).unwrap(), "up\n");
    assert_eq!(cluster.out(&["scancel", &id]), "");
    cluster.wait(&id);
    assert_eq!(std::fs::read_to_string(cluster.file("signals")).unwrap(), "TERM\n");
    let row = cluster.accounting(&id);
    assert!(row.starts_with("CANCELLED by ") && row.ends_with("|0:0"), "{row}");
}

#[test]
fn what_ignores_term_is_killed_and_all_that_the_job_started_with_it() {
    let cluster = Cluster::new(&["timing.kill_wait=0.2"]);
    let started = cluster.fifo("started");
    let script = "trap '' TERM; setsid sleep 1000 & echo $! > started; while :; do sleep 0.01; done";
    let id = cluster.submit(&["-o", "/dev/null", "--wrap", script]);
    let pid = std::fs::read_to_string(started).unwrap();
    cluster.out(&["scancel", &id]);
    cluster.wait(&id);
    assert!(!PathBuf::from("/proc").join(pid.trim()).exists());
}

#[test]
fn the_time_limit_is_a_timeout() {
    let cluster = Cluster::new(&["timing.limit_scale=0.005", "timing.kill_wait=0.2"]);
    let (_, out, _) = cluster.run(&[
        "sbatch",
        "--parsable",
        "--wait",
        "-t",
        "1",
        "-o",
        "/dev/null",
        "--wrap",
        "sleep 1000",
    ]);
    let rows = cluster.out(&["sacct", "-n", "-P", "-j", out.trim(), "--format=JobID,State,ExitCode"]);
    assert_eq!(rows, "1|TIMEOUT|0:0\n1.batch|CANCELLED|0:15\n");
}

#[test]
fn dependencies_are_kept_as_slurm_keeps_them() {
    let cluster = Cluster::new(&[]);
    let bad = cluster.submit(&["-o", "/dev/null", "--wrap", "exit 1"]);
    cluster.wait(&bad);
    let never = cluster.submit(&["-d", &format!("afterok:{bad}"), "--wrap", "true"]);
    let ended =
        cluster.submit(&["-d", &format!("afterok:{bad}"), "--kill-on-invalid-dep=yes", "--wrap", "true"]);
    let (rc, ..) = cluster.run(&[
        "sbatch",
        "--wait",
        "-o",
        "/dev/null",
        "-d",
        &format!("afternotok:{bad}"),
        "--wrap",
        "true",
    ]);
    assert_eq!(rc, 0);
    cluster.wait(&ended);
    let rows =
        cluster.out(&["squeue", "-h", "-t", "all", "-j", &format!("{never},{ended}"), "-o", "%i|%T|%r"]);
    assert!(rows.contains(&format!("{never}|PENDING|DependencyNeverSatisfied\n")), "{rows}");
    assert!(rows.contains(&format!("{ended}|CANCELLED|DependencyNeverSatisfied\n")), "{rows}");
    // One that nobody knows is dropped: the job runs.
    let (rc, ..) =
        cluster.run(&["sbatch", "--wait", "-o", "/dev/null", "-d", "afterok:999999", "--wrap", "exit 4"]);
    assert_eq!(rc, 4);
}

#[test]
fn refusals_are_in_slurms_words() {
    let cluster = Cluster::new(&[]);
    let failed = "sbatch: error: Batch job submission failed: ";
    for (args, code, text) in [
        (&["-a", "5-1"][..], 1, format!("{failed}Invalid job array specification\n")),
        (&["-a", "0-5000"], 1, format!("{failed}Invalid job array specification\n")),
        (
            &["--bogus"],
            255,
            String::from(
                "sbatch: unrecognized option '--bogus'\nTry \"sbatch --help\" for more information\n",
            ),
        ),
        (&["-c", "99"], 1, format!("{failed}More processors requested than permitted\n")),
        (&["-d", "afterwhat:1"], 1, format!("{failed}Job dependency problem\n")),
        (&["--mem=lots"], 255, String::from("sbatch: error: Invalid --mem specification\n")),
        (&["-p", "debug", "--mem=7000"], 1, format!("{failed}Memory required by task is not available\n")),
        (&["-w", "node99"], 1, format!("{failed}Invalid node name specified\n")),
        (
            &["-p", "short", "-t", "1-0"],
            1,
            format!("{failed}Requested time limit is invalid (missing or exceeds some limit)\n"),
        ),
        (&["-t", "foo"], 255, String::from("sbatch: error: Invalid --time specification\n")),
    ] {
        let (rc, out, err) = cluster.run(&[&["sbatch"], args, &["--wrap", "true"]].concat());
        assert_eq!((rc, out.as_str(), err), (code, "", text));
    }
    let (rc, _, err) = cluster.run(&["squeue", "-j", "999999"]);
    assert_eq!((rc, err.as_str()), (1, "slurm_load_jobs error: Invalid job id specified\n"));
    assert_eq!(cluster.run(&["scancel", "999999"]), (0, String::new(), String::new()));
    // Without the limits enforced the job waits for ever, and says why.
    cluster.set(&["limits.enforce_queue_limits=false"]);
    cluster.submit(&["-p", "short", "-t", "1-0", "--wrap", "true"]);
    assert_eq!(cluster.out(&["squeue", "-h", "-o", "%T|%R"]), "PENDING|(PartitionTimeLimit)\n");
}

#[test]
fn a_client_can_die_after_its_submission_was_accepted() {
    let cluster = Cluster::new(&[r#"commands.sbatch={"die":"after","times":1}"#]);
    let (code, out, _) = cluster.run(&["sbatch", "-H", "--comment", "tag", "--wrap", "true"]);
    assert_eq!((code, out.as_str()), (-1, ""));
    assert_eq!(cluster.out(&["squeue", "-h", "-o", "%i %k"]), "1 tag\n");
    assert_eq!(cluster.submit(&["-H", "--wrap", "true"]), "2");
    let log = std::fs::read_to_string(cluster.file("state/calls.log")).unwrap();
    assert_eq!(log.matches("\"sbatch\"").count(), 2, "{log}");
}

#[test]
fn a_dead_controller_and_a_dead_accounting_say_so() {
    let cluster = Cluster::new(&["timing.connect_timeout=0.1"]);
    let id = cluster.submit(&["-H", "--wrap", "true"]);
    cluster.set(&["faults.controller=down"]);
    let (rc, _, err) = cluster.run(&["squeue"]);
    assert_eq!(
        (rc, err.as_str()),
        (1, "slurm_load_jobs error: Unable to contact slurm controller (connect failure)\n")
    );
    assert_eq!(cluster.run(&["scancel", &id]).0, 8);
    assert_eq!(cluster.run(&["sacct"]).0, 0);
    cluster.set(&["faults.controller=", "faults.accounting=down"]);
    assert_eq!(cluster.run(&["squeue"]).0, 0);
    let (rc, _, err) = cluster.run(&["sacct"]);
    assert!(
        rc == 1 && err.ends_with("sacct: error: Problem talking to the database: Connection refused\n"),
        "{err}"
    );
}

#[test]
fn a_killed_daemon_comes_back_with_its_jobs() {
    let cluster = Cluster::new(&[]);
    let (started, go) = (cluster.fifo("started"), cluster.fifo("go"));
    let id = cluster.submit(&["-o", "/dev/null", "--wrap", "echo up > started; read line < go; exit 5"]);
    let held = cluster.submit(&["-H", "--wrap", "true"]);
    assert_eq!(std::fs::read_to_string(started).unwrap(), "up\n");
    let pid = std::fs::read_to_string(cluster.file("state/pid")).unwrap();
    assert!(Command::new("kill").args(["-9", pid.trim()]).status().unwrap().success());
    // As long as it is not gone it may take a call that it does not answer any more.
    let stat = format!("/proc/{}/stat", pid.trim());
    while std::fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z")) {}
    std::fs::write(go, "on\n").unwrap();
    cluster.wait(&id);
    assert_eq!(cluster.accounting(&id), "FAILED|5:0");
    assert_eq!(cluster.out(&["squeue", "-h", "-o", "%i %r"]), format!("{held} JobHeldUser\n"));
}

#[test]
fn a_job_over_its_memory_is_killed_in_slurms_way() {
    let cluster = Cluster::new(&["limits.enforce_memory=true"]);
    // The shell holds the text: 64 MiB of it.
    let script = "x=$(head -c 67108864 /dev/zero | tr '\\0' x); while :; do sleep 0.05; done";
    let (_, out, _) =
        cluster.run(&["sbatch", "--parsable", "--wait", "--mem=20", "-o", "/dev/null", "--wrap", script]);
    let rows = cluster.out(&["sacct", "-n", "-P", "-j", out.trim(), "--format=JobID,State,ExitCode"]);
    assert_eq!(rows, "1|FAILED|0:9\n1.batch|CANCELLED by 0|0:9\n");
}

#[test]
fn a_hung_controller_carries_out_what_it_was_sent_by_a_client_that_is_gone() {
    let cluster = Cluster::new(&["timing.message_timeout=0.1", "faults.controller=hung"]);
    let (rc, out, err) = cluster.run(&["sbatch", "-H", "--wrap", "true"]);
    assert_eq!((rc, out.as_str()), (1, ""));
    assert!(err.ends_with("Socket timed out on send/recv operation\n"), "{err}");
    cluster.set(&["faults.controller="]);
    // The submission was waiting for this; the next one comes after it.
    while cluster.out(&["squeue", "-h"]).is_empty() {}
    assert_eq!(cluster.submit(&["-H", "--wrap", "true"]), "2");
}
