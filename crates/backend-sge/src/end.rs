//! How a job ended, from `failed` and `exit_status` together: neither says it alone.

use std::time::Duration;

use cluster_core::{Cause, ExitStatus, JobState, MemSize, Walltime};

/// One block of `qacct`, as far as it bears on the end.
#[derive(Debug, Clone, Default)]
pub(crate) struct Record<'t> {
    /// The code of `failed`.
    pub(crate) failed: i32,
    /// `failed` as it is printed: `37  : qmaster enforced h_rt, h_cpu, or h_vmem limit`.
    pub(crate) failed_text: &'t str,
    /// `exit_status`: the exit code, or 128 and the signal.
    pub(crate) exit_status: i32,
    /// Whether any use of CPU, memory or pages is on record.
    pub(crate) used_anything: bool,
    pub(crate) wallclock: Option<Duration>,
    pub(crate) cpu: Option<Duration>,
    pub(crate) max_memory: Option<MemSize>,
    /// Limits that the job asked for.
    pub(crate) hard_time: Option<Walltime>,
    pub(crate) soft_time: Option<Walltime>,
    pub(crate) hard_cpu: Option<Walltime>,
    pub(crate) soft_cpu: Option<Walltime>,
    /// Over all slots.
    pub(crate) memory: Option<MemSize>,
}

/// What a record says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct End {
    pub(crate) state: JobState,
    pub(crate) status: Option<ExitStatus>,
    pub(crate) cause: Option<Cause>,
    /// Words of ours, where the record's own are not enough.
    pub(crate) reason: &'static str,
    pub(crate) uncertain: bool,
}

/// What became of the job.
///
/// | failed | meaning |
/// |---|---|
/// | 0 | it ran, and `exit_status` is its own |
/// | 12–17, 19 | it ran, and something after it went wrong |
/// | 24, 25 | it went back into the queue: no end |
/// | 37 | SGE killed it for h_rt, h_cpu or h_vmem; some branches say which |
/// | 100 | it ran, and a signal ended it |
/// | any other | it did not start, or (30) asked for the error state: it waits in error, which is no end |
pub(crate) fn end(record: &Record<'_>) -> End {
    let failed = End { state: JobState::Failed, status: None, cause: None, reason: "", uncertain: false };
    let exit = ExitStatus::Exit(record.exit_status);
    match record.failed {
        0 if record.exit_status == 0 && !record.used_anything => End {
            cause: Some(Cause::Cancelled),
            reason: "the record holds no use of anything, as a forced deletion leaves it",
            ..failed
        },
        0 => End {
            state: if exit.is_success() { JobState::Succeeded } else { JobState::Failed },
            status: Some(exit),
            ..failed
        },
        12..=17 | 19 => End { status: (record.exit_status != 0).then_some(exit), ..failed },
        24 | 25 => End { state: JobState::Queued, ..failed },
        37 | 100 => {
            let signal = record.exit_status.checked_sub(128).filter(|signal| (1..=64).contains(signal));
            let status = match signal {
                Some(signal) => Some(ExitStatus::Signal(signal)),
                None => (record.exit_status != 0).then_some(exit),
            };
            End { status, cause: limit(record, signal), ..failed }
        }
        _ => End { state: JobState::Held, uncertain: true, ..failed },
    }
}

/// The limit that a signal stands for. SIGKILL and SIGUSR1 come from anybody: only a limit that was asked
/// for and reached explains them.
fn limit(record: &Record<'_>, signal: Option<i32>) -> Option<Cause> {
    const SIGKILL: i32 = 9;
    const SIGUSR1: i32 = 10;
    const SIGXCPU: i32 = 24;
    let reached = |used: Option<Duration>, limit: Option<Walltime>| matches!((used, limit.and_then(Walltime::as_duration)), (Some(used), Some(limit)) if used >= limit);
    let time = match signal {
        Some(SIGUSR1) => reached(record.wallclock, record.soft_time),
        Some(SIGXCPU) => reached(record.cpu, record.soft_cpu) || reached(record.cpu, record.hard_cpu),
        Some(SIGKILL) => reached(record.wallclock, record.hard_time) || reached(record.cpu, record.hard_cpu),
        _ => false,
    };
    // The execd looks at memory now and then only: what it saw may be a little less than what it killed for.
    let memory = match (record.max_memory, record.memory) {
        (Some(used), Some(limit)) => used.as_mb().saturating_mul(10) >= limit.as_mb().saturating_mul(9),
        _ => false,
    };
    // 37 says that it was for one of the limits. A time limit that was asked for and not reached leaves
    // memory, if that was asked for too; without one, the queue may have a time limit of its own.
    let no_other = record.failed == 37 && !time && record.hard_time.is_some() && record.wallclock.is_some();
    let named = if record.failed == 37 { named(record.failed_text) } else { None };
    if time {
        Some(Cause::Timeout)
    } else if named.is_some() {
        named
    } else if signal == Some(SIGKILL) && (memory || (no_other && record.memory.is_some())) {
        Some(Cause::OutOfMemory)
    } else {
        None
    }
}

/// The limit that the text of `failed` names, where it names one alone: 8.1.9 always lists all three.
fn named(text: &str) -> Option<Cause> {
    match (text.contains("h_rt") || text.contains("h_cpu"), text.contains("h_vmem")) {
        (true, false) => Some(Cause::Timeout),
        (false, true) => Some(Cause::OutOfMemory),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(failed: i32, exit_status: i32) -> Record<'static> {
        Record { failed, exit_status, used_anything: true, ..Record::default() }
    }

    #[test]
    fn an_exit_code_is_the_jobs_own() {
        let end = end(&record(0, 0));
        assert_eq!((end.state, end.status), (JobState::Succeeded, Some(ExitStatus::Exit(0))));
        for code in [1, 3, 127, 137, 255] {
            let end = super::end(&record(0, code));
            assert_eq!((end.state, end.status), (JobState::Failed, Some(ExitStatus::Exit(code))));
        }
    }

    #[test]
    fn a_record_without_any_use_is_no_success() {
        let end = end(&Record { used_anything: false, ..record(0, 0) });
        assert_eq!((end.state, end.status, end.cause), (JobState::Failed, None, Some(Cause::Cancelled)));
    }

    #[test]
    fn a_kill_alone_has_no_cause() {
        let end = end(&record(100, 137));
        assert_eq!((end.status, end.cause), (Some(ExitStatus::Signal(9)), None));
        let end = super::end(&record(100, 139));
        assert_eq!((end.status, end.cause), (Some(ExitStatus::Signal(11)), None));
        // After its soft limit a job that dies of another signal dies of that.
        let late = Record {
            wallclock: Some(Duration::from_secs(9)),
            soft_time: Some(Walltime::from_secs(5)),
            ..record(100, 139)
        };
        assert_eq!(super::end(&late).cause, None);
    }

    #[test]
    fn limits_that_were_reached_are_causes() {
        let secs = |secs| Some(Duration::from_secs(secs));
        let limit = |secs| Some(Walltime::from_secs(secs));
        let mb = |mb| Some(MemSize::from_mb(mb));
        for (what, record, cause) in [
            (
                "h_rt",
                Record { wallclock: secs(6), hard_time: limit(5), ..record(37, 137) },
                Some(Cause::Timeout),
            ),
            (
                "s_rt",
                Record { wallclock: secs(6), soft_time: limit(5), ..record(100, 138) },
                Some(Cause::Timeout),
            ),
            ("s_cpu", Record { cpu: secs(6), soft_cpu: limit(5), ..record(100, 152) }, Some(Cause::Timeout)),
            (
                "memory, with time to spare",
                Record {
                    wallclock: secs(6),
                    hard_time: limit(500),
                    memory: mb(1000),
                    max_memory: mb(1100),
                    ..record(37, 137)
                },
                Some(Cause::OutOfMemory),
            ),
            (
                "memory, by elimination",
                Record { wallclock: secs(6), hard_time: limit(500), memory: mb(1000), ..record(37, 137) },
                Some(Cause::OutOfMemory),
            ),
            ("memory, or the queue's own time limit", Record { memory: mb(1000), ..record(37, 137) }, None),
            (
                "time not reached, memory not asked for",
                Record { wallclock: secs(6), hard_time: limit(500), ..record(37, 137) },
                None,
            ),
            (
                "before the limit",
                Record { wallclock: secs(4), hard_time: limit(5), ..record(100, 137) },
                None,
            ),
        ] {
            assert_eq!(end(&record).cause, cause, "{what}");
        }
    }

    #[test]
    fn a_limit_that_the_record_names_is_the_cause() {
        for (failed_text, cause) in [
            ("37  : qmaster enforced h_rt limit", Some(Cause::Timeout)),
            ("37  : qmaster enforced h_cpu limit", Some(Cause::Timeout)),
            ("37  : execd enforced h_vmem limit", Some(Cause::OutOfMemory)),
            ("37  : qmaster enforced h_rt, h_cpu, or h_vmem limit", None),
        ] {
            assert_eq!(end(&Record { failed_text, ..record(37, 137) }).cause, cause, "{failed_text}");
        }
    }

    #[test]
    fn what_goes_back_or_waits_is_no_end() {
        assert_eq!(end(&record(25, 99)).state, JobState::Queued);
        for failed in [1, 8, 21, 26, 27, 28, 30] {
            let end = end(&record(failed, 0));
            assert_eq!((end.state, end.status, end.uncertain), (JobState::Held, None, true));
        }
    }
}
