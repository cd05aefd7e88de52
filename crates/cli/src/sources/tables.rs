//! Tables as inputs: CSV files, and files of JSON objects.

use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use cluster_client::Stage;
use cluster_core::ByteString;
use cluster_core::inputs::SourceKind;
use indexmap::IndexMap;
use serde_json::value::RawValue;

use super::open;
use crate::exit::usage;

pub(super) fn csv_rows(
    stage: &mut Stage,
    path: &Path,
    cwd: &Path,
) -> anyhow::Result<(SourceKind, Vec<String>)> {
    // A line more, which is empty: a quote that was never closed takes it in.
    let mut reader = csv::ReaderBuilder::new().from_reader(Ending::of(open(path, cwd)?).chain(&b"\n"[..]));
    let wrong = |error: csv::Error| usage(format!("{}: {error}", path.display()));
    let columns: Vec<String> = reader
        .byte_headers()
        .map_err(wrong)?
        .iter()
        .map(|name| String::from_utf8_lossy(name).trim().to_owned())
        .collect();
    if columns.is_empty() {
        return Err(usage(format!("{} has no header line", path.display())));
    }
    let (file, mut writer) = stage.inputs()?;
    let (mut number, mut last) = (0, false);
    for row in reader.byte_records() {
        let row = row.map_err(wrong)?;
        last = row.iter().next_back().is_some_and(|field| field.ends_with(b"\n"));
        let row: Vec<_> = row.iter().map(|field| ByteString(field.to_vec())).collect();
        number += 1;
        refuse_nul(&row, || format!("{}: row {number}", path.display()))?;
        writer.push_columns(&row)?;
    }
    if last && reader.into_inner().into_inner().0.text != *b"\n\"" {
        return Err(usage(format!("{}: row {number}: its last quote is never closed", path.display())));
    }
    Ok((SourceKind::Stored { file, count: writer.finish()? }, columns))
}

/// Remembers how a text ends: its last two bytes, without the ends of lines behind them.
struct Ending<R> {
    from: R,
    text: [u8; 2],
    /// The last byte of all.
    end: u8,
}

impl<R: Read> Ending<R> {
    fn of(from: R) -> Self {
        Self { from, text: [0; 2], end: 0 }
    }
}

impl<R: Read> Read for Ending<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(into)?;
        let new = &into[..count];
        if let Some(at) = new.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r')) {
            let before = at.checked_sub(1).and_then(|at| new.get(at).copied());
            self.text = [before.unwrap_or(self.end), new[at]];
        }
        self.end = new.last().copied().unwrap_or(self.end);
        Ok(count)
    }
}

/// The first object's keys are the columns, in their order; later ones must have them all.
pub(super) fn json_rows(
    stage: &mut Stage,
    path: &Path,
    cwd: &Path,
) -> anyhow::Result<(SourceKind, Vec<String>)> {
    let from = BufReader::new(open(path, cwd)?);
    let (file, mut writer) = stage.inputs()?;
    let mut columns: Vec<String> = Vec::new();
    for (number, line) in from.split(b'\n').enumerate() {
        let line = line?;
        if line.trim_ascii().is_empty() {
            continue;
        }
        let at = format!("{}: line {}", path.display(), number + 1);
        let object: IndexMap<String, Box<RawValue>> = serde_json::from_slice(&line).map_err(|error| {
            let text = error.to_string();
            // The line is ours to tell.
            let why = text.rsplit_once(" at line ").map_or(&*text, |(why, _)| why);
            usage(format!("{at}, column {}: no JSON object: {why}", error.column()))
        })?;
        if object.is_empty() {
            return Err(usage(format!("{at}: the object has no keys, so it is no input")));
        }
        if columns.is_empty() {
            columns = object.keys().cloned().collect();
        }
        let field = |name: &String| match object.get(name) {
            Some(value) => Ok(text_of(value)),
            None => Err(usage(format!("{at}: there is no {name:?}, which the first line has"))),
        };
        let row = columns.iter().map(field).collect::<anyhow::Result<Vec<_>>>()?;
        refuse_nul(&row, || at.clone())?;
        writer.push_columns(&row)?;
    }
    Ok((SourceKind::Stored { file, count: writer.finish()? }, columns))
}

/// What a string says; anything else as it was written: a number is not what a float makes of it.
fn text_of(value: &RawValue) -> ByteString {
    match serde_json::from_str::<String>(value.get()) {
        Ok(text) => text.into(),
        Err(_) => value.get().into(),
    }
}

fn refuse_nul(row: &[ByteString], at: impl FnOnce() -> String) -> anyhow::Result<()> {
    match row.iter().any(|field| field.0.contains(&0)) {
        true => Err(usage(format!("{} has a NUL byte in it: no command can be given that", at()))),
        false => Ok(()),
    }
}
