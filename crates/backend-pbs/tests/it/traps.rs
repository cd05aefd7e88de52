//! What is printed, and how it misleads. Each test is an observed fact.

use std::time::Duration;

use cluster_backend_pbs::{OpenPbs, Torque};
use cluster_core::dialect::{Dialect, DialectError, HostCores};
use cluster_core::{Cause, MemSize, Timestamp, Walltime};

use crate::support::{job, jobs, output, record};

#[test]
fn a_wrapped_value_is_put_together_byte_by_byte() {
    let text = "Job Id: 1.srv\n    job_state = F\n    comment = Job run and exceeded \n\tresource wall\n\ttime\n    Exit_status = 9\n\n";
    let output = output(0, text, "");
    let row = job(&OpenPbs, &output);
    assert_eq!(row.reason, "Job run and exceeded resource walltime");
    assert_eq!(row.cause, Some(Cause::Timeout));
    assert_eq!(row.text, text.trim_end());
}

#[test]
fn a_line_of_a_value_that_looks_like_an_attribute_breaks_its_record_alone() {
    let text = "Job Id: 1.srv\n    job_state = R\n    Variable_List = A=x\n    job_state = F\n    Exit_status = 0\n\nJob Id: 2.srv\n    job_state = Q\n\n";
    let output = output(0, text, "");
    let jobs = jobs(&OpenPbs, "qstat -f", &output);
    assert_eq!(jobs.rows.len(), 1);
    assert_eq!(jobs.rows[0].id, "2.srv");
    assert_eq!(jobs.errors.len(), 1);
    assert!(matches!(jobs.errors[0], DialectError::Syntax { line: 1, .. }), "{:?}", jobs.errors);
}

#[test]
fn bytes_that_are_no_text_do_not_cost_the_job() {
    for (line, text) in [
        ("qstat -f", &b"Job Id: 1.srv\n    Job_Name = caf\xe9\n    job_state = Q\n"[..]),
        ("qstat -f -F dsv", b"Job Id: 1.srv|Job_Name=caf\xe9|job_state=Q\n"),
        ("qstat -f -F json", b"{\"Jobs\":{\"1.srv\":{\"Job_Name\":\"caf\xe9\",\"job_state\":\"Q\"}}}"),
    ] {
        let output = output(0, text, "");
        let jobs = jobs(&OpenPbs, line, &output);
        assert_eq!((jobs.rows.len(), jobs.errors.len()), (1, 0), "{line}");
        assert_eq!(jobs.rows[0].name, "caf\u{fffd}");
    }
    let xml = b"<Data><Job><Job_Id>1.vm</Job_Id><Job_Name>caf\xe9</Job_Name><job_state>Q</job_state></Job><Job><Job_Id>2.vm</Job_Id><job_state>R</job_state></Job></Data>";
    let output = output(0, &xml[..], "");
    let jobs = jobs(&Torque, "qstat -x", &output);
    assert_eq!(jobs.errors, []);
    assert_eq!((jobs.rows[0].name.as_ref(), jobs.rows[1].id.as_ref()), ("caf\u{fffd}", "2.vm"));
}

#[test]
fn a_name_that_became_a_number_is_a_name() {
    let output = output(
        0,
        r#"{"Jobs":{"1.srv":{"Job_Name":123,"job_state":"Q"},"2.srv":{"Job_Name":1e999,"job_state":"R"}}}"#,
        "",
    );
    let names: Vec<_> =
        jobs(&OpenPbs, "qstat -f -F json", &output).rows.iter().map(|row| row.name.clone()).collect();
    assert_eq!(names, ["123", "1e999"]);
}

#[test]
fn a_broken_json_record_costs_itself_alone() {
    let text = "{\n\t\"Jobs\":\t{\n\t\t\"1.srv\":\t{\n\t\t\t\"job_state\":\t\"Q\"\n\t\t},\n\t\t\"2.srv\":\t{\n\t\t\t\"job_state\":\tx y\n\t\t},\n\t\t\"3.srv\":\t{\n\t\t\t\"job_state\":\t\"R\"\n\t\t}\n\t}\n}\n";
    let output = output(0, text, "");
    let jobs = jobs(&OpenPbs, "qstat -f -F json", &output);
    let ids: Vec<_> = jobs.rows.iter().map(|row| row.id.as_ref()).collect();
    assert_eq!(ids, ["1.srv", "3.srv"]);
    assert_eq!(jobs.errors.len(), 1);
}

#[test]
fn the_tag_is_found_and_only_ours() {
    let tag = |list: &str| {
        let output = record("1.srv", &format!("job_state = Q | Variable_List = {list}"));
        job(&OpenPbs, &output).comment.map(String::from)
    };
    let ours = Some("caaaaaaaaaa".to_owned());
    assert_eq!(tag("A=1,CLUSTER_TAG=caaaaaaaaaa,B=2"), ours);
    assert_eq!(tag("CLUSTER_TAG=caaaaaaaaaa"), ours);
    assert_eq!(tag("A=x\\,CLUSTER_TAG=caaaaaaaaaa"), None);
    assert_eq!(tag("A=x\\\\,CLUSTER_TAG=caaaaaaaaaa"), ours);
    assert_eq!(tag("MY_CLUSTER_TAG=caaaaaaaaaa"), None);
    assert_eq!(tag("CLUSTER_TAG=nonsense"), None);
    let json = output(
        0,
        r#"{"Jobs":{"1.srv":{"job_state":"Q","Variable_List":{"A":1,"A":2,"CLUSTER_TAG":"caaaaaaaaaa"}}}}"#,
        "",
    );
    assert_eq!(jobs(&OpenPbs, "qstat -f -F json", &json).rows[0].comment.as_deref(), Some("caaaaaaaaaa"));
}

#[test]
fn torque_numbers_the_names_of_elements() {
    let output = record("5[12].vm", "Job_Name = my-job-12 | job_state = R | job_array_id = 12");
    assert_eq!(job(&Torque, &output).name, "my-job");
    let other = record("5[2].vm", "Job_Name = my-job-12 | job_state = R | job_array_id = 2");
    assert_eq!(job(&Torque, &other).name, "my-job-12");
}

#[test]
fn amounts_and_dates() {
    let output = record(
        "1.srv",
        "Job_Owner = u@h.x | job_state = R | ctime = Thu Feb 29 23:59:59 2024 | stime = Sun Nov  1 00:00:00 2026 | Resource_List.walltime = 277777:46:39 | Resource_List.mem = 100mw | resources_used.mem = 512001kb | resources_used.cput = 100:00:01 | run_count = 3 | Resource_List.nodes = 2:ppn=4+n7:ppn=2",
    );
    let row = job(&OpenPbs, &output);
    assert_eq!(row.user, "u");
    assert_eq!(row.submitted, Some(Timestamp::from_secs(1_709_251_199)));
    assert_eq!(row.started, Some(Timestamp::from_secs(1_793_491_200)));
    assert_eq!(row.time_limit.and_then(Walltime::as_secs), Some(999_999_999));
    assert_eq!((row.mem, row.mem_used), (Some(MemSize::from_mb(800)), Some(MemSize::from_mb(501))));
    assert_eq!(row.cpu_time, Some(Duration::from_secs(360_001)));
    assert_eq!((row.restarts, row.cores), (Some(2), Some(10)));
}

#[test]
fn when_a_job_started_is_no_reason() {
    let reason = |attributes: &str| job(&Torque, &record("1.vm", attributes)).reason.into_owned();
    let started = "comment = Job started on Fri Nov 20 at 17:31";
    assert_eq!(reason(&format!("job_state = R | {started}")), "");
    assert_eq!(reason(&format!("job_state = C | exit_status = 1 | {started}")), "");
    assert_eq!(reason(&format!("job_state = C | exit_status = -3 | {started}")), "exit status -3");
    assert_eq!(
        reason(&format!("job_state = Q | {started}; then more")),
        "Job started on Fri Nov 20 at 17:31; then more"
    );
}

#[test]
fn hosts_unfold() {
    let core = |host: &str, cores| HostCores { host: host.to_owned(), cores };
    assert_eq!(
        OpenPbs.hosts("h/3*2+g/0-3+m/1+h/7").unwrap(),
        [core("h", Some(3)), core("g", Some(4)), core("m", Some(1))]
    );
    assert_eq!(Torque.hosts("n1/0-1,5+n2").unwrap(), [core("n1", Some(3)), core("n2", None)]);
    assert_eq!(OpenPbs.hosts("").unwrap(), []);
    assert_eq!(OpenPbs.hosts("h/0-4000000000*4000000000").unwrap(), [core("h", Some(u32::MAX))]);
    for wrong in ["h/", "/3", "h/3-1", "h/x", "h/1*", "a b/1", "+", "h/1++g/1"] {
        assert!(OpenPbs.hosts(wrong).is_err(), "{wrong}");
    }
}
