//! The status file of a run: what `job.sh` itself recorded, one LF-ended line an event.
//!
//! ```text
//! v1 start <k> <epoch> <host> <pid> <remote id>
//! v1 end <k> <epoch> <code> <out bytes> <err bytes> <signal that job.sh received, or ->
//! v1 gate <k> <batch.job> <why>
//! ```
//!
//! Lines are only ever appended by one writer. Their order is the order of the file, never of their times.
//! A last line without LF is no evidence (its writer may have been cut off), unknown words are kept.

use crate::ids::{JobId, SubmissionNumber};
use crate::percent;
use crate::time::Timestamp;

/// One line of a status file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StatusLine {
    /// The job's script began.
    Start {
        /// Its submission.
        k: SubmissionNumber,
        /// When, in whole seconds.
        at: Timestamp,
        /// The host's name.
        host: String,
        /// The script's process.
        pid: u32,
        /// The scheduler's id of it, `-` where there is none.
        remote: String,
    },
    /// The command ended and its code was seen.
    End {
        /// Its submission.
        k: SubmissionNumber,
        /// When, in whole seconds.
        at: Timestamp,
        /// The command's code as `sh` gives it, 0–255.
        code: i32,
        /// Size of the stdout file at the end.
        out_bytes: u64,
        /// Size of the stderr file at the end.
        err_bytes: u64,
        /// The signal that job.sh received meanwhile, by its name without `SIG`.
        received: Option<String>,
    },
    /// The gate let the job through or stopped it because of another job.
    Gate {
        /// Its submission.
        k: SubmissionNumber,
        /// The job depended on.
        on: JobId,
        /// Why: `contradicted`, `unknown` …
        why: String,
    },
    /// A line of a later version, or rubbish: kept as it is.
    Other(Vec<u8>),
}

/// The lines of a status file, without a last one that has no LF.
///
/// ```
/// use cluster_core::status_file::{parse, StatusLine};
/// let lines: Vec<_> = parse(b"v1 end 0 1700000000 3 12 0 -\nv1 end 0 17000").collect();
/// assert!(matches!(lines[..], [StatusLine::End { code: 3, .. }]));
/// ```
pub fn parse(text: &[u8]) -> impl Iterator<Item = StatusLine> + '_ {
    let complete = text.iter().rposition(|&b| b == b'\n').map_or(0, |last| last + 1);
    text[..complete].split_inclusive(|&b| b == b'\n').map(|line| {
        let line = &line[..line.len() - 1];
        parse_line(line).unwrap_or_else(|| StatusLine::Other(line.to_vec()))
    })
}

fn parse_line(line: &[u8]) -> Option<StatusLine> {
    let mut fields = std::str::from_utf8(line).ok()?.split(' ');
    if fields.next()? != "v1" {
        return None;
    }
    let word = fields.next()?;
    let mut text = || fields.next().filter(|field| !field.is_empty());
    let decoded = |field: &str| {
        percent::decode(field.as_bytes()).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    };
    let parsed = match word {
        "start" => StatusLine::Start {
            k: text()?.parse().ok()?,
            at: Timestamp::from_secs(text()?.parse().ok()?),
            host: decoded(text()?)?,
            pid: text()?.parse().ok()?,
            remote: decoded(text()?)?,
        },
        "end" => StatusLine::End {
            k: text()?.parse().ok()?,
            at: Timestamp::from_secs(text()?.parse().ok()?),
            code: text()?.parse().ok()?,
            out_bytes: text()?.parse().ok()?,
            err_bytes: text()?.parse().ok()?,
            received: Some(text()?).filter(|&signal| signal != "-").and_then(decoded),
        },
        "gate" => {
            StatusLine::Gate { k: text()?.parse().ok()?, on: text()?.parse().ok()?, why: decoded(text()?)? }
        }
        _ => return None,
    };
    fields.next().is_none().then_some(parsed)
}

/// The last complete end line of a status file: what its run came to.
pub fn end(text: &[u8]) -> Option<StatusLine> {
    parse(text).filter(|line| matches!(line, StatusLine::End { .. })).last()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_each_word() {
        let text = b"v1 start 2 1700000000 node%201 4711 -\nv1 gate 2 17.3 contradicted\nv1 new thing\n\
            v1 end 2 1700000009 143 10 20 TERM\n";
        let lines: Vec<_> = parse(text).collect();
        assert_eq!(
            lines,
            [
                StatusLine::Start {
                    k: 2,
                    at: Timestamp::from_secs(1_700_000_000),
                    host: "node 1".into(),
                    pid: 4711,
                    remote: "-".into()
                },
                StatusLine::Gate { k: 2, on: JobId::new(17, 3), why: "contradicted".into() },
                StatusLine::Other(b"v1 new thing".to_vec()),
                StatusLine::End {
                    k: 2,
                    at: Timestamp::from_secs(1_700_000_009),
                    code: 143,
                    out_bytes: 10,
                    err_bytes: 20,
                    received: Some("TERM".into())
                },
            ]
        );
    }

    #[test]
    fn a_line_without_lf_is_no_evidence() {
        let whole = b"v1 end 0 1 0 0 0 -\n";
        assert!(end(whole).is_some());
        assert!(end(&whole[..whole.len() - 1]).is_none());
    }

    proptest! {
        #[test]
        fn any_bytes_are_lines(text: Vec<u8>) {
            let count = parse(&text).count();
            prop_assert_eq!(count, text.iter().filter(|&&b| b == b'\n').count());
        }
    }
}
