//! `cluster init`: a root for the jobs of one project.

use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use cluster_client::ClientError;
use cluster_core::ByteString;

use crate::args::Common;
use crate::context::Context;
use crate::exit::{Exit, usage};
use crate::output::{json, talk};

/// The options of `init`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Commands find the nearest .cluster with a store in it from the working directory \
    upwards.\nWith --root that directory itself becomes the root. What is there already stays as it is.")]
pub(crate) struct Args {
    /// The project's directory, in which `.cluster` is made [default: here]
    dir: Option<PathBuf>,
}

pub(crate) fn run(mut common: Common, args: &Args) -> anyhow::Result<Exit> {
    let by_root = common.root.is_some();
    let root = target(common.root.take(), args.dir.as_deref())?;
    if let (false, Some(dir)) = (by_root, &args.dir) {
        // With the usual mode: only `.cluster` itself is private.
        std::fs::create_dir_all(dir).map_err(|e| ClientError::file("make", dir, e))?;
    }
    // Named like this it also works where there is no home.
    common.root = Some(root);
    let mut context = Context::new(common)?;
    let made = !context.client.layout().root().join("store.db").exists();
    context.client.init()?;
    let root = context.root.canonicalize().unwrap_or_else(|_| context.root.clone());
    if context.common.json {
        json(&serde_json::json!({ "v": 1, "root": ByteString::from(root), "made": made }))?;
        return Ok(Exit::GOOD);
    }
    path_line(&root)?;
    let other = context.env("CLUSTER_ROOT").map(|given| context.cwd.join(given));
    if let Some(other) = other.filter(|other| !by_root && other.canonicalize().ok().as_ref() != Some(&root)) {
        talk(&format!("cluster: CLUSTER_ROOT is set, so commands go on using {}", other.display()));
    }
    Ok(Exit::GOOD)
}

/// A path as data: byte for byte, also where it is no UTF-8.
pub(crate) fn path_line(path: &Path) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(path.as_os_str().as_bytes())?;
    out.write_all(b"\n")?;
    Ok(out.flush()?)
}

/// The root that is to be made.
fn target(root: Option<PathBuf>, dir: Option<&Path>) -> anyhow::Result<PathBuf> {
    match (root, dir) {
        (Some(_), Some(_)) => {
            Err(usage("--root names the root itself and DIR the directory around it: give one"))
        }
        (Some(root), None) => Ok(root),
        (None, dir) => Ok(dir.unwrap_or(Path::new(".")).join(".cluster")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_is_beside_the_project_or_the_one_named() {
        assert_eq!(target(None, None).unwrap(), Path::new("./.cluster"));
        assert_eq!(target(None, Some(Path::new("/p"))).unwrap(), Path::new("/p/.cluster"));
        assert_eq!(target(Some("/r".into()), None).unwrap(), Path::new("/r"));
        assert!(target(Some("/r".into()), Some(Path::new("/p"))).is_err());
    }
}
