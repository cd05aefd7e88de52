//! A batch for a scheduler: looked at, cut, recorded, written, sent.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use cluster_core::dialect::{DialectError, RemoteDependency, ScriptRequest, SubmitRequest};
use cluster_core::job_script::{Gate, JobRange, Scheduled, ScriptPlace, moved, ranges_of, render, shard};
use cluster_core::{
    BatchId, ByteString, Cause, IndexSet, JobSpec, JobState, Resources, SubmissionNumber, Tag, Timestamp,
};
use cluster_jobsdb::{ChunkRow, FileSystem, NewBatch, NewSubmission};
use cluster_localqueue::files::make_private_dir;

use crate::client::{Again, Client, SubmitOptions, draw_tag};
use crate::error::ClientError;
use crate::local::{DiskSubmission, write_new, write_private};
use crate::scheduler::depend::{Resolved, Waits, resolve};
use crate::scheduler::lock::SendLock;
use crate::scheduler::plan::{Throttle, cut};
use crate::scheduler::send::{HandedOver, Sending, send};
use crate::scheduler::theirs;
use crate::stage::Stage;
use crate::system::{System, SystemError};

/// What a scheduler makes of a batch before anything is sent: what `--dry-run` prints.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The jobs of each submission.
    pub submissions: Vec<IndexSet>,
    /// How `--max-running` is kept.
    pub throttle: Throttle,
    /// The directives at the head of the scripts.
    pub directives: Vec<String>,
    /// What cannot be said to this scheduler.
    pub unsaid: Vec<String>,
    pub(crate) resolved: Resolved,
}

impl Plan {
    /// How many jobs of a submission may run at once.
    pub fn share(&self, submission: usize) -> Option<u32> {
        let jobs = self.submissions.get(submission)?;
        self.throttle.of(submission).filter(|&most| u64::from(most) < jobs.len())
    }

    /// What a submission with these jobs waits for, in the scheduler's ids.
    pub fn dependencies(&self, jobs: &IndexSet) -> Vec<RemoteDependency> {
        let Resolved::Ready(waits) = &self.resolved else { return Vec::new() };
        let elementwise = waits.elementwise.iter().filter(|(part, _)| part == jobs);
        waits.remote.iter().cloned().chain(elementwise.map(|(_, remote)| remote.clone())).collect()
    }

    /// Why it would not be sent now.
    pub fn waits_for_us(&self) -> Option<&str> {
        match &self.resolved {
            Resolved::Ready(_) | Resolved::Never(_) => None,
            Resolved::Later(why) => Some(why),
        }
    }

    /// Why it could never run.
    pub fn never(&self) -> Option<&str> {
        match &self.resolved {
            Resolved::Never(why) => Some(why),
            Resolved::Ready(_) | Resolved::Later(_) => None,
        }
    }
}

/// A batch that was recorded, and what came of sending it, by submission.
#[derive(Debug)]
pub struct Sent {
    /// The batch.
    pub batch: BatchId,
    /// Each of its submissions.
    pub submissions: Vec<(SubmissionNumber, Sending)>,
}

/// Where the site does not say how long an array may be.
const ARRAY: u32 = 1_000;

/// Another process that sends something of the same batch is waited for so long.
const LOCK_PATIENCE: Duration = Duration::from_secs(20);

/// What is known of a site's limits is asked again after this time.
const SURVEY: Duration = Duration::from_secs(3600);

impl Client {
    /// How a batch would go to a system. Starts nothing.
    ///
    /// # Errors
    /// A dependency that makes no sense, or a store that cannot be read.
    pub fn plan(&mut self, system: &System, spec: &JobSpec) -> Result<Plan, ClientError> {
        self.plan_for(system, spec, &IndexSet::range(0, spec.count))
    }

    /// The same for some jobs of it, as they are sent again.
    ///
    /// # Errors
    /// As [`Self::plan`].
    pub fn plan_for(
        &mut self,
        system: &System,
        spec: &JobSpec,
        jobs: &IndexSet,
    ) -> Result<Plan, ClientError> {
        self.plan_looking(system, spec, jobs, true)
    }

    /// The plan; `look` at jobs that are not ours and that it waits for, which what was handed over already needs no
    /// more.
    pub(crate) fn plan_looking(
        &mut self,
        system: &System,
        spec: &JobSpec,
        jobs: &IndexSet,
        look: bool,
    ) -> Result<Plan, ClientError> {
        let dialect = system.dialect();
        within_limits(system, &spec.resources)?;
        let capabilities = dialect.capabilities();
        let element = |array: &cluster_core::RemoteId, position| dialect.element(array, position);
        let resolved = if spec.dependencies.is_empty() && spec.foreign.is_empty() {
            Resolved::Ready(Waits::default())
        } else {
            self.ensure_store()?;
            let resolved = resolve(self.store()?, system.name(), capabilities, &element, spec)?;
            match resolved {
                Resolved::Ready(waits) if !look => Resolved::Ready(waits.with(spec.foreign.clone())),
                Resolved::Ready(waits) => match theirs::look(system, &spec.foreign)? {
                    Ok(foreign) => Resolved::Ready(waits.with(foreign)),
                    Err(why) => Resolved::Never(why),
                },
                // Those that are not ours are looked at when the others are over.
                other => other,
            }
        };
        let most = if jobs.len() <= 1 || !capabilities.arrays {
            1
        } else {
            // A site that does not answer now may still take what most would.
            let site = system.site(SURVEY).ok().and_then(|site| site.max_array);
            system.config().max_array_size.or(site).unwrap_or(ARRAY)
        };
        let submissions = match &resolved {
            Resolved::Ready(waits) if !waits.elementwise.is_empty() => {
                let parts = waits.elementwise.iter().map(|(part, _)| part.intersection(jobs));
                parts.filter(|part| !part.is_empty()).collect()
            }
            _ => cut(jobs, most),
        };
        let throttle = Throttle::over(submissions.len(), spec.max_running);
        let request = ScriptRequest {
            resources: &spec.resources,
            priority: spec.priority,
            extra: &system.config().extra,
        };
        let mut directives = dialect.directives(&request);
        if spec.max_running.is_some() && !capabilities.array_throttle {
            directives.unsaid.push(format!("{} cannot keep --max-running", system.name()));
        }
        let plan =
            Plan { submissions, throttle, directives: directives.lines, unsaid: directives.unsaid, resolved };
        // What cannot be said to the scheduler is refused before anything is recorded.
        if let Some(first) = plan.submissions.first() {
            let (log, tag) = (Path::new("job.sched"), Tag::from_bits(0));
            let request = SubmitRequest {
                script: Path::new("job.sh"),
                name: &spec.name,
                tag: &tag,
                log,
                array: (first.len() > 1).then(|| u32::try_from(first.len()).unwrap_or(u32::MAX)),
                throttle: plan.share(0),
                dependencies: &plan.dependencies(first),
                hold: false,
                resources: &spec.resources,
                head: &plan.directives,
            };
            dialect
                .submit(&request)
                .map_err(|why| ClientError::Usage(format!("{} cannot take this: {why}", system.name())))?;
        }
        Ok(plan)
    }

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
        let submissions = submissions(plan, options.hold, stage.tag())?;
        let later = matches!(plan.resolved, Resolved::Later(_));
        let state = if later { JobState::Created } else { JobState::Submitting };
        let batch = NewBatch {
            terminal: self.terminal(),
            parent: options.parent,
            meta: options.meta.clone(),
            submissions,
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
        self.make_files(system, batch, spec, plan)?;
        let chunks = self.store()?.chunks(batch)?;
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
        let submissions = submissions(&plan, *hold, &tag)?;
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
    fn ensure_store(&mut self) -> Result<(), ClientError> {
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

    /// Gives a batch its directory, scripts and words. Done again, it changes nothing.
    pub(crate) fn make_files(
        &mut self,
        system: &System,
        batch: BatchId,
        spec: &JobSpec,
        plan: &Plan,
    ) -> Result<(), ClientError> {
        let dir = self.layout().batch(batch);
        let chunks = self.store()?.chunks(batch)?;
        let Some(first) = chunks.first() else { return Ok(()) };
        let stage = self.layout().stage(&first.tag);
        let made = (|| -> io::Result<()> {
            if !dir.is_dir() {
                write_private(&stage.join("job.0.json"), &serde_json::to_vec(spec)?)?;
                for chunk in &chunks {
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
            for chunk in &chunks {
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

/// Refuses what the limits of its partition, as the configuration has them, prove impossible.
fn within_limits(system: &System, asked: &Resources) -> Result<(), ClientError> {
    let name = asked.partition.as_deref();
    let Some((name, limits)) = name.and_then(|name| Some((name, system.config().partitions.get(name)?)))
    else {
        return Ok(());
    };
    let nodes = asked.nodes.max(1);
    let over = [
        limits
            .max_time
            .zip(asked.time)
            .filter(|(most, time)| time > most)
            .map(|(most, time)| format!("--time {time} is more than the {most} of partition {name}")),
        limits.cores.filter(|&most| asked.total_cores().div_ceil(nodes) > most).map(|most| {
            format!(
                "{} cores on a node are more than the {most} of partition {name}",
                asked.total_cores().div_ceil(nodes)
            )
        }),
        limits
            .max_nodes
            .filter(|&most| nodes > most)
            .map(|most| format!("--nodes {nodes} is more than the {most} of partition {name}")),
        limits
            .max_mem
            .zip(asked.mem)
            .filter(|(most, mem)| mem.as_mb() > most.as_mb() * u64::from(nodes))
            .map(|(most, mem)| format!("--mem {mem} is more than the {most} on a node of partition {name}")),
    ];
    match over.into_iter().flatten().next() {
        None => Ok(()),
        Some(what) => Err(ClientError::System(SystemError::Answer {
            system: system.name().to_owned(),
            command: system.dialect().commands()[0].to_owned(),
            source: Box::new(DialectError::Cannot {
                what,
                why: "the configuration says so (`partitions` of the system)".to_owned(),
            }),
        })),
    }
}

/// The jobs of a chunk in the order of their positions, as the script is told them.
fn ranges(chunk: &ChunkRow) -> Vec<JobRange> {
    ranges_of(&chunk.jobs, |index| chunk.runs.of(index).unwrap_or(1))
}

/// The submissions of a plan as they are recorded. The first has `tag`, by which the batch is known.
fn submissions(plan: &Plan, hold: bool, tag: &Tag) -> Result<Vec<NewSubmission>, ClientError> {
    let mut all = Vec::with_capacity(plan.submissions.len());
    for (i, jobs) in plan.submissions.iter().enumerate() {
        if let Resolved::Ready(waits) = &plan.resolved
            && waits.elementwise.iter().any(|(part, _)| part != jobs && !part.intersection(jobs).is_empty())
        {
            return Err(ClientError::Usage(
                "some of the jobs wait element by element for an array that was cut otherwise: send all of them \
                 again, or wait for the whole batch"
                    .to_owned(),
            ));
        }
        let handed = HandedOver {
            hold,
            after: plan.dependencies(jobs),
            later: matches!(plan.resolved, Resolved::Later(_)),
            follows: matches!(plan.throttle, Throttle::Chained(_)) && i > 0,
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
