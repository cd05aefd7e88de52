//! The mock OpenPBS, Torque and Grid Engine, used as a client would.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test that cannot go on says where; it starts commands"
)]

#[path = "qsub/cluster.rs"]
mod cluster;
#[path = "qsub/pbs.rs"]
mod pbs;
#[path = "qsub/sge.rs"]
mod sge;
#[path = "qsub/torque.rs"]
mod torque;

/// A command is of the cluster in whose directory it was found, whatever the environment says.
#[test]
fn two_mocks_side_by_side_are_two_clusters() {
    let clusters = ["slurm", "pbs"].map(|scheduler| cluster::Cluster::new(scheduler, &[]));
    let paths = clusters.each_ref().map(|cluster| cluster.file("state").display().to_string());
    let path = format!("{}/bin:{}/bin:/usr/bin:/bin", paths[0], paths[1]);
    for (state, name) in [(&paths[0], "qstat"), (&paths[1], "squeue")] {
        let mut command = std::process::Command::new("sh");
        command.args(["-c", &format!("{name} --version")]).env("PATH", &path).env("CLUSTER_MOCK_DIR", state);
        let out = command.output().unwrap();
        assert!(out.status.success(), "{name}: {out:?}");
    }
}

/// While a server hangs commands block; what a caller gave up has not happened.
#[test]
fn a_hung_server_answers_when_it_is_well_again() {
    for (scheduler, id) in [("pbs", "2.pbshost"), ("torque", "2.vm"), ("sge", "2")] {
        let cluster = cluster::Cluster::new(scheduler, &[]);
        let script = cluster.file("home/script.sh").display().to_string();
        std::fs::write(&script, "true\n").unwrap();
        cluster.out(&["qsub", "-h", &script]);
        cluster.set(&["faults.controller=hung"]);
        let mut given_up = cluster.spawn(&["qsub", "-h", &script]);
        let asking = cluster.spawn(&["qstat"]);
        given_up.kill().unwrap();
        given_up.wait().unwrap();
        cluster.set(&["faults.controller="]);
        let answer = asking.wait_with_output().unwrap();
        assert!(answer.status.success() && !answer.stdout.is_empty(), "{scheduler}: {answer:?}");
        let list = cluster.out(&["qstat"]);
        assert!(
            !list.lines().any(|line| line.trim_start().starts_with(&format!("{id} "))),
            "{scheduler}: {list}"
        );
    }
}
