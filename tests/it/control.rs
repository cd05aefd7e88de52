//! Hold and release, cancel, priorities, dependencies.

use cluster_tests::{World, is_alive, state_of, wait_for};

#[test]
fn held_jobs_wait_for_their_release() {
    let world = World::new();
    let batch = world.map(["--hold", "--range", "0-4", "--", "echo", "{}"]);
    world.cluster(["run", "--", "true"]).good();
    assert_eq!(world.count(&batch, "held"), 5);
    world.cluster(["release", &format!("{batch}.1-2")]).good().says(["2 jobs released"]);
    world.cluster(["wait", &format!("{batch}.1-2")]).good();
    assert_eq!((world.count(&batch, "held"), world.count(&batch, "succeeded")), (3, 2));
    world.cluster(["release", &batch]).good().says(["3 jobs released"]);
    world.cluster(["wait", &batch]).good();
    assert_eq!(world.count(&batch, "succeeded"), 5);
}

#[test]
fn queued_jobs_can_be_held() {
    let world = World::with_config("local: { cores: 1 }\n");
    let gate = world.fifo("gate");
    let first = world.submit(["--sh", &gate.wait_text()]);
    let second = world.submit(["--", "true"]);
    world.cluster(["hold", &second]).good().says(["1 job held"]);
    gate.let_go(1);
    world.cluster(["wait", &first]).good();
    world.cluster(["run", "--", "true"]).good();
    assert_eq!(world.state(&second), "held");
    world.cluster(["release", &second]).good();
    world.cluster(["wait", &second]).good();
}

#[test]
fn a_cancelled_job_that_waits_never_starts() {
    let world = World::new();
    let mark = world.path("mark");
    let batch = world.submit(["--hold", "--sh", &format!("touch {}", mark.display())]);
    world.cluster(["cancel", &batch]).good().says(["1 job cancelled"]);
    assert_eq!(world.state(&batch), "failed cancelled");
    world.cluster(["release", &batch]).good();
    world.cluster(["run", "--", "true"]).good();
    assert!(!mark.exists());
    assert_eq!(world.job(&batch)["started"], serde_json::Value::Null);
    world.cluster(["wait", &batch]).code(1);
}

#[test]
fn cancel_ends_the_whole_group_also_those_that_ignore_term() {
    let world = World::new();
    let said = world.fifo("said");
    // A grandchild that ignores TERM, and its parent that ends at once.
    let inner = format!("trap \"\" TERM; {}; while :; do sleep 100; done", said.say_text("$$"));
    world.file("inner.sh", &inner);
    let batch = world.submit(["--grace", "1", "--sh", "sh ./inner.sh & sh -c 'sh ./inner.sh & wait' & wait"]);
    let pids: Vec<u32> = (0..2).map(|_| said.hear().parse().unwrap()).collect();
    assert!(pids.iter().all(|&pid| is_alive(pid)));
    world.cluster(["cancel", &batch]).good();
    world.cluster(["wait", &batch]).code(1);
    assert_eq!(world.state(&batch), "failed cancelled");
    wait_for("the grandchildren have ended", || !pids.iter().any(|&pid| is_alive(pid)));
}

#[test]
fn cancel_kills_a_job_that_ignores_term_itself() {
    let world = World::new();
    let said = world.fifo("said");
    let text = format!("trap '' TERM; {}; while :; do sleep 100; done", said.say_text("up"));
    let batch = world.submit(["--grace", "1", "--sh", &text]);
    said.hear();
    world.cluster(["cancel", &batch]).good();
    world.cluster(["wait", &batch]).code(1);
    assert_eq!(world.state(&batch), "failed cancelled");
}

#[test]
fn cancel_sends_the_signal_asked_for() {
    let world = World::new();
    let said = world.fifo("said");
    let text =
        format!("trap 'echo USR1; exit 3' USR1; {}; while :; do sleep 0.02; done", said.say_text("up"));
    let batch = world.submit(["--sh", &text]);
    said.hear();
    world.cluster(["cancel", "--signal", "usr1", &batch]).good();
    world.cluster(["wait", &batch]).code(1);
    world.cluster(["logs", &batch]).good().prints("USR1\n");
    world.cluster(["cancel", "--signal", "nonsense", &batch]).code(2).says(["nonsense"]);
}

#[test]
fn a_cancelled_job_with_code_0_is_cancelled() {
    let world = World::new();
    let said = world.fifo("said");
    let text = format!("trap 'exit 0' TERM; {}; while :; do sleep 0.02; done", said.say_text("up"));
    let batch = world.submit(["--sh", &text]);
    said.hear();
    world.cluster(["cancel", &batch]).good();
    world.cluster(["wait", &batch]).code(1);
    // job.sh got the signal, too: code 0 with a signal and a request that names it is cancelled.
    assert_eq!(world.state(&batch), "failed cancelled");
}

#[test]
fn part_of_a_batch_is_cancelled() {
    let world = World::with_config("local: { cores: 1 }\n");
    let said = world.fifo("said");
    let gate = world.fifo("gate");
    let batch =
        world.map(["--range", "0-5", "--sh", &format!("{}; {}", said.say_text("{}"), gate.wait_text())]);
    assert_eq!(said.hear(), "0");
    world.cluster(["cancel", &format!("{batch}.2-4")]).good().says(["3 jobs cancelled"]);
    gate.let_go(3);
    world.cluster(["wait", &batch]).code(1);
    assert_eq!((said.hear(), said.hear()), ("1".to_owned(), "5".to_owned()));
    let states: Vec<_> = world.jobs(&batch).iter().map(state_of).collect();
    let cancelled = "failed cancelled";
    assert_eq!(states, ["succeeded", "succeeded", cancelled, cancelled, cancelled, "succeeded"]);
    assert!(!said.is_heard());
}

#[test]
fn the_higher_priority_goes_first() {
    let world = World::with_config("local: { cores: 1 }\n");
    let said = world.fifo("said");
    let gate = world.fifo("gate");
    let first = world.submit(["--sh", &gate.wait_text()]);
    world.wait_state(&first, "running");
    for (name, priority) in [("low", "-5"), ("none", "0"), ("high", "7"), ("also-high", "7")] {
        world.submit(["--priority", priority, "--sh", &said.say_text(name)]);
    }
    gate.let_go(1);
    let order: Vec<_> = (0..4).map(|_| said.hear()).collect();
    assert_eq!(order, ["high", "also-high", "none", "low"]);
}

#[test]
fn only_so_many_of_a_batch_run_at_once() {
    let world = World::with_config("local: { cores: 4 }\n");
    let said = world.fifo("said");
    let gate = world.fifo("gate");
    let text = format!("{}; {}", said.say_text("{}"), gate.wait_text());
    let batch = world.map(["--max-running", "2", "--range", "1-6", "--sh", &text]);
    for _ in 0..2 {
        said.hear();
    }
    // There is room for others, but not for more of it.
    world.cluster(["run", "--", "true"]).good();
    assert_eq!(world.status()["jobs"]["running"], 2);
    for _ in 0..4 {
        assert!(!said.is_heard());
        gate.let_go(1);
        said.hear();
        assert!(world.status()["jobs"]["running"].as_u64() <= Some(2));
    }
    gate.let_go(2);
    world.cluster(["wait", &batch]).good();
}

#[test]
fn a_large_job_is_not_starved_by_small_ones() {
    let world = World::new();
    let gates = [world.fifo("gate-a"), world.fifo("gate-b")];
    let said = world.fifo("said");
    for gate in &gates {
        let job = world.submit(["--sh", &gate.wait_text()]);
        world.wait_state(&job, "running");
    }
    let large = world.submit(["--cores", "2", "--sh", &said.say_text("large")]);
    world.map(["--range", "1-3", "--sh", &said.say_text("small")]);
    // One core falls free: it is kept for the large job, which is older than the small ones.
    gates[0].let_go(1);
    world.cluster(["wait", "1"]).good();
    assert_eq!(world.state(&large), "queued");
    gates[1].let_go(1);
    assert_eq!(said.hear(), "large");
}

#[test]
fn each_kind_of_dependency() {
    let world = World::new();
    let good = world.submit(["--", "true"]);
    let bad = world.submit(["--", "false"]);
    world.cluster(["wait", &good, &bad]).code(1);
    let outcome = |dependency: &str| {
        let submitted = world.cluster(["submit", "--after", dependency, "--", "true"]);
        let batch = submitted.out().trim().to_owned();
        let _ = world.cluster(["wait", &batch]);
        let state = world.state(&batch);
        // What can never run is said at once, as on a scheduler, and known afterwards.
        match state.as_str() {
            "succeeded" => drop(submitted.good()),
            _ => {
                drop(submitted.code(1).says(["cannot run", "dependency_never_satisfied", dependency]));
                let reason = world.job(&batch)["reason"].as_str().unwrap_or_default().to_owned();
                assert!(
                    reason.contains(&format!("job {}", dependency.rsplit(':').next().unwrap())),
                    "{reason}"
                );
            }
        }
        state
    };
    let never = "failed dependency_never_satisfied";
    for (kind, after_good, after_bad) in [
        ("", "succeeded", never),
        ("afterok:", "succeeded", never),
        ("afterany:", "succeeded", "succeeded"),
        ("afternotok:", never, "succeeded"),
        ("after:", "succeeded", "succeeded"),
    ] {
        assert_eq!(outcome(&format!("{kind}{good}")), after_good, "{kind}{good}");
        assert_eq!(outcome(&format!("{kind}{bad}")), after_bad, "{kind}{bad}");
    }
}

#[test]
fn dependents_wait_until_it_happens() {
    let world = World::with_config("local: { cores: 4 }\n");
    let gate = world.fifo("gate");
    let said = world.fifo("said");
    let first = world.submit(["--hold", "--sh", &format!("{}; exit 1", gate.wait_text())]);
    let depend =
        |kind: &str| world.submit(["--after", &format!("{kind}:{first}"), "--sh", &said.say_text(kind)]);
    let all: Vec<_> = ["after", "afterok", "afterany", "afternotok"].into_iter().map(depend).collect();
    world.cluster(["run", "--", "true"]).good();
    assert!(all.iter().all(|batch| world.state(batch) == "queued"));
    world.cluster(["release", &first]).good();
    assert_eq!(said.hear(), "after");
    assert!(!said.is_heard());
    gate.let_go(1);
    let mut heard = [said.hear(), said.hear()];
    heard.sort();
    assert_eq!(heard, ["afterany", "afternotok"]);
    world.cluster(["wait", &all[1]]).code(1);
    assert_eq!(world.state(&all[1]), "failed dependency_never_satisfied");
}

#[test]
fn dependencies_take_selectors() {
    let world = World::with_config("local: { cores: 4 }\n");
    let gate = world.fifo("gate");
    let waiting = |name: &str| {
        world.submit(["--name", name, "--meta", &format!("step={name}"), "--sh", &gate.wait_text()])
    };
    let (one, two) = (waiting("prep-1"), waiting("prep-2"));
    let depend = |on: &str| world.submit(["--hold", "--name", "on", "--after", on, "--", "true"]);
    let waits_for = |batch: &str| -> Vec<String> {
        let shown = world.cluster(["show", batch]).good().lines();
        let after = shown.iter().find_map(|line| line.strip_prefix("after ")).unwrap_or_default();
        after.split_whitespace().map(str::to_owned).collect()
    };
    // The newest at that moment, not the one that is being made.
    assert_eq!(waits_for(&depend("last")), [format!("afterok:{two}")]);
    assert_eq!(waits_for(&depend("name=prep-1")), [format!("afterok:{one}")]);
    let both = [format!("afterany:{one}"), format!("afterany:{two}")];
    assert_eq!(waits_for(&depend("afterany:name=prep-*")), both);
    assert_eq!(waits_for(&depend("afternotok:meta.step=prep-2")), [format!("afternotok:{two}")]);
    // Several are waited for, each of them.
    let said = world.fifo("said");
    let all = world.submit(["--after", "name=prep-*", "--sh", &said.say_text("both")]);
    let ended = world.submit(["--", "false"]);
    world.cluster(["wait", &ended]).code(1);
    assert_eq!(waits_for(&depend("afterany:state=failed")), [format!("afterany:{ended}")]);
    let array = world.map(["--cores", "1", "--sh", "test $1 != 1", "--range", "0-2"]);
    world.cluster(["wait", &array]).code(1);
    let failed = [format!("afterany:{ended}"), format!("afterany:{array}.1")];
    assert_eq!(waits_for(&depend("afterany:state=failed")), failed);
    let ours = waits_for(&depend("afterany:system=local"));
    assert!(
        ours.contains(&format!("afterany:{one}")) && ours.contains(&format!("afterany:{all}")),
        "{ours:?}"
    );
    gate.let_go(1);
    wait_for("one of the two to end", || {
        world.state(&one) == "succeeded" || world.state(&two) == "succeeded"
    });
    assert_eq!(world.state(&all), "queued");
    gate.let_go(1);
    assert_eq!(said.hear(), "both");
    world.cluster(["wait", &all]).good();
}

#[test]
fn a_dependency_on_nothing_is_refused() {
    let world = World::new();
    let refused = |on: &str, said: &[&str]| {
        world.cluster(["submit", "--after", on, "--", "true"]).code(2).says(said.iter().copied()).prints("");
    };
    // There is not even a store.
    refused("last", &["--after afterok:last", "no job matches last"]);
    refused("name=x", &["no job matches name=x"]);
    world.submit(["--name", "here", "--", "true"]);
    refused("afterany:name=absent-*", &["--after afterany:name=absent-*", "no job matches name=absent-*"]);
    refused("meta.step=1", &["no job matches meta.step=1"]);
    refused("aftercorr:name=here", &["aftercorr:name=here", "job for job"]);
    refused("state=odd", &["odd"]);
    refused("soon:1", &["soon:1", "last", "name=GLOB", "remote:ID"]);
    world
        .cluster(["retry", "--all", "1", "--after", "name=here"])
        .code(2)
        .says(["name=here", "batch 1 itself"]);
    assert_eq!(world.cluster(["ls", "--ids", "--all"]).lines(), ["1"]);
}

#[test]
fn a_chain_falls_as_a_whole() {
    let world = World::new();
    let gate = world.fifo("gate");
    let mut last = world.submit(["--sh", &format!("{}; exit 3", gate.wait_text())]);
    let mut chain = Vec::new();
    for _ in 0..5 {
        last = world.submit(["--after", &last, "--", "true"]);
        chain.push(last.clone());
    }
    let after_all = world.submit(["--after", &format!("afterany:{last}"), "--", "echo", "on"]);
    gate.let_go(1);
    world.cluster(["wait", &after_all]).good();
    for batch in &chain {
        assert_eq!(world.state(batch), "failed dependency_never_satisfied");
        let job = world.job(batch);
        assert!(job["reason"].as_str().is_some_and(|reason| reason.ends_with("failed")), "{job}");
    }
    world.cluster(["run", "--after", &chain[0], "--", "true"]).code(125).says(["dependency_never_satisfied"]);
}

#[test]
fn a_cancelled_dependency_is_not_satisfied() {
    let world = World::new();
    let first = world.submit(["--hold", "--", "true"]);
    let ok = world.submit(["--after", &first, "--", "true"]);
    let any = world.submit(["--after", &format!("afterany:{first}"), "--", "true"]);
    world.cluster(["cancel", &first]).good();
    world.cluster(["wait", &any]).good();
    assert_eq!(world.state(&ok), "failed dependency_never_satisfied");
}

#[test]
fn some_jobs_of_a_batch_are_waited_for() {
    let world = World::new();
    let gate = world.fifo("gate");
    let batch = world.map([
        "--range",
        "0-2",
        "--sh",
        &format!("[ {{}} != 0 ] || {}; [ {{}} != 2 ]", gate.wait_text()),
    ]);
    let on_one = world.submit(["--after", &format!("{batch}.1"), "--", "true"]);
    world.cluster(["wait", &on_one]).good();
    let on_two = world.cluster(["submit", "--after", &format!("{batch}.1-2"), "--", "true"]).out();
    let on_two = on_two.trim().to_owned();
    world.cluster(["wait", &on_two]).code(1);
    assert_eq!(world.state(&on_two), "failed dependency_never_satisfied");
    gate.let_go(1);
}

#[test]
fn ten_thousand_dependencies() {
    let world = World::new();
    let batch = world.map(["--hold", "--range", "0-9999", "--", "true"]);
    let mut call = world.call(["submit"]);
    for i in 0..10_000 {
        call = call.arg("--after").arg(format!("afterany:{batch}.{i}"));
    }
    let after = call.args(["--", "echo", "all"]).end().good().out().trim().to_owned();
    world.cluster(["run", "--", "true"]).good();
    assert_eq!(world.state(&after), "queued");
    world.cluster(["cancel", &format!("{batch}.0-9998")]).good();
    world.cluster(["run", "--", "true"]).good();
    assert_eq!(world.state(&after), "queued");
    world.cluster(["cancel", &format!("{batch}.9999")]).good();
    world.cluster(["wait", &after]).good();
}

#[test]
fn unknown_jobs_are_usage_errors() {
    let world = World::new();
    world.submit(["--hold", "--", "true"]);
    for command in ["show", "wait", "cancel", "hold", "release", "retry", "logs", "get", "attach"] {
        world.cluster([command, "99"]).code(2).says(["99"]);
        world.cluster([command, "1.5"]).code(2).says(["5"]);
        world.cluster([command, "nonsense"]).code(2).says(["nonsense"]);
    }
    world.cluster(["submit", "--after", "99", "--", "true"]).code(2).says(["99"]);
    world.cluster(["submit", "--after", "1.7", "--", "true"]).code(2).says(["7"]);
    assert_eq!(world.cluster(["ls", "--ids"]).out(), "1\n");
}

#[test]
fn pinned_jobs_have_cores_of_their_own() {
    let world = World::new();
    let all = world.program("sh").args(["-c", "nproc"]).end().good().out();
    if all.trim() == "1" {
        return cluster_tests::skipped("pinning", "this machine has one core");
    }
    let said = world.fifo("said");
    let gate = world.fifo("gate");
    let list = "$(sed -n 's/^Cpus_allowed_list:[^0-9]*//p' /proc/self/status)";
    let text = format!("{}; {}", said.say_text(list), gate.wait_text());
    let batch = world.map(["--pin", "--range", "1-2", "--", "sh", "-c", &text]);
    let (one, two) = (said.hear(), said.hear());
    assert!(one != two && [&one, &two].iter().all(|cpus| cpus.parse::<u32>().is_ok()), "{one} {two}");
    gate.let_go(2);
    world.cluster(["wait", &batch]).good();
    // Without it a job may use all.
    world.cluster(["run", "--quiet", "--", "nproc"]).good().prints(all);
}
