//! How fast a large queue is read; run it in release: `cargo test --release -p cluster-backend-sge -- --ignored`.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use cluster_backend_sge::Sge;
use cluster_core::ExitStatus;
use cluster_core::dialect::{Dialect, Reading};
use cluster_core::host::Output;
use quick_xml::events::Event;

const ROWS: usize = 100_000;

fn queue() -> String {
    let mut text =
        "<?xml version='1.0'?>\n<job_info  xmlns:xsd=\"x\">\n  <queue_info>\n  </queue_info>\n  <job_info>\n"
            .to_owned();
    for job in 1..=ROWS {
        let _ = write!(
            text,
            "    <job_list state=\"pending\">\n      <JB_job_number>{job}</JB_job_number>\n      \
             <JAT_prio>0.25000</JAT_prio>\n      <JB_name>sweep.caaaaaaaaaa</JB_name>\n      \
             <JB_owner>hpcuser</JB_owner>\n      <state>qw</state>\n      \
             <JB_submission_time>2026-11-20T17:36:07</JB_submission_time>\n      <queue_name></queue_name>\n      \
             <slots>1</slots>\n      <full_job_name>sweep.caaaaaaaaaa</full_job_name>\n      \
             <hard_request name=\"h_rt\" resource_contribution=\"0.000000\">172800</hard_request>\n      \
             <binding>NONE</binding>\n    </job_list>\n"
        );
    }
    text.push_str("  </job_info>\n</job_info>\n");
    text
}

fn best(mut run: impl FnMut()) -> Duration {
    (0..5)
        .map(|_| {
            let begin = Instant::now();
            run();
            begin.elapsed()
        })
        .min()
        .expect("five runs")
}

#[test]
#[ignore = "a measurement: in release, on a quiet machine"]
fn a_large_queue_takes_at_most_twice_a_bare_pass() {
    let text = queue();
    let bytes = text.len();
    let bare = best(|| {
        let mut reader = quick_xml::Reader::from_str(&text);
        let mut events = 0;
        while !matches!(reader.read_event().unwrap(), Event::Eof) {
            events += 1;
        }
        assert!(events > ROWS);
    });
    let output = Output {
        status: ExitStatus::Exit(0),
        stdout: text.clone().into_bytes(),
        stderr: Vec::new(),
        truncated: false,
    };
    let argv = ["qstat", "-xml", "-r", "-u", "*"].map(OsString::from);
    let ours = best(|| match Sge::default().read(&argv, &output) {
        Ok(Reading::Jobs(jobs)) => assert_eq!(jobs.rows.len(), ROWS),
        other => panic!("{other:?}"),
    });
    let rate = |time: Duration| bytes as f64 / 1e6 / time.as_secs_f64();
    println!(
        "bare {:.0} MB/s, rows {:.0} MB/s, ratio {:.2}",
        rate(bare),
        rate(ours),
        rate(ours) / rate(bare)
    );
    assert!(ours <= bare * 2);
}
