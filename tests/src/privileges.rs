//! What only root can do, and what only the long form does.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Whether the tests run as root.
pub fn is_root() -> bool {
    rustix::process::getuid().is_root()
}

/// Says loudly that a test did nothing.
pub fn skipped(what: &str, why: &str) {
    use std::io::Write;
    let text = format!("\n*** SKIPPED *** {what}: {why}\n");
    eprintln!("{text}");
    // nextest keeps what passing tests print to itself: this goes past it.
    if std::env::var_os("NEXTEST").is_some() {
        let parent = std::os::unix::process::parent_id();
        if let Ok(mut stderr) = std::fs::OpenOptions::new().append(true).open(format!("/proc/{parent}/fd/2"))
        {
            let _ = stderr.write_all(text.as_bytes());
        }
    }
}

/// Whether the long form of the tests was asked for (`CLUSTER_FAULTS=long`).
pub fn long_form() -> bool {
    std::env::var_os("CLUSTER_FAULTS").is_some_and(|form| form == "long")
}

/// A tmpfs that is unmounted when it is dropped.
#[derive(Debug)]
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Fills it to its last block by a file, which is returned.
    pub fn fill(&self) -> PathBuf {
        use std::io::Write;
        let path = self.0.join("ballast");
        let mut file = std::fs::File::create(&path).unwrap();
        let mut size = 1 << 16;
        while size > 0 {
            match file.write(&vec![0; size]) {
                Ok(0) | Err(_) => size /= 2,
                Ok(_) => {}
            }
        }
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

/// A tmpfs of `kib` at `dir`, which is made; `None`, said loudly, where that cannot be.
pub fn small_disk(dir: &Path, kib: u32, what: &str) -> Option<SmallDisk> {
    if !is_root() {
        skipped(what, "a small disk is mounted by root alone");
        return None;
    }
    std::fs::create_dir_all(dir).unwrap();
    let size = format!("size={kib}k,mode=0700");
    let mounted =
        Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(dir).output().unwrap();
    if !mounted.status.success() {
        skipped(what, &String::from_utf8_lossy(&mounted.stderr));
        return None;
    }
    Some(SmallDisk(dir.to_owned()))
}
