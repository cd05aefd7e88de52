//! Whole answers: what is none, what is half of one, what is a refusal. Each test is an observed fact.

use cluster_backend_pbs::{OpenPbs, Torque};
use cluster_core::dialect::{Dialect, DialectError, Jobs, Reading, RefusalKind};

use crate::support::{argv, jobs, output};

#[test]
fn rubbish_is_no_empty_queue() {
    for (dialect, line) in [
        (&OpenPbs as &dyn Dialect, "qstat -f -w"),
        (&OpenPbs, "qstat -f -F json"),
        (&OpenPbs, "qstat -f -F dsv"),
        (&Torque, "qstat -x"),
        (&Torque, "qstat -f"),
    ] {
        for text in
            ["Segmentation fault\n", "<html>proxy error</html>", "\u{1b}[31mno", "{\"Jobs\":{\"1.srv\":"]
        {
            let output = output(0, text, "");
            let jobs = jobs(dialect, line, &output);
            assert!(jobs.rows.is_empty() && !jobs.errors.is_empty(), "{line}: {text}");
        }
    }
}

#[test]
fn an_answer_that_was_cut_is_no_whole_answer() {
    let mut cut = output(0, "Job Id: 1.srv\n    job_state = Q\n\nJob Id: 2.srv\n    job_state = Q\n", "");
    cut.truncated = true;
    let jobs_of_it = jobs(&OpenPbs, "qstat -f -w", &cut);
    assert_eq!((jobs_of_it.rows.len(), jobs_of_it.errors.len()), (1, 1));
    let xml =
        output(0, "<Data><Job><Job_Id>1.vm</Job_Id><job_state>Q</job_state></Job><Job><Job_Id>2.vm</Jo", "");
    let jobs = jobs(&Torque, "qstat -x", &xml);
    assert_eq!(jobs.rows.len(), 1);
    assert!(!jobs.errors.is_empty());
}

#[test]
fn an_empty_queue_is_no_rows() {
    for (dialect, line, text) in [
        (&OpenPbs as &dyn Dialect, "qstat -t -f -w", ""),
        (&OpenPbs, "qstat -f -F json", "{\n\t\"timestamp\":\t1,\n\t\"pbs_server\":\t\"srv\"\n}\n"),
        (&Torque, "qstat -t -x", ""),
        (&Torque, "qstat -t -x", "<Data></Data>\n"),
    ] {
        let output = output(0, text, "");
        assert_eq!(jobs(dialect, line, &output), Jobs::default(), "{line}");
    }
}

#[test]
fn a_dead_server_still_prints_json() {
    let header = "{\n\t\"timestamp\":\t1,\n\t\"pbs_server\":\t\"srv\"\n}\n";
    let dead = output(255, header, "Connection refused\nqstat: cannot connect to server srv (errno=15010)\n");
    let error = OpenPbs.read(&argv("qstat -f -F json"), &dead).unwrap_err();
    assert!(matches!(error, DialectError::Unreachable { code: 255, .. }));
}

#[test]
fn known_jobs_beside_unknown_ones_are_rows() {
    let mixed = output(153, "Job Id: 2.srv\n    job_state = R\n", "qstat: Unknown Job Id 9.srv\n");
    assert_eq!(jobs(&OpenPbs, "qstat -f 2 9", &mixed).rows.len(), 1);
    let unknown = output(153, "", "qstat: Unknown Job Id 9.srv\n");
    let error = OpenPbs.read(&argv("qstat -f 9"), &unknown).unwrap_err();
    assert!(matches!(error, DialectError::Refused { kind: RefusalKind::UnknownJob, .. }));
    // The history's answer is that there is none.
    assert_eq!(jobs(&OpenPbs, "qstat -x -f 9", &unknown), Jobs::default());
}

#[test]
fn a_cancel_of_what_has_ended_is_done() {
    for (dialect, code, stderr) in [
        (&OpenPbs as &dyn Dialect, 0, ""),
        (&OpenPbs, 35, "qdel: Job has finished 0.srv\n"),
        (&OpenPbs, 168, "qdel: Request invalid for state of job 7.srv\n"),
        (&Torque, 170, "qdel: Request invalid for state of job MSG=invalid state for job - COMPLETE 44.vm\n"),
    ] {
        let answer = output(code, "", stderr);
        assert_eq!(dialect.read(&argv("qdel 1"), &answer).unwrap(), Reading::Done);
    }
    let mixed = output(153, "", "qdel: Job has finished 0.srv\nqdel: Unknown Job Id 9.srv\n");
    assert!(OpenPbs.read(&argv("qdel 0 9"), &mixed).is_err());
    let held = output(35, "", "qhold: Job has finished 0.srv\n");
    assert!(OpenPbs.read(&argv("qhold 0"), &held).is_err());
}

#[test]
fn a_command_that_died_may_have_been_heard() {
    let died = output(134, "", "free(): invalid pointer\n");
    let error = OpenPbs.read(&argv("qsub x"), &died).unwrap_err();
    assert!(matches!(error, DialectError::Refused { kind: RefusalKind::TryAgain, .. }));
    let gone = output(67, "", "qsub: submit error (End of File)\n");
    assert!(matches!(Torque.read(&argv("qsub x"), &gone), Err(DialectError::Unreachable { .. })));
}

#[test]
fn a_submission_that_was_killed_is_a_doubt_and_says_so() {
    for dialect in [&OpenPbs as &dyn Dialect, &Torque] {
        for (code, by) in [(137, "signal 9"), (143, "signal 15"), (139, "signal 11"), (124, "timeout")] {
            for stderr in ["", "bash: line 1: 15791 Killed  qsub x\n"] {
                let error = dialect.read(&argv("qsub x"), &output(code, "", stderr)).unwrap_err();
                assert!(matches!(error, DialectError::Unreachable { .. }), "{code}: {error:?}");
                assert!(error.to_string().contains(&format!("ended by {by}")), "{error}");
            }
        }
        // The first number of an error of the server's.
        let said = output(153, "", "qsub: no\n");
        let refused = dialect.read(&argv("qsub x"), &said);
        assert!(matches!(refused, Err(DialectError::Refused { .. })), "{refused:?}");
    }
}

#[test]
fn a_submission_is_its_id_and_nothing_else() {
    let submitted = |text: &str| {
        OpenPbs.read(&argv("qsub x"), &output(0, text, "")).map(|reading| match reading {
            Reading::Submitted(id) => id.0,
            other => panic!("{other:?}"),
        })
    };
    assert_eq!(submitted("0.srv\n").unwrap(), "0.srv");
    assert_eq!(submitted("12[].srv.example.org\n").unwrap(), "12[].srv.example.org");
    assert_eq!(submitted("Welcome to our site\n12.srv\n").unwrap(), "12.srv");
    for wrong in ["", "12\n", "job 12.srv\n", "Your job 12 (\"x\") has been submitted\n"] {
        assert!(matches!(submitted(wrong), Err(DialectError::Syntax { .. })), "{wrong:?}");
    }
    // A server of Torque may leave its name out.
    for text in ["12\n", "12[]\n", "Welcome\n12\n", "12.vm\n3\n"] {
        let id = match Torque.read(&argv("qsub x"), &output(0, text, "")) {
            Ok(Reading::Submitted(id)) => id.0,
            other => panic!("{text:?}: {other:?}"),
        };
        let wanted = if text.contains('[') { "12[]" } else { "12" };
        assert_eq!(id.trim_end_matches(".vm"), wanted, "{text:?}");
    }
    assert!(Torque.read(&argv("qsub x"), &output(0, "12\njob taken\n", "")).is_err());
    // -W block=true ends with the job's own code.
    let blocked = output(7, "8.srv\n", "");
    assert!(matches!(OpenPbs.read(&argv("qsub x"), &blocked), Ok(Reading::Submitted(_))));
}

#[test]
fn the_families_are_told_apart() {
    let openpbs = output(
        0,
        "Server: srv\n    state_count = Transit:0 Queued:2 Held:1 Begu\n\tn:0 \n    pbs_version = 23.06.06\n",
        "",
    );
    let torque = output(
        0,
        "Server: vm\n    state_count = Transit:0 Queued:0 Exiting:0 C\n\tomplete:3 \n    pbs_version = 6.1.3\n",
        "",
    );
    let sge =
        output(1, "", "SGE 8.1.9\nusage: qstat [options]\n        [-ext]\ninvalid option argument \"-B\"\n");
    for (dialect, own, other) in [(&OpenPbs as &dyn Dialect, &openpbs, &torque), (&Torque, &torque, &openpbs)]
    {
        let probe = dialect.probe().argv;
        let Ok(Reading::Site(site)) = dialect.read(&probe, own) else { panic!("not read") };
        assert!(site.version.is_some());
        assert!(matches!(dialect.read(&probe, other), Err(DialectError::NotRead { .. })));
        assert!(matches!(dialect.read(&probe, &sge), Err(DialectError::Refused { .. })));
    }
}

#[test]
fn old_families_are_told_apart_by_their_versions() {
    for (version, is_torque) in [
        ("2.5.13", true),
        ("4.2.10", true),
        ("6.1.3", true),
        ("PBSPro_9.2.4", false),
        ("14.1.2", false),
        ("2021.1.3", false),
    ] {
        let text =
            format!("Server: srv\n    state_count = Transit:0 Queued:0\n    pbs_version = {version}\n");
        let answer = output(0, text, "");
        for (dialect, own) in [(&OpenPbs as &dyn Dialect, !is_torque), (&Torque, is_torque)] {
            let read = dialect.read(&dialect.probe().argv, &answer);
            assert_eq!(read.is_ok(), own, "{version}: {read:?}");
        }
    }
}

#[test]
fn refusals_have_kinds() {
    use RefusalKind::{BadDependency, BadRequest, NoPermission, OverLimit, TryAgain, UnknownPartition};
    for (dialect, code, stderr, want) in [
        (&OpenPbs as &dyn Dialect, 170, "qsub: Unknown queue", UnknownPartition),
        (&Torque, 172, "qsub: submit error (Unknown queue MSG=requested queue not found)", UnknownPartition),
        (&OpenPbs, 173, "qsub: Queue is not enabled", UnknownPartition),
        (&OpenPbs, 188, "qsub: Job violates queue and/or server resource limits", OverLimit),
        (&OpenPbs, 3, "qsub: Array job exceeds server or queue size limit", OverLimit),
        (&Torque, 190, "qsub: submit error (Job exceeds queue resource limits MSG=x)", OverLimit),
        (
            &Torque,
            228,
            "qsub: submit error (Maximum number of jobs already in queue for user MSG=x)",
            OverLimit,
        ),
        (&OpenPbs, 2, "qsub: illegal -W value\nusage: qsub", BadDependency),
        (&Torque, 208, "qsub: submit error (Invalid Job Dependency)", BadDependency),
        (&OpenPbs, 159, "qsub: Unauthorized Request ", NoPermission),
        (&Torque, 1, "qsub can not be run as root", NoPermission),
        (&OpenPbs, 159, "", NoPermission),
        (&OpenPbs, 187, "qsub: Unknown resource: foo", BadRequest),
        (&Torque, 235, "qsub: submit error (Bad Job Array Request)", BadRequest),
        (&OpenPbs, 222, "qdel: Server could not connect to MOM 1.srv", TryAgain),
        (&OpenPbs, 6, "qsub: something new", RefusalKind::Other),
    ] {
        let line = if stderr.starts_with("qdel") { "qdel 1" } else { "qsub x" };
        match dialect.read(&argv(line), &output(code, "", stderr)) {
            Err(DialectError::Refused { kind, code: said, .. }) => {
                assert_eq!((kind, said), (want, code), "{stderr}");
            }
            other => panic!("{stderr}: {other:?}"),
        }
    }
}

#[test]
fn a_server_without_history_says_so() {
    let off = output(142, "", "qstat: PBS is not configured to maintain job history\n");
    let error = OpenPbs.read(&argv("qstat -x -t -f -w 1.srv"), &off).unwrap_err();
    assert!(
        matches!(&error, DialectError::NoAccounting { .. })
            && error.to_string().contains("job_history_enable")
    );
}
