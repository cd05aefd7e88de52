//! How the dialects are used from end to end.

use std::path::Path;

use cluster_backend_pbs::{OpenPbs, Torque};
use cluster_core::dialect::{Dialect, Reading, SubmitRequest, Whose};
use cluster_core::host::Output;
use cluster_core::{ExitStatus, Resources, Tag};

fn output(stdout: &str) -> Output {
    Output { status: ExitStatus::Exit(0), stdout: stdout.into(), stderr: vec![], truncated: false }
}

#[test]
fn submit_and_query_lines() {
    let tag = Tag::from_bits(0);
    let resources = Resources::default();
    let request = SubmitRequest {
        script: Path::new("/r/job 0.sh"),
        name: "x",
        tag: &tag,
        log: Path::new("/r/0.sched"),
        array: Some(10),
        throttle: Some(3),
        dependencies: &[],
        hold: true,
        resources: &resources,
    };
    assert_eq!(
        OpenPbs.submit(&request).unwrap().command_line(),
        "qsub -f -N x.caaaaaaaaaa -j oe -o '/r/0.sched.^array_index^' -J 0-9%3 -h -v 'CLUSTER_TAG=caaaaaaaaaa' '/r/job 0.sh'"
    );
    assert_eq!(
        Torque.submit(&request).unwrap().command_line(),
        "qsub -N x.caaaaaaaaaa -j oe -o /r/0.sched -t 0-9%3 -h -v 'CLUSTER_TAG=caaaaaaaaaa' '/r/job 0.sh'"
    );
    let query = OpenPbs.query(Whose::All);
    let nothing = output("");
    let Reading::Jobs(jobs) = OpenPbs.read(&query.argv, &nothing).unwrap() else { panic!("no jobs") };
    assert!(jobs.rows.is_empty() && jobs.errors.is_empty());
}
