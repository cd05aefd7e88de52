//! `qstat` and `qselect` of OpenPBS.

use crate::engine::{Key, Table, now, seconds};
use crate::front::Call;

use super::bytes::wide;
use super::getopt::{Item as Word, getopt};
use super::id::{Id, Part};
use super::record::{Record, Style};
use super::show::{Item, record, row};
use super::table::{Alternate, alternate, plain};
use super::{is_down, json, say_down, server, servers};

const USAGE: &str = "usage: 
qstat [-f] [-J] [-p] [-t] [-x] [-E] [-F format | -w] [-D delim] [ job_identifier... | destination... ]
qstat [-a|-i|-r|-H|-T] [-J] [-t] [-u user] [-n] [-s] [-G|-M] [-1] [-w]
\t[ job_identifier... | destination... ]
qstat -Q [-f] [-F format] [-D delim] [ destination... ]
qstat -q [-G|-M] [ destination... ]
qstat -B [-f] [-F format] [-D delim] [ server_name... ]
qstat --version
";

#[derive(Default)]
struct Asked {
    flags: String,
    format: Option<String>,
    delimiter: String,
    users: Vec<String>,
    operands: Vec<String>,
}

impl Asked {
    fn has(&self, letter: char) -> bool {
        self.flags.contains(letter)
    }
}

fn read(call: &mut Call<'_>) -> Result<Asked, i32> {
    let words: Vec<String> = call.raw_args.iter().map(|arg| wide(arg)).collect();
    let mut asked = Asked { delimiter: "|".into(), ..Asked::default() };
    for word in getopt(&words, "afinprstxwEGHJMTQqB1F:D:u:") {
        match word {
            Word::Flag(letter) => asked.flags.push(letter),
            Word::Value('F', format) => asked.format = Some(format),
            Word::Value('D', delimiter) => asked.delimiter = delimiter,
            Word::Value(_, users) => asked.users.extend(users.split(',').map(str::to_owned)),
            Word::Operand(word) => asked.operands.push(word),
            Word::Rest(words) => asked.operands.extend(words),
            Word::Unknown(letter) => {
                call.err(format!("qstat: invalid option -- '{letter}'\n{USAGE}"));
                return Err(2);
            }
            Word::Missing(letter) => {
                call.err(format!("qstat: option requires an argument -- '{letter}'\n{USAGE}"));
                return Err(2);
            }
        }
    }
    Ok(asked)
}

/// What the operands name, and what is to be said of those that name nothing.
struct Found {
    keys: Vec<(Key, bool)>,
    errors: String,
    code: i32,
}

pub(crate) fn run(call: &mut Call<'_>) -> i32 {
    if call.args.first().is_some_and(|arg| arg == "--version") {
        call.out("pbs_version = 23.06.06\n");
        return 0;
    }
    let asked = match read(call) {
        Ok(asked) => asked,
        Err(code) => return code,
    };
    let is_json = asked.format.as_deref() == Some("json");
    if let Some(host) =
        asked.operands.iter().find_map(|operand| operand.split_once('@')).map(|(_, host)| host)
    {
        let server = server(&call.engine.lock());
        if host != server {
            call.err(format!("Unknown Host.\nqstat: cannot connect to server {server} (errno=15008)\n"));
            return 255;
        }
    }
    if is_down(call) {
        if is_json {
            let text = document(&call.engine.lock(), "Jobs", &[]);
            call.out(text);
        }
        return say_down(call);
    }
    if asked.has('B') {
        return servers::server_status(call, asked.has('f'), asked.format.as_deref(), &asked.delimiter);
    }
    if asked.has('Q') || asked.has('q') {
        return servers::queue_status(
            call,
            &asked.flags,
            asked.format.as_deref(),
            &asked.delimiter,
            &asked.operands,
        );
    }
    let zone = call.var("TZ");
    let engine = call.engine;
    let table = engine.lock();
    let found = find(&table, &asked);
    let items: Vec<Item<'_>> = found
        .keys
        .iter()
        .filter_map(|(key, parent)| table.jobs.get(key).map(|job| (job, *parent)))
        .map(|(job, parent)| if parent { Item::Parent(job) } else { Item::Job(job) })
        .collect();
    let mut out = Vec::new();
    if asked.has('f') || asked.format.is_some() {
        let records: Vec<Record> = items.iter().map(|item| record(&table, *item, zone.as_deref())).collect();
        match asked.format.as_deref() {
            Some("json") => out = document(&table, "Jobs", &records),
            Some("dsv") => {
                out.extend(records.iter().flat_map(|record| record.dsv("Job Id", &asked.delimiter)));
            }
            _ => {
                let style = if asked.has('w') { Style::OpenPbsWide } else { Style::OpenPbs };
                out.extend(records.iter().flat_map(|record| record.text("Job Id", style)));
            }
        }
    } else {
        let rows: Vec<_> = items.iter().map(|item| row(&table, *item)).collect();
        let other = asked.flags.chars().any(|flag| "airnsHTw1".contains(flag)) || !asked.users.is_empty();
        let text = if other {
            let how = Alternate {
                wide: asked.has('w'),
                hosts: asked.has('n'),
                comment: asked.has('s') || asked.has('T'),
                one_line: asked.has('1'),
            };
            alternate(&server(&table), &rows, how)
        } else {
            plain(&rows)
        };
        out = super::bytes::narrow(&text);
    }
    drop(table);
    call.out(out);
    call.err(found.errors);
    found.code
}

/// A document of `-F json`.
pub(crate) fn document(table: &Table, group: &str, records: &[Record]) -> Vec<u8> {
    json::document(&server(table), "23.06.06", seconds(now()), group, records)
}

/// The jobs that are asked for, in order, each with whether it stands for its array's parent.
fn find(table: &Table, asked: &Asked) -> Found {
    let server = server(table);
    let history = asked.has('x') || asked.has('H');
    let mut found = Found { keys: Vec::new(), errors: String::new(), code: 0 };
    let fail = |found: &mut Found, code: i32, text: String| {
        found.errors.push_str(&format!("qstat: {text}\n"));
        found.code = code;
    };
    let mut queues: Vec<&str> = Vec::new();
    for operand in &asked.operands {
        let Some(id) = Id::read(operand) else {
            let name = operand.split_once('@').map_or(operand.as_str(), |(name, _)| name);
            if !name.is_empty() && table.config.cluster.queue(name).is_none() {
                fail(&mut found, 170, format!("Unknown queue destination {name}"));
            } else {
                queues.push(name);
            }
            continue;
        };
        let all: Vec<Key> = table.elements(id.number).map(|job| job.key).collect();
        let array = all.first().is_some_and(|key| key.index.is_some());
        let wanted: Vec<(Key, bool)> = match &id.part {
            Part::Plain if !array => all.iter().map(|key| (*key, false)).collect(),
            Part::Parent if array => expand(&all, asked, true),
            Part::One(index) => {
                all.iter().filter(|key| key.index == Some(*index)).map(|key| (*key, false)).collect()
            }
            Part::Some(indices, _) => all
                .iter()
                .filter(|key| key.index.is_some_and(|index| indices.contains(&index)))
                .map(|key| (*key, false))
                .collect(),
            _ => Vec::new(),
        };
        let full = id.full(&server);
        if wanted.is_empty() {
            fail(&mut found, 153, format!("Unknown Job Id {full}"));
        } else if !history && all.iter().all(|key| is_over(table, *key)) {
            fail(
                &mut found,
                35,
                format!("{full} Job has finished, use -x or -H to obtain historical job information"),
            );
        } else {
            found.keys.extend(wanted);
        }
    }
    if asked.operands.is_empty() || !queues.is_empty() {
        let mut last = None;
        for job in table.jobs.values() {
            if last == Some(job.key.id)
                || (!queues.is_empty() && !queues.contains(&"") && !queues.contains(&job.spec.queue.as_str()))
            {
                continue;
            }
            last = Some(job.key.id);
            if asked.has('J') && job.key.index.is_none() {
                continue;
            }
            let all: Vec<Key> = table.elements(job.key.id).map(|job| job.key).collect();
            let over = all.iter().all(|key| is_over(table, *key));
            if (over && !history) || (asked.has('H') && !asked.has('x') && !over) {
                continue;
            }
            if job.key.index.is_some() {
                found.keys.extend(expand(&all, asked, !asked.has('J')));
            } else {
                found.keys.push((job.key, false));
            }
        }
    }
    found.keys.retain(|(key, parent)| {
        let Some(job) = table.jobs.get(key) else { return false };
        let item = if *parent { Item::Parent(job) } else { Item::Job(job) };
        let letter = if asked.has('i') || asked.has('r') { item.letter(table) } else { ' ' };
        (asked.users.is_empty() || asked.users.contains(&job.spec.user.name))
            && (!asked.has('i') || "QHWT".contains(letter))
            && (!asked.has('r') || "RSEB".contains(letter))
    });
    found
}

/// The parent of an array, or with `-t` its subjobs, after the parent where that is shown too.
fn expand(all: &[Key], asked: &Asked, with_parent: bool) -> Vec<(Key, bool)> {
    let Some(first) = all.first() else { return Vec::new() };
    if !asked.has('t') {
        return vec![(*first, true)];
    }
    let parent = with_parent.then_some((*first, true));
    parent.into_iter().chain(all.iter().map(|key| (*key, false))).collect()
}

fn is_over(table: &Table, key: Key) -> bool {
    table.jobs.get(&key).is_none_or(|job| !super::is_open(job))
}

/// `qselect`: ids by state, user, name and queue.
pub(crate) fn select(call: &mut Call<'_>) -> i32 {
    let words: Vec<String> = call.args.clone();
    let (mut states, mut users, mut name, mut queue) = (None, None, None, None);
    let mut asked = Asked::default();
    for word in getopt(&words, "a:A:c:h:HJl:N:p:P:q:r:s:t:Tu:x") {
        match word {
            Word::Value('s', value) => states = Some(value),
            Word::Value('u', value) => users = Some(value),
            Word::Value('N', value) => name = Some(value),
            Word::Value('q', value) => queue = Some(value),
            Word::Flag('T') => asked.flags.push('t'),
            Word::Flag(letter) => asked.flags.push(letter),
            Word::Unknown(letter) => return super::refuse(call, 2, &format!("invalid option -- '{letter}'")),
            _ => {}
        }
    }
    if is_down(call) {
        return say_down(call);
    }
    let engine = call.engine;
    let table = engine.lock();
    let mut out = String::new();
    for (key, parent) in find(&table, &asked).keys {
        let Some(job) = table.jobs.get(&key) else { continue };
        let item = if parent { Item::Parent(job) } else { Item::Job(job) };
        let fits = states.as_ref().is_none_or(|states: &String| states.contains(item.letter(&table)))
            && users
                .as_ref()
                .is_none_or(|users: &String| users.split(',').any(|user| user == job.spec.user.name))
            && name.as_ref().is_none_or(|name| *name == job.spec.name)
            && queue.as_ref().is_none_or(|queue| *queue == job.spec.queue);
        if fits {
            out.push_str(&format!("{}\n", item.id(&table)));
        }
    }
    drop(table);
    call.out(out);
    0
}
