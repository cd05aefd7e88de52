//! Waiting until a daemon answers.

use std::process::{Command, Output};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use super::daemon::Daemon;
use crate::tool;

/// A daemon that needs longer is taken for broken.
const BOUND: Duration = Duration::from_secs(90);
const AGAIN: Duration = Duration::from_millis(100);

/// Asks until the answer is yes; gives up early where `daemon` has died.
pub(crate) fn wait(
    what: &str,
    daemon: Option<&Daemon>,
    mut is_ready: impl FnMut() -> bool,
) -> anyhow::Result<()> {
    let since = Instant::now();
    let mut dead = None;
    while !is_ready() {
        if since.elapsed() > BOUND {
            bail!("{what} is not ready within {} s", BOUND.as_secs());
        }
        if let Some(daemon) = daemon {
            // A daemon writes its pid a moment after its start.
            let since = *dead.get_or_insert_with(Instant::now);
            if daemon.is_up() {
                dead = None;
            } else if since.elapsed() > Duration::from_secs(5) {
                bail!("{what} ended at its start");
            }
        }
        std::thread::sleep(AGAIN);
    }
    Ok(())
}

/// Whether the command ends well, what it prints thrown away.
pub(crate) fn answers(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

/// What a command printed where it ended well.
pub(crate) fn text(command: &mut Command) -> Option<String> {
    let output = command.output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs a command whose words are of interest only where it fails.
pub(crate) fn must(command: &mut Command) -> anyhow::Result<Output> {
    let shown = tool::line(command);
    let output = command.output().with_context(|| format!("cannot start `{shown}`"))?;
    if !output.status.success() {
        let said = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
        bail!("`{shown}` failed ({}):\n{}", output.status, String::from_utf8_lossy(&said).trim());
    }
    Ok(output)
}
