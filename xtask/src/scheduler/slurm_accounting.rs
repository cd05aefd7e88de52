//! Slurm's accounting: munge, MariaDB and slurmdbd, all private.

use std::fs::{self, OpenOptions};
use std::process::{Command, Stdio};

use anyhow::Context as _;

use super::daemon::Daemon;
use super::place::Place;
use super::ready;
use super::slurm_conf::{CLUSTER, Conf};

pub(crate) fn munged(place: &Place) -> Daemon {
    Daemon::new("munged", place.path("run/munged.pid"))
}

pub(crate) fn mariadbd(place: &Place) -> Daemon {
    Daemon::new("mariadbd", place.path("run/mariadbd.pid"))
}

pub(crate) fn slurmdbd(place: &Place) -> Daemon {
    Daemon::new("slurmdbd", place.path("run/slurmdbd.pid"))
}

/// munge proves to the daemons who a user is; this one has a key and a socket of its own.
pub(crate) fn start_munge(place: &Place) -> anyhow::Result<()> {
    let daemon = munged(place);
    place.secret("munge.key", 64)?;
    let socket = place.text("munge/socket");
    if !daemon.is_up() {
        let _ = fs::remove_file(&socket);
        let mut command = Command::new("munged");
        // By force: the directories above ours may belong to whoever built this.
        command.arg("--force").arg(format!("--key-file={}", place.text("munge.key")));
        command.arg(format!("--socket={socket}")).arg(format!("--pid-file={}", daemon.pid_file.display()));
        command.arg(format!("--log-file={}", place.text("log/munged.log")));
        command.arg(format!("--seed-file={}", place.text("munged.seed"))).arg("--num-threads=10");
        detached(place, &mut command, "log/munged.start")?;
    }
    ready::wait("munged", Some(&daemon), || {
        ready::answers(Command::new("munge").args(["-S", &socket, "-n"]).stdin(Stdio::null()))
    })
    .with_context(|| place.tail("log/munged.log"))
}

/// The database.
pub(crate) fn start_database(conf: &Conf<'_>, password: &str) -> anyhow::Result<()> {
    let place = conf.place;
    let daemon = mariadbd(place);
    let data = place.text("db");
    if !daemon.is_up() {
        if !place.path("db/.made").exists() {
            let _ = fs::remove_dir_all(&data);
            let mut make = Command::new("mariadb-install-db");
            make.args(["--no-defaults", "--user=root", "--auth-root-authentication-method=normal"]);
            make.args(["--skip-test-db", "--skip-name-resolve", &format!("--datadir={data}")]);
            ready::must(&mut make)?;
            fs::write(place.path("db/.made"), "")?;
        }
        let mut command = Command::new("setsid");
        // Nothing of /etc; the letters as Debian has them; and no care for what lies on the disk: it is thrown away.
        command.args(["mariadbd", "--no-defaults", "--user=root", "--bind-address=127.0.0.1"]);
        command.args(["--character-set-server=utf8mb4", "--skip-name-resolve", "--skip-log-bin"]);
        command.args(["--innodb-buffer-pool-size=128M", "--innodb-log-file-size=64M"]);
        command.args(["--innodb-lock-wait-timeout=900", "--innodb-flush-log-at-trx-commit=2"]);
        command.args(["--innodb-doublewrite=0", "--performance-schema=0"]);
        command.arg(format!("--datadir={data}")).arg(format!("--port={}", conf.database_port()));
        command.arg(format!("--socket={}", place.text("run/db.socket")));
        command.arg(format!("--tmpdir={}", place.text("tmp")));
        command.arg(format!("--pid-file={}", daemon.pid_file.display()));
        let log = OpenOptions::new().create(true).append(true).open(place.path("log/mariadbd.log"))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        command.spawn().context("cannot start mariadbd")?;
    }
    ready::wait("mariadbd", Some(&daemon), || ready::answers(&mut sql(place, "select 1")))
        .with_context(|| place.tail("log/mariadbd.log"))?;
    let text = format!(
        "CREATE DATABASE IF NOT EXISTS slurm_acct_db; CREATE USER IF NOT EXISTS 'slurm'@'127.0.0.1'; ALTER USER \
         'slurm'@'127.0.0.1' IDENTIFIED BY '{password}'; GRANT ALL ON slurm_acct_db.* TO 'slurm'@'127.0.0.1';"
    );
    ready::must(&mut sql(place, &text)).map(drop)
}

fn sql(place: &Place, text: &str) -> Command {
    let mut command = Command::new("mariadb");
    command.args([
        "--no-defaults",
        &format!("--socket={}", place.text("run/db.socket")),
        "-uroot",
        "-e",
        text,
    ]);
    command
}

/// slurmdbd, and in it the cluster with an account for root.
pub(crate) fn start_accounting(conf: &Conf<'_>, client: &dyn Fn(&str) -> Command) -> anyhow::Result<()> {
    let daemon = slurmdbd(conf.place);
    if !daemon.is_up() {
        let _ = fs::remove_file(&daemon.pid_file);
        detached(conf.place, &mut client("slurmdbd"), "log/slurmdbd.start")?;
    }
    let ask = |words: &[&str]| ready::text(client("sacctmgr").arg("-nP").args(words)).unwrap_or_default();
    // Its first start makes some sixty tables, without which the controller would not start.
    ready::wait("slurmdbd", Some(&daemon), || {
        ready::answers(client("sacctmgr").args(["-n", "show", "cluster"]))
    })
    .with_context(|| conf.place.tail("log/slurmdbd.log"))?;
    let has = |text: &str, name: &str| text.lines().any(|line| line == name);
    let add = |words: &[&str]| ready::must(client("sacctmgr").arg("-iQ").args(words)).map(drop);
    if !has(&ask(&["show", "cluster", "format=Cluster"]), CLUSTER) {
        add(&["add", "cluster", CLUSTER])?;
    }
    if !has(&ask(&["show", "account", "format=Account"]), "research") {
        add(&["add", "account", "research", "Description=research", "Organization=lab"])?;
    }
    if ask(&["show", "assoc", "where", "user=root", "account=research", "format=User"]).trim().is_empty() {
        add(&["add", "user", "root", "account=research"])?;
    }
    Ok(())
}

/// Runs a program that goes to the background by itself; what it says before that goes to a file.
pub(crate) fn detached(place: &Place, command: &mut Command, log: &str) -> anyhow::Result<()> {
    let shown = crate::tool::line(command);
    let file = fs::File::create(place.path(log))?;
    // Not by a pipe: a daemon would hold it open.
    command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).current_dir(place.path("tmp"));
    let status = command.status().with_context(|| format!("cannot start `{shown}`"))?;
    if !status.success() {
        anyhow::bail!("`{shown}` failed ({status}):\n{}", place.tail(log));
    }
    Ok(())
}
