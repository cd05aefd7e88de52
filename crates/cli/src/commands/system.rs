//! `cluster system`: the places to run, what was found there, and whether they can be reached.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use cluster_client::system::{System, detect};
use cluster_core::Timestamp;
use cluster_core::bytestring::printable;
use cluster_core::dialect::{Partition, Site, Whose};
use cluster_core::{MemSize, Walltime};
use cluster_options::config::SystemConfig;
use rustix::fs::{Access, access};
use serde::Serialize;

use crate::choose::{self, Chosen};
use crate::context::Context;
use crate::exit::{Exit, usage};
use crate::output::{json, line, table};

/// Limits of this age are shown; `check` asks anew.
const FRESH: Duration = Duration::from_secs(600);

/// The options of `system`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List the systems, and which of them answer
    Ls {
        /// They are asked anew in any case
        #[arg(long, hide = true)]
        refresh: bool,
    },
    /// Show a system: its commands, its version, its partitions with their limits
    Show {
        /// The system [default: $CLUSTER_SYSTEM, the default system, else the scheduler that answers here]
        name: Option<String>,
    },
    /// Try all that needs no job: commands, queue, accounting, root. Nothing is submitted
    Check {
        /// The system [default: $CLUSTER_SYSTEM, the default system, else the scheduler that answers here]
        name: Option<String>,
    },
}

/// A system of the list, in JSON; version 1.
#[derive(Serialize)]
struct Listed<'a> {
    v: u32,
    system: &'a str,
    scheduler: &'a str,
    configured: bool,
    default: bool,
    /// `None`: it was not asked.
    answers: Option<bool>,
    version: Option<&'a str>,
    why: &'a str,
}

/// A system in full, in JSON; version 1.
#[derive(Serialize)]
struct Shown<'a> {
    v: u32,
    system: &'a str,
    scheduler: &'a str,
    commands: BTreeMap<&'a str, Option<&'a Path>>,
    answers: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    site: &'a Site,
    options: BTreeMap<&'a str, String>,
    env: BTreeMap<&'a str, &'a str>,
    pre_submit: &'a [String],
    setup: &'a [String],
    extra: &'a [String],
}

/// A step of a check, in JSON; version 1.
#[derive(Serialize)]
struct Step<'a> {
    v: u32,
    system: &'a str,
    step: &'a str,
    good: bool,
    text: &'a str,
}

pub(crate) fn run(context: &Context, args: &Args) -> anyhow::Result<Exit> {
    match &args.command {
        Command::Ls { refresh: _ } => ls(context),
        Command::Show { name } => match named(context, name.as_deref())? {
            Some(system) => show(context, &system),
            None => local(context),
        },
        Command::Check { name } => match named(context, name.as_deref())? {
            Some(system) => check(context, &system),
            None => Err(usage("local is this machine: `cluster local status` tells about it")),
        },
    }
}

/// `None`: this machine.
fn named(context: &Context, name: Option<&str>) -> anyhow::Result<Option<System>> {
    match name {
        None | Some(choose::ANY) => choose::queue_of(context, name).map(Some),
        Some(name) => match choose::named(context, name)? {
            Chosen::System(system) => Ok(Some(*system)),
            Chosen::Local => Ok(None),
            Chosen::File => Err(usage(format!("the system {name} writes scripts, there is nothing to find"))),
        },
    }
}

fn ls(context: &Context) -> anyhow::Result<Exit> {
    let candidates = choose::candidates(context);
    // Whoever asks wants to know how it is now.
    let detected = detect(&candidates, true)?;
    let configured = &context.config.systems;
    let default = context.config.default_system.as_deref();
    let mut all: Vec<Listed<'_>> = Vec::new();
    let found = |system: &System| detected.found.iter().find(|found| found.system == system.name());
    let reasons: Vec<String> = candidates.iter().map(choose::not_there).collect();
    // A probe is cheap, and does not always tell the version.
    let version = |system: &System| match found(system) {
        Some(found) if found.error.is_none() => {
            found.version.clone().or_else(|| system.site(FRESH).ok()?.version)
        }
        found => found?.version.clone(),
    };
    let versions: Vec<Option<String>> = candidates.iter().map(version).collect();
    for ((system, reason), version) in candidates.iter().zip(&reasons).zip(&versions) {
        let found = found(system);
        // A scheduler that is neither configured nor here is no system.
        if found.is_none() && !configured.contains_key(system.name()) {
            continue;
        }
        all.push(Listed {
            v: 1,
            system: system.name(),
            scheduler: system.dialect().name(),
            configured: configured.contains_key(system.name()),
            default: default == Some(system.name()),
            answers: Some(found.is_some_and(|found| found.error.is_none())),
            version: version.as_deref(),
            why: match found {
                None => reason,
                Some(found) => found.error.as_deref().or(found.server.as_deref()).unwrap_or_default(),
            },
        });
    }
    // Those without a scheduler, and those that are not asked.
    for (name, config) in configured {
        if all.iter().any(|one| one.system == name) {
            continue;
        }
        let private = SystemConfig::is_private(name);
        all.push(Listed {
            v: 1,
            system: name,
            scheduler: config.scheduler.as_str(),
            configured: true,
            default: default == Some(name),
            answers: Some(true).filter(|_| !private),
            version: None,
            why: if private { "its name begins with _" } else { "" },
        });
    }
    if context.common.json {
        all.iter().try_for_each(json)?;
        return Ok(Exit::GOOD);
    }
    let rows = all.iter().map(|one| {
        let answers = match one.answers {
            Some(true) => "yes",
            Some(false) => "no",
            None => "not asked",
        };
        let name = if one.default { format!("{} (default)", one.system) } else { one.system.to_owned() };
        // A reason may have several lines; the first names it.
        let why = one.why.lines().next().unwrap_or_default().to_owned();
        let version = one.version.unwrap_or_default().to_owned();
        vec![name, one.scheduler.to_owned(), answers.to_owned(), version, why]
    });
    table(&["SYSTEM", "SCHEDULER", "ANSWERS", "VERSION", "WHY"], &rows.collect::<Vec<_>>())?;
    Ok(Exit::GOOD)
}

fn local(context: &Context) -> anyhow::Result<Exit> {
    let limit = context.limit();
    let mem = MemSize::from_mb(limit.mem_mb);
    if context.common.json {
        json(
            &serde_json::json!({"v": 1, "system": "local", "scheduler": "local", "cores": limit.cores, "mem_mb": limit.mem_mb}),
        )?;
    } else {
        line(&format!("local: this machine, {} cores and {mem} of memory for jobs", limit.cores))?;
        line("`cluster local status` tells about its runner")?;
    }
    Ok(Exit::GOOD)
}

fn show(context: &Context, system: &System) -> anyhow::Result<Exit> {
    let probe = system.probe();
    let asked = match &probe {
        Ok(_) => system.site(FRESH).map_err(|error| error.to_string()),
        Err(error) => Err(error.clone()),
    };
    let mut site = asked.as_ref().cloned().unwrap_or_else(|_| system.configured_site());
    if let Ok(probed) = &probe {
        site.merge(probed.clone());
    }
    let error = asked.as_ref().err().map(String::as_str);
    let commands = system.commands();
    let config = system.config();
    if context.common.json {
        json(&Shown {
            v: 1,
            system: system.name(),
            scheduler: system.dialect().name(),
            commands: commands.iter().map(|(name, path)| (*name, path.as_deref())).collect(),
            answers: probe.is_ok(),
            error,
            site: &site,
            options: config.options.iter().map(|(name, value)| (name.as_str(), value.to_string())).collect(),
            env: config.env.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect(),
            pre_submit: &config.pre_submit,
            setup: &config.setup,
            extra: &config.extra,
        })?;
    } else {
        print(system, &site, error)?;
    }
    Ok(if probe.is_ok() { Exit::GOOD } else { Exit::OUT_OF_REACH })
}

fn print(system: &System, site: &Site, error: Option<&str>) -> anyhow::Result<()> {
    let config = system.config();
    line(&format!("system     {}", system.name()))?;
    line(&format!("scheduler  {}", system.dialect().name()))?;
    let facts = [
        ("version", site.version.clone()),
        ("server", site.server.clone()),
        ("arrays", site.max_array.map(|most| format!("up to {most} elements"))),
        ("accounting", site.accounting.map(|there| if there { "yes" } else { "no" }.to_owned())),
        (
            "limits",
            site.refuses_over_limit.map(|refuses| {
                if refuses { "checked at submission" } else { "not checked at submission" }.to_owned()
            }),
        ),
        ("pe", Some(site.parallel_environments.join(" ")).filter(|names| !names.is_empty())),
    ];
    for (name, fact) in facts {
        if let Some(fact) = fact {
            line(&format!("{name:<11}{fact}"))?;
        }
    }
    for (name, path) in system.commands() {
        let path = path.map_or_else(|| "not there".to_owned(), |path| path.display().to_string());
        line(&format!("command    {name:<9} {path}"))?;
    }
    for (name, value) in &config.options {
        line(&format!("option     {name}: {value}"))?;
    }
    for (name, value) in &config.env {
        line(&format!("env        {name}={}", printable(value)))?;
    }
    for (name, lines) in
        [("pre_submit", &config.pre_submit), ("setup", &config.setup), ("extra", &config.extra)]
    {
        for text in lines {
            line(&format!("{name:<11}{}", text.replace('\n', "\\n")))?;
        }
    }
    if let Some(error) = error {
        line(&format!("error      {}", error.replace('\n', "\n           ")))?;
    }
    if !site.partitions.is_empty() {
        line("")?;
        let head = [
            "PARTITION",
            "UP",
            "MAX TIME",
            "DEFAULT",
            "NODES",
            "MAX NODES",
            "CORES",
            "PER NODE",
            "MEM PER NODE",
        ];
        table(&head, &site.partitions.iter().map(partition).collect::<Vec<_>>())?;
    }
    Ok(())
}

fn partition(partition: &Partition) -> Vec<String> {
    let number = |value: Option<u32>| value.map_or_else(String::new, |n| n.to_string());
    let time = |value: Option<Walltime>| value.map_or_else(String::new, |time| time.to_string());
    let star = if partition.is_default { "*" } else { "" };
    let up = partition.up.map_or("", |up| if up { "yes" } else { "no" });
    let mem = partition.max_mem_per_node.or(partition.mem_per_node);
    vec![
        format!("{}{star}", partition.name),
        up.to_owned(),
        time(partition.max_time),
        time(partition.default_time),
        number(partition.nodes),
        number(partition.max_nodes),
        number(partition.cores),
        number(partition.cores_per_node),
        mem.map_or_else(String::new, |mem| mem.to_string()),
    ]
}

/// Tells each step as it is done.
struct Steps<'a> {
    context: &'a Context,
    system: &'a str,
    good: bool,
}

impl Steps<'_> {
    fn step(&mut self, step: &str, result: Result<String, String>) -> anyhow::Result<()> {
        let (good, text) = match &result {
            Ok(text) => (true, text),
            Err(text) => (false, text),
        };
        self.good &= good;
        if self.context.common.json {
            return json(&Step { v: 1, system: self.system, step, good, text });
        }
        line(&format!("{:<7}{step}: {text}", if good { "good" } else { "FAILED" }))
    }
}

fn check(context: &Context, system: &System) -> anyhow::Result<Exit> {
    let mut steps = Steps { context, system: system.name(), good: true };
    let query = system.dialect().query(Whose::All);
    let asks = query.argv.first().cloned().unwrap_or_default();
    let configured = &system.config().commands;
    for (place, (name, path)) in system.commands().into_iter().enumerate() {
        match path {
            Some(path) => steps.step("command", Ok(format!("{name} is {}", path.display())))?,
            // Without the first nothing can be submitted, and without the query nothing followed; a command that the
            // configuration names is meant to be there. What lacks without the others, the other steps tell.
            None if place == 0 || asks == *name || configured.contains_key(name) => {
                steps.step("command", Err(choose::not_found(system, name)))?;
            }
            None => steps.step("command", Ok(format!("{name} is not there")))?,
        }
    }
    let probe = system.probe();
    steps.step(
        "probe",
        probe.as_ref().map_err(Clone::clone).map(|site| {
            let facts = [Some("it answers"), site.version.as_deref(), site.server.as_deref()];
            facts.into_iter().flatten().collect::<Vec<_>>().join(", ")
        }),
    )?;
    // One that hangs would hang three times more.
    if probe.is_ok() {
        let site = system.site(Duration::ZERO);
        let told = site.map(|site| format!("{} partitions", site.partitions.len()));
        steps.step("limits", told.map_err(|error| error.to_string()))?;
        let mine = [system.user().to_owned()];
        let queue = system.queue_now(Whose::Users(&mine), Timestamp::now()).and_then(|snapshot| {
            let jobs = snapshot.jobs(system)?;
            Ok((jobs.rows.len(), jobs.errors.first().map(ToString::to_string)))
        });
        steps.step(
            "queue",
            match queue {
                Ok((rows, None)) => Ok(format!("{rows} records of {}", system.user())),
                Ok((_, Some(error))) => Err(format!("not all is understood: {error}")),
                Err(error) => Err(error.to_string()),
            },
        )?;
        let accounting = system.check_accounting().map_err(|error| error.to_string());
        let told = accounting.map(|there| match there {
            true => "ended jobs can be asked for".to_owned(),
            false => "there is none: only the records of jobs tell".to_owned(),
        });
        steps.step("accounting", told)?;
    }
    let pre_submit = system.config().pre_submit.len();
    if pre_submit > 0 {
        steps.step("pre_submit", Ok(format!("{pre_submit} commands, not run by this check")))?;
    }
    let reached = steps.good;
    steps.step("root", writable(&context.root))?;
    Ok(match (reached, steps.good) {
        (true, true) => Exit::GOOD,
        (true, false) => Exit::STORE,
        (false, _) => Exit::OUT_OF_REACH,
    })
}

/// Whether jobs can be kept there. No file is made.
fn writable(root: &Path) -> Result<String, String> {
    let there = root.ancestors().find(|dir| dir.exists()).unwrap_or(Path::new("/"));
    let shown = there.display();
    match access(there, Access::WRITE_OK | Access::EXEC_OK) {
        Ok(()) if there == root => Ok(format!("{shown} is writable")),
        Ok(()) => Ok(format!("{} is made at the first submission", root.display())),
        Err(error) => Err(format!("{shown} is not writable: {error}")),
    }
}
