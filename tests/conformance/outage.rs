//! The scheduler is down, or hangs: jobs take no harm and there is one of each.

use cluster_tests::{Site, wait_for};

fn lines(site: &Site) -> usize {
    std::fs::read_to_string(site.path("ran")).unwrap_or_default().lines().count()
}

fn marking(site: &Site) -> String {
    format!("echo x >> '{}'", site.path("ran").display())
}

#[test]
fn down_while_submitting() {
    let site = Site::alone();
    let calls = site.counted(site.kind().submit());
    let outage = site.is_down();
    let submit = site.start(["submit", "--sh", &marking(&site)]);
    wait_for("it is tried", || calls.count() > 0);
    outage.mended();
    let outcome = submit.end();
    // Tried again until it went through, or given up with the reason.
    if outcome.code == 3 {
        assert!(outcome.err().contains(site.kind().submit()), "{}", outcome.err());
        site.cluster(["retry", "last"]).good();
    } else {
        outcome.good();
    }
    site.cluster(["wait", "last"]).good();
    assert_eq!(lines(&site), 1);
}

#[test]
fn down_for_good_is_said() {
    let site = Site::alone_with("timeout: 60");
    let config = site.path("config/cluster/config.yaml");
    let text = std::fs::read_to_string(&config).unwrap() + "submit_retries: 0\n";
    std::fs::write(&config, text).unwrap();
    let outage = site.is_down();
    let refused = site.cluster(["submit", "--", "true"]).code(3);
    assert!(refused.err().contains(site.kind().submit()), "{}", refused.err());
    site.cluster(["queue"]).code(3);
    outage.mended();
    site.cluster(["queue"]).good();
}

#[test]
fn hanging_while_submitting() {
    // The command is killed; the scheduler may have taken the job, and has.
    let site = Site::alone_with("timeout: 3");
    let calls = site.counted(site.kind().submit());
    let outage = site.hangs();
    let submit = site.start(["submit", "--sh", &marking(&site)]);
    wait_for("it is tried", || calls.count() > 0);
    wait_for("the command is killed", || !site.runs_command(site.kind().submit()));
    outage.mended();
    let outcome = submit.end();
    assert!([0, 3, 7].contains(&outcome.code), "{outcome:?}");
    site.cluster(["wait", "last"]).good();
    assert_eq!(lines(&site), 1, "{:?}", calls.lines());
    assert_eq!(site.job("last")["run"], 1);
}

#[test]
fn down_while_waiting() {
    let site = Site::alone();
    let (said, gate) = (site.fifo("said"), site.fifo("gate"));
    let text = format!("{}; {}; {}", said.say_text("up"), gate.wait_text(), marking(&site));
    let batch = site.submit(["--sh", &text]);
    said.hear();
    site.wait_state(&batch, "running");
    let calls = site.counted(site.kind().query());
    let outage = site.is_down();
    let wait = site.start(["wait", &batch]);
    wait_for("it is asked for", || calls.count() > 0);
    // No answer is no news.
    let shown = site.cluster(["show", "--json", &batch]).json();
    assert_eq!(shown["state"], "running", "{shown}");
    gate.let_go(1);
    outage.mended();
    wait.end().good();
    assert_eq!(site.state(&batch), "succeeded");
    assert_eq!(lines(&site), 1);
}

#[test]
fn hanging_while_waiting() {
    let site = Site::alone_with("timeout: 3");
    let (said, gate) = (site.fifo("said"), site.fifo("gate"));
    let text = format!("{}; {}; {}; exit 5", said.say_text("up"), gate.wait_text(), marking(&site));
    let batch = site.submit(["--sh", &text]);
    said.hear();
    site.wait_state(&batch, "running");
    let calls = site.counted(site.kind().query());
    let outage = site.hangs();
    let wait = site.start(["wait", &batch]);
    wait_for("it is asked, killed, and asked again", || calls.count() > 1);
    gate.let_go(1);
    outage.mended();
    wait.end().code(1);
    assert_eq!(site.state(&batch), "failed exit 5");
    assert_eq!(lines(&site), 1);
}

#[test]
fn the_user_sees_why_nothing_happens() {
    let site = Site::alone();
    let gate = site.fifo("gate");
    let batch = site.submit(["--sh", &gate.wait_text()]);
    let outage = site.is_down();
    let waited = site.cluster(["wait", "--timeout", "8s", &batch]).code(4);
    assert!(waited.err().contains(site.kind().query()), "{}", waited.err());
    outage.mended();
    gate.let_go(1);
    site.cluster(["wait", &batch]).good();
}

#[test]
fn a_kept_script_is_sent_when_the_scheduler_is_back() {
    let site = Site::alone_with("timeout: 60");
    let config = site.path("config/cluster/config.yaml");
    let text = std::fs::read_to_string(&config).unwrap() + "submit_retries: 0\n";
    std::fs::write(&config, text).unwrap();
    let batch = site.submit(["--sh", "echo ${MARK-none}; exit 1"]);
    site.cluster(["wait", &batch]).code(1);
    let script = site.root().join(format!("jobs/{batch}/job.0.sh"));
    let text = std::fs::read_to_string(&script).unwrap();
    std::fs::write(&script, text.replacen("\numask ", "\nexport MARK=by-hand\numask ", 1)).unwrap();
    let outage = site.is_down();
    site.cluster(["retry", "--keep-script", &batch]).code(3);
    outage.mended();
    site.cluster(["wait", &batch]).code(1);
    site.cluster(["logs", &batch]).good().prints("by-hand\n");
}
