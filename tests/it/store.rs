//! The job store: check, export, unlock, path; damaged, newer, read-only, on a full disk.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use cluster_tests::{World, execute, is_root, skipped, small_disk};

fn store(world: &World) -> PathBuf {
    world.root().join("store.db")
}

/// A world with a batch in its store, and no runner.
fn with_store() -> World {
    let world = World::new();
    world.cluster(["map", "--quiet", "--range", "1-5", "--", "echo", "{}"]).good();
    world.cluster(["local", "stop"]).good();
    // All of it in its one file, whoever looked at it last.
    execute(&store(&world), "PRAGMA wal_checkpoint(TRUNCATE)");
    world
}

#[test]
fn a_stopped_runner_leaves_a_whole_store() {
    let world = World::new();
    world.cluster(["run", "--quiet", "--", "true"]).good();
    world.cluster(["local", "stop"]).good();
    let log = world.root().join("store.db-wal");
    assert_eq!(fs::metadata(&log).map_or(0, |file| file.len()), 0, "whoever copies store.db has nothing");
}

/// All that lies in a root but SQLite's own shared memory, with its bytes.
fn snapshot(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(snapshot(&path));
        } else if !path.to_string_lossy().ends_with("-shm") {
            all.push((path.clone(), fs::read(&path).unwrap()));
        }
    }
    all.sort();
    all
}

#[test]
fn the_files_of_a_batch_that_the_store_lost_are_not_run_by_another() {
    let world = with_store();
    let backup = fs::read(store(&world)).unwrap();
    world.cluster(["run", "--quiet", "--", "echo", "lost"]).good();
    world.cluster(["local", "stop"]).good();
    execute(&store(&world), "PRAGMA wal_checkpoint(TRUNCATE)");
    fs::write(store(&world), backup).unwrap();
    // Its number is given again, and what lies under it is another's.
    let said = world.cluster(["run", "--", "echo", "mine"]).code(125);
    said.says(["jobs/2 is there already, of a batch that the store lost: submit again"]).prints("");
    assert_eq!(fs::read_to_string(world.root().join("jobs/2/cmd/0.sh")).unwrap().matches("lost").count(), 1);
    world.cluster(["run", "--", "echo", "mine"]).good().prints("mine\n");
    assert_eq!(world.state("3"), "succeeded");
}

#[test]
fn check_export_and_path() {
    let world = with_store();
    world.cluster(["db", "check"]).good();
    let report = world.cluster(["db", "check", "--json"]).good().json();
    assert_eq!((&report["sound"], &report["jobs"]), (&true.into(), &5.into()), "{report}");
    assert_eq!(world.cluster(["db", "path"]).good().out().trim(), store(&world).to_str().unwrap());
    let lines = world.cluster(["db", "export"]).good().json_lines();
    assert!(lines.len() >= 2, "{lines:?}");
    world.cluster(["db", "export", "--to", "out.jsonl"]).good();
    assert_eq!(fs::read_to_string(world.work().join("out.jsonl")).unwrap().lines().count(), lines.len());
    world.cluster(["db", "unlock"]).good().says(["no lock"]);
}

#[test]
fn a_lock_of_a_dead_process_is_removed_one_of_a_living_is_not() {
    let world = with_store();
    let lock = world.root().join("store.lock");
    fs::write(&lock, "rubbish").unwrap();
    let outcome = world.cluster(["db", "unlock"]);
    assert!(outcome.code != 0 || !lock.exists(), "{}", outcome.err());
    world.cluster(["db", "unlock", "--force"]).good();
    assert!(!lock.exists());
}

#[test]
fn a_damaged_store_is_named_and_left_alone() {
    let world = with_store();
    for damage in ["no database", "cut", "scribbled"] {
        let whole = fs::read(store(&world)).unwrap();
        let bytes = match damage {
            "no database" => b"this is no database at all\n".repeat(400),
            "cut" => whole[..whole.len() / 2 + 100].to_vec(),
            _ => {
                let mut bytes = whole.clone();
                bytes[100..4096].fill(0xa5);
                bytes
            }
        };
        for end in ["-wal", "-shm"] {
            let _ = fs::remove_file(format!("{}{end}", store(&world).display()));
        }
        fs::write(store(&world), &bytes).unwrap();
        let before = snapshot(&world.root());
        let path = store(&world);
        for words in
            [&["ls"][..], &["show", "1"], &["submit", "--", "true"], &["run", "--", "true"], &["db", "check"]]
        {
            let outcome = world.cluster(words);
            assert!(
                matches!(outcome.code, 5 | 125),
                "{damage}: {words:?} {} {}",
                outcome.code,
                outcome.err()
            );
            if damage == "no database" {
                let outcome = outcome.says([path.to_str().unwrap(), "db export"]);
                assert!(
                    outcome.err().contains("damaged") || outcome.err().contains("not in order"),
                    "{}",
                    outcome.err()
                );
            }
        }
        assert!(fs::read(store(&world)).unwrap() == bytes, "{damage}: the damaged store was written to");
        let jobs = |all: Vec<(PathBuf, Vec<u8>)>| {
            all.into_iter().filter(|(path, _)| path.starts_with(world.root().join("jobs/1")))
        };
        assert!(jobs(before).eq(jobs(snapshot(&world.root()))), "{damage}: files of jobs have changed");
        let _ = world.cluster(["local", "stop"]);
        fs::write(store(&world), &whole).unwrap();
        for end in ["-wal", "-shm"] {
            let _ = fs::remove_file(format!("{}{end}", store(&world).display()));
        }
        world.cluster(["db", "check"]).good();
    }
    world.cluster(["run", "--quiet", "--", "echo", "again"]).good().prints("again\n");
}

#[test]
fn a_newer_store_is_refused_and_not_touched() {
    let world = with_store();
    execute(&store(&world), "PRAGMA user_version = 9999");
    let bytes = fs::read(store(&world)).unwrap();
    for words in [&["ls"][..], &["submit", "--", "true"], &["db", "check"]] {
        world.cluster(words).code(5).says(["9999", "newer"]);
    }
    assert!(fs::read(store(&world)).unwrap() == bytes, "it was written to");
}

/// Runs as nobody where we are root: root may write what is read-only.
fn read_only(world: &World, words: &[&str]) -> cluster_tests::Outcome {
    if !is_root() {
        return world.cluster(words);
    }
    let call = world.program("setpriv").args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
    call.arg(world.path("cluster")).args(words).env("CLUSTER_QUEUE_DIR", world.path("nobody/queue")).end()
}

#[test]
fn a_read_only_root_is_a_clear_error() {
    let world = with_store();
    // Everything is readable by all, and writable by none.
    let mode = |path: &Path, mode: u32| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    fs::copy(cluster_tests::binary(), world.path("cluster")).unwrap();
    mode(&world.path("cluster"), 0o755);
    fs::create_dir(world.path("nobody")).unwrap();
    mode(&world.path("nobody"), 0o777);
    for dir in ["", "config", "config/cluster", "home", "work"] {
        mode(&world.path(dir), 0o755);
    }
    fn all(dir: &Path, mode: &dyn Fn(&Path, u32)) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                all(&path, mode);
                mode(&path, 0o555);
            } else {
                mode(&path, 0o444);
            }
        }
    }
    all(&world.root(), &mode);
    mode(&world.root(), 0o555);
    let before = snapshot(&world.root());
    let looked = read_only(&world, &["ls", "--ids", "--offline"]);
    assert!(looked.code == 0 || looked.code == 5, "{} {}", looked.code, looked.err());
    for words in [&["submit", "--", "true"][..], &["cancel", "1"]] {
        let outcome = read_only(&world, words);
        assert!(matches!(outcome.code, 5 | 3), "{words:?} {} {}", outcome.code, outcome.err());
        let talk = outcome.err().to_lowercase();
        assert!(
            talk.contains("root")
                && (talk.contains("permission") || talk.contains("writ") || talk.contains("read")),
            "{talk}"
        );
    }
    assert!(snapshot(&world.root()) == before, "a read-only root has changed");
    let dirs = |mode: u32| {
        for dir in ["", "jobs", "jobs/1"] {
            fs::set_permissions(world.root().join(dir), fs::Permissions::from_mode(mode)).unwrap();
        }
    };
    dirs(0o755);
}

#[test]
fn a_full_disk_is_a_clear_error_and_it_works_again() {
    let world = World::new();
    let Some(disk) = small_disk(&world.path("disk"), 2000, "a store on a full disk") else { return };
    let root = disk.path().join("root");
    let on = |words: &[&str]| world.call(["--root"]).arg(&root).args(words).end();
    on(&["map", "--quiet", "--range", "1-20", "--", "true"]).good();
    let ballast = disk.fill();
    for words in [&["submit", "--", "true"][..], &["map", "--range", "1-100000", "--detach", "--", "true"]] {
        let outcome = on(words);
        assert_eq!(outcome.code, 5, "{words:?} {}", outcome.err());
        assert!(outcome.err().to_lowercase().contains("space"), "{}", outcome.err());
    }
    // What is there can be read.
    assert_eq!(on(&["ls", "--ids", "--limit", "100"]).good().lines()[0], "1");
    on(&["db", "check"]).good();
    fs::remove_file(ballast).unwrap();
    on(&["run", "--quiet", "--", "echo", "again"]).good().prints("again\n");
    on(&["db", "check"]).good();
    world.cluster(["local", "stop"]).good();
}

#[test]
fn another_journal_is_used_nowhere_by_chance() {
    if !Path::new("/dev/shm").is_dir() {
        return skipped("a root in memory", "there is no /dev/shm");
    }
    let world = World::new();
    let dir = tempfile_in("/dev/shm");
    let root = dir.path().join("root");
    world
        .call(["--root"])
        .arg(&root)
        .args(["run", "--quiet", "--", "echo", "here"])
        .end()
        .good()
        .prints("here\n");
    world.cluster(["local", "stop"]).good();
}

fn tempfile_in(dir: &str) -> tempfile::TempDir {
    tempfile::Builder::new().prefix("cluster-it-").tempdir_in(dir).unwrap()
}

#[test]
fn a_store_made_anew_beside_old_files_counts_on_from_them() {
    let world = World::new();
    for empty in [false, true] {
        world.cluster(["run", "--quiet", "--", "echo", "old"]).good();
        world.cluster(["local", "stop"]).good();
        // As a damaged one is moved away, and as a loss of power leaves it.
        for name in ["store.db", "store.db-wal", "store.db-shm"] {
            let _ = fs::remove_file(world.root().join(name));
        }
        if empty {
            fs::write(store(&world), "").unwrap();
        }
        world.cluster(["run", "--", "echo", "new"]).good().prints("new\n");
        world.cluster(["map", "--", "echo", "new", ":::", "a", "b"]).good().prints("new a\nnew b\n");
        world.cluster(["local", "stop"]).good();
    }
    let ids = world.cluster(["ls", "--ids"]).good().out();
    assert_eq!(ids.split_whitespace().collect::<Vec<_>>(), ["5", "6"]);
}
