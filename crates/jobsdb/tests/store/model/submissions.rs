//! Batches as they come in, go out again, and go through a scheduler.

use std::collections::BTreeMap;

use cluster_core::JobState::Created;
use cluster_core::{IndexSet, JobState, RemoteId, RunNumber, SubmissionNumber, Tag, Timestamp};
use cluster_jobsdb::{NewSubmission, Store, StoreError, Unstarted};
use proptest::prelude::*;

use super::job::Job;
use super::op::{BATCHES, Mark, Op};
use super::{Batch, Model, chosen, id};

/// How a submission went to its scheduler.
#[derive(Debug, Clone, Default)]
pub(super) struct Chunk {
    pub(super) jobs: IndexSet,
    /// In the order of the jobs.
    pub(super) runs: Vec<RunNumber>,
    pub(super) tried: Option<i64>,
    pub(super) tries: u32,
    pub(super) doubt: Option<i64>,
    pub(super) sent: Option<i64>,
    pub(super) over: bool,
}

/// Jobs dealt out to as many submissions, as far as there are enough.
fn deal(jobs: &IndexSet, parts: usize, tag: u64) -> Vec<NewSubmission> {
    let dealt = (0..parts).map(|part| jobs.iter().skip(part).step_by(parts).collect::<IndexSet>());
    let tags = std::iter::once(tag).chain(tag * 100 + 1000..);
    let dealt = dealt.filter(|jobs| !jobs.is_empty());
    tags.zip(dealt).map(|(tag, jobs)| NewSubmission::new(Tag::from_bits(tag), jobs)).collect()
}

impl Batch {
    /// Notes submissions whose jobs have begun.
    fn note(&mut self, new: Vec<NewSubmission>) {
        for new in new {
            let runs = new.jobs.iter().map(|i| self.jobs[i as usize].run).collect();
            let chunk = Chunk { jobs: new.jobs, runs, ..Chunk::default() };
            self.chunks.insert(self.submissions.len() as SubmissionNumber, chunk);
            self.submissions.push(new.tag);
        }
    }
}

impl Model {
    pub(super) fn accept(
        &mut self,
        store: &mut Store,
        op: &Op,
        time: Timestamp,
    ) -> Result<(), TestCaseError> {
        let &Op::Accept { tag, count, state, priority, parts } = op else { return Ok(()) };
        if !self.tags.contains_key(&tag) && self.batches.len() == BATCHES {
            return Ok(());
        }
        let mut new = crate::batch(tag, count, state);
        (new.spec.priority, new.at) = (priority, time);
        new.submissions = deal(&IndexSet::range(0, count), parts, tag);
        if parts > 0 {
            new.system = "slurm".to_owned();
        }
        let made = store.accept(&[new.clone(), new.clone()]).unwrap();
        let &mut (place, _) = self.tags.entry(tag).or_insert_with(|| {
            let mut jobs = vec![Job::new(state, priority, time.0); count as usize];
            for (k, new) in (0..).zip(&new.submissions) {
                new.jobs.iter().for_each(|i| jobs[i as usize].k = k);
            }
            let mut batch = Batch { jobs, submissions: Vec::new(), chunks: BTreeMap::new() };
            if parts == 0 {
                batch.submissions.push(Tag::from_bits(tag));
            }
            batch.note(new.submissions);
            self.batches.push(batch);
            (self.batches.len() - 1, 0)
        });
        prop_assert_eq!(made, vec![id(place); 2]);
        Ok(())
    }

    pub(super) fn resubmit(
        &mut self,
        store: &mut Store,
        op: &Op,
        time: Timestamp,
    ) -> Result<(), TestCaseError> {
        let Op::Resubmit { batch, jobs, tag, state, parts } = op else { return Ok(()) };
        // The batch as a whole either goes through a scheduler or does not.
        let parts = match self.batches.get(*batch) {
            Some(entry) if entry.chunks.is_empty() => 0,
            _ => (*parts).max(1),
        };
        let submissions = deal(jobs, parts, *tag);
        let result = if parts == 0 {
            store.resubmit(id(*batch), jobs, &Tag::from_bits(*tag), *state, time).map(|k| vec![k])
        } else {
            store.resubmit_chunks(id(*batch), &submissions, *state, time)
        };
        if let Some((_, k)) = self.tags.get(tag) {
            prop_assert_eq!(result.unwrap()[0], *k);
            return Ok(());
        }
        let Some(entry) = self.batches.get_mut(*batch) else {
            prop_assert!(matches!(result, Err(StoreError::UnknownBatch(_))));
            return Ok(());
        };
        let Some(chosen) = chosen(entry, Some(jobs)) else {
            let unknown = matches!(result, Err(StoreError::UnknownJob { .. }));
            prop_assert!(unknown);
            return Ok(());
        };
        let stuck = |i: &&usize| !entry.jobs[**i].state.is_end() && entry.jobs[**i].state != Created;
        let stuck: Vec<_> = chosen.iter().filter(stuck).collect();
        if let Some(expected) = stuck.first() {
            let Err(StoreError::NotEnded { count, first, .. }) = result else {
                return Err(TestCaseError::fail("resubmitted jobs that had not ended"));
            };
            prop_assert_eq!((count as usize, first as usize), (stuck.len(), **expected));
            return Ok(());
        }
        let k = entry.submissions.len() as SubmissionNumber;
        let ks: Vec<_> = (k..).take(submissions.len().max(1)).collect();
        prop_assert_eq!(result.unwrap(), ks);
        self.tags.insert(*tag, (*batch, k));
        for i in chosen {
            let k = k + submissions.iter().position(|new| new.jobs.contains(i as u32)).unwrap_or(0) as u32;
            again(&mut entry.jobs[i], k, *state, time.0);
        }
        if parts == 0 {
            entry.submissions.push(Tag::from_bits(*tag));
        }
        entry.note(submissions);
        Ok(())
    }

    pub(super) fn mark(
        &mut self,
        store: &mut Store,
        batch: usize,
        k: SubmissionNumber,
        mark: &Mark,
        time: Timestamp,
    ) -> Result<(), TestCaseError> {
        let (place, now) = (id(batch), time.0);
        let remote = RemoteId(format!("{batch}.{k}"));
        let result = match mark {
            Mark::Tried => store.mark_tried(place, k, time).map(|()| 0),
            Mark::Doubt => store.mark_doubt(place, k, time).map(|()| 0),
            Mark::Over => store.mark_over(place, k).map(|()| 0),
            Mark::Sent { held } => store.mark_sent(place, k, &remote, time, *held),
            Mark::Refused { cause } => store.mark_refused(place, k, *cause, "no", time),
        };
        let Some(entry) = self.batches.get_mut(batch) else {
            prop_assert!(result.is_err());
            return Ok(());
        };
        let Some(chunk) = entry.chunks.get_mut(&k) else {
            let unknown = matches!(result, Err(StoreError::UnknownSubmission { .. }));
            prop_assert!(unknown);
            return Ok(());
        };
        let to = match mark {
            Mark::Tried => {
                (chunk.tried, chunk.tries) = (Some(now), chunk.tries + 1);
                None
            }
            Mark::Doubt => {
                chunk.doubt = Some(now);
                None
            }
            Mark::Over => {
                chunk.over = true;
                None
            }
            Mark::Sent { held } => {
                (chunk.sent, chunk.doubt) = (Some(now), None);
                Some(Unstarted::Sent { held: *held })
            }
            Mark::Refused { cause } => {
                chunk.over = true;
                Some(Unstarted::Ended { cause: *cause, reason: Some("no".to_owned()) })
            }
        };
        let mut changed = 0;
        for index in chunk.jobs.iter() {
            let job = &mut entry.jobs[index as usize];
            changed += u64::from(job.k == k && to.as_ref().is_some_and(|to| job.move_to(to, now)));
        }
        prop_assert_eq!(result.unwrap(), changed);
        Ok(())
    }
}

/// The job in a further submission.
fn again(job: &mut Job, k: SubmissionNumber, state: JobState, at: i64) {
    if job.state.is_end() {
        job.next_run(job.run + 1, k, state, at);
        return;
    }
    *job = Job {
        run: job.run,
        k,
        collected: job.collected,
        cleaned: job.cleaned,
        earlier: std::mem::take(&mut job.earlier),
        ..Job::new(state, job.priority, at)
    };
}
