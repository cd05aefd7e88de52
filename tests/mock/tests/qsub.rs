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
