//! `cluster local install`: the runner starts with the machine, by a systemd user unit or by cron.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cluster_client::ClientError;
use cluster_core::exec::LocalHost;
use cluster_core::host::{Host, HostError, Invocation, Stdin};
use cluster_core::{ByteString, ExitStatus, shell};
use serde_json::json;

use crate::context::Context;
use crate::exit::{Exit, usage};
use crate::output::{self, line, talk};

const UNIT: &str = "cluster-runner.service";

/// By which a unit is known as ours.
const UNIT_MARK: &str =
    "# Written by `cluster local install`; `cluster local install --remove` takes it away.";

/// By which a line of the crontab is known as ours.
const CRON_MARK: &str = "# cluster-runner";

/// The options of `local install`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Where a systemd user manager runs, a user unit is made, else a line in the crontab. \
    Where neither is there, the exit code is 3."
)]
pub(super) struct Args {
    /// Print what would be installed, and install nothing
    #[arg(long, conflicts_with = "remove")]
    print: bool,
    /// Take away what was installed
    #[arg(long)]
    remove: bool,
}

/// How something can be started with the machine here.
enum Way {
    /// A user unit in this directory.
    Systemd(PathBuf),
    /// The crontab, as it is now.
    Cron(Vec<u8>),
}

pub(super) fn run(context: &Context, args: &Args) -> anyhow::Result<Exit> {
    if args.remove {
        return remove(context);
    }
    let program = std::env::current_exe()?;
    let queue_dir = context.env("CLUSTER_QUEUE_DIR").map(|dir| context.cwd.join(dir));
    match find_way(context) {
        Ok(Way::Systemd(dir)) => {
            let text = unit(&program, queue_dir.as_deref())?;
            let path = dir.join(UNIT);
            if args.print {
                return print(context, "systemd", Some(&path), text.as_bytes());
            }
            let changed = install_unit(&dir, &text)?;
            if changed {
                reload();
            }
            done(context, "systemd", changed, &format!("the user unit {}", path.display()))?;
            if !Path::new("/var/lib/systemd/linger").join(&context.start().user).exists() {
                say(
                    context,
                    "cluster: it starts at your first login; `loginctl enable-linger` has it start with the machine",
                );
            }
            Ok(Exit::GOOD)
        }
        Ok(Way::Cron(before)) => {
            let entry = cron_line(&program, queue_dir.as_deref())?;
            if args.print {
                return print(context, "crontab", None, &entry);
            }
            let after = with_line(&before, Some(&entry));
            let changed = after != before;
            if changed && let Err(why) = write_crontab(after) {
                return Ok(out_of_reach(&why));
            }
            done(context, "crontab", changed, "a line in your crontab")?;
            Ok(Exit::GOOD)
        }
        Err(why) => Ok(out_of_reach(&format!(
            "{why}: after a restart of the machine the next `cluster` command that submits, or `cluster local start`, \
             starts the runner"
        ))),
    }
}

fn out_of_reach(why: &str) -> Exit {
    talk(&format!("cluster: {why}"));
    Exit::OUT_OF_REACH
}

fn say(context: &Context, text: &str) {
    if !context.common.quiet && !context.common.json {
        talk(text);
    }
}

fn done(context: &Context, way: &str, changed: bool, what: &str) -> anyhow::Result<()> {
    if context.common.json {
        output::json(&json!({ "v": 1, "way": way, "installed": true, "changed": changed }))?;
    }
    let before = if changed { "" } else { "as it was before, " };
    say(context, &format!("{before}{what} starts the runner with the machine"));
    Ok(())
}

fn print(context: &Context, way: &str, path: Option<&Path>, text: &[u8]) -> anyhow::Result<Exit> {
    if context.common.json {
        let path = path.map(|path| ByteString::from(path.to_owned()));
        let text = ByteString(text.to_vec());
        output::json(&json!({ "v": 1, "way": way, "path": path, "text": text }))?;
        return Ok(Exit::GOOD);
    }
    say(
        context,
        &match path {
            Some(path) => format!("the unit {}, enabled:", path.display()),
            None => "a line in the crontab:".to_owned(),
        },
    );
    line(String::from_utf8_lossy(text).trim_end())?;
    Ok(Exit::GOOD)
}

/// The directory of the user's own units.
fn unit_dir(context: &Context) -> Option<PathBuf> {
    let config = context.env("XDG_CONFIG_HOME").map(PathBuf::from).filter(|dir| dir.is_absolute());
    let config = config.or_else(|| Some(PathBuf::from(context.env("HOME")?).join(".config")));
    Some(config?.join("systemd/user"))
}

fn find_way(context: &Context) -> Result<Way, String> {
    let manager = context.env("XDG_RUNTIME_DIR").map(|dir| Path::new(dir).join("systemd/private"));
    if manager.is_some_and(|socket| socket.exists())
        && let Some(dir) = unit_dir(context)
    {
        return Ok(Way::Systemd(dir));
    }
    match read_crontab()? {
        Some(text) => Ok(Way::Cron(text)),
        None => {
            Err("there is neither a systemd user manager nor a crontab here, so nothing was installed"
                .to_owned())
        }
    }
}

/// What systemd is told. `%` begins its specifiers; the program's path is not searched for `$`.
fn unit(program: &Path, queue_dir: Option<&Path>) -> anyhow::Result<String> {
    let quoted = |text: &OsStr| match text.to_str().filter(|text| !text.contains(char::is_control)) {
        Some(text) => Ok(text.replace('\\', r"\\").replace('"', "\\\"").replace('%', "%%")),
        None => Err(usage(format!("a systemd unit cannot hold the path {}", text.display()))),
    };
    let environment = match queue_dir {
        Some(dir) => format!("Environment=\"CLUSTER_QUEUE_DIR={}\"\n", quoted(dir.as_os_str())?),
        None => String::new(),
    };
    // The runner is a process in the background: the unit stays active without one of its own, and its end
    // kills no job.
    Ok(format!(
        "{UNIT_MARK}\n[Unit]\nDescription=Runner of cluster, which starts queued jobs on the cores of this machine\n\n\
         [Service]\nType=oneshot\nRemainAfterExit=yes\nKillMode=process\n{environment}\
         ExecStart=\"{}\" local start\n\n[Install]\nWantedBy=default.target\n",
        quoted(program.as_os_str())?
    ))
}

/// Makes and enables the unit. Whether anything had to be done.
fn install_unit(dir: &Path, text: &str) -> anyhow::Result<bool> {
    let path = dir.join(UNIT);
    let failed = |e| ClientError::file("install", &path, e);
    let there = match fs::read_to_string(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        read => Some(read.map_err(failed)?),
    };
    if there.as_ref().is_some_and(|there| !there.starts_with(UNIT_MARK)) {
        return Err(usage(format!("{} is not of our making: move it away first", path.display())));
    }
    // What `systemctl --user enable` does, also where the manager cannot be reached at the moment.
    let wants = dir.join("default.target.wants");
    let link = wants.join(UNIT);
    let same = there.as_deref() == Some(text);
    let enabled = link.symlink_metadata().is_ok();
    if same && enabled {
        return Ok(false);
    }
    fs::create_dir_all(&wants).map_err(failed)?;
    if !same {
        let beside = dir.join(format!("{UNIT}.{}.new", std::process::id()));
        fs::write(&beside, text).and_then(|()| fs::rename(&beside, &path)).map_err(failed)?;
    }
    if !enabled {
        std::os::unix::fs::symlink(Path::new("..").join(UNIT), &link).map_err(failed)?;
    }
    Ok(true)
}

fn reload() {
    let invocation = command(["systemctl", "--user", "daemon-reload"]);
    let why = match LocalHost.run(&invocation) {
        Ok(output) if output.status.is_success() => return,
        Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        Err(error) => error.to_string(),
    };
    talk(&format!("cluster: systemd did not read its units anew ({why}): it will at the next start"));
}

fn command<'a>(words: impl IntoIterator<Item = &'a str>) -> Invocation {
    Invocation { timeout: Duration::from_secs(20), output_cap: 1 << 20, ..Invocation::new(words) }
}

/// The user's crontab, perhaps empty; `None` where there is no cron.
fn read_crontab() -> Result<Option<Vec<u8>>, String> {
    match LocalHost.run(&command(["crontab", "-l"])) {
        Ok(output) if output.truncated => {
            Err("the crontab is longer than 1 MiB: it is left alone".to_owned())
        }
        Ok(output) if output.status.is_success() => Ok(Some(output.stdout)),
        Ok(output) => {
            let stderr = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            // All that cron says where a user has none; anything else may hide one that we would overwrite.
            if output.status == ExitStatus::Exit(1) && stderr.contains("no crontab for") {
                Ok(Some(Vec::new()))
            } else {
                Err(format!("`crontab -l` failed ({stderr}), so nothing was changed"))
            }
        }
        Err(HostError::Start { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

fn write_crontab(text: Vec<u8>) -> Result<(), String> {
    match LocalHost.run(&Invocation { stdin: Stdin::Bytes(text), ..command(["crontab", "-"]) }) {
        Ok(output) if output.status.is_success() => Ok(()),
        Ok(output) => Err(format!("`crontab -` refused: {}", String::from_utf8_lossy(&output.stderr).trim())),
        Err(error) => Err(error.to_string()),
    }
}

/// The line for the crontab, which sh gets; cron itself ends a command at a bare `%`.
fn cron_line(program: &Path, queue_dir: Option<&Path>) -> anyhow::Result<Vec<u8>> {
    let mut text = b"@reboot ".to_vec();
    if let Some(dir) = queue_dir {
        text.extend_from_slice(b"CLUSTER_QUEUE_DIR=");
        text.extend_from_slice(&shell::quote(dir.as_os_str().as_bytes()));
        text.push(b' ');
    }
    text.extend_from_slice(&shell::quote(program.as_os_str().as_bytes()));
    if text.contains(&b'\n') {
        return Err(usage("a crontab cannot hold a path with a line feed"));
    }
    text.extend_from_slice(b" local start > /dev/null 2>&1 ");
    text.extend_from_slice(CRON_MARK.as_bytes());
    let escaped = text.iter().flat_map(|&byte| if byte == b'%' { vec![b'\\', b'%'] } else { vec![byte] });
    Ok(escaped.collect())
}

/// The crontab with this line of ours and no other; all else stays as it is.
fn with_line(before: &[u8], entry: Option<&[u8]>) -> Vec<u8> {
    let is_ours = |line: &[u8]| {
        let line = line.trim_ascii_end();
        line.starts_with(b"@reboot ") && line.ends_with(CRON_MARK.as_bytes())
    };
    if entry.is_some_and(|entry| before.split(|&b| b == b'\n').filter(|line| is_ours(line)).eq([entry])) {
        return before.to_vec();
    }
    let mut after: Vec<u8> =
        before.split_inclusive(|&b| b == b'\n').filter(|line| !is_ours(line)).flatten().copied().collect();
    if let Some(entry) = entry {
        if after.last().is_some_and(|&b| b != b'\n') {
            after.push(b'\n');
        }
        after.extend_from_slice(entry);
        after.push(b'\n');
    }
    after
}

/// Takes away both, whichever was installed.
fn remove(context: &Context) -> anyhow::Result<Exit> {
    let mut removed = Vec::new();
    if let Some(dir) = unit_dir(context)
        && remove_unit(&dir)?
    {
        reload();
        removed.push("systemd");
    }
    match read_crontab() {
        Ok(Some(before)) => {
            let after = with_line(&before, None);
            if after != before {
                if let Err(why) = write_crontab(after) {
                    return Ok(out_of_reach(&why));
                }
                removed.push("crontab");
            }
        }
        Ok(None) => {}
        Err(why) => return Ok(out_of_reach(&why)),
    }
    if context.common.json {
        output::json(&json!({ "v": 1, "installed": false, "removed": removed }))?;
    }
    say(
        context,
        &match removed[..] {
            [] => "nothing was installed".to_owned(),
            _ => format!("removed ({}): the runner no longer starts with the machine", removed.join(", ")),
        },
    );
    Ok(Exit::GOOD)
}

fn remove_unit(dir: &Path) -> anyhow::Result<bool> {
    let path = dir.join(UNIT);
    if !fs::read_to_string(&path).is_ok_and(|text| text.starts_with(UNIT_MARK)) {
        return Ok(false);
    }
    // The link first: without its unit it would be an error at each start.
    for path in [dir.join("default.target.wants").join(UNIT), path] {
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(ClientError::file("remove", path, error).into());
            }
            _ => {}
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_quotes_its_paths() {
        let text = unit(Path::new("/a b/100%/\"c"), Some(Path::new("/q\\x"))).unwrap();
        assert!(text.contains("ExecStart=\"/a b/100%%/\\\"c\" local start\n"), "{text}");
        assert!(text.contains("Environment=\"CLUSTER_QUEUE_DIR=/q\\\\x\"\n"), "{text}");
        assert!(unit(Path::new("/a\nb"), None).is_err());
    }

    #[test]
    fn a_unit_is_installed_once_and_removed() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("systemd/user");
        let text = unit(Path::new("/bin/cluster"), None).unwrap();
        assert!(install_unit(&dir, &text).unwrap());
        assert!(!install_unit(&dir, &text).unwrap());
        assert_eq!(fs::read_to_string(dir.join("default.target.wants").join(UNIT)).unwrap(), text);
        assert!(install_unit(&dir, &unit(Path::new("/usr/bin/cluster"), None).unwrap()).unwrap());
        assert!(remove_unit(&dir).unwrap());
        assert!(!remove_unit(&dir).unwrap());
        assert!(dir.join("default.target.wants").join(UNIT).symlink_metadata().is_err());
        fs::write(dir.join(UNIT), "[Unit]\n").unwrap();
        assert!(install_unit(&dir, &text).is_err());
        assert!(!remove_unit(&dir).unwrap());
    }

    #[test]
    fn the_crontab_keeps_all_other_lines() {
        let entry = cron_line(Path::new("/a b/100%/c"), Some(Path::new("/q"))).unwrap();
        let text = String::from_utf8(entry.clone()).unwrap();
        assert_eq!(
            text,
            "@reboot CLUSTER_QUEUE_DIR=/q '/a b/100\\%/c' local start > /dev/null 2>&1 # cluster-runner"
        );
        let before = b"# mine\n0 * * * * true # cluster-runner\n1 * * * * x";
        let after = with_line(before, Some(&entry));
        assert_eq!(after, [&before[..], b"\n", &entry, b"\n"].concat());
        assert_eq!(with_line(&after, Some(&entry)), after);
        let other = cron_line(Path::new("/bin/cluster"), None).unwrap();
        assert_eq!(with_line(&after, Some(&other)), [&before[..], b"\n", &other, b"\n"].concat());
        assert_eq!(with_line(&after, None), [&before[..], b"\n"].concat());
    }
}
