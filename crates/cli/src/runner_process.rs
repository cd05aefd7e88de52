//! The runner as a process: how it is started, and what it does then.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context as _;
use cluster_client::local::{Opener, Owner};
use cluster_core::MemSize;
use cluster_localqueue::capacity::Amount;
use cluster_localqueue::launch::{Launch, Processes};
use cluster_localqueue::machine::allowance;
use cluster_localqueue::runner::protocol::{Reply, Request};
use cluster_localqueue::runner::{
    ConnectError, Connection, Place, Settings, connect, keep_from_children, run,
};
use cluster_options::{CoreAmount, MemAmount};

use crate::allocation::{self, Allocation};
use crate::exit::{Exit, usage};

/// The hidden first word of its command line.
pub(crate) const COMMAND: &str = "__runner";

/// What a runner is started with.
#[derive(Debug, Clone)]
pub(crate) struct Start {
    pub(crate) place: Place,
    /// The root that we want of it.
    pub(crate) root: PathBuf,
    /// What jobs may take by the configuration.
    pub(crate) cores: CoreAmount,
    /// The same of memory.
    pub(crate) memory: MemAmount,
    pub(crate) idle_exit: Duration,
    /// `CLUSTER_LOG`.
    pub(crate) log: Option<String>,
    /// Our own `$XDG_RUNTIME_DIR`, where systemd may be found.
    pub(crate) runtime_dir: Option<PathBuf>,
    /// Whose linger is looked for.
    pub(crate) user: String,
    /// The scheduler's job that we are in: the runner is its own, and its directory that one's.
    pub(crate) allocation: Option<Allocation>,
}

impl Start {
    /// What jobs may take of this machine. Looks at the machine, which no command does without need.
    pub(crate) fn limit(&self) -> Amount {
        let machine = self.ours(allowance());
        self.ours(Amount {
            cores: self.cores.resolve(machine.cores).max(1),
            mem_mb: self.memory.resolve(MemSize::from_mb(machine.mem_mb)).as_mb(),
        })
    }

    /// What of this is the allocation's, in which we are.
    fn ours(&self, amount: Amount) -> Amount {
        self.allocation.as_ref().map_or(amount, |ours| ours.of_machine(amount))
    }
}

/// Where systemd keeps the user's processes after logout, a scope of its own; else a session of its own. What belongs
/// to an allocation must not leave it.
fn scope(start: &Start) -> Option<PathBuf> {
    if start.allocation.is_some() {
        return None;
    }
    let private = start.runtime_dir.as_ref()?.join("systemd/private");
    let lingers = PathBuf::from("/var/lib/systemd/linger").join(&start.user).exists();
    (private.exists() && lingers).then_some(private)
}

/// The command that starts the runner. It shares nothing with us but what is written here.
pub(crate) fn command(start: &Start) -> io::Result<Command> {
    let program = std::env::current_exe()?;
    keep_from_children();
    start.place.ensure().map_err(io::Error::other)?;
    let log = OpenOptions::new().create(true).append(true).mode(0o600).open(start.place.log())?;
    let in_scope = scope(start).is_some();
    #[allow(clippy::disallowed_methods)] // The runner is a process of ours.
    let mut command = if in_scope {
        let mut command = Command::new("systemd-run");
        command.args(["--user", "--scope", "--quiet", "--collect", "--"]).arg(program);
        command
    } else {
        Command::new(program)
    };
    let limit = start.limit();
    let lives_by = match &start.allocation {
        Some(ours) => format!("session of its own, in {} job {}, and ends with it", ours.scheduler, ours.id),
        None if in_scope => "systemd scope".to_owned(),
        None => "session of its own (setsid)".to_owned(),
    };
    if let Some(base) = start.allocation.as_ref().and_then(|_| start.place.dir().parent()) {
        allocation::sweep(base);
    }
    command
        .arg(COMMAND)
        .arg(start.place.dir())
        .arg(limit.cores.to_string())
        .arg(limit.mem_mb.to_string())
        .arg(start.idle_exit.as_millis().to_string())
        .arg(lives_by)
        .arg(&start.root)
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .stderr(Stdio::from(log));
    if let Some(level) = &start.log {
        command.env("CLUSTER_LOG", level);
    }
    if let Some(dir) = start.runtime_dir.as_ref().filter(|_| in_scope) {
        command.env("XDG_RUNTIME_DIR", dir);
    }
    Ok(command)
}

/// Is the runner.
pub(crate) fn serve(words: &[OsString]) -> anyhow::Result<Exit> {
    let [dir, cores, mem_mb, idle, lives_by, root] = words else {
        return Err(usage("this is the runner's own command: use `cluster local start`"));
    };
    let number = |word: &OsString| word.to_string_lossy().parse::<u64>();
    // A session of its own: no terminal's end reaches it. A leader of one already needs none.
    let _ = rustix::process::setsid();
    std::env::set_current_dir("/").context("cannot leave the working directory")?;
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    crate::context::log_to_stderr();
    let settings = Settings {
        place: Place::new(Some(PathBuf::from(dir))),
        limit: Amount { cores: number(cores)?.try_into()?, mem_mb: number(mem_mb)? },
        machine: allowance(),
        idle_exit: Duration::from_millis(number(idle)?),
        lives_by: lives_by.to_string_lossy().into_owned(),
        launch: Box::new(Processes),
        opener: Arc::new(Opener { owner: Owner::runner(), home: PathBuf::from(dir) }),
        first_root: Some(PathBuf::from(root)),
    };
    run(settings, Word)?;
    Ok(Exit::GOOD)
}

/// Stdout, until the one word was said: then it is closed, so that whoever started us knows.
struct Word;

impl io::Write for Word {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        io::stdout().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stdout().flush()
    }
}

impl Drop for Word {
    fn drop(&mut self) {
        let _ = io::Write::flush(&mut io::stdout());
        if let Ok(null) = OpenOptions::new().write(true).open("/dev/null") {
            let _ = rustix::stdio::dup2_stdout(null);
        }
    }
}

/// A runner inside this process: its jobs end with us.
pub(crate) struct Foreground {
    place: Place,
    thread: Option<JoinHandle<()>>,
    /// The cores that the user's runner leaves us.
    lease: Option<Connection>,
}

impl Foreground {
    /// Starts it, over the cores that are free.
    pub(crate) fn start(start: &Start, launch: Box<dyn Launch>) -> anyhow::Result<Self> {
        let all = start.limit();
        let (lease, limit) = match connect(&start.place) {
            Ok(mut runner) => match runner.ask(&Request::Lease(all))? {
                Reply::Leased(leased) => (Some(runner), leased),
                Reply::Refused(refusal) => return Err(usage(format!("--foreground: {}", refusal.message))),
                _ => anyhow::bail!("the runner gave an answer to another question"),
            },
            Err(ConnectError::NotRunning) => (None, all),
            Err(error) => return Err(error.into()),
        };
        start.place.ensure()?;
        let place = start.place.of_process(std::process::id());
        let settings = Settings {
            place: place.clone(),
            limit,
            machine: allowance(),
            idle_exit: Duration::from_secs(u64::MAX / 4),
            lives_by: "nothing: it is this process".to_owned(),
            launch,
            opener: Arc::new(Opener { owner: Owner::this_process(), home: place.dir().to_owned() }),
            first_root: None,
        };
        let (send, word) = channel();
        let thread = std::thread::Builder::new().name("foreground".to_owned()).spawn(move || {
            if let Err(error) = run(settings, Ready(send)) {
                crate::output::talk(&format!("cluster: {error}"));
            }
        })?;
        word.recv().context("the queue inside this process did not start")?;
        Ok(Self { place, thread: Some(thread), lease })
    }

    /// No more than this is needed: the rest is others' to use.
    pub(crate) fn keep(&mut self, most: Amount) -> anyhow::Result<()> {
        if let Some(lease) = &mut self.lease {
            lease.ask(&Request::Lease(most)).context("the runner is gone that lent us cores")?;
        }
        Ok(())
    }

    /// Where it listens.
    pub(crate) fn place(&self) -> &Place {
        &self.place
    }
}

impl Drop for Foreground {
    fn drop(&mut self) {
        if let Ok(mut runner) = connect(&self.place) {
            let _ = runner.ask(&Request::Stop { wait: true });
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        let _ = std::fs::remove_dir_all(self.place.dir());
    }
}

/// Tells that the one word was said.
struct Ready(Sender<()>);

impl io::Write for Ready {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.0.send(());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
