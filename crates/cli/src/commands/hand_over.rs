//! Where a batch goes, and what came of handing it over.

use std::path::Path;
use std::sync::Arc;

use cluster_client::scheduler::{Plan, Sending, Sent, Throttle};
use cluster_client::system::{System, SystemError};
use cluster_client::{ClientError, Stage, SubmitOptions};
use cluster_core::dialect::{DialectError, RefusalKind, SubmitRequest};
use cluster_core::{BatchId, JobSpec, Tag};
use serde::Serialize;

use crate::choose::Chosen;
use crate::context::Context;
use crate::exit::{Exit, usage};
use crate::output::{json, line, talk};
use crate::spec_args::SpecArgs;

/// Where jobs are to run.
#[derive(Clone)]
pub(crate) enum Target {
    /// On the cores of this machine.
    Local,
    /// Through a scheduler.
    System(Arc<System>),
}

impl Target {
    pub(crate) fn system(&self) -> Option<&System> {
        match self {
            Self::Local => None,
            Self::System(system) => Some(system),
        }
    }
}

/// The system that was asked for, or that follows from what is there.
pub(crate) fn target(context: &mut Context, flag: Option<&str>) -> anyhow::Result<Target> {
    if context.is_foreground() {
        let local = |name: &str| name == "local";
        return match flag {
            Some(name) if !local(name) => Err(usage(format!(
                "--foreground runs the jobs inside this process: it cannot go with --system {name}"
            ))),
            _ => Ok(Target::Local),
        };
    }
    match crate::choose::choose(context, flag)? {
        Chosen::Local => Ok(Target::Local),
        Chosen::System(system) => Ok(Target::System(context.client.use_system(*system))),
        Chosen::File => Err(usage(
            "a system with the scheduler `file` only writes scripts, which this version does not do yet",
        )),
    }
}

/// A batch that was handed over, and what kept it from arriving, with the exit code for that.
pub(crate) struct Handed {
    pub(crate) batch: BatchId,
    pub(crate) trouble: Option<(Exit, String)>,
    /// Whether it will not run any more.
    pub(crate) over: bool,
}

/// How a batch is handed over.
#[derive(Debug, Clone, Copy)]
pub(crate) struct How<'a> {
    /// The options as they were given.
    pub(crate) spec: &'a SpecArgs,
    /// What cannot be said is an error.
    pub(crate) strict: bool,
    /// Nothing is recorded or sent: what would be is printed.
    pub(crate) dry_run: bool,
}

/// The files of a batch. Those of a dry run lie beside the root, which then is not made.
pub(crate) fn stage(context: &Context, dry_run: bool) -> Result<Stage, ClientError> {
    match dry_run {
        true => Stage::apart(context.env("TMPDIR").map_or(Path::new("/tmp"), Path::new)),
        false => context.client.stage(),
    }
}

/// Hands a batch over; `None` after a dry run.
pub(crate) fn hand_over(
    context: &mut Context,
    target: &Target,
    stage: Stage,
    spec: JobSpec,
    options: &SubmitOptions,
    how: How<'_>,
) -> anyhow::Result<Option<Handed>> {
    let Target::System(system) = target else {
        if how.dry_run {
            let limit = context.limit();
            context.client.check(&spec, limit)?;
            let jobs =
                if spec.count == 1 { "1 job as it is" } else { &format!("{} jobs as they are", spec.count) };
            talk(&format!("cluster: the local queue would take {jobs}"));
            would_run_here(context, spec.count.into())?;
            return Ok(None);
        }
        let never = match context.root.join("store.db").exists() {
            true => context.client.why_never(&spec)?,
            false => None,
        };
        let batch = context.client.submit(stage, spec, options)?;
        let over = never.is_some();
        return Ok(Some(Handed { batch, trouble: never.map(|why| cannot_run(batch, &why)), over }));
    };
    let plan = context.client.plan(system, &spec)?;
    unsaid(&how.spec.unsaid(target), how.strict)?;
    unsaid(&plan.unsaid, how.strict)?;
    if how.dry_run {
        return dry_run(context, system, stage.tag(), &spec, options.hold, &plan).map(|()| None);
    }
    let quiet = context.common.quiet;
    let mut say = |text: &str| {
        if !quiet {
            talk(&format!("cluster: {text}"));
        }
    };
    if !quiet && matches!(plan.throttle, Throttle::Chained(_)) {
        say(&format!(
            "{} arrays run one after the other, since --max-running is for all of them",
            plan.submissions.len()
        ));
    }
    let sent = context.client.submit_to(system, stage, &spec, options, &plan, &mut say)?;
    Ok(Some(handed(system, sent, spec.resources.partition.as_deref(), quiet)))
}

fn cannot_run(batch: BatchId, why: &str) -> (Exit, String) {
    (Exit::JOB_FAILED, format!("batch {batch} cannot run: dependency_never_satisfied ({why})"))
}

/// Says what came of each submission; `partition` is the one that was asked for.
pub(crate) fn handed(system: &System, sent: Sent, partition: Option<&str>, quiet: bool) -> Handed {
    let batch = sent.batch;
    let mut handed = Handed { batch, trouble: None, over: true };
    let mut worse = |exit: Exit, text: String| {
        if handed.trouble.as_ref().is_none_or(|(known, _)| known.0 < exit.0) {
            handed.trouble = Some((exit, text));
        }
    };
    let name = system.name();
    for (_, sending) in sent.submissions {
        match sending {
            Sending::Accepted(id) => {
                handed.over = false;
                if !quiet {
                    talk(&format!("cluster: batch {batch} is job {id} of {name}"));
                }
            }
            Sending::Refused(error) => {
                let asked = unnamed(&error, partition)
                    .map_or_else(String::new, |name| format!("\n  partition: {name}"));
                worse(Exit(error.exit_code().max(Exit::OUT_OF_REACH.0)), format!("{error}{asked}"));
            }
            Sending::OutOfReach(error) => {
                handed.over = false;
                worse(
                    Exit::OUT_OF_REACH,
                    format!(
                        "{error}; batch {batch} is kept, and sent when {name} answers: `cluster wait {batch}` looks \
                         after it"
                    ),
                );
            }
            Sending::Uncertain(why) => {
                handed.over = false;
                worse(
                    Exit::UNCERTAIN,
                    format!(
                        "{why}; whether batch {batch} arrived is not known: it stays `submitting` until a search \
                         for its tag answers, and `cluster wait {batch}` looks after it"
                    ),
                );
            }
            Sending::Later(why) => {
                handed.over = false;
                if !quiet {
                    talk(&format!(
                        "cluster: batch {batch} {why}: it is sent when that is over, by the next `cluster wait` or \
                         `cluster ls --refresh`"
                    ));
                }
            }
            Sending::Never(why) => {
                let (exit, text) = cannot_run(batch, &why);
                worse(exit, text);
            }
        }
    }
    handed
}

/// The partition that was asked for, where it is unknown and the scheduler does not say which that is: with
/// most it is in the script, not in the command line.
fn unnamed<'a>(error: &SystemError, partition: Option<&'a str>) -> Option<&'a str> {
    let DialectError::Refused { kind: RefusalKind::UnknownPartition, stderr, .. } = error.dialect_error()?
    else {
        return None;
    };
    let mut words = stderr.split(|c: char| c.is_whitespace() || "\"'`(),:;=".contains(c));
    partition.filter(|name| !words.any(|word| word.trim_end_matches('.') == *name))
}

/// What cannot be said to the scheduler: a warning, or an error when strict.
pub(crate) fn unsaid(unsaid: &[String], strict: bool) -> anyhow::Result<()> {
    for what in unsaid {
        if strict {
            return Err(usage(format!("{what} (--strict)")));
        }
        talk(&format!("cluster: {what}; it has no effect"));
    }
    Ok(())
}

/// What would be sent, in JSON; version 1.
#[derive(Serialize)]
struct DryRun<'a> {
    v: u32,
    system: &'a str,
    jobs: u64,
    submissions: Vec<Submission>,
    directives: &'a [String],
    /// What else is to be known of it, for people.
    notes: Vec<String>,
}

#[derive(Serialize)]
struct Submission {
    jobs: String,
    command: String,
}

impl<'a> DryRun<'a> {
    fn of(system: &'a str) -> Self {
        Self { v: 1, system, jobs: 0, submissions: Vec::new(), directives: &[], notes: Vec::new() }
    }
}

/// The same of jobs that this machine would take, where JSON is asked for.
pub(crate) fn would_run_here(context: &Context, jobs: u64) -> anyhow::Result<()> {
    match context.common.json {
        true => json(&DryRun { jobs, ..DryRun::of("local") }),
        false => Ok(()),
    }
}

/// Prints what would be sent: the command line and the head of the script of each submission.
pub(crate) fn dry_run(
    context: &Context,
    system: &System,
    tag: &Tag,
    spec: &JobSpec,
    hold: bool,
    plan: &Plan,
) -> anyhow::Result<()> {
    let script = Path::new("job.sh");
    let mut told = DryRun { directives: &plan.directives, ..DryRun::of(system.name()) };
    for (i, jobs) in plan.submissions.iter().enumerate() {
        let array = (jobs.len() > 1).then(|| u32::try_from(jobs.len()).unwrap_or(u32::MAX));
        let request = SubmitRequest {
            script,
            name: &spec.name,
            tag,
            log: Path::new("job.sched"),
            array,
            throttle: plan.share(i),
            dependencies: &plan.dependencies(jobs),
            hold,
            resources: &spec.resources,
            head: &plan.directives,
        };
        let invocation = system
            .dialect()
            .submit(&request)
            .map_err(|source| ClientError::Usage(format!("{} cannot take this: {source}", system.name())))?;
        told.jobs += jobs.len();
        told.submissions.push(Submission { jobs: jobs.to_string(), command: invocation.command_line() });
    }
    match &plan.throttle {
        Throttle::Free => {}
        Throttle::Split(shares) if shares.len() > 1 => {
            let shares: Vec<_> = shares.iter().map(ToString::to_string).collect();
            told.notes.push(format!("--max-running is split over the arrays: {}", shares.join(" + ")));
        }
        Throttle::Split(_) => {}
        Throttle::Chained(most) => {
            told.notes.push(format!("the arrays run one after the other, each with at most {most} at once"));
        }
    }
    match (plan.never(), plan.waits_for_us()) {
        (Some(why), _) => {
            told.notes.push(format!("would never be sent: dependency_never_satisfied ({why})"));
        }
        (None, Some(why)) => told.notes.push(format!("not sent yet: {why}")),
        (None, None) => {}
    }
    if context.common.json {
        return json(&told);
    }
    for submission in &told.submissions {
        line(&format!("# jobs {}", submission.jobs))?;
        line(&submission.command)?;
    }
    told.directives.iter().try_for_each(|directive| line(directive))?;
    told.notes.iter().try_for_each(|note| line(&format!("# {note}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_partition_is_named_where_the_scheduler_does_not() {
        let refused = |kind: RefusalKind, stderr: &str| SystemError::Answer {
            system: "pbs".to_owned(),
            command: "qsub job.sh".to_owned(),
            source: Box::new(DialectError::Refused {
                kind,
                command: "qsub".to_owned(),
                code: 170,
                stderr: stderr.to_owned(),
            }),
        };
        let unknown = |stderr: &str| refused(RefusalKind::UnknownPartition, stderr);
        assert_eq!(unnamed(&unknown("qsub: Unknown queue"), Some("big")), Some("big"));
        assert_eq!(unnamed(&unknown("qsub: Unknown queue"), Some("sub")), Some("sub"));
        assert_eq!(unnamed(&unknown("invalid partition specified: big"), Some("big")), None);
        assert_eq!(unnamed(&unknown("requests unknown queue \"big.q\"\nExiting."), Some("big.q")), None);
        assert_eq!(unnamed(&unknown("qsub: Unknown queue"), None), None);
        assert_eq!(unnamed(&refused(RefusalKind::OverLimit, "too much"), Some("big")), None);
    }
}
