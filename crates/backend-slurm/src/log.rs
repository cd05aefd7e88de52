//! The cause that Slurm writes into a job's own output.

use cluster_core::Cause;

/// What slurmstepd writes, in the order in which one beats another: a job that ran out of memory or time is
/// cancelled after that.
const MARKS: &[(&str, Cause)] = &[
    ("oom-kill event", Cause::OutOfMemory),
    ("oom_kill event", Cause::OutOfMemory),
    ("Out Of Memory", Cause::OutOfMemory),
    ("Exceeded job memory limit", Cause::OutOfMemory),
    ("exceeded memory limit", Cause::OutOfMemory),
    ("DUE TO TIME LIMIT", Cause::Timeout),
    ("DUE TO NODE FAILURE", Cause::NodeFailure),
    ("DUE TO PREEMPTION", Cause::Preempted),
];

/// The cause in a text; only lines of Slurm's own count, which name `slurmstepd`, or `JOB … CANCELLED AT`.
pub(crate) fn cause(text: &[u8]) -> Option<Cause> {
    let text = String::from_utf8_lossy(text);
    let own: Vec<&str> = text
        .lines()
        .filter(|line| {
            line.starts_with("slurmstepd") || line.starts_with("slurmd") || line.starts_with("srun: ")
        })
        .collect();
    let named = MARKS.iter().find(|(mark, _)| own.iter().any(|line| line.contains(mark)));
    named
        .map(|(_, cause)| *cause)
        .or_else(|| own.iter().any(|line| line.contains("CANCELLED AT")).then_some(Cause::Cancelled))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slurms_own_lines_name_the_cause() {
        for (line, want) in [
            (
                "slurmstepd: error: *** JOB 4 ON node1 CANCELLED AT 2026-11-20T17:30:40 DUE TO TIME LIMIT ***",
                Some(Cause::Timeout),
            ),
            (
                "slurmstepd: error: *** JOB 4 ON node1 CANCELLED AT 2026-11-20T17:30:40 ***",
                Some(Cause::Cancelled),
            ),
            (
                "slurmstepd: error: *** JOB 4 ON n CANCELLED AT 2026-11-20T17:30:40 DUE TO PREEMPTION ***",
                Some(Cause::Preempted),
            ),
            (
                "slurmstepd: error: *** JOB 4 ON n CANCELLED AT 2026-11-20T17:30:40 DUE TO NODE FAILURE, SEE SLURMCTLD LOG FOR DETAILS ***",
                Some(Cause::NodeFailure),
            ),
            ("slurmstepd: error: Detected 1 oom-kill event(s) in StepId=4.batch.", Some(Cause::OutOfMemory)),
            (
                "slurmstepd-node2: error: *** JOB 18 ON node2 CANCELLED AT 2026-11-20T22:41:25 ***",
                Some(Cause::Cancelled),
            ),
            ("my program says: CANCELLED AT noon DUE TO TIME LIMIT", None),
            ("", None),
        ] {
            assert_eq!(cause(line.as_bytes()), want, "{line}");
        }
    }
}
