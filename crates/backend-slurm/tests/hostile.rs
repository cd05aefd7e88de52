//! Recordings with damage: whatever is printed, nothing panics, and answers stay bounded.

#![allow(clippy::unwrap_used)]

mod support;

use std::ffi::OsString;
use std::sync::LazyLock;

use cluster_backend_slurm::Slurm;
use cluster_core::dialect::{Dialect, Reading, Whose};
use cluster_core::host::Output;
use cluster_core::state::ExitStatus;
use proptest::prelude::*;
use support::recordings;

type Case = (Vec<OsString>, Output);

/// All that can be read, large ones cut to a size that is quickly read.
static CASES: LazyLock<Vec<Case>> = LazyLock::new(|| {
    recordings()
        .into_iter()
        .filter_map(|mut recording| {
            let argv = recording.argv().ok()?;
            recording.output.stdout.truncate(20_000);
            (!recording.output.stdout.is_empty()).then_some((argv, recording.output))
        })
        .collect()
});

/// Readers of every kind.
fn lines() -> Vec<Vec<OsString>> {
    let words = |line: &str| line.split(' ').map(OsString::from).collect();
    let mut all: Vec<Vec<OsString>> = [
        "sbatch --parsable x",
        "squeue -h -o %i|%j|%T|%k|%r",
        "squeue -O JobID:20,Name:400,Comment:80",
        "squeue -o %all",
        "squeue --json",
        "sacct -P --format=JobID,JobName,State,ExitCode,Comment,MaxRSS,TotalCPU",
        "sacct --json",
        "sinfo -h -o %P|%a|%l|%D|%C|%m|%E",
        "sinfo --json",
        "scontrol show job",
        "scontrol show node",
        "scontrol show partition",
        "scontrol show config",
        "scontrol ping",
        "scancel 1",
    ]
    .map(words)
    .into();
    all.push(Slurm::new().query(Whose::All).argv);
    all
}

fn read(argv: &[OsString], stdout: Vec<u8>) {
    let output = Output { status: ExitStatus::Exit(0), stdout, stderr: Vec::new(), truncated: false };
    if let Ok(Reading::Jobs(jobs)) = Slurm::new().read(argv, &output) {
        for row in &jobs.rows {
            assert!(!row.id.is_empty(), "{row:?}");
            let _ = Slurm::new().hosts(&row.hosts);
        }
        assert!(jobs.errors.len() <= 1_000);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn damaged_recordings_never_panic(
        at in any::<prop::sample::Index>(),
        cut in any::<prop::sample::Index>(),
        flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12),
        other in proptest::option::of(any::<prop::sample::Index>()),
    ) {
        let (argv, output) = at.get(&CASES);
        let mut text = output.stdout.clone();
        text.truncate(cut.index(text.len() + 1));
        for (place, byte) in flips {
            if !text.is_empty() {
                let place = place.index(text.len());
                text[place] = byte;
            }
        }
        let lines = lines();
        let argv = other.map_or(argv, |other| other.get::<Vec<OsString>>(&lines));
        read(argv, text);
    }

    #[test]
    fn any_bytes_never_panic(line in any::<prop::sample::Index>(), text in proptest::collection::vec(any::<u8>(), 0..400)) {
        read(line.get::<Vec<OsString>>(&lines()), text);
    }

    #[test]
    fn delimiters_alone_never_panic(line in any::<prop::sample::Index>(), text in "[|\n 0-9_\\[\\]:,=A-Z{}\"]{0,400}") {
        read(line.get::<Vec<OsString>>(&lines()), text.into_bytes());
    }

    #[test]
    fn any_stderr_and_code_never_panic(code in any::<i32>(), stderr in "\\PC{0,200}", line in any::<prop::sample::Index>()) {
        let output = Output { status: ExitStatus::Exit(code), stdout: Vec::new(), stderr: stderr.into_bytes(), truncated: false };
        let _ = Slurm::new().read(line.get::<Vec<OsString>>(&lines()), &output);
    }
}

/// Texts that make a careless reader slow or large.
#[test]
fn hostile_answers_are_read_in_bounded_time() {
    let delimiters = "|".repeat(200_000);
    let bad_rows = "x|y|z\n".repeat(100_000);
    let open = "1|".repeat(100_000) + "\n";
    let huge_array = "1_[0-4000000000:2]|RUNNING|||\n".repeat(1_000);
    let huge_hosts = "1|a\n2|b|c\n".repeat(50_000);
    let names = "JobId=1 JobName=".to_owned() + &"UserId=x ".repeat(50_000);
    let begin = std::time::Instant::now();
    for text in [delimiters, bad_rows, open, huge_array, huge_hosts, names] {
        for argv in lines() {
            read(&argv, text.clone().into_bytes());
        }
    }
    assert!(begin.elapsed().as_secs() < 60, "{:?}", begin.elapsed());
}
