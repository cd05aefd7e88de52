//! Whatever the commands of Grid Engine print.

use std::sync::LazyLock;

use cluster_backend_sge::Sge;
use cluster_core::Timestamp;
use cluster_core::dialect::{Dialect, Whose};

use crate::case::{self, Lines, words};

static SGE: LazyLock<Sge> =
    LazyLock::new(|| Sge { parallel_environment: Some("smp".into()), ..Sge::default() });

/// One command line for each form that is read, after those that are sent.
static LINES: LazyLock<Lines> = LazyLock::new(|| {
    let sge: &'static Sge = &SGE;
    let ours = [sge.query(Whose::All), sge.probe()]
        .into_iter()
        .chain(sge.accounting(&[], "u", Timestamp(0)))
        .chain(sge.survey())
        .map(|invocation| invocation.argv);
    let known = [
        "qsub -terse x",
        "qsub x",
        "qdel 1",
        "qhold 1",
        "qmod -sj 1",
        "qstat",
        "qstat -xml",
        "qstat -xml -r -u *",
        "qstat -g d -xml",
        "qstat -f -xml",
        "qstat -ext -xml",
        "qstat -s z -xml",
        "qstat -j 1",
        "qstat -j 1 -xml",
        "qstat -g c",
        "qstat -f",
        "qacct",
        "qacct -j 1",
        "qacct -o u -j",
        "qhost",
        "qhost -q -j",
        "qhost -xml -q -j",
        "qhost -F h_vmem,mem_total",
        "qconf -sql",
        "qconf -sq all.q",
        "qconf -sconf",
        "qconf -ssconf",
        "qconf -spl",
        "qconf -sp mpi",
        "qconf -sc",
        "qconf -se x",
        "qping -info x 1 qmaster 1",
    ];
    ours.chain(known.map(words)).map(|argv| (sge as &dyn Dialect, argv)).collect()
});

/// The list of command lines.
pub fn lines() -> &'static Lines {
    &LINES
}

/// One case.
pub fn check(data: &[u8]) {
    case::check(&LINES, data);
}
