//! `qdel`, `qhold`, `qrls` (and `qmod`, `qalter`): command lines for many jobs, and the replies, which come
//! on stdout, one line a job.

use cluster_core::dialect::{Control, ControlTarget, DialectError, Reading};
use cluster_core::host::{Invocation, Output};

use crate::call::{self, Call};
use crate::{lexeme, refusal};

/// Bytes of ids in one command line. A kernel takes far more; a message to the qmaster should stay small.
const MAX_BYTES: usize = 100_000;

/// The command lines. A job is `88`, tasks of it `88.5-7`; what is no number is left out, as a name or a
/// pattern would reach other jobs.
pub(crate) fn invocations(control: Control, targets: &[ControlTarget]) -> Vec<Invocation> {
    let program = match control {
        Control::Cancel => "qdel",
        Control::Hold => "qhold",
        Control::Release => "qrls",
    };
    let mut calls: Vec<Vec<String>> = Vec::new();
    let mut bytes = MAX_BYTES;
    for word in targets.iter().filter(|target| lexeme::is_id(&target.id.0)).flat_map(words) {
        if bytes + word.len() >= MAX_BYTES {
            calls.push(vec![program.to_owned()]);
            bytes = 0;
        }
        bytes += word.len() + 1;
        if let Some(call) = calls.last_mut() {
            call.push(word);
        }
    }
    calls.into_iter().map(call::invocation).collect()
}

fn words(target: &ControlTarget) -> Vec<String> {
    let id = &target.id.0;
    let Some(positions) = &target.positions else {
        return vec![id.clone()];
    };
    // The ends are not included, and the first task is 1: `start..end` is the tasks `start+1` to `end`.
    let ranges = positions.ranges().iter();
    ranges
        .map(|&(start, end)| match end - start {
            1 => format!("{id}.{end}"),
            _ => format!("{id}.{}-{end}", start + 1),
        })
        .collect()
}

/// Replies that are no refusal, whatever the exit code: `qmod -cj` ends with 1 when it did its work.
const DONE: &[&str] = &[
    "has deleted job",
    "has registered the job",
    "forced the deletion of job",
    "is already in deletion",
    "modified hold of job",
    "modified ",
    "cleared error state of job",
    "has suspended job",
    "has unsuspended job",
    "unsuspended job",
    "suspended job",
    "pushed rescheduling of job",
];

pub(crate) fn read<'o>(call: &Call<'_>, output: &'o Output) -> Result<Reading<'o>, DialectError> {
    let text = String::from_utf8_lossy(&output.stdout);
    let mut lines = text.lines().filter(|line| !line.trim().is_empty()).peekable();
    let none = lines.peek().is_none();
    let all_done = lines.all(|line| DONE.iter().any(|words| line.contains(words)));
    if output.status.is_success() || (all_done && !none && output.stderr.is_empty()) {
        return Ok(Reading::Done);
    }
    Err(refusal::refused(call, output))
}

#[cfg(test)]
mod tests {
    use cluster_core::RemoteId;
    use cluster_core::indices::IndexSet;

    use super::*;

    fn target(id: &str, positions: Option<&str>) -> ControlTarget {
        let positions = positions.map(|text| text.parse::<IndexSet>().unwrap());
        ControlTarget { id: RemoteId(id.to_owned()), positions, seen: true }
    }

    fn lines(control: Control, targets: &[ControlTarget]) -> Vec<String> {
        invocations(control, targets).iter().map(Invocation::command_line).collect()
    }

    #[test]
    fn positions_are_tasks_from_one_on() {
        let targets = [target("88", None), target("83", Some("0,2-4,9")), target("7.3", None)];
        assert_eq!(lines(Control::Cancel, &targets), ["qdel 88 83.1 83.3-5 83.10 7.3"]);
        assert_eq!(lines(Control::Hold, &targets[..1]), ["qhold 88"]);
        assert_eq!(lines(Control::Release, &targets[1..2]), ["qrls 83.1 83.3-5 83.10"]);
    }

    #[test]
    fn what_is_no_number_never_reaches_qdel() {
        for odd in ["*", "name", "", "-u", "12[3].srv", "1.2.3", "1-5"] {
            assert!(lines(Control::Cancel, &[target(odd, None)]).is_empty(), "{odd}");
        }
    }

    #[test]
    fn many_ids_go_in_few_calls() {
        let many: Vec<_> = (1_000_000..1_050_000).map(|id| target(&id.to_string(), None)).collect();
        let calls = invocations(Control::Cancel, &many);
        assert_eq!(calls.len(), 4);
        assert_eq!(calls.iter().map(|call| call.argv.len() - 1).sum::<usize>(), 50_000);
        for call in calls {
            assert!(call.argv.iter().map(|word| word.len() + 1).sum::<usize>() <= MAX_BYTES + 8);
        }
    }
}
