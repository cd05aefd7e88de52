//! Step daemons: each runs one job at a time and is used again, as starting one costs more than starting a job.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt as _;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use super::{Engine, Exit, Key, Launch, Process, StartError, Why, processes};
use crate::wire;

/// Step daemons that wait for a job.
#[derive(Default)]
pub(super) struct Steps {
    idle: Mutex<Vec<Step>>,
    busy: Mutex<Vec<Slot>>,
}

struct Step {
    pid: i32,
    stdin: ChildStdin,
    job: Arc<Mutex<Option<(Key, u32)>>>,
}

impl Steps {
    /// Starts the process of a job that has its nodes.
    pub(super) fn start(&self, engine: &Arc<Engine>, key: Key, launch: &Launch) {
        let Some(run) = engine.lock().jobs.get(&key).map(|job| job.runs) else { return };
        let name = file_name(key, run);
        let mut launch = launch.clone();
        if !launch.script.is_empty() {
            use std::os::unix::ffi::OsStrExt as _;
            use std::os::unix::fs::OpenOptionsExt as _;
            let dir = engine.spool(&format!("job{name}"));
            let file = dir.join(if launch.script_name.is_empty() { "script" } else { &launch.script_name });
            let written = std::fs::create_dir_all(&dir).and_then(|()| {
                let mut options = std::fs::OpenOptions::new();
                let mut file = options.write(true).create(true).truncate(true).mode(0o700).open(&file)?;
                std::io::Write::write_all(&mut file, &launch.script)
            });
            if let Err(error) = written {
                engine.start_failed(key, run, &StartError::Exec(error.to_string()));
                return;
            }
            launch.argv.insert(0, file.as_os_str().as_bytes().to_vec());
        }
        let end_file = engine.spool(&format!("{name}.end"));
        let words = crate::stepd::encode(&launch, &end_file);
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let step = match idle {
            Some(step) => Ok(step),
            None => spawn(engine),
        };
        let sent = step.and_then(|mut step| {
            *step.job.lock().unwrap_or_else(PoisonError::into_inner) = Some((key, run));
            let pid = step.pid;
            // The reader thread puts the step back; it finds it in the slot of its own.
            wire::send(&mut step.stdin, b'L', &words)?;
            engine.steps.busy(step);
            Ok(pid)
        });
        if let Err(error) = sent {
            engine.start_failed(key, run, &StartError::Exec(error.to_string()));
        }
    }

    /// Keeps the stdin of a busy step where its reader thread finds it.
    fn busy(&self, step: Step) {
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        match busy.iter().position(|early| early.pid == step.pid) {
            // Its job has ended already: it is free.
            Some(at) => {
                busy.swap_remove(at);
                drop(busy);
                self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(step);
            }
            None => busy.push(Slot { pid: step.pid, step: Some(step) }),
        }
    }

    /// A step's job has ended.
    fn free(&self, pid: i32) {
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        match busy.iter().position(|slot| slot.pid == pid) {
            Some(at) => {
                if let Some(step) = busy.swap_remove(at).step {
                    drop(busy);
                    self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(step);
                }
            }
            None => busy.push(Slot { pid, step: None }),
        }
    }
}

struct Slot {
    pid: i32,
    step: Option<Step>,
}

fn file_name(key: Key, run: u32) -> String {
    match key.index {
        Some(index) => format!("{}_{index}.{run}", key.id),
        None => format!("{}.{run}", key.id),
    }
}

fn spawn(engine: &Arc<Engine>) -> std::io::Result<Step> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("--step").env_clear().current_dir("/").process_group(0);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn()?;
    let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(std::io::Error::from(std::io::ErrorKind::BrokenPipe));
    };
    let pid = i32::try_from(child.id()).unwrap_or(0);
    let job = Arc::new(Mutex::new(None));
    let (slot, engine) = (Arc::clone(&job), Arc::clone(engine));
    std::thread::spawn(move || {
        read(&engine, pid, &slot, BufReader::new(stdout));
        let _ = child.wait();
    });
    Ok(Step { pid, stdin, job })
}

/// Takes what a step says: `started PID`, `failed WHAT TEXT`, `ended STATUS CPU SYSTEM MEMORY`.
fn read(engine: &Arc<Engine>, pid: i32, slot: &Mutex<Option<(Key, u32)>>, lines: impl BufRead) {
    for line in lines.lines().map_while(Result::ok) {
        let Some((key, run)) = *slot.lock().unwrap_or_else(PoisonError::into_inner) else { continue };
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["started", shell] => {
                engine.started(key, run, Process { step: pid, shell: shell.parse().unwrap_or(0) });
            }
            ["ended", ..] => {
                engine.steps.free(pid);
                engine.process_ended(key, run, &exit_of(&words[1..]));
            }
            ["failed", what, ..] => {
                let text = words[2..].join(" ");
                let error = match *what {
                    "cwd" => StartError::Cwd(text),
                    "output" => StartError::Output(text),
                    _ => StartError::Exec(text),
                };
                engine.steps.free(pid);
                engine.start_failed(key, run, &error);
            }
            _ => {}
        }
    }
    if let Some((key, run)) = *slot.lock().unwrap_or_else(PoisonError::into_inner)
        && !engine.is_stopping()
    {
        engine.step_died(key, run, pid);
    }
}

fn exit_of(words: &[&str]) -> Exit {
    let number = |at: usize| words.get(at).and_then(|word| word.parse::<i64>().ok()).unwrap_or(0);
    Exit {
        status: i32::try_from(number(0)).unwrap_or(0),
        cpu: number(1),
        system: number(2),
        memory: u64::try_from(number(3)).unwrap_or(0),
    }
}

impl Engine {
    fn started(self: &Arc<Self>, key: Key, run: u32, process: Process) {
        let mut table = self.lock();
        if table.jobs.get(&key).is_some_and(|job| job.runs == run && job.is_active())
            && let Some(job) = table.job_mut(key)
        {
            job.process = Some(process);
            table.send_due(key);
        }
    }

    fn process_ended(self: &Arc<Self>, key: Key, run: u32, exit: &Exit) {
        {
            let mut table = self.lock();
            if table.jobs.get(&key).is_some_and(|job| job.runs == run && job.is_active()) {
                self.front.ended(&mut table, key, exit);
            }
        }
        self.remove_files(key, run);
        self.schedule();
    }

    fn start_failed(self: &Arc<Self>, key: Key, run: u32, error: &StartError) {
        {
            let mut table = self.lock();
            if table.jobs.get(&key).is_some_and(|job| job.runs == run && job.is_active()) {
                self.front.start_failed(&mut table, key, error);
            }
        }
        self.remove_files(key, run);
        self.schedule();
    }

    /// A step daemon is gone: the node failed, as far as the job goes.
    fn step_died(self: &Arc<Self>, key: Key, run: u32, step: i32) {
        {
            let mut table = self.lock();
            let lost = table.jobs.get(&key).is_some_and(|job| {
                job.runs == run && job.is_active() && job.process.is_none_or(|process| process.step == step)
            });
            if !lost {
                return;
            }
            if let Some(job) = table.job_mut(key) {
                job.kill = Some(super::Kill { why: Why::NodeFail, at: super::now(), plan: Vec::new() });
            }
            table.end(key, None);
        }
        self.schedule();
    }

    fn remove_files(&self, key: Key, run: u32) {
        let name = file_name(key, run);
        let _ = std::fs::remove_file(self.spool(&format!("{name}.end")));
        let _ = std::fs::remove_dir_all(self.spool(&format!("job{name}")));
    }

    /// Looks after jobs whose step daemons were started by a controller that was killed: they write their end
    /// into a file.
    pub(super) fn adopt(self: &Arc<Self>) {
        let orphans: Vec<(Key, u32, Option<Process>)> = {
            let table = self.lock();
            let orphans = table.active().filter(|job| job.start.is_some_and(|start| start < self.opened));
            orphans.map(|job| (job.key, job.runs, job.process)).collect()
        };
        for (key, run, process) in orphans {
            let file = self.spool(&format!("{}.end", file_name(key, run)));
            let alive = process.is_some_and(|process| processes::is_alive(process.step));
            match std::fs::read_to_string(&file) {
                Ok(text) if text.ends_with('\n') => {
                    let words: Vec<&str> = text.split_whitespace().collect();
                    self.process_ended(key, run, &exit_of(&words));
                }
                _ if alive => {}
                _ => self.step_died(key, run, process.map_or(0, |process| process.step)),
            }
        }
    }

    /// Kills what runs and ends the step daemons; for the end of the daemon.
    pub fn kill_all(&self) {
        let mut table = self.lock();
        let keys: Vec<Key> = table.active.iter().copied().collect();
        for key in keys {
            if let Some(process) = table.jobs.get(&key).and_then(|job| job.process) {
                processes::signal(process, 9, super::Scope::All);
            }
            table.end(key, None);
        }
        drop(table);
        self.steps.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
