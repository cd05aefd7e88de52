//! A file that the user names and that is to appear whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};

use cluster_client::ClientError;

use crate::exit::usage;

/// Written beside the file and renamed. A device, a pipe or a terminal is no file that could be replaced: what is
/// written goes into it.
pub(crate) struct NewFile {
    path: PathBuf,
    beside: Option<PathBuf>,
}

impl NewFile {
    /// Refuses to overwrite without `force`.
    pub(crate) fn create(path: &Path, force: bool) -> anyhow::Result<Self> {
        let known = fs::metadata(path).ok();
        if known.as_ref().is_some_and(fs::Metadata::is_dir) {
            return Err(usage(format!("{} is a directory: name a file in it", path.display())));
        }
        if known.as_ref().is_some_and(|known| !known.is_file()) {
            return Ok(Self { path: path.to_owned(), beside: None });
        }
        if !force && path.symlink_metadata().is_ok() {
            return Err(usage(format!("{} is there already: overwrite it with --force", path.display())));
        }
        // A link stays one: what it leads to is replaced.
        let path = match known {
            Some(_) => fs::canonicalize(path).map_err(|e| ClientError::file("find", path, e))?,
            None => path.to_owned(),
        };
        let mut beside = path.as_os_str().to_owned();
        beside.push(format!(".{}.new", std::process::id()));
        Ok(Self { path, beside: Some(beside.into()) })
    }

    pub(crate) fn file(&self) -> anyhow::Result<File> {
        let file = match &self.beside {
            // Nobody else's, also not through a link that somebody put there.
            Some(beside) => OpenOptions::new().write(true).create_new(true).open(beside),
            None => OpenOptions::new().write(true).open(&self.path),
        };
        // The one beside it is not the user's to know of.
        Ok(file.map_err(|e| ClientError::file("write", &self.path, e))?)
    }

    pub(crate) fn finish(mut self) -> anyhow::Result<()> {
        let Some(beside) = &self.beside else { return Ok(()) };
        fs::rename(beside, &self.path).map_err(|e| ClientError::file("write", &self.path, e))?;
        self.beside = None;
        Ok(())
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if let Some(beside) = &self.beside {
            let _ = fs::remove_file(beside);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use super::*;

    fn write(path: &Path, force: bool, text: &str) -> anyhow::Result<()> {
        let file = NewFile::create(path, force)?;
        file.file()?.write_all(text.as_bytes())?;
        file.finish()
    }

    #[test]
    fn what_is_no_plain_file_is_written_into_and_stays() {
        write(Path::new("/dev/null"), true, "x").unwrap();
        let null = fs::metadata("/dev/null").unwrap();
        assert!(!null.is_file());
        let dir = tempfile::tempdir().unwrap();
        let (pipe, link) = (dir.path().join("pipe"), dir.path().join("link"));
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR)
            .unwrap();
        std::os::unix::fs::symlink(&pipe, &link).unwrap();
        let mut reader = OpenOptions::new().read(true).write(true).open(&pipe).unwrap();
        write(&link, false, "text").unwrap();
        let mut text = [0; 4];
        reader.read_exact(&mut text).unwrap();
        assert_eq!(&text, b"text");
        assert!(link.is_symlink() && !fs::metadata(&pipe).unwrap().is_file());
    }

    #[test]
    fn a_link_leads_to_what_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("file"), dir.path().join("link"));
        write(&file, false, "one").unwrap();
        std::os::unix::fs::symlink("file", &link).unwrap();
        assert!(write(&link, false, "two").is_err());
        write(&link, true, "three").unwrap();
        assert!(link.is_symlink());
        assert_eq!(fs::read_to_string(&file).unwrap(), "three");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
        // Given up, nothing is left of it.
        drop(NewFile::create(&file, true).unwrap().file().unwrap());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }
}
