//! What users write and jobs record: times, sizes, selections, dependencies, configuration, status lines.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use cluster_core::dependency::ForeignDependency;
use cluster_core::status_file::{self, StatusLine};
use cluster_core::template::shell_text;
use cluster_core::{Dependency, IndexSet, JobId, JobState, MemSize, Selector, Tag, Walltime, percent};
use cluster_options::yaml::{Document, MAX_BYTES};
use cluster_options::{Catalogue, CoreAmount, EnvExport, MemAmount, Node, SchedulerKind};

/// Sets of more ranges than this are not written out and read again.
const RANGES_WRITTEN: usize = 10_000;

/// The readers; the first byte picks one.
const READERS: &[fn(&[u8])] = &[
    again::<Walltime>,
    again::<MemSize>,
    index_set,
    selector,
    again::<JobId>,
    again::<Tag>,
    again::<JobState>,
    dependency,
    again::<CoreAmount>,
    again::<MemAmount>,
    again::<EnvExport>,
    again::<SchedulerKind>,
    status_lines,
    percent_code,
    shell_texts,
    yaml,
    catalogue,
    option,
];

/// Seeds: a reader's number and a text.
const SEEDS: &[(usize, &str)] = &[
    (0, "90"),
    (0, "1:30"),
    (0, "1:30:00"),
    (0, "2-12:00:00"),
    (0, "2-12"),
    (0, "1.5h"),
    (0, "1h30m"),
    (0, "unlimited"),
    (1, "4000"),
    (1, "1.5g"),
    (1, "512 MiB"),
    (1, "40000K"),
    (2, "0-4,7,10-20:5"),
    (2, "4294967295"),
    (3, "17"),
    (3, "17.0-99:2"),
    (3, "last"),
    (3, "name=align*"),
    (3, "state=failed"),
    (3, "meta.key=value"),
    (3, "system=hpc"),
    (4, "17.3"),
    (5, "caaaaaaaaaa"),
    (6, "succeeded"),
    (7, "afterok:17.3"),
    (7, "aftercorr:17"),
    (7, "afterany:remote:4711_3"),
    (7, "17.0-9"),
    (8, "50%"),
    (8, "max"),
    (9, "12.5%"),
    (9, "4G"),
    (10, "all,MODE=fast,PATH"),
    (11, "torque"),
    (
        12,
        "v1 start 0 1700000000 node%201 4711 12[3].srv\nv1 gate 0 17.3 contradicted\nv1 end 0 1700000009 143 10 20 TERM\n",
    ),
    (12, "v1 end 0 1700000000 3 12 0 -\nv1 end 0 17000"),
    (13, "a%20b%FF"),
    (14, "gzip -c {} > '{.}'.gz; echo \"{name}\" $((1 + 2)) `ls {/}` $(cat {//}) ${x}"),
    (
        15,
        "local: {cores: 50%}\nsystems:\n  hpc: {scheduler: slurm, poll: 2s}\na: &x [1, 'two', \"three\\n\"]\nb: *x\n",
    ),
    (15, "text: |\n  lines\n  and lines\nfolded: >-\n  x\n  y\n? key\n: 0x1F\n"),
    (
        16,
        "options:\n- name: time\n  type: walltime\n  group: resources\n  help: The time limit.\n  synonyms: [t]\n",
    ),
    (17, "time=2h"),
    (17, "mem=4G"),
    (17, "env=all,A=1"),
    (17, "cores-per-task=8"),
];

/// The corpus.
pub fn seeds() -> Vec<Vec<u8>> {
    SEEDS.iter().map(|(reader, text)| [&[*reader as u8], text.as_bytes()].concat()).collect()
}

/// Writes the corpus for libFuzzer where `CLUSTER_FUZZ_CORPUS` names a directory.
#[allow(dead_code, clippy::disallowed_methods, clippy::expect_used)] // for tests, which have no other channel
pub fn write(seeds: &[Vec<u8>]) {
    let Some(dir) = std::env::var_os("CLUSTER_FUZZ_CORPUS").map(std::path::PathBuf::from) else { return };
    std::fs::create_dir_all(&dir).expect("the directory of the corpus");
    for (number, seed) in seeds.iter().enumerate() {
        std::fs::write(dir.join(format!("seed-{number:05}")), seed).expect("a seed");
    }
}

/// One case: the reader, then what it reads.
pub fn check(data: &[u8]) {
    let Some((&reader, data)) = data.split_first() else { return };
    READERS[usize::from(reader) % READERS.len()](data);
}

fn utf8(data: &[u8]) -> Option<&str> {
    std::str::from_utf8(data).ok()
}

/// What is read is written so that it is read as the same.
fn again<T>(data: &[u8])
where
    T: FromStr<Err: Debug> + Display + Debug + PartialEq,
{
    let Some(text) = utf8(data) else { return };
    match text.parse::<T>() {
        Ok(value) => {
            let written = value.to_string();
            assert_eq!(
                written.parse::<T>().expect("what was written is read"),
                value,
                "{text:?}, {written:?}"
            );
        }
        Err(error) => assert!(format!("{error:?}").len() < 1_000 + 8 * data.len()),
    }
}

fn index_set(data: &[u8]) {
    let Some(Ok(set)) = utf8(data).map(str::parse::<IndexSet>) else { return };
    let ranges = set.ranges();
    assert!(ranges.iter().all(|(start, end)| start < end));
    assert!(ranges.windows(2).all(|pair| pair[0].1 < pair[1].0), "sorted, apart");
    assert_eq!(set.first(), ranges.first().map(|range| range.0));
    if ranges.len() <= RANGES_WRITTEN {
        again::<IndexSet>(data);
    }
}

fn selector(data: &[u8]) {
    match utf8(data).map(str::parse::<Selector>) {
        Some(Ok(Selector::Jobs { jobs: Some(jobs), .. })) if jobs.ranges().len() > RANGES_WRITTEN => {}
        _ => again::<Selector>(data),
    }
}

fn dependency(data: &[u8]) {
    match utf8(data).map(str::parse::<Dependency>) {
        Some(Ok(Dependency { jobs: Some(jobs), .. })) if jobs.ranges().len() > RANGES_WRITTEN => {}
        _ => again::<Dependency>(data),
    }
    again::<ForeignDependency>(data);
}

fn status_lines(data: &[u8]) {
    let lines: Vec<StatusLine> = status_file::parse(data).collect();
    assert_eq!(lines.len(), data.iter().filter(|&&b| b == b'\n').count());
    let kept: usize = lines
        .iter()
        .map(|line| match line {
            StatusLine::Other(bytes) => bytes.len() + 1,
            _ => 0,
        })
        .sum();
    assert!(kept <= data.len());
    let last = lines.into_iter().rfind(|line| matches!(line, StatusLine::End { .. }));
    assert_eq!(status_file::end(data), last);
}

fn percent_code(data: &[u8]) {
    assert_eq!(percent::decode(percent::encode(data).as_bytes()).as_deref(), Some(data));
    if let Some(decoded) = percent::decode(data) {
        assert!(decoded.len() <= data.len());
    }
}

/// Inputs never become text of a shell: without placeholders nothing is changed.
fn shell_texts(data: &[u8]) {
    for many in [false, true] {
        let _ = shell_text(data, &["name", "a"], many);
        if !data.contains(&b'{') {
            let (text, parameters) = shell_text::<&str>(data, &[], many).expect("no placeholder, no trouble");
            assert!(text == data && parameters.is_empty());
        }
    }
}

fn yaml(data: &[u8]) {
    match Document::parse(data) {
        Ok(document) => {
            let mut places = 0;
            walk(&document, document.root(), &mut Vec::new(), &mut places);
            let mut merged = document.root().clone();
            merged.merge(document.root());
        }
        Err(error) => assert!(error.to_string().len() < 1_000, "{error}"),
    }
}

/// Each key has a place in the text; finding it reads the text again, so that only some are looked for.
fn walk(document: &Document, node: &Node, path: &mut Vec<String>, places: &mut usize) {
    for (key, value) in node.as_map().into_iter().flatten() {
        path.push(key.clone());
        if *places < 4 {
            *places += 1;
            let _ = (document.key_position(path), document.value_position(path));
        }
        walk(document, value, path, places);
        path.pop();
    }
}

fn catalogue(data: &[u8]) {
    if let Err(error) = Catalogue::parse(data) {
        assert!(error.to_string().len() <= MAX_BYTES);
    }
}

/// `NAME=VALUE` of the options that there are.
fn option(data: &[u8]) {
    let Some((name, value)) = utf8(data).and_then(|text| text.split_once('=')) else { return };
    match Catalogue::builtin().check(name, value) {
        Ok((option, read)) => {
            let written = read.to_string();
            let again = option.value(&written);
            assert!(
                again.as_ref().is_ok_and(|again| *again == read),
                "{name}={value:?}: {written:?}, {again:?}"
            );
        }
        Err(error) => assert!(error.to_string().len() < 4_000, "{error}"),
    }
}
