//! `qstat -j` as text.
use cluster_core::dialect::{DialectError, Jobs};

use crate::call::Call;

pub(crate) fn read<'t>(
    call: &Call<'_>,
    _text: &'t str,
    _mem: Option<&str>,
) -> Result<Jobs<'t>, DialectError> {
    Err(call.not_read("later"))
}
