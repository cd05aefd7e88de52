//! How fast large answers of schedulers are read. Runs in a process of its own, built for release with the
//! feature `parse`: `cargo xtask` itself is not.

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, bail, ensure};
use cluster_core::dialect::{Dialect, Reading};
use cluster_core::host::Output;
use cluster_core::state::ExitStatus;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

const ROWS: usize = 100_000;

/// What a library does with the same bytes when nobody asks it for anything.
#[derive(Clone, Copy, PartialEq)]
enum Bare {
    None,
    Json,
    Xml,
}

/// A recorded answer of many rows, and how it becomes one of 100,000.
struct Case {
    id: &'static str,
    dialect: &'static dyn Dialect,
    line: &'static str,
    recording: &'static str,
    /// What stands before the first record and after the last one.
    head: &'static str,
    tail: &'static str,
    /// What stands before the number of each job.
    before_id: &'static str,
    bare: Bare,
}

fn cases() -> Vec<Case> {
    let slurm: &'static dyn Dialect = &cluster_backend_slurm::Slurm;
    let pbs: &'static dyn Dialect = &cluster_backend_pbs::OpenPbs;
    let sge: &'static dyn Dialect = Box::leak(Box::new(cluster_backend_sge::Sge::default()));
    let case = |id, dialect, line, recording| Case {
        id,
        dialect,
        line,
        recording,
        head: "",
        tail: "",
        before_id: "\n",
        bare: Bare::None,
    };
    vec![
        case("squeue", slurm, "query", "slurm/tests/fixtures/own_squeue.out"),
        case("sacct", slurm, "accounting", "slurm/tests/fixtures/own_sacct.out"),
        Case {
            head: "\t\"Jobs\":\t{",
            tail: "\n\t}\n}",
            before_id: "\n\t\t\"",
            bare: Bare::Json,
            ..case(
                "qstat-json",
                pbs,
                "qstat -t -f -F json",
                "pbs/tests/fixtures/openpbs/array1000-qstat-ft-json.out.gz",
            )
        },
        Case {
            head: "  <job_info>",
            tail: "\n  </job_info>",
            before_id: "<JB_job_number>",
            bare: Bare::Xml,
            ..case("qstat-xml", sge, "qstat -xml", "sge/tests/fixtures/large_qstat_1000_xml.out.gz")
        },
        Case {
            before_id: "\nJob Id: ",
            ..case("qstat-f", pbs, "qstat -t -f", "pbs/tests/fixtures/openpbs/array1000-qstat-ft.out.gz")
        },
    ]
}

/// Measures all, or these only, and prints a line of JSON.
pub(crate) fn run(crates: &Path, rounds: usize, only: &[&str]) -> anyhow::Result<()> {
    let mut all = Vec::new();
    for case in cases().into_iter().filter(|case| only.is_empty() || only.contains(&case.id)) {
        all.push(measure(&case, crates, rounds).with_context(|| case.id)?);
    }
    println!("{}", Value::Array(all));
    Ok(())
}

fn measure(case: &Case, crates: &Path, rounds: usize) -> anyhow::Result<Value> {
    let mut recorded = read(&crates.join(format!("backend-{}", case.recording)))?;
    if case.line == "query" {
        // A record with a line feed in its name has a second line that looks like a number.
        let delimiters = |line: &str| line.matches('|').count();
        let most = recorded.lines().map(delimiters).max().unwrap_or(0);
        let whole = recorded.lines().filter(|line| delimiters(line) == most);
        recorded = whole.map(|line| format!("{line}\n")).collect();
    }
    let argv: Vec<_> = match case.line {
        "query" => case.dialect.query(cluster_core::dialect::Whose::All).argv,
        "accounting" => {
            let calls = case.dialect.accounting(&[], "u", cluster_core::Timestamp(0));
            calls.into_iter().next().context("no accounting")?.argv
        }
        line => line.split(' ').map(Into::into).collect(),
    };
    let rows_of = |text: &str| -> anyhow::Result<usize> {
        let output = output(text);
        match case.dialect.read(&argv, &output)? {
            Reading::Jobs(jobs) => {
                ensure!(jobs.errors.is_empty(), "{:?}", jobs.errors.first());
                Ok(jobs.rows.len())
            }
            other => bail!("no jobs: {other:?}"),
        }
    };
    let once = rows_of(&recorded)?;
    let text = repeat(case, &recorded, ROWS.div_ceil(once))?;
    let rows = rows_of(&text)?;
    ensure!(rows >= ROWS, "only {rows} rows of {once} each time");
    let output = output(&text);
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for round in 0..=rounds {
        let mut side = |ours_now: bool| -> anyhow::Result<()> {
            let begin = Instant::now();
            if ours_now {
                drop(std::hint::black_box(case.dialect.read(&argv, &output)?));
            } else {
                pass(case.bare, &text)?;
            }
            let rate = text.len() as f64 / 1e6 / begin.elapsed().as_secs_f64();
            // The first round warms up.
            if round > 0 {
                if ours_now { ours.push(rate) } else { bare.push(rate) }
            }
            Ok(())
        };
        side(round % 2 == 0)?;
        side(round % 2 == 1)?;
    }
    if case.bare == Bare::None {
        bare.clear();
    }
    Ok(json!({"id": case.id, "ours": ours, "bare": bare, "rows": rows, "bytes": text.len()}))
}

fn read(path: &Path) -> anyhow::Result<String> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut text = String::new();
    if path.extension().is_some_and(|end| end == "gz") {
        flate2::read::GzDecoder::new(&bytes[..]).read_to_string(&mut text)?;
    } else {
        text = String::from_utf8(bytes)?;
    }
    Ok(text)
}

fn output(text: &str) -> Output {
    let stdout = text.as_bytes().to_vec();
    Output { status: ExitStatus::Exit(0), stdout, stderr: Vec::new(), truncated: false }
}

/// The records so many times over, each time with other numbers.
fn repeat(case: &Case, text: &str, times: usize) -> anyhow::Result<String> {
    let from = text.find(case.head).context("no head")? + case.head.len();
    let to = if case.tail.is_empty() { text.len() } else { text.rfind(case.tail).context("no tail")? };
    // Each number has something before it; the first one of a text without a head, too.
    let body = if case.head.is_empty() {
        format!("\n{}", text[from..to].trim_end_matches('\n'))
    } else {
        text[from..to].to_owned()
    };
    let body = if case.id == "qstat-f" { format!("{body}\n") } else { body };
    let pieces: Vec<&str> = body.split(case.before_id).collect();
    let (first, records) = pieces.split_first().context("no record")?;
    let mut all = String::with_capacity(text.len() * (times + 1));
    all.push_str(&text[..from]);
    let mut shift = 0_u64;
    for time in 0..times {
        if time > 0 && case.bare == Bare::Json {
            all.push(',');
        }
        all.push_str(first);
        for record in records {
            let digits = record.bytes().take_while(u8::is_ascii_digit).count();
            let number: Option<u64> = record[..digits].parse().ok();
            all.push_str(case.before_id);
            match number {
                Some(number) => all.push_str(&format!("{}{}", number + shift, &record[digits..])),
                None => all.push_str(record),
            }
        }
        shift += 10_000;
    }
    all.push_str(&text[to..]);
    Ok(if case.head.is_empty() { format!("{}\n", all.trim_start_matches('\n')) } else { all })
}

fn pass(bare: Bare, text: &str) -> anyhow::Result<()> {
    match bare {
        Bare::None => {}
        Bare::Json => drop(std::hint::black_box(serde_json::from_slice::<IgnoredAny>(text.as_bytes())?)),
        Bare::Xml => {
            let mut reader = quick_xml::Reader::from_str(text);
            while !matches!(std::hint::black_box(reader.read_event()?), quick_xml::events::Event::Eof) {}
        }
    }
    Ok(())
}
