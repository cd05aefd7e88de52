//! [`Slurm`]: the dialect.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use cluster_core::dialect::{
    Capabilities, Control, ControlTarget, Dialect, DialectError, Directives, HostCores, Reading, ScriptFacts,
    ScriptRequest, SubmitRequest, Whose,
};
use cluster_core::host::{Invocation, Output};
use cluster_core::{Cause, RemoteId, Timestamp};

use crate::{
    command_line, control, directives, environment, hosts, log, refusal, sacct, sbatch, scontrol, sinfo,
    squeue,
};

/// How Slurm is spoken to. It has no settings: what differs between sites is asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Slurm;

impl Slurm {
    /// The dialect.
    pub const fn new() -> Self {
        Self
    }
}

impl Dialect for Slurm {
    fn name(&self) -> &'static str {
        "slurm"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            arrays: true,
            array_throttle: true,
            elementwise_dependencies: true,
            element_dependencies: true,
            hold: true,
            accounting: true,
            shows_ended: true,
            // But for those on ids that it has forgotten, which it drops.
            checks_dependencies: true,
            first_task: 0,
        }
    }

    fn commands(&self) -> &'static [&'static str] {
        &["sbatch", "squeue", "sacct", "scancel", "scontrol", "sinfo"]
    }

    fn probe(&self) -> Invocation {
        scontrol::ping()
    }

    fn survey(&self) -> Vec<Invocation> {
        scontrol::survey().into_iter().chain([sinfo::query()]).collect()
    }

    fn enclosing_job(&self) -> &'static [&'static str] {
        environment::ENCLOSING_JOB
    }

    fn submit_alone(&self) -> &'static [(&'static str, &'static str)] {
        // sbatch takes both, all other commands the second.
        &[("SBATCH_CLUSTERS", "SLURM_CLUSTERS")]
    }

    fn submits_with(&self, variable: &[u8]) -> bool {
        environment::submits_with(variable)
    }

    fn script_facts(&self) -> ScriptFacts {
        ScriptFacts {
            position: "${SLURM_ARRAY_TASK_ID-}",
            remote_id: "${SLURM_ARRAY_JOB_ID:-${SLURM_JOB_ID-}}${SLURM_ARRAY_TASK_ID:+_$SLURM_ARRAY_TASK_ID}",
            // At the time limit and for scancel slurmstepd signals all processes of the batch step.
            signals_shell_alone: false,
            codes: &[],
            unset: environment::UNSET,
        }
    }

    fn directives(&self, request: &ScriptRequest<'_>) -> Directives {
        directives::directives(request)
    }

    fn submit(&self, request: &SubmitRequest<'_>) -> Result<Invocation, DialectError> {
        sbatch::submit(request)
    }

    fn element(&self, array: &RemoteId, position: u32) -> RemoteId {
        RemoteId(format!("{array}_{position}"))
    }

    fn query(&self, whose: Whose<'_>) -> Invocation {
        squeue::query(whose)
    }

    fn accounting(&self, ids: &[RemoteId], user: &str, since: Timestamp) -> Vec<Invocation> {
        sacct::query(ids, user, since)
    }

    fn control(&self, control: Control, targets: &[ControlTarget]) -> Vec<Invocation> {
        control::control(control, targets)
    }

    fn read<'o>(&self, argv: &[OsString], output: &'o Output) -> Result<Reading<'o>, DialectError> {
        let reading = match command_line::program(argv) {
            b"sbatch" => sbatch::read(argv, output),
            b"squeue" => squeue::read(argv, output),
            b"sacct" => sacct::read(argv, output),
            b"scancel" => refusal::check("scancel", output).map(|()| Reading::Done),
            b"scontrol" => scontrol::read(argv, output),
            b"sinfo" => sinfo::read(argv, output),
            _ => {
                refusal::check(&String::from_utf8_lossy(command_line::program(argv)), output)?;
                Err(DialectError::NotRead {
                    command: Invocation::new(argv.iter().cloned()).command_line(),
                    why: match command_line::program(argv) {
                        b"sstat" => "it has the usage of running steps without their state; sacct has both, and is read".to_owned(),
                        b"sacctmgr" => "it lists accounts and who may use them, and tells of no job and no limit that is checked here".to_owned(),
                        _ => format!("it is none of {}", self.commands().join(", ")),
                    },
                })
            }
        }?;
        match reading {
            // What was cut off is not absent.
            Reading::Jobs(_) if output.truncated => Err(DialectError::NotRead {
                command: Invocation::new(argv.iter().cloned()).command_line(),
                why: format!("its output is larger than what was kept of it, {} bytes", output.stdout.len()),
            }),
            reading => Ok(reading),
        }
    }

    fn hosts(&self, folded: &str) -> Result<Vec<HostCores>, DialectError> {
        hosts::hosts(folded)
    }

    fn log(&self, log: &Path, _: Option<u32>) -> PathBuf {
        log.to_owned()
    }

    fn cause_in_log(&self, text: &[u8]) -> Option<Cause> {
        log::cause(text)
    }
}
