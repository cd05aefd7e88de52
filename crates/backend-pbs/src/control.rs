//! `qdel`, `qhold`, `qrls`: command lines for many jobs.

use std::ffi::OsString;

use cluster_core::dialect::{Control, ControlTarget};
use cluster_core::host::Invocation;

use crate::command;
use crate::flavour::Flavour;
use crate::lexeme::Id;

/// Ids of one call: 1,000 of them in one `qdel` took 1.8 s.
const IDS: usize = 500;

/// Command lines for these targets, in their order.
pub(crate) fn invocations(flavour: Flavour, control: Control, targets: &[ControlTarget]) -> Vec<Invocation> {
    let program = match control {
        Control::Cancel => "qdel",
        Control::Hold => "qhold",
        Control::Release => "qrls",
    };
    let mut calls: Vec<Vec<OsString>> = Vec::new();
    // Those that can go together; an unseen id beside known ones killed OpenPBS's server.
    let mut together: Vec<OsString> = Vec::new();
    for target in targets {
        match flavour {
            Flavour::OpenPbs => {
                let ids = open_pbs_ids(target);
                if target.seen {
                    together.extend(ids);
                } else {
                    calls.extend(ids.into_iter().map(|id| vec![program.into(), id]));
                }
            }
            Flavour::Torque => {
                let (ids, spans) = torque_ids(target);
                together.extend(ids);
                let call = |span| vec![program.into(), "-t".into(), span, target.id.0.clone().into()];
                calls.extend(spans.into_iter().map(call));
            }
        }
    }
    for ids in together.chunks(IDS) {
        calls.push(std::iter::once(program.into()).chain(ids.iter().cloned()).collect());
    }
    calls.into_iter().map(command::question).collect()
}

/// `12[].srv`, or for some elements `12[1-3].srv` and `12[7].srv`: OpenPBS takes one range in the brackets.
fn open_pbs_ids(target: &ControlTarget) -> Vec<OsString> {
    match (&target.positions, Id::read(&target.id.0)) {
        (Some(positions), Some(id)) => positions
            .ranges()
            .iter()
            .map(|&(start, end)| match end - start {
                1 => id.with_index(&start.to_string()).into(),
                _ => id.with_index(&format!("{start}-{}", end - 1)).into(),
            })
            .collect(),
        _ => vec![target.id.0.clone().into()],
    }
}

/// `12[].srv`, or for some elements `12[1].srv` and so on: elements are jobs to Torque. Many in a row are a
/// range for `-t`, which goes to the array, one range a call: its commands keep 1,023 bytes of that word and
/// drop the rest. Ranges rise by their nature.
fn torque_ids(target: &ControlTarget) -> (Vec<OsString>, Vec<OsString>) {
    const MANY: u32 = 100;
    let (Some(positions), Some(id)) = (&target.positions, Id::read(&target.id.0)) else {
        return (vec![target.id.0.clone().into()], Vec::new());
    };
    let (mut ids, mut spans) = (Vec::new(), Vec::new());
    for &(start, end) in positions.ranges() {
        if end - start >= MANY {
            spans.push(format!("{start}-{}", end - 1).into());
        } else {
            ids.extend((start..end).map(|position| OsString::from(id.with_index(&position.to_string()))));
        }
    }
    (ids, spans)
}
