use super::cluster::Cluster;

fn cluster() -> Cluster {
    Cluster::new("pbs", &["timing.kill_wait=0.3"])
}

/// Waits for the end of a job by one that depends on it.
fn wait(cluster: &Cluster, id: &str) {
    cluster.run(&[
        "qsub",
        "-o",
        "/dev/null",
        "-j",
        "oe",
        "-W",
        &format!("depend=afterany:{id},block=true"),
        "--",
        "/bin/true",
    ]);
}

fn attribute(cluster: &Cluster, id: &str, name: &str) -> Option<String> {
    let text = cluster.out(&["qstat", "-xfw", id]);
    let line = text.lines().find_map(|line| line.trim_start().strip_prefix(&format!("{name} = ")));
    line.map(str::to_owned)
}

#[test]
fn a_job_has_its_code_its_output_and_its_environment() {
    let cluster = cluster();
    let id = cluster
        .submit(&["-N", "one"], "echo $PBS_JOBID $PBS_O_QUEUE; cat $PBS_NODEFILE; echo bad >&2; exit 3\n");
    assert_eq!(id, "1.pbshost");
    wait(&cluster, &id);
    assert_eq!(attribute(&cluster, "1", "Exit_status").as_deref(), Some("3"));
    assert_eq!(attribute(&cluster, "1", "substate").as_deref(), Some("93"));
    assert_eq!(cluster.home("one.o1"), "1.pbshost workq\npbshost\n");
    assert_eq!(cluster.home("one.e1"), "bad\n");
    let (code, out, err) = cluster.run(&["qstat", "1"]);
    assert_eq!((code, out.as_str()), (35, ""));
    assert_eq!(err, "qstat: 1.pbshost Job has finished, use -x or -H to obtain historical job information\n");
}

#[test]
fn what_no_node_has_is_named() {
    let cluster = cluster();
    for (asked, wanted) in [
        ("select=1:ncpus=999", "ncpus (R: 999 A: 16 T: 16)"),
        ("select=1:mem=500gb", "mem (R: 524288000kb A: 67108864kb T: 67108864kb)"),
    ] {
        let id = cluster.submit(&["-l", asked], "true\n");
        let comment = attribute(&cluster, &id, "comment");
        let wanted = format!("Can Never Run: Insufficient amount of resource: {wanted}");
        assert_eq!(comment.as_deref(), Some(wanted.as_str()), "{asked}");
    }
}

#[test]
fn an_array_ends_as_its_last_subjob_and_lets_its_dependents_through() {
    let cluster = cluster();
    let script = "[ $PBS_ARRAY_INDEX = 3 ] && sleep 0.3; exit $((PBS_ARRAY_INDEX == 2 ? 4 : 0))\n";
    let id = cluster.submit(&["-J", "1-3", "-N", "arr"], script);
    assert_eq!(id, "1[].pbshost");
    let dependent = cluster.submit(&["-N", "dep", "-W", "depend=afterok:1[]"], "true\n");
    wait(&cluster, &dependent);
    assert_eq!(attribute(&cluster, "1[]", "Exit_status").as_deref(), Some("0"));
    assert_eq!(attribute(&cluster, "1[]", "substate").as_deref(), Some("93"));
    assert_eq!(attribute(&cluster, "1[2]", "Exit_status").as_deref(), Some("4"));
    assert_eq!(attribute(&cluster, &dependent, "Exit_status").as_deref(), Some("0"), "it was let through");
    assert_eq!(
        cluster.run(&["qstat", "1"]),
        (153, String::new(), "qstat: Unknown Job Id 1.pbshost\n".into())
    );
}

#[test]
fn what_depends_on_nothing_known_or_on_a_failure_is_removed_without_a_word() {
    let cluster = cluster();
    let unknown = cluster.submit(&["-W", "depend=afterok:999999"], "true\n");
    assert_eq!(attribute(&cluster, &unknown, "job_state").as_deref(), Some("F"));
    assert_eq!(attribute(&cluster, &unknown, "Exit_status"), None);
    assert_eq!(attribute(&cluster, &unknown, "substate").as_deref(), Some("92"));
    assert_eq!(attribute(&cluster, &unknown, "Hold_Types").as_deref(), Some("s"));
    let held = cluster.submit(&["-h"], "true\n");
    let child = cluster.submit(&["-W", &format!("depend=afterok:{held}")], "true\n");
    assert_eq!(attribute(&cluster, &child, "job_state").as_deref(), Some("H"));
    cluster.out(&["qdel", &held]);
    assert_eq!(attribute(&cluster, &child, "job_state").as_deref(), Some("F"));
}

#[test]
fn a_deleted_job_gets_the_signal_and_271_or_143() {
    let cluster = cluster();
    let fifo = cluster.fifo("started");
    let script =
        format!("trap 'echo got; exit 0' TERM; echo up >{}; while :; do sleep 0.05; done\n", fifo.display());
    let trapping = cluster.submit(&["-N", "trap"], &script);
    assert_eq!(std::fs::read_to_string(&fifo).unwrap(), "up\n");
    cluster.out(&["qdel", &trapping]);
    wait(&cluster, &trapping);
    assert_eq!(attribute(&cluster, &trapping, "Exit_status").as_deref(), Some("271"));
    assert_eq!(cluster.home("trap.o1"), "got\n");
    let plain = cluster.submit(&["-N", "plain"], &format!("echo up >{}; sleep 60\n", fifo.display()));
    std::fs::read_to_string(&fifo).unwrap();
    cluster.out(&["qdel", &plain]);
    wait(&cluster, &plain);
    assert_eq!(attribute(&cluster, &plain, "Exit_status").as_deref(), Some("143"));
    assert_eq!(
        cluster.run(&["qdel", &plain]),
        (35, String::new(), format!("qdel: Job has finished {plain}\n"))
    );
}

#[test]
fn the_time_limit_gives_minus_29() {
    let cluster = cluster();
    cluster.set(&["timing.limit_scale=0.1"]);
    let id = cluster.submit(&["-l", "walltime=2", "-N", "long"], "sleep 60\n");
    wait(&cluster, &id);
    assert_eq!(attribute(&cluster, &id, "Exit_status").as_deref(), Some("-29"));
    assert!(attribute(&cluster, &id, "comment").unwrap().ends_with("and exceeded resource walltime"));
}

#[test]
fn a_known_and_an_unknown_id_kill_the_server_and_its_numbers_jump() {
    let cluster = cluster();
    let id = cluster.submit(&["-h"], "true\n");
    assert_eq!(cluster.run(&["qdel", "999", "888"]).0, 153);
    assert_eq!(cluster.run(&["qdel", "999", &id]).0, 153, "unknown before known is survived");
    let id = cluster.submit(&["-h"], "true\n");
    assert_eq!(cluster.run(&["qdel", &id, "999"]), (0, String::new(), String::new()));
    let down = "Connection refused\nqstat: cannot connect to server pbshost (errno=15010)\n";
    assert_eq!(cluster.run(&["qstat"]), (255, String::new(), down.into()));
    let (code, out, _) = cluster.run(&["qstat", "-f", "-F", "json"]);
    assert_eq!(code, 255);
    assert!(out.contains("\"pbs_server\":\t\"pbshost\"\n}"), "{out}");
    assert_eq!(cluster.run(&["qsub", "/dev/null"]).0, 162);
    cluster.set(&["faults.controller="]);
    assert_eq!(cluster.submit(&["-h"], "true\n"), "1000.pbshost");
    assert_eq!(attribute(&cluster, &id, "job_state").as_deref(), Some("H"), "the known one was not deleted");
}

#[test]
fn variables_are_mangled_by_v_and_kept_by_script() {
    let cluster = cluster();
    let id = cluster.submit(&["-N", "env", "-v", "ODD,B=\"x,y\""], "printf '%s|' \"$ODD\" \"$B\"\n");
    wait(&cluster, &id);
    assert_eq!(cluster.home("env.o1"), "a\\\\b|x,y|");
    let (code, _, err) = cluster.run(&["qsub", "-v", "D=it's", "/dev/null"]);
    assert_eq!((code, err.as_str()), (1, "qsub: cannot send environment with the job\n"));
}
