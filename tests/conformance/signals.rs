//! Which signals a command gets, and how often.

use cluster_tests::{Kind, Site, is_alive, wait_for};

/// A script that writes a line for each TERM it gets, and goes on.
fn counting(site: &Site, said: &cluster_tests::Fifo) -> String {
    let terms = site.path("terms").display().to_string();
    format!("trap 'echo TERM >> \"{terms}\"' TERM; {}; while :; do sleep 0.02; done", said.say_text("$$"))
}

fn terms(site: &Site) -> usize {
    std::fs::read_to_string(site.path("terms")).unwrap_or_default().lines().count()
}

#[test]
fn cancel_says_term_once() {
    let site = Site::new();
    let said = site.fifo("said");
    let batch = site.submit(["--sh", &counting(&site, &said)]);
    let pid: u32 = said.hear().parse().unwrap();
    site.cluster(["cancel", &batch]).good();
    site.cluster(["wait", &batch]).code(1);
    wait_for("the command has ended", || !is_alive(pid));
    assert_eq!(terms(&site), site.kind().terms());
    assert_eq!(site.state(&batch), "failed cancelled");
}

#[test]
fn the_time_limit_says_term_once() {
    let site = Site::new();
    let said = site.fifo("said");
    let batch = site.submit(["--time", site.kind().short_limit(), "--sh", &counting(&site, &said)]);
    let pid: u32 = said.hear().parse().unwrap();
    wait_for("the time limit ends the command", || !is_alive(pid));
    site.cluster(["wait", &batch]).code(1);
    assert_eq!(terms(&site), site.kind().terms());
    assert_eq!(site.state(&batch), "failed timeout");
}

#[test]
fn a_program_that_makes_the_best_of_the_time_limit() {
    let site = Site::new();
    let text = "trap 'echo saved; exit 0' TERM; while :; do sleep 0.02; done";
    let batch = site.submit(["--time", site.kind().short_limit(), "--sh", text]);
    site.cluster(["wait", &batch]).code(1);
    assert_eq!(site.state(&batch), "failed timeout");
    if site.kind() != Kind::Sge {
        site.cluster(["logs", &batch]).good().prints("saved\n");
    }
}

#[test]
fn a_program_that_makes_the_best_of_a_cancel() {
    let site = Site::new();
    let said = site.fifo("said");
    let text =
        format!("trap 'echo saved; exit 0' TERM; {}; while :; do sleep 0.02; done", said.say_text("up"));
    let batch = site.submit(["--sh", &text]);
    said.hear();
    site.cluster(["cancel", &batch]).good();
    site.cluster(["wait", &batch]).code(1);
    assert_eq!(site.state(&batch), "failed cancelled");
}
