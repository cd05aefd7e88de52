//! Where everything lies in a root (design §4).

use std::io;
use std::path::{Path, PathBuf};

use cluster_core::job_script::shard;
use cluster_core::{BatchId, JobIndex, SubmissionNumber, Tag};
use cluster_localqueue::files::{make_private_dir, make_private_dirs};

/// The directories and files of one root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    root: PathBuf,
}

impl Layout {
    /// Of the root at `root`, an absolute path.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The root.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Makes the root with its directories, where they are missing.
    ///
    /// # Errors
    /// What the file system says.
    pub fn ensure(&self) -> io::Result<()> {
        let jobs = self.jobs();
        if jobs.is_dir() {
            return Ok(());
        }
        make_private_dirs(&self.root)?;
        for dir in ["events", "events/tmp", "events/new", "events/bad", "lib"] {
            make_private_dir(&self.root.join(dir))?;
        }
        let library = self.root.join("lib/cluster-job");
        if !library.exists() {
            std::fs::write(&library, crate::job_library::TEXT)?;
        }
        // Last, since its presence says that the rest is there.
        make_private_dir(&jobs)
    }

    /// All batches.
    pub fn jobs(&self) -> PathBuf {
        self.root.join("jobs")
    }

    /// One batch.
    pub fn batch(&self, batch: BatchId) -> PathBuf {
        self.jobs().join(batch.to_string())
    }

    /// A batch that has no id yet.
    pub fn stage(&self, tag: &Tag) -> PathBuf {
        self.jobs().join(format!("new.{tag}"))
    }

    /// The script of a submission.
    pub fn script(&self, batch: BatchId, k: SubmissionNumber) -> PathBuf {
        self.batch(batch).join(format!("job.{k}.sh"))
    }

    /// The spec of a submission.
    pub fn spec(&self, batch: BatchId, k: SubmissionNumber) -> PathBuf {
        self.batch(batch).join(format!("job.{k}.json"))
    }

    /// The pack of a submission.
    pub fn pack(&self, batch: BatchId, k: SubmissionNumber) -> PathBuf {
        self.batch(batch).join(format!("{k}.pack"))
    }

    /// A file of one job in one submission: `out`, `err` or `status`.
    pub fn job_file(&self, batch: BatchId, index: JobIndex, k: SubmissionNumber, suffix: &str) -> PathBuf {
        self.batch(batch).join(shard(index).to_string()).join(format!("{index}.{k}.{suffix}"))
    }
}
