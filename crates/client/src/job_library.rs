//! `ROOT/lib/cluster-job`: what a job can say where our binary is not on the node.

/// A file of sh functions: `. "$CLUSTER_ROOT/lib/cluster-job"`, then `cluster_job set key=value`.
pub const TEXT: &str = r#"# sh functions for jobs of `cluster`: . "$CLUSTER_ROOT/lib/cluster-job"
# cluster_job info            prints who this job is
# cluster_job set KEY=VALUE…  stores facts about this job; they appear in `cluster show`

_cluster_json() {
  # A JSON string of $1: backslash, quote and control characters escaped, byte by byte.
  printf '"'
  printf '%s' "$1" | od -An -v -tu1 | while read -r _cluster_bytes; do
    for _cluster_byte in $_cluster_bytes; do
      case $_cluster_byte in
        34) printf '\\"' ;;
        92) printf '\\\\' ;;
        ?|[12]?|3[01]|127) printf '\\u%04x' "$_cluster_byte" ;;
        *) printf "\\$(printf '%03o' "$_cluster_byte")" ;;
      esac
    done
  done
  printf '"'
}

cluster_job() {
  if [ -z "${CLUSTER_JOB_ID:-}" ]; then
    echo "cluster_job: this is no job of cluster (CLUSTER_JOB_ID is not set)" >&2
    return 2
  fi
  case ${1:-} in
    info)
      printf 'job %s\nbatch %s\nindex %s\nrun %s\nroot %s\n' "$CLUSTER_JOB_ID" "$CLUSTER_BATCH_ID" \
        "$CLUSTER_JOB_INDEX" "$CLUSTER_RUN" "$CLUSTER_ROOT"
      ;;
    set)
      shift
      _cluster_fields=
      for _cluster_word in "$@"; do
        case $_cluster_word in
          ?*=*) ;;
          *) echo "cluster_job: $_cluster_word is not KEY=VALUE" >&2; return 2 ;;
        esac
        _cluster_fields=$_cluster_fields${_cluster_fields:+,}$(_cluster_json "${_cluster_word%%=*}"):$(_cluster_json "${_cluster_word#*=}")
      done
      # As wide as the microseconds that `cluster job set` takes, so that both sort as numbers.
      _cluster_seq=$(((${_cluster_seq:-0} + 1) % 1000000))
      _cluster_name=$CLUSTER_JOB_ID.${CLUSTER_SUBMISSION:-$((${CLUSTER_RUN:-1} - 1))}
      _cluster_name=$_cluster_name.$(date +%s)$(printf %06d "$_cluster_seq").$$
      # Subshells share $$ and count on their own.
      _cluster_name=$_cluster_name$(($(od -An -N4 -tu4 /dev/urandom)))
      (
        umask 077
        printf '{"v":1,"job":"%s","set":{%s}}\n' "$CLUSTER_JOB_ID" "$_cluster_fields" \
          > "$CLUSTER_ROOT/events/tmp/$_cluster_name" &&
          mv "$CLUSTER_ROOT/events/tmp/$_cluster_name" "$CLUSTER_ROOT/events/new/$_cluster_name"
      )
      ;;
    *)
      echo "cluster_job: info or set, not ${1:-nothing}" >&2
      return 2
      ;;
  esac
}
"#;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::process::Command;

    use super::TEXT;

    /// The names of the events that `script` drops, in the order in which they are taken in.
    #[allow(clippy::disallowed_methods)] // A test that runs the functions needs a shell.
    fn events(root: &Path, script: &str) -> Vec<(Vec<u64>, String)> {
        for dir in ["lib", "events/tmp", "events/new"] {
            fs::create_dir_all(root.join(dir)).unwrap();
        }
        fs::write(root.join("lib/cluster-job"), TEXT).unwrap();
        let script = format!(". \"$CLUSTER_ROOT/lib/cluster-job\"; {script}");
        let given = [("CLUSTER_JOB_ID", "17.3"), ("CLUSTER_BATCH_ID", "17"), ("CLUSTER_RUN", "5")];
        let done =
            Command::new("sh").args(["-c", &script]).envs(given).env("CLUSTER_ROOT", root).status().unwrap();
        assert!(done.success());
        let mut found: Vec<_> = fs::read_dir(root.join("events/new"))
            .unwrap()
            .map(|entry| {
                let name = entry.unwrap().file_name().into_string().unwrap();
                let numbers = name.split('.').map(|part| part.parse().unwrap()).collect();
                (numbers, fs::read_to_string(root.join("events/new").join(name)).unwrap())
            })
            .collect();
        found.sort();
        found
    }

    #[test]
    fn events_sort_as_they_were_said() {
        let root = tempfile::tempdir().unwrap();
        let script = "now=1790000000; date() { echo $now; }
            for i in 1 2 3 4 5 6 7 8 9 10 11; do cluster_job set n=$i || exit 1; done
            _cluster_seq=; now=1790000001; cluster_job set n=12; (cluster_job set n=13); (cluster_job set n=14)";
        let found = events(root.path(), script);
        assert_eq!(found.len(), 14);
        for (i, (numbers, text)) in found.iter().enumerate() {
            // The two subshells know nothing of each other.
            assert!(i >= 12 || text.contains(&format!("\"n\":\"{}\"", i + 1)), "{i}: {text}");
            // As many digits as the microseconds that the binary takes.
            assert_eq!((numbers[3].to_string().len(), numbers[2]), (16, 4), "{numbers:?}");
        }
    }

    #[test]
    fn an_event_is_of_the_submission_that_the_job_is_told() {
        let root = tempfile::tempdir().unwrap();
        let found = events(root.path(), "CLUSTER_SUBMISSION=2; cluster_job set a=1");
        assert_eq!(found[0].0[2], 2);
    }
}
