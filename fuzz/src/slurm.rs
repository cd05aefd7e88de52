//! Whatever Slurm's commands print.

use std::sync::LazyLock;

use cluster_backend_slurm::Slurm;
use cluster_core::Timestamp;
use cluster_core::dialect::{Dialect, Whose};

use crate::case::{self, Lines, words};

/// One command line for each form that is read, after those that are sent.
static LINES: LazyLock<Lines> = LazyLock::new(|| {
    let slurm: &'static Slurm = &Slurm;
    let ours = [slurm.query(Whose::All), slurm.probe()]
        .into_iter()
        .chain(slurm.accounting(&[], "u", Timestamp(0)))
        .chain(slurm.survey())
        .map(|invocation| invocation.argv);
    let known = [
        "sbatch --parsable x",
        "sbatch x",
        "scancel 1",
        "squeue",
        "squeue --json",
        "squeue -h -o %i|%j|%T|%r|%N",
        "squeue -h -o %i|%A|%F|%K|%T|%t|%R|%M|%l|%k|%V|%S|%e|%D|%C|%m",
        "squeue -h -o %i~%V~%S~%e",
        "squeue -o %all",
        "squeue -O JobID:20,Name:40,Comment:30,State:12",
        "squeue -h -O JobID:|,JobArrayID:|,ArrayTaskID:40|,Name:40|,StateCompact:|,TimeLimit:|,tres-alloc:60|,SubmitTime:|",
        "squeue --start",
        "sacct",
        "sacct --json",
        "sacct -P --format=JobID,JobIDRaw,JobName,Partition,User,State,ExitCode,DerivedExitCode,Elapsed,Timelimit,Submit,Start,End,NNodes,NCPUS,AllocTRES,ReqMem,MaxRSS,TotalCPU,NodeList,Reason,Comment",
        "sacct -n -X -P -o JobID,State",
        "sacct --format=JobID%20,JobName%40,State%20",
        "sinfo",
        "sinfo --json",
        "sinfo -h -o %P|%a|%l|%D|%C|%m|%E",
        "sinfo -h -O PartitionName:|,Available:|,Time:|,Nodes:|,StateLong:|,NodeList:40|,CPUsState:|,Memory:|",
        "scontrol show job",
        "scontrol -o show job",
        "scontrol -o show node",
        "scontrol show partition",
        "scontrol show config",
        "scontrol ping",
        "scontrol --version",
        "scontrol hold 1",
        "sprio -l",
    ];
    ours.chain(known.map(words)).map(|argv| (slurm as &dyn Dialect, argv)).collect()
});

/// The list of command lines.
pub fn lines() -> &'static Lines {
    &LINES
}

/// One case.
pub fn check(data: &[u8]) {
    case::check(&LINES, data);
}
