//! How a batch would go to a system: what it waits for, how it is cut, what the script says. Sends nothing.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use cluster_core::dialect::{DialectError, RemoteDependency, ScriptRequest, SubmitRequest};
use cluster_core::{IndexSet, JobSpec, Resources, Tag, Timestamp};

use crate::client::Client;
use crate::error::ClientError;
use crate::scheduler::cut::{Throttle, cut};
use crate::scheduler::depend::{Resolved, Waits, resolve};
use crate::scheduler::follow::Refresh;
use crate::scheduler::theirs;
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

    /// Whether a submission with these jobs can wait element by element for what it is to wait for so.
    ///
    /// # Errors
    /// Why not, and the ways out.
    pub(crate) fn check_cut(&self, jobs: &IndexSet) -> Result<(), &'static str> {
        let Resolved::Ready(waits) = &self.resolved else { return Ok(()) };
        let is_cut_otherwise =
            waits.elementwise.iter().any(|(part, _)| part != jobs && !part.intersection(jobs).is_empty());
        if is_cut_otherwise {
            return Err(
                "some of the jobs wait element by element for an array that was cut otherwise: send all of \
                        them again, or wait for the whole batch",
            );
        }
        Ok(())
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

/// Where the site does not say how long an array may be.
const ARRAY: u32 = 1_000;

/// For so long what a scheduler was given needs no look: its own record tells of an end by then.
const FORGETS_NOTHING: Duration = Duration::from_secs(30);

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
        self.look_at_parents(system, spec)?;
        self.plan_looking(system, spec, jobs, true)
    }

    /// Looks how jobs stand that are to be waited for: a scheduler may have forgotten what has ended since anybody
    /// looked, and then refuse to wait for it, or wait for ever.
    fn look_at_parents(&mut self, system: &System, spec: &JobSpec) -> Result<(), ClientError> {
        if spec.dependencies.is_empty() {
            return Ok(());
        }
        self.ensure_store()?;
        let named: BTreeSet<_> = spec.dependencies.iter().map(|dependency| dependency.batch).collect();
        let mut parents = Vec::new();
        for parent in named {
            let batch = self.store()?.batch(parent)?;
            if batch.is_some_and(|batch| batch.system == system.name() && !batch.is_finished()) {
                parents.push(parent);
            }
        }
        self.take_records(&parents)?;
        let before = Timestamp::now();
        let mut is_old = false;
        for &parent in &parents {
            let chunks = self.store()?.chunks(parent)?;
            let sent = chunks.iter().filter(|chunk| !chunk.over).filter_map(|chunk| chunk.sent);
            is_old |= sent.min().is_some_and(|sent| before.since(sent) > FORGETS_NOTHING);
        }
        if is_old {
            let how = Refresh { batches: Some(&parents), max_age: FORGETS_NOTHING, insist: false };
            // Where nobody answers, the submission itself will say so.
            self.refresh(how)?;
        }
        Ok(())
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
