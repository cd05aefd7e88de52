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

/// Without credentials no command does anything, and says why.
#[test]
fn without_credentials_every_command_fails() {
    for (scheduler, words, commands) in [
        ("pbs", "auth request", &["qstat", "qsub", "qdel", "pbsnodes"][..]),
        ("torque", "could not connect to trqauthd", &["qstat", "qsub", "qdel", "pbsnodes"]),
        ("sge", "access denied", &["qstat", "qsub", "qdel", "qhost"]),
    ] {
        let cluster = cluster::Cluster::new(scheduler, &["faults.credentials=true"]);
        for name in commands {
            let (code, out, err) = cluster.feed(&[name], "true\n");
            assert!(
                code != 0 && out.is_empty() && err.contains(words),
                "{scheduler} {name}: {code} {out}{err}"
            );
        }
        cluster.set(&["faults.credentials=null"]);
        let list = cluster.out(&["qstat"]);
        assert!(list.is_empty(), "{scheduler}: {list}");
    }
}

/// Nobody sits at a mock's job.
#[test]
fn interactive_jobs_are_refused() {
    for scheduler in ["pbs", "torque"] {
        let cluster = cluster::Cluster::new(scheduler, &[]);
        let (code, out, err) = cluster.run(&["qsub", "-I", "-l", "walltime=60"]);
        assert!(code == 2 && out.is_empty() && err.contains("-I is not served"), "{scheduler}: {code} {err}");
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
