//! Whose the files are, and who may talk to the runner.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::Path;

use cluster_tests::{World, is_root, skipped};

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn directories_are_private_and_files_nobody_elses() {
    let world = World::new();
    let line = format!("umask 022; exec '{}' \"$@\"", cluster_tests::binary().display());
    let cluster = |words: &[&str]| world.program("sh").args(["-c", &line, "sh"]).args(words).end().good();
    cluster(&["run", "--quiet", "--", "true"]);
    cluster(&["map", "--quiet", "--range", "1-100", "--", "echo", "{}"]);
    assert_eq!(mode(&world.root()), 0o700);
    assert_eq!(mode(&world.queue()), 0o700);
    for name in ["runner.log", "lock", "slots"] {
        assert_eq!(mode(&world.queue().join(name)) & 0o077, 0, "{name}");
    }
    assert!(fs::symlink_metadata(world.queue().join("socket")).unwrap().file_type().is_socket());
    assert_eq!(mode(&world.queue().join("socket")) & 0o077, 0, "socket");
    assert_eq!(mode(&world.root().join("store.db")) & 0o077, 0, "store.db");
    // The directories keep all out; what holds the environment has to do so by itself, too.
    for batch in ["1", "2"] {
        for entry in fs::read_dir(world.root().join("jobs").join(batch).join("env")).unwrap() {
            let path = entry.unwrap().path();
            assert_eq!(mode(&path), 0o600, "{}", path.display());
        }
    }
    for dir in ["jobs", "jobs/1", "jobs/1/0", "jobs/1/env", "events", "events/new", "events/tmp", "lib"] {
        assert_eq!(mode(&world.root().join(dir)), 0o700, "{dir}");
    }
}

#[test]
fn the_umask_is_the_submitters() {
    let world = World::new();
    for (umask, wanted) in [("022", 0o644), ("077", 0o600), ("002", 0o664)] {
        let line = format!("umask {umask}; exec '{}' \"$@\"", cluster_tests::binary().display());
        let cluster = |words: &[&str]| world.program("sh").args(["-c", &line, "sh"]).args(words).end().good();
        // Through job.sh, and bare.
        cluster(&["run", "--quiet", "--", "touch", &format!("run-{umask}")]);
        cluster(&["map", "--quiet", "--range", "1-60", "--", "touch", &format!("map-{umask}-{{}}")]);
        assert_eq!(mode(&world.work().join(format!("run-{umask}"))), wanted);
        for i in [1, 30, 60] {
            assert_eq!(mode(&world.work().join(format!("map-{umask}-{i}"))), wanted, "{umask} {i}");
        }
    }
}

#[test]
fn another_user_neither_talks_to_the_runner_nor_reads_jobs() {
    if !is_root() {
        return skipped("another user", "only root can be another user");
    }
    let world = World::new();
    let gate = world.fifo("gate");
    world.submit(["--sh", &format!("echo secret; {}", gate.wait_text())]);
    world.wait_state("1", "running");
    // All the way down to them is open, so that only they themselves keep others out.
    for dir in ["", "config", "config/cluster", "home", "work", "data", "state", "cache"] {
        fs::set_permissions(world.path(dir), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let copy = world.path("cluster");
    fs::copy(cluster_tests::binary(), &copy).unwrap();
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).unwrap();
    let nobody = || world.program("setpriv").args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
    for path in ["jobs/1/0/0.0.out", "jobs/1/job.0.sh", "store.db"] {
        let outcome = nobody().arg("cat").arg(world.root().join(path)).end();
        assert_ne!(outcome.code, 0, "{path}");
        assert!(outcome.stdout.is_empty());
    }
    for words in
        [&["ls"][..], &["local", "status"], &["cancel", "1"], &["submit", "--", "true"], &["local", "stop"]]
    {
        let outcome = nobody().arg(&copy).args(words).end();
        assert_ne!(outcome.code, 0, "{words:?}: {}", outcome.out());
    }
    // Even where the directory lets them in, the runner does not answer: it looks who asks.
    fs::set_permissions(world.queue(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(world.queue().join("socket"), fs::Permissions::from_mode(0o777)).unwrap();
    let outcome = nobody().arg(&copy).args(["local", "stop"]).end();
    assert_ne!(outcome.code, 0, "{}", outcome.out());
    let script = "import socket,sys\ns=socket.socket(socket.AF_UNIX)\ns.settimeout(20)\ns.connect(sys.argv[1])\n\
        m=b'\"status\"'\ntry:\n s.sendall(len(m).to_bytes(4,'little')+m)\n d=s.recv(100)\nexcept OSError: d=b''\nprint(d)";
    if Path::new("/usr/bin/python3").exists() {
        let asked =
            nobody().arg("/usr/bin/python3").args(["-c", script]).arg(world.queue().join("socket")).end();
        assert!(!asked.out().contains("pid"), "{}", asked.out());
    }
    fs::set_permissions(world.queue(), fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(world.status()["jobs"]["running"], 1);
    assert_eq!(fs::metadata(world.queue()).unwrap().uid(), 0);
    gate.let_go(1);
    world.cluster(["wait", "1"]).good();
}

#[test]
fn what_cannot_be_written_is_named_as_the_user_named_it() {
    let world = World::new();
    world.cluster(["run", "--quiet", "--", "echo", "x"]).good();
    fs::create_dir(world.work().join("dir")).unwrap();
    for words in [&["get", "1", "--to"][..], &["logs", "1", "--export"], &["db", "export", "--to"]] {
        world.call(words).arg("none/out").end().code(5).says(["cannot write", "none/out: "]);
        world.call(words).args(["dir", "--force"]).end().code(2).says(["dir is a directory"]);
    }
}
