//! Cancelling, holding and releasing.

use std::ffi::OsString;

use cluster_core::dialect::{Control, ControlTarget};
use cluster_core::host::Invocation;

use crate::environment;

/// Bytes of ids in one command line. The kernel takes 128 KiB in one word and 2 MiB in all.
const MAX_IDS: usize = 100_000;

/// Words joined to texts of at most [`MAX_IDS`] bytes.
pub(crate) fn packed(words: Vec<String>, separator: &str) -> Vec<String> {
    let mut texts: Vec<String> = Vec::new();
    for word in words {
        match texts.last_mut() {
            Some(text) if text.len() + separator.len() + word.len() <= MAX_IDS => {
                text.push_str(separator);
                text.push_str(&word);
            }
            _ => texts.push(word),
        }
    }
    texts
}

/// The command lines for a change. scancel says nothing of ids that it does not know, so that known and
/// unknown ones go together.
pub(crate) fn control(control: Control, targets: &[ControlTarget]) -> Vec<Invocation> {
    let (command, separator): (&[&str], &str) = match control {
        Control::Cancel => (&["scancel"], " "),
        Control::Hold => (&["scontrol", "hold"], " "),
        Control::Release => (&["scontrol", "release"], " "),
    };
    let words = targets.iter().filter_map(target).collect();
    packed(words, separator)
        .into_iter()
        .map(|ids| {
            let argv = command.iter().copied().chain(ids.split(' ')).map(OsString::from);
            environment::plain(Invocation::new(argv))
        })
        .collect()
}

/// `4711`, `4711_3`, `4711_[1,3-5]`; nothing for an empty set of elements.
fn target(target: &ControlTarget) -> Option<String> {
    let Some(positions) = &target.positions else { return Some(target.id.0.clone()) };
    match positions.len() {
        0 => None,
        1 => Some(format!("{}_{positions}", target.id)),
        _ => Some(format!("{}_[{positions}]", target.id)),
    }
}

#[cfg(test)]
mod tests {
    use cluster_core::RemoteId;

    use super::*;

    fn on(id: &str, positions: Option<&str>) -> ControlTarget {
        let positions =
            positions.map(|text| if text.is_empty() { Default::default() } else { text.parse().unwrap() });
        ControlTarget { id: RemoteId(id.to_owned()), positions, seen: true }
    }

    #[test]
    fn elements_are_lists_in_brackets() {
        let targets =
            [on("4711", None), on("4712", Some("1,3-5")), on("4713", Some("7")), on("4714", Some(""))];
        let lines = |what| control(what, &targets).iter().map(Invocation::command_line).collect::<Vec<_>>();
        assert_eq!(lines(Control::Cancel), ["scancel 4711 '4712_[1,3-5]' 4713_7"]);
        assert_eq!(lines(Control::Hold), ["scontrol hold 4711 '4712_[1,3-5]' 4713_7"]);
        assert_eq!(lines(Control::Release), ["scontrol release 4711 '4712_[1,3-5]' 4713_7"]);
        assert!(control(Control::Cancel, &[]).is_empty());
    }

    #[test]
    fn thousands_of_ids_are_few_calls() {
        let targets: Vec<_> = (0..30_000).map(|i| on(&(1_000_000 + i).to_string(), None)).collect();
        let calls = control(Control::Cancel, &targets);
        assert_eq!(calls.len(), 3);
        assert_eq!(calls.iter().map(|call| call.argv.len() - 1).sum::<usize>(), 30_000);
    }
}
