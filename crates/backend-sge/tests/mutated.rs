//! No output, however damaged, makes a reader panic or hang.

mod common;

use std::ffi::OsString;

use cluster_core::dialect::{Dialect, Reading};
use cluster_core::host::Output;
use common::{Attributed, attribute, load, names, sge};
use proptest::prelude::*;

/// The recordings that are read, with their command lines, cut to a size that a test can afford.
fn corpus() -> Vec<(Vec<OsString>, Output)> {
    let recordings = names().into_iter().filter_map(|name| {
        let mut recording = load(&name);
        let Attributed::Argv(argv) = attribute(&recording.cmd) else { return None };
        recording.output.stdout.truncate(6_000);
        Some((argv.into_iter().map(OsString::from).collect(), recording.output))
    });
    recordings.collect()
}

fn read(argv: &[OsString], output: &Output) {
    let sge = sge();
    if let Ok(Reading::Jobs(jobs)) = sge.read(argv, output) {
        for row in &jobs.rows {
            let _ = sge.hosts(&row.hosts);
            assert!(!row.job.is_empty());
        }
    }
}

#[test]
fn cut_anywhere() {
    for (argv, output) in corpus() {
        for end in (0..output.stdout.len()).step_by(41) {
            let mut part = output.clone();
            part.stdout.truncate(end);
            read(&argv, &part);
        }
    }
}

#[test]
fn mutated_anywhere() {
    let corpus = corpus();
    let mutations = proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>(), 0_u8..4), 1..8);
    let mut runner = proptest::test_runner::TestRunner::default();
    runner
        .run(
            &(any::<proptest::sample::Index>(), any::<proptest::sample::Index>(), mutations),
            |(which, asked, mutations)| {
                let (_, output) = which.get(&corpus);
                // Whoever wrote it: a reader may meet the output of another command.
                let (argv, _) = asked.get(&corpus);
                let mut output = output.clone();
                for (at, byte, how) in mutations {
                    if output.stdout.is_empty() {
                        break;
                    }
                    let at = at.index(output.stdout.len());
                    match how {
                        0 => output.stdout[at] = byte,
                        1 => drop(output.stdout.remove(at)),
                        2 => output.stdout.insert(at, byte),
                        _ => {
                            let part = output.stdout[at..]
                                .iter()
                                .copied()
                                .take(usize::from(byte))
                                .collect::<Vec<_>>();
                            output.stdout.extend(part);
                        }
                    }
                }
                read(argv, &output);
                read(&which.get(&corpus).0, &output);
                Ok(())
            },
        )
        .unwrap();
}
