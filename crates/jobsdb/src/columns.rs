//! Rows on their way out of SQLite: many as one text, read field by field into the types of the field.
//!
//! sqlx copies each column of each row on its own and hands each row from thread to thread; a thousand rows
//! of thirty columns take 4 ms so. Put together inside SQLite they take 1 ms: fields are separated by the
//! character 31, rows by 30. Neither can be in a field: numbers have none, texts go through `json_quote`,
//! and JSON that we wrote escapes control characters.

use std::fmt::Display;

use cluster_core::{Cause, ExitStatus, JobState, Timestamp};
use sqlx::query::Query;
use sqlx::sqlite::{Sqlite, SqliteArguments};
use sqlx::{Row, SqliteConnection};

const FIELD: u8 = 0x1f;
const ROW: char = '\u{1e}';

/// The fields of a row as one column `p`. A number or JSON text is named as it is, another text through
/// `json_quote`; NULL is an empty field, or `null` where it is quoted.
macro_rules! packed {
    ($first:expr $(, $field:expr)* $(,)?) => {
        concat!("concat(", $first, $(", char(31), ", $field,)* ") AS p")
    };
}
pub(crate) use packed;

/// All rows of a statement with a column `p` as one value. The statement needs a LIMIT, which keeps SQLite
/// from passing over its order.
macro_rules! together {
    ($($part:expr),+ $(,)?) => {
        concat!("SELECT group_concat(p, char(30)) FROM (", $($part,)+ ")")
    };
}
pub(crate) use together;

/// What a statement made by [`together`] gave.
pub(crate) struct Packed(Option<String>);

impl Packed {
    pub(crate) async fn fetch(
        connection: &mut SqliteConnection,
        query: Query<'_, Sqlite, SqliteArguments>,
    ) -> Result<Self, sqlx::Error> {
        query.fetch_one(connection).await?.try_get_unchecked(0).map(Self)
    }

    /// The rows.
    pub(crate) fn rows(&self) -> impl Iterator<Item = Columns<'_>> {
        self.0.iter().flat_map(|rows| rows.split(ROW)).map(Columns::new)
    }

    /// Each row as what `read` makes of it.
    pub(crate) fn read<T>(
        &self,
        read: impl FnMut(Columns<'_>) -> Result<T, sqlx::Error>,
    ) -> Result<Vec<T>, sqlx::Error> {
        self.rows().map(read).collect()
    }
}

/// A row and how far it has been read.
pub(crate) struct Columns<'r> {
    rest: Option<&'r str>,
    read: usize,
}

impl<'r> Columns<'r> {
    fn new(row: &'r str) -> Self {
        Self { rest: Some(row), read: 0 }
    }

    /// The next field as it is.
    pub(crate) fn raw(&mut self) -> Result<&'r str, sqlx::Error> {
        self.read += 1;
        let Some(rest) = self.rest else { return Err(self.wrong("it is missing".to_owned())) };
        // Most fields have a few bytes: a search made for long texts takes three times as long.
        let Some(end) = rest.bytes().position(|byte| byte == FIELD) else {
            self.rest = None;
            return Ok(rest);
        };
        self.rest = Some(&rest[end + 1..]);
        Ok(&rest[..end])
    }

    /// An integer.
    pub(crate) fn number<T: TryFrom<i64, Error: Display>>(&mut self) -> Result<T, sqlx::Error> {
        self.opt_number()?.ok_or_else(|| self.wrong("it is empty".to_owned()))
    }

    pub(crate) fn opt_number<T: TryFrom<i64, Error: Display>>(&mut self) -> Result<Option<T>, sqlx::Error> {
        let text = self.raw()?;
        if text.is_empty() {
            return Ok(None);
        }
        let value: i64 = text.parse().map_err(|e| self.wrong(format!("{text:?}: {e}")))?;
        value.try_into().map(Some).map_err(|e| self.wrong(format!("{value}: {e}")))
    }

    pub(crate) fn text(&mut self) -> Result<String, sqlx::Error> {
        self.opt_text()?.ok_or_else(|| self.wrong("it is empty".to_owned()))
    }

    pub(crate) fn opt_text(&mut self) -> Result<Option<String>, sqlx::Error> {
        let quoted = self.raw()?;
        if quoted == "null" {
            return Ok(None);
        }
        match quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
            Some(plain) if !plain.bytes().any(|byte| byte == b'\\') => Ok(Some(plain.to_owned())),
            _ => serde_json::from_str(quoted).map(Some).map_err(|e| self.wrong(e.to_string())),
        }
    }

    pub(crate) fn time(&mut self) -> Result<Timestamp, sqlx::Error> {
        self.number().map(Timestamp)
    }

    pub(crate) fn opt_time(&mut self) -> Result<Option<Timestamp>, sqlx::Error> {
        Ok(self.opt_number()?.map(Timestamp))
    }

    pub(crate) fn state(&mut self) -> Result<JobState, sqlx::Error> {
        let number: u8 = self.number()?;
        JobState::from_number(number).ok_or_else(|| self.wrong(format!("there is no state {number}")))
    }

    /// Two fields: which cause, and its code or signal.
    pub(crate) fn cause(&mut self) -> Result<Option<Cause>, sqlx::Error> {
        let (which, argument) = (self.opt_number::<u8>()?, self.opt_number::<i32>()?);
        let Some(which) = which else { return Ok(None) };
        let cause = Cause::from_numbers(which, argument.unwrap_or(0));
        cause.map(Some).ok_or_else(|| self.wrong(format!("there is no cause {which}")))
    }

    pub(crate) fn status(&mut self) -> Result<Option<ExitStatus>, sqlx::Error> {
        Ok(self.opt_number::<i32>()?.map(status_from_number))
    }

    /// An optional JSON text, not quoted once more.
    pub(crate) fn opt_json<T: serde::de::DeserializeOwned>(&mut self) -> Result<Option<T>, sqlx::Error> {
        let text = self.raw()?;
        if text.is_empty() {
            return Ok(None);
        }
        serde_json::from_str(text).map(Some).map_err(|e| self.wrong(e.to_string()))
    }

    /// A text of our own making, not quoted, that parses.
    pub(crate) fn parsed<T: std::str::FromStr<Err: Display>>(&mut self) -> Result<T, sqlx::Error> {
        self.raw()?.parse().map_err(|e: T::Err| self.wrong(e.to_string()))
    }

    fn wrong(&self, detail: String) -> sqlx::Error {
        sqlx::Error::ColumnDecode { index: (self.read - 1).to_string(), source: detail.into() }
    }
}

/// An exit code as it is, a signal below zero, as in Python: readable in the bare table.
pub(crate) fn status_to_number(status: ExitStatus) -> i32 {
    match status {
        // Codes are 0–255 by their nature; what is not cannot be told from a signal.
        ExitStatus::Exit(code) => code & 0xff,
        ExitStatus::Signal(signal) => -signal.max(1),
    }
}

fn status_from_number(number: i32) -> ExitStatus {
    if number < 0 { ExitStatus::Signal(-number) } else { ExitStatus::Exit(number) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_reads_back() {
        for status in
            [ExitStatus::Exit(0), ExitStatus::Exit(255), ExitStatus::Signal(1), ExitStatus::Signal(64)]
        {
            assert_eq!(status_from_number(status_to_number(status)), status);
        }
    }

    #[test]
    fn fields_of_any_text_come_apart() {
        let mut row = Columns::new("17\u{1f}\u{1f}\"a\\u001f\\\"b\"\u{1f}null\u{1f}\"plain\"");
        assert_eq!(row.number::<u32>().unwrap(), 17);
        assert_eq!(row.opt_number::<u32>().unwrap(), None);
        assert_eq!(row.text().unwrap(), "a\u{1f}\"b");
        assert_eq!(row.opt_text().unwrap(), None);
        assert_eq!(row.text().unwrap(), "plain");
        assert!(row.raw().is_err());
    }
}
