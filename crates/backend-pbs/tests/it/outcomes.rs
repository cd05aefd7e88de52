//! How jobs are, and how they ended. Each test is an observed fact.

use cluster_backend_pbs::{OpenPbs, Torque};
use cluster_core::dialect::{Dialect, Tasks};
use cluster_core::{Cause, ExitStatus, JobState};

use crate::support::{end, job, jobs, record};

#[test]
fn ended_by_itself() {
    let exit = |code| (JobState::Failed, Some(ExitStatus::Exit(code)), None);
    let pbs = |code: i64| end(&OpenPbs, &format!("job_state = F | substate = 93 | Exit_status = {code}"));
    assert_eq!(
        end(&OpenPbs, "job_state = F | substate = 92 | Exit_status = 0"),
        (JobState::Succeeded, Some(ExitStatus::Exit(0)), None)
    );
    for code in [1, 44, 127, 137, 143, 254, 255] {
        assert_eq!(pbs(i64::from(code)), exit(code));
        assert_eq!(end(&Torque, &format!("job_state = C | exit_status = {code}")), exit(code));
    }
    assert_eq!(pbs(265), (JobState::Failed, Some(ExitStatus::Signal(9)), None));
    assert_eq!(pbs(99_999_999_999), (JobState::Failed, None, None));
}

#[test]
fn ended_by_qdel() {
    let cancelled = |status| (JobState::Failed, status, Some(Cause::Cancelled));
    for (attributes, status) in [
        ("job_state = F | substate = 91 | Exit_status = 271", Some(ExitStatus::Signal(15))),
        ("job_state = F | substate = 93 | Exit_status = 271", Some(ExitStatus::Signal(15))),
        ("job_state = F | substate = 91 | Exit_status = 143", Some(ExitStatus::Exit(143))),
        ("job_state = F | comment = x and terminated by u@h | Exit_status = 0", Some(ExitStatus::Exit(0))),
        ("job_state = F | substate = 91 | Hold_Types = n", None),
        ("job_state = F | substate = 91 | Hold_Types = s | depend = afterok:2.srv@srv", None),
    ] {
        assert_eq!(end(&OpenPbs, attributes), cancelled(status), "{attributes}");
    }
    // Torque: the same number at the time limit, so that it names nothing.
    assert_eq!(
        end(&Torque, "job_state = C | exit_status = 271"),
        (JobState::Failed, Some(ExitStatus::Signal(15)), None)
    );
    assert_eq!(end(&Torque, "job_state = C"), cancelled(None));
}

#[test]
fn ended_by_the_node_daemon() {
    for (code, cause) in [
        (-1, Some(Cause::NodeFailure)),
        (-2, Some(Cause::NodeFailure)),
        (-3, Some(Cause::NodeFailure)),
        (-4, Some(Cause::NodeFailure)),
        (-11, Some(Cause::NodeFailure)),
        (-17, Some(Cause::Cancelled)),
        (-18, Some(Cause::NodeFailure)),
        (-19, Some(Cause::Cancelled)),
        (-24, None),
        (-26, Some(Cause::OutOfMemory)),
        (-27, Some(Cause::OutOfMemory)),
        (-28, Some(Cause::Timeout)),
        (-29, Some(Cause::Timeout)),
        (-77, None),
    ] {
        let attributes = format!("job_state = F | substate = 93 | Exit_status = {code}");
        assert_eq!(end(&OpenPbs, &attributes), (JobState::Failed, None, cause), "{code}");
    }
    for (code, cause) in [
        (-3, Some(Cause::NodeFailure)),
        (-10, Some(Cause::OutOfMemory)),
        (-11, Some(Cause::Timeout)),
        (-12, Some(Cause::Timeout)),
    ] {
        let attributes = format!("job_state = C | exit_status = {code}");
        assert_eq!(end(&Torque, &attributes), (JobState::Failed, None, cause), "{code}");
    }
}

#[test]
fn deleted_for_its_dependency() {
    let never = (JobState::Failed, None, Some(Cause::DependencyNeverSatisfied));
    assert_eq!(
        end(&OpenPbs, "job_state = F | substate = 92 | Hold_Types = s | depend = afterok:999999.srv@srv"),
        never
    );
    assert_eq!(
        end(
            &Torque,
            "job_state = C | comment = Job deleted as result of dependency on job 44.vm | exit_status = 271"
        ),
        never
    );
}

#[test]
fn an_array_tells_nothing_of_its_elements() {
    let ended = record("4[].srv", "job_state = F | substate = 93 | Exit_status = 0 | array = True");
    let row = job(&OpenPbs, &ended);
    assert_eq!((row.tasks, row.state, row.status, row.cause), (Tasks::Whole, JobState::Failed, None, None));
    let row_of_torque = record("4[].vm", "job_state = C");
    let row = job(&Torque, &row_of_torque);
    assert_eq!((row.state, row.status, row.cause), (JobState::Unknown, None, None));
}

#[test]
fn an_element_without_a_record_of_its_own_has_not_its_arrays_start_or_status() {
    let shared = "stime = Fri Nov 20 17:12:01 2026 | exec_host = h/1 | comment = Job Array Began at Fri Nov 20 at 17:12";
    let queued = record("4[7].srv", &format!("job_state = Q | {shared} | Exit_status = 1"));
    let row = job(&OpenPbs, &queued);
    assert_eq!((row.state, row.started, row.hosts.as_ref()), (JobState::Queued, None, ""));
    assert_eq!((row.job.as_ref(), row.tasks, row.reason.as_ref()), ("4[].srv", Tasks::One(7), ""));
    let ended = record("4[7].srv", &format!("job_state = X | {shared} | Exit_status = 0"));
    let row = job(&OpenPbs, &ended);
    assert_eq!((row.state, row.status, row.cause), (JobState::Unknown, None, None));
    // What became of it is in the comment, or in that the history has no record of its own.
    let said = |comment: &str, line: &str| {
        let output = record("4[7].srv", &format!("job_state = X | comment = {comment} | Exit_status = 0"));
        let row = jobs(&OpenPbs, line, &output).rows.remove(0);
        (row.state, row.status, row.cause)
    };
    let cancelled = (JobState::Failed, None, Some(Cause::Cancelled));
    assert_eq!(said("Subjob terminated", "qstat -t -f"), cancelled);
    assert_eq!(said("Subjob failed", "qstat -t -f"), (JobState::Failed, None, None));
    assert_eq!(said("Subjob finished", "qstat -t -f"), (JobState::Unknown, None, None));
    assert_eq!(said("Subjob finished", "qstat -x -t -f"), cancelled);
    let held = record("4[7].srv", "job_state = Q | Hold_Types = u");
    assert_eq!(job(&OpenPbs, &held).state, JobState::Held);
    let own = record("4[7].srv", "job_state = X | Exit_status = 3 | array_id = 4[].srv | array_index = 7");
    assert_eq!(job(&OpenPbs, &own).status, Some(ExitStatus::Exit(3)));
}

#[test]
fn alive_until_it_is_over() {
    let state = |dialect: &dyn Dialect, attributes: &str| {
        let output = record("1.srv", attributes);
        let row = job(dialect, &output);
        (row.state, row.uncertain, row.status)
    };
    for (dialect, attributes, want, uncertain) in [
        (
            &OpenPbs as &dyn Dialect,
            "job_state = E | substate = 51 | Exit_status = 5",
            JobState::Running,
            false,
        ),
        (&OpenPbs, "job_state = R | Hold_Types = u", JobState::Running, false),
        (&OpenPbs, "job_state = H | Hold_Types = u", JobState::Held, false),
        (&OpenPbs, "job_state = H | Hold_Types = us", JobState::Held, false),
        (&OpenPbs, "job_state = H | Hold_Types = s | depend = afterok:2.srv", JobState::Queued, false),
        (&OpenPbs, "job_state = W", JobState::Queued, false),
        (&OpenPbs, "job_state = T", JobState::Queued, false),
        (&OpenPbs, "job_state = S", JobState::Suspended, true),
        (&OpenPbs, "job_state = U", JobState::Suspended, true),
        (&OpenPbs, "job_state = M", JobState::Unknown, true),
        (&OpenPbs, "job_state = C | exit_status = 0", JobState::Unknown, true),
        (&OpenPbs, "job_state = XY", JobState::Unknown, true),
        (&Torque, "job_state = F | Exit_status = 0", JobState::Unknown, true),
        (&Torque, "job_state = S", JobState::Suspended, true),
    ] {
        assert_eq!(state(dialect, attributes), (want, uncertain, None), "{attributes}");
    }
}

#[test]
fn the_reason_is_the_comment_or_what_is_waited_for() {
    let output =
        record("1.srv", "job_state = Q | comment = Can Never Run: Insufficient amount of resource: ncpus");
    assert_eq!(job(&OpenPbs, &output).reason, "Can Never Run: Insufficient amount of resource: ncpus");
    let waits = record("1.srv", "job_state = H | Hold_Types = s | depend = afterok:2.srv@srv");
    assert_eq!(job(&OpenPbs, &waits).reason, "afterok:2.srv@srv");
    let waited_for = record("1.srv", "job_state = Q | depend = beforeok:2.srv@srv");
    assert_eq!(job(&OpenPbs, &waited_for).reason, "");
    let undelivered =
        record("1.srv", "job_state = F | comment = Job run | Stageout_status = 0 | Exit_status = 0");
    assert_eq!(job(&OpenPbs, &undelivered).reason, "Job run; its files were not delivered");
}

#[test]
fn the_log_names_the_cause() {
    let cause = |text: &str| Torque.cause_in_log(text.as_bytes());
    assert_eq!(
        cause("a\n=>> PBS: job killed: walltime 65 exceeded limit 60\nTerminated\n"),
        Some(Cause::Timeout)
    );
    assert_eq!(cause("=>> PBS: job killed: mem 200000kb exceeded limit 51200kb\n"), Some(Cause::OutOfMemory));
    assert_eq!(cause("=>> PBS: job killed: ncpus 3.1 exceeded limit 1 (sum)\n"), None);
    assert_eq!(cause("walltime exceeded, says the program\n"), None);
    assert_eq!(cause(""), None);
}
