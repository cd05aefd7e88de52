//! The options of every submitting command, and the spec they make.

mod change;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args as ClapArgs;
use cluster_client::{Stage, SubmitOptions};
use cluster_core::job_script::travels;
use cluster_core::{ByteString, Command, JobSpec, MemSize, OutputMode, Resources, Walltime};
use cluster_options::config::Nesting;
use cluster_options::{Catalogue, CoreAmount, EnvExport, MemAmount, SchedulerKind, Spelling};

use crate::after::{self, After};
use crate::commands::hand_over::{How, Target, target};
use crate::context::Context;
use crate::exit::usage;
use crate::output::talk;
use crate::system_defaults::{Defaults, node_of};

/// What a job is, besides its command.
#[derive(Debug, Clone, ClapArgs)]
#[command(next_help_heading = "Job options")]
pub(crate) struct SpecArgs {
    /// Name of the batch [default: the base name of the command's first word]
    #[arg(long, short = 'n')]
    name: Option<String>,
    /// Cores of each job (tasks × cores, where tasks are given): a number, max, or a percentage
    #[arg(long, short = 'c', value_name = "N")]
    cores: Option<CoreAmount>,
    /// Memory of each job: 4000 (MB), 4G, 1.5g, or a percentage
    #[arg(long, short = 'm', value_name = "SIZE", alias = "memory")]
    mem: Option<MemAmount>,
    /// Time limit of each job: 90 (seconds), 1:30:00, 2-12, 1h30m, unlimited
    #[arg(long, short = 't', value_name = "TIME", alias = "walltime")]
    time: Option<Walltime>,
    /// Nodes of each job
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    nodes: Option<u32>,
    /// Tasks of each job, over all nodes
    #[arg(long, value_name = "N", alias = "ntasks", value_parser = clap::value_parser!(u32).range(1..))]
    tasks: Option<u32>,
    /// GPUs of each job
    #[arg(long, value_name = "N")]
    gpus: Option<u32>,
    /// Partition (queue) of the scheduler
    #[arg(long, value_name = "NAME", alias = "queue")]
    partition: Option<String>,
    /// Account to charge
    #[arg(long, value_name = "NAME")]
    account: Option<String>,
    /// The higher goes first
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    priority: Option<i32>,
    /// Start after other jobs: 17, 17.3, afterany:17, afternotok:17.0-4, after:17, aftercorr:17 (job for job), last,
    /// name=GLOB or another selector, afterany:last, remote:4711 (a job of the scheduler that is not ours); repeatable
    #[arg(long, value_name = "DEPENDENCY", visible_alias = "depends", value_delimiter = ',')]
    after: Vec<After>,
    /// Submit held: nothing starts before `cluster release`
    #[arg(long)]
    pub(crate) hold: bool,
    /// Working directory of the jobs [default: this one]
    #[arg(long, value_name = "DIR", alias = "workdir")]
    chdir: Option<PathBuf>,
    /// Environment of the jobs: all, none, or names and NAME=VALUE, separated by commas [default: all]
    #[arg(long, value_name = "LIST")]
    export: Option<EnvExport>,
    /// Run at most so many jobs of the batch at once
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_running: Option<u32>,
    /// Bind each job to cores of its own
    #[arg(long)]
    pin: bool,
    /// Record every job so that not even a kill of the runner loses its outcome (slower for very short jobs)
    #[arg(long)]
    durable: bool,
    /// Where outputs go: files (two for each job) or packed (together, for arrays) [default: packed for map]
    #[arg(long, value_name = "WHERE", value_parser = ["auto", "files", "packed"])]
    output: Option<String>,
    /// Time between TERM and KILL [default: 10 s]
    #[arg(long, value_name = "TIME")]
    grace: Option<Walltime>,
    /// A fact about the batch (repeatable)
    #[arg(long, value_name = "KEY=VALUE")]
    meta: Vec<String>,
    /// Cut a request that is larger than the machine down to it, and say so
    #[arg(long)]
    fit: bool,
    /// Make an error of what the system cannot do
    #[arg(long)]
    strict: bool,
    /// The system to run on: local, one of the configuration, a scheduler's name, or cluster (any but local)
    #[arg(long, value_name = "NAME")]
    system: Option<String>,
    /// Record and send nothing: print what would be sent
    #[arg(long)]
    dry_run: bool,
}

impl SpecArgs {
    /// The spec of `command`, with its environment in the stage.
    pub(crate) fn spec(
        &self,
        context: &mut Context,
        target: &Target,
        stage: &Stage,
        command: Command,
        first_word: &OsStr,
        array: bool,
    ) -> anyhow::Result<JobSpec> {
        let depth = context.depth();
        let max_running = self.nested(context, depth)?;
        let cwd = match &self.chdir {
            Some(dir) => context.cwd.join(dir),
            None => context.cwd.clone(),
        };
        if !cwd.is_dir() {
            return Err(usage(format!("the working directory {} is not there", cwd.display())));
        }
        let name = match &self.name {
            Some(name) => name.clone(),
            None => Path::new(first_word).file_name().unwrap_or(first_word).to_string_lossy().into_owned(),
        };
        let output = match self.output.as_deref() {
            // On a node there is nobody who could pack.
            _ if target.system().is_some() => OutputMode::Files,
            Some("packed") => OutputMode::Packed,
            Some("files") => OutputMode::Files,
            _ if array => OutputMode::Packed,
            _ => OutputMode::Files,
        };
        let grace =
            self.grace.and_then(Walltime::as_secs).map_or(context.config.local.grace, Duration::from_secs);
        let (dependencies, foreign) = after::resolve(context, &self.after, None)?;
        let mut spec = JobSpec {
            command,
            umask: umask(),
            resources: self.resources(context, target, None)?,
            dependencies,
            foreign,
            priority: self.priority.unwrap_or(0),
            max_running,
            output,
            durable: self.durable,
            pin: self.pin,
            grace_ms: grace.as_millis() as u64,
            depth,
            ..JobSpec::single(name, Vec::new(), cwd.into())
        };
        stage.environment(&mut spec, &self.environment(context, target))?;
        Ok(spec)
    }

    /// What goes with it.
    pub(crate) fn options(&self, context: &Context) -> anyhow::Result<SubmitOptions> {
        let fact = |text: &String| match text.split_once('=') {
            Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
            _ => Err(usage(format!("--meta {text}: expected KEY=VALUE"))),
        };
        let meta = self.meta.iter().map(fact).collect::<anyhow::Result<_>>()?;
        let parent =
            context.enclosing().filter(|lender| lender.root == context.root).map(|lender| lender.job);
        Ok(SubmitOptions { hold: self.hold, parent, meta })
    }

    /// Where it is to run.
    pub(crate) fn target(&self, context: &mut Context) -> anyhow::Result<Target> {
        let target = target(context, self.system.as_deref())?;
        if matches!(target, Target::Local) {
            self.check_local()?;
        }
        Ok(target)
    }

    /// How it is handed over.
    pub(crate) fn how(&self) -> How<'_> {
        How { spec: self, strict: self.strict, dry_run: self.dry_run }
    }

    /// What was asked for on the command line and cannot be said to this scheduler by anybody: no script holds
    /// these options, so no dialect sees them.
    pub(crate) fn unsaid(&self, target: &Target) -> Vec<String> {
        let nodes = self.nodes.or(Defaults::of(target).number("nodes"));
        let asked = [
            ("pin", self.pin),
            ("grace", self.grace.is_some()),
            ("durable", self.durable),
            ("nodes", nodes.is_some_and(|nodes| nodes > 1)),
        ];
        let why = |name: &str| Some(format!("--{name}: {}", cannot(name, target)?));
        asked.into_iter().filter(|(_, asked)| *asked).filter_map(|(name, _)| why(name)).collect()
    }

    pub(crate) fn check_local(&self) -> anyhow::Result<()> {
        if let Some(why) = self.after.iter().find_map(After::not_here) {
            return Err(usage(why));
        }
        let cannot = [
            (self.nodes.is_some_and(|n| n > 1), "--nodes: this machine is one node"),
            (self.gpus.is_some_and(|n| n > 0), "--gpus: the local queue does not count GPUs"),
            (self.partition.is_some(), "--partition: the local queue has none"),
            (self.account.is_some(), "--account: the local queue charges none"),
        ];
        for (_, what) in cannot.iter().filter(|(asked, _)| *asked) {
            if self.strict {
                return Err(usage(format!("{what} (--strict)")));
            }
            talk(&format!("cluster: {what}; it has no effect"));
        }
        Ok(())
    }

    /// What a submission inside a job may do.
    fn nested(&self, context: &Context, depth: u32) -> anyhow::Result<Option<u32>> {
        if depth == 0 {
            return Ok(self.max_running);
        }
        if depth > context.config.nesting_depth {
            return Err(usage(format!(
                "jobs submit jobs {depth} deep, and nesting_depth is {}: is this a job that submits itself?",
                context.config.nesting_depth
            )));
        }
        match context.config.nesting {
            Nesting::Allow => Ok(self.max_running),
            Nesting::Serial => Ok(Some(1)),
            Nesting::Refuse => Err(usage("this is inside a job, and nesting is refuse: no jobs from jobs")),
        }
    }

    /// What each job asks for: by the command line, else as before where it is sent again, else by default.
    fn resources(
        &self,
        context: &Context,
        target: &Target,
        before: Option<&Resources>,
    ) -> anyhow::Result<Resources> {
        let defaults = Defaults::of(target);
        let known = |of: fn(&Resources) -> u32, name| before.map(of).or_else(|| defaults.number(name));
        let mut tasks = self.tasks.or(known(|before| before.tasks, "tasks")).unwrap_or(1).max(1);
        // Where no number of nodes can be asked for the job is not told that it has them.
        // Reading the catalogue costs more than all else that a submission does here.
        let nodes = self.nodes.or(known(|before| before.nodes, "nodes")).unwrap_or(1).max(1);
        let nodes = if nodes > 1 && cannot("nodes", target).is_some() { 1 } else { nodes };
        let known = before.map_or_else(|| defaults.cores(), |before| Some(CoreAmount::Number(before.cores)));
        let cores = self.cores.or(known).unwrap_or(CoreAmount::Number(1));
        let known = before.map_or_else(|| defaults.mem(), |before| before.mem.map(MemAmount::Size));
        let asked_mem = self.mem.or(known);
        let text = |of: fn(&Resources) -> &Option<String>, name| match before {
            Some(before) => of(before).clone(),
            None => defaults.text(name),
        };
        let partition = self.partition.clone().or_else(|| text(|before| &before.partition, "partition"));
        let relative = cores.number().is_none() || asked_mem.is_some_and(|mem| mem.size().is_none());
        let limit = match (relative || self.fit, target) {
            (false, _) => None,
            (true, Target::Local) => Some(context.limit()),
            (true, Target::System(system)) => Some(node_of(system, partition.as_deref())?),
        };
        let resolve = |total: u32| cores.resolve(total).max(1);
        let mut cores = cores.number().unwrap_or_else(|| limit.map_or(1, |limit| resolve(limit.cores)));
        let mut mem = asked_mem.map(|mem| match (mem.size(), limit) {
            (Some(size), _) => size,
            (None, limit) => mem.resolve(MemSize::from_mb(limit.map_or(0, |limit| limit.mem_mb))),
        });
        if self.fit
            && let Some(limit) = limit
        {
            // This machine is one node, whatever was asked for.
            let nodes = target.system().map_or(1, |_| nodes);
            let all = limit.cores.saturating_mul(nodes).max(1);
            if tasks > all {
                talk(&format!("cluster: {tasks} tasks are more than there are cores: cut to {all}"));
                tasks = all;
            }
            let most = (all / tasks).max(1);
            if cores > most {
                let each = if tasks > 1 { " for each task" } else { "" };
                talk(&format!("cluster: {cores} cores{each} are more than there are: cut to {most}"));
                cores = most;
            }
            let most = MemSize::from_mb(limit.mem_mb.saturating_mul(u64::from(nodes)));
            if let Some(asked) = mem.filter(|asked| *asked > most) {
                talk(&format!("cluster: {asked} of memory is more than there is: cut to {most}"));
                mem = Some(most);
            }
        }
        Ok(Resources {
            nodes,
            tasks,
            cores,
            mem,
            time: self.time.or(before.map_or_else(|| defaults.time(), |before| before.time)),
            gpus: self
                .gpus
                .or(before.map_or_else(|| defaults.number("gpus"), |before| Some(before.gpus)))
                .unwrap_or(0),
            partition,
            account: self.account.clone().or_else(|| text(|before| &before.account, "account")),
        })
    }

    fn environment(&self, context: &Context, target: &Target) -> Vec<(ByteString, ByteString)> {
        let mut all = context.environment();
        if let Some(system) = target.system() {
            // What the scheduler sets for the job on its node is not ours to overwrite.
            all.retain(|(name, _)| !belongs_to_a_job(&name.0, system.dialect().enclosing_job()));
        }
        let Some(export) = &self.export else { return all };
        let named = |name: &ByteString| {
            export.variables.iter().any(|(wanted, value)| wanted.as_bytes() == name.0 && value.is_none())
        };
        // PATH and the like are what a login gives: without them hardly any command would start.
        let basic = |name: &ByteString| {
            ["PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG"]
                .iter()
                .any(|basic| basic.as_bytes() == name.0)
        };
        let mut chosen: Vec<_> = all
            .into_iter()
            .filter(|(name, _)| travels(&name.0) && (export.all || named(name) || basic(name)))
            .collect();
        for (name, value) in &export.variables {
            if let Some(value) = value {
                chosen.retain(|(known, _)| known.0 != name.as_bytes());
                chosen.push((name.as_str().into(), value.as_str().into()));
            }
        }
        chosen.sort();
        chosen
    }
}

impl SpecArgs {
    pub(crate) fn is_strict(&self) -> bool {
        self.strict
    }
}

/// Whether a variable describes the job that we are in, or is set by a scheduler for each job.
fn belongs_to_a_job(name: &[u8], patterns: &[&str]) -> bool {
    const SET_FOR_JOBS: &[&str] = &[
        "CUDA_VISIBLE_DEVICES",
        "ROCR_VISIBLE_DEVICES",
        "ZE_AFFINITY_MASK",
        "GPU_DEVICE_ORDINAL",
        "OMP_NUM_THREADS",
    ];
    let matches = |pattern: &&str| match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start.as_bytes()),
        None => pattern.as_bytes() == name,
    };
    SET_FOR_JOBS.iter().any(|set| set.as_bytes() == name) || patterns.iter().any(matches)
}

fn umask() -> u32 {
    // It can only be read by setting it.
    let mask = rustix::process::umask(rustix::fs::Mode::empty());
    rustix::process::umask(mask);
    mask.as_raw_mode() & 0o777
}

/// Why an option cannot be said to where the jobs go.
fn cannot(name: &str, target: &Target) -> Option<&'static str> {
    let scheduler = target.system().map_or(SchedulerKind::Local, |system| system.config().scheduler);
    match Catalogue::builtin().get(name)?.spelling(scheduler) {
        Spelling::Cannot(why) => Some(why),
        _ => None,
    }
}
