//! Which kind of file system the store lies on: it decides the journal and the locks.

use std::path::Path;

/// What a file system means for SQLite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileSystem {
    /// A disk of this host: write-ahead log, shared memory, locks that work.
    Local,
    /// Shared between hosts, by its name: rollback journal, full sync.
    Network(&'static str),
}

/// The magic numbers of `statfs(2)` that mean "shared between hosts".
const NETWORK: [(u32, &str); 9] = [
    (0x6969, "NFS"),
    (0x0BD0_0BD3, "Lustre"),
    (0x4750_4653, "GPFS"),
    (0xFF53_4D42, "CIFS"),
    (0xFE53_4D42, "SMB2"),
    (0x0000_517B, "SMB"),
    (0x1983_0326, "BeeGFS"),
    (0x00C3_6400, "Ceph"),
    // sshfs, and most other things of that kind; a local one only loses some speed.
    (0x6573_5546, "FUSE"),
];

impl FileSystem {
    /// The kind that goes with a `statfs` magic.
    ///
    /// ```
    /// use cluster_jobsdb::FileSystem;
    /// assert_eq!(FileSystem::from_magic(0x6969), FileSystem::Network("NFS"));
    /// assert_eq!(FileSystem::from_magic(0xEF53), FileSystem::Local);
    /// ```
    pub fn from_magic(magic: u32) -> Self {
        let known = NETWORK.iter().find(|(number, _)| *number == magic);
        known.map_or(Self::Local, |(_, name)| Self::Network(name))
    }

    /// The kind that `path` lies on.
    ///
    /// # Errors
    /// Where `path` is not there or cannot be asked about.
    pub fn of(path: &Path) -> std::io::Result<Self> {
        // The field's type differs between platforms; the magic is 32 bits wide on each, and some
        // (CIFS, SMB2) have the highest set, which a signed field extends.
        Ok(Self::from_magic(rustix::fs::statfs(path)?.f_type as u32))
    }

    /// Whether several hosts may see it.
    pub fn is_network(self) -> bool {
        matches!(self, Self::Network(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_magic_has_its_name() {
        for (magic, name) in NETWORK {
            assert_eq!(FileSystem::from_magic(magic), FileSystem::Network(name));
        }
        // ext4, xfs, btrfs, tmpfs, overlayfs, zfs
        for local in [0xEF53, 0x5846_5342, 0x9123_683E, 0x0102_1994, 0x794C_7630, 0x2FC1_2FC1] {
            assert_eq!(FileSystem::from_magic(local), FileSystem::Local);
        }
    }

    #[test]
    fn a_sign_extended_magic_is_the_same() {
        assert_eq!(
            FileSystem::from_magic(i64::from(0xFF53_4D42_u32 as i32) as u32),
            FileSystem::Network("CIFS")
        );
    }

    #[test]
    fn a_real_directory_has_a_kind() {
        let root = tempfile::tempdir().unwrap();
        FileSystem::of(root.path()).unwrap();
        assert!(FileSystem::of(&root.path().join("none")).is_err());
    }
}
