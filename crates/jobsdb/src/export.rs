//! Everything in the store as JSON lines, so that nothing is locked in.

use std::io::Write;

use sqlx::{Row, SqliteConnection};

use crate::error::StoreError;
use crate::fault::Fault;
use crate::migrate::VERSION;
use crate::open::Store;
use crate::statements::statements;

statements! {
    EXPORT_BATCHES =
        "SELECT json_object('table', 'batch', 'id', id, 'tag', tag, 'name', name, 'system', system, \
            'scheduler', scheduler, 'owner', owner, 'user', user, 'terminal', terminal, 'count', count, \
            'priority', priority, 'created', created, 'state', state, 'cause', cause, 'cause_arg', cause_arg, \
            'reason', reason, 'changed', changed, 'cancel_requested', cancel_requested, 'collected', collected, \
            'cleaned', cleaned, 'parent_batch', parent_batch, 'parent_index', parent_index, 'rows', rows, \
            'counts', json_array(n0, n1, n2, n3, n4, n5, n6, n7, n8), 'spec', json(spec)) FROM batch";
    EXPORT_JOBS =
        "SELECT json_object('table', 'job', 'batch', batch, 'index', idx, 'state', state, 'cause', cause, \
            'cause_arg', cause_arg, 'status', status, 'reason', reason, 'priority', priority, 'k', k, 'run', run, \
            'changed', changed, 'started', started, 'ended', ended, 'host', host, 'pid', pid, 'remote', remote, \
            'pack', pack, 'out_at', out_at, 'out_len', out_len, 'err_at', err_at, 'err_len', err_len, \
            'cpu_us', cpu_us, 'max_rss_kb', max_rss_kb, 'evidence', json(evidence), \
            'cancel_requested', cancel_requested, 'collected', collected, 'cleaned', cleaned) FROM job";
    EXPORT_RUNS =
        "SELECT json_object('table', 'run', 'batch', batch, 'index', idx, 'run', run, 'k', k, 'state', state, \
            'cause', cause, 'cause_arg', cause_arg, 'status', status, 'reason', reason, 'changed', changed, \
            'started', started, 'ended', ended, 'host', host, 'pid', pid, 'remote', remote, 'pack', pack, \
            'out_at', out_at, 'out_len', out_len, 'err_at', err_at, 'err_len', err_len, 'cpu_us', cpu_us, \
            'max_rss_kb', max_rss_kb, 'evidence', json(evidence), 'cancel_requested', cancel_requested) FROM run";
    EXPORT_SUBMISSIONS =
        "SELECT json_object('table', 'submission', 'batch', batch, 'k', k, 'tag', tag, 'jobs', jobs, \
            'created', created) FROM submission";
    EXPORT_CHUNKS =
        "SELECT json_object('table', 'chunk', 'batch', batch, 'k', k, 'chunk', chunk, 'jobs', jobs, \
            'remote', remote, 'sent', sent) FROM chunk";
    EXPORT_META =
        "SELECT json_object('table', 'meta', 'batch', batch, 'index', nullif(idx, -1), 'key', key, 'value', value) \
         FROM meta";
    EXPORT_EVENTS = "SELECT json_object('table', 'event', 'name', name, 'at', at) FROM event";
}

impl Store {
    /// Writes the store as JSON lines: a first line that names the format, then a line for each row. Of a
    /// damaged store as much as can be read is written, table by table, before the error is returned.
    ///
    /// # Errors
    /// Where `to` cannot be written, or something of the store could not be read.
    pub fn export(&mut self, to: &mut dyn Write) -> Result<(), StoreError> {
        let target = self.file().to_owned();
        let wrote = |e| StoreError::io("write the export of", &target, e);
        self.snapshot("export", async |connection| {
            writeln!(to, "{{\"format\":\"cluster-store\",\"version\":{VERSION}}}").map_err(wrote)?;
            let mut failed = None;
            for sql in [
                EXPORT_BATCHES,
                EXPORT_SUBMISSIONS,
                EXPORT_CHUNKS,
                EXPORT_JOBS,
                EXPORT_RUNS,
                EXPORT_META,
                EXPORT_EVENTS,
            ] {
                match table(connection, sql, to).await? {
                    Ok(()) => {}
                    Err(error) => failed = failed.or(Some(error)),
                }
            }
            to.flush().map_err(wrote)?;
            failed.map_or(Ok(()), |error| Err(Fault::Sql(error)))
        })
    }
}

/// Writes the rows of one statement as they come. The outer error ends the export, the inner one the table.
async fn table(
    connection: &mut SqliteConnection,
    sql: &'static str,
    to: &mut dyn Write,
) -> Result<Result<(), sqlx::Error>, Fault> {
    let mut rows = sqlx::query(sql).fetch(connection);
    loop {
        match std::future::poll_fn(|cx| rows.as_mut().poll_next(cx)).await {
            None => return Ok(Ok(())),
            Some(Err(error)) => return Ok(Err(error)),
            Some(Ok(row)) => match row.try_get::<&str, _>(0) {
                Ok(line) => writeln!(to, "{line}")
                    .map_err(|e| StoreError::io("write", std::path::Path::new("the export"), e))?,
                Err(error) => return Ok(Err(error)),
            },
        }
    }
}
