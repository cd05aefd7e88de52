//! A job started bare: its words go to the kernel as they are, its output into pipes of ours.

use std::ffi::{CStr, CString, OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use cluster_core::{ExitStatus, OutputMode};
use rustix::fs::Access;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::Pid;

use super::stream::Stream;
use super::watch::watch;
use super::{Finished, Job, Source, Watched, output_files};
use crate::event::StreamPlace;
use crate::slot_table::StartedBy;
use crate::submission::Settings;
use crate::sys::{self, Spawn};

pub(crate) fn run(job: &mut Job<'_>, source: Source<'_>, settings: &Settings) -> Finished {
    let words = match source.words(job.start.index) {
        Ok(words) => words,
        Err(error) => return job.never_ran(&format!("its input cannot be read: {error}")),
    };
    job.note_start(StartedBy::Bare);
    let result = match settings.output {
        OutputMode::Packed => packed(job, settings, &words),
        OutputMode::Files => into_files(job, settings, &words),
    };
    result.unwrap_or_else(|error| job.never_ran(&format!("its output cannot be stored: {error}")))
}

fn packed(job: &mut Job<'_>, settings: &Settings, words: &[OsString]) -> io::Result<Finished> {
    let (out_ours, out) = pipe_with(PipeFlags::CLOEXEC)?;
    let (err_ours, err) = pipe_with(PipeFlags::CLOEXEC)?;
    let shard = cluster_core::job_script::shard(job.start.index);
    let dir = settings.dir.join(shard.to_string());
    let file = |suffix: &str| dir.join(format!("{}.{}.{suffix}", job.start.index, settings.k));
    let mut streams = [Stream::new(out_ours, file("out")), Stream::new(err_ours, file("err"))];
    let live = job.live;
    let started = start(job, settings, words, [out.as_fd(), err.as_fd()]);
    // Our copies of its ends: with them open it would never seem to have closed its own.
    drop((out, err));
    let mut watched = match started {
        Ok(pid) => watch(job, settings, pid, &mut streams, |streams| {
            // Others may want to follow it now, and no kill of ours shall take what it said so far.
            live.turn_back();
            streams.iter_mut().for_each(Stream::go_to_file);
        }),
        Err(failure) => {
            let pack = live.pack(settings)?;
            let err = pack.append(failure.message.as_bytes())?;
            let watched = Watched { status: Some(ExitStatus::Exit(failure.code)), ..Watched::default() };
            return Ok(job.finished(&watched, false, (StreamPlace::Pack { offset: 0, len: 0 }, err)));
        }
    };
    let pack = if streams.iter().all(Stream::is_empty) { None } else { Some(live.pack(settings)?) };
    let places = (streams[0].place(pack), streams[1].place(pack));
    if let Some(error) = streams.iter().find_map(|stream| stream.error.as_ref()) {
        watched.reason = Some(format!("its output could not all be stored: {error}"));
    }
    Ok(job.finished(&watched, false, places))
}

fn into_files(job: &mut Job<'_>, settings: &Settings, words: &[OsString]) -> io::Result<Finished> {
    let (out_path, err_path) = output_files(job.live, settings, job.start.index)?;
    // The files get the job's umask, as they would through job.sh.
    let entered = job.slot.enter(settings);
    let open = |path: &Path| OpenOptions::new().create(true).append(true).open(path);
    let (out, err) = (open(&out_path)?, open(&err_path)?);
    let live = job.live;
    let child = match entered {
        Ok(()) => start(job, settings, words, [out.as_fd(), err.as_fd()]),
        Err(error) => Err(no_directory(settings, &error)),
    };
    let watched = match child {
        Ok(pid) => watch(job, settings, pid, &mut [], |_| live.turn_back()),
        Err(failure) => {
            io::Write::write_all(&mut &err, failure.message.as_bytes())?;
            Watched { status: Some(ExitStatus::Exit(failure.code)), ..Watched::default() }
        }
    };
    let len = |file: &File| file.metadata().map_or(0, |metadata| metadata.len());
    let places = (StreamPlace::File(len(&out)), StreamPlace::File(len(&err)));
    Ok(job.finished(&watched, false, places))
}

/// A command that was not started, as a shell would say it.
struct Failure {
    code: i32,
    message: String,
}

fn no_directory(settings: &Settings, error: &io::Error) -> Failure {
    let cwd = settings.cwd.display();
    Failure { code: 126, message: format!("cluster: cannot enter the working directory {cwd}: {error}\n") }
}

fn start(
    job: &mut Job<'_>,
    settings: &Settings,
    words: &[OsString],
    output: [BorrowedFd<'_>; 2],
) -> Result<Pid, Failure> {
    job.slot.enter(settings).map_err(|error| no_directory(settings, &error))?;
    let name = words
        .first()
        .ok_or_else(|| Failure { code: 127, message: "cluster: the job has no command\n".to_owned() })?;
    let failed = |error: io::Error| refused(name, &error);
    let program = find(job, settings, name)?;
    let c_string = |text: &[u8]| CString::new(text).map_err(|_| failed(io::ErrorKind::InvalidInput.into()));
    let mut argv = words.iter().map(|word| c_string(word.as_bytes())).collect::<Result<Vec<_>, _>>()?;
    let opened = match &settings.stdin {
        None => None,
        Some(path) => Some(File::open(path).map_err(failed)?),
    };
    let stdin = match &opened {
        Some(file) => file,
        None => job.live.null().map_err(failed)?,
    };
    let (batch, index, run) = (job.start.key.1, job.start.index, job.start.run);
    let own_env = [
        format!("CLUSTER_JOB_ID={batch}.{index}"),
        format!("CLUSTER_JOB_INDEX={index}"),
        format!("CLUSTER_RUN={run}"),
    ];
    let own_env = own_env.map(|text| CString::new(text).unwrap_or_default());
    let env = job.live.env(settings, batch);
    let stdio = [stdin.as_fd(), output[0], output[1]];
    let mut pid = patiently(&Spawn { program: &program, words: &argv, env, own_env: &own_env, stdio });
    if pid.as_ref().is_err_and(|error| error.raw_os_error() == Some(libc::ENOEXEC)) {
        // A script without `#!`: a shell would run it itself.
        argv[0] = program.as_ref().to_owned();
        argv.insert(0, c"sh".to_owned());
        pid = patiently(&Spawn { program: c"/bin/sh", words: &argv, env, own_env: &own_env, stdio });
    }
    let pid = pid.map_err(|error| {
        *job.live.program.lock().unwrap_or_else(PoisonError::into_inner) = None;
        refused(name, &error)
    })?;
    job.note_process(StartedBy::Bare, pid);
    Pid::from_raw(pid as i32).ok_or_else(|| failed(io::ErrorKind::Other.into()))
}

/// Tries again for a moment where the machine has no process or memory to give just now.
fn patiently(spawn: &Spawn<'_>) -> io::Result<u32> {
    let mut wait = Duration::from_millis(10);
    loop {
        match sys::spawn(spawn) {
            Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::ENOMEM)) => {
                if wait > Duration::from_secs(2) {
                    return Err(error);
                }
            }
            result => return result,
        }
        std::thread::sleep(wait);
        wait *= 2;
    }
}

/// The program of a first word, as `execvp` would find it in the job's own PATH.
fn find(job: &Job<'_>, settings: &Settings, name: &OsStr) -> Result<Arc<CStr>, Failure> {
    let c_path = |path: &[u8]| -> Result<Arc<CStr>, Failure> {
        CString::new(path).map(Into::into).map_err(|_| refused(name, &io::ErrorKind::InvalidInput.into()))
    };
    if name.as_bytes().contains(&b'/') {
        return c_path(name.as_bytes());
    }
    let mut known = job.live.program.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((known, program)) = &*known
        && known == name
    {
        return Ok(program.clone());
    }
    let path = settings.env.iter().find(|(name, _)| name == "PATH").map(|(_, path)| path.as_os_str());
    let path = path.unwrap_or(OsStr::new("/usr/local/bin:/usr/bin:/bin"));
    let mut denied = false;
    for dir in std::env::split_paths(path) {
        let dir = if dir.as_os_str().is_empty() { PathBuf::from(".") } else { dir };
        let candidate = dir.join(name);
        if !candidate.is_file() {
            continue;
        }
        if rustix::fs::access(&candidate, Access::EXEC_OK).is_ok() {
            let program = c_path(candidate.as_os_str().as_bytes())?;
            *known = Some((name.to_owned(), program.clone()));
            return Ok(program);
        }
        denied = true;
    }
    let kind = if denied { io::ErrorKind::PermissionDenied } else { io::ErrorKind::NotFound };
    Err(refused(name, &kind.into()))
}

fn refused(name: &OsStr, error: &io::Error) -> Failure {
    let name = name.to_string_lossy();
    if error.kind() == io::ErrorKind::NotFound {
        Failure { code: 127, message: format!("cluster: {name}: command not found\n") }
    } else {
        Failure { code: 126, message: format!("cluster: {name}: {error}\n") }
    }
}
