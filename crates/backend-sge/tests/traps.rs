//! What was seen of a real Grid Engine and would be easy to get wrong, one test a fact.

mod common;

use std::collections::HashSet;
use std::ffi::OsString;

use cluster_core::dialect::{Dialect, DialectError, Jobs, Reading, RefusalKind, Row, Tasks};
use cluster_core::host::Output;
use cluster_core::{Cause, ExitStatus, JobState, MemSize, RemoteId};
use common::{Attributed, attribute, load, names, sge};

fn argv(line: &str) -> Vec<OsString> {
    match attribute(line) {
        Attributed::Argv(argv) => argv.into_iter().map(OsString::from).collect(),
        Attributed::Not(why) => panic!("{line}: {why}"),
    }
}

fn output(code: i32, stdout: &[u8], stderr: &str) -> Output {
    Output {
        status: ExitStatus::Exit(code),
        stdout: stdout.to_vec(),
        stderr: stderr.as_bytes().to_vec(),
        truncated: false,
    }
}

fn read<'o>(line: &str, output: &'o Output) -> Result<Reading<'o>, DialectError> {
    sge().read(&argv(line), output)
}

fn jobs<'o>(line: &str, output: &'o Output) -> Jobs<'o> {
    match read(line, output) {
        Ok(Reading::Jobs(jobs)) => jobs,
        other => panic!("{line}: {other:?}"),
    }
}

fn kind(line: &str, output: &Output) -> Option<RefusalKind> {
    match read(line, output) {
        Err(DialectError::Refused { kind, .. }) => Some(kind),
        _ => None,
    }
}

#[test]
fn a_refusal_names_the_command_and_not_its_whole_line() {
    let named = |line: &str, said: &str| match read(line, &output(1, b"", said)) {
        Err(DialectError::Refused { command, .. } | DialectError::Unreachable { command, .. }) => command,
        other => panic!("{line}: {other:?}"),
    };
    assert_eq!(named("qsub -terse -N a job.sh", "Unable to run job: no suitable queues."), "qsub");
    assert_eq!(named("qstat -xml -u ann", "error: commlib error: got select error"), "qstat");
}

#[test]
fn a_submission_that_was_killed_is_a_doubt_and_says_so() {
    for (code, by) in [(137, "signal 9"), (143, "signal 15"), (139, "signal 11"), (124, "timeout")] {
        match read("qsub -terse job.sh", &output(code, b"", "")) {
            Err(DialectError::Unreachable { stderr, .. }) => {
                assert!(stderr.contains(&format!("ended by {by}")), "{stderr}");
            }
            other => panic!("{code}: {other:?}"),
        }
    }
    assert_eq!(kind("qsub -terse job.sh", &output(25, b"", "")), Some(RefusalKind::Other));
}

/// The rows of a recording, whose output lives as long as the test.
fn recorded(name: &str) -> Jobs<'static> {
    let recording = Box::leak(Box::new(load(name)));
    jobs(&recording.cmd, &recording.output)
}

fn only(name: &str) -> Row<'static> {
    let mut jobs = recorded(name);
    assert_eq!((jobs.rows.len(), jobs.errors.len()), (1, 0), "{name}");
    jobs.rows.remove(0)
}

#[test]
fn every_job_of_a_document_is_a_row() {
    for name in names().iter().filter(|name| name.contains("xml") && name.starts_with(['q', 'l'])) {
        let recording = load(name);
        let text = String::from_utf8_lossy(&recording.output.stdout).into_owned();
        if text.contains("</job_info>") {
            let rows = jobs(&recording.cmd, &recording.output);
            assert_eq!(rows.rows.len(), text.matches("<job_list ").count(), "{name}");
            assert!(rows.errors.is_empty(), "{name}");
            for row in &rows.rows {
                assert!(row.text.starts_with("<job_list ") && row.text.ends_with("</job_list>"), "{name}");
            }
        }
    }
}

#[test]
fn every_task_in_the_accounting_is_a_row() {
    for name in names().iter().filter(|name| name.contains("qacct")) {
        let recording = load(name);
        let text = String::from_utf8_lossy(&recording.output.stdout).into_owned();
        if !text.contains("jobnumber ") || matches!(attribute(&recording.cmd), Attributed::Not(_)) {
            continue;
        }
        let field = |line: &str| line.split_once(' ').map(|(_, value)| value.trim().to_owned());
        let values = |key: &str| {
            text.lines().filter(|line| line.starts_with(key)).filter_map(field).collect::<Vec<_>>()
        };
        let tasks: HashSet<_> = values("jobnumber").into_iter().zip(values("taskid")).collect();
        assert_eq!(recorded(name).rows.len(), tasks.len(), "{name}");
    }
}

#[test]
fn rows_borrow_from_the_output() {
    let recording = load("large_qstat_1000_xml");
    let rows = jobs(&recording.cmd, &recording.output).rows;
    let text = recording.output.stdout.as_ptr_range();
    assert_eq!(rows.len(), 1200);
    for row in &rows {
        for part in [&row.id, &row.job, &row.name, &row.user, &row.raw_state] {
            assert!(text.contains(&part.as_ptr()), "{row:?}");
        }
    }
}

#[test]
fn nothing_to_show_is_an_empty_output() {
    assert_eq!(recorded("qstat_empty"), Jobs::default());
    assert_eq!(recorded("qstat_empty_xml"), Jobs::default());
    assert_eq!(jobs("qstat -xml -r -u nosuchuser", &output(0, b"", "")), Jobs::default());
}

#[test]
fn an_answer_that_is_cut_off_is_none() {
    let recording = load("qstat_r_xml");
    for cut in (0..recording.output.stdout.len()).step_by(97) {
        let part = output(0, &recording.output.stdout[..cut], "");
        match read("qstat -xml -r", &part) {
            Err(DialectError::Syntax { .. }) => {}
            Ok(Reading::Jobs(jobs)) if cut == 0 => assert!(jobs.rows.is_empty()),
            other => panic!("cut at {cut}: {other:?}"),
        }
    }
}

#[test]
fn one_bad_job_costs_itself_alone() {
    let recording = load("qstat_r_xml");
    let text = String::from_utf8(recording.output.stdout).unwrap();
    let bad = text.replacen("<JB_job_number>74<", "<JB_job_number>7 4<", 1).replacen(
        "<tasks>3-6:1<",
        "<tasks>3-x:1<",
        1,
    );
    let bad = output(0, bad.as_bytes(), "");
    let jobs = jobs("qstat -xml -r", &bad);
    assert_eq!((jobs.rows.len(), jobs.errors.len()), (19, 2));
    let Some(DialectError::Syntax { line, column, found, .. }) = jobs.errors.last() else { panic!() };
    assert_eq!(found, "3-x:1</tasks>");
    assert!(*line > 100 && *column == 14, "line {line}, column {column}");
}

#[test]
fn waiting_for_another_job_is_no_hold() {
    let rows = recorded("qstat_r_xml").rows;
    let state = |id: &str| rows.iter().find(|row| row.job == id).map(|row| (row.state, &*row.reason));
    assert_eq!(state("77"), Some((JobState::Queued, "waits for the end of 73")));
    assert_eq!(state("79"), Some((JobState::Queued, "waits for the end of 76")));
    assert_eq!(state("80"), Some((JobState::Held, "")));
}

#[test]
fn a_hold_on_a_waiting_job_shows_in_its_details_only() {
    let row = only("qstat_j_hold_and_dependency");
    assert_eq!((row.state, &*row.reason), (JobState::Held, "waits for the end of 24"));
    let row = only("qstat_j_pending_dep");
    assert_eq!((row.state, &*row.reason), (JobState::Queued, "waits for the end of 73"));
    // To wait element by element is a kind of hold itself.
    for name in ["qstat_j_elementwise", "qstat_j_elementwise_xml"] {
        assert_eq!(only(name).state, JobState::Queued, "{name}");
    }
    let rows = recorded("qstat_r_xml_hold_and_dependency").rows;
    assert!(rows.iter().filter(|row| row.job == "25").all(|row| row.state == JobState::Queued));
}

#[test]
fn the_tag_is_in_the_details() {
    for name in ["qstat_j_tag", "qstat_j_tag_xml"] {
        let row = only(name);
        assert_eq!(row.comment.as_deref(), Some("caaaaaaaaaa"), "{name}");
        assert_eq!((row.cores, row.mem.map(MemSize::as_mb)), (Some(2), Some(400)), "{name}");
    }
}

#[test]
fn a_job_in_error_has_not_ended() {
    for row in recorded("qstat_r_xml").rows.iter().filter(|row| row.raw_state == "Eqw") {
        assert_eq!((row.state, row.uncertain), (JobState::Held, true));
    }
    // Of an array one task may be in error while the others are gone.
    let rows = recorded("qstat_array_one_task_error_xml").rows;
    let row = rows.iter().find(|row| row.job == "1302").unwrap();
    assert_eq!((&row.tasks, row.state), (&Tasks::One(2), JobState::Held));
    assert!(only("qstat_j_eqw_output").reason.contains("can't open output file"));
    for name in ["qacct_badout", "qacct_crlf", "qacct_rc100"] {
        assert!(!only(name).state.is_end(), "{name}");
    }
}

#[test]
fn names_come_back_as_they_were_given() {
    let rows = recorded("qstat_odd_names_xml").rows;
    let name = |id: &str| rows.iter().find(|row| row.job == id).map(|row| row.name.to_string());
    assert_eq!(name("56").as_deref(), Some("<xml>&amp;"));
    assert_eq!(name("47").as_deref(), Some("q\"d's"));
    assert_eq!(name("60").as_deref(), Some("p%d"));
    assert_eq!(name("67"), Some("n".repeat(300)));
}

#[test]
fn names_that_are_no_utf8_survive() {
    let recording = load("qstat_r_xml");
    let text = String::from_utf8(recording.output.stdout).unwrap();
    let (before, after) = text.split_once("run1").unwrap();
    let latin1 = [before.as_bytes(), b"gr\xfc\xdf", after.as_bytes()].concat();
    let latin1 = output(0, &latin1, "");
    let jobs = jobs("qstat -xml -r", &latin1);
    assert_eq!((jobs.rows.len(), jobs.errors.len()), (21, 0));
}

#[test]
fn a_forced_deletion_is_no_success() {
    for name in ["qacct_forced", "qacct_forced_running"] {
        let row = only(name);
        assert_eq!(
            (row.state, row.status, row.cause),
            (JobState::Failed, None, Some(Cause::Cancelled)),
            "{name}"
        );
    }
}

#[test]
fn the_last_record_of_a_job_counts() {
    for name in ["qacct_rc99_rerun", "qacct_rescheduled"] {
        let row = only(name);
        assert_eq!((row.state, row.restarts), (JobState::Succeeded, Some(1)), "{name}");
    }
    // Of the first record alone: it went back into the queue.
    let recording = load("qacct_rc99_rerun");
    let text = String::from_utf8(recording.output.stdout).unwrap();
    let first = output(0, &text.as_bytes()[..text.len() / 2], "");
    let rows = jobs("qacct -j 1300", &first).rows;
    assert_eq!((rows[0].state, rows[0].status, rows[0].ended), (JobState::Queued, None, None));
}

#[test]
fn numbers_that_are_used_again_are_other_jobs() {
    let one = String::from_utf8(load("qacct_ok").output.stdout).unwrap();
    let other = one.replace("fromfile", "another ").replace("exit_status  0", "exit_status  3");
    let both = output(0, format!("{one}{other}").as_bytes(), "");
    let rows = jobs("qacct -j 11", &both).rows;
    assert_eq!(rows.len(), 1);
    assert_eq!((&*rows[0].name, rows[0].restarts), ("another", Some(0)));
    assert_eq!(rows[0].status, Some(ExitStatus::Exit(3)));
}

#[test]
fn the_sums_after_the_records_of_a_user_are_no_record() {
    let one = String::from_utf8(load("qacct_ok").output.stdout).unwrap();
    let sums = String::from_utf8(load("qacct_owner").output.stdout).unwrap();
    let all = output(0, format!("{one}{sums}").as_bytes(), "");
    let jobs = jobs("qacct -o hpcuser -b 202611200000.00 -j", &all);
    assert_eq!((jobs.rows.len(), jobs.errors.len()), (1, 0));
    // Nothing but sums: nobody has ended yet.
    let none = output(0, sums.as_bytes(), "");
    assert_eq!(self::jobs("qacct -o hpcuser -b 202611200000.00 -j", &none), Jobs::default());
}

#[test]
fn a_record_without_its_number_costs_itself_alone() {
    let one = String::from_utf8(load("qacct_ok").output.stdout).unwrap();
    let bad = one.replace("jobnumber ", "jobnumbre ");
    let all = output(0, format!("{bad}{one}").as_bytes(), "");
    let jobs = jobs("qacct -j 11", &all);
    assert_eq!((jobs.rows.len(), jobs.errors.len()), (1, 1));
}

#[test]
fn signals_and_limits() {
    let end = |name: &str| {
        let row = only(name);
        (row.status, row.cause)
    };
    assert_eq!(end("qacct_segv"), (Some(ExitStatus::Signal(11)), None));
    assert_eq!(end("qacct_hrt"), (Some(ExitStatus::Signal(9)), Some(Cause::Timeout)));
    assert_eq!(end("qacct_srt"), (Some(ExitStatus::Signal(10)), Some(Cause::Timeout)));
    assert_eq!(end("qacct_hrt_signals_trapped"), (Some(ExitStatus::Signal(9)), Some(Cause::Timeout)));
    assert_eq!(end("qacct_vmem_killed"), (Some(ExitStatus::Signal(9)), Some(Cause::OutOfMemory)));
    // One process alone that asks for too much is refused it, and ends as it likes.
    assert_eq!(end("qacct_vmem_refused"), (Some(ExitStatus::Exit(1)), None));
    assert_eq!(end("qacct_notify"), (Some(ExitStatus::Signal(9)), None));
    assert_eq!(end("qacct_fail3"), (Some(ExitStatus::Exit(3)), None));
    // A job after one that failed ran: -hold_jid waits for the end only.
    assert_eq!(end("qacct_hold_on_failing"), (Some(ExitStatus::Exit(0)), None));
}

#[test]
fn jobs_that_are_not_there_are_an_answer() {
    for name in
        ["qacct_missing", "qacct_missing_name", "qacct_qdel_pending", "qstat_j_missing", "qstat_j_finished"]
    {
        assert_eq!(recorded(name), Jobs::default(), "{name}");
    }
    let unknown = b"<?xml version='1.0'?>\n<unknown_jobs xmlns:xsd=\"x\">\n  <>\n    <ST_name>9</ST_name>\n  </>\n</unknown_jobs>\n";
    assert_eq!(jobs("qstat -j 9 -xml", &output(0, unknown, "")), Jobs::default());
}

#[test]
fn a_dead_qmaster_is_out_of_reach_whatever_was_asked() {
    let down = names().into_iter().filter(|name| {
        ["qmdown_", "badport_", "noroot_", "unsetroot_"].iter().any(|begin| name.starts_with(begin))
    });
    let mut seen = 0;
    for name in down {
        let recording = load(&name);
        let read = read(&recording.cmd, &recording.output);
        assert!(matches!(read, Err(DialectError::Unreachable { .. })), "{name}: {read:?}");
        seen += 1;
    }
    assert!(seen >= 11, "{seen}");
}

#[test]
fn replies_on_stdout() {
    let known = "ann has deleted job 88\n";
    let unknown = "denied: job \"89\" does not exist\n";
    let both = output(1, format!("{known}{unknown}").as_bytes(), "");
    assert_eq!(kind("qdel 88 89", &both), Some(RefusalKind::UnknownJob));
    assert_eq!(read("qmod -cj 71", &load("qmod_clear_error").output), Ok(Reading::Done));
    assert_eq!(read("qdel 91", &load("qdel_again_while_dr").output), Ok(Reading::Done));
    assert_eq!(kind("qrls 999999", &load("qrls_missing").output), Some(RefusalKind::UnknownJob));
    assert_eq!(kind("qhold 89", &load("qhold_not_owner").output), Some(RefusalKind::NoPermission));
}

#[test]
fn an_unreadable_answer_to_a_plain_name_may_be_a_lost_one() {
    let lost = output(1, b"", "Unable to run job: Error reading answer list from qmaster\nExiting.\n");
    assert_eq!(kind("qsub -terse -N job.caaaaaaaaaa job.sh", &lost), Some(RefusalKind::TryAgain));
    assert_eq!(kind("qsub -terse -N 'two words' job.sh", &lost), Some(RefusalKind::BadRequest));
}

#[test]
fn what_no_queue_can_run_is_over_the_limit() {
    let recording = load("qsub_w_e_unsat");
    assert_eq!(kind(&recording.cmd, &recording.output), Some(RefusalKind::OverLimit));
}

#[test]
fn an_id_needs_its_whole_line() {
    for (code, stdout, want) in [
        (0, "4711\n", Some("4711")),
        (0, "warning: something\n4711.1-50:1\n", Some("4711")),
        (0, "", None),
        (0, "4711 4712\n", None),
        (0, "4711\n4712\n", None),
    ] {
        let output = output(code, stdout.as_bytes(), "");
        let id = match read("qsub -terse job.sh", &output) {
            Ok(Reading::Submitted(RemoteId(id))) => Some(id),
            _ => None,
        };
        assert_eq!(id.as_deref(), want, "{stdout:?}");
    }
    // With -sync the exit code is the job's.
    let ended =
        output(7, b"Your job 24 (\"bash\") has been submitted\n", "Job 24 exited with exit code 7.\n");
    assert_eq!(read("qsub -sync y x", &ended), Ok(Reading::Submitted(RemoteId("24".into()))));
    assert!(read("qsub x", &ended).is_err());
}

#[test]
fn the_version_is_in_the_help() {
    let help = output(0, b"SGE 8.1.9\nusage: qstat [options]\n", "");
    let Ok(Reading::Site(site)) = read("qstat -help", &help) else { panic!() };
    assert_eq!(site.version.as_deref(), Some("SGE 8.1.9"));
}

#[test]
fn hosts_and_queues_make_a_site() {
    // The recording has jobs in it; `-q` alone prints the same without them.
    let recording = load("qhost_xml");
    let Ok(Reading::Site(site)) = read("qhost -xml -q", &recording.output) else { panic!() };
    let queue = |name: &str| site.partitions.iter().find(|queue| queue.name == name).unwrap();
    assert_eq!(site.partitions.len(), 2);
    let all = queue("all.q");
    assert_eq!((all.nodes, all.cores, all.cores_per_node, all.up), (Some(1), Some(8), Some(8), Some(true)));
    assert_eq!(queue("long.q").cores, Some(2));
    assert_eq!(all.mem_per_node.map(MemSize::as_mb), Some(24_064));
}
