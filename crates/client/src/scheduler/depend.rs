//! Dependencies, looked at before a submission: what is satisfied is left out, what never can be ends the
//! jobs without a call, the rest is handed over and goes into the gate.

use cluster_core::dependency::ForeignDependency;
use cluster_core::dialect::{Capabilities, RemoteDependency};
use cluster_core::job_script::{Gate, Gated};
use cluster_core::{Dependency, DependencyKind, IndexSet, JobSpec, JobState};
use cluster_jobsdb::{BatchRow, ChunkRow, Store};

use crate::error::ClientError;
use crate::scheduler::positions::{position_of, positions_of};
use crate::watch::LIVE;

/// What became of the dependencies of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Resolved {
    /// Nothing keeps the jobs, once the scheduler and the gate let them go.
    Ready(Waits),
    /// The jobs are sent by us, when what they wait for is over: nobody else can tell.
    Later(String),
    /// They can never run.
    Never(String),
}

/// What is left to wait for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Waits {
    /// For the gate.
    pub(crate) gated: Vec<Gated>,
    /// For the scheduler, the same for every submission.
    pub(crate) remote: Vec<RemoteDependency>,
    /// The arrays that submissions wait for element by element, each with its jobs.
    pub(crate) elementwise: Vec<(IndexSet, RemoteDependency)>,
}

impl Waits {
    /// The same, and these jobs that are not ours.
    pub(crate) fn with(mut self, foreign: Vec<ForeignDependency>) -> Self {
        self.remote.extend(foreign.into_iter().map(|foreign| RemoteDependency {
            kind: foreign.kind,
            id: foreign.id,
            array: false,
            elementwise: false,
            gated: false,
        }));
        self
    }
}

/// Looks at the dependencies on our own jobs of a batch for `system`.
pub(crate) fn resolve(
    store: &mut Store,
    system: &str,
    capabilities: Capabilities,
    element: &dyn Fn(&cluster_core::RemoteId, u32) -> cluster_core::RemoteId,
    spec: &JobSpec,
) -> Result<Resolved, ClientError> {
    let mut waits = Waits::default();
    let mut later = None;
    for dependency in &spec.dependencies {
        let batch = store.batch(dependency.batch)?.ok_or_else(|| {
            ClientError::Usage(format!("{dependency}: there is no batch {} in this root", dependency.batch))
        })?;
        if dependency.elementwise {
            elementwise(store, system, capabilities, dependency, &batch, spec, &mut waits)?;
            continue;
        }
        let jobs = jobs_of(dependency, &batch)?;
        let left = match left_of(store, dependency.kind, &batch, &jobs)? {
            Left::Jobs(left) => left,
            Left::Never(why) => return Ok(Resolved::Never(format!("{dependency}: {why}"))),
        };
        if left.is_empty() {
            continue;
        }
        let chunks = store.chunks(batch.id)?;
        let sent: IndexSet = chunks
            .iter()
            .filter(|chunk| chunk.remote.is_some())
            .flat_map(|chunk| chunk.jobs.ranges().iter().copied())
            .collect();
        if batch.system != system {
            later = Some(format!("waits for {dependency} on {}", batch.system));
        } else if !left.difference(&sent).is_empty() {
            later = Some(format!("waits for {dependency}, which has not been sent yet"));
        } else if jobs.len() > Gate::MOST {
            later = Some(format!("waits for {dependency}: more than {} jobs", Gate::MOST));
        } else if !hand_over(&chunks, capabilities, dependency.kind, &jobs, &left, element, &mut waits) {
            later =
                Some(format!("waits for {dependency}, single elements of an array, which {system} cannot"));
        }
    }
    Ok(later.map_or(Resolved::Ready(waits), Resolved::Later))
}

/// Why jobs with this spec can never run, as far as the store knows by now.
pub(crate) fn never(store: &mut Store, spec: &JobSpec) -> Result<Option<String>, ClientError> {
    for dependency in &spec.dependencies {
        let Some(batch) = store.batch(dependency.batch)? else { continue };
        let jobs = jobs_of(dependency, &batch)?;
        if let Left::Never(why) = left_of(store, dependency.kind, &batch, &jobs)? {
            return Ok(Some(format!("{dependency}: {why}")));
        }
    }
    Ok(None)
}

fn jobs_of(dependency: &Dependency, batch: &BatchRow) -> Result<IndexSet, ClientError> {
    let all = IndexSet::range(0, batch.count);
    let jobs = dependency.jobs.clone().unwrap_or_else(|| all.clone());
    match jobs.difference(&all).first() {
        None => Ok(jobs),
        Some(unknown) => {
            Err(ClientError::Usage(format!("{dependency}: batch {} has no job {unknown}", dependency.batch)))
        }
    }
}

enum Left {
    Jobs(IndexSet),
    Never(String),
}

/// Those of `jobs` on which it is not decided yet.
fn left_of(
    store: &mut Store,
    kind: DependencyKind,
    batch: &BatchRow,
    jobs: &IndexSet,
) -> Result<Left, ClientError> {
    let mut of =
        |states: &[JobState]| Ok::<_, ClientError>(store.indices_in(batch.id, states)?.intersection(jobs));
    let live = of(&LIVE)?;
    let never = |wrong: IndexSet, what: &str| {
        let first = wrong.first().unwrap_or_default();
        let more = if wrong.len() > 1 { format!(" and {} more", wrong.len() - 1) } else { String::new() };
        Left::Never(format!("job {}.{first}{more} {what}", batch.id))
    };
    Ok(match kind {
        DependencyKind::AfterOk => match of(&[JobState::Failed])? {
            failed if failed.is_empty() => Left::Jobs(live),
            failed => never(failed, "failed"),
        },
        DependencyKind::AfterNotOk => match of(&[JobState::Succeeded])? {
            good if good.is_empty() => Left::Jobs(live),
            good => never(good, "succeeded"),
        },
        DependencyKind::AfterAny => Left::Jobs(live),
        DependencyKind::After => Left::Jobs(live.difference(&of(&[JobState::Running, JobState::Suspended])?)),
    })
}

/// In the scheduler's terms: whole arrays where that says the same, else elements. False where it cannot wait
/// for elements. Those that are over have ended as they should, so that an array of them and of others is as good
/// as the others alone; but not where one was sent again, since the array keeps what it came to first.
fn hand_over(
    chunks: &[ChunkRow],
    capabilities: Capabilities,
    kind: DependencyKind,
    asked: &IndexSet,
    left: &IndexSet,
    element: &dyn Fn(&cluster_core::RemoteId, u32) -> cluster_core::RemoteId,
    waits: &mut Waits,
) -> bool {
    let (mut open, mut newer) = (left.clone(), IndexSet::new());
    let Some(batch) = chunks.first().map(|chunk| chunk.batch) else { return true };
    for chunk in chunks.iter().rev() {
        let here = chunk.jobs.intersection(&open);
        let whole = chunk.jobs.difference(asked).is_empty() && chunk.jobs.intersection(&newer).is_empty();
        newer = newer.union(&chunk.jobs);
        let Some(remote) = chunk.remote.as_ref().filter(|_| !here.is_empty()) else { continue };
        open = open.difference(&here);
        let mut push = |id, array| {
            let gated = RemoteDependency { kind, id, array, elementwise: false, gated: true };
            waits.remote.push(gated);
        };
        if !chunk.array {
            push(remote.clone(), false);
        } else if whole {
            push(remote.clone(), true);
        } else if !capabilities.element_dependencies {
            return false;
        } else {
            for position in positions_of(&chunk.jobs, &here).iter() {
                push(element(remote, position), false);
            }
        }
        waits.gated.push(Gated { kind, batch, jobs: Some(here), k: chunk.k });
    }
    true
}

/// Job for job: both batches have the same indices, and are cut alike.
fn elementwise(
    store: &mut Store,
    system: &str,
    capabilities: Capabilities,
    dependency: &Dependency,
    batch: &BatchRow,
    spec: &JobSpec,
    waits: &mut Waits,
) -> Result<(), ClientError> {
    let wrong = |why: String| {
        Err(ClientError::Usage(format!(
            "{dependency}: {why}; wait for the whole batch (afterok:{}), or let one job do both steps",
            batch.id
        )))
    };
    if batch.count != spec.count {
        return wrong(format!("batch {} has {} jobs and this one {}", batch.id, batch.count, spec.count));
    }
    if !capabilities.elementwise_dependencies {
        return wrong(format!("{system} cannot wait element by element"));
    }
    if batch.system != system {
        return wrong(format!("batch {} is on {}", batch.id, batch.system));
    }
    let mut covered = IndexSet::new();
    for chunk in store.chunks(batch.id)? {
        let Some(remote) = chunk.remote.filter(|_| chunk.array) else {
            return wrong(format!("batch {} is not all sent as arrays", batch.id));
        };
        if !covered.intersection(&chunk.jobs).is_empty() {
            return wrong(format!("some jobs of batch {} were sent again", batch.id));
        }
        covered = covered.union(&chunk.jobs);
        debug_assert_eq!(position_of(&chunk.jobs, chunk.jobs.first().unwrap_or_default()), Some(0));
        let remote = RemoteDependency {
            kind: DependencyKind::AfterOk,
            id: remote,
            array: true,
            elementwise: true,
            gated: true,
        };
        waits.elementwise.push((chunk.jobs, remote));
    }
    // Each of them was sent once: whatever record there is is of that.
    waits.gated.push(Gated { kind: DependencyKind::AfterOk, batch: batch.id, jobs: None, k: 0 });
    Ok(())
}
