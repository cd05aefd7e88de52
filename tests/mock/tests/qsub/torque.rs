use super::cluster::Cluster;

fn cluster() -> Cluster {
    Cluster::new("torque", &["timing.kill_wait=0.3"])
}

fn wait(cluster: &Cluster, id: &str) {
    cluster.feed(
        &["qsub", "-W", &format!("depend=afterany:{id},block=true"), "-o", "/dev/null", "-j", "oe"],
        "true\n",
    );
}

fn attribute(cluster: &Cluster, id: &str, name: &str) -> Option<String> {
    let text = cluster.out(&["qstat", "-f", "-1", id]);
    let line = text.lines().find_map(|line| line.trim_start().strip_prefix(&format!("{name} = ")));
    line.map(str::to_owned)
}

#[test]
fn a_job_that_is_done_is_listed_complete_with_its_code() {
    let cluster = cluster();
    let id =
        cluster.submit(&["-N", "one", "-l", "nodes=1:ppn=2"], "echo $PBS_JOBID; cat $PBS_NODEFILE; exit 7\n");
    wait(&cluster, &id);
    assert_eq!(attribute(&cluster, &id, "job_state").as_deref(), Some("C"));
    assert_eq!(attribute(&cluster, &id, "exit_status").as_deref(), Some("7"));
    assert_eq!(cluster.home("one.o1"), "1.vm\nvm\nvm\n");
    let xml = cluster.out(&["qstat", "-x", &id]);
    assert!(
        xml.starts_with("<?xml version=\"1.0\"?>\n<Data><Job><Job_Id>1.vm</Job_Id><Job_Name>one</Job_Name>"),
        "{xml}"
    );
    assert!(xml.contains("<exit_status>7</exit_status>"), "{xml}");
}

#[test]
fn what_waits_for_a_job_deleted_while_queued_runs() {
    let cluster = cluster();
    let held = cluster.submit(&["-h"], "true\n");
    let good = cluster.submit(&["-W", &format!("depend=afterok:{held}")], "true\n");
    let bad = cluster.submit(&["-W", &format!("depend=afternotok:{held}")], "true\n");
    cluster.out(&["qdel", &held]);
    wait(&cluster, &good);
    assert_eq!(attribute(&cluster, &good, "exit_status").as_deref(), Some("0"));
    assert_eq!(attribute(&cluster, &bad, "exit_status").as_deref(), Some("271"));
    let comment = format!("Job deleted as result of dependency on job {held}");
    assert_eq!(attribute(&cluster, &bad, "comment"), Some(comment));
    assert_eq!(attribute(&cluster, &held, "exit_status"), None);
    let refusal = cluster.run(&["qsub", "-W", "depend=afterok:999999", "/dev/null"]);
    assert_eq!(refusal, (208, String::new(), "qsub: submit error (Invalid Job Dependency)\n".into()));
}

#[test]
fn arrays_have_names_with_their_index_and_a_backward_range_kills_the_server() {
    let cluster = cluster();
    let id = cluster.submit(&["-t", "1,3-4", "-N", "arr"], "exit $PBS_ARRAYID\n");
    assert_eq!(id, "1[].vm");
    for index in [1, 3, 4] {
        wait(&cluster, &format!("1[{index}]"));
    }
    assert_eq!(attribute(&cluster, "1[3]", "Job_Name").as_deref(), Some("arr-3"));
    assert_eq!(attribute(&cluster, "1[3]", "exit_status").as_deref(), Some("3"));
    assert!(cluster.file("home/arr.o1-4").exists());
    assert_eq!(cluster.run(&["qsub", "-t", "0-9:2", "/dev/null"]).0, 235);
    let (code, _, err) = cluster.run(&["qsub", "-t", "5-1", "/dev/null"]);
    assert_eq!((code, err.as_str()), (67, "qsub: submit error (End of File)\n"));
    assert_eq!(cluster.run(&["qstat"]).0, 111);
    cluster.set(&["faults.controller="]);
    assert_eq!(cluster.run(&["qstat"]).0, 0);
}

#[test]
fn the_time_limit_looks_like_a_deletion_but_for_a_line_in_stderr() {
    let cluster = cluster();
    cluster.set(&["timing.limit_scale=0.1"]);
    let id = cluster.submit(&["-l", "walltime=2", "-N", "long"], "sleep 60\n");
    wait(&cluster, &id);
    assert_eq!(attribute(&cluster, &id, "exit_status").as_deref(), Some("271"));
    assert!(cluster.home("long.e1").contains("PBS: job killed: walltime"));
}

#[test]
fn nodes_are_listed_by_their_state() {
    let cluster = cluster();
    assert_eq!(cluster.out(&["pbsnodes", "-l", "free"]), "vm                   free\n");
    assert_eq!(cluster.out(&["pbsnodes", "-l", "up"]), "vm                   free\n");
    assert_eq!(cluster.out(&["pbsnodes", "-l", "offline"]), "");
    assert_eq!(cluster.out(&["pbsnodes", "-l"]), "");
    cluster.set(&["cluster.nodes.0.state=drain"]);
    assert_eq!(cluster.out(&["pbsnodes", "-l", "offline"]), "vm                   offline\n");
}

#[test]
fn elements_of_an_array_are_held_and_deleted_by_t() {
    let cluster = cluster();
    let id = cluster.submit(&["-h", "-t", "0-4"], "true\n");
    cluster.out(&["qdel", "-t", "1-2,4", &id]);
    let list = cluster.out(&["qstat", "-t", &id]);
    assert_eq!(list.matches(" C ").count(), 3, "{list}");
    cluster.out(&["qrls", "-t", "3", &id]);
    wait(&cluster, "1[3]");
    assert_eq!(attribute(&cluster, "1[0]", "job_state").as_deref(), Some("H"));
}
