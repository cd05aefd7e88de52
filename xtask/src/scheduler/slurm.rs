//! The real Slurm: four nodes on one host, with accounting.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;

use super::daemon::{self, Daemon};
use super::place::Place;
use super::slurm_accounting::{self as accounting, detached};
use super::slurm_conf::{self as conf, CLUSTER, Conf, NODES};
use super::{Limits, apt, host_name, ports, ready};

pub(crate) const PACKAGES: &[&str] = &[
    "munge",
    "slurmctld",
    "slurmd",
    "slurm-client",
    "slurm-wlm-basic-plugins",
    "slurmdbd",
    "mariadb-server",
    "mariadb-client",
];

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Slurm {
    place: Place,
    host: String,
    limits: Limits,
}

impl Slurm {
    pub(crate) fn new(place: Place, limits: Limits) -> anyhow::Result<Self> {
        Ok(Self { place, host: host_name::short(), limits })
    }

    /// Starts what does not run. Where all runs and is configured as asked, nothing happens.
    pub(crate) fn up(&self) -> anyhow::Result<Vec<(String, String)>> {
        apt::install(&self.place, PACKAGES)?;
        let place = &self.place;
        host_name::resolve(&self.host)?;
        place.make(&["etc", "run", "log", "spool", "munge", "tmp"], 0o755)?;
        place.make(&["state"], 0o700)?;
        let was_up = self.daemons().iter().any(Daemon::is_up);
        let conf = Conf {
            place,
            host: &self.host,
            ports: ports::block(place, conf::PORTS, was_up, 0)?,
            limits: self.limits,
        };
        let changed = self.write(&conf)?;
        let password = place.read("etc/password").context("the database's password is gone")?;
        accounting::start_munge(place)?;
        accounting::start_database(&conf, &password)?;
        accounting::start_accounting(&conf, &|program| self.client(program))?;
        self.start_controller(&conf, changed)?;
        self.start_nodes()?;
        Ok(self.variables())
    }

    /// The variables by which its commands find it, and by which tests find its controller.
    fn variables(&self) -> Vec<(String, String)> {
        let controller = self.controller().pid_file.display().to_string();
        let pairs = [
            ("SLURM_CONF", self.place.text("etc/slurm.conf")),
            ("CLUSTER_SCHED_CONTROLLER", "slurmctld".to_owned()),
            ("CLUSTER_SCHED_CONTROLLER_PID", controller),
        ];
        pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// Writes the configuration; whether `slurm.conf` became another one.
    fn write(&self, conf: &Conf<'_>) -> anyhow::Result<bool> {
        let place = &self.place;
        place.secret("etc/password", 12)?;
        let password = place.read("etc/password").unwrap_or_default();
        // slurmdbd takes no configuration that others can read.
        place.write("etc/slurmdbd.conf", &conf.accounting(&password), 0o600)?;
        place.write("etc/plugstack.conf", "", 0o644)?;
        place.write("etc/cgroup.conf", conf::CGROUP, 0o644)?;
        place.write("etc/gres.conf", conf::GRES, 0o644)?;
        place.write_env(&self.variables())?;
        place.write("etc/slurm.conf", &conf.slurm(), 0o644)
    }

    /// One of its commands.
    fn client(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if ["SLURM", "SBATCH", "SQUEUE", "SACCT", "SINFO"].iter().any(|start| text.starts_with(start)) {
                command.env_remove(&name);
            }
        }
        command.env("SLURM_CONF", self.place.path("etc/slurm.conf")).env("LC_ALL", "C.UTF-8");
        command
    }

    fn controller(&self) -> Daemon {
        Daemon::new("slurmctld", self.place.path("run/slurmctld.pid"))
    }

    fn node(&self, name: &str) -> Daemon {
        let pid_file = self.place.path(format!("run/slurmd-{name}.pid"));
        Daemon { label: format!("slurmd -N {name}"), ..Daemon::new("slurmd", pid_file) }
    }

    /// All of them, in the order in which they start.
    fn daemons(&self) -> Vec<Daemon> {
        let place = &self.place;
        let first = [accounting::munged(place), accounting::mariadbd(place), accounting::slurmdbd(place)];
        first.into_iter().chain([self.controller()]).chain(NODES.map(|name| self.node(name))).collect()
    }

    fn start_controller(&self, conf: &Conf<'_>, changed: bool) -> anyhow::Result<()> {
        let daemon = self.controller();
        daemon.go_on();
        if !daemon.is_up() {
            let _ = fs::remove_file(&daemon.pid_file);
            detached(&self.place, &mut self.client("slurmctld"), "log/slurmctld.start")?;
        }
        ready::wait("slurmctld", Some(&daemon), || ready::answers(self.client("scontrol").arg("ping")))
            .with_context(|| self.place.tail("log/slurmctld.log"))?;
        if changed {
            ready::must(self.client("scontrol").arg("reconfigure"))?;
        }
        // Before that sacct knows no job of it.
        let registered = format!("{CLUSTER}|{}", conf.controller_port());
        ready::wait("the accounting's view of the controller", None, || {
            let words = ["-nP", "show", "cluster", "format=Cluster,ControlPort"];
            let text = ready::text(self.client("sacctmgr").args(words)).unwrap_or_default();
            text.lines().any(|line| line == registered)
        })
    }

    fn start_nodes(&self) -> anyhow::Result<()> {
        for name in NODES {
            let daemon = self.node(name);
            if !daemon.is_up() {
                self.place.make(&[&format!("spool/{name}")], 0o755)?;
                let _ = fs::remove_file(&daemon.pid_file);
                let log = format!("log/slurmd-{name}.start");
                detached(&self.place, self.client("slurmd").args(["-N", name]), &log)
                    .with_context(|| self.place.tail(&format!("log/slurmd-{name}.log")))?;
            }
        }
        let mut asked = 0;
        ready::wait("some node", None, || {
            asked += 1;
            if asked % 20 == 0 {
                // A test of an earlier life may have taken them down.
                let resume = format!("NodeName={}", NODES.join(","));
                ready::answers(self.client("scontrol").args(["update", &resume, "State=RESUME"]));
            }
            self.nodes().iter().all(|(_, state)| is_usable(state)) && self.nodes().len() == NODES.len()
        })
    }

    /// The nodes and their states. In one partition that has all of them.
    fn nodes(&self) -> Vec<(String, String)> {
        let words = ["-h", "-N", "-p", "long", "-o", "%N %t"];
        let text = ready::text(self.client("sinfo").args(words)).unwrap_or_default();
        text.lines()
            .filter_map(|line| line.split_once(' '))
            .map(|(a, b)| (a.into(), b.trim().into()))
            .collect()
    }

    /// Cancels all jobs and ends the daemons: the controller tells the accounting, which needs the database.
    pub(crate) fn down(&self) -> anyhow::Result<()> {
        if self.controller().is_up() {
            self.controller().go_on();
            let all = ready::text(self.client("squeue").args(["-h", "-o", "%u"])).unwrap_or_default();
            let mut users: Vec<&str> = all.lines().collect();
            users.sort_unstable();
            users.dedup();
            for user in users {
                ready::answers(self.client("scancel").args(["-u", user]));
            }
            let running = ["-h", "-t", "R,CG,S", "-o", "%i"];
            // Jobs outlive slurmd; what is not gone by then is killed below.
            for _ in 0..50 {
                match ready::text(self.client("squeue").args(running)) {
                    Some(text) if !text.trim().is_empty() => std::thread::sleep(Duration::from_millis(200)),
                    _ => break,
                }
            }
        }
        for name in NODES {
            self.node(name).stop(Duration::from_secs(10));
        }
        for pid in daemon::processes(|process, pid| self.is_step(process, pid)) {
            daemon::end(pid, Duration::from_secs(2), "slurmstepd");
        }
        for daemon in self.daemons().into_iter().take(4).rev() {
            daemon.stop(Duration::from_secs(60));
        }
        Ok(())
    }

    /// Whether a process is what is left of a job of this Slurm: its environment names our configuration.
    fn is_step(&self, process: &Path, pid: u32) -> bool {
        let ours = format!("SLURM_CONF={}", self.place.text("etc/slurm.conf"));
        let environment = || fs::read(process.join("environ")).unwrap_or_default();
        daemon::program_of(pid).is_some_and(|program| program.starts_with("slurmstepd"))
            && environment().split(|&byte| byte == 0).any(|pair| pair == ours.as_bytes())
    }

    /// Whether its controller runs.
    pub(crate) fn is_up(&self) -> bool {
        self.controller().is_up()
    }

    /// Prints what runs; whether all does.
    pub(crate) fn status(&self) -> anyhow::Result<bool> {
        let daemons = self.daemons();
        let up = daemons.iter().filter(|daemon| daemon.is_up()).count();
        let word = if up == daemons.len() {
            "up"
        } else if up == 0 {
            "down"
        } else {
            "partly up"
        };
        println!("slurm: {word}, in {}", self.place.dir().display());
        for daemon in &daemons {
            println!("{}", daemon.line());
        }
        if self.controller().is_up() {
            for (name, state) in self.nodes() {
                println!("  {name:<22} {state}");
            }
            let version = ready::text(self.client("scontrol").arg("--version")).unwrap_or_default();
            let jobs = ready::text(self.client("squeue").args(["-h", "-r", "-o", "%i"])).unwrap_or_default();
            println!("  {}, {} jobs in the queue", version.trim(), jobs.lines().count());
            println!("  . {}", self.place.env_file().display());
        }
        Ok(up == daemons.len())
    }
}

/// Exactly: `idle*` does not answer, and `drain` is no state to start in.
fn is_usable(state: &str) -> bool {
    ["idle", "mix", "alloc", "comp"].contains(&state)
}
