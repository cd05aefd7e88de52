//! The life of jobs in one root, as a library: submit, act, watch, look, retry.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cluster_core::{BatchId, ByteString, IndexSet, JobId, JobSpec, Selector, SubmissionNumber, Tag};
use cluster_jobsdb::{BatchRow, OpenOptions, SelectContext, Selection, Store, StoreError};
use cluster_localqueue::capacity::Amount;
use cluster_localqueue::runner::protocol::{RefusalKind, Reply, Report, Request, Resubmit, Submit};
use cluster_localqueue::runner::{ConnectError, Connection, Place, connect, connect_or_start, need_of};

use crate::error::ClientError;
use crate::layout::Layout;
use crate::local::Owner;
use crate::stage::Stage;
use crate::system::System;
use crate::watch::Watch;

/// What the store calls the scheduler of local batches.
pub const LOCAL: &str = "local";

/// A request that met a dying runner is made so many times.
const AGAIN: u32 = 10;

/// How the process of a runner is started.
pub type Launcher = Box<dyn Fn() -> io::Result<std::process::Command> + Send>;

/// How a system is found by its name.
pub type Systems = Box<dyn Fn(&str) -> Result<System, ClientError> + Send>;

/// How jobs of schedulers are followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scheduling {
    /// A job that is absent everywhere is lost after this time; `None`: it depends on the system.
    pub lost_after: Option<Duration>,
    /// A gate waits so long for a record; `None`: it depends on the file system.
    pub gate_wait: Option<Duration>,
    /// A submission that failed for a passing reason is tried again so often.
    pub submit_retries: u32,
}

impl Default for Scheduling {
    fn default() -> Self {
        Self { lost_after: None, gate_wait: None, submit_retries: 5 }
    }
}

/// Who works where. The client reads neither the environment nor `$HOME`: this is all it knows.
pub struct Settings {
    /// The root, an absolute path.
    pub root: PathBuf,
    /// Where the runner lives.
    pub place: Place,
    /// How a runner is started; `None`: one that runs is used, none is started.
    pub launcher: Option<Launcher>,
    /// Whose jobs these are.
    pub user: String,
    /// The terminal they come from.
    pub terminal: Option<String>,
    /// The systems with a scheduler; `None`: there are none.
    pub systems: Option<Systems>,
    /// How their jobs are followed.
    pub scheduling: Scheduling,
}

/// What goes with a spec into a submission.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SubmitOptions {
    /// Whether the jobs begin held.
    pub hold: bool,
    /// The job in which this is submitted.
    pub parent: Option<JobId>,
    /// Facts of the user's.
    pub meta: Vec<(String, String)>,
}

/// How ended jobs are sent again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Again {
    /// What they ask for now.
    pub spec: JobSpec,
    /// Whether the last script is sent as it lies there.
    pub keep_script: bool,
    /// Whether they begin held.
    pub hold: bool,
}

impl Again {
    /// With a script made anew from `spec`, and not held.
    pub fn of(spec: JobSpec) -> Self {
        Self { spec, keep_script: false, hold: false }
    }
}

/// A job in which we run, and which lends its cores while it waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lender {
    /// Its root.
    pub root: PathBuf,
    /// The job.
    pub job: JobId,
}

/// One root and the way to its runner.
///
/// ```no_run
/// use cluster_client::{Client, Settings, SubmitOptions, Stage};
/// use cluster_core::JobSpec;
/// # fn example(settings: Settings) -> Result<(), Box<dyn std::error::Error>> {
/// let mut client = Client::new(settings);
/// let stage = client.stage()?;
/// let mut spec = JobSpec::single("hello", vec!["echo".into(), "hi".into()], "/".into());
/// stage.environment(&mut spec, &[])?;
/// let batch = client.submit(stage, spec, &SubmitOptions::default())?;
/// client.wait_all(&[batch])?;
/// # Ok(()) }
/// ```
pub struct Client {
    layout: Layout,
    settings: Settings,
    store: Option<Store>,
    systems: HashMap<String, Arc<System>>,
}

impl Client {
    /// A client of one root. Nothing is opened or started yet.
    pub fn new(settings: Settings) -> Self {
        Self { layout: Layout::new(&settings.root), settings, store: None, systems: HashMap::new() }
    }

    /// Where everything lies.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Whose jobs these are.
    pub(crate) fn user(&self) -> String {
        self.settings.user.clone()
    }

    /// The terminal they come from.
    pub(crate) fn terminal(&self) -> Option<String> {
        self.settings.terminal.clone()
    }

    /// How jobs of schedulers are followed.
    pub(crate) fn scheduling(&self) -> &Scheduling {
        &self.settings.scheduling
    }

    /// The system with this name, found once.
    ///
    /// # Errors
    /// Where there is none, or it cannot be used.
    pub fn system(&mut self, name: &str) -> Result<Arc<System>, ClientError> {
        if let Some(system) = self.systems.get(name) {
            return Ok(Arc::clone(system));
        }
        let find = self.settings.systems.as_ref().ok_or_else(|| {
            ClientError::Usage(format!(
                "there is no system {name}: the configuration names none with a scheduler"
            ))
        })?;
        let system = Arc::new(find(name)?);
        self.systems.insert(name.to_owned(), Arc::clone(&system));
        Ok(system)
    }

    /// Keeps a system that was found otherwise.
    pub fn use_system(&mut self, system: System) -> Arc<System> {
        let system = Arc::new(system);
        self.systems.insert(system.name().to_owned(), Arc::clone(&system));
        system
    }

    /// Where the runner lives.
    pub fn place(&self) -> &Place {
        &self.settings.place
    }

    /// Talks to the runner at `place` from now on, and starts none.
    pub fn use_runner(&mut self, place: Place) {
        self.settings.place = place;
        self.settings.launcher = None;
    }

    /// The job store, opened at the first call; what jobs dropped into `events/new` is taken in then.
    ///
    /// # Errors
    /// Where there is none, or it cannot be opened.
    pub fn store(&mut self) -> Result<&mut Store, ClientError> {
        let store = match self.store.take() {
            Some(store) => store,
            None => {
                let options = OpenOptions { short_log: true, ..OpenOptions::default() };
                let mut store = Store::open(self.layout.root(), &options)?;
                if self.has_events() {
                    // What cannot be written now is taken in by the next one.
                    let _ = store.intake();
                }
                store
            }
        };
        Ok(self.store.insert(store))
    }

    /// Leaves the store open, for a process that ends now. Closing it would take the log into the store, with two waits
    /// for the disk or, where the process is faster, half of it; the log's commits are there for the next process as
    /// they are, and now and then a commit takes them in.
    pub fn leave_open(&mut self) {
        if let Some(store) = self.store.take() {
            std::mem::forget(store);
        }
    }

    fn has_events(&self) -> bool {
        std::fs::read_dir(self.layout.root().join("events/new")).is_ok_and(|mut dir| dir.next().is_some())
    }

    /// Makes the root and its store, where they are missing.
    ///
    /// # Errors
    /// Where they cannot be made.
    pub fn init(&mut self) -> Result<(), ClientError> {
        self.layout.ensure().map_err(|e| ClientError::file("make", self.layout.root(), e))?;
        let options = OpenOptions { create: true, short_log: true, ..OpenOptions::default() };
        self.store = Some(Store::open(self.layout.root(), &options)?);
        Ok(())
    }

    /// A connection to the runner, started where none runs.
    ///
    /// # Errors
    /// Where none can be started.
    pub fn runner(&self) -> Result<Connection, ClientError> {
        Ok(match &self.settings.launcher {
            Some(launcher) => connect_or_start(&self.settings.place, launcher)?,
            None => connect(&self.settings.place)?,
        })
    }

    /// A connection to the runner, if one runs.
    ///
    /// # Errors
    /// Where one runs and cannot be talked to.
    pub fn running_runner(&self) -> Result<Option<Connection>, ClientError> {
        match connect(&self.settings.place) {
            Ok(connection) => Ok(Some(connection)),
            Err(ConnectError::NotRunning) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Asks the runner, again where it was just ending or was killed: every request may be repeated.
    ///
    /// # Errors
    /// Where it cannot be reached, or refuses.
    pub fn ask(&self, request: &Request) -> Result<Reply, ClientError> {
        let mut last = None;
        for _ in 0..AGAIN {
            match self.runner()?.ask(request) {
                Ok(Reply::Refused(refusal)) if refusal.kind == RefusalKind::Ending => {
                    last = Some(ClientError::Refused(refusal));
                }
                Ok(Reply::Refused(refusal)) => return Err(ClientError::Refused(refusal)),
                Ok(Reply::Submitted(results)) if results.iter().any(is_ending) => {
                    last = results.into_iter().find_map(Result::err).map(ClientError::Refused);
                }
                Ok(reply) => return Ok(reply),
                Err(error) => last = Some(ConnectError::Io(error).into()),
            }
        }
        Err(last.unwrap_or(ClientError::Runner(ConnectError::NotRunning)))
    }

    /// The files of a batch that is to be submitted.
    ///
    /// # Errors
    /// Where the root cannot be written.
    pub fn stage(&self) -> Result<Stage, ClientError> {
        Stage::create(&self.layout)
    }

    pub(crate) fn root(&self) -> ByteString {
        ByteString::from(self.layout.root().to_owned())
    }

    /// Hands a batch over. When this returns it is in the store, on disk, and will run.
    ///
    /// # Errors
    /// A refusal, or a runner that cannot be reached; then nothing was taken in, or the same call made
    /// again (the tag is the stage's) gives the batch that was.
    pub fn submit(
        &mut self,
        stage: Stage,
        spec: JobSpec,
        options: &SubmitOptions,
    ) -> Result<BatchId, ClientError> {
        self.refuse_waiting_elsewhere(&spec)?;
        let submit = Submit {
            tag: stage.tag().clone(),
            spec,
            hold: options.hold,
            user: self.settings.user.clone(),
            terminal: self.settings.terminal.clone(),
            parent: options.parent,
            meta: options.meta.clone(),
        };
        let request = Request::Submit { root: self.root(), batches: vec![submit] };
        let Reply::Submitted(mut results) = self.ask(&request)? else { return Err(odd_answer()) };
        match results.pop() {
            Some(Ok(batch)) => {
                stage.keep();
                Ok(batch)
            }
            Some(Err(refusal)) => Err(ClientError::Refused(refusal)),
            None => Err(odd_answer()),
        }
    }

    /// Sends ended jobs of a batch again.
    ///
    /// # Errors
    /// Where some have not ended, they would wait for themselves, or the runner refuses.
    pub fn retry(
        &mut self,
        batch: BatchId,
        jobs: &IndexSet,
        again: Again,
    ) -> Result<SubmissionNumber, ClientError> {
        self.refuse_waiting_for_itself(batch, jobs, &again.spec)?;
        self.refuse_waiting_elsewhere(&again.spec)?;
        let tag = draw_tag().map_err(|e| ClientError::file("read", "/dev/urandom", e))?;
        let Again { spec, keep_script, hold } = again;
        let what = Box::new(Resubmit { tag, batch, jobs: jobs.clone(), spec, keep_script, hold });
        match self.ask(&Request::Resubmit { root: self.root(), what })? {
            Reply::Resubmitted(k) => Ok(k),
            _ => Err(odd_answer()),
        }
    }

    /// Tells when something changes in these batches. With a `lender` the cores of that job are others' to use
    /// until the watch is dropped.
    ///
    /// # Errors
    /// Where the runner cannot be reached.
    pub fn watch(&self, batches: &[BatchId], lender: Option<&Lender>) -> Result<Watch, ClientError> {
        let lend = lender.map(|lender| (ByteString::from(lender.root.clone()), lender.job));
        let leased = lender.and_then(leased_by);
        let request = Request::Watch { root: self.root(), batches: batches.to_vec(), lend, leased };
        let mut last = None;
        for _ in 0..AGAIN {
            let mut connection = self.runner()?;
            match connection.ask(&request) {
                Ok(Reply::News(_)) => return Ok(Watch::new(connection)),
                Ok(Reply::Refused(refusal)) => return Err(ClientError::Refused(refusal)),
                Ok(_) => return Err(odd_answer()),
                // It was ending, or was killed: the next one goes on with the jobs.
                Err(error) => last = Some(ConnectError::Io(error).into()),
            }
        }
        Err(last.unwrap_or(ClientError::Runner(ConnectError::NotRunning)))
    }

    /// Has the runner look after this root: what is queued in it goes on.
    ///
    /// # Errors
    /// Where none can be started, or the root's store fails.
    pub fn attach(&self) -> Result<(), ClientError> {
        self.ask(&Request::Attach { root: self.root() }).map(drop)
    }

    /// What the runner does.
    ///
    /// # Errors
    /// Where it cannot be talked to.
    pub fn status(&self) -> Result<Option<Report>, ClientError> {
        let mut last = None;
        for _ in 0..AGAIN {
            let Some(mut connection) = self.running_runner()? else { return Ok(None) };
            match connection.ask(&Request::Status) {
                Ok(Reply::Status(report)) => return Ok(Some(*report)),
                Ok(_) => return Err(odd_answer()),
                Err(error) => last = Some(ConnectError::Io(error).into()),
            }
        }
        Err(last.unwrap_or(ClientError::Runner(ConnectError::NotRunning)))
    }

    /// The batches and jobs that any of the selectors names.
    ///
    /// # Errors
    /// Where one is not there.
    pub fn select(&mut self, selectors: &[Selector]) -> Result<Vec<Selection>, ClientError> {
        let context =
            SelectContext { user: self.settings.user.clone(), terminal: self.settings.terminal.clone() };
        Ok(self.store()?.select(selectors, &context)?)
    }

    /// One batch.
    ///
    /// # Errors
    /// Where it is not there.
    pub fn batch(&mut self, batch: BatchId) -> Result<BatchRow, ClientError> {
        Ok(self.store()?.batch(batch)?.ok_or(StoreError::UnknownBatch(batch))?)
    }

    /// The spec of the newest submission of a batch.
    ///
    /// # Errors
    /// As [`Self::spec`].
    pub fn last_spec(&mut self, batch: BatchId) -> Result<JobSpec, ClientError> {
        let last = self.store()?.submissions(batch)?.iter().map(|one| one.k).max().unwrap_or(0);
        self.spec(batch, last)
    }

    /// The spec of a submission: the batch's own, or the changed one of a retry.
    ///
    /// # Errors
    /// Where the batch is not there.
    pub fn spec(&mut self, batch: BatchId, k: SubmissionNumber) -> Result<JobSpec, ClientError> {
        if k > 0
            && let Ok(text) = std::fs::read(self.layout.spec(batch, k))
            && let Ok(spec) = serde_json::from_slice(&text)
        {
            return Ok(spec);
        }
        Ok(self.batch(batch)?.spec()?)
    }
}

/// The process that runs a job itself, on cores that the runner may have left it, and what the job takes.
fn leased_by(lender: &Lender) -> Option<(u32, Amount)> {
    let options = OpenOptions { read_only: true, ..OpenOptions::default() };
    let batch = Store::open(&lender.root, &options).ok()?.batch(lender.job.batch).ok()??;
    let owner = Owner::parse(batch.owner.as_deref()?);
    let process = owner.process().filter(|_| !owner.is_gone())?;
    Some((process, need_of(&batch.spec().ok()?.resources)))
}

fn is_ending<T>(result: &Result<T, cluster_localqueue::runner::protocol::Refusal>) -> bool {
    result.as_ref().is_err_and(|refusal| refusal.kind == RefusalKind::Ending)
}

pub(crate) fn odd_answer() -> ClientError {
    ConnectError::Io(io::Error::new(io::ErrorKind::InvalidData, "an answer to another question")).into()
}

/// 50 random bits as a tag.
pub(crate) fn draw_tag() -> io::Result<Tag> {
    use std::io::Read;
    let mut bytes = [0; 8];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(Tag::from_bits(u64::from_le_bytes(bytes)))
}
