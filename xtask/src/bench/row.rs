//! One row of the results: what was measured, what it is compared with, what it must reach.

use serde_json::{Value, json};

/// What must hold of the ratio where there is one, else of the measured value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Mark {
    AtLeast(f64),
    AtMost(f64),
    /// Shown for comparison.
    None,
}

/// See the [module](self).
#[derive(Debug, Clone)]
pub(crate) struct Row {
    /// `group.name`: for `--only` and for programs.
    pub(crate) id: String,
    pub(crate) what: String,
    /// The median.
    pub(crate) measured: f64,
    pub(crate) unit: &'static str,
    /// The other side of the ratio, and the ratio itself.
    pub(crate) ratio: Option<(&'static str, f64)>,
    pub(crate) mark: Mark,
    pub(crate) samples: Vec<f64>,
    /// Conditions that a reader must know; for a row that could not be measured, why.
    pub(crate) note: String,
    pub(crate) skipped: bool,
}

impl Row {
    /// A value judged by itself.
    pub(crate) fn value(id: &str, what: &str, unit: &'static str, samples: &[f64], mark: Mark) -> Self {
        Self {
            id: id.to_owned(),
            what: what.to_owned(),
            measured: super::stats::median(samples),
            unit,
            ratio: None,
            mark,
            samples: samples.to_vec(),
            note: String::new(),
            skipped: false,
        }
    }

    /// A value judged by its ratio to something else.
    pub(crate) fn over(mut self, reference: &'static str, ratio: f64) -> Self {
        self.ratio = Some((reference, ratio));
        self
    }

    pub(crate) fn note(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }

    /// A row that could not be measured.
    pub(crate) fn skipped(id: &str, what: &str, why: impl Into<String>) -> Self {
        let why = why.into();
        println!("SKIPPED {id}: {why}");
        Self { skipped: true, note: why, ..Self::value(id, what, "", &[], Mark::None) }
    }

    /// Whether it reached its mark, where it has one.
    pub(crate) fn passed(&self) -> Option<bool> {
        let judged = self.ratio.map_or(self.measured, |(_, ratio)| ratio);
        match self.mark {
            _ if self.skipped => None,
            Mark::AtLeast(least) => Some(judged >= least),
            Mark::AtMost(most) => Some(judged <= most),
            Mark::None => None,
        }
    }

    fn verdict(&self) -> &'static str {
        match (self.skipped, self.passed()) {
            (true, _) => "SKIPPED",
            (_, Some(true)) => "yes",
            (_, Some(false)) => "NO",
            (_, None) => "-",
        }
    }

    fn cells(&self) -> [String; 5] {
        if self.skipped {
            return [self.what.clone(), "-".into(), "-".into(), "-".into(), self.verdict().into()];
        }
        let ratio = self.ratio.map_or_else(|| "-".to_owned(), |(of, ratio)| format!("{ratio:.2} × {of}"));
        let bound = |sign: &str, value: f64| match self.ratio {
            Some(_) => format!("{sign} {value}"),
            None => format!("{sign} {value} {}", self.unit),
        };
        let must = match self.mark {
            Mark::AtLeast(least) => bound("≥", least),
            Mark::AtMost(most) => bound("≤", most),
            Mark::None => "-".to_owned(),
        };
        let measured = format!("{} {}", short(self.measured), self.unit);
        [self.what.clone(), measured.trim_end().to_owned(), ratio, must, self.verdict().to_owned()]
    }

    pub(crate) fn json(&self) -> Value {
        let (sign, bound) = match self.mark {
            Mark::AtLeast(bound) => (Some("at_least"), Some(bound)),
            Mark::AtMost(bound) => (Some("at_most"), Some(bound)),
            Mark::None => (None, None),
        };
        json!({
            "id": self.id,
            "what": self.what,
            "measured": number(self.measured),
            "unit": self.unit,
            "ratio": self.ratio.and_then(|(_, ratio)| number(ratio)),
            "ratio_to": self.ratio.map(|(of, _)| of),
            "must": sign,
            "bound": bound,
            "passed": self.passed(),
            "skipped": self.skipped,
            "note": self.note,
            "samples": self.samples,
        })
    }
}

fn number(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}

/// Three digits, as far as they mean something.
pub(crate) fn short(value: f64) -> String {
    match value.abs() {
        _ if !value.is_finite() => "?".to_owned(),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 || value == 0.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

const HEAD: [&str; 5] = ["what", "measured", "ratio", "must reach", "pass"];

/// The rows for a terminal.
pub(crate) fn table(rows: &[Row]) -> String {
    let mut lines: Vec<[String; 5]> = vec![HEAD.map(str::to_owned)];
    lines.extend(rows.iter().map(Row::cells));
    let mut widths = [0; 5];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for line in &lines {
        let mut shown = String::new();
        for (width, cell) in widths.iter().zip(line) {
            let pad = width - cell.chars().count() + 2;
            shown.push_str(cell);
            shown.push_str(&" ".repeat(pad));
        }
        text.push_str(shown.trim_end());
        text.push('\n');
    }
    text
}

/// The rows for a document, the notes below them.
pub(crate) fn markdown(rows: &[Row]) -> String {
    let mut text = format!("| {} |\n|---|---:|---:|---:|---|\n", HEAD.join(" | "));
    for row in rows {
        text.push_str(&format!("| {} |\n", row.cells().map(|cell| cell.replace('|', "\\|")).join(" | ")));
    }
    let notes: Vec<_> = rows
        .iter()
        .filter(|row| !row.note.is_empty())
        .map(|row| format!("- {}: {}\n", row.what, row.note))
        .collect();
    if !notes.is_empty() {
        text.push('\n');
        text.push_str(&notes.concat());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ratio_is_judged_where_there_is_one() {
        let row = Row::value("a.b", "speed", "/s", &[90.0, 110.0, 100.0], Mark::AtLeast(0.92));
        assert_eq!(row.passed(), Some(true), "without a ratio the value counts");
        let slow = row.over("limit", 0.9);
        assert_eq!((slow.measured, slow.passed()), (100.0, Some(false)));
        assert_eq!(Row::value("c", "c", "ms", &[5.0], Mark::AtMost(5.0)).passed(), Some(true));
        assert_eq!(Row::skipped("d", "d", "not there").passed(), None);
    }

    #[test]
    fn tables_line_up() {
        let rows = [
            Row::value("a", "short", "ms", &[1.5], Mark::AtMost(2.0)),
            Row::value("b", "a longer one", "/s", &[1234.4], Mark::None).over("limit", 0.951),
        ];
        let text = table(&rows);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0].find("measured"), lines[1].find("1.50 ms"));
        assert!(lines[1].ends_with("≤ 2 ms      yes"), "{text}");
        assert!(lines[2].contains("1234 /s") && lines[2].contains("0.95 × limit"), "{text}");
    }

    #[test]
    fn documents_have_the_notes() {
        let text = markdown(&[Row::value("a", "x|y", "ms", &[1.0], Mark::None).note("why")]);
        assert!(text.contains("x\\|y") && text.contains("- x|y: why"), "{text}");
    }

    #[test]
    fn numbers_have_three_digits() {
        let shown: Vec<_> = [1234.5, 12.34, 1.234, 0.1234, 0.0, f64::NAN].map(short).into();
        assert_eq!(shown, ["1234", "12.3", "1.23", "0.123", "0.00", "?"]);
    }
}
