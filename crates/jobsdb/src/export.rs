//! Everything in the store as JSON lines, so that nothing is locked in.

use std::io::Write;
use std::path::Path;

use crate::error::StoreError;
use crate::migrate::VERSION;
use crate::open::Store;
use crate::salvage::{Salvage, Table};
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
            'cancel_requested', cancel_requested, 'collected', collected, 'cleaned', cleaned, \
            'missing_since', missing_since) FROM job";
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
        "SELECT json_object('table', 'chunk', 'batch', batch, 'k', k, 'jobs', jobs, 'runs', runs, 'array', array, \
            'throttle', throttle, 'depends', depends, 'tried', tried, 'tries', tries, 'doubt', doubt, \
            'remote', remote, 'sent', sent, 'over', over) FROM chunk";
    // The text is packed: the line gets it as text where it is one.
    EXPORT_RECORDS =
        "SELECT json_object('table', 'record', 'batch', batch, 'index', idx, 'run', run, 'source', source, 'at', at, \
            'zlib', hex(text)) FROM record";
    EXPORT_META =
        "SELECT json_object('table', 'meta', 'batch', batch, 'index', nullif(idx, -1), 'key', key, 'value', value) \
         FROM meta";
    EXPORT_EVENTS = "SELECT json_object('table', 'event', 'name', name, 'at', at) FROM event";
}

/// What an export came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExportReport {
    /// How many rows were written.
    pub rows: u64,
    /// What of a damaged store could not be read, one line each.
    pub skipped: Vec<String>,
}

impl ExportReport {
    /// Whether everything was written.
    pub fn is_complete(&self) -> bool {
        self.skipped.is_empty()
    }
}

impl Store {
    /// Writes the store as JSON lines: a first line that names the format, then a line for each row. Of a
    /// damaged store all that can be read is written, in no certain order; the report says what is missing.
    ///
    /// # Errors
    /// Where `to` cannot be written, or the store cannot be reached.
    pub fn export(&mut self, to: &mut dyn Write) -> Result<ExportReport, StoreError> {
        let wrote = |e| StoreError::io("write", Path::new("the export"), e);
        let mut done = None;
        let read = self.snapshot("export", async |connection| {
            writeln!(to, "{{\"format\":\"cluster-store\",\"version\":{VERSION}}}").map_err(wrote)?;
            let mut salvage = Salvage::new(&mut *to);
            for table in &TABLES {
                salvage.table(connection, table).await?;
            }
            let report = salvage.finish();
            to.flush().map_err(wrote)?;
            done = Some(report);
            Ok(())
        });
        match (done, read) {
            // SQLite refuses the end of a transaction that saw damage, which then is in the report.
            (Some(mut report), Err(error)) => {
                if report.is_complete() {
                    report.skipped.push(error.to_string());
                }
                Ok(report)
            }
            (Some(report), Ok(())) => Ok(report),
            (None, Err(error)) => Err(error),
            (None, Ok(())) => Ok(ExportReport::default()),
        }
    }
}

const TABLES: [Table; 8] = [
    Table { name: "batch", sql: EXPORT_BATCHES, order: &["id"] },
    Table { name: "submission", sql: EXPORT_SUBMISSIONS, order: &["batch", "k"] },
    Table { name: "chunk", sql: EXPORT_CHUNKS, order: &["batch", "k"] },
    Table { name: "job", sql: EXPORT_JOBS, order: &["batch", "idx"] },
    Table { name: "run", sql: EXPORT_RUNS, order: &["batch", "idx", "run"] },
    Table { name: "record", sql: EXPORT_RECORDS, order: &["batch", "idx", "run"] },
    Table { name: "meta", sql: EXPORT_META, order: &["batch", "idx", "key"] },
    Table { name: "event", sql: EXPORT_EVENTS, order: &["name"] },
];
