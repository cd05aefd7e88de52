//! [`Case`]: a command line and what it printed, as bytes that can be bent; and what must hold of each.

#![allow(dead_code)] // not every user needs both directions

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::time::Instant;

use cluster_core::ExitStatus;
use cluster_core::dialect::{Dialect, DialectError, Jobs, RangeBudget, Reading};
use cluster_core::host::Output;

/// What a seed of the corpus holds of an output: mutations of larger ones find less in the same time.
const KEPT: usize = 6_000;
/// Bytes of stderr that one step of its length stands for.
const STDERR_STEP: usize = 16;

/// One output for one reader.
///
/// ```text
/// byte 0     the command line, by its number in the list
/// byte 1     the exit code
/// byte 2     how much of the end is stderr, in steps of 16 bytes; the top bit: the output was cut at its cap
/// the rest   stdout, then stderr
/// ```
pub struct Case {
    /// Which command line.
    pub line: u8,
    /// What it printed.
    pub output: Output,
}

impl Case {
    /// The case that these bytes are.
    pub fn decode(data: &[u8]) -> Option<Self> {
        let [line, code, flags, text @ ..] = data else { return None };
        let stderr = (usize::from(flags & 0x7f) * STDERR_STEP).min(text.len());
        let (stdout, stderr) = text.split_at(text.len() - stderr);
        let output = Output {
            status: ExitStatus::Exit(i32::from(*code)),
            stdout: stdout.to_vec(),
            stderr: stderr.to_vec(),
            truncated: flags & 0x80 != 0,
        };
        Some(Self { line: *line, output })
    }

    /// The bytes for this output of the command line with this number; long ones are cut.
    pub fn encode(line: usize, output: &Output) -> Vec<u8> {
        let stdout = &output.stdout[..output.stdout.len().min(KEPT)];
        let stderr = &output.stderr[..output.stderr.len().min(0x7f * STDERR_STEP)];
        let steps = stderr.len().div_ceil(STDERR_STEP);
        let cut = u8::from(output.truncated) << 7;
        let mut data = vec![line as u8, output.status.code() as u8, steps as u8 | cut];
        data.extend(stdout);
        data.extend(stderr);
        data.resize(3 + stdout.len() + steps * STDERR_STEP, b'\n');
        data
    }
}

/// A list of command lines in words, and a dialect for each.
pub type Lines = Vec<(&'static (dyn Dialect + 'static), Vec<OsString>)>;

/// The words of a line without quotes; `~` is a blank within a word.
pub fn words(line: &str) -> Vec<OsString> {
    line.split(' ').map(|word| word.replace('~', " ").into()).collect()
}

/// Reads the case that these bytes are as its command line says, and checks what came out.
pub fn check(lines: &Lines, data: &[u8]) {
    let Some(case) = Case::decode(data) else { return };
    let (dialect, argv) = &lines[usize::from(case.line) % lines.len()];
    match dialect.read(argv, &case.output) {
        Ok(Reading::Jobs(jobs)) => check_jobs(*dialect, &case.output, &jobs),
        Ok(Reading::Submitted(id)) => assert!(!id.0.is_empty(), "an id of nothing"),
        Ok(_) => {}
        Err(error) => check_error(&error, &case.output, count_lines(&case.output)),
    }
    let _ = dialect.cause_in_log(&case.output.stdout);
}

fn check_jobs(dialect: &dyn Dialect, output: &Output, jobs: &Jobs<'_>) {
    // The shortest record is a line or a tag; nothing makes more of it.
    let bound = output.stdout.len() + output.stderr.len() + 1;
    assert!(jobs.rows.len() <= bound, "{} rows of {bound} bytes", jobs.rows.len());
    assert!(jobs.errors.len() <= Jobs::MAX_ERRORS + 1, "{} errors", jobs.errors.len());
    let mut ranges = 0;
    for (at, row) in jobs.rows.iter().enumerate() {
        assert!(!row.id.is_empty() && !row.job.is_empty(), "a job without an id: {row:?}");
        if let cluster_core::dialect::Tasks::Some(tasks) = &row.tasks {
            ranges += tasks.ranges().len();
        }
        // Hosts are unfolded for those that are looked at, and a few hundred bytes may stand for very many.
        if at < 3
            && !row.hosts.is_empty()
            && let Ok(hosts) = dialect.hosts(&row.hosts)
        {
            assert!(hosts.len() <= 1 << 20, "{} hosts", hosts.len());
        }
        if !row.text.is_empty() {
            let (text, all) = (row.text.as_bytes().as_ptr_range(), output.stdout.as_ptr_range());
            assert!(text.start >= all.start && text.end <= all.end, "a record from elsewhere: {}", row.text);
        }
    }
    assert!(ranges <= RangeBudget::MAX, "{ranges} ranges of elements");
    let lines = count_lines(output);
    for error in &jobs.errors {
        check_error(error, output, lines);
    }
}

/// How many lines an output has.
fn count_lines(output: &Output) -> usize {
    output.stdout.iter().filter(|&&b| b == b'\n').count() + 1
}

fn check_error(error: &DialectError, output: &Output, lines: usize) {
    if let DialectError::Syntax { line, column, found, .. } = error {
        // A byte that is no UTF-8 may have become the three of U+FFFD before it was counted.
        let columns = 3 * output.stdout.len() + 1;
        let somewhere = (1..=lines).contains(line) && (1..=columns).contains(column);
        assert!(somewhere || (*line, *column) == (0, 0), "line {line}, column {column}");
        assert!(found.len() <= 200, "an error that repeats {} bytes", found.len());
    }
    assert!(error.to_string().len() <= 20_000, "a message of {} bytes", error.to_string().len());
}

/// Large answers of small records that mean harm: whatever a reader makes of them, it does so in a time that
/// grows with them and not with their square, and holds no more than was said above.
pub fn check_large(lines: &Lines) {
    const SIZE: usize = 150_000;
    let begin = Instant::now();
    for (head, record, end) in [
        ("", "1_[0-49998:2]|RUNNING|x|y|z\n", ""),
        ("", "1|\n", ""),
        ("", "|", "\n"),
        ("{\"jobs\": [", "{\"job_id\": 0},", "{}]}"),
        ("{\"Jobs\": {", "\"1\": {\"job_state\": \"R\"},", "\"1[0-49999:2].a\": {\"job_state\": \"R\"}}}"),
        ("", "Job Id: 1\n    job_state = R\n\n", ""),
        ("", "Job Id: 1[0-49999:2].a\n    job_state = R\n\n", ""),
        ("", "Job Id: 1.a|job_state\n", ""),
        ("", "JobId=x JobName=y UserId=z(0) JobState=R\n", ""),
        ("<Data>", "<Job><Job_Id>1</Job_Id></Job>", "</Data>"),
        ("<job_info><queue_info>", "<job_list></job_list>", "</queue_info></job_info>"),
        (
            "<job_info><job_info>",
            "<job_list><JB_job_number>1</JB_job_number><state>qw</state><tasks>1-49999:2</tasks></job_list>",
            "</job_info></job_info>",
        ),
        (
            "<qhost>",
            "<host name='a'><job name='x'><jobvalue name='owner'>u</jobvalue></job></host>",
            "</qhost>",
        ),
        ("", "==============================================================\njobnumber x\n", ""),
        ("", "[[[[((((", ""),
    ] {
        // A set of millions takes its time: a few of these are as good as many.
        let size = if record.contains(":2") || end.contains(":2") { SIZE / 125 } else { SIZE };
        let stdout = [head, &record.repeat(size / record.len()), end].concat().into_bytes();
        let status = ExitStatus::Exit(0);
        let output = Output { status, stdout, stderr: Vec::new(), truncated: false };
        for (dialect, argv) in lines {
            match dialect.read(argv, &output) {
                Ok(Reading::Jobs(jobs)) => check_jobs(*dialect, &output, &jobs),
                Ok(_) => {}
                Err(error) => check_error(&error, &output, count_lines(&output)),
            }
        }
    }
    assert!(begin.elapsed().as_secs() < 120, "{:?}", begin.elapsed());
}

/// The corpus: each output with each command line of its program.
pub fn seeds<'a>(
    lines: &Lines,
    recordings: impl IntoIterator<Item = (&'a [OsString], &'a Output)>,
) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for (argv, output) in recordings {
        for (number, (_, line)) in lines.iter().enumerate() {
            if line.first() == argv.first() {
                all.push(Case::encode(number, output));
            }
        }
    }
    all.sort_unstable();
    all.dedup();
    all
}

/// Writes the corpus for libFuzzer where `CLUSTER_FUZZ_CORPUS` names a directory.
#[allow(clippy::disallowed_methods, clippy::expect_used)] // for tests, which have no other channel
pub fn write(seeds: &[Vec<u8>]) {
    let Some(dir) = std::env::var_os("CLUSTER_FUZZ_CORPUS") else { return };
    let dir = Path::new(&dir);
    fs::create_dir_all(dir).expect("the directory of the corpus");
    for (number, seed) in seeds.iter().enumerate() {
        fs::write(dir.join(format!("seed-{number:05}")), seed).expect("a seed");
    }
}
