//! Every job's output is its own, byte for byte, whatever it does with its streams.

use cluster_tests::{World, long_form, wait_for};

/// Runs `text` as 40 jobs, many of them bare, and as one through job.sh; both must print `wanted`.
#[track_caller]
fn alike(text: &str, out: &str, err: &str) {
    let world = World::new();
    let run = world.cluster(["run", "--quiet", "--", "sh", "-c", text]);
    assert_eq!((run.out().as_str(), run.err().as_str()), (out, err));
    let batch = world.map(["--range", "0-39", "--", "sh", "-c", text]);
    let _ = world.cluster(["wait", &batch]);
    for (stream, wanted) in [(&["get", "--json"][..], out), (&["get", "--json", "--stderr"], err)] {
        let outputs = world.call(stream).arg(&batch).end().json_lines();
        assert_eq!(outputs.len(), 40);
        for output in outputs {
            assert_eq!(output["output"], wanted, "{output}");
        }
    }
    world.check_store();
}

#[test]
fn reopening_its_own_stdout() {
    // A file is truncated by it, a pipe is not: in both, nobody else's output may suffer.
    let world = World::new();
    let text = "echo first; echo second > /dev/stdout; echo third >> /dev/stdout; echo $CLUSTER_JOB_INDEX";
    let batch = world.map(["--range", "0-59", "--", "sh", "-c", text]);
    let _ = world.cluster(["wait", &batch]);
    for (i, output) in world.cluster(["get", "--json", &batch]).json_lines().iter().enumerate() {
        let text = output["output"].as_str().unwrap();
        assert!(text.ends_with(&format!("third\n{i}\n")), "{output}");
        assert!(text.contains("second\n"), "{output}");
        assert_eq!(text.matches("third").count(), 1);
    }
}

#[test]
fn tee_to_the_other_stream() {
    alike("echo both | tee /dev/stderr", "both\n", "both\n");
}

#[test]
fn a_job_that_closes_its_streams() {
    alike("echo before; exec >&- 2>&-; echo after; exit 0", "before\n", "");
}

#[test]
fn large_and_binary_pieces_in_turn() {
    alike(
        "for i in 1 2 3 4 5 6 7 8 9; do printf 'o%s\\0' $i; printf 'e%s' $i >&2; done",
        "o1\0o2\0o3\0o4\0o5\0o6\0o7\0o8\0o9\0",
        "e1e2e3e4e5e6e7e8e9",
    );
}

#[test]
fn late_writers_touch_nobody() {
    let world = World::new();
    let said = world.fifo("said");
    let gate = world.fifo("gate");
    world.script(
        "late.sh",
        &format!("#!/bin/sh\n{}\necho late $1; {}\n", gate.wait_text(), said.say_text("done")),
    );
    // Each leaves a child outside of its group, which writes when the job is long over.
    let batch = world.map([
        "--range",
        "0-39",
        "--",
        "sh",
        "-c",
        "setsid -f ./late.sh $CLUSTER_JOB_INDEX; echo mine $CLUSTER_JOB_INDEX",
    ]);
    world.cluster(["wait", &batch]).good();
    gate.let_go(40);
    wait_for("the late ones have written, or were refused", || {
        while said.is_heard() {
            said.hear();
        }
        !world.processes().iter().any(|pid| {
            std::fs::read(format!("/proc/{pid}/cmdline"))
                .unwrap_or_default()
                .windows(7)
                .any(|part| part == b"late.sh")
        })
    });
    // More output of others after them, in the same pack.
    world.cluster(["retry", "--all", &format!("{batch}.0")]).good();
    world.cluster(["wait", &batch]).good();
    for (i, output) in world.cluster(["get", "--json", &batch]).good().json_lines().iter().enumerate() {
        let text = output["output"].as_str().unwrap();
        let mine = format!("mine {i}\n");
        // The second child of job 0 may have been let go by what another left over, while its job still ran.
        let early = i == 0 && text == format!("late {i}\n{mine}");
        assert!(early || text == mine || text == format!("{mine}late {i}\n"), "{output}");
    }
    gate.let_go(1);
}

#[test]
fn a_late_writer_does_not_keep_its_job() {
    let world = World::new();
    let gate = world.fifo("gate");
    world.script("hold.sh", &format!("#!/bin/sh\n{}\n", gate.wait_text()));
    // It holds the streams open; the jobs end all the same.
    world
        .cluster(["map", "--quiet", "--range", "0-39", "--", "sh", "-c", "setsid -f ./hold.sh; exit 0"])
        .good();
    world.cluster(["run", "--quiet", "--", "sh", "-c", "setsid -f ./hold.sh; echo on"]).good().prints("on\n");
    gate.let_go(41);
}

#[test]
fn much_output_is_whole() {
    let world = World::new();
    let (lines, jobs) = if long_form() { (150_000_000_u64, 1) } else { (7_000_000, 1) };
    // About 55 MB in the short form, 1.3 GB in the long one; it is summed, never held.
    let text = format!("seq {lines}");
    let wanted = world.program("sh").args(["-c", &format!("{text} | cksum")]).end().good().out();
    world.cluster(["map", "--quiet", "--range", &format!("1-{jobs}"), "--", "sh", "-c", &text]).good();
    let bin = cluster_tests::binary().display();
    for command in ["get 1", "logs 1.0"] {
        // In less memory than it is long.
        let line = format!("ulimit -d 40000; '{bin}' {command} | cksum");
        let sum = world.program("sh").args(["-c", &line]).end().good().out();
        assert_eq!(sum, wanted, "{command}");
    }
}

#[test]
fn a_line_longer_than_memory_is_shown() {
    let world = World::new();
    // 60 MB between two short lines, and no line feed at the end.
    let text = "echo first; head -c 60000000 /dev/zero | tr '\\0' x; printf '\\nlast'";
    world.cluster(["map", "--quiet", "--range", "1-1", "--", "sh", "-c", text]).good();
    let bin = cluster_tests::binary().display();
    for (command, wanted) in [
        ("logs 1.0 --tail 1", "4"),
        ("logs 1.0 --tail 2", "60000005"),
        ("logs 1.0 --tail 9", "60000011"),
        ("logs 1.0 --prefix", "60000026"),
        ("logs 1.0 --grep xy", "0"),
        ("logs 1.0 --grep xx", "60000001"),
        ("logs 1.0 --grep . --tail 2", "60000005"),
        ("get 1 --json", "60000079"),
    ] {
        // In less memory than the line is long.
        let line = format!("ulimit -d 40000; '{bin}' {command} | wc -c");
        let count = world.program("sh").args(["-c", &line]).end().good().out();
        assert_eq!(count.trim(), wanted, "{command}");
    }
}

#[test]
fn much_output_of_bare_jobs_is_whole() {
    let world = World::new();
    // Above the 1 MiB that is held in memory, and at its edge, after short ones that turn the batch bare.
    let text = "case $CLUSTER_JOB_INDEX in 30) head -c 1048576 /dev/zero;; 31) head -c 1048577 /dev/zero;; \
        32) head -c 5000000 /dev/zero;; *) echo $CLUSTER_JOB_INDEX;; esac";
    world.cluster(["map", "--quiet", "--range", "0-39", "--", "sh", "-c", text]).good();
    let bin = cluster_tests::binary().display();
    for (index, len) in [(30, 1_048_576), (31, 1_048_577), (32, 5_000_000), (33, 3)] {
        let count = world.program("sh").args(["-c", &format!("'{bin}' logs 1.{index} | wc -c")]).end().good();
        assert_eq!(count.out().trim(), len.to_string(), "1.{index}");
    }
}

#[test]
fn many_outputs_stay_apart() {
    let world = World::new();
    let outcome = world
        .cluster(["map", "--range", "1-400", "--", "sh", "-c", "echo out $1; echo err $1 >&2", "sh"])
        .good();
    let wanted = |word: &str| (1..=400).map(|i| format!("{word} {i}\n")).collect::<String>();
    assert_eq!(outcome.out(), wanted("out"));
    let err: String = outcome
        .err()
        .lines()
        .filter(|line| line.starts_with("err"))
        .map(|line| format!("{line}\n"))
        .collect();
    assert_eq!(err, wanted("err"));
}

#[test]
fn a_bare_run_and_a_job_differ_in_no_byte() {
    let world = World::new();
    let text =
        "printf 'a\\0b\\r\\n\\377'; printf '\\033[1m' >&2; ls /nowhere; cat < /dev/null; printf %s \"$0\"";
    let bare = world.program("sh").args(["-c", text]).end();
    let job = world.cluster(["run", "--quiet", "--", "sh", "-c", text]);
    assert_eq!((&job.stdout, &job.stderr, job.code), (&bare.stdout, &bare.stderr, bare.code));
    for i in 0..30 {
        let out = world.cluster(["map", "--quiet", "--output", "files", "--", "sh", "-c", text, ":::", "x"]);
        assert_eq!(out.code, bare.code);
        if i > 1 {
            break;
        }
    }
    // What job.sh itself said would be here.
    let log = std::fs::read(world.root().join("jobs/1/0.sched")).unwrap_or_default();
    assert!(log.is_empty(), "{}", String::from_utf8_lossy(&log));
}

#[test]
fn what_cd_remembers_is_no_part_of_the_environment() {
    let world = World::new();
    world.cluster(["run", "--quiet", "--", "env"]).good();
    let shown = world.cluster(["logs", "1"]).good().out();
    assert!(!shown.contains("OLDPWD"), "{shown}");
}
