//! `scancel`.

use super::{args, controller, preamble, text, view};
use crate::engine::{Job, Key, Phase, Scope, Why};
use crate::front::Call;

const OPTIONS: &str = "account=A batch/b clusters=M ctld cron full/f help hurry/H interactive/i jobname=n me name=n \
    nodelist=w partition=p quiet/Q qos=q reservation=R sibling= signal=s state=t usage user=u verbose/v version/V wckey=";

/// They choose jobs, or ask before each, in ways that this mock does not know.
const UNSERVED: &[&str] = &["cron", "interactive", "reservation", "sibling"];

pub(super) fn run(call: &mut Call<'_>) -> i32 {
    let args = call.args.clone();
    let given = match args::parse(OPTIONS, &args, false) {
        Ok(given) => given,
        Err(error) => {
            call.err(format!("scancel: {error}\nTry \"scancel --help\" for more information\n"));
            return 1;
        }
    };
    if let Some(code) = preamble::answer(call, &given, OPTIONS, UNSERVED) {
        return code;
    }
    let mut wanted: Vec<(String, Key, Option<Vec<u32>>)> = Vec::new();
    for word in given.rest.iter().flat_map(|word| args::ids(word)) {
        let found = match word.split_once('_') {
            Some((id, list)) if list.starts_with('[') => view::key(id).zip(text::indices(list, u32::MAX)),
            _ => view::key(&word).map(|key| (key, (Vec::new(), None))),
        };
        let Some((key, (list, _))) = found else {
            call.err(format!("scancel: error: Invalid job id {word}\n"));
            return 1;
        };
        wanted.push((word.clone(), key, (!list.is_empty()).then_some(list)));
    }
    let user =
        given.get("user").map(String::from).or_else(|| given.has("me").then(|| call.user.name.clone()));
    let filters = ["jobname", "name", "partition", "state", "account", "qos", "nodelist", "wckey"];
    if wanted.is_empty() && user.is_none() && !filters.iter().any(|filter| given.has(filter)) {
        call.err("scancel: error: No job identification provided\n");
        return 1;
    }
    let nodes = match view::nodes_asked_for(call, &given) {
        Ok(nodes) => nodes,
        Err(code) => return code,
    };
    let signal = match given.get("signal") {
        None => None,
        Some(name) => match signal_of(name) {
            Some(number) => Some(number),
            None => {
                call.err(format!("scancel: error: Unknown job signal: {name}\n"));
                return 1;
            }
        },
    };
    let first = wanted.first().map_or_else(|| String::from("1"), |wanted| wanted.0.clone());
    if controller(call, &format!("scancel: error: Kill job error on job id {first}: "), 1.0).is_some() {
        return 8;
    }
    let uid = call.user.uid;
    let verbose = given.has("verbose");
    let mut code = 0;
    let mut said = String::new();
    let mut table = call.engine.lock();
    let fits = |job: &Job| {
        job.phase != Phase::Ended
            && user
                .as_ref()
                .is_none_or(|user| *user == job.spec.user.name || user.parse() == Ok(job.spec.user.uid))
            && given
                .get("jobname")
                .or(given.get("name"))
                .is_none_or(|names| names.split(',').any(|name| name == job.spec.name))
            && given.get("partition").is_none_or(|name| name == job.spec.queue)
            && given.get("account").is_none_or(|name| name == job.attr("account").unwrap_or(super::ACCOUNT))
            && given.get("qos").is_none_or(|name| name == job.attr("qos").unwrap_or("normal"))
            && given.get("wckey").is_none_or(|name| name == job.attr("wckey").unwrap_or_default())
            && nodes.as_ref().is_none_or(|nodes| view::is_on(job, nodes))
            && given.get("state").is_none_or(|names| {
                let (long, short) = view::state(job);
                names
                    .split(',')
                    .any(|name| name.eq_ignore_ascii_case(long) || name.eq_ignore_ascii_case(short))
            })
    };
    let mut keys: Vec<Key> = Vec::new();
    if wanted.is_empty() {
        keys = table
            .jobs
            .values()
            .filter(|job| fits(job) && (uid == 0 || job.spec.user.uid == uid))
            .map(|job| job.key)
            .collect();
        for row in view::rows(keys.iter().filter_map(|key| table.jobs.get(key)), false) {
            if verbose {
                said += &format!("scancel: Terminating job {}\n", row.id());
            }
        }
    }
    for (word, key, list) in &wanted {
        if verbose {
            said += &format!("scancel: Terminating job {word}\n");
        }
        let found: Vec<&Job> = match (list, key.index) {
            (Some(list), _) => list
                .iter()
                .filter_map(|index| table.jobs.get(&Key { id: key.id, index: Some(*index) }))
                .collect(),
            (None, Some(_)) => table.jobs.get(key).into_iter().collect(),
            (None, None) if table.elements(key.id).next().is_some() => table.elements(key.id).collect(),
            (None, None) => table.jobs.values().filter(|job| job.raw == key.id).collect(),
        };
        if found.is_empty() && verbose {
            said += &format!("scancel: error: Kill job error on job id {word}: Invalid job id specified\n");
        }
        for job in found {
            if uid != 0 && job.spec.user.uid != uid {
                said +=
                    &format!("scancel: error: Kill job error on job id {word}: Access/permission denied\n");
                code = 210;
            } else if fits(job) {
                keys.push(job.key);
            }
        }
    }
    let partial = wanted.iter().any(|(_, key, list)| key.index.is_some() || list.is_some());
    for key in keys {
        match signal.filter(|signal| *signal != 9 || table.jobs.get(&key).is_some_and(Job::is_active)) {
            Some(signal) => {
                let scope = if given.has("batch") {
                    Scope::Shell
                } else if given.has("full") || signal == 9 {
                    Scope::All
                } else {
                    Scope::Children
                };
                if table.jobs.get(&key).is_some_and(Job::is_active) {
                    if signal == 9 && !given.has("batch") {
                        table.kill(key, Why::Cancel(uid), &[(0.0, 9, Scope::All)]);
                    } else {
                        table.signal(key, signal, scope);
                    }
                }
            }
            None => {
                if partial && table.jobs.get(&key).is_some_and(|job| job.phase == Phase::Pending) {
                    super::split(&mut table, key);
                }
                call.engine.kill(&mut table, key, Why::Cancel(uid));
            }
        }
    }
    drop(table);
    call.err(said);
    call.engine.schedule();
    code
}

/// The number of a signal: `USR1`, `SIGUSR1`, `10`.
pub(super) fn signal_of(name: &str) -> Option<i32> {
    let names = [
        "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE",
        "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ",
    ];
    if let Ok(number) = name.parse::<i32>() {
        return (1..=64).contains(&number).then_some(number);
    }
    let upper = name.to_ascii_uppercase();
    let bare = upper.strip_prefix("SIG").unwrap_or(&upper);
    names.iter().position(|known| *known == bare).and_then(|at| i32::try_from(at + 1).ok())
}
