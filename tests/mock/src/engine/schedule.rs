//! The scheduling pass and the clock: starting what fits, time limits, kills, forgetting.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{Engine, Key, Micros, Phase, Table, Wait, Why, micros, now, processes};

/// Once a pass for each change, and at times that were foreseen; at least this often.
const TICK: Duration = Duration::from_millis(500);

impl Engine {
    /// Starts what can start now. Call it without the lock.
    pub fn schedule(self: &Arc<Self>) {
        if self.config().timing.scheduling_delay > 0.0 {
            self.wake();
            return;
        }
        self.pass();
    }

    fn pass(self: &Arc<Self>) {
        let starting = {
            let mut table = self.lock();
            if self.is_stopping() || !table.config.faults.controller.is_empty() {
                return;
            }
            self.choose(&mut table);
            let starting = std::mem::take(&mut table.starting);
            starting
                .into_iter()
                .filter_map(|key| Some((key, self.front.launch(&table, table.jobs.get(&key)?))))
                .collect::<Vec<_>>()
        };
        for (key, launch) in starting {
            self.steps.start(self, key, &launch);
        }
    }

    /// Gives nodes to jobs in order of priority, then id.
    fn choose(&self, table: &mut Table) {
        let time = now();
        let mut order: Vec<(i64, Key)> = table.pending().map(|job| (-job.priority, job.key)).collect();
        order.sort_unstable();
        let mut running: BTreeMap<u64, u32> = BTreeMap::new();
        for job in table.active() {
            *running.entry(job.key.id).or_default() += 1;
        }
        let mut first = true;
        let mut usage = table.usage_by_node();
        // The elements of an array are alike: what stops one stops those after it.
        let mut stopped: Option<(u64, String)> = None;
        let ignore = table.config.faults.ignore_dependencies;
        for (_, key) in order {
            let Some(job) = table.jobs.get(&key) else { continue };
            if job.held != 0 {
                continue;
            }
            let reason = if job.begin.is_some_and(|begin| begin > time) {
                "BeginTime"
            } else {
                let wait = if job.depend.clauses.is_empty() || ignore {
                    Wait::Ready
                } else {
                    self.front.waits(table, job)
                };
                match wait {
                    Wait::Wait => "Dependency",
                    Wait::Never => {
                        set_reason(table, key, "DependencyNeverSatisfied");
                        self.front.never(table, key);
                        continue;
                    }
                    Wait::Ready => "",
                }
            };
            if !reason.is_empty() {
                set_reason(table, key, reason);
                continue;
            }
            if job.eligible.is_none()
                && let Some(job) = table.job_mut(key)
            {
                job.eligible = Some(time.max(job.submit));
            }
            if let Some((_, reason)) = stopped.as_ref().filter(|(id, _)| *id == key.id) {
                set_reason(table, key, reason);
                continue;
            }
            if let Some(reason) = self.front.blocked(table, key) {
                set_reason(table, key, &reason);
                stopped = Some((key.id, reason));
                continue;
            }
            let Some(job) = table.jobs.get(&key) else { continue };
            if job.spec.throttle.is_some_and(|most| running.get(&key.id).copied().unwrap_or(0) >= most) {
                set_reason(table, key, "JobArrayTaskLimit");
                stopped = Some((key.id, String::from("JobArrayTaskLimit")));
                continue;
            }
            let Some(alloc) = table.place(job, &usage) else {
                set_reason(table, key, if first { "Resources" } else { "Priority" });
                // An array is one row: its elements have one reason.
                stopped = Some((key.id, String::from(if first { "Resources" } else { "Priority" })));
                first = false;
                continue;
            };
            for (used, node) in usage.iter_mut().zip(&table.config.cluster.nodes) {
                if let Some(part) = alloc.iter().find(|part| part.node == node.name) {
                    used.0 += part.cores;
                    used.1 += job.spec.memory;
                    used.2 += job.spec.gpus;
                }
            }
            *running.entry(key.id).or_default() += 1;
            self.begin(table, key, alloc, time);
        }
    }

    fn begin(&self, table: &mut Table, key: Key, alloc: Vec<super::Alloc>, time: Micros) {
        self.front.starts(table, key);
        let Some(job) = table.job_mut(key) else { return };
        job.phase = Phase::Running;
        job.alloc = alloc;
        job.start = Some(time);
        job.reason = String::from("None");
        job.runs += 1;
        table.pending.remove(&key);
        table.active.insert(key);
        table.starting.push(key);
    }

    /// The clock. Returns when the daemon is to end.
    pub fn run_clock(self: &Arc<Self>) {
        let mut due: Option<Micros> = None;
        // Changes are followed by a pass of their own: the clock makes those that time alone asks for.
        let mut wake = 0;
        while !self.is_stopping() {
            self.adopt();
            let next = self.tick();
            let delay = self.config().timing.scheduling_delay;
            let time = now();
            if delay > 0.0 {
                let has_work = !self.lock().pending.is_empty();
                due = has_work.then(|| due.unwrap_or(time + micros(delay)));
                if due.is_some_and(|due| due <= time) {
                    due = None;
                    self.pass();
                }
            } else if time >= wake {
                self.pass();
            }
            let until = [next, due].into_iter().flatten().min().unwrap_or(Micros::MAX);
            let wait = u64::try_from(until.saturating_sub(now())).unwrap_or(0);
            if time >= wake || until < wake {
                wake = until.min(time + micros(TICK.as_secs_f64()));
            }
            let table = self.lock();
            if !self.is_stopping() {
                drop(self.wait(table, Duration::from_micros(wait).min(TICK)));
            }
        }
    }

    /// What is due now; returns when the next thing is.
    fn tick(&self) -> Option<Micros> {
        let mut table = self.lock();
        let time = now();
        let config = Arc::clone(&table.config);
        if !config.faults.controller.is_empty() {
            return None;
        }
        let mut next: Option<Micros> = None;
        let mut later = |at: Micros| next = Some(next.map_or(at, |next| next.min(at)));
        let active: Vec<Key> = table.active.iter().copied().collect();
        for key in active {
            let Some(job) = table.jobs.get(&key) else { continue };
            if job.kill.is_some() {
                table.send_due(key);
            } else if let (Some(limit), Some(start)) = (job.limit, job.start) {
                let ends = start + micros(limit as f64 * config.timing.limit_scale);
                if ends <= time {
                    self.kill(&mut table, key, Why::Timeout);
                } else {
                    later(ends);
                }
            }
            let Some(job) = table.jobs.get(&key) else { continue };
            for (at, ..) in job.kill.iter().flat_map(|kill| &kill.plan) {
                later(*at);
            }
            if config.limits.enforce_memory
                && job.kill.is_none()
                && job.spec.memory > 0
                && job.process.is_some_and(|process| processes::memory(process.step) > job.spec.memory)
            {
                self.kill(&mut table, key, Why::Memory);
            }
        }
        let begins: Vec<Micros> =
            table.pending().filter_map(|job| job.begin).filter(|at| *at > time).collect();
        begins.into_iter().for_each(&mut later);
        let age = micros(config.timing.min_job_age);
        while let Some((end, key)) = table.ended.first().copied() {
            if end + age > time {
                later(end + age);
                break;
            }
            table.forget(key);
        }
        next
    }
}

fn set_reason(table: &mut Table, key: Key, reason: &str) {
    // Not through job_mut: a reason is worth no line in the journal.
    if let Some(job) = table.jobs.get_mut(&key)
        && job.reason != reason
    {
        job.reason = reason.to_owned();
    }
}
