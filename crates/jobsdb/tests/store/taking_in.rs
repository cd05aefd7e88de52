//! Events that jobs drop into `events/new`.

use std::fs;
use std::path::Path;

use cluster_core::{BatchId, JobId, JobState, Tag, Timestamp};
use cluster_jobsdb::{CancelRequest, Unstarted};

use crate::{batch, open};

fn drop_event(root: &Path, name: &str, text: &str) {
    let directory = root.join("events/new");
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join(name), text).unwrap();
}

fn event(job: &str, key: &str, value: &str) -> String {
    format!(r#"{{"v":1,"job":"{job}","k":0,"set":{{"{key}":"{value}"}},"later":[1]}}"#)
}

fn waiting(root: &Path) -> usize {
    fs::read_dir(root.join("events/new")).unwrap().count()
}

#[test]
fn events_are_taken_in_the_order_of_their_numbers() {
    let root = tempfile::tempdir().unwrap();
    let mut store = open(root.path());
    store.accept(&[batch(1, 20, JobState::Queued)]).unwrap();
    assert_eq!(store.intake().unwrap().applied, 0);
    for seq in [10, 2, 1, 9] {
        drop_event(root.path(), &format!("1.13.0.{seq}.ab"), &event("1.13", "step", &seq.to_string()));
    }
    drop_event(root.path(), "1.2.0.1.cd", &event("1.2", "step", "other"));
    assert_eq!(store.intake().unwrap().applied, 5);
    assert_eq!(store.job_meta(JobId::new(1, 13)).unwrap()["step"], "10");
    assert_eq!(store.job_meta(JobId::new(1, 2)).unwrap()["step"], "other");
    assert_eq!(waiting(root.path()), 0);
}

#[test]
fn intake_twice_is_harmless() {
    let root = tempfile::tempdir().unwrap();
    let mut store = open(root.path());
    store.accept(&[batch(1, 2, JobState::Queued)]).unwrap();
    drop_event(root.path(), "1.0.0.1.ab", &event("1.0", "step", "1"));
    store.intake().unwrap();
    drop_event(root.path(), "1.0.0.2.ab", &event("1.0", "step", "2"));
    store.intake().unwrap();
    // As after a crash between commit and removal, or in a cache of a network file system.
    drop_event(root.path(), "1.0.0.1.ab", &event("1.0", "step", "1"));
    let report = store.intake().unwrap();
    assert_eq!((report.applied, report.known), (0, 1));
    assert_eq!(store.job_meta(JobId::new(1, 0)).unwrap()["step"], "2");
    assert_eq!(waiting(root.path()), 0);
}

#[test]
fn unreadable_events_are_put_aside() {
    let root = tempfile::tempdir().unwrap();
    let mut store = open(root.path());
    store.accept(&[batch(1, 2, JobState::Queued)]).unwrap();
    drop_event(root.path(), "1.0.0.1.ab", &event("1.0", "step", "1"));
    drop_event(root.path(), "1.0.0.2.ab", "rubbish");
    drop_event(root.path(), "1.0.0.3.ab", &event("1.0", "step", "3").replace("\"v\":1", "\"v\":2"));
    drop_event(root.path(), "7.0.0.1.ab", &event("7.0", "step", "1"));
    drop_event(root.path(), "1.2.0.1.ab", &event("1.2", "step", "1"));
    drop_event(root.path(), "large", &" ".repeat(70_000));
    fs::create_dir(root.path().join("events/new/directory")).unwrap();
    let report = store.intake().unwrap();
    assert_eq!((report.applied, report.bad.len()), (1, 6), "{report:?}");
    assert_eq!(store.job_meta(JobId::new(1, 0)).unwrap()["step"], "1");
    assert_eq!(waiting(root.path()), 0);
    assert!(root.path().join("events/bad/1.0.0.2.ab").exists());
    assert_eq!(store.intake().unwrap().bad.len(), 0);
}

#[test]
fn a_fifo_in_the_way_does_not_hang() {
    let root = tempfile::tempdir().unwrap();
    let mut store = open(root.path());
    let directory = root.path().join("events/new");
    fs::create_dir_all(&directory).unwrap();
    let kind = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, directory.join("1.0.0.1.ab"), kind, rustix::fs::Mode::RWXU, 0)
        .unwrap();
    assert_eq!(store.intake().unwrap().bad.len(), 1);
}

#[test]
fn another_writer_is_not_waited_for() {
    let root = tempfile::tempdir().unwrap();
    let mut store = open(root.path());
    store.accept(&[batch(1, 2, JobState::Queued)]).unwrap();
    drop_event(root.path(), "1.0.0.1.ab", &event("1.0", "step", "1"));
    let writer = crate::concurrent::Writer::begin(root.path());
    let begin = std::time::Instant::now();
    assert!(store.intake().unwrap().busy);
    assert!(begin.elapsed() < std::time::Duration::from_secs(5));
    assert_eq!(waiting(root.path()), 1);
    drop(writer);
    assert_eq!(store.intake().unwrap().applied, 1);
    assert_eq!(store.meta(BatchId(1)).unwrap().len(), 0);
}

#[test]
fn a_request_to_a_runner_waits_for_it() {
    let root = tempfile::tempdir().unwrap();
    let mut store = open(root.path());
    let id = store.accept(&[batch(1, 4, JobState::Queued)]).unwrap()[0];
    let request = |batch, jobs: Option<&str>| CancelRequest {
        batch,
        jobs: jobs.map(|jobs| jobs.parse().unwrap()),
        signal: 15,
        owner: "host-a".to_owned(),
        file: Default::default(),
    };
    request(id, None).send(root.path(), &Tag::from_bits(1)).unwrap();
    request(id, Some("1-2")).send(root.path(), &Tag::from_bits(2)).unwrap();
    request(BatchId(77), None).send(root.path(), &Tag::from_bits(3)).unwrap();
    drop_event(root.path(), "1.0.0.1.ab", &event("1.0", "step", "1"));
    let report = store.intake().unwrap();
    assert_eq!((report.applied, report.bad.len()), (1, 0));
    let mut cancels = report.cancels;
    cancels.sort_by_key(|request| request.jobs.clone().map(|jobs| jobs.to_string()));
    let seen: Vec<_> = cancels.iter().map(|one| (one.jobs.clone(), one.owner.as_str(), one.signal)).collect();
    assert_eq!(seen, [(None, "host-a", 15), (Some("1-2".parse().unwrap()), "host-a", 15)]);
    // Whoever looks, they stay until they are obeyed, or until there is nothing left to end.
    assert_eq!(store.intake().unwrap().cancels.len(), 2);
    cancels[0].settle().unwrap();
    cancels[0].settle().unwrap();
    assert_eq!(store.intake().unwrap().cancels.len(), 1);
    store.set_unstarted(id, None, &Unstarted::Cancelled, Timestamp(2)).unwrap();
    assert!(store.intake().unwrap().cancels.is_empty());
    assert_eq!(waiting(root.path()), 0);
}
