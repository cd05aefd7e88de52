//! Dependencies: how they are written, and what OpenPBS and Torque make of them, their lies included.

use super::id::{Id, Part};
use super::options::Family;
use crate::engine::{Clause, DependKind, Job, Key, Phase, Table, Wait};

/// Stands in [`Clause::delay`], which PBS has no other use for, when an array's parent is meant.
const ARRAY: u64 = 1;

/// One clause, as written: its word and the ids.
pub(crate) type Written = Vec<(String, Vec<Id>)>;

/// `afterok:1:2[].server,afterany:3`; none when it is not written so.
pub(crate) fn read(text: &str, family: Family) -> Option<Written> {
    let mut out = Written::new();
    for part in text.split(',') {
        let (word, ids) = part.split_once(':')?;
        let array = family == Family::Torque && word.ends_with("array");
        let known = matches!(
            word.strip_suffix("array").filter(|_| array).unwrap_or(word),
            "after"
                | "afterok"
                | "afternotok"
                | "afterany"
                | "before"
                | "beforeok"
                | "beforenotok"
                | "beforeany"
        );
        if !known {
            return None;
        }
        let ids: Option<Vec<Id>> = ids
            .split(':')
            .map(|id| {
                let id = Id::read(id)?;
                let good = match id.part {
                    Part::Plain => true,
                    Part::Parent => family == Family::OpenPbs || array,
                    Part::One(_) => family == Family::Torque,
                    Part::Some(..) => false,
                };
                good.then_some(id)
            })
            .collect();
        out.push((word.to_owned(), ids.filter(|ids| !ids.is_empty())?));
    }
    Some(out)
}

/// As clauses for the engine; `before…` is not served.
pub(crate) fn clauses(written: &Written) -> Vec<Clause> {
    let mut out = Vec::new();
    for (word, ids) in written {
        let kind = match word.strip_suffix("array").unwrap_or(word) {
            "afterok" => DependKind::AfterOk,
            "afternotok" => DependKind::AfterNotOk,
            "afterany" => DependKind::AfterAny,
            "after" => DependKind::After,
            _ => continue,
        };
        for id in ids {
            let index = match id.part {
                Part::One(index) => Some(index),
                _ => None,
            };
            let delay = if id.part == Part::Parent { ARRAY } else { 0 };
            out.push(Clause { kind, on: Key { id: id.number, index }, delay });
        }
    }
    out
}

/// What the dependencies of a job say.
pub(crate) fn waits(table: &Table, job: &Job, family: Family) -> Wait {
    let mut answer = Wait::Ready;
    for clause in &job.depend.clauses {
        match clause_says(table, clause, family) {
            Wait::Never => return Wait::Never,
            Wait::Wait => answer = Wait::Wait,
            Wait::Ready => {}
        }
    }
    answer
}

/// Is a job known that a clause names?
pub(crate) fn is_known(table: &Table, clause: &Clause) -> bool {
    let array = clause.delay == ARRAY;
    let mut elements = table
        .elements(clause.on.id)
        .filter(|job| clause.on.index.is_none() || job.key.index == clause.on.index);
    elements.next().is_some_and(|job| clause.on.index.is_some() || job.key.index.is_some() == array)
}

fn clause_says(table: &Table, clause: &Clause, family: Family) -> Wait {
    if !is_known(table, clause) {
        // OpenPBS takes the job and removes it without a word; Torque has refused it before.
        return if family == Family::OpenPbs { Wait::Never } else { Wait::Ready };
    }
    let parents: Vec<&Job> = table
        .elements(clause.on.id)
        .filter(|job| clause.on.index.is_none() || job.key.index == clause.on.index)
        .collect();
    if clause.kind == DependKind::After {
        let begun = parents.iter().any(|job| job.phase != Phase::Pending);
        return if begun { Wait::Ready } else { Wait::Wait };
    }
    if parents.iter().any(|job| job.phase != Phase::Ended) {
        return Wait::Wait;
    }
    let good = match family {
        Family::OpenPbs if clause.delay == ARRAY => {
            super::state::array_exit(parents.iter().copied()) == Some(0)
        }
        Family::OpenPbs => parents.iter().all(|job| super::state::exit_status(job) == Some(0)),
        // A job that was deleted before it ran counts as one that ended well.
        Family::Torque => parents.iter().all(|job| super::state::exit_status(job).unwrap_or(0) == 0),
    };
    match clause.kind {
        DependKind::AfterOk if !good => Wait::Never,
        DependKind::AfterNotOk if good => Wait::Never,
        _ => Wait::Ready,
    }
}
