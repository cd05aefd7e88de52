//! The commands that change jobs: `qdel qhold qrls qalter qmod qresub`.

use crate::engine::{HELD_ERROR, HELD_USER, Job, Key, Phase, Scope, Table, Why, now};
use crate::front::Call;
use crate::pbs::bytes::wide;

use super::names;
use super::options::Options;
use super::tasks::Range;

/// What an argument names: the text, tasks of it, and its tasks that have not ended.
struct Target {
    text: String,
    tasks: Option<Range>,
    keys: Vec<Key>,
}

pub(crate) fn run(call: &mut Call<'_>) -> i32 {
    let words: Vec<String> = call.raw_args.iter().map(|arg| wide(arg)).collect();
    match call.name.as_str() {
        "qdel" => qdel(call, &words),
        "qmod" => qmod(call, &words),
        "qalter" | "qhold" | "qrls" => change(call, &words),
        _ => {
            let name = call.name.clone();
            call.err(format!("{name}: not served by the mock\n"));
            1
        }
    }
}

const QDEL_USAGE: &str = "SGE 8.1.9
usage: qdel [options] job_task_list
   [-f]                                     force action
   [-help]                                  print this help
   [-u user_list]                           delete all jobs of users specified in list
   job_task_list                            delete all jobs given in list

job_task_list           job_tasks[,job_tasks,...]
job_tasks               [job_id['.'task_id_range]|job_name|pattern][' -t 'task_id_range]
task_id_range           task_id['-'task_id[':'step]]
user_list               user[,user,...]
";

/// Cuts arguments into targets; `-t` belongs to the job before it.
fn targets(table: &Table, words: &[String]) -> Vec<Target> {
    let mut out: Vec<Target> = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if word == "-t" {
            let range = words.next().and_then(|text| Range::read(text));
            if let Some(last) = out.last_mut() {
                last.tasks = range;
            }
            continue;
        }
        for item in word.split(',').filter(|item| !item.is_empty()) {
            let (text, tasks) = match item.split_once('.') {
                Some((id, tasks)) if id.parse::<u64>().is_ok() => (id, Range::read(tasks)),
                _ => (item, None),
            };
            out.push(Target { text: text.to_owned(), tasks, keys: Vec::new() });
        }
    }
    for target in &mut out {
        let all: Vec<Key> = match target.text.parse::<u64>() {
            Ok(id) => table.elements(id).filter(|job| job.phase != Phase::Ended).map(|job| job.key).collect(),
            Err(_) => table
                .jobs
                .values()
                .filter(|job| job.phase != Phase::Ended && names::fits(&target.text, &job.spec.name))
                .map(|job| job.key)
                .collect(),
        };
        target.keys = all;
    }
    out
}

/// All jobs of users that have not ended.
fn of_users(table: &Table, users: &[String]) -> Vec<Target> {
    let open = |job: &&Job| job.phase != Phase::Ended;
    let theirs = |job: &&Job| users.iter().any(|user| names::fits(user, &job.spec.user.name));
    let mut ids: Vec<u64> = table.jobs.values().filter(open).filter(theirs).map(|job| job.key.id).collect();
    ids.dedup();
    let keys = |id| table.elements(id).filter(open).map(|job| job.key).collect();
    ids.into_iter().map(|id| Target { text: id.to_string(), tasks: None, keys: keys(id) }).collect()
}

fn qdel(call: &mut Call<'_>, words: &[String]) -> i32 {
    let (mut force, mut users, mut rest) = (false, Vec::new(), Vec::new());
    let mut args = words.iter();
    while let Some(word) = args.next() {
        match word.as_str() {
            "-f" => force = true,
            "-u" => users.extend(args.next().map_or("", String::as_str).split(',').map(str::to_owned)),
            "-help" => {
                call.out(QDEL_USAGE);
                return 0;
            }
            _ => rest.push(word.clone()),
        }
    }
    if rest.is_empty() && users.is_empty() {
        call.out("ERROR! no option argument\n");
        call.err(QDEL_USAGE);
        return 1;
    }
    let engine = call.engine;
    let mut table = engine.lock();
    let me = call.user.clone();
    let mut out = String::new();
    let mut code = 0;
    let mut targets = targets(&table, &rest);
    if !users.is_empty() {
        let theirs = of_users(&table, &users);
        if theirs.is_empty() {
            out.push_str(&format!(
                "There is no job registered for the following users: {}\n",
                users.join(",")
            ));
            code = 1;
        }
        targets.extend(theirs);
    }
    for target in targets {
        if target.keys.is_empty() {
            out.push_str(&match target.text.parse::<u64>() {
                Ok(id) => format!("denied: job \"{id}\" does not exist\n"),
                Err(_) => format!("The job {} of user(s) {} does not exist\n", target.text, me.name),
            });
            code = 1;
            continue;
        }
        let foreign =
            |key: &Key| table.jobs.get(key).is_some_and(|job| me.uid != 0 && job.spec.user.uid != me.uid);
        if target.keys.iter().any(foreign) {
            out.push_str(&format!(
                "{} - you do not have the necessary privileges to delete the job \"{}\"\n",
                me.name, target.text
            ));
            code = 1;
            continue;
        }
        let mut ids: Vec<u64> = target.keys.iter().map(|key| key.id).collect();
        ids.dedup();
        for id in ids {
            let indices = target.tasks.map(Range::indices);
            let keys: Vec<Key> = target
                .keys
                .iter()
                .copied()
                .filter(|key| key.id == id)
                .filter(|key| {
                    indices
                        .as_ref()
                        .is_none_or(|wanted| key.index.is_some_and(|index| wanted.contains(&index)))
                })
                .collect();
            if keys.is_empty() {
                let tasks = target.tasks.map_or_else(String::new, |range| range.first.to_string());
                out.push_str(&format!("job \"{id}\" task \"{tasks}\" does not exist\n"));
                code = 1;
                continue;
            }
            let mut waiting = 0;
            for key in &keys {
                let Some(job) = table.jobs.get(key) else { continue };
                let label = match (key.index, job.kill.is_some()) {
                    (Some(index), _) => format!("job-array task {id}.{index}"),
                    (None, _) => format!("job {id}"),
                };
                if job.is_active() && job.kill.is_some() && !force {
                    out.push_str(&format!("{label} is already in deletion\n"));
                } else if job.is_active() && force && me.uid == 0 {
                    out.push_str(&format!("{} forced the deletion of {label}\n", me.name));
                    forced(&mut table, *key);
                } else if job.is_active() {
                    out.push_str(&format!("{} has registered the {label} for deletion\n", me.name));
                    engine.kill(&mut table, *key, Why::Cancel(me.uid));
                } else {
                    waiting += 1;
                    engine.kill(&mut table, *key, Why::Cancel(me.uid));
                }
            }
            if waiting > 0 {
                out.push_str(&match target.tasks {
                    Some(range) if range.count() == 1 => {
                        format!("{} has deleted job-array task {id}.{}\n", me.name, range.first)
                    }
                    Some(range) => {
                        format!("{} has deleted job-array tasks {} of job {id}\n", me.name, range.text())
                    }
                    None => format!("{} has deleted job {id}\n", me.name),
                });
            }
        }
    }
    drop(table);
    engine.schedule();
    call.out(out);
    code
}

/// The qmaster forgets a job without asking its host: the record says that it ended well.
fn forced(table: &mut Table, key: Key) {
    table.signal(key, 9, Scope::All);
    if let Some(job) = table.job_mut(key) {
        job.attrs.insert("failed".into(), "0".into());
    }
    table.end(key, Some(&crate::engine::Exit::default()));
}

fn qmod(call: &mut Call<'_>, words: &[String]) -> i32 {
    let engine = call.engine;
    let mut table = engine.lock();
    let me = call.user.clone();
    let host = table.config.cluster.name.clone();
    let mut out = String::new();
    let mut code = 0;
    let mut args = words.iter();
    while let Some(action) = args.next() {
        let Some(list) = args.next() else { break };
        for target in targets(&table, std::slice::from_ref(list)) {
            if target.keys.is_empty() {
                out.push_str(&format!("invalid queue or job \"{}\"\n", target.text));
                code = 1;
                continue;
            }
            let foreign =
                |key: &Key| table.jobs.get(key).is_some_and(|job| me.uid != 0 && job.spec.user.uid != me.uid);
            if target.keys.iter().any(foreign) {
                out.push_str(&format!("{} - you do not have the necessary privileges\n", me.name));
                code = 1;
                continue;
            }
            let by = format!("{}@{host}", me.name);
            for key in &target.keys {
                let active = table.jobs.get(key).is_some_and(Job::is_active);
                match action.as_str() {
                    "-cj" | "-c" => {
                        if let Some(job) = table.job_mut(*key) {
                            job.held &= !HELD_ERROR;
                            job.attrs.remove("error");
                        }
                    }
                    "-sj" | "-s" if active => {
                        if let Some(job) = table.job_mut(*key) {
                            job.phase = Phase::Suspended;
                            job.suspended = Some(now());
                        }
                        table.signal(*key, 19, Scope::All);
                    }
                    "-usj" | "-us" if active => {
                        if let Some(job) = table.job_mut(*key) {
                            job.phase = Phase::Running;
                            job.suspended = None;
                        }
                        table.signal(*key, 18, Scope::All);
                    }
                    "-rj" | "-r" if active => {
                        engine.kill(&mut table, *key, Why::Requeue);
                    }
                    _ => {}
                }
            }
            let id = target.text;
            match action.as_str() {
                // The code is 1 on success, as recorded.
                "-cj" | "-c" => {
                    out.push_str(&format!("{by} cleared error state of job {id}\n"));
                    code = 1;
                }
                "-sj" | "-s" => out.push_str(&format!("{by} suspended job {id}\n")),
                "-usj" | "-us" => out.push_str(&format!("{by} unsuspended job {id}\n")),
                "-rj" | "-r" => out.push_str(&format!("Pushed rescheduling of job {id} on host {host}\n")),
                _ => {}
            }
        }
    }
    drop(table);
    engine.schedule();
    call.out(out);
    code
}

/// `qhold`, `qrls` and `qalter`.
fn change(call: &mut Call<'_>, words: &[String]) -> i32 {
    let name = call.name.clone();
    let mut options = Options::default();
    let (mut rest, mut users) = (Vec::new(), Vec::new());
    if name == "qalter" {
        if let Err(misuse) = options.read(words) {
            call.err(format!("qalter: {}\n", misuse.text));
            return misuse.code;
        }
        rest.clone_from(&options.operands);
    } else {
        let mut args = words.iter();
        while let Some(word) = args.next() {
            match word.as_str() {
                "-h" => {
                    args.next();
                }
                "-u" => users.extend(args.next().map_or("", String::as_str).split(',').map(str::to_owned)),
                _ => rest.push(word.clone()),
            }
        }
    }
    let engine = call.engine;
    let mut table = engine.lock();
    let me = call.user.clone();
    let mut out = String::new();
    let mut code = 0;
    let mut targets = targets(&table, &rest);
    targets.extend(of_users(&table, &users));
    for target in targets {
        let id = target.text.clone();
        if target.keys.is_empty() {
            out.push_str(&format!("denied: job \"{id}\" does not exist\n"));
            code = match name.as_str() {
                "qrls" | "qhold" => 3,
                _ => 1,
            };
            continue;
        }
        let foreign =
            |key: &Key| table.jobs.get(key).is_some_and(|job| me.uid != 0 && job.spec.user.uid != me.uid);
        if target.keys.iter().any(foreign) {
            out.push_str(&format!(
                "denied: \"{}\" must be at least owner of job {id} to change job attributes\n",
                me.name
            ));
            code = 18;
            continue;
        }
        let indices = target.tasks.map(Range::indices);
        let keys = target.keys.iter().filter(|key| {
            indices.as_ref().is_none_or(|wanted| key.index.is_some_and(|index| wanted.contains(&index)))
        });
        for key in keys {
            let Some(job) = table.job_mut(*key) else { continue };
            match name.as_str() {
                "qhold" if job.phase == Phase::Pending => job.held |= HELD_USER,
                "qrls" => job.held &= !HELD_USER,
                "qalter" => {
                    for (resource, value) in &options.resources {
                        if resource == "h_rt" {
                            job.limit = super::resources::time(value);
                            job.attrs.insert("h_rt".into(), job.limit.unwrap_or(0).to_string());
                        }
                    }
                    if let Some(new) = &options.name {
                        std::sync::Arc::make_mut(&mut job.spec).name.clone_from(new);
                    }
                }
                _ => {}
            }
        }
        out.push_str(&match name.as_str() {
            "qalter" if !options.resources.is_empty() => format!("modified hard resource list of job {id}\n"),
            "qalter" if options.name.is_some() => format!("modified job name of job {id}\n"),
            "qalter" => format!("modified job {id}\n"),
            _ => format!("modified hold of job {id}\n"),
        });
    }
    drop(table);
    engine.schedule();
    call.out(out);
    code
}
