//! What Slurm says and does not mean, each with the recording that showed it.

#![allow(clippy::unwrap_used)]

mod support;

use cluster_backend_slurm::Slurm;
use cluster_core::dialect::{Dialect, DialectError, Jobs, Reading, RefusalKind, Row, Tasks};
use cluster_core::host::Output;
use cluster_core::state::ExitStatus;
use cluster_core::{Cause, JobState};
use support::recording;

/// Reads a recording and gives its jobs to a test.
fn with_jobs(name: &str, test: impl FnOnce(&Jobs<'_>)) {
    let recording = recording(name);
    match Slurm::new().read(&recording.argv().unwrap(), &recording.output) {
        Ok(Reading::Jobs(jobs)) => test(&jobs),
        other => panic!("{name}: {other:?}"),
    }
}

fn with_row(name: &str, id: &str, test: impl FnOnce(&Row<'_>)) {
    with_jobs(name, |jobs| {
        test(jobs.rows.iter().find(|row| row.id == id).unwrap_or_else(|| panic!("{name}: no {id}")));
    });
}

fn error(name: &str) -> DialectError {
    let recording = recording(name);
    Slurm::new().read(&recording.argv().unwrap(), &recording.output).expect_err(name)
}

fn output(stdout: &str, stderr: &str, code: i32) -> Output {
    Output {
        status: ExitStatus::Exit(code),
        stdout: stdout.as_bytes().to_vec(),
        stderr: stderr.as_bytes().to_vec(),
        truncated: false,
    }
}

fn argv(words: &[&str]) -> Vec<std::ffi::OsString> {
    words.iter().map(std::ffi::OsString::from).collect()
}

#[test]
fn sacct_takes_128_off_exit_codes() {
    // 200, 255 and 137 stand there as 72, 127 and 9; the controller knows them.
    with_row("sacct_text_rc200", "2296", |row| {
        assert_eq!((row.state, row.status, row.cause), (JobState::Failed, None, None));
        assert_eq!(row.reason, "exit code 72 or 200");
    });
    with_row("sacct_all", "45", |row| assert_eq!(row.status, None, "127 is no 255"));
    with_row("scontrol_rc_over_127", "43", |row| assert_eq!(row.status, Some(ExitStatus::Exit(255))));
    with_row("squeue_json_finished", "44", |row| assert_eq!(row.status, Some(ExitStatus::Exit(137))));
    with_row("squeue_json_rc3", "2295", |row| assert_eq!(row.status, Some(ExitStatus::Exit(3))));
}

#[test]
fn the_json_of_sacct_says_success_for_every_failure() {
    for (name, id) in [("sacct_json_rc200", "2296"), ("sacct_json_rc255", "43")] {
        with_row(name, id, |row| {
            assert_eq!((row.state, row.status, row.cause), (JobState::Failed, None, None));
        });
    }
    with_row("sacct_json_segv", "41", |row| assert_eq!(row.status, Some(ExitStatus::Signal(11))));
    with_row("sacct_json", "46", |row| assert_eq!(row.status, Some(ExitStatus::Exit(0))));
}

#[test]
fn a_job_over_its_memory_is_told_from_one_that_killed_itself() {
    with_row("sacct_oom", "3", |row| assert_eq!((row.cause, row.status), (Some(Cause::OutOfMemory), None)));
    // The same end without root's hand in it.
    let own = output("3|FAILED|0:9|50M|\n3.batch|CANCELLED|0:9||3000K\n", "", 0);
    let line = argv(&["sacct", "-nP", "--format=JobID,State,ExitCode,ReqMem,MaxRSS"]);
    let Ok(Reading::Jobs(jobs)) = Slurm::new().read(&line, &own) else { panic!() };
    assert_eq!((jobs.rows[0].cause, jobs.rows[0].status), (None, Some(ExitStatus::Signal(9))));
    with_row("cgroup_sacct_oom", "2303", |row| {
        assert_eq!((row.cause, row.status), (Some(Cause::OutOfMemory), None));
    });
    // A step ran out of memory, the script ended with 0: that is a success.
    with_row("cgroup_sacct_oom", "2304", |row| {
        assert_eq!((row.state, row.cause), (JobState::Succeeded, None));
    });
}

#[test]
fn ends_without_a_code_of_their_own_have_a_cause() {
    with_row("sacct_timeout", "1", |row| assert_eq!((row.cause, row.status), (Some(Cause::Timeout), None)));
    with_row("sacct_nodefail", "74", |row| {
        assert_eq!((row.cause, row.status), (Some(Cause::NodeFailure), None));
    });
    with_row("squeue_deadline", "2302", |row| assert_eq!(row.cause, Some(Cause::Timeout)));
    with_row("sacct_all", "47", |row| {
        assert_eq!((row.cause, &*row.raw_state), (Some(Cause::Cancelled), "CANCELLED by 1001"));
    });
    with_row("sacct_launch_failures", "27", |row| {
        assert_eq!((row.status, row.cause, &*row.reason), (None, None, row.reason.as_ref()));
        assert!(row.reason.starts_with("ExitCode 0:53 (mostly an output file"), "{}", row.reason);
    });
    // Refused after it was accepted: its code is Slurm's, in one place as exit 1, in the other as signal 1.
    for name in ["scontrol_odd_names_oneliner", "sacct_all", "squeue_json"] {
        with_row(name, "18", |row| {
            assert_eq!((row.state, row.status, row.started), (JobState::Failed, None, row.started.and(None)));
        });
    }
}

#[test]
fn a_dependency_that_cannot_be_met_is_told_from_a_cancelled_job() {
    let line = argv(&["sacct", "-nXP", "--format=JobID,State,ExitCode,Reason"]);
    let answer = output("2300|CANCELLED|0:0|Dependency\n2301|CANCELLED by 1001|0:0|Dependency\n", "", 0);
    let Ok(Reading::Jobs(jobs)) = Slurm::new().read(&line, &answer) else { panic!() };
    assert_eq!(jobs.rows[0].cause, Some(Cause::DependencyNeverSatisfied));
    assert_eq!(jobs.rows[1].cause, Some(Cause::Cancelled));
}

#[test]
fn a_requeued_job_has_not_ended() {
    with_row("sacct_all", "50", |row| assert_eq!((row.state, row.ended), (JobState::Queued, None)));
    with_row("squeue_requeued", "50", |row| {
        // Start and end are only planned.
        assert_eq!((row.state, row.started, row.ended), (JobState::Queued, None, None));
    });
    with_row("scontrol_job_requeued", "50", |row| assert_eq!(row.restarts, Some(1)));
}

#[test]
fn completing_is_no_end() {
    with_row("squeue_completing", "48", |row| assert_eq!(row.state, JobState::Running));
    with_row("scontrol_job_completing", "48", |row| {
        assert_eq!((row.state, row.ended), (JobState::Running, None));
    });
}

#[test]
fn the_last_task_of_an_array_has_the_arrays_own_id() {
    // %A 7 is task 6; the row must be 7_6, not 7.
    with_row("squeue_json_finished", "7_6", |row| assert_eq!((&*row.job, &row.tasks), ("7", &Tasks::One(6))));
    with_row("scontrol_odd_names_oneliner", "7_6", |row| {
        assert_eq!((&*row.job, &row.tasks), ("7", &Tasks::One(6)));
    });
    with_row("squeue_O_default", "2_2", |row| assert_eq!((&*row.job, &row.tasks), ("2", &Tasks::One(2))));
    with_row("large_squeue_array1000_midway", "81_[259-1000]", |row| {
        let Tasks::Some(tasks) = &row.tasks else { panic!("{row:?}") };
        assert_eq!(tasks.len(), 742);
    });
}

#[test]
fn odd_names_spoil_no_other_row() {
    let names = [
        "cmt",
        "-dash",
        "",
        "k=v JobId=1 x",
        "back\\slash%j",
        "tab\there",
        "line1\nline2",
        "a|b|c",
        "q\"d's",
        "größe-δ-日本-🙂",
        "two  words",
    ];
    for recording in
        ["squeue_odd_names_pipe", "scontrol_odd_names_oneliner", "squeue_json", "squeue_odd_names_long_O"]
    {
        with_jobs(recording, |jobs| {
            assert_eq!(jobs.errors, [], "{recording}");
            for name in names {
                assert!(jobs.rows.iter().any(|row| row.name == name), "{recording}: {name:?}");
            }
        });
    }
    with_row("scontrol_odd_names_oneliner", "40", |row| {
        assert_eq!(row.comment.as_deref(), Some("pipe|tab\there 'q' =x"));
    });
}

#[test]
fn nobody_can_forge_a_row_of_our_query() {
    let query = Slurm::new().query(cluster_core::dialect::Whose::All);
    // 19 bytes of a row of job 7, as the comment, the name and the reason of job 8.
    let forged = "x\n7|FAILED|me|p|1|1";
    let (reason, comment) = (format!("{forged:120.120}"), format!("{forged:11.11}"));
    let name = format!("{forged:64.64}");
    let row = |id: &str, reason: &str, comment: &str, name: &str| {
        format!(
            "{id}|RUNNING|eve|debug|1|1|10:00|2026-11-20T17:29:34|2026-11-20T17:29:34|2026-11-20T17:39:34|0|0|cpu=1,mem=200M,node=1|node1|{reason}|{comment}|{name}|\n"
        )
    };
    let none = format!("{:120}", "None");
    let text = row("8", &reason, &comment, &name)
        + &row("9", &none, "caaaaaaaaaa", &format!("{:64}", "mine.caaaaaaaaaa"));
    let answer = output(&text, "", 0);
    let Ok(Reading::Jobs(jobs)) = Slurm::new().read(&query.argv, &answer) else { panic!() };
    assert_eq!(jobs.errors, []);
    let ids: Vec<_> = jobs.rows.iter().map(|row| &*row.id).collect();
    assert_eq!(ids, ["8", "9"]);
    assert_eq!(jobs.rows[1].comment.as_deref(), Some("caaaaaaaaaa"));
    assert_eq!((jobs.rows[1].nodes, jobs.rows[1].cores, jobs.rows[1].restarts), (Some(1), Some(1), Some(0)));
    assert_eq!(jobs.rows[1].mem.map(cluster_core::MemSize::as_mb), Some(200));
}

/// The recording was made with the command lines that we use.
#[test]
fn our_own_questions_are_those_that_were_recorded() {
    let recorded = |name: &str| recording(name).argv().unwrap();
    assert_eq!(Slurm::new().query(cluster_core::dialect::Whose::All).argv, recorded("own_squeue"));
    assert_eq!(Slurm::new().survey()[2].argv, recorded("own_sinfo"));
    let sacct = Slurm::new().accounting(&[], "hpcuser", cluster_core::Timestamp::from_secs(1_795_132_800));
    assert_eq!(sacct[0].argv, recorded("own_sacct_by_user"));
}

#[test]
fn the_queue_tells_the_true_end_of_jobs_that_it_remembers() {
    with_row("own_squeue", "24_1", |row| assert_eq!(row.status, Some(ExitStatus::Exit(200))));
    with_row("own_squeue", "24_2", |row| assert_eq!(row.status, Some(ExitStatus::Signal(9))));
    with_row("own_squeue", "24_3", |row| assert_eq!(row.status, Some(ExitStatus::Exit(3))));
    with_row("own_squeue", "26_1", |row| assert_eq!(row.cause, Some(Cause::DependencyNeverSatisfied)));
    with_row("own_squeue", "25", |row| {
        assert_eq!((&*row.name, row.comment.as_deref()), ("größe|x\n99|RUNNING", Some("odd|\ncommen")));
    });
    with_jobs("own_squeue", |jobs| assert_eq!(jobs.errors, []));
}

#[test]
fn a_broken_row_costs_itself() {
    let line = argv(&["squeue", "-h", "-o", "%i|%T|%S|%N"]);
    let text = "1|RUNNING|2026-11-20T17:29:34|node1\n2|RUNNING|soon|node1\ngarbage\n3|PENDING|N/A|\n";
    let answer = output(text, "", 0);
    let Ok(Reading::Jobs(jobs)) = Slurm::new().read(&line, &answer) else { panic!() };
    let ids: Vec<_> = jobs.rows.iter().map(|row| &*row.id).collect();
    assert_eq!(ids, ["1", "3"]);
    assert!(matches!(&jobs.errors[0], DialectError::Syntax { line: 2, column: 11, .. }), "{:?}", jobs.errors);
    // What follows a broken row may be odd itself.
    let line = argv(&["squeue", "-h", "-o", "%i|%j|%T"]);
    let answer = output("1|a|RUN-NING\n2|b|c|RUNNING\nmore\n3|d\ne|PENDING\n4|f|RUNNING\n", "", 0);
    let Ok(Reading::Jobs(jobs)) = Slurm::new().read(&line, &answer) else { panic!() };
    let rows: Vec<_> = jobs.rows.iter().map(|row| (&*row.id, &*row.name)).collect();
    assert_eq!(rows, [("2", "b|c"), ("3", "d\ne"), ("4", "f")]);
    assert_eq!(jobs.errors.len(), 2);
}

#[test]
fn an_answer_without_jobs_that_is_none_is_an_error() {
    // Exit code 0, and a message; absence from these would be taken for evidence.
    assert!(matches!(error("squeue_err_user"), DialectError::Refused { .. }));
    assert!(matches!(error("squeue_err_format"), DialectError::Refused { .. }));
    assert!(matches!(error("ctldown_squeue_json"), DialectError::Unreachable { .. }));
}

#[test]
fn what_was_cut_off_is_not_absent() {
    let mut cut = recording("own_squeue");
    cut.output.truncated = true;
    let read = Slurm::new().read(&cut.argv().unwrap(), &cut.output);
    assert!(matches!(read, Err(DialectError::NotRead { .. })), "{read:?}");
}

/// Later versions write numbers as objects and states as lists.
#[test]
fn the_json_of_later_versions_is_read() {
    let text = r#"{"jobs":[{"job_id":7,"array_job_id":{"set":true,"infinite":false,"number":5},
        "array_task_id":{"set":true,"infinite":false,"number":2},"array_task_string":"",
        "job_state":["RUNNING","COMPLETING"],"name":"a","user_name":"u","nodes":"n1","time_limit":
        {"set":true,"infinite":true,"number":0},"start_time":{"set":true,"infinite":false,"number":1795195753},
        "exit_code":{"status":["SUCCESS"],"return_code":{"set":true,"infinite":false,"number":0},
        "signal":{"id":{"set":false,"infinite":false,"number":0},"name":""}}},
        {"job_id":9,"job_state":["FAILED"],"nodes":"n1","exit_code":{"status":["ERROR"],
        "return_code":{"set":true,"infinite":false,"number":200},"signal":{"id":{"set":false,"number":0}}}}],
        "last_backfill":{"set":true,"number":1},"meta":{},"errors":[],"warnings":[]}"#;
    let answer = output(text, "", 0);
    let Ok(Reading::Jobs(jobs)) = Slurm::new().read(&argv(&["squeue", "--json"]), &answer) else { panic!() };
    assert_eq!((&*jobs.rows[0].id, jobs.rows[0].state), ("5_2", JobState::Running));
    assert_eq!(jobs.rows[0].time_limit, Some(cluster_core::Walltime::UNLIMITED));
    assert_eq!(jobs.rows[1].status, Some(ExitStatus::Exit(200)));
    let bytes =
        [&b"{\"jobs\":[{\"job_id\":7,\"job_state\":\"PENDING\",\"name\":\"a"[..], b"\xff\"}]}"].concat();
    let latin = Output { stdout: bytes, ..output("", "", 0) };
    let Ok(Reading::Jobs(jobs)) = Slurm::new().read(&argv(&["squeue", "--json"]), &latin) else { panic!() };
    assert_eq!(jobs.rows[0].name, "a\u{fffd}");
}

#[test]
fn who_is_out_of_reach_is_told_from_who_refuses() {
    for name in [
        "ctldown_scancel",
        "ctldown_scontrol_ping",
        "ctlhung_squeue",
        "dbddown_sacct",
        "dbddown_sacct_json",
        "dbddown_sbatch_M",
        "mungedown_sbatch",
        "mungedown_squeue",
        "mungedown_sacct",
        "noconf_sbatch",
        "unsetconf_sbatch",
        "ctlhung_sbatch_timeout20",
    ] {
        assert!(matches!(error(name), DialectError::Unreachable { .. }), "{name}: {:?}", error(name));
    }
    for (name, want) in [
        ("sbatch_err_partition", RefusalKind::UnknownPartition),
        ("sbatch_err_time_limit", RefusalKind::OverLimit),
        ("sbatch_err_cpus", RefusalKind::OverLimit),
        ("sbatch_err_mem_partition", RefusalKind::OverLimit),
        ("sbatch_err_array_toobig", RefusalKind::OverLimit),
        ("enforced_sbatch_err_maxsubmit", RefusalKind::OverLimit),
        ("sbatch_err_array_syntax", RefusalKind::BadRequest),
        ("sbatch_err_dep_syntax", RefusalKind::BadDependency),
        ("enforced_sbatch_err_account", RefusalKind::NoPermission),
        ("scontrol_hold_not_owner", RefusalKind::NoPermission),
        ("scontrol_suspend_user", RefusalKind::NoPermission),
        ("squeue_err_jobid", RefusalKind::UnknownJob),
        ("scontrol_after_minjobage", RefusalKind::UnknownJob),
        ("sbatch_err_badopt_cli", RefusalKind::BadRequest),
    ] {
        assert!(
            matches!(error(name), DialectError::Refused { kind, .. } if kind == want),
            "{name}: {:?}",
            error(name)
        );
    }
    let other_users =
        output("", "scancel: error: Kill job error on job id 62: Access/permission denied\n", 210);
    let refused = Slurm::new().read(&argv(&["scancel", "62"]), &other_users);
    assert!(matches!(refused, Err(DialectError::Refused { kind: RefusalKind::NoPermission, .. })));
    // An unknown id is silence.
    let scancel = recording("scancel_missing");
    assert_eq!(Slurm::new().read(&scancel.argv().unwrap(), &scancel.output), Ok(Reading::Done));
}

#[test]
fn the_exit_code_of_a_waiting_sbatch_is_the_jobs() {
    let waited = recording("sbatch_wait_fail");
    let read = Slurm::new().read(&waited.argv().unwrap(), &waited.output);
    assert_eq!(read, Ok(Reading::Submitted(cluster_core::RemoteId("12".to_owned()))));
}

#[test]
fn arrays_have_as_many_elements_as_both_limits_allow() {
    let recording = recording("scontrol_config");
    let most = |parameters: &str| {
        let mut output = recording.output.clone();
        let text = String::from_utf8(output.stdout).unwrap();
        output.stdout =
            text.replace("=2000,bf_max_job_test=", &format!("{parameters},bf_max_job_test=")).into();
        match Slurm::new().read(&recording.argv().unwrap(), &output) {
            Ok(Reading::Site(site)) => site.max_array,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(most("=2000"), Some(2001));
    assert_eq!(most("=2000,max_array_tasks=500"), Some(500));
    assert_eq!(most("=2000,max_array_tasks=100000"), Some(2001));
    assert_eq!(most("=2000,max_array_tasks=x"), Some(2001));
}

#[test]
fn the_site_is_put_together_from_three_answers() {
    let mut site = cluster_core::dialect::Site::default();
    for name in ["scontrol_config", "scontrol_partition_o", "sinfo_O"] {
        let recording = recording(name);
        let Ok(Reading::Site(part)) = Slurm::new().read(&recording.argv().unwrap(), &recording.output) else {
            panic!("{name}")
        };
        site.merge(part);
    }
    assert_eq!(
        (site.version.as_deref(), site.server.as_deref(), site.up),
        (Some("22.05.8"), Some("testhpc"), Some(true))
    );
    assert_eq!(
        (site.max_array, site.accounting, site.refuses_over_limit),
        (Some(2001), Some(true), Some(true))
    );
    let debug = &site.partitions[0];
    assert_eq!((debug.name.as_str(), debug.is_default, debug.up), ("debug", true, Some(true)));
    assert_eq!((debug.nodes, debug.cores), (Some(4), Some(16)));
    assert_eq!(debug.max_time.and_then(cluster_core::Walltime::as_secs), Some(1800));
    assert_eq!(debug.mem_per_node.map(cluster_core::MemSize::as_mb), Some(8000));
    assert_eq!(site.partitions.iter().find(|p| p.name == "maint").unwrap().up, Some(false));
}

#[test]
fn cores_of_a_host_are_read_where_they_are_said() {
    with_row("scontrol_job_dd", "53", |row| {
        let hosts = Slurm::new().hosts(&row.hosts).unwrap();
        assert_eq!((hosts[0].host.as_str(), hosts[0].cores), ("node5", Some(2)));
    });
}
