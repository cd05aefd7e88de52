//! Exit codes are reported as they were, and no code makes a job run twice.

use cluster_tests::{Site, state_of};

/// Those that some scheduler takes for something else, or prints as another one.
const ODD: [i32; 5] = [99, 100, 137, 200, 255];

#[test]
fn codes_of_single_jobs() {
    let site = Site::new();
    let ran = site.path("ran");
    let codes: Vec<i32> = [0, 1, 3].into_iter().chain(ODD).collect();
    let text = |code: i32| format!("echo {code} >> '{}'; exit {code}", ran.display());
    let batches: Vec<String> = codes.iter().map(|&code| site.submit(["--sh", &text(code)])).collect();
    let mut wait = vec!["wait"];
    wait.extend(batches.iter().map(String::as_str));
    site.cluster(&wait).code(1);
    for (code, batch) in codes.iter().zip(&batches) {
        let job = site.job(batch);
        let wanted = if *code == 0 { "succeeded".to_owned() } else { format!("failed exit {code}") };
        assert_eq!(state_of(&job), wanted, "{job}");
        assert_eq!(job["run"], 1, "{job}");
    }
    let mut lines: Vec<i32> =
        std::fs::read_to_string(&ran).unwrap().lines().map(|line| line.parse().unwrap()).collect();
    lines.sort_unstable();
    assert_eq!(lines, codes, "each ran once");
}

#[test]
fn codes_of_an_arrays_elements() {
    let site = Site::new();
    let ran = site.path("ran");
    let codes =
        ["0", "1", "2", "3", "99", "100", "126", "127", "128", "129", "137", "143", "200", "254", "255"];
    let text = format!("echo {{}} >> '{}'; exit {{}}", ran.display());
    let mut words = vec!["--sh", &text, ":::"];
    words.extend(codes);
    let batch = site.map(words);
    site.cluster(["wait", &batch]).code(1);
    let states: Vec<String> = site.jobs(&batch).iter().map(state_of).collect();
    let wanted: Vec<String> = codes
        .iter()
        .map(|code| if *code == "0" { "succeeded".to_owned() } else { format!("failed exit {code}") })
        .collect();
    assert_eq!(states, wanted);
    assert_eq!(std::fs::read_to_string(&ran).unwrap().lines().count(), codes.len());
}

#[test]
fn run_ends_with_the_jobs_code() {
    let site = Site::new();
    for code in [0, 1, 99, 255] {
        site.cluster(["run", "--quiet", "--sh", &format!("exit {code}")]).code(code);
    }
}

#[test]
fn a_command_that_is_not_there() {
    let site = Site::new();
    site.cluster(["run", "--", "no-such-command-7"]).code(127).says(["no-such-command-7"]);
    assert_eq!(site.state("last"), "failed exit 127");
    let plain = site.file("plain.txt", "no program\n").display().to_string();
    site.cluster(["run", "--", &plain]).code(126).says(["plain.txt"]);
}

#[test]
fn a_signal_of_its_own() {
    let site = Site::new();
    let batch = site.map(["--sh", "kill -{} $$", ":::", "KILL", "SEGV", "TERM"]);
    site.cluster(["wait", &batch]).code(1);
    let codes: Vec<_> = site.jobs(&batch).iter().map(|job| job["exit_code"].as_i64()).collect();
    assert_eq!(codes, [Some(137), Some(139), Some(143)]);
    assert_eq!(site.count(&batch, "failed"), 3);
}
