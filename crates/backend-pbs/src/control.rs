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
            Flavour::Torque => match torque_positions(target) {
                None => together.push(target.id.0.clone().into()),
                Some(spans) => calls.extend(
                    spans
                        .into_iter()
                        .map(|span| vec![program.into(), "-t".into(), span, target.id.0.clone().into()]),
                ),
            },
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

/// `1-3,7` for `-t`, cut where it would become too long for one word. Ranges rise by their nature.
fn torque_positions(target: &ControlTarget) -> Option<Vec<OsString>> {
    const SPANS: usize = 400;
    let positions = target.positions.as_ref()?;
    let span = |&(start, end): &(u32, u32)| match end - start {
        1 => start.to_string(),
        _ => format!("{start}-{}", end - 1),
    };
    let words = positions.ranges().chunks(SPANS);
    Some(words.map(|ranges| ranges.iter().map(span).collect::<Vec<_>>().join(",").into()).collect())
}
