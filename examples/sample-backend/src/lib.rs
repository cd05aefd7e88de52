//! How `cluster` speaks to `plain`, a made-up scheduler; docs/new-scheduler.md goes through it.
#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use cluster_core::dialect::*;
use cluster_core::host::{Invocation, Output};
use cluster_core::{Cause, ExitStatus, JobState, RemoteId, Timestamp, Walltime};

/// The dialect. It has no settings.
#[derive(Debug, Clone, Copy, Default)]
pub struct Plain;

impl Dialect for Plain {
    fn name(&self) -> &'static str {
        "plain"
    }

    fn capabilities(&self) -> Capabilities {
        let (arrays, array_throttle, hold, accounting, checks_dependencies) = (true, true, true, true, true);
        Capabilities { arrays, array_throttle, hold, accounting, checks_dependencies, ..Default::default() }
    }

    fn commands(&self) -> &'static [&'static str] {
        &["psub", "pstat", "pdel", "phold", "prel"]
    }

    fn probe(&self) -> Invocation {
        Invocation::new(["pstat", "-V"])
    }

    fn survey(&self) -> Vec<Invocation> {
        vec![self.probe()]
    }

    fn enclosing_job(&self) -> &'static [&'static str] {
        &["PLAIN_JOB", "PLAIN_ELEMENT"]
    }

    fn script_facts(&self) -> ScriptFacts {
        let remote_id = "${PLAIN_JOB-}${PLAIN_ELEMENT:+.$PLAIN_ELEMENT}";
        let (position, codes, unset) = ("${PLAIN_ELEMENT-}", &[], &[]);
        ScriptFacts { position, remote_id, signals_shell_alone: false, codes, unset }
    }

    fn directives(&self, request: &ScriptRequest<'_>) -> Directives {
        let asked = request.resources;
        let mut lines = vec![format!("#PLAIN cores={}", asked.total_cores())];
        lines.extend(asked.time.and_then(Walltime::hms).map(|time| format!("#PLAIN time={time}")));
        lines.extend(asked.mem.map(|mem| format!("#PLAIN mb={}", mem.as_mb())));
        lines.extend(request.extra.iter().filter(|x| !x.contains('\n')).map(|x| format!("#PLAIN {x}")));
        let no = [("nodes", asked.nodes > 1), ("gpus", asked.gpus > 0), ("priority", request.priority != 0)];
        let unsaid = no.into_iter().filter(|(_, asked)| *asked);
        Directives { lines, unsaid: unsaid.map(|(what, _)| format!("plain knows no {what}")).collect() }
    }

    fn submit(&self, request: &SubmitRequest<'_>) -> Result<Invocation, DialectError> {
        let mut call = Invocation::new(["psub", "-N", &job_name(request.name, request.tag), "-o"]);
        call.argv.push(request.log.into());
        let mut say = |option: &str, value: String| call.argv.extend([option.into(), value.into()]);
        if let Some(queue) = &request.resources.partition {
            say("-q", queue.clone());
        }
        if let Some(count) = request.array {
            say("-a", format!("{count}%{}", request.throttle.unwrap_or(count)));
        }
        for RemoteDependency { kind, id, .. } in request.dependencies {
            say("-w", format!("{}:{id}", kind.as_str()));
        }
        call.argv.extend(request.hold.then(|| "-h".into()));
        call.argv.push(request.script.into());
        Ok(call)
    }

    fn element(&self, array: &RemoteId, position: u32) -> RemoteId {
        RemoteId(format!("{array}.{position}"))
    }

    fn query(&self, whose: Whose<'_>) -> Invocation {
        match whose {
            Whose::All => Invocation::new(["pstat"]),
            Whose::Users(users) => Invocation::new(["pstat", "-u", &users.join(",")]),
        }
    }

    fn accounting(&self, ids: &[RemoteId], user: &str, _: Timestamp) -> Vec<Invocation> {
        vec![Invocation::new(["pstat", "-x", "-u", user].into_iter().chain(ids.iter().map(|id| &*id.0)))]
    }

    fn control(&self, control: Control, targets: &[ControlTarget]) -> Vec<Invocation> {
        let command = match control {
            Control::Cancel => "pdel",
            Control::Hold => "phold",
            Control::Release => "prel",
        };
        let ids = |target: &ControlTarget| match &target.positions {
            None => vec![target.id.0.clone()],
            Some(some) => some.iter().map(|at| self.element(&target.id, at).0).collect(),
        };
        let words: Vec<String> = targets.iter().flat_map(ids).collect();
        words.chunks(1_000).map(|ids| Invocation::new([command.to_owned()].iter().chain(ids))).collect()
    }

    fn read<'o>(&self, argv: &[OsString], output: &'o Output) -> Result<Reading<'o>, DialectError> {
        let command = Invocation::new(argv).command_line();
        let said = String::from_utf8_lossy(&output.stderr);
        let refuse = |kind| Err(DialectError::refused(kind, command.as_str(), output));
        match output.status.code() {
            0 => {}
            9 => return Err(DialectError::unreachable(command, output)),
            _ if said.contains("no such queue") => return refuse(RefusalKind::UnknownPartition),
            _ if said.contains("more than") => return refuse(RefusalKind::OverLimit),
            _ if said.contains("no such job") => return refuse(RefusalKind::UnknownJob),
            _ => return refuse(RefusalKind::Other),
        }
        let syntax = |at, expected: &str| DialectError::syntax(&command, &output.stdout, at, expected);
        let text = str::from_utf8(&output.stdout).map_err(|error| syntax(error.valid_up_to(), "UTF-8"))?;
        match argv.first().and_then(|program| Path::new(program).file_name()?.to_str()) {
            Some("psub") => match text.trim().parse::<u64>() {
                Ok(id) => Ok(Reading::Submitted(RemoteId(id.to_string()))),
                Err(_) => Err(syntax(0, "the number of the job")),
            },
            Some("pstat") if argv.iter().any(|word| word == "-V") => {
                site(text).map(Reading::Site).ok_or_else(|| syntax(0, "plain VERSION ELEMENTS"))
            }
            Some("pstat") => {
                let (mut jobs, mut at) = (Jobs::default(), 0);
                for line in text.split_inclusive('\n') {
                    match line.strip_suffix('\n').and_then(row) {
                        Some(row) => jobs.rows.push(row),
                        None => jobs.error(|| syntax(at, "twelve fields with `|` between them")),
                    }
                    at += line.len();
                }
                Ok(Reading::Jobs(jobs))
            }
            Some("pdel" | "phold" | "prel") => Ok(Reading::Done),
            _ => Err(DialectError::NotRead { command, why: "it is no command of plain's".to_owned() }),
        }
    }

    fn hosts(&self, folded: &str) -> Result<Vec<HostCores>, DialectError> {
        Ok(vec![HostCores { host: folded.to_owned(), cores: None }])
    }

    fn log(&self, log: &Path, position: Option<u32>) -> PathBuf {
        position.map_or_else(|| log.to_owned(), |at| format!("{}.{at}", log.display()).into())
    }

    fn cause_in_log(&self, _: &[u8]) -> Option<Cause> {
        None
    }
}

/// `plain VERSION MOST-ELEMENTS`, then a line a queue: its name and its longest time in seconds.
fn site(text: &str) -> Option<Site> {
    let mut lines = text.lines();
    let (version, max_array) = lines.next()?.strip_prefix("plain ")?.split_once(' ')?;
    let mut site =
        Site { version: Some(version.into()), max_array: max_array.parse().ok(), ..Site::default() };
    (site.up, site.accounting, site.refuses_over_limit) = (Some(true), Some(true), Some(true));
    for (name, secs) in lines.filter_map(|line| line.split_once(' ')) {
        let max_time = secs.parse().ok().and_then(Walltime::try_from_secs);
        site.partitions.push(Partition { name: name.into(), max_time, ..Partition::default() });
    }
    Some(site)
}

/// `JOB|ELEMENT|USER|QUEUE|STATE|CODE|SUBMITTED|STARTED|ENDED|CORES|HOST|NAME`, `-` for what there is not.
fn row(line: &str) -> Option<Row<'_>> {
    let all: Vec<&str> = line.split('|').collect();
    let [job, task, user, queue, raw, code, sent, begun, over, cores, host, name] = *all else { return None };
    let _: u64 = job.parse().ok()?;
    let (id, tasks) = match task {
        "-" => (job.into(), Tasks::Single),
        _ => (Cow::Owned(format!("{job}.{task}")), Tasks::One(task.parse().ok()?)),
    };
    let status = code.parse().ok().map(ExitStatus::Exit);
    let (state, cause) = match raw {
        "W" => (JobState::Queued, None),
        "H" => (JobState::Held, None),
        "R" => (JobState::Running, None),
        "D" if status? == ExitStatus::Exit(0) => (JobState::Succeeded, None),
        "D" => (JobState::Failed, None),
        "K" => (JobState::Failed, Some(Cause::Cancelled)),
        "T" => (JobState::Failed, Some(Cause::Timeout)),
        "N" => (JobState::Failed, Some(Cause::DependencyNeverSatisfied)),
        _ => (JobState::Unknown, None),
    };
    let time = |text: &str| text.parse().ok().map(Timestamp::from_secs);
    let (submitted, started, ended, cores) = (time(sent), time(begun), time(over), cores.parse().ok());
    let mut row = Row { id, tasks, state, cause, status, submitted, started, ended, cores, ..Row::default() };
    (row.job, row.user, row.partition, row.name) = (job.into(), user.into(), queue.into(), name.into());
    (row.raw_state, row.text, row.uncertain) = (raw.into(), line, state == JobState::Unknown);
    row.hosts = Cow::Borrowed(if host == "-" { "" } else { host });
    Some(row)
}
