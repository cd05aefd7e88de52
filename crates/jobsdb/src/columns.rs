//! Reading the columns of a row one after another, into the types of the field.

use std::fmt::Display;

use cluster_core::{Cause, ExitStatus, JobState, Timestamp};
use sqlx::sqlite::SqliteRow;
use sqlx::{Decode, Row, Sqlite};

/// A row and how far it has been read.
pub(crate) struct Columns<'r> {
    row: &'r SqliteRow,
    next: usize,
}

impl<'r> Columns<'r> {
    pub(crate) fn new(row: &'r SqliteRow) -> Self {
        Self { row, next: 0 }
    }

    fn next<T: Decode<'r, Sqlite>>(&mut self) -> Result<T, sqlx::Error> {
        self.next += 1;
        // Unchecked: the tables are STRICT, so a column's type is what its declaration says.
        self.row.try_get_unchecked(self.next - 1)
    }

    pub(crate) fn int(&mut self) -> Result<i64, sqlx::Error> {
        self.next()
    }

    pub(crate) fn opt_int(&mut self) -> Result<Option<i64>, sqlx::Error> {
        self.next()
    }

    pub(crate) fn text(&mut self) -> Result<String, sqlx::Error> {
        self.next()
    }

    pub(crate) fn opt_text(&mut self) -> Result<Option<String>, sqlx::Error> {
        self.next()
    }

    pub(crate) fn opt_str(&mut self) -> Result<Option<&'r str>, sqlx::Error> {
        self.next()
    }

    /// An integer of a narrower type.
    pub(crate) fn number<T: TryFrom<i64, Error: Display>>(&mut self) -> Result<T, sqlx::Error> {
        let value = self.int()?;
        value.try_into().map_err(|e| self.wrong(format!("{value}: {e}")))
    }

    pub(crate) fn opt_number<T: TryFrom<i64, Error: Display>>(&mut self) -> Result<Option<T>, sqlx::Error> {
        let value = self.opt_int()?;
        value.map(|v| v.try_into().map_err(|e| self.wrong(format!("{v}: {e}")))).transpose()
    }

    pub(crate) fn time(&mut self) -> Result<Timestamp, sqlx::Error> {
        self.int().map(Timestamp)
    }

    pub(crate) fn opt_time(&mut self) -> Result<Option<Timestamp>, sqlx::Error> {
        Ok(self.opt_int()?.map(Timestamp))
    }

    pub(crate) fn state(&mut self) -> Result<JobState, sqlx::Error> {
        let number: u8 = self.number()?;
        JobState::from_number(number).ok_or_else(|| self.wrong(format!("there is no state {number}")))
    }

    /// Two columns: which cause, and its code or signal.
    pub(crate) fn cause(&mut self) -> Result<Option<Cause>, sqlx::Error> {
        let (which, argument) = (self.opt_number::<u8>()?, self.opt_number::<i32>()?);
        which
            .map(|which| {
                Cause::from_numbers(which, argument.unwrap_or(0))
                    .ok_or_else(|| self.wrong(format!("there is no cause {which}")))
            })
            .transpose()
    }

    pub(crate) fn status(&mut self) -> Result<Option<ExitStatus>, sqlx::Error> {
        Ok(self.opt_number::<i32>()?.map(status_from_number))
    }

    /// An optional text that parses.
    pub(crate) fn opt_json<T: serde::de::DeserializeOwned>(&mut self) -> Result<Option<T>, sqlx::Error> {
        let text = self.opt_str()?;
        text.map(|text| serde_json::from_str(text).map_err(|e| self.wrong(e.to_string()))).transpose()
    }

    /// A text that parses.
    pub(crate) fn parsed<T: std::str::FromStr<Err: Display>>(&mut self) -> Result<T, sqlx::Error> {
        let text = self.opt_str()?.unwrap_or_default();
        text.parse().map_err(|e: T::Err| self.wrong(e.to_string()))
    }

    fn wrong(&self, detail: String) -> sqlx::Error {
        sqlx::Error::ColumnDecode { index: (self.next - 1).to_string(), source: detail.into() }
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
}
