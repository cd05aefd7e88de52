//! `cluster run`: as if the command ran here.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use cluster_tests::{World, processes_with, wait_for};

#[test]
fn its_exit_code_is_the_jobs() {
    let world = World::new();
    for code in [0, 1, 3, 255] {
        world.cluster(["run", "--", "sh", "-c", &format!("exit {code}")]).code(code);
        let state = if code == 0 { "succeeded".to_owned() } else { format!("failed exit {code}") };
        assert_eq!(world.state("last"), state);
    }
}

#[test]
fn a_command_that_cannot_start_ends_as_in_a_shell() {
    let world = World::new();
    world.cluster(["run", "--", "no-such-command-7"]).code(127).says(["no-such-command-7"]);
    assert_eq!(world.state("last"), "failed exit 127");
    let plain = world.file("plain.txt", "no program\n");
    world.cluster([OsStr::new("run"), OsStr::new("--"), plain.as_os_str()]).code(126).says(["plain.txt"]);
    assert_eq!(world.state("last"), "failed exit 126");
    // A directory is no program either.
    world.cluster(["run", "--", "/"]).code(126);
}

#[test]
fn a_signal_is_128_and_its_number() {
    let world = World::new();
    world.cluster(["run", "--", "sh", "-c", "kill -9 $$"]).code(137);
    world.cluster(["run", "--", "sh", "-c", "kill -TERM $$"]).code(143);
}

#[test]
fn a_timeout_is_124() {
    let world = World::new();
    let outcome = world.cluster(["run", "--time", "1", "--", "sleep", "100"]).code(124);
    outcome.says(["timeout"]);
    assert_eq!(world.state("last"), "failed timeout");
}

#[test]
fn a_job_that_ignores_term_is_killed_after_the_grace() {
    let world = World::new();
    let text = "trap '' TERM; while :; do sleep 100; done";
    world.cluster(["run", "--time", "1", "--grace", "1", "--", "sh", "-c", text]).code(124);
    assert_eq!(world.state("last"), "failed timeout");
}

#[test]
fn the_streams_are_those_of_a_bare_run() {
    let world = World::new();
    // Every byte, no line feed at the end, and the two streams in turn.
    let all: String = (0..=255).map(|byte: u32| format!(r"\{byte:03o}")).collect();
    let text = format!("printf '{all}'; printf 'oops\\n\\n' >&2; printf 'end'; printf '{all}' >&2; exit 7");
    let bare = world.program("sh").args(["-c", &text]).end().code(7);
    let job = world.cluster(["run", "--quiet", "--", "sh", "-c", &text]).code(7);
    assert_eq!(job.stdout, bare.stdout);
    assert_eq!(job.stderr, bare.stderr);
    let files = world.root().join("jobs/1/0");
    assert_eq!(std::fs::read(files.join("0.0.out")).unwrap(), bare.stdout);
    assert_eq!(std::fs::read(files.join("0.0.err")).unwrap(), bare.stderr);
}

#[test]
fn output_comes_while_the_job_runs() {
    let world = World::new();
    let gate = world.fifo("gate");
    let mut run =
        world.start(["run", "--", "sh", "-c", &format!("echo early; {}; echo late", gate.wait_text())]);
    assert_eq!(run.first_bytes(6), b"early\n");
    gate.let_go(1);
    run.end().good().prints("late\n");
}

#[test]
fn the_directory_is_ours_or_the_one_named() {
    let world = World::new();
    std::fs::create_dir_all(world.work().join("a b/$(c)")).unwrap();
    let bare = world.program("pwd").end().out();
    world.cluster(["run", "--", "pwd"]).good().prints(&bare);
    let outcome =
        world.cluster(["run", "--chdir", "a b/$(c)", "--", "sh", "-c", "pwd; echo \"$PWD\""]).good();
    let line = format!("{}/a b/$(c)\n", bare.trim());
    outcome.prints(line.repeat(2));
    world.cluster(["run", "--chdir", "nowhere", "--", "pwd"]).code(2).says(["nowhere", "not there"]);
}

#[test]
fn the_environment_goes_through_byte_for_byte() {
    let world = World::new();
    let values: [&[u8]; 6] =
        [b"it's \"quoted\" $HOME `x` \\n", b"two\nlines\n", b"\xff\xfe\x80", b"", b" ", "🎉 ü".as_bytes()];
    let mut call = world.call(["run", "--quiet", "--", "env", "-0"]);
    for (i, value) in values.iter().enumerate() {
        call = call.env(format!("ODD_{i}"), OsStr::from_bytes(value));
    }
    let out = call.end().good().stdout;
    let variables: Vec<_> = out.split(|&b| b == 0).collect();
    for (i, value) in values.iter().enumerate() {
        let wanted = [format!("ODD_{i}=").as_bytes(), value].concat();
        assert!(variables.contains(&&wanted[..]), "{}", String::from_utf8_lossy(&wanted));
    }
}

#[test]
fn words_go_through_byte_for_byte() {
    let world = World::new();
    let words: [&[u8]; 9] =
        [b"it's", b"\"", b"a\nb\n", b"$(touch x)", b"; rm -rf .", b"\xff\x80", b"", b"*", "🎉".as_bytes()];
    let mut call = world.call(["run", "--quiet", "--", "printf", "%s\\0"]);
    for word in words {
        call = call.arg(OsStr::from_bytes(word));
    }
    let wanted: Vec<u8> = words.iter().flat_map(|word| [word, &b"\0"[..]].concat()).collect();
    call.end().good().prints(wanted).silent();
    assert!(!world.work().join("x").exists());
}

#[test]
fn what_belongs_to_a_login_stays_behind() {
    let world = World::new();
    let call = world.call([
        "run",
        "--quiet",
        "--",
        "sh",
        "-c",
        "echo ${TMPDIR-no} ${SSH_TTY-no} ${DISPLAY-no} $KEPT",
    ]);
    let call = call.env("TMPDIR", "/x").env("SSH_TTY", "x").env("DISPLAY", ":0").env("KEPT", "yes");
    call.end().good().prints("no no no yes\n");
}

#[test]
fn export_chooses_variables() {
    let world = World::new();
    let run = |list: &str| {
        let words =
            ["run", "--quiet", "--export", list, "--", "sh", "-c", "echo ${ONE-no} ${TWO-no} ${THREE-no}"];
        world.call(words).env("ONE", "1").env("TWO", "2").end().good().out()
    };
    assert_eq!(run("all"), "1 2 no\n");
    assert_eq!(run("none"), "no no no\n");
    assert_eq!(run("TWO"), "no 2 no\n");
    assert_eq!(run("ONE,THREE=3"), "1 no 3\n");
}

#[test]
fn a_job_knows_who_it_is() {
    let world = World::new();
    let text = "echo $CLUSTER_BATCH_ID $CLUSTER_JOB_ID $CLUSTER_JOB_INDEX $CLUSTER_RUN $CLUSTER_ROOT $CLUSTER_NNODES \
        $CLUSTER_TOT_NCORES $CLUSTER_TOT_NTASKS $CLUSTER_NCORES_PER_NODE $CLUSTER_NTASKS_PER_NODE $CLUSTER_NCORES_PER_TASK";
    let root = world.root();
    let wanted = format!("1 1.0 0 1 {} 1 2 1 2 1 2\n", root.display());
    world.cluster(["run", "--quiet", "--cores", "2", "--", "sh", "-c", text]).good().prints(wanted);
}

#[test]
fn stdin_is_passed_when_asked_for() {
    let world = World::new();
    let bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    world.call(["run", "--quiet", "--stdin", "--", "cat"]).stdin(bytes.clone()).end().good().prints(&bytes);
    world.call(["run", "--quiet", "--", "cat"]).stdin("not asked for").end().good().prints("");
}

#[test]
fn ctrl_c_cancels_the_job() {
    let world = World::new();
    let said = world.fifo("said");
    let text = format!("trap 'echo got INT; exit 9' INT; {}; while :; do sleep 1; done", said.say_text("up"));
    let run = world.start(["run", "--", "sh", "-c", &text]);
    said.hear();
    run.signal(2);
    let outcome = run.end();
    assert_eq!(outcome.out(), "got INT\n");
    assert_eq!(outcome.code, 130, "{}", outcome.err());
    assert_eq!(world.state("last"), "failed cancelled");
}

#[test]
fn a_second_ctrl_c_kills() {
    let world = World::new();
    let said = world.fifo("said");
    let text =
        format!("trap '{}' INT; {}; while :; do sleep 0.02; done", said.say_text("INT"), said.say_text("up"));
    let run = world.start(["run", "--", "sh", "-c", &text]);
    assert_eq!(said.hear(), "up");
    run.signal(2);
    assert_eq!(said.hear(), "INT");
    run.signal(2);
    run.end().code(130);
    assert_eq!(world.state("last"), "failed cancelled");
}

#[test]
fn a_job_gets_ctrl_c_once() {
    let world = World::new();
    let said = world.fifo("said");
    let text = format!(
        "n=0; trap 'n=$((n+1))' INT; {}; while [ $n = 0 ]; do sleep 0.02; done; for i in 1 2 3 4 5; do sleep 0.02; \
         done; echo $n",
        said.say_text("up")
    );
    let run = world.start(["run", "--", "sh", "-c", &text]);
    said.hear();
    run.signal(2);
    assert_eq!(run.end().out(), "1\n");
}

#[test]
fn a_killed_client_can_be_replaced() {
    let world = World::new();
    let gate = world.fifo("gate");
    let mut run =
        world.start(["run", "--", "sh", "-c", &format!("echo one; {}; echo two; exit 6", gate.wait_text())]);
    run.first_bytes(4);
    run.signal(9);
    run.end().code(137);
    let attached = world.start(["attach", "1"]);
    gate.let_go(1);
    attached.end().code(1).prints("one\ntwo\n");
}

#[test]
fn the_job_outlives_a_killed_client() {
    let world = World::new();
    let said = world.fifo("said");
    let gate = world.fifo("gate");
    let text = format!("{}; {}; echo done; exit 4", said.say_text("up"), gate.wait_text());
    let run = world.start(["run", "--", "sh", "-c", &text]);
    said.hear();
    run.signal(9);
    assert_eq!(run.end().code, 137);
    gate.let_go(1);
    world.cluster(["wait", "1"]).code(1);
    assert_eq!(world.state("1"), "failed exit 4");
    world.cluster(["logs", "1"]).good().prints("done\n");
}

#[test]
fn the_job_outlives_the_terminal() {
    let world = World::new();
    let said = world.fifo("said");
    let gate = world.fifo("gate");
    let text = format!("{}; {}; echo done", said.say_text("up"), gate.wait_text());
    let submit = format!("'{}' submit --sh \"$TEXT\"", cluster_tests::binary().display());
    // `script` gives it a terminal and takes it away again: everything in its session gets HUP.
    world.program("script").args(["-qec", &submit, "/dev/null"]).env("TEXT", &text).end().good();
    said.hear();
    assert!(world.runner().is_some());
    gate.let_go(1);
    world.cluster(["wait", "1"]).good();
    world.cluster(["logs", "1"]).good().prints("done\n");
}

#[test]
fn detach_returns_the_id_at_once() {
    let world = World::new();
    let gate = world.fifo("gate");
    let text = gate.wait_text();
    world.cluster(["run", "--quiet", "--detach", "--", "sh", "-c", &text]).good().prints("1\n");
    let json = world.cluster(["run", "--detach", "--json", "--hold", "--", "true"]).good().json();
    assert_eq!((json["batch"].as_u64(), json["jobs"].as_u64()), (Some(2), Some(1)), "{json}");
    gate.let_go(1);
    world.cluster(["wait", "1"]).good();
}

#[test]
fn shell_text_gets_its_words_as_parameters() {
    let world = World::new();
    let outcome =
        world.cluster(["run", "--quiet", "--sh", "printf '%s|' \"$1\" \"$#\"; exit 5", "--", "a b"]);
    outcome.code(5).prints("a b|1|");
    world.cluster(["run", "--", "echo hi; echo there"]).code(2).says(["--sh", "echo hi"]);
}

#[test]
fn the_first_submission_says_where_things_are_once() {
    let world = World::new();
    let root = world.root().display().to_string();
    world.cluster(["run", "--", "true"]).good().says([root.as_str(), "runner.log"]);
    world.cluster(["run", "--", "true"]).good().silent();
}

#[test]
fn a_closed_pipe_is_no_error() {
    let world = World::new();
    let line = format!("'{}' run -- seq 1 100000 | head -n 1", cluster_tests::binary().display());
    let outcome = world.program("sh").args(["-c", &line]).end().good();
    assert_eq!(outcome.out(), "1\n");
    assert!(!outcome.err().contains("roken pipe"), "{}", outcome.err());
}

#[test]
fn nothing_is_left_running_after_a_job() {
    let world = World::new();
    world.cluster(["run", "--", "sh", "-c", "sleep 1000 & exit 0"]).good();
    wait_for("what was left in the group has ended", || {
        processes_with(&world.root().display().to_string()).iter().all(|pid| Some(*pid) == world.runner())
    });
}

#[test]
fn a_job_goes_on_when_the_terminal_of_run_is_gone() {
    let world = World::new();
    let said = world.fifo("said");
    let gate = world.fifo("gate");
    let text = format!("{}; {}; exit 4", said.say_text("up"), gate.wait_text());
    let run = world.start(["run", "--sh", &text]);
    said.hear();
    run.signal(1);
    run.end().code(129).says(["batch 1 goes on", "attach 1", "cancel 1"]);
    gate.let_go(1);
    world.cluster(["wait", "1"]).code(1);
    assert_eq!(world.state("1"), "failed exit 4");
}

#[test]
fn a_run_in_the_foreground_ends_with_its_terminal() {
    let world = World::new();
    let said = world.fifo("said");
    let run = world.start(["run", "--foreground", "--sh", &format!("{}; sleep 1000", said.say_text("up"))]);
    said.hear();
    run.signal(1);
    run.end().code(129);
    assert_eq!(world.state("1"), "failed cancelled");
}

#[test]
fn a_job_whose_output_nobody_reads_is_cancelled() {
    let world = World::new();
    let program = cluster_tests::binary().display().to_string();
    let line = format!("{{ '{program}' run --quiet -- yes; echo $? > code; }} | head -n 1");
    world.program("sh").args(["-c", &line]).end().good().prints("y\n");
    assert_eq!(std::fs::read_to_string(world.work().join("code")).unwrap(), "141\n");
    world.cluster(["wait", "1"]).code(1);
    assert_eq!(world.state("1"), "failed cancelled");
}

#[test]
fn a_program_in_the_place_of_a_script_is_no_script() {
    let world = World::new();
    std::fs::copy("/bin/true", world.work().join("prog")).unwrap();
    world.cluster(["run", "./prog"]).code(2).says(["prog is no script", "--"]);
}
