//! Inputs of a `map`, copied once into the batch: the bytes one after the other, and an index of offsets.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use cluster_core::inputs::{InputPlan, Source, SourceKind};
use cluster_core::template::Record;
use cluster_core::{ByteString, JobIndex};

use crate::error::ClientError;

/// Writes one source's inputs: `<file>.dat` holds them back to back, `<file>.idx` the end of each as u64.
#[derive(Debug)]
pub struct InputWriter {
    path: PathBuf,
    data: BufWriter<File>,
    index: BufWriter<File>,
    end: u64,
    count: u64,
}

fn names(dir: &Path, file: u32) -> (PathBuf, PathBuf) {
    (dir.join(format!("{file}.dat")), dir.join(format!("{file}.idx")))
}

impl InputWriter {
    /// Makes the files of source number `file` in `dir`.
    ///
    /// # Errors
    /// What the file system says.
    pub fn create(dir: &Path, file: u32) -> Result<Self, ClientError> {
        cluster_localqueue::files::make_private_dir(dir).map_err(|e| ClientError::file("make", dir, e))?;
        let open = |path: PathBuf| {
            let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
            opened.map_err(|e| ClientError::file("write", path, e))
        };
        let (data, index) = names(dir, file);
        Ok(Self {
            path: data.clone(),
            data: BufWriter::with_capacity(256 << 10, open(data)?),
            index: BufWriter::with_capacity(64 << 10, open(index)?),
            end: 0,
            count: 0,
        })
    }

    /// Adds one input.
    ///
    /// # Errors
    /// Where the disk does not take it.
    pub fn push(&mut self, input: &[u8]) -> Result<(), ClientError> {
        self.end += input.len() as u64;
        self.count += 1;
        let written = self.data.write_all(input).and_then(|()| self.index.write_all(&self.end.to_le_bytes()));
        written.map_err(|e| ClientError::file("write", &self.path, e))
    }

    /// Adds one input of several columns.
    ///
    /// # Errors
    /// As [`Self::push`].
    pub fn push_columns(&mut self, columns: &[ByteString]) -> Result<(), ClientError> {
        let text = serde_json::to_vec(columns).map_err(io::Error::from);
        self.push(&text.map_err(|e| ClientError::file("write", &self.path, e))?)
    }

    /// Everything is written; how many inputs there are.
    ///
    /// # Errors
    /// Where the disk does not take the rest.
    pub fn finish(mut self) -> Result<u64, ClientError> {
        let flushed = self.data.flush().and_then(|()| self.index.flush());
        flushed.map_err(|e| ClientError::file("write", &self.path, e))?;
        Ok(self.count)
    }
}

/// Reads the inputs of a batch.
#[derive(Debug)]
pub struct InputReader {
    plan: InputPlan,
    files: Vec<Option<(File, File)>>,
}

impl InputReader {
    /// Opens the inputs in `dir`.
    ///
    /// # Errors
    /// Where a file is missing.
    pub fn open(dir: &Path, plan: InputPlan) -> io::Result<Self> {
        let files = plan.sources.iter().map(|source| match source.kind {
            SourceKind::Range { .. } => Ok(None),
            SourceKind::Stored { file, .. } => {
                let (data, index) = names(dir, file);
                Ok(Some((File::open(data)?, File::open(index)?)))
            }
        });
        let files = files.collect::<io::Result<_>>()?;
        Ok(Self { plan, files })
    }

    /// The names of all columns, over all sources.
    pub fn columns(plan: &InputPlan) -> Vec<String> {
        let names = plan.sources.iter().flat_map(|source| match source.columns.is_empty() {
            true => vec![String::new()],
            false => source.columns.clone(),
        });
        names.collect()
    }

    /// The inputs of one job.
    ///
    /// # Errors
    /// Where they cannot be read.
    pub fn of_job(&self, index: JobIndex) -> io::Result<Vec<Record>> {
        self.plan.inputs_of(index).map(|number| self.record(number)).collect()
    }

    fn record(&self, number: u64) -> io::Result<Record> {
        let picks = self.plan.picks(number);
        let mut record = Record::new();
        for ((source, files), pick) in self.plan.sources.iter().zip(&self.files).zip(picks) {
            match (&source.kind, files) {
                (SourceKind::Range { first, step, .. }, _) => {
                    let value = i128::from(*first) + i128::from(*step) * i128::from(pick);
                    record.push(value.to_string().into());
                }
                (SourceKind::Stored { .. }, Some((data, index))) => {
                    record.extend(read_input(source, data, index, pick)?);
                }
                (SourceKind::Stored { .. }, None) => return Err(io::ErrorKind::NotFound.into()),
            }
        }
        Ok(record)
    }
}

fn read_input(source: &Source, data: &File, index: &File, pick: u64) -> io::Result<Record> {
    let mut ends = [0; 16];
    let (start, end) = if pick == 0 {
        index.read_exact_at(&mut ends[8..], 0)?;
        (0, u64_at(&ends, 8))
    } else {
        index.read_exact_at(&mut ends, (pick - 1) * 8)?;
        (u64_at(&ends, 0), u64_at(&ends, 8))
    };
    let len = end.checked_sub(start).ok_or(io::ErrorKind::InvalidData)?;
    let mut bytes = vec![0; len as usize];
    data.read_exact_at(&mut bytes, start)?;
    if source.columns.is_empty() { Ok(vec![ByteString(bytes)]) } else { Ok(serde_json::from_slice(&bytes)?) }
}

fn u64_at(bytes: &[u8; 16], at: usize) -> u64 {
    bytes[at..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use cluster_core::inputs::Link;

    use super::*;

    #[test]
    fn inputs_come_back_in_pairs() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("inputs");
        let mut lines = InputWriter::create(&dir, 0).unwrap();
        for line in [&b"a\xff"[..], b"", b"c d"] {
            lines.push(line).unwrap();
        }
        let lines = lines.finish().unwrap();
        let mut table = InputWriter::create(&dir, 1).unwrap();
        table.push_columns(&["x".into(), "1".into()]).unwrap();
        let table = table.finish().unwrap();
        let plan = InputPlan {
            sources: vec![
                Source {
                    kind: SourceKind::Stored { file: 0, count: lines },
                    link: Link::Cross,
                    columns: vec![],
                },
                Source {
                    kind: SourceKind::Stored { file: 1, count: table },
                    link: Link::Cross,
                    columns: vec!["name".into(), "n".into()],
                },
                Source {
                    kind: SourceKind::Range { first: 5, last: 6, step: 1 },
                    link: Link::Cross,
                    columns: vec![],
                },
            ],
            per_job: 4,
            append: true,
            literal: 0,
        };
        assert_eq!(InputReader::columns(&plan), ["", "name", "n", ""]);
        let reader = InputReader::open(&dir, plan).unwrap();
        let last = reader.of_job(1).unwrap();
        assert_eq!(last.len(), 2);
        assert_eq!(last[1], [b"c d".to_vec(), b"x".to_vec(), b"1".to_vec(), b"6".to_vec()].map(ByteString));
        assert_eq!(reader.of_job(0).unwrap()[0][0].0, b"a\xff");
    }
}
