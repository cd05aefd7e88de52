//! What single calls do, beside the property test.

use cluster_core::{BatchId, Cause, ExitStatus, IndexSet, JobId, JobState, Selector, Tag, Timestamp};
use cluster_jobsdb::{
    BatchFilter, BatchLine, JobChange, JobQuery, OpenOptions, SelectContext, Selection, Store, StoreError,
    Unstarted,
};

use crate::{batch, open};

fn select(store: &mut Store, text: &str) -> Result<Vec<Selection>, StoreError> {
    let selectors: Vec<Selector> = text.split(' ').map(|word| word.parse().unwrap()).collect();
    store.select(&selectors, &SelectContext { user: "me".into(), terminal: Some("pts/1".into()) })
}

fn whole(id: u64) -> Selection {
    Selection { batch: BatchId(id), jobs: None }
}

fn ended(job: JobId, code: i32) -> JobChange {
    let status = ExitStatus::Exit(code);
    JobChange {
        cause: Some(status.into()),
        status: Some(status),
        ..JobChange::new(job, 0, 1, Cause::from(status).state(), Timestamp(9))
    }
}

#[test]
fn a_million_jobs_are_one_row() {
    let root = tempfile::tempdir().unwrap();
    let mut store = open(root.path());
    let id = store.accept(&[batch(1, 1_000_000, JobState::Queued)]).unwrap()[0];
    assert_eq!(store.set_unstarted(id, None, &Unstarted::Held, Timestamp(2)).unwrap(), 1_000_000);
    let row = store.batch(id).unwrap().unwrap();
    assert_eq!((row.rows, row.count_of(JobState::Held)), (0, 1_000_000));
    let job = store.job(JobId { batch: id, index: 500_000 }).unwrap().unwrap();
    assert_eq!((job.state, job.changed), (JobState::Held, Timestamp(2)));
    let page = JobQuery { after: Some(499_999), limit: 3, ..JobQuery::default() };
    let page: Vec<_> = store.jobs(id, &page).unwrap().iter().map(|job| job.id.index).collect();
    assert_eq!(page, [500_000, 500_001, 500_002]);
    assert_eq!(store.indices_in(id, &[JobState::Held]).unwrap(), IndexSet::range(0, 1_000_000));
    assert_eq!(store.set_unstarted(id, None, &Unstarted::Cancelled, Timestamp(3)).unwrap(), 1_000_000);
    assert_eq!(store.batch(id).unwrap().unwrap().rows, 0);
}

#[test]
fn a_page_merges_rows_and_ranges_far_behind_each_other() {
    let root = tempfile::tempdir().unwrap();
    let mut store = open(root.path());
    let id = store.accept(&[batch(1, 100_000, JobState::Queued)]).unwrap()[0];
    let job = |index| JobId { batch: id, index };
    let done = IndexSet::range(0, 50_000);
    store.set_unstarted(id, Some(&done), &Unstarted::Cancelled, Timestamp(2)).unwrap();
    store.apply(&[ended(job(70_000), 0), ended(job(99_999), 3)]).unwrap();
    let query = |states: &[JobState], after, limit| JobQuery {
        jobs: None,
        states: Some(states.to_vec()),
        after,
        limit,
    };
    let mut ask = |query: &JobQuery| -> Vec<u32> {
        store.jobs(id, query).unwrap().iter().map(|job| job.id.index).collect()
    };
    assert_eq!(ask(&query(&[JobState::Queued], None, 2)), [50_000, 50_001]);
    assert_eq!(ask(&query(&[JobState::Queued], Some(69_998), 2)), [69_999, 70_001]);
    assert_eq!(ask(&query(&[JobState::Succeeded], None, 5)), [70_000]);
    assert_eq!(ask(&query(&[JobState::Failed], Some(49_998), 5)), [49_999, 99_999]);
    assert_eq!(ask(&query(&JobState::ALL, Some(99_997), 5)), [99_998, 99_999]);
    let some = JobQuery { jobs: Some("5,70000-70001".parse().unwrap()), limit: 9, ..JobQuery::default() };
    assert_eq!(ask(&some), [5, 70_000, 70_001]);
}

#[test]
fn outcomes_come_in_the_order_of_the_inputs() {
    let root = tempfile::tempdir().unwrap();
    let mut store = open(root.path());
    let id = store.accept(&[batch(1, 10, JobState::Queued)]).unwrap()[0];
    let job = |index| JobId { batch: id, index };
    store.apply(&[ended(job(1), 0), ended(job(2), 7)]).unwrap();
    let in_order = |store: &mut Store, from| -> Vec<u32> {
        store.outcomes_in_order(id, from, 100).unwrap().iter().map(|job| job.id.index).collect()
    };
    assert!(in_order(&mut store, 0).is_empty());
    assert_eq!(store.outcomes(id, 0, 100).unwrap().len(), 2);
    store.apply(&[ended(job(0), 0), ended(job(4), 0)]).unwrap();
    assert_eq!(in_order(&mut store, 0), [0, 1, 2]);
    assert_eq!(in_order(&mut store, 3), [0u32; 0]);
    store.apply(&[ended(job(3), 0)]).unwrap();
    assert_eq!(in_order(&mut store, 3), [3, 4]);
    assert_eq!(in_order(&mut store, 10), [0u32; 0]);
}

#[test]
fn selectors_are_joined_by_or() {
    let root = tempfile::tempdir().unwrap();
    let mut store = open(root.path());
    let mut batches =
        [batch(1, 4, JobState::Queued), batch(2, 1, JobState::Queued), batch(3, 4, JobState::Held)];
    batches[0].spec.name = "align [1]".into();
    batches[1].terminal = Some("pts/1".into());
    batches[2].meta = vec![("run".into(), "x'y".into())];
    batches[2].system = "far".into();
    store.accept(&batches).unwrap();
    store.apply(&[ended(JobId::new(1, 2), 1), ended(JobId::new(2, 0), 1)]).unwrap();
    store.set_meta(BatchId(1), Some(&"1,3".parse().unwrap()), &[("run".into(), "x'y".into())]).unwrap();

    assert_eq!(select(&mut store, "last").unwrap(), [whole(2)]);
    let elsewhere = SelectContext { user: "me".into(), terminal: Some("pts/9".into()) };
    assert_eq!(store.select(&[Selector::Last], &elsewhere).unwrap(), [whole(3)]);
    let nobody = SelectContext { user: "nobody".into(), terminal: None };
    assert!(matches!(store.select(&[Selector::Last], &nobody), Err(StoreError::NoLast { .. })));

    assert_eq!(select(&mut store, "name=align*").unwrap(), [whole(1)]);
    assert_eq!(select(&mut store, "name=*'*").unwrap(), []);
    assert_eq!(select(&mut store, "system=far").unwrap(), [whole(3)]);
    let jobs = |id, jobs: &str| Selection { batch: BatchId(id), jobs: Some(jobs.parse().unwrap()) };
    assert_eq!(select(&mut store, "meta.run=x'y").unwrap(), [jobs(1, "1,3"), whole(3)]);
    assert_eq!(select(&mut store, "state=failed").unwrap(), [jobs(1, "2"), whole(2)]);
    assert_eq!(select(&mut store, "state=held state=queued").unwrap(), [jobs(1, "0-1,3"), whole(3)]);
    assert_eq!(select(&mut store, "1.0 1.2-3 3 3.1").unwrap(), [jobs(1, "0,2-3"), whole(3)]);
    assert!(matches!(select(&mut store, "9"), Err(StoreError::UnknownBatch(BatchId(9)))));
    assert!(matches!(select(&mut store, "1.4"), Err(StoreError::UnknownJob { index: 4, last: 3, .. })));
}

#[test]
fn facts_of_a_job_lie_over_those_of_its_batch() {
    let root = tempfile::tempdir().unwrap();
    let mut store = open(root.path());
    let id = store.accept(&[batch(1, 4, JobState::Queued)]).unwrap()[0];
    let entry = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    store.set_meta(id, None, &[entry("a", "1"), entry("b", "2")]).unwrap();
    store.set_meta(id, Some(&IndexSet::range(1, 3)), &[entry("b", "3"), entry("c", "é\n'")]).unwrap();
    let job = store.job_meta(JobId { batch: id, index: 2 }).unwrap();
    assert_eq!(job.into_iter().collect::<Vec<_>>(), [entry("a", "1"), entry("b", "3"), entry("c", "é\n'")]);
    assert_eq!(store.job_meta(JobId { batch: id, index: 3 }).unwrap().len(), 2);
    store.remove_meta(id, &["a".into()]).unwrap();
    assert_eq!(store.meta(id).unwrap().into_iter().collect::<Vec<_>>(), [entry("b", "2")]);
}

#[test]
fn ids_are_never_used_again() {
    let root = tempfile::tempdir().unwrap();
    let mut store = open(root.path());
    let id = store.accept(&[batch(1, 2, JobState::Queued)]).unwrap()[0];
    assert!(matches!(store.remove_batch(id, false), Err(StoreError::Unfinished { count: 2, .. })));
    store.set_meta(id, None, &[("a".into(), "b".into())]).unwrap();
    store.remove_batch(id, true).unwrap();
    assert_eq!(store.batch(id).unwrap(), None);
    assert_eq!(store.find_tag(&Tag::from_bits(1)).unwrap(), None);
    // A journal may outlive its batch.
    store.apply(&[ended(JobId { batch: id, index: 0 }, 0)]).unwrap();
    assert_eq!(store.accept(&[batch(2, 1, JobState::Queued)]).unwrap(), [BatchId(id.0 + 1)]);
    assert!(store.check().unwrap().is_sound());
}

#[test]
fn a_batch_is_taken_in_once_and_it_is_said_by_whom() {
    let root = tempfile::tempdir().unwrap();
    let mut store = open(root.path());
    let mut take = |tags: &[u64]| -> Vec<(u64, bool)> {
        let batches: Vec<_> = tags.iter().map(|tag| batch(*tag, 2, JobState::Queued)).collect();
        store.take_in(&batches).unwrap().iter().map(|taken| (taken.batch.0, taken.new)).collect()
    };
    assert_eq!(take(&[7]), [(1, true)]);
    let taken = take(&[8, 7, 9, 8]);
    assert_eq!(taken, [(2, true), (1, false), (3, true), (2, false)]);
    assert_eq!(take(&[9, 7]), [(3, false), (1, false)]);
    assert_eq!(take(&[]), []);
    for id in 1..=3 {
        assert_eq!(store.submissions(BatchId(id)).unwrap().len(), 1);
    }
    assert!(store.check().unwrap().is_sound());
}

#[test]
fn lists_are_filtered_and_newest_first() {
    let root = tempfile::tempdir().unwrap();
    let mut store = open(root.path());
    let mut batches: Vec<_> = (0..6).map(|i| batch(i, 1, JobState::Queued)).collect();
    batches[2].system = "far".into();
    batches[4].parent = Some(JobId::new(1, 0));
    store.accept(&batches).unwrap();
    store.apply(&[ended(JobId::new(2, 0), 1)]).unwrap();
    let mut ids = |filter: &BatchFilter, limit| -> Vec<u64> {
        let batches = store.batches(filter, limit).unwrap();
        let lines: Vec<_> = batches.iter().map(BatchLine::from).collect();
        assert_eq!(store.lines(filter, limit).unwrap(), lines);
        batches.iter().map(|batch| batch.id.0).collect()
    };
    let all = BatchFilter::default();
    assert_eq!(ids(&all, None), [6, 5, 4, 3, 2, 1]);
    assert_eq!(ids(&BatchFilter { before: Some(BatchId(4)), ..all.clone() }, Some(2)), [3, 2]);
    assert_eq!(ids(&BatchFilter { system: Some("far".into()), ..all.clone() }, None), [3]);
    assert_eq!(ids(&BatchFilter { unfinished: true, ..all.clone() }, None), [6, 5, 4, 3, 1]);
    assert_eq!(ids(&BatchFilter { states: Some(vec![JobState::Failed]), ..all.clone() }, None), [2]);
    assert_eq!(
        ids(&BatchFilter { states: Some(vec![JobState::Queued]), ..all.clone() }, None),
        [6, 5, 4, 3, 1]
    );
    assert_eq!(ids(&BatchFilter { states: Some(vec![JobState::Held]), ..all.clone() }, None), [0u64; 0]);
    assert_eq!(ids(&BatchFilter { parent: Some(BatchId(1)), ..all.clone() }, None), [5]);
    assert_eq!(ids(&BatchFilter { name: Some("n?me".into()), ..all.clone() }, Some(1)), [6]);
    assert_eq!(ids(&BatchFilter { since: Some(Timestamp(2)), ..all }, None), [0u64; 0]);
}

#[test]
fn odd_texts_come_back_as_they_were() {
    let root = tempfile::tempdir().unwrap();
    let mut store = open(root.path());
    let odd = "a'b\"c\\d\n\t\u{1e}\u{1f}$();--\u{1f600}null";
    let mut new = batch(1, 1, JobState::Queued);
    new.spec.name = odd.into();
    new.terminal = Some(odd.into());
    new.user = "null".into();
    let id = store.accept(&[new]).unwrap()[0];
    let job = JobId { batch: id, index: 0 };
    let mut change = ended(job, 1);
    (change.reason, change.host) = (Some(odd.into()), Some(odd.into()));
    store.apply(&[change]).unwrap();
    let row = store.batch(id).unwrap().unwrap();
    assert_eq!((row.name.as_str(), row.terminal.as_deref(), row.user.as_str()), (odd, Some(odd), "null"));
    assert_eq!(row.spec().unwrap().name, odd);
    let row = store.job(job).unwrap().unwrap();
    assert_eq!((row.reason.as_deref(), row.host.as_deref()), (Some(odd), Some(odd)));
}

#[test]
fn a_batch_with_megabytes_of_arguments_is_a_batch() {
    let root = tempfile::tempdir().unwrap();
    let mut store = open(root.path());
    let mut new = batch(1, 1, JobState::Queued);
    let argument = cluster_core::ByteString(vec![b'"'; 2 << 20]);
    new.spec.command = cluster_core::Command::Argv(vec!["echo".into(), argument]);
    let spec = new.spec.clone();
    let id = store.accept(&[new]).unwrap()[0];
    assert_eq!(store.batch(id).unwrap().unwrap().spec().unwrap(), spec);
    store.apply(&[ended(JobId { batch: id, index: 0 }, 0)]).unwrap();
}

#[test]
fn what_cannot_begin_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let mut store = open(root.path());
    let refused = store.accept(&[batch(1, 1, JobState::Queued), batch(2, 1, JobState::Running)]);
    assert!(matches!(refused, Err(StoreError::BadState { state: JobState::Running })));
    assert!(store.batches(&BatchFilter::default(), None).unwrap().is_empty());
    let id = store.accept(&[batch(1, 3, JobState::Queued)]).unwrap()[0];
    let again =
        store.resubmit(id, &IndexSet::range(0, 2), &Tag::from_bits(9), JobState::Queued, Timestamp(3));
    assert!(matches!(again, Err(StoreError::NotEnded { count: 2, first: 0, .. })));
    let none = store.resubmit(id, &IndexSet::new(), &Tag::from_bits(9), JobState::Queued, Timestamp(3));
    assert!(matches!(none, Err(StoreError::NoJobs(_))));
    assert_eq!(store.batch(id).unwrap().unwrap().rows, 0);
}

#[test]
fn an_export_has_a_line_for_each_row() {
    let root = tempfile::tempdir().unwrap();
    let mut store = open(root.path());
    let id = store.accept(&[batch(1, 3, JobState::Queued)]).unwrap()[0];
    store.apply(&[ended(JobId { batch: id, index: 1 }, 0)]).unwrap();
    store.set_meta(id, None, &[("a".into(), "b".into())]).unwrap();
    let mut text = Vec::new();
    store.export(&mut text).unwrap();
    let lines: Vec<serde_json::Value> = text
        .split(|b| *b == b'\n')
        .filter(|l| !l.is_empty())
        .map(|l| serde_json::from_slice(l).unwrap())
        .collect();
    let tables: Vec<_> = lines.iter().map(|line| line["table"].as_str().unwrap_or("-")).collect();
    assert_eq!(tables, ["-", "batch", "submission", "job", "meta"]);
    assert_eq!(lines[0]["format"], "cluster-store");
    assert_eq!(lines[1]["spec"]["name"], "name");
}

#[test]
fn a_durable_store_and_a_synced_one_lose_nothing() {
    let root = tempfile::tempdir().unwrap();
    let options = OpenOptions { create: true, durable: true, ..OpenOptions::default() };
    let mut durable = Store::open(root.path(), &options).unwrap();
    let mut other = open(root.path());
    other.accept(&[batch(1, 3, JobState::Queued)]).unwrap();
    other.sync().unwrap();
    assert_eq!(durable.batches(&BatchFilter::default(), None).unwrap().len(), 1);
    durable.close().unwrap();
    other.close().unwrap();
    assert!(!root.path().join("store.db-wal").exists());
}
