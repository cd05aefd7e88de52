//! sinfo: partitions, as far as their nodes tell.

use std::ffi::OsString;

use cluster_core::dialect::{DialectError, Partition, Reading, Site};
use cluster_core::host::{Invocation, Output};

use crate::command_line::{CommandLine, Known};
use crate::lexeme;
use crate::table::{Column, Shape, Table};
use crate::{environment, json, refusal};

const OPTIONS: &[Known] = &[
    (b'a', "all", false),
    (b'M', "clusters", true),
    (b'd', "dead", false),
    (b'e', "exact", false),
    (0, "federation", false),
    (b'F', "future", false),
    (b'o', "format", true),
    (b'O', "Format", true),
    (b'h', "noheader", false),
    (0, "hide", false),
    (b'i', "iterate", true),
    (0, "json", false),
    (0, "yaml", false),
    (0, "local", false),
    (b'l', "long", false),
    (b'n', "nodes", true),
    (0, "noconvert", false),
    (b'N', "Node", false),
    (b'p', "partition", true),
    (b'r', "responding", false),
    (b'R', "list-reasons", false),
    (b's', "summarize", false),
    (b'S', "sort", true),
    (b't', "states", true),
    (b'T', "reservation", false),
    (b'v', "verbose", false),
    (b'V', "version", false),
];

/// The command line that asks for the nodes of each partition, those that are alike in one row.
pub(crate) fn query() -> Invocation {
    environment::plain(Invocation::new([
        "sinfo",
        "--noheader",
        "--exact",
        "--Format=PartitionName:|,Available:|,Time:|,Nodes:|,CPUs:|,CPUsState:|,Memory:|",
    ]))
}

/// What a column says of a partition or its nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    /// The name, with a star where it is the default.
    Partition,
    Available,
    Time,
    Nodes,
    /// Of one node; `4+` where others have more.
    Cores,
    /// Allocated/idle/other/total, of all nodes of the row.
    CoresByState,
    Memory,
    /// The name of a node, or the folded names of some.
    Node,
    Word,
    Text,
}

impl Shape for Field {
    fn accepts(self, text: &[u8]) -> bool {
        match self {
            Self::Partition => !text.is_empty() && !text.contains(&b' '),
            Self::Available => matches!(text, b"up" | b"down" | b"drain" | b"inact"),
            Self::Time => lexeme::limit(text).is_some(),
            Self::Nodes => lexeme::count(text).is_some(),
            Self::Cores | Self::Memory => at_least(text).is_some(),
            Self::CoresByState => cores_by_state(text).is_some(),
            Self::Node | Self::Word => !text.contains(&b' '),
            Self::Text => true,
        }
    }

    fn is_free(self) -> bool {
        self == Self::Text
    }

    fn suffers_from_cutting(self, _: &[u8]) -> bool {
        !matches!(self, Self::Text | Self::Word | Self::Node)
    }

    fn expected(self) -> &'static str {
        match self {
            Self::Partition => "the name of a partition",
            Self::Available => "up, down, drain or inact",
            Self::Time => "a time limit",
            Self::Nodes => "a number of nodes",
            Self::Cores => "a number of cores",
            Self::CoresByState => "cores as allocated/idle/other/total",
            Self::Memory => "an amount of memory in MB",
            Self::Node => "the name of a node",
            Self::Word => "a word, and the end of its column",
            Self::Text => "a text, and the end of its column",
        }
    }
}

fn at_least(text: &[u8]) -> Option<u64> {
    lexeme::number(text.strip_suffix(b"+").unwrap_or(text))
}

fn cores_by_state(text: &[u8]) -> Option<u32> {
    let mut parts = text.split(|&b| b == b'/');
    let total = parts.nth(3)?;
    parts.next().is_none().then(|| lexeme::count(total)).flatten()
}

/// Reads what sinfo printed.
pub(crate) fn read<'o>(argv: &[OsString], output: &'o Output) -> Result<Reading<'o>, DialectError> {
    let line = CommandLine::read(argv, OPTIONS);
    refusal::check("sinfo", output)?;
    if line.has("version") {
        return Ok(Reading::Site(crate::sbatch::version(&output.stdout)));
    }
    if line.has("json") {
        return json::sinfo(output);
    }
    let not_read = |why: &str| DialectError::NotRead {
        command: Invocation::new(argv.iter().cloned()).command_line(),
        why: why.to_owned(),
    };
    let table = match (line.value("Format"), line.value("format")) {
        (Some(format), _) => long_format(format, !line.has("noheader")),
        (_, Some(format)) => short_format(format, !line.has("noheader")),
        _ => None,
    };
    let table = table.filter(Table::is_readable).ok_or_else(|| {
        not_read("its columns are made for the eye; read are `sinfo -o` and `-O` with delimiters or widths, and `--json`")
    })?;
    if !table.columns.iter().any(|column| column.field == Field::Partition) {
        // A name that is cut would be another node's.
        let named = table.columns.iter().any(|column| column.field == Field::Node && column.width == 0);
        if line.has("Node") && named {
            return nodes(&table, output);
        }
        return Err(not_read(
            "it names neither partitions nor single nodes; read are formats with %P or %R, and with -N and %N",
        ));
    }
    let mut site = Site::default();
    let errors = table.read(&output.stdout, |fields, _| {
        let mut partition = Partition::default();
        for (i, (column, value)) in table.columns.iter().zip(fields).enumerate() {
            set(&mut partition, column.field, value).ok_or(i)?;
        }
        add(&mut site, partition);
        Ok(())
    });
    match errors.into_iter().next() {
        Some(error) if site.partitions.is_empty() => Err(error),
        _ => Ok(Reading::Site(site)),
    }
}

/// One line a node, and one for each of its partitions: they are not named, so that the nodes are the site's.
fn nodes<'o>(table: &Table<Field>, output: &'o Output) -> Result<Reading<'o>, DialectError> {
    let mut seen = std::collections::HashSet::new();
    // All nodes as those of one partition without a name.
    let mut gathered = Site::default();
    let errors = table.read(&output.stdout, |fields, _| {
        let mut node = Partition { nodes: Some(1), ..Partition::default() };
        let mut name = Vec::new();
        for (i, (column, value)) in table.columns.iter().zip(fields).enumerate() {
            match column.field {
                Field::Node if value.is_empty() => return Err(i),
                Field::Node => name = value.to_vec(),
                // Of a node it is always 1.
                Field::Nodes => {}
                field => set(&mut node, field, value).ok_or(i)?,
            }
        }
        node.cores = node.cores.or(node.cores_per_node);
        if seen.insert(name) {
            add(&mut gathered, node);
        }
        Ok(())
    });
    let all = gathered.partitions.pop().unwrap_or_default();
    let (nodes, cores, cores_per_node) = (all.nodes, all.cores, all.cores_per_node);
    let site = Site { nodes, cores, cores_per_node, mem_per_node: all.mem_per_node, ..Site::default() };
    match errors.into_iter().next() {
        Some(error) if site.nodes.is_none() => Err(error),
        _ => Ok(Reading::Site(site)),
    }
}

fn set(partition: &mut Partition, field: Field, value: &[u8]) -> Option<()> {
    if !field.accepts(value) {
        return None;
    }
    match field {
        Field::Partition => {
            let name = value.strip_suffix(b"*");
            partition.is_default |= name.is_some();
            partition.name = String::from_utf8_lossy(name.unwrap_or(value)).into_owned();
        }
        Field::Available => partition.up = Some(value == b"up"),
        Field::Time => partition.max_time = lexeme::limit(value)?.filter(|limit| !limit.is_unlimited()),
        Field::Nodes => partition.nodes = lexeme::count(value),
        Field::Cores => partition.cores_per_node = at_least(value).and_then(|n| n.try_into().ok()),
        Field::CoresByState => partition.cores = cores_by_state(value),
        Field::Memory => partition.mem_per_node = at_least(value).map(cluster_core::MemSize::from_mb),
        Field::Node | Field::Word | Field::Text => {}
    }
    Some(())
}

/// Adds a group of nodes to its partition.
pub(crate) fn add(site: &mut Site, group: Partition) {
    let Some(known) = site.partitions.iter_mut().find(|known| known.name == group.name) else {
        site.partitions.push(group);
        return;
    };
    let sum = |a: Option<u32>, b: Option<u32>| a.map_or(b, |a| Some(a.saturating_add(b.unwrap_or(0))));
    known.is_default |= group.is_default;
    known.nodes = sum(known.nodes, group.nodes);
    known.cores = sum(known.cores, group.cores);
    known.cores_per_node = known.cores_per_node.max(group.cores_per_node);
    known.mem_per_node = known.mem_per_node.max(group.mem_per_node);
    known.up = known.up.or(group.up);
    known.max_time = known.max_time.or(group.max_time);
}

fn long_format(format: &[u8], header: bool) -> Option<Table<Field>> {
    let format = std::str::from_utf8(format).ok()?;
    let mut columns = Vec::new();
    for item in format.split(',') {
        let (name, rest) = item.split_once(':').unwrap_or((item, "20"));
        let rest = rest.strip_prefix('.').unwrap_or(rest);
        let suffix = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        let width = &rest[..rest.len() - suffix.len()];
        let width = if width.is_empty() { 0 } else { width.parse().ok().filter(|w| *w <= 65_536)? };
        let field = match name.trim().to_ascii_lowercase().as_str() {
            "partition" | "partitionname" => Field::Partition,
            "available" => Field::Available,
            "time" => Field::Time,
            "nodes" => Field::Nodes,
            "cpus" => Field::Cores,
            "cpusstate" => Field::CoresByState,
            "memory" => Field::Memory,
            "nodelist" => Field::Node,
            "statelong" | "statecompact" | "gres" => Field::Word,
            _ => Field::Text,
        };
        columns.push(Column { field, width, suffix: suffix.to_owned() });
    }
    Some(Table::new("sinfo", columns, header))
}

fn short_format(format: &[u8], header: bool) -> Option<Table<Field>> {
    let format = std::str::from_utf8(format).ok()?;
    let mut items = format.split('%');
    if !items.next()?.is_empty() {
        return None;
    }
    let mut columns = Vec::new();
    for item in items {
        let item = item.strip_prefix('.').unwrap_or(item);
        let rest = item.trim_start_matches(|c: char| c.is_ascii_digit());
        let width = &item[..item.len() - rest.len()];
        let width = if width.is_empty() { 0 } else { width.parse().ok().filter(|w| *w <= 65_536)? };
        let mut letters = rest.chars();
        let field = match letters.next()? {
            'P' | 'R' => Field::Partition,
            'a' => Field::Available,
            'l' => Field::Time,
            'D' => Field::Nodes,
            'c' => Field::Cores,
            'C' => Field::CoresByState,
            'm' => Field::Memory,
            'N' => Field::Node,
            't' | 'T' | 'G' | 'H' | 'u' => Field::Word,
            _ => Field::Text,
        };
        columns.push(Column { field, width, suffix: letters.as_str().to_owned() });
    }
    Some(Table::new("sinfo", columns, header))
}
