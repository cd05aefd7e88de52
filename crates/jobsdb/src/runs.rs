//! Which run each job of a chunk had when it was sent, as one short text.

use std::fmt;
use std::str::FromStr;

use cluster_core::{IndexSet, JobIndex, ParseError, RunNumber};

/// The runs of the jobs of a chunk: `1` where all are alike, else ranges of indices with their run,
/// `0-4:1,7:2`.
///
/// ```
/// use cluster_jobsdb::Runs;
/// let runs: Runs = "0-4:1,7:2".parse()?;
/// assert_eq!((runs.of(4), runs.of(7), runs.of(5)), (Some(1), Some(2), None));
/// assert_eq!(Runs::all(3).of(1_000), Some(3));
/// # Ok::<(), cluster_core::ParseError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Runs {
    /// In order, ends not included; all indices where they are alike.
    ranges: Vec<(JobIndex, JobIndex, RunNumber)>,
}

const EVERYTHING: (JobIndex, JobIndex) = (0, JobIndex::MAX);

impl Runs {
    /// All jobs are in this run.
    pub fn all(run: RunNumber) -> Self {
        Self { ranges: vec![(EVERYTHING.0, EVERYTHING.1, run)] }
    }

    /// Of `jobs` those runs that `known` names; ranges in order, ends not included.
    pub(crate) fn of_jobs(jobs: &IndexSet, known: &[(JobIndex, JobIndex, RunNumber)]) -> Self {
        let mut ranges: Vec<(JobIndex, JobIndex, RunNumber)> = Vec::new();
        let mut first = 0;
        for &(start, end) in jobs.ranges() {
            first += known[first..].partition_point(|&(_, known_end, _)| known_end <= start);
            for &(from, until, run) in known[first..].iter().take_while(|(from, ..)| *from < end) {
                ranges.push((from.max(start), until.min(end), run));
            }
        }
        match ranges.first() {
            Some(&(.., run)) if ranges.iter().all(|(.., other)| *other == run) => Self::all(run),
            _ => Self { ranges },
        }
    }

    /// The run of the job at `index`.
    pub fn of(&self, index: JobIndex) -> Option<RunNumber> {
        let place = self.ranges.partition_point(|&(_, end, _)| end <= index);
        self.ranges.get(place).filter(|(start, ..)| *start <= index).map(|(.., run)| *run)
    }

    /// Whether each of these jobs has a run.
    pub(crate) fn cover(&self, jobs: &IndexSet) -> bool {
        let known: IndexSet = self.ranges.iter().map(|&(start, end, _)| (start, end)).collect();
        jobs.difference(&known).is_empty()
    }
}

impl fmt::Display for Runs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, &(start, end, run)) in self.ranges.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            match end - start {
                _ if (start, end) == EVERYTHING => write!(f, "{comma}{run}")?,
                1 => write!(f, "{comma}{start}:{run}")?,
                _ => write!(f, "{comma}{start}-{}:{run}", end - 1)?,
            }
        }
        Ok(())
    }
}

impl FromStr for Runs {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let wrong = || ParseError::new("list of runs", text, "a number, or ranges in order like 0-4:1,7:2");
        let number = |part: &str| part.parse::<u32>().ok().filter(|&n| n < u32::MAX);
        if let Some(run) = number(text) {
            return Ok(Self::all(run));
        }
        let mut ranges: Vec<(JobIndex, JobIndex, RunNumber)> = Vec::new();
        for part in text.split(',') {
            let (span, run) = part.split_once(':').ok_or_else(wrong)?;
            let (start, last) = span.split_once('-').unwrap_or((span, span));
            let (Some(start), Some(last), Some(run)) = (number(start), number(last), number(run)) else {
                return Err(wrong());
            };
            if last < start || ranges.last().is_some_and(|&(_, end, _)| start < end) {
                return Err(wrong());
            }
            ranges.push((start, last + 1, run));
        }
        Ok(Self { ranges })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_reads_back() {
        for text in ["1", "0-4:1,7:2", "3:9", "0:1,1:2,2-4294967293:1"] {
            assert_eq!(text.parse::<Runs>().unwrap().to_string(), text);
        }
        for bad in ["", "x", "1:", ":1", "4-2:1", "5:1,4:1", "0-4294967295:1", "1-2", "1:1,", "-1:2"] {
            assert!(bad.parse::<Runs>().is_err(), "{bad}");
        }
    }

    #[test]
    fn runs_are_cut_to_the_jobs() {
        let known = [(0, 3, 1), (3, 5, 2), (7, 9, 1)];
        let of = |jobs: &str| Runs::of_jobs(&jobs.parse().unwrap(), &known);
        assert_eq!(of("1-4,8").to_string(), "1-2:1,3-4:2,8:1");
        assert_eq!(of("0,2,7-8").to_string(), "1");
        assert_eq!(of("4").to_string(), "2");
        assert!(of("1-4,8").cover(&"1-3,8".parse().unwrap()));
        assert!(!of("1-4,8").cover(&"1-5".parse().unwrap()));
    }
}
