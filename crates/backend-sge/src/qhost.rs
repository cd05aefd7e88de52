//! `qhost -xml`: the hosts, their queues (`-q`) and jobs (`-j`).
use cluster_core::dialect::{DialectError, Reading};
use cluster_core::host::{Invocation, Output};

use crate::call::{self, Call};
use crate::refusal;

/// The hosts with their queues.
pub(crate) fn invocation() -> Invocation {
    call::invocation(["qhost", "-xml", "-q"])
}

pub(crate) fn read<'o>(call: &Call<'_>, output: &'o Output) -> Result<Reading<'o>, DialectError> {
    if !output.status.is_success() {
        return Err(refusal::refused(call, output));
    }
    Err(call.not_read("columns"))
}
