//! A batch on its way into the root: its files, in a directory that has only a tag yet.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use cluster_core::{ByteString, JobSpec, Tag, job_script};
use cluster_localqueue::files::make_private_dir;

use crate::error::ClientError;
use crate::inputs::InputWriter;
use crate::layout::Layout;

/// The files of a batch before it has an id. Dropped without [`Stage::keep`], they are removed.
#[derive(Debug)]
pub struct Stage {
    dir: PathBuf,
    tag: Tag,
    sources: u32,
    kept: bool,
}

impl Stage {
    /// Makes the directory.
    ///
    /// # Errors
    /// What the file system says.
    pub fn create(layout: &Layout) -> Result<Self, ClientError> {
        layout.ensure().map_err(|e| ClientError::file("write to", layout.root(), e))?;
        let tag = crate::client::draw_tag().map_err(|e| ClientError::file("read", "/dev/urandom", e))?;
        let dir = layout.stage(&tag);
        make_private_dir(&dir).map_err(|e| ClientError::file("make", &dir, e))?;
        Ok(Self { dir, tag, sources: 0, kept: false })
    }

    /// Files that no batch will have, in a directory of their own below `dir`: the root need not be there.
    ///
    /// # Errors
    /// What the file system says.
    pub fn apart(dir: &Path) -> Result<Self, ClientError> {
        let tag = crate::client::draw_tag().map_err(|e| ClientError::file("read", "/dev/urandom", e))?;
        let dir = dir.join(format!("cluster-dry-run.{tag}"));
        make_private_dir(&dir).map_err(|e| ClientError::file("make", &dir, e))?;
        Ok(Self { dir, tag, sources: 0, kept: false })
    }

    /// Where they lie.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The tag by which the submission is found again.
    pub fn tag(&self) -> &Tag {
        &self.tag
    }

    /// Writes the environment that travels; the name of its file goes into the spec.
    ///
    /// # Errors
    /// What the file system says.
    pub fn environment(
        &self,
        spec: &mut JobSpec,
        variables: &[(ByteString, ByteString)],
    ) -> Result<(), ClientError> {
        let text = job_script::environment_file(variables.iter().map(|(name, value)| (name, value)));
        spec.environment = blake3::hash(&text).to_hex()[..16].to_owned();
        let dir = self.dir.join("env");
        make_private_dir(&dir).map_err(|e| ClientError::file("make", &dir, e))?;
        self.write(&dir.join(format!("{}.sh", spec.environment)), &text, 0o600)
    }

    /// Stores the text of a script.
    ///
    /// # Errors
    /// What the file system says.
    pub fn script(&self, name: &ByteString, text: &[u8]) -> Result<(), ClientError> {
        let dir = self.dir.join("script");
        make_private_dir(&dir).map_err(|e| ClientError::file("make", &dir, e))?;
        self.write(&dir.join(name.as_path()), text, 0o700)
    }

    /// Stores what is read as the jobs' standard input.
    ///
    /// # Errors
    /// Where it cannot be read or written.
    pub fn stdin(&self, from: &mut dyn Read) -> Result<(), ClientError> {
        let path = self.dir.join("stdin");
        let copied = self.create_file(&path, 0o600).and_then(|mut file| io::copy(from, &mut file));
        copied.map(drop).map_err(|e| ClientError::file("copy standard input to", &path, e))
    }

    /// Begins one more source of inputs; gives its number.
    ///
    /// # Errors
    /// What the file system says.
    pub fn inputs(&mut self) -> Result<(u32, InputWriter), ClientError> {
        let number = self.sources;
        self.sources += 1;
        Ok((number, InputWriter::create(&self.dir.join("inputs"), number)?))
    }

    /// Makes the directory of the outputs now, so that it can be watched before the job starts.
    ///
    /// # Errors
    /// What the file system says.
    pub fn shard(&self, number: u32) -> Result<(), ClientError> {
        let dir = self.dir.join(number.to_string());
        make_private_dir(&dir).map_err(|e| ClientError::file("make", &dir, e))
    }

    /// The files stay: whoever takes the batch in renames their directory.
    pub fn keep(mut self) {
        self.kept = true;
    }

    fn create_file(&self, path: &Path, mode: u32) -> io::Result<fs::File> {
        OpenOptions::new().write(true).create_new(true).mode(mode).open(path)
    }

    fn write(&self, path: &Path, text: &[u8], mode: u32) -> Result<(), ClientError> {
        let written = self.create_file(path, mode).and_then(|mut file| file.write_all(text));
        written.map_err(|e| ClientError::file("write", path, e))
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if !self.kept {
            let _ = fs::remove_dir_all(&self.dir);
        }
    }
}

/// Whether a stage has become the directory of its batch.
///
/// # Errors
/// Where the directory is another's: of a batch that a power cut, or a restored backup, took from the store, whose
/// number is given once more. What lies there is not what this one is to run.
pub(crate) fn is_made(stage: &Path, dir: &Path) -> io::Result<bool> {
    let made = dir.is_dir();
    if made && stage.is_dir() {
        let why = format!(
            "{} is there already, of a batch that the store lost: submit again, the number is another then",
            dir.display()
        );
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, why));
    }
    Ok(made)
}
