use proptest::prelude::*;

use super::*;

fn work(batch: u64, cores: u32, jobs: u32) -> NewWork {
    NewWork {
        key: (0, BatchId(batch)),
        k: 0,
        run: 1,
        need: Amount { cores, mem_mb: 0 },
        priority: 0,
        jobs: IndexSet::range(0, jobs),
        held: IndexSet::new(),
        max_running: None,
        blockers: Vec::new(),
    }
}

fn queue(cores: u32) -> Queue {
    Queue::new(Amount { cores, mem_mb: 1000 })
}

fn key(batch: u64) -> BatchKey {
    (0, BatchId(batch))
}

/// Starts all that can; the batches in order.
fn start_all(queue: &mut Queue) -> Vec<(u64, u32)> {
    std::iter::from_fn(|| queue.start_next()).map(|start| (start.key.1.0, start.index)).collect()
}

fn after(kind: DependencyKind, batch: u64, jobs: u32) -> Blocker {
    Blocker { kind, batch: BatchId(batch), waiting: IndexSet::range(0, jobs) }
}

#[test]
fn priority_goes_before_age() {
    let mut queue = queue(3);
    queue.push(work(1, 1, 2));
    queue.push(NewWork { priority: 5, ..work(2, 1, 1) });
    assert_eq!(start_all(&mut queue), [(2, 0), (1, 0), (1, 1)]);
    assert_eq!(queue.taken().cores, 3);
}

#[test]
fn a_large_job_is_not_starved_by_small_ones() {
    let mut queue = queue(4);
    queue.push(work(1, 1, 3));
    assert_eq!(start_all(&mut queue).len(), 3);
    queue.push(work(2, 4, 1));
    queue.push(work(3, 1, 100));
    assert_eq!(start_all(&mut queue), [], "the free core is kept for the large one");
    for _ in 0..3 {
        queue.finished(key(1), Amount { cores: 1, mem_mb: 0 });
    }
    assert_eq!(start_all(&mut queue), [(2, 0)]);
    queue.finished(key(2), Amount { cores: 4, mem_mb: 0 });
    assert_eq!(start_all(&mut queue).len(), 4);
}

#[test]
fn what_fits_beside_the_kept_part_starts() {
    let mut queue = queue(4);
    queue.push(NewWork { need: Amount { cores: 1, mem_mb: 600 }, ..work(1, 1, 1) });
    assert_eq!(start_all(&mut queue).len(), 1);
    queue.push(NewWork { need: Amount { cores: 1, mem_mb: 900 }, ..work(2, 1, 1) });
    queue.push(work(3, 1, 5));
    // The core of the first is the second's when its memory falls free.
    assert_eq!(start_all(&mut queue), [(3, 0), (3, 1), (3, 2)]);
    queue.finished(key(1), Amount { cores: 1, mem_mb: 600 });
    assert_eq!(start_all(&mut queue), [(2, 0)]);
}

#[test]
fn what_delays_nobody_starts_beside_a_large_job_that_waits() {
    let mut queue = queue(5);
    let cores = |cores| Amount { cores, mem_mb: 0 };
    queue.push(work(1, 3, 1));
    assert_eq!(start_all(&mut queue), [(1, 0)]);
    queue.push(work(2, 4, 1));
    queue.push(work(3, 1, 9));
    // Of five cores the large one needs four: one job may run beside it, one after the other.
    assert_eq!(start_all(&mut queue), [(3, 0)]);
    queue.finished(key(3), cores(1));
    assert_eq!(start_all(&mut queue), [(3, 1)]);
    queue.finished(key(1), cores(3));
    assert_eq!(start_all(&mut queue), [(2, 0)]);
}

#[test]
fn those_of_a_batch_that_ran_before_are_not_taken_for_those_beside() {
    let mut queue = queue(5);
    let one = Amount { cores: 1, mem_mb: 0 };
    queue.push(work(1, 1, 3));
    assert_eq!(start_all(&mut queue).len(), 3);
    queue.push(NewWork { priority: 1, ..work(2, 4, 1) });
    queue.push(NewWork { jobs: IndexSet::range(3, 100), ..work(1, 1, 3) });
    assert_eq!(start_all(&mut queue).len(), 1);
    // However they end, the large one gets its turn once the three are over.
    for _ in 0..3 {
        queue.finished(key(1), one);
        let started = start_all(&mut queue);
        assert!(started.is_empty() || started == [(2, 0)], "{started:?}");
    }
    assert_eq!(queue.taken().cores, 5);
}

#[test]
fn what_can_never_fit_keeps_nothing() {
    let mut queue = queue(4);
    queue.push(work(1, 4, 1));
    queue.push(work(2, 1, 1));
    queue.set_capacity(Amount { cores: 2, mem_mb: 1000 });
    assert_eq!(start_all(&mut queue), [(2, 0)]);
}

#[test]
fn at_most_max_running_of_a_batch() {
    let mut queue = queue(8);
    queue.push(NewWork { max_running: Some(2), ..work(1, 1, 5) });
    assert_eq!(start_all(&mut queue).len(), 2);
    queue.push(work(2, 1, 1));
    assert_eq!(start_all(&mut queue), [(2, 0)]);
    queue.finished(key(1), Amount { cores: 1, mem_mb: 0 });
    assert_eq!(start_all(&mut queue), [(1, 2)]);
}

#[test]
fn held_jobs_wait_and_cancelled_ones_leave() {
    let mut queue = queue(8);
    queue.push(work(1, 1, 5));
    assert_eq!(queue.hold(key(1), Some(&"1-2".parse().unwrap())).len(), 2);
    assert_eq!(queue.cancel(key(1), Some(&"2-3".parse().unwrap())).len(), 2);
    assert_eq!(queue.counts(), Counts { queued: 2, held: 1 });
    assert_eq!(start_all(&mut queue), [(1, 0), (1, 4)]);
    assert!(queue.has_unstarted(key(1)));
    assert_eq!(queue.release(key(1), None).to_string(), "1");
    assert_eq!(start_all(&mut queue), [(1, 1)]);
    assert!(!queue.has_unstarted(key(1)));
    assert_eq!(queue.counts(), Counts::default());
}

#[test]
fn a_slice_can_be_moved_forward() {
    let mut queue = queue(2);
    queue.push(work(1, 1, 4));
    queue.set_priority(key(1), Some(&"3".parse().unwrap()), 7);
    assert_eq!(start_all(&mut queue), [(1, 3), (1, 0)]);
}

#[test]
fn each_kind_of_dependency() {
    use DependencyKind::{After, AfterAny, AfterNotOk, AfterOk};
    for (kind, what, starts, doomed) in [
        (AfterOk, Happened::Succeeded, true, false),
        (AfterOk, Happened::Failed, false, true),
        (AfterOk, Happened::Started, false, false),
        (AfterAny, Happened::Failed, true, false),
        (AfterNotOk, Happened::Failed, true, false),
        (AfterNotOk, Happened::Succeeded, false, true),
        (After, Happened::Started, true, false),
    ] {
        let mut queue = queue(2);
        queue.push(NewWork { blockers: vec![after(kind, 1, 1)], ..work(2, 1, 1) });
        assert_eq!(start_all(&mut queue), []);
        let gone = queue.happened(key(1), &IndexSet::range(0, 1), what);
        assert_eq!(!gone.is_empty(), doomed, "{kind:?} {what:?}");
        assert_eq!(!start_all(&mut queue).is_empty(), starts, "{kind:?} {what:?}");
    }
}

#[test]
fn all_jobs_of_an_array_are_waited_for_and_doom_spreads() {
    let mut queue = queue(9);
    queue.push(NewWork { blockers: vec![after(DependencyKind::AfterOk, 1, 3)], ..work(2, 1, 2) });
    queue.push(NewWork { blockers: vec![after(DependencyKind::AfterOk, 2, 2)], ..work(3, 1, 1) });
    queue.push(NewWork { blockers: vec![after(DependencyKind::AfterAny, 3, 1)], ..work(4, 1, 1) });
    assert!(queue.happened(key(1), &IndexSet::range(0, 2), Happened::Succeeded).is_empty());
    assert_eq!(start_all(&mut queue), []);
    let mut news = vec![(key(1), IndexSet::range(2, 3))];
    let mut gone = Vec::new();
    while let Some((key, jobs)) = news.pop() {
        for doomed in queue.happened(key, &jobs, Happened::Failed) {
            gone.push(doomed.key.1.0);
            news.push((doomed.key, doomed.jobs));
        }
    }
    assert_eq!(gone, [2, 3]);
    assert_eq!(start_all(&mut queue), [(4, 0)]);
}

#[test]
fn a_hundred_thousand_single_jobs_are_small() {
    assert!(size_of::<Option<Work>>() <= 56, "{}", size_of::<Option<Work>>());
}

/// The places of works are used again: what waits for a batch must never be found by another's place.
#[test]
fn a_place_that_is_used_again_waits_for_nothing_of_before() {
    let ok = |batch| vec![after(DependencyKind::AfterOk, batch, 1)];
    let one = IndexSet::range(0, 1);
    // However the first one left: cancelled, doomed, started, or with its root.
    type Leave = fn(&mut Queue);
    let ways: [(&str, Leave); 4] = [
        ("cancelled", |queue| drop(queue.cancel(key(2), None))),
        ("doomed", |queue| {
            let doomed = queue.happened(key(9), &IndexSet::range(0, 1), Happened::Failed);
            assert_eq!(doomed.len(), 1);
        }),
        ("started", |queue| {
            for batch in [1, 9] {
                queue.happened(key(batch), &IndexSet::range(0, 1), Happened::Succeeded);
            }
            assert_eq!(start_all(queue), [(2, 0)]);
        }),
        ("with its root", |queue| queue.remove_root(0)),
    ];
    for (way, leave) in ways {
        let mut queue = queue(8);
        // Somebody who stays, so that the list of places is not emptied.
        queue.push(NewWork {
            key: (5, BatchId(1)),
            held: one.clone(),
            jobs: IndexSet::new(),
            ..work(1, 1, 1)
        });
        queue.push(NewWork { blockers: [ok(1), ok(9)].concat(), ..work(2, 1, 1) });
        leave(&mut queue);
        assert!(!queue.has_dependents(key(9)), "{way}");
        // In its place, waiting for another batch, also one of the same number in another root.
        queue.push(NewWork { blockers: ok(4), ..work(3, 1, 1) });
        queue.push(NewWork { key: (5, BatchId(6)), blockers: ok(1), ..work(6, 1, 1) });
        for what in [Happened::Failed, Happened::Succeeded] {
            assert_eq!(queue.happened(key(1), &one, what), [], "{way}");
            assert_eq!(queue.happened(key(9), &one, what), [], "{way}");
        }
        assert_eq!(start_all(&mut queue), [], "{way}: nothing that it waits for happened");
        assert_eq!(queue.happened(key(4), &one, Happened::Succeeded), []);
        assert_eq!(start_all(&mut queue), [(3, 0)], "{way}");
        assert_eq!(queue.happened((5, BatchId(1)), &one, Happened::Failed).len(), 1, "{way}");
    }
}

#[derive(Debug, Clone)]
enum Step {
    Push { cores: u32, jobs: u32, priority: i32, limit: Option<u32> },
    StartAll,
    Finish(usize),
    Hold(u64, u32),
    Release(u64),
    Cancel(u64, u32),
    Prioritise(u64, u32, i32),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (1u32..4, 1u32..6, -1i32..2, proptest::option::of(1u32..3))
            .prop_map(|(cores, jobs, priority, limit)| Step::Push { cores, jobs, priority, limit }),
        4 => Just(Step::StartAll),
        4 => any::<usize>().prop_map(Step::Finish),
        1 => (1u64..40, 0u32..6).prop_map(|(batch, from)| Step::Hold(batch, from)),
        1 => (1u64..40).prop_map(Step::Release),
        1 => (1u64..40, 0u32..6).prop_map(|(batch, from)| Step::Cancel(batch, from)),
        1 => (1u64..40, 0u32..6, -1i32..2).prop_map(|(batch, from, to)| Step::Prioritise(batch, from, to)),
    ]
}

proptest! {
    /// Whatever is asked: never more taken than there is, each job starts once or leaves once, and at
    /// the end all have.
    #[test]
    fn every_job_starts_once_or_leaves_once(steps in proptest::collection::vec(step(), 0..60)) {
        let mut queue = queue(4);
        let mut expected = BTreeSet::new();
        let mut seen = BTreeSet::new();
        let mut running: Vec<Start> = Vec::new();
        let mut limits = HashMap::new();
        let mut next_batch = 0;
        let from = |from: u32| IndexSet::range(from, 100);
        let mut start = |queue: &mut Queue, running: &mut Vec<Start>, limits: &HashMap<u64, u32>| {
            while let Some(start) = queue.start_next() {
                assert!(seen.insert((start.key.1.0, start.index)), "{start:?} twice");
                running.push(start);
                assert!(queue.taken().cores <= 4);
                let of_batch = running.iter().filter(|other| other.key == start.key).count();
                if let Some(&limit) = limits.get(&start.key.1.0) {
                    assert!(of_batch <= limit as usize);
                }
            }
        };
        let mut gone = BTreeSet::new();
        for step in steps {
            match step {
                Step::Push { cores, jobs, priority, limit } => {
                    next_batch += 1;
                    expected.extend((0..jobs).map(|index| (next_batch, index)));
                    if let Some(limit) = limit {
                        limits.insert(next_batch, limit);
                    }
                    queue.push(NewWork { priority, max_running: limit, ..work(next_batch, cores, jobs) });
                }
                Step::StartAll => start(&mut queue, &mut running, &limits),
                Step::Finish(which) if !running.is_empty() => {
                    let over = running.swap_remove(which % running.len());
                    queue.finished(over.key, over.need);
                }
                Step::Finish(_) => {}
                Step::Hold(batch, low) => drop(queue.hold(key(batch), Some(&from(low)))),
                Step::Release(batch) => drop(queue.release(key(batch), None)),
                Step::Cancel(batch, low) => {
                    gone.extend(queue.cancel(key(batch), Some(&from(low))).iter().map(|index| (batch, index)));
                }
                Step::Prioritise(batch, low, to) => drop(queue.set_priority(key(batch), Some(&from(low)), to)),
            }
        }
        for batch in 1..=next_batch {
            queue.release(key(batch), None);
        }
        loop {
            start(&mut queue, &mut running, &limits);
            let Some(over) = running.pop() else { break };
            queue.finished(over.key, over.need);
        }
        prop_assert_eq!(queue.counts(), Counts::default());
        prop_assert!(seen.is_disjoint(&gone));
        seen.extend(gone);
        prop_assert_eq!(seen, expected);
    }
}
