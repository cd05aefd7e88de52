//! What the engine reports of a root's jobs, and how the journal writes it down.

use std::io::Write;

use cluster_core::{
    BatchId, Cause, ExitStatus, IndexSet, JobIndex, RunNumber, SubmissionNumber, Timestamp, percent,
};

/// Where one output stream of a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamPlace {
    /// In a file of its own, of this size.
    File(u64),
    /// In the batch's pack.
    Pack {
        /// First byte.
        offset: u64,
        /// Bytes.
        len: u64,
    },
}

/// What a job used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// CPU time, user and system, with its waited-for children.
    pub cpu_us: u64,
    /// The largest resident set of one of its processes.
    pub max_rss_kb: u64,
}

/// A job is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Its batch.
    pub batch: BatchId,
    /// Its place there.
    pub index: JobIndex,
    /// Its submission.
    pub k: SubmissionNumber,
    /// Its run.
    pub run: RunNumber,
    /// When it started.
    pub started: Timestamp,
    /// When its end was seen.
    pub ended: Timestamp,
    /// How its process ended, where that was seen.
    pub status: Option<ExitStatus>,
    /// Why it ended.
    pub cause: Cause,
    /// What there is to say about it.
    pub reason: Option<String>,
    /// Its stdout.
    pub out: StreamPlace,
    /// Its stderr.
    pub err: StreamPlace,
    /// Its process.
    pub pid: u32,
    /// What it used.
    pub usage: Usage,
}

/// One fact about jobs of a root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A job runs. Reported once it has run a moment, so that short ones cost one fact, not two.
    Started {
        /// Its batch.
        batch: BatchId,
        /// Its place there.
        index: JobIndex,
        /// Its submission.
        k: SubmissionNumber,
        /// Its run.
        run: RunNumber,
        /// When it started.
        at: Timestamp,
        /// Its process.
        pid: u32,
    },
    /// A job is over.
    Ended(Ended),
    /// Jobs left the queue without having run.
    Unstarted {
        /// Their batch.
        batch: BatchId,
        /// Their submission.
        k: SubmissionNumber,
        /// Their run.
        run: RunNumber,
        /// The jobs.
        jobs: IndexSet,
        /// Why.
        cause: Cause,
        /// When.
        at: Timestamp,
    },
}

impl Event {
    /// The batch it is about.
    pub fn batch(&self) -> BatchId {
        match self {
            Self::Started { batch, .. } | Self::Unstarted { batch, .. } => *batch,
            Self::Ended(ended) => ended.batch,
        }
    }

    /// Appends the event as one line with a checksum. `Started` is written nowhere: the slot table has it.
    pub fn write_line(&self, line: &mut Vec<u8>) {
        let begin = line.len();
        // Writing to a Vec does not fail.
        let _ = match self {
            Self::Started { .. } => return,
            Self::Ended(e) => {
                let (which, argument) = e.cause.to_numbers();
                let reason = e.reason.as_deref().map(|reason| percent::encode(reason.as_bytes()));
                let _ = write!(
                    line,
                    "end {} {} {} {} {} {} ",
                    e.batch, e.index, e.k, e.run, e.started.0, e.ended.0
                );
                let _ = match e.status {
                    Some(ExitStatus::Exit(code)) => write!(line, "x{code}"),
                    Some(ExitStatus::Signal(signal)) => write!(line, "s{signal}"),
                    None => write!(line, "-"),
                };
                let _ = write!(line, " {which} {argument} ");
                write_place(line, e.out);
                write_place(line, e.err);
                write!(
                    line,
                    "{} {} {} {} ",
                    e.pid,
                    e.usage.cpu_us,
                    e.usage.max_rss_kb,
                    reason.as_deref().unwrap_or("-")
                )
            }
            Self::Unstarted { batch, k, run, jobs, cause, at } => {
                let (which, argument) = cause.to_numbers();
                write!(line, "unstarted {batch} {k} {run} {jobs} {which} {argument} {} ", at.0)
            }
        };
        let sum = crc32fast::hash(&line[begin..]);
        let _ = writeln!(line, "{sum:08x}");
    }

    /// The event of a line without its LF; `None` where the line is torn or not ours.
    pub fn parse_line(line: &[u8]) -> Option<Self> {
        let (text, sum) = line.split_at_checked(line.len().checked_sub(8)?)?;
        let sum = u32::from_str_radix(std::str::from_utf8(sum).ok()?, 16).ok()?;
        if crc32fast::hash(text) != sum {
            return None;
        }
        let mut fields = std::str::from_utf8(text).ok()?.split(' ');
        let mut next = || fields.next();
        match next()? {
            "end" => Some(Self::Ended(Ended {
                batch: BatchId(next()?.parse().ok()?),
                index: next()?.parse().ok()?,
                k: next()?.parse().ok()?,
                run: next()?.parse().ok()?,
                started: Timestamp(next()?.parse().ok()?),
                ended: Timestamp(next()?.parse().ok()?),
                status: match next()? {
                    "-" => None,
                    status => match status.split_at_checked(1)? {
                        ("x", code) => Some(ExitStatus::Exit(code.parse().ok()?)),
                        ("s", signal) => Some(ExitStatus::Signal(signal.parse().ok()?)),
                        _ => return None,
                    },
                },
                cause: Cause::from_numbers(next()?.parse().ok()?, next()?.parse().ok()?)?,
                out: parse_place(next()?)?,
                err: parse_place(next()?)?,
                pid: next()?.parse().ok()?,
                usage: Usage { cpu_us: next()?.parse().ok()?, max_rss_kb: next()?.parse().ok()? },
                reason: match next()? {
                    "-" => None,
                    reason => Some(String::from_utf8(percent::decode(reason.as_bytes())?).ok()?),
                },
            })),
            "unstarted" => Some(Self::Unstarted {
                batch: BatchId(next()?.parse().ok()?),
                k: next()?.parse().ok()?,
                run: next()?.parse().ok()?,
                jobs: next()?.parse().ok()?,
                cause: Cause::from_numbers(next()?.parse().ok()?, next()?.parse().ok()?)?,
                at: Timestamp(next()?.parse().ok()?),
            }),
            _ => None,
        }
    }
}

fn write_place(line: &mut Vec<u8>, place: StreamPlace) {
    let _ = match place {
        StreamPlace::File(bytes) => write!(line, "f{bytes} "),
        StreamPlace::Pack { offset, len } => write!(line, "p{offset}+{len} "),
    };
}

fn parse_place(field: &str) -> Option<StreamPlace> {
    match field.split_at_checked(1)? {
        ("f", bytes) => Some(StreamPlace::File(bytes.parse().ok()?)),
        ("p", range) => {
            let (offset, len) = range.split_once('+')?;
            Some(StreamPlace::Pack { offset: offset.parse().ok()?, len: len.parse().ok()? })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ended(reason: Option<String>, status: Option<ExitStatus>) -> Event {
        Event::Ended(Ended {
            batch: BatchId(17),
            index: 3,
            k: 1,
            run: 2,
            started: Timestamp(1_700_000_000_000_000),
            ended: Timestamp(1_700_000_000_500_000),
            status,
            cause: Cause::Cancelled,
            reason,
            out: StreamPlace::Pack { offset: 12, len: 3 },
            err: StreamPlace::File(9),
            pid: 4711,
            usage: Usage { cpu_us: 5, max_rss_kb: 6 },
        })
    }

    proptest! {
        #[test]
        fn a_line_reads_back(reason: Option<String>, code in proptest::option::of(0i32..256)) {
            prop_assume!(reason.as_deref() != Some("-"));
            let event = ended(reason, code.map(ExitStatus::Exit));
            let mut line = Vec::new();
            event.write_line(&mut line);
            prop_assert_eq!(line.pop(), Some(b'\n'));
            prop_assert!(!line.contains(&b'\n'));
            prop_assert_eq!(Event::parse_line(&line), Some(event));
        }

        #[test]
        fn a_torn_or_foreign_line_is_none(cut in 0usize..80, flip in 0usize..80) {
            let mut line = Vec::new();
            ended(None, Some(ExitStatus::Signal(9))).write_line(&mut line);
            line.pop();
            prop_assert_eq!(Event::parse_line(&line[..cut.min(line.len() - 1)]), None);
            let flip = flip % line.len();
            line[flip] ^= 0x15;
            prop_assert_eq!(Event::parse_line(&line), None);
        }
    }

    #[test]
    fn jobs_that_never_ran_are_one_line() {
        let event = Event::Unstarted {
            batch: BatchId(1),
            k: 0,
            run: 1,
            jobs: IndexSet::range(0, 1_000_000),
            cause: Cause::DependencyNeverSatisfied,
            at: Timestamp(5),
        };
        let mut line = Vec::new();
        event.write_line(&mut line);
        assert!(line.len() < 80);
        assert_eq!(Event::parse_line(&line[..line.len() - 1]), Some(event));
    }
}
