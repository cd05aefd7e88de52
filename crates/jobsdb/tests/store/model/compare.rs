//! Everything that can be asked of the store is what the model says.

use std::collections::BTreeMap;

use cluster_core::JobState::{self, Failed, Held, Queued, Running, Succeeded, Suspended, Unknown};
use cluster_core::{IndexSet, JobId};
use cluster_jobsdb::{JobQuery, Store};
use proptest::prelude::*;

use super::job::Job;
use super::{Batch, Model, id};

impl Model {
    pub(super) fn compare(&self, store: &mut Store) -> Result<(), TestCaseError> {
        for (place, batch) in self.batches.iter().enumerate() {
            let row = store.batch(id(place)).unwrap().unwrap();
            let counts = JobState::ALL.map(|s| batch.jobs.iter().filter(|job| job.state == s).count() as u64);
            prop_assert_eq!(JobState::ALL.map(|s| row.count_of(s)), counts);
            for state in JobState::ALL {
                let expected: IndexSet =
                    (0u32..).zip(&batch.jobs).filter(|(_, job)| job.state == state).map(|(i, _)| i).collect();
                prop_assert_eq!(store.indices_in(id(place), &[state]).unwrap(), expected);
            }
            self.compare_pages(store, place, batch)?;
            let k: Vec<_> = store.submissions(id(place)).unwrap().into_iter().map(|s| (s.k, s.tag)).collect();
            prop_assert_eq!(k, (0..).zip(batch.submissions.clone()).collect::<Vec<_>>());
        }
        self.compare_chunks(store)?;
        self.compare_unfinished(store)?;
        let report = store.check().unwrap();
        prop_assert!(report.is_sound(), "{:?}", report);
        Ok(())
    }

    fn compare_pages(&self, store: &mut Store, place: usize, batch: &Batch) -> Result<(), TestCaseError> {
        for states in
            [None, Some(vec![Failed]), Some(vec![Queued, Running]), Some(vec![Held, Succeeded, Failed])]
        {
            let expected: Vec<(u32, Job)> = (0u32..)
                .zip(&batch.jobs)
                .filter(|(_, job)| states.as_ref().is_none_or(|states| states.contains(&job.state)))
                .map(|(i, job)| (i, Job { earlier: BTreeMap::new(), ..job.clone() }))
                .collect();
            let mut seen = Vec::new();
            let mut after = None;
            loop {
                let query = JobQuery { jobs: None, states: states.clone(), after, limit: 5 };
                let page = store.jobs(id(place), &query).unwrap();
                let Some(last) = page.last() else { break };
                after = Some(last.id.index);
                seen.extend(page.iter().map(|row| (row.id.index, Job::of(row))));
            }
            prop_assert_eq!(seen, expected);
        }
        for (i, job) in (0u32..).zip(&batch.jobs) {
            let one = JobId { batch: id(place), index: i };
            let expected = Job { earlier: BTreeMap::new(), ..job.clone() };
            prop_assert_eq!(Job::of(&store.job(one).unwrap().unwrap()), expected);
            let known = job.earlier.values().chain([job]).filter(|job| job.has_begun());
            let known: Vec<_> = known.collect();
            let runs = store.runs(one).unwrap();
            prop_assert_eq!(runs.len(), known.len());
            for (run, job) in runs.into_iter().zip(known) {
                prop_assert_eq!(
                    (run.run, run.k, run.state, run.cause),
                    (job.run, job.k, job.state, job.cause)
                );
                prop_assert_eq!((run.status, &run.reason, &run.host), (job.status, &job.reason, &job.host));
                prop_assert_eq!((run.pid, run.output, run.usage), (job.pid, job.output, job.usage));
                prop_assert_eq!(run.remote.map(|remote| remote.0), job.remote.clone());
                prop_assert_eq!(run.started.map(|t| t.0), job.started);
                prop_assert_eq!(run.ended.map(|t| t.0), job.ended);
                prop_assert_eq!(run.cancel_requested.map(|t| t.0), job.cancel_requested);
            }
        }
        Ok(())
    }

    fn compare_unfinished(&self, store: &mut Store) -> Result<(), TestCaseError> {
        let unfinished = store.unfinished("local").unwrap();
        let expected = self.batches.iter().filter(|b| b.jobs.iter().any(|job| !job.state.is_end())).count();
        prop_assert_eq!(unfinished.len(), expected);
        for entry in &unfinished {
            let jobs = &self.batches[entry.batch.id.0 as usize - 1].jobs;
            let mut seen = 0;
            for group in &entry.unstarted {
                for index in group.jobs.iter() {
                    let job = &jobs[index as usize];
                    prop_assert_eq!((job.state, job.k, job.run), (group.state, group.k, group.run));
                    prop_assert_eq!(job.priority, group.priority);
                    prop_assert_eq!(job.cancel_requested, group.cancel_requested.map(|t| t.0));
                    seen += 1;
                }
            }
            for started in &entry.started {
                let job = &jobs[started.index as usize];
                prop_assert!(matches!(job.state, Running | Suspended | Unknown));
                prop_assert_eq!((job.state, job.k, job.run), (started.state, started.k, started.run));
                prop_assert_eq!((&job.host, job.pid), (&started.host, started.pid));
                seen += 1;
            }
            prop_assert_eq!(seen, jobs.iter().filter(|job| !job.state.is_end()).count());
        }
        Ok(())
    }

    fn compare_chunks(&self, store: &mut Store) -> Result<(), TestCaseError> {
        let mut open = Vec::new();
        for (place, batch) in self.batches.iter().enumerate() {
            let chunks = store.chunks(id(place)).unwrap();
            prop_assert_eq!(chunks.len(), batch.chunks.len());
            for (row, (k, chunk)) in chunks.iter().zip(&batch.chunks) {
                prop_assert_eq!(
                    (row.k, &row.tag, &row.jobs),
                    (*k, &batch.submissions[*k as usize], &chunk.jobs)
                );
                let runs: Vec<_> = row.jobs.iter().map(|index| row.runs.of(index)).collect();
                prop_assert_eq!(runs, chunk.runs.iter().map(|run| Some(*run)).collect::<Vec<_>>());
                let times = [row.tried, row.doubt, row.sent].map(|time| time.map(|t| t.0));
                prop_assert_eq!(times, [chunk.tried, chunk.doubt, chunk.sent]);
                prop_assert_eq!((row.tries, row.over), (chunk.tries, chunk.over));
                let of_remote = row.remote.iter().flat_map(|remote| store.chunks_of_remote(remote).unwrap());
                prop_assert_eq!(of_remote.count(), usize::from(chunk.sent.is_some()));
            }
            open.extend(chunks.into_iter().filter(|row| !row.over));
        }
        prop_assert_eq!(store.open_chunks("slurm").unwrap(), open);
        Ok(())
    }
}
