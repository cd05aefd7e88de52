//! `job.sh`: what the scheduler starts for each job. It needs `sh` alone, nothing of ours on the node.
//!
//! The local queue calls `sh jobs/B/job.<k>.sh INDEX RUN`; a scheduler starts the same script without words,
//! with its directives at the head, and the script finds its index from its position in the array. It
//! restores the environment, umask and directory that were stored at submission, runs the command in the
//! foreground with its output in files of its own, and records start and end in the status file. It never
//! `exec`s the command itself, so that the end is recorded, and it ends with the command's code, so that a
//! scheduler's own dependencies see it.

mod environment;
mod gate;
mod scheduled;
mod words;

use std::fmt::Write as _;

pub use environment::{environment_file, parse_environment, travels};
pub use gate::{Gate, Gated};
pub use scheduled::{JobRange, Scheduled, ranges_of};
pub use words::words_file;

use crate::bytestring::ByteString;
use crate::ids::{BatchId, JobIndex, SubmissionNumber};
use crate::shell::quote;
use crate::spec::JobSpec;

/// Jobs whose words, or whose output files, share one file or directory.
pub const JOBS_PER_SHARD: u32 = 512;

/// The shard of a job: the directory of its output files and the name of its words file.
///
/// ```
/// assert_eq!(cluster_core::job_script::shard(513), 1);
/// ```
pub const fn shard(index: JobIndex) -> u32 {
    index / JOBS_PER_SHARD
}

/// Where the files of one submission are.
#[derive(Debug, Clone, Copy)]
pub struct ScriptPlace<'a> {
    /// The root, an absolute path.
    pub root: &'a ByteString,
    /// The batch.
    pub batch: BatchId,
    /// The submission.
    pub k: SubmissionNumber,
}

const HEAD: &str = "#!/bin/sh\n";

fn place_line(place: ScriptPlace<'_>, jobs: Option<&[JobRange]>) -> Vec<u8> {
    let mut line = b"_cluster_root=".to_vec();
    line.extend_from_slice(&quote(&place.root.0));
    line.extend_from_slice(format!(" _cluster_batch={} _cluster_k={}", place.batch, place.k).as_bytes());
    if let Some(jobs) = jobs {
        line.extend_from_slice(scheduled::jobs_word(jobs).as_bytes());
    }
    // The path may hold line feeds: the comment at the end of the statement marks where it is over.
    line.extend_from_slice(PLACE_END);
    line
}

const PLACE_END: &[u8] = b" # place\n";

/// The script of one submission; of one for a scheduler where `scheduled` says so.
pub fn render(place: ScriptPlace<'_>, spec: &JobSpec, scheduled: Option<&Scheduled<'_>>) -> Vec<u8> {
    let mut script = HEAD.as_bytes().to_vec();
    for line in scheduled.iter().flat_map(|scheduled| scheduled.directives) {
        script.extend_from_slice(line.as_bytes());
        script.push(b'\n');
    }
    script.extend_from_slice(&place_line(place, scheduled.map(|scheduled| scheduled.jobs)));
    match scheduled {
        None => script.extend_from_slice(BY_WORDS.as_bytes()),
        Some(scheduled) => script.extend_from_slice(scheduled.by_position().as_bytes()),
    }
    script.extend_from_slice(BEFORE.as_bytes());
    script.extend_from_slice(if scheduled.is_some() { scheduled::RUNS.as_bytes() } else { b"" });
    script.extend_from_slice(START.as_bytes());
    if let Some(gate) = scheduled.and_then(|scheduled| scheduled.gate.as_ref()) {
        script.extend_from_slice(gate.render().as_bytes());
    }
    script.extend_from_slice(format!(". \"$_cluster_dir/env/{}.sh\"\n", spec.environment).as_bytes());
    script.extend_from_slice(IDENTITY.as_bytes());
    let mut exports = String::new();
    for (name, value) in spec.resources.job_environment() {
        let _ = write!(exports, " {name}={value}");
    }
    let _ = writeln!(exports, " CLUSTER_DEPTH={}", spec.depth);
    script.extend_from_slice(b"export");
    script.extend_from_slice(exports.as_bytes());
    for line in scheduled.iter().flat_map(|scheduled| scheduled.setup) {
        script.extend_from_slice(line.as_bytes());
        script.push(b'\n');
    }
    script.extend_from_slice(format!("umask {:04o}\n", spec.umask & 0o777).as_bytes());
    script.extend_from_slice(b"_cluster_cwd=");
    script.extend_from_slice(&quote(&spec.cwd.0));
    script.extend_from_slice(b"\n_cluster_in=");
    script.extend_from_slice(if spec.stdin { b"$_cluster_dir/stdin" } else { b"/dev/null" });
    let passes_on = scheduled.is_some_and(|scheduled| scheduled.facts.signals_shell_alone);
    script.extend_from_slice(COMMAND.as_bytes());
    script.extend_from_slice(if passes_on { BACKGROUND } else { FOREGROUND }.as_bytes());
    script.extend_from_slice(END.as_bytes());
    script.extend_from_slice(scheduled.map_or_else(String::new, Scheduled::codes).as_bytes());
    script.extend_from_slice(b"exit \"$_cluster_code\"\n");
    script
}

/// `script`, as [`render`] made it or a person changed it, moved to another submission: its first lines
/// (after a scheduler's directives) name the place, and for a scheduler the jobs; all else stays. `None`
/// where these lines are not ours any more.
pub fn moved(script: &[u8], place: ScriptPlace<'_>, jobs: Option<&[JobRange]>) -> Option<Vec<u8>> {
    let mut rest = script.strip_prefix(HEAD.as_bytes())?;
    while rest.starts_with(b"#") {
        rest = &rest[rest.iter().position(|&b| b == b'\n')? + 1..];
    }
    let before = script.len() - rest.len();
    let end = rest.windows(PLACE_END.len()).position(|window| window == PLACE_END)? + PLACE_END.len();
    if !rest.starts_with(b"_cluster_root=") {
        return None;
    }
    let mut moved = script[..before].to_vec();
    moved.extend_from_slice(&place_line(place, jobs));
    moved.extend_from_slice(&rest[end..]);
    Some(moved)
}

const BY_WORDS: &str = r#"# Runs one job of the batch above: sh job.<k>.sh INDEX RUN [EPOCH]. Written by `cluster`; see docs/job-files.md.
_cluster_index=$1 _cluster_run=${2:-1} _cluster_epoch=$3 _cluster_remote=-
"#;

const BEFORE: &str = r#"case $_cluster_index in ''|*[!0-9]*) echo "$0: no job index" >&2; exit 2 ;; esac
_cluster_dir=$_cluster_root/jobs/$_cluster_batch
_cluster_shard=$((_cluster_index / 512))
_cluster_stem=$_cluster_index.$_cluster_k
_cluster_got=-
trap '_cluster_got=TERM' TERM
trap '_cluster_got=INT' INT
trap '_cluster_got=HUP' HUP
trap '_cluster_got=USR1' USR1
trap '_cluster_got=USR2' USR2
[ -d "$_cluster_dir/$_cluster_shard" ] || mkdir -p -m 700 "$_cluster_dir/$_cluster_shard"
_cluster_status=$_cluster_dir/$_cluster_shard/$_cluster_stem.status
"#;

const START: &str = r#"# Clock and host name without a process of their own, where the system shows them.
_cluster_up=
[ -r /proc/uptime ] && IFS=. read -r _cluster_up _cluster_rest < /proc/uptime
_cluster_epoch=${_cluster_epoch:-$(command -p date +%s)}
_cluster_host=
[ -r /proc/sys/kernel/hostname ] && read -r _cluster_host < /proc/sys/kernel/hostname
printf 'v1 start %d %d %s %d %s\n' "$_cluster_k" "$_cluster_epoch" \
  "${_cluster_host:-$(command -p uname -n)}" "$$" "$_cluster_remote" >> "$_cluster_status"
"#;

const IDENTITY: &str = r#"export CLUSTER_ROOT="$_cluster_root" CLUSTER_BATCH_ID="$_cluster_batch" \
  CLUSTER_JOB_ID="$_cluster_batch.$_cluster_index" CLUSTER_JOB_INDEX="$_cluster_index" CLUSTER_RUN="$_cluster_run" \
  CLUSTER_SUBMISSION="$_cluster_k"
"#;

const COMMAND: &str = r#"
. "$_cluster_dir/cmd/$_cluster_shard.sh"
# A subshell that execs: `exec` never finds a builtin, so the words run as the kernel would run them.
(
  cd "$_cluster_cwd" || exit 126
  # Of a job that is started without a script there is none.
  unset OLDPWD
  export PWD
  case $1 in
    -*) exec env -- "$@" ;;
    *) exec "$@" ;;
  esac
) < "$_cluster_in" >> "$_cluster_dir/$_cluster_shard/$_cluster_stem.out" \
  2>> "$_cluster_dir/$_cluster_shard/$_cluster_stem.err""#;

/// The whole group or session gets a signal: the command has it already.
const FOREGROUND: &str = "\n_cluster_code=$?\n";

/// The shell alone gets it, and passes it on; INT as TERM, since `sh` ignores INT in the background.
const BACKGROUND: &str = r#" &
_cluster_child=$!
for _cluster_name in TERM HUP USR1 USR2; do
  trap "_cluster_got=$_cluster_name; kill -$_cluster_name $_cluster_child" "$_cluster_name"
done
trap '_cluster_got=INT; kill -TERM $_cluster_child' INT
# A trap ends `wait`; the command is over when there is nothing left to wait for.
while kill -0 "$_cluster_child" 2> /dev/null; do
  wait "$_cluster_child"
  _cluster_code=$?
done
"#;

const END: &str = r#"cd "$_cluster_dir/$_cluster_shard" || exit "$_cluster_code"
_cluster_sizes='0 - 0'
if [ -s "$_cluster_stem.out" ] || [ -s "$_cluster_stem.err" ]; then
  # Two lines of "bytes name" and the total; the names have no blanks.
  _cluster_sizes=$(command -p wc -c "$_cluster_stem.out" "$_cluster_stem.err")
fi
if [ -n "$_cluster_up" ] && IFS=. read -r _cluster_now _cluster_rest < /proc/uptime; then
  _cluster_epoch=$((_cluster_epoch + _cluster_now - _cluster_up))
else
  _cluster_epoch=$(command -p date +%s)
fi
IFS=' 
	'
set -- $_cluster_sizes
printf 'v1 end %d %d %d %d %d %s\n' "$_cluster_k" "$_cluster_epoch" "$_cluster_code" "${1:-0}" "${3:-0}" \
  "$_cluster_got" >> "$_cluster_status"
"#;

#[cfg(test)]
mod tests {
    use super::*;

    fn place(root: &ByteString) -> ScriptPlace<'_> {
        ScriptPlace { root, batch: BatchId(17), k: 0 }
    }

    #[test]
    fn a_moved_script_differs_in_its_place_alone() {
        let spec = JobSpec::single("x", vec!["true".into()], "/".into());
        let root = ByteString::from("/a\nb # place");
        let script = render(place(&root), &spec, None);
        let other = ByteString::from("/r");
        let moved = moved(&script, ScriptPlace { root: &other, batch: BatchId(18), k: 2 }, None);
        // A root with the marker in it is beyond us, but only to the point of not being moved wrongly.
        assert_ne!(moved.as_deref(), Some(&script[..]));
        let script = render(place(&other), &spec, None);
        let there =
            super::moved(&script, ScriptPlace { root: &other, batch: BatchId(17), k: 1 }, None).unwrap();
        let back = super::moved(&there, place(&other), None).unwrap();
        assert_eq!(back, script);
        assert!(String::from_utf8(there).unwrap().contains("_cluster_k=1 # place\n"));
        assert!(super::moved(b"#!/bin/bash\n", place(&other), None).is_none());
    }

    #[test]
    fn a_job_is_told_its_submission() {
        let root = ByteString::from("/r");
        let script = render(place(&root), &JobSpec::single("x", vec!["true".into()], "/".into()), None);
        assert!(String::from_utf8(script).unwrap().contains("CLUSTER_SUBMISSION=\"$_cluster_k\""));
    }
}
