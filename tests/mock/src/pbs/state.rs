//! What OpenPBS says of a job's state, and of its end.

use crate::engine::{Exit, HELD_OPERATOR, HELD_SYSTEM, HELD_USER, Job, Phase, Table, Wait, Why};

use super::options::Family;

/// The status a job ended with; none when it never ran.
pub(crate) fn exit_status(job: &Job) -> Option<i64> {
    job.attrs.get("exit").and_then(|text| text.parse().ok())
}

/// The status of an array: that of the subjob that ended last, as 0, 1 (above 0) or 2 (below 0).
pub(crate) fn array_exit<'a>(elements: impl Iterator<Item = &'a Job>) -> Option<i64> {
    let last = elements.filter(|job| exit_status(job).is_some()).max_by_key(|job| (job.end, job.key))?;
    exit_status(last).map(|status| match status {
        0 => 0,
        1.. => 1,
        _ => 2,
    })
}

/// The status that the server writes down for a process that ended.
pub(crate) fn status_of_end(job: &Job, exit: &Exit, family: Family) -> i64 {
    let direct = job.attr("program").is_some();
    let own = match (exit.signal(), direct) {
        (0, _) => i64::from(exit.code()),
        (signal, true) => 256 + i64::from(signal),
        (signal, false) => 128 + i64::from(signal),
    };
    match (job.kill.as_ref().map(|kill| &kill.why), family) {
        (Some(Why::Timeout), Family::OpenPbs) => -29,
        (Some(Why::Memory), Family::OpenPbs) => -27,
        // The signal reaches a shell above the script too: what the script itself makes of it is lost, unless
        // it dies first.
        (Some(Why::Cancel(_)), Family::OpenPbs) if own == 143 => 143,
        (Some(Why::Cancel(_) | Why::Timeout | Why::Memory), _) => 271,
        (Some(Why::NodeFail), _) => -4,
        _ => own,
    }
}

/// A subjob's or job's state letter.
pub(crate) fn letter(table: &Table, job: &Job) -> char {
    match job.phase {
        Phase::Pending if job.held & (HELD_USER | HELD_OPERATOR | HELD_SYSTEM) != 0 => held_letter(job),
        Phase::Pending if job.key.index.is_some() => 'Q',
        Phase::Pending => waiting_letter(table, job),
        Phase::Running | Phase::Completing => 'R',
        Phase::Suspended => 'S',
        Phase::Ended => {
            let open = job.key.index.is_some()
                && table.elements(job.key.id).any(|other| other.phase != Phase::Ended);
            if open { 'X' } else { 'F' }
        }
    }
}

/// A held subjob shows `Q`, its parent `H`.
fn held_letter(job: &Job) -> char {
    if job.key.index.is_some() { 'Q' } else { 'H' }
}

fn waiting_letter(table: &Table, job: &Job) -> char {
    if super::depend::waits(table, job, Family::OpenPbs) == Wait::Wait {
        'H'
    } else if job.begin.is_some_and(|begin| begin > crate::engine::now()) {
        'W'
    } else {
        'Q'
    }
}

/// The state letter of an array's parent.
pub(crate) fn parent_letter(table: &Table, id: u64) -> char {
    let mut first = None;
    let (mut open, mut begun) = (false, false);
    for job in table.elements(id) {
        open |= job.phase != Phase::Ended;
        begun |= job.start.is_some() || job.phase != Phase::Pending;
        if job.phase == Phase::Pending {
            first = first.or(Some(job));
        }
    }
    match (open, begun, first) {
        (false, ..) => 'F',
        (true, true, _) => 'B',
        (true, false, Some(job)) if job.held != 0 => 'H',
        (true, false, Some(job)) => waiting_letter(table, job),
        (true, false, None) => 'Q',
    }
}

/// `Hold_Types`: `n`, or letters of who holds.
pub(crate) fn holds(table: &Table, job: &Job) -> String {
    let mut out = String::new();
    for (bit, letter) in [(HELD_USER, 'u'), (HELD_OPERATOR, 'o'), (HELD_SYSTEM, 's')] {
        if job.held & bit != 0 {
            out.push(letter);
        }
    }
    let dependent = match job.phase {
        Phase::Pending => super::depend::waits(table, job, Family::OpenPbs) == Wait::Wait,
        Phase::Ended => job.kill.as_ref().is_some_and(|kill| kill.why == Why::Dependency),
        _ => false,
    };
    if dependent && !out.contains('s') {
        out.push('s');
    }
    if out.is_empty() { "n".to_owned() } else { out }
}

/// The number that goes with the letter.
pub(crate) fn substate(job: &Job, letter: char) -> u32 {
    match letter {
        'Q' => 10,
        'H' if job.held == 0 => 22,
        'H' => 20,
        'W' => 30,
        'R' if job.process.is_none() => 41,
        'R' => 42,
        'S' => 43,
        'B' => 70,
        _ => match job.kill.as_ref().map(|kill| &kill.why) {
            Some(Why::Cancel(_)) => 91,
            Some(Why::Dependency) => 92,
            _ if exit_status(job) == Some(0) => 92,
            _ => 93,
        },
    }
}
