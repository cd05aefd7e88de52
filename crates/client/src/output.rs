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
}

/// The file of a job that has not ended yet, or whose output is in a file of its own.
pub fn file(layout: &Layout, job: JobId, k: SubmissionNumber, stream: Stream) -> PathBuf {
    layout.job_file(job.batch, job.index, k, stream.suffix())
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
        let place = row.output.as_ref().map(|place| (place.pack, if stream == Stream::Out { place.out } else { place.err }));
        let Some((k, StreamPlace::Pack { offset, len })) = place else {
            let mut from = open(self.layout, row.id, row.k, row.output.as_ref(), stream)?;
            return io::copy(&mut from, to);
        };
        if len == 0 {
            return Ok(0);
        }
        let known = self.pack.as_ref().is_some_and(|(batch, number, _)| (*batch, *number) == (row.id.batch, k));
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
