//! Texts that mean harm, or were never YAML: clear errors, no panic, no long wait.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use cluster_options::yaml::{Document, YamlErrorCause};
use cluster_options::{Catalogue, Node};
use proptest::prelude::*;

fn cause(text: impl AsRef<[u8]>) -> YamlErrorCause {
    Document::parse(text.as_ref()).unwrap_err().cause
}

#[test]
fn clear_errors_with_places() {
    let mut errors = String::new();
    for text in [
        "a: 1\nb: 2\na: 3\n",
        "a: {b: 1, b: 2}",
        "a:\n\tb: 1\n",
        "a: [1, 2\nb: 3\n",
        "a: \"open\n",
        "a: *nothing\n",
        "a: !tag 5\n",
        "a: 1\n---\nb: 2\n",
        "? [1, 2]\n: 3\n",
        "a: 1\r\n b: 2\r\n",
        "a: @x",
        "<<<<<<< HEAD\na: 1\n",
        "a: \0",
    ] {
        writeln!(errors, "{}", Document::parse(text.as_bytes()).unwrap_err()).unwrap();
    }
    insta::assert_snapshot!(errors, @r#"
    line 3, column 1: key `a` is given twice
    line 1, column 11: key `b` is given twice
    line 2, column 1: a tab: YAML indents with spaces
    line 2, column 2: did not find expected ',' or ']', while parsing a flow sequence at line 1 column 4
    line 2, column 1: found unexpected end of stream, while scanning a quoted scalar at line 1 column 4
    line 1, column 4: unknown anchor
    line 1, column 4: tags (`!name`) have no meaning here
    a second document (`---`): one is read
    line 1, column 3: a key must be plain text
    line 2, column 3: mapping values are not allowed in this context
    line 1, column 4: found character that cannot start any token, while scanning for the next token
    line 2, column 2: mapping values are not allowed in this context
    line 1, column 4: a control character
    "#);
}

#[test]
fn text_that_is_no_utf8_says_where() {
    let error = Document::parse(b"a: 1\nb: \xc3\xa4\xff").unwrap_err();
    assert_eq!(error.to_string(), "line 2, column 5: not UTF-8 text");
    assert_eq!(cause(b"\xff\xfea\0:\0"), YamlErrorCause::NotUtf8);
}

#[test]
fn crlf_a_byte_order_mark_and_duplicate_looking_keys_are_fine() {
    let document =
        Document::parse("\u{feff}a: 1\r\nb:\r\n  c: x y\r\n'1': q\r\n1.0: r\r\n".as_bytes()).unwrap();
    assert_eq!(document.root().get(&["b", "c"]).and_then(Node::as_text), Some("x y"));
    assert_eq!(document.root().get(&["1.0"]).and_then(Node::as_text), Some("r"));
}

#[test]
fn numbers_and_truth_values_keep_their_text() {
    let document =
        Document::parse(b"[1.10, 007, 0x10, True, 1e3, -0, 99999999999999999999999999999999999999999]")
            .unwrap();
    let texts: Vec<_> = document.root().as_list().unwrap().iter().filter_map(Node::as_text).collect();
    assert_eq!(
        texts,
        ["1.10", "007", "0x10", "True", "1e3", "-0", "99999999999999999999999999999999999999999"]
    );
    // Also behind aliases, and beside what has no text.
    let document = Document::parse(b"a: &x {n: 1.50, z: ~, l: [1.0]}\nb: *x\nc: 2.0").unwrap();
    for path in [&["a", "n"][..], &["b", "n"]] {
        assert_eq!(document.root().get(path).and_then(Node::as_text), Some("1.50"));
    }
    assert_eq!(document.root().get(&["b", "l", "0"]).and_then(Node::as_text), Some("1.0"));
    assert_eq!(document.root().get(&["c"]).and_then(Node::as_text), Some("2.0"));
}

#[test]
fn places_of_keys_and_values() {
    let document = Document::parse(b"a:\n  - b: 1\n  - {c: 2, d: [x, y]}\n").unwrap();
    let at = |position: Option<cluster_options::yaml::Position>| position.map(|p| (p.line, p.column));
    assert_eq!(at(document.key_position(&["a", "1", "d"])), Some((3, 12)));
    assert_eq!(at(document.value_position(&["a", "1", "d", "1"])), Some((3, 19)));
    assert_eq!(at(document.value_position(&["a", "0", "b"])), Some((2, 8)));
    assert_eq!(document.value_position(&["a", "2"]), None);
    assert_eq!(document.key_position(&["z"]), None);
}

/// What takes a parser's time or memory, none larger than what is read.
fn bombs() -> Vec<(&'static str, String)> {
    const SIZE: usize = 1 << 20;
    let fill = |unit: &str| unit.repeat(SIZE / unit.len());
    let mut laughs = "a0: &a0 lol\n".to_owned();
    for i in 1..30 {
        let item = format!("*a{}", i - 1);
        writeln!(laughs, "a{i}: &a{i} [{}]", [item.as_str(); 10].join(",")).unwrap();
    }
    let quadratic =
        format!("a: &a [{}]\nb: [{}]", fill("x,").split_off(SIZE / 2), fill("*a,").split_off(SIZE / 2 + 100));
    let long = format!("a: &a {}\nb: [{}]", "x".repeat(SIZE / 2), "*a,".repeat(10_000));
    vec![
        ("billion laughs", laughs),
        ("wide aliases", quadratic),
        ("long alias", long),
        ("an alias of itself", "a: &a [*a]".to_owned()),
        ("lists in lists", fill("[")),
        ("mappings in mappings", fill("{a: ")),
        ("mixed", fill("[{")),
        ("after a quote", format!("a: 'it''s'\n{}", "b: [".repeat(200_000))),
        ("dashes", fill("- ")),
        ("questions", fill("? ")),
        ("steps", (0..1400).fold(String::new(), |text, i| text + &" ".repeat(i) + "a:\n")),
        ("too large", "#".repeat(SIZE + 1)),
    ]
}

#[test]
fn bombs_are_refused_soon() {
    for (name, text) in bombs() {
        let start = Instant::now();
        let error = Document::parse(text.as_bytes()).map(|_| ()).unwrap_err();
        let (shown, took) = (error.to_string(), start.elapsed());
        assert!(shown.len() < 300, "{name}: {shown}");
        // Unoptimised and beside other tests: the point is seconds, not hours.
        assert!(took < Duration::from_secs(20), "{name} took {took:?}");
    }
}

#[test]
fn large_but_harmless_is_read() {
    let long = "x".repeat((1 << 20) - 10);
    let document = Document::parse(format!("a: {long}").as_bytes()).unwrap();
    assert_eq!(document.root().get(&["a"]).and_then(Node::as_text).map(str::len), Some(long.len()));
    let many: String = (0..20_000).map(|i| format!("- {{n: {i}, v: [a, 'b', \"c\"]}}\n")).collect();
    assert_eq!(Document::parse(many.as_bytes()).unwrap().root().as_list().map(<[Node]>::len), Some(20_000));
    let keys: String = (0..60_000).map(|i| format!("key{i}: 1\n")).collect();
    assert_eq!(
        Document::parse(keys.as_bytes()).unwrap().root().as_map().map(indexmap::IndexMap::len),
        Some(60_000)
    );
}

#[test]
fn thousands_of_mistakes_take_no_thousand_readings() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config.yaml");
    std::fs::write(&file, (0..50_000).map(|i| format!("x{i}: 1\n")).collect::<String>()).unwrap();
    let errors = cluster_options::Config::from_files(&[&file]).unwrap_err();
    assert_eq!(errors.iter().count(), 50_000);
    assert!(errors.to_string().ends_with("… and 49980 more"));
}

proptest! {
    #[test]
    fn no_text_panics(text in "(?s).{0,60}", near in "[\\[\\]{}:,&*!|>'\"?# a1\n-]{0,40}", bytes: Vec<u8>) {
        for input in [text.as_bytes(), near.as_bytes(), &bytes] {
            if let Ok(document) = Document::parse(input) {
                let _ = (document.value_position(&["a"]), document.key_position(&["a", "1"]));
            }
            let _ = Catalogue::parse(input);
        }
    }
}
