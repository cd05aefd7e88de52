//! `cluster job`: what a job says of itself, from inside. It never writes the store: on a node it may be out
//! of reach, and a thousand jobs at once would queue up before it.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use cluster_client::ClientError;
use cluster_core::{JobId, Timestamp};
use cluster_jobsdb::{OpenOptions, Store};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::context::Context;
use crate::exit::{Exit, usage};
use crate::output::{self, line, talk};

/// Larger event files are not taken in.
const LARGEST: usize = 64 << 10;

/// The options of `job`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Print who this job is, and its facts
    Info,
    /// Store facts about this job; `cluster show` prints them, meta.KEY=VALUE selects by them
    Set {
        /// The facts
        #[arg(required = true, value_name = "KEY=VALUE")]
        facts: Vec<String>,
    },
}

/// The job that we are.
struct Here {
    job: JobId,
    run: u32,
    /// The submission that it is of.
    k: u32,
    root: PathBuf,
}

pub(crate) fn run(context: &Context, args: &Args) -> anyhow::Result<Exit> {
    let here = Here::find(context)?;
    match &args.what {
        What::Info => info(context, &here),
        What::Set { facts } => set(&here, facts),
    }
}

impl Here {
    fn find(context: &Context) -> anyhow::Result<Self> {
        let get = |name: &str| {
            context.env(name).ok_or_else(|| {
                usage(format!(
                    "this is no job of cluster ({name} is not set): `cluster job` works inside jobs alone"
                ))
            })
        };
        let job = get("CLUSTER_JOB_ID")?.to_string_lossy();
        let wrong =
            |name: &str, value: &str| usage(format!("{name} is {value}, which no job of cluster has"));
        let number = |name: &str, least: u32| match context.env(name).map(|text| text.to_string_lossy()) {
            None => Ok(None),
            Some(text) => match text.parse().ok().filter(|&number: &u32| number >= least) {
                Some(number) => Ok(Some(number)),
                None => Err(wrong(name, &text)),
            },
        };
        let run = number("CLUSTER_RUN", 1)?.unwrap_or(1);
        Ok(Self {
            job: job.parse().map_err(|_| wrong("CLUSTER_JOB_ID", &job))?,
            run,
            // A job.sh of before, sent again as it lay there, does not say it.
            k: number("CLUSTER_SUBMISSION", 0)?.unwrap_or(run - 1),
            // Never --root or the nearest one: the job's own is where it was submitted.
            root: PathBuf::from(get("CLUSTER_ROOT")?),
        })
    }
}

/// What the job was given, as the environment says.
const GIVEN: [(&str, &str); 6] = [
    ("nodes", "CLUSTER_NNODES"),
    ("cores", "CLUSTER_TOT_NCORES"),
    ("tasks", "CLUSTER_TOT_NTASKS"),
    ("cores_per_node", "CLUSTER_NCORES_PER_NODE"),
    ("tasks_per_node", "CLUSTER_NTASKS_PER_NODE"),
    ("cores_per_task", "CLUSTER_NCORES_PER_TASK"),
];

fn info(context: &Context, here: &Here) -> anyhow::Result<Exit> {
    let mut stored = match stored(here) {
        Ok(stored) => stored,
        Err(error) => {
            talk(&format!("cluster: what the store knows of this job is left out: {error}"));
            Stored::default()
        }
    };
    for (key, value) in waiting(&here.root.join("events/new"), here.job) {
        stored.meta.insert(key, value);
    }
    let given = GIVEN
        .iter()
        .filter_map(|(word, name)| Some((*word, context.env(name)?.to_str()?.parse::<u64>().ok()?)));
    if context.common.json {
        let mut value = json!({
            "v": 1,
            "job": here.job,
            "batch": here.job.batch,
            "index": here.job.index,
            "run": here.run,
            "root": cluster_core::ByteString::from(here.root.clone()),
            "name": stored.name,
            "system": stored.system,
            "meta": stored.meta,
        });
        given.for_each(|(word, number)| value[word] = Value::from(number));
        output::json(&value)?;
        return Ok(Exit::GOOD);
    }
    line(&format!("job {}\nbatch {}\nindex {}\nrun {}", here.job, here.job.batch, here.job.index, here.run))?;
    line(&format!("root {}", here.root.display()))?;
    for (word, value) in [("name", stored.name), ("system", stored.system)] {
        value.map_or(Ok(()), |value| line(&format!("{word} {value}")))?;
    }
    for (word, number) in given {
        line(&format!("{word} {number}"))?;
    }
    for (key, value) in &stored.meta {
        line(&format!("meta.{key} {value}"))?;
    }
    Ok(Exit::GOOD)
}

#[derive(Default)]
struct Stored {
    name: Option<String>,
    system: Option<String>,
    meta: BTreeMap<String, String>,
}

fn stored(here: &Here) -> anyhow::Result<Stored> {
    let mut store = Store::open(&here.root, &OpenOptions { read_only: true, ..OpenOptions::default() })?;
    let batch = store.batch(here.job.batch)?;
    let meta = store.job_meta(here.job)?;
    Ok(Stored { name: batch.as_ref().map(|row| row.name.clone()), system: batch.map(|row| row.system), meta })
}

/// The part of an event that is shown before it was taken in.
#[derive(Deserialize)]
struct Event {
    job: JobId,
    #[serde(default)]
    set: BTreeMap<String, String>,
}

/// Facts that this job said and that nobody took in yet, in their order.
fn waiting(dir: &Path, job: JobId) -> Vec<(String, String)> {
    let ours = format!("{job}.");
    let mut files: Vec<_> = fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let mut numbers = name.strip_prefix(&ours)?.split('.').map(str::parse::<u64>);
            let order = (numbers.next()?.ok()?, numbers.next()?.ok()?);
            Some((order, entry.path()))
        })
        .collect();
    files.sort();
    let mut facts = Vec::new();
    for (_, path) in files {
        let Ok(text) = fs::read(path) else { continue };
        if let Ok(event) = serde_json::from_slice::<Event>(&text)
            && event.job == job
        {
            facts.extend(event.set);
        }
    }
    facts
}

fn set(here: &Here, facts: &[String]) -> anyhow::Result<Exit> {
    let facts = facts.iter().map(|text| fact(text)).collect::<anyhow::Result<BTreeMap<_, _>>>()?;
    let k = here.k;
    let mut text = serde_json::to_vec(&json!({ "v": 1, "job": here.job, "k": k, "set": facts }))?;
    text.push(b'\n');
    if text.len() > LARGEST {
        return Err(usage(format!(
            "these facts are {} bytes, and {LARGEST} is the most: keep large things in files and store their paths",
            text.len()
        )));
    }
    let name = event_name(here.job, k, Timestamp::now(), random()?);
    let events = here.root.join("events");
    drop_event(&events, &name, &text).map_err(|e| ClientError::file("write an event into", &events, e))?;
    Ok(Exit::GOOD)
}

fn fact(text: &str) -> anyhow::Result<(String, String)> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(usage(format!("{text}: expected KEY=VALUE"))),
    }
}

/// `<job>.<k>.<seq>.<random>`: the time in µs counts up over the processes of a job.
fn event_name(job: JobId, k: u32, now: Timestamp, random: u64) -> String {
    format!("{job}.{k}.{}.{random:016x}", now.0.max(0))
}

fn random() -> io::Result<u64> {
    let mut bytes = [0; 8];
    fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

/// As into a Maildir: written in `tmp`, and in `new` whole or not at all.
fn drop_event(events: &Path, name: &str, text: &[u8]) -> io::Result<()> {
    let tmp = events.join("tmp").join(name);
    let write = || {
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&tmp)?;
        file.write_all(text)?;
        file.sync_data()?;
        fs::rename(&tmp, events.join("new").join(name))
    };
    write().inspect_err(|_| drop(fs::remove_file(&tmp)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_need_a_key() {
        assert_eq!(fact("a=b=c").unwrap(), ("a".to_owned(), "b=c".to_owned()));
        assert_eq!(fact("a=").unwrap().1, "");
        assert!(fact("a").is_err() && fact("=b").is_err());
    }

    #[test]
    fn the_last_word_counts_before_it_is_taken_in() {
        let dir = tempfile::tempdir().unwrap();
        let events = dir.path();
        for part in ["tmp", "new"] {
            fs::create_dir(events.join(part)).unwrap();
        }
        let job = JobId { batch: cluster_core::BatchId(17), index: 3 };
        let other = JobId { batch: cluster_core::BatchId(17), index: 33 };
        for (job, at, value) in [(job, 10, "second"), (job, 9, "first"), (other, 11, "other")] {
            let name = event_name(job, 0, Timestamp(at), 7);
            let text = json!({ "v": 1, "job": job, "k": 0, "set": { "x": value } }).to_string();
            drop_event(events, &name, text.as_bytes()).unwrap();
        }
        fs::write(events.join("new/17.3.0.12.rubbish"), "{").unwrap();
        let facts: BTreeMap<_, _> = waiting(&events.join("new"), job).into_iter().collect();
        assert_eq!(facts["x"], "second");
        assert_eq!(fs::read_dir(events.join("tmp")).unwrap().count(), 0);
    }

    #[test]
    fn a_missing_directory_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("tmp")).unwrap();
        assert!(drop_event(dir.path(), "17.3.0.1.a", b"{}").is_err());
        assert_eq!(fs::read_dir(dir.path().join("tmp")).unwrap().count(), 0);
    }
}
