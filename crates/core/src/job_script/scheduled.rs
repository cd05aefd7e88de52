//! What `job.sh` needs where a scheduler starts it: its index from its position, its run from its record.

use std::fmt::Write as _;

use crate::dialect::ScriptFacts;
use crate::ids::{JobIndex, RunNumber};
use crate::indices::IndexSet;
use crate::job_script::gate::Gate;

/// Jobs of a submission with indices in a row, in the same run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobRange {
    /// The index of the first.
    pub first: JobIndex,
    /// How many.
    pub count: u32,
    /// The run they were sent as.
    pub run: RunNumber,
}

/// `jobs`, all in the run that `run` gives for them, as ranges: the position of a job in the array is its
/// place in this list.
///
/// ```
/// # use cluster_core::{IndexSet, job_script::ranges_of};
/// let jobs: IndexSet = "0-3,7".parse().unwrap();
/// let ranges = ranges_of(&jobs, |index| if index < 2 { 1 } else { 2 });
/// let plain: Vec<_> = ranges.iter().map(|range| (range.first, range.count, range.run)).collect();
/// assert_eq!(plain, [(0, 2, 1), (2, 2, 2), (7, 1, 2)]);
/// ```
pub fn ranges_of(jobs: &IndexSet, run: impl Fn(JobIndex) -> RunNumber) -> Vec<JobRange> {
    let mut ranges: Vec<JobRange> = Vec::new();
    for index in jobs.iter() {
        let run = run(index);
        match ranges.last_mut() {
            Some(last) if last.run == run && last.first + last.count == index => last.count += 1,
            _ => ranges.push(JobRange { first: index, count: 1, run }),
        }
    }
    ranges
}

/// A submission that goes to a scheduler.
#[derive(Debug, Clone)]
pub struct Scheduled<'a> {
    /// What the dialect says of the scheduler.
    pub facts: ScriptFacts,
    /// The directives at the head, whole lines.
    pub directives: &'a [String],
    /// The jobs, in the order of their positions.
    pub jobs: &'a [JobRange],
    /// Lines of `sh` to run before the command, in the job's environment.
    pub setup: &'a [String],
    /// The jobs to wait for.
    pub gate: Option<Gate>,
}

/// The jobs as a variable of the script: `first count run` for each range.
pub(super) fn jobs_word(jobs: &[JobRange]) -> String {
    let mut word = " _cluster_jobs='".to_owned();
    for (i, JobRange { first, count, run }) in jobs.iter().enumerate() {
        let blank = if i == 0 { "" } else { " " };
        let _ = write!(word, "{blank}{first} {count} {run}");
    }
    word.push('\'');
    word
}

impl Scheduled<'_> {
    /// From the position in the array to the index; with words, a person runs it by hand.
    pub(super) fn by_position(&self) -> String {
        let ScriptFacts { position, remote_id, unset, .. } = self.facts;
        let mut text = format!(
            r#"# Runs one job of the batch above, started by the scheduler; by hand: sh job.<k>.sh INDEX RUN. Written by `cluster`.
umask 077
_cluster_index=${{1-}} _cluster_run=${{2:-1}} _cluster_epoch=
_cluster_remote={remote_id}
if [ -z "$_cluster_index" ]; then
  _cluster_position={position}
  _cluster_position=${{_cluster_position:-0}}
  set -- $_cluster_jobs
  # Triples: the first index of some jobs in a row, how many, and their run.
  while [ $# -ge 3 ]; do
    if [ "$_cluster_position" -lt "$2" ]; then
      _cluster_index=$(($1 + _cluster_position)) _cluster_run=$3
      break
    fi
    _cluster_position=$((_cluster_position - $2))
    shift 3
  done
fi
_cluster_remote=${{_cluster_remote:--}}
"#
        );
        if !unset.is_empty() {
            let _ = writeln!(text, "unset {}", unset.join(" "));
        }
        text
    }

    /// Codes that mean something else to the scheduler; the record has the true one by then.
    pub(super) fn codes(&self) -> String {
        if self.facts.codes.is_empty() {
            return String::new();
        }
        let mut text = "case $_cluster_code in\n".to_owned();
        for (code, instead) in self.facts.codes {
            let _ = writeln!(text, "{code}) _cluster_code={instead} ;;");
        }
        text.push_str("esac\n");
        text
    }
}

/// Each start in the record was a run of this submission: a requeue is the next one. What a dead run left
/// without its line feed is closed off.
pub(super) const RUNS: &str = r#"if [ -s "$_cluster_status" ]; then
  while read -r _cluster_rest _cluster_word _cluster_more; do
    if [ "$_cluster_word" = start ]; then _cluster_run=$((_cluster_run + 1)); fi
  done < "$_cluster_status"
  [ -z "$(command -p tail -c 1 "$_cluster_status")" ] || echo >> "$_cluster_status"
fi
"#;

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // These tests start the script themselves.
mod tests {
    use std::fs;
    use std::path::Path;
    use std::process::Command;

    use super::*;
    use crate::bytestring::ByteString;
    use crate::ids::BatchId;
    use crate::job_script::{ScriptPlace, moved, render, words_file};
    use crate::spec::JobSpec;

    fn facts() -> ScriptFacts {
        ScriptFacts {
            position: "${TASK-}",
            remote_id: "${ID-}",
            signals_shell_alone: false,
            codes: &[(99, 1)],
            unset: &["LEFT_OUT"],
        }
    }

    const JOBS: [JobRange; 2] =
        [JobRange { first: 3, count: 2, run: 1 }, JobRange { first: 600, count: 1, run: 4 }];

    /// A batch 7 whose jobs 3, 4 and 600 run `words`.
    fn batch(root: &Path, words: &[&str], facts: ScriptFacts, setup: &[String]) -> std::path::PathBuf {
        let dir = root.join("jobs/7");
        fs::create_dir_all(dir.join("cmd")).unwrap();
        fs::create_dir_all(dir.join("env")).unwrap();
        fs::write(dir.join("env/e.sh"), "").unwrap();
        let words: Vec<ByteString> = words.iter().map(|&word| word.into()).collect();
        for (shard, jobs) in [(0, vec![3, 4]), (1, vec![600])] {
            let text = words_file(jobs.into_iter().map(|index| (index, &words)));
            fs::write(dir.join(format!("cmd/{shard}.sh")), text).unwrap();
        }
        let mut spec = JobSpec::single("x", Vec::new(), "/".into());
        spec.environment = "e".to_owned();
        let directives = ["#X --time=1".to_owned()];
        let scheduled = Scheduled { facts, directives: &directives, jobs: &JOBS, setup, gate: None };
        let root = ByteString::from(root.to_owned());
        let place = ScriptPlace { root: &root, batch: BatchId(7), k: 0 };
        let script = render(place, &spec, Some(&scheduled));
        assert!(script.starts_with(b"#!/bin/sh\n#X --time=1\n_cluster_root="));
        let later = moved(&script, ScriptPlace { k: 1, ..place }, Some(&JOBS[..1])).unwrap();
        assert!(later.starts_with(b"#!/bin/sh\n#X --time=1\n_cluster_root="));
        let later = String::from_utf8(later).unwrap();
        assert!(later.contains(" _cluster_k=1 _cluster_jobs='3 2 1' # place\n"), "{later}");
        let path = dir.join("job.0.sh");
        fs::write(&path, script).unwrap();
        path
    }

    fn start(script: &Path, task: &str) -> Command {
        let mut command = Command::new("sh");
        command.arg(script).env("TASK", task).env("ID", format!("88_{task}"));
        command
    }

    #[test]
    fn the_position_gives_index_and_run_and_a_requeue_the_next_run() {
        let root = tempfile::tempdir().unwrap();
        let words = ["sh", "-c", "echo $CLUSTER_JOB_INDEX $CLUSTER_RUN $SET ${LEFT_OUT-unset}; exit 99"];
        let script = batch(root.path(), &words, facts(), &["export SET=up".to_owned()]);
        for (task, file, printed) in [
            ("0", "0/3.0", "3 1 up unset\n"),
            ("", "0/3.0", "3 1 up unset\n3 2 up unset\n"),
            ("2", "1/600.0", "600 4 up unset\n"),
        ] {
            // 99 would be a requeue to the scheduler: it gets 1, and the record has the true code.
            let status = start(&script, task).env("LEFT_OUT", "x").status().unwrap();
            assert_eq!(status.code(), Some(1));
            let dir = root.path().join("jobs/7");
            assert_eq!(fs::read_to_string(dir.join(format!("{file}.out"))).unwrap(), printed);
            let status = fs::read_to_string(dir.join(format!("{file}.status"))).unwrap();
            assert!(status.contains(&format!(" 88_{task}\nv1 end 0 ")), "{status}");
            assert!(status.lines().last().unwrap().contains(" 99 "), "{status}");
        }
        let beyond = start(&script, "3").output().unwrap();
        assert_eq!(beyond.status.code(), Some(2), "{beyond:?}");
    }

    #[test]
    fn a_line_that_a_dead_run_left_open_does_not_swallow_the_next() {
        let root = tempfile::tempdir().unwrap();
        let script = batch(root.path(), &["true"], facts(), &[]);
        fs::create_dir_all(root.path().join("jobs/7/0")).unwrap();
        let record = root.path().join("jobs/7/0/3.0.status");
        fs::write(&record, "v1 start 0 1 h 5 -\nv1 end 0 1").unwrap();
        assert!(start(&script, "0").status().unwrap().success());
        let lines: Vec<_> = fs::read_to_string(&record).unwrap().lines().map(str::to_owned).collect();
        assert_eq!(lines.len(), 4, "{lines:?}");
        assert!(lines[2].starts_with("v1 start 0 "), "{lines:?}");
    }

    #[test]
    fn where_the_shell_alone_is_signalled_the_command_gets_it_once() {
        let root = tempfile::tempdir().unwrap();
        let fifo = root.path().join("fifo");
        assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        let text = format!(
            "trap 'echo got; n=1' TERM; n=; echo ready > '{}'; while [ -z \"$n\" ]; do sleep 0.05; done; sleep 0.2; exit 7",
            fifo.display()
        );
        let script = batch(
            root.path(),
            &["sh", "-c", &text],
            ScriptFacts { signals_shell_alone: true, ..facts() },
            &[],
        );
        let mut child = start(&script, "0").spawn().unwrap();
        fs::read(&fifo).unwrap();
        assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
        assert_eq!(child.wait().unwrap().code(), Some(7));
        let dir = root.path().join("jobs/7/0");
        assert_eq!(fs::read_to_string(dir.join("3.0.out")).unwrap(), "got\n");
        let status = fs::read_to_string(dir.join("3.0.status")).unwrap();
        assert!(status.ends_with(" 7 4 0 TERM\n"), "{status}");
    }
}
