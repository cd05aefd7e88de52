//! The names of things: batches, jobs, runs, tags and the scheduler's own ids.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::ParseError;

/// What one submitting command made: counted up per root, never used again, starts at 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BatchId(pub u64);

impl fmt::Display for BatchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The place of a job in its batch, from 0.
pub type JobIndex = u32;

/// The number of a submission in its batch (`k`), from 0: it numbers `job.<k>.sh` and the output files.
pub type SubmissionNumber = u32;

/// The number of a run of one job over all its submissions, from 1.
pub type RunNumber = u32;

/// One command, script or function call in a batch, written `17.3`.
///
/// ```
/// use cluster_core::JobId;
/// let id: JobId = "17.3".parse().unwrap();
/// assert_eq!((id.batch.0, id.index), (17, 3));
/// assert_eq!(id.to_string(), "17.3");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId {
    /// The batch it belongs to.
    pub batch: BatchId,
    /// Its place there.
    pub index: JobIndex,
}

impl JobId {
    /// The job at `index` of batch number `batch`.
    pub const fn new(batch: u64, index: JobIndex) -> Self {
        Self { batch: BatchId(batch), index }
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.batch, self.index)
    }
}

impl FromStr for JobId {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let wrong = || ParseError::new("job id", text, "BATCH.INDEX, for instance 17.3");
        let (batch, index) = text.split_once('.').ok_or_else(wrong)?;
        Ok(Self {
            batch: BatchId(digits(batch).ok_or_else(wrong)?),
            index: digits(index).and_then(|i| i.try_into().ok()).ok_or_else(wrong)?,
        })
    }
}

impl Serialize for JobId {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for JobId {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A number written in digits alone: no sign, no blanks, no overflow.
pub(crate) fn digits(text: &str) -> Option<u64> {
    (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

/// The scheduler's own id, as it prints it: `4711`, `4711_3`, `12[3].srv`, `88.3`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RemoteId(pub String);

impl fmt::Display for RemoteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `c` and 10 base32 characters, drawn at random per submission, by which it is found again.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Tag(String);

/// RFC 4648's letters in lower case: a tag has to survive schedulers that fold case.
const BASE32: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

impl Tag {
    /// The tag that stands for 50 random bits (the upper 14 are not used).
    ///
    /// ```
    /// # use cluster_core::Tag;
    /// assert_eq!(Tag::from_bits(0).as_str(), "caaaaaaaaaa");
    /// ```
    pub fn from_bits(bits: u64) -> Self {
        let letter = |i: u32| char::from(BASE32[(bits >> (5 * i) & 31) as usize]);
        Self(std::iter::once('c').chain((0..10).map(letter)).collect())
    }

    /// The tag as it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Tag {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let letters = text.strip_prefix('c').unwrap_or_default();
        if letters.len() == 10 && letters.bytes().all(|b| BASE32.contains(&b)) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ParseError::new("tag", text, "c and 10 of a-z, 2-7"))
        }
    }
}

impl<'de> Deserialize<'de> for Tag {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_take_digits_alone() {
        for wrong in ["", "17", "17.", ".3", "+1.2", "1.-2", "1 .2", "1.2.3", "1.99999999999"] {
            assert!(wrong.parse::<JobId>().is_err(), "{wrong:?}");
        }
        assert_eq!("17.3".parse::<JobId>().unwrap(), JobId::new(17, 3));
    }

    #[test]
    fn tags_read_back_what_they_print() {
        let tag = Tag::from_bits(0x3_ffff_1234_5678);
        assert_eq!(tag.to_string().parse::<Tag>().unwrap(), tag);
        assert!("c0000000000".parse::<Tag>().is_err());
        assert!("xaaaaaaaaaa".parse::<Tag>().is_err());
    }
}
