//! `cargo xtask bench schedulers`: reading of large answers, submission, and how often a scheduler is asked.

use anyhow::{Context as _, bail};
use serde_json::Value;

use super::machine;
use super::row::{self, Mark, Row};
use super::schedulers_calls as calls;
use super::{Options, stats, write};
use crate::tool::{self, cargo};
use crate::workspace::Workspace;

/// Measures, prints, and writes what was asked for. `real`: also on a real Slurm, started for it.
pub(crate) fn run(workspace: &Workspace, words: &[&str]) -> anyhow::Result<()> {
    let (real, words): (Vec<&str>, Vec<&str>) = words.iter().partition(|word| **word == "--real");
    let options = Options::read(&words)?;
    if !options.only.is_empty() {
        bail!(
            "bench schedulers has no --only: it has --quick, --real, --json FILE, --doc FILE, --binary FILE"
        );
    }
    let mut rows = parse(workspace, options.quick)?;
    match calls::run(workspace, &options, !real.is_empty()) {
        Ok(more) => rows.extend(more),
        Err(error) => rows.push(Row::skipped("calls", "calls of the scheduler", format!("{error:#}"))),
    }
    println!("\n{}", row::table(&rows));
    for row in rows.iter().filter(|row| !row.note.is_empty()) {
        println!("{}: {}", row.what, row.note);
    }
    let machine = machine::describe(&workspace.target);
    if let Some(path) = &options.json {
        let rows: Vec<_> = rows.iter().map(Row::json).collect();
        let all =
            serde_json::json!({"v": 1, "quick": options.quick, "machine": machine.json(), "rows": rows});
        write(path, &format!("{}\n", serde_json::to_string_pretty(&all)?))?;
    }
    if let Some(path) = &options.doc {
        let kind = if options.quick { "\nThis was a `--quick` run: fewer rounds.\n" } else { "" };
        let text = format!(
            "# Benchmarks of schedulers\n\nWritten by `cargo xtask bench schedulers --real --doc docs/benchmarks-schedulers.md`.\n{kind}\n\
             ## The machine\n\n{}\n## Results\n\n{}",
            machine.markdown(),
            row::markdown(&rows)
        );
        write(path, &text)?;
    }
    let failed: Vec<_> =
        rows.iter().filter(|row| row.passed() == Some(false)).map(|row| row.id.as_str()).collect();
    if !failed.is_empty() {
        bail!("short of their mark: {}", failed.join(", "));
    }
    Ok(())
}

/// The rows of the program that reads.
fn parse(workspace: &Workspace, quick: bool) -> anyhow::Result<Vec<Row>> {
    let rounds = if quick { "3" } else { "9" };
    let mut command = cargo(&[
        "run",
        "--release",
        "--quiet",
        "-p",
        "xtask",
        "--features",
        "parse",
        "--",
        "bench",
        "__parse",
        rounds,
    ]);
    let text = tool::read(command.current_dir(&workspace.root))?;
    let cases: Vec<Value> =
        serde_json::from_str(text.trim()).context("the reading program printed no JSON")?;
    cases.iter().map(parse_row).collect()
}

fn parse_row(case: &Value) -> anyhow::Result<Row> {
    let list = |key: &str| -> Vec<f64> {
        case[key].as_array().into_iter().flatten().filter_map(Value::as_f64).collect()
    };
    let (ours, bare) = (list("ours"), list("bare"));
    let name = case["id"].as_str().context("a case without a name")?;
    let (id, what) = (format!("parse.{name}"), format!("reading {} rows of {name}", case["rows"]));
    let note = format!("{:.1} MB", case["bytes"].as_f64().unwrap_or(0.0) / 1e6);
    let row = if bare.is_empty() {
        Row::value(&id, &what, "MB/s", &ours, Mark::AtLeast(100.0))
    } else {
        let ratio = stats::median(&stats::ratios(&ours, &bare));
        Row::value(&id, &what, "MB/s", &ours, Mark::AtLeast(0.5)).over("a bare pass", ratio)
    };
    Ok(row.note(note))
}
