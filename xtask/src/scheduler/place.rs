//! The private directory of a scheduler.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use super::Kind;
use crate::workspace::Workspace;

/// The longest path that still leaves room for the sockets below it: the kernel allows 107 bytes.
const LONGEST: usize = 80;

/// See the [module](self).
#[derive(Debug, Clone)]
pub(crate) struct Place {
    dir: PathBuf,
}

impl Place {
    /// `$CLUSTER_SCHED_DIR`, else a directory beside the build.
    pub(crate) fn of(workspace: &Workspace, kind: Kind) -> anyhow::Result<Self> {
        let base = match std::env::var_os("CLUSTER_SCHED_DIR") {
            Some(dir) => std::path::absolute(dir)?,
            None => workspace.target.join("schedulers"),
        };
        let dir = base.join(kind.name());
        if dir.as_os_str().len() > LONGEST {
            bail!(
                "{} is too long for the sockets in it: name a shorter one by CLUSTER_SCHED_DIR",
                dir.display()
            );
        }
        // It stands unquoted in configuration files of both.
        let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@".contains(c);
        if !dir.to_str().is_some_and(|text| text.chars().all(plain)) {
            bail!(
                "{}: odd characters in its name; name another directory by CLUSTER_SCHED_DIR",
                dir.display()
            );
        }
        Ok(Self { dir })
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn exists(&self) -> bool {
        self.dir.is_dir()
    }

    /// A path in it.
    pub(crate) fn path(&self, below: impl AsRef<Path>) -> PathBuf {
        self.dir.join(below)
    }

    /// A path in it as text for a configuration file.
    pub(crate) fn text(&self, below: &str) -> String {
        self.path(below).display().to_string()
    }

    /// Makes directories in it.
    pub(crate) fn make(&self, below: &[&str], mode: u32) -> anyhow::Result<()> {
        for part in below {
            let dir = self.path(part);
            fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
            fs::set_permissions(&dir, fs::Permissions::from_mode(mode))?;
        }
        Ok(())
    }

    /// Holds off others who start or stop the same scheduler.
    pub(crate) fn lock(&self) -> anyhow::Result<File> {
        fs::create_dir_all(&self.dir).with_context(|| format!("cannot make {}", self.dir.display()))?;
        let path = self.dir.with_extension("lock");
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path)?;
        file.lock().with_context(|| format!("cannot lock {}", path.display()))?;
        Ok(file)
    }

    /// What a file in it holds, where it is there.
    pub(crate) fn read(&self, below: &str) -> Option<String> {
        fs::read_to_string(self.path(below))
            .ok()
            .map(|text| text.trim().to_owned())
            .filter(|text| !text.is_empty())
    }

    /// Writes a file; whether that changed it. It appears by rename.
    pub(crate) fn write(&self, below: &str, text: &str, mode: u32) -> anyhow::Result<bool> {
        let path = self.path(below);
        if fs::read(&path).is_ok_and(|old| old == text.as_bytes()) {
            return Ok(false);
        }
        let new = path.with_extension("new");
        let _ = fs::remove_file(&new);
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(mode).open(&new)?;
        file.write_all(text.as_bytes())?;
        fs::rename(&new, &path).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(true)
    }

    /// A secret of `len` random bytes, made once; the file is for root alone.
    pub(crate) fn secret(&self, below: &str, len: usize) -> anyhow::Result<()> {
        if fs::metadata(self.path(below)).is_ok_and(|meta| meta.len() > 0) {
            return Ok(());
        }
        let mut bytes = vec![0; len];
        File::open("/dev/urandom")?.read_exact(&mut bytes)?;
        let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        self.write(below, &text, 0o400).map(drop)
    }

    /// Where the variables are for shells.
    pub(crate) fn env_file(&self) -> PathBuf {
        self.path("env.sh")
    }

    /// Writes it.
    pub(crate) fn write_env(&self, variables: &[(String, String)]) -> anyhow::Result<()> {
        let text: String =
            variables.iter().map(|(name, value)| format!("export {name}='{value}'\n")).collect();
        self.write("env.sh", &text, 0o644).map(drop)
    }

    /// The end of a log, for messages.
    pub(crate) fn tail(&self, below: &str) -> String {
        let text = fs::read(self.path(below)).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }

    /// Removes it with all that is in it.
    pub(crate) fn remove(&self) -> anyhow::Result<()> {
        fs::remove_dir_all(&self.dir).with_context(|| format!("cannot remove {}", self.dir.display()))
    }
}
