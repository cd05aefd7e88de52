//! Running command lines on this host.

mod stream;

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, kill_process_group, pidfd_open, waitid,
};

use crate::exec::stream::Stream;
use crate::host::{Host, HostError, Invocation, Output, Sink, Stdin};
use crate::state::ExitStatus;

/// This host. Each command runs in a process group of its own, which is killed at the time limit and,
/// for what it left behind, at its end.
///
/// ```
/// use cluster_core::{exec::LocalHost, host::{Host, Invocation}};
/// let output = LocalHost.run(&Invocation::new(["echo", "hi"]))?;
/// assert_eq!(output.stdout, b"hi\n");
/// # Ok::<(), cluster_core::host::HostError>(())
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct LocalHost;

/// Variables that change what schedulers print; no command gets to see them (design rule 10).
const SHAPES_OUTPUT: &[&str] =
    &["SLURM_TIME_FORMAT", "SLURM_JSON", "SLURM_YAML", "LC_ALL", "LANG", "LANGUAGE", "TZ"];
const SHAPES_OUTPUT_PREFIXES: &[&str] = &["SQUEUE_", "SACCT_", "SINFO_", "LC_"];

impl Host for LocalHost {
    fn run(&self, invocation: &Invocation) -> Result<Output, HostError> {
        run(invocation, |pid| pidfd_open(pid, PidfdFlags::empty()))
    }
}

/// How a process is made something to wait on. A parameter, so that tests can be a kernel without it.
type Watch = fn(Pid) -> rustix::io::Result<OwnedFd>;

/// Whoever left the process group may hold the pipes open for ever: after the command's end they get so long at
/// least.
const MOMENT: Duration = Duration::from_millis(200);

fn run(invocation: &Invocation, watch: Watch) -> Result<Output, HostError> {
    let failed = |what: &str, source| HostError::Stream {
        command: invocation.command_line(),
        what: what.into(),
        source,
    };
    let deadline = Instant::now() + invocation.timeout;
    let mut child = start(invocation)?;
    feed(&mut child, &invocation.stdin);
    let mut streams = [
        Stream::new(child.stdout.take().map(OwnedFd::from), invocation.output_cap),
        Stream::new(child.stderr.take().map(OwnedFd::from), invocation.output_cap),
    ];
    let ended = ended_by(&child, &mut streams, deadline, watch);
    if let Some(group) = Pid::from_raw(child.id() as i32) {
        // On time-out this is the kill; else it ends what the command left running in its group.
        let _ = kill_process_group(group, Signal::KILL);
    }
    let status = child.wait().map_err(|source| failed("waiting", source))?;
    let ended = ended.map_err(|source| failed("waiting", source))?;
    read_to_end(&mut streams, deadline.max(Instant::now() + MOMENT))
        .map_err(|source| failed("waiting", source))?;
    let [stdout, stderr] = streams;
    let (stdout, out_cut) = stdout.finish().map_err(|source| failed("stdout", source))?;
    let (stderr, err_cut) = stderr.finish().map_err(|source| failed("stderr", source))?;
    if !ended {
        let tail = &stderr[stderr.len().saturating_sub(2000)..];
        return Err(HostError::Timeout {
            command: invocation.command_line(),
            timeout: invocation.timeout,
            stderr: String::from_utf8_lossy(tail).trim_end().to_owned(),
        });
    }
    let status = match (status.code(), status.signal()) {
        (Some(code), _) => ExitStatus::Exit(code),
        (None, signal) => ExitStatus::Signal(signal.unwrap_or(0)),
    };
    Ok(Output { status, stdout, stderr, truncated: out_cut || err_cut })
}

#[allow(clippy::disallowed_methods)] // The one place where this crate starts processes.
fn start(invocation: &Invocation) -> Result<Child, HostError> {
    let failed = |source| HostError::Start { command: invocation.command_line(), source };
    let (program, args) = invocation
        .argv
        .split_first()
        .ok_or_else(|| failed(io::Error::new(io::ErrorKind::InvalidInput, "there is no command")))?;
    let mut command = Command::new(program);
    command.args(args).process_group(0);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let shapes =
            SHAPES_OUTPUT.contains(&&*text) || SHAPES_OUTPUT_PREFIXES.iter().any(|p| text.starts_with(p));
        if shapes {
            command.env_remove(&name);
        }
    }
    command.env("LC_ALL", "C.UTF-8").env("TZ", "UTC");
    for (name, value) in &invocation.env {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    if let Some(cwd) = &invocation.cwd {
        command.current_dir(cwd);
    }
    let opened = |path: &Path, result: io::Result<File>| {
        result.map(Stdio::from).map_err(|source| HostError::Stream {
            command: invocation.command_line(),
            what: path.display().to_string(),
            source,
        })
    };
    command.stdin(match &invocation.stdin {
        Stdin::Empty => Stdio::null(),
        Stdin::Bytes(_) => Stdio::piped(),
        Stdin::File(path) => opened(path, File::open(path))?,
    });
    let sink = |sink: &Sink| match sink {
        Sink::Capture => Ok(Stdio::piped()),
        Sink::File(path) => opened(path, OpenOptions::new().create(true).append(true).open(path)),
    };
    command.stdout(sink(&invocation.stdout)?).stderr(sink(&invocation.stderr)?);
    command.spawn().map_err(failed)
}

/// Writes the input from a thread of its own: a command that does not read must not block us.
fn feed(child: &mut Child, input: &Stdin) {
    if let (Some(mut pipe), Stdin::Bytes(bytes)) = (child.stdin.take(), input) {
        let bytes = bytes.clone();
        std::thread::spawn(move || {
            // A command may end without having read all of it.
            let _ = pipe.write_all(&bytes);
        });
    }
}

/// Waits until the child has ended (not reaped yet); false at the deadline. What it writes is read meanwhile.
fn ended_by(child: &Child, streams: &mut [Stream; 2], deadline: Instant, watch: Watch) -> io::Result<bool> {
    let pid = Pid::from_raw(child.id() as i32).ok_or(io::ErrorKind::InvalidInput)?;
    // Before Linux 5.3 there is no pidfd, some sandboxes forbid it, and descriptors may have run out.
    let Ok(pidfd) = watch(pid) else { return looked_for(pid, streams, deadline) };
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if ready(streams, Some(&pidfd), left)? {
            return Ok(true);
        }
        if left.is_zero() {
            return Ok(false);
        }
    }
}

/// The same without a pidfd: looks again and again, with pauses that grow with the time it takes, so that a
/// quick command is not held up and a slow one costs nothing.
fn looked_for(pid: Pid, streams: &mut [Stream; 2], deadline: Instant) -> io::Result<bool> {
    const FIRST: Duration = Duration::from_micros(500);
    const LONGEST: Duration = Duration::from_millis(50);
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
    let mut pause = FIRST;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match waitid(WaitId::Pid(pid), options) {
            Ok(Some(_)) => return Ok(true),
            Ok(None) if left.is_zero() => return Ok(false),
            Ok(None) => {
                ready(streams, None, pause.min(left))?;
                pause = pause.mul_f64(1.5).min(LONGEST);
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Reads what is left in the pipes, until nobody holds them any more or it is enough.
fn read_to_end(streams: &mut [Stream; 2], until: Instant) -> io::Result<()> {
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() || streams.iter().all(|stream| !stream.is_open()) {
            return Ok(());
        }
        ready(streams, None, left)?;
    }
}

/// Waits until something is there: reads of each stream that has some, once, and says whether the process has ended.
fn ready(streams: &mut [Stream; 2], pidfd: Option<&OwnedFd>, timeout: Duration) -> io::Result<bool> {
    let timeout = Timespec::try_from(timeout).map_err(|_| io::ErrorKind::InvalidInput)?;
    let pipes = streams.iter().map(Stream::pipe);
    let asked: Vec<&OwnedFd> = pidfd.into_iter().chain(pipes.flatten()).collect();
    let mut polled: Vec<PollFd<'_>> = asked.iter().map(|fd| PollFd::new(*fd, PollFlags::IN)).collect();
    match poll(&mut polled, Some(&timeout)) {
        Ok(0) | Err(rustix::io::Errno::INTR) => return Ok(false),
        Ok(_) => {}
        Err(error) => return Err(error.into()),
    }
    // In the order in which they were asked.
    let answers: Vec<bool> = polled.iter().map(|polled| !polled.revents().is_empty()).collect();
    let (ended, has_some) = answers.split_at(usize::from(pidfd.is_some()));
    let open = streams.iter_mut().filter(|stream| stream.is_open());
    open.zip(has_some).filter(|(_, has_some)| **has_some).for_each(|(stream, _)| stream.read());
    Ok(ended.contains(&true))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(text: &str) -> Invocation {
        Invocation::new(["sh", "-c", text])
    }

    /// This kernel, and one before Linux 5.3.
    const KERNELS: [Watch; 2] =
        [|pid| pidfd_open(pid, PidfdFlags::empty()), |_| Err(rustix::io::Errno::NOSYS)];

    #[test]
    fn status_and_both_streams() {
        for watch in KERNELS {
            let output = run(&sh("echo out; echo err >&2; exit 3"), watch).unwrap();
            assert_eq!(output.status, ExitStatus::Exit(3));
            assert_eq!((&output.stdout[..], &output.stderr[..]), (&b"out\n"[..], &b"err\n"[..]));
            let output = run(&sh("kill -9 $$"), watch).unwrap();
            assert_eq!(output.status, ExitStatus::Signal(9));
        }
    }

    #[test]
    fn a_command_that_hangs_is_killed_with_its_group() {
        KERNELS.into_iter().for_each(hangs);
    }

    fn hangs(watch: Watch) {
        let mut hanging = sh("trap '' TERM; sleep 1000 & echo $! >&2; wait");
        hanging.timeout = Duration::from_millis(300);
        let Err(HostError::Timeout { stderr, .. }) = run(&hanging, watch) else { panic!("no time-out") };
        let pid = Pid::from_raw(stderr.trim().parse().unwrap()).unwrap();
        // Killed, it is a zombie of init's or gone.
        let gone = || match std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())) {
            Ok(stat) => stat.contains(") Z "),
            Err(_) => true,
        };
        let deadline = Instant::now() + Duration::from_secs(10);
        while !gone() {
            assert!(Instant::now() < deadline, "the grandchild lives on");
            std::thread::yield_now();
        }
    }

    #[test]
    fn output_is_capped_and_input_is_fed() {
        let mut invocation = sh("cat; head -c 100000 /dev/zero");
        invocation.stdin = Stdin::Bytes(b"in".to_vec());
        invocation.output_cap = 10;
        for watch in KERNELS {
            // More than a pipe holds: it ends only if somebody reads while it is waited for.
            let output = run(&invocation, watch).unwrap();
            assert!(output.truncated);
            assert_eq!(output.stdout, b"in\0\0\0\0\0\0\0\0");
        }
    }

    #[test]
    fn streams_go_to_files() {
        let dir = tempfile::tempdir().unwrap();
        let mut invocation = sh("cat; echo err >&2");
        std::fs::write(dir.path().join("in"), "from a file").unwrap();
        invocation.stdin = Stdin::File(dir.path().join("in"));
        invocation.stdout = Sink::File(dir.path().join("out"));
        invocation.stderr = Sink::File(dir.path().join("err"));
        LocalHost.run(&invocation).unwrap();
        assert_eq!(std::fs::read_to_string(dir.path().join("out")).unwrap(), "from a file");
        assert_eq!(std::fs::read_to_string(dir.path().join("err")).unwrap(), "err\n");
    }

    #[test]
    fn who_left_the_group_and_holds_the_pipe_keeps_nobody() {
        for watch in KERNELS {
            let mut invocation =
                sh("echo before; setsid sh -c 'echo $$ >&2; exec sleep 1000 2> /dev/null' & sleep 0.1");
            invocation.timeout = Duration::from_millis(400);
            let begin = Instant::now();
            let output = run(&invocation, watch).unwrap();
            assert!(begin.elapsed() < Duration::from_secs(100));
            assert_eq!(output.stdout, b"before\n");
            assert!(output.truncated, "there may be more");
            let pid = String::from_utf8(output.stderr).unwrap().trim().parse().unwrap();
            rustix::process::kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
        }
    }

    #[test]
    fn a_command_that_is_not_there_is_named() {
        let error = LocalHost.run(&Invocation::new(["no-such-command-here"])).unwrap_err();
        assert!(error.to_string().contains("no-such-command-here"), "{error}");
    }
}
