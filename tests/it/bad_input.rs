//! Bad input: for each case a clear error, or the right result.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use cluster_tests::World;

/// One case of the table.
struct Case {
    what: &'static str,
    words: Vec<OsString>,
    stdin: &'static str,
    code: i32,
    /// What stdout must be, where it matters.
    out: Option<Vec<u8>>,
    /// What stderr must hold.
    says: &'static [&'static str],
}

fn case(
    what: &'static str,
    words: &[&str],
    code: i32,
    out: Option<&str>,
    says: &'static [&'static str],
) -> Case {
    let words = words.iter().map(OsString::from).collect();
    Case { what, words, stdin: "", code, out: out.map(|out| out.as_bytes().to_vec()), says }
}

fn bytes(what: &'static str, words: &[&[u8]], out: &[u8]) -> Case {
    let words = words.iter().map(|word| OsStr::from_bytes(word).to_owned()).collect();
    Case { what, words, stdin: "", code: 0, out: Some(out.to_vec()), says: &[] }
}

/// Shells differ: any code but 0.
const ANY: i32 = -1;

fn table() -> Vec<Case> {
    let long = "x".repeat(100_000);
    let mut two_megabytes = vec!["run", "--quiet", "--sh", "echo $#", "--"];
    two_megabytes.extend(std::iter::repeat_n(&*long, 18));
    let name = "a b'c\"d\ne$(touch pwned);touch pwned;🎉";
    vec![
        case("unknown command", &["run", "--", "no-such-7"], 127, Some(""), &["no-such-7"]),
        case("not executable", &["run", "--", "./plain"], 126, Some(""), &["plain"]),
        case("a command that is a directory", &["run", "--", "./dir"], 126, Some(""), &["dir"]),
        case(
            "no working directory",
            &["run", "--chdir", "gone", "--", "true"],
            2,
            Some(""),
            &["gone", "not there"],
        ),
        case(
            "a working directory that is a file",
            &["run", "--chdir", "plain", "--", "true"],
            2,
            None,
            &["plain"],
        ),
        case("an odd name", &["run", "-n", name, "--", "echo", "x"], 0, Some("x\n"), &[]),
        case("an odd word", &["run", "--", "printf", "%s", name], 0, Some(name), &[]),
        case("an empty word", &["run", "--", "printf", "<%s>", ""], 0, Some("<>"), &[]),
        case("an empty command", &["run", "--", ""], ANY, Some(""), &[]),
        case("a command that begins with a dash", &["run", "--", "-x"], 127, Some(""), &["-x"]),
        case("an odd input", &["map", "--", "printf", "%s", ":::", name], 0, Some(name), &[]),
        case("an odd input in shell text", &["map", "--sh", "printf %s {}", ":::", name], 0, Some(name), &[]),
        bytes("invalid UTF-8 in words", &[b"run", b"--", b"printf", b"%s", b"\xff\xfe\x80"], b"\xff\xfe\x80"),
        bytes("invalid UTF-8 in inputs", &[b"map", b"--", b"printf", b"%s", b":::", b"\xc3("], b"\xc3("),
        bytes("invalid UTF-8 in a name of a file", &[b"run", b"--", b"cat", b"\xff.txt"], b"odd name\n"),
        case("two megabytes of words", &two_megabytes, 0, Some("18\n"), &[]),
        Case {
            stdin: "a\r\nb\r\n",
            ..case("CRLF", &["map", "--", "printf", "<%s>"], 0, Some("<a><b>"), &[])
        },
        case("no input", &["map", "--", "true"], 2, Some(""), &["no inputs"]),
        case("an empty list", &["map", "--", "true", ":::"], 2, Some(""), &["no inputs"]),
        case("an empty file", &["map", "--from", "empty", "--", "true"], 2, Some(""), &["no inputs"]),
        case("no such input file", &["map", "--from", "gone", "--", "true"], 2, Some(""), &["gone"]),
        case(
            "an input file that is a directory",
            &["map", "--from", "dir", "--", "true"],
            2,
            Some(""),
            &["dir"],
        ),
        Case { stdin: "a\0b\n", ..case("NUL in the input", &["map", "--", "true"], 2, Some(""), &["NUL"]) },
        case("a falling range", &["map", "--range", "5-1", "--", "true"], 2, Some(""), &["5-1", "empty"]),
        case("no range", &["map", "--range", "a-b", "--", "true"], 2, Some(""), &["a-b"]),
        case(
            "a range without end",
            &["map", "--range", "1-99999999999", "--", "true"],
            2,
            Some(""),
            &["jobs"],
        ),
        case("a step of 0", &["map", "--range", "1-5:0", "--", "true"], 2, Some(""), &["step"]),
        case(
            "depends on what is not there",
            &["submit", "--after", "999", "--", "true"],
            2,
            Some(""),
            &["999"],
        ),
        case("depends on nonsense", &["submit", "--after", "soon:1", "--", "true"], 2, Some(""), &["soon"]),
        // A batch has no id before it is accepted: whoever names the next one names nothing that is there.
        case(
            "a cycle: depends on itself",
            &["submit", "--after", "NEXT", "--", "true"],
            2,
            Some(""),
            &["no batch"],
        ),
        case(
            "more cores than there are",
            &["run", "--cores", "1000000", "--", "true"],
            6,
            Some(""),
            &["1000000"],
        ),
        case("more memory than there is", &["run", "--mem", "900T", "--", "true"], 6, Some(""), &[]),
        case("no cores", &["submit", "--cores", "0", "--", "true"], 2, Some(""), &["0"]),
        case("no time", &["submit", "--time", "soon", "--", "true"], 2, Some(""), &["soon"]),
        case("no size", &["submit", "--mem", "much", "--", "true"], 2, Some(""), &["much"]),
        case("an unknown option", &["submit", "--corse", "2", "--", "true"], 2, Some(""), &["--cores"]),
        case("no command", &["submit"], 2, Some(""), &["no command"]),
        case("a script that is not there", &["submit", "gone.sh"], 2, Some(""), &["gone.sh", "--"]),
        case("a script that is a directory", &["submit", "dir"], 2, Some(""), &["dir"]),
        case("blanks in one word", &["run", "--", "echo a b"], 2, Some(""), &["--sh"]),
        case("an unknown system", &["run", "--system", "moon", "--", "true"], 2, Some(""), &["moon"]),
        case("fewer than no files", &["map", "--glob", "[", "--", "true"], 2, Some(""), &["--glob"]),
        case("an unknown command of ours", &["sumbit"], 2, Some(""), &["submit"]),
    ]
}

#[test]
fn every_case_of_the_table() {
    let world = World::new();
    world.file("plain", "no program\n");
    world.file("empty", "");
    world.file(OsStr::from_bytes(b"\xff.txt"), "odd name\n");
    std::fs::create_dir(world.work().join("dir")).unwrap();
    world.cluster(["run", "--quiet", "--", "true"]).good();
    let mut wrong = Vec::new();
    for case in table() {
        let next = world.cluster(["ls", "--ids"]).good().lines().len() + 1;
        let words: Vec<_> = case
            .words
            .iter()
            .map(|word| if word == "NEXT" { next.to_string().into() } else { word.clone() })
            .collect();
        let outcome = world.call(words).stdin(case.stdin).end();
        let talk = outcome.err();
        // `run` has 125 for refusals, too.
        let code = match case.code {
            ANY => outcome.code != 0,
            6 => matches!(outcome.code, 6 | 125),
            code => outcome.code == code,
        };
        let out = case.out.as_ref().is_none_or(|out| *out == outcome.stdout);
        let says = case.says.iter().all(|part| talk.contains(part));
        let sane = !talk.contains("panicked") && outcome.code != 70;
        if !(code && out && says && sane) {
            let shown: String = outcome.out().chars().take(200).collect();
            wrong.push(format!(
                "{}: code {} (not {}), stdout {shown:?}, stderr {talk}",
                case.what, outcome.code, case.code
            ));
        }
    }
    assert!(!world.work().join("pwned").exists(), "a name was executed");
    world.check_store();
    assert!(wrong.is_empty(), "{} cases:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn a_directory_that_went_away_is_not_run_in() {
    let world = World::new();
    let dir = world.work().join("soon gone");
    std::fs::create_dir(&dir).unwrap();
    let one = world.submit(["--hold", "--chdir", "soon gone", "--", "true"]);
    let many = world.map(["--hold", "--chdir", "soon gone", "--range", "0-39", "--", "true"]);
    std::fs::remove_dir(&dir).unwrap();
    world.cluster(["release", &one, &many]).good();
    world.cluster(["wait", &one, &many]).code(1);
    assert_eq!(world.state(&one), "failed exit 126");
    world.cluster(["logs", "--stderr", &one]).good();
    assert!(world.jobs(&many).iter().all(|job| cluster_tests::state_of(job) == "failed exit 126"));
}

#[test]
fn no_home_and_no_root() {
    let world = World::new();
    let bare = |words: &[&str]| {
        let call = world.call(words).without("HOME").without("CLUSTER_ROOT").without("XDG_DATA_HOME");
        call.without("XDG_CONFIG_HOME").without("XDG_STATE_HOME").end()
    };
    bare(&["ls"]).code(2).says(["HOME", "--root"]);
    bare(&["--version"]).good();
    bare(&["completions", "bash"]).good();
}

#[test]
fn a_wrong_configuration_is_named() {
    for (yaml, part) in
        [("local: { coers: 2 }\n", "coers"), ("local: { cores: many }\n", "many"), ("a: [\n", "config.yaml")]
    {
        let world = World::with_config(yaml);
        world.cluster(["ls"]).code(2).says([part, "config.yaml"]);
    }
}
