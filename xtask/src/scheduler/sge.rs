//! The real Grid Engine: one cell on one host.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;

use super::daemon::{self, Daemon};
use super::place::Place;
use super::sge_objects::Objects;
use super::slurm_accounting::detached;
use super::{apt, host_name, ports, ready, sge_conf as conf};

pub(crate) const PACKAGES: &[&str] = &["gridengine-master", "gridengine-exec", "gridengine-client"];

const PROGRAMS: &str = "/usr/lib/gridengine";
const SHARED: &str = "/usr/share/gridengine";
const CELL: &str = "default";

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Sge {
    place: Place,
    host: String,
}

impl Sge {
    pub(crate) fn new(place: Place) -> anyhow::Result<Self> {
        Ok(Self { place, host: host_name::full() })
    }

    /// Starts what does not run. Where all runs, nothing happens.
    pub(crate) fn up(&self) -> anyhow::Result<Vec<(String, String)>> {
        // The packages' own set-up fails where the name does not resolve.
        host_name::resolve(&self.host)?;
        apt::install(&self.place, PACKAGES)?;
        let place = &self.place;
        self.qmaster().go_on();
        if self.qmaster().is_up() && self.execd().is_up() && self.queues_are_up() {
            return Ok(self.variables());
        }
        place.make(&["root/default/common", "root/bin", "root/utilbin", "root/lib"], 0o755)?;
        place.make(&["spool/qmaster/job_scripts", "spool/execd", "run", "tmp", "log", "objects"], 0o755)?;
        let in_use = self.qmaster().is_up() || self.execd().is_up();
        ports::block(place, 2, in_use, 60)?;
        self.make_root()?;
        place.write_env(&self.variables())?;
        if !place.path("spool/db/.made").exists() {
            self.make_spool()?;
        }
        self.start_qmaster()?;
        Objects { place, host: &self.host, client: &|program| self.client(program) }.make()?;
        self.start_execd()?;
        Ok(self.variables())
    }

    /// The variables by which its commands find it, and by which tests find its qmaster.
    fn variables(&self) -> Vec<(String, String)> {
        let port: u16 = self.place.read("ports").and_then(|text| text.parse().ok()).unwrap_or(0);
        let pairs = [
            ("SGE_ROOT", self.place.text("root")),
            ("SGE_CELL", CELL.to_owned()),
            ("SGE_QMASTER_PORT", port.to_string()),
            ("SGE_EXECD_PORT", port.saturating_add(1).to_string()),
            ("SGE_ARCH", self.place.read("arch").unwrap_or_default()),
            ("SGE_CLUSTER_NAME", "testsge".to_owned()),
            ("CLUSTER_SCHED_CONTROLLER", format!("{PROGRAMS}/sge_qmaster")),
            ("CLUSTER_SCHED_CONTROLLER_PID", self.qmaster().pid_file.display().to_string()),
        ];
        pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    fn client(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.envs(self.variables()).env("LC_ALL", "C.UTF-8");
        command
    }

    fn qmaster(&self) -> Daemon {
        Daemon::new("sge_qmaster", self.place.path("spool/qmaster/qmaster.pid"))
    }

    /// Its directory has the name that the resolver gives this host.
    fn execd(&self) -> Daemon {
        let spool = self.place.path("spool/execd");
        let pid_files = fs::read_dir(&spool).into_iter().flatten().flatten();
        let found = pid_files.map(|entry| entry.path().join("execd.pid")).find(|file| file.exists());
        Daemon::new("sge_execd", found.unwrap_or_else(|| spool.join("none")))
    }

    /// A root of the shape of Debian's that leads into the packages.
    fn make_root(&self) -> anyhow::Result<()> {
        let place = &self.place;
        let arch = ready::must(&mut Command::new(format!("{SHARED}/util/arch")))?.stdout;
        let arch = String::from_utf8_lossy(&arch).trim().to_owned();
        place.write("arch", &arch, 0o644)?;
        for part in ["bin", "utilbin", "lib"] {
            link(Path::new(PROGRAMS), place.path(format!("root/{part}/{arch}")))?;
        }
        link(&Path::new(SHARED).join("util"), place.path("root/util"))?;
        let names = |words: &[&str]| ready::text(Command::new("getent").args(words)).unwrap_or_default();
        // `127.0.0.1 localhost`, and `127.0.1.1 STREAM the.canonical.name`.
        let back = names(&["hosts", "127.0.0.1"]);
        let back = back.split_whitespace().skip(1).collect::<Vec<_>>().join(" ");
        let forth = names(&["ahosts", &self.host]);
        let forth =
            forth.lines().filter_map(|line| line.split_whitespace().nth(2)).collect::<Vec<_>>().join(" ");
        let common = |name: &str| format!("root/{CELL}/common/{name}");
        place.write(&common("act_qmaster"), &format!("{}\n", self.host), 0o644)?;
        place.write(&common("cluster_name"), "testsge\n", 0o644)?;
        place.write(
            &common("host_aliases"),
            &conf::host_aliases(&self.host, &format!("{back} {forth}")),
            0o644,
        )?;
        place.write(&common("bootstrap"), &conf::bootstrap(place), 0o644)?;
        Ok(())
    }

    /// The spool with what every cell has.
    fn make_spool(&self) -> anyhow::Result<()> {
        let place = &self.place;
        let _ = fs::remove_dir_all(place.path("spool/db"));
        place.make(&["spool/db"], 0o755)?;
        let debian = fs::read_to_string(format!("{SHARED}/default-configuration"))
            .context("gridengine's default configuration is not where Debian puts it")?;
        place.write("objects/configuration", &conf::configuration(&debian, place), 0o644)?;
        let tool = |name: &str| self.client(&format!("{PROGRAMS}/{name}"));
        let db = place.text("spool/db");
        ready::must(tool("spoolinit").args(["berkeleydb", "libspoolb", &db, "init"]))?;
        let configuration = place.text("objects/configuration");
        for words in [
            ["configuration", &configuration].as_slice(),
            &["complexes", &format!("{SHARED}/util/resources/centry")],
            &["usersets", &format!("{SHARED}/util/resources/usersets")],
            &["managers", "root"],
        ] {
            ready::must(tool("spooldefaults").args(words))?;
        }
        fs::write(place.path("spool/db/.made"), "")?;
        Ok(())
    }

    fn start_qmaster(&self) -> anyhow::Result<()> {
        let daemon = self.qmaster();
        daemon.go_on();
        if !daemon.is_up() {
            let _ = fs::remove_file(&daemon.pid_file);
            // It would take an old one for the sign of another qmaster.
            let _ = fs::remove_file(self.place.path("spool/qmaster/lock"));
            detached(&self.place, &mut self.client(&format!("{PROGRAMS}/sge_qmaster")), "log/qmaster.start")?;
        }
        ready::wait("sge_qmaster", Some(&daemon), || ready::answers(self.client("qconf").arg("-sh")))
            .with_context(|| self.place.tail("spool/qmaster/messages"))
    }

    fn start_execd(&self) -> anyhow::Result<()> {
        if !self.execd().is_up() {
            let _ = fs::remove_file(&self.execd().pid_file);
            detached(&self.place, &mut self.client(&format!("{PROGRAMS}/sge_execd")), "log/execd.start")?;
        }
        ready::wait("some queue", None, || self.queues_are_up())
            .with_context(|| self.place.tail("spool/qmaster/messages"))
    }

    /// Whether both queues are there, and neither has a letter of a state: `au`, `E`.
    fn queues_are_up(&self) -> bool {
        let text = ready::text(self.client("qstat").arg("-f")).unwrap_or_default();
        let queues: Vec<usize> = text
            .lines()
            .filter(|line| line.starts_with("all.q@") || line.starts_with("long.q@"))
            .map(|line| line.split_whitespace().count())
            .collect();
        queues == [5, 5]
    }

    /// Deletes all jobs and ends the daemons, the execd first.
    pub(crate) fn down(&self) -> anyhow::Result<()> {
        if self.qmaster().is_up() {
            self.qmaster().go_on();
            ready::answers(self.client("qdel").args(["-u", "*"]));
            for _ in 0..50 {
                match ready::text(self.client("qstat").args(["-u", "*", "-s", "rs"])) {
                    Some(text) if !text.trim().is_empty() => std::thread::sleep(Duration::from_millis(200)),
                    _ => break,
                }
            }
            ready::answers(self.client("qdel").args(["-f", "-u", "*"]));
        }
        self.execd().stop(Duration::from_secs(15));
        // Shepherds outlive the execd; ours work below our spool.
        let spool = self.place.path("spool/execd");
        let is_ours = |process: &Path, pid| {
            daemon::program_of(pid).as_deref() == Some("sge_shepherd")
                && fs::read_link(process.join("cwd")).is_ok_and(|dir| dir.starts_with(&spool))
        };
        for pid in daemon::processes(is_ours) {
            daemon::end(pid, Duration::from_secs(5), "sge_shepherd");
        }
        self.qmaster().stop(Duration::from_secs(30));
        Ok(())
    }

    /// Whether its qmaster runs.
    pub(crate) fn is_up(&self) -> bool {
        self.qmaster().is_up()
    }

    /// Prints what runs; whether all does.
    pub(crate) fn status(&self) -> anyhow::Result<bool> {
        let daemons = [self.qmaster(), self.execd()];
        let up = daemons.iter().filter(|daemon| daemon.is_up()).count();
        let word = ["down", "partly up", "up"][up];
        println!("sge: {word}, in {}", self.place.dir().display());
        for daemon in &daemons {
            println!("{}", daemon.line());
        }
        if self.qmaster().is_up() {
            let queues = ready::text(self.client("qstat").arg("-f")).unwrap_or_default();
            for line in queues.lines().filter(|line| line.contains(".q@")) {
                println!("  {}", line.split_whitespace().collect::<Vec<_>>().join(" "));
            }
            println!("  . {}", self.place.env_file().display());
        }
        Ok(up == daemons.len() && self.queues_are_up())
    }
}

fn link(to: &Path, at: PathBuf) -> anyhow::Result<()> {
    if fs::read_link(&at).is_ok_and(|old| old == to) {
        return Ok(());
    }
    let _ = fs::remove_file(&at);
    symlink(to, &at).with_context(|| format!("cannot make {}", at.display()))
}
