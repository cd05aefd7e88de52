//! A second host and a reboot, played by bind mounts over what names the host and its boot.

use std::fs;
use std::path::{Path, PathBuf};

use cluster_tests::{Call, World, is_root, kill, skipped, wait_for};

const MACHINE: &str = "/etc/machine-id";
const BOOT: &str = "/proc/sys/kernel/random/boot_id";

/// Another host, or this one after a restart.
struct Elsewhere<'a> {
    world: &'a World,
    machine: Option<PathBuf>,
    boot: Option<PathBuf>,
    queue: PathBuf,
}

impl<'a> Elsewhere<'a> {
    /// Another host: its own machine, boot and `/var/tmp`.
    fn host(world: &'a World) -> Self {
        let (machine, boot) = (world.path("machine-id"), world.path("boot-id"));
        fs::write(&machine, "00112233445566778899aabbccddeeff\n").unwrap();
        fs::write(&boot, "11111111-2222-3333-4444-555555555555\n").unwrap();
        Self { world, machine: Some(machine), boot: Some(boot), queue: world.path("queue-b") }
    }

    /// The same host, started anew.
    fn rebooted(world: &'a World) -> Self {
        let boot = world.path("boot-id");
        fs::write(&boot, "99999999-2222-3333-4444-555555555555\n").unwrap();
        Self { world, machine: None, boot: Some(boot), queue: world.queue() }
    }

    fn call(&self, words: &[&str]) -> Call {
        let mut text = "set -e\n".to_owned();
        for (ours, theirs) in [(&self.machine, MACHINE), (&self.boot, BOOT)] {
            if let Some(ours) = ours {
                text.push_str(&format!("mount --bind '{}' {theirs}\n", ours.display()));
            }
        }
        text.push_str("exec \"$@\"");
        let call =
            self.world.program("unshare").args(["-m", "sh", "-c", &text, "sh"]).arg(cluster_tests::binary());
        call.args(words).env("CLUSTER_QUEUE_DIR", &self.queue)
    }

    #[track_caller]
    fn cluster(&self, words: &[&str]) -> cluster_tests::Outcome {
        self.call(words).end()
    }
}

fn can_play(what: &str) -> bool {
    if !is_root() {
        skipped(what, "only root can bind another machine-id");
        return false;
    }
    if !Path::new(MACHINE).exists() {
        skipped(what, "there is no /etc/machine-id to bind over");
        return false;
    }
    true
}

#[test]
fn another_host_neither_adopts_nor_loses_what_is_not_its_own() {
    if !can_play("a second host") {
        return;
    }
    let world = World::new();
    let said = world.fifo("said");
    let gate = world.fifo("gate");
    let running = world.map([
        "--range",
        "1-2",
        "--",
        "sh",
        "-c",
        &format!("{}; {}; exit 3", said.say_text("up"), gate.wait_text()),
    ]);
    let queued = world.submit(["--sh", &said.say_text("queued-ran")]);
    let held = world.submit(["--hold", "--", "true"]);
    said.hear();
    said.hear();
    world.wait_state(&format!("{running}.1"), "running");
    let other = Elsewhere::host(&world);
    // Its commands, its runner, and its own jobs.
    other.cluster(&["ls"]).good();
    other.cluster(&["local", "start"]).good();
    other.cluster(&["run", "--", "echo", "over there"]).good().prints("over there\n");
    let status = other.cluster(&["local", "status", "--json"]).good().json();
    assert_eq!(status["jobs"]["queued"], 0, "{status}");
    assert_eq!(status["jobs"]["held"], 0, "{status}");
    assert_eq!(world.state(&queued), "queued");
    assert_eq!(world.state(&held), "held");
    assert_eq!(world.count(&running, "running"), 2);
    // Nor when the first host's runner is gone for a while.
    world.kill_runner();
    other.cluster(&["local", "restart"]).good();
    other.cluster(&["run", "--", "true"]).good();
    assert_eq!(world.count(&running, "running"), 2);
    assert!(!said.is_heard());
    gate.let_go(2);
    world.cluster(["wait", &running, &queued]).code(1);
    assert_eq!(said.hear(), "queued-ran");
    for job in world.jobs(&running) {
        assert_eq!(cluster_tests::state_of(&job), "failed exit 3", "{job}");
        assert_eq!(job["run"], 1);
    }
    assert!(!said.is_heard());
    other.cluster(&["local", "stop"]).good();
    world.check_store();
}

#[test]
fn another_host_asks_the_owner_to_end_jobs() {
    if !can_play("a second host") {
        return;
    }
    let world = World::new();
    let said = world.fifo("said");
    let text = format!("{}; sleep 1000", said.say_text("up"));
    let running = world.map(["--range", "1-2", "--", "sh", "-c", &text]);
    let held = world.map(["--hold", "--range", "1-1000", "--", "true"]);
    let later = world.submit(["--hold", "--", "true"]);
    said.hear();
    said.hear();
    world.wait_state(&format!("{running}.1"), "running");
    let other = Elsewhere::host(&world);
    other.cluster(&["hold", &running]).code(2).says(["another host", "cancelled"]);
    other.cluster(&["cancel", &format!("{running}.1"), &format!("{held}.5-9")]).good();
    world.wait_state(&format!("{running}.1"), "failed");
    assert_eq!(cluster_tests::state_of(&world.job(&format!("{running}.1"))), "failed cancelled");
    assert_eq!(world.state(&format!("{running}.0")), "running");
    wait_for("the slice is ended", || world.count(&held, "failed") == 5);
    other.cluster(&["cancel", &running, &held]).good();
    world.cluster(["wait", &running, &held]).code(1);
    assert_eq!((world.count(&held, "failed"), world.count(&running, "failed")), (1000, 2));
    assert_eq!(world.count(&later, "held"), 1);
    // An owner that is away obeys when it comes back.
    world.kill_runner();
    other.cluster(&["cancel", &later]).good();
    assert_eq!(world.count(&later, "held"), 1);
    world.cluster(["wait", &later]).code(1);
    assert_eq!(cluster_tests::state_of(&world.job(&later)), "failed cancelled");
    wait_for("no request is left", || {
        fs::read_dir(world.root().join("events/new")).unwrap().next().is_none()
    });
    assert!(world.runner().is_some());
    world.check_store();
}

#[test]
fn jobs_of_the_other_host_are_shown_as_its_own() {
    if !can_play("a second host") {
        return;
    }
    let world = World::new();
    let said = world.fifo("said");
    let gate = world.fifo("gate");
    let batch = world.submit(["--sh", &format!("{}; {}", said.say_text("up"), gate.wait_text())]);
    said.hear();
    world.wait_state(&batch, "running");
    let other = Elsewhere::host(&world);
    let shown = other.cluster(&["show", &batch]).good().out();
    assert!(shown.contains("running") && shown.contains("host"), "{shown}");
    gate.let_go(1);
    world.cluster(["wait", &batch]).good();
}

#[test]
fn after_a_restart_queued_jobs_go_on_and_interrupted_ones_say_so() {
    if !can_play("a restart of the machine") {
        return;
    }
    let world = World::new();
    let said = world.fifo("said");
    let text = format!("{}; sleep 1000", said.say_text("up"));
    let running = world.map(["--range", "1-2", "--", "sh", "-c", &text]);
    let queued = world.submit(["--", "echo", "after"]);
    let held = world.submit(["--hold", "--", "true"]);
    said.hear();
    said.hear();
    // The power goes.
    world.processes().into_iter().for_each(|pid| kill(pid, 9));
    wait_for("all are gone", || world.processes().is_empty());
    let same = Elsewhere::rebooted(&world);
    // The next command starts the runner.
    same.cluster(&["wait", &running, &queued]).code(1);
    for job in world.jobs(&running) {
        assert_eq!(job["state"], "failed", "{job}");
        assert!(job["reason"].as_str().is_some_and(|reason| reason.contains("restarted")), "{job}");
        assert_eq!(job["run"], 1);
    }
    assert_eq!(world.state(&queued), "succeeded");
    world.cluster(["logs", &queued]).good().prints("after\n");
    assert_eq!(world.state(&held), "held");
    assert!(!said.is_heard());
    world.check_store();
    same.cluster(&["retry", &format!("{running}.0")]).good();
    assert_eq!(said.hear(), "up");
}

#[test]
fn a_process_with_an_old_number_is_never_taken_for_a_job() {
    if !can_play("a restart of the machine") {
        return;
    }
    // The job still runs, but in what claims to be another boot its number means nothing.
    let world = World::new();
    let said = world.fifo("said");
    let gate = world.fifo("gate");
    let batch = world.submit(["--sh", &format!("{}; {}", said.say_text("$$"), gate.wait_text())]);
    let pid: u32 = said.hear().parse().unwrap();
    world.kill_runner();
    let same = Elsewhere::rebooted(&world);
    same.cluster(&["wait", &batch]).code(1);
    assert!(cluster_tests::is_alive(pid), "a process of another boot was killed");
    assert_eq!(world.job(&batch)["state"], "failed");
    gate.let_go(1);
}
