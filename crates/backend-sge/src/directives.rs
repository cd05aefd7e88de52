//! The head of a script: `#$ -l h_rt=01:00:00`.

use cluster_core::MemSize;
use cluster_core::dialect::{Directives, ScriptRequest};
use cluster_options::{Catalogue, Rendered, SchedulerKind, Value};

use crate::Sge;

const PREFIX: &str = "#$ ";

pub(crate) fn directives(sge: &Sge, request: &ScriptRequest<'_>) -> Directives {
    let mut head = Head::default();
    let resources = request.resources;
    let slots = resources.total_cores().max(1);
    if resources.nodes > 1 {
        head.option("nodes", &Value::Int(resources.nodes.into()));
    }
    match &sge.parallel_environment {
        _ if slots == 1 => {}
        Some(name) => head.line(&format!("-pe {name} {slots}")),
        None => head.unsaid(format!(
            "{slots} cores: SGE gives more than one by a parallel environment; name one of `qconf -spl` under \
             the system's key parallel_environment"
        )),
    }
    if let Some(mem) = resources.mem {
        match &sge.mem_resource {
            // It counts by slot.
            Some(name) => {
                let each = MemSize::from_mb(mem.as_mb().div_ceil(slots.into()));
                head.line(&format!("-l {name}={}M", each.as_mb()));
            }
            None => head
                .unsaid(format!("{mem} of memory: the system's key mem_resource names no resource for it")),
        }
    }
    if let Some(time) = resources.time {
        head.option("time", &Value::Time(time));
    }
    if let Some(partition) = &resources.partition {
        head.option("partition", &Value::Text(partition.clone()));
    }
    if let Some(account) = &resources.account {
        head.option("account", &Value::Text(account.clone()));
    }
    match &sge.gpu_resource {
        _ if resources.gpus == 0 => {}
        Some(name) => {
            let gpus = if sge.gpus_per_slot { resources.gpus.div_ceil(slots) } else { resources.gpus };
            head.line(&format!("-l {name}={gpus}"));
        }
        None => head.unsaid(format!(
            "{} GPUs: SGE counts them by a resource of the site's own; name it under the system's key gpu_resource",
            resources.gpus
        )),
    }
    match request.priority {
        0 => {}
        priority @ 1.. => head.unsaid(format!(
            "priority {priority}: SGE lets users lower the priority of their jobs only, to -1023"
        )),
        priority => head.line(&format!("-p {}", priority.max(-1023))),
    }
    for extra in request.extra {
        head.line(extra);
    }
    head.0
}

#[derive(Default)]
struct Head(Directives);

impl Head {
    fn line(&mut self, directive: &str) {
        if directive.contains(|c: char| c.is_control()) {
            self.unsaid(format!("{directive:?}: a directive is one line"));
        } else {
            self.0.lines.push(format!("{PREFIX}{directive}"));
        }
    }

    fn unsaid(&mut self, what: String) {
        self.0.unsaid.push(what);
    }

    /// An option as the catalogue spells it.
    fn option(&mut self, name: &str, value: &Value) {
        let Some(option) = Catalogue::builtin().get(name) else { return };
        match option.render(SchedulerKind::Sge, value) {
            Ok(Rendered::Directive(directive)) => self.line(&directive),
            Ok(Rendered::Cannot(why)) => self.unsaid(format!("{name} {value}: {why}")),
            Ok(_) => {}
            Err(error) => self.unsaid(format!("{name} {value}: {error}")),
        }
    }
}
