//! Every statement prepares on the schema, and none walks a whole table unless there is a reason.

use std::fmt::Write;

use sqlx::{AssertSqlSafe, Row};

use crate::{OpenOptions, Store};

/// The lists of all modules.
const MODULES: &[(&str, &[(&str, &str)])] = &[
    ("accept", crate::accept::STATEMENTS),
    ("batch", crate::batch::STATEMENTS),
    ("batch_line", crate::batch_line::STATEMENTS),
    ("change", crate::change::STATEMENTS),
    ("check", crate::check::STATEMENTS),
    ("chunk", crate::chunk::STATEMENTS),
    ("export", crate::export::STATEMENTS),
    ("identity", crate::identity::STATEMENTS),
    ("intake", crate::intake::STATEMENTS),
    ("marks", crate::marks::STATEMENTS),
    ("meta", crate::meta::STATEMENTS),
    ("migrate", crate::migrate::STATEMENTS),
    ("missing", crate::missing::STATEMENTS),
    ("query", crate::query::STATEMENTS),
    ("range_ops", crate::range_ops::STATEMENTS),
    ("record", crate::record::STATEMENTS),
    ("resubmit", crate::resubmit::STATEMENTS),
    ("rows_sql", crate::rows_sql::STATEMENTS),
    ("select", crate::select::STATEMENTS),
    ("unfinished", crate::unfinished::STATEMENTS),
];

/// Statements that may walk a whole table or index, and why.
const MAY_SCAN: &[(&str, &str)] = &[
    ("BATCHES", "walks the ids from the newest and stops at the limit"),
    ("LINES", "walks the ids from the newest and stops at the limit"),
    ("BATCHES_UNFINISHED", "an index of unfinished batches alone"),
    ("ALL_BATCHES", "a check looks at everything"),
    ("ALL_CHUNKS", "a check looks at everything"),
    ("ODD_JOBS", "a check looks at everything"),
    ("EXPORT_BATCHES", "an export reads everything"),
    ("EXPORT_JOBS", "an export reads everything"),
    ("EXPORT_RUNS", "an export reads everything"),
    ("EXPORT_SUBMISSIONS", "an export reads everything"),
    ("EXPORT_CHUNKS", "an export reads everything"),
    ("EXPORT_RECORDS", "an export reads everything"),
    ("EXPORT_META", "an export reads everything"),
    ("EXPORT_EVENTS", "an export reads everything"),
    ("ID_OF_STORE", "the table has one row"),
    ("OPEN_CHUNKS", "an index of open chunks alone"),
    ("OPEN_SYSTEMS", "an index of open chunks alone"),
    ("IDS_BY_NAME", "a pattern that begins with a star fits anywhere: the index of names, not the table"),
    ("WITH_SUCCEEDED", "nearly every batch has a job that succeeded"),
    ("WITH_FAILED", "an index of batches with failures alone"),
    ("WITH_LIVE", "an index of unfinished batches alone"),
];

#[test]
fn no_statement_walks_a_table_without_a_reason() {
    let root = tempfile::tempdir().unwrap();
    let mut store =
        Store::open(root.path(), &OpenOptions { create: true, ..OpenOptions::default() }).unwrap();
    let mut bad = String::new();
    for (module, statements) in MODULES {
        for (name, sql) in *statements {
            if sql.starts_with("PRAGMA") {
                continue;
            }
            let explain = format!("EXPLAIN QUERY PLAN {sql}");
            let rows = store.read("explain", async |connection| {
                Ok(sqlx::query(AssertSqlSafe(explain)).fetch_all(connection).await?)
            });
            let rows = rows.unwrap_or_else(|e| panic!("{module}::{name}: {e}"));
            let plan: Vec<String> = rows.iter().map(|row| row.get("detail")).collect();
            let by_slice = sql.contains("idx IN (SELECT j.idx FROM");
            if by_slice && !plan.iter().any(|step| step.contains("job USING PRIMARY KEY (batch=? AND idx=?)"))
            {
                writeln!(bad, "{module}::{name} walks more than its slice:\n  {}", plan.join("\n  "))
                    .unwrap();
            }
            let scans = plan.iter().any(|step| is_scan(step));
            match (scans, MAY_SCAN.iter().any(|(allowed, _)| allowed == name)) {
                (true, false) => writeln!(bad, "{module}::{name} scans:\n  {}", plan.join("\n  ")).unwrap(),
                (false, true) => {
                    writeln!(bad, "{module}::{name} no longer scans: take it off the list").unwrap();
                }
                _ => {}
            }
        }
    }
    assert!(bad.is_empty(), "{bad}");
}

/// A walk over a table or index of the store, as against one over what a statement was given or has made.
fn is_scan(step: &str) -> bool {
    let Some(what) = step.strip_prefix("SCAN ") else { return false };
    let name = what.split_ascii_whitespace().next().unwrap_or_default();
    let transient = what.contains("VIRTUAL TABLE")
        || what.starts_with("CONSTANT")
        || what.ends_with("VALUES CLAUSE")
        || name.starts_with('(')
        || ["missing", "jobs", "n", "p"].contains(&name);
    !transient
}

#[test]
fn each_name_is_there_once() {
    let mut names: Vec<_> = MODULES.iter().flat_map(|(_, s)| s.iter().map(|(name, _)| name)).collect();
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all);
    assert!(MAY_SCAN.iter().all(|(name, _)| names.contains(&name)));
}
