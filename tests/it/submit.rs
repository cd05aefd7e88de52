//! `cluster submit`: scripts from files, standard input and text, and what is stored of them.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;

use cluster_tests::{Site, World, wait_for};

/// What a batch of one job prints, once it is over.
#[track_caller]
fn output(world: &World, batch: &str) -> String {
    world.cluster(["wait", batch]).good();
    world.cluster(["logs", batch]).good().out()
}

#[test]
fn a_script_gets_its_words_byte_for_byte() {
    let world = World::new();
    world.file("job.sh", "for word in \"$@\"; do printf '%s\\0' \"$word\"; done\n");
    let words: [&[u8]; 9] =
        [b"A", b"B", b"--c=d", b"", b"a b", b"it's $(x) \"q\"", b"\xff\xfe", b"x\ny\n", b"-h"];
    let mut call = world.call(["submit", "job.sh"]);
    for word in words {
        call = call.arg(OsStr::from_bytes(word));
    }
    call.end().good();
    world.cluster(["wait", "1"]).good();
    let wanted: Vec<u8> = words.iter().flat_map(|word| [word, &b"\0"[..]].concat()).collect();
    world.cluster(["logs", "1"]).good().prints(wanted);
}

#[test]
fn a_scripts_first_line_names_its_interpreter() {
    let world = World::new();
    world.file("a.awk", "#!/usr/bin/awk -f\nBEGIN { print \"awk\", ARGV[1] }\n");
    world.file("b.sh", "#!/bin/sh -e\nfalse\necho not reached\n");
    world.file("none", "echo \"$0\" | grep -c none\n");
    let batch = world.submit(["a.awk", "word"]);
    assert_eq!(output(&world, &batch), "awk word\n");
    world.cluster(["run", "--quiet", "b.sh"]).code(1).prints("");
    let batch = world.submit(["none"]);
    assert_eq!(output(&world, &batch), "1\n");
}

#[test]
fn a_script_comes_from_standard_input_or_as_text() {
    let world = World::new();
    let id = world.call(["submit", "--quiet", "-", "a b"]).stdin("echo \"<$1>\"\n").end().good().out();
    assert_eq!(output(&world, id.trim()), "<a b>\n");
    let batch = world.submit(["--script", "echo \"$# $2\"\necho two", "--", "x", "y z"]);
    assert_eq!(output(&world, &batch), "2 y z\ntwo\n");
    let batch = world.submit(["--script", "#!/usr/bin/awk -f\nBEGIN { print 6 * 7 }"]);
    assert_eq!(output(&world, &batch), "42\n");
}

#[test]
fn later_changes_of_the_file_change_nothing() {
    let world = World::new();
    let script = world.file("job.sh", "echo first\n");
    let batch = world.submit(["--hold", "job.sh"]);
    fs::write(&script, "echo changed\n").unwrap();
    world.cluster(["release", &batch]).good();
    assert_eq!(output(&world, &batch), "first\n");
    fs::remove_file(&script).unwrap();
    world.cluster(["retry", "--all", &batch]).good();
    assert_eq!(output(&world, &batch), "first\n");
}

#[test]
fn a_name_is_the_commands_unless_given() {
    let world = World::new();
    world.file("deep/job.sh", "true\n");
    let name = |batch: &str| world.job(batch)["name"].as_str().unwrap().to_owned();
    assert_eq!(name(&world.submit(["--", "/bin/true", "x"])), "true");
    assert_eq!(name(&world.submit(["deep/job.sh"])), "job.sh");
    assert_eq!(name(&world.submit(["--sh", "  gzip -c x > /dev/null"])), "gzip");
    let odd = "my job's \"name\"; $(x) 🎉";
    assert_eq!(name(&world.submit(["--name", odd, "--", "true"])), odd);
    // Names need not be unique: ids are.
    assert_eq!(name(&world.submit(["--name", odd, "--", "true"])), odd);
    let listed = world.cluster(["ls", "--ids", "--name", "my job*"]).good();
    assert_eq!(listed.lines(), ["4", "5"]);
    world.cluster(["wait", "name=my job*"]).good();
}

#[test]
fn directives_are_named_once_and_refused_when_strict() {
    let world = World::new();
    for line in ["#SBATCH --time=10", "#CLUSTER --time 2h", "#PBS -l walltime=1", "#$ -cwd"] {
        world.file("job.sh", format!("#!/bin/sh\n# a comment\n{line}\n#SBATCH --second\necho on\n"));
        let outcome = world.cluster(["submit", "--quiet", "job.sh"]).good();
        assert_eq!(outcome.err().matches("directives").count(), 1, "{}", outcome.err());
        outcome.says([line]);
        world.cluster(["submit", "--strict", "job.sh"]).code(2).says([line, "--strict"]);
    }
    world.file("job.sh", "#!/bin/sh\necho x\n#SBATCH --late\n");
    world.cluster(["submit", "--strict", "--quiet", "job.sh"]).good().silent();
    assert_eq!(world.cluster(["ls", "--ids"]).lines().len(), 5);
}

#[test]
fn what_the_machine_cannot_do_is_refused_or_cut() {
    let world = World::with_config("local: { cores: 2, memory: 1000M }\n");
    world.cluster(["submit", "--cores", "3", "--", "true"]).code(6).says(["3", "2", "cores"]);
    world.cluster(["submit", "--mem", "2G", "--", "true"]).code(6).says(["2048", "1000"]);
    let cores = |words: &[&str]| {
        let text = "echo $CLUSTER_TOT_NCORES";
        world.call(["run", "--quiet"]).args(words).args(["--", "sh", "-c", text]).end().good()
    };
    cores(&["--cores", "64", "--mem", "1T", "--fit"]).says(["64", "cut to 2", "cut to 1000"]).prints("2\n");
    cores(&["--cores", "max"]).prints("2\n");
    cores(&["--cores", "50%", "--mem", "50%"]).prints("1\n");
    world.cluster(["submit", "--strict", "--gpus", "1", "--", "true"]).code(2).says(["GPU"]);
    world.cluster(["run", "--quiet", "--partition", "big", "--", "true"]).good().says(["--partition"]);
}

#[test]
fn memory_is_shared_out_like_cores() {
    let world = World::with_config("local: { cores: 4, memory: 1000M }\n");
    let said = world.fifo("said");
    let gate = world.fifo("gate");
    let text = format!("{}; {}", said.say_text("up"), gate.wait_text());
    let batch = world.map(["--mem", "400M", "--range", "1-3", "--", "sh", "-c", &text]);
    said.hear();
    said.hear();
    let status = world.status();
    assert_eq!((&status["jobs"]["running"], &status["jobs"]["queued"]), (&2.into(), &1.into()), "{status}");
    assert_eq!(status["free"]["mem_mb"], 200);
    gate.let_go(3);
    world.cluster(["wait", &batch]).good();
}

#[test]
fn meta_is_stored_and_selects() {
    let world = World::new();
    let one = world.submit(["--meta", "study=a=b", "--meta", "pi=x", "--", "true"]);
    world.submit(["--meta", "study=other", "--", "true"]);
    world.cluster(["wait", "meta.study=a=b"]).good();
    assert_eq!(world.cluster(["show", "--short", "meta.study=a=b"]).good().lines().len(), 1);
    assert!(world.cluster(["show", "--short", "meta.pi=x"]).good().out().starts_with(&format!("{one}.0 ")));
    world.cluster(["submit", "--meta", "novalue", "--", "true"]).code(2).says(["KEY=VALUE"]);
}

#[test]
fn eight_submit_at_once() {
    let world = World::new();
    let each = 10;
    let line = format!(
        "for i in $(seq {each}); do '{}' submit --quiet --sh 'echo x >> \"$RUNS\"' || echo bad; done",
        cluster_tests::binary().display()
    );
    let runs = world.path("runs");
    let all: Vec<_> =
        (0..8).map(|_| world.program("sh").args(["-c", &line]).env("RUNS", &runs).start()).collect();
    let mut ids: Vec<u32> = Vec::new();
    for one in all {
        let outcome = one.end().good().silent();
        ids.extend(outcome.lines().iter().map(|id| id.parse::<u32>().unwrap()));
    }
    ids.sort_unstable();
    assert_eq!(ids, (1..=8 * each).collect::<Vec<_>>());
    wait_for("all have run", || {
        fs::read_to_string(&runs).unwrap_or_default().lines().count() == 8 * each as usize
    });
    world.cluster(["wait", "name=*"]).good();
    world.check_store();
}

#[test]
fn nothing_of_a_job_may_be_none() {
    let world = World::new();
    for option in ["--max-running", "--tasks", "--nodes"] {
        world.cluster(["run", option, "0", "--", "true"]).code(2).says([option]);
    }
    world.cluster(["map", "--per-job", "0", "--", "true", ":::", "a"]).code(2).says(["--per-job"]);
}

#[test]
fn fit_cuts_tasks_and_cores() {
    let world = World::new();
    let told = "echo $CLUSTER_TOT_NTASKS $CLUSTER_TOT_NCORES";
    world.cluster(["run", "--fit", "--tasks", "4", "--sh", told]).good().prints("2 2\n").says(["4 tasks"]);
    world.cluster(["run", "--fit", "--tasks", "2", "-c", "8", "--sh", told]).good().prints("2 2\n");
}

#[test]
fn nodes_that_have_no_effect_are_not_told_to_the_job() {
    let world = World::new();
    let told = "echo $CLUSTER_NNODES $CLUSTER_TOT_NCORES $CLUSTER_NCORES_PER_NODE";
    world
        .cluster(["run", "--nodes", "2", "-c", "2", "--sh", told])
        .good()
        .prints("1 2 2\n")
        .says(["no effect"]);
}

#[test]
fn a_dry_run_here_looks_at_what_would_be_refused() {
    let world = World::new();
    world.cluster(["submit", "--dry-run", "--", "true"]).good().says(["would take 1 job as it is"]);
    world.cluster(["submit", "--dry-run", "--cores", "99", "--", "true"]).code(6).says(["99 cores"]);
    world.cluster(["submit", "--", "true"]).good();
    world.cluster(["submit", "--dry-run", "--after", "99999", "--", "true"]).code(2).says(["99999"]);
}

#[test]
fn a_dry_run_makes_no_root_and_can_be_read_by_programs() {
    let site = Site::new();
    let temporary = site.path("temporary");
    fs::create_dir(&temporary).unwrap();
    let called = |words: &[&str]| site.call(words).env("TMPDIR", &temporary).end().good();
    for words in [&["submit", "--", "true"][..], &["map", "--range", "1-9", "--", "true"]] {
        let words = [&words[..1], &["--dry-run", "--json", "--time", "2h"], &words[1..]].concat();
        let dry = called(&words);
        assert!(!dry.err().contains("jobs are kept"), "{}", dry.err());
        let dry = dry.json();
        let command = dry["submissions"][0]["command"].as_str().unwrap();
        assert!(command.contains(site.kind().submit()), "{dry}");
        assert_eq!(dry["jobs"], if words[0] == "map" { 9 } else { 1 }, "{dry}");
        assert!(dry["directives"].to_string().contains("02:00:00"), "{dry}");
        let here = [&words[..1], &["--system", "local"], &words[1..]].concat();
        assert_eq!(called(&here).json()["system"], "local");
    }
    assert!(!site.root().join("jobs").exists() && !site.root().join("events").exists());
    assert_eq!(fs::read_dir(&temporary).unwrap().count(), 0);
}

#[test]
fn an_id_that_cannot_be_written_is_said() {
    let world = World::new();
    let line = format!("'{}' submit -- true > /dev/full", cluster_tests::binary().display());
    let outcome = world.program("sh").args(["-c", &line]).end().code(5);
    outcome.says(["batch 1 was submitted", "cannot write to stdout"]);
}

#[test]
fn a_file_that_cannot_be_written_is_named() {
    let world = World::new();
    world.cluster(["run", "--quiet", "--", "true"]).good();
    let program = cluster_tests::binary().display().to_string();
    for words in ["submit -- true", "run -- true", "map --detach -- true ::: a", "submit --stdin -- cat"] {
        // No file may grow: what a full disk is to a write.
        let line = format!("trap '' XFSZ; ulimit -f 0; echo x | '{program}' {words}");
        let outcome = world.program("sh").args(["-c", &line]).end();
        assert_ne!(outcome.code, 0);
        outcome.says(["jobs/new.c", "File too large"]);
    }
}

#[test]
fn a_script_and_its_input_cannot_both_be_standard_input() {
    let world = World::new();
    world.call(["submit", "--stdin", "-"]).stdin("cat").end().code(2).says(["--stdin"]);
}
