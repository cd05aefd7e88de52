//! The claim on a root: one runner of a machine serves it, whatever directories runners have.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use cluster_localqueue::runner::StoreFailure;

/// A lock on `runner.<machine>.lock` in the root, held for life: with two runners a job would run twice. The file
/// names the directory of its holder, then, a line each, those of earlier ones which may have left something.
#[derive(Debug)]
pub struct Claim {
    file: File,
    path: PathBuf,
    home: PathBuf,
    former: Vec<PathBuf>,
    /// False on a file system without locks: another runner may serve the root, too.
    is_sure: bool,
}

impl Claim {
    /// Takes it for the runner whose directory is `home`.
    ///
    /// # Errors
    /// Where another runner has it; it is named.
    pub(super) fn take(root: &Path, machine: &str, home: &Path) -> Result<Self, StoreFailure> {
        let path = root.join(format!("runner.{}.lock", machine.replace('/', "_")));
        let failed = |error: io::Error| StoreFailure(format!("cannot claim {}: {error}", path.display()));
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(rustix::fs::OFlags::NONBLOCK.bits() as i32)
            .open(&path)
            .map_err(failed)?;
        let locked = file.try_lock();
        let mut text = Vec::new();
        file.read_to_end(&mut text).map_err(failed)?;
        let mut homes = homes(&text);
        let is_sure = locked.is_ok();
        match locked {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let holder = homes.next().unwrap_or_default();
                return Err(StoreFailure(format!(
                    "another runner serves the root {}: its directory is {}; use that one (CLUSTER_QUEUE_DIR), stop \
                     it, or take another root (--root)",
                    root.display(),
                    holder.display()
                )));
            }
            // A file system without locks: there the machine's own lock on the directory has to do.
            Err(TryLockError::Error(error)) => tracing::warn!("{} cannot be locked: {error}", path.display()),
        }
        let former = homes.filter(|former| former != home).collect();
        let mut claim = Self { file, path: path.clone(), home: home.to_owned(), former, is_sure };
        claim.write().map_err(failed)?;
        Ok(claim)
    }

    /// The directories of earlier runners that were not looked at since, where their things are ours now.
    pub(super) fn former(&self) -> Vec<PathBuf> {
        if self.is_sure { self.former.clone() } else { Vec::new() }
    }

    /// They were.
    pub(super) fn forget_former(&mut self) -> Result<(), StoreFailure> {
        self.former.clear();
        self.write().map_err(|error| StoreFailure(format!("cannot write {}: {error}", self.path.display())))
    }

    fn write(&mut self) -> io::Result<()> {
        let mut text = Vec::new();
        for home in [&self.home].into_iter().chain(&self.former) {
            text.extend_from_slice(home.as_os_str().as_bytes());
            text.push(b'\n');
        }
        self.file.rewind()?;
        // Killed in between, what is left names more directories than needed, never fewer.
        self.file.write_all(&text)?;
        self.file.set_len(text.len() as u64)
    }
}

fn homes(text: &[u8]) -> impl Iterator<Item = PathBuf> {
    text.split(|&b| b == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| PathBuf::from(std::ffi::OsString::from_vec(line.to_vec())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_names_who_was_there_before_until_that_is_settled() {
        let root = tempfile::tempdir().unwrap();
        let (a, b, c) = (Path::new("/q/a"), Path::new("/q/b"), Path::new("/q/long name c"));
        let take = |home: &Path| Claim::take(root.path(), "m/1", home);
        assert!(take(a).unwrap().former().is_empty());
        assert!(take(a).unwrap().former().is_empty());
        assert_eq!(take(b).unwrap().former(), [a]);
        let mut claim = take(c).unwrap();
        assert_eq!(claim.former(), [b, a]);
        let refused = take(a).unwrap_err().0;
        assert!(refused.contains("its directory is /q/long name c;"), "{refused}");
        claim.forget_former().unwrap();
        drop(claim);
        assert_eq!(take(a).unwrap().former(), [c]);
    }
}
