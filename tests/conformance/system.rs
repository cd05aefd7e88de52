//! `cluster system`, detection, and which system is taken.

use cluster_tests::{SYSTEM, Site};

#[test]
fn what_is_there() {
    let site = Site::new();
    let listed = site.cluster(["system", "ls"]).good().out();
    for name in [SYSTEM, "local", site.kind().name()] {
        assert!(listed.contains(name), "{listed}");
    }
    let shown = site.cluster(["system", "show", SYSTEM]).good().out();
    assert!(shown.contains(site.kind().submit()), "{shown}");
    let (partition, _) = site.kind().too_long();
    assert!(shown.contains(partition), "{shown}");
}

#[test]
fn a_check_submits_nothing() {
    let site = Site::new();
    let calls = site.counted(site.kind().submit());
    site.cluster(["system", "check", SYSTEM]).good();
    assert!(
        calls.lines().iter().all(|line| line.contains("version") || line.contains("help")),
        "{:?}",
        calls.lines()
    );
}

#[test]
fn a_check_says_what_is_wrong() {
    let site = Site::alone();
    let outage = site.is_down();
    site.cluster(["system", "check", SYSTEM]).code(3);
    outage.mended();
    site.cluster(["system", "check", SYSTEM]).good();
}

#[test]
fn work_does_not_go_to_a_scheduler_unasked() {
    let site = Site::new();
    let config = site.path("config/cluster/config.yaml");
    // It is found and answers, but nobody has said that it is meant.
    std::fs::write(&config, "local: { cores: 2 }\n").unwrap();
    let calls = site.counted(site.kind().submit());
    let asked = site.cluster(["submit", "--", "true"]);
    assert_eq!(asked.code, 2, "{}", asked.err());
    assert!(asked.err().contains("--system") && asked.err().contains(site.kind().name()), "{}", asked.err());
    assert_eq!(calls.count(), 0);
    site.cluster(["run", "--quiet", "--system", site.kind().name(), "--", "true"]).good();
    assert_eq!(site.job("last")["system"], site.kind().name());
    site.cluster(["run", "--quiet", "--system", "local", "--", "true"]).good();
}

#[test]
fn commands_can_be_named() {
    let site = Site::new();
    let calls = site.counted(site.kind().submit());
    let moved = site.path("moved");
    std::fs::rename(site.path("first").join(site.kind().submit()), &moved).unwrap();
    let config = site.path("config/cluster/config.yaml");
    let text = std::fs::read_to_string(&config).unwrap();
    let named = format!("commands: {{ {}: {} }}, scheduler:", site.kind().submit(), moved.display());
    std::fs::write(&config, text.replace("scheduler:", &named)).unwrap();
    site.cluster(["run", "--quiet", "--", "true"]).good();
    assert_eq!(calls.count(), 1);
    let shown = site.cluster(["system", "show", SYSTEM]).good().out();
    assert!(shown.contains(&moved.display().to_string()), "{shown}");
}

#[test]
fn a_cluster_can_be_required() {
    let site = Site::new();
    let config = site.path("config/cluster/config.yaml");
    std::fs::write(&config, "require_cluster: true\nlocal: { cores: 2 }\n").unwrap();
    // Nothing of a scheduler on PATH.
    std::fs::create_dir_all(site.path("tools")).unwrap();
    for tool in ["sh", "env", "cat"] {
        std::os::unix::fs::symlink(format!("/bin/{tool}"), site.path("tools").join(tool)).unwrap();
    }
    let call = |words: &[&str]| site.call(words).env("PATH", site.path("tools")).end();
    call(&["submit", "--", "true"]).code(3).says(["sbatch", "qsub"]);
    call(&["submit", "--system", "cluster", "--", "true"]).code(3);
}
