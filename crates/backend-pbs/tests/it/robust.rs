//! No output, however damaged, makes a reader panic; and no damage costs more than it has to.

use std::ffi::OsString;

use cluster_backend_pbs::{OpenPbs, Torque};
use cluster_core::dialect::Dialect;
use cluster_core::host::Output;
use proptest::prelude::*;

/// A small generator of numbers that is the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end.max(1)
    }
}

fn mutate(text: &mut Vec<u8>, dice: &mut Dice) {
    const BYTES: &[u8] = b"\n\t |={}[]\":,\\<>&/*+-%\x00\xff0";
    for _ in 0..=dice.below(4) {
        let at = dice.below(text.len() + 1);
        match dice.below(4) {
            0 => text.truncate(at),
            1 => text.insert(at, BYTES[dice.below(BYTES.len())]),
            2 if at < text.len() => text[at] = BYTES[dice.below(BYTES.len())],
            _ => drop(text.drain(at..text.len().min(at + dice.below(300)))),
        }
    }
}

#[test]
fn no_mutated_recording_panics_a_reader() {
    let mut dice = Dice(1);
    for (scheduler, dialect) in [("openpbs", &OpenPbs as &dyn Dialect), ("torque", &Torque)] {
        for recording in crate::recordings::all(scheduler) {
            let Some(argv) = recording.argv else { continue };
            let rounds = if recording.output.stdout.len() > 100_000 { 3 } else { 12 };
            for _ in 0..rounds {
                let mut output = recording.output.clone();
                mutate(&mut output.stdout, &mut dice);
                mutate(&mut output.stderr, &mut dice);
                let _ = dialect.read(&argv, &output);
            }
        }
    }
}

fn lines() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "qstat -f",
        "qstat -f -w",
        "qstat -f -F json",
        "qstat -f -F dsv",
        "qstat -f -F dsv -D",
        "qstat -x",
        "qstat -B -f",
        "qstat -Q -f -F json",
        "qstat",
        "pbsnodes -a",
        "pbsnodes -a -x",
        "pbsnodes -a -F json",
        "qsub x",
        "qdel 1",
        "qmgr -c x",
        "",
    ])
}

proptest! {
    #[test]
    fn no_text_panics_a_reader(line in lines(), text in "\\PC{0,200}", bytes in prop::collection::vec(any::<u8>(), 0..100), code in -1..300) {
        let argv: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        let mut stdout = text.into_bytes();
        stdout.extend(bytes);
        let output = Output { status: cluster_core::ExitStatus::Exit(code), stdout, stderr: vec![], truncated: code == 7 };
        let _ = OpenPbs.read(&argv, &output);
        let _ = Torque.read(&argv, &output);
    }

    #[test]
    fn any_list_of_hosts_is_read_or_refused(text in "[a-z0-9/*+,.-]{0,30}") {
        if let Ok(hosts) = OpenPbs.hosts(&text) {
            prop_assert!(hosts.len() <= text.len());
        }
    }

    #[test]
    fn hosts_that_are_written_are_read(hosts in prop::collection::btree_map("[a-z][a-z0-9.-]{0,8}", (0u32..1000, 1u32..1000), 1..9)) {
        let text: Vec<String> = hosts.iter().map(|(host, (slot, cores))| format!("{host}/{slot}*{cores}")).collect();
        let read = OpenPbs.hosts(&text.join("+")).unwrap();
        let want: Vec<_> = hosts.iter().map(|(host, (_, cores))| (host.clone(), Some(*cores))).collect();
        prop_assert_eq!(read.into_iter().map(|host| (host.host, host.cores)).collect::<Vec<_>>(), want);
    }
}
