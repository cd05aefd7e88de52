//! Grid Engine as a [`Dialect`]: [`Sge`].

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use cluster_core::dialect::{
    Capabilities, Control, ControlTarget, Dialect, DialectError, Directives, HostCores, Reading, ScriptFacts,
    ScriptRequest, SubmitRequest, Whose,
};
use cluster_core::host::{Invocation, Output};
use cluster_core::{Cause, RemoteId, Timestamp};

use crate::call::Call;
use crate::{directives, hosts, qacct, qconf, qdel, qhost, qstat, qsub, refusal};

/// Grid Engine in all its branches (Sun, Son of, Univa, Altair, Open Cluster): what a site has to say of it
/// is here, all else is asked of it.
///
/// ```
/// use cluster_backend_sge::Sge;
/// use cluster_core::dialect::Dialect;
///
/// let sge = Sge { parallel_environment: Some("smp".into()), ..Sge::default() };
/// assert_eq!(sge.capabilities().first_task, 1);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sge {
    /// The parallel environment for jobs of more than one core (`qconf -spl` lists them). One whose
    /// `allocation_rule` is `$pe_slots` keeps a job on one host. Without it such jobs cannot be asked for.
    pub parallel_environment: Option<String>,
    /// The resource that limits memory, counted per slot; `None`: memory cannot be asked for here.
    pub mem_resource: Option<String>,
    /// The resource that counts GPUs, if the site has one.
    pub gpu_resource: Option<String>,
    /// Whether the site counts that resource per slot (`consumable YES`), and not per job (`JOB`).
    pub gpus_per_slot: bool,
}

impl Default for Sge {
    fn default() -> Self {
        Self {
            parallel_environment: None,
            mem_resource: Some("h_vmem".to_owned()),
            gpu_resource: None,
            gpus_per_slot: false,
        }
    }
}

impl Dialect for Sge {
    fn name(&self) -> &'static str {
        "sge"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            arrays: true,
            array_throttle: true,
            elementwise_dependencies: true,
            element_dependencies: false,
            hold: true,
            accounting: true,
            shows_ended: false,
            checks_dependencies: false,
            first_task: 1,
        }
    }

    fn commands(&self) -> &'static [&'static str] {
        &["qsub", "qstat", "qdel", "qhold", "qrls", "qacct", "qconf", "qhost"]
    }

    /// The names of the queues: nobody else has a `qconf`, and only a qmaster that is up answers it. (PBS has
    /// a `qstat` of its own, and `qstat -help` asks nobody.)
    fn probe(&self) -> Invocation {
        qconf::invocation(&["-sql"])
    }

    fn survey(&self) -> Vec<Invocation> {
        vec![
            qstat::version(),
            qconf::invocation(&["-sconf"]),
            qconf::invocation(&["-sq", "*"]),
            qconf::invocation(&["-spl"]),
            qhost::invocation(),
        ]
    }

    fn enclosing_job(&self) -> &'static [&'static str] {
        qsub::ENCLOSING_JOB
    }

    fn script_facts(&self) -> ScriptFacts {
        qsub::SCRIPT_FACTS
    }

    fn directives(&self, request: &ScriptRequest<'_>) -> Directives {
        directives::directives(self, request)
    }

    fn submit(&self, request: &SubmitRequest<'_>) -> Result<Invocation, DialectError> {
        qsub::invocation(request)
    }

    fn element(&self, array: &RemoteId, position: u32) -> RemoteId {
        RemoteId(format!("{array}.{}", u64::from(position) + 1))
    }

    fn query(&self, whose: Whose<'_>) -> Invocation {
        qstat::invocation(whose)
    }

    fn accounting(&self, ids: &[RemoteId], user: &str, since: Timestamp) -> Vec<Invocation> {
        qacct::invocations(ids, user, since)
    }

    fn control(&self, control: Control, targets: &[ControlTarget]) -> Vec<Invocation> {
        qdel::invocations(control, targets)
    }

    fn read<'o>(&self, argv: &[OsString], output: &'o Output) -> Result<Reading<'o>, DialectError> {
        let call = Call::new(argv);
        refusal::unreachable(&call, output)?;
        match call.program {
            "qsub" | "qresub" => qsub::read(&call, output),
            "qstat" => qstat::read(&call, output, self.mem_resource.as_deref()),
            "qacct" => qacct::read(&call, output, self.mem_resource.as_deref()),
            "qconf" => qconf::read(&call, output),
            "qhost" => qhost::read(&call, output),
            "qdel" | "qhold" | "qrls" | "qmod" | "qalter" => qdel::read(&call, output),
            _ => Err(call.not_read("it is no command of Grid Engine's that we ask for anything")),
        }
    }

    fn hosts(&self, folded: &str) -> Result<Vec<HostCores>, DialectError> {
        hosts::unfold(folded)
    }

    /// The log itself: SGE appends to it, so one file serves all elements of an array.
    fn log(&self, log: &Path, _position: Option<u32>) -> PathBuf {
        log.to_owned()
    }

    /// Never: Grid Engine writes no reason into a job's output.
    fn cause_in_log(&self, _text: &[u8]) -> Option<Cause> {
        None
    }
}
