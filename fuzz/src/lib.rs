//! The ways in for bytes of any kind. The fuzz targets call them with what libFuzzer thinks of, the tests
//! of the crates with the corpus that is made of their recordings (they take these files in by their path).
#![forbid(unsafe_code)]

pub mod case;
pub mod pbs;
pub mod sge;
pub mod slurm;
pub mod units;
