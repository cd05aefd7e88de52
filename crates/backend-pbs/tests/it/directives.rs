//! The `#PBS` lines.

use cluster_backend_pbs::{OpenPbs, Torque};
use cluster_core::dialect::{Dialect, Directives, ScriptRequest};
use cluster_core::{MemSize, Resources, Walltime};
use proptest::prelude::*;

fn directives(dialect: &dyn Dialect, resources: &Resources, priority: i32, extra: &[&str]) -> Directives {
    let extra: Vec<String> = extra.iter().map(|&line| line.to_owned()).collect();
    dialect.directives(&ScriptRequest { resources, priority, extra: &extra })
}

fn lines(dialect: &dyn Dialect, resources: &Resources) -> Vec<String> {
    let Directives { lines, unsaid } = directives(dialect, resources, 0, &[]);
    assert!(unsaid.is_empty(), "{unsaid:?}");
    lines
}

#[test]
fn a_plain_job_asks_for_a_core() {
    let one = Resources::default();
    assert_eq!(lines(&OpenPbs, &one), ["#PBS -S /bin/sh", "#PBS -l select=1:ncpus=1:mpiprocs=1"]);
    assert_eq!(lines(&Torque, &one), ["#PBS -S /bin/sh", "#PBS -l nodes=1:ppn=1"]);
}

#[test]
fn all_that_a_job_can_ask_for_is_said() {
    let all = Resources {
        nodes: 2,
        tasks: 8,
        cores: 3,
        mem: Some(MemSize::from_mb(4096)),
        time: Some(Walltime::from_secs(90_061)),
        gpus: 4,
        partition: Some("long".into()),
        account: Some("acct".into()),
    };
    assert_eq!(
        lines(&OpenPbs, &all),
        [
            "#PBS -S /bin/sh",
            "#PBS -l select=2:ncpus=12:mpiprocs=4:mem=2048mb:ngpus=2",
            "#PBS -l place=scatter",
            "#PBS -l walltime=25:01:01",
            "#PBS -q long",
            "#PBS -A acct",
        ]
    );
    assert_eq!(
        lines(&Torque, &all),
        [
            "#PBS -S /bin/sh",
            "#PBS -l nodes=2:ppn=12:gpus=2",
            "#PBS -l mem=4096mb",
            "#PBS -l walltime=25:01:01",
            "#PBS -q long",
            "#PBS -A acct",
        ]
    );
}

#[test]
fn what_does_not_divide_goes_to_the_first_nodes() {
    let odd = Resources {
        nodes: 3,
        tasks: 7,
        cores: 2,
        mem: Some(MemSize::from_mb(1000)),
        gpus: 2,
        ..Resources::default()
    };
    assert_eq!(
        lines(&OpenPbs, &odd)[1],
        "#PBS -l select=1:ncpus=6:mpiprocs=3:mem=429mb:ngpus=1+1:ncpus=4:mpiprocs=2:mem=286mb:ngpus=1+1:ncpus=4:mpiprocs=2:mem=286mb"
    );
    assert_eq!(lines(&Torque, &odd)[1], "#PBS -l nodes=1:ppn=6:gpus=1+1:ppn=4:gpus=1+1:ppn=4");
}

#[test]
fn a_request_of_the_users_own_takes_the_place_of_ours() {
    let two = Resources { nodes: 2, tasks: 2, ..Resources::default() };
    for dialect in [&OpenPbs as &dyn Dialect, &Torque] {
        let said = directives(dialect, &two, 0, &["-l nodes=1:ppn=2", "-m n"]);
        assert_eq!(said.lines, ["#PBS -S /bin/sh", "#PBS -l nodes=1:ppn=2", "#PBS -m n"]);
    }
}

#[test]
fn what_cannot_be_said_is_named() {
    let odd = Resources {
        time: Some(Walltime::UNLIMITED),
        account: Some("two words".into()),
        ..Resources::default()
    };
    let said = directives(&OpenPbs, &odd, 5000, &["-l x=1\n#PBS -q other", ""]);
    assert_eq!(said.lines, ["#PBS -S /bin/sh", "#PBS -l select=1:ncpus=1:mpiprocs=1", "#PBS -p 1023"]);
    assert_eq!(said.unsaid.len(), 5, "{:?}", said.unsaid);
    let low = directives(&Torque, &Resources::default(), -2000, &[]);
    assert!(low.lines.contains(&"#PBS -p -1023".to_owned()));
}

proptest! {
    #[test]
    fn nothing_is_lost_over_the_nodes(nodes in 1u32..50, tasks in 1u32..500, gpus in 0u32..60) {
        let resources = Resources { nodes, tasks, gpus, ..Resources::default() };
        let line = lines(&OpenPbs, &resources)[1].clone();
        let (mut all_nodes, mut all_tasks, mut all_gpus) = (0, 0, 0);
        for chunk in line.strip_prefix("#PBS -l select=").unwrap().split('+') {
            let mut words = chunk.split(':');
            let count: u32 = words.next().unwrap().parse().unwrap();
            let value = |name: &str| {
                chunk.split(':').find_map(|word| word.strip_prefix(name)).map_or(0, |n| n.parse::<u32>().unwrap())
            };
            all_nodes += count;
            all_tasks += count * value("mpiprocs=");
            all_gpus += count * value("ngpus=");
        }
        prop_assert_eq!((all_nodes, all_tasks, all_gpus), (nodes, tasks, gpus));
    }
}
