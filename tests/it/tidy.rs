//! `clean`, `rm`, `gc`: what goes, what stays, what is refused.

use std::fs;
use std::os::unix::fs::symlink;

use cluster_tests::World;

#[test]
fn clean_removes_files_and_keeps_what_is_known() {
    let world = World::new();
    world.cluster(["run", "--quiet", "--", "sh", "-c", "echo x; exit 3"]).code(3);
    let dir = world.root().join("jobs/1");
    let dry = world.cluster(["clean", "--dry-run", "1"]).good();
    dry.says(["nothing was"]);
    assert!(dir.join("0/0.0.out").exists());
    // It asks, and without somebody to answer does nothing.
    world.cluster(["clean", "1"]).code(2).says(["--yes"]);
    world.call(["clean", "1"]).stdin("y\n").end().code(2);
    assert!(dir.join("0/0.0.out").exists());
    let ask = format!("'{}' clean 1", cluster_tests::binary().display());
    let asked = world.program("script").args(["-qec", &ask, "/dev/null"]).stdin("n\n").end();
    assert!(asked.out().contains("nothing was removed"), "{}", asked.out());
    assert!(dir.join("0/0.0.out").exists());
    world.cluster(["clean", "--yes", "1"]).good();
    assert!(!dir.exists());
    assert_eq!(world.state("1"), "failed exit 3");
    assert!(world.job("1")["cleaned"].is_i64());
    world.check_store();
}

#[test]
fn single_jobs_are_cleaned() {
    let world = World::new();
    world.cluster(["map", "--quiet", "--output", "files", "--range", "1-3", "--", "echo", "{}"]).good();
    world.cluster(["clean", "--yes", "1.1"]).good();
    let files = world.root().join("jobs/1/0");
    assert!(!files.join("1.0.out").exists() && files.join("0.0.out").exists());
    world.cluster(["logs", "1.2"]).good().prints("3\n");
    world.cluster(["rm", "--yes", "1.1"]).code(2).says(["whole batches"]);
}

#[test]
fn rm_removes_all_of_a_batch() {
    let world = World::new();
    world.cluster(["run", "--quiet", "--", "true"]).good();
    world.cluster(["run", "--quiet", "--", "true"]).good();
    world.cluster(["rm", "--yes", "1"]).good();
    assert_eq!(world.cluster(["ls", "--ids"]).good().out(), "2\n");
    assert!(!world.root().join("jobs/1").exists());
    world.cluster(["show", "1"]).code(2);
    // Ids are never used again.
    world.cluster(["rm", "--yes", "2"]).good();
    assert_eq!(world.submit(["--", "true"]), "3");
    world.check_store();
}

#[test]
fn what_has_not_ended_is_refused() {
    let world = World::new();
    let gate = world.fifo("gate");
    let running = world.submit(["--sh", &gate.wait_text()]);
    let held = world.submit(["--hold", "--", "true"]);
    world.wait_state(&running, "running");
    for command in ["clean", "rm"] {
        for force in [&[][..], &["--force"]] {
            for batch in [&running, &held] {
                world.call([command, "--yes", batch]).args(force).end().code(2);
            }
        }
    }
    gate.let_go(1);
    world.cluster(["wait", &running]).good();
    world.cluster(["release", &held]).good();
    world.cluster(["wait", &held]).good();
    world.cluster(["rm", "--yes", &running, &held]).good();
}

#[test]
fn what_others_wait_for_is_refused_without_force() {
    let world = World::new();
    let first = world.submit(["--", "true"]);
    world.cluster(["wait", &first]).good();
    let second = world.submit(["--hold", "--after", &first, "--", "true"]);
    for command in ["clean", "rm"] {
        world
            .cluster([command, "--yes", &first])
            .code(2)
            .says([&*format!("batch {second} waits"), "--force"]);
    }
    world.cluster(["gc", "--yes", "--older-than", "0"]).good();
    assert_eq!(world.state(&first), "succeeded");
    world.cluster(["clean", "--yes", "--force", &first]).good();
    world.cluster(["release", &second]).good();
    world.cluster(["wait", &second]).good();
}

#[test]
fn gc_removes_what_is_old_and_left_behind() {
    let world = World::new();
    world.cluster(["run", "--quiet", "--", "true"]).good();
    let held = world.submit(["--hold", "--", "true"]);
    world.cluster(["gc", "--yes"]).good().says(["nothing to remove"]);
    let stage = world.root().join("jobs/new.c0123456789");
    fs::create_dir(&stage).unwrap();
    fs::write(stage.join("x"), "left").unwrap();
    world.program("touch").args(["-d", "3 days ago"]).arg(&stage).end().good();
    world.cluster(["gc", "--dry-run"]).good();
    assert!(stage.exists());
    world.cluster(["gc", "--yes"]).good();
    assert!(!stage.exists());
    assert_eq!(world.cluster(["ls", "--ids"]).good().lines().len(), 2);
    world.cluster(["gc", "--yes", "--older-than", "0"]).good();
    assert_eq!(world.cluster(["ls", "--ids"]).good().out(), format!("{held}\n"));
    world.check_store();
}

#[test]
fn nothing_is_removed_through_a_link() {
    let world = World::new();
    let precious = world.file("precious/file", "keep me");
    let dir = world.work().join("precious");
    world.cluster(["run", "--quiet", "--", "true"]).good();
    world.cluster(["run", "--quiet", "--", "true"]).good();
    symlink(&dir, world.root().join("jobs/1/0/link")).unwrap();
    symlink(&precious, world.root().join("jobs/1/link")).unwrap();
    // A whole batch that is a link.
    fs::remove_dir_all(world.root().join("jobs/2")).unwrap();
    symlink(&dir, world.root().join("jobs/2")).unwrap();
    let _ = world.cluster(["clean", "--yes", "1", "2"]);
    let _ = world.cluster(["rm", "--yes", "1"]);
    let _ = world.cluster(["rm", "--yes", "2"]);
    let _ = world.cluster(["gc", "--yes", "--older-than", "0"]);
    assert_eq!(fs::read(&precious).unwrap(), b"keep me");
}
