//! A job started bare: its words go to the kernel as they are, its output into pipes of ours.

use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::PoisonError;
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
    let mut watched = match start(job, settings, words, [Stdio::from(out), Stdio::from(err)]) {
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
        Ok(()) => start(job, settings, words, [out.try_clone()?.into(), err.try_clone()?.into()]),
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

fn start(job: &mut Job<'_>, settings: &Settings, words: &[OsString], output: [Stdio; 2]) -> Result<Pid, Failure> {
    job.slot.enter(settings).map_err(|error| no_directory(settings, &error))?;
    let (name, args) = words.split_first().ok_or_else(|| Failure {
        code: 127,
        message: "cluster: the job has no command\n".to_owned(),
    })?;
    let program = find(job, settings, name)?;
    let [out, err] = output;
    let stdin = match &settings.stdin {
        None => Stdio::null(),
        Some(path) => File::open(path).map(Stdio::from).map_err(|error| refused(name, &error))?,
    };
    let mut command = prepare(job, settings, &program, name, args);
    command.stdin(stdin).stdout(out).stderr(err);
    let child = spawn(&mut command).or_else(|error| {
        // A script without `#!`: a shell would run it itself.
        if error.raw_os_error() == Some(libc::ENOEXEC) {
            let mut script = vec![program.clone().into_os_string()];
            script.extend_from_slice(args);
            let sh = OsStr::new("sh");
            let mut command = prepare(job, settings, Path::new("/bin/sh"), sh, &script);
            command.stdin(Stdio::null());
            return spawn(&mut command);
        }
        Err(error)
    });
    let child = child.map_err(|error| {
        *job.live.program.lock().unwrap_or_else(PoisonError::into_inner) = None;
        refused(name, &error)
    })?;
    job.note_process(StartedBy::Bare, child);
    Pid::from_raw(child as i32).ok_or_else(|| refused(name, &io::ErrorKind::Other.into()))
}

/// Tries again for a moment where the machine has no process or memory to give just now.
fn spawn(command: &mut Command) -> io::Result<u32> {
    let mut wait = Duration::from_millis(10);
    loop {
        match command.spawn() {
            // Dropping a `Child` neither kills nor reaps it: the watch does.
            Ok(child) => return Ok(child.id()),
            Err(error) => {
                let passing = matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::ENOMEM));
                if !passing || wait > Duration::from_secs(2) {
                    return Err(error);
                }
            }
        }
        std::thread::sleep(wait);
        wait *= 2;
    }
}

#[allow(clippy::disallowed_methods)] // Jobs are what this crate starts.
fn prepare(job: &Job<'_>, settings: &Settings, program: &Path, name: &OsStr, args: &[OsString]) -> Command {
    let mut command = Command::new(program);
    command.arg0(name).args(args).process_group(0).env_clear();
    command.envs(settings.env.iter().map(|(name, value)| (name, value)));
    let (batch, index) = (job.start.key.1, job.start.index);
    command
        .env("PWD", &settings.cwd)
        .env("CLUSTER_ROOT", &settings.root)
        .env("CLUSTER_BATCH_ID", batch.to_string())
        .env("CLUSTER_JOB_ID", format!("{batch}.{index}"))
        .env("CLUSTER_JOB_INDEX", index.to_string())
        .env("CLUSTER_RUN", job.start.run.to_string());
    command
}

/// The program of a first word, as `execvp` would find it in the job's own PATH.
fn find(job: &Job<'_>, settings: &Settings, name: &OsStr) -> Result<PathBuf, Failure> {
    if name.as_bytes().contains(&b'/') {
        return Ok(name.into());
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
            *known = Some((name.to_owned(), candidate.clone()));
            return Ok(candidate);
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
