//! A batch for a scheduler, as it was planned: recorded, written, sent; and sent again.

use std::fs;
use std::io;
use std::time::Duration;

use cluster_core::job_script::{Gate, JobRange, Scheduled, ScriptPlace, moved, ranges_of, render, shard};
use cluster_core::{
    BatchId, ByteString, Cause, IndexSet, JobSpec, JobState, SubmissionNumber, Tag, Timestamp,
};
use cluster_jobsdb::{ChunkRow, FileSystem, NewBatch, NewSubmission};
use cluster_localqueue::files::make_private_dir;

use crate::client::{Again, Client, SubmitOptions, draw_tag};
use crate::error::ClientError;
use crate::local::{DiskSubmission, write_new, write_private};
use crate::scheduler::cut::Throttle;
use crate::scheduler::depend::Resolved;
use crate::scheduler::lock::SendLock;
use crate::scheduler::plan::Plan;
use crate::scheduler::send::{HandedOver, Sending, send};
use crate::stage::{Stage, is_made};
use crate::system::System;

/// A batch that was recorded, and what came of sending it, by submission.
#[derive(Debug)]
pub struct Sent {
    /// The batch.
    pub batch: BatchId,
    /// Each of its submissions.
    pub submissions: Vec<(SubmissionNumber, Sending)>,
}

/// Another process that sends something of the same batch is waited for so long.
const LOCK_PATIENCE: Duration = Duration::from_secs(20);

impl Client {
    /// Hands a batch over to a scheduler. When this returns it is in the store; whether the scheduler has it
    /// is told for each submission. `say` gets what a person who waits should know.
    ///
    /// # Errors
    /// Where nothing was recorded, or the store or the files fail afterwards.
    pub fn submit_to(
        &mut self,
        system: &System,
        stage: Stage,
        spec: &JobSpec,
        options: &SubmitOptions,
        plan: &Plan,
        say: &mut dyn FnMut(&str),
    ) -> Result<Sent, ClientError> {
        let now = Timestamp::now();
        self.ensure_store()?;
        let new = submissions(plan, options.hold, false, stage.tag())?;
        let later = matches!(plan.resolved, Resolved::Later(_));
        let state = if later { JobState::Created } else { JobState::Submitting };
        let batch = NewBatch {
            terminal: self.terminal(),
            parent: options.parent,
            meta: options.meta.clone(),
            submissions: new.clone(),
            ..NewBatch::new(
                stage.tag().clone(),
                spec.clone(),
                system.name(),
                system.dialect().name(),
                state,
                self.user(),
                now,
            )
        };
        // Held from before the batch is there: nobody else takes its submissions for left behind.
        let dir = self.layout().stage(stage.tag());
        let _lock = SendLock::take(&dir).map_err(|e| ClientError::file("lock", &dir, e))?;
        let batch = self.store()?.accept(&[batch])?[0];
        stage.keep();
        let chunks: Vec<_> = (0..).zip(&new).map(|(k, new)| ChunkRow::new(batch, k, new, now)).collect();
        self.make_files(system, &chunks, spec, plan)?;
        let submissions = self.send_all(system, &chunks, spec, &plan.resolved, say)?;
        Ok(Sent { batch, submissions })
    }

    /// Sends ended jobs of a batch again, as few arrays as can be.
    ///
    /// # Errors
    /// Where some have not ended, and as [`Self::submit_to`].
    pub fn resubmit_to(
        &mut self,
        system: &System,
        batch: BatchId,
        jobs: &IndexSet,
        again: &Again,
        say: &mut dyn FnMut(&str),
    ) -> Result<Sent, ClientError> {
        let dir = self.layout().batch(batch);
        if !dir.is_dir() {
            return Err(ClientError::Usage(format!(
                "the files of batch {batch} were cleaned: submit it anew"
            )));
        }
        let Again { spec, keep_script, hold } = again;
        self.refuse_waiting_for_itself(batch, jobs, spec)?;
        let plan = self.plan_for(system, spec, jobs)?;
        let _lock = SendLock::wait(&dir, LOCK_PATIENCE).map_err(|e| ClientError::file("lock", &dir, e))?;
        let last = self.store()?.submissions(batch)?.iter().map(|one| one.k).max().unwrap_or(0);
        let tag = draw_tag().map_err(|e| ClientError::file("read", "/dev/urandom", e))?;
        let submissions = submissions(&plan, *hold, *keep_script, &tag)?;
        // Before anything is recorded: without it nothing is sent.
        let kept = match keep_script {
            true => {
                let path = self.layout().script(batch, last);
                Some(fs::read(&path).map_err(|e| ClientError::file("read", &path, e))?)
            }
            false => None,
        };
        let later = matches!(plan.resolved, Resolved::Later(_));
        let state = if later { JobState::Created } else { JobState::Submitting };
        let ks = self.store()?.resubmit_chunks(batch, &submissions, state, Timestamp::now())?;
        self.store()?.set_priority(batch, Some(jobs), spec.priority)?;
        let chunks: Vec<ChunkRow> =
            self.store()?.chunks(batch)?.into_iter().filter(|chunk| ks.contains(&chunk.k)).collect();
        for chunk in &chunks {
            self.write_submission(system, chunk, spec, &plan, kept.as_deref())
                .map_err(|e| ClientError::file("write to", &dir, e))?;
        }
        let submissions = self.send_all(system, &chunks, spec, &plan.resolved, say)?;
        Ok(Sent { batch, submissions })
    }

    /// The first submission makes the store.
    pub(crate) fn ensure_store(&mut self) -> Result<(), ClientError> {
        if self.layout().root().join("store.db").exists() { Ok(()) } else { self.init() }
    }

    fn send_all(
        &mut self,
        system: &System,
        chunks: &[ChunkRow],
        spec: &JobSpec,
        resolved: &Resolved,
        say: &mut dyn FnMut(&str),
    ) -> Result<Vec<(SubmissionNumber, Sending)>, ClientError> {
        let retries = self.scheduling().submit_retries;
        let layout = self.layout().clone();
        let mut done = Vec::with_capacity(chunks.len());
        let mut out_of_reach = false;
        for chunk in chunks {
            let sending = match resolved {
                Resolved::Never(why) => {
                    let cause = Cause::DependencyNeverSatisfied;
                    self.store()?.mark_refused(chunk.batch, chunk.k, cause, why, Timestamp::now())?;
                    Sending::Never(why.clone())
                }
                Resolved::Later(why) => Sending::Later(why.clone()),
                // What the first could not reach in all its tries, the next will not either.
                Resolved::Ready(_) => {
                    let retries = if out_of_reach { 0 } else { retries };
                    let sending = send(self.store()?, &layout, system, chunk, spec, retries, say)?;
                    if matches!(sending, Sending::Accepted(_)) {
                        // Somebody may have cancelled it while it was on its way.
                        self.cancel_late(system, chunk)?;
                    }
                    sending
                }
            };
            out_of_reach |= matches!(sending, Sending::OutOfReach(_) | Sending::Uncertain(_));
            done.push((chunk.k, sending));
        }
        Ok(done)
    }

    /// Gives a batch, whose chunks these are, its directory, scripts and words. Done again, it changes nothing.
    pub(crate) fn make_files(
        &mut self,
        system: &System,
        chunks: &[ChunkRow],
        spec: &JobSpec,
        plan: &Plan,
    ) -> Result<(), ClientError> {
        let Some(first) = chunks.first() else { return Ok(()) };
        let batch = first.batch;
        let dir = self.layout().batch(batch);
        let stage = self.layout().stage(&first.tag);
        let made = (|| -> io::Result<()> {
            if !is_made(&stage, &dir)? {
                write_private(&stage.join("job.0.json"), &serde_json::to_vec(spec)?)?;
                for chunk in chunks {
                    let script = self.script(system, chunk, spec, plan);
                    write_private(&stage.join(format!("job.{}.sh", chunk.k)), &script)?;
                }
                fs::rename(&stage, &dir)?;
            }
            // Also where the directory is there: a client may have been killed just here.
            let last = shard(spec.count.saturating_sub(1));
            let complete = (0..=last).all(|number| {
                dir.join(format!("cmd/{number}.sh")).exists() && dir.join(number.to_string()).is_dir()
            });
            if complete {
                return Ok(());
            }
            DiskSubmission::read(self.layout(), batch, 0)?.write_all_words()?;
            (0..=last).try_for_each(|number| make_private_dir(&dir.join(number.to_string())))
        })();
        made.map_err(|error| {
            let why = format!("its files cannot be written: {error}");
            for chunk in chunks {
                let now = Timestamp::now();
                let store = self.store();
                let _ =
                    store.map(|store| store.mark_refused(batch, chunk.k, Cause::SubmitRefused, &why, now));
            }
            ClientError::file("write to", &dir, error)
        })
    }

    pub(crate) fn write_submission(
        &self,
        system: &System,
        chunk: &ChunkRow,
        spec: &JobSpec,
        plan: &Plan,
        kept: Option<&[u8]>,
    ) -> io::Result<()> {
        let script = match kept {
            None => self.script(system, chunk, spec, plan),
            Some(kept) => {
                let root = ByteString::from(self.layout().root().to_owned());
                let place = ScriptPlace { root: &root, batch: chunk.batch, k: chunk.k };
                moved(kept, place, Some(&ranges(chunk))).ok_or_else(|| {
                    io::Error::new(
                        io::ErrorKind::InvalidData,
                        "the first lines of the script are not ours any more",
                    )
                })?
            }
        };
        write_new(&self.layout().spec(chunk.batch, chunk.k), &serde_json::to_vec(spec)?)?;
        write_new(&self.layout().script(chunk.batch, chunk.k), &script)
    }

    fn script(&self, system: &System, chunk: &ChunkRow, spec: &JobSpec, plan: &Plan) -> Vec<u8> {
        let root = ByteString::from(self.layout().root().to_owned());
        let place = ScriptPlace { root: &root, batch: chunk.batch, k: chunk.k };
        let capabilities = system.dialect().capabilities();
        let gate = match &plan.resolved {
            Resolved::Ready(waits) if !waits.gated.is_empty() => Some(Gate {
                on: waits.gated.clone(),
                wait: self.gate_wait(),
                trusts_scheduler: capabilities.checks_dependencies,
            }),
            _ => None,
        };
        let scheduled = Scheduled {
            facts: system.dialect().script_facts(),
            directives: &plan.directives,
            jobs: &ranges(chunk),
            setup: &system.config().setup,
            gate,
        };
        render(place, spec, Some(&scheduled))
    }

    /// Seconds that a gate waits for a record: files of other hosts show late on a network file system.
    fn gate_wait(&self) -> u32 {
        let by_file_system = || match FileSystem::of(self.layout().root()) {
            Ok(file_system) if !file_system.is_network() => Duration::from_secs(5),
            _ => Duration::from_secs(90),
        };
        let wait = self.scheduling().gate_wait.unwrap_or_else(by_file_system);
        u32::try_from(wait.as_secs()).unwrap_or(u32::MAX)
    }
}

/// The jobs of a chunk in the order of their positions, as the script is told them.
fn ranges(chunk: &ChunkRow) -> Vec<JobRange> {
    ranges_of(&chunk.jobs, |index| chunk.runs.of(index).unwrap_or(1))
}

/// The submissions of a plan as they are recorded. The first has `tag`, by which the batch is known.
fn submissions(plan: &Plan, hold: bool, kept: bool, tag: &Tag) -> Result<Vec<NewSubmission>, ClientError> {
    let mut all = Vec::with_capacity(plan.submissions.len());
    for (i, jobs) in plan.submissions.iter().enumerate() {
        plan.check_cut(jobs).map_err(|why| ClientError::Usage(why.to_owned()))?;
        let handed = HandedOver {
            hold,
            after: plan.dependencies(jobs),
            later: matches!(plan.resolved, Resolved::Later(_)),
            follows: matches!(plan.throttle, Throttle::Chained(_)) && i > 0,
            kept,
        };
        let tag = match i {
            0 => tag.clone(),
            _ => draw_tag().map_err(|e| ClientError::file("read", "/dev/urandom", e))?,
        };
        all.push(NewSubmission {
            array: jobs.len() > 1,
            throttle: plan.share(i),
            depends: handed.to_text(),
            ..NewSubmission::new(tag, jobs.clone())
        });
    }
    Ok(all)
}
