//! `ls`, `show`, `wait`, `attach`, `logs`, `get`.

use cluster_tests::{World, wait_for};

#[test]
fn ls_lists_batches() {
    let world = World::new();
    assert!(world.cluster(["ls"]).good().says(["no jobs"]).out().is_empty());
    world.cluster(["map", "--quiet", "--name", "several", "--range", "1-3", "--sh", "[ {} != 2 ]"]).code(1);
    world.submit(["--hold", "--", "true"]);
    let outcome = world.cluster(["ls"]).good().silent();
    let lines = outcome.lines();
    assert!(lines[0].starts_with("BATCH") && lines.len() == 3, "{lines:?}");
    for part in ["1 ", "several", "2 succeeded", "1 failed"] {
        assert!(lines[1].contains(part), "{lines:?}");
    }
    assert!(lines[2].contains("held"), "{lines:?}");
    assert!(world.cluster(["ls", "--long"]).good().lines()[1].contains("local"));
    assert_eq!(world.cluster(["ls", "--ids"]).good().out(), "1\n2\n");
    assert_eq!(world.cluster(["ls", "--ids", "--limit", "1"]).good().out(), "2\n");
    assert_eq!(world.cluster(["ls", "--ids", "--state", "failed"]).good().out(), "1\n");
    let json = world.cluster(["ls", "--json"]).good().json_lines();
    assert_eq!(json[0]["counts"]["succeeded"], 2);
    assert_eq!(
        (&json[0]["v"], &json[0]["finished"], &json[1]["finished"]),
        (&1.into(), &true.into(), &false.into())
    );
}

#[test]
fn ls_says_when_no_runner_runs_and_starts_one_when_asked() {
    let world = World::new();
    let gate = world.fifo("gate");
    let batch = world.submit(["--sh", &gate.wait_text()]);
    world.submit(["--after", &batch, "--", "true"]);
    world.kill_runner();
    world.cluster(["ls"]).good().says(["no runner"]);
    assert!(world.runner().is_none(), "a look must start nothing");
    let offline = world.cluster(["ls", "--offline"]).good().says(["old"]);
    assert!(!offline.err().contains("no runner"));
    assert!(world.runner().is_none());
    world.cluster(["ls", "--refresh"]).good();
    assert!(world.runner().is_some());
    gate.let_go(1);
    world.cluster(["wait", "1", "2"]).good();
}

#[test]
fn show_in_every_form() {
    let world = World::new();
    world
        .cluster(["map", "--quiet", "--name", "m n", "--", "printf", "%s\\n", "it's {}", ":::", "a b", "$x"])
        .good();
    world.cluster(["run", "--quiet", "--", "sh", "-c", "exit 3"]).code(3);
    let short = world.cluster(["show", "--short", "1", "2"]).good().lines();
    assert_eq!(short.len(), 3);
    assert!(
        short[0].starts_with("1.0 ") && short[0].contains("succeeded") && short[0].contains("local"),
        "{short:?}"
    );
    assert!(short[2].starts_with("2.0 ") && short[2].contains("failed (exit 3)"), "{short:?}");
    // The exact words, quoted so that sh gives them back.
    let command = world.cluster(["show", "--command", "1.0"]).good().out();
    world.program("sh").args(["-c", &command]).end().good().prints("it's a b\n");
    world.cluster(["show", "--input", "1"]).good().prints("a b\n$x\n");
    let json = world.job("1.1");
    assert_eq!(json["command"], serde_json::json!(["printf", "%s\\n", "it's $x"]));
    assert_eq!(json["input"], serde_json::json!([["$x"]]));
    assert_eq!((&json["state"], &json["exit_code"]), (&"succeeded".into(), &0.into()));
    assert!(json["started"].as_i64() <= json["ended"].as_i64() && json["started"].is_i64());
    let batch = world.cluster(["show", "--json", "1"]).good().json();
    assert_eq!((&batch["batch"], &batch["jobs"]), (&1.into(), &2.into()));
    let text = world.cluster(["show", "2"]).good().out();
    assert!(text.contains("failed (exit 3)") && text.contains("directory"), "{text}");
    assert!(world.cluster(["show", "--script", "2"]).good().out().starts_with("#!/bin/sh\n"));
    assert_eq!(world.cluster(["show", "--short", "--state", "failed", "2", "1"]).good().lines().len(), 1);
}

#[test]
fn bytes_that_are_no_text_are_escaped_in_json() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let world = World::new();
    world
        .call(["run", "--quiet", "--", "printf", "%s"])
        .arg(OsStr::from_bytes(b"\xff"))
        .end()
        .good()
        .prints(b"\xff");
    let shown = world.cluster(["show", "--json", "1"]).good();
    assert!(std::str::from_utf8(&shown.stdout).is_ok());
    assert!(!shown.json()["command"][2].is_null());
    assert!(std::str::from_utf8(&world.cluster(["get", "--json", "1"]).good().stdout).is_ok());
}

#[test]
fn selectors() {
    let world = World::new();
    world
        .cluster([
            "map",
            "--quiet",
            "--range",
            "0-5",
            "--name",
            "alpha",
            "--",
            "sh",
            "-c",
            "exit $(($CLUSTER_JOB_INDEX / 4))",
        ])
        .code(1);
    world.cluster(["run", "--quiet", "--name", "beta", "--", "true"]).good();
    let ids = |selectors: &[&str]| {
        let lines = world.call(["show", "--short"]).args(selectors).end().good().lines();
        lines.iter().map(|line| line.split(' ').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(ids(&["1.1-5:2"]), ["1.1", "1.3", "1.5"]);
    assert_eq!(ids(&["1.0,3", "2"]), ["1.0", "1.3", "2.0"]);
    assert_eq!(ids(&["state=failed"]), ["1.4", "1.5"]);
    assert_eq!(ids(&["name=b*"]), ["2.0"]);
    assert_eq!(ids(&["last"]), ["2.0"]);
    assert_eq!(ids(&["system=local", "2"]).len(), 7);
    world.cluster(["show", "--short", "last"]).good().says(["last is batch 2"]);
    for wrong in ["1.", "x", "state=gone", "1.0-", "meta.=x", "1.9", "7"] {
        world.cluster(["show", wrong]).code(2);
    }
}

#[test]
fn logs_choose_lines() {
    let world = World::new();
    world
        .cluster(["map", "--quiet", "--range", "1-2", "--sh", "seq {}0 {}5; echo oops {} >&2; printf end"])
        .good();
    world.cluster(["logs", "1.0"]).good().prints("10\n11\n12\n13\n14\n15\nend");
    world.cluster(["logs", "--tail", "2", "1.0"]).good().prints("15\nend");
    world.cluster(["logs", "--grep", "^2[12]$", "1"]).good().prints("21\n22\n");
    world.cluster(["logs", "--grep", "5$", "--tail", "1", "1"]).good().prints("15\n25\n");
    world.cluster(["logs", "--stderr", "1.1"]).good().prints("oops 2\n");
    world.cluster(["logs", "--prefix", "--grep", "[05]$", "1.1"]).good().prints("1.1: 20\n1.1: 25\n");
    world.cluster(["logs", "--grep", "(", "1"]).code(2).says(["--grep"]);
    world.cluster(["logs", "--run", "7", "1.0"]).says(["no run 7"]);
}

#[test]
fn what_the_user_names_is_never_overwritten_unasked() {
    let world = World::new();
    world.cluster(["map", "--quiet", "--range", "1-2", "--", "echo", "{}"]).good();
    let there = world.file("there.txt", "mine");
    let dir = world.work().join("dir");
    for words in [["logs", "--export", "there.txt"], ["get", "--to", "there.txt"], ["db", "export", "--to"]] {
        let last = if words[0] == "db" { "there.txt" } else { "1" };
        world.call(words).arg(last).end().code(2).says(["there.txt", "--force"]);
        assert_eq!(std::fs::read(&there).unwrap(), b"mine");
    }
    world.cluster(["get", "--to", "there.txt", "--force", "1"]).good();
    assert_eq!(std::fs::read(&there).unwrap(), b"1\n2\n");
    world.cluster(["logs", "--export", "new.txt", "1.1"]).good();
    assert_eq!(std::fs::read(world.work().join("new.txt")).unwrap(), b"2\n");
    world.cluster(["get", "--dir", "dir", "1"]).good();
    assert_eq!(std::fs::read(dir.join("1.1.out")).unwrap(), b"2\n");
    world.cluster(["get", "--dir", "dir", "1"]).code(2).says(["not empty", "--force"]);
    // Nothing half-written is left beside them.
    let mut names: Vec<_> =
        std::fs::read_dir(world.work()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["dir", "new.txt", "there.txt"]);
}

#[test]
fn get_gives_outputs_in_input_order() {
    let world = World::new();
    let gate = world.fifo("gate");
    let text = format!("[ {{}} != 1 ] || {}; echo {{}}; [ {{}} != 3 ]", gate.wait_text());
    let batch = world.map(["--range", "1-4", "--sh", &text]);
    world.cluster(["wait", &format!("{batch}.1-3")]).code(1);
    world.cluster(["get", &batch]).code(1).prints("2\n3\n4\n").says(["1 job has not ended"]);
    gate.let_go(1);
    world.cluster(["wait", &batch]).code(1);
    world.cluster(["get", &batch]).code(1).prints("1\n2\n3\n4\n");
    world.cluster(["get", &format!("{batch}.0-1")]).good().prints("1\n2\n");
    let json = world.cluster(["get", "--json", &batch]).code(1).json_lines();
    assert_eq!((&json[2]["exit_code"], &json[2]["output"]), (&1.into(), &"3\n".into()));
    world.cluster(["get", "--collect", &batch]).code(1);
    assert!(world.job(&format!("{batch}.2"))["collected"].is_i64());
}

#[test]
fn following_goes_on_to_the_end() {
    let world = World::new();
    let gate = world.fifo("gate");
    let batch = world.submit(["--sh", &format!("echo one; {}; echo two; exit 3", gate.wait_text())]);
    let mut logs = world.start(["logs", "-f", &batch]);
    assert_eq!(logs.first_bytes(4), b"one\n");
    gate.let_go(1);
    assert_eq!(logs.end().out(), "two\n");
    // Of an ended job it is the whole.
    assert_eq!(world.cluster(["logs", "-f", &batch]).out(), "one\ntwo\n");
}

#[test]
fn following_a_job_that_waits() {
    let world = World::new();
    let batch = world.submit(["--hold", "--sh", "echo one; exit 0"]);
    let logs = world.start(["logs", "-f", &batch]);
    world.cluster(["release", &batch]).good();
    logs.end().good().prints("one\n");
}

#[test]
fn wait_for_all_any_and_not_too_long() {
    let world = World::new();
    let gate = world.fifo("gate");
    let long = world.submit(["--sh", &gate.wait_text()]);
    let short = world.submit(["--", "true"]);
    let bad = world.submit(["--", "false"]);
    world.cluster(["wait", "--any", &long, &short]).good();
    world.cluster(["wait", &short]).good();
    world.cluster(["wait", &bad]).code(1);
    world.cluster(["wait", "--timeout", "1", &long, &short]).code(4).says(["1 of 2 jobs has not ended"]);
    world.cluster(["wait", "--timeout", "1", &long]).code(4).says(["the job has not ended"]);
    let wait = world.start(["wait", &long, &bad]);
    gate.let_go(1);
    wait.end().code(1);
    world.cluster(["wait", "--timeout", "1h", &long, &short]).good();
    world.cluster(["wait", "--timeout", "soon", &long]).code(2).says(["soon"]);
}

#[test]
fn attach_prints_from_the_start_and_ends_with_the_batch() {
    let world = World::new();
    let gate = world.fifo("gate");
    let one = world.submit(["--sh", &format!("echo early; {}; echo late", gate.wait_text())]);
    let mut attach = world.start(["attach", &one]);
    assert_eq!(attach.first_bytes(6), b"early\n");
    attach.signal(2);
    attach.end().code(130).says(["attach 1", "cancel 1"]);
    let attach = world.start(["attach", &one]);
    gate.let_go(1);
    attach.end().good().prints("early\nlate\n");
    world.cluster(["map", "--quiet", "--range", "1-3", "--sh", "echo {}; [ {} != 3 ]"]).code(1);
    world.cluster(["attach", "2"]).code(1).prints("1\n2\n3\n");
}

#[test]
fn roots_are_apart_and_found() {
    let world = World::new();
    let other = world.path("other root");
    world.cluster(["run", "--quiet", "--", "true"]).good();
    world
        .call(["--root"])
        .arg(&other)
        .args(["run", "--quiet", "--", "echo", "there"])
        .end()
        .good()
        .prints("there\n");
    assert_eq!(world.call(["ls", "--ids", "--root"]).arg(&other).end().good().out(), "1\n");
    let made = world.call(["init", "project"]).without("CLUSTER_ROOT").end().good().out();
    let project = world.work().join("project");
    assert_eq!(made.trim(), project.join(".cluster").to_str().unwrap());
    std::fs::create_dir(project.join("sub")).unwrap();
    let call =
        |words: &[&str]| world.call(words).without("CLUSTER_ROOT").dir(project.join("sub")).end().good();
    call(&["run", "--quiet", "--", "true"]);
    assert_eq!(call(&["db", "path"]).out().trim(), project.join(".cluster/store.db").to_str().unwrap());
    assert!(project.join(".cluster/jobs/1").is_dir());
    let path = world.call(["db", "path"]).without("CLUSTER_ROOT").end().good();
    assert_eq!(path.out().trim(), world.path("data/cluster/store.db").to_str().unwrap());
}

#[test]
fn lines_are_chosen_while_a_job_is_followed() {
    let world = World::new();
    let gate = world.fifo("gate");
    let said = world.fifo("said");
    let text = format!(
        "seq 5; echo a1 >&2; {}; {}; seq 6 9; echo a2 >&2; echo b >&2",
        said.say_text("up"),
        gate.wait_text()
    );
    let batch = world.submit(["--sh", &text]);
    said.hear();
    let mut logs = world.start(["logs", "-f", "--tail", "2", "--prefix", "--grep", "[^7]", &batch]);
    assert_eq!(logs.first_bytes(14), b"1.0: 4\n1.0: 5\n");
    let mut errors = world.start(["logs", "-f", "--stderr", "--grep", "a", &batch]);
    assert_eq!(errors.first_bytes(3), b"a1\n");
    gate.let_go(1);
    logs.end().good().prints("1.0: 6\n1.0: 8\n1.0: 9\n");
    errors.end().good().prints("a2\n");
    world.cluster(["logs", "-f", "--export", "x", &batch]).code(2).says(["--export"]);
}

#[test]
fn ctrl_c_in_wait_says_how_to_come_back() {
    let world = World::new();
    let gate = world.fifo("gate");
    let batch = world.submit(["--sh", &gate.wait_text()]);
    for words in [&["wait", &batch][..], &["wait"]] {
        let wait = world.start(words);
        // It watches its signals before it connects to the runner.
        wait_for("it waits", || {
            let status = std::fs::read_to_string(format!("/proc/{}/status", wait.pid())).unwrap();
            let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:\t")).unwrap().to_owned();
            u64::from_str_radix(&caught, 16).unwrap() & 2 != 0
        });
        wait.signal(2);
        let last = words.get(1).unwrap_or(&"last");
        wait.end().code(130).says([&*format!("cluster wait {last}"), &format!("cluster cancel {last}")]);
    }
    gate.let_go(1);
    world.cluster(["wait", &batch]).good();
}

#[test]
fn an_empty_selection_is_told_by_all_that_need_one() {
    let world = World::new();
    world.submit(["--", "true"]);
    for command in ["show", "get", "logs", "attach", "wait"] {
        world.cluster([command, "name=typo"]).code(2).says(["no job is selected", "name=typo"]).prints("");
    }
    world.cluster(["ls", "--name", "["]).code(2).says(["pattern"]);
    world.cluster(["logs", "--run", "5", "1"]).code(2).says(["no run 5"]);
    world.cluster(["logs", "1.0@2"]).code(2).says(["--run 2 17.3"]);
    world.cluster(["wait", "1"]).good();
    for (command, said) in
        [("hold", "0 jobs held: none"), ("release", "0 jobs released"), ("cancel", "have ended")]
    {
        world.cluster([command, "1"]).good().says([said]);
    }
}

#[test]
fn show_says_what_it_leaves_out() {
    let world = World::new();
    let batch = world.map(["--hold", "--range", "1-1500", "--", "true"]);
    let first = world.cluster(["show", "--short", &batch]).good().says(["500 more", "--limit 1500"]);
    assert_eq!(first.lines().len(), 1000);
    let two = world.cluster(["show", "--short", "--limit", "2", "--state", "held", &batch]).good();
    assert_eq!(two.says(["1498 more", "--limit 1500"]).lines().len(), 2);
    // What is named, and what a program reads, is whole.
    let named = world.cluster(["show", "--short", &format!("{batch}.0-1400")]).good().silent();
    assert_eq!(named.lines().len(), 1401);
    assert_eq!(world.cluster(["show", "--short", "--json", &batch]).good().silent().lines().len(), 1500);
}

#[test]
fn names_and_facts_cannot_forge_lines() {
    let world = World::new();
    let batch =
        world.submit(["--name", "a\nforged\x1b[31m", "--meta", "k=v\n1.0 x", "--sh", "echo 1\necho 2"]);
    world.cluster(["wait", &batch]).good();
    for words in [&["show", "--short"][..], &["show"], &["ls"]] {
        let shown =
            world.call(words).args(if words[0] == "ls" { None } else { Some(&batch) }).end().good().out();
        assert!(shown.contains("a?forged?[31m") && !shown.contains('\x1b'), "{shown}");
        assert!(!shown.contains("\n1.0 x"), "{shown}");
    }
    // Programs read what it is, and a command is what can be run again.
    assert_eq!(world.job(&batch)["name"], "a\nforged\x1b[31m");
    assert!(world.cluster(["show", &batch]).good().out().contains("'echo 1\necho 2'"));
    let script = world.cluster(["show", "--script", "--json", &batch]).good().json();
    assert!(script["script"].as_str().is_some_and(|text| text.starts_with("#!")), "{script}");
}

#[test]
fn a_single_job_that_failed_is_said_by_attach() {
    let world = World::new();
    let batch = world.submit(["--sh", "exit 3"]);
    world.cluster(["attach", &batch]).code(1).says(["job 1.0 failed (exit 3)"]);
}

#[test]
fn what_has_not_run_costs_get_nothing() {
    let world = World::new();
    let batch = world.map(["--hold", "--range", "1-1000000", "--", "true"]);
    let since = std::time::Instant::now();
    world.cluster(["get", &batch]).code(1).says(["1000000 jobs have not ended"]).prints("");
    // It was 14 s, for a look at each.
    assert!(since.elapsed().as_secs() < 5, "{:?}", since.elapsed());
}

#[test]
fn a_prefix_begins_a_line_whatever_the_job_before_ended_with() {
    let world = World::new();
    let batch = world.map(["--", "printf", "%s", ":::", "a", "b"]);
    world.cluster(["wait", &batch]).good();
    let text = format!("{batch}.0: a\n{batch}.1: b");
    world.cluster(["logs", "--prefix", &batch]).good().prints(text);
    world.cluster(["logs", &batch]).good().prints("ab");
}

#[test]
fn a_run_that_never_was_is_named() {
    let world = World::new();
    let batch = world.submit(["--hold", "--", "true"]);
    for run in ["0", "1", "3"] {
        world.cluster(["logs", "--run", run, &batch]).code(2).says([format!("had no run {run}").as_str()]);
    }
}

#[test]
fn who_leaves_by_a_signal_ends_as_by_it() {
    let world = World::new();
    let (said, gate) = (world.fifo("said"), world.fifo("gate"));
    let batch = world.submit(["--sh", &format!("{}; {}", said.say_text("up"), gate.wait_text())]);
    said.hear();
    for (signal, code) in [(2, 130), (15, 143), (1, 129)] {
        for words in [["attach", &batch], ["wait", &batch]] {
            let called = world.start(words);
            wait_for("it listens", || cluster_tests::catches(called.pid(), signal));
            called.signal(signal);
            assert_eq!(called.end().code, code, "{words:?}");
        }
    }
    gate.let_go(1);
    world.cluster(["wait", &batch]).good();
}

#[test]
fn who_waits_at_a_drained_runner_is_told() {
    let world = World::new();
    world.cluster(["local", "start"]).good();
    world.cluster(["local", "drain"]).good();
    let batch = world.submit(["--", "true"]);
    world.cluster(["wait", "--timeout", "0.1s", &batch]).code(4).says(["drained", "--off"]);
    world.cluster(["local", "drain", "--off"]).good();
    world.cluster(["wait", &batch]).good();
}
