//! Output that is no UTF-8: it is mended first, and its rows own their texts.

use cluster_core::dialect::{DialectError, Jobs, Row};

/// Reads the rows of an output, which borrow from it where it is UTF-8.
pub(crate) fn read<'o, R>(stdout: &'o [u8], read: R) -> Result<Jobs<'o>, DialectError>
where
    R: for<'t> Fn(&'t str) -> Result<Jobs<'t>, DialectError>,
{
    match std::str::from_utf8(stdout) {
        Ok(text) => read(text),
        Err(_) => {
            let mended = String::from_utf8_lossy(stdout);
            let Jobs { rows, errors } = read(&mended)?;
            Ok(Jobs { rows: rows.into_iter().map(Row::into_owned).collect(), errors })
        }
    }
}
