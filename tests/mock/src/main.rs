//! Mock schedulers: one program that is `sbatch`, `qsub` … by the name it is called by.
#![forbid(unsafe_code)]
#![allow(
    clippy::disallowed_methods,
    reason = "a program of its own: it reads its environment and starts jobs"
)]

use std::ffi::{OsStr, OsString};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use cluster_mock::{client, config, daemon, front, stepd};
use serde_json::Value;

const USAGE: &str = "\
usage: cluster-mock --init DIR slurm|pbs|torque|sge [KEY=VALUE …]   make a state directory, print how to use it
       cluster-mock --install BIN slurm|pbs|torque|sge              make the links alone, in BIN
       cluster-mock --set DIR KEY=VALUE …                           change its configuration while it runs
       cluster-mock --stop DIR                                      end its jobs and its daemon
";

fn main() -> ExitCode {
    let mut args = std::env::args_os();
    let own = args.next().unwrap_or_default();
    let args: Vec<OsString> = args.collect();
    let name =
        Path::new(&own).file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let code = if name.starts_with("cluster-mock") || name.starts_with("cluster_mock") {
        own_command(&args)
    } else {
        match state_dir(&own) {
            Some(dir) => client::run(&dir, &name, &args),
            None => {
                say(&format!("{name}: CLUSTER_MOCK_DIR is not set: cluster-mock --init DIR makes one\n"), 1)
            }
        }
    };
    ExitCode::from(u8::try_from(code & 0xff).unwrap_or(1))
}

/// The directory above the links, else `$CLUSTER_MOCK_DIR`: where two mocks are at hand, each command is of its own.
fn state_dir(own: &OsStr) -> Option<PathBuf> {
    above_link(own)
        .or_else(|| std::env::var_os("CLUSTER_MOCK_DIR").filter(|dir| !dir.is_empty()).map(PathBuf::from))
}

/// The state directory in whose `bin` the command was found.
fn above_link(own: &OsStr) -> Option<PathBuf> {
    let own = Path::new(own);
    let bin = if own.components().count() > 1 {
        own.parent()?.to_path_buf()
    } else {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path).find(|dir| dir.join(own).exists())?
    };
    let dir = bin.canonicalize().ok()?.parent()?.to_path_buf();
    dir.join("config.json").exists().then_some(dir)
}

fn own_command(args: &[OsString]) -> i32 {
    let words: Vec<String> = args.iter().map(|arg| arg.to_string_lossy().into_owned()).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let dir = args.get(1).map(PathBuf::from).unwrap_or_default();
    let done = match words.as_slice() {
        ["--step"] => return stepd::run(),
        ["--daemon", _] => daemon::run(&dir),
        ["--init", _, scheduler, keys @ ..] => init(&dir, scheduler, keys),
        ["--install", _, scheduler] => install(&dir, scheduler),
        ["--set", _, keys @ ..] => set(&dir, keys),
        ["--stop", _] => {
            client::stop(&dir);
            Ok(())
        }
        ["--help" | "-h"] => {
            let _ = std::io::stdout().write_all(USAGE.as_bytes());
            return 0;
        }
        _ => return say(USAGE, 2),
    };
    match done {
        Ok(()) => 0,
        Err(error) => say(&format!("cluster-mock: {error}\n"), 1),
    }
}

fn say(text: &str, code: i32) -> i32 {
    let _ = std::io::stderr().write_all(text.as_bytes());
    code
}

fn init(dir: &Path, scheduler: &str, keys: &[&str]) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    let front = front_of(scheduler)?;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let dir = dir.canonicalize()?;
    let mut defaults = front.defaults();
    defaults.scheduler = scheduler.to_owned();
    write(&dir, &serde_json::to_value(defaults)?)?;
    install(&dir.join("bin"), scheduler)?;
    if !keys.is_empty() {
        set(&dir, keys)?;
    }
    let (quoted, path) = (quote(&dir), quote(&dir.join("bin")));
    let text = format!("export CLUSTER_MOCK_DIR={quoted}\nexport PATH={path}:\"$PATH\"\n");
    std::io::stdout().write_all(text.as_bytes())
}

fn quote(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}

fn front_of(scheduler: &str) -> std::io::Result<Box<dyn front::FrontEnd>> {
    front::of(scheduler).ok_or_else(|| {
        std::io::Error::other(format!("no scheduler is called {scheduler:?}: use slurm, pbs, torque or sge"))
    })
}

fn install(bin: &Path, scheduler: &str) -> std::io::Result<()> {
    let front = front_of(scheduler)?;
    std::fs::create_dir_all(bin)?;
    let own = std::env::current_exe()?;
    for command in front.commands() {
        let link = bin.join(command);
        let _ = std::fs::remove_file(&link);
        std::os::unix::fs::symlink(&own, &link)?;
    }
    Ok(())
}

fn set(dir: &Path, keys: &[&str]) -> std::io::Result<()> {
    let bytes = std::fs::read(dir.join("config.json"))?;
    let mut value: Value = serde_json::from_slice(&bytes)?;
    for key in keys {
        let Some((path, text)) = key.split_once('=') else {
            return Err(std::io::Error::other(format!("{key:?} is not KEY=VALUE")));
        };
        let new = serde_json::from_str(text).unwrap_or_else(|_| Value::from(text));
        config::set(&mut value, path, new);
    }
    serde_json::from_value::<config::Config>(value.clone())
        .map_err(|error| std::io::Error::other(format!("not set: {error}")))?;
    write(dir, &value)?;
    client::reload(dir);
    Ok(())
}

fn write(dir: &Path, value: &Value) -> std::io::Result<()> {
    let new = dir.join(format!("config.json.{}", std::process::id()));
    std::fs::write(&new, serde_json::to_vec_pretty(value)?)?;
    std::fs::rename(new, dir.join("config.json"))
}
