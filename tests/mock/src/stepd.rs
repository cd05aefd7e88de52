//! The step daemon: parent of all processes of one job at a time. It leads a session of its own, orphans come back to
//! it, and it outlives the controller: the end of a job is written into a file before it is told.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, WaitOptions, kill_process, wait, waitid};

use crate::engine::Launch;
use crate::wire;

/// A launch as one frame.
pub(crate) fn encode(launch: &Launch, end_file: &Path) -> Vec<u8> {
    let path = |path: &Path| path.as_os_str().as_bytes().to_vec();
    let mut words = vec![
        path(end_file),
        path(&launch.cwd),
        launch.umask.to_string().into_bytes(),
        path(&launch.stdin),
        path(&launch.stdout),
        path(&launch.stderr),
        vec![u8::from(launch.append)],
        launch.argv.len().to_string().into_bytes(),
        launch.login.len().to_string().into_bytes(),
    ];
    words.extend(launch.argv.iter().cloned());
    words.extend(launch.login.iter().flat_map(|(key, value)| [key.clone(), value.clone()]));
    words.extend(launch.env.iter().flat_map(|(key, value)| [key.clone(), value.clone()]));
    wire::pack(words)
}

pub(crate) fn decode(bytes: &[u8]) -> Option<(Launch, PathBuf)> {
    let mut words = wire::unpack(bytes).into_iter();
    let path = |bytes: Vec<u8>| PathBuf::from(std::ffi::OsString::from_vec(bytes));
    let number = |bytes: Vec<u8>| String::from_utf8(bytes).ok()?.parse::<usize>().ok();
    let end_file = path(words.next()?);
    let mut launch = Launch { cwd: path(words.next()?), ..Launch::default() };
    launch.umask = u32::try_from(number(words.next()?)?).ok()?;
    launch.stdin = path(words.next()?);
    launch.stdout = path(words.next()?);
    launch.stderr = path(words.next()?);
    launch.append = words.next()? == [1];
    let (count, login) = (number(words.next()?)?, number(words.next()?)?);
    launch.argv = words.by_ref().take(count).collect();
    for _ in 0..login {
        launch.login.push((words.next()?, words.next()?));
    }
    while let (Some(key), Some(value)) = (words.next(), words.next()) {
        launch.env.push((key, value));
    }
    Some((launch, end_file))
}

/// Runs jobs that come on stdin until it ends.
pub fn run() -> i32 {
    let _ = rustix::process::setsid();
    let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
    let mut stdin = std::io::stdin().lock();
    while let Ok(Some((_, frame))) = wire::receive(&mut stdin) {
        let Some((launch, end_file)) = decode(&frame) else { return 1 };
        let line = one(&launch, &end_file);
        // The controller may be gone: the file says it.
        let _ = tell(&line);
    }
    0
}

fn tell(line: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(line.as_bytes())?;
    out.write_all(b"\n")?;
    out.flush()
}

fn one(launch: &Launch, end_file: &Path) -> String {
    let child = match spawn(launch) {
        Ok(child) => child,
        Err((what, error)) => return format!("failed {what} {error}"),
    };
    let _ = tell(&format!("started {}", child.as_raw_nonzero()));
    // Seen before it is reaped, while its CPU time can be read.
    let _ = waitid(WaitId::Pid(child), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
    let (cpu, system, memory) = usage(child);
    let status = loop {
        match rustix::process::waitpid(Some(child), WaitOptions::empty()) {
            Ok(Some((_, status))) => break status.as_raw(),
            Err(rustix::io::Errno::INTR) | Ok(None) => {}
            Err(_) => break 0,
        }
    };
    sweep();
    let line = format!("{status} {cpu} {system} {memory}");
    let _ = std::fs::write(end_file, format!("{line}\n"));
    format!("ended {line}")
}

/// Kills what the job has left behind.
fn sweep() {
    loop {
        match wait(WaitOptions::NOHANG) {
            Err(rustix::io::Errno::CHILD) => return,
            Ok(Some(_)) => {}
            _ => {
                let own = rustix::process::getpid().as_raw_nonzero().get();
                for pid in crate::engine::descendants(own) {
                    let _ = Pid::from_raw(pid).map(|pid| kill_process(pid, Signal::KILL));
                }
                let _ = wait(WaitOptions::empty());
            }
        }
    }
}

/// CPU time in all and in the kernel, in µs, of a process that has ended and its children; largest memory seen.
fn usage(pid: Pid) -> (u64, u64, u64) {
    let fields = crate::engine::stat(pid.as_raw_nonzero().get()).unwrap_or_default();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0) * 10_000;
    let system = ticks(12) + ticks(14);
    (ticks(11) + ticks(13) + system, system, 0)
}

fn spawn(launch: &Launch) -> Result<Pid, (&'static str, String)> {
    let text = |path: &Path, error: &std::io::Error| {
        format!("{} {}", error.raw_os_error().unwrap_or(0), path.display())
    };
    if let Err(error) = std::env::set_current_dir(&launch.cwd) {
        let _ = std::env::set_current_dir("/");
        return Err(("cwd", text(&launch.cwd, &error)));
    }
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(launch.umask));
    let open = |path: &Path, append: bool| -> Result<File, (&'static str, String)> {
        let mut options = OpenOptions::new();
        options.create(true).write(true).append(append).truncate(!append).mode(0o666);
        options.open(path).map_err(|error| ("output", text(path, &error)))
    };
    let stdout = open(&launch.stdout, launch.append)?;
    let stderr = if launch.stderr.as_os_str().is_empty() || launch.stderr == launch.stdout {
        stdout.try_clone().map_err(|error| ("output", error.to_string()))?
    } else {
        open(&launch.stderr, launch.append)?
    };
    let stdin = if launch.stdin.as_os_str().is_empty() {
        Stdio::null()
    } else {
        Stdio::from(File::open(&launch.stdin).map_err(|error| ("output", text(&launch.stdin, &error)))?)
    };
    let Some((program, args)) = launch.argv.split_first() else {
        return Err(("exec", String::from("no program")));
    };
    let mut command = Command::new(std::ffi::OsStr::from_bytes(program));
    command.args(args.iter().map(|arg| std::ffi::OsStr::from_bytes(arg))).env_clear();
    for (key, value) in login(launch).iter().chain(&launch.env) {
        command.env(std::ffi::OsStr::from_bytes(key), std::ffi::OsStr::from_bytes(value));
    }
    command.process_group(0).stdin(stdin).stdout(stdout).stderr(stderr);
    let child = command
        .spawn()
        .map_err(|error| ("exec", text(Path::new(std::ffi::OsStr::from_bytes(program)), &error)))?;
    i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or(("exec", String::from("no pid")))
}

/// The environment of a login, loaded on the node as `su - USER -c env` does it; what the profile prints is lost.
fn login(launch: &Launch) -> Vec<(Vec<u8>, Vec<u8>)> {
    if launch.login.is_empty() {
        return Vec::new();
    }
    let text = "{ [ -r \"$HOME/.profile\" ] && . \"$HOME/.profile\"; } >/dev/null 2>&1; exec env -0";
    let mut command = Command::new("/bin/sh");
    command.args(["-c", text]).env_clear().stdin(Stdio::null()).stderr(Stdio::null());
    for (key, value) in &launch.login {
        command.env(std::ffi::OsStr::from_bytes(key), std::ffi::OsStr::from_bytes(value));
    }
    let out = command.output().map(|output| output.stdout).unwrap_or_default();
    let pairs = out.split(|byte| *byte == 0).filter_map(|pair| {
        let at = pair.iter().position(|byte| *byte == b'=')?;
        Some((pair[..at].to_vec(), pair[at + 1..].to_vec()))
    });
    // What the shell of the profile alone knows.
    pairs.filter(|(key, _)| ![&b"_"[..], b"PWD", b"OLDPWD", b"SHLVL"].contains(&key.as_slice())).collect()
}

/// Runs a command in place of the client: `srun`.
pub(crate) fn exec(frame: &[u8]) -> i32 {
    let Some((launch, _)) = decode(frame) else { return 1 };
    let Some((program, args)) = launch.argv.split_first() else { return 1 };
    let mut command = Command::new(std::ffi::OsStr::from_bytes(program));
    command
        .args(args.iter().map(|arg| std::ffi::OsStr::from_bytes(arg)))
        .env_clear()
        .current_dir(&launch.cwd);
    for (key, value) in &launch.env {
        command.env(std::ffi::OsStr::from_bytes(key), std::ffi::OsStr::from_bytes(value));
    }
    let error = command.exec();
    let _ = writeln!(std::io::stderr(), "{}: {error}", String::from_utf8_lossy(program));
    127
}

/// Reads all of stdin.
pub(crate) fn read_stdin() -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = std::io::stdin().lock().read_to_end(&mut bytes);
    bytes
}
