//! The outputs of jobs, as readers: never as whole strings.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Take};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use cluster_core::{JobId, SubmissionNumber};
use cluster_jobsdb::{JobRow, OutputPlace, StreamPlace};

use crate::layout::Layout;

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// The standard output.
    Out,
    /// The standard error.
    Err,
}

impl Stream {
    /// The suffix of its files.
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::Out => "out",
            Self::Err => "err",
        }
    }
}

/// An output, from its first byte to its last.
#[derive(Debug)]
pub struct Output {
    from: Option<Take<File>>,
}

impl Read for Output {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.from.as_mut().map_or(Ok(0), |from| from.read(buffer))
    }
}

impl Output {
    /// How many bytes are left.
    pub fn left(&self) -> u64 {
        self.from.as_ref().map_or(0, Take::limit)
    }

    /// Leaves out the next `bytes`, which are not read.
    ///
    /// # Errors
    /// What the file system says.
    pub fn skip(&mut self, bytes: u64) -> io::Result<()> {
        let Some(from) = &mut self.from else { return Ok(()) };
        let bytes = bytes.min(from.limit());
        from.get_mut().seek_relative(bytes as i64)?;
        from.set_limit(from.limit() - bytes);
        Ok(())
    }

    /// Goes on with the last `lines` of what is left, looked for from its end: what is before them is not read,
    /// and no line is held, however long.
    ///
    /// # Errors
    /// What the file system says.
    pub fn last_lines(&mut self, lines: usize) -> io::Result<()> {
        let Some(from) = &mut self.from else { return Ok(()) };
        let (len, start) = (from.limit(), from.get_mut().stream_position()?);
        let mut buffer = vec![0; 64 << 10];
        let (mut end, mut left) = (len, lines);
        let keep = 'found: {
            if lines == 0 {
                break 'found len;
            }
            while end > 0 {
                let part = (buffer.len() as u64).min(end) as usize;
                let begin = end - part as u64;
                from.get_ref().read_exact_at(&mut buffer[..part], start + begin)?;
                for place in (0..part).rev().filter(|place| buffer[*place] == b'\n') {
                    let after = begin + place as u64 + 1;
                    // The end of the last line begins none.
                    if after == len {
                        continue;
                    }
                    left -= 1;
                    if left == 0 {
                        break 'found after;
                    }
                }
                end = begin;
            }
            0
        };
        self.skip(keep)
    }
}

/// The file of a job that has not ended yet, or whose output is in a file of its own.
pub fn file(layout: &Layout, job: JobId, k: SubmissionNumber, stream: Stream) -> PathBuf {
    layout.job_file(job.batch, job.index, k, stream.suffix())
}

/// Whether an output was removed by a clean. That of a job in a pack goes with its whole batch only.
pub fn is_cleaned(layout: &Layout, row: &JobRow, stream: Stream) -> bool {
    let Some(_) = row.cleaned else { return false };
    let place = row
        .output
        .as_ref()
        .map(|place| (place.pack, if stream == Stream::Out { place.out } else { place.err }));
    let path = match place {
        Some((pack, StreamPlace::Pack { .. })) => layout.pack(row.id.batch, pack),
        _ => file(layout, row.id, row.k, stream),
    };
    !path.exists()
}

/// Opens an output. `place` says where it is; `None`: what there is in the file so far.
///
/// # Errors
/// What the file system says. An output that was never begun is empty.
pub fn open(
    layout: &Layout,
    job: JobId,
    k: SubmissionNumber,
    place: Option<&OutputPlace>,
    stream: Stream,
) -> io::Result<Output> {
    let in_pack = place.and_then(|place| {
        let stream = if stream == Stream::Out { place.out } else { place.err };
        match stream {
            StreamPlace::Pack { offset, len } => Some((place.pack, offset, len)),
            StreamPlace::File { .. } => None,
        }
    });
    let (path, offset, len) = match in_pack {
        Some((_, _, 0)) => return Ok(Output { from: None }),
        Some((pack, offset, len)) => (layout.pack(job.batch, pack), offset, len),
        None => (file(layout, job, k, stream), 0, u64::MAX),
    };
    let mut file = match File::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && in_pack.is_none() => {
            return Ok(Output { from: None });
        }
        opened => opened?,
    };
    let len = if in_pack.is_some() { len } else { file.metadata()?.len() };
    file.seek(SeekFrom::Start(offset))?;
    Ok(Output { from: Some(file.take(len)) })
}

/// Copies many outputs, one after the other: the pack that most of them are in is opened once.
#[derive(Debug)]
pub struct Copier<'a> {
    layout: &'a Layout,
    pack: Option<(cluster_core::BatchId, SubmissionNumber, File)>,
    buffer: Vec<u8>,
}

impl<'a> Copier<'a> {
    /// Of jobs of one root.
    pub fn new(layout: &'a Layout) -> Self {
        Self { layout, pack: None, buffer: vec![0; 64 << 10] }
    }

    /// Copies one output to `to`. How many bytes it was.
    ///
    /// # Errors
    /// Where it cannot be read or written.
    pub fn copy(&mut self, row: &JobRow, stream: Stream, to: &mut dyn io::Write) -> io::Result<u64> {
        let place = row
            .output
            .as_ref()
            .map(|place| (place.pack, if stream == Stream::Out { place.out } else { place.err }));
        let Some((k, StreamPlace::Pack { offset, len })) = place else {
            let mut from = open(self.layout, row.id, row.k, row.output.as_ref(), stream)?;
            return io::copy(&mut from, to);
        };
        if len == 0 {
            return Ok(0);
        }
        let known =
            self.pack.as_ref().is_some_and(|(batch, number, _)| (*batch, *number) == (row.id.batch, k));
        if !known {
            self.pack = Some((row.id.batch, k, File::open(self.layout.pack(row.id.batch, k))?));
        }
        let Some((_, _, pack)) = &self.pack else { return Ok(0) };
        let mut done = 0;
        while done < len {
            let part = self.buffer.len().min((len - done) as usize);
            pack.read_exact_at(&mut self.buffer[..part], offset + done)?;
            to.write_all(&self.buffer[..part])?;
            done += part as u64;
        }
        Ok(len)
    }
}

#[cfg(test)]
mod tests {
    use cluster_core::{Cause, ExitStatus, JobSpec, JobState, Tag, Timestamp};
    use cluster_jobsdb::{JobChange, JobQuery, NewBatch, OpenOptions, Store};

    use super::*;

    #[test]
    fn an_output_is_cleaned_when_its_file_or_pack_is_gone() {
        let root = tempfile::tempdir().unwrap();
        let layout = Layout::new(root.path());
        let mut store =
            Store::open(root.path(), &OpenOptions { create: true, ..OpenOptions::default() }).unwrap();
        let mut spec = JobSpec::single("x", vec!["true".into()], "/".into());
        spec.count = 2;
        let new =
            NewBatch::new(Tag::from_bits(1), spec, "local", "local", JobState::Queued, "me", Timestamp(1));
        let batch = store.accept(&[new]).unwrap()[0];
        let pack = StreamPlace::Pack { offset: 0, len: 3 };
        let change = |index, place| JobChange {
            cause: Some(Cause::Exit(0)),
            status: Some(ExitStatus::Exit(0)),
            started: Some(Timestamp(2)),
            ended: Some(Timestamp(3)),
            output: Some(OutputPlace { pack: 0, out: place, err: place }),
            ..JobChange::new(JobId { batch, index }, 0, 1, JobState::Succeeded, Timestamp(3))
        };
        store.apply(&[change(0, pack), change(1, StreamPlace::File { bytes: 3 })]).unwrap();
        std::fs::create_dir_all(layout.batch(batch).join("0")).unwrap();
        let files = [layout.pack(batch, 0), file(&layout, JobId { batch, index: 1 }, 0, Stream::Out)];
        for file in &files {
            std::fs::write(file, "abc").unwrap();
        }
        let mut cleaned = || {
            let rows = store.jobs(batch, &JobQuery { limit: 9, ..JobQuery::default() }).unwrap();
            let cleaned = rows.iter().map(|row| is_cleaned(&layout, row, Stream::Out)).collect::<Vec<_>>();
            // The files go before the mark is set; a mark set later is seen by the next call.
            store.mark_cleaned(batch, None, Timestamp(4)).unwrap();
            cleaned
        };
        assert_eq!(cleaned(), [false, false]);
        assert_eq!(cleaned(), [false, false]);
        std::fs::remove_file(&files[1]).unwrap();
        assert_eq!(cleaned(), [false, true]);
        std::fs::remove_file(&files[0]).unwrap();
        assert_eq!(cleaned(), [true, true]);
    }
}
