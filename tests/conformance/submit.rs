//! `run`, and `submit` with `wait`.

use cluster_tests::{Kind, SYSTEM, Site};

#[test]
fn run_is_as_if_it_ran_here() {
    let site = Site::new();
    let text = "echo out; echo err >&2; exit 3";
    let run = site.cluster(["run", "--", "sh", "-c", text]).code(3).prints("out\n");
    assert!(run.err().lines().any(|line| line == "err"), "{}", run.err());
    assert_eq!(site.state("last"), "failed exit 3");
    site.cluster(["run", "--quiet", "--", "true"]).good().prints("").silent();
}

#[test]
fn submit_and_wait() {
    let site = Site::new();
    let batch = site.submit(["--", "echo", "done"]);
    site.cluster(["wait", &batch]).good();
    let job = site.job(&batch);
    assert_eq!(job["state"], "succeeded", "{job}");
    assert_eq!(job["exit_code"], 0, "{job}");
    assert_eq!(job["system"], SYSTEM, "{job}");
    assert!(Site::number(job["remote_id"].as_str().unwrap()) > 0, "{job}");
    assert!(job["host"].as_str().is_some_and(|host| !host.is_empty()), "{job}");
    assert!(job["started"].as_i64().unwrap() <= job["ended"].as_i64().unwrap(), "{job}");
    site.cluster(["logs", &batch]).good().prints("done\n");
    site.check_store();
}

#[test]
fn the_system_can_be_named() {
    let site = Site::new();
    site.cluster(["run", "--quiet", "--system", SYSTEM, "--", "true"]).good();
    assert!(site.job("last")["remote_id"].is_string());
    site.cluster(["run", "--quiet", "--system", "local", "--", "true"]).good();
    assert!(site.job("last")["remote_id"].is_null());
    site.cluster(["run", "--system", "nowhere", "--", "true"]).code(2).says(["nowhere"]);
    // Any scheduler, never this machine.
    site.cluster(["run", "--quiet", "--system", "cluster", "--", "true"]).good();
    assert_eq!(site.job("last")["system"], SYSTEM);
}

#[test]
fn the_streams_are_kept_apart_byte_for_byte() {
    let site = Site::new();
    let all: String = (0..=255).map(|byte: u32| format!(r"\{byte:03o}")).collect();
    let text = format!("printf '{all}'; printf 'oops\\n\\n' >&2; printf 'end'; printf '{all}' >&2; exit 7");
    let bare = site.program("sh").args(["-c", &text]).end().code(7);
    let batch = site.submit(["--", "sh", "-c", &text]);
    site.cluster(["wait", &batch]).code(1);
    site.cluster(["logs", &batch]).good().prints(&bare.stdout);
    site.cluster(["logs", "--stderr", &batch]).good().prints(&bare.stderr);
}

#[test]
fn the_directory_is_ours_or_the_one_named() {
    let site = Site::new();
    std::fs::create_dir_all(site.work().join("a b/$(c)")).unwrap();
    let here = site.program("pwd").end().out();
    site.cluster(["run", "--quiet", "--", "pwd"]).good().prints(&here);
    let there = format!("{}/a b/$(c)\n", here.trim());
    site.cluster(["run", "--quiet", "--chdir", "a b/$(c)", "--", "pwd"]).good().prints(there);
}

#[test]
fn a_script_comes_with_its_words() {
    let site = Site::new();
    site.file("job.sh", "#!/bin/sh\nprintf '%s|' \"$#\" \"$@\"\n");
    let batch = site.submit(["job.sh", "a b", "", "-n"]);
    site.cluster(["wait", &batch]).good();
    site.cluster(["logs", &batch]).good().prints("3|a b||-n|");
}

#[test]
fn standard_input_goes_along() {
    let site = Site::new();
    let bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    site.call(["run", "--quiet", "--stdin", "--", "cat"]).stdin(bytes.clone()).end().good().prints(&bytes);
}

#[test]
fn a_job_that_is_over_before_anybody_looked() {
    let site = Site::new();
    let said = site.fifo("said");
    let batch = site.submit(["--sh", &format!("echo quick; {}", said.say_text("over"))]);
    said.hear();
    site.cluster(["wait", &batch]).good();
    assert_eq!(site.state(&batch), "succeeded");
    site.cluster(["logs", &batch]).good().prints("quick\n");
}

#[test]
fn one_call_a_submission() {
    let site = Site::new();
    let calls = site.counted(site.kind().submit());
    site.cluster(["run", "--quiet", "--", "true"]).good();
    assert_eq!(calls.count(), 1);
    let batch = site.map(["--range", "1-100", "--hold", "--", "true"]);
    assert_eq!(calls.count(), 2, "{:?}", calls.lines());
    site.cluster(["cancel", &batch]).good();
}

#[test]
fn output_comes_while_the_job_runs() {
    let site = Site::new();
    let gate = site.fifo("gate");
    let mut run =
        site.start(["run", "--quiet", "--sh", &format!("echo early; {}; echo late", gate.wait_text())]);
    assert_eq!(run.first_bytes(6), b"early\n");
    gate.let_go(1);
    run.end().good().prints("late\n");
}

#[test]
fn cores_are_asked_for() {
    let site = Site::new();
    let text =
        "echo $CLUSTER_TOT_NCORES ${SLURM_CPUS_PER_TASK:-${NSLOTS:-${NCPUS:-${PBS_NP:-$PLAIN_CORES}}}}";
    let run = site
        .cluster(["run", "--quiet", "--cores", "2", "--mem", "300M", "--time", "5m", "--", "sh", "-c", text]);
    let printed = run.good().out();
    let words: Vec<&str> = printed.split_whitespace().collect();
    assert_eq!(words.first(), Some(&"2"), "{printed}");
    // What Torque tells a job differs from version to version.
    if site.kind() != Kind::Torque {
        assert_eq!(words.get(1), Some(&"2"), "{printed}");
    }
}

#[test]
fn a_dry_look_at_the_script() {
    let site = Site::new();
    let batch = site.submit(["--hold", "--time", "5m", "--", "true"]);
    let script = site.cluster(["show", "--script", &batch]).good().out();
    let prefix = match site.kind() {
        Kind::Slurm => "#SBATCH",
        Kind::Pbs | Kind::Torque => "#PBS",
        Kind::Sge => "#$",
        Kind::Sample => "#PLAIN",
    };
    assert!(script.lines().any(|line| line.starts_with(prefix) && line.contains("5:00")), "{script}");
    site.cluster(["cancel", &batch]).good();
}

#[test]
fn options_that_the_scheduler_has_no_word_for_are_named() {
    let site = Site::new();
    let asked = |strict: &[&str]| {
        site.call(["submit", "--pin", "--grace", "5", "--durable"]).args(strict).args(["--", "true"]).end()
    };
    let said = asked(&["--dry-run"]).good().says(["--grace: ", "--pin: ", "no effect"]);
    assert!(!said.err().contains("--durable"), "{}", said.err());
    let said = asked(&["--strict"]).code(2).prints("");
    assert!(said.err().contains("--pin: ") || said.err().contains("--grace: "), "{}", said.err());
    assert!(said.err().contains("(--strict)"), "{}", said.err());
    assert_eq!(site.cluster(["ls", "--ids", "--all"]).good().out(), "");
    // What was not asked for is no loss.
    let said = site.cluster(["submit", "--dry-run", "--", "true"]).good();
    assert!(!said.err().contains("--grace") && !said.err().contains("--pin"), "{}", said.err());
}
