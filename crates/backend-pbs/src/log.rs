//! The scheduler's own output of a job: where it lies, and the cause that it names.

use std::path::{Path, PathBuf};

use cluster_core::Cause;

use crate::flavour::Flavour;

/// Where the log of the element at `position` is.
pub(crate) fn path(flavour: Flavour, log: &Path, position: Option<u32>) -> PathBuf {
    let Some(position) = position else { return log.to_owned() };
    let mut path = log.as_os_str().to_owned();
    path.push(match flavour {
        Flavour::OpenPbs => format!(".{position}"),
        Flavour::Torque => format!("-{position}"),
    });
    path.into()
}

/// The cause that the node's daemon wrote: `=>> PBS: job killed: walltime 65 exceeded limit 60`. The last one
/// counts: a job that was requeued appends. A cancel leaves nothing there, and the shell's `Terminated` stands
/// for both.
pub(crate) fn cause(text: &[u8]) -> Option<Cause> {
    const KEPT: usize = 64 << 10;
    let text = String::from_utf8_lossy(text.get(text.len().saturating_sub(KEPT)..).unwrap_or_default());
    text.lines().rev().find_map(|line| {
        let (_, why) = line.split_once("PBS: job killed: ")?;
        if !why.contains("exceeded") {
            return None;
        }
        match why.split_whitespace().next()? {
            "walltime" | "cput" | "pcput" => Some(Cause::Timeout),
            "mem" | "vmem" | "pmem" | "pvmem" => Some(Cause::OutOfMemory),
            _ => None,
        }
    })
}
