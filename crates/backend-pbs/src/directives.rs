//! `#PBS` lines: what a job asks for.

use cluster_core::dialect::{Directives, ScriptRequest};
use cluster_core::{MemSize, Resources};
use cluster_options::{Catalogue, MemAmount, Rendered, Value};

use crate::flavour::Flavour;

/// What `-p` takes.
const PRIORITIES: std::ops::RangeInclusive<i32> = -1023..=1023;

/// The head of a script. Options with a template in the catalogue come from there; cores, nodes, tasks, GPUs
/// and the priority are said here.
pub(crate) fn directives(flavour: Flavour, request: &ScriptRequest<'_>) -> Directives {
    let resources = request.resources;
    let mut lines = Lines { flavour, directives: Directives::default() };
    lines.push("-S /bin/sh");
    // A request of the user's own for chunks or nodes takes the place of ours: the two do not go together.
    let own = request.extra.iter().any(|line| line.contains("select=") || line.contains("nodes="));
    if !own {
        match flavour {
            Flavour::OpenPbs => {
                lines.push(&format!("-l select={}", join(resources, open_pbs_chunk)));
                if resources.nodes > 1 {
                    lines.push("-l place=scatter");
                }
            }
            Flavour::Torque => {
                lines.push(&format!("-l nodes={}", join(resources, torque_chunk)));
            }
        }
    }
    if let (Flavour::Torque, Some(mem)) = (flavour, resources.mem) {
        lines.option("mem", &Value::Memory(MemAmount::Size(mem)));
    }
    if let Some(time) = resources.time {
        lines.option("time", &Value::Time(time));
    }
    if let Some(partition) = &resources.partition {
        lines.option("partition", &Value::Text(partition.clone()));
    }
    if let Some(account) = &resources.account {
        lines.option("account", &Value::Text(account.clone()));
    }
    if request.priority != 0 {
        let priority = request.priority.clamp(*PRIORITIES.start(), *PRIORITIES.end());
        if priority != request.priority {
            let said = format!("priority {} became {priority}: PBS takes -1023 to 1023", request.priority);
            lines.directives.unsaid.push(said);
        }
        lines.push(&format!("-p {priority}"));
    }
    for extra in request.extra {
        if extra.contains(|c: char| c.is_control()) || extra.trim().is_empty() {
            let said = format!("the directive {extra:?} was left out: it has to be one line of text");
            lines.directives.unsaid.push(said);
        } else {
            lines.push(extra.trim());
        }
    }
    lines.directives
}

struct Lines {
    flavour: Flavour,
    directives: Directives,
}

impl Lines {
    fn push(&mut self, option: &str) {
        self.directives.lines.push(format!("#PBS {option}"));
    }

    /// An option as the catalogue spells it.
    fn option(&mut self, name: &str, value: &Value) {
        let kind = self.flavour.kind();
        let Some(option) = Catalogue::builtin().get(name) else { return };
        match option.render(kind, value) {
            Ok(Rendered::Directive(text)) => self.push(&text),
            Ok(Rendered::Cannot(why)) => self.directives.unsaid.push(format!("{name}: {why}")),
            Ok(_) => {}
            Err(error) => self.directives.unsaid.push(format!("{name}: {error}")),
        }
    }
}

/// What one node gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Chunk {
    nodes: u32,
    tasks: u32,
    cores: u32,
    gpus: u32,
    mem: Option<MemSize>,
}

/// The nodes in groups that get the same. Tasks and GPUs that do not divide go one each to the first nodes;
/// memory follows the tasks and is rounded up to whole MB.
fn chunks(resources: &Resources) -> Vec<Chunk> {
    let nodes = resources.nodes.max(1);
    let (tasks, gpus) = (resources.tasks, resources.gpus);
    let mut bounds = vec![0, tasks % nodes, gpus % nodes, nodes];
    bounds.sort_unstable();
    bounds.dedup();
    let mut chunks: Vec<Chunk> = Vec::new();
    for pair in bounds.windows(2) {
        let [from, to] = *pair else { continue };
        let share = |all: u32| all / nodes + u32::from(from < all % nodes);
        let here = share(tasks);
        let mem = resources.mem.map(|mem| {
            let part = u128::from(mem.as_mb()) * u128::from(here.max(1));
            let part = part.div_ceil(u128::from(tasks.max(1)));
            MemSize::from_mb(u64::try_from(part).unwrap_or(u64::MAX).max(1))
        });
        chunks.push(Chunk {
            nodes: to - from,
            tasks: here,
            cores: here.max(1).saturating_mul(resources.cores.max(1)),
            gpus: share(gpus),
            mem,
        });
    }
    chunks
}

fn join(resources: &Resources, one: impl Fn(&Chunk) -> String) -> String {
    chunks(resources).iter().map(one).collect::<Vec<_>>().join("+")
}

/// `2:ncpus=8:mpiprocs=4:mem=4096mb:ngpus=1`.
fn open_pbs_chunk(chunk: &Chunk) -> String {
    let mut text = format!("{}:ncpus={}:mpiprocs={}", chunk.nodes, chunk.cores, chunk.tasks);
    if let Some(mem) = chunk.mem {
        text.push_str(&format!(":mem={}mb", mem.as_mb()));
    }
    if chunk.gpus > 0 {
        text.push_str(&format!(":ngpus={}", chunk.gpus));
    }
    text
}

/// `2:ppn=8:gpus=1`; the memory is said for the whole job.
fn torque_chunk(chunk: &Chunk) -> String {
    let mut text = format!("{}:ppn={}", chunk.nodes, chunk.cores);
    if chunk.gpus > 0 {
        text.push_str(&format!(":gpus={}", chunk.gpus));
    }
    text
}
