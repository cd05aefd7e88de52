//! A mock scheduler of one test's own.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::kind::Kind;
use crate::binary::mock_binary;

/// Three seconds for a minute's limit, and short waits for what does not answer.
const QUICK: [&str; 5] = [
    "timing.limit_scale=0.05",
    "timing.kill_wait=1.0",
    "timing.min_job_age=5.0",
    "timing.message_timeout=2.0",
    "timing.connect_timeout=1.0",
];

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Mock {
    dir: PathBuf,
    sample: bool,
}

impl Mock {
    pub(crate) fn new(kind: Kind, dir: &Path) -> Self {
        let mock = Self { dir: dir.to_owned(), sample: kind == Kind::Sample };
        if mock.sample {
            mock.link_sample();
            return mock;
        }
        mock.tool("--init", [kind.name()].into_iter().chain(QUICK));
        if kind != Kind::Slurm {
            // As the real ones of the tests; Slurm's own counts the index.
            mock.set("limits.max_array", json!(2000));
        }
        if kind == Kind::Sge {
            mock.set("timing.limit_scale", json!(1.0));
        }
        if matches!(kind, Kind::Pbs | Kind::Torque) {
            let text = fs::read(dir.join("config.json")).unwrap();
            let config: Value = serde_json::from_slice(&text).unwrap();
            let mut queues = config["cluster"]["queues"].clone();
            let brief = json!({ "name": "brief", "max_time": 120, "default_time": 60 });
            queues.as_array_mut().unwrap().push(brief);
            mock.set("cluster.queues", queues);
        }
        mock
    }

    /// The commands of the sample are links to its script.
    fn link_sample(&self) {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/sample-backend/mock/plain");
        let script = Path::new(script).canonicalize().unwrap();
        fs::create_dir_all(self.bin()).unwrap();
        for name in ["psub", "pstat", "pdel", "phold", "prel", "run"] {
            std::os::unix::fs::symlink(&script, self.bin().join(name)).unwrap();
        }
    }

    /// Its state.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Its commands.
    pub(crate) fn bin(&self) -> PathBuf {
        self.dir.join("bin")
    }

    /// Sets one value of its configuration, by its path with dots; `null` removes it. It holds at once.
    #[track_caller]
    pub(crate) fn set(&self, path: &str, value: Value) {
        if self.sample {
            assert_eq!(path, "faults.controller", "the sample's mock has no other fault");
            return fs::write(self.dir.join("fault"), value.as_str().unwrap_or_default()).unwrap();
        }
        self.tool("--set", [format!("{path}={value}").as_str()]);
    }

    #[track_caller]
    fn tool<'w>(&self, option: &str, words: impl IntoIterator<Item = &'w str>) {
        let words = words.into_iter().map(OsString::from);
        let output = Command::new(mock_binary()).arg(option).arg(&self.dir).args(words).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "cluster-mock {option}: {}: {said}", output.status);
    }
}
