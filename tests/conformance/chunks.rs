//! Batches larger than an array may be.

use cluster_tests::{Site, state_of, wait_for};

#[test]
fn an_array_of_2500_over_a_limit_of_2000() {
    let site = Site::new();
    let ran = site.path("ran");
    let calls = site.counted(site.kind().submit());
    let text = format!("echo $CLUSTER_JOB_INDEX $1 >> '{}'", ran.display());
    let batch = site.map(["--hold", "--range", "0-2499", "--", "sh", "-c", &text, "sh", "{}"]);
    assert_eq!(calls.count(), 2, "{:?}", calls.lines());
    assert_eq!(site.count(&batch, "held"), 2500);
    // Of the real ones the few at the edges are run; a mock runs them all.
    let kept: Vec<u32> = if site.is_real() {
        site.cluster(["cancel", &format!("{batch}.10-1989"), &format!("{batch}.2010-2489")]).good();
        (0..10).chain(1990..2010).chain(2490..2500).collect()
    } else {
        (0..2500).collect()
    };
    site.cluster(["release", &batch]).good();
    site.cluster(["wait", &batch]).code(if site.is_real() { 1 } else { 0 });
    let mut lines: Vec<(u32, u32)> = std::fs::read_to_string(&ran)
        .unwrap()
        .lines()
        .map(|line| line.split_once(' ').map(|(a, b)| (a.parse().unwrap(), b.parse().unwrap())).unwrap())
        .collect();
    lines.sort_unstable();
    assert_eq!(lines, kept.iter().map(|&i| (i, i)).collect::<Vec<_>>(), "each ran once, as itself");
    assert_eq!(site.count(&batch, "succeeded"), kept.len() as u64);
    for job in site.jobs(&format!("{batch}.1998-2001")) {
        assert_eq!(state_of(&job), "succeeded", "{job}");
    }
}

#[test]
fn a_limit_of_the_configuration_is_kept() {
    let site =
        Site::wished(&cluster_tests::Wish { system: "max_array_size: 10".to_owned(), ..Default::default() });
    let calls = site.counted(site.kind().submit());
    let batch = site.map(["--range", "1-25", "--sh", "echo {}"]);
    assert_eq!(calls.count(), 3, "{:?}", calls.lines());
    site.cluster(["wait", &batch]).good();
    let wanted: String = (1..=25).map(|i| format!("{i}\n")).collect();
    site.cluster(["get", &batch]).good().prints(wanted);
}

#[test]
fn retry_over_several_chunks() {
    let site =
        Site::wished(&cluster_tests::Wish { system: "max_array_size: 10".to_owned(), ..Default::default() });
    let ran = site.path("ran");
    let text = format!(
        "i={{}}; echo $i >> '{ran}'; [ $((i % 8)) != 0 ] || [ \"$(grep -cx $i '{ran}')\" = 2 ]",
        ran = ran.display()
    );
    let batch = site.map(["--range", "0-24", "--sh", &text]);
    site.cluster(["wait", &batch]).code(1);
    assert_eq!(site.count(&batch, "failed"), 4);
    let calls = site.counted(site.kind().submit());
    site.cluster(["retry", &batch]).good();
    assert_eq!(calls.count(), 1, "0, 8, 16 and 24 fit into one array: {:?}", calls.lines());
    site.cluster(["wait", &batch]).good();
    assert_eq!(std::fs::read_to_string(&ran).unwrap().lines().count(), 29);
}

#[test]
fn an_array_that_is_over_and_forgotten_is_followed_by_the_next() {
    let Some(site) = Site::mock_only_with("a scheduler that forgets at once", "max_array_size: 5") else {
        return;
    };
    site.fault("faults.forget_ended", true);
    let config = site.path("config/cluster/config.yaml");
    let text = std::fs::read_to_string(&config).unwrap() + "submit_retries: 0\n";
    std::fs::write(&config, text).unwrap();
    // The first of two arrays goes out, then nobody answers for a time.
    let (sent, gate) = (site.path("sent"), site.fifo("gate"));
    let text = format!(
        "\"$REAL\" \"$@\" || exit\n[ -e '{0}' ] || {{ touch '{0}'; {1}; }}",
        sent.display(),
        gate.wait_text()
    );
    site.wrap(site.kind().submit(), &text);
    let map = site.start(["map", "--detach", "--max-running", "1", "--range", "0-9", "--sh", "exit 0"]);
    wait_for("the jobs of the first have ended", || {
        let record = |i| std::fs::read_to_string(site.root().join(format!("jobs/1/0/{i}.0.status")));
        sent.exists() && (0..5).all(|i| record(i).unwrap_or_default().contains("end "))
    });
    let outage = site.is_down();
    gate.let_go(1);
    map.end().code(3);
    site.unwrap_command(site.kind().submit());
    outage.mended();
    site.cluster(["wait", "1.0-4"]).good();
    site.cluster(["wait", "1"]).good();
    assert_eq!(site.count("1", "succeeded"), 10);
}
