//! Limits: of a job, and of a partition.

use cluster_tests::{Kind, Site, refuses_over_limit, state_of};

/// OpenPBS of a job that no node of it can run.
const NEVER_RUNS: &str = "Can Never Run: Insufficient amount of resource: ncpus (R: 5000 A: 16 T: 16)";

/// A site that refuses what is over a limit; `None` where the real Slurm was started to take everything.
fn refusing() -> Option<Site> {
    if !refuses_over_limit() {
        cluster_tests::skipped("refusals", "this Slurm was started with EnforcePartLimits=NO");
        return None;
    }
    Some(Site::new())
}

/// A Slurm that takes everything: a real one started so, or a mock told so.
fn taking() -> Option<Site> {
    let slurm = Kind::given() == Kind::Slurm;
    if cluster_tests::is_real() {
        return (slurm && !refuses_over_limit()).then(Site::new);
    }
    let site = slurm.then(Site::new)?;
    site.fault("limits.enforce_queue_limits", false);
    Some(site)
}

/// What was refused is over, and in no queue. A real one has other tests' jobs in it.
fn nothing_waits(site: &Site) {
    for batch in site.cluster(["ls", "--json", "--all"]).good().json_lines() {
        assert_eq!(batch["finished"], true, "{batch}");
    }
    if !site.is_real() {
        assert_eq!(site.cluster(["queue", "--ids"]).good().out(), "");
    }
}

#[test]
fn the_time_limit_ends_a_job() {
    let site = Site::new();
    let batch = site.submit(["--time", site.kind().short_limit(), "--", "sleep", "1000"]);
    site.cluster(["wait", &batch]).code(1);
    let job = site.job(&batch);
    assert_eq!(state_of(&job), "failed timeout", "{job}");
}

#[test]
fn run_at_its_time_limit_is_124() {
    let site = Site::new();
    site.cluster(["run", "--time", site.kind().short_limit(), "--", "sleep", "1000"])
        .code(124)
        .says(["timeout"]);
}

#[test]
fn the_memory_limit_ends_a_job() {
    let site = Site::new();
    let gate = site.fifo("gate");
    if !site.is_real() {
        site.fault("limits.enforce_memory", true);
    }
    // `tail` keeps all of it, for there is no line in it, and the other side stays open.
    let text = if site.is_real() && site.kind() == Kind::Sge {
        // It refuses the memory, and `tail` ends by itself: nothing would let the other side go.
        "head -c 400000000 /dev/zero | tail > /dev/null".to_owned()
    } else {
        format!("{{ head -c 400000000 /dev/zero; {}; }} | tail > /dev/null", gate.wait_text())
    };
    let batch = site.submit(["--mem", "50M", "--sh", &text]);
    site.cluster(["wait", &batch]).code(1);
    let job = site.job(&batch);
    // The real Grid Engine refuses the program the memory, and its mock kills it; the real Slurm kills it, and
    // without cgroups does not say why; Torque, too, sends TERM and names no cause.
    let causes: &[&str] = match (site.kind(), site.is_real()) {
        (Kind::Sge, true) => &["exit", "signal"],
        (Kind::Sge, false) => &["signal"],
        (Kind::Torque, false) => &["exit"],
        (_, true) => &["out_of_memory", "signal"],
        _ => &["out_of_memory"],
    };
    assert!(causes.contains(&job["cause"].as_str().unwrap()), "{job}");
    if !(site.is_real() && site.kind() == Kind::Sge) {
        gate.let_go(1);
    }
}

#[test]
fn an_unknown_partition_is_refused() {
    let site = Site::new();
    let refused = site.cluster(["submit", "--partition", "no-such-place", "--", "true"]).code(6);
    let refused = refused.says([site.kind().submit()]);
    assert!(!refused.err().contains("panicked"));
    nothing_waits(&site);
}

#[test]
fn a_time_that_is_too_long_is_refused() {
    let Some(site) = refusing() else { return };
    let (partition, time) = site.kind().too_long();
    site.cluster(["submit", "--partition", partition, "--time", time, "--", "true"]).code(6);
    nothing_waits(&site);
}

#[test]
fn a_job_that_is_too_large_is_refused() {
    let Some(site) = refusing() else { return };
    let submitted = site.cluster(["submit", "--cores", "5000", "--", "true"]);
    if submitted.code == 0 && !site.kind().refuses_too_large() {
        let batch = submitted.out().trim().to_owned();
        let waited = site.cluster(["wait", "--timeout", "2s", &batch]).code(4);
        assert_eq!(waited.err().matches(NEVER_RUNS).count(), 1, "{}", waited.err());
        assert_eq!(site.state(&batch), "queued");
        site.cluster(["cancel", &batch]).good();
        site.cluster(["wait", &batch]).code(1);
    } else {
        submitted.code(6);
    }
    nothing_waits(&site);
}

#[test]
fn a_job_that_can_never_start_says_why_once() {
    let (site, words, why) = if Kind::given() == Kind::Pbs {
        let why = "Can Never Run: Insufficient amount of resource: mem (R: ";
        (Site::new(), ["--cores", "1", "--mem", "500G"], why)
    } else if let Some(site) = taking() {
        (site, ["--partition", "short", "--time", "1h"], "PartitionTimeLimit")
    } else {
        return cluster_tests::skipped("jobs that can never start", "this scheduler refuses them");
    };
    let batch = site.submit([&words[..], &["--", "true"]].concat());
    says_why_once_and_waits(&site, &batch, why);
}

#[test]
fn a_job_in_a_stopped_partition_says_why_once() {
    if Kind::given() != Kind::Slurm {
        return cluster_tests::skipped("a stopped partition", "only Slurm's reason for it is told apart");
    }
    let site = Site::new();
    let batch = site.submit(["--partition", "maint", "--", "true"]);
    says_why_once_and_waits(&site, &batch, "PartitionDown");
}

/// Says the scheduler's reason once, and is in the queue until it is cancelled.
#[track_caller]
fn says_why_once_and_waits(site: &Site, batch: &str, why: &str) {
    let waited = site.cluster(["wait", "--timeout", "3s", batch]).code(4);
    assert_eq!(waited.err().matches(why).count(), 1, "{}", waited.err());
    assert_eq!(site.state(batch), "queued");
    site.cluster(["cancel", batch]).good();
    site.cluster(["wait", batch]).code(1);
    assert_eq!(site.state(batch), "failed cancelled");
}
