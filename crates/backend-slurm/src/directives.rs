//! The `#SBATCH` lines at the head of a script.

use cluster_core::dialect::{Directives, ScriptRequest};
use cluster_core::{MemSize, Resources};
use cluster_options::{Catalogue, CoreAmount, Rendered, SchedulerKind, Value};

/// The lines for what a job asks for, spelled as the catalogue has it. What is Slurm's default is left out:
/// it is the site's to change (a `--mem` that nobody asked for would be a request).
pub(crate) fn directives(request: &ScriptRequest<'_>) -> Directives {
    let mut head = Directives::default();
    let resources = request.resources;
    let count = |n: u32| Value::Int(i64::from(n));
    // Both or none: Slurm spreads tasks over any number of nodes, and takes one task a node where only nodes
    // are asked for.
    if resources.nodes != 1 || resources.tasks != 1 {
        option(&mut head, "nodes", &count(resources.nodes));
        option(&mut head, "tasks", &count(resources.tasks));
    }
    if resources.cores != 1 {
        option(&mut head, "cores", &Value::Cores(CoreAmount::Number(resources.cores)));
    }
    if let Some(mem) = resources.mem {
        head.lines.push(format!("#SBATCH --mem={}M", by_node(mem, resources)));
    }
    if let Some(time) = resources.time {
        option(&mut head, "time", &Value::Time(time));
    }
    if resources.gpus != 0 {
        option(&mut head, "gpus", &count(resources.gpus));
    }
    if let Some(partition) = &resources.partition {
        option(&mut head, "partition", &Value::Text(partition.clone()));
    }
    if let Some(account) = &resources.account {
        option(&mut head, "account", &Value::Text(account.clone()));
    }
    match request.priority {
        0 => {}
        // Slurm counts the other way, up to 2,147,483,645.
        below if below < 0 => {
            head.lines.push(format!("#SBATCH --nice={}", below.unsigned_abs().min(2_147_483_645)));
        }
        above => head.unsaid.push(format!(
            "priority {above}: a user of Slurm can only lower the priority of jobs; lower that of the others"
        )),
    }
    for extra in request.extra {
        if extra.contains(['\n', '\r', '\0']) {
            head.unsaid
                .push(format!("directive {extra:?}: it has a line feed, which would begin another line"));
        } else {
            head.lines.push(format!("#SBATCH {extra}"));
        }
    }
    head
}

/// Slurm counts memory by node; the least that is enough for all nodes alike.
fn by_node(mem: MemSize, resources: &Resources) -> u64 {
    // 0 would be all of a node's memory.
    mem.as_mb().div_ceil(u64::from(resources.nodes.max(1))).max(1)
}

/// One option by the catalogue's template.
fn option(head: &mut Directives, name: &str, value: &Value) {
    let Some(option) = Catalogue::builtin().get(name) else {
        head.unsaid.push(format!("{name} {value}: the catalogue has no such option"));
        return;
    };
    match option.render(SchedulerKind::Slurm, value) {
        Ok(Rendered::Directive(text)) => head.lines.push(format!("#SBATCH {text}")),
        Ok(Rendered::Cannot(why)) => head.unsaid.push(format!("{name} {value}: {why}")),
        Ok(_) => {}
        Err(why) => head.unsaid.push(format!("{name} {value}: {why}")),
    }
}

#[cfg(test)]
mod tests {
    use cluster_core::Walltime;

    use super::*;

    fn lines(resources: &Resources, priority: i32, extra: &[&str]) -> (Vec<String>, Vec<String>) {
        let extra: Vec<String> = extra.iter().copied().map(str::to_owned).collect();
        let head = directives(&ScriptRequest { resources, priority, extra: &extra });
        (head.lines, head.unsaid)
    }

    #[test]
    fn defaults_need_no_words() {
        assert_eq!(lines(&Resources::default(), 0, &[]), (vec![], vec![]));
        let tasks = Resources { tasks: 4, ..Resources::default() };
        assert_eq!(lines(&tasks, 0, &[]).0, ["#SBATCH --nodes=1", "#SBATCH --ntasks=4"]);
    }

    #[test]
    fn everything_is_said() {
        let resources = Resources {
            nodes: 3,
            tasks: 6,
            cores: 4,
            mem: Some(MemSize::from_mb(1_000)),
            time: Some(Walltime::from_secs(3_700)),
            gpus: 2,
            partition: Some("debug".into()),
            account: Some("research".into()),
        };
        let (lines, unsaid) = lines(&resources, -5, &["--exclusive", "--constraint=a b"]);
        let want = [
            "--nodes=3",
            "--ntasks=6",
            "--cpus-per-task=4",
            "--mem=334M",
            "--time=01:01:40",
            "--gpus=2",
            "--partition=debug",
            "--account=research",
            "--nice=5",
            "--exclusive",
            "--constraint=a b",
        ];
        assert_eq!(lines, want.map(|line| format!("#SBATCH {line}")));
        assert!(unsaid.is_empty());
    }

    #[test]
    fn what_cannot_be_said_is_named() {
        let unlimited = Resources { time: Some(Walltime::UNLIMITED), ..Resources::default() };
        assert_eq!(lines(&unlimited, 0, &[]).0, ["#SBATCH --time=UNLIMITED"]);
        assert!(lines(&unlimited, 7, &[]).1[0].contains("priority 7"));
        assert!(lines(&Resources::default(), 0, &["a\nrm"]).1[0].contains("line feed"));
        let odd = Resources { partition: Some("a b".into()), ..Resources::default() };
        let (said, unsaid) = lines(&odd, 0, &[]);
        assert!(said.is_empty() && unsaid[0].contains("partition"), "{said:?} {unsaid:?}");
        let two = Resources { nodes: 2, ..Resources::default() };
        assert_eq!(lines(&two, i32::MIN, &[]).0[2], "#SBATCH --nice=2147483645");
    }
}
