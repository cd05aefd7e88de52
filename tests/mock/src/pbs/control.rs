//! The commands of OpenPBS that change jobs: `qdel qhold qrls qalter qsig qrerun qmove qmsg`.

use crate::engine::{
    HELD_OPERATOR, HELD_SYSTEM, HELD_USER, Job, Key, Phase, Scope, Table, Why, now, seconds,
};
use crate::front::{Call, User};

use super::bytes::wide;
use super::getopt::{Item, getopt};
use super::id::{Id, Part};
use super::options::{Family, Options};
use super::resources::{Defaults, read};
use super::{clock, die, is_down, is_open, refuse, say_down, server};

/// What is said of one id.
struct Refusal {
    code: i32,
    text: String,
}

pub(crate) fn run(call: &mut Call<'_>) -> i32 {
    let words: Vec<String> = call.raw_args.iter().map(|arg| wide(arg)).collect();
    if words.first().is_some_and(|word| word == "--version") {
        call.out("pbs_version = 23.06.06\n");
        return 0;
    }
    let specification = match call.name.as_str() {
        "qdel" => "W:x",
        "qhold" | "qrls" => "h:",
        "qsig" => "s:",
        "qrerun" => "W:",
        "qmsg" => "EO",
        "qalter" => "a:A:c:e:h:j:k:l:m:M:N:o:p:P:r:R:S:u:v:W:",
        _ => "",
    };
    let mut operands = Vec::new();
    let mut values: Vec<(char, String)> = Vec::new();
    let mut purge = false;
    for item in getopt(&words, specification) {
        match item {
            Item::Operand(word) => operands.push(word),
            Item::Rest(words) => operands.extend(words),
            Item::Value(letter, value) => values.push((letter, value)),
            Item::Flag('x') => purge = true,
            Item::Flag(_) => {}
            Item::Unknown(letter) => return refuse(call, 2, &format!("invalid option -- '{letter}'")),
            Item::Missing(letter) => {
                return refuse(call, 2, &format!("option requires an argument -- '{letter}'"));
            }
        }
    }
    let first = match call.name.as_str() {
        "qmove" | "qmsg" if !operands.is_empty() => Some(operands.remove(0)),
        _ => None,
    };
    if operands.is_empty() {
        let name = call.name.clone();
        call.err(format!("usage: {name} [options] job_identifier...\n"));
        return 2;
    }
    let mut ids = Vec::new();
    for operand in &operands {
        match Id::read(operand) {
            Some(id) => ids.push(id),
            None => return refuse(call, 1, &format!("illegally formed job identifier: {operand}")),
        }
    }
    if is_down(call) {
        return say_down(call);
    }
    if call.name == "qdel" {
        return qdel(call, &ids, purge);
    }
    let mut code = 0;
    for id in &ids {
        let done = act(call, id, &values, first.as_deref());
        if let Err(refusal) = done {
            code = refuse(call, refusal.code, &refusal.text);
        }
    }
    call.engine.schedule();
    code
}

/// The jobs that an id names.
fn keys(table: &Table, id: &Id) -> Vec<Key> {
    let array = table.elements(id.number).next().is_some_and(|job| job.key.index.is_some());
    table
        .elements(id.number)
        .map(|job| job.key)
        .filter(|key| match &id.part {
            Part::Plain => !array,
            Part::Parent => array,
            Part::One(index) => key.index == Some(*index),
            Part::Some(indices, _) => key.index.is_some_and(|index| indices.contains(&index)),
        })
        .collect()
}

fn may(user: &User, job: &Job) -> bool {
    user.uid == 0 || user.uid == job.spec.user.uid
}

/// `qdel`. All ids go in one request; one that is unknown after one that is known kills the server.
fn qdel(call: &mut Call<'_>, ids: &[Id], purge: bool) -> i32 {
    let engine = call.engine;
    let mut table = engine.lock();
    let known: Vec<Vec<Key>> = ids.iter().map(|id| keys(&table, id)).collect();
    let first_known = known.iter().position(|keys| !keys.is_empty());
    if first_known.is_some_and(|first| known.iter().skip(first).any(Vec::is_empty)) {
        drop(table);
        die(call, true);
        return 0;
    }
    let server = server(&table);
    let by = format!("{}@{server}", call.user.name);
    let mut refusal = None;
    for (id, keys) in ids.iter().zip(&known) {
        let full = id.full(&server);
        let jobs: Vec<&Job> = keys.iter().filter_map(|key| table.jobs.get(key)).collect();
        let said = if jobs.is_empty() {
            Some((153, format!("Unknown Job Id {full}")))
        } else if jobs.iter().any(|job| !may(&call.user, job)) {
            Some((159, format!("Unauthorized Request  {full}")))
        } else if !jobs.iter().any(|job| is_open(job)) && !purge {
            Some((35, format!("Job has finished {full}")))
        } else {
            None
        };
        if said.is_some() {
            refusal = refusal.or(said);
            continue;
        }
        for key in keys {
            if table
                .jobs
                .get(key)
                .is_some_and(|job| job.kill.is_none() && job.start.is_some() && is_open(job))
                && let Some(job) = table.job_mut(*key)
            {
                job.attrs.insert("deleted_by".into(), by.clone());
            }
            engine.kill(&mut table, *key, Why::Cancel(call.user.uid));
            if purge && table.jobs.get(key).is_some_and(|job| !is_open(job)) {
                table.erase(*key);
            }
        }
    }
    drop(table);
    engine.schedule();
    refusal.map_or(0, |(code, text)| refuse(call, code, &text))
}

fn act(call: &mut Call<'_>, id: &Id, values: &[(char, String)], first: Option<&str>) -> Result<(), Refusal> {
    let engine = call.engine;
    let mut table = engine.lock();
    let full = id.full(&server(&table));
    let refused = |code, text: &str| Refusal { code, text: format!("{text} {full}") };
    let keys = keys(&table, id);
    let jobs: Vec<&Job> = keys.iter().filter_map(|key| table.jobs.get(key)).collect();
    if jobs.is_empty() {
        return Err(refused(153, "Unknown Job Id"));
    }
    let name = call.name.as_str();
    let signal = values.iter().find(|(letter, _)| *letter == 's').map_or("TERM", |(_, value)| value.as_str());
    let operator =
        (name == "qsig" && matches!(signal, "suspend" | "resume" | "admin-suspend")) || name == "qrerun";
    if jobs.iter().any(|job| !may(&call.user, job)) || (operator && call.user.uid != 0 && !trusted(&table)) {
        return Err(refused(159, "Unauthorized Request "));
    }
    if !jobs.iter().any(|job| is_open(job)) {
        return Err(match name {
            "qsig" => Refusal { code: 35, text: "Job has finished".into() },
            _ => refused(35, "Job has finished"),
        });
    }
    let zone = call.var("TZ");
    let stamp = now().to_string();
    match name {
        "qhold" | "qrls" => {
            let letters =
                values.iter().find(|(letter, _)| *letter == 'h').map_or("u", |(_, value)| value.as_str());
            let bits = letters.chars().fold(0, |bits, letter| {
                bits | match letter {
                    'u' => HELD_USER,
                    'o' => HELD_OPERATOR,
                    's' => HELD_SYSTEM,
                    _ => 0,
                }
            });
            if bits & (HELD_OPERATOR | HELD_SYSTEM) != 0 && call.user.uid != 0 {
                return Err(refused(159, "Unauthorized Request "));
            }
            let by = format!(
                "Job held by {} on {}",
                call.user.name,
                clock::local(seconds(now()), zone.as_deref()).ctime()
            );
            for key in keys {
                let Some(job) = table.job_mut(key).filter(|job| is_open(job)) else { continue };
                if name == "qhold" {
                    job.held |= bits;
                    job.attrs.insert("held_by".into(), by.clone());
                } else {
                    job.held &= !bits;
                }
                job.attrs.insert("mtime".into(), stamp.clone());
            }
        }
        "qsig" => {
            let running = jobs.iter().any(|job| job.is_active());
            if !running {
                return Err(refused(168, "Request invalid for state of job"));
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
        "qmove" => {
            let target = first.unwrap_or_default();
            if table.config.cluster.queue(target).is_none() {
                return Err(refused(170, "Unknown queue"));
            }
            for key in keys {
                change(&mut table, key, |spec| spec.queue = target.to_owned());
            }
        }
        "qalter" => {
            let words: Vec<String> =
                values.iter().flat_map(|(letter, value)| [format!("-{letter}"), value.clone()]).collect();
            let mut options = Options::default();
            if let Err(misuse) = options.read(&words, Family::OpenPbs) {
                return Err(Refusal { code: 2, text: misuse.0 });
            }
            let defaults = Defaults { walltime: 0, chunk_mem: None };
            let request = read(&options.resources, defaults).map_err(|refused| Refusal {
                code: refused.code,
                text: format!("{} {full}", refused.text),
            })?;
            for key in keys {
                if let Some(job) = table.job_mut(key) {
                    if request.walltime > 0 {
                        job.limit = Some(request.walltime);
                    }
                    job.attrs.insert("mtime".into(), stamp.clone());
                }
                change(&mut table, key, |spec| {
                    if request.walltime > 0 {
                        spec.limit = Some(request.walltime);
                        let list =
                            spec.attrs.get("resources").and_then(|text| serde_json::from_str(text).ok());
                        let mut list: Vec<(String, String)> = list.unwrap_or_default();
                        for (name, value) in &mut list {
                            if name == "walltime" {
                                *value = super::table::hms(request.walltime);
                            }
                        }
                        spec.attrs
                            .insert("resources".into(), serde_json::to_string(&list).unwrap_or_default());
                    }
                    if let Some(name) = &options.name {
                        spec.name.clone_from(name);
                    }
                    if let Some(priority) = options.priority {
                        spec.attrs.insert("priority".into(), priority.to_string());
                    }
                });
            }
        }
        _ => {}
    }
    Ok(())
}

/// Ordinary users may do what needs an operator, when the configuration says so.
pub(crate) fn trusted(table: &Table) -> bool {
    table.config.extra.get("users_are_operators").and_then(serde_json::Value::as_bool).unwrap_or(false)
}

/// Changes what was submitted, for one job.
pub(crate) fn change(table: &mut Table, key: Key, by: impl FnOnce(&mut crate::engine::Spec)) {
    if let Some(job) = table.job_mut(key) {
        by(std::sync::Arc::make_mut(&mut job.spec));
    }
}

/// Sends a signal by name or number, or suspends and resumes.
pub(crate) fn send(table: &mut Table, key: Key, signal: &str) {
    let Some(job) = table.job_mut(key) else { return };
    match signal {
        "suspend" | "admin-suspend" if job.phase == Phase::Running => {
            job.phase = Phase::Suspended;
            job.suspended = Some(now());
            table.signal(key, 19, Scope::All);
        }
        "resume" | "admin-resume" if job.phase == Phase::Suspended => {
            job.phase = Phase::Running;
            job.suspended = None;
            table.signal(key, 18, Scope::All);
        }
        name => {
            if let Some(number) = signal_number(name) {
                table.signal(key, number, Scope::All);
            }
        }
    }
}

/// The number of a signal, named with or without `SIG`.
pub(crate) fn signal_number(name: &str) -> Option<i32> {
    const NAMES: [(&str, i32); 12] = [
        ("HUP", 1),
        ("INT", 2),
        ("QUIT", 3),
        ("ABRT", 6),
        ("KILL", 9),
        ("USR1", 10),
        ("SEGV", 11),
        ("USR2", 12),
        ("ALRM", 14),
        ("TERM", 15),
        ("CONT", 18),
        ("STOP", 19),
    ];
    let bare = name.strip_prefix("SIG").unwrap_or(name);
    NAMES.iter().find(|(known, _)| *known == bare).map(|(_, number)| *number).or_else(|| bare.parse().ok())
}
