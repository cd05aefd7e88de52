//! [`OpenPbs`]: OpenPBS and PBS Pro.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use cluster_core::dialect::{
    Capabilities, Control, ControlTarget, Dialect, DialectError, Directives, HostCores, Reading, ScriptFacts,
    ScriptRequest, SubmitRequest, Whose,
};
use cluster_core::host::{Invocation, Output};
use cluster_core::{Cause, RemoteId, Timestamp};

use crate::flavour::Flavour;
use crate::lexeme::Id;
use crate::{command, control, directives, hosts, log, qsub, read};

const FLAVOUR: Flavour = Flavour::OpenPbs;

/// Ids of one `qstat`: 50 took 0.6 s, a round trip each.
const IDS: usize = 1000;

/// OpenPBS and PBS Pro, spoken to with `qsub`, `qstat`, `qdel` and their like.
///
/// The queue is asked for by `qstat -t -f -w`: one line an attribute, whatever the values hold, and elements
/// of arrays one by one. `-f` takes no user: the answer has everybody's jobs, whoever was asked for, and the
/// caller picks by [`Row::user`](cluster_core::dialect::Row::user).
#[derive(Debug, Clone, Copy, Default)]
pub struct OpenPbs;

impl Dialect for OpenPbs {
    fn name(&self) -> &'static str {
        "pbs"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            arrays: true,
            array_throttle: true,
            elementwise_dependencies: false,
            element_dependencies: false,
            hold: true,
            accounting: true,
            shows_ended: false,
            checks_dependencies: false,
            first_task: 0,
        }
    }

    fn commands(&self) -> &'static [&'static str] {
        &["qsub", "qstat", "qdel", "qhold", "qrls", "pbsnodes"]
    }

    fn probe(&self) -> Invocation {
        command::question(["qstat", "-B", "-f"])
    }

    fn survey(&self) -> Vec<Invocation> {
        vec![
            command::question(["qstat", "-B", "-f"]),
            command::question(["qstat", "-Q", "-f"]),
            command::question(["pbsnodes", "-a"]),
        ]
    }

    fn enclosing_job(&self) -> &'static [&'static str] {
        ENCLOSING_JOB
    }

    fn script_facts(&self) -> ScriptFacts {
        ScriptFacts {
            position: "${PBS_ARRAY_INDEX-}",
            remote_id: "${PBS_JOBID-}",
            // The daemon signals every process of the job's session once: qdel of a script that only slept
            // ended with 143, the shell's word for a command that TERM met.
            signals_shell_alone: false,
            codes: &[],
            unset: &[],
        }
    }

    fn directives(&self, request: &ScriptRequest<'_>) -> Directives {
        directives::directives(FLAVOUR, request)
    }

    fn submit(&self, request: &SubmitRequest<'_>) -> Result<Invocation, DialectError> {
        qsub::submit(FLAVOUR, request)
    }

    fn element(&self, array: &RemoteId, position: u32) -> RemoteId {
        element(array, position)
    }

    fn query(&self, _: Whose<'_>) -> Invocation {
        command::about_all(["qstat", "-t", "-f", "-w"])
    }

    fn accounting(&self, ids: &[RemoteId], _: &str, _: Timestamp) -> Vec<Invocation> {
        // No ids: a submission is searched by its tag. The history cannot be cut by date, but an array's own
        // record is enough.
        if ids.is_empty() {
            return vec![command::about_all(["qstat", "-x", "-f", "-w"])];
        }
        // Of an array its elements come all at once.
        let mut asked: Vec<String> = Vec::new();
        let mut known = std::collections::HashSet::new();
        for id in ids {
            let id = Id::read(&id.0).map_or_else(|| id.0.clone(), |id| id.array());
            if known.insert(id.clone()) {
                asked.push(id);
            }
        }
        let call = |ids: &[String]| {
            let words = ["qstat", "-x", "-t", "-f", "-w"].map(OsString::from);
            command::about_all(words.into_iter().chain(ids.iter().map(OsString::from)))
        };
        asked.chunks(IDS).map(call).collect()
    }

    fn control(&self, control: Control, targets: &[ControlTarget]) -> Vec<Invocation> {
        control::invocations(FLAVOUR, control, targets)
    }

    fn read<'o>(&self, argv: &[OsString], output: &'o Output) -> Result<Reading<'o>, DialectError> {
        read::read(FLAVOUR, argv, output)
    }

    fn hosts(&self, folded: &str) -> Result<Vec<HostCores>, DialectError> {
        hosts::read(folded)
    }

    fn log(&self, log: &Path, position: Option<u32>) -> PathBuf {
        log::path(FLAVOUR, log, position)
    }

    fn cause_in_log(&self, text: &[u8]) -> Option<Cause> {
        log::cause(text)
    }
}

/// What the daemons put into a job's environment. `PBS_CONF_FILE`, `PBS_EXEC`, `PBS_HOME`, `PBS_SERVER`,
/// `PBS_DEFAULT` and `PBS_DPREFIX` locate or default the scheduler and stay.
pub(crate) const ENCLOSING_JOB: &[&str] = &[
    "PBS_JOBID",
    "PBS_JOBNAME",
    "PBS_JOBDIR",
    "PBS_JOBCOOKIE",
    "PBS_NODEFILE",
    "PBS_NODENUM",
    "PBS_NUM_NODES",
    "PBS_NUM_PPN",
    "PBS_NP",
    "PBS_VNODENUM",
    "PBS_GPUFILE",
    "PBS_MICFILE",
    "PBS_TASKNUM",
    "PBS_MOMPORT",
    "PBS_QUEUE",
    "PBS_WALLTIME",
    "PBS_ENVIRONMENT",
    "PBS_VERSION",
    "PBS_ARRAY*",
    "PBS_O_*",
    "CLUSTER_TAG",
];

/// `12[3].srv` of `12[].srv`.
pub(crate) fn element(array: &RemoteId, position: u32) -> RemoteId {
    match Id::read(&array.0) {
        Some(id) => RemoteId(id.with_index(&position.to_string())),
        None => array.clone(),
    }
}
