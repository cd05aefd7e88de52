//! The command lines that are sent: submission, dependencies, control, questions.

use std::path::{Path, PathBuf};

use cluster_backend_pbs::{OpenPbs, Torque};
use cluster_core::dialect::{
    Control, ControlTarget, Dialect, DialectError, RemoteDependency, SubmitRequest, Whose,
};
use cluster_core::host::Invocation;
use cluster_core::{DependencyKind, RemoteId, Resources, Tag, Timestamp};

fn submit(
    dialect: &dyn Dialect,
    change: impl FnOnce(&mut SubmitRequest<'_>),
) -> Result<String, DialectError> {
    let tag = Tag::from_bits(0);
    let resources = Resources::default();
    let mut request = SubmitRequest {
        script: Path::new("/r/job 0.sh"),
        name: "x",
        tag: &tag,
        log: Path::new("/r/0.sched"),
        array: None,
        throttle: None,
        dependencies: &[],
        hold: false,
        resources: &resources,
        head: &[],
    };
    change(&mut request);
    dialect.submit(&request).map(|invocation| invocation.command_line())
}

/// The words after `-W`, with these dependencies.
fn depend(dialect: &dyn Dialect, dependencies: Vec<RemoteDependency>) -> Result<String, DialectError> {
    let dependencies: &'static [RemoteDependency] = dependencies.leak();
    let line = submit(dialect, |request| request.dependencies = dependencies)?;
    let (_, after) = line.split_once("-W '").unwrap();
    Ok(after.split_once('\'').unwrap().0.to_owned())
}

fn on(kind: DependencyKind, id: &str, gated: bool) -> RemoteDependency {
    let array = id.contains("[]");
    RemoteDependency { kind, id: RemoteId(id.to_owned()), array, elementwise: false, gated }
}

#[test]
fn one_job_and_an_array_are_submitted() {
    assert_eq!(
        submit(&OpenPbs, |_| ()).unwrap(),
        "qsub -f -N x.caaaaaaaaaa -j oe -o /r/0.sched -v 'CLUSTER_TAG=caaaaaaaaaa' '/r/job 0.sh'"
    );
    let array = |request: &mut SubmitRequest<'_>| {
        (request.array, request.throttle, request.hold) = (Some(10), Some(3), true);
    };
    assert_eq!(
        submit(&OpenPbs, array).unwrap(),
        "qsub -f -N x.caaaaaaaaaa -j oe -o '/r/0.sched.^array_index^' -J 0-9%3 -h -v 'CLUSTER_TAG=caaaaaaaaaa' '/r/job 0.sh'"
    );
    assert_eq!(
        submit(&Torque, array).unwrap(),
        "qsub -N x.caaaaaaaaaa -j oe -o /r/0.sched -t 0-9%3 -h -v 'CLUSTER_TAG=caaaaaaaaaa' '/r/job 0.sh'"
    );
}

#[test]
fn each_element_has_a_log_of_its_own() {
    let log = Path::new("/r/0.sched");
    assert_eq!(OpenPbs.log(log, None), PathBuf::from("/r/0.sched"));
    assert_eq!(OpenPbs.log(log, Some(3)), PathBuf::from("/r/0.sched.3"));
    assert_eq!(Torque.log(log, Some(3)), PathBuf::from("/r/0.sched-3"));
}

#[test]
fn what_would_be_refused_or_would_kill_the_server_is_not_sent() {
    for dialect in [&OpenPbs as &dyn Dialect, &Torque] {
        // An array of one, of none (a falling range), no running element, a host in the log's path.
        for result in [
            submit(dialect, |request| request.array = Some(1)),
            submit(dialect, |request| request.array = Some(0)),
            submit(dialect, |request| (request.array, request.throttle) = (Some(2), Some(0))),
            submit(dialect, |request| request.log = Path::new("r:1/0.sched")),
            depend(dialect, vec![on(DependencyKind::AfterOk, "12.srv,before:3", true)]),
            depend(dialect, vec![on(DependencyKind::AfterOk, "", true)]),
        ] {
            assert!(matches!(result, Err(DialectError::Cannot { .. })), "{result:?}");
        }
    }
}

#[test]
fn a_colon_in_a_path_is_a_host_to_torque() {
    let colon = |request: &mut SubmitRequest<'_>| request.log = Path::new("/r:1/0.sched");
    assert!(submit(&OpenPbs, colon).unwrap().contains("-o /r:1/0.sched"));
    assert!(matches!(submit(&Torque, colon), Err(DialectError::Cannot { .. })));
}

#[test]
fn dependencies_are_grouped_by_kind() {
    use DependencyKind::{After, AfterAny, AfterNotOk, AfterOk};
    let jobs = vec![
        on(AfterOk, "1.srv", true),
        on(AfterAny, "2.srv", true),
        on(AfterOk, "3.srv", false),
        on(AfterNotOk, "4.srv", true),
        on(After, "5.srv", true),
    ];
    for dialect in [&OpenPbs as &dyn Dialect, &Torque] {
        assert_eq!(
            depend(dialect, jobs.clone()).unwrap(),
            "depend=afterok:1.srv:3.srv,afterany:2.srv,afternotok:4.srv,after:5.srv"
        );
    }
}

#[test]
fn an_array_is_waited_for_by_its_end_where_the_gate_checks() {
    use DependencyKind::{AfterNotOk, AfterOk};
    let said =
        |dialect: &dyn Dialect, kind, gated| depend(dialect, vec![on(kind, "7[].srv", gated)]).unwrap();
    assert_eq!(said(&OpenPbs, AfterOk, true), "depend=afterany:7[].srv");
    assert_eq!(said(&OpenPbs, AfterNotOk, true), "depend=afterany:7[].srv");
    assert_eq!(said(&OpenPbs, AfterOk, false), "depend=afterok:7[].srv");
    assert_eq!(said(&Torque, AfterOk, true), "depend=afteranyarray:7[].srv");
    assert_eq!(said(&Torque, AfterOk, false), "depend=afterokarray:7[].srv");
    assert_eq!(said(&Torque, DependencyKind::After, true), "depend=afterstartarray:7[].srv");
}

#[test]
fn elements_are_waited_for_through_their_array() {
    use DependencyKind::{After, AfterOk};
    let elements = vec![on(AfterOk, "7[3].srv", true), on(AfterOk, "7[5].srv", true)];
    assert_eq!(depend(&OpenPbs, elements.clone()).unwrap(), "depend=afterany:7[].srv");
    assert_eq!(depend(&Torque, elements).unwrap(), "depend=afterok:7[3].srv:7[5].srv");
    assert!(depend(&OpenPbs, vec![on(AfterOk, "7[3].srv", false)]).is_err());
    assert!(depend(&OpenPbs, vec![on(After, "7[3].srv", true)]).is_err());

    let pairs = |gated| vec![RemoteDependency { elementwise: true, ..on(AfterOk, "7[].srv", gated) }];
    assert_eq!(depend(&OpenPbs, pairs(true)).unwrap(), "depend=afterany:7[].srv");
    assert_eq!(depend(&Torque, pairs(true)).unwrap(), "depend=afteranyarray:7[].srv");
    assert!(depend(&OpenPbs, pairs(false)).is_err());
    assert!(depend(&Torque, pairs(false)).is_err());
    assert!(
        !OpenPbs.capabilities().elementwise_dependencies && !Torque.capabilities().elementwise_dependencies
    );
}

fn lines(calls: Vec<Invocation>) -> Vec<String> {
    calls.iter().map(Invocation::command_line).collect()
}

fn target(id: &str, positions: Option<&str>, seen: bool) -> ControlTarget {
    let positions = positions.map(|positions| positions.parse().unwrap());
    ControlTarget { id: RemoteId(id.to_owned()), positions, seen }
}

#[test]
fn unseen_jobs_are_cancelled_one_by_one() {
    let targets = [
        target("1.srv", None, true),
        target("2.srv", None, false),
        target("3[].srv", None, true),
        target("4.srv", None, false),
    ];
    assert_eq!(
        lines(OpenPbs.control(Control::Cancel, &targets)),
        ["qdel 2.srv", "qdel 4.srv", "qdel 1.srv '3[].srv'"]
    );
    assert_eq!(lines(Torque.control(Control::Cancel, &targets)), ["qdel 1.srv 2.srv '3[].srv' 4.srv"]);
}

#[test]
fn elements_are_controlled_in_ranges() {
    let targets = [target("12[].srv", Some("1-3,7"), true), target("9.srv", None, true)];
    assert_eq!(lines(OpenPbs.control(Control::Hold, &targets)), ["qhold '12[1-3].srv' '12[7].srv' 9.srv"]);
    assert_eq!(
        lines(Torque.control(Control::Release, &targets)),
        ["qrls '12[1].srv' '12[2].srv' '12[3].srv' '12[7].srv' 9.srv"]
    );
    let many = [target("12[].srv", Some("0-4999,6000"), true)];
    assert_eq!(
        lines(Torque.control(Control::Cancel, &many)),
        ["qdel -t 0-4999 '12[].srv'", "qdel '12[6000].srv'"]
    );
    let unseen = [target("12[].srv", Some("1-3,7"), false)];
    assert_eq!(lines(OpenPbs.control(Control::Cancel, &unseen)), ["qdel '12[1-3].srv'", "qdel '12[7].srv'"]);
}

#[test]
fn a_thousand_jobs_are_few_calls() {
    let targets: Vec<_> = (0..1000).map(|id| target(&format!("{id}.srv"), None, true)).collect();
    assert_eq!(OpenPbs.control(Control::Cancel, &targets).len(), 2);
    let ids: Vec<_> = (0..1000).map(|id| RemoteId(format!("{id}.srv"))).collect();
    assert_eq!(OpenPbs.accounting(&ids, "u", Timestamp(0)).len(), 1);
}

#[test]
fn accounting_asks_for_an_array_once() {
    let ids = ["4[1].srv", "4[2].srv", "5.srv", "4[].srv"].map(|id| RemoteId(id.to_owned()));
    assert_eq!(lines(OpenPbs.accounting(&ids, "u", Timestamp(0))), ["qstat -x -t -f -w '4[].srv' 5.srv"]);
    assert!(Torque.accounting(&ids, "u", Timestamp(0)).is_empty());
    // By tag, when nothing else is known.
    assert_eq!(lines(OpenPbs.accounting(&[], "u", Timestamp(0))), ["qstat -x -f -w"]);
}

#[test]
fn questions_about_everybodys_jobs_have_room_for_them() {
    let ids = [RemoteId("4[].srv".to_owned())];
    let ann = ["ann".to_owned()];
    let mut all = vec![OpenPbs.query(Whose::Users(&ann)), Torque.query(Whose::All)];
    all.extend(OpenPbs.accounting(&[], "ann", Timestamp(0)));
    all.extend(OpenPbs.accounting(&ids, "ann", Timestamp(0)));
    for question in all {
        assert_eq!(question.output_cap, 256 << 20, "{}", question.command_line());
    }
    assert!(OpenPbs.probe().output_cap < 256 << 20);
}

#[test]
fn questions_have_one_locale_one_zone_and_no_variables_that_shape_output() {
    for dialect in [&OpenPbs as &dyn Dialect, &Torque] {
        let mut all = vec![dialect.probe(), dialect.query(Whose::All)];
        all.extend(dialect.survey());
        for question in all {
            let value = |name: &str| {
                question.env.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
            };
            assert_eq!(value("LC_ALL"), Some(Some("C.UTF-8".into())));
            assert_eq!(value("TZ"), Some(Some("UTC".into())));
            assert_eq!(value("PBS_QSTAT_NO_COMPLETE"), Some(None));
        }
        let stays = ["PBS_CONF_FILE", "PBS_DEFAULT", "PBS_SERVER", "PBS_EXEC", "PBS_DPREFIX"];
        let matches = |pattern: &&str, name: &str| match pattern.strip_suffix('*') {
            Some(begin) => name.starts_with(begin),
            None => *pattern == name,
        };
        for name in stays {
            assert!(!dialect.enclosing_job().iter().any(|pattern| matches(pattern, name)), "{name}");
        }
        for name in ["PBS_JOBID", "PBS_NODEFILE", "PBS_O_WORKDIR", "PBS_ARRAYID", "PBS_ARRAY_INDEX"] {
            assert!(dialect.enclosing_job().iter().any(|pattern| matches(pattern, name)), "{name}");
        }
    }
}

#[test]
fn elements_have_ids() {
    let array = RemoteId("12[].srv".to_owned());
    assert_eq!(OpenPbs.element(&array, 3).0, "12[3].srv");
    assert_eq!(Torque.element(&array, 0).0, "12[0].srv");
}
