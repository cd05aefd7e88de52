//! Where jobs run: `--system`, `$CLUSTER_SYSTEM`, `default_system`; else what answers on this host, and the
//! user. Work never goes to a shared scheduler unasked.

use std::io::{self, BufRead, IsTerminal};
use std::sync::Arc;

use cluster_client::ClientError;
use cluster_client::system::{Detected, Surroundings, System, detect};
use cluster_core::exec::LocalHost;
use cluster_options::SchedulerKind;
use cluster_options::config::{Config, SystemConfig};

use crate::context::Context;
use crate::default_system;
use crate::exit::{OutOfReach, usage};
use crate::output::talk;
use crate::schedulers::{SCHEDULERS, scheduler};

/// `--system cluster`: any but `local`.
pub(crate) const ANY: &str = "cluster";

/// A place to run.
pub(crate) enum Chosen {
    /// The cores of this machine.
    Local,
    /// A script of everything; nothing is started.
    File,
    /// A scheduler.
    System(Box<System>),
}

/// Where a submission goes that was given this `--system`.
pub(crate) fn choose(context: &Context, flag: Option<&str>) -> anyhow::Result<Chosen> {
    if let Some(name) = flag.or(from_env(context).as_deref()) {
        return if name == ANY { any(context).map(boxed) } else { named(context, name) };
    }
    if let Some(name) = &context.config.default_system {
        let chosen = named(context, name)?;
        if !(context.config.require_cluster && matches!(chosen, Chosen::Local)) {
            return Ok(chosen);
        }
    }
    let systems = candidates(context);
    let detected = match context.config.require_cluster {
        true => answering(&systems)?,
        false => detect(&systems, false)?,
    };
    let mut answering = detected.found.iter().filter(|found| found.error.is_none());
    match (answering.next(), answering.next()) {
        (None, _) if context.config.require_cluster => Err(none_answers(&systems, &detected).into()),
        (None, _) => {
            if detected.anew && !detected.found.is_empty() && !context.common.quiet {
                let names: Vec<_> = detected.found.iter().map(|found| found.system.as_str()).collect();
                talk(&format!(
                    "cluster: no scheduler answers on this host (tried {}), so jobs run on this machine; `cluster \
                     system ls` says why",
                    names.join(", ")
                ));
            }
            Ok(Chosen::Local)
        }
        (Some(one), None) if context.config.require_cluster => take(systems, &one.system).map(boxed),
        _ => asked(context, &detected),
    }
}

/// Any scheduler that can be used, and never this machine: the default if it is one, else the first that
/// answers.
pub(crate) fn any(context: &Context) -> anyhow::Result<System> {
    if let Some(name) = &context.config.default_system
        && let Chosen::System(system) = named(context, name)?
    {
        return Ok(*system);
    }
    let systems = candidates(context);
    let detected = answering(&systems)?;
    match detected.first() {
        Some(first) => take(systems, &first.system),
        None => Err(none_answers(&systems, &detected).into()),
    }
}

/// The scheduler whose queue is meant: by `--system`, else by `$CLUSTER_SYSTEM`, else any. A variable that names this
/// machine says where jobs are to run, and nothing of queues.
pub(crate) fn queue_of(context: &Context, flag: Option<&str>) -> anyhow::Result<System> {
    match flag {
        Some(ANY) => any(context),
        Some(name) => Ok(by_name(&context.config, &context.surroundings(), name)?),
        None => match from_env(context).filter(|name| name != ANY) {
            Some(name) => match named(context, &name)? {
                Chosen::System(system) => Ok(*system),
                Chosen::Local | Chosen::File => any(context),
            },
            None => any(context),
        },
    }
}

fn from_env(context: &Context) -> Option<String> {
    context.env("CLUSTER_SYSTEM").map(|name| name.to_string_lossy().into_owned())
}

/// The system that jobs were sent to, or that somebody names. Nothing is asked and nothing is started.
pub(crate) fn by_name(config: &Config, around: &Surroundings, name: &str) -> Result<System, ClientError> {
    match resolve(config, around, name)? {
        Chosen::System(system) => Ok(*system),
        Chosen::Local => {
            Err(ClientError::Usage(format!("the system {name} is this machine: it has no scheduler")))
        }
        Chosen::File => {
            Err(ClientError::Usage(format!("the system {name} writes scripts: it has no scheduler")))
        }
    }
}

fn boxed(system: System) -> Chosen {
    Chosen::System(Box::new(system))
}

fn take(systems: Vec<System>, name: &str) -> anyhow::Result<System> {
    let found = systems.into_iter().find(|system| system.name() == name);
    found.ok_or_else(|| usage(format!("there is no system {name}")))
}

/// The system of this name.
pub(crate) fn named(context: &Context, name: &str) -> anyhow::Result<Chosen> {
    Ok(resolve(&context.config, &context.surroundings(), name)?)
}

/// The system of the configuration with this name, else that of the scheduler with this name.
fn resolve(config: &Config, around: &Surroundings, name: &str) -> Result<Chosen, ClientError> {
    let systems = &config.systems;
    let config = match (systems.get(name), crate::schedulers::kind(name)) {
        (Some(config), _) => config.clone(),
        (None, Some(kind)) => SystemConfig::new(kind),
        (None, None) => {
            let bare = SCHEDULERS.iter().map(|known| known.kind.as_str());
            let mut names: Vec<&str> = systems.keys().map(String::as_str).collect();
            names.extend(bare.filter(|name| !systems.contains_key(*name)));
            return Err(ClientError::Usage(format!(
                "there is no system {name}: there are {} and {ANY} (any but local); `systems:` in the \
                 configuration names more",
                names.join(", ")
            )));
        }
    };
    match config.scheduler {
        SchedulerKind::Local => Ok(Chosen::Local),
        SchedulerKind::File => Ok(Chosen::File),
        kind => system(around.clone(), name, config).map(boxed).ok_or_else(|| {
            ClientError::Usage(format!(
                "this program was built without {kind}, which the system {name} needs"
            ))
        }),
    }
}

fn system(around: Surroundings, name: &str, config: SystemConfig) -> Option<System> {
    let dialect = (scheduler(config.scheduler)?.dialect)(&config);
    Some(System::new(name, config, dialect, Arc::new(LocalHost), around))
}

/// The systems of the configuration with a scheduler, but for those whose names begin with `_`; then each
/// scheduler of which it has none.
pub(crate) fn candidates(context: &Context) -> Vec<System> {
    let configured: Vec<_> =
        context.config.systems.iter().filter(|(name, _)| !SystemConfig::is_private(name)).collect();
    let bare = SCHEDULERS.iter().map(|known| known.kind).filter(|kind| {
        let is_known = |(name, config): &(&String, &SystemConfig)| {
            config.scheduler == *kind || name.as_str() == kind.as_str()
        };
        !configured.iter().any(is_known)
    });
    let bare: Vec<_> = bare.map(|kind| (kind.as_str(), SystemConfig::new(kind))).collect();
    let configured = configured.iter().map(|(name, config)| (name.as_str(), (*config).clone()));
    let around = context.surroundings();
    configured.chain(bare).filter_map(|(name, config)| system(around.clone(), name, config)).collect()
}

/// All systems that answer, and those of the configuration that do not.
pub(crate) fn all(context: &Context) -> anyhow::Result<Vec<System>> {
    let mut systems = candidates(context);
    let detected = answering(&systems)?;
    let answers =
        |name: &str| detected.found.iter().any(|found| found.system == name && found.error.is_none());
    let none = none_answers(&systems, &detected);
    systems.retain(|system| answers(system.name()) || context.config.systems.contains_key(system.name()));
    if systems.is_empty() { Err(none.into()) } else { Ok(systems) }
}

/// Why a system's scheduler is not on this host.
pub(crate) fn not_there(system: &System) -> String {
    not_found(system, system.dialect().commands().first().copied().unwrap_or_default())
}

/// Why a command of a system's scheduler is not on this host.
pub(crate) fn not_found(system: &System, command: &str) -> String {
    let in_bin = system.config().bin.as_ref().map(|bin| bin.join(command));
    match system.config().commands.get(command).cloned().or(in_bin) {
        Some(path) => format!("there is no command {}", path.display()),
        None => format!("{command} is not on PATH"),
    }
}

/// Which of these answer. That none does is said of now, not of what was kept: it may have come back.
fn answering(systems: &[System]) -> anyhow::Result<Detected> {
    let detected = detect(systems, false)?;
    match detected.first() {
        None if !detected.anew => Ok(detect(systems, true)?),
        _ => Ok(detected),
    }
}

/// Says what was tried.
fn none_answers(systems: &[System], detected: &Detected) -> OutOfReach {
    let tried = systems.iter().map(|system| {
        let found = detected.found.iter().find(|found| found.system == system.name());
        let why = found.and_then(|found| found.error.clone()).unwrap_or_else(|| not_there(system));
        format!("\n  {}: {why}", system.name())
    });
    OutOfReach(format!("no scheduler answers on this host; tried:{}", tried.collect::<String>()))
}

/// Asks the user, once: the answer is kept. Where nobody can be asked it is an error that names both ways.
fn asked(context: &Context, detected: &Detected) -> anyhow::Result<Chosen> {
    let mut names: Vec<&str> = detected
        .found
        .iter()
        .filter(|found| found.error.is_none())
        .map(|found| found.system.as_str())
        .collect();
    names.push("local");
    names.retain(|name| !(context.config.require_cluster && *name == "local"));
    if let Some(name) = default_system::remembered(context).filter(|name| names.contains(&name.as_str())) {
        return named(context, &name);
    }
    let schedulers = names.iter().copied().filter(|name| *name != "local").collect::<Vec<_>>().join(", ");
    if !io::stdin().is_terminal() || !crate::output::is_terminal() {
        return Err(usage(format!(
            "this host has a scheduler ({schedulers}), so say where to run: `--system {}` or `--system local`, \
             or `default_system: NAME` in {}",
            names.first().copied().unwrap_or_default(),
            context
                .user_config
                .as_ref()
                .map_or("the configuration".into(), |file| file.display().to_string())
        )));
    }
    talk(&format!(
        "cluster: this host has a scheduler ({schedulers}). Where do jobs run that name no system?"
    ));
    for (number, name) in names.iter().enumerate() {
        let found = detected.found.iter().find(|found| found.system == *name);
        let about = match found {
            None => "the cores of this machine".to_owned(),
            Some(found) => [&found.version, &found.server]
                .map(Option::as_deref)
                .into_iter()
                .flatten()
                .collect::<Vec<_>>()
                .join(", "),
        };
        talk(&format!("  {}  {name}  {about}", number + 1));
    }
    for _ in 0..3 {
        talk("number or name (kept as `default_system`; Ctrl-C: neither):");
        let mut answer = String::new();
        if io::stdin().lock().read_line(&mut answer)? == 0 {
            break;
        }
        let answer = answer.trim();
        let by_number = answer.parse::<usize>().ok().and_then(|n| names.get(n.checked_sub(1)?));
        if let Some(name) = by_number.or_else(|| names.iter().find(|name| **name == answer)) {
            default_system::remember(context, name);
            return named(context, name);
        }
    }
    Err(usage(format!("no system was chosen: `--system NAME` with one of {}", names.join(", "))))
}
