//! What a runner left that was killed.

use super::super::HANDED_ON;
use super::*;
use crate::event::Ended;
use crate::journal::Journal;
use crate::machine::Identity;
use crate::runner::place::Place;
use crate::slot_table::{SlotTable, StartedBy};

/// Job 3.5 was about to be started.
fn entry(root: u64) -> Entry {
    Entry {
        root,
        batch: BatchId(3),
        index: 5,
        k: 0,
        run: 1,
        by: StartedBy::Script,
        cores: 1,
        mem_mb: 0,
        started: Timestamp(2),
        boot_before: 3,
        boot_after: 4,
        pid: 0,
    }
}

/// A process that is not there any more.
fn dead(entry: Entry) -> Entry {
    Entry { pid: u32::MAX / 2, ..entry }
}

/// The ends of job 3.5 that the store was told.
fn ends(store: &Fake) -> Vec<Ended> {
    let shown = store.shown();
    let ends = shown.commits.iter().filter_map(|event| match event {
        Event::Ended(ended) if (ended.batch, ended.index) == (BatchId(3), 5) => Some(ended.clone()),
        _ => None,
    });
    ends.collect()
}

#[test]
fn what_a_killed_runner_of_another_directory_left_is_taken_over_once() {
    let dir = tempfile::tempdir().unwrap();
    let former = Place::new(Some(dir.path().join("former")));
    former.ensure().unwrap();
    let (number, journal_dir) = former.root(dir.path());
    crate::files::make_private_dirs(&journal_dir).unwrap();
    Journal::open(&journal_dir).unwrap().0.append(&doomed(1)).unwrap();
    let entry = entry(number);
    let (table, _) = SlotTable::open(&former.slots()).unwrap();
    table.write(0, &Entry { root: number + 1, ..entry }).unwrap();
    table.write(1, &entry).unwrap();

    let (store, engine) = (Fake::default(), engine());
    store.shown().former = vec![former.dir().to_owned(), dir.path().join("gone")];
    // Another runner lives there by now: what is of this root is not its own.
    let _lives = former.lock().unwrap().unwrap();
    assert!(opened(dir.path(), &store, &engine).close().blocking_recv().unwrap());
    assert_eq!(store.shown().commits, [doomed(1)]);
    assert!(store.shown().former.is_empty() && !journal_dir.exists());
    let left = SlotTable::open(&former.slots()).unwrap().1;
    assert_eq!(left, [Entry { root: number + 1, ..entry }]);
    // The next runner of this directory knows of the slots as well, if this one is killed.
    let handed_on = SlotTable::open(&dir.path().join("journal").join(HANDED_ON)).unwrap().1;
    assert_eq!(handed_on, [Entry { root: 7, ..entry }]);
}

#[test]
fn what_was_left_of_another_store_is_not_this_ones() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("3")).unwrap();
    let (store, engine) = (Fake::default(), engine());
    let root = opened(dir.path(), &store, &engine);
    drop(root.close().blocking_recv());
    let journal = || Journal::open(&dir.path().join("journal")).unwrap();
    journal().0.append(&doomed(1)).unwrap();
    let (table, _) = SlotTable::open(&dir.path().join("slots")).unwrap();
    table.write(0, &dead(entry(7))).unwrap();
    table.write(1, &dead(entry(8))).unwrap();

    let anew = Fake::default();
    anew.shown().id = "another".to_owned();
    anew.shown().works = vec![held(3, 6)];
    let root = opened_after(dir.path(), &anew, &engine, vec![dead(entry(7))]);
    assert!(root.close().blocking_recv().unwrap());
    assert!(anew.shown().commits.is_empty(), "{:?}", anew.shown().commits);
    assert_eq!(journal().1, []);
    assert_eq!(SlotTable::open(&dir.path().join("slots")).unwrap().1, [dead(entry(8))]);

    // Of the same store it is.
    let same = Fake::default();
    same.shown().id = "another".to_owned();
    same.shown().works = vec![held(3, 6)];
    let root = opened_after(dir.path(), &same, &engine, vec![dead(entry(7))]);
    assert!(root.close().blocking_recv().unwrap());
    assert_eq!(ends(&same)[0].cause, Cause::Lost);
}

#[test]
fn what_ran_before_a_reboot_ended_with_the_machine_whenever_it_is_found() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("3")).unwrap();
    let engine = engine();
    drop(opened(dir.path(), &Fake::default(), &engine).close().blocking_recv());
    let origin = dir.path().join("journal/origin");
    let text = std::fs::read_to_string(&origin).unwrap();
    let here = Identity::here().boot;
    assert!(text.contains(&here));
    std::fs::write(&origin, text.replace(&here, "another boot")).unwrap();
    for cause in [Cause::NodeFailure, Cause::Lost] {
        let store = Fake::default();
        store.shown().works = vec![held(3, 6)];
        let root = opened_after(dir.path(), &store, &engine, vec![dead(entry(7))]);
        assert!(root.close().blocking_recv().unwrap());
        // What is left after that is of this boot.
        assert_eq!(ends(&store)[0].cause, cause);
    }
}

#[test]
fn what_was_called_running_and_never_began_runs() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("3")).unwrap();
    let job = StartedJob {
        batch: BatchId(3),
        index: 5,
        k: 0,
        run: 1,
        need: Amount { cores: 1, mem_mb: 0 },
        started: Timestamp(2),
        cancel_requested: false,
    };
    let (store, engine) = (Fake::default(), engine());
    store.shown().started = vec![job.clone()];
    let root = opened_after(dir.path(), &store, &engine, vec![entry(7)]);
    engine.wait_quiet();
    assert!(root.close().blocking_recv().unwrap());
    let ended = ends(&store);
    assert_eq!(ended.len(), 1, "{ended:?}");
    assert_ne!(ended[0].cause, Cause::Lost);

    // Nobody wants it any more.
    let store = Fake::default();
    store.shown().started = vec![StartedJob { cancel_requested: true, ..job }];
    let root = opened_after(dir.path(), &store, &engine, vec![entry(7)]);
    assert!(root.close().blocking_recv().unwrap());
    assert_eq!(ends(&store)[0].cause, Cause::Cancelled);
}
