//! A command as its caller sees it: it asks the daemon, starting it where there is none, and prints the answer.

use std::ffi::OsString;
use std::io::{Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::wire;

/// How often a client tries to reach a daemon that is coming up or going away.
const TRIES: u32 = 400;

/// Runs one command and returns its exit code.
pub fn run(dir: &Path, name: &str, args: &[OsString]) -> i32 {
    let umask = rustix::process::umask(rustix::fs::Mode::empty());
    rustix::process::umask(umask);
    let mut words: Vec<Vec<u8>> = vec![
        name.as_bytes().to_vec(),
        std::env::current_dir().unwrap_or_default().as_os_str().as_bytes().to_vec(),
        umask.as_raw_mode().to_string().into_bytes(),
        rustix::process::geteuid().as_raw().to_string().into_bytes(),
        rustix::process::getegid().as_raw().to_string().into_bytes(),
        args.len().to_string().into_bytes(),
    ];
    words.extend(args.iter().map(|arg| arg.as_bytes().to_vec()));
    for (key, value) in std::env::vars_os() {
        words.extend([key.as_bytes().to_vec(), value.as_bytes().to_vec()]);
    }
    let frame = wire::pack(words);
    let answer = connect(dir, true).and_then(|mut stream| {
        wire::send(&mut stream, b'c', &frame)?;
        listen(stream)
    });
    answer.unwrap_or_else(|error| {
        let _ = writeln!(std::io::stderr(), "cluster-mock: {}: {error}", dir.display());
        1
    })
}

fn listen(mut stream: UnixStream) -> std::io::Result<i32> {
    loop {
        let Some((kind, bytes)) = wire::receive(&mut stream)? else {
            return Err(std::io::Error::other("the daemon ended without an answer"));
        };
        match kind {
            b'o' => {
                let mut out = std::io::stdout().lock();
                if out.write_all(&bytes).and_then(|()| out.flush()).is_err() {
                    return Ok(141);
                }
            }
            b'e' => std::io::stderr().lock().write_all(&bytes)?,
            b'i' => wire::send(&mut stream, b'i', &crate::stepd::read_stdin())?,
            b'x' => return Ok(crate::stepd::exec(&bytes)),
            b'k' => {
                let own = rustix::process::getpid();
                let _ = rustix::process::kill_process(own, rustix::process::Signal::KILL);
            }
            _ => {
                let code = bytes.first_chunk::<4>().copied().map_or(1, i32::from_le_bytes);
                return Ok(code);
            }
        }
    }
}

/// A connection to the daemon of a directory. `start`: one is started where there is none.
fn connect(dir: &Path, start: bool) -> std::io::Result<UnixStream> {
    // By way of the descriptor: the path of a socket may be 108 bytes long at most.
    let handle = std::fs::File::open(dir)?;
    let path = format!("/proc/self/fd/{}/socket", handle.as_raw_fd());
    for _ in 0..TRIES {
        match UnixStream::connect(&path) {
            Ok(stream) => return Ok(stream),
            Err(error) if !start => return Err(error),
            Err(_) => {}
        }
        if !start_daemon(dir)? {
            // Another one is coming up, or going away.
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    UnixStream::connect(&path)
}

/// True when a daemon was started and is ready.
fn start_daemon(dir: &Path) -> std::io::Result<bool> {
    let dir = dir.canonicalize()?;
    let errors = std::fs::OpenOptions::new().create(true).append(true).open(dir.join("daemon.log"))?;
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("--daemon").arg(&dir).current_dir("/").process_group(0);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors);
    let mut child = command.spawn()?;
    let mut byte = [0_u8];
    let ready = child.stdout.take().map(|mut out| out.read(&mut byte)).transpose()?;
    if ready == Some(1) {
        return Ok(true);
    }
    let status = child.wait()?;
    if status.success() {
        return Ok(false);
    }
    Err(std::io::Error::other("the daemon did not start; see daemon.log in the state directory"))
}

/// Tells the daemon to look at its configuration, when there is one.
pub fn reload(dir: &Path) {
    if let Ok(mut stream) = connect(dir, false) {
        let _ = wire::send(&mut stream, b'r', &[]);
        let _ = wire::receive(&mut stream);
    }
}

/// Ends the daemon of a directory and its jobs; returns when it is gone.
pub fn stop(dir: &Path) {
    if let Ok(mut stream) = connect(dir, false) {
        let _ = wire::send(&mut stream, b's', &[]);
        let _ = wire::receive(&mut stream);
    }
}
