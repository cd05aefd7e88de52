//! `job.sh`: what the scheduler starts for each job. It needs `sh` alone, nothing of ours on the node.
//!
//! `sh jobs/B/job.<k>.sh INDEX RUN` restores the environment, umask and directory that were stored at
//! submission, runs the command in the foreground with its output in files of its own, and records start
//! and end in the status file. It never `exec`s the command itself, so that the end is recorded, and it
//! ends with the command's code, so that a scheduler's own dependencies see it.

use std::fmt::Write as _;

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

fn place_line(place: ScriptPlace<'_>) -> Vec<u8> {
    let mut line = b"_cluster_root=".to_vec();
    line.extend_from_slice(&quote(&place.root.0));
    // The path may hold line feeds: the comment at the end of the statement marks where it is over.
    line.extend_from_slice(
        format!(" _cluster_batch={} _cluster_k={} # place\n", place.batch, place.k).as_bytes(),
    );
    line
}

/// The script of one submission.
pub fn render(place: ScriptPlace<'_>, spec: &JobSpec) -> Vec<u8> {
    let mut script = HEAD.as_bytes().to_vec();
    script.extend_from_slice(&place_line(place));
    script.extend_from_slice(BEFORE.as_bytes());
    script.extend_from_slice(format!(". \"$_cluster_dir/env/{}.sh\"\n", spec.environment).as_bytes());
    script.extend_from_slice(IDENTITY.as_bytes());
    let mut exports = String::new();
    for (name, value) in spec.resources.job_environment() {
        let _ = write!(exports, " {name}={value}");
    }
    let _ = writeln!(exports, " CLUSTER_DEPTH={}", spec.depth);
    script.extend_from_slice(b"export");
    script.extend_from_slice(exports.as_bytes());
    script.extend_from_slice(format!("umask {:04o}\n", spec.umask & 0o777).as_bytes());
    script.extend_from_slice(b"_cluster_cwd=");
    script.extend_from_slice(&quote(&spec.cwd.0));
    script.extend_from_slice(b"\n_cluster_in=");
    script.extend_from_slice(if spec.stdin { b"$_cluster_dir/stdin" } else { b"/dev/null" });
    script.extend_from_slice(RUN.as_bytes());
    script
}

/// `script`, as [`render`] made it or a person changed it, moved to another submission: its first lines
/// name the place, all else stays. `None` where the first lines are not ours any more.
pub fn moved(script: &[u8], place: ScriptPlace<'_>) -> Option<Vec<u8>> {
    let rest = script.strip_prefix(HEAD.as_bytes())?;
    let marker = b" # place\n";
    let end = rest.windows(marker.len()).position(|window| window == marker)? + marker.len();
    let mut moved = HEAD.as_bytes().to_vec();
    moved.extend_from_slice(&place_line(place));
    moved.extend_from_slice(&rest[end..]);
    Some(moved)
}

/// The words of some jobs, as `jobs/B/cmd/<shard>.sh` holds them: a `case` of single-quoted lists.
pub fn words_file<'a, W>(jobs: impl IntoIterator<Item = (JobIndex, W)>) -> Vec<u8>
where
    W: IntoIterator<Item = &'a ByteString>,
{
    let mut text = b"case $_cluster_index in\n".to_vec();
    for (index, words) in jobs {
        text.extend_from_slice(format!("{index}) set --").as_bytes());
        for word in words {
            text.push(b' ');
            // Always quoted: this is for the shell, not for the eye.
            text.push(b'\'');
            for &byte in &word.0 {
                if byte == b'\'' {
                    text.extend_from_slice(br"'\''");
                } else {
                    text.push(byte);
                }
            }
            text.push(b'\'');
        }
        text.extend_from_slice(b" ;;\n");
    }
    text.extend_from_slice(b"esac\n");
    text
}

/// The environment as a file that `sh` reads: one `export` a variable.
///
/// Names that a shell cannot hold are left out, as are those that it sets or reads itself while it runs
/// our lines (`IFS` …) and what [`travels`] leaves behind.
pub fn environment_file<'a>(
    variables: impl IntoIterator<Item = (&'a ByteString, &'a ByteString)>,
) -> Vec<u8> {
    let mut text = Vec::new();
    for (name, value) in variables {
        let word = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_';
        let is_name = name.0.iter().all(word) && !name.0.first().is_none_or(u8::is_ascii_digit);
        let own = [
            "_",
            "PPID",
            "UID",
            "EUID",
            "SHELLOPTS",
            "BASHOPTS",
            "BASH_VERSINFO",
            "PWD",
            "OLDPWD",
            "SHLVL",
            "OPTIND",
            "IFS",
            "LINENO",
        ];
        if !is_name || own.iter().any(|own| own.as_bytes() == name.0) || !travels(&name.0) {
            continue;
        }
        text.extend_from_slice(b"export ");
        text.extend_from_slice(&name.0);
        text.push(b'=');
        text.extend_from_slice(&quote(&value.0));
        text.push(b'\n');
    }
    text
}

/// The variables in a file that [`environment_file`] made; `None` where it is not of its making.
///
/// ```
/// use cluster_core::{ByteString, job_script::{environment_file, parse_environment}};
/// let (name, value) = (ByteString::from("A"), ByteString::from("it's\n2"));
/// let file = environment_file([(&name, &value)]);
/// assert_eq!(parse_environment(&file), Some(vec![(name, value)]));
/// ```
pub fn parse_environment(text: &[u8]) -> Option<Vec<(ByteString, ByteString)>> {
    let mut variables = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        rest = rest.strip_prefix(b"export ")?;
        let equals = rest.iter().position(|&b| b == b'=')?;
        let name = rest[..equals].to_vec();
        rest = &rest[equals + 1..];
        let mut value = Vec::new();
        loop {
            match rest.first()? {
                b'\n' => break,
                b'\'' => {
                    let end = rest[1..].iter().position(|&b| b == b'\'')?;
                    value.extend_from_slice(&rest[1..=end]);
                    rest = &rest[end + 2..];
                }
                b'\\' => {
                    value.push(*rest.get(1)?);
                    rest = &rest[2..];
                }
                &plain => {
                    value.push(plain);
                    rest = &rest[1..];
                }
            }
        }
        rest = &rest[1..];
        variables.push((ByteString(name), ByteString(value)));
    }
    Some(variables)
}

/// Whether a variable goes with the job: not what belongs to a host or a login, nor to a job we are in.
pub fn travels(name: &[u8]) -> bool {
    const STAYS: &[&str] = &[
        "TMPDIR",
        "DISPLAY",
        "WAYLAND_DISPLAY",
        "XAUTHORITY",
        "DBUS_SESSION_BUS_ADDRESS",
        "WINDOWID",
        "GPG_TTY",
        "TTY",
        "STY",
        "TMUX",
        "TMUX_PANE",
        "HOSTNAME",
        "MAIL",
        "INVOCATION_ID",
        "JOURNAL_STREAM",
        "NOTIFY_SOCKET",
        "LISTEN_FDS",
        "LISTEN_PID",
    ];
    const STAY_PREFIXES: &[&str] =
        &["SSH_", "XDG_RUNTIME_", "XDG_SESSION_", "XDG_SEAT", "XDG_VTNR", "_cluster_"];
    const JOB: &[&str] = &[
        "CLUSTER_BATCH_ID",
        "CLUSTER_JOB_ID",
        "CLUSTER_JOB_INDEX",
        "CLUSTER_RUN",
        "CLUSTER_ROOT",
        "CLUSTER_SUBMISSION",
        "CLUSTER_DEPTH",
        "CLUSTER_NNODES",
        "CLUSTER_TOT_NCORES",
        "CLUSTER_TOT_NTASKS",
        "CLUSTER_NCORES_PER_NODE",
        "CLUSTER_NTASKS_PER_NODE",
        "CLUSTER_NCORES_PER_TASK",
    ];
    !STAYS.iter().chain(JOB).any(|stays| stays.as_bytes() == name)
        && !STAY_PREFIXES.iter().any(|prefix| name.starts_with(prefix.as_bytes()))
}

const BEFORE: &str = r#"# Runs one job of the batch above: sh job.<k>.sh INDEX RUN [EPOCH]. Written by `cluster`; see docs/job-files.md.
_cluster_index=$1 _cluster_run=${2:-1}
case $_cluster_index in ''|*[!0-9]*) echo "$0: no job index" >&2; exit 2 ;; esac
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
# Clock and host name without a process of their own, where the system shows them; $3 is the time of start.
_cluster_up=
[ -r /proc/uptime ] && IFS=. read -r _cluster_up _cluster_rest < /proc/uptime
_cluster_epoch=${3:-$(command -p date +%s)}
_cluster_host=
[ -r /proc/sys/kernel/hostname ] && read -r _cluster_host < /proc/sys/kernel/hostname
printf 'v1 start %d %d %s %d -\n' "$_cluster_k" "$_cluster_epoch" \
  "${_cluster_host:-$(command -p uname -n)}" "$$" >> "$_cluster_dir/$_cluster_shard/$_cluster_stem.status"
"#;

const IDENTITY: &str = r#"export CLUSTER_ROOT="$_cluster_root" CLUSTER_BATCH_ID="$_cluster_batch" \
  CLUSTER_JOB_ID="$_cluster_batch.$_cluster_index" CLUSTER_JOB_INDEX="$_cluster_index" CLUSTER_RUN="$_cluster_run" \
  CLUSTER_SUBMISSION="$_cluster_k"
"#;

const RUN: &str = r#"
. "$_cluster_dir/cmd/$_cluster_shard.sh"
# A subshell that execs: `exec` never finds a builtin, so the words run as the kernel would run them.
(
  cd "$_cluster_cwd" || exit 126
  export PWD
  case $1 in
    -*) exec env -- "$@" ;;
    *) exec "$@" ;;
  esac
) < "$_cluster_in" >> "$_cluster_dir/$_cluster_shard/$_cluster_stem.out" \
  2>> "$_cluster_dir/$_cluster_shard/$_cluster_stem.err"
_cluster_code=$?
cd "$_cluster_dir/$_cluster_shard" || exit "$_cluster_code"
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
  "$_cluster_got" >> "$_cluster_dir/$_cluster_shard/$_cluster_stem.status"
exit "$_cluster_code"
"#;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_environment_reads_back(value in proptest::collection::vec(1u8.., 0..40), junk: Vec<u8>) {
            let (name, value) = (ByteString::from("X_1"), ByteString(value));
            let file = environment_file([(&name, &value)]);
            prop_assert_eq!(parse_environment(&file), Some(vec![(name, value)]));
            parse_environment(&junk);
        }
    }

    fn place(root: &ByteString) -> ScriptPlace<'_> {
        ScriptPlace { root, batch: BatchId(17), k: 0 }
    }

    #[test]
    fn a_moved_script_differs_in_its_place_alone() {
        let spec = JobSpec::single("x", vec!["true".into()], "/".into());
        let root = ByteString::from("/a\nb # place");
        let script = render(place(&root), &spec);
        let other = ByteString::from("/r");
        let moved = moved(&script, ScriptPlace { root: &other, batch: BatchId(18), k: 2 });
        // A root with the marker in it is beyond us, but only to the point of not being moved wrongly.
        assert_ne!(moved.as_deref(), Some(&script[..]));
        let script = render(place(&other), &spec);
        let there = super::moved(&script, ScriptPlace { root: &other, batch: BatchId(17), k: 1 }).unwrap();
        let back = super::moved(&there, place(&other)).unwrap();
        assert_eq!(back, script);
        assert!(String::from_utf8(there).unwrap().contains("_cluster_k=1 # place\n"));
        assert!(super::moved(b"#!/bin/bash\n", place(&other)).is_none());
    }

    #[test]
    fn a_job_is_told_its_submission() {
        let root = ByteString::from("/r");
        let script = render(place(&root), &JobSpec::single("x", vec!["true".into()], "/".into()));
        assert!(String::from_utf8(script).unwrap().contains("CLUSTER_SUBMISSION=\"$_cluster_k\""));
    }

    #[test]
    fn what_belongs_to_a_login_stays() {
        for stays in
            ["SSH_CONNECTION", "TMPDIR", "XDG_RUNTIME_DIR", "DISPLAY", "CLUSTER_JOB_ID", "CLUSTER_SUBMISSION"]
        {
            assert!(!travels(stays.as_bytes()), "{stays}");
        }
        for goes in ["PATH", "HOME", "LANG", "CLUSTER_OPT_TIME", "XDG_DATA_HOME"] {
            assert!(travels(goes.as_bytes()), "{goes}");
        }
        let file = environment_file([(&"IFS".into(), &",".into()), (&"A-B".into(), &"1".into())]);
        assert!(file.is_empty());
    }
}
