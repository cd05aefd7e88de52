//! Configuration files.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use cluster_core::{MemSize, Walltime};
use cluster_options::config::{Config, ConfigErrors, KEYS, Nesting};
use cluster_options::{CoreAmount, MemAmount, Node, SchedulerKind};

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
}

#[test]
fn every_key_is_read() {
    let text = "
systems:
  hpc: {scheduler: slurm, partition: 007, nested: {a: [1, b]}}
  local: {note: mine}
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
    assert_eq!(config.systems["hpc"].fields["partition"].as_text(), Some("007"));
    assert_eq!(config.systems["hpc"].fields["nested"].get(&["a", "1"]), Some(&Node::Text("b".to_owned())));
    assert_eq!(config.systems["local"].scheduler, SchedulerKind::Local);
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
fn json_is_yaml() {
    let config = load(&["{\"local\": {\"cores\": 3, \"grace\": \"5s\"}, \"nesting\": \"refuse\"}"]).unwrap();
    assert_eq!((config.local.cores, config.nesting), (CoreAmount::Number(3), Nesting::Refuse));
}

#[test]
fn files_are_laid_over_each_other_leaf_by_leaf() {
    let config = load(&[
        "systems: {a: {scheduler: sge, partition: x}, b: {scheduler: pbs}}\nlocal: {cores: 3, memory: 50%}\nnesting: refuse",
        "systems: {a: {partition: y}, b: null}\nlocal: {cores: 5}",
        "local: {memory: null}\nnesting: null\ndefault_system: a",
    ])
    .unwrap();
    assert_eq!(config.systems.keys().collect::<Vec<_>>(), ["a", "local"]);
    assert_eq!(config.systems["a"].fields["partition"].as_text(), Some("y"));
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
