//! How batches go to a scheduler: submissions, their chunks, and what becomes of their jobs.

use cluster_core::{BatchId, Cause, IndexSet, JobId, JobState, RemoteId, Tag, Timestamp};
use cluster_jobsdb::{
    Cut, JobChange, NewBatch, NewSubmission, RunRecord, Runs, Store, StoreError, Unstarted,
};

use crate::faults::execute;
use crate::{batch, open};

fn set(text: &str) -> IndexSet {
    text.parse().unwrap()
}

fn submission(tag: u64, jobs: &str) -> NewSubmission {
    NewSubmission::new(Tag::from_bits(tag), set(jobs))
}

/// A batch for `slurm` in as many submissions as there are sets.
fn sent_as(tag: u64, count: u32, jobs: &[&str]) -> NewBatch {
    let submissions = (tag..).zip(jobs).map(|(tag, jobs)| submission(tag, jobs)).collect();
    NewBatch { system: "slurm".into(), submissions, ..batch(tag, count, JobState::Submitting) }
}

fn states(store: &mut Store, id: BatchId) -> Vec<(JobState, u32)> {
    let jobs = cluster_jobsdb::JobQuery { limit: 100, ..Default::default() };
    store.jobs(id, &jobs).unwrap().iter().map(|job| (job.state, job.k)).collect()
}

#[test]
fn a_batch_in_chunks_keeps_its_first_as_a_range() {
    let root = tempfile::tempdir().unwrap();
    let mut store = open(root.path());
    let id = store.accept(&[sent_as(1, 2_500, &["0-999", "1000-1999", "2000-2499"])]).unwrap()[0];
    let row = store.batch(id).unwrap().unwrap();
    assert_eq!((row.rows, row.count_of(JobState::Submitting)), (1_500, 2_500));
    assert_eq!(store.job(JobId { batch: id, index: 999 }).unwrap().unwrap().k, 0);
    assert_eq!(store.job(JobId { batch: id, index: 2_000 }).unwrap().unwrap().k, 2);
    let chunks = store.chunks(id).unwrap();
    assert_eq!(
        chunks.iter().map(|c| (c.k, c.jobs.len())).collect::<Vec<_>>(),
        [(0, 1_000), (1, 1_000), (2, 500)]
    );
    assert_eq!(chunks[1].runs, Runs::all(1));
    assert_eq!(store.find_tag(&Tag::from_bits(3)).unwrap().unwrap().k, 2);
    // Its jobs have no row, and being sent gives them none.
    assert_eq!(store.mark_sent(id, 0, &RemoteId("4711".into()), Timestamp(5), false).unwrap(), 1_000);
    let row = store.batch(id).unwrap().unwrap();
    assert_eq!(
        (row.rows, row.count_of(JobState::Queued), row.count_of(JobState::Submitting)),
        (1_500, 1_000, 1_500)
    );
    assert_eq!(store.mark_sent(id, 2, &RemoteId("4712".into()), Timestamp(6), true).unwrap(), 500);
    assert_eq!(store.batch(id).unwrap().unwrap().count_of(JobState::Held), 500);
    assert!(store.check().unwrap().is_sound());
}

#[test]
fn a_chunk_goes_its_way() {
    let root = tempfile::tempdir().unwrap();
    let mut store = open(root.path());
    let local = batch(90, 4, JobState::Queued);
    let mut far = sent_as(1, 4, &["0-1", "2-3"]);
    far.submissions[1].throttle = Some(7);
    far.submissions[1].depends = Some("{\"afterok\":[\"4711\"]}".into());
    let ids = store.accept(&[local, far]).unwrap();
    assert!(store.chunks(ids[0]).unwrap().is_empty());
    assert_eq!(store.submissions(ids[0]).unwrap().len(), 1);
    let id = ids[1];
    store.mark_tried(id, 1, Timestamp(3)).unwrap();
    store.mark_doubt(id, 1, Timestamp(4)).unwrap();
    store.mark_tried(id, 1, Timestamp(5)).unwrap();
    let open_ones = store.open_chunks("slurm").unwrap();
    assert_eq!(open_ones.iter().map(|c| (c.batch, c.k)).collect::<Vec<_>>(), [(id, 0), (id, 1)]);
    let chunk = &open_ones[1];
    assert_eq!((chunk.tried, chunk.tries, chunk.doubt), (Some(Timestamp(5)), 2, Some(Timestamp(4))));
    assert_eq!((chunk.throttle, chunk.depends.as_deref()), (Some(7), Some("{\"afterok\":[\"4711\"]}")));
    assert!(store.open_chunks("local").unwrap().is_empty());

    store.mark_sent(id, 1, &RemoteId("4711".into()), Timestamp(6), false).unwrap();
    let chunk = store.chunks_of_remote(&RemoteId("4711".into())).unwrap().remove(0);
    assert_eq!((chunk.k, chunk.doubt, chunk.sent, chunk.over), (1, None, Some(Timestamp(6)), false));
    let ended = store.mark_refused(id, 0, Cause::SubmitRefused, "no such partition", Timestamp(7)).unwrap();
    assert_eq!(ended, 2);
    let job = store.job(JobId { batch: id, index: 1 }).unwrap().unwrap();
    assert_eq!((job.cause, job.reason.as_deref()), (Some(Cause::SubmitRefused), Some("no such partition")));
    assert_eq!(
        states(&mut store, id),
        [(JobState::Failed, 0), (JobState::Failed, 0), (JobState::Queued, 1), (JobState::Queued, 1)]
    );
    store.mark_over(id, 1).unwrap();
    assert!(store.open_chunks("slurm").unwrap().is_empty());
    assert!(matches!(store.mark_over(id, 2), Err(StoreError::UnknownSubmission { k: 2, .. })));
    assert!(matches!(store.mark_tried(ids[0], 0, Timestamp(8)), Err(StoreError::UnknownSubmission { .. })));
    assert!(store.mark_refused(id, 1, Cause::Exit(0), "", Timestamp(8)).is_err());
    assert!(store.check().unwrap().is_sound());
    store.remove_batch(id, true).unwrap();
    assert!(store.chunks(id).unwrap().is_empty());
}

#[test]
fn a_batch_is_untouched_until_something_is_asked_or_told_of_it() {
    let root = tempfile::tempdir().unwrap();
    let mut store = open(root.path());
    let id = store.accept(&[sent_as(1, 4, &["0-3"])]).unwrap()[0];
    assert!(store.is_untouched(id).unwrap());
    assert!(store.mark_tried_untouched(id, 0, Timestamp(2)).unwrap());
    store.request_cancel(id, Some(&set("1")), Timestamp(3)).unwrap();
    assert!(!store.is_untouched(id).unwrap());
    assert!(!store.mark_tried_untouched(id, 0, Timestamp(4)).unwrap());
    let chunk = &store.chunks(id).unwrap()[0];
    assert_eq!((chunk.tried, chunk.tries), (Some(Timestamp(2)), 1));
    // Nor is it recorded as such: the request stays, and its job moves with the others.
    assert_eq!(store.mark_sent(id, 0, &RemoteId("7".into()), Timestamp(5), false).unwrap(), 4);
    let asked = store.job(JobId { batch: id, index: 1 }).unwrap().unwrap();
    assert_eq!((asked.state, asked.cancel_requested), (JobState::Queued, Some(Timestamp(3))));
    let whole = store.accept(&[sent_as(9, 4, &["0-3"])]).unwrap()[0];
    store.request_cancel(whole, None, Timestamp(6)).unwrap();
    assert!(!store.is_untouched(whole).unwrap());
    assert!(!store.is_untouched(BatchId(77)).unwrap());
    assert!(store.check().unwrap().is_sound());
}

#[test]
fn what_is_left_of_a_chunk_goes_out_in_its_place() {
    let root = tempfile::tempdir().unwrap();
    let mut store = open(root.path());
    let id = store.accept(&[sent_as(1, 6, &["0-3", "4-5"])]).unwrap()[0];
    let rest = submission(9, "0,2-3");
    let cut = Cut { cancelled: &set("1"), reason: "not wanted", rest: &rest, state: JobState::Created };
    for _ in 0..2 {
        assert_eq!(store.cut_chunk(id, 0, &cut, Timestamp(5)).unwrap(), 2);
    }
    let of = |store: &mut Store, state| {
        let seen = states(store, id);
        seen.iter().filter(|one| one.0 == state).map(|one| one.1).collect::<Vec<_>>()
    };
    assert_eq!(of(&mut store, JobState::Created), [2, 2, 2]);
    assert_eq!(of(&mut store, JobState::Submitting), [1, 1]);
    let job = store.job(JobId { batch: id, index: 1 }).unwrap().unwrap();
    assert_eq!((job.cause, job.reason.as_deref(), job.run), (Some(Cause::Cancelled), Some("not wanted"), 1));
    let open_ones = store.open_chunks("slurm").unwrap();
    assert_eq!(
        open_ones.iter().map(|c| (c.k, c.jobs.to_string())).collect::<Vec<_>>(),
        [(1, "4-5".to_owned()), (2, "0,2-3".to_owned())]
    );
    assert_eq!(open_ones[1].runs, Runs::all(1));
    // Who asked meanwhile is not forgotten.
    store.request_cancel(id, Some(&set("0")), Timestamp(6)).unwrap();
    let last = submission(11, "0,3");
    let cut_again = Cut { cancelled: &set("2"), rest: &last, ..cut };
    assert_eq!(store.cut_chunk(id, 2, &cut_again, Timestamp(6)).unwrap(), 3);
    assert_eq!(of(&mut store, JobState::Created), [3]);
    assert_eq!(of(&mut store, JobState::Failed).len(), 3);
    // What was sent is not taken out of the scheduler's hands.
    store.mark_sent(id, 1, &RemoteId("7".into()), Timestamp(6), false).unwrap();
    let cut = Cut { cancelled: &set("5"), rest: &submission(10, "4"), ..cut };
    assert!(matches!(store.cut_chunk(id, 1, &cut, Timestamp(7)), Err(StoreError::NotEnded { .. })));
    assert_eq!(of(&mut store, JobState::Queued), [1, 1]);
    assert!(store.check().unwrap().is_sound());
}

#[test]
fn a_retry_goes_out_in_chunks_too() {
    let root = tempfile::tempdir().unwrap();
    let mut store = open(root.path());
    let id = store.accept(&[sent_as(1, 6, &["0-5"])]).unwrap()[0];
    let cancelled = |store: &mut Store, jobs| {
        store.set_unstarted(id, Some(&set(jobs)), &Unstarted::Cancelled, Timestamp(2)).unwrap();
    };
    cancelled(&mut store, "0-3");
    let again = [submission(10, "1")];
    assert_eq!(store.resubmit_chunks(id, &again, JobState::Submitting, Timestamp(3)).unwrap(), [1]);
    cancelled(&mut store, "1");
    let again = [submission(20, "0-2"), submission(21, "3")];
    for _ in 0..2 {
        assert_eq!(store.resubmit_chunks(id, &again, JobState::Submitting, Timestamp(4)).unwrap(), [2, 3]);
    }
    let chunks = store.chunks(id).unwrap();
    let runs: Vec<_> = chunks.iter().map(|chunk| chunk.runs.to_string()).collect();
    assert_eq!(runs, ["1", "2", "0:2,1:3,2:2", "2"]);
    // Of the first chunk only the jobs that were not submitted again are still its own.
    assert_eq!(store.mark_sent(id, 0, &RemoteId("1".into()), Timestamp(5), false).unwrap(), 2);
    assert_eq!(store.mark_sent(id, 2, &RemoteId("2".into()), Timestamp(6), false).unwrap(), 3);
    let seen = states(&mut store, id);
    assert_eq!(
        seen,
        [
            (JobState::Queued, 2),
            (JobState::Queued, 2),
            (JobState::Queued, 2),
            (JobState::Submitting, 3),
            (JobState::Queued, 0),
            (JobState::Queued, 0)
        ]
    );
    assert!(store.check().unwrap().is_sound());
}

#[test]
fn submissions_share_out_the_jobs_of_their_batch() {
    let root = tempfile::tempdir().unwrap();
    let mut store = open(root.path());
    for jobs in [&["0-1"][..], &["0-2", "2-3"], &["0-4"]] {
        let refused = store.accept(&[sent_as(1, 4, jobs)]);
        assert!(matches!(refused, Err(StoreError::BadSubmissions { .. })), "{jobs:?}");
    }
    let mut other_tag = sent_as(1, 4, &["0-3"]);
    other_tag.submissions[0].tag = Tag::from_bits(2);
    assert!(store.accept(&[other_tag]).is_err());
    let mut alone = sent_as(1, 4, &["0-3"]);
    alone.submissions[0].array = false;
    assert!(store.accept(&[alone]).is_err());
    let id = store.accept(&[sent_as(1, 4, &["0,2", "1,3"])]).unwrap()[0];
    assert_eq!(store.accept(&[sent_as(1, 4, &["0,2", "1,3"])]).unwrap(), [id]);
    assert_eq!(store.chunks(id).unwrap().len(), 2);
    assert!(store.check().unwrap().is_sound());
}

#[test]
fn reasons_of_a_range_leave_it_a_range() {
    let root = tempfile::tempdir().unwrap();
    let mut store = open(root.path());
    let id = store.accept(&[sent_as(1, 100, &["0-79", "80-99"])]).unwrap()[0];
    let waiting = |held, reason: &str| Unstarted::Waiting { held, reason: Some(reason.into()) };
    let mut say = |jobs: &str, to: &Unstarted, at| {
        store.set_unstarted(id, Some(&set(jobs)), to, Timestamp(at)).unwrap()
    };
    assert_eq!(say("0-79", &waiting(false, "Priority"), 3), 80);
    assert_eq!(say("0-79", &waiting(false, "Priority"), 4), 0);
    assert_eq!(say("0-79", &waiting(false, "Resources"), 5), 80);
    assert_eq!(say("80-99", &waiting(true, "JobHeldUser"), 6), 20);
    let row = store.batch(id).unwrap().unwrap();
    assert_eq!((row.rows, row.state, row.reason.as_deref()), (20, JobState::Queued, Some("Resources")));
    // Since when it is queued is not changed by another reason.
    assert_eq!(row.changed, Timestamp(3));
    assert_eq!(store.job(JobId { batch: id, index: 99 }).unwrap().unwrap().state, JobState::Held);
}

#[test]
fn a_job_is_missing_until_it_is_seen_or_runs_again() {
    let root = tempfile::tempdir().unwrap();
    let mut store = open(root.path());
    let id = store.accept(&[sent_as(1, 10, &["0-9"])]).unwrap()[0];
    let job = |index| JobId { batch: id, index };
    store.apply(&[JobChange::new(job(3), 0, 1, JobState::Running, Timestamp(2))]).unwrap();
    let since = |store: &mut Store, index| store.job(job(index)).unwrap().unwrap().missing_since;
    assert_eq!(store.set_missing(id, &set("2-4"), Some(Timestamp(5))).unwrap(), 3);
    assert_eq!(store.set_missing(id, &set("2-5"), Some(Timestamp(6))).unwrap(), 1);
    assert_eq!(since(&mut store, 3), Some(Timestamp(5)));
    assert_eq!(since(&mut store, 5), Some(Timestamp(6)));
    assert_eq!(store.set_missing(id, &set("0-3"), None).unwrap(), 2);
    assert_eq!((since(&mut store, 3), since(&mut store, 4)), (None, Some(Timestamp(5))));
    store.apply(&[JobChange::new(job(4), 0, 2, JobState::Queued, Timestamp(7))]).unwrap();
    assert_eq!(since(&mut store, 4), None);
    assert!(store.set_missing(id, &set("10"), None).is_err());
}

#[test]
fn a_record_reads_back_and_goes_with_its_batch() {
    let root = tempfile::tempdir().unwrap();
    let mut store = open(root.path());
    let id = store.accept(&[sent_as(1, 40, &["0-39"])]).unwrap()[0];
    let record = |index, run, text: &[u8]| RunRecord {
        job: JobId { batch: id, index },
        run,
        source: "sacct".into(),
        at: Timestamp(9),
        text: text.to_vec(),
    };
    let mut all: Vec<_> = (0..40).map(|index| record(index, 1, b"JobId=1\xff")).collect();
    all.push(record(3, 2, &[b'x'; 100_000]));
    all.push(RunRecord { job: JobId::new(77, 0), ..record(0, 1, b"") });
    store.set_records(&all).unwrap();
    store.set_records(&[record(0, 1, b"JobId=1 State=OK")]).unwrap();
    let mut text =
        |index, run| store.record(JobId { batch: id, index }, run).unwrap().map(|record| record.text);
    assert_eq!(text(0, 1).unwrap(), b"JobId=1 State=OK");
    assert_eq!(text(39, 1).unwrap(), b"JobId=1\xff");
    assert_eq!(text(3, 2).unwrap().len(), RunRecord::LARGEST);
    assert_eq!(text(3, 3), None);
    let mut lines = Vec::new();
    store.export(&mut lines).unwrap();
    let lines = String::from_utf8(lines).unwrap();
    let records: Vec<_> = lines.lines().filter(|line| line.contains(r#""table":"record""#)).collect();
    assert_eq!(records.len(), 41);
    assert!(records[0].ends_with(r#""text":"JobId=1 State=OK"}"#), "{}", records[0]);
    assert!(records[1].contains(r#""zlib":""#), "what is no text stays packed: {}", records[1]);
    store.remove_batch(id, true).unwrap();
    assert_eq!(store.record(JobId { batch: id, index: 0 }, 1).unwrap(), None);
}

#[test]
fn a_check_finds_chunks_that_are_not_those_of_their_submissions() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("store.db");
    let look = |sql: &str| {
        execute(&file, sql);
        let mut store = open(root.path());
        let report = store.check().unwrap();
        store.close().unwrap();
        report
    };
    let mut store = open(root.path());
    let id = store.accept(&[sent_as(1, 4, &["0-1", "2-3"])]).unwrap()[0];
    store.close().unwrap();
    assert!(look("UPDATE chunk SET runs = '0:1' WHERE k = 0").problems[0].contains("no run"));
    let report = look("UPDATE chunk SET runs = '1', jobs = '0,2' WHERE k = 0");
    assert_eq!(report.problems.len(), 2, "{report:?}");
    let report = look("UPDATE chunk SET jobs = '0-1' WHERE k = 0");
    assert!(report.is_sound() && report.notes.is_empty(), "{report:?}");
    // What is followed for nothing does no harm.
    open(root.path()).set_unstarted(id, None, &Unstarted::Cancelled, Timestamp(2)).unwrap();
    let report = look("UPDATE chunk SET over = 1 WHERE k = 1");
    assert!(report.is_sound() && report.notes.len() == 1, "{report:?}");
}
