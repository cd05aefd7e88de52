//! Servers, queues and nodes: `qstat -B -f`, `qstat -Q -f`, `qmgr -c "list server"`, `pbsnodes -a`.

use std::borrow::Cow;

use cluster_core::MemSize;
use cluster_core::dialect::{DialectError, Partition, Site};

use crate::entry::{Entries, Kind};
use crate::flavour::Flavour;
use crate::lexeme;

/// Elements of an array that Torque takes where its administrator says nothing (`PBS_MAXJOBARRAY`).
const TORQUE_ARRAY: u32 = 99_999;

/// Gathers servers, queues and nodes.
pub(crate) struct SiteEntries {
    flavour: Flavour,
    current: Option<Entry>,
    site: Site,
    /// An attribute that the other family's servers do not have.
    foreign: bool,
    seen: bool,
    error: Option<DialectError>,
}

struct Entry {
    kind: Kind,
    partition: Partition,
    enabled: Option<bool>,
    started: Option<bool>,
    queue: String,
    cores: Option<u32>,
    mem: Option<MemSize>,
    /// Whether anything was said of it: a line by itself is no node.
    described: bool,
}

impl SiteEntries {
    pub(crate) fn new(flavour: Flavour) -> Self {
        Self { flavour, current: None, site: Site::default(), foreign: false, seen: false, error: None }
    }

    /// What was found; the error of an output without a single entry.
    pub(crate) fn finish(self) -> Result<Site, DialectError> {
        match self.error {
            Some(error) if !self.seen => Err(error),
            _ => Ok(self.site),
        }
    }

    /// Whether this is a server of the other family.
    pub(crate) fn is_foreign(&self) -> bool {
        self.foreign
    }

    fn server(&mut self, name: &[u8], value: &str) {
        let site = &mut self.site;
        match name {
            b"pbs_version" => {
                self.foreign |= family(value.trim()).is_some_and(|family| family != self.flavour);
                site.version = Some(value.trim().to_owned());
            }
            b"server_state" => site.up = Some(!value.contains("Down")),
            b"max_array_size" | b"max_job_array_size" => {
                site.max_array = lexeme::count(value).or(site.max_array);
            }
            b"job_history_enable" if self.flavour == Flavour::OpenPbs => {
                site.accounting = Some(is_true(value));
            }
            b"default_queue" => {
                let partition =
                    Partition { name: value.trim().to_owned(), is_default: true, ..Partition::default() };
                site.merge(Site { partitions: vec![partition], ..Site::default() });
            }
            // Each family counts something in it that the other has no state for.
            b"state_count" => {
                let theirs = if self.flavour == Flavour::OpenPbs { "Complete:" } else { "Begun:" };
                self.foreign |= value.contains(theirs);
            }
            _ => {}
        }
    }

    fn queue(entry: &mut Entry, group: &[u8], name: &[u8], value: &str) {
        let partition = &mut entry.partition;
        match (group, name) {
            (b"", b"enabled") => entry.enabled = Some(is_true(value)),
            (b"", b"started") => entry.started = Some(is_true(value)),
            (b"resources_max", b"walltime") => partition.max_time = lexeme::walltime(value),
            (b"resources_default", b"walltime") => partition.default_time = lexeme::walltime(value),
            (b"resources_max", b"nodect") => partition.max_nodes = lexeme::count(value),
            (b"resources_max", b"mem") => partition.max_mem_per_node = lexeme::size(value),
            _ => {}
        }
    }

    fn node(entry: &mut Entry, group: &[u8], name: &[u8], value: &str) {
        match (group, name) {
            (b"", b"queue") => entry.queue = value.trim().to_owned(),
            (b"" | b"resources_available", b"np" | b"ncpus") => entry.cores = lexeme::count(value),
            (b"resources_available", b"mem") => entry.mem = lexeme::size(value),
            // Of `-S -F json`: what is free, and of how much.
            (b"", b"ncpus f/t") => {
                entry.cores = value.rsplit_once('/').and_then(|(_, all)| lexeme::count(all));
            }
            (b"", b"mem f/t") => entry.mem = value.rsplit_once('/').and_then(|(_, all)| lexeme::size(all)),
            (b"", b"status") => {
                entry.mem = value
                    .split(',')
                    .find_map(|word| word.trim().strip_prefix("physmem="))
                    .and_then(lexeme::size);
            }
            _ => {}
        }
    }
}

/// The family of a version. Torque went from 1 to 7; PBS Pro was at 13 when it began to leave its name out.
/// Servers that are too old to count what the other family has no state for are told apart by this alone.
fn family(version: &str) -> Option<Flavour> {
    if version.starts_with("PBSPro") {
        return Some(Flavour::OpenPbs);
    }
    let major: u32 = version.split('.').next()?.parse().ok()?;
    Some(if major < 10 { Flavour::Torque } else { Flavour::OpenPbs })
}

fn is_true(value: &str) -> bool {
    value.trim().eq_ignore_ascii_case("true")
}

impl<'o> Entries<'o> for SiteEntries {
    fn begin(&mut self, kind: Kind, id: Cow<'o, str>) {
        self.seen = true;
        if kind == Kind::Server {
            self.site.server = Some(id.clone().into_owned());
            self.site.up = Some(true);
            self.site.accounting = Some(false);
            // OpenPBS checks the queue's limits alone: what it has no nodes for waits, and never runs. Torque
            // refuses that too.
            if self.flavour == Flavour::Torque {
                self.site.max_array = Some(TORQUE_ARRAY);
            }
            self.site.refuses_over_limit = Some(self.flavour == Flavour::Torque);
        }
        self.current = Some(Entry {
            kind,
            partition: Partition { name: id.into_owned(), ..Partition::default() },
            enabled: None,
            started: None,
            queue: String::new(),
            cores: None,
            mem: None,
            described: false,
        });
    }

    fn wants(&self, _: &[u8], _: &[u8]) -> bool {
        true
    }

    fn attribute(&mut self, group: &[u8], name: &[u8], value: Cow<'o, [u8]>) {
        let value = lexeme::text(value);
        match &mut self.current {
            Some(Entry { kind: Kind::Server, .. }) if group.is_empty() => self.server(name, &value),
            Some(entry @ Entry { kind: Kind::Queue, .. }) => Self::queue(entry, group, name, &value),
            Some(entry @ Entry { kind: Kind::Node, .. }) => {
                entry.described = true;
                Self::node(entry, group, name, &value);
            }
            _ => {}
        }
    }

    fn end(&mut self, _: &'o [u8]) {
        let Some(entry) = self.current.take() else { return };
        match entry.kind {
            Kind::Queue => {
                let mut partition = entry.partition;
                if let (Some(enabled), Some(started)) = (entry.enabled, entry.started) {
                    partition.up = Some(enabled && started);
                }
                self.site.merge(Site { partitions: vec![partition], ..Site::default() });
            }
            Kind::Node if entry.described => self.add_node(&entry),
            Kind::Node | Kind::Server | Kind::Job => {}
        }
    }

    fn broken(&mut self, error: impl FnOnce() -> DialectError) {
        self.current = None;
        self.error.get_or_insert_with(error);
    }
}

impl SiteEntries {
    /// A node that belongs to one queue is counted there; the others serve all queues.
    fn add_node(&mut self, entry: &Entry) {
        let site = &mut self.site;
        let (nodes, cores, cores_per_node, mem_per_node) = if entry.queue.is_empty() {
            (&mut site.nodes, &mut site.cores, &mut site.cores_per_node, &mut site.mem_per_node)
        } else {
            let queue = Partition { name: entry.queue.clone(), ..Partition::default() };
            site.merge(Site { partitions: vec![queue], ..Site::default() });
            let Some(queue) = site.partitions.iter_mut().find(|known| known.name == entry.queue) else {
                return;
            };
            (&mut queue.nodes, &mut queue.cores, &mut queue.cores_per_node, &mut queue.mem_per_node)
        };
        *nodes = Some(nodes.unwrap_or(0).saturating_add(1));
        if let Some(more) = entry.cores {
            *cores = Some(cores.unwrap_or(0).saturating_add(more));
            *cores_per_node = (*cores_per_node).max(Some(more));
        }
        *mem_per_node = (*mem_per_node).max(entry.mem);
    }
}
