//! The client's end of the runner's socket.

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use thiserror::Error;

use super::place::{Place, PlaceError};
use super::protocol::{Reply, Request, VERSION, receive, send};

/// A connection to the runner.
#[derive(Debug)]
pub struct Connection {
    stream: UnixStream,
    /// The runner's process.
    pub pid: u32,
}

/// No connection.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// No runner runs.
    #[error("no runner runs here (`cluster local start` starts it)")]
    NotRunning,
    /// Its directory is not usable.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// It could not be started.
    #[error("the runner did not start: {why}; its log is {}", log.display())]
    Start {
        /// What it said, or the system's reason.
        why: String,
        /// Where it says more.
        log: std::path::PathBuf,
    },
    /// It speaks another version.
    #[error(
        "the runner (pid {pid}) speaks version {theirs} and this program {VERSION}: `cluster local restart` replaces it; running jobs go on"
    )]
    Version {
        /// Its process.
        pid: u32,
        /// Its version.
        theirs: u32,
    },
    /// It takes connections and says nothing: stopped, or it hangs.
    #[error(
        "the runner (pid {pid}) does not answer: is it stopped (`kill -CONT {pid}`)? \
         With `kill -9 {pid}` the next command starts another one; jobs go on"
    )]
    Silent {
        /// Its process.
        pid: u32,
    },
    /// The connection failed.
    #[error("the runner does not answer: {0}")]
    Io(#[from] io::Error),
}

impl Connection {
    /// Says something and takes the answer.
    ///
    /// # Errors
    /// Where the runner is gone.
    pub fn ask(&mut self, request: &Request) -> io::Result<Reply> {
        send(&mut self.stream, request)?;
        self.reply()
    }

    /// The runner's next word.
    ///
    /// # Errors
    /// Where the runner is gone.
    pub fn reply(&mut self) -> io::Result<Reply> {
        receive(&mut self.stream)
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// A runner that has not answered a greeting by then is stopped, or hangs.
const GREETING: Duration = Duration::from_secs(10);

/// Connects to the runner that runs.
///
/// # Errors
/// [`ConnectError::NotRunning`] where none does.
pub fn connect(place: &Place) -> Result<Connection, ConnectError> {
    match place.check() {
        Err(PlaceError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            return Err(ConnectError::NotRunning);
        }
        other => other?,
    }
    let stream = match connect_path(&place.socket()) {
        Ok(stream) => stream,
        Err(error) => {
            return Err(match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => ConnectError::NotRunning,
                _ => error.into(),
            });
        }
    };
    // A greeting is answered at once; what comes later may take its time.
    stream.set_read_timeout(Some(GREETING))?;
    let mut connection = Connection { stream, pid: 0 };
    match connection.ask(&Request::Hello { version: VERSION }) {
        Ok(Reply::Hello { version: VERSION, pid }) => {
            connection.stream.set_read_timeout(None)?;
            connection.pid = pid;
            Ok(connection)
        }
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
            let peer = rustix::net::sockopt::socket_peercred(&connection.stream).map_err(io::Error::from)?;
            Err(ConnectError::Silent { pid: peer.pid.as_raw_nonzero().get().unsigned_abs() })
        }
        Ok(Reply::Hello { version, pid }) => Err(ConnectError::Version { pid, theirs: version }),
        Ok(_) => {
            Err(io::Error::new(io::ErrorKind::InvalidData, "an answer that is none to a greeting").into())
        }
        Err(error) if is_gone(&error) => Err(ConnectError::NotRunning),
        Err(error) => Err(error.into()),
    }
}

/// Whether the other side was just ending, or was killed.
fn is_gone(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), UnexpectedEof | ConnectionReset | BrokenPipe | ConnectionAborted)
}

/// A socket's path may have 107 bytes; a longer one is reached through its directory.
fn connect_path(path: &Path) -> io::Result<UnixStream> {
    if path.as_os_str().len() < 100 {
        return UnixStream::connect(path);
    }
    let dir = std::fs::File::open(path.parent().unwrap_or(Path::new("/")))?;
    let short = super::serve::through(&dir, path);
    UnixStream::connect(short)
}

/// How the runner's process is started: the command without its pipes.
pub type Launcher<'a> = &'a dyn Fn() -> io::Result<Command>;

/// How long we wait for a runner that is ending (its last bare jobs are short) before we give up.
const ENDING: Duration = Duration::from_secs(60);

/// Connects to the runner, starting one where none runs. Of several that start one at once, one wins; one
/// that is just ending is waited for.
///
/// # Errors
/// Where none can be started.
pub fn connect_or_start(place: &Place, launcher: Launcher<'_>) -> Result<Connection, ConnectError> {
    let deadline = Instant::now() + ENDING;
    loop {
        match connect(place) {
            Err(ConnectError::NotRunning) => {}
            other => return other,
        }
        place.ensure()?;
        // The lock is what makes a runner. While somebody holds it and does not listen, he has just begun
        // or is just ending.
        let held = place.lock()?.is_none();
        if held {
            if Instant::now() >= deadline {
                let why = "another one has the lock and does not answer".to_owned();
                return Err(ConnectError::Start { why, log: place.log() });
            }
            std::thread::sleep(Duration::from_millis(5));
            continue;
        }
        let word = start(place, launcher)?;
        if !matches!(word.as_str(), "ready" | "busy") {
            return Err(ConnectError::Start { why: word, log: place.log() });
        }
    }
}

/// Starts a runner and waits for its one word: `ready`, `busy` (another has the lock), or what is wrong.
fn start(place: &Place, launcher: Launcher<'_>) -> Result<String, ConnectError> {
    let failed = |why: io::Error| ConnectError::Start { why: why.to_string(), log: place.log() };
    let mut command = launcher().map_err(failed)?;
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().map_err(failed)?;
    let mut word = String::new();
    if let Some(stdout) = child.stdout.take() {
        // The runner closes its end after the word; jobs never inherit it.
        stdout.take(4096).read_to_string(&mut word).map_err(failed)?;
    }
    if word.is_empty() {
        // It died before it could say why; a launcher in between is reaped here.
        let status = child.wait().map_err(failed)?;
        return Err(ConnectError::Start { why: format!("it ended at once ({status})"), log: place.log() });
    }
    Ok(word.trim().to_owned())
}
