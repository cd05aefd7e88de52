//! Configuration files.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cluster_core::{MemSize, Walltime};
use cluster_options::config::{
    Config, ConfigErrors, KEYS, Nesting, PARTITION_KEYS, PartitionConfig, SYSTEM_KEYS, SystemConfig,
};
use cluster_options::{Catalogue, CoreAmount, MemAmount, Rendered, SchedulerKind};

/// Loads these texts as files `0.yaml`, `1.yaml` …; errors are shown without the directory.
fn load(texts: &[&str]) -> Result<Config, String> {
    let dir = tempfile::tempdir().unwrap();
    let files: Vec<PathBuf> = (0..texts.len()).map(|i| dir.path().join(format!("{i}.yaml"))).collect();
    for (file, text) in files.iter().zip(texts) {
        fs::write(file, text).unwrap();
    }
    let shown = |errors: ConfigErrors| errors.to_string().replace(&format!("{}/", dir.path().display()), "");
    Config::from_files(&files).map_err(shown)
}

#[test]
fn without_files_there_are_defaults() {
    let config = load(&[]).unwrap();
    assert_eq!(config, Config::default());
    assert_eq!(load(&["", "# nothing\n", "---\n"]).unwrap(), config);
    assert_eq!(config.systems.keys().collect::<Vec<_>>(), ["local"]);
    assert_eq!((config.local.cores, config.local.grace), (CoreAmount::Max, Duration::from_secs(10)));
    assert_eq!(config.local.idle_exit, Walltime::from_secs(600));
    assert_eq!((config.nesting, config.nesting_depth), (Nesting::Allow, 8));
    assert_eq!(config.limits.max_jobs_per_batch, 10_000_000);
    assert_eq!((config.lost_after, config.gate_wait, config.default_system), (None, None, None));
    assert_eq!((config.require_cluster, config.submit_retries), (false, 5));
    assert_eq!(config.uncertain_limit, Walltime::from_secs(45 * 60));
    assert_eq!(config.file_wait, Duration::from_secs(30));
}

#[test]
fn every_key_is_read() {
    let text = "
systems:
  hpc: {scheduler: slurm, options: {partition: 007}}
  local: {setup: module load x}
require_cluster: true
submit_retries: 0
uncertain_limit: unlimited
file_wait: 2
default_system: hpc
local: {cores: 50%, memory: 12 GiB, idle_exit: unlimited, grace: 1m}
lost_after: 2
gate_wait: 1:30
limits: {max_jobs_per_batch: 5}
nesting: serial
nesting_depth: 2
";
    let config = load(&[text]).unwrap();
    assert_eq!(config.systems["hpc"].scheduler, SchedulerKind::Slurm);
    assert_eq!(config.systems["hpc"].options["partition"].to_string(), "007");
    assert_eq!(config.systems["local"].scheduler, SchedulerKind::Local);
    assert_eq!(config.systems["local"].setup, ["module load x"]);
    assert_eq!((config.require_cluster, config.submit_retries), (true, 0));
    assert_eq!((config.uncertain_limit, config.file_wait), (Walltime::UNLIMITED, Duration::from_secs(2)));
    assert_eq!(config.default_system.as_deref(), Some("hpc"));
    assert_eq!(config.local.cores.resolve(8), 4);
    assert_eq!(config.local.memory, MemAmount::Size(MemSize::from_mb(12 << 10)));
    assert_eq!((config.local.idle_exit, config.local.grace), (Walltime::UNLIMITED, Duration::from_secs(60)));
    assert_eq!(config.lost_after, Some(Walltime::from_secs(2)));
    assert_eq!(config.gate_wait, Some(Duration::from_secs(90)));
    assert_eq!(
        (config.limits.max_jobs_per_batch, config.nesting, config.nesting_depth),
        (5, Nesting::Serial, 2)
    );
    for key in KEYS {
        assert!(text.contains(key.name.rsplit('.').next().unwrap()), "{} is not tried here", key.name);
    }
}

#[test]
fn every_key_of_a_system_is_read() {
    let text = "
systems:
  hpc:
    scheduler: sge
    options: {memory: 4G, walltime: 90m}
    partitions:
      long: {max_time: 2d, default_time: 1h, max_mem: 64G, cores: 128, max_nodes: 4}
      short: {max_time: 1h}
      any: {}
    commands: {qsub: /opt/sge/bin/qsub}
    bin: /opt/bin
    env: {SGE_ROOT: /opt/sge, SGE_QMASTER_PORT: 6444}
    pre_submit: [module load sge, \"kinit -R\\nklist\"]
    setup: . /etc/profile
    extra: [--exclusive, -l foo=1]
    parallel_environment: smp
    mem_resource: h_vmem
    gpu_resource: gpu
    max_array_size: 75000
    lost_after: 5m
    poll: 0.2
    timeout: 1m
    accounting: false
";
    let config = load(&[text]).unwrap();
    let hpc = &config.systems["hpc"];
    let options: Vec<_> = hpc.options.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(options, ["mem=4G", "time=01:30:00"]);
    assert_eq!(hpc.partitions.keys().collect::<Vec<_>>(), ["long", "short", "any"]);
    assert_eq!(hpc.partitions["any"], PartitionConfig::default());
    let long = &hpc.partitions["long"];
    assert_eq!(
        (long.max_time, long.default_time),
        (Some(Walltime::from_secs(2 * 86400)), Some(Walltime::from_secs(3600)))
    );
    assert_eq!(
        (long.max_mem, long.cores, long.max_nodes),
        (Some(MemSize::from_mb(64 << 10)), Some(128), Some(4))
    );
    assert_eq!(hpc.commands["qsub"], Path::new("/opt/sge/bin/qsub"));
    assert_eq!(hpc.bin.as_deref(), Some(Path::new("/opt/bin")));
    let env: Vec<_> = hpc.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(env, ["SGE_ROOT=/opt/sge", "SGE_QMASTER_PORT=6444"]);
    assert_eq!(hpc.pre_submit, ["module load sge", "kinit -R\nklist"]);
    assert_eq!(
        (&hpc.setup[..], &hpc.extra[..]),
        (&[". /etc/profile".to_owned()][..], &["--exclusive".to_owned(), "-l foo=1".to_owned()][..])
    );
    let words = [&hpc.parallel_environment, &hpc.mem_resource, &hpc.gpu_resource].map(Option::as_deref);
    assert_eq!(words, [Some("smp"), Some("h_vmem"), Some("gpu")]);
    assert_eq!((hpc.max_array_size, hpc.accounting), (Some(75_000), Some(false)));
    assert_eq!(hpc.lost_after, Some(Walltime::from_secs(300)));
    assert_eq!((hpc.poll, hpc.timeout), (Duration::from_millis(200), Some(Duration::from_secs(60))));
    for key in SYSTEM_KEYS.iter().chain(PARTITION_KEYS) {
        assert!(text.contains(&format!("{}:", key.name)), "{} is not tried here", key.name);
    }
    assert!(SystemConfig::is_private("_test") && !SystemConfig::is_private("test_"));
}

#[test]
fn what_is_wrong_with_a_system_is_told_with_its_place() {
    let text = "
systems:
  a:
    scheduler: slurm
    presubmit: x
    options: {memry: 4G, time: soon, mem: [1, 2]}
    partitions: {long: {maxtime: 1d, cores: many}, short: 5}
    commands: {sbatch: bin/sbatch, a/b: /x}
    bin: [/x]
    setup: {a: b}
    extra: [[a], \"x\\ny\"]
    poll: unlimited
    timeout: -1
    accounting: maybe
    max_array_size: 1.5
  cluster: {scheduler: pbs}
  b: {options: 5, commands: 5, partitions: 5}
";
    insta::assert_snapshot!(load(&[text]).unwrap_err(), @r#"
    0.yaml:5:5: `presubmit` is not a key of a system; did you mean `pre_submit`?
    0.yaml:6:22: unknown option `memry`; did you mean `memory`?
    0.yaml:6:32: option `time` does not take `soon`: expected seconds (90), MM:SS, HH:MM:SS, D-HH[:MM[:SS]], units (90s 90m 1.5h 2d 1w 1h30m) or `unlimited`, at least 00:00:01
    0.yaml:6:43: option `mem` does not take a list
    0.yaml:7:25: `maxtime` is not a limit of a partition; did you mean `max_time`?
    0.yaml:7:45: `cores` does not take `many`: expected a whole number from 0 to 4294967295
    0.yaml:7:59: partition `short` holds limits, this is a number
    0.yaml:8:24: the path of `sbatch` is a path from the root (/…), not `bin/sbatch`
    0.yaml:8:41: `a/b` is not the plain name of a command
    0.yaml:9:10: `bin` does not take a list: expected a path from the root (/…)
    0.yaml:10:12: `setup` does not take a mapping: expected a command of a shell, or a list of such
    0.yaml:11:12: `extra` does not take a list: expected a directive without its prefix (--exclusive), or a list of such
    0.yaml:12:11: `poll` does not take `unlimited`: expected seconds (90, 0.5), HH:MM:SS or a time with units, not `unlimited`
    0.yaml:13:14: `timeout` does not take `-1`: expected seconds (90, 0.5), HH:MM:SS or a time with units, not `unlimited`
    0.yaml:14:17: `accounting` does not take `maybe`: expected true or false
    0.yaml:15:21: `max_array_size` does not take `1.5`: expected a whole number from 0 to 4294967295
    0.yaml:16:12: `cluster` is a word of `--system`: call the system otherwise
    0.yaml:17:16: `options` does not take `5`: expected options by name, as `cluster submit` takes them
    0.yaml:17:29: `commands` does not take `5`: expected commands by name, each with its path
    0.yaml:17:44: `partitions` does not take `5`: expected partitions by name, each with its limits
    "#);
}

#[test]
fn a_scheduler_that_the_catalogue_does_not_know_can_be_named_by_the_program() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("0.yaml");
    fs::write(&file, "systems: {x: {scheduler: acme, options: {mem: 1G}}}\ndefault_system: x\n").unwrap();
    let config = Config::from_files_with(&[&file], &["acme"]).unwrap();
    let kind = config.systems["x"].scheduler;
    assert_eq!((kind, kind.as_str()), (SchedulerKind::Other("acme"), "acme"));
    let (option, value) = Catalogue::builtin().check("mem", "1G").unwrap();
    assert_eq!(option.render(kind, &value).unwrap(), Rendered::ByCode);
    assert!(Config::from_files(&[&file]).is_err());
}

#[test]
fn json_is_yaml() {
    let config = load(&["{\"local\": {\"cores\": 3, \"grace\": \"5s\"}, \"nesting\": \"refuse\"}"]).unwrap();
    assert_eq!((config.local.cores, config.nesting), (CoreAmount::Number(3), Nesting::Refuse));
}

#[test]
fn files_are_laid_over_each_other_leaf_by_leaf() {
    let config = load(&[
        "systems: {a: {scheduler: sge, bin: /x, options: {mem: 1G}}, b: {scheduler: pbs}}\nlocal: {cores: 3, memory: 50%}\nnesting: refuse",
        "systems: {a: {bin: /y, options: {time: 5}}, b: null}\nlocal: {cores: 5}",
        "local: {memory: null}\nnesting: null\ndefault_system: a",
    ])
    .unwrap();
    assert_eq!(config.systems.keys().collect::<Vec<_>>(), ["a", "local"]);
    assert_eq!(config.systems["a"].bin.as_deref(), Some(Path::new("/y")));
    assert_eq!(config.systems["a"].options.keys().collect::<Vec<_>>(), ["mem", "time"]);
    assert_eq!(config.local.cores, CoreAmount::Number(5));
    assert_eq!((config.local.memory, config.nesting), (Config::default().local.memory, Nesting::Allow));
}

#[test]
fn all_that_is_wrong_is_told_at_once() {
    let errors = load(&[
        "lokal:\n  cores: 3\nlocal:\n  coers: 3\n  memory: lots\n  grace: unlimited\n  idle_exit: [1]\ncores: 5\n",
        "systems:\n  a: {scheduler: slrum}\n  b: 5\n  local: {scheduler: pbs}\nlimits: 5\nnesting: allowed\n",
        "[1, 2]",
        "a: b: c\n",
        "nesting_depth: -1\n\"local.cores\": 5\ndefault_system: \"\"\nsystems: []\nlimits: {max_jobs_per_batch: 5000000000}",
    ]);
    insta::assert_snapshot!(errors.unwrap_err(), @r#"
    0.yaml:1:1: unknown key `lokal`; did you mean `local`?
    0.yaml:4:3: unknown key `local.coers`; did you mean `local.cores`?
    0.yaml:5:11: `local.memory` does not take `lots`: expected MB (4000), a size with a unit b, k, m, g, t or p (4G, 1.5g, 512 MiB), or a percentage like `50%`
    0.yaml:6:10: `local.grace` does not take `unlimited`: expected seconds (90), HH:MM:SS or a time with units (90s 90m 1.5h), not `unlimited`
    0.yaml:7:14: `local.idle_exit` does not take a list: expected seconds (90), MM:SS, HH:MM:SS, D-HH[:MM[:SS]], units (90s 90m 1.5h 2d 1w 1h30m) or `unlimited`
    0.yaml:8:1: unknown key `cores`; did you mean `local.cores`?
    1.yaml:2:18: "slrum" is not a scheduler: expected slurm, pbs, torque, sge, local or file; did you mean `slurm`?
    1.yaml:3:6: system `b` holds keys, this is a number
    1.yaml:4:22: the system `local` is this machine: its scheduler is `local`
    1.yaml:5:9: `limits` holds keys, this is a number
    1.yaml:6:10: `nesting` does not take `allowed`: expected allow, serial, refuse; did you mean `allow`?
    2.yaml:1:1: a configuration file is a mapping of keys, this is a list
    3.yaml:1:5: mapping values are not allowed in this context
    4.yaml:1:16: `nesting_depth` does not take `-1`: expected a whole number from 0 to 1000
    4.yaml:2:1: `local.cores` is written as keys in keys, not with a dot
    4.yaml:3:17: `default_system` does not take ``: expected a name
    4.yaml:4:10: `systems` does not take a list: expected names of systems, each with its `scheduler`
    4.yaml:5:30: `limits.max_jobs_per_batch` does not take `5000000000`: expected a whole number from 0 to 4294967295
    "#);
}

#[test]
fn what_only_all_files_together_show() {
    insta::assert_snapshot!(
        load(&["systems: {hpc: {scheduler: slurm}, b: {}}\n", "default_system: hcp\n", ""]).unwrap_err(),
        @r#"
        0.yaml:1:36: system `b` has no `scheduler`: one of slurm, pbs, torque, sge, local, file
        1.yaml:1:1: `hcp` is no system of `systems`; did you mean `hpc`?
        "#
    );
    assert!(load(&["default_system: local"]).is_ok());
    assert!(load(&["default_system: slurm"]).is_ok(), "found on PATH, and nothing had to be said of it");
    assert!(load(&["systems: {a: {}}", "systems: {a: {scheduler: sge}}"]).is_ok());
    insta::assert_snapshot!(load(&["systems: {a: {scheduler: sge}}\ndefault_system: a", "systems: {a: null}"]).unwrap_err(), @r#"
    0.yaml:2:1: `a` is no system of `systems`
    "#);
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let errors = Config::from_files(&["not-there.yaml"]).unwrap_err().to_string();
    assert!(errors.starts_with("not-there.yaml: cannot be read: "), "{errors}");
    let dir = tempfile::tempdir().unwrap();
    assert!(Config::from_files(&[dir.path()]).unwrap_err().to_string().contains("cannot be read"));
}
