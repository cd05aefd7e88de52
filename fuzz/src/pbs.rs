//! Whatever the commands of OpenPBS and of Torque print.

use std::sync::LazyLock;

use cluster_backend_pbs::{OpenPbs, Torque};
use cluster_core::dialect::{Dialect, Whose};

use crate::case::{self, Lines, words};

/// One command line for each form that is read, after those that are sent, for both.
static LINES: LazyLock<Lines> = LazyLock::new(|| {
    let mut lines = Lines::new();
    for dialect in [&OpenPbs as &'static dyn Dialect, &Torque] {
        lines.extend(
            [dialect.query(Whose::All), dialect.probe()]
                .into_iter()
                .chain(dialect.survey())
                .map(|invocation| (dialect, invocation.argv)),
        );
        let known = [
            "qsub x",
            "qdel 1",
            "qhold 1",
            "qstat",
            "qstat -a",
            "qstat -f",
            "qstat -xf",
            "qstat -f -w",
            "qstat -f -F json",
            "qstat -f -F dsv",
            "qstat -f -F dsv -D %%",
            "qstat -x",
            "qstat -Q",
            "qstat -Qf",
            "qstat -Q -f -F json",
            "qstat -Bf",
            "qstat -Bf -F json",
            "qselect",
            "pbsnodes -a",
            "pbsnodes -a -x",
            "pbsnodes -a -F json",
            "pbsnodes -a -F dsv",
            "pbsnodes -aSj",
            "qmgr -c x",
            "tracejob 1",
        ];
        lines.extend(known.map(|line| (dialect, words(line))));
    }
    lines
});

/// The list of command lines.
pub fn lines() -> &'static Lines {
    &LINES
}

/// One case.
pub fn check(data: &[u8]) {
    case::check(&LINES, data);
}
