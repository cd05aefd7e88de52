//! The command lines and script heads that we make.

use std::path::Path;

use cluster_backend_sge::Sge;
use cluster_core::dialect::{Dialect, DialectError, RemoteDependency, ScriptRequest, SubmitRequest, Whose};
use cluster_core::{DependencyKind, MemSize, RemoteId, Resources, Tag, Walltime};

fn submit(change: impl FnOnce(&mut SubmitRequest<'_>)) -> Result<String, DialectError> {
    submit_after(&[], change)
}

fn submit_after(
    dependencies: &[RemoteDependency],
    change: impl FnOnce(&mut SubmitRequest<'_>),
) -> Result<String, DialectError> {
    let (tag, resources) = (Tag::from_bits(0), Resources::default());
    let mut request = SubmitRequest {
        script: Path::new("/r/jobs/1/job.0.sh"),
        name: "two words",
        tag: &tag,
        log: Path::new("/r/jobs/1/0.sched"),
        array: None,
        throttle: None,
        dependencies,
        hold: false,
        resources: &resources,
        head: &[],
    };
    change(&mut request);
    Sge::default().submit(&request).map(|invocation| invocation.command_line())
}

fn dependency(kind: DependencyKind, id: &str) -> RemoteDependency {
    RemoteDependency { kind, id: RemoteId(id.into()), array: false, elementwise: false, gated: true }
}

#[test]
fn a_job_and_an_array() {
    let common = "qsub -terse -N two_words.caaaaaaaaaa -S /bin/sh -w e -j y -o /r/jobs/1/0.sched";
    let end = "-v 'CLUSTER_TAG=caaaaaaaaaa' /r/jobs/1/job.0.sh";
    assert_eq!(submit(|_| {}).unwrap(), format!("{common} {end}"));
    let array = submit(|request| {
        (request.array, request.throttle, request.hold) = (Some(50), Some(8), true);
    });
    assert_eq!(array.unwrap(), format!("{common} -t 1-50 -tc 8 -h {end}"));
    assert!(submit(|request| request.array = Some(0)).is_err());
    // A throttle is of arrays.
    assert_eq!(submit(|request| request.throttle = Some(8)).unwrap(), format!("{common} {end}"));
}

#[test]
fn dependencies_wait_for_the_end_and_the_gate_does_the_rest() {
    use DependencyKind::{After, AfterAny, AfterNotOk, AfterOk};
    let with = |list: &[RemoteDependency]| submit_after(list, |_| {});
    let list = [
        dependency(AfterOk, "88"),
        dependency(AfterNotOk, "89.3"),
        dependency(AfterAny, "88.2"),
        RemoteDependency { elementwise: true, array: true, ..dependency(AfterOk, "90") },
    ];
    assert!(with(&list).unwrap().contains(" -hold_jid 88,89 -hold_jid_ad 90 "));
    assert!(with(&[RemoteDependency { gated: false, ..dependency(AfterAny, "88") }]).is_ok());
    for impossible in [
        dependency(After, "88"),
        RemoteDependency { gated: false, ..dependency(AfterOk, "88") },
        RemoteDependency { gated: false, ..dependency(AfterNotOk, "88") },
        // A name would be a pattern for other jobs.
        dependency(AfterAny, "run*"),
    ] {
        let error = with(std::slice::from_ref(&impossible)).unwrap_err();
        assert!(matches!(error, DialectError::Cannot { .. }), "{impossible:?}");
    }
}

#[test]
fn paths_that_sge_would_read_otherwise() {
    assert!(
        submit(|request| request.log = Path::new("/r/a:b/0.sched")).unwrap().contains(" -o :/r/a:b/0.sched ")
    );
    for wrong in ["/r/a,b/0.sched", "/r/$HOME/0.sched", "/r/a\nb/0.sched"] {
        assert!(submit(|request| request.log = Path::new(wrong)).is_err(), "{wrong:?}");
    }
}

fn head(sge: &Sge, resources: &Resources, priority: i32) -> (Vec<String>, usize) {
    let head = sge.directives(&ScriptRequest { resources, priority, extra: &["-r n".into(), "a\nb".into()] });
    // One of the extras is no line.
    (head.lines, head.unsaid.len() - 1)
}

#[test]
fn heads_of_scripts() {
    let bare = Sge::default();
    assert_eq!(head(&bare, &Resources::default(), 0), (vec!["#$ -r n".into()], 0));
    let large = Resources {
        nodes: 2,
        tasks: 2,
        cores: 3,
        mem: Some(MemSize::from_mb(1000)),
        time: Some(Walltime::from_secs(90_061)),
        gpus: 2,
        partition: Some("long.q".into()),
        account: Some("phys".into()),
    };
    // No parallel environment, no name for GPUs, no nodes, no higher priority.
    let (lines, unsaid) = head(&bare, &large, 5);
    assert_eq!(lines, ["#$ -l h_vmem=167M", "#$ -l h_rt=25:01:01", "#$ -q long.q", "#$ -A phys", "#$ -r n"]);
    assert_eq!(unsaid, 4);
    let site = Sge {
        parallel_environment: Some("mpi".into()),
        mem_resource: Some("mem_free".into()),
        gpu_resource: Some("gpu".into()),
        gpus_per_slot: false,
    };
    let (lines, unsaid) = head(&site, &large, -5000);
    assert_eq!(lines[..2], ["#$ -pe mpi 6", "#$ -l mem_free=167M"]);
    assert!(lines.contains(&"#$ -l gpu=2".to_owned()) && lines.contains(&"#$ -p -1023".to_owned()));
    assert_eq!(unsaid, 1);
    let unlimited = Resources { time: Some(Walltime::UNLIMITED), ..Resources::default() };
    assert_eq!(head(&bare, &unlimited, 0).1, 1);
}

#[test]
fn every_question_is_asked_in_utc_and_without_what_shapes_the_answer() {
    let sge = Sge::default();
    let users = ["ann".to_owned(), "bob".to_owned()];
    let mut asked = sge.survey();
    asked.extend([sge.probe(), sge.query(Whose::All), sge.query(Whose::Users(&users))]);
    assert!(asked.iter().any(|invocation| invocation.command_line() == "qstat -xml -r -u ann,bob"));
    for invocation in asked {
        let has = |name: &str, value: Option<&str>| {
            invocation.env.iter().any(|(n, v)| n == name && v.as_deref() == value.map(std::ffi::OsStr::new))
        };
        assert!(has("TZ", Some("UTC")) && has("LC_ALL", Some("C.UTF-8")) && has("SGE_LONG_JOB_NAMES", None));
        assert!(sge.commands().iter().any(|command| invocation.argv[0] == *command));
    }
}

#[test]
fn an_enclosing_job_is_forgotten_and_the_scheduler_is_not() {
    let sge = Sge::default();
    let forgets = |name: &str| {
        sge.enclosing_job().iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(begin) => name.starts_with(begin),
            None => name == *pattern,
        })
    };
    for of_the_job in
        ["JOB_ID", "SGE_TASK_ID", "SGE_TASK_LAST", "NSLOTS", "PE", "PE_HOSTFILE", "SGE_O_HOME", "QUEUE"]
    {
        assert!(forgets(of_the_job), "{of_the_job}");
    }
    for of_the_site in [
        "SGE_ROOT",
        "SGE_CELL",
        "SGE_QMASTER_PORT",
        "SGE_EXECD_PORT",
        "SGE_CLUSTER_NAME",
        "SGE_ARCH",
        "PERL5LIB",
    ] {
        assert!(!forgets(of_the_site), "{of_the_site}");
    }
}

#[test]
fn a_position_is_the_task_before() {
    let sge = Sge::default();
    assert_eq!(sge.element(&RemoteId("88".into()), 0).0, "88.1");
    assert_eq!(sge.element(&RemoteId("88".into()), u32::MAX).0, "88.4294967296");
}

/// What a shell makes of the facts that go into the script.
#[test]
#[allow(clippy::disallowed_methods)]
fn the_script_knows_its_place() {
    let facts = Sge::default().script_facts();
    let say = |task: Option<&str>| {
        let script = format!("set -u; printf '%s|%s' \"{}\" \"{}\"", facts.position, facts.remote_id);
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", &script]).env("JOB_ID", "88").env_remove("SGE_TASK_ID");
        if let Some(task) = task {
            shell.env("SGE_TASK_ID", task);
        }
        String::from_utf8(shell.output().unwrap().stdout).unwrap()
    };
    assert_eq!(say(Some("undefined")), "|88");
    assert_eq!(say(None), "|88");
    assert_eq!(say(Some("1")), "0|88.1");
    assert_eq!(say(Some("50")), "49|88.50");
}
