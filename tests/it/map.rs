//! `cluster map`: sources, placeholders, quoting, order.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use cluster_tests::{World, wait_for};

/// What `map` with these words prints.
#[track_caller]
fn map(world: &World, words: &[&str]) -> String {
    world.call(["map", "--quiet"].iter().chain(&["--json"][..0]).copied()).args(words).end().good();
    world.cluster(["get", "last"]).good().out()
}

#[test]
fn lists() {
    let world = World::new();
    assert_eq!(map(&world, &["--", "echo", "{}", ":::", "a", "b c", "d"]), "a\nb c\nd\n");
    assert_eq!(
        map(&world, &["--", "echo", "{1}-{2}", ":::", "a", "b", ":::", "1", "2"]),
        "a-1\na-2\nb-1\nb-2\n"
    );
    assert_eq!(map(&world, &["--", "echo", "{1}{2}", ":::", "a", "b", ":::+", "1", "2"]), "a1\nb2\n");
    // Without a placeholder the input is the last word; one empty input is an input.
    assert_eq!(map(&world, &["--", "echo", "x", ":::", "a", ""]), "x a\nx \n");
}

#[test]
fn every_placeholder() {
    let world = World::new();
    let words = [
        "--",
        "echo",
        "{}",
        "{.}",
        "{/}",
        "{//}",
        "{/.}",
        "{#}",
        "{1.}",
        "{1/}",
        ":::",
        "d/e/a.tar.gz",
        "plain",
    ];
    let wanted = "d/e/a.tar.gz d/e/a.tar a.tar.gz d/e a.tar 1 d/e/a.tar a.tar.gz\nplain plain plain . plain 2 plain plain\n";
    assert_eq!(map(&world, &words), wanted);
    // What is no placeholder stays.
    assert_eq!(map(&world, &["--", "echo", "{print $1}", "{}", ":::", "a"]), "{print $1} a\n");
}

#[test]
fn standard_input_and_files() {
    let world = World::new();
    let quiet = |words: &[&str], stdin: &str| world.call(["map"]).args(words).stdin(stdin).end();
    quiet(&["--quiet", "--unordered", "--", "true"], "x\n").good();
    quiet(&["--", "echo", "<{}>"], "a\nb c\n\nlast").good().prints("<a>\n<b c>\n<>\n<last>\n");
    world.file("in.txt", "one\ntwo\n");
    quiet(&["--from", "in.txt", "--", "echo", "{}"], "").good().prints("one\ntwo\n");
    quiet(&["--from", "-", "--", "echo", "{}"], "z\n").good().prints("z\n");
    quiet(&["--from", "missing.txt", "--", "echo", "{}"], "").code(2).says(["missing.txt"]);
}

#[test]
fn line_ends_of_windows_are_none_of_the_input() {
    let world = World::new();
    let call = world.call(["map", "--", "printf", "[%s]", "{}"]).stdin("a\r\nb\r\nc\rd\r\n");
    call.end().good().prints("[a][b][c\rd]");
}

#[test]
fn ranges() {
    let world = World::new();
    assert_eq!(map(&world, &["--range", "1-5", "--", "echo", "{}"]), "1\n2\n3\n4\n5\n");
    assert_eq!(map(&world, &["--range", "0-10:5", "--", "echo", "{}"]), "0\n5\n10\n");
    assert_eq!(map(&world, &["--range", "-2-0", "--", "echo", "{}"]), "-2\n-1\n0\n");
    world.cluster(["map", "--range", "5-1", "--", "echo"]).code(2).says(["5-1", "empty"]);
    // The range sets the input, not the index.
    assert_eq!(world.jobs("1")[4]["job"], "1.4");
}

#[test]
fn globs() {
    let world = World::new();
    for name in ["b.txt", "a.txt", "sub/c.txt", "x.dat", ".hidden.txt", "y.dat"] {
        world.file(name, "");
    }
    assert_eq!(map(&world, &["--glob", "*.txt", "--", "echo", "{}"]), "a.txt\nb.txt\n");
    assert_eq!(map(&world, &["--glob", "**/*.txt", "--", "echo", "{}"]), "a.txt\nb.txt\nsub/c.txt\n");
    let zipped = ["--zip", "--glob", "*.txt", "--glob", "*.dat", "--", "echo", "{1.}", "{2}"];
    assert_eq!(map(&world, &zipped), "a x.dat\nb y.dat\n");
    let outcome =
        world.cluster(["map", "--zip", "--glob", "**/*.txt", "--glob", "*.dat", "--", "echo"]).code(2);
    outcome.says(["3", "2"]);
    world.cluster(["map", "--glob", "*.nope", "--", "echo"]).code(2).says(["*.nope", "no path matches"]);
    let uneven = world.cluster(["map", "--", "echo", ":::", "a", "b", "c", ":::+", "1"]).code(2);
    uneven.says(["3", "1"]);
}

#[test]
fn tables_by_header_names() {
    let world = World::new();
    world.file("t.csv", "sample,read 1,n\r\ns1,\"a,b\",1\ns2,\"say \"\"hi\"\"\",2\n");
    assert_eq!(
        map(&world, &["--csv", "t.csv", "--", "echo", "{sample}:{read 1}:{3}"]),
        "s1:a,b:1\ns2:say \"hi\":2\n"
    );
    // Without a placeholder each column is a word.
    assert_eq!(map(&world, &["--csv", "t.csv", "--", "printf", "[%s]"]), "[s1][a,b][1][s2][say \"hi\"][2]");
    world.file("twice.csv", "a,b,a\n1,2,3\n");
    let twice = world.cluster(["map", "--csv", "twice.csv", "--", "echo", "{b}{a.}"]);
    twice.code(2).says(["{a.} is the name of several columns: say {1} or {3}"]);
    assert_eq!(map(&world, &["--csv", "twice.csv", "--", "echo", "{b}{1}{3}"]), "213\n");
    // `${a}` is the shell's own.
    assert_eq!(map(&world, &["--csv", "twice.csv", "--sh", "a=x; echo \"${a}\" {b}"]), "x 2\n");
    for open in ["a,b\n1,\"x\n2,y\n", "a,b\n1,\"x", "a,b\n1,\"x\"\"\n"] {
        world.file("open.csv", open);
        let said = world.cluster(["map", "--csv", "open.csv", "--", "echo", "{b}"]).code(2);
        said.says(["open.csv: row 1: its last quote is never closed"]).prints("");
    }
    for closed in ["a\n\"x\n\"\n", "a\n\"x\n\"", "a\n\"x\r\n\"\r\n\r\n"] {
        world.file("closed.csv", closed);
        world.cluster(["map", "--csv", "closed.csv", "--", "test", "x", "=", "{a}"]).code(1);
        world
            .cluster(["map", "--csv", "closed.csv", "--sh", "test \"$(echo {a} | tr -d '\\r')\" = x"])
            .good();
    }
    world.file("short.csv", "a,b\n1\n");
    world.cluster(["map", "--csv", "short.csv", "--", "echo"]).code(2).says(["short.csv"]);
}

#[test]
fn json_lines_by_keys() {
    let world = World::new();
    world.file("t.json", "{\"name\":\"x y\",\"n\":1}\n{\"n\":2,\"name\":\"z\"}\n");
    assert_eq!(map(&world, &["--json-lines", "t.json", "--", "echo", "{name}={n}"]), "x y=1\nz=2\n");
    world.file("bad.json", "{\"name\":\"x\"}\nrubbish\n");
    world.cluster(["map", "--json-lines", "bad.json", "--", "echo"]).code(2).says(["bad.json", "line 2"]);
}

#[test]
fn several_inputs_to_one_job() {
    let world = World::new();
    assert_eq!(
        map(&world, &["--range", "1-5", "--per-job", "2", "--", "echo", "-", "{}"]),
        "- 1 2\n- 3 4\n- 5\n"
    );
    assert_eq!(world.jobs("last").len(), 3);
    world.cluster(["show", "--input", "1.1"]).good().prints("3\n4\n");
    let sh = ["--range", "1-3", "--per-job", "2", "--sh", "echo $# {}"];
    assert_eq!(map(&world, &sh), "2 1 2\n1 3\n");
}

#[test]
fn output_is_in_the_order_of_the_inputs() {
    let world = World::new();
    let gate = world.fifo("gate");
    let said = world.fifo("said");
    // The first can only end after the others have.
    let text = format!(
        "if [ {{}} = 1 ]; then {}; else {}; fi; echo out {{}}",
        gate.wait_text(),
        said.say_text("{}")
    );
    let run = world.start(["map", "--range", "1-4", "--sh", &text]);
    for _ in 0..3 {
        said.hear();
    }
    gate.let_go(1);
    run.end().good().prints("out 1\nout 2\nout 3\nout 4\n");
}

#[test]
fn unordered_prints_as_jobs_end() {
    let world = World::new();
    let gate = world.fifo("gate");
    let text = format!("if [ {{}} = 1 ]; then {}; fi; echo {{}}", gate.wait_text());
    let mut run = world.start(["map", "--unordered", "--range", "1-3", "--sh", &text]);
    let mut first: Vec<_> =
        String::from_utf8(run.first_bytes(4)).unwrap().lines().map(str::to_owned).collect();
    first.sort();
    assert_eq!(first, ["2", "3"]);
    gate.let_go(1);
    run.end().good().prints("1\n");
}

#[test]
fn each_outputs_stream_goes_to_its_own() {
    let world = World::new();
    let outcome = world.cluster(["map", "--range", "1-3", "--sh", "echo o{}; echo e{} >&2"]).good();
    assert_eq!(outcome.out(), "o1\no2\no3\n");
    let talk: Vec<_> =
        outcome.err().lines().filter(|line| line.starts_with('e')).map(str::to_owned).collect();
    assert_eq!(talk, ["e1", "e2", "e3"]);
}

#[test]
fn a_failed_job_is_named_and_the_code_is_1() {
    let world = World::new();
    let outcome = world.cluster(["map", "--range", "1-5", "--sh", "echo {}; [ {} != 3 ] || exit 9"]).code(1);
    assert_eq!(outcome.out(), "1\n2\n3\n4\n5\n");
    outcome.says(["1 of 5 jobs failed", "1.2", "exit 9", "retry"]);
    let states: Vec<_> = world.jobs("1").iter().map(cluster_tests::state_of).collect();
    assert_eq!(states, ["succeeded", "succeeded", "failed exit 9", "succeeded", "succeeded"]);
}

#[test]
fn no_input_and_no_command() {
    let world = World::new();
    world.call(["map", "--", "echo"]).stdin("").end().code(2).says(["no inputs"]);
    world.call(["map"]).stdin("a\n").end().code(2).says(["no command"]);
    world.call(["map", "echo", ":::", "a"]).end().code(2).says(["--"]);
    assert!(world.cluster(["ls", "--ids"]).good().out().is_empty());
}

const HOSTILE: [&str; 14] = [
    "$(touch pwned)",
    "`touch pwned`",
    "; touch pwned",
    "' ; touch pwned ; '",
    "\" ; touch pwned ; \"",
    "a\nb",
    "$HOME",
    "-n",
    "*",
    "\\",
    "a'b\"c",
    "| touch pwned",
    "🎉",
    "& touch pwned",
];

#[test]
fn shell_text_never_runs_an_input() {
    let world = World::new();
    // The placeholder bare, in double quotes, in single quotes, and after other text.
    for text in ["printf '%s\\0' {}", "printf '%s\\0' \"{}\"", "printf '%s\\0' '{}'", "printf '%s\\0' x{}"] {
        let mut call = world.call(["map", "--sh", text, ":::"]);
        for input in HOSTILE {
            call = call.arg(input);
        }
        let start = if text.ends_with("x{}") { "x" } else { "" };
        let wanted: String = HOSTILE.iter().map(|input| format!("{start}{input}\0")).collect();
        call.end().good().prints(wanted).silent_but_for_the_root();
    }
    assert!(!world.work().join("pwned").exists());
}

trait Silent {
    fn silent_but_for_the_root(self);
}

impl Silent for cluster_tests::Outcome {
    #[track_caller]
    fn silent_but_for_the_root(self) {
        let talk = self.err();
        assert!(talk.lines().all(|line| line.starts_with("cluster: jobs are kept in")), "{talk}");
    }
}

#[test]
fn words_of_a_direct_command_go_through_byte_for_byte() {
    let world = World::new();
    let mut call = world.call(["map", "--", "printf", "%s\\0", "{}", ":::"]);
    let odd: [&[u8]; 3] = [b"\xff\xfe", b"caf\xe9", b"\x01\x7f\t"];
    for input in HOSTILE {
        call = call.arg(input);
    }
    for input in odd {
        call = call.arg(OsStr::from_bytes(input));
    }
    let inputs = HOSTILE.iter().map(|input| input.as_bytes()).chain(odd);
    let wanted: Vec<u8> = inputs.flat_map(|input| [input, &b"\0"[..]].concat()).collect();
    call.end().good().prints(wanted);
    assert!(!world.work().join("pwned").exists());
}

#[test]
fn outputs_of_jobs_bare_and_through_the_script_are_alike() {
    let world = World::new();
    // The first of many short jobs go through job.sh, the later ones are bare; the environment has to agree.
    let text = "echo $CLUSTER_JOB_ID $CLUSTER_JOB_INDEX $CLUSTER_RUN $ODD $(umask) $PWD $# ; exit $(($CLUSTER_JOB_INDEX % 3))";
    let call = world.call(["map", "--range", "0-99", "--", "sh", "-c", text, "sh"]).env("ODD", "x  y'");
    let outcome = call.end().code(1);
    let umask = world.program("sh").args(["-c", "umask"]).end().out();
    let wanted: String = (0..100)
        .map(|i| format!("1.{i} {i} 1 x y' {} {} 1\n", umask.trim(), world.work().display()))
        .collect();
    assert_eq!(outcome.out(), wanted);
    for (i, job) in world.jobs("1").iter().enumerate() {
        assert_eq!(job["exit_code"], i % 3, "{job}");
    }
}

#[test]
fn ctrl_c_leaves_the_jobs_running() {
    let world = World::new();
    let gate = world.fifo("gate");
    let mut run = world.start([
        "map",
        "--range",
        "1-2",
        "--sh",
        &format!("[ {{}} = 1 ] || {}; echo {{}}", gate.wait_text()),
    ]);
    run.first_bytes(2);
    run.signal(2);
    run.end().code(130).says(["attach 1", "cancel 1"]);
    let attached = world.start(["attach", "1"]);
    gate.let_go(1);
    attached.end().good().prints("1\n2\n");
}

#[test]
fn a_limit_on_batches_is_kept() {
    let world = World::with_config("limits: { max_jobs_per_batch: 10 }\n");
    world.cluster(["map", "--range", "1-11", "--", "true"]).code(2).says(["11", "max_jobs_per_batch"]);
    world.cluster(["map", "--range", "1-10", "--", "true"]).good();
}

#[test]
fn inputs_are_copied_at_submission() {
    let world = World::new();
    let list = world.file("in.txt", "first\n");
    let batch = world.map(["--hold", "--from", "in.txt", "--", "echo", "{}"]);
    std::fs::write(&list, "changed\n").unwrap();
    world.cluster(["release", &batch]).good();
    world.cluster(["wait", &batch]).good();
    world.cluster(["get", &batch]).good().prints("first\n");
}

#[test]
fn jobs_go_on_when_nobody_reads_and_that_is_said() {
    let world = World::new();
    let gate = world.fifo("gate");
    let text =
        format!("[ {{}} = 1 ] || {}; [ {{}} = 3 ] && {}; seq 100000", gate.wait_text(), gate.wait_text());
    let program = cluster_tests::binary().display().to_string();
    let line = format!("'{program}' map --range 1-3 --sh \"$TEXT\" | head -n 1");
    let outcome = world.program("sh").args(["-c", &line]).env("TEXT", text).end().good().prints("1\n");
    outcome.says(["batch 1 goes on", "attach 1", "cancel 1"]);
    gate.let_go(3);
    world.cluster(["wait", "1"]).good();
}

#[test]
fn a_placeholder_that_is_none_is_refused() {
    let world = World::new();
    world.file("t.csv", "name,n\na,1\n");
    let refused = |words: &[&str], said: &str| {
        world.call(["map"]).args(words).end().code(2).says([said]).prints("");
    };
    refused(&["--csv", "t.csv", "--", "echo", "{nme}"], "did you mean {name}?");
    refused(&["--csv", "t.csv", "--sh", "echo {nme}"], "did you mean {name}?");
    refused(&["--", "echo", "{3}", ":::", "X"], "there is one column, {1}");
    // What repeats in a regular expression is none, and where it may be one the way out is named.
    assert_eq!(map(&world, &["--", "echo", "a{3}", ":::", "X"]), "a{3} X\n");
    assert_eq!(map(&world, &["--sh", "echo {} | grep -E 'a{3}'", ":::", "aaa"]), "aaa\n");
    refused(&["--", "echo", "{1}", "a{3}", ":::", "X"], "write (x){3} or [x]{3}");
    assert_eq!(map(&world, &["--", "echo", "{1}", "(a){3}", ":::", "X"]), "X (a){3}\n");
    refused(&["--", "echo", "{0}", ":::", "X", ":::", "Y"], "{1} to {2}");
    // What is the program's own stays.
    let csv = ["--csv", "t.csv", "--no-append", "--", "echo", "{ print }", "{print $1}", "${nme}"];
    assert_eq!(map(&world, &csv), "{ print } {print $1} ${nme}\n");
    assert_eq!(map(&world, &["--", "echo", "{nme}", ":::", "X"]), "{nme} X\n");
}

#[test]
fn lists_go_beside_other_sources() {
    let world = World::new();
    let words = ["--range", "1-2", "--", "echo", "{1}", "{2}", ":::+", "a", "b"];
    assert_eq!(map(&world, &words), "1 a\n2 b\n");
    world.cluster(["map", "--", "echo", ":::+", "a"]).code(2).says([":::+"]);
}

#[test]
fn tables_keep_numbers_and_the_order_of_columns() {
    let world = World::new();
    world.file("t.jsonl", "{\"z\": 12345678901234567890123, \"a\": 1.50, \"s\": \"x\\u00e9\"}\n");
    assert_eq!(map(&world, &["--json-lines", "t.jsonl", "--", "echo"]), "12345678901234567890123 1.50 xé\n");
    world.file("empty.jsonl", "{}\n");
    world.cluster(["map", "--json-lines", "empty.jsonl", "--", "echo"]).code(2).says(["line 1", "no keys"]);
    world.file("bad.jsonl", "{\"a\": 1}\n{\"a\" 1}\n");
    let outcome = world.cluster(["map", "--json-lines", "bad.jsonl", "--", "echo"]).code(2);
    assert!(!outcome.err().contains("line 1"), "{}", outcome.err());
    outcome.says(["bad.jsonl: line 2, column 6: no JSON object"]);
    world.file("nul.jsonl", "{\"a\": \"x\\u0000y\"}\n");
    world
        .cluster(["map", "--json-lines", "nul.jsonl", "--", "echo"])
        .code(2)
        .says(["nul.jsonl: line 1", "NUL"]);
    world.file("nul.csv", "a\nx\0y\n");
    world.cluster(["map", "--csv", "nul.csv", "--", "echo"]).code(2).says(["nul.csv: row 1", "NUL"]);
}

#[test]
fn several_inputs_are_not_joined_to_other_text() {
    let world = World::new();
    let joined = ["map", "--per-job", "2", "--sh", "echo {}x", ":::", "a", "b"];
    world.cluster(joined).code(2).says(["a word of its own"]);
}

#[test]
fn ctrl_c_while_inputs_are_read_leaves_nothing() {
    let world = World::new();
    let inputs = world.fifo("inputs");
    let path = inputs.path().to_str().unwrap().to_owned();
    for detach in [&["--detach"][..], &[]] {
        let map = world.call(["map", "--from", &path]).args(detach).args(["--", "echo"]).start();
        let staged = || std::fs::read_dir(world.root().join("jobs")).map_or(0, Iterator::count);
        wait_for("it reads", || staged() == 1);
        map.signal(2);
        map.end().code(130);
        assert_eq!(staged(), 0);
    }
}

#[test]
fn inputs_from_a_terminal_are_asked_for() {
    let world = World::new();
    let map = format!("'{}' map -- echo got", cluster_tests::binary().display());
    // `script` gives it a terminal, and what we say to it ends with the end of that.
    let outcome = world.program("script").args(["-qec", &map, "/dev/null"]).stdin("x\n\u{4}").end();
    assert!(outcome.out().contains("Ctrl-D ends them"), "{}", outcome.out());
}

#[test]
fn an_option_that_is_none_is_named_before_the_command() {
    let world = World::new();
    let cases: [(&[&str], &str); 4] = [
        (&["--rnage", "1-3", "--", "echo"], "no option --rnage (did you mean --range?)"),
        (
            &["-n", "x", "--tme", "3", "--range", "1-3", "--", "echo"],
            "no option --tme (did you mean --time?)",
        ),
        (&[":::", "a", "--", "echo"], "come after the command"),
        (&["echo", ":::", "a"], "write -- before the command: -- echo ::: a"),
    ];
    for (words, text) in cases {
        world.cluster(["map"].iter().chain(words)).code(2).says([text]);
    }
}

#[test]
fn columns_are_counted_in_the_order_of_the_command_line() {
    let world = World::new();
    world.file("t.csv", "x,y\np,q\n");
    let first =
        ["--glob", "*.csv", "--range", "1-2", "--csv", "t.csv", "--", "echo", "{1}", "{2}", "{3}", "{4}"];
    assert_eq!(map(&world, &first), "t.csv 1 p q\nt.csv 2 p q\n");
    let turned = ["--csv", "t.csv", "--range=1-2", "--glob=*.csv", "--", "echo", "{1}", "{y}", "{3}", "{4}"];
    assert_eq!(map(&world, &turned), "p q 1 t.csv\np q 2 t.csv\n");
    let twice = ["map", "--from", "-", "--csv", "-", "--", "echo"];
    world.cluster(twice).code(2).says(["standard input (-) can be read once"]);
}
