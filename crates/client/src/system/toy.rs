//! A scheduler for tests: `toysub` submits, `toyq` prints `ID USER STATE` lines, `toyacct` the same.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cluster_core::dialect::{
    Capabilities, Control, ControlTarget, Dialect, DialectError, Directives, HostCores, Jobs, Reading, Row,
    ScriptFacts, ScriptRequest, Site, SubmitRequest, Whose,
};
use cluster_core::exec::LocalHost;
use cluster_core::host::{Host, Invocation, Output, Stdin};
use cluster_core::state::{Cause, JobState};
use cluster_core::{RemoteId, Timestamp};
use cluster_localqueue::runner::Place;
use cluster_options::SchedulerKind;
use cluster_options::config::SystemConfig;

use super::{Surroundings, System};

/// A directory with commands, and a private one.
pub(crate) struct Toy {
    dir: tempfile::TempDir,
    pub(crate) config: SystemConfig,
}

impl Toy {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("bin")).unwrap();
        let mut config = SystemConfig::new(SchedulerKind::Slurm);
        config.bin = Some(dir.path().join("bin"));
        Self { dir, config }
    }

    pub(crate) fn bin(&self) -> PathBuf {
        self.dir.path().join("bin")
    }

    pub(crate) fn place(&self) -> PathBuf {
        self.dir.path().join("place")
    }

    /// Makes a command of a shell script; `$0` is its path. A process of its own writes it: a file that this
    /// one has open for writing may be open in a child of another test too, and then cannot be executed.
    pub(crate) fn command(&self, name: &str, script: &str) {
        let write = "cat > \"$1.new\" && chmod 755 \"$1.new\" && mv \"$1.new\" \"$1\"";
        let mut shell = Invocation::new(["sh", "-c", write, "sh"]);
        shell.argv.push(self.bin().join(name).into_os_string());
        shell.stdin = Stdin::Bytes(format!("#!/bin/sh\n{script}\n").into_bytes());
        assert!(LocalHost.run(&shell).unwrap().status.is_success());
    }

    pub(crate) fn system_on(&self, host: impl Host + 'static) -> System {
        self.system_in(&[("PATH", "/usr/bin:/bin")], host)
    }

    /// A system of somebody with this environment.
    pub(crate) fn system_in(&self, env: &[(&str, &str)], host: impl Host + 'static) -> System {
        let around = Surroundings {
            env: env.iter().map(|(name, value)| (name.into(), value.into())).collect(),
            place: Place::new(Some(self.place())),
            user: "ann".to_owned(),
        };
        System::new("toy", self.config.clone(), Box::new(ToyDialect), Arc::new(host), around)
    }
}

pub(crate) struct ToyDialect;

impl Dialect for ToyDialect {
    fn name(&self) -> &'static str {
        "toy"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { accounting: true, ..Capabilities::default() }
    }

    fn commands(&self) -> &'static [&'static str] {
        &["toysub", "toyq", "toyacct"]
    }

    fn probe(&self) -> Invocation {
        Invocation::new(["toyq", "--version"])
    }

    fn survey(&self) -> Vec<Invocation> {
        vec![Invocation::new(["toyq", "--version"]), Invocation::new(["toyacct", "--version"])]
    }

    fn enclosing_job(&self) -> &'static [&'static str] {
        &["TOY_JOB*", "TOY_ID"]
    }

    fn submit_alone(&self) -> &'static [(&'static str, &'static str)] {
        &[("TOY_SUBMIT_AT", "TOY_ALL_AT")]
    }

    fn script_facts(&self) -> ScriptFacts {
        ScriptFacts { position: "", remote_id: "", signals_shell_alone: false, codes: &[], unset: &[] }
    }

    fn directives(&self, _: &ScriptRequest<'_>) -> Directives {
        Directives::default()
    }

    fn submit(&self, request: &SubmitRequest<'_>) -> Result<Invocation, DialectError> {
        Ok(Invocation::new(["toysub".into(), request.script.as_os_str().to_owned()]))
    }

    fn element(&self, array: &RemoteId, position: u32) -> RemoteId {
        RemoteId(format!("{array}#{position}"))
    }

    fn query(&self, whose: Whose<'_>) -> Invocation {
        match whose {
            Whose::All => Invocation::new(["toyq"]),
            Whose::Users(users) => Invocation::new(["toyq", &users.join(",")]),
        }
    }

    fn accounting(&self, ids: &[RemoteId], _: &str, _: Timestamp) -> Vec<Invocation> {
        ids.iter().map(|id| Invocation::new(["toyacct", &id.0])).collect()
    }

    fn control(&self, _: Control, _: &[ControlTarget]) -> Vec<Invocation> {
        Vec::new()
    }

    fn read<'o>(&self, argv: &[OsString], output: &'o Output) -> Result<Reading<'o>, DialectError> {
        let command = Invocation::new(argv.iter().cloned()).command_line();
        match output.status.code() {
            0 => {}
            9 => return Err(DialectError::unreachable(command, output)),
            _ => {
                return Err(DialectError::refused(
                    cluster_core::dialect::RefusalKind::UnknownJob,
                    command,
                    output,
                ));
            }
        }
        let text = std::str::from_utf8(&output.stdout)
            .map_err(|error| DialectError::syntax(&command, &output.stdout, error.valid_up_to(), "UTF-8"))?;
        if argv.get(1).is_some_and(|word| word == "--version") {
            return Ok(Reading::Site(Site { version: Some(text.trim().to_owned()), ..Site::default() }));
        }
        let mut jobs = Jobs::default();
        for line in text.lines() {
            let mut words = line.split(' ');
            match (words.next(), words.next(), words.next()) {
                (Some(id), Some(user), Some(state)) => jobs.rows.push(Row {
                    id: id.into(),
                    job: id.into(),
                    user: user.into(),
                    state: state.parse().unwrap_or(JobState::Unknown),
                    raw_state: state.into(),
                    text: line,
                    ..Row::default()
                }),
                _ => jobs.errors.push(DialectError::syntax(&command, line.as_bytes(), 0, "a job")),
            }
        }
        Ok(Reading::Jobs(jobs))
    }

    fn hosts(&self, folded: &str) -> Result<Vec<HostCores>, DialectError> {
        if folded == "?" {
            return Err(DialectError::syntax("hosts", b"?", 0, "hosts"));
        }
        let host = |word: &str| match word.split_once(':') {
            Some((host, cores)) => HostCores { host: host.to_owned(), cores: cores.parse().ok() },
            None => HostCores { host: word.to_owned(), cores: None },
        };
        Ok(folded.split(' ').map(host).collect())
    }

    fn log(&self, log: &Path, _: Option<u32>) -> PathBuf {
        log.to_owned()
    }

    fn cause_in_log(&self, _: &[u8]) -> Option<Cause> {
        None
    }
}
