//! Systems: what is found on a host, which one is taken, what its queue holds. The scheduler is a handful of
//! shell scripts with the names and the answers of Slurm's commands.

use std::fs;
use std::path::{Path, PathBuf};

use cluster_tests::{Call, World, wait_for};

/// A world with the commands of a Slurm in `work/bin`, which is not on PATH.
struct Fake {
    world: World,
}

const PING: &str = "echo 'Slurmctld(primary) at head is UP'";
const CONFIG: &str = "echo 'Configuration data as of 2026-01-01T00:00:00
ClusterName             = fake
MaxArraySize            = 2001
SLURM_VERSION           = 99.1.2'";
const PARTITION: &str = "echo 'PartitionName=long Default=YES DefaultTime=NONE MaxNodes=2 MaxTime=2-00:00:00 \
                         State=UP TotalCPUs=8 TotalNodes=2'";

/// `emit ID STATE USER PARTITION NAME NODES` prints a row with the columns that were asked for.
const EMIT: &str = r#"set -f
for word; do case $word in --Format=*) columns=${word#--Format=};; esac; done
emit() {
    IFS=,
    for column in $columns; do
        width=${column#*:}
        case ${column%%:*} in
            JobArrayID) v=$1;; State) v=$2;; UserName) v=$3;; Partition) v=$4;; Name) v=$5;; NodeList) v=$6;;
            NumNodes) v=1;; NumCPUs) v=2;; TimeLimit) v=1:00:00;; Reason) v=None;; RestartCnt|exit_code) v=0;;
            SubmitTime|StartTime) v=2026-01-01T00:00:00;; EndTime) v=N/A;; *) v=;;
        esac
        printf "%-${width%|}s|" "$v"
    done
    echo
}
"#;

/// A line of the queue.
fn row(id: &str, state: &str, user: &str, partition: &str, name: &str, nodes: &str) -> String {
    format!("emit '{id}' '{state}' '{user}' '{partition}' '{name}' '{nodes}'")
}

fn user() -> String {
    let output = std::process::Command::new("id").arg("-un").output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

impl Fake {
    fn new(config: &str) -> Self {
        let fake = Self { world: World::with_config(&format!("local: {{cores: 2}}\n{config}")) };
        // The machine may have schedulers of its own in /usr/bin: PATH is this directory alone.
        fs::create_dir_all(fake.bin()).unwrap();
        for tool in ["sh", "cat", "true", "touch", "date", "wc", "mkdir", "rm"] {
            let there = ["/usr/bin", "/bin"].map(|dir| Path::new(dir).join(tool));
            let there = there.iter().find(|path| path.exists()).unwrap();
            std::os::unix::fs::symlink(there, fake.bin().join(tool)).unwrap();
        }
        fake.scontrol(PING);
        fake.command("sbatch", "echo 1");
        let me = user();
        let rows = [
            row("7_[3-4]", "PENDING", &me, "long", "sweep", ""),
            row("7_1", "RUNNING", &me, "long", "sweep", "n[1-2]"),
            row("7_2", "FAILED", &me, "long", "sweep", "n1"),
            row("8", "PENDING", &me, "short", "one", ""),
            row("9", "RUNNING", "someone", "long", "other", "n10"),
        ];
        fake.queue(&rows);
        fake.command("sacct", ":");
        fake
    }

    fn bin(&self) -> PathBuf {
        self.world.path("work/bin")
    }

    /// Makes a command that counts its calls.
    fn command(&self, name: &str, script: &str) {
        let text = format!("#!/bin/sh\necho \"$@\" >> \"$0.called\"\n{script}\n");
        self.world.script(&format!("bin/{name}"), &text);
    }

    fn scontrol(&self, ping: &str) {
        let script = format!(
            "case \"$*\" in ping) {ping};; *config*) {CONFIG};; *partition*) {PARTITION};; *) exit 1;; esac"
        );
        self.command("scontrol", &script);
    }

    fn queue(&self, rows: &[String]) {
        self.command("squeue", &format!("{EMIT}{}", rows.join("\n")));
    }

    fn calls(&self, name: &str) -> usize {
        let called = fs::read_to_string(self.bin().join(format!("{name}.called"))).unwrap_or_default();
        called.lines().count()
    }

    /// `cluster` with these words, with the commands on PATH.
    fn call(&self, words: &[&str]) -> Call {
        self.on_path(self.world.call(words)).without("CLUSTER_SYSTEM")
    }

    fn on_path(&self, call: Call) -> Call {
        call.env("PATH", self.bin())
    }
}

/// A configuration whose system `hpc` has its commands in a world's directory: it is written afterwards.
fn with_bin(fake: &Fake, more: &str) {
    let file = fake.world.path("config/cluster/config.yaml");
    let text = format!(
        "local: {{cores: 2}}\nsystems: {{hpc: {{scheduler: slurm, bin: {}, poll: 0.1{more}}}}}\n",
        fake.bin().display()
    );
    fs::write(file, text).unwrap();
}

#[test]
fn an_array_is_one_line_and_each_element_one_on_request() {
    let fake = Fake::new("");
    with_bin(&fake, "");
    let queue = |words: &[&str]| {
        let words: Vec<&str> =
            ["queue", "--system", "hpc"].into_iter().chain(words.iter().copied()).collect();
        fake.world.call(words).end().good()
    };
    let folded = queue(&["--json"]).json_lines();
    assert_eq!(folded.len(), 2);
    let array = &folded[0];
    assert_eq!((array["id"].as_str(), array["jobs"].as_u64()), (Some("7"), Some(4)));
    assert_eq!((array["state"].as_str(), array["cores"].as_u64()), (Some("running"), Some(8)));
    assert_eq!(array["counts"], serde_json::json!({"failed": 1, "queued": 2, "running": 1}));
    assert_eq!((array["v"].as_u64(), array["system"].as_str()), (Some(1), Some("hpc")));
    let ids = |words: &[&str]| queue(&[words, &["--ids"]].concat()).lines();
    assert_eq!(ids(&["--tasks"]), ["7_3", "7_4", "7_1", "7_2", "8"]);
    assert_eq!(ids(&[]), ["7", "8"]);
    assert_eq!(ids(&["--all"]), ["7", "8", "9"]);
    assert_eq!(ids(&["--user", "someone"]), ["9"]);
    assert_eq!(ids(&["--user", "someone", "--user", &user()]), ["7", "8", "9"]);
    assert_eq!(ids(&["--partition", "short"]), ["8"]);
    assert_eq!(ids(&["--name", "sw*"]), ["7"]);
    assert_eq!(ids(&["--state", "queued", "--tasks"]), ["7_3", "7_4", "8"]);
    assert_eq!(ids(&["--state", "bad", "--state", "running", "--tasks"]), ["7_1", "7_2"]);
    assert_eq!(ids(&["--state", "held"]), Vec::<String>::new());
    // What these say can be cancelled, and nothing else is then.
    assert_eq!(ids(&["--state", "queued"]), ["8", "7_3", "7_4"]);
    assert_eq!(ids(&["--state", "queued", "--state", "running", "--state", "bad"]), ["7", "8"]);
    let id = serde_json::json!({"v": 1, "system": "hpc", "id": "8"});
    assert_eq!(queue(&["--json", "--ids", "--name", "one"]).json_lines(), [id]);
    assert_eq!(queue(&["--count", "--all"]).out(), "6\n");
    assert_eq!(
        queue(&["--nodes", "--all"]).lines(),
        ["NODE  CORES  JOBS", "n1    1      1", "n2    1      1", "n10   2      1"]
    );
    let table = queue(&["--all"]).out();
    assert!(table.starts_with("ID  NAME   USER"), "{table}");
    assert!(table.contains("running (1 failed, 2 queued, 1 running)"), "{table}");
    fake.world.cluster(["queue", "--state", "nonsense"]).code(2).says(["done, bad"]);
    fake.world.cluster(["queue", "--system", "local"]).code(2).says(["this machine"]);
    fake.world.cluster(["queue", "--system", "hcp"]).code(2).says(["there is no system hcp", "hpc"]);
}

#[test]
fn the_environment_names_the_queue_unless_a_flag_does() {
    let fake = Fake::new("");
    with_bin(&fake, "}, other: {scheduler: sge, bin: /no/such/dir");
    for words in [&["queue"][..], &["wait", "--user", "nobody"], &["system", "show"]] {
        let call = || fake.call(words).env("CLUSTER_SYSTEM", "other");
        let there = call().end().code(3);
        assert!(
            there.err().contains("/no/such/dir") || there.out().contains("other"),
            "{words:?}: {there:?}"
        );
        fake.call(words).env("CLUSTER_SYSTEM", "hpc").end().good();
        // This machine has no queue of that kind: what answers is shown.
        fake.call(words).env("CLUSTER_SYSTEM", "local").end().good();
    }
    let named = fake.call(&["queue", "--system", "hpc", "--ids"]).env("CLUSTER_SYSTEM", "other");
    assert_eq!(named.end().good().lines(), ["7", "8"]);
}

#[test]
fn a_record_that_is_not_understood_costs_itself_alone() {
    let fake = Fake::new("");
    with_bin(&fake, "");
    fake.queue(&["echo rubbish".to_owned(), row("8", "XY", &user(), "long", "a", "")]);
    let queue = fake.world.cluster(["queue", "--system", "hpc"]).good();
    assert!(queue.out().contains("unknown (XY)"), "{}", queue.out());
    queue.says(["1 records of hpc were not understood", "cluster debug parse"]);
}

#[test]
fn a_query_that_hangs_is_killed_and_said() {
    let fake = Fake::new("");
    with_bin(&fake, ", timeout: 0.3");
    fake.command("squeue", "echo the controller is busy >&2; exec sleep 1000");
    let queue = fake.world.cluster(["queue", "--system", "hpc"]).code(3);
    queue.says(["gave no answer in 0.3 s", "the controller is busy"]);
}

#[test]
fn an_asker_that_is_killed_holds_nobody_up() {
    let fake = Fake::new("");
    with_bin(&fake, "");
    // The first call never comes back.
    let once = "if mkdir \"$0.first\" 2>/dev/null; then exec tail -f \"$0\"; fi";
    fake.command("squeue", &format!("{once}\n{EMIT}{}", row("8", "PENDING", &user(), "long", "a", "")));
    let words = ["queue", "--system", "hpc", "--ids"];
    let first = fake.world.start(words);
    wait_for("the first asks", || fake.bin().join("squeue.first").exists());
    let second = fake.world.start(words);
    first.signal(9);
    assert_eq!(second.end().good().out(), "8\n");
    assert_eq!(fake.calls("squeue"), 2);
}

#[test]
fn work_never_goes_to_a_shared_scheduler_unasked() {
    let fake = Fake::new("");
    let refused = fake.call(&["submit", "--", "true"]).end().code(2);
    refused.says(["--system slurm", "--system local", "default_system"]);
    assert_eq!(fake.calls("sbatch"), 0);
    // Nobody was asked twice.
    fake.call(&["submit", "--", "true"]).end().code(2);
    assert_eq!(fake.calls("scontrol"), 1);
    fake.call(&["submit", "--system", "local", "--", "true"]).end().good();
    fake.call(&["submit", "--", "true"]).env("CLUSTER_SYSTEM", "local").end().good();
    assert_eq!(fake.calls("scontrol"), 1);
}

#[test]
fn the_answer_to_the_question_is_kept() {
    let fake = Fake::new("# mine\n");
    let ask = |answer: &str| {
        let words = format!("{} submit -- true", cluster_tests::binary().display());
        let call = fake.world.program("/usr/bin/script").args(["-qec", &words, "/dev/null"]).stdin(answer);
        fake.on_path(call).without("CLUSTER_SYSTEM").end()
    };
    let asked = ask("nonsense\nlocal\n").good();
    assert!(asked.out().contains("Where do jobs run"), "{}", asked.out());
    let file = fake.world.path("config/cluster/config.yaml");
    let kept = fs::read_to_string(&file).unwrap();
    assert_eq!(kept, "local: {cores: 2}\n# mine\ndefault_system: \"local\"\n");
    // It is not asked again.
    fake.call(&["submit", "--", "true"]).end().good();
    assert_eq!(fake.calls("sbatch"), 0);
}

#[test]
fn a_scheduler_that_is_chosen_gets_the_jobs() {
    let fake = Fake::new("");
    let words = format!("{} submit -- true", cluster_tests::binary().display());
    let call = fake.world.program("/usr/bin/script").args(["-qec", &words, "/dev/null"]).stdin("1\n");
    fake.on_path(call).without("CLUSTER_SYSTEM").end().good();
    assert_eq!(fake.calls("sbatch"), 1);
    fake.call(&["submit", "--", "true"]).end().good();
    assert_eq!(fake.calls("sbatch"), 2);
    // A file that cannot take a line is left alone, and the answer is kept beside.
    let file = fake.world.path("config/cluster/config.yaml");
    fs::write(&file, "{local: {cores: 2}}\n").unwrap();
    let call = fake.world.program("/usr/bin/script").args(["-qec", &words, "/dev/null"]).stdin("slurm\n");
    fake.on_path(call).without("CLUSTER_SYSTEM").end().good();
    assert_eq!(fs::read_to_string(&file).unwrap(), "{local: {cores: 2}}\n");
    fake.call(&["submit", "--", "true"]).end().good();
    assert_eq!(fake.calls("sbatch"), 4);
}

#[test]
fn without_a_command_on_path_nothing_is_looked_for() {
    let world = World::new();
    let call = world.call(["submit", "--", "true"]).env("PATH", world.path("empty"));
    call.without("CLUSTER_SYSTEM").end().good();
    assert!(!world.queue().join("detected.json").exists());
}

#[test]
fn where_no_scheduler_answers_it_is_this_machine_unless_that_will_not_do() {
    let fake = Fake::new("");
    fake.scontrol("echo no route to head >&2; exit 1");
    fake.call(&["submit", "--", "true"]).end().good().says(["no scheduler answers on this host", "slurm"]);
    fake.call(&["submit", "--system", "cluster", "--", "true"]).end().code(3).says([
        "slurm: ",
        "no route to head",
        "pbs: qsub is not on PATH",
    ]);
    let file = fake.world.path("config/cluster/config.yaml");
    fs::write(&file, "require_cluster: true\n").unwrap();
    fake.call(&["submit", "--", "true"]).end().code(3).says(["no route to head"]);
    fake.call(&["queue"]).end().code(3).says(["no route to head"]);
    // One that answers is what was asked for.
    fake.scontrol(PING);
    fake.call(&["submit", "--", "true"]).end().good();
    assert_eq!(fake.calls("sbatch"), 1);
}

#[test]
fn of_several_systems_one_that_is_down_hides_no_other() {
    let fake = Fake::new("");
    with_bin(&fake, "}, lost: {scheduler: sge, bin: /no/such/dir}, _private: {scheduler: pbs");
    let words = ["queue", "--all-systems", "--json"];
    let queue = fake.world.cluster(words).code(3).says(["lost", "/no/such/dir"]);
    assert!(queue.json_lines().iter().all(|line| line["system"] == "hpc"));
    assert_eq!(queue.lines().len(), 2);
    assert!(!queue.err().contains("_private"), "{}", queue.err());
}

#[test]
fn the_list_says_what_was_found_and_why() {
    let fake = Fake::new("");
    let list = |words: &[&str]| fake.call(words).end().good().json_lines();
    let systems = list(&["system", "ls", "--json"]);
    let names: Vec<_> = systems.iter().map(|one| one["system"].as_str().unwrap()).collect();
    assert_eq!(names, ["slurm", "local"]);
    assert_eq!(
        (systems[0]["answers"].as_bool(), systems[0]["version"].as_str()),
        (Some(true), Some("99.1.2"))
    );
    with_bin(&fake, "}, _other: {scheduler: pbs");
    let systems = list(&["system", "ls", "--json"]);
    let names: Vec<_> = systems.iter().map(|one| one["system"].as_str().unwrap()).collect();
    assert_eq!(names, ["hpc", "_other", "local"]);
    assert_eq!(systems[1]["answers"], serde_json::Value::Null);
    // What was true a moment ago is not shown: neither that it answered, nor why it did not.
    for (ping, why) in [("echo no route >&2; exit 1", "no route"), ("echo too busy >&2; exit 1", "too busy")]
    {
        fake.scontrol(ping);
        let systems = list(&["system", "ls", "--json"]);
        assert_eq!(systems[0]["answers"], false, "{systems:?}");
        assert!(systems[0]["why"].as_str().unwrap().contains(why), "{systems:?}");
    }
    fake.scontrol(PING);
    assert_eq!(list(&["system", "ls", "--refresh", "--json"])[0]["answers"], true);
}

#[test]
fn that_none_answers_is_said_of_now() {
    let fake = Fake::new("");
    fake.scontrol("echo no route >&2; exit 1");
    // Kept for a minute, for those that then run here.
    fake.call(&["submit", "--", "true"]).end().good().says(["no scheduler answers"]);
    fake.call(&["queue"]).end().code(3).says(["no route"]);
    // The same files, so that it is the same question.
    let file = fake.bin().join("scontrol");
    let (text, time) = (fs::read_to_string(&file).unwrap(), fs::metadata(&file).unwrap().modified().unwrap());
    fs::write(&file, text.replace("echo no route >&2; exit 1", PING)).unwrap();
    fs::File::options().write(true).open(&file).unwrap().set_modified(time).unwrap();
    fake.call(&["queue", "--ids"]).end().good();
}

#[test]
fn a_system_is_shown_with_its_commands_and_limits() {
    let fake = Fake::new("");
    with_bin(&fake, ", options: {mem: 4G}, partitions: {long: {max_mem: 250G}}, setup: module load gcc");
    let shown = fake.world.cluster(["system", "show", "hpc", "--json"]).good().json();
    let sbatch = shown["commands"]["sbatch"].as_str().unwrap().to_owned();
    assert_eq!(Path::new(&sbatch), fake.bin().join("sbatch"));
    assert_eq!(shown["commands"]["scancel"], serde_json::Value::Null);
    assert_eq!(shown["site"]["version"], "99.1.2");
    let partition = &shown["site"]["partitions"][0];
    assert_eq!((partition["name"].as_str(), partition["is_default"].as_bool()), (Some("long"), Some(true)));
    assert!(partition["max_mem_per_node"].is_number() || partition["max_mem_per_node"].is_string());
    assert_eq!(shown["options"]["mem"], "4G");
    let text = fake.world.cluster(["system", "show", "hpc"]).good().out();
    for part in ["version    99.1.2", "command    scancel   not there", "setup      module load gcc", "long*"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    fake.world.cluster(["system", "show", "local"]).good();
    fake.world.cluster(["system", "show", "hcp"]).code(2);
}

#[test]
fn a_check_submits_nothing_and_tells_what_is_out_of_reach() {
    let fake = Fake::new("");
    with_bin(&fake, ", pre_submit: \"touch never\"");
    fake.command("scancel", "");
    fake.command("sinfo", "");
    let steps = fake.world.cluster(["system", "check", "hpc", "--json"]).good().json_lines();
    assert!(steps.iter().all(|step| step["good"] == true), "{steps:?}");
    let names: Vec<_> = steps.iter().map(|step| step["step"].as_str().unwrap()).collect();
    for name in ["command", "probe", "limits", "queue", "accounting", "pre_submit", "root"] {
        assert!(names.contains(&name), "{name}");
    }
    assert_eq!(fake.calls("sbatch"), 0);
    assert!(!fake.world.path("work/never").exists());
    fake.command("squeue", "echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1");
    let text = fake.world.cluster(["system", "check", "hpc"]).code(3).out();
    assert!(text.contains("FAILED queue") && text.contains("Unable to contact"), "{text}");
    with_bin(&fake, ", commands: {squeue: /nope/squeue, sacct: /nope/sacct}");
    let text = fake.world.cluster(["system", "check", "hpc"]).code(3).out();
    for command in ["squeue", "sacct"] {
        assert!(text.contains(&format!("FAILED command: there is no command /nope/{command}")), "{text}");
    }
    with_bin(&fake, "");
    fs::remove_file(fake.bin().join("squeue")).unwrap();
    let text = fake.world.cluster(["system", "check", "hpc"]).code(3).out();
    assert!(text.contains("FAILED command: there is no command") && text.contains("bin/squeue"), "{text}");
    fs::remove_file(fake.bin().join("sbatch")).unwrap();
    let text = fake.world.cluster(["system", "check", "hpc"]).code(3).out();
    assert!(text.contains("FAILED command: there is no command"), "{text}");
}

#[test]
fn a_recording_is_read_as_it_would_be() {
    let world = World::new();
    world.file("out", "8|a|PENDING|PD|None\n9|b|XY|XY|\n");
    let parse = |words: &[&str]| {
        let words: Vec<&str> = ["debug", "parse"].into_iter().chain(words.iter().copied()).collect();
        world.call(words)
    };
    let command = "squeue -h -o '%i|%j|%T|%t|%r'";
    let read = parse(&["slurm", command, "out"]).end().good().json();
    let rows = &read["reading"]["jobs"]["rows"];
    assert_eq!((rows[0]["state"].as_str(), rows[1]["state"].as_str()), (Some("queued"), Some("unknown")));
    assert_eq!((rows[1]["raw_state"].as_str(), read["v"].as_u64()), (Some("XY"), Some(1)));
    let bytes = fs::read(world.path("work/out")).unwrap();
    assert_eq!(parse(&["slurm", command, "-"]).stdin(bytes).end().good().json(), read);
    world.file("err", "slurm_load_jobs error: Unable to contact slurm controller (connect failure)\n");
    world.file("none", "");
    let failed = parse(&["slurm", command, "none", "--stderr", "err", "--rc", "1"]).end().good().json();
    assert!(failed["error"]["unreachable"].is_object(), "{failed}");
    // What is not understood is an exit code too, with line and column.
    world.file("bad", "8|a|PENDING|PD|None\nrubbish\n");
    let odd = parse(&["slurm", command, "bad"]).end().code(1).json();
    assert_eq!(odd["reading"]["jobs"]["rows"].as_array().unwrap().len(), 1);
    assert_eq!(odd["reading"]["jobs"]["errors"][0]["syntax"]["line"], 2, "{odd}");
    for (scheduler, line) in [("pbs", "pbsnodes -a"), ("slurm", "scontrol show config")] {
        let nothing = parse(&[scheduler, line, "bad"]).end().code(1).json();
        assert_eq!(nothing["messages"][0], "nothing of this is what the command prints", "{line}: {nothing}");
    }
    parse(&["lsf", "bjobs", "out"]).end().code(2).says(["slurm, pbs, torque, sge"]);
    parse(&["slurm", "squeue 'x", "out"]).end().code(2).says(["quotes"]);
    parse(&["slurm", "squeue", "not-there"]).end().code(2).says(["not-there"]);
}
