//! The journal: every change of a job as a line, so that a controller that was killed comes back with its jobs.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Job, Key, Phase, Spec, Table};
use crate::wire;

pub(super) struct Journal {
    dir: PathBuf,
    file: File,
    lines: Vec<u8>,
}

#[derive(Serialize)]
enum Line<'a> {
    Spec(&'a Spec),
    Job(&'a Job),
    Past(&'a Job),
    Erased(Key),
    Next(u64),
}

#[derive(Deserialize)]
enum Read {
    Spec(Box<Spec>),
    Job(Box<Job>),
    Past(Box<Job>),
    Erased(Key),
    Next(u64),
}

impl Journal {
    pub(super) fn open(dir: &Path, table: &mut Table) -> io::Result<Self> {
        let path = dir.join("journal");
        if let Ok(file) = File::open(&path) {
            read(dir, BufReader::new(file), table);
        }
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self { dir: dir.to_path_buf(), file, lines: Vec::new() })
    }

    /// Writes what has changed. A full disk costs the journal, not the jobs in memory.
    pub(super) fn write(&mut self, table: &mut Table) {
        let specs = std::mem::take(&mut table.new_specs);
        for spec in &specs {
            let spool = self.dir.join("spool");
            let _ = std::fs::write(spool.join(format!("{}.script", spec.id)), &spec.script);
            let env = wire::pack(spec.env.iter().flat_map(|(key, value)| [key, value]));
            let _ = std::fs::write(spool.join(format!("{}.env", spec.id)), env);
            self.line(&Line::Spec(spec));
        }
        if !specs.is_empty() {
            self.line(&Line::Next(table.next_id));
        }
        for key in std::mem::take(&mut table.dirty) {
            match table.jobs.get(&key) {
                Some(job) => self.line(&Line::Job(job)),
                None => self.line(&Line::Erased(key)),
            }
        }
        let new = std::mem::take(&mut table.new_past).min(table.past.len());
        for job in &table.past[table.past.len() - new..] {
            self.line(&Line::Past(job));
        }
        let _ = self.file.write_all(&self.lines);
        self.lines.clear();
    }

    fn line(&mut self, line: &Line<'_>) {
        if serde_json::to_writer(&mut self.lines, line).is_ok() {
            self.lines.push(b'\n');
        }
    }
}

fn read(dir: &Path, lines: impl BufRead, table: &mut Table) {
    let mut specs = std::collections::BTreeMap::new();
    for line in lines.split(b'\n').map_while(Result::ok) {
        let Ok(line) = serde_json::from_slice(&line) else { continue };
        match line {
            Read::Spec(mut spec) => {
                let spool = dir.join("spool");
                spec.script = std::fs::read(spool.join(format!("{}.script", spec.id))).unwrap_or_default();
                let env = std::fs::read(spool.join(format!("{}.env", spec.id))).unwrap_or_default();
                let mut words = wire::unpack(&env).into_iter();
                while let (Some(key), Some(value)) = (words.next(), words.next()) {
                    spec.env.push((key, value));
                }
                specs.insert(spec.id, Arc::new(*spec));
            }
            Read::Job(mut job) => {
                if let Some(spec) = specs.get(&job.key.id) {
                    job.spec = Arc::clone(spec);
                    table.next_id = table.next_id.max(job.raw + 1);
                    table.jobs.insert(job.key, *job);
                }
            }
            Read::Past(mut job) => {
                if let Some(spec) = specs.get(&job.key.id) {
                    job.spec = Arc::clone(spec);
                    table.past.push(*job);
                }
            }
            Read::Erased(key) => {
                table.jobs.remove(&key);
            }
            Read::Next(next) => table.next_id = table.next_id.max(next),
        }
    }
    for (key, job) in &table.jobs {
        match job.phase {
            Phase::Pending => {
                table.pending.insert(*key);
            }
            Phase::Ended => {
                table.ended.insert((job.end.unwrap_or(0), *key));
            }
            Phase::Running | Phase::Suspended | Phase::Completing => {
                table.active.insert(*key);
            }
        }
    }
}
