//! Systems with commands that are shell scripts: what is asked, how often, and what is kept.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use cluster_core::dialect::Whose;
use cluster_core::exec::LocalHost;
use cluster_core::host::{Host, HostError, Invocation, Output};
use cluster_core::{JobState, MemSize, RemoteId, Timestamp};
use cluster_options::config::Config;

use super::toy::Toy;
use super::*;

const MINUTE: Duration = Duration::from_secs(60);

/// A script that leaves a line in `$0.called` at each call.
fn counted(script: &str) -> String {
    format!("echo \"$@\" >> \"$0.called\"\n{script}")
}

fn calls(toy: &Toy, command: &str) -> usize {
    let called = toy.bin().join(format!("{command}.called"));
    fs::read_to_string(called).unwrap_or_default().lines().count()
}

fn states(system: &System, snapshot: &Snapshot) -> Vec<(String, JobState)> {
    let jobs = snapshot.jobs(system).unwrap();
    jobs.rows.iter().map(|row| (row.id.to_string(), row.state)).collect()
}

#[test]
fn of_many_that_wait_one_asks() {
    let toy = Toy::new();
    toy.command("toyq", &counted("echo 1 ann running; echo 2 ann XY"));
    let since = Timestamp::now();
    let wanted = [("1".to_owned(), JobState::Running), ("2".to_owned(), JobState::Unknown)];
    std::thread::scope(|scope| {
        for _ in 0..20 {
            // Each is a process of its own to the others: a lock is one of an open file.
            scope.spawn(|| {
                let system = toy.system_on(LocalHost);
                let snapshot = system.queue(Whose::All, since).unwrap();
                assert_eq!(states(&system, &snapshot), wanted);
                assert!(snapshot.began >= since && snapshot.ended >= snapshot.began);
            });
        }
    });
    assert_eq!(calls(&toy, "toyq"), 1);
    let system = toy.system_on(LocalHost);
    let again = system.queue(Whose::All, Timestamp::now()).unwrap();
    assert!(again.began > since);
    assert_eq!(calls(&toy, "toyq"), 2);
    // An older one would do, another user's would not.
    system.queue(Whose::All, since).unwrap();
    assert_eq!(calls(&toy, "toyq"), 2);
    system.queue(Whose::Users(&["bob".to_owned()]), since).unwrap();
    assert_eq!(calls(&toy, "toyq"), 3);
}

#[test]
fn what_is_shared_is_the_users_alone() {
    fn walk(dir: &Path, files: &mut usize) {
        for entry in fs::read_dir(dir).unwrap() {
            let entry = entry.unwrap();
            let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
            if entry.file_type().unwrap().is_dir() {
                assert_eq!(mode, 0o700, "{}", entry.path().display());
                walk(&entry.path(), files);
            } else {
                assert_eq!(mode, 0o600, "{}", entry.path().display());
                *files += 1;
            }
        }
    }
    let toy = Toy::new();
    toy.command("toyq", "echo 1 ann running");
    toy.command("toysub", "");
    let system = toy.system_on(LocalHost);
    system.queue(Whose::All, Timestamp::now()).unwrap();
    detect(&[system], false).unwrap();
    let mut files = 0;
    walk(&toy.place(), &mut files);
    assert_eq!(files, 4, "snapshot, state, lock, detected");
}

#[test]
fn after_a_failure_nobody_asks_for_a_while_but_a_person() {
    let toy = Toy::new();
    toy.command("toyq", &counted("echo server down >&2; exit 9"));
    let system = toy.system_on(LocalHost);
    let error = system.queue(Whose::All, Timestamp::now()).unwrap_err();
    assert!(error.is_passing() && error.to_string().contains("server down"), "{error}");
    for _ in 0..10 {
        let error = toy.system_on(LocalHost).queue(Whose::All, Timestamp::now()).unwrap_err();
        assert!(matches!(error, SystemError::BackingOff { .. }), "{error}");
        assert!(error.to_string().contains("server down"), "{error}");
    }
    assert_eq!(calls(&toy, "toyq"), 1);
    system.queue_now(Whose::All, Timestamp::now()).unwrap_err();
    assert_eq!(calls(&toy, "toyq"), 2);
    assert_eq!(system.seen(Whose::All).unwrap().failure.unwrap().count, 2);
    toy.command("toyq", &counted("echo 1 ann held"));
    system.queue_now(Whose::All, Timestamp::now()).unwrap();
    let seen = system.seen(Whose::All).unwrap();
    assert_eq!((seen.failure, seen.queries.len()), (None, 1));
    system.queue(Whose::All, Timestamp::now()).unwrap();
}

#[test]
fn an_answer_that_is_not_understood_is_no_answer() {
    let toy = Toy::new();
    toy.command("toyq", "printf 'caf\\351 \\n'");
    let system = toy.system_on(LocalHost);
    system.queue(Whose::All, Timestamp::now()).unwrap_err();
    assert!(system.seen(Whose::All).unwrap().queries.is_empty());
    // A record that is not understood proves nobody's absence; the others are good.
    toy.command("toyq", "echo rubbish; echo 1 ann queued");
    let snapshot = system.queue_now(Whose::All, Timestamp::now()).unwrap();
    assert_eq!(snapshot.jobs(&system).unwrap().errors.len(), 1);
    assert_eq!(states(&system, &snapshot), [("1".to_owned(), JobState::Queued)]);
    assert!(system.seen(Whose::All).unwrap().queries.is_empty());
}

/// Says this much, whatever is asked.
struct Cut;

impl Host for Cut {
    fn run(&self, _: &Invocation) -> Result<Output, HostError> {
        let status = cluster_core::state::ExitStatus::Exit(0);
        Ok(Output { status, stdout: b"1 ann running\n".to_vec(), stderr: Vec::new(), truncated: true })
    }
}

#[test]
fn an_answer_that_was_cut_is_not_read() {
    let toy = Toy::new();
    let error = toy.system_on(Cut).queue(Whose::All, Timestamp::now()).unwrap_err();
    assert!(matches!(error, SystemError::Cut { .. }), "{error}");
}

#[test]
fn another_server_is_another_queue() {
    let toy = Toy::new();
    toy.command("toyq", &counted("echo 1 ann running"));
    let since = Timestamp::now();
    let with = |name: &str, value: &str| {
        let mut system = toy.system_on(LocalHost);
        system.around.env = [(name.into(), value.into())].into();
        system.queue(Whose::All, since).unwrap();
        calls(&toy, "toyq")
    };
    assert_eq!(with("SLURM_CONF", "/a"), 1);
    assert_eq!(with("SLURM_CONF", "/a"), 1);
    assert_eq!(with("SLURM_CONF", "/b"), 2);
    assert_eq!(with("PBS_SERVER", "/b"), 3);
    assert_eq!(with("EDITOR", "/b"), 4, "without any of them it is one more");
    assert_eq!(with("EDITOR", "/c"), 4);
}

#[test]
fn accounting_tells_what_it_knows_and_the_rest_is_no_error() {
    let toy = Toy::new();
    toy.command("toyacct", &counted("[ \"$1\" = 1 ] || exit 1; echo 1 ann failed"));
    let system = toy.system_on(LocalHost);
    let ids = ["1", "2"].map(|id| RemoteId(id.to_owned()));
    let answers = system.accounting(&ids, Timestamp(0)).unwrap();
    assert_eq!(answers.len(), 1);
    assert_eq!(states(&system, &answers[0]), [("1".to_owned(), JobState::Failed)]);
    let seen = system.seen(Whose::All).unwrap();
    assert_eq!((seen.accounting.len(), seen.queries.len()), (1, 0));
    // Each question is another one: no answer is taken over.
    system.accounting(&ids, Timestamp(0)).unwrap();
    assert_eq!(calls(&toy, "toyacct"), 4);
    toy.command("toyacct", &counted("exit 9"));
    assert!(!matches!(system.accounting(&ids, Timestamp(0)).unwrap_err(), SystemError::BackingOff { .. }));
    assert!(matches!(system.accounting(&ids, Timestamp(0)).unwrap_err(), SystemError::BackingOff { .. }));
    assert_eq!(calls(&toy, "toyacct"), 5);
    let mut none = toy.system_on(LocalHost);
    none.config.accounting = Some(false);
    assert!(none.accounting(&ids, Timestamp(0)).unwrap().is_empty());
    assert!(!none.check_accounting().unwrap());
}

#[test]
fn of_many_that_ask_the_accounting_one_does_and_only_for_what_is_not_known() {
    let toy = Toy::new();
    toy.command("toyacct", &counted("[ \"$1\" != 3 ] || exit 1; echo $1 ann failed"));
    let id = |id: &str| RemoteId(id.to_owned());
    let since = Timestamp::now();
    let ask = |ids: &[RemoteId], since: Timestamp, max_age: Duration| {
        let system = toy.system_on(LocalHost);
        let answers = system.accounting_shared(ids, since, max_age).unwrap();
        answers.iter().flat_map(|answer| states(&system, answer)).map(|(id, _)| id).collect::<Vec<_>>()
    };
    std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| assert_eq!(ask(&[id("1"), id("3")], since, MINUTE), ["1"]));
        }
    });
    assert_eq!(calls(&toy, "toyacct"), 2, "one for each of two");
    // It has no word of the third, and that is an answer too.
    assert_eq!(ask(&[id("3")], since, MINUTE), ["1"]);
    assert_eq!(calls(&toy, "toyacct"), 2);
    assert_eq!(ask(&[id("1"), id("2")], since, MINUTE), ["1", "2"]);
    assert_eq!(calls(&toy, "toyacct"), 3, "the first is known");
    assert_eq!(ask(&[id("2")], since, Duration::ZERO), ["2"], "that is too old now");
    assert_eq!(calls(&toy, "toyacct"), 4);
    let far = Timestamp(since.0 - 2 * 3_600_000_000);
    ask(&[id("2")], far, MINUTE);
    assert_eq!(calls(&toy, "toyacct"), 5, "that one did not look so far back");
    ask(&[id("2")], since, MINUTE);
    assert_eq!(calls(&toy, "toyacct"), 5);
    // A failure is everybody's.
    toy.command("toyacct", &counted("exit 9"));
    let system = toy.system_on(LocalHost);
    system.accounting_shared(&[id("4")], since, MINUTE).unwrap_err();
    let error = system.accounting_shared(&[id("5")], since, MINUTE).unwrap_err();
    assert!(matches!(error, SystemError::BackingOff { .. }), "{error}");
    assert_eq!(calls(&toy, "toyacct"), 6);
}

#[test]
fn the_configuration_goes_over_what_the_scheduler_says() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config.yaml");
    let text =
        "systems: {x: {scheduler: slurm, max_array_size: 7, partitions: {long: {max_mem: 4G, cores: 2}}}}";
    fs::write(&file, text).unwrap();
    let mut toy = Toy::new();
    let bin = toy.config.bin.take();
    toy.config = Config::from_files(&[file]).unwrap().systems["x"].clone();
    toy.config.bin = bin;
    // One of the two questions fails.
    toy.command("toyq", &counted("echo 1.2.3"));
    let system = toy.system_on(LocalHost);
    for _ in 0..2 {
        let site = system.site(MINUTE).unwrap();
        assert_eq!((site.version.as_deref(), site.max_array), (Some("1.2.3"), Some(7)));
        assert_eq!(site.partitions[0].max_mem_per_node, Some(MemSize::from_mb(4 << 10)));
        assert_eq!(site.partitions[0].cores_per_node, Some(2));
    }
    assert_eq!(calls(&toy, "toyq"), 1);
    system.site(Duration::ZERO).unwrap();
    assert_eq!(calls(&toy, "toyq"), 2);
    toy.command("toyq", "exit 9");
    system.site(Duration::ZERO).unwrap_err();
}

#[test]
fn without_a_command_nothing_is_started_and_no_file_is_touched() {
    let toy = Toy::new();
    toy.command("toyq", &counted("echo 1"));
    assert_eq!(detect(&[toy.system_on(LocalHost)], false).unwrap(), Detected::default());
    assert!(!toy.place().exists());
    assert_eq!(calls(&toy, "toyq"), 0);
}

#[test]
fn what_was_found_is_kept_until_the_commands_change() {
    let toy = Toy::new();
    toy.command("toysub", "");
    toy.command("toyq", &counted("echo 1.2.3"));
    let look = |anew: bool| detect(&[toy.system_on(LocalHost)], anew).unwrap();
    let first = look(false);
    assert_eq!(first.first().unwrap().version.as_deref(), Some("1.2.3"));
    assert!(first.anew);
    let kept = look(false);
    assert_eq!((&kept.found, kept.at, kept.anew), (&first.found, first.at, false));
    assert_eq!(calls(&toy, "toyq"), 1);
    look(true);
    assert_eq!(calls(&toy, "toyq"), 2);
    toy.command("toyq", &counted("echo 1.2.4"));
    assert_eq!(look(false).first().unwrap().version.as_deref(), Some("1.2.4"));
    let mut other = toy.system_on(LocalHost);
    other.around.env = [("PATH".into(), "/bin".into())].into();
    detect(&[other], false).unwrap();
    assert_eq!(calls(&toy, "toyq"), 4);
    // Somebody who does not answer is found, and is not first.
    toy.command("toyq", "echo no server >&2; exit 9");
    let none = look(false);
    assert!(none.first().is_none());
    assert!(none.found[0].error.as_deref().unwrap().contains("no server"));
}

#[test]
fn a_probe_that_hangs_is_killed_and_said() {
    let mut toy = Toy::new();
    toy.config.timeout = Some(Duration::from_millis(200));
    toy.command("toysub", "");
    toy.command("toyq", "echo waiting for the server >&2; exec sleep 1000");
    let found = detect(&[toy.system_on(LocalHost)], false).unwrap().found;
    let error = found[0].error.as_deref().unwrap();
    assert!(error.contains("0.2 s") && error.contains("waiting for the server"), "{error}");
}
