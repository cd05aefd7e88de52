//! scontrol: jobs, nodes, partitions and the configuration, as `Key=value` texts without quotes.

use std::borrow::Cow;
use std::ffi::OsString;

use cluster_core::dialect::{DialectError, Jobs, Partition, RangeBudget, Reading, Row, Site};
use cluster_core::host::{Invocation, Output};
use cluster_core::{JobState, MemSize};

use crate::command_line::{CommandLine, Known};
use crate::row::{Draft, Field};
use crate::state::Source;
use crate::table::line_end;
use crate::{environment, lexeme, refusal, sinfo};

const OPTIONS: &[Known] = &[
    (b'a', "all", false),
    (b'd', "details", false),
    (0, "federation", false),
    (b'F', "future", false),
    (b'h', "help", false),
    (0, "hide", false),
    (0, "local", false),
    (b'M', "clusters", true),
    (b'o', "oneliner", false),
    (b'Q', "quiet", false),
    (0, "sibling", false),
    (b'u', "uid", true),
    (b'v', "verbose", false),
    (b'V', "version", false),
    (0, "json", false),
    (0, "yaml", false),
];

/// The cheap question: 10 ms, also where the controller is dead.
pub(crate) fn ping() -> Invocation {
    environment::plain(Invocation::new(["scontrol", "ping"]))
}

/// The configuration, and the limits of the partitions.
pub(crate) fn survey() -> [Invocation; 2] {
    [
        environment::plain(Invocation::new(["scontrol", "show", "config"])),
        environment::plain(Invocation::new(["scontrol", "--oneliner", "show", "partition"])),
    ]
}

/// Reads what scontrol printed.
pub(crate) fn read<'o>(argv: &[OsString], output: &'o Output) -> Result<Reading<'o>, DialectError> {
    let line = CommandLine::read(argv, OPTIONS);
    let stdout = output.stdout.as_slice();
    let word = |at: usize| line.words.get(at).copied().unwrap_or_default();
    if word(0) == b"ping" {
        // With a backup controller one of them is enough; its exit code counts the primary alone.
        return match controller(stdout) {
            Some(true) => Ok(Reading::Site(Site { up: Some(true), ..Site::default() })),
            Some(false) => Err(DialectError::unreachable("scontrol ping", output)),
            None => refusal::check("scontrol", output).and_then(|()| {
                Err(DialectError::syntax("scontrol ping", stdout, 0, "Slurmctld(primary) at HOST is UP"))
            }),
        };
    }
    refusal::check("scontrol", output)?;
    if line.has("version") {
        return Ok(Reading::Site(crate::sbatch::version(stdout)));
    }
    let not_read = |why: &str| {
        Err(DialectError::NotRead {
            command: Invocation::new(argv.iter().cloned()).command_line(),
            why: why.to_owned(),
        })
    };
    match (word(0), word(1)) {
        (b"show", _) if line.has("json") || line.has("yaml") => {
            not_read("squeue --json says the same and is read")
        }
        (b"show", b"job" | b"jobs") => Ok(Reading::Jobs(jobs(stdout))),
        (b"show", b"partition" | b"partitions" | b"part") => Ok(Reading::Site(partitions(stdout))),
        (b"show", b"config") => Ok(Reading::Site(config(stdout))),
        (b"show", b"node" | b"nodes") => Ok(Reading::Site(nodes(stdout))),
        (b"show", b"lic" | b"license" | b"licenses") => {
            not_read("it counts licences, which are no limit of a partition's and of no job's row")
        }
        (b"show", _) => not_read("read are `scontrol show` of jobs, partitions, nodes and config"),
        (b"write", _) => not_read("it is somebody's script"),
        (
            b"hold" | b"uhold" | b"release" | b"suspend" | b"resume" | b"requeue" | b"requeuehold"
            | b"update" | b"top" | b"notify",
            _,
        ) => Ok(Reading::Done),
        _ => not_read("it is none of scontrol's commands that are read"),
    }
}

/// `Slurmctld(primary) at vm is UP`: whether one of them is up; `None` where none is named.
fn controller(text: &[u8]) -> Option<bool> {
    let lines = text.split(|&b| b == b'\n').filter(|line| line.starts_with(b"Slurmctld("));
    lines.map(|line| line.trim_ascii().ends_with(b" is UP")).reduce(|one, other| one | other)
}

/// How many elements an array may have, of the scheduler's parameters; `max_array_tasks` limits their count, where a site
/// lets numbers be larger.
fn max_array_tasks(parameters: &[u8]) -> Option<u32> {
    let value = parameters.split(|&b| b == b',').find_map(|word| word.strip_prefix(b"max_array_tasks="))?;
    lexeme::number(value)?.try_into().ok()
}

/// `Key = value` lines.
fn config(text: &[u8]) -> Site {
    let mut site = Site { up: controller(text), ..Site::default() };
    let mut most = None;
    for line in text.split(|&b| b == b'\n') {
        let Some(at) = line.iter().position(|&b| b == b'=') else { continue };
        let value = line[at + 1..].trim_ascii();
        let string = || (!lexeme::is_unset(value)).then(|| String::from_utf8_lossy(value).into_owned());
        match line[..at].trim_ascii() {
            b"SLURM_VERSION" => site.version = string(),
            b"ClusterName" => site.server = string(),
            // It limits the number of an element, which begins at 0: so many elements.
            b"MaxArraySize" => site.max_array = lexeme::number(value).and_then(|n| n.try_into().ok()),
            b"SchedulerParameters" => most = max_array_tasks(value),
            b"AccountingStorageType" => {
                site.accounting = Some(!value.ends_with(b"none") && !lexeme::is_unset(value));
            }
            b"EnforcePartLimits" => site.refuses_over_limit = Some(!value.eq_ignore_ascii_case(b"NO")),
            _ => {}
        }
    }
    site.max_array = site.max_array.into_iter().chain(most).min();
    site
}

/// `Key=value` words.
fn words(text: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    text.split(u8::is_ascii_whitespace).filter_map(|word| {
        let at = word.iter().position(|&b| b == b'=')?;
        Some((&word[..at], &word[at + 1..]))
    })
}

/// The parts of a text that begin with `key` at the start of a line, with where they begin.
fn records<'t>(text: &'t [u8], key: &'static [u8]) -> impl Iterator<Item = (usize, &'t [u8])> {
    let begins =
        move |at: usize| text[at..].starts_with(key) && text.get(at + key.len()).is_some_and(|b| *b > b' ');
    let mut at = 0;
    std::iter::from_fn(move || {
        while at < text.len() && !begins(at) {
            at = line_end(text, at) + 1;
        }
        let begin = at;
        if begin >= text.len() {
            return None;
        }
        loop {
            at = line_end(text, at) + 1;
            if at >= text.len() || begins(at) {
                return Some((begin, text[begin..at.min(text.len())].trim_ascii_end()));
            }
        }
    })
}

fn partitions(text: &[u8]) -> Site {
    let mut site = Site::default();
    for (_, record) in records(text, b"PartitionName=") {
        let mut partition = Partition::default();
        for (key, value) in words(record) {
            let number = || lexeme::number(value).and_then(|n| n.try_into().ok());
            let limited = || lexeme::limit(value).flatten().filter(|limit| !limit.is_unlimited());
            match key {
                b"PartitionName" => partition.name = String::from_utf8_lossy(value).into_owned(),
                b"Default" => partition.is_default = value == b"YES",
                b"State" => partition.up = Some(value == b"UP"),
                b"MaxTime" => partition.max_time = limited(),
                b"DefaultTime" => partition.default_time = limited(),
                b"MaxNodes" => partition.max_nodes = number(),
                b"MaxMemPerNode" => partition.max_mem_per_node = lexeme::number(value).map(MemSize::from_mb),
                b"TotalNodes" => partition.nodes = number(),
                b"TotalCPUs" => partition.cores = number(),
                _ => {}
            }
        }
        site.partitions.push(partition);
    }
    site
}

/// Nodes, added up by partition.
fn nodes(text: &[u8]) -> Site {
    let mut site = Site::default();
    for (_, record) in records(text, b"NodeName=") {
        let mut node = Partition { nodes: Some(1), ..Partition::default() };
        let mut names: &[u8] = b"";
        // What follows Reason= is a text of the operator's.
        let end =
            record.windows(8).position(|w| w == b" Reason=" || w == b"\nReason=").unwrap_or(record.len());
        for (key, value) in words(&record[..end]) {
            match key {
                b"CPUTot" => node.cores = lexeme::count(value),
                b"RealMemory" => node.mem_per_node = lexeme::number(value).map(MemSize::from_mb),
                b"Partitions" => names = value,
                b"Version" if site.version.is_none() => {
                    site.version = Some(String::from_utf8_lossy(value).into_owned());
                }
                _ => {}
            }
        }
        node.cores_per_node = node.cores;
        for name in names.split(|&b| b == b',').filter(|name| !name.is_empty()) {
            let name = String::from_utf8_lossy(name).into_owned();
            sinfo::add(&mut site, Partition { name, ..node.clone() });
        }
    }
    site
}

/// The jobs of `show job`, in lines or in one line each.
///
/// Values are not quoted, and a name may hold blanks, `=` and line feeds. The name ends where the user's id
/// follows it; from there to the command no value has a blank. Somebody who names a job like the rest of a
/// record deceives us about that job alone, and with a line feed about others: what decides outcomes is
/// asked from squeue and sacct.
fn jobs(text: &[u8]) -> Jobs<'_> {
    let mut jobs = Jobs::default();
    let mut ranges = RangeBudget::default();
    for (at, record) in records(text, b"JobId=") {
        match job(record).filter(|row| ranges.admits(&row.tasks)) {
            Some(row) => jobs.rows.push(row),
            None => jobs.error(|| {
                DialectError::syntax("scontrol show job", text, at, "a job with its id, user and state")
            }),
        }
    }
    jobs
}

fn job(record: &[u8]) -> Option<Row<'_>> {
    let user_at = user_at(record)?;
    let (head, rest) = record.split_at(user_at);
    // From the command on there are paths and texts.
    let free = [&b"Command="[..], b"Comment=", b"AdminComment="]
        .iter()
        .filter_map(|key| find_key(rest, key))
        .min()
        .unwrap_or(rest.len());
    let (middle, tail) = rest.split_at(free);
    let mut draft = Draft::new(record);
    let name_at = find_key(head, b"JobName=")?;
    draft.set(Field::Name, head[name_at + 8..].trim_ascii_end())?;
    let mut throttle = None;
    let mut hosts_cores: Vec<(Cow<'_, str>, u32)> = Vec::new();
    let mut detail: Option<&[u8]> = None;
    let mut tres: Option<&[u8]> = None;
    for (key, value) in words(&head[..name_at]).chain(words(middle)) {
        match key {
            b"JobId" => draft.set(Field::RawId, value)?,
            b"ArrayJobId" => draft.set(Field::ArrayJob, value)?,
            b"ArrayTaskId" => draft.set(Field::ArrayTask, value)?,
            b"ArrayTaskThrottle" => throttle = lexeme::number(value).and_then(|n| u32::try_from(n).ok()),
            b"UserId" => {
                let name = value.split(|&b| b == b'(').next().unwrap_or(value);
                draft.set(Field::User, name)?;
            }
            b"JobState" => draft.set(Field::State, value)?,
            b"Reason" => draft.set(Field::Reason, value)?,
            b"Restarts" => draft.set(Field::Restarts, value)?,
            b"ExitCode" => draft.set(Field::ExitCode, value)?,
            b"TimeLimit" => draft.set(Field::Limit, value)?,
            b"SubmitTime" => draft.set(Field::Submitted, value)?,
            b"StartTime" => draft.set(Field::Started, value)?,
            b"EndTime" => draft.set(Field::Ended, value)?,
            b"Partition" => draft.set(Field::Partition, value)?,
            b"NodeList" => draft.set(Field::Hosts, value)?,
            b"NumNodes" => draft.set(Field::Nodes, value)?,
            b"NumCPUs" => draft.set(Field::Cores, value)?,
            b"AllocTRES" if !lexeme::is_unset(value) => tres = Some(value),
            b"TRES" | b"ReqTRES" => tres = tres.or(Some(value)),
            // The details of -d: which cores of which nodes.
            b"Nodes" => detail = Some(value),
            b"CPU_IDs" => {
                if let (Some(hosts), Some(cores)) = (detail.take(), crate::job_id::task_list(value)) {
                    hosts_cores.push((crate::row::text(hosts), element_count(&cores.0)));
                }
            }
            _ => {}
        }
    }
    if let Some(tres) = tres {
        draft.set(Field::Tres, tres)?;
    }
    if let Some(at) = find_key(tail, b"Comment=") {
        let comment = &tail[at + 8..];
        let end = [&b" StdErr="[..], b" WorkDir=", b" Command=", b"\n"]
            .iter()
            .filter_map(|key| comment.windows(key.len()).position(|window| window == *key))
            .min()
            .unwrap_or(comment.len());
        draft.set(Field::Comment, comment[..end].trim_ascii_end())?;
    }
    let mut row = draft.finish(Source::Controller)?;
    // Slurm writes 0 for no limit; a single element keeps the limit of its array.
    row.throttle = row.throttle.or(throttle.filter(|n| *n > 0));
    if row.state != JobState::Queued && !hosts_cores.is_empty() {
        row.hosts = Cow::Owned(crate::hosts::with_cores(&hosts_cores));
    }
    Some(row)
}

fn element_count(tasks: &cluster_core::dialect::Tasks) -> u32 {
    match tasks {
        cluster_core::dialect::Tasks::Some(set) => set.len().try_into().unwrap_or(u32::MAX),
        _ => 1,
    }
}

/// Where `UserId=` follows the name: the first place from which the ids of user and group go on as they do.
fn user_at(record: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + find_key(&record[from..], b"UserId=")?;
        let mut follow = words(&record[at..]).map(|(key, _)| key);
        if follow.next() == Some(b"UserId")
            && follow.next() == Some(b"GroupId")
            && follow.next() == Some(b"MCS_label")
        {
            return Some(at);
        }
        from = at + 7;
    }
}

/// Where a key stands, with a blank or a line feed before it.
fn find_key(text: &[u8], key: &[u8]) -> Option<usize> {
    (0..text.len()).find(|&at| {
        (at == 0 || text[at - 1].is_ascii_whitespace()) && text[at] == key[0] && text[at..].starts_with(key)
    })
}
