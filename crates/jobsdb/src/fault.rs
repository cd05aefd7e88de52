//! The error inside a transaction: sqlx's or ours; the store's file is added at the edge.

use std::path::Path;

use crate::error::StoreError;

pub(crate) enum Fault {
    Sql(sqlx::Error),
    Store(StoreError),
}

impl From<sqlx::Error> for Fault {
    fn from(error: sqlx::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Fault {
    pub(crate) fn at(self, doing: &'static str, file: &Path) -> StoreError {
        match self {
            Self::Store(error) => error,
            Self::Sql(sqlx::Error::ColumnDecode { index, source }) => StoreError::Decode {
                file: file.to_owned(),
                what: "row",
                detail: format!("column {index} while trying to {doing}: {source}"),
            },
            Self::Sql(error) => StoreError::sql(doing, file, error),
        }
    }
}

/// `value` as the JSON that goes to `json_each(?)`.
pub(crate) fn json<T: serde::Serialize + ?Sized>(
    what: &'static str,
    value: &T,
) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|e| StoreError::Encode { what, detail: e.to_string() })
}
