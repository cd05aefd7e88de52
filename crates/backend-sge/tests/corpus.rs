//! The corpus of the fuzz target: every recording, read as every command line of its program.

#[allow(unreachable_pub)] // it is a part of the crate of the fuzz targets
#[path = "../../../fuzz/src/case.rs"]
mod case;
mod common;
#[allow(unreachable_pub)] // it is a part of the crate of the fuzz targets
#[path = "../../../fuzz/src/sge.rs"]
mod entry;

use std::ffi::OsString;

use common::{Attributed, attribute, load, names};

#[test]
fn the_corpus_keeps_the_promises_of_a_reader() {
    let recordings: Vec<_> = names()
        .into_iter()
        .filter_map(|name| {
            let recording = load(&name);
            let Attributed::Argv(argv) = attribute(&recording.cmd) else { return None };
            Some((argv.into_iter().map(OsString::from).collect::<Vec<_>>(), recording.output))
        })
        .collect();
    let seeds = case::seeds(entry::lines(), recordings.iter().map(|(argv, output)| (&argv[..], output)));
    assert!(seeds.len() > 500, "{}", seeds.len());
    seeds.iter().for_each(|seed| entry::check(seed));
    case::write(&seeds);
}

#[test]
fn large_answers_that_mean_harm_cost_little() {
    case::check_large(entry::lines());
}
