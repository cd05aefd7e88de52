//! What a scheduler is to the engine: its commands and its decisions.

use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::config::Config;
use crate::engine::{Engine, Exit, Job, Key, Kill, Launch, Scope, StartError, Table, Wait, micros, now};
use crate::wire;

/// A scheduler.
pub trait FrontEnd: Send + Sync {
    /// `slurm`, `pbs` …: the word of `--init`.
    fn name(&self) -> &'static str;

    /// The names it is called by.
    fn commands(&self) -> &'static [&'static str];

    /// The configuration that `--init` writes.
    fn defaults(&self) -> Config;

    /// Runs one command and returns its exit code. Called on a thread of its own, without the lock.
    fn run(&self, call: &mut Call<'_>) -> i32;

    /// May the job start as far as its dependencies go? `job.depend` may be changed while it is looked at.
    fn waits(&self, table: &Table, job: &Job) -> Wait {
        crate::engine::depend::standard(table, job)
    }

    /// A dependency can never be met: end the job, hold it or leave it.
    fn never(&self, table: &mut Table, key: Key) {
        let _ = (table, key);
    }

    /// Why a job that could start otherwise must wait: a word, or none. For partitions that are down, limits …
    fn blocked(&self, table: &Table, key: Key) -> Option<String> {
        let queue = &table.jobs.get(&key)?.spec.queue;
        let queue = table.config.cluster.queue(queue)?;
        (!queue.started).then(|| String::from("PartitionDown"))
    }

    /// A job is about to be started: the place to give it an id of its own.
    fn starts(&self, table: &mut Table, key: Key) {
        let _ = (table, key);
    }

    /// How the process of a job that starts now looks. The job has its nodes and its start time.
    fn launch(&self, table: &Table, job: &Job) -> Launch;

    /// The signals of a kill: seconds after its begin, signal, to whom. The default is TERM, kill_wait, KILL to all.
    fn kill_plan(&self, table: &Table, job: &Job, kill: &Kill) -> Vec<(f64, i32, Scope)> {
        let _ = (job, kill);
        vec![(0.0, SIGTERM, Scope::All), (table.config.timing.kill_wait, SIGKILL, Scope::All)]
    }

    /// The process of a job has ended. The default ends the job with `exit`; another may put it back in the queue
    /// ([`Table::requeue`]) or hold it in error.
    fn ended(&self, table: &mut Table, key: Key, exit: &Exit) {
        table.end(key, Some(exit));
    }

    /// The process of a job could not be started.
    fn start_failed(&self, table: &mut Table, key: Key, error: &StartError) {
        let _ = error;
        table.end(key, Some(&Exit { status: 127 << 8, ..Exit::default() }));
    }
}

/// SIGTERM.
pub const SIGTERM: i32 = 15;
/// SIGKILL.
pub const SIGKILL: i32 = 9;

/// The scheduler of that name.
pub fn of(name: &str) -> Option<Box<dyn FrontEnd>> {
    match name {
        "slurm" => Some(Box::new(crate::slurm::Slurm)),
        _ => {
            crate::pbs::front(name).or_else(|| crate::torque::front(name)).or_else(|| crate::sge::front(name))
        }
    }
}

/// How a controller answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Controller {
    /// It does.
    Well,
    /// Connections were refused until the client gave up.
    Down,
    /// It took the request and said nothing until the client gave up.
    Hung,
}

/// One call of a command.
pub struct Call<'a> {
    /// The name it was called by.
    pub name: String,
    /// The arguments after the name, bytes that are no UTF-8 replaced.
    pub args: Vec<String>,
    /// The arguments as they were.
    pub raw_args: Vec<Vec<u8>>,
    /// The caller's environment.
    pub env: Vec<(Vec<u8>, Vec<u8>)>,
    /// Where it was called.
    pub cwd: PathBuf,
    /// The caller's umask.
    pub umask: u32,
    /// The caller.
    pub user: User,
    /// The engine.
    pub engine: &'a Arc<Engine>,
    /// The connection to the caller.
    pub(crate) stream: Option<&'a UnixStream>,
    pub(crate) out: Vec<u8>,
    pub(crate) err: Vec<u8>,
    pub(crate) exec: Option<Launch>,
}

/// Who called, or owns a job.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct User {
    /// Name.
    pub name: String,
    /// Id.
    pub uid: u32,
    /// The name of the main group.
    pub group: String,
    /// Id of the main group.
    pub gid: u32,
}

impl Call<'_> {
    /// Prints text on the caller's stdout.
    pub fn out(&mut self, text: impl AsRef<[u8]>) {
        self.out.extend_from_slice(text.as_ref());
    }

    /// Prints text on the caller's stderr.
    pub fn err(&mut self, text: impl AsRef<[u8]>) {
        self.err.extend_from_slice(text.as_ref());
    }

    /// A variable of the caller's.
    pub fn var(&self, name: &str) -> Option<String> {
        let found = self.env.iter().find(|(key, _)| key == name.as_bytes());
        found.map(|(_, value)| String::from_utf8_lossy(value).into_owned())
    }

    /// A path of the caller's, made absolute.
    pub fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        self.cwd.join(path)
    }

    /// What the caller has on stdin, asked of it now.
    pub fn stdin(&mut self) -> Vec<u8> {
        let Some(mut stream) = self.stream else { return Vec::new() };
        if wire::send(&mut stream, b'i', &[]).is_err() {
            return Vec::new();
        }
        wire::receive(&mut stream).ok().flatten().map(|(_, bytes)| bytes).unwrap_or_default()
    }

    /// Prints what was collected so far now, for commands that go on (`sbatch --wait`, `qsub -I`).
    pub fn flush(&mut self) {
        let Some(mut stream) = self.stream else { return };
        for (kind, text) in [(b'o', &mut self.out), (b'e', &mut self.err)] {
            if !text.is_empty() {
                let _ = wire::send(&mut stream, kind, text);
                text.clear();
            }
        }
    }

    /// Gives the caller its exit code now; what `run` does after that goes on without it.
    pub fn finish(&mut self, code: i32) {
        self.flush();
        if let Some(mut stream) = self.stream.take() {
            let _ = wire::send(&mut stream, b'q', &code.to_le_bytes());
        }
    }

    /// Waits as a client of a broken controller does, and says how it went.
    pub fn controller(&self) -> Controller {
        self.controller_within(1.0)
    }

    /// The same, with this many times the usual patience.
    pub fn controller_within(&self, times: f64) -> Controller {
        let mut table = self.engine.lock();
        let begin = now();
        loop {
            let timing = &table.config.timing;
            let (patience, end) = match table.config.faults.controller.as_str() {
                "" => return Controller::Well,
                "hung" => (timing.message_timeout, Controller::Hung),
                _ => (timing.connect_timeout, Controller::Down),
            };
            let left = begin + micros(patience * times) - now();
            if left <= 0 || self.engine.is_stopping() {
                return end;
            }
            table = self.engine.wait(table, Duration::from_micros(left.unsigned_abs()));
        }
    }

    /// Waits until the controller is well again: what a hung one does with what it was sent.
    pub fn controller_returns(&self) {
        let mut table = self.engine.lock();
        while !table.config.faults.controller.is_empty() && !self.engine.is_stopping() {
            table = self.engine.wait(table, Duration::from_secs(60));
        }
    }

    /// Changes the configuration for good, as an administrator's command does.
    pub fn reconfigure(&self, change: impl FnOnce(&mut Config)) {
        let mut config = (*self.engine.config()).clone();
        change(&mut config);
        if let Ok(text) = serde_json::to_vec_pretty(&config) {
            let new = self.engine.dir.join("config.json.new");
            let _ = std::fs::write(&new, text)
                .and_then(|()| std::fs::rename(&new, self.engine.dir.join("config.json")));
        }
        self.engine.configure(config);
    }

    /// True when the caller is gone.
    pub fn gone(&self) -> bool {
        let Some(stream) = self.stream else { return false };
        let mut byte = [0_u8];
        let _ = stream.set_nonblocking(true);
        let mut reader = stream;
        let gone = matches!(reader.read(&mut byte), Ok(0));
        let _ = stream.set_nonblocking(false);
        gone
    }

    /// The caller's process becomes this command when `run` has returned (`srun`).
    pub fn exec(&mut self, launch: Launch) {
        self.exec = Some(launch);
    }

    /// The name of this host.
    pub fn host(&self) -> String {
        rustix::system::uname().nodename().to_string_lossy().into_owned()
    }

    /// The raw bytes of a path.
    pub fn bytes(path: &Path) -> Vec<u8> {
        path.as_os_str().as_bytes().to_vec()
    }
}

impl Write for Call<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.out(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
