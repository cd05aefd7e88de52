//! What Slurm says of a job: state, reason, exit code, ids; and rows of folded arrays.

use crate::config::Queue;
use crate::engine::{
    DependKind, HELD_OPERATOR, HELD_USER, Job, Key, Phase, Spec, Table, Why, depend, now, seconds,
};
use crate::front::Call;

/// `4711` or `4711_3`.
pub(super) fn key(text: &str) -> Option<Key> {
    let (id, index) = match text.split_once('_') {
        Some((id, "*")) => (id, None),
        Some((id, index)) => (id, Some(index.parse().ok()?)),
        None => (text, None),
    };
    Some(Key { id: id.parse().ok().filter(|id| *id > 0)?, index })
}

/// State, long and short.
pub(super) fn state(job: &Job) -> (&'static str, &'static str) {
    match job.phase {
        Phase::Pending => ("PENDING", "PD"),
        Phase::Running => ("RUNNING", "R"),
        Phase::Suspended => ("SUSPENDED", "S"),
        Phase::Completing => ("COMPLETING", "CG"),
        Phase::Ended => match job.kill.as_ref().map(|kill| &kill.why) {
            Some(Why::Cancel(_) | Why::Dependency) => ("CANCELLED", "CA"),
            Some(Why::Timeout) => ("TIMEOUT", "TO"),
            Some(Why::Requeue) => ("REQUEUED", "RQ"),
            Some(Why::NodeFail) => ("NODE_FAIL", "NF"),
            Some(Why::Deadline) => ("DEADLINE", "DL"),
            Some(Why::Memory | Why::Launch | Why::Other(_)) => ("FAILED", "F"),
            None => match &job.exit {
                Some(exit) if exit.status == 0 => ("COMPLETED", "CD"),
                Some(_) => ("FAILED", "F"),
                None => ("NODE_FAIL", "NF"),
            },
        },
    }
}

/// All states, long and short.
pub(super) const STATES: &[(&str, &str)] = &[
    ("PENDING", "PD"),
    ("RUNNING", "R"),
    ("SUSPENDED", "S"),
    ("COMPLETED", "CD"),
    ("CANCELLED", "CA"),
    ("FAILED", "F"),
    ("TIMEOUT", "TO"),
    ("NODE_FAIL", "NF"),
    ("PREEMPTED", "PR"),
    ("BOOT_FAIL", "BF"),
    ("DEADLINE", "DL"),
    ("OUT_OF_MEMORY", "OOM"),
    ("COMPLETING", "CG"),
    ("CONFIGURING", "CF"),
    ("RESIZING", "RS"),
    ("RESV_DEL_HOLD", "RD"),
    ("REQUEUED", "RQ"),
    ("REQUEUE_FED", "RF"),
    ("REQUEUE_HOLD", "RH"),
    ("REVOKED", "RV"),
    ("SIGNALING", "SI"),
    ("SPECIAL_EXIT", "SE"),
    ("STAGE_OUT", "SO"),
    ("STOPPED", "ST"),
];

/// Why it waits, or how it ended.
pub(super) fn reason(job: &Job) -> String {
    let kept = if job.reason.is_empty() { "None" } else { job.reason.as_str() };
    if job.phase == Phase::Pending {
        let held = if job.held & HELD_USER != 0 {
            "JobHeldUser"
        } else if job.held & HELD_OPERATOR != 0 {
            "JobHeldAdmin"
        } else {
            kept
        };
        return held.to_owned();
    }
    if job.phase != Phase::Ended {
        return String::from("None");
    }
    let word = match (job.kill.as_ref().map(|kill| &kill.why), &job.exit) {
        (Some(Why::Timeout), _) => "TimeLimit",
        (Some(Why::Deadline), _) => "DeadLine",
        (Some(Why::Dependency), _) => "DependencyNeverSatisfied",
        (Some(Why::Cancel(_)), _) if job.start.is_none() && job.held & HELD_USER != 0 => "JobHeldUser",
        (Some(Why::Cancel(_)), _) if job.start.is_none() && job.held != 0 => "JobHeldAdmin",
        (Some(_), _) => kept,
        (None, Some(exit)) if exit.signal() > 0 => "JobLaunchFailure",
        (None, Some(exit)) if exit.code() > 0 => "NonZeroExitCode",
        _ => "None",
    };
    word.to_owned()
}

/// Code and signal as scontrol shows them.
pub(super) fn exit_code(job: &Job) -> (i32, i32) {
    match job.kill.as_ref().map(|kill| &kill.why) {
        Some(Why::Memory) => (0, 9),
        Some(Why::Deadline) => (1, 0),
        Some(_) => (0, 0),
        None => job.exit.as_ref().map_or((0, 0), |exit| (exit.code(), exit.signal())),
    }
}

/// Code and signal of the batch step.
pub(super) fn batch_code(job: &Job) -> (i32, i32) {
    job.exit.as_ref().map_or((0, 0), |exit| (exit.code(), exit.signal()))
}

/// Code and signal as sacct prints them: a code of 128 and more lacks 128.
pub(super) fn sacct_code((code, signal): (i32, i32)) -> String {
    format!("{}:{signal}", if code >= 128 { code - 128 } else { code })
}

/// The limit of a partition that a job breaks.
pub(super) fn over(queue: &Queue, spec: &Spec) -> Option<&'static str> {
    let per_core: u64 = spec.memory / u64::from(spec.cores.div_ceil(spec.nodes.max(1)).max(1));
    if queue.max_time.is_some_and(|most| spec.limit.is_none_or(|limit| limit > most)) {
        return Some("PartitionTimeLimit");
    }
    if queue.max_memory.is_some_and(|most| spec.memory > most)
        || queue.max_memory_per_core.is_some_and(|most| per_core > most)
    {
        return Some("MaxMemPerLimit");
    }
    queue.max_nodes.is_some_and(|most| spec.nodes > most).then_some("PartitionNodeLimit")
}

/// Seconds it has run, without the time it was suspended.
pub(super) fn elapsed(job: &Job) -> i64 {
    let Some(start) = job.start else { return 0 };
    let end = job.end.or(job.suspended).unwrap_or_else(now);
    seconds(end).saturating_sub(seconds(start)).max(0)
}

/// `afterok:51(unfulfilled)`.
pub(super) fn dependency(table: &Table, job: &Job) -> Option<String> {
    let mut parts = Vec::new();
    for clause in &job.depend.clauses {
        let word = match clause.kind {
            DependKind::Singleton => {
                parts.push(String::from("singleton(unfulfilled)"));
                continue;
            }
            DependKind::After => "after",
            DependKind::AfterAny => "afterany",
            DependKind::AfterOk => "afterok",
            DependKind::AfterNotOk => "afternotok",
            DependKind::AfterCorr => "aftercorr",
        };
        let says = match depend::clause_says(table, job, clause) {
            crate::engine::Wait::Ready => continue,
            crate::engine::Wait::Wait => "unfulfilled",
            crate::engine::Wait::Never => "failed",
        };
        let array =
            clause.on.index.is_none() && depend::parents(table, clause.on).any(|job| job.key.index.is_some());
        let id = match clause.on.index {
            Some(index) => format!("{}_{index}", clause.on.id),
            None if array => format!("{}_*", clause.on.id),
            None => clause.on.id.to_string(),
        };
        parts.push(format!("{word}:{id}({says})"));
    }
    (!parts.is_empty()).then(|| parts.join(if job.depend.any { "?" } else { "," }))
}

/// One row: a job, or the elements of an array that never started.
pub(super) struct Row<'a> {
    /// The job, or the first element.
    pub job: &'a Job,
    /// All elements of a folded row.
    pub elements: Vec<&'a Job>,
}

impl Row<'_> {
    /// The elements of the row belong to an array and are folded.
    pub(super) fn is_folded(&self) -> bool {
        !self.elements.is_empty()
    }

    /// The indices of a row: `3`, `3-100%2`.
    pub(super) fn tasks(&self) -> Option<String> {
        if !self.is_folded() {
            return self.job.key.index.map(|index| index.to_string());
        }
        let indices: Vec<u32> = self.elements.iter().filter_map(|job| job.key.index).collect();
        let throttle = self.job.spec.throttle.map(|most| format!("%{most}")).unwrap_or_default();
        Some(format!("{}{throttle}", super::text::fold(&indices)))
    }

    /// `64`, `64_3`, `64_[3-100%2]`.
    pub(super) fn id(&self) -> String {
        let id = self.job.key.id;
        match self.tasks() {
            Some(tasks) if self.is_folded() => format!("{id}_[{tasks}]"),
            Some(task) => format!("{id}_{task}"),
            None => id.to_string(),
        }
    }

    /// The reasons of all elements, each once.
    pub(super) fn reason(&self) -> String {
        let mut words: Vec<String> = Vec::new();
        for job in self.elements.iter().copied().chain(self.elements.is_empty().then_some(self.job)) {
            let word = reason(job);
            if !words.contains(&word) {
                words.push(word);
            }
        }
        // Which of the waiting ones has none yet is of no interest.
        if words.len() > 1 {
            words.retain(|word| word != "None");
        }
        words.join(",")
    }
}

/// Folds the elements of arrays that wait, or ended without a start, into rows.
pub(super) fn rows<'a>(jobs: impl Iterator<Item = &'a Job>, expand: bool) -> Vec<Row<'a>> {
    let mut rows: Vec<Row<'a>> = Vec::new();
    let mut open: std::collections::BTreeMap<(u64, &str), usize> = std::collections::BTreeMap::new();
    for job in jobs {
        let folds = !expand
            && job.key.index.is_some()
            && job.start.is_none()
            && (job.phase == Phase::Pending || job.raw == job.key.id);
        if !folds {
            rows.push(Row { job, elements: Vec::new() });
            continue;
        }
        let at = *open.entry((job.key.id, state(job).1)).or_insert_with(|| {
            rows.push(Row { job, elements: Vec::new() });
            rows.len() - 1
        });
        rows[at].elements.push(job);
    }
    rows
}

/// The nodes that `-w` (`-N` of sacct) names; the code of a list that is none.
pub(super) fn nodes_asked_for(
    call: &mut Call<'_>,
    given: &super::args::Parsed,
) -> Result<Option<Vec<String>>, i32> {
    let Some(list) = given.get("nodelist") else { return Ok(None) };
    super::text::hostnames(list).map(Some).ok_or_else(|| {
        let name = call.name.clone();
        call.err(format!("{name}: error: {list} invalid\n"));
        1
    })
}

/// Whether a job has one of these nodes.
pub(super) fn is_on(job: &Job, nodes: &[String]) -> bool {
    job.alloc.iter().any(|alloc| nodes.contains(&alloc.node))
}

/// Nodes of a job, folded.
pub(super) fn node_list(job: &Job) -> String {
    super::text::nodes(job.alloc.iter().map(|alloc| alloc.node.as_str()))
}

/// `cpu=1,mem=200M,node=1,billing=1`, by the names' order given.
pub(super) fn tres(job: &Job, sorted: bool) -> String {
    let (cores, nodes) =
        (job.spec.cores, if job.alloc.is_empty() { job.spec.nodes } else { job.alloc.len() as u32 });
    let memory = job.spec.memory * u64::from(nodes);
    let memory = if memory > 0 && memory.is_multiple_of(1024) {
        format!("{}G", memory / 1024)
    } else {
        format!("{memory}M")
    };
    let gpus = if job.spec.gpus > 0 { format!(",gres/gpu={}", job.spec.gpus) } else { String::new() };
    if sorted {
        let gpus = gpus.trim_start_matches(',');
        let gpus = if gpus.is_empty() { String::new() } else { format!("{gpus},") };
        return format!("billing={cores},cpu={cores},{gpus}mem={memory},node={nodes}");
    }
    format!("cpu={cores},mem={memory},node={nodes},billing={cores}{gpus}")
}
