//! [`Torque`].

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use cluster_core::dialect::{
    Capabilities, Control, ControlTarget, Dialect, DialectError, Directives, HostCores, Reading, ScriptFacts,
    ScriptRequest, SubmitRequest, Whose,
};
use cluster_core::host::{Invocation, Output};
use cluster_core::{Cause, RemoteId, Timestamp};

use crate::flavour::Flavour;
use crate::openpbs::{ENCLOSING_JOB, element};
use crate::{command, control, directives, hosts, log, qsub, read};

const FLAVOUR: Flavour = Flavour::Torque;

/// Torque, spoken to with `qsub`, `qstat`, `qdel` and their like.
///
/// The queue is asked for by `qstat -t -x`: XML with dates in seconds, and elements of arrays one by one.
/// `-x` takes no user: the answer has everybody's jobs, whoever was asked for, and the caller picks by
/// [`Row::user`](cluster_core::dialect::Row::user). There is no accounting beside it: completed jobs stay in
/// the answer for the server's `keep_completed` seconds.
#[derive(Debug, Clone, Copy, Default)]
pub struct Torque;

impl Dialect for Torque {
    fn name(&self) -> &'static str {
        "torque"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            arrays: true,
            array_throttle: true,
            elementwise_dependencies: false,
            element_dependencies: false,
            hold: true,
            accounting: false,
            shows_ended: true,
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
            command::question(["pbsnodes", "-a", "-x"]),
        ]
    }

    fn enclosing_job(&self) -> &'static [&'static str] {
        ENCLOSING_JOB
    }

    fn script_facts(&self) -> ScriptFacts {
        ScriptFacts {
            position: "${PBS_ARRAYID-}",
            remote_id: "${PBS_JOBID-}",
            // The daemon goes through the processes of the session, and their groups: a command may get TERM
            // more than once, the shell is never the only one.
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
        command::about_all(["qstat", "-t", "-x"])
    }

    fn accounting(&self, _: &[RemoteId], _: &str, _: Timestamp) -> Vec<Invocation> {
        Vec::new()
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
