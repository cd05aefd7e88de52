//! Job names with odd characters.

use cluster_tests::Site;

#[test]
fn a_name_may_be_any_text() {
    let site = Site::new();
    let long = "x".repeat(300);
    let names = [
        "plain-1.2_3",
        "with blank",
        "7 digits",
        "ümläut 🎉",
        "it's \"quoted\"",
        "a|b|c",
        "two\nlines",
        "tab\there",
        "%j %x $HOME `id`",
        "a/b:c@d*e?f\\g",
        "--parsable",
        "#PBS -l",
        &long,
    ];
    let batches: Vec<String> =
        names.iter().map(|name| site.submit([&format!("--name={name}"), "--", "true"])).collect();
    let mut wait = vec!["wait"];
    wait.extend(batches.iter().map(String::as_str));
    site.cluster(&wait).good();
    for (name, batch) in names.iter().zip(&batches) {
        let job = site.job(batch);
        assert_eq!((job["state"].as_str(), job["name"].as_str()), (Some("succeeded"), Some(*name)), "{job}");
    }
}

#[test]
fn jobs_of_others_with_odd_names_do_no_harm() {
    let site = Site::new();
    let gate = site.fifo("gate");
    let text = format!("#!/bin/sh\n{}\n", gate.wait_text());
    let script = site.script("theirs.sh", &text);
    // As far as each scheduler takes them.
    for name in ["a|b", "x 1", "two\nlines", "'", "<b>&amp;", "ü"] {
        let call = site.program(site.kind().submit()).args([site.kind().name_option(), name]);
        let _ = call.args(site.kind().bare_words()).arg(&script).end();
    }
    let batch = site.submit(["--", "echo", "ours"]);
    site.cluster(["wait", &batch]).good();
    site.cluster(["queue", "--all"]).good();
    gate.let_go(6);
}
