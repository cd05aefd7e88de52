//! The daemon of a state directory: it holds the lock file, listens on the socket, and runs the commands.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::config::{CommandFault, Config};
use crate::engine::{Engine, Phase, now};
use crate::front::{self, Call, User};
use crate::wire;

/// How often the daemon looks whether it is still wanted.
const WATCH: Duration = Duration::from_millis(500);

struct Daemon {
    engine: Arc<Engine>,
    dir: PathBuf,
    log: Mutex<File>,
    /// The file of the configuration as it was read last.
    seen: Mutex<Option<(u64, i64, i64, u64)>>,
    /// How often each fault was used, and the fault as it was then.
    used: Mutex<BTreeMap<String, (String, u64)>>,
    busy: Mutex<(usize, Instant)>,
}

/// Closes what the command that started us had open: a client that waits for a descriptor of its own to be closed
/// waits for its commands, never for a scheduler.
#[allow(unsafe_code)]
fn close_inherited() {
    let open = std::fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let open: Vec<i32> = open.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    for fd in open.into_iter().filter(|fd| *fd > 2) {
        // The descriptor of that listing is closed by now.
        if Path::new(&format!("/proc/self/fd/{fd}")).symlink_metadata().is_ok() {
            // SAFETY: nothing in this process has been opened yet, so nobody owns it.
            drop(unsafe { <std::os::fd::OwnedFd as std::os::fd::FromRawFd>::from_raw_fd(fd) });
        }
    }
}

/// Runs the daemon of a directory until it is told to end. Returns at once when there is one already.
pub fn run(dir: &Path) -> std::io::Result<()> {
    close_inherited();
    let lock = OpenOptions::new().create(true).truncate(false).write(true).open(dir.join("lock"))?;
    if lock.try_lock().is_err() {
        return Ok(());
    }
    let _ = rustix::process::setsid();
    let config = read_config(dir)?;
    let front = front::of(&config.scheduler).ok_or_else(|| {
        std::io::Error::other(format!(
            "no scheduler is called {:?} (config.json, key scheduler)",
            config.scheduler
        ))
    })?;
    let engine = Engine::open(dir, front)?;
    engine.configure(config);
    // A short path: a socket's name has room for some 100 bytes only.
    std::env::set_current_dir(dir)?;
    let _ = std::fs::remove_file("socket");
    let listener = UnixListener::bind("socket")?;
    let _ = std::fs::write("pid", format!("{}\n", std::process::id()));
    let log = OpenOptions::new().create(true).append(true).open("calls.log")?;
    let daemon = Arc::new(Daemon {
        engine: Arc::clone(&engine),
        dir: dir.to_path_buf(),
        log: Mutex::new(log),
        seen: Mutex::new(None),
        used: Mutex::default(),
        busy: Mutex::new((0, Instant::now())),
    });
    let _ = std::io::stdout().write_all(b"+").and_then(|()| std::io::stdout().flush());
    let accepting = Arc::clone(&daemon);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let daemon = Arc::clone(&accepting);
            std::thread::spawn(move || daemon.serve(&stream));
        }
    });
    let watching = Arc::clone(&daemon);
    std::thread::spawn(move || watching.watch());
    engine.run_clock();
    engine.kill_all();
    let _ = std::fs::remove_file(dir.join("socket"));
    let _ = std::fs::remove_file(dir.join("pid"));
    drop(lock);
    Ok(())
}

/// The configuration of a state directory.
pub fn read_config(dir: &Path) -> std::io::Result<Config> {
    let bytes = std::fs::read(dir.join("config.json"))?;
    serde_json::from_slice(&bytes).map_err(|error| std::io::Error::other(format!("config.json: {error}")))
}

impl Daemon {
    /// Ends the daemon when its directory is gone, or when nothing has happened for long.
    fn watch(&self) {
        let own = std::fs::metadata(".").map(|meta| meta.ino()).unwrap_or(0);
        loop {
            std::thread::sleep(WATCH);
            let there = std::fs::metadata(&self.dir).is_ok_and(|meta| meta.ino() == own);
            let idle = {
                let table = self.engine.lock();
                let jobs = table.jobs.values().any(|job| job.phase != Phase::Ended);
                let (calls, since) = *self.busy.lock().unwrap_or_else(PoisonError::into_inner);
                !jobs && calls == 0 && since.elapsed().as_secs_f64() > table.config.timing.idle
            };
            if !there || idle {
                self.engine.stop();
                return;
            }
        }
    }

    /// Reads the configuration when its file has changed.
    fn refresh(&self) {
        let Ok(meta) = std::fs::metadata("config.json") else { return };
        let id = (meta.ino(), meta.mtime(), meta.mtime_nsec(), meta.size());
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if *seen != Some(id)
            && let Ok(config) = read_config(Path::new("."))
        {
            *seen = Some(id);
            self.engine.configure(config);
            drop(seen);
            self.engine.schedule();
        }
    }

    fn serve(&self, stream: &UnixStream) {
        let mut reader = stream;
        let Ok(Some((kind, frame))) = wire::receive(&mut reader) else { return };
        self.refresh();
        match kind {
            b's' => {
                self.engine.stop();
                // The client waits for the end of the daemon, which closes the connection.
                let _ = wire::receive(&mut reader);
            }
            b'c' => {
                self.busy.lock().unwrap_or_else(PoisonError::into_inner).0 += 1;
                self.command(stream, &frame);
                let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
                *busy = (busy.0.saturating_sub(1), Instant::now());
            }
            _ => self.engine.schedule(),
        }
    }

    fn command(&self, stream: &UnixStream, frame: &[u8]) {
        let Some(mut call) = self.call(stream, frame) else { return };
        self.write_log(&call);
        let name = call.name.clone();
        let fault = self.fault(&name, &call.args);
        let mut to = stream;
        if fault.die == "before" {
            let _ = wire::send(&mut to, b'k', &[]);
            return;
        }
        if fault.hang {
            self.block(&name, |fault| fault.hang);
        }
        if fault.delay > 0.0 {
            std::thread::sleep(Duration::from_secs_f64(fault.delay));
        }
        let code = if let Some(rc) = fault.rc {
            call.out(fault.stdout.clone().unwrap_or_default());
            call.err(fault.stderr.clone().unwrap_or_default());
            rc
        } else {
            let code = self.engine.front.run(&mut call);
            if let Some(stdout) = &fault.stdout {
                call.out = stdout.clone().into_bytes();
            }
            if let Some(stderr) = &fault.stderr {
                call.err(stderr);
            }
            code
        };
        spoil(&fault, &mut call.out);
        if fault.hang_after {
            self.block(&name, |fault| fault.hang_after);
        }
        if fault.die == "after" {
            let _ = wire::send(&mut to, b'k', &[]);
            return;
        }
        if let Some(launch) = call.exec.take() {
            call.flush();
            let _ = wire::send(&mut to, b'x', &crate::stepd::encode(&launch, Path::new("")));
            return;
        }
        call.finish(code);
    }

    fn call<'a>(&'a self, stream: &'a UnixStream, frame: &[u8]) -> Option<Call<'a>> {
        let mut words = wire::unpack(frame).into_iter();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let name = text(words.next()?);
        let cwd = PathBuf::from(std::ffi::OsString::from_vec(words.next()?));
        let mut number = || text(words.next()?).parse::<u32>().ok();
        let (umask, uid, gid, count) = (number()?, number()?, number()?, number()?);
        let raw_args: Vec<Vec<u8>> = words.by_ref().take(count as usize).collect();
        let mut env = Vec::new();
        while let (Some(key), Some(value)) = (words.next(), words.next()) {
            env.push((key, value));
        }
        Some(Call {
            name,
            args: raw_args.iter().map(|arg| String::from_utf8_lossy(arg).into_owned()).collect(),
            raw_args,
            env,
            cwd,
            umask,
            user: user(uid, gid),
            engine: &self.engine,
            stream: Some(stream),
            out: Vec::new(),
            err: Vec::new(),
            exec: None,
        })
    }

    /// One line a call: when, by which process, what.
    fn write_log(&self, call: &Call<'_>) {
        let argv: Vec<&str> =
            std::iter::once(call.name.as_str()).chain(call.args.iter().map(String::as_str)).collect();
        let time = now() as f64 / 1e6;
        let line = serde_json::json!({ "time": time, "argv": argv, "cwd": call.cwd.to_string_lossy() });
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = log.write_all(format!("{line}\n").as_bytes());
    }

    /// The fault that hits this call.
    fn fault(&self, name: &str, args: &[String]) -> CommandFault {
        let config = self.engine.config();
        for key in [name, "*"] {
            let Some(fault) = config.commands.get(key) else { continue };
            if fault.only.as_ref().is_some_and(|only| !args.iter().any(|arg| arg.contains(only))) {
                continue;
            }
            if let Some(times) = fault.times {
                let text = serde_json::to_string(fault).unwrap_or_default();
                let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
                let count = used.entry(key.to_owned()).or_insert_with(|| (text.clone(), 0));
                if count.0 != text {
                    *count = (text, 0);
                }
                if count.1 >= times {
                    continue;
                }
                count.1 += 1;
            }
            return fault.clone();
        }
        CommandFault::default()
    }

    /// Blocks until no fault of this command says so any more.
    fn block(&self, name: &str, says: impl Fn(&CommandFault) -> bool) {
        let mut table = self.engine.lock();
        while !self.engine.is_stopping()
            && [name, "*"].iter().any(|key| table.config.commands.get(*key).is_some_and(&says))
        {
            table = self.engine.wait(table, Duration::from_secs(60));
        }
    }
}

/// Makes of an answer what a fault makes of it.
fn spoil(fault: &CommandFault, out: &mut Vec<u8>) {
    if fault.duplicate {
        let text = std::mem::take(out);
        for (number, line) in text.split_inclusive(|byte| *byte == b'\n').enumerate() {
            out.extend_from_slice(line);
            if number > 0 {
                out.extend_from_slice(line);
            }
        }
    }
    if let Some(bytes) = fault.truncate {
        out.truncate(bytes);
    }
    if let Some(bytes) = fault.rubbish {
        // The same at each call: a multiplicative sequence that meets all byte values.
        *out = (0..bytes).map(|at| (at.wrapping_mul(167).wrapping_add(at >> 3) & 0xff) as u8).collect();
    }
}

/// The names that belong to a uid and a gid.
pub fn user(uid: u32, gid: u32) -> User {
    User { name: name_of("/etc/passwd", uid), uid, group: name_of("/etc/group", gid), gid }
}

/// The uid of a name.
pub fn uid_of(name: &str) -> Option<u32> {
    let text = std::fs::read_to_string("/etc/passwd").ok()?;
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next()? == name).then(|| fields.nth(1)?.parse().ok())?
    })
}

fn name_of(file: &str, id: u32) -> String {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let found = text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(id)).then(|| name.to_owned())
    });
    found.unwrap_or_else(|| id.to_string())
}
