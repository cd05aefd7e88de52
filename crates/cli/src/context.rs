//! What a command works with: environment, root, configuration, client. The only reader of the environment.

use std::collections::HashMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use cluster_client::system::Surroundings;
use cluster_client::{Client, Lender, Scheduling, Settings};
use cluster_core::{ByteString, JobId, JobSpec, Selector};
use cluster_jobsdb::Selection;
use cluster_localqueue::capacity::Amount;
use cluster_localqueue::launch::Launch;
use cluster_localqueue::runner::{Place, need_of};
use cluster_options::config::{Config, discover};

use crate::allocation::Allocation;
use crate::args::Common;
use crate::choose;
use crate::exit::usage;
use crate::output::talk;
use crate::runner_process::{self, Foreground, Start};

/// See the [module](self).
pub(crate) struct Context {
    env: HashMap<OsString, OsString>,
    pub(crate) config: Config,
    pub(crate) cwd: PathBuf,
    pub(crate) root: PathBuf,
    pub(crate) client: Client,
    start: Start,
    foreground: Option<Foreground>,
    surroundings: Surroundings,
    /// The user's own configuration file, whether it is there or not.
    pub(crate) user_config: Option<PathBuf>,
    /// Where a small answer of the user is kept that does not go into the configuration.
    pub(crate) state_dir: Option<PathBuf>,
    pub(crate) common: Common,
}

/// Tracing to stderr, as `CLUSTER_LOG` says; quiet but for errors without it.
pub(crate) fn log_to_stderr() {
    #[allow(clippy::disallowed_methods)] // This module reads the environment.
    let level = std::env::var("CLUSTER_LOG").unwrap_or_else(|_| "info".to_owned());
    let filter = tracing_subscriber::EnvFilter::try_new(&level).unwrap_or_else(|_| "info".into());
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init();
}

impl Drop for Context {
    fn drop(&mut self) {
        self.client.leave_open();
    }
}

impl Context {
    /// Looks around. No file is made and no process started.
    pub(crate) fn new(common: Common) -> anyhow::Result<Self> {
        let env: HashMap<_, _> = std::env::vars_os().collect();
        let cwd =
            std::env::current_dir().map_err(|e| usage(format!("the working directory is gone: {e}")))?;
        let get = |name: &str| env.get(OsString::from(name).as_os_str()).filter(|value| !value.is_empty());
        let home = get("HOME").map(PathBuf::from);
        let under = |name: &str, below: &str| {
            get(name)
                .map(PathBuf::from)
                .filter(|dir| dir.is_absolute())
                .or_else(|| Some(home.as_ref()?.join(below)))
        };
        let user_config = under("XDG_CONFIG_HOME", ".config").map(|dir| dir.join("cluster/config.yaml"));
        let found = discover(&cwd, user_config.as_deref(), rustix::process::getuid().as_raw());
        for skipped in &found.skipped {
            talk(&format!("cluster: {} is not used: {}", skipped.file.display(), skipped.reason));
        }
        let config = Config::from_files_with(&found.files, &crate::schedulers::others())?;
        let given = common.root.clone().or_else(|| get("CLUSTER_ROOT").map(PathBuf::from));
        let root = match given {
            Some(root) => cwd.join(root),
            None => match nearest_root(&cwd) {
                Some(root) => root,
                None => under("XDG_DATA_HOME", ".local/share").map(|dir| dir.join("cluster")).ok_or_else(|| {
                    usage("there is no $HOME to keep jobs in: name a root with --root, or make one here by `cluster init`")
                })?,
            },
        };
        // Two spellings of one root would be two roots to the runner.
        let root = root.canonicalize().unwrap_or(root);
        let host = rustix::system::uname();
        let allocation = Allocation::of(&env, &host.nodename().to_string_lossy());
        let base = Place::new(get("CLUSTER_QUEUE_DIR").map(|dir| cwd.join(dir)));
        let place = allocation.as_ref().map_or_else(|| base.clone(), |ours| ours.place(&base));
        let user = user_name(&get);
        let start = Start {
            place: place.clone(),
            root: root.clone(),
            cores: config.local.cores,
            memory: config.local.memory,
            idle_exit: config
                .local
                .idle_exit
                .as_secs()
                .map_or(std::time::Duration::from_secs(u64::MAX / 4), std::time::Duration::from_secs),
            log: get("CLUSTER_LOG").map(|level| level.to_string_lossy().into_owned()),
            runtime_dir: get("XDG_RUNTIME_DIR").map(PathBuf::from),
            user: user.clone(),
            allocation,
        };
        let launch = start.clone();
        let environment = env.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        let surroundings = Surroundings { env: environment, place: base, user: user.clone() };
        let (known, around) = (config.clone(), surroundings.clone());
        let client = Client::new(Settings {
            root: root.clone(),
            place,
            launcher: Some(Box::new(move || runner_process::command(&launch))),
            user,
            terminal: terminal(),
            systems: Some(Box::new(move |name| choose::by_name(&known, &around, name))),
            scheduling: Scheduling {
                lost_after: config.lost_after.and_then(cluster_core::Walltime::as_duration),
                gate_wait: config.gate_wait,
                submit_retries: config.submit_retries,
            },
        });
        let state_dir = under("XDG_STATE_HOME", ".local/state").map(|dir| dir.join("cluster"));
        Ok(Self {
            env,
            config,
            cwd,
            root,
            client,
            start,
            foreground: None,
            surroundings,
            user_config,
            state_dir,
            common,
        })
    }

    /// A variable that is set and not empty.
    pub(crate) fn env(&self, name: &str) -> Option<&OsString> {
        self.env.get(OsString::from(name).as_os_str()).filter(|value| !value.is_empty())
    }

    /// The whole environment.
    pub(crate) fn environment(&self) -> Vec<(ByteString, ByteString)> {
        let mut all: Vec<_> =
            self.env.iter().map(|(name, value)| (name.clone().into(), value.clone().into())).collect();
        // The same environment is the same file, whatever order it came in.
        all.sort();
        all
    }

    /// What the systems are told of where they are used.
    pub(crate) fn surroundings(&self) -> Surroundings {
        self.surroundings.clone()
    }

    /// The job that we run in, if we do.
    pub(crate) fn enclosing(&self) -> Option<Lender> {
        let job: JobId = self.env("CLUSTER_JOB_ID")?.to_str()?.parse().ok()?;
        Some(Lender { root: PathBuf::from(self.env("CLUSTER_ROOT")?), job })
    }

    /// How deep in jobs that submit jobs we are.
    pub(crate) fn depth(&self) -> u32 {
        let depth = self.env("CLUSTER_DEPTH").and_then(|depth| depth.to_str()?.parse::<u32>().ok());
        if self.enclosing().is_some() { depth.unwrap_or(0) + 1 } else { 0 }
    }

    /// What jobs may take: the runner's word where one runs, else the configuration's.
    pub(crate) fn limit(&self) -> Amount {
        self.client.status().ok().flatten().map_or_else(|| self.start.limit(), |report| report.limit)
    }

    /// From here on jobs run inside this process, and end with it.
    pub(crate) fn go_foreground(&mut self, launch: Box<dyn Launch>) -> anyhow::Result<()> {
        let foreground = Foreground::start(&self.start, launch)?;
        self.client.use_runner(foreground.place().clone());
        self.foreground = Some(foreground);
        Ok(())
    }

    /// It takes no more than these jobs need.
    pub(crate) fn keep_for(&mut self, spec: &JobSpec) -> anyhow::Result<()> {
        let one = need_of(&spec.resources);
        let all = Amount {
            cores: one.cores.saturating_mul(spec.count),
            mem_mb: one.mem_mb.saturating_mul(spec.count.into()),
        };
        self.foreground.as_mut().map_or(Ok(()), |foreground| foreground.keep(all))
    }

    /// Ends that, when all is done.
    pub(crate) fn leave_foreground(&mut self) {
        self.foreground = None;
    }

    /// Whether they do.
    pub(crate) fn is_foreground(&self) -> bool {
        self.foreground.is_some()
    }

    /// How a runner is started from here.
    pub(crate) fn start(&self) -> &Start {
        &self.start
    }

    /// The selected jobs; `last` says which it is.
    pub(crate) fn select(&mut self, selectors: &[Selector]) -> anyhow::Result<Vec<Selection>> {
        let selected = self.client.select(selectors)?;
        if selectors.contains(&Selector::Last)
            && let Some(last) = selected.iter().max_by_key(|one| one.batch)
        {
            talk(&format!("last is batch {}", last.batch));
        }
        Ok(selected)
    }

    /// The same, where there is nothing to do without any.
    pub(crate) fn select_some(&mut self, selectors: &[Selector]) -> anyhow::Result<Vec<Selection>> {
        let selected = self.select(selectors)?;
        if selected.is_empty() {
            let named: Vec<_> = selectors.iter().map(ToString::to_string).collect();
            return Err(usage(format!("no job is selected: nothing matches {}", named.join(" or "))));
        }
        Ok(selected)
    }
}

/// The nearest `.cluster` above that holds a store; one with only a config is no root.
fn nearest_root(cwd: &Path) -> Option<PathBuf> {
    cwd.ancestors().map(|dir| dir.join(".cluster")).find(|dir| dir.join("store.db").is_file())
}

fn terminal() -> Option<String> {
    ["/proc/self/fd/0", "/proc/self/fd/1", "/proc/self/fd/2"].iter().find_map(|fd| {
        let target = std::fs::read_link(fd).ok()?.to_str()?.to_owned();
        (target.starts_with("/dev/pts/") || target.starts_with("/dev/tty")).then_some(target)
    })
}

/// The name of this user. `getpwuid` cannot be in a static binary: its file is read, else `$USER` is taken.
fn user_name<'a>(get: &dyn Fn(&str) -> Option<&'a OsString>) -> String {
    let uid = rustix::process::getuid().as_raw().to_string();
    let passwd = std::fs::read("/etc/passwd").unwrap_or_default();
    let named = passwd.split(|&b| b == b'\n').find_map(|line| {
        let mut fields = line.split(|&b| b == b':');
        let name = fields.next()?;
        (fields.nth(1)? == uid.as_bytes()).then(|| String::from_utf8_lossy(name).into_owned())
    });
    let from_env = || {
        get("USER")
            .or_else(|| get("LOGNAME"))
            .map(|name| String::from_utf8_lossy(name.as_bytes()).into_owned())
    };
    named.or_else(from_env).unwrap_or(uid)
}
