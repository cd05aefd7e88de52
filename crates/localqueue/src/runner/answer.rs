//! What the runner answers to single requests.

use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use cluster_core::{ByteString, JobSpec, MemSize, Resources};

use super::protocol::{Refusal, RefusalKind, Reply, Report, Request, RootReport, Submit, VERSION};
use super::root::RunnerRoot;
use super::serve::{Runner, limited, refusal};
use crate::capacity::Amount;

impl Runner {
    pub(super) async fn answer(self: &Arc<Self>, request: Request) -> Reply {
        let result = match request {
            Request::Hello { .. } => Ok(Reply::Hello { version: VERSION, pid: std::process::id() }),
            Request::Submit { root, batches } => match self.root(root.as_path()).await {
                Ok(root) => self.submit(&root, batches).await,
                Err(refusal) => Err(refusal),
            },
            Request::Resubmit { root, what } => match self.root(root.as_path()).await {
                Ok(root) => match too_large(&what.spec, self.engine.status().capacity) {
                    None => root.resubmit(what).await.map(Reply::Resubmitted),
                    Some(refusal) => Err(refusal),
                },
                Err(refusal) => Err(refusal),
            },
            Request::Act { root, action, targets } => match self.root(root.as_path()).await {
                Ok(root) => root.act(action, targets).await.map(Reply::Acted),
                Err(refusal) => Err(refusal),
            },
            Request::Attach { root } => self.root(root.as_path()).await.map(|root| {
                root.look_for_orphans();
                Reply::Done
            }),
            Request::Status => Ok(Reply::Status(Box::new(self.report().await))),
            Request::SetCapacity { cores, mem_mb } => self.set_capacity(cores, mem_mb).map(|()| Reply::Done),
            Request::Drain(on) => {
                self.engine.set_draining(on);
                Ok(Reply::Done)
            }
            Request::Stop { wait } => {
                self.engine.set_draining(true);
                // While bare jobs end, which nobody else could see, we are still here to answer.
                let engine = self.engine.clone();
                let quiet = move || if wait { engine.wait_quiet() } else { engine.wait_bare() };
                let _ = tokio::task::spawn_blocking(quiet).await;
                self.begin_end();
                Ok(Reply::Done)
            }
            Request::Watch { .. } | Request::Lease(_) => {
                Err(refusal(RefusalKind::Usage, "this has a connection of its own"))
            }
        };
        result.unwrap_or_else(Reply::Refused)
    }

    /// Jobs larger than the machine are refused here, with the numbers; the others go on to the store.
    async fn submit(&self, root: &RunnerRoot, batches: Vec<Submit>) -> Result<Reply, Refusal> {
        if self.ending.load(Ordering::SeqCst) {
            return Err(refusal(RefusalKind::Ending, "the runner is ending"));
        }
        let capacity = self.engine.status().capacity;
        let refused: Vec<_> = batches.iter().map(|batch| too_large(&batch.spec, capacity)).collect();
        let fitting =
            batches.into_iter().zip(&refused).filter(|(_, no)| no.is_none()).map(|(batch, _)| batch);
        let mut results = root.submit(fitting.collect()).await.into_iter();
        let answers = refused.into_iter().map(|refused| match refused {
            Some(refusal) => Err(refusal),
            None => {
                results.next().unwrap_or_else(|| Err(refusal(RefusalKind::Ending, "the runner is ending")))
            }
        });
        Ok(Reply::Submitted(answers.collect()))
    }

    async fn report(&self) -> Report {
        let status = self.engine.status();
        let mut roots: Vec<_> = self
            .roots
            .lock()
            .await
            .values()
            .map(|root| RootReport {
                path: root.path.to_path_buf().into(),
                trouble: root.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone(),
                journal_bytes: root.journal_bytes(),
            })
            .collect();
        roots.sort_by(|a, b| a.path.cmp(&b.path));
        Report {
            pid: std::process::id(),
            started: self.since,
            dir: ByteString::from(self.place.dir().to_owned()),
            machine: self.machine,
            limit: status.capacity,
            taken: status.taken,
            running: u64::from(status.running),
            queued: status.waiting.queued,
            held: status.waiting.held,
            draining: status.draining,
            lives_by: self.lives_by.clone(),
            not_enforced: self.not_enforced(),
            roots,
        }
    }

    fn not_enforced(&self) -> Vec<String> {
        let mut missing = Vec::new();
        if !self.groups.as_ref().is_some_and(|groups| groups.limits_memory()) {
            missing.push("memory: a job that uses more than it asked for is not stopped".to_owned());
        }
        if self.groups.is_none() {
            missing.push("processes that leave a job's group by setsid are not ended with it".to_owned());
        }
        missing
    }

    fn set_capacity(&self, cores: Option<u32>, mem_mb: Option<u64>) -> Result<(), Refusal> {
        if cores == Some(0) {
            return Err(refusal(
                RefusalKind::Usage,
                "0 cores would start nothing: `cluster local drain` does that",
            ));
        }
        let mut limits = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        limits.cores = cores.or(limits.cores);
        limits.mem_mb = mem_mb.or(limits.mem_mb);
        let write = || std::fs::write(self.place.limits(), serde_json::to_vec(&*limits)?);
        write().map_err(|error: io::Error| {
            refusal(RefusalKind::Store, format!("{}: {error}", self.place.limits().display()))
        })?;
        self.engine.set_capacity(limited(self.configured, *limits));
        Ok(())
    }
}

/// Why jobs would never start where all together may take `capacity`.
pub fn too_large(spec: &JobSpec, capacity: Amount) -> Option<Refusal> {
    let need = need_of(&spec.resources);
    (!capacity.fits(&need)).then(|| {
        refusal(
            RefusalKind::TooLarge,
            format!(
                "a job of {} asks for {need}, and jobs here may take {capacity} in all: ask for less, use --fit, or \
                 raise the limit by `cluster local set`",
                spec.name
            ),
        )
    })
}

/// What one job takes of this machine.
pub fn need_of(resources: &Resources) -> Amount {
    Amount { cores: resources.total_cores().max(1), mem_mb: resources.mem.map_or(0, MemSize::as_mb) }
}
