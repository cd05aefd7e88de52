//! The corpus of the fuzz target: every recording, read as every command line of its program.

#![allow(clippy::unwrap_used)]

#[allow(unreachable_pub)] // it is a part of the crate of the fuzz targets
#[path = "../../../fuzz/src/case.rs"]
mod case;
#[allow(unreachable_pub)] // it is a part of the crate of the fuzz targets
#[path = "../../../fuzz/src/slurm.rs"]
mod entry;
mod support;

use cluster_backend_slurm::Slurm;
use cluster_core::ExitStatus;
use cluster_core::dialect::{Dialect, Reading};
use cluster_core::host::Output;

#[test]
fn the_corpus_keeps_the_promises_of_a_reader() {
    let recordings: Vec<_> = support::recordings()
        .into_iter()
        .filter_map(|recording| Some((recording.argv().ok()?, recording.output)))
        .collect();
    let seeds = case::seeds(entry::lines(), recordings.iter().map(|(argv, output)| (&argv[..], output)));
    assert!(seeds.len() > 1_000, "{}", seeds.len());
    seeds.iter().for_each(|seed| entry::check(seed));
    case::write(&seeds);
}

#[test]
fn large_answers_that_mean_harm_cost_little() {
    case::check_large(entry::lines());
}

#[test]
fn elements_of_all_rows_together_are_bounded() {
    // 100,000 ranges each: the hundred and first is one too many.
    let stdout = "1_[0-199998:2]|PENDING\n".repeat(103).into_bytes();
    let output = Output { status: ExitStatus::Exit(0), stdout, stderr: Vec::new(), truncated: false };
    match Slurm.read(&case::words("squeue -h -o %i|%T"), &output) {
        Ok(Reading::Jobs(jobs)) => assert_eq!((jobs.rows.len(), jobs.errors.len()), (100, 3)),
        other => panic!("{other:?}"),
    }
}
