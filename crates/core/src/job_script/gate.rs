//! The gate: the lines of `job.sh` that look at the records of the jobs it depends on.
//!
//! Schedulers let jobs through: some wait for the end and not for success, some take the last element of an
//! array for the whole, some forget. So the script reads the newest status file of every job it waits for.

use std::fmt::Write as _;

use crate::dependency::DependencyKind;
use crate::ids::{BatchId, SubmissionNumber};
use crate::indices::IndexSet;

/// Jobs of one batch of which the same is expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gated {
    /// What is expected of each.
    pub kind: DependencyKind,
    /// Their batch.
    pub batch: BatchId,
    /// The jobs; `None`: the job of the script's own index, in an array that waits element by element.
    pub jobs: Option<IndexSet>,
    /// The submission they were in when this was submitted: records of older ones are no evidence.
    pub k: SubmissionNumber,
}

/// What a script waits for before its command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gate {
    /// All of it has to come true.
    pub on: Vec<Gated>,
    /// Seconds to wait for a record that is not there.
    pub wait: u32,
    /// Whether `afterok` and `afternotok` go on without a record: only where the scheduler checks the status
    /// of what it waits for itself.
    pub trusts_scheduler: bool,
}

impl Gate {
    /// The most jobs that a gate looks at; more are released by the client.
    pub const MOST: u64 = 1_000;

    pub(super) fn render(&self) -> String {
        let mut text = FUNCTIONS.to_owned();
        let _ = writeln!(text, "_cluster_left={}", self.wait);
        for gated in &self.on {
            let (kind, batch, k) = (gated.kind.as_str(), gated.batch, gated.k);
            let trusted = match gated.kind {
                DependencyKind::AfterOk | DependencyKind::AfterNotOk => self.trusts_scheduler,
                DependencyKind::AfterAny | DependencyKind::After => true,
            };
            let unknown = if trusted { "go" } else { "stop" };
            match &gated.jobs {
                None => {
                    let _ = writeln!(text, "_cluster_gate {kind} {batch} \"$_cluster_index\" {unknown} {k}");
                }
                Some(jobs) => {
                    for &(first, end) in jobs.ranges() {
                        let _ = writeln!(
                            text,
                            "_cluster_on={first}\n\
                             while [ \"$_cluster_on\" -lt {end} ]; do\n  \
                             _cluster_gate {kind} {batch} \"$_cluster_on\" {unknown} {k}\n  \
                             _cluster_on=$((_cluster_on + 1))\ndone"
                        );
                    }
                }
            }
        }
        text
    }
}

const FUNCTIONS: &str = r#"# The gate: waits for the records of the jobs this one depends on.
# What the newest record of job $2 of batch $1 says: ended well, ended otherwise, has begun, or nothing. Those of
# submissions before $3 are over and done with: on a network file system a newer one may not show yet.
_cluster_look() {
  _cluster_said= _cluster_newest=$(($3 - 1))
  for _cluster_file in "$_cluster_root/jobs/$1/$(($2 / 512))/$2".*.status; do
    _cluster_number=${_cluster_file%.status}
    _cluster_number=${_cluster_number##*.}
    case $_cluster_number in ''|*[!0-9]*) continue ;; esac
    [ "$_cluster_number" -gt "$_cluster_newest" ] && _cluster_newest=$_cluster_number _cluster_record=$_cluster_file
  done
  [ "$_cluster_newest" -ge "$3" ] || return 0
  # v1 end <k> <epoch> <code> <out> <err> <signal>; a line without its line feed is not read.
  while read -r _cluster_rest _cluster_word _cluster_1 _cluster_2 _cluster_3 _cluster_4 _cluster_5 _cluster_6; do
    case $_cluster_word in
      start) _cluster_said=begun ;;
      gate) [ "$_cluster_3" = unknown ] || _cluster_said=bad ;;
      end) if [ "$_cluster_3 $_cluster_6" = '0 -' ]; then _cluster_said=good; else _cluster_said=bad; fi ;;
    esac
  done < "$_cluster_record"
}
_cluster_note() {
  printf 'v1 gate %d %d.%d %s\n' "$_cluster_k" "$1" "$2" "$3" >> "$_cluster_status"
}
_cluster_gate() { # kind batch index go|stop submission
  while :; do
    _cluster_look "$2" "$3" "$5"
    case $1,$_cluster_said in
      afterok,good|afternotok,bad|afterany,good|afterany,bad|after,?*) return 0 ;;
      afterok,bad) _cluster_note "$2" "$3" failed; exit 1 ;;
      afternotok,good) _cluster_note "$2" "$3" succeeded; exit 1 ;;
    esac
    [ "$_cluster_left" -gt 0 ] || break
    _cluster_nap=5
    [ "$_cluster_left" -ge 5 ] || _cluster_nap=$_cluster_left
    command -p sleep "$_cluster_nap"
    _cluster_left=$((_cluster_left - _cluster_nap))
    if [ "$_cluster_got" != - ]; then
      printf 'v1 end %d %d 143 0 0 %s\n' "$_cluster_k" "$(command -p date +%s)" "$_cluster_got" >> "$_cluster_status"
      exit 143
    fi
  done
  if [ "$4" = go ]; then _cluster_note "$2" "$3" unknown; return 0; fi
  _cluster_note "$2" "$3" no-record
  exit 1
}
"#;

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // These tests start the script themselves.
mod tests {
    use std::fs;
    use std::path::Path;
    use std::process::Command;

    use super::*;

    /// Runs the gate of job 9.0 on `kind` of job 1.3, whose records are these; its code and what it noted.
    fn gate(kind: DependencyKind, trusts: bool, records: &[(&str, &str)]) -> (i32, String) {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("jobs/1/0");
        fs::create_dir_all(&dir).unwrap();
        for (name, text) in records {
            fs::write(dir.join(name), text).unwrap();
        }
        let jobs = Some(IndexSet::range(3, 4));
        let gate = Gate {
            on: vec![Gated { kind, batch: BatchId(1), jobs, k: 0 }],
            wait: 0,
            trusts_scheduler: trusts,
        };
        run(root.path(), &gate)
    }

    fn run(root: &Path, gate: &Gate) -> (i32, String) {
        let status = root.join("status");
        let script = format!(
            "_cluster_root='{}' _cluster_k=2 _cluster_got=- _cluster_status='{}' _cluster_index=3\n{}exit 0\n",
            root.display(),
            status.display(),
            gate.render()
        );
        let code = Command::new("sh").arg("-c").arg(script).status().unwrap().code().unwrap();
        (code, fs::read_to_string(status).unwrap_or_default())
    }

    const GOOD: &str = "v1 start 0 1 h 5 -\nv1 end 0 2 0 0 0 -\n";
    const BAD: &str = "v1 start 0 1 h 5 -\nv1 end 0 2 3 0 0 -\n";

    #[test]
    fn the_record_decides() {
        use DependencyKind::{After, AfterAny, AfterNotOk, AfterOk};
        let failed = "v1 gate 2 1.3 failed\n";
        let signalled = "v1 end 0 2 0 0 0 TERM\n";
        let gate_stopped = "v1 start 0 1 h 5 -\nv1 gate 0 7.1 failed\n";
        for (kind, record, code, noted) in [
            (AfterOk, GOOD, 0, ""),
            (AfterOk, BAD, 1, failed),
            (AfterOk, signalled, 1, failed),
            (AfterOk, gate_stopped, 1, failed),
            (AfterAny, BAD, 0, ""),
            (AfterAny, GOOD, 0, ""),
            (AfterNotOk, BAD, 0, ""),
            (AfterNotOk, gate_stopped, 0, ""),
            (AfterNotOk, GOOD, 1, "v1 gate 2 1.3 succeeded\n"),
            (After, "v1 start 0 1 h 5 -\n", 0, ""),
        ] {
            assert_eq!(
                gate(kind, false, &[("3.0.status", record)]),
                (code, noted.to_owned()),
                "{kind:?} {record}"
            );
        }
    }

    #[test]
    fn the_newest_submission_and_the_newest_run_count() {
        let ok = DependencyKind::AfterOk;
        assert_eq!(gate(ok, false, &[("3.9.status", BAD), ("3.10.status", GOOD)]).0, 0);
        assert_eq!(gate(ok, false, &[("3.9.status", GOOD), ("3.10.status", BAD)]).0, 1);
        let requeued = format!("{BAD}{GOOD}");
        assert_eq!(gate(ok, false, &[("3.0.status", &requeued)]).0, 0);
        // A run that has begun again has no end yet.
        let again = format!("{GOOD}v1 start 0 5 h 7 -\n");
        assert_eq!(gate(ok, false, &[("3.0.status", &again)]).1, "v1 gate 2 1.3 no-record\n");
        // A line without its line feed is no evidence.
        assert_eq!(gate(ok, false, &[("3.0.status", GOOD.trim_end())]).0, 1);
    }

    #[test]
    fn without_a_record_it_goes_on_only_where_the_scheduler_can_be_trusted() {
        let (ok, any) = (DependencyKind::AfterOk, DependencyKind::AfterAny);
        assert_eq!(gate(ok, true, &[]), (0, "v1 gate 2 1.3 unknown\n".to_owned()));
        assert_eq!(gate(ok, false, &[]), (1, "v1 gate 2 1.3 no-record\n".to_owned()));
        assert_eq!(gate(any, false, &[]), (0, "v1 gate 2 1.3 unknown\n".to_owned()));
    }

    #[test]
    fn an_element_waits_for_its_own_number() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("jobs/1/0");
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("3.0.status"), GOOD).unwrap();
        fs::write(dir.join("4.0.status"), BAD).unwrap();
        let on = vec![Gated { kind: DependencyKind::AfterOk, batch: BatchId(1), jobs: None, k: 0 }];
        assert_eq!(run(root.path(), &Gate { on, wait: 0, trusts_scheduler: false }).0, 0);
    }

    #[test]
    fn an_older_submission_is_no_evidence() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("jobs/1/0");
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("3.0.status"), GOOD).unwrap();
        let jobs = Some(IndexSet::range(3, 4));
        let on = vec![Gated { kind: DependencyKind::AfterOk, batch: BatchId(1), jobs, k: 1 }];
        let gate = Gate { on, wait: 0, trusts_scheduler: false };
        assert_eq!(run(root.path(), &gate), (1, "v1 gate 2 1.3 no-record\n".to_owned()));
        fs::write(dir.join("3.1.status"), GOOD).unwrap();
        assert_eq!(run(root.path(), &gate).0, 0);
    }
}
