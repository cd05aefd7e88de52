//! A root that vanishes, fills or hangs stops only its own jobs.

use std::fs;
use std::path::Path;

use cluster_tests::{Call, Fifo, World, small_disk};

/// `cluster` on another root of the same world.
fn on(world: &World, root: &Path, words: &[&str]) -> Call {
    world.call(["--root"]).arg(root).args(words)
}

fn trouble(world: &World, root: &Path) -> Option<String> {
    let status = world.status();
    let roots = status["roots"].as_array().unwrap();
    let one = roots.iter().find(|one| one["path"] == root.to_str().unwrap())?;
    one["trouble"].as_str().map(str::to_owned)
}

#[test]
fn a_root_that_vanishes_stops_only_its_own() {
    let world = World::new();
    let said = world.fifo("said");
    let gate = world.fifo("gate");
    let (there, away) = (world.path("other"), world.path("away"));
    let text = format!("{}; {}; exit 3", said.say_text("up"), gate.wait_text());
    on(&world, &there, &["submit", "--cores", "2", "--sh", &text]).end().good();
    on(&world, &there, &["submit", "--cores", "2", "--sh", &said.say_text("second")]).end().good();
    on(&world, &there, &["submit", "--hold", "--", "true"]).end().good();
    said.hear();
    fs::rename(&there, &away).unwrap();
    gate.let_go(1);
    // The others go on.
    world.cluster(["map", "--quiet", "--range", "1-20", "--", "true"]).good();
    // A runner of a later day finds it gone, says so, and serves the others.
    world.cluster(["local", "restart"]).good();
    world.cluster(["run", "--", "true"]).good();
    // It comes back: nothing of it was lost.
    fs::rename(&away, &there).unwrap();
    on(&world, &there, &["release", "3"]).end().good();
    on(&world, &there, &["wait", "1", "2", "3"]).end().code(1);
    let job = |id: &str| on(&world, &there, &["show", "--json", id]).end().good().json();
    assert_eq!(cluster_tests::state_of(&job("1")), "failed exit 3", "{}", job("1"));
    // What could not start says that it never ran; a code that no command gave would be a lie.
    let second = job("2");
    let state = cluster_tests::state_of(&second);
    assert!(state == "succeeded" || (second["reason"].is_string() && !state.contains("exit")), "{second}");
    assert_eq!(cluster_tests::state_of(&job("3")), "succeeded");
    on(&world, &there, &["db", "check"]).end().good();
}

#[test]
fn a_root_that_is_removed_stops_only_its_own() {
    let world = World::new();
    let said = world.fifo("said");
    let gate = world.fifo("gate");
    let gone = world.path("gone");
    on(&world, &gone, &["submit", "--sh", &format!("{}; {}", said.say_text("up"), gate.wait_text())])
        .end()
        .good();
    on(&world, &gone, &["map", "--detach", "--range", "1-50", "--sh", ": {}; true"]).end().good();
    said.hear();
    // The runner may just be writing into it.
    cluster_tests::wait_for("the root is gone", || {
        let _ = fs::remove_dir_all(&gone);
        !gone.exists()
    });
    gate.let_go(1);
    world.cluster(["map", "--quiet", "--range", "1-20", "--", "true"]).good();
    world.cluster(["local", "restart"]).good();
    world.cluster(["run", "--", "echo", "fine"]).good().prints("fine\n");
    on(&world, &gone, &["ls", "--json"]).end().good().prints("");
}

#[test]
fn a_full_disk_stops_only_its_own_and_it_works_again() {
    let world = World::new();
    let Some(disk) = small_disk(&world.path("disk"), 3000, "a root on a full disk") else { return };
    let full = disk.path().join("root");
    let said = world.fifo("said");
    let gate = world.fifo("gate");
    let runs = world.path("runs");
    let text = format!("{}; {}; echo x >> {}; exit 3", said.say_text("up"), gate.wait_text(), runs.display());
    on(&world, &full, &["map", "--detach", "--range", "1-3", "--", "sh", "-c", &text]).end().good();
    said.hear();
    said.hear();
    let ballast = disk.fill();
    let refused = on(&world, &full, &["submit", "--", "true"]).end();
    assert_eq!(refused.code, 5, "{}", refused.err());
    assert!(refused.err().to_lowercase().contains("space"), "{}", refused.err());
    gate.let_go(3);
    // The others go on.
    world.cluster(["map", "--quiet", "--range", "1-20", "--", "true"]).good();
    on(&world, &full, &["db", "check"]).end().good();
    fs::remove_file(ballast).unwrap();
    on(&world, &full, &["wait", "1"]).end().code(1);
    for job in on(&world, &full, &["show", "--json", "--short", "1"]).end().good().json_lines() {
        // A job whose record did not fit may be lost, but never good.
        let state = cluster_tests::state_of(&job);
        assert!(
            state == "failed exit 3" || (state.starts_with("failed") && job["reason"].is_string()),
            "{job}"
        );
    }
    assert_eq!(fs::read_to_string(&runs).unwrap().lines().count(), 3);
    on(&world, &full, &["run", "--", "echo", "again"]).end().good().prints("again\n");
    on(&world, &full, &["db", "check"]).end().good();
    assert_eq!(trouble(&world, &full), None);
    let _ = world.cluster(["local", "stop"]);
}

#[test]
fn a_disk_that_fills_under_packed_outputs() {
    let world = World::new();
    let Some(disk) = small_disk(&world.path("disk"), 4000, "packed outputs on a full disk") else { return };
    let full = disk.path().join("root");
    on(&world, &full, &["run", "--", "true"]).end().good();
    // Each writes 100 KB; the disk takes some of them.
    let text = "head -c 100000 /dev/zero; exit 0";
    let map = on(&world, &full, &["map", "--quiet", "--detach", "--range", "1-60", "--", "sh", "-c", text])
        .end()
        .good();
    assert_eq!(map.out(), "2\n");
    world.cluster(["map", "--quiet", "--range", "1-20", "--", "true"]).good();
    // Space is made by removing nothing of ours: the disk grows.
    let grow = || world.program("mount").args(["-o", "remount,size=40000k"]).arg(disk.path()).end().good();
    grow();
    let _ = on(&world, &full, &["wait", "2"]).end();
    let outputs = on(&world, &full, &["get", "--json", "2"]).end().json_lines();
    assert_eq!(outputs.len(), 60);
    for output in outputs {
        let len = output["output"].as_str().unwrap().len();
        let job = on(&world, &full, &["show", "--json", output["job"].as_str().unwrap()]).end().good().json();
        assert!(
            len == 100_000 || job["state"] == "failed" || job["reason"].is_string(),
            "silently cut to {len}: {job}"
        );
    }
    on(&world, &full, &["db", "check"]).end().good();
    let _ = world.cluster(["local", "stop"]);
}

#[test]
fn a_root_that_hangs_stops_only_its_own() {
    let world = World::new();
    let hanging = world.path("hanging");
    on(&world, &hanging, &["submit", "--hold", "--", "true"]).end().good();
    on(&world, &hanging, &["map", "--detach", "--hold", "--range", "1-8", "--", "true"]).end().good();
    // What the runner reads before it starts a job is a pipe that nobody writes: every read hangs.
    for batch in ["1", "2"] {
        let spec = hanging.join(format!("jobs/{batch}/job.0.json"));
        fs::remove_file(&spec).unwrap();
        drop(Fifo::new(&spec));
    }
    // A new runner, which has read nothing of it yet.
    world.cluster(["local", "restart"]).good();
    let release = on(&world, &hanging, &["release", "1", "2"]).start();
    let mut others = world.start(["map", "--quiet", "--range", "1-20", "--", "true"]);
    cluster_tests::wait_for("others are served", || !others.runs());
    others.end().good();
    world.cluster(["run", "--", "echo", "fine"]).good().prints("fine\n");
    drop(release);
}

#[test]
fn a_root_whose_store_hangs_stops_only_its_own() {
    let world = World::new();
    let hanging = world.path("hanging");
    on(&world, &hanging, &["submit", "--hold", "--", "true"]).end().good();
    world.kill_runner();
    let (store, aside) = (hanging.join("store.db"), hanging.join("aside.db"));
    fs::rename(&store, &aside).unwrap();
    drop(Fifo::new(&store));
    world.cluster(["local", "start"]).good();
    world.cluster(["run", "--", "echo", "fine"]).good().prints("fine\n");
    let refused = on(&world, &hanging, &["ls"]).end();
    assert_ne!(refused.code, 0);
    fs::remove_file(&store).unwrap();
    fs::rename(&aside, &store).unwrap();
}
