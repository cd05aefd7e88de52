//! Measures the store: `cargo run --release -p cluster-jobsdb --example measure [DIRECTORY]`.

#![allow(clippy::print_stdout)]

use std::path::Path;
use std::time::{Duration, Instant};

use cluster_core::{
    BatchId, Cause, ExitStatus, IndexSet, JobId, JobSpec, JobState, RemoteId, Tag, Timestamp,
};
use cluster_jobsdb::{
    BatchFilter, JobChange, JobQuery, NewBatch, NewSubmission, OpenOptions, OutputPlace, RunRecord, Store,
    StoreError, StreamPlace, Unstarted, Usage,
};

const ROUNDS: u64 = 15;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let given = std::env::args_os().nth(1);
    let directory = tempfile::tempdir_in(given.unwrap_or_else(|| std::env::temp_dir().into()))?;
    let root = directory.path();
    let mut tags = 0;
    for durable in [false, true] {
        println!("{}", if durable { "durable (FULL)" } else { "not durable (NORMAL)" });
        let root = &root.join(if durable { "full" } else { "normal" });
        let mut store = open(root, durable)?;
        measure("  accept 1 batch of 1,000,000", || accept(&mut store, &mut tags, 1, 1_000_000))?;
        measure("  accept 100 batches of 1", || accept(&mut store, &mut tags, 100, 1))?;
        let id = newest(&mut store)?;
        let mut next = 0;
        accept(&mut store, &mut tags, 1, 1_000_000)?;
        let batch = BatchId(id.0 + 1);
        measure("  apply 512 ended, without rows", || {
            next += 512;
            store.apply(&ended(batch, next - 512))
        })?;
        measure("  apply the same 512 once more", || store.apply(&ended(batch, next - 512)))?;
        measure("  apply 512 running", || {
            next += 512;
            store.apply(&running(batch, next - 512))
        })?;
        next = 512 * ROUNDS as u32;
        measure("  apply 512 ended, with rows", || {
            next += 512;
            store.apply(&ended(batch, next - 512))
        })?;
        measure("  apply 1 ended", || {
            next += 1;
            store.apply(&ended(batch, 900_000 + next)[..1])
        })?;
    }
    let root = &root.join("normal");
    let mut store = open(root, false)?;
    let batch = BatchId(newest(&mut store)?.0);
    measure("open and list 20 (another has it open)", || list(root, 20))?;
    drop(store);
    std::thread::sleep(Duration::from_millis(200));
    measure("open, list 20 and close (alone)", || {
        let mut store = open(root, false)?;
        store.batches(&BatchFilter::default(), Some(20))?;
        store.close()
    })?;
    let mut store = open(root, false)?;
    measure("list 1,000 batches", || store.batches(&BatchFilter::default(), Some(1000)))?;
    measure("one batch", || store.batch(batch))?;
    measure("one job without a row", || store.job(JobId { batch, index: 800_000 }))?;
    measure("one job with a row", || store.job(JobId { batch, index: 5 }))?;
    let page = |after| JobQuery { jobs: None, states: None, after, limit: 1000 };
    measure("page of 1,000 rows", || store.jobs(batch, &page(None)))?;
    measure("page of 1,000 without rows", || store.jobs(batch, &page(Some(500_000))))?;
    measure("all queued of it", || store.indices_in(batch, &[JobState::Queued]))?;
    measure("outcomes in order, 1,000", || store.outcomes_in_order(batch, 0, 1000))?;
    measure("unfinished", || store.unfinished("local"))?;

    println!("a million rows");
    let start = Instant::now();
    accept(&mut store, &mut tags, 1, 1_000_000)?;
    let whole = newest(&mut store)?;
    let odd: IndexSet = (0..1_000_000).step_by(2).collect();
    store.set_unstarted(whole, Some(&odd), &Unstarted::Held, Timestamp(9))?;
    println!("  {:44} {:9.2} ms", "hold every second of 1,000,000", ms(start.elapsed()));
    once("  release these", || store.set_unstarted(whole, Some(&odd), &Unstarted::Queued, Timestamp(9)))?;
    once("  all queued of it", || store.indices_in(whole, &[JobState::Queued]))?;
    once("  page at the end", || store.jobs(whole, &page(Some(990_000))))?;
    once("  cancel it", || store.set_unstarted(whole, None, &Unstarted::Cancelled, Timestamp(9)))?;
    once("  submit 100,000 of it again", || {
        let again = IndexSet::range(0, 100_000);
        store.resubmit(whole, &again, &Tag::from_bits(1 << 49), JobState::Queued, Timestamp(10))
    })?;
    accept(&mut store, &mut tags, 1, 1_000_000)?;
    let fresh = newest(&mut store)?;
    once("cancel a fresh range of 1,000,000", || {
        store.set_unstarted(fresh, None, &Unstarted::Cancelled, Timestamp(9))
    })?;
    chunks(&mut store)?;
    once("check", || store.check())?;
    Ok(())
}

/// A batch that goes to a scheduler in as many arrays as its limit makes of it.
fn chunks(store: &mut Store) -> Result<(), Box<dyn std::error::Error>> {
    println!("100,000 jobs in 100 submissions to a scheduler");
    let mut spec = JobSpec::single("far", vec!["true".into()], "/".into());
    spec.count = 100_000;
    let tag = |k: u32| Tag::from_bits(1 << 48 | u64::from(k));
    let submissions =
        (0..100).map(|k| NewSubmission::new(tag(k), IndexSet::range(k * 1000, (k + 1) * 1000))).collect();
    let new = NewBatch::new(tag(0), spec, "slurm", "slurm", JobState::Submitting, "me", Timestamp(1));
    let new = [NewBatch { submissions, ..new }];
    once("  accept it", || store.accept(&new))?;
    let batch = newest(store)?;
    let (mut sent, mut missing, mut kept) = (0, 0, 0);
    measure("  one was sent", || {
        sent += 1;
        store.mark_sent(batch, sent, &RemoteId(sent.to_string()), Timestamp(2), false)
    })?;
    measure("  list the open ones", || store.open_chunks("slurm"))?;
    measure("  1,000 jobs are missing", || {
        missing += 1000;
        store.set_missing(batch, &IndexSet::range(missing, missing + 1000), Some(Timestamp(3)))
    })?;
    measure("  another reason for 1,000 jobs", || {
        missing += 1000;
        let to = Unstarted::Waiting { held: false, reason: Some(missing.to_string()) };
        store.set_unstarted(batch, Some(&IndexSet::range(0, 1000)), &to, Timestamp(4))
    })?;
    measure("  keep 1,000 records of 2 kB", || {
        kept += 1000;
        let records: Vec<_> = (kept..kept + 1000).map(|index| record(JobId { batch, index })).collect();
        store.set_records(&records)
    })?;
    Ok(())
}

/// A record with about as much in it as a scheduler's.
fn record(job: JobId) -> RunRecord {
    let text: String = (0..80).map(|field| format!("Field{field}=value-of-{}-{field} ", job.index)).collect();
    RunRecord { job, run: 1, source: "scontrol".to_owned(), at: Timestamp(5), text: text.into_bytes() }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn once<T>(what: &str, work: impl FnOnce() -> Result<T, StoreError>) -> Result<(), StoreError> {
    let start = Instant::now();
    work()?;
    println!("{what:46} {:9.2} ms", ms(start.elapsed()));
    Ok(())
}

fn measure<T>(what: &str, mut work: impl FnMut() -> Result<T, StoreError>) -> Result<(), StoreError> {
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let start = Instant::now();
        work()?;
        times.push(ms(start.elapsed()));
    }
    times.sort_by(f64::total_cmp);
    println!(
        "{what:46} {:9.2} ms  (min {:.2}, max {:.2})",
        times[times.len() / 2],
        times[0],
        times[times.len() - 1]
    );
    Ok(())
}

fn open(root: &Path, durable: bool) -> Result<Store, StoreError> {
    Store::open(root, &OpenOptions { create: true, durable, ..OpenOptions::default() })
}

fn list(root: &Path, limit: u32) -> Result<(), StoreError> {
    let mut store = open(root, false)?;
    store.batches(&BatchFilter::default(), Some(limit))?;
    Ok(())
}

fn newest(store: &mut Store) -> Result<BatchId, StoreError> {
    Ok(store.batches(&BatchFilter::default(), Some(1))?.first().map_or(BatchId(0), |batch| batch.id))
}

fn accept(store: &mut Store, tags: &mut u64, batches: u64, count: u32) -> Result<(), StoreError> {
    let new = (0..batches).map(|_| {
        *tags += 1;
        let mut spec =
            JobSpec::single("measure", vec!["true".into(), "one".into(), "two".into()], "/".into());
        spec.count = count;
        NewBatch::new(Tag::from_bits(*tags), spec, "local", "local", JobState::Queued, "me", Timestamp(1))
    });
    store.accept(&new.collect::<Vec<_>>()).map(drop)
}

fn running(batch: BatchId, first: u32) -> Vec<JobChange> {
    let change = |index| JobChange {
        started: Some(Timestamp(1_790_000_000_000_000)),
        host: Some("node-17".to_owned()),
        pid: Some(4711),
        ..JobChange::new(JobId { batch, index }, 0, 1, JobState::Running, Timestamp(1_790_000_000_000_000))
    };
    (first..first + 512).map(change).collect()
}

fn ended(batch: BatchId, first: u32) -> Vec<JobChange> {
    let change = |mut change: JobChange| {
        let index = change.job.index;
        change.state = JobState::Succeeded;
        change.cause = Some(Cause::Exit(0));
        change.status = Some(ExitStatus::Exit(0));
        change.at = Timestamp(1_790_000_000_001_000 + i64::from(index));
        change.ended = Some(change.at);
        change.output = Some(OutputPlace {
            pack: 0,
            out: StreamPlace::Pack { offset: u64::from(index) * 100, len: 100 },
            err: StreamPlace::Pack { offset: 0, len: 0 },
        });
        change.usage = Some(Usage { cpu_us: 1234, max_rss_kb: 3210 });
        change
    };
    running(batch, first).into_iter().map(change).collect()
}
