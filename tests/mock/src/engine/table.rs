//! The job table: all jobs that the controller knows, and the accounting of those that it has forgotten.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Alloc, Exit, Job, Key, Kill, Micros, Phase, Spec, Why, now};
use crate::config::{Config, Node};

/// All jobs. Change one through [`Table::job_mut`], so that it is written to the journal.
#[derive(Default)]
pub struct Table {
    /// What the controller knows: jobs that wait, run, or ended not long ago.
    pub jobs: BTreeMap<Key, Job>,
    /// What only the accounting knows, oldest first: jobs forgotten by the controller, and earlier runs of
    /// requeued ones.
    pub past: Vec<Job>,
    /// The configuration as it is now.
    pub config: Arc<Config>,
    /// The next id.
    pub next_id: u64,
    /// Jobs that wait, by id.
    pub(super) pending: BTreeSet<Key>,
    /// Jobs that have started and not ended.
    pub(super) active: BTreeSet<Key>,
    /// Jobs that ended and are still known, by the time of their end.
    pub(super) ended: BTreeSet<(Micros, Key)>,
    pub(super) dirty: BTreeSet<Key>,
    pub(super) new_specs: Vec<Arc<Spec>>,
    pub(super) new_past: usize,
    /// Jobs that were given nodes and whose process is to be started.
    pub(super) starting: Vec<Key>,
    /// Signals to send when the lock is given back.
    pub(super) signals: Vec<(Key, i32, super::Scope)>,
    pub(super) changed: bool,
}

impl Table {
    /// Takes a submission: gives it an id, and makes a job of each element.
    pub fn submit(&mut self, mut spec: Spec) -> Key {
        spec.id = self.take_id();
        let id = spec.id;
        let spec = Arc::new(spec);
        let submit = now();
        let indices: Vec<Option<u32>> = match &spec.array {
            Some(indices) => indices.iter().copied().map(Some).collect(),
            None => vec![None],
        };
        for index in indices {
            let key = Key { id, index };
            let job = Job {
                key,
                raw: id,
                phase: Phase::Pending,
                reason: String::new(),
                held: spec.held,
                depend: spec.depend.clone(),
                submit,
                eligible: None,
                begin: spec.begin,
                start: None,
                end: None,
                suspended: None,
                limit: spec.limit,
                priority: spec.priority,
                alloc: Vec::new(),
                process: None,
                kill: None,
                exit: None,
                runs: 0,
                attrs: BTreeMap::new(),
                spec: Arc::clone(&spec),
            };
            self.pending.insert(key);
            self.dirty.insert(key);
            self.jobs.insert(key, job);
        }
        self.new_specs.push(spec);
        self.changed = true;
        Key { id, index: None }
    }

    /// An id that no job had.
    pub fn take_id(&mut self) -> u64 {
        self.next_id = self.next_id.max(1);
        let id = self.next_id;
        self.next_id += 1;
        id
    }

    /// A job, to be changed.
    pub fn job_mut(&mut self, key: Key) -> Option<&mut Job> {
        self.dirty.insert(key);
        self.changed = true;
        self.jobs.get_mut(&key)
    }

    /// The elements of a submission that the controller knows, in order of their index.
    pub fn elements(&self, id: u64) -> impl DoubleEndedIterator<Item = &Job> {
        self.jobs.range(Key { id, index: None }..=Key { id, index: Some(u32::MAX) }).map(|(_, job)| job)
    }

    /// The accounting: forgotten jobs and known ones, the oldest first.
    pub fn accounting(&self) -> impl Iterator<Item = &Job> {
        self.past.iter().chain(self.jobs.values())
    }

    /// Waiting jobs, by id.
    pub fn pending(&self) -> impl Iterator<Item = &Job> {
        self.pending.iter().filter_map(|key| self.jobs.get(key))
    }

    /// Jobs that have started and not ended.
    pub fn active(&self) -> impl Iterator<Item = &Job> {
        self.active.iter().filter_map(|key| self.jobs.get(key))
    }

    /// Cores, memory (MiB) and GPUs in use on each node, by name.
    pub fn usage(&self) -> BTreeMap<&str, (u32, u64, u32)> {
        let mut usage: BTreeMap<&str, (u32, u64, u32)> = BTreeMap::new();
        for job in self.active() {
            for alloc in &job.alloc {
                let used = usage.entry(&alloc.node).or_default();
                used.0 += alloc.cores;
                used.1 += job.spec.memory;
                used.2 += job.spec.gpus;
            }
        }
        usage
    }

    /// Ends a job: with the exit of its process, or none when it never had one. `job.kill` says why it was told to.
    pub fn end(&mut self, key: Key, exit: Option<&Exit>) {
        let time = now();
        let Some(job) = self.job_mut(key) else { return };
        if job.phase == Phase::Ended {
            return;
        }
        job.phase = Phase::Ended;
        job.end = Some(time);
        job.process = None;
        job.exit = exit.cloned();
        self.pending.remove(&key);
        self.active.remove(&key);
        self.ended.insert((time, key));
        if self.config.faults.forget_ended {
            self.erase(key);
        }
    }

    /// Puts a job that has started back in the queue; its run so far stays in the accounting.
    pub fn requeue(&mut self, key: Key, exit: Option<&Exit>, begin: Option<Micros>) {
        let time = now();
        let Some(job) = self.job_mut(key) else { return };
        let mut run = job.clone();
        run.phase = Phase::Ended;
        run.end = run.end.or(Some(time));
        run.exit = exit.cloned();
        run.kill = Some(run.kill.unwrap_or(Kill { why: Why::Requeue, at: time, plan: Vec::new() }));
        run.attrs.insert(String::from("requeued"), String::from("1"));
        if let Some(end) = job.end {
            self.ended.remove(&(end, key));
        }
        let Some(job) = self.job_mut(key) else { return };
        job.phase = Phase::Pending;
        job.reason.clear();
        job.begin = begin;
        job.submit = time;
        (job.start, job.end, job.suspended, job.eligible) = (None, None, None, None);
        (job.process, job.kill, job.exit) = (None, None, None);
        job.alloc.clear();
        self.past.push(run);
        self.new_past += 1;
        self.active.remove(&key);
        self.pending.insert(key);
    }

    /// Tells a job to end. A waiting one ends at once; the signals of a running one are sent when the lock is given
    /// back. `plan` is the front-end's: seconds from now, signal, to whom.
    pub fn kill(&mut self, key: Key, why: Why, plan: &[(f64, i32, super::Scope)]) {
        let at = now();
        let Some(job) = self.jobs.get(&key) else { return };
        match job.phase {
            Phase::Ended => {}
            Phase::Pending => {
                if let Some(job) = self.job_mut(key) {
                    job.kill = Some(Kill { why, at, plan: Vec::new() });
                }
                self.end(key, None);
            }
            Phase::Running | Phase::Suspended | Phase::Completing => {
                let suspended = job.phase == Phase::Suspended;
                if job.kill.is_some() {
                    return;
                }
                let plan =
                    plan.iter().map(|(after, signal, scope)| (at + super::micros(*after), *signal, *scope));
                let plan = plan.collect();
                if let Some(job) = self.job_mut(key) {
                    job.phase = Phase::Completing;
                    job.kill = Some(Kill { why, at, plan });
                }
                if suspended {
                    self.signals.push((key, 18, super::Scope::All));
                }
                self.send_due(key);
            }
        }
    }

    /// Sends the signals of a kill that are due.
    pub(super) fn send_due(&mut self, key: Key) {
        let time = now();
        let Some(job) = self.jobs.get_mut(&key) else { return };
        if job.process.is_none() {
            return;
        }
        let Some(kill) = &mut job.kill else { return };
        let due: Vec<_> = kill.plan.iter().filter(|(at, ..)| *at <= time).copied().collect();
        kill.plan.retain(|(at, ..)| *at > time);
        self.signals.extend(due.into_iter().map(|(_, signal, scope)| (key, signal, scope)));
    }

    /// Sends a signal to a job's processes when the lock is given back.
    pub fn signal(&mut self, key: Key, signal: i32, scope: super::Scope) {
        self.signals.push((key, signal, scope));
    }

    /// Removes a job without a trace.
    pub fn erase(&mut self, key: Key) {
        self.pending.remove(&key);
        self.active.remove(&key);
        if let Some(job) = self.jobs.remove(&key)
            && let Some(end) = job.end
        {
            self.ended.remove(&(end, key));
        }
        self.dirty.insert(key);
        self.changed = true;
    }

    /// Moves a job from the controller's memory to the accounting alone.
    pub fn forget(&mut self, key: Key) {
        let Some(job) = self.jobs.get(&key).cloned() else { return };
        self.erase(key);
        self.past.push(job);
        self.new_past += 1;
    }

    /// Free nodes for a job, or none. Fills nodes in order.
    pub fn find_nodes(&self, job: &Job) -> Option<Vec<Alloc>> {
        self.place(job, &self.usage_by_node())
    }

    /// Cores, memory (MiB) and GPUs in use, in the order of the nodes.
    pub(super) fn usage_by_node(&self) -> Vec<(u32, u64, u32)> {
        let usage = self.usage();
        let nodes = self.config.cluster.nodes.iter();
        nodes.map(|node| usage.get(node.name.as_str()).copied().unwrap_or_default()).collect()
    }

    pub(super) fn place(&self, job: &Job, usage: &[(u32, u64, u32)]) -> Option<Vec<Alloc>> {
        let spec = &job.spec;
        let cluster = &self.config.cluster;
        let queue = cluster.queue(&spec.queue);
        let usable = |node: &&Node| {
            node.state.is_empty()
                && queue.is_none_or(|queue| queue.nodes.is_empty() || queue.nodes.contains(&node.name))
                && (spec.only_nodes.is_empty() || spec.only_nodes.contains(&node.name))
        };
        let count = spec.nodes.max(1);
        let share = spec.cores.max(1).div_ceil(count);
        let mut left = spec.cores.max(1);
        let mut found = Vec::new();
        for (node, (cores, memory, gpus)) in cluster.nodes.iter().zip(usage).filter(|(node, _)| usable(node))
        {
            let take = share.min(left);
            if cores + take <= node.cores
                && memory + spec.memory <= node.memory
                && gpus + spec.gpus <= node.gpus
            {
                found.push(Alloc { node: node.name.clone(), cores: take });
                left -= take;
                if found.len() as u32 == count || left == 0 {
                    return (left == 0).then_some(found);
                }
            }
        }
        None
    }
}
