//! The one list of schedulers. A new one is a crate with a `Dialect`, and a line here, with
//! `SchedulerKind::Other` and the dialect's own name: configuration, detection and `--system` know it then.

use cluster_core::dialect::Dialect;
use cluster_options::SchedulerKind;
use cluster_options::config::SystemConfig;

/// A scheduler that this program speaks to.
pub(crate) struct Scheduler {
    /// What the configuration calls it, and what its system is called where none is configured.
    pub(crate) kind: SchedulerKind,
    /// How it is spoken to at a site with this configuration.
    pub(crate) dialect: fn(&SystemConfig) -> Box<dyn Dialect>,
}

/// All of them, in the order in which they are looked for.
pub(crate) const SCHEDULERS: &[Scheduler] = &[
    #[cfg(feature = "slurm")]
    Scheduler { kind: SchedulerKind::Slurm, dialect: |_| Box::new(cluster_backend_slurm::Slurm) },
    #[cfg(feature = "pbs")]
    Scheduler { kind: SchedulerKind::Pbs, dialect: |_| Box::new(cluster_backend_pbs::OpenPbs) },
    #[cfg(feature = "pbs")]
    Scheduler { kind: SchedulerKind::Torque, dialect: |_| Box::new(cluster_backend_pbs::Torque) },
    #[cfg(feature = "sge")]
    Scheduler { kind: SchedulerKind::Sge, dialect: sge },
    #[cfg(feature = "sample")]
    Scheduler { kind: SchedulerKind::Other("plain"), dialect: |_| Box::new(cluster_sample_backend::Plain) },
];

/// The scheduler of this kind, where it is built in and is one that is spoken to.
pub(crate) fn scheduler(kind: SchedulerKind) -> Option<&'static Scheduler> {
    SCHEDULERS.iter().find(|scheduler| scheduler.kind == kind)
}

/// The names of those that the catalogue of options does not know.
pub(crate) fn others() -> Vec<&'static str> {
    let other = |known: &Scheduler| match known.kind {
        SchedulerKind::Other(name) => Some(name),
        _ => None,
    };
    SCHEDULERS.iter().filter_map(other).collect()
}

/// The scheduler of this name, built in or not.
pub(crate) fn kind(name: &str) -> Option<SchedulerKind> {
    SchedulerKind::read(name, &others()).ok()
}

#[cfg(feature = "sge")]
fn sge(config: &SystemConfig) -> Box<dyn Dialect> {
    let plain = cluster_backend_sge::Sge::default();
    Box::new(cluster_backend_sge::Sge {
        parallel_environment: config.parallel_environment.clone().or(plain.parallel_environment),
        mem_resource: config.mem_resource.clone().or(plain.mem_resource),
        gpu_resource: config.gpu_resource.clone().or(plain.gpu_resource),
        ..plain
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_what_it_is_called() {
        for scheduler in SCHEDULERS {
            let dialect = (scheduler.dialect)(&SystemConfig::new(scheduler.kind));
            assert_eq!(dialect.name(), scheduler.kind.as_str());
            assert!(!dialect.commands().is_empty());
        }
    }
}
