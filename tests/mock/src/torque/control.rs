//! The commands of Torque that change jobs: `qdel qhold qrls qalter qsig qrerun`.

use crate::engine::{HELD_OPERATOR, HELD_SYSTEM, HELD_USER, Job, Key, Phase, Table, Why, now};
use crate::front::Call;
use crate::pbs::bytes::wide;
use crate::pbs::control::{change, send, trusted};
use crate::pbs::getopt::{Item, getopt};
use crate::pbs::id::{Id, Part};
use crate::pbs::resources::seconds;
use crate::pbs::table::hms;
use crate::pbs::{is_down, is_open, refuse, server};

use super::say_down;

pub(crate) fn run(call: &mut Call<'_>) -> i32 {
    let words: Vec<String> = call.raw_args.iter().map(|arg| wide(arg)).collect();
    let specification = match call.name.as_str() {
        "qdel" => "abcm:pW:t:",
        "qhold" | "qrls" => "h:t:",
        "qsig" => "as:",
        "qrerun" => "f",
        _ => "a:A:c:e:h:j:k:l:m:M:N:o:p:q:r:S:t:u:v:W:x:",
    };
    let (mut operands, mut values) = (Vec::new(), Vec::new());
    for item in getopt(&words, specification) {
        match item {
            Item::Operand(word) => operands.push(word),
            Item::Rest(words) => operands.extend(words),
            Item::Value(letter, value) => values.push((letter, value)),
            Item::Unknown(letter) => return refuse(call, 2, &format!("invalid option -- '{letter}'")),
            _ => {}
        }
    }
    if operands.is_empty() {
        let name = call.name.clone();
        call.err(format!("usage: {name} [options] job_identifier...\n"));
        return 2;
    }
    if is_down(call) {
        return say_down(call);
    }
    let mut code = 0;
    for operand in &operands {
        if operand == "all" || operand == "ALL" {
            code = everything(call, code);
            continue;
        }
        let Some(id) = Id::read(operand) else {
            code = refuse(call, 1, &format!("illegally formed job identifier: {operand}"));
            continue;
        };
        if let Err((refusal, text)) = act(call, &id, operand, &values) {
            code = refuse(call, refusal, &text);
        }
    }
    call.engine.schedule();
    code
}

/// `qdel all`: all of the caller's; 153 when there is none.
fn everything(call: &mut Call<'_>, code: i32) -> i32 {
    let engine = call.engine;
    let mut table = engine.lock();
    let mine = |job: &&Job| is_open(job) && (call.user.uid == 0 || job.spec.user.uid == call.user.uid);
    let keys: Vec<Key> = table.jobs.values().filter(mine).map(|job| job.key).collect();
    for key in &keys {
        engine.kill(&mut table, *key, Why::Cancel(call.user.uid));
    }
    if keys.is_empty() { 153 } else { code }
}

fn keys(table: &Table, id: &Id) -> Vec<Key> {
    let array = table.elements(id.number).next().is_some_and(|job| job.key.index.is_some());
    table
        .elements(id.number)
        .map(|job| job.key)
        .filter(|key| match &id.part {
            Part::Plain => !array,
            Part::Parent => array,
            Part::One(index) => key.index == Some(*index),
            Part::Some(..) => false,
        })
        .collect()
}

fn act(call: &mut Call<'_>, id: &Id, written: &str, values: &[(char, String)]) -> Result<(), (i32, String)> {
    let engine = call.engine;
    let mut table = engine.lock();
    let full = id.full(&server(&table));
    let name = call.name.as_str();
    let mut keys = keys(&table, id);
    if let Some((_, range)) = values.iter().find(|(letter, _)| *letter == 't') {
        let wanted =
            super::qsub::indices(range).ok_or_else(|| (235, format!("Bad Job Array Request {full}")))?;
        keys.retain(|key| key.index.is_some_and(|index| wanted.contains(&index)));
    }
    let jobs: Vec<&Job> = keys.iter().filter_map(|key| table.jobs.get(key)).collect();
    if jobs.is_empty() {
        return Err(match name {
            "qdel" => (153, format!("nonexistent job id: {written}")),
            _ => (153, format!("Unknown Job Id Error {full}")),
        });
    }
    let value =
        |letter: char| values.iter().find(|(known, _)| *known == letter).map(|(_, value)| value.as_str());
    let signal = value('s').unwrap_or("SIGTERM");
    let operator = name == "qrerun" || (name == "qsig" && matches!(signal, "suspend" | "resume"));
    if jobs.iter().any(|job| call.user.uid != 0 && call.user.uid != job.spec.user.uid)
        || (operator && name == "qrerun" && call.user.uid != 0 && !trusted(&table))
    {
        return Err((159, format!("Unauthorized Request  MSG=operation not permitted {full}")));
    }
    if !jobs.iter().any(|job| is_open(job)) {
        return Err((
            170,
            format!("Request invalid for state of job MSG=invalid state for job - COMPLETE {full}"),
        ));
    }
    let stamp = now().to_string();
    match name {
        "qdel" => {
            for key in keys {
                engine.kill(&mut table, key, Why::Cancel(call.user.uid));
            }
        }
        "qhold" | "qrls" => {
            let bits = value('h').unwrap_or("u").chars().fold(0, |bits, letter| {
                bits | match letter {
                    'u' => HELD_USER,
                    'o' => HELD_OPERATOR,
                    's' => HELD_SYSTEM,
                    _ => 0,
                }
            });
            for key in keys {
                let Some(job) = table.job_mut(key).filter(|job| is_open(job)) else { continue };
                if name == "qhold" && job.phase == Phase::Pending {
                    job.held |= bits;
                } else {
                    job.held &= !bits;
                }
                job.attrs.insert("mtime".into(), stamp.clone());
            }
        }
        "qsig" => {
            if !jobs.iter().any(|job| job.is_active()) {
                return Err((170, format!("Request invalid for state of job {full}")));
            }
            for key in keys {
                send(&mut table, key, signal);
            }
        }
        "qrerun" => {
            for key in keys {
                if table.jobs.get(&key).is_some_and(Job::is_active) {
                    engine.kill(&mut table, key, Why::Requeue);
                }
            }
        }
        _ => {
            let wall = match value('l')
                .and_then(|list| list.split(',').find_map(|item| item.strip_prefix("walltime=")))
            {
                Some(text) => Some(seconds(text).ok_or_else(|| {
                    (168, format!("Illegal attribute or resource value for Resource_List.walltime {full}"))
                })?),
                None => None,
            };
            for key in keys {
                if let Some(job) = table.job_mut(key) {
                    job.limit = wall.or(job.limit);
                    job.attrs.insert("mtime".into(), stamp.clone());
                }
                change(&mut table, key, |spec| {
                    if let Some(wall) = wall {
                        let list =
                            spec.attrs.get("resources").and_then(|text| serde_json::from_str(text).ok());
                        let mut list: Vec<(String, String)> = list.unwrap_or_default();
                        for (name, value) in &mut list {
                            if name == "walltime" {
                                *value = hms(wall);
                            }
                        }
                        spec.attrs
                            .insert("resources".into(), serde_json::to_string(&list).unwrap_or_default());
                    }
                    if let Some(name) = value('N') {
                        spec.name = name.to_owned();
                    }
                });
            }
        }
    }
    Ok(())
}
