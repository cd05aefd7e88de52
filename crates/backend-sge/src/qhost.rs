//! `qhost -xml`: the hosts, with their queues (`-q`: a [`Site`]) and their jobs (`-j`: rows).

use std::borrow::Cow;

use cluster_core::MemSize;
use cluster_core::dialect::{DialectError, Jobs, Partition, Reading, Row, Site, Tasks};
use cluster_core::host::{Invocation, Output};
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use crate::call::{self, Call};
use crate::state::letters;
use crate::xml::{position, unescape};
use crate::{lexeme, owned, qstat_xml, refusal};

/// The hosts with their queues.
pub(crate) fn invocation() -> Invocation {
    call::invocation(["qhost", "-xml", "-q"])
}

pub(crate) fn read<'o>(call: &Call<'_>, output: &'o Output) -> Result<Reading<'o>, DialectError> {
    if !output.status.is_success() {
        return Err(refusal::refused(call, output));
    }
    if !call.has("-xml") {
        return Err(call.not_read("the table cuts names and leaves columns empty; `qhost -xml -q` is read"));
    }
    if call.has("-j") {
        owned::read(&output.stdout, |text| jobs(call, text)).map(Reading::Jobs)
    } else {
        let text = String::from_utf8_lossy(&output.stdout);
        let mut site = Site { up: Some(true), ..Site::default() };
        walk(call, &text, |element| site_of(&mut site, element))?;
        site.partitions.retain(|partition| !partition.name.is_empty());
        Ok(Reading::Site(site))
    }
}

/// A value, with what it is of.
struct Element<'t, 'n> {
    /// Its offset.
    at: usize,
    /// `hostvalue`, `queuevalue`, `jobvalue`.
    kind: &'n str,
    host: &'n str,
    /// Of what in the host: the queue's name or the job's number.
    of: &'n str,
    name: &'n str,
    value: &'t str,
    /// Whether it is the first of its queue or job.
    first: bool,
}

/// Goes through all values of a document.
fn walk<'t>(
    call: &Call<'_>,
    text: &'t str,
    mut visit: impl FnMut(Element<'t, '_>),
) -> Result<(), DialectError> {
    let mut reader = Reader::from_str(text);
    let (mut depth, mut content, mut seen_root) = (0_usize, 0, false);
    let (mut host, mut of, mut name) = (String::new(), String::new(), String::new());
    let mut first = true;
    loop {
        let before = position(&reader);
        match reader.read_event() {
            Ok(Event::Start(start)) => {
                depth += 1;
                content = position(&reader);
                match start.name().as_ref() {
                    "qhost" => seen_root = true,
                    "host" => host = attribute(&start),
                    "queue" | "job" => (of, first) = (attribute(&start), true),
                    _ => name = attribute(&start),
                }
            }
            Ok(Event::End(end)) => {
                depth = depth.saturating_sub(1);
                let value = text.get(content..before).unwrap_or_default();
                let qualified = end.name();
                let kind: &str = qualified.as_ref();
                if matches!(kind, "hostvalue" | "queuevalue" | "jobvalue") {
                    visit(Element { at: content, kind, host: &host, of: &of, name: &name, value, first });
                    first = false;
                }
            }
            Ok(Event::Eof) if depth == 0 && seen_root => return Ok(()),
            Ok(Event::Eof) => {
                return Err(call.syntax(text.as_bytes(), text.len(), "</qhost>: the answer is cut off"));
            }
            Ok(_) => {}
            Err(error) => {
                let at = usize::try_from(reader.error_position()).unwrap_or(text.len());
                return Err(call.syntax(text.as_bytes(), at, &format!("well-formed XML ({error})")));
            }
        }
    }
}

fn attribute(start: &BytesStart<'_>) -> String {
    let value = start.try_get_attribute("name").ok().flatten();
    value.map(|name| unescape(&name.value).into_owned()).unwrap_or_default()
}

fn site_of(site: &mut Site, element: Element<'_, '_>) {
    // The memory of the host comes before its queues: it waits in a nameless partition.
    if element.kind == "hostvalue" && element.name == "mem_total" {
        site.partitions.retain(|partition| !partition.name.is_empty());
        let mem_per_node = lexeme::mem(element.value);
        site.partitions.insert(0, Partition { mem_per_node, ..Partition::default() });
    }
    if element.kind != "queuevalue" {
        return;
    }
    let host_mem: Option<MemSize> =
        site.partitions.first().filter(|p| p.name.is_empty()).and_then(|p| p.mem_per_node);
    let known = site.partitions.iter().position(|partition| partition.name == element.of);
    let at = known.unwrap_or_else(|| {
        site.partitions.push(Partition { name: element.of.to_owned(), ..Partition::default() });
        site.partitions.len() - 1
    });
    let Some(queue) = site.partitions.get_mut(at) else { return };
    match element.name {
        "slots" => {
            let slots = lexeme::number::<u32>(element.value).unwrap_or(0);
            queue.nodes = Some(queue.nodes.unwrap_or(0).saturating_add(1));
            queue.cores = Some(queue.cores.unwrap_or(0).saturating_add(slots));
            queue.cores_per_node = queue.cores_per_node.max(Some(slots));
            queue.mem_per_node = queue.mem_per_node.max(host_mem);
        }
        "state_string" => {
            // u: not heard of; d: disabled; E: in error; s, S, C, D: suspended; c, o: no good configuration.
            let runs = !element.value.contains(|c| "udEsSCDco".contains(c));
            queue.up = Some(queue.up.unwrap_or(false) || runs);
        }
        _ => {}
    }
}

/// The jobs; a parallel one is listed once more for each of its slots, and counts once.
fn jobs<'t>(call: &Call<'_>, text: &'t str) -> Result<Jobs<'t>, DialectError> {
    let mut jobs = Jobs::default();
    let mut open: Option<Job<'t>> = None;
    walk(call, text, |element| {
        if element.kind != "jobvalue" {
            return;
        }
        if element.first {
            close(call, text, &mut jobs, open.take());
            let number = element.of.to_owned();
            open = Some(Job { number, host: element.host.to_owned(), at: element.at, ..Job::default() });
        }
        let Some(job) = &mut open else { return };
        match element.name {
            "qinstance_name" => job.queue = element.value,
            "job_name" => job.name = element.value,
            "job_owner" => job.owner = element.value,
            "job_state" => job.state = element.value,
            "start_time" => job.started = element.value,
            "taskid" => job.task = element.value,
            "pe_master" => job.slave = element.value == "SLAVE",
            _ => {}
        }
    })?;
    close(call, text, &mut jobs, open);
    Ok(jobs)
}

#[derive(Default)]
struct Job<'t> {
    number: String,
    host: String,
    queue: &'t str,
    name: &'t str,
    owner: &'t str,
    state: &'t str,
    started: &'t str,
    task: &'t str,
    slave: bool,
    at: usize,
}

fn close<'t>(call: &Call<'_>, text: &str, jobs: &mut Jobs<'t>, job: Option<Job<'t>>) {
    let Some(job) = job.filter(|job| !job.slave) else { return };
    let state = letters(job.state);
    let numbered = lexeme::number::<u64>(&job.number).and_then(|_| qstat_xml::tasks(&job.number, job.task));
    // What a host runs is one task.
    let Some((id, tasks)) = numbered.filter(|(_, tasks)| !matches!(tasks, Tasks::Some(_))) else {
        jobs.error(|| call.syntax(text.as_bytes(), job.at, "the number of a job, and of a task"));
        return;
    };
    let row = Row {
        id: Cow::Owned(id.into_owned()),
        tasks,
        job: Cow::Owned(job.number.clone()),
        name: unescape(job.name),
        user: unescape(job.owner),
        partition: unescape(lexeme::queue_instance(job.queue).0),
        state: state.state,
        raw_state: unescape(job.state),
        uncertain: state.uncertain,
        hosts: Cow::Owned(job.host),
        started: lexeme::epoch_time(job.started),
        restarts: state.restarted.then_some(1),
        ..Row::default()
    };
    jobs.rows.push(row);
}
