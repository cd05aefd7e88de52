//! The gate at the head of a script, where the scheduler's own dependency is not to be trusted.

use cluster_tests::{Kind, Site, Wish, skipped};

#[test]
fn a_parent_without_a_record_stops_afterok_where_the_scheduler_does_not_look() {
    let site = Site::wished(&Wish { config: "gate_wait: 1s\n".to_owned(), ..Wish::default() });
    if site.kind() == Kind::Slurm {
        return skipped("a parent without a record", "Slurm looks at the exit status itself");
    }
    let (said, mark) = (site.fifo("said"), site.path("mark"));
    // Its end is recorded nowhere: job.sh is killed with its command.
    let text = format!("{}; kill -9 $PPID $$", said.say_text("up"));
    let parent = site.submit(["--hold", "--sh", &text]);
    let child = site.submit([
        "--depends",
        &format!("afterok:{parent}"),
        "--sh",
        &format!("touch '{}'", mark.display()),
    ]);
    site.cluster(["release", &parent]).good();
    said.hear();
    site.cluster(["wait", &child]).code(1);
    assert_eq!(site.state(&child), "failed dependency_never_satisfied");
    // A start is known from the record at once: a look at the queue from just before must not make it a requeue.
    assert_eq!(site.job(&child)["run"], 1);
    assert!(!mark.exists());
}

#[test]
fn a_retried_parent_counts_as_it_ended_last() {
    let site = Site::new();
    let mark = site.path("mark");
    let text = format!("[ -e '{0}' ] || {{ touch '{0}'; exit 1; }}", mark.display());
    let parent = site.submit(["--sh", &text]);
    site.cluster(["wait", &parent]).code(1);
    site.cluster(["retry", &parent]).good();
    let child = site.submit(["--depends", &format!("afterok:{parent}"), "--", "true"]);
    site.cluster(["wait", &child]).good();
}
