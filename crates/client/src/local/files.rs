//! A submission as its files describe it: what slots need to start its jobs.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cluster_core::job_script::{JOBS_PER_SHARD, parse_environment, shard, words_file};
use cluster_core::template::Template;
use cluster_core::{BatchId, ByteString, Command, JobIndex, JobSpec, SubmissionNumber};
use cluster_localqueue::files::make_private_dir;
use cluster_localqueue::runner::RootFiles;
use cluster_localqueue::submission::{Settings, Submission};

use crate::inputs::InputReader;
use crate::layout::Layout;

/// The submissions of one root.
#[derive(Debug)]
pub(super) struct DiskFiles {
    layout: Layout,
}

impl DiskFiles {
    pub(super) fn new(layout: Layout) -> Self {
        Self { layout }
    }
}

impl RootFiles for DiskFiles {
    fn submission(&self, batch: BatchId, k: SubmissionNumber) -> io::Result<Arc<dyn Submission>> {
        Ok(Arc::new(DiskSubmission::read(&self.layout, batch, k)?))
    }
}

/// One submission, read from `jobs/B`.
#[derive(Debug)]
pub struct DiskSubmission {
    settings: Settings,
    spec: JobSpec,
    inputs: Option<(InputReader, Template)>,
    /// The shard whose words file and directory are known to be there.
    prepared: Mutex<Option<u32>>,
}

impl DiskSubmission {
    /// Reads it.
    ///
    /// # Errors
    /// Where a file is missing or not of our making; the error names it.
    pub fn read(layout: &Layout, batch: BatchId, k: SubmissionNumber) -> io::Result<Self> {
        let named = |path: &Path| {
            let path = path.display().to_string();
            move |error: io::Error| io::Error::new(error.kind(), format!("{path}: {error}"))
        };
        let dir = layout.batch(batch);
        let spec_path = layout.spec(batch, k);
        let text = read_regular(&spec_path).map_err(named(&spec_path))?;
        let spec: JobSpec = serde_json::from_slice(&text).map_err(|e| named(&spec_path)(e.into()))?;
        let env_path = dir.join("env").join(format!("{}.sh", spec.environment));
        let env = read_regular(&env_path).map_err(named(&env_path))?;
        let env =
            parse_environment(&env).ok_or_else(|| named(&env_path)(io::ErrorKind::InvalidData.into()))?;
        let mut env: Vec<(OsString, OsString)> =
            env.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        for (name, value) in spec.resources.job_environment() {
            env.push((name.into(), value.to_string().into()));
        }
        env.push(("CLUSTER_DEPTH".into(), spec.depth.to_string().into()));
        let inputs = match (&spec.command, &spec.inputs) {
            (Command::Argv(words), Some(plan)) => {
                let template = Template::parse(words, &InputReader::columns(plan), plan);
                let inputs = dir.join("inputs");
                Some((InputReader::open(&inputs, plan.clone()).map_err(named(&inputs))?, template))
            }
            _ => None,
        };
        let settings = Settings {
            root: layout.root().to_owned(),
            k,
            direct: true,
            always_bare: false,
            // One job gains nothing by it, and with it its record could be lost.
            durable: spec.durable || spec.count == 1,
            env,
            cwd: spec.cwd.as_path().to_owned(),
            umask: spec.umask,
            stdin: spec.stdin.then(|| dir.join("stdin")),
            output: spec.output,
            time_limit: spec
                .resources
                .time
                .and_then(cluster_core::Walltime::as_secs)
                .map(Duration::from_secs),
            grace: Duration::from_millis(spec.grace_ms),
            pin: spec.pin,
            dir,
        };
        Ok(Self { settings, spec, inputs, prepared: Mutex::default() })
    }

    /// The words of one job.
    ///
    /// # Errors
    /// Where its inputs cannot be read.
    pub fn argv(&self, index: JobIndex) -> io::Result<Vec<ByteString>> {
        match (&self.spec.command, &self.inputs) {
            (Command::Argv(_), Some((inputs, template))) => {
                Ok(template.render(index, &inputs.of_job(index)?))
            }
            (Command::Argv(words), None) => Ok(words.clone()),
            (Command::Script { name, interpreter, args }, _) => {
                let path = self.settings.dir.join("script").join(name.as_path());
                let path = std::iter::once(ByteString::from(path));
                Ok(interpreter.iter().cloned().chain(path).chain(args.iter().cloned()).collect())
            }
        }
    }

    /// Writes the words of all jobs: on the node of a scheduler there is nothing of ours that could.
    ///
    /// # Errors
    /// Where the inputs cannot be read or the files not be written.
    pub(crate) fn write_all_words(&self) -> io::Result<()> {
        (0..=shard(self.spec.count.saturating_sub(1))).try_for_each(|shard| self.write_words(shard))
    }

    fn write_words(&self, shard: u32) -> io::Result<()> {
        let words_dir = self.settings.dir.join("cmd");
        let path = words_dir.join(format!("{shard}.sh"));
        if path.exists() {
            return Ok(());
        }
        make_private_dir(&words_dir)?;
        let first = shard * JOBS_PER_SHARD;
        let last = first.saturating_add(JOBS_PER_SHARD).min(self.spec.count);
        let jobs =
            (first..last).map(|index| Ok((index, self.argv(index)?))).collect::<io::Result<Vec<_>>>()?;
        write_new(&path, &words_file(jobs.iter().map(|(index, words)| (*index, words))))
    }

    /// The inputs of one job, as `map` was given them; none where there were none.
    ///
    /// # Errors
    /// Where they cannot be read.
    pub fn inputs(&self, index: JobIndex) -> io::Result<Vec<Vec<ByteString>>> {
        self.inputs.as_ref().map_or(Ok(Vec::new()), |(inputs, _)| inputs.of_job(index))
    }
}

impl Submission for DiskSubmission {
    fn settings(&self) -> &Settings {
        &self.settings
    }

    fn words(&self, index: JobIndex) -> io::Result<Vec<OsString>> {
        Ok(self.argv(index)?.into_iter().map(Into::into).collect())
    }

    fn prepare(&self, index: JobIndex) -> io::Result<()> {
        let shard = shard(index);
        let mut prepared = self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
        if *prepared == Some(shard) {
            return Ok(());
        }
        self.write_words(shard)?;
        make_private_dir(&self.settings.dir.join(shard.to_string()))?;
        *prepared = Some(shard);
        Ok(())
    }
}

/// Reads a file that is one: a FIFO in its place would keep a slot, with its cores, waiting for ever.
fn read_regular(path: &Path) -> io::Result<Vec<u8>> {
    use std::os::unix::fs::OpenOptionsExt;
    let flags = rustix::fs::OFlags::NONBLOCK.bits() as i32;
    let mut file = fs::OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is no regular file"));
    }
    let mut text = Vec::new();
    file.read_to_end(&mut text)?;
    Ok(text)
}

/// Writes a private file that appears whole or not at all.
pub(crate) fn write_new(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    write_private(Path::new(&name), text)?;
    fs::rename(&name, path)
}

/// Writes a private file, in a directory that nobody looks into yet.
pub(crate) fn write_private(path: &Path, text: &[u8]) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text)
}
