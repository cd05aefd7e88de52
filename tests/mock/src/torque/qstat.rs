//! `qstat` and `qselect` of Torque.

use crate::engine::{Key, Phase, Table};
use crate::front::Call;
use crate::pbs::bytes::wide;
use crate::pbs::getopt::{Item as Word, getopt};
use crate::pbs::id::{Id, Part};
use crate::pbs::record::{Record, Style};
use crate::pbs::show::Item;
use crate::pbs::{bytes, is_down, server};

use super::show::{Dates, alternate, item_letter, plain, record, row};
use super::{say_down, servers, xml};

const USAGE: &str = "usage: 
                          qstat [-f [-1]] [-W site_specific] [-x] [ job_identifier... | destination... ]
                          qstat [-a|-i|-r|-e] [-u user] [-n [-1]] [-s] [-t] [-G|-M] [-R] [job_id... | destination...]
                          qstat -Q [-f [-1]] [-W site_specific] [ destination... ]
                          qstat -q [-G|-M] [ destination... ]
                          qstat -B [-f [-1]] [-W site_specific] [ server_name... ]
                          qstat -t
";

pub(crate) fn run(call: &mut Call<'_>) -> i32 {
    if call.args.first().is_some_and(|arg| arg == "--version") {
        call.err("Version: master\n");
        return 0;
    }
    let words: Vec<String> = call.raw_args.iter().map(|arg| wide(arg)).collect();
    let (mut flags, mut users, mut operands) = (String::new(), Vec::new(), Vec::new());
    for word in getopt(&words, "aefin1qrstu:xEGMQRBW:C:") {
        match word {
            Word::Flag(letter) => flags.push(letter),
            Word::Value('u', value) => users.extend(value.split(',').map(str::to_owned)),
            Word::Operand(word) => operands.push(word),
            Word::Rest(words) => operands.extend(words),
            Word::Unknown(letter) => {
                call.err(format!("qstat: invalid option -- '{letter}'\n{USAGE}"));
                return 2;
            }
            _ => {}
        }
    }
    if is_down(call) {
        return say_down(call);
    }
    let has = |letter: char| flags.contains(letter);
    if has('B') {
        return servers::server_status(call, has('f'));
    }
    if has('Q') || has('q') {
        return servers::queue_status(call, has('q'), has('f'), &operands);
    }
    let zone = call.var("TZ");
    let engine = call.engine;
    let table = engine.lock();
    let (mut keys, errors, code) = find(&table, &operands, has('t'));
    keys.retain(|(key, parent)| {
        let Some(job) = table.jobs.get(key) else { return false };
        let item = if *parent { Item::Parent(job) } else { Item::Job(job) };
        (users.is_empty() || users.contains(&job.spec.user.name))
            && (!has('i') || "QHW".contains(item_letter(&table, item)))
            && (!has('r') || "RES".contains(item_letter(&table, item)))
    });
    let items: Vec<Item<'_>> = keys
        .iter()
        .filter_map(|(key, parent)| {
            table.jobs.get(key).map(|job| if *parent { Item::Parent(job) } else { Item::Job(job) })
        })
        .collect();
    let out: Vec<u8> = if items.is_empty() {
        Vec::new()
    } else if has('x') && !has('B') {
        let records: Vec<Record> = items.iter().map(|item| record(&table, *item, Dates::Epoch)).collect();
        xml::document(&records, "Job", "Job_Id")
    } else if has('f') {
        let style = if has('1') { Style::TorqueOneLine } else { Style::Torque };
        items
            .iter()
            .flat_map(|item| record(&table, *item, Dates::Zone(zone.as_deref())).text("Job Id", style))
            .collect()
    } else {
        let rows: Vec<_> = items.iter().map(|item| row(&table, *item)).collect();
        let other = "airnse".chars().any(has) || !users.is_empty();
        let text = if other { alternate(&server(&table), &rows, has('n'), has('1')) } else { plain(&rows) };
        bytes::narrow(&text)
    };
    drop(table);
    call.out(out);
    call.err(errors);
    code
}

/// The jobs that are asked for, and what is said of what is not there.
fn find(table: &Table, operands: &[String], tasks: bool) -> (Vec<(Key, bool)>, String, i32) {
    let server = server(table);
    let (mut keys, mut errors, mut code) = (Vec::new(), String::new(), 0);
    let mut all = operands.is_empty();
    let mut queues = Vec::new();
    for operand in operands {
        let Some(id) = Id::read(operand) else {
            let name = operand.split('@').next().unwrap_or_default();
            if name.is_empty() || table.config.cluster.queue(name).is_some() {
                all = true;
                queues.extend(Some(name.to_owned()).filter(|name| !name.is_empty()));
            } else {
                errors.push_str(&format!("qstat: Unknown queue destination {name}\n"));
                code = 172;
            }
            continue;
        };
        let elements: Vec<Key> = table.elements(id.number).map(|job| job.key).collect();
        let array = elements.first().is_some_and(|key| key.index.is_some());
        let found: Vec<(Key, bool)> = match id.part {
            Part::Plain if !array => elements.iter().map(|key| (*key, false)).collect(),
            Part::One(index) => {
                elements.iter().filter(|key| key.index == Some(index)).map(|key| (*key, false)).collect()
            }
            // With `-t` its subjobs; without it the real one lists every job there is.
            Part::Parent if array && tasks => elements.iter().map(|key| (*key, false)).collect(),
            Part::Parent if array => {
                all = true;
                continue;
            }
            _ => Vec::new(),
        };
        if found.is_empty() {
            errors.push_str(&format!("qstat: Unknown Job Id Error {}\n", id.full(&server)));
            code = 153;
        }
        keys.extend(found);
    }
    if all {
        let mut last = None;
        for job in table.jobs.values() {
            if !queues.is_empty() && !queues.contains(&job.spec.queue) {
                continue;
            }
            match (job.key.index, tasks) {
                (None, _) | (Some(_), true) => keys.push((job.key, false)),
                (Some(_), false) if last != Some(job.key.id) => keys.push((job.key, true)),
                _ => {}
            }
            last = Some(job.key.id);
        }
    }
    (keys, errors, code)
}

/// `qselect`: ids by state, user, name and queue; subjobs one by one.
pub(crate) fn select(call: &mut Call<'_>) -> i32 {
    let (mut states, mut users, mut name, mut queue) = (None, None, None, None);
    for word in getopt(&call.args.clone(), "a:A:c:eh:l:N:p:q:r:s:u:") {
        match word {
            Word::Value('s', value) => states = Some(value),
            Word::Value('u', value) => users = Some(value),
            Word::Value('N', value) => name = Some(value),
            Word::Value('q', value) => queue = Some(value),
            Word::Unknown(letter) => {
                return crate::pbs::refuse(call, 2, &format!("invalid option -- '{letter}'"));
            }
            _ => {}
        }
    }
    if is_down(call) {
        return say_down(call);
    }
    let engine = call.engine;
    let table = engine.lock();
    let mut out = String::new();
    for job in table.jobs.values() {
        let item = Item::Job(job);
        let fits = states.as_ref().is_none_or(|states: &String| states.contains(item_letter(&table, item)))
            && (states.is_some() || job.phase != Phase::Ended || name.is_some() || users.is_none())
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
