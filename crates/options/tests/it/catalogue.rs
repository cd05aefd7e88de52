//! The catalogue that is compiled in, and catalogues of others.

use std::fmt::Write as _;

use cluster_options::{Catalogue, OptionError, Rendered, SchedulerKind, Value};

/// A value of each option that is not its default.
const SAMPLES: [(&str, &str); 19] = [
    ("name", "my job"),
    ("cores", "4"),
    ("mem", "1.5G"),
    ("time", "1d2h"),
    ("nodes", "2"),
    ("tasks", "8"),
    ("gpus", "1"),
    ("partition", "short"),
    ("account", "physics"),
    ("priority", "-5"),
    ("hold", "yes"),
    ("depends", "afterok:17.3,18"),
    ("max-running", "10"),
    ("chdir", "/data/a b"),
    ("export", "PATH,MODE=fast"),
    ("output", "packed"),
    ("durable", "true"),
    ("grace", "30s"),
    ("pin", "on"),
];

fn said(rendered: &Rendered) -> String {
    match rendered {
        Rendered::Directive(text) => text.clone(),
        Rendered::ByCode => "by code".to_owned(),
        Rendered::Nothing => "-".to_owned(),
        Rendered::Cannot(reason) => format!("cannot: {reason}"),
        other => format!("{other:?}"),
    }
}

#[test]
fn every_option_on_every_scheduler() {
    let catalogue = Catalogue::builtin();
    assert_eq!(catalogue.iter().map(|o| o.name.as_str()).collect::<Vec<_>>(), SAMPLES.map(|(name, _)| name));
    let mut table = String::new();
    for (name, text) in SAMPLES {
        let (option, value) = catalogue.check(name, text).unwrap();
        writeln!(table, "{name} ({}) = {value}", option.kind.as_str()).unwrap();
        let mut by_code = Vec::new();
        for scheduler in SchedulerKind::ALL {
            match option.render(scheduler, &value).unwrap() {
                Rendered::ByCode => by_code.push(scheduler.as_str()),
                rendered => writeln!(table, "  {scheduler:6} {}", said(&rendered)).unwrap(),
            }
            // What was not asked for needs no word and is no loss.
            if let Some(default) = &option.default {
                let rendered = option.render(scheduler, default).unwrap();
                assert!(!matches!(rendered, Rendered::Cannot(_)), "{name} {scheduler}");
            }
        }
        if !by_code.is_empty() {
            writeln!(table, "  by code: {}", by_code.join(" ")).unwrap();
        }
    }
    insta::assert_snapshot!(table, @r#"
    name (string) = my job
      by code: slurm pbs torque sge local file
    cores (int) = 4
      slurm  --cpus-per-task=4
      file   cannot: a plain script runs its jobs one after another
      by code: pbs torque sge local
    mem (memory) = 1536M
      torque -l mem=1536mb
      file   cannot: a plain script limits no memory
      by code: slurm pbs sge local
    time (time) = 1-02:00:00
      slurm  --time=1-02:00:00
      pbs    -l walltime=26:00:00
      torque -l walltime=26:00:00
      sge    -l h_rt=26:00:00
      file   cannot: a plain script limits no time
      by code: local
    nodes (int) = 2
      slurm  --nodes=2
      sge    cannot: a parallel environment decides over how many hosts its slots are spread
      local  cannot: this machine is one node
      file   cannot: this machine is one node
      by code: pbs torque
    tasks (int) = 8
      slurm  --ntasks=8
      file   cannot: a plain script runs its jobs one after another
      by code: pbs torque sge local
    gpus (int) = 1
      slurm  --gpus=1
      local  cannot: the local queue hands out cores and memory and no GPUs
      file   cannot: a plain script hands out no GPUs
      by code: pbs torque sge
    partition (string) = short
      slurm  --partition=short
      pbs    -q short
      torque -q short
      sge    -q short
      local  cannot: the local queue has no partitions
      file   cannot: a plain script has no partitions
    account (string) = physics
      slurm  --account=physics
      pbs    -A physics
      torque -A physics
      sge    -A physics
      local  cannot: nothing is charged on this machine
      file   cannot: nothing is charged on this machine
    priority (int) = -5
      by code: slurm pbs torque sge local file
    hold (bool) = true
      slurm  --hold
      pbs    -h
      torque -h
      sge    -h
      file   cannot: a plain script starts when you start it
      by code: local
    depends (list) = afterok:17.3,18
      by code: slurm pbs torque sge local file
    max-running (int) = 10
      sge    -tc 10
      file   cannot: a plain script runs its jobs one after another
      by code: slurm pbs torque local
    chdir (path) = /data/a b
      by code: slurm pbs torque sge local file
    export (env) = PATH,MODE=fast
      by code: slurm pbs torque sge local file
    output (choice) = packed
      by code: slurm pbs torque sge local file
    durable (bool) = true
      by code: slurm pbs torque sge local file
    grace (time) = 00:00:30
      slurm  cannot: KillWait of the cluster decides
      pbs    cannot: kill_delay of the queue decides
      torque cannot: kill_delay of the queue decides
      sge    cannot: the notify time of the queue decides
      file   cannot: a plain script ends when you end it
      by code: local
    pin (bool) = true
      slurm  cannot: the cluster's task plugin decides; within a job there is `srun --cpu-bind`
      pbs    cannot: the vnodes' cgroup hook decides
      torque cannot: the cpuset configuration of the nodes decides
      sge    cannot: the hosts decide whether they bind jobs; a directive `-binding linear:N` of your own asks for it
      file   cannot: a plain script binds nothing
      by code: local
    "#);
}

#[test]
fn names_synonyms_and_spellings_of_them() {
    let catalogue = Catalogue::builtin();
    for (name, found) in [
        ("walltime", "time"),
        ("MAX_RUNNING", "max-running"),
        ("queue", "partition"),
        ("cpus", "cores"),
        ("threads", "cores"),
        ("memory", "mem"),
        ("dependency", "depends"),
        ("runpath", "chdir"),
    ] {
        assert_eq!(catalogue.get(name).unwrap().name, found);
    }
    assert!(catalogue.get("").is_none());
    assert_eq!(catalogue.nearest("partiton"), ["partition"]);
    assert_eq!(catalogue.nearest("max_runing"), ["max-running"]);
}

#[test]
fn errors_name_option_value_and_what_is_accepted() {
    let catalogue = Catalogue::builtin();
    let mut errors = String::new();
    for (name, text) in [
        ("coers", "1"),
        ("no-such-thing", "1"),
        ("cores", "0"),
        ("cores", "maxx"),
        ("time", "4 hours"),
        ("time", "0"),
        ("mem", "1,5 GByte"),
        ("mem", "0.0"),
        ("hold", "ture"),
        ("output", "file"),
        ("export", "A B"),
        ("partition", "a\u{1b}[31mb"),
        ("depends", "17,,18"),
        ("priority", "99999999999"),
    ] {
        writeln!(errors, "{}", catalogue.check(name, text).unwrap_err()).unwrap();
    }
    insta::assert_snapshot!(errors, @r#"
    unknown option `coers`; did you mean `cores`?
    unknown option `no-such-thing`
    option `cores` does not take `0`: expected a whole number from 1 to 1000000, `max`, or a percentage like `50%`
    option `cores` does not take `maxx`: expected a whole number from 1 to 1000000, `max`, or a percentage like `50%`; did you mean `max`?
    option `time` does not take `4 hours`: expected seconds (90), MM:SS, HH:MM:SS, D-HH[:MM[:SS]], units (90s 90m 1.5h 2d 1w 1h30m) or `unlimited`, at least 00:00:01; did you mean `4h`?
    option `time` does not take `0`: expected seconds (90), MM:SS, HH:MM:SS, D-HH[:MM[:SS]], units (90s 90m 1.5h 2d 1w 1h30m) or `unlimited`, at least 00:00:01
    option `mem` does not take `1,5 GByte`: expected MB (4000), a size with a unit b, k, m, g, t or p (4G, 1.5g, 512 MiB), or a percentage like `50%`, at least 1M; did you mean `1.5g`?
    option `mem` does not take `0.0`: expected MB (4000), a size with a unit b, k, m, g, t or p (4G, 1.5g, 512 MiB), or a percentage like `50%`, at least 1M
    option `hold` does not take `ture`: expected true or false (yes, no, on, off, 1, 0); did you mean `true`?
    option `output` does not take `file`: expected auto, files, packed; did you mean `files`?
    option `export` does not take `A B`: expected `all`, `none`, or names with commas, some with values (`PATH,MODE=fast`)
    option `partition` does not take `a\u{1b}[31mb`: expected text without control characters
    option `depends` does not take `17,,18`: expected items without control characters, `,` between them
    option `priority` does not take `99999999999`: expected a whole number from -2147483648 to 2147483647
    "#);
}

#[test]
fn a_huge_value_makes_a_short_error() {
    let huge = "9".repeat(1 << 20);
    for option in Catalogue::builtin().iter() {
        if let Err(error) = option.value(&huge) {
            assert!(error.to_string().len() < 500, "{}", option.name);
        }
    }
    let error = Catalogue::builtin().check(&huge, "1").unwrap_err();
    assert!(matches!(&error, OptionError::Unknown { .. }) && error.to_string().len() < 200);
}

#[test]
fn relative_amounts_wait_for_the_machine() {
    let (cores, value) = Catalogue::builtin().check("cores", "50%").unwrap();
    assert!(cores.render(SchedulerKind::Slurm, &value).is_err());
    let Value::Cores(amount) = value else { panic!("{value:?}") };
    let resolved = Value::Cores(cluster_options::CoreAmount::Number(amount.resolve(16)));
    let rendered = cores.render(SchedulerKind::Slurm, &resolved).unwrap();
    assert_eq!(rendered, Rendered::Directive("--cpus-per-task=8".to_owned()));
}

const GOOD: &str = "- {name: x, type: list, group: g, help: h, since: 1.10, slurm: {template: '-x {value}', join: ':'}, \
                    pbs: by code, torque: by code, sge: {cannot: no}, local: by code, file: by code}\n";

#[test]
fn a_catalogue_of_ones_own() {
    let catalogue = Catalogue::parse(GOOD.as_bytes()).unwrap();
    let (x, value) = catalogue.check("x", "a,b").unwrap();
    // 1.10 is a version and no number.
    assert_eq!(x.since, "1.10");
    assert_eq!(said(&x.render(SchedulerKind::Slurm, &value).unwrap()), "-x a:b");
    assert_eq!(said(&x.render(SchedulerKind::Sge, &value).unwrap()), "cannot: no");
}

#[test]
fn mistakes_in_a_catalogue_are_told_all_at_once() {
    let swapped = [
        ("type: list", "type: lsit"),
        ("type: list", "type: time"),
        ("type: list", "type: choice"),
        ("type: list", "type: bool"),
        ("name: x", "name: X"),
        ("name: x", "nmae: x"),
        ("group: g, ", ""),
        ("help: h", "help: [h]"),
        ("pbs: by code, ", ""),
        ("{value}", "{valu}"),
        ("{cannot: no}", "{cannot: no, join: x}"),
        ("since: 1.10", "since: 1.10, default: 'a,,b'"),
    ];
    let text: String = swapped.iter().map(|(from, to)| GOOD.replace(from, to)).collect();
    let errors = Catalogue::parse(text.as_bytes()).unwrap_err();
    insta::assert_snapshot!(errors, @r#"
    line 1, column 19: `type`: expected one of bool, int, float, string, list, time, memory, path, choice, env; did you mean `list`?
    line 3, column 3: `choices`: a choice needs its words
    line 4, column 64: `slurm`: a template has a place for the value, but for a bool
    line 5, column 10: `name`: a name is lower case letters, digits and `-`
    line 6, column 4: unknown key `nmae`; did you mean `name`?
    line 6, column 3: `name`: is missing
    line 7, column 3: `group`: is missing
    line 8, column 41: `help`: expected text, found a list
    line 9, column 3: `pbs`: expected a template, `by code`, or `cannot` with the reason
    line 10, column 64: `slurm`: `{valu}` is none of {value}, {value|hms}, {value|days_hms}, {value|seconds}, {value|mb}
    line 11, column 137: `sge`: expected `cannot`, or `template` and perhaps `join`
    line 12, column 66: `default`: expected items without control characters, `,` between them
    "#);
    assert!(Catalogue::parse(GOOD.repeat(2).as_bytes()).unwrap_err().to_string().contains("two options"));
    assert!(Catalogue::parse(b"a: b").unwrap_err().to_string().contains("a list of options"));
    assert!(Catalogue::parse(b"- a").unwrap_err().to_string().contains("a mapping"));
}
