//! The scheduler's own last record of a run, kept as it printed it.

use std::borrow::Cow;
use std::io::{Read, Write};

use cluster_core::{JobId, RunNumber, Timestamp};
use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use sqlx::Row;

use crate::batch::key;
use crate::error::StoreError;
use crate::open::Store;
use crate::statements::statements;

/// What a scheduler printed of a run: a row of `scontrol -o`, `qstat -f`, `sacct` or `qacct`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunRecord {
    /// The job.
    pub job: JobId,
    /// The run.
    pub run: RunNumber,
    /// The command that printed it.
    pub source: String,
    /// When that was asked.
    pub at: Timestamp,
    /// What it printed, not always UTF-8. Beyond [`Self::LARGEST`] it is cut off.
    pub text: Vec<u8>,
}

impl RunRecord {
    /// So much of a text is kept.
    pub const LARGEST: usize = 64 * 1024;
}

macro_rules! upsert_records {
    ($rows:expr) => {
        concat!(
            "INSERT INTO record (batch, idx, run, source, at, text) \
             SELECT column1, column2, column3, column4, column5, column6 FROM (VALUES ",
            $rows,
            ") WHERE EXISTS (SELECT 1 FROM batch b WHERE b.id = column1) \
             ON CONFLICT DO UPDATE SET source = excluded.source, at = excluded.at, text = excluded.text"
        )
    };
}

macro_rules! rows_16 {
    () => {
        "(?,?,?,?,?,?),(?,?,?,?,?,?),(?,?,?,?,?,?),(?,?,?,?,?,?),(?,?,?,?,?,?),(?,?,?,?,?,?),(?,?,?,?,?,?),\
         (?,?,?,?,?,?),(?,?,?,?,?,?),(?,?,?,?,?,?),(?,?,?,?,?,?),(?,?,?,?,?,?),(?,?,?,?,?,?),(?,?,?,?,?,?),\
         (?,?,?,?,?,?),(?,?,?,?,?,?)"
    };
}

statements! {
    RECORD = "SELECT source, at, text FROM record WHERE batch = ?1 AND idx = ?2 AND run = ?3";
    UPSERT_RECORDS_1 = upsert_records!("(?,?,?,?,?,?)");
    UPSERT_RECORDS_16 = upsert_records!(rows_16!());
}

impl Store {
    /// Keeps records, each in the place of the one that its run had. Those of batches that are no longer in
    /// the store are passed over.
    ///
    /// # Errors
    /// Where the store cannot be written; then none was kept.
    pub fn set_records(&mut self, records: &[RunRecord]) -> Result<(), StoreError> {
        if records.is_empty() {
            return Ok(());
        }
        self.write("keep records in", async |connection| {
            let mut rest = records;
            while !rest.is_empty() {
                let (sql, count) =
                    if rest.len() >= 16 { (UPSERT_RECORDS_16, 16) } else { (UPSERT_RECORDS_1, 1) };
                let (now, later) = rest.split_at(count);
                let mut query = sqlx::query(sql);
                for record in now {
                    query = query
                        .bind(key(record.job.batch))
                        .bind(record.job.index)
                        .bind(record.run)
                        .bind(record.source.as_str())
                        .bind(record.at.0)
                        .bind(pack(&record.text)?);
                }
                query.execute(&mut *connection).await?;
                rest = later;
            }
            Ok(())
        })
    }

    /// The scheduler's last record of a run.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn record(&mut self, job: JobId, run: RunNumber) -> Result<Option<RunRecord>, StoreError> {
        self.read("read a record from", async |connection| {
            let query = sqlx::query(RECORD).bind(key(job.batch)).bind(job.index).bind(run);
            let Some(row) = query.fetch_optional(connection).await? else { return Ok(None) };
            let packed: Vec<u8> = row.try_get(2)?;
            let text = unpack(&packed)
                .map_err(|e| sqlx::Error::ColumnDecode { index: "text".to_owned(), source: e.into() })?;
            Ok(Some(RunRecord { job, run, source: row.try_get(0)?, at: Timestamp(row.try_get(1)?), text }))
        })
    }
}

/// As it is stored: cut and compressed.
fn pack(text: &[u8]) -> Result<Vec<u8>, StoreError> {
    let text = &text[..text.len().min(RunRecord::LARGEST)];
    let mut packer = ZlibEncoder::new(Vec::new(), Compression::fast());
    packer
        .write_all(text)
        .and_then(|()| packer.finish())
        .map_err(|e| StoreError::Encode { what: "record", detail: e.to_string() })
}

/// Never more than was packed, whatever a damaged store says.
fn unpack(packed: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut text = Vec::new();
    ZlibDecoder::new(packed).take(RunRecord::LARGEST as u64).read_to_end(&mut text)?;
    Ok(text)
}

/// The exported line of a record, with its text in the place of the packed bytes. These stay where they cannot be
/// unpacked or are no text.
pub(crate) fn line(packed: &str) -> Cow<'_, str> {
    let readable = || {
        let (head, hex) = packed.strip_suffix("\"}")?.rsplit_once("\"zlib\":\"")?;
        let bytes = hex.as_bytes().chunks(2).map(|pair| {
            let pair = std::str::from_utf8(pair).ok()?;
            u8::from_str_radix(pair, 16).ok()
        });
        let text = String::from_utf8(unpack(&bytes.collect::<Option<Vec<_>>>()?).ok()?).ok()?;
        Some(format!("{head}\"text\":{}}}", serde_json::to_string(&text).ok()?))
    };
    readable().map_or(Cow::Borrowed(packed), Cow::Owned)
}
