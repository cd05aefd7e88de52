//! Which configuration files count: [`discover`].

use std::fs::{self, Metadata};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The files that were found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Discovered {
    /// Those that count, in the order in which they are laid over each other.
    pub files: Vec<PathBuf>,
    /// Those that do not.
    pub skipped: Vec<Skipped>,
}

/// A file that does not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// The file.
    pub file: PathBuf,
    /// Why not, and what to do.
    pub reason: String,
}

/// The user's own file, then every `.cluster/config.yaml` from the outermost parent of `start` to `start` itself.
/// `start` is an absolute path; what does not exist is not mentioned.
///
/// A project file names commands that run as the user: it counts only if it and its `.cluster` directory belong
/// to the user with this `uid` or to root and nobody else can write them.
pub fn discover(start: &Path, user_config: Option<&Path>, uid: u32) -> Discovered {
    let mut found = Discovered::default();
    if let Some(file) = user_config {
        match fs::metadata(file) {
            Ok(metadata) if metadata.is_file() => found.files.push(file.to_owned()),
            // Reading a FIFO could wait for ever.
            Ok(_) => found.skip(file, "is no regular file".to_owned()),
            Err(e) if is_absent(&e) => {}
            Err(e) => found.skip(file, format!("cannot be looked at: {e}")),
        }
    }
    let mut parents: Vec<&Path> = start.ancestors().collect();
    parents.reverse();
    for parent in parents {
        let directory = parent.join(".cluster");
        let file = directory.join("config.yaml");
        if found.files.contains(&file) {
            continue;
        }
        match fs::metadata(&file) {
            Err(e) if is_absent(&e) => {}
            Err(e) => found.skip(&file, format!("cannot be looked at: {e}")),
            Ok(metadata) if !metadata.is_file() => found.skip(&file, "is no regular file".to_owned()),
            Ok(_) => match distrust(&directory, uid).or_else(|| distrust(&file, uid)) {
                Some(reason) => found.skip(&file, reason),
                None => found.files.push(file),
            },
        }
    }
    found
}

impl Discovered {
    fn skip(&mut self, file: &Path, reason: String) {
        self.skipped.push(Skipped { file: file.to_owned(), reason });
    }
}

fn is_absent(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

/// Why this file or directory is not to be trusted. A link has to be the user's too: whoever owns it chooses
/// what it leads to.
fn distrust(path: &Path, uid: u32) -> Option<String> {
    let shown = path.display();
    let ours = |metadata: &Metadata| metadata.uid() == uid || metadata.uid() == 0;
    match (fs::symlink_metadata(path), fs::metadata(path)) {
        (Ok(link), Ok(target)) => {
            if let Some(other) = [&link, &target].into_iter().find(|metadata| !ours(metadata)) {
                let owner = other.uid();
                Some(format!("{shown} belongs to the user with id {owner}, not to you (id {uid}) or root"))
            } else if target.mode() & 0o022 != 0 {
                let mode = target.mode() & 0o7777;
                Some(format!("others can write {shown} (mode {mode:04o}): `chmod go-w {shown}`"))
            } else {
                None
            }
        }
        (Err(e), _) | (_, Err(e)) => Some(format!("{shown} cannot be looked at: {e}")),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn project(at: &Path) -> PathBuf {
        let directory = at.join(".cluster");
        fs::create_dir_all(&directory).unwrap();
        chmod(&directory, 0o755);
        let file = directory.join("config.yaml");
        fs::write(&file, "nesting: refuse\n").unwrap();
        chmod(&file, 0o644);
        file
    }

    fn chmod(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn me(dir: &Path) -> u32 {
        fs::metadata(dir).unwrap().uid()
    }

    #[test]
    fn the_users_file_comes_first_and_the_nearest_project_last() {
        let dir = tempfile::tempdir().unwrap();
        let uid = me(dir.path());
        let inner = dir.path().join("a/b");
        fs::create_dir_all(&inner).unwrap();
        let (outer_file, inner_file) = (project(dir.path()), project(&inner));
        let user = dir.path().join("user.yaml");
        let ours = |found: Discovered| -> Vec<PathBuf> {
            found.files.into_iter().filter(|file| file.starts_with(dir.path())).collect()
        };
        // The user's file is not there yet.
        let found = discover(&inner.join("not/there"), Some(&user), uid);
        assert_eq!(ours(found), [outer_file.clone(), inner_file.clone()]);
        fs::write(&user, "").unwrap();
        assert_eq!(ours(discover(&inner, Some(&user), uid)), [user, outer_file.clone(), inner_file]);
        // One file in both roles is read once.
        assert_eq!(ours(discover(&dir.path().join("a"), Some(&outer_file), uid)), [outer_file]);
    }

    #[test]
    fn what_others_can_write_or_own_is_skipped_with_the_reason() {
        let dir = tempfile::tempdir().unwrap();
        let uid = me(dir.path());
        let file = project(dir.path());
        let reason = |uid: u32| {
            let found = discover(dir.path(), None, uid);
            assert!(!found.files.contains(&file));
            found.skipped.into_iter().find(|skipped| skipped.file == file).unwrap().reason
        };
        chmod(&file, 0o664);
        assert!(reason(uid).contains("config.yaml (mode 0664): `chmod go-w"));
        chmod(&file, 0o644);
        chmod(file.parent().unwrap(), 0o777);
        assert!(reason(uid).contains(".cluster (mode 0777)"));
        chmod(file.parent().unwrap(), 0o755);
        assert!(discover(dir.path(), None, uid).files.contains(&file));
        // Root's files count for everybody.
        if uid != 0 {
            assert!(reason(uid + 1).contains("belongs to the user with id"));
        } else {
            std::os::unix::fs::chown(&file, Some(4711), None).unwrap();
            assert!(reason(uid).contains("belongs to the user with id 4711"));
            assert!(discover(dir.path(), None, 4711).files.contains(&file));
        }
    }

    #[test]
    fn a_directory_and_a_loop_in_the_way_are_skipped() {
        let dir = tempfile::tempdir().unwrap();
        let uid = me(dir.path());
        let cluster = dir.path().join(".cluster");
        fs::create_dir(&cluster).unwrap();
        chmod(&cluster, 0o755);
        let file = cluster.join("config.yaml");
        fs::create_dir(&file).unwrap();
        let skipped = discover(dir.path(), None, uid).skipped;
        assert!(skipped.iter().any(|s| s.file == file && s.reason == "is no regular file"));
        fs::remove_dir(&file).unwrap();
        std::os::unix::fs::symlink(&file, &file).unwrap();
        let skipped = discover(dir.path(), None, uid).skipped;
        assert!(skipped.iter().any(|s| s.file == file && s.reason.contains("cannot be looked at")));
    }
}
