//! Taking in the events that `cluster job …` drops into `ROOT/events/new` on the nodes.
//!
//! A file is named `<job>.<k>.<seq>.<random>` and holds one JSON object,
//! `{"v":1,"job":"17.3","k":0,"set":{"key":"value"}}`. Fields that we do not know are passed over; another
//! version, another form or an unknown job go to `events/bad`. Requests to a runner ([`CancelRequest`]) are
//! left for it.

use std::collections::BTreeMap;
use std::fs;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use cluster_core::{JobId, SubmissionNumber, Timestamp};
use serde::Deserialize;
use sqlx::{Row, SqliteConnection};

use crate::accept::INSERT_META;
use crate::cancel_request::CancelRequest;
use crate::error::StoreError;
use crate::fault::{Fault, json};
use crate::open::Store;
use crate::statements::statements;

/// What taking events in came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IntakeReport {
    /// How many were taken in.
    pub applied: usize,
    /// How many had been taken in before, and whose files were still there.
    pub known: usize,
    /// The files that were moved to `events/bad`, and why.
    pub bad: Vec<(PathBuf, String)>,
    /// Whether another process was writing, so that nothing was done; the next opener will.
    pub busy: bool,
    /// What waits for the runner that it is meant for. One whose batch is over or gone is removed instead.
    pub cancels: Vec<CancelRequest>,
}

/// At most so many files at once: the rest is for the next call.
const AT_ONCE: usize = 10_000;

/// A larger file is none of ours.
const LARGEST: u64 = 64 * 1024;

/// Names are remembered for a week: by then no file system has an old name in its cache.
const REMEMBER_US: i64 = 7 * 24 * 3600 * 1_000_000;

#[derive(Deserialize)]
struct Form {
    v: u32,
    #[serde(default)]
    cancel: Option<CancelRequest>,
    #[serde(flatten)]
    event: Option<Event>,
}

enum What {
    Facts(Event),
    Cancel(CancelRequest),
}

#[derive(Deserialize)]
struct Event {
    job: JobId,
    #[serde(default)]
    #[expect(dead_code, reason = "part of the form; a wrong one makes the file bad")]
    k: SubmissionNumber,
    #[serde(default)]
    set: BTreeMap<String, String>,
}

/// A file of `events/new` and what it says.
struct Dropped {
    name: String,
    path: PathBuf,
    event: Result<Event, String>,
}

statements! {
    KNOWN_EVENTS = "SELECT e.name FROM json_each(?1) n CROSS JOIN event e ON e.name = n.value";
    JOBS_THERE =
        "SELECT n.key FROM json_each(?1) n CROSS JOIN batch b \
         ON b.id = n.value ->> 0 AND n.value ->> 1 < b.count";
    INSERT_EVENTS = "INSERT INTO event (name, at) SELECT value, ?2 FROM json_each(?1) WHERE true ON CONFLICT DO NOTHING";
    FORGET_EVENTS = "DELETE FROM event WHERE at < ?1";
}

impl Store {
    /// Takes in the events that wait, unless another process is writing. Safe to repeat: the names of what
    /// was taken in are stored with it, the files are removed after the commit.
    ///
    /// # Errors
    /// Where the directory cannot be read or the store not be written. The files stay then.
    pub fn intake(&mut self) -> Result<IntakeReport, StoreError> {
        let events = self.root().join("events");
        let (files, cancels) = list(&events.join("new"))?;
        let cancels = self.still_to_obey(cancels)?;
        if files.is_empty() {
            return Ok(IntakeReport { cancels, ..IntakeReport::default() });
        }
        let now = Timestamp::now();
        let mut bad: Vec<(usize, String)> = Vec::new();
        let taken = self.write_unless_busy("take events into", async |connection| {
            take(connection, &files, now, &mut bad).await
        })?;
        let Some((applied, known)) = taken else {
            return Ok(IntakeReport { busy: true, cancels, ..IntakeReport::default() });
        };
        // Until then the files are all there is of it.
        self.sync()?;
        let mut report = IntakeReport { applied, known, cancels, ..IntakeReport::default() };
        let why: BTreeMap<usize, String> = bad.into_iter().collect();
        for (place, file) in files.iter().enumerate() {
            match why.get(&place) {
                None => remove(&file.path)?,
                Some(why) => {
                    let to = put_aside(&events, file)?;
                    tracing::warn!(file = %to.display(), why, "an event that cannot be taken in");
                    report.bad.push((to, why.clone()));
                }
            }
        }
        Ok(report)
    }

    /// Without those that nobody can obey any more.
    fn still_to_obey(&mut self, mut cancels: Vec<CancelRequest>) -> Result<Vec<CancelRequest>, StoreError> {
        let mut settled = Ok(());
        for request in &cancels {
            if self.batch(request.batch)?.is_none_or(|batch| batch.is_finished()) {
                settled = settled.and(request.settle());
            }
        }
        cancels.retain(|request| request.file.exists());
        settled.map(|()| cancels)
    }
}

/// The events in the order in which they are to be taken: within a job by submission and number.
fn list(directory: &Path) -> Result<(Vec<Dropped>, Vec<CancelRequest>), StoreError> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Default::default()),
        Err(e) => return Err(StoreError::io("list", directory, e)),
    };
    let mut paths = Vec::new();
    for entry in entries.take(AT_ONCE) {
        paths.push(entry.map_err(|e| StoreError::io("list", directory, e))?.path());
    }
    let mut files = Vec::with_capacity(paths.len());
    let mut cancels = Vec::new();
    for path in paths {
        let event = match read(&path) {
            None => continue,
            Some(Ok(What::Cancel(request))) => {
                cancels.push(CancelRequest { file: path, ..request });
                continue;
            }
            Some(Ok(What::Facts(event))) => Ok(event),
            Some(Err(why)) => Err(why),
        };
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        files.push(Dropped { name, path, event });
    }
    files.sort_by_cached_key(|file| (order(&file.name), file.name.clone()));
    Ok((files, cancels))
}

/// `<batch>.<index>.<k>.<seq>` of a name; what is named otherwise comes last.
fn order(name: &str) -> [u64; 4] {
    let mut parts = name.split('.').map(|part| part.parse::<u64>().unwrap_or(u64::MAX));
    [(); 4].map(|()| parts.next().unwrap_or(u64::MAX))
}

/// What the file says; `None` where another process was faster.
fn read(path: &Path) -> Option<Result<What, String>> {
    let mut text = Vec::new();
    // Not what would block (a FIFO) or lead away (a link).
    match fs::symlink_metadata(path) {
        Ok(kind) if !kind.is_file() => return Some(Err("it is no regular file".to_owned())),
        Ok(_) => {}
        Err(e) if e.kind() == ErrorKind::NotFound => return None,
        Err(e) => return Some(Err(e.to_string())),
    }
    match fs::File::open(path).and_then(|file| file.take(LARGEST + 1).read_to_end(&mut text)) {
        Ok(_) if text.len() as u64 > LARGEST => {
            return Some(Err(format!("it is larger than {LARGEST} bytes")));
        }
        Ok(_) => {}
        Err(e) if e.kind() == ErrorKind::NotFound => return None,
        Err(e) => return Some(Err(e.to_string())),
    }
    let form = serde_json::from_slice::<Form>(&text).map_err(|e| e.to_string());
    Some(form.and_then(|form| match form {
        Form { v: 1, cancel: Some(request), .. } => Ok(What::Cancel(request)),
        Form { v: 1, event: Some(event), .. } => Ok(What::Facts(event)),
        Form { v: 1, .. } => Err("it names neither a job nor a request".to_owned()),
        Form { v, .. } => Err(format!("its version is {v}, this program knows 1")),
    }))
}

/// Applies what is new; `(applied, known)`. The places of bad files go to `bad`.
async fn take(
    connection: &mut SqliteConnection,
    files: &[Dropped],
    now: Timestamp,
    bad: &mut Vec<(usize, String)>,
) -> Result<(usize, usize), Fault> {
    bad.clear();
    let names: Vec<&str> = files.iter().map(|file| file.name.as_str()).collect();
    let rows = sqlx::query(KNOWN_EVENTS).bind(json("names", &names)?).fetch_all(&mut *connection).await?;
    let known =
        rows.iter().map(|row| row.try_get(0)).collect::<Result<std::collections::HashSet<String>, _>>()?;

    let mut fresh = Vec::new();
    for (place, file) in files.iter().enumerate().filter(|(_, file)| !known.contains(&file.name)) {
        match &file.event {
            Ok(event) => fresh.push((place, event)),
            Err(why) => bad.push((place, why.clone())),
        }
    }
    let jobs: Vec<_> = fresh.iter().map(|(_, event)| (event.job.batch, event.job.index)).collect();
    let rows = sqlx::query(JOBS_THERE).bind(json("jobs", &jobs)?).fetch_all(&mut *connection).await?;
    let there =
        rows.iter().map(|row| row.try_get(0)).collect::<Result<std::collections::HashSet<i64>, _>>()?;

    let mut meta = Vec::new();
    let mut applied = Vec::new();
    for (i, (place, event)) in fresh.into_iter().enumerate() {
        if !there.contains(&(i as i64)) {
            bad.push((place, format!("there is no job {}", event.job)));
            continue;
        }
        applied.push(names[place]);
        meta.extend(event.set.iter().map(|(key, value)| (event.job.batch, event.job.index, key, value)));
    }
    if !applied.is_empty() {
        sqlx::query(INSERT_META).bind(json("facts", &meta)?).execute(&mut *connection).await?;
        let names = json("names", &applied)?;
        sqlx::query(INSERT_EVENTS).bind(names).bind(now.0).execute(&mut *connection).await?;
        sqlx::query(FORGET_EVENTS).bind(now.0.saturating_sub(REMEMBER_US)).execute(connection).await?;
    }
    Ok((applied.len(), known.len()))
}

fn remove(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(StoreError::io("remove", path, e)),
        _ => Ok(()),
    }
}

/// Moves a file to `events/bad`, where it gets its name and nobody reads it again.
fn put_aside(events: &Path, file: &Dropped) -> Result<PathBuf, StoreError> {
    let bad = events.join("bad");
    fs::create_dir_all(&bad).map_err(|e| StoreError::io("make", &bad, e))?;
    let to = bad.join(file.path.file_name().unwrap_or_default());
    match fs::rename(&file.path, &to) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(StoreError::io("move", &file.path, e)),
        _ => Ok(to),
    }
}
