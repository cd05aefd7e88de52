//! Dependencies, as they are meant. Front-ends that know better have their own.

use super::{Clause, DependKind, Job, Key, Phase, Table, Wait, now};

/// What the dependencies of a job say when each is looked at in turn: a job that is not known counts as met.
pub fn standard(table: &Table, job: &Job) -> Wait {
    let mut waits = false;
    let mut any_never = false;
    let mut any_met = job.depend.clauses.is_empty();
    for clause in &job.depend.clauses {
        match clause_says(table, job, clause) {
            Wait::Ready => any_met = true,
            Wait::Wait => waits = true,
            Wait::Never => any_never = true,
        }
    }
    match (job.depend.any, any_met, waits, any_never) {
        (true, true, ..) | (false, _, false, false) => Wait::Ready,
        (true, false, true, _) | (false, _, true, false) => Wait::Wait,
        (false, _, _, true) | (true, false, false, _) => Wait::Never,
    }
}

/// The elements of what a clause names that the queue still knows.
pub fn parents(table: &Table, on: Key) -> impl Iterator<Item = &Job> {
    table.elements(on.id).filter(move |job| on.index.is_none() || job.key.index == on.index)
}

/// What one clause says.
pub fn clause_says(table: &Table, job: &Job, clause: &Clause) -> Wait {
    if clause.kind == DependKind::Singleton {
        let other = table.jobs.values().any(|other| {
            other.phase != Phase::Ended
                && other.key.id < job.key.id
                && other.spec.name == job.spec.name
                && other.spec.user.uid == job.spec.user.uid
        });
        return if other { Wait::Wait } else { Wait::Ready };
    }
    let on = match clause.kind {
        DependKind::AfterCorr => Key { id: clause.on.id, index: clause.on.index.or(job.key.index) },
        _ => clause.on,
    };
    let mut known = false;
    let (mut open, mut bad, mut not_started) = (false, false, false);
    let mut latest = 0;
    for parent in parents(table, on) {
        known = true;
        open |= parent.phase != Phase::Ended;
        bad |= parent.phase == Phase::Ended && !parent.is_ok();
        not_started |= parent.phase == Phase::Pending;
        latest = latest.max(parent.start.or(parent.end).unwrap_or(0));
    }
    if !known {
        return Wait::Ready;
    }
    match clause.kind {
        DependKind::AfterOk | DependKind::AfterCorr if bad => Wait::Never,
        DependKind::AfterNotOk if !open && !bad => Wait::Never,
        DependKind::After if not_started => Wait::Wait,
        DependKind::After if now() < latest + clause.delay as i64 * 1_000_000 => Wait::Wait,
        DependKind::After => Wait::Ready,
        _ if open => Wait::Wait,
        _ => Wait::Ready,
    }
}
