//! Reading tables of a store that may be damaged: around what cannot be read, by ever smaller ranges.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::io::Write;
use std::path::Path;

use serde::Deserialize;
use sqlx::{AssertSqlSafe, Row, SqliteConnection};

use crate::error::StoreError;
use crate::export::ExportReport;
use crate::fault::Fault;
use crate::record::line as record_line;

/// A table to be written row by row.
pub(crate) struct Table {
    pub(crate) name: &'static str,
    /// The statement that makes one JSON line of each row, without an order.
    pub(crate) sql: &'static str,
    /// Its primary key.
    pub(crate) order: &'static [&'static str],
}

/// So many statements may fail before the rest of a batch, or of a table, is given up.
const FAILURES_OF_BATCH: u32 = 4_000;
const FAILURES_OF_TABLE: u32 = 40_000;

/// Where the last batch is not known, so many ids are tried after the last one that was read.
const BATCHES_BEYOND: i64 = 4_096;

/// The part of a line that says where it stands; rows of the same two numbers count as one.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Key(i64, i64, String);

#[derive(Deserialize)]
struct Fields {
    #[serde(default)]
    id: i64,
    #[serde(default)]
    batch: i64,
    #[serde(default)]
    index: Option<i64>,
    #[serde(default)]
    k: i64,
    #[serde(default)]
    name: String,
    #[serde(default)]
    count: i64,
}

impl Table {
    fn key(&self, line: &str) -> Option<Key> {
        let fields: Fields = serde_json::from_str(line).ok()?;
        Some(match self.order {
            ["id"] => Key(fields.id, 0, String::new()),
            ["name"] => Key(0, 0, fields.name),
            ["batch", "k", ..] => Key(fields.batch, fields.k, String::new()),
            _ => Key(fields.batch, fields.index.unwrap_or(-1), String::new()),
        })
    }

    /// Whether a line has its key. None of a key is NULL in a sound store: what reads so lies in a damaged page,
    /// and would be taken for the place up to which all was read.
    fn has_key(&self, line: &str) -> bool {
        let mut fields = line.split(',').skip(1);
        let (first, second) = (fields.next().unwrap_or_default(), fields.next().unwrap_or_default());
        let whole_batch = self.name == "meta";
        !first.ends_with(":null") && (self.order.len() == 1 || whole_batch || !second.ends_with(":null"))
    }

    /// All rows; the keys of the table say in which order, `direction` which way.
    fn all(&self, direction: &str) -> String {
        let order: Vec<_> = self.order.iter().map(|column| format!("{column} {direction}")).collect();
        format!("{} ORDER BY {}", self.sql, order.join(", "))
    }

    /// The rows of a range: of ids ?2 to ?3, or of these in batch ?1.
    fn range(&self, direction: &str) -> String {
        let range = match self.order {
            [id] => format!("?1 = 0 AND {id} BETWEEN ?2 AND ?3"),
            [_, second, ..] => format!("batch = ?1 AND {second} BETWEEN ?2 AND ?3"),
            [] => String::new(),
        };
        let column = self.order.get(1).unwrap_or(&self.order[0]);
        format!("{} WHERE {range} ORDER BY {column} {direction}", self.sql)
    }
}

/// An export on its way.
pub(crate) struct Salvage<'a> {
    to: &'a mut dyn Write,
    report: ExportReport,
    /// How many jobs the batches have that were read.
    batches: BTreeMap<i64, i64>,
}

impl<'a> Salvage<'a> {
    pub(crate) fn new(to: &'a mut dyn Write) -> Self {
        Self { to, report: ExportReport::default(), batches: BTreeMap::new() }
    }

    pub(crate) fn finish(self) -> ExportReport {
        self.report
    }

    /// Writes what can be read of a table: from its beginning, from its end, then what lies between.
    pub(crate) async fn table(
        &mut self,
        connection: &mut SqliteConnection,
        table: &Table,
    ) -> Result<(), Fault> {
        let mut first = String::new();
        let Some(error) = self
            .pass(connection, table, table.all("ASC"), None, &mut |line| {
                first.clear();
                first.push_str(line);
                true
            })
            .await?
        else {
            return Ok(());
        };
        let low = table.key(&first);
        let mut high = None;
        let from_end = self
            .pass(connection, table, table.all("DESC"), None, &mut |line| {
                let key = table.key(line);
                let is_new = key > low;
                if is_new {
                    high = key;
                }
                is_new
            })
            .await?;
        let mut lost = 1;
        let is_there = low.is_some() || high.is_some() || !is_code(&error, 1);
        if from_end.is_some() && is_there && table.order != ["name"] {
            lost = self.between(connection, table, low, high).await?;
        }
        if lost > 0 || from_end.is_none() {
            let name = table.name;
            self.report
                .skipped
                .push(format!("some rows of the table {name} cannot be read: {}", text(&error)));
        }
        Ok(())
    }

    /// Writes what can be read between two keys. How many ranges cannot.
    async fn between(
        &mut self,
        connection: &mut SqliteConnection,
        table: &Table,
        low: Option<Key>,
        high: Option<Key>,
    ) -> Result<u32, Fault> {
        let sequence = "SELECT seq FROM sqlite_sequence WHERE name = 'batch'";
        let sequence = sqlx::query_scalar::<_, i64>(sequence).fetch_one(&mut *connection).await.ok();
        let last_batch = sequence.max(self.batches.last_key_value().map(|(id, _)| *id));
        let mut failures = 0;
        let mut lost = 0;
        if table.order == ["id"] {
            let from = low.map_or(1, |key| key.0.saturating_add(1));
            let to = high.map(|key| key.0 - 1).or(last_batch.filter(|&last| last >= from));
            let to = to.unwrap_or(from.saturating_add(BATCHES_BEYOND));
            return self.range(connection, table, 0, (from, to), FAILURES_OF_TABLE, &mut failures).await;
        }
        let first = low.as_ref().map_or(1, |key| key.0);
        let last = high.as_ref().map(|key| key.0).or(last_batch);
        let last = last.unwrap_or(first.saturating_add(BATCHES_BEYOND));
        for batch in first..=last {
            if failures >= FAILURES_OF_TABLE {
                return Ok(lost + 1);
            }
            let ends = match self.batches.get(&batch) {
                // Submissions are not counted by the jobs.
                Some(&count) if table.order[1] == "idx" => count - 1,
                _ => i64::from(u32::MAX),
            };
            let from = low.as_ref().filter(|key| key.0 == batch).map_or(-1, |key| key.1 + 1);
            let to = high.as_ref().filter(|key| key.0 == batch).map_or(ends, |key| key.1 - 1);
            lost +=
                self.range(connection, table, batch, (from, to), FAILURES_OF_BATCH, &mut failures).await?;
        }
        Ok(lost)
    }

    /// Writes what can be read of a range, halving what cannot, the large parts first.
    async fn range(
        &mut self,
        connection: &mut SqliteConnection,
        table: &Table,
        batch: i64,
        range: (i64, i64),
        budget: u32,
        failures: &mut u32,
    ) -> Result<u32, Fault> {
        let mut parts = VecDeque::from([range]);
        let mut lost = 0;
        let end = failures.saturating_add(budget).min(FAILURES_OF_TABLE);
        let place = |key: Key| if table.order.len() == 1 { key.0 } else { key.1 };
        while let Some((mut from, mut to)) = parts.pop_front() {
            if from > to {
                continue;
            }
            if *failures >= end {
                lost += 1;
                continue;
            }
            let mut seen = None;
            let mut keep = |line: &str| {
                seen = table.key(line);
                true
            };
            let bounds = [batch, from, to];
            if self.pass(connection, table, table.range("ASC"), Some(bounds), &mut keep).await?.is_none() {
                continue;
            }
            *failures += 1;
            from = seen.take().map_or(from, |key| place(key) + 1);
            if from > to {
                continue;
            }
            let mut keep = |line: &str| {
                seen = table.key(line);
                true
            };
            let bounds = [batch, from, to];
            if self.pass(connection, table, table.range("DESC"), Some(bounds), &mut keep).await?.is_none() {
                continue;
            }
            *failures += 1;
            to = seen.map_or(to, |key| place(key) - 1);
            if from >= to {
                lost += u32::from(from == to);
                continue;
            }
            let middle = from + (to - from) / 2;
            parts.extend([(from, middle), (middle + 1, to)]);
        }
        Ok(lost)
    }

    /// Writes the rows of a statement as they come, as long as `keep` says so. What ended it before its end.
    async fn pass(
        &mut self,
        connection: &mut SqliteConnection,
        table: &Table,
        sql: String,
        bounds: Option<[i64; 3]>,
        keep: &mut dyn FnMut(&str) -> bool,
    ) -> Result<Option<sqlx::Error>, Fault> {
        // Made of our own constants; what differs is bound.
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for bound in bounds.into_iter().flatten() {
            query = query.bind(bound);
        }
        let mut rows = query.fetch(connection);
        loop {
            let Some(row) = std::future::poll_fn(|cx| rows.as_mut().poll_next(cx)).await else {
                return Ok(None);
            };
            let line = match row.as_ref().map(|row| row.try_get::<&str, _>(0)) {
                Ok(Ok(line)) => line,
                Ok(Err(error)) => return Ok(Some(error)),
                Err(_) => match row {
                    Err(error) if is_damage(&error) => return Ok(Some(error)),
                    Err(error) => return Err(error.into()),
                    Ok(_) => return Ok(None),
                },
            };
            if !table.has_key(line) {
                self.report.skipped.push(format!("a row of the table {} has lost its key", table.name));
                continue;
            }
            if !keep(line) {
                return Ok(None);
            }
            let line = if table.name == "record" { record_line(line) } else { Cow::Borrowed(line) };
            writeln!(self.to, "{line}").map_err(|e| StoreError::io("write", Path::new("the export"), e))?;
            self.report.rows += 1;
            if table.order == ["id"]
                && let Ok(Fields { id, count, .. }) = serde_json::from_str(&line)
            {
                self.batches.insert(id, count);
            }
        }
    }
}

fn primary_code(error: &sqlx::Error) -> Option<i32> {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code)?;
    code.parse::<i32>().ok().map(|code| code & 0xff)
}

fn is_code(error: &sqlx::Error, wanted: i32) -> bool {
    primary_code(error) == Some(wanted)
}

/// Whether other rows may be readable all the same: a wrong text or table (1), a disk that does not read (10),
/// damaged pages (11, 26), a value that is none.
fn is_damage(error: &sqlx::Error) -> bool {
    match primary_code(error) {
        Some(code) => matches!(code, 1 | 10 | 11 | 26),
        None => matches!(error, sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_)),
    }
}

/// What was said, without who said it.
pub(crate) fn text(error: &sqlx::Error) -> String {
    error.as_database_error().map_or_else(|| error.to_string(), |error| error.message().to_owned())
}
