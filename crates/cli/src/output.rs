//! The two streams: data on stdout, talk on stderr. Nothing else in this crate prints.

use std::io::{self, IsTerminal, Write};

use anyhow::Context as _;
use cluster_core::{JobId, Timestamp};
use serde::Serialize;

use crate::commands::show::time;

/// One line of data.
pub(crate) fn line(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    let written = writeln!(out, "{text}").and_then(|()| out.flush());
    written.context("cannot write to stdout")
}

/// One JSON value of data, on one line.
pub(crate) fn json(value: &impl Serialize) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    let written = serde_json::to_writer(&mut out, value).map_err(io::Error::from);
    let written = written.and_then(|()| writeln!(out)).and_then(|()| out.flush());
    written.context("cannot write to stdout")
}

/// One line of talk. A closed stderr is nobody's error.
pub(crate) fn talk(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Whether a person sees stderr.
pub(crate) fn is_terminal() -> bool {
    io::stderr().is_terminal()
}

/// A table: columns as wide as their widest cell, two blanks between, nothing after the last.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>]) -> anyhow::Result<()> {
    let width = |text: &str| if text.is_ascii() { text.len() } else { text.chars().count() };
    let mut widths: Vec<_> = head.iter().map(|cell| width(cell)).collect();
    for row in rows {
        for (i, cell) in row.iter().enumerate() {
            widths[i] = widths[i].max(width(cell));
        }
    }
    let mut out = io::BufWriter::new(io::stdout().lock());
    let mut print = |cells: &mut dyn Iterator<Item = &str>| -> io::Result<()> {
        let cells: Vec<_> = cells.collect();
        for (i, cell) in cells.iter().enumerate() {
            let pad = if i + 1 == cells.len() { 0 } else { widths[i] + 2 - width(cell) };
            out.write_all(cell.as_bytes())?;
            if pad > 0 {
                write!(out, "{:pad$}", "")?;
            }
        }
        writeln!(out)
    };
    print(&mut head.iter().copied())?;
    for row in rows {
        print(&mut row.iter().map(String::as_str))?;
    }
    out.flush().context("cannot write to stdout")
}

/// A time span for people: `3.2 s`, `1:05`, `2:00:10`, `3-04:00:00`.
pub(crate) fn span(time: std::time::Duration) -> String {
    let secs = time.as_secs();
    let (days, hours, minutes) = (secs / 86_400, secs / 3600 % 24, secs / 60 % 60);
    match (days, hours, secs) {
        (0, 0, 0..60) => format!("{:.1} s", time.as_secs_f64()),
        (0, 0, _) => format!("{minutes}:{:02}", secs % 60),
        (0, _, _) => format!("{hours}:{minutes:02}:{:02}", secs % 60),
        _ => format!("{days}-{hours:02}:{minutes:02}:{:02}", secs % 60),
    }
}

/// Bytes for people.
pub(crate) fn bytes(bytes: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let unit = (bytes.max(1).ilog2() / 10).min(4);
    if unit == 0 {
        format!("{bytes} B")
    } else {
        format!("{:.1} {}", bytes as f64 / f64::from(unit * 10).exp2(), units[unit as usize])
    }
}

/// The jobs that were asked for and whose files were cleaned, said once.
#[derive(Default)]
pub(crate) struct Cleaned {
    count: u64,
    first: Option<(JobId, Timestamp)>,
    last: Option<Timestamp>,
}

impl Cleaned {
    /// One more, cleaned then.
    pub(crate) fn add(&mut self, job: JobId, at: Timestamp) {
        self.count += 1;
        self.first = self.first.or(Some((job, at)));
        self.last = self.last.max(Some(at));
    }

    /// How many.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Says it, where there is something to say.
    pub(crate) fn tell(&self) {
        if let Some(text) = self.text() {
            talk(&text);
        }
    }

    fn text(&self) -> Option<String> {
        let ((first, at), last) = (self.first?, self.last?);
        let at = match self.count {
            1 => time(at),
            _ => format!("by {}", time(last)),
        };
        Some(match self.count {
            1 => format!("cluster: the files of job {first} were cleaned ({at})"),
            count => format!("cluster: the files of {count} jobs were cleaned ({at}), the first is {first}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cleaned_jobs_are_told_once() {
        let mut cleaned = Cleaned::default();
        assert_eq!(cleaned.text(), None);
        cleaned.add(JobId::new(17, 3), Timestamp::from_secs(0));
        assert_eq!(
            cleaned.text().unwrap(),
            "cluster: the files of job 17.3 were cleaned (1970-01-01T00:00:00Z)"
        );
        cleaned.add(JobId::new(17, 4), Timestamp::from_secs(60));
        let both = "cluster: the files of 2 jobs were cleaned (by 1970-01-01T00:01:00Z), the first is 17.3";
        assert_eq!((cleaned.text().as_deref(), cleaned.count()), (Some(both), 2));
    }
}
