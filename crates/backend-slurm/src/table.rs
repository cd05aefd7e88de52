//! Tables with columns that we know from the command line: a text of records, cut into fields.
//!
//! A column ends at its suffix or has a width in bytes. Texts of users (names, comments, reasons) may hold
//! the suffix and line feeds. A record that does not fall into its columns at once is tried again with such
//! texts made longer; it is taken where that works in one way alone. Else it becomes an error, and the next
//! line is tried: one bad record costs itself.

use cluster_core::dialect::{DialectError, Jobs};
use memchr::{memchr, memchr_iter, memchr2_iter};

/// What a column may hold.
pub(crate) trait Shape: Copy {
    /// Whether the text can stand in it.
    fn accepts(self, text: &[u8]) -> bool;
    /// Whether it is a text of somebody's, with any characters.
    fn is_free(self) -> bool;
    /// Whether a text as long as its column may have been cut, and is then wrong.
    fn suffers_from_cutting(self, text: &[u8]) -> bool;
    /// What it holds, for errors.
    fn expected(self) -> &'static str;
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Column<F> {
    pub(crate) field: F,
    /// Bytes that it takes; 0: as many as the value has.
    pub(crate) width: usize,
    /// What follows it.
    pub(crate) suffix: String,
}

/// A table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Table<F> {
    pub(crate) command: &'static str,
    pub(crate) columns: Vec<Column<F>>,
    /// Whether the first line names the columns.
    pub(crate) header: bool,
    /// The one byte that ends each column, where it is the same for all but perhaps the last: such a table is cut in
    /// one go.
    delimiter: Option<u8>,
}

/// Lines that one record may have.
const MAX_LINES: usize = 16;
/// Bytes of a record that is tried again.
const MAX_RECORD: usize = 64 << 10;
/// Steps of one such trial.
const MAX_STEPS: u32 = 4_000;

impl<F: Shape> Table<F> {
    pub(crate) fn new(command: &'static str, columns: Vec<Column<F>>, header: bool) -> Self {
        let delimiter = match columns.first().map(|first| first.suffix.as_bytes()) {
            Some(&[byte]) => Some(byte),
            _ => None,
        };
        let last = columns.len().saturating_sub(1);
        let same = |(i, column): (usize, &Column<F>)| {
            column.width == 0 && (column.suffix == columns[0].suffix || i == last && column.suffix.is_empty())
        };
        let delimiter = delimiter.filter(|byte| *byte != b'\n' && columns.iter().enumerate().all(same));
        Self { command, columns, header, delimiter }
    }

    /// Whether each column has an end that can be found.
    pub(crate) fn is_readable(&self) -> bool {
        let Some((_, before)) = self.columns.split_last() else { return false };
        before.iter().all(|column| column.width > 0 || !column.suffix.is_empty())
    }

    /// Cuts a text into records. `take` gets the fields and the whole record; it says which column it could
    /// not use. Gives what could not be read.
    pub(crate) fn read<'t>(
        &self,
        text: &'t [u8],
        mut take: impl FnMut(&[&'t [u8]], &'t [u8]) -> Result<(), usize>,
    ) -> Vec<DialectError> {
        let mut errors = Vec::new();
        let mut lines = Lines { text, seen: 0, line: 1 };
        let mut fields: Vec<&'t [u8]> = Vec::with_capacity(self.columns.len());
        let mut at = 0;
        if self.header {
            at = line_end(text, 0) + 1;
        }
        while at < text.len() {
            // An empty line; the heading of each cluster where several were asked.
            if text[at] == b'\n' || text[at] == b'C' && text[at..].starts_with(b"CLUSTER: ") {
                at = line_end(text, at) + 1;
                continue;
            }
            let (wrong, column) = match self.cut(text, at, &mut fields) {
                Ok(end) => match take(&fields, &text[at..end]) {
                    Ok(()) => {
                        at = end + 1;
                        continue;
                    }
                    Err(column) => (offset_in(text, fields.get(column).copied().unwrap_or_default()), column),
                },
                Err(wrong) => wrong,
            };
            // An answer of another format is not tried again line by line.
            if errors.len() < Jobs::MAX_ERRORS
                && let Some(end) = self.cut_again(text, at, &mut fields)
                && take(&fields, &text[at..end]).is_ok()
            {
                at = end + 1;
                continue;
            }
            if errors.len() < Jobs::MAX_ERRORS {
                let expected = self.columns.get(column).map_or("a record", |column| column.field.expected());
                errors.push(lines.error(self.command, at.max(wrong), at, expected));
            }
            at = self.next_record(text, at, &mut fields);
        }
        errors
    }

    /// Cuts the record at `at`, each column at the first end that it can have; gives the end of the record,
    /// or where and in which column it stopped.
    fn cut<'t>(
        &self,
        text: &'t [u8],
        mut at: usize,
        fields: &mut Vec<&'t [u8]>,
    ) -> Result<usize, (usize, usize)> {
        fields.clear();
        if let Some(delimiter) = self.delimiter {
            return self.cut_at(delimiter, text, at, fields);
        }
        for (i, column) in self.columns.iter().enumerate() {
            let (value, end) = if column.width > 0 {
                let value = text.get(at..at + column.width).ok_or((at, i))?;
                let trimmed = value.trim_ascii();
                if trimmed.len() == column.width && column.field.suffers_from_cutting(trimmed) {
                    return Err((at, i));
                }
                (trimmed, at + column.width)
            } else {
                let end = if column.suffix.is_empty() {
                    line_end(text, at)
                } else {
                    find(text, at, column.suffix.as_bytes()).ok_or((at, i))?
                };
                (text.get(at..end).unwrap_or_default(), end)
            };
            fields.push(value);
            at = end;
            let suffix = column.suffix.as_bytes();
            if !suffix.is_empty() {
                if !text[at..].starts_with(suffix) {
                    return Err((at, i));
                }
                at += suffix.len();
            }
        }
        match text.get(at) {
            None | Some(b'\n') => Ok(at),
            Some(_) => Err((at, self.columns.len() - 1)),
        }
    }

    /// [`Self::cut`] where each column ends with this byte, the last one perhaps with its line.
    fn cut_at<'t>(
        &self,
        delimiter: u8,
        text: &'t [u8],
        at: usize,
        fields: &mut Vec<&'t [u8]>,
    ) -> Result<usize, (usize, usize)> {
        let rest = text.get(at..).unwrap_or_default();
        let mut ends = memchr2_iter(delimiter, b'\n', rest);
        let (mut begin, last) = (0, self.columns.len() - 1);
        let closed = self.columns.get(last).is_some_and(|column| !column.suffix.is_empty());
        for i in 0..last + usize::from(closed) {
            match ends.next() {
                Some(end) if rest.get(end) == Some(&delimiter) => {
                    fields.push(rest.get(begin..end).unwrap_or_default());
                    begin = end + 1;
                }
                _ => return Err((at + begin, i)),
            }
        }
        if closed {
            return match rest.get(begin) {
                None | Some(b'\n') => Ok(at + begin),
                Some(_) => Err((at + begin, last)),
            };
        }
        // What is left of the line, whatever it holds.
        let end = ends.find(|end| rest.get(*end) == Some(&b'\n')).unwrap_or(rest.len());
        fields.push(rest.get(begin..end).unwrap_or_default());
        Ok(at + end)
    }

    /// Cuts the record at `at` with longer free texts, over several lines if need be; gives its end, where
    /// there is one way alone.
    fn cut_again<'t>(&self, text: &'t [u8], at: usize, fields: &mut Vec<&'t [u8]>) -> Option<usize> {
        if !self.columns.iter().any(|column| column.field.is_free() && column.width == 0) {
            return None;
        }
        let mut end = line_end(text, at);
        for _ in 0..MAX_LINES {
            if end - at > MAX_RECORD {
                return None;
            }
            let mut search = Search { found: None, ways: 0, steps: 0 };
            self.search(&text[at..end], &mut Vec::new(), &mut search);
            match (search.ways, search.found) {
                (1, Some(found)) => {
                    *fields = found;
                    return Some(end);
                }
                (0, _) => {}
                _ => return None,
            }
            // A line that begins as a record does belongs to no other: better a lost row than a wrong one.
            if end >= text.len() || self.begins(text, end + 1) || self.is_record(text, end + 1, fields) {
                return None;
            }
            end = line_end(text, end + 1);
        }
        None
    }

    /// All ways to cut a record, the free texts as long as they may be.
    fn search<'t>(&self, rest: &'t [u8], fields: &mut Vec<&'t [u8]>, search: &mut Search<'t>) {
        search.steps += 1;
        if search.ways > 1 || search.steps > MAX_STEPS {
            return;
        }
        let Some(column) = self.columns.get(fields.len()) else {
            if rest.is_empty() {
                search.ways += 1;
                search.found = Some(fields.clone());
            }
            return;
        };
        let suffix = column.suffix.as_bytes();
        let mut end = if column.width > 0 {
            column.width
        } else if suffix.is_empty() {
            rest.len()
        } else {
            find_any(rest, 0, suffix).unwrap_or(usize::MAX)
        };
        while let (Some(value), Some(after)) =
            (rest.get(..end), rest.get(end..).and_then(|r| r.strip_prefix(suffix)))
        {
            let value = if column.width > 0 { value.trim_ascii() } else { value };
            if column.field.is_free() || column.field.accepts(value) {
                fields.push(value);
                self.search(after, fields, search);
                fields.pop();
            }
            if column.width > 0 || suffix.is_empty() || !column.field.is_free() {
                return;
            }
            search.steps += 1;
            let Some(next) = find_any(rest, end + 1, suffix).filter(|_| search.steps <= MAX_STEPS) else {
                return;
            };
            end = next;
        }
    }

    /// Whether a record with the right shape begins at `at`.
    fn is_record<'t>(&self, text: &'t [u8], at: usize, fields: &mut Vec<&'t [u8]>) -> bool {
        at < text.len()
            && self.cut(text, at, fields).is_ok()
            && self.columns.iter().zip(fields.iter()).all(|(column, value)| column.field.accepts(value))
    }

    /// The next line after `at` where a record may begin; the line after where none does for a while.
    fn next_record<'t>(&self, text: &'t [u8], at: usize, fields: &mut Vec<&'t [u8]>) -> usize {
        let next = line_end(text, at) + 1;
        let mut candidate = next;
        for _ in 0..MAX_LINES {
            if candidate >= text.len() {
                break;
            }
            if self.begins(text, candidate) || self.is_record(text, candidate, fields) {
                return candidate;
            }
            candidate = line_end(text, candidate) + 1;
        }
        next
    }

    /// Whether the first column is one that can be told from any word, and is at `at`.
    fn begins(&self, text: &[u8], at: usize) -> bool {
        let told = |column: &&Column<F>| !column.field.is_free() && !column.field.accepts(b"?");
        let Some(first) = self.columns.first().filter(told) else { return false };
        let end = match first.width {
            0 if first.suffix.is_empty() => Some(line_end(text, at)),
            0 => find(text, at, first.suffix.as_bytes()),
            width => Some(at + width),
        };
        end.and_then(|end| text.get(at..end)).is_some_and(|value| first.field.accepts(value.trim_ascii()))
    }
}

struct Search<'t> {
    found: Option<Vec<&'t [u8]>>,
    ways: u32,
    steps: u32,
}

/// Counts lines as far as errors need them, so that a thousand errors cost one pass.
struct Lines<'t> {
    text: &'t [u8],
    seen: usize,
    line: usize,
}

impl Lines<'_> {
    fn error(&mut self, command: &str, at: usize, record: usize, expected: &str) -> DialectError {
        let at = at.min(self.text.len()).max(self.seen);
        // The error's own line, which lies in the record or after it.
        let from = self.seen;
        self.line += self.text[from..at].iter().filter(|&&b| b == b'\n').count();
        self.seen = at;
        let begin = self.text[..at].iter().rposition(|&b| b == b'\n').map_or(0, |lf| lf + 1);
        let found = &self.text[at..];
        let found = &found[..line_end(found, 0).min(60)];
        let found = if found.is_empty() { &self.text[record..at.min(record + 60)] } else { found };
        DialectError::Syntax {
            command: command.to_owned(),
            line: self.line,
            column: 1 + at - begin,
            expected: expected.to_owned(),
            found: String::from_utf8_lossy(found).into_owned(),
        }
    }
}

/// How many lines there are, for the size of a list, and not too many of them.
pub(crate) fn lines(text: &[u8]) -> usize {
    memchr_iter(b'\n', text).take(200_000).count()
}

/// Where the line at `at` ends: its line feed, or the end of the text.
pub(crate) fn line_end(text: &[u8], at: usize) -> usize {
    text.get(at..).and_then(|rest| memchr(b'\n', rest)).map_or(text.len(), |lf| at + lf)
}

/// The first suffix from `at` on in the same line.
fn find(text: &[u8], at: usize, suffix: &[u8]) -> Option<usize> {
    let (first, rest) = suffix.split_first()?;
    let mut from = at;
    loop {
        let step = text.get(from..)?.iter().position(|b| b == first || *b == b'\n')?;
        let found = from + step;
        if text[found] == *first && text[found + 1..].starts_with(rest) {
            return Some(found);
        }
        if text[found] == b'\n' {
            return None;
        }
        from = found + 1;
    }
}

/// The first suffix from `at` on.
fn find_any(text: &[u8], at: usize, suffix: &[u8]) -> Option<usize> {
    text.get(at..)?.windows(suffix.len()).position(|window| window == suffix).map(|step| at + step)
}

/// Where a part of the text begins.
fn offset_in(text: &[u8], part: &[u8]) -> usize {
    let offset = (part.as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
    if offset <= text.len() { offset } else { 0 }
}
