//! A job started through job.sh: its record and its output are in files, which outlive us.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use cluster_core::status_file::{self, StatusLine};
use cluster_core::{ExitStatus, OutputMode, Timestamp};
use rustix::process::Pid;

use super::watch::watch;
use super::{Finished, Job, Source, output_files};
use crate::event::StreamPlace;
use crate::slot_table::StartedBy;
use crate::submission::{Live, Settings};

/// A stream up to this size goes into the pack when its job has ended.
const ABSORBED: u64 = 1 << 20;

pub(crate) fn run(job: &mut Job<'_>, source: Source<'_>, settings: &Settings) -> Finished {
    let prepared =
        source.prepare(job.start.index).and_then(|()| output_files(job.live, settings, job.start.index));
    let (out, err) = match prepared {
        Ok(paths) => paths,
        Err(error) => return job.never_ran(&format!("its files cannot be written: {error}")),
    };
    job.note_start(StartedBy::Script);
    let live = job.live;
    let mut watched = match start(job, settings) {
        Ok(pid) => watch(job, settings, pid, &mut [], |_| {}),
        Err(error) => return job.never_ran(&format!("job.sh cannot be started: {error}")),
    };
    let status = out.with_extension("status");
    let record = end_record(&status, settings.k);
    if let Some(record) = &record {
        watched.status = Some(record.status);
    }
    let signalled = record.as_ref().is_some_and(|record| record.signalled);
    let mut remove = Vec::new();
    let places = match settings.output {
        OutputMode::Files => (StreamPlace::File(size(&out)), StreamPlace::File(size(&err))),
        OutputMode::Packed => {
            let mut absorb = |path: &Path| {
                let place = absorb(live, settings, path);
                if matches!(place, StreamPlace::Pack { .. }) {
                    remove.push(path.to_owned());
                }
                place
            };
            (absorb(&out), absorb(&err))
        }
    };
    if settings.output == OutputMode::Packed && record.is_some() {
        remove.push(status);
    }
    let mut finished = job.finished(&watched, signalled, places);
    finished.remove = remove;
    finished
}

/// What the job's own record says of its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EndRecord {
    pub(crate) status: ExitStatus,
    pub(crate) signalled: bool,
    pub(crate) at: Timestamp,
    pub(crate) out_bytes: u64,
    pub(crate) err_bytes: u64,
}

/// The end in the status file of submission `k`, where there is one.
pub(crate) fn end_record(path: &Path, k: u32) -> Option<EndRecord> {
    let text = std::fs::read(path).ok()?;
    match status_file::end(&text)? {
        StatusLine::End { k: of, at, code, received, out_bytes, err_bytes } if of == k => Some(EndRecord {
            status: ExitStatus::Exit(code),
            signalled: received.is_some(),
            at,
            out_bytes,
            err_bytes,
        }),
        _ => None,
    }
}

fn size(path: &Path) -> u64 {
    path.metadata().map_or(0, |metadata| metadata.len())
}

fn absorb(live: &Live, settings: &Settings, path: &Path) -> StreamPlace {
    let len = size(path);
    if len > ABSORBED {
        return StreamPlace::File(len);
    }
    if len == 0 {
        return StreamPlace::Pack { offset: 0, len: 0 };
    }
    let copied = std::fs::read(path).and_then(|bytes| live.pack(settings)?.append(&bytes));
    // What cannot be packed stays where it is.
    copied.unwrap_or(StreamPlace::File(len))
}

#[allow(clippy::disallowed_methods)] // Jobs are what this crate starts.
fn start(job: &mut Job<'_>, settings: &Settings) -> io::Result<Pid> {
    let log = open_log(&sched_log(settings))?;
    let mut command = Command::new("/bin/sh");
    if let Some(group) = &job.group {
        // The kernel may take milliseconds for a move: the shell waits for its own before it starts anything.
        command.args(["-c", "echo $$ > \"$0\"; exec /bin/sh \"$@\""]).arg(group.processes());
    }
    let child = command
        .arg(settings.dir.join(format!("job.{}.sh", settings.k)))
        .arg(job.start.index.to_string())
        .arg(job.start.run.to_string())
        .arg((job.started.0 / 1_000_000).to_string())
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()?;
    job.note_process(StartedBy::Script, child.id());
    Pid::from_raw(child.id() as i32).ok_or_else(|| io::ErrorKind::Other.into())
}

/// What job.sh itself says goes here; it stays where it is not empty.
pub(crate) fn sched_log(settings: &Settings) -> PathBuf {
    settings.dir.join(format!("{}.sched", settings.k))
}

fn open_log(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}
