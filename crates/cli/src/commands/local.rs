//! `cluster local`: the runner of this machine, by hand.

mod install;
mod status;

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use cluster_core::MemSize;
use cluster_localqueue::runner::protocol::{Refusal, Reply, Report, Request, receive, send};
use cluster_localqueue::runner::{ConnectError, Connection, Place, PlaceError, connect};
use cluster_options::{CoreAmount, MemAmount};
use serde_json::json;

use crate::context::Context;
use crate::exit::{Exit, usage};
use crate::output::{self, talk};

/// After this time a command says what it waits for.
const PATIENCE: Duration = Duration::from_secs(2);

/// The options of `local`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Start the runner where none runs, and have it look after this root
    Start,
    /// Print what the runner does
    Status,
    /// End the runner; jobs go on, and the next runner takes them over
    Stop {
        /// Start nothing more, and end when nothing runs any more
        #[arg(long)]
        wait: bool,
    },
    /// Start nothing more; what runs goes on
    Drain {
        /// Start jobs again
        #[arg(long)]
        off: bool,
    },
    /// End the runner and start it anew; running jobs go on, queued ones stay
    Restart,
    /// Change what jobs may take of this machine, now and for later runners
    Set(SetArgs),
    /// Have the runner started when the machine starts
    Install(install::Args),
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = true)]
struct SetArgs {
    /// Cores: a number, max, or a part of the machine's like 50%
    #[arg(long, value_name = "N")]
    cores: Option<CoreAmount>,
    /// Memory: 4000 (MB), 16G, or a part of the machine's like 50%
    #[arg(long, value_name = "SIZE")]
    mem: Option<MemAmount>,
}

pub(crate) fn run(context: &Context, args: &Args) -> anyhow::Result<Exit> {
    match &args.what {
        What::Start => start(context),
        What::Status => status::run(context),
        What::Stop { wait } => stop(context, *wait),
        What::Drain { off } => drain(context, !off),
        What::Restart => restart(context),
        What::Set(args) => set(context, args),
        What::Install(args) => install::run(context, args),
    }
}

fn say(context: &Context, text: &str) {
    if !context.common.quiet && !context.common.json {
        talk(text);
    }
}

fn start(context: &Context) -> anyhow::Result<Exit> {
    let before = match connect(context.client.place()) {
        Ok(connection) => Some(connection.pid),
        Err(ConnectError::NotRunning) => None,
        Err(error) => return Err(error.into()),
    };
    if before.is_none() {
        // One that is just ending still has the lock, perhaps for as long as a job takes.
        wait_until_gone(context)?;
    }
    let pid = begin(context)?;
    if context.common.json {
        output::json(&json!({ "v": 1, "running": true, "pid": pid, "started": before != Some(pid) }))?;
    }
    let what = if before == Some(pid) { "runs already" } else { "runs now" };
    say(
        context,
        &format!("the runner {what}: pid {pid}, directory {}", context.client.place().dir().display()),
    );
    Ok(Exit::GOOD)
}

/// Starts a runner where none runs. This root is attached where it is one: none is made by the way.
fn begin(context: &Context) -> anyhow::Result<u32> {
    let pid = context.client.runner()?.pid;
    if context.root.join("store.db").is_file() {
        context.client.attach()?;
    }
    Ok(pid)
}

/// A runner that is to end, and what it did.
struct Ending {
    pid: u32,
    /// What it did; unknown where it speaks another version.
    report: Option<Report>,
}

fn stop(context: &Context, wait: bool) -> anyhow::Result<Exit> {
    let ended = end(context, wait)?;
    let (running, queued, held) = ended
        .as_ref()
        .and_then(|ending| ending.report.as_ref())
        .map_or((0, 0, 0), |report| (report.running, report.queued, report.held));
    if context.common.json {
        let pid = ended.as_ref().map(|ending| ending.pid);
        output::json(&json!({
            "v": 1, "stopped": ended.is_some(), "pid": pid, "jobs": { "running": running, "queued": queued, "held": held },
        }))?;
        return Ok(Exit::GOOD);
    }
    match ended {
        None => say(context, "no runner runs here: nothing to stop"),
        Some(ending) => {
            let stay = if wait { String::new() } else { left_running(running) };
            say(
                context,
                &format!("the runner (pid {}) has ended{stay}{}", ending.pid, left_waiting(queued + held)),
            );
        }
    }
    Ok(Exit::GOOD)
}

fn left_running(running: u64) -> String {
    match running {
        0 => String::new(),
        1 => "; the job that ran goes on, and the next runner takes it over".to_owned(),
        _ => format!(
            "; of the {running} jobs that ran, those not over go on, and the next runner takes them over"
        ),
    }
}

fn left_waiting(waiting: u64) -> String {
    match waiting {
        0 => String::new(),
        1 => "; 1 job waits for the next runner (`cluster local start`)".to_owned(),
        _ => format!("; {waiting} jobs wait for the next runner (`cluster local start`)"),
    }
}

fn restart(context: &Context) -> anyhow::Result<Exit> {
    let ended = end(context, false)?;
    let pid = begin(context)?;
    let running = ended.as_ref().and_then(|ending| ending.report.as_ref()).map_or(0, |report| report.running);
    if context.common.json {
        let replaced = ended.as_ref().map(|ending| ending.pid);
        output::json(
            &json!({ "v": 1, "running": true, "pid": pid, "replaced": replaced, "taken_over": running }),
        )?;
    }
    say(
        context,
        &match ended {
            None => format!("no runner ran: one runs now, pid {pid}"),
            Some(Ending { pid: old, .. }) => match running {
                0 => format!("the runner (pid {old}) was replaced: pid {pid}"),
                1 => format!("the runner (pid {old}) was replaced: pid {pid}; the running job goes on"),
                _ => format!(
                    "the runner (pid {old}) was replaced: pid {pid}; the {running} running jobs go on"
                ),
            },
        },
    );
    Ok(Exit::GOOD)
}

/// Ends the runner and waits until it has gone. `None` where none ran.
fn end(context: &Context, wait: bool) -> anyhow::Result<Option<Ending>> {
    let place = context.client.place();
    let ending = match connect(place) {
        Ok(mut connection) => {
            let report = status::ask(&mut connection)?;
            if wait && report.running > 0 {
                say(context, &format!("waiting for {} to end", status::jobs(report.running)));
            }
            told(connection.ask(&Request::Stop { wait }))?;
            Some(Ending { pid: connection.pid, report: Some(report) })
        }
        // This is how it gets replaced: `Stop` is the same in every version.
        Err(ConnectError::Version { pid, .. }) => {
            told(say_stop(place, wait))?;
            Some(Ending { pid, report: None })
        }
        Err(ConnectError::NotRunning) => None,
        Err(error) => return Err(error.into()),
    };
    wait_until_gone(context)?;
    Ok(ending)
}

/// One that ends may be gone before its answer is written.
fn told(answer: io::Result<Reply>) -> anyhow::Result<()> {
    match answer {
        Ok(Reply::Refused(Refusal { message, .. })) => Err(usage(message)),
        Ok(_) => Ok(()),
        Err(error)
            if matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset) =>
        {
            Ok(())
        }
        Err(error) => Err(ConnectError::Io(error).into()),
    }
}

fn say_stop(place: &Place, wait: bool) -> io::Result<Reply> {
    // Through the directory: a socket's own path may be too long to connect to.
    let dir = File::open(place.dir())?;
    let mut stream =
        UnixStream::connect(Path::new("/proc/self/fd").join(dir.as_raw_fd().to_string()).join("socket"))?;
    send(&mut stream, &Request::Stop { wait })?;
    // What it answers is another version's; that it answers, or leaves, is enough.
    match receive::<serde_json::Value>(&mut stream) {
        Err(error) if error.kind() != io::ErrorKind::InvalidData => Err(error),
        _ => Ok(Reply::Done),
    }
}

/// Waits until nobody holds the runner's lock: jobs of which only the runner would see the end keep it.
fn wait_until_gone(context: &Context) -> anyhow::Result<()> {
    let place = context.client.place();
    let since = Instant::now();
    let mut said = false;
    while is_held(place)? {
        if !said && since.elapsed() > PATIENCE {
            said = true;
            say(context, "waiting for the runner: it ends when the short jobs that only it can see are over");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// Whether a runner is there, perhaps one that only just begins or ends.
fn is_held(place: &Place) -> anyhow::Result<bool> {
    match place.check() {
        Err(PlaceError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => return Ok(false),
        other => other.map_err(ConnectError::from)?,
    }
    Ok(place.lock().map_err(ConnectError::from)?.is_none())
}

fn drain(context: &Context, on: bool) -> anyhow::Result<Exit> {
    let mut connection = running(context)?;
    let before = status::ask(&mut connection)?;
    let answer = connection.ask(&Request::Drain(on)).map_err(ConnectError::Io)?;
    told(Ok(answer))?;
    if context.common.json {
        output::json(
            &json!({ "v": 1, "draining": on, "jobs": { "running": before.running, "queued": before.queued } }),
        )?;
    }
    let running = status::jobs(before.running);
    say(
        context,
        &match on {
            true => format!(
                "nothing more starts ({running} still running): `cluster local drain --off` undoes it"
            ),
            false => "queued jobs start again".to_owned(),
        },
    );
    Ok(Exit::GOOD)
}

fn running(context: &Context) -> anyhow::Result<Connection> {
    Ok(context.client.running_runner()?.ok_or(ConnectError::NotRunning)?)
}

fn set(context: &Context, args: &SetArgs) -> anyhow::Result<Exit> {
    let before = status::ask(&mut context.client.runner()?)?;
    let machine = before.machine;
    let cores = args.cores.map(|cores| cores.resolve(machine.cores));
    let mem_mb = args.mem.map(|mem| mem.resolve(MemSize::from_mb(machine.mem_mb)).as_mb());
    if mem_mb == Some(0) {
        return Err(usage("--mem: no memory would start nothing: `cluster local drain` does that"));
    }
    context.client.ask(&Request::SetCapacity { cores, mem_mb })?;
    let limit =
        status::ask(&mut running(context).context("the limit is set, but the runner has gone")?)?.limit;
    if context.common.json {
        output::json(&json!({ "v": 1, "limit": limit, "machine": machine }))?;
        return Ok(Exit::GOOD);
    }
    let over = if limit.fits(&before.taken) { "" } else { "; what runs above it goes on to its end" };
    say(
        context,
        &format!(
            "jobs may take {} of {} cores and {} of {} memory{over}",
            limit.cores,
            machine.cores,
            status::memory(limit.mem_mb),
            status::memory(machine.mem_mb)
        ),
    );
    if !machine.fits(&limit) {
        say(context, "cluster: this is more than the machine has: jobs will be in each other's way");
    }
    Ok(Exit::GOOD)
}
