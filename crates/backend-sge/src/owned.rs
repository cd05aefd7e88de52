//! Output that is no UTF-8: it is mended first, and its rows own their texts.

use std::borrow::Cow;

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
            Ok(Jobs { rows: rows.into_iter().map(owned).collect(), errors })
        }
    }
}

fn own(text: Cow<'_, str>) -> Cow<'static, str> {
    Cow::Owned(text.into_owned())
}

fn owned(row: Row<'_>) -> Row<'static> {
    Row {
        id: own(row.id),
        job: own(row.job),
        name: own(row.name),
        user: own(row.user),
        partition: own(row.partition),
        raw_state: own(row.raw_state),
        reason: own(row.reason),
        hosts: own(row.hosts),
        comment: row.comment.map(own),
        // A mended text is not what was printed.
        text: "",
        tasks: row.tasks,
        throttle: row.throttle,
        state: row.state,
        uncertain: row.uncertain,
        nodes: row.nodes,
        cores: row.cores,
        status: row.status,
        cause: row.cause,
        submitted: row.submitted,
        started: row.started,
        ended: row.ended,
        time_limit: row.time_limit,
        mem: row.mem,
        mem_used: row.mem_used,
        cpu_time: row.cpu_time,
        restarts: row.restarts,
    }
}
