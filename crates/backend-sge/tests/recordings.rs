//! Every recording of a real Grid Engine, and what is understood of it.
//!
//! `NAME.cmd` is the shell line that was run, `.out` and `.err` what it printed (`.out.gz` where it is
//! large), `.rc` its exit code where that is not 0.

mod common;

use common::{Attributed, attribute, load, names, outcome};

#[test]
fn all_recordings() {
    let mut seen = 0;
    for name in names() {
        let recording = load(&name);
        insta::with_settings!({snapshot_path => "snapshots", prepend_module_to_snapshot => false, description => recording.cmd.trim().to_owned(), omit_expression => true}, {
            insta::assert_snapshot!(name.as_str(), outcome(&recording));
        });
        seen += 1;
    }
    assert!(seen >= 200, "{seen} recordings");
}

#[test]
fn the_scheduler_command_of_a_shell_line_is_found() {
    let argv = |cmd: &str| match attribute(cmd) {
        Attributed::Argv(argv) => argv.join(" "),
        Attributed::Not(why) => format!("not: {why}"),
    };
    assert_eq!(argv("SGE_QMASTER_PORT=1 qstat"), "qstat");
    assert_eq!(argv("unset SGE_ROOT SGE_CELL; qstat"), "qstat");
    assert_eq!(argv("cd /tmp; qsub -b y id"), "qsub -b y id");
    assert_eq!(argv("echo \"true\" | qsub -terse"), "qsub -terse");
    assert_eq!(argv("timeout 15 qdel -f 91"), "qdel -f 91");
    assert_eq!(argv("qsub -N 'a b' -N two\\ words x"), "qsub -N a b -N two words x");
    assert!(argv("qacct -j 11 | grep time").starts_with("not: "));
    assert!(argv("qsub a; qstat").starts_with("not: "));
    assert!(argv("tail -5 accounting").starts_with("not: "));
}
