//! Which queues `qstat` and `qselect` are about: `-q`, `-l`, `-pe`, `-U`. As seen on 8.1.9.

use crate::config::{Cluster, Queue};

use super::names;
use super::qsub::ENVIRONMENTS;
use super::resources::{OTHERS, SIZES, TIMES, mebibytes, time};

/// What was asked for; nothing is everything.
#[derive(Debug, Default)]
pub(super) struct Selected {
    /// Patterns of `-q`.
    queues: Vec<String>,
    /// `-l`: name and value.
    resources: Vec<(String, Option<String>)>,
}

impl Selected {
    /// Takes one of these options and its value; false for another option. The error is what is printed, with exit
    /// code 1.
    pub(super) fn take(&mut self, option: &str, mut value: impl FnMut() -> String) -> Result<bool, String> {
        match option {
            "-q" => self.queues.extend(value().split(',').map(str::to_owned)),
            "-l" => {
                for item in value().split(',') {
                    let (name, value) =
                        item.split_once('=').map_or((item, None), |(name, value)| (name, Some(value)));
                    let known = [&TIMES[..], &SIZES, &OTHERS].iter().any(|names| names.contains(&name));
                    // The real one says nothing at all.
                    if !known {
                        return Err(String::new());
                    }
                    self.resources.push((name.to_owned(), value.map(str::to_owned)));
                }
            }
            // Each environment is attached to each queue.
            "-pe" => {
                if !value().split(',').any(|name| ENVIRONMENTS.contains(&name)) {
                    return Err("error: no such parallel environment\n".to_owned());
                }
            }
            // No queue keeps anybody out, not even somebody who is not there.
            "-U" => drop(value()),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Whether it is about some queues only.
    pub(super) fn is_some(&self) -> bool {
        !self.queues.is_empty() || !self.resources.is_empty()
    }

    /// Whether there is any queue: of none nothing is printed.
    pub(super) fn is_any(&self, cluster: &Cluster) -> bool {
        self.resources.is_empty() || cluster.queues.iter().any(|queue| self.has(cluster, queue))
    }

    /// Whether a queue is one of them.
    pub(super) fn has(&self, cluster: &Cluster, queue: &Queue) -> bool {
        let pattern =
            |pattern: &String| names::fits(pattern.split('@').next().unwrap_or_default(), &queue.name);
        (self.queues.is_empty() || self.queues.iter().any(pattern))
            && self.resources.iter().all(|(name, value)| grants(cluster, queue, name, value.as_deref()))
    }

    /// Whether an instance of a queue is one of them.
    pub(super) fn has_instance(&self, cluster: &Cluster, queue: &Queue, node: &str) -> bool {
        let instance = format!("{}@{node}", queue.name);
        let pattern = |pattern: &String| names::fits(pattern, &queue.name) || names::fits(pattern, &instance);
        let on_host = |(name, value): &(String, Option<String>)| {
            !["hostname", "h"].contains(&name.as_str())
                || value.as_deref().is_none_or(|value| names::fits(value, node))
        };
        (self.queues.is_empty() || self.queues.iter().any(pattern))
            && self.has(cluster, queue)
            && self.resources.iter().all(on_host)
    }
}

/// Whether a queue has so much of something that does not change: its limits, its name, its hosts.
fn grants(cluster: &Cluster, queue: &Queue, name: &str, value: Option<&str>) -> bool {
    let Some(value) = value else { return true };
    match name {
        "qname" | "q" => names::fits(value, &queue.name),
        "hostname" | "h" => cluster.nodes_of(queue).into_iter().any(|node| names::fits(value, &node.name)),
        "arch" => names::fits(value, "lx-amd64"),
        "h_rt" => queue.max_time.is_none_or(|most| time(value).is_some_and(|asked| asked <= most)),
        "h_vmem" => queue
            .max_memory_per_core
            .or(queue.max_memory)
            .is_none_or(|most| mebibytes(value).is_some_and(|asked| asked <= most)),
        _ => true,
    }
}
