//! The corpus of the fuzz target: every recording, read as every command line of its program.

use crate::{case, entry, recordings};

#[test]
fn the_corpus_keeps_the_promises_of_a_reader() {
    let recordings: Vec<_> = ["openpbs", "torque"]
        .into_iter()
        .flat_map(recordings::all)
        .filter_map(|recording| Some((recording.argv?, recording.output)))
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
