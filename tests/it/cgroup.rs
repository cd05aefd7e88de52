//! A runner whose control group was delegated to it, as systemd does it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cluster_tests::{World, is_alive, is_root, skipped, wait_for};
use rustix::fs::XattrFlags;

/// A group below the mount point of version 2, removed with all in it.
struct Delegated(PathBuf);

impl Delegated {
    /// `None`, said loudly, where this machine has no such thing.
    fn new(world: &World, what: &str) -> Option<Self> {
        let mounts = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"].map(Path::new);
        let Some(mount) = mounts.into_iter().find(|mount| mount.join("cgroup.controllers").exists()) else {
            skipped(what, "no control groups of version 2 are mounted");
            return None;
        };
        if !is_root() {
            skipped(what, "only root can make a control group here");
            return None;
        }
        let name = world.path("").file_name().unwrap().to_owned();
        let dir = mount.join(name);
        if let Err(error) = fs::create_dir(&dir) {
            skipped(what, &error.to_string());
            return None;
        }
        let group = Self(dir);
        let marked = rustix::fs::setxattr(&group.0, "user.delegate", b"1", XattrFlags::empty())
            .or_else(|_| rustix::fs::setxattr(&group.0, "trusted.delegate", b"1", XattrFlags::empty()));
        if let Err(error) = marked {
            skipped(what, &error.to_string());
            return None;
        }
        if !group.0.join("cgroup.kill").exists() {
            skipped(what, "the kernel has no cgroup.kill (before Linux 5.14)");
            return None;
        }
        Some(group)
    }
}

impl Drop for Delegated {
    fn drop(&mut self) {
        let _ = fs::write(self.0.join("cgroup.kill"), "1");
        let below = fs::read_dir(&self.0).into_iter().flatten().flatten();
        let below: Vec<_> = below.map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
        // Until the last one is reaped, it is in use.
        let since = Instant::now();
        for dir in below.iter().chain([&self.0]) {
            while fs::remove_dir(dir).is_err() && dir.exists() && since.elapsed() < Duration::from_secs(5) {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }
}

#[test]
fn what_left_the_process_group_ends_with_its_job() {
    let world = World::new();
    let Some(group) = Delegated::new(&world, "jobs in control groups") else { return };
    let enter = format!("echo $$ > '{}/cgroup.procs'; exec \"$@\"", group.0.display());
    let start = world.program("sh").args(["-c", &enter, "sh"]).arg(cluster_tests::binary());
    start.args(["local", "start"]).end().good();
    let not_enforced = world.status()["not_enforced"].to_string();
    assert!(!not_enforced.contains("setsid"), "{not_enforced}");

    let (said, gate) = (world.fifo("said"), world.fifo("gate"));
    let leave = format!("setsid -f sh -c '{}; exec sleep 1000'", said.say_text("$$").replace('\'', ""));
    let text = format!("{leave}; {}", gate.wait_text());
    // By job.sh, and bare.
    let single = world.submit(["--sh", &text]);
    let left: u32 = said.hear().parse().unwrap();
    assert!(is_alive(left));
    gate.let_go(1);
    world.cluster(["wait", &single]).good();
    wait_for("it has ended with its job", || !is_alive(left));

    // A bare one is moved once it runs: until then it waits here.
    let moved = format!("{}; {}", said.say_text("$PPID"), gate.wait_text());
    let batch = world.map([
        "--range",
        "1-60",
        "--",
        "sh",
        "-c",
        &format!("[ $1 -lt 60 ] || {{ {moved}; {text}; }}"),
        "sh",
    ]);
    assert_eq!(said.hear().parse().ok(), world.runner(), "the job was not started bare");
    world.wait_state(&format!("{batch}.59"), "running");
    gate.let_go(1);
    let left: u32 = said.hear().parse().unwrap();
    // Another job of the batch has nothing to do with it.
    world.cluster(["run", "--quiet", "--", "true"]).good();
    assert!(is_alive(left));
    gate.let_go(1);
    world.cluster(["wait", &batch]).good();
    wait_for("it has ended with its job", || !is_alive(left));
    world.cluster(["local", "stop", "--wait"]).good();
    world.check_store();
}
